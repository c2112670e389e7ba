//! Who is told what, as a worker reaches it. Whatever is read is looked at beside it, and what is noted is noted here as well.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tertulia_proto::{ConversationId, Device, PushProvider, QuietHours, RegistrationId, Timestamp, UserId};
use tertulia_store::push::*;
use tertulia_store::{Reading, Store as _, StoreError};
use tertulia_store_sqlite::SqliteStore;

use super::hands::Hands;
use super::post::Post;
use crate::planted::NotifyBug;

pub struct WorkerBook {
    hands: Arc<Hands>,
    /// Of the bug that decides on what was so earlier.
    stale: Mutex<BTreeMap<(RegistrationId, ConversationId), Occasion>>,
}

/// Notes on their way: dropped there, nobody knows whether they were written.
struct Noting<'a> {
    hands: &'a Hands,
    notes: Vec<PushNote>,
    is_done: bool,
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.hands.post.told(self.hands.life, &self.notes, false);
        }
    }
}

impl Post {
    /// The ask that a note is about is the latest answered one of this life.
    fn told(&self, life: u64, notes: &[PushNote], is_written: bool) {
        let mut book = self.book();
        for note in notes {
            let of_it = |ask: &&mut super::post::Ask| {
                (ask.life, ask.registration, ask.conversation, ask.seq)
                    == (life, note.registration, note.conversation, note.seq)
                    && !ask.is_noted
            };
            // What took its place meanwhile has not been told, as far as anybody knows.
            let is_gone = !book.registered.contains_key(&note.registration);
            if let Some(ask) = book.asks.iter_mut().rev().find(of_it) {
                (ask.is_noted, ask.is_excused) = (is_written, ask.is_excused || !is_written || is_gone);
            }
            if is_written && note.outcome == PushOutcome::Accepted {
                let to = book.heir(note.registration);
                // A note of a registration that is gone moves nothing.
                if to == note.registration {
                    let mark = book.noted.entry((to, note.conversation)).or_default();
                    *mark = (*mark).max(note.seq);
                }
            }
        }
    }
}

impl WorkerBook {
    pub fn new(hands: Arc<Hands>) -> Self {
        Self { hands, stale: Mutex::default() }
    }

    fn has(&self, bug: NotifyBug) -> bool {
        self.hands.post.book().bug == Some(bug)
    }

    async fn remember(&self, store: &SqliteStore, audience: &Audience, id: ConversationId) -> Result<(), StoreError> {
        for seat in &audience.seats {
            let found = store.push().occasion(seat.registration, id, self.hands.powers.now()).await?;
            if let Some(found) = found {
                let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
                stale.insert((seat.registration, id), found);
            }
        }
        Ok(())
    }

    fn planted(&self, key: (RegistrationId, ConversationId), found: Option<Occasion>) -> Option<Occasion> {
        let mut found = found?;
        if self.has(NotifyBug::DecidedEarly) {
            let stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
            found = stale.get(&key).cloned().unwrap_or(found);
        }
        if self.has(NotifyBug::NeverWithdrawn)
            && let Some(seat) = &mut found.seat
        {
            seat.withdrawn_seq = seat.pushed_seq;
        }
        if self.has(NotifyBug::LeftBehind) {
            found.seat = found.seat.filter(|seat| !seat.has_left);
        }
        Some(found)
    }
}

impl PushBook for WorkerBook {
    fn register(&self, new: NewRegistration) -> Reading<'_, Device> {
        Box::pin(async move { self.hands.reach("a registration").await?.push().register(new).await })
    }

    fn unregister(&self, user: UserId, which: WhichDevice) -> Reading<'_, bool> {
        Box::pin(async move { self.hands.reach("an end").await?.push().unregister(user, which).await })
    }

    fn devices(&self, user: UserId) -> Reading<'_, Vec<Device>> {
        Box::pin(async move { self.hands.reach("devices").await?.push().devices(user).await })
    }

    fn targets(&self, user: UserId) -> Reading<'_, Vec<PushTarget>> {
        Box::pin(async move { self.hands.reach("targets").await?.push().targets(user).await })
    }

    fn switch_off(
        &self,
        registration: RegistrationId,
        hash: [u8; 32],
        reason: String,
        at: Timestamp,
    ) -> Reading<'_, bool> {
        Box::pin(async move {
            let store = self.hands.reach("a device is switched off").await?;
            let was_on = store.push().switch_off(registration, hash, reason, at).await?;
            // Not so where it has another token by now.
            if was_on && let Some(one) = self.hands.post.book().registered.get_mut(&registration) {
                one.is_on = false;
            }
            self.hands.step("a device was switched off").await;
            Ok(was_on)
        })
    }

    fn audience(&self, id: ConversationId, above: Option<RegistrationId>) -> Reading<'_, Option<Audience>> {
        Box::pin(async move {
            let store = self.hands.reach("an audience").await?;
            let found = store.push().audience(id, above).await?;
            if let Some(audience) = found.as_ref().filter(|_| self.has(NotifyBug::DecidedEarly)) {
                self.remember(&store, audience, id).await?;
            }
            self.hands.step("an audience was read").await;
            Ok(found)
        })
    }

    fn occasion(&self, which: RegistrationId, id: ConversationId, now: Timestamp) -> Reading<'_, Option<Occasion>> {
        Box::pin(async move {
            let store = self.hands.reach("an occasion").await?;
            let found = store.push().occasion(which, id, now).await?;
            let looked = self.hands.post.look(self.hands.life, &store, (which, id), found.as_ref(), now);
            if let Err(error) = looked {
                self.hands.post.breaks(|| format!("looking beside it: {error:#}"));
            }
            self.hands.step("an occasion was read").await;
            Ok(self.planted((which, id), found))
        })
    }

    fn note_pushes(&self, notes: Vec<PushNote>) -> Reading<'_, ()> {
        Box::pin(async move {
            let mut noting = Noting { hands: &self.hands, notes: notes.clone(), is_done: false };
            let store = self.hands.reach("a note").await?;
            if !self.has(NotifyBug::NotNoted) {
                store.push().note_pushes(notes).await?;
                self.hands.post.told(self.hands.life, &noting.notes, true);
            }
            noting.is_done = true;
            self.hands.step("a note was written").await;
            Ok(())
        })
    }

    fn push_attempts(&self, id: ConversationId, seq: i64) -> Reading<'_, Vec<PushAttempt>> {
        Box::pin(async move { self.hands.reach("attempts").await?.push().push_attempts(id, seq).await })
    }

    fn tickets(&self, which: PushProvider, since: Timestamp, until: Timestamp) -> Reading<'_, Vec<Ticket>> {
        Box::pin(async move { self.hands.reach("tickets").await?.push().tickets(which, since, until).await })
    }

    fn forget_attempts(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(async move { self.hands.reach("a clean-up").await?.push().forget_attempts(at, limit).await })
    }

    fn forget_devices(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(async move { self.hands.reach("a clean-up").await?.push().forget_devices(at, limit).await })
    }

    fn quiet_hours(&self, user: UserId) -> Reading<'_, Option<QuietHours>> {
        Box::pin(async move { self.hands.reach("quiet hours").await?.push().quiet_hours(user).await })
    }

    fn set_quiet_hours(&self, user: UserId, hours: Option<QuietHours>) -> Reading<'_, ()> {
        Box::pin(async move { self.hands.reach("quiet hours").await?.push().set_quiet_hours(user, hours).await })
    }
}
