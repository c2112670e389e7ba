//! Devices that are notified: changes over connections of their own, looks at the primary.

use std::sync::Arc;

use tertulia_proto::{Device, PushProvider, QuietHours, RegistrationId, Seq};
use tertulia_store::jobs::too_many;
use tertulia_store::push::*;
use tertulia_store::{ConversationId, Reading, Timestamp, UserId};

use crate::write::push as change;
use crate::{PostgresStore, read};

impl PushBook for PostgresStore {
    fn register(&self, new: NewRegistration) -> Reading<'_, Device> {
        let new = Arc::new(new);
        Box::pin(self.changes.transact(move |s| {
            let new = Arc::clone(&new);
            async move { change::register(&s, &new).await }
        }))
    }

    fn unregister(&self, user: UserId, which: WhichDevice) -> Reading<'_, bool> {
        let which = Arc::new(which);
        Box::pin(self.changes.transact(move |s| {
            let which = Arc::clone(&which);
            async move { change::unregister(&s, user, &which).await }
        }))
    }

    fn devices(&self, user: UserId) -> Reading<'_, Vec<Device>> {
        self.read(move |s| async move { read::push::devices(&s, user).await })
    }

    fn targets(&self, user: UserId) -> Reading<'_, Vec<PushTarget>> {
        self.read(move |s| async move { read::push::targets(&s, user).await })
    }

    fn switch_off(
        &self,
        registration: RegistrationId,
        token_hash: [u8; 32],
        reason: String,
        at: Timestamp,
    ) -> Reading<'_, bool> {
        let reason: Arc<str> = reason.into();
        Box::pin(self.changes.transact(move |s| {
            let reason = Arc::clone(&reason);
            async move { change::switch_off(&s, registration, &token_hash, &reason, at).await }
        }))
    }

    fn audience(&self, conversation: ConversationId, above: Option<RegistrationId>) -> Reading<'_, Option<Audience>> {
        self.read(move |s| async move { read::push::audience(&s, conversation, above).await })
    }

    fn occasion(
        &self,
        registration: RegistrationId,
        conversation: ConversationId,
        now: Timestamp,
    ) -> Reading<'_, Option<Occasion>> {
        self.read(move |s| async move { read::push::occasion(&s, registration, conversation, now).await })
    }

    fn note_pushes(&self, notes: Vec<PushNote>) -> Reading<'_, ()> {
        if let Some(error) = too_many(notes.len()) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let notes = Arc::new(notes);
        Box::pin(async move {
            let noting = self.changes.transact(|s| {
                let notes = Arc::clone(&notes);
                async move { change::note(&s, &notes).await }
            });
            noting.await?;
            // Who was reading meanwhile had not seen the note, and what they read was not seen either: from here on one of both is. One at a time, because
            // whoever waits for a member may not hold another one.
            for told in change::told(&notes) {
                self.changes.transact(|s| async move { change::until_read(&s, told).await }).await?;
            }
            Ok(())
        })
    }

    fn push_attempts(&self, conversation: ConversationId, seq: Seq) -> Reading<'_, Vec<PushAttempt>> {
        self.read(move |s| async move { read::push::attempts(&s, conversation, seq).await })
    }

    fn tickets(&self, provider: PushProvider, since: Timestamp, until: Timestamp) -> Reading<'_, Vec<Ticket>> {
        self.read(move |s| async move { read::push::tickets(&s, provider, since, until).await })
    }

    fn forget_attempts(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(self.changes.transact(move |s| async move { change::forget_attempts(&s, at, limit).await }))
    }

    fn forget_devices(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(self.changes.transact(move |s| async move { change::forget_devices(&s, at, limit).await }))
    }

    fn quiet_hours(&self, user: UserId) -> Reading<'_, Option<QuietHours>> {
        self.read(move |s| async move { read::push::quiet_hours(&s, user).await })
    }

    fn set_quiet_hours(&self, user: UserId, hours: Option<QuietHours>) -> Reading<'_, ()> {
        let hours = Arc::new(hours);
        Box::pin(self.changes.transact(move |s| {
            let hours = Arc::clone(&hours);
            async move { change::set_quiet_hours(&s, user, hours.as_ref().as_ref()).await }
        }))
    }
}
