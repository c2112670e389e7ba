//! Typing and presence: states that expire, kept nowhere.

use std::collections::{BTreeMap, BTreeSet};

use tertulia_proto::event::Presence;
use tertulia_proto::request::{ClientRequest, TypingIn, WatchPresence};
use tertulia_proto::{Answer, ApiError, ConversationId, Timestamp, UserId};

use crate::engine::{Asked, Engine, Notice, Now};

/// Somebody is writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypingState {
    pub user: UserId,
    pub name: String,
}

/// Whether somebody is here, and when they last were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceState {
    pub online: bool,
    pub last_seen_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Signs {
    typing: BTreeMap<(ConversationId, UserId), (String, u64)>,
    presence: BTreeMap<UserId, PresenceState>,
    watched: BTreeSet<UserId>,
    /// Where I write, and when that was last told.
    mine: BTreeMap<ConversationId, u64>,
}

impl Signs {
    /// The connection is gone: who is here now is not known. Answers where somebody seemed to write.
    pub fn forget(&mut self, _: u64) -> BTreeSet<ConversationId> {
        self.presence.clear();
        self.mine.clear();
        std::mem::take(&mut self.typing).into_keys().map(|(conversation, _)| conversation).collect()
    }

    pub fn forget_conversation(&mut self, id: ConversationId) {
        self.typing.retain(|(conversation, _), _| *conversation != id);
        self.mine.remove(&id);
    }

    pub fn expire(&mut self, now: u64) -> BTreeSet<ConversationId> {
        let mut expired = BTreeSet::new();
        self.typing.retain(|(conversation, _), (_, until)| {
            let stays = *until > now;
            if !stays {
                expired.insert(*conversation);
            }
            stays
        });
        expired
    }

    pub fn timeout(&self) -> Option<u64> {
        self.typing.values().map(|(_, until)| *until).min()
    }
}

#[derive(serde::Deserialize)]
struct Watched {
    presence: Vec<Presence>,
}

impl Engine {
    pub(crate) fn heard_typing(&mut self, now: Now, conversation: ConversationId, user: UserId, name: String) {
        let key = (conversation, user);
        if self.signs.typing.len() >= self.config.signs_max && !self.signs.typing.contains_key(&key) {
            return;
        }
        let until = now.mono_ms.saturating_add(self.config.typing_expiry_ms);
        self.signs.typing.insert(key, (name, until));
        self.notice(Notice::Typing(conversation));
    }

    pub(crate) fn heard_no_typing(&mut self, conversation: ConversationId, user: UserId) {
        if self.signs.typing.remove(&(conversation, user)).is_some() {
            self.notice(Notice::Typing(conversation));
        }
    }

    pub(crate) fn heard_presence(&mut self, presence: Presence) {
        if !self.signs.watched.contains(&presence.user_id) {
            return;
        }
        let state = PresenceState { online: presence.online, last_seen_at: presence.last_seen_at };
        self.signs.presence.insert(presence.user_id, state);
        self.notice(Notice::Presence);
    }

    /// Who writes there now, in order of their ids.
    pub fn typing(&self, conversation: ConversationId) -> Vec<TypingState> {
        let here = self.signs.typing.iter().filter(|((where_, _), _)| *where_ == conversation);
        here.map(|((_, user), (name, _))| TypingState { user: *user, name: name.clone() }).collect()
    }

    /// Of somebody watched; `None`: not known, as without a connection.
    pub fn presence(&self, user: UserId) -> Option<PresenceState> {
        self.signs.presence.get(&user).copied()
    }

    /// I write there, or stopped.
    pub(crate) fn set_typing(&mut self, now: Now, conversation: ConversationId, typing: bool) {
        if !self.link.is_open() {
            return;
        }
        let told = self.signs.mine.get(&conversation).copied();
        let request = TypingIn { conversation_id: conversation };
        if typing {
            let due = told.is_none_or(|at| at.saturating_add(self.config.typing_every_ms) <= now.mono_ms);
            if due {
                self.signs.mine.insert(conversation, now.mono_ms);
                self.ask(now, Asked::Sign, ClientRequest::TypingStart(request));
            }
        } else if self.signs.mine.remove(&conversation).is_some() {
            self.ask(now, Asked::Sign, ClientRequest::TypingStop(request));
        }
    }

    pub(crate) fn watch(&mut self, now: Now, people: Vec<UserId>) {
        self.signs.watched = people.into_iter().take(self.config.signs_max).collect();
        let watched = &self.signs.watched;
        self.signs.presence.retain(|user, _| watched.contains(user));
        if self.link.is_open() {
            self.ask_to_watch(now);
        }
    }

    pub(crate) fn watch_again(&mut self, now: Now) {
        if self.link.is_open() && !self.signs.watched.is_empty() {
            self.ask_to_watch(now);
        }
    }

    fn ask_to_watch(&mut self, now: Now) {
        let user_ids = self.signs.watched.iter().copied().collect();
        self.ask(now, Asked::Watch, ClientRequest::WatchPresence(WatchPresence { user_ids }));
    }

    /// The state of each as it was when the watch began.
    pub(crate) fn watch_answered(&mut self, result: Result<Answer, ApiError>) {
        if let Ok(watched) = result.and_then(|answer| answer.read::<Watched>()) {
            watched.presence.into_iter().for_each(|presence| self.heard_presence(presence));
        }
    }
}
