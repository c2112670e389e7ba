//! What a server does for the others, and what it does when it may have missed something of them.

use std::collections::HashMap;

use tertulia_proto::{ConversationId, DeviceId, Rev, ServerId, UserId};
use tertulia_realtime::{ConnectionId, Membership, News};
use tertulia_store::{ChangedFor, Effect, StoreError, Write};

use super::Services;

/// People asked about at once when something may have been missed; fewer where that fails.
const PEOPLE_AT_ONCE: usize = 500;
const PEOPLE_AT_ONCE_MIN: usize = 16;

impl Services {
    /// News of another server, in the order in which it told it. Answers who left somewhere: see [`Services::forget_strangers_of`].
    pub fn hear(&self, from: ServerId, news: Vec<News>) -> Vec<UserId> {
        let now = self.now();
        let mut left = Vec::new();
        for one in &news {
            match one {
                // What somebody sends over another server counts here too.
                News::Conversation { conversation, sent_by: Some(sender), .. } => {
                    self.rates.sends.note(*sender, now);
                    self.rates.sends_in_conversation.note(*conversation, now);
                }
                News::Membership { user, membership: Membership::Left, .. } => left.push(*user),
                _ => {}
            }
        }
        self.hub.hear(from, news, now);
        left
    }

    /// After [`Services::hear`]: of people who left somewhere. It asks the log, and need not be waited for.
    pub async fn forget_strangers_of(&self, people: Vec<UserId>) {
        for person in people {
            if !self.hub.watched_by(person).is_empty() || !self.hub.watchers_of(person).is_empty() {
                self.forget_strangers(person).await;
            }
        }
    }

    /// The device has connected to another server. When this returns, all that will ever be done for this connection of it here has been committed.
    pub async fn retire_device(&self, user: UserId, device: DeviceId, connection: ConnectionId) {
        self.hub.retire(user, device, connection, self.now());
        let fence = self.perform(Write::Fence, |effect| matches!(effect, Effect::Done).then_some(()));
        if let Err(error) = fence.await {
            tracing::warn!(%error, "whether the last of a replaced connection is committed is not known");
        }
    }

    /// What was committed above a position and concerns people here, all of it or an error. [`Services::put_right`] follows.
    pub async fn changed_above(&self, position: i64) -> Result<Vec<ChangedFor>, StoreError> {
        let mut all = Vec::new();
        let mut people = self.hub.people();
        let mut at_once = PEOPLE_AT_ONCE;
        while !people.is_empty() {
            let some = people.split_off(people.len() - people.len().min(at_once));
            match self.store.changed_for(some.clone(), position).await {
                Ok(changed) => all.extend(changed),
                Err(error) if at_once <= PEOPLE_AT_ONCE_MIN => return Err(error),
                // Perhaps it was too much at once.
                Err(_) => {
                    at_once /= 2;
                    people.extend(some);
                }
            }
        }
        Ok(all)
    }

    /// Puts right who hears of what here, and answers what may not have been told, by person: they are to ask for the difference.
    pub async fn put_right(&self, changed: Vec<ChangedFor>) -> Vec<ChangedFor> {
        // As it is before anything is put right.
        let told: HashMap<ConversationId, Option<Rev>> =
            changed.iter().map(|one| (one.conversation, self.hub.told(one.conversation))).collect();
        let mut missed = Vec::new();
        for one in changed {
            let membership = if one.is_member { Membership::Joined } else { Membership::Left };
            let was_wrong = self.hub.correct(one.user, one.conversation, one.rev, membership);
            if was_wrong && !one.is_member {
                self.forget_strangers(one.user).await;
            }
            if was_wrong || is_missed(&one, told.get(&one.conversation).copied().flatten()) {
                missed.push(one);
            }
        }
        missed
    }

    /// Ends the watches of people here whom the watched have blocked, or no longer know, and who were not told of it.
    pub async fn look_after_watches(&self) -> Result<(), StoreError> {
        for watcher in self.hub.watching() {
            let watched = self.hub.watched_by(watcher);
            let known = self.store.acquaintances(watcher, watched.clone()).await?;
            for stranger in watched.into_iter().filter(|id| known.iter().all(|k| k.user != *id)) {
                self.hub.forbid_watching(stranger, watcher);
            }
        }
        Ok(())
    }
}

/// What is told of a conversation is told in order: who is at its latest change has heard of all before, or sees a jump.
fn is_missed(changed: &ChangedFor, told: Option<Rev>) -> bool {
    changed.is_personal || (changed.is_member && told.is_none_or(|told| told < changed.rev))
}
