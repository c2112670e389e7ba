//! Who writes right now.

use std::collections::BTreeMap;

use tertulia_proto::event::Typing;
use tertulia_proto::{ConversationId, Timestamp, UserId};

/// Typing signs at once; more are told but expire only on the other side.
const SIGNS_MAX: usize = 100_000;

#[derive(Default)]
pub(crate) struct Signs {
    active: BTreeMap<(ConversationId, UserId), (Timestamp, Typing)>,
}

impl Signs {
    pub fn start(&mut self, typing: Typing, until: Timestamp) {
        let key = (typing.conversation_id, typing.user_id);
        if self.active.len() < SIGNS_MAX || self.active.contains_key(&key) {
            self.active.insert(key, (until, typing));
        }
    }

    /// The sign that was there.
    pub fn stop(&mut self, conversation: ConversationId, user: UserId) -> Option<Typing> {
        self.active.remove(&(conversation, user)).map(|(_, typing)| typing)
    }

    pub fn expired(&mut self, now: Timestamp) -> Vec<Typing> {
        if self.active.is_empty() {
            return Vec::new();
        }
        let over: Vec<_> = self.active.iter().filter(|(_, (until, _))| *until <= now).map(|(key, _)| *key).collect();
        over.into_iter().filter_map(|key| self.active.remove(&key)).map(|(_, typing)| typing).collect()
    }
}
