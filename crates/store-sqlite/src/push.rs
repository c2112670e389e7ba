//! Devices that are notified: changes go through the writer's second lane, looks through the readers.

use tertulia_proto::{Device, PushProvider, QuietHours, RegistrationId};
use tertulia_store::jobs::{JOBS_PER_CALL_MAX, too_many};
use tertulia_store::push::*;
use tertulia_store::{ConversationId, Reading, Timestamp, UserId};

use crate::{SqliteStore, read, write};

/// Rows that a registration touches, about: itself, and those that go with it.
const REGISTRATION_ROWS: usize = 16;

impl PushBook for SqliteStore {
    fn register(&self, new: NewRegistration) -> Reading<'_, Device> {
        self.change(REGISTRATION_ROWS, move |c| write::push::register(c, &new))
    }

    fn unregister(&self, user: UserId, which: WhichDevice) -> Reading<'_, bool> {
        self.change(REGISTRATION_ROWS, move |c| write::push::unregister(c, user, &which))
    }

    fn devices(&self, user: UserId) -> Reading<'_, Vec<Device>> {
        self.read(move |c| read::push::devices(c, user))
    }

    fn targets(&self, user: UserId) -> Reading<'_, Vec<PushTarget>> {
        self.read(move |c| read::push::targets(c, user))
    }

    fn switch_off(
        &self,
        registration: RegistrationId,
        token_hash: [u8; 32],
        reason: String,
        at: Timestamp,
    ) -> Reading<'_, bool> {
        self.change(1, move |c| write::push::switch_off(c, registration, &token_hash, &reason, at))
    }

    fn audience(&self, conversation: ConversationId, above: Option<RegistrationId>) -> Reading<'_, Option<Audience>> {
        self.read(move |c| read::push::audience(c, conversation, above))
    }

    fn occasion(
        &self,
        registration: RegistrationId,
        conversation: ConversationId,
        now: Timestamp,
    ) -> Reading<'_, Option<Occasion>> {
        self.read(move |c| read::push::occasion(c, registration, conversation, now))
    }

    fn note_pushes(&self, notes: Vec<PushNote>) -> Reading<'_, ()> {
        match too_many(notes.len()) {
            Some(error) => Box::pin(std::future::ready(Err(error))),
            None => self.change(2 * notes.len(), move |c| write::push::note(c, &notes)),
        }
    }

    fn push_attempts(&self, conversation: ConversationId, seq: i64) -> Reading<'_, Vec<PushAttempt>> {
        self.read(move |c| read::push::attempts(c, conversation, seq))
    }

    fn tickets(&self, provider: PushProvider, since: Timestamp, until: Timestamp) -> Reading<'_, Vec<Ticket>> {
        self.read(move |c| read::push::tickets(c, provider, since, until))
    }

    fn forget_attempts(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        self.change(limit.min(JOBS_PER_CALL_MAX), move |c| write::push::forget_attempts(c, at, limit))
    }

    fn forget_devices(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(async move {
            // Looks at all devices: work of a reader. The writer looks at those again.
            let candidates =
                self.read(move |c| read::push::to_be_forgotten(c, at, limit.min(JOBS_PER_CALL_MAX))).await?;
            self.change(candidates.len(), move |c| write::push::forget_devices(c, at, &candidates)).await
        })
    }

    fn quiet_hours(&self, user: UserId) -> Reading<'_, Option<QuietHours>> {
        self.read(move |c| read::push::quiet_hours(c, user))
    }

    fn set_quiet_hours(&self, user: UserId, hours: Option<QuietHours>) -> Reading<'_, ()> {
        self.change(1, move |c| write::push::set_quiet_hours(c, user, hours.as_ref()))
    }
}
