//! What a server does for the others, and what it does when it may have missed something of them.

use std::collections::HashMap;

use tertulia_proto::{ConversationId, DeviceId, Rev, ServerId, UserId};
use tertulia_realtime::{Membership, News};
use tertulia_store::{ChangedFor, Effect, StoreError, Write};

use super::Services;

/// People asked about at once when something may have been missed.
const PEOPLE_AT_ONCE: usize = 500;

impl Services {
    /// News of another server, in the order in which it told it.
    pub async fn hear(&self, from: ServerId, news: Vec<News>) {
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
        for person in left {
            self.forget_strangers(person).await;
        }
    }

    /// The device has connected to another server. When this returns, all that will ever be done for its connection here has been committed.
    pub async fn retire_device(&self, user: UserId, device: DeviceId) {
        self.hub.retire(user, device, self.now());
        let fence = self.perform(Write::Fence, |effect| matches!(effect, Effect::Done).then_some(()));
        if let Err(error) = fence.await {
            tracing::warn!(%error, "whether the last of a replaced connection is committed is not known");
        }
    }

    /// Looks up what was committed above a position, puts right who hears of what here, ends the connections of ended sessions, and answers who may not
    /// have been told something: they are to ask for the difference.
    pub async fn missed_since(&self, position: i64) -> Result<Vec<UserId>, StoreError> {
        let mut concerned = Vec::new();
        // As it was before anything is put right.
        let mut told: HashMap<ConversationId, Option<Rev>> = HashMap::new();
        for people in self.hub.people().chunks(PEOPLE_AT_ONCE) {
            for changed in self.store.changed_for(people.to_vec(), position).await? {
                let membership = if changed.is_member { Membership::Joined } else { Membership::Left };
                let told = told.entry(changed.conversation).or_insert_with(|| self.hub.told(changed.conversation));
                if is_missed(&changed, *told) {
                    concerned.push(changed.user);
                }
                self.hub.correct(changed.user, changed.conversation, changed.rev, membership);
            }
        }
        for session in self.hub.sessions() {
            if matches!(self.store.session(session).await, Ok(Some(record)) if record.ended) {
                self.hub.end_session(session);
            }
        }
        concerned.sort_unstable();
        concerned.dedup();
        Ok(concerned)
    }
}

/// What is told of a conversation is told in order: who is at its latest change has heard of all before.
fn is_missed(changed: &ChangedFor, told: Option<Rev>) -> bool {
    changed.is_personal || !changed.is_member || told.is_none_or(|told| told < changed.rev)
}
