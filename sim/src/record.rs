//! What the people know they did, beside and without the engines: the truth that the log is held against.

use std::collections::{BTreeMap, BTreeSet};

use tertulia_proto::{ClientMsgId, ConversationId, Seq, Timestamp, UserId};
use uuid::Uuid;

/// What became of a message's wish to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has to be in the log.
    Wanted,
    /// Deleted, or discarded, by its author: it may not show.
    Unwanted,
    /// The conversation was taken from its author before it could be sent: nobody promised anything.
    Excused,
}

#[derive(Debug, Clone)]
pub struct Composed {
    pub sender: UserId,
    pub device: usize,
    pub conversation: ConversationId,
    /// When its author had joined: in another stay it may not be theirs to see.
    pub stay: Timestamp,
    pub fate: Fate,
}

/// A text that somebody gave a message, the first one included.
#[derive(Debug, Clone)]
pub struct Edit {
    /// In the order in which they were written, all devices together.
    pub number: usize,
    pub device: usize,
    pub name: ClientMsgId,
    /// No other text is the same.
    pub body: String,
    /// What the device held of the log's row then; `None`: it wrote the message.
    pub before: Option<String>,
    /// When its author had joined.
    pub stay: Timestamp,
    /// It was refused, and its author let it go.
    pub given_up: bool,
}

#[derive(Debug, Default)]
pub struct Record {
    pub edits: Vec<Edit>,
    /// In the order in which they were written, all devices together.
    pub composed: Vec<(ClientMsgId, Composed)>,
    index: BTreeMap<ClientMsgId, usize>,
    /// What the server acknowledged, and where it said it is.
    pub acknowledged: BTreeMap<ClientMsgId, (ConversationId, Seq)>,
    /// What the log held when the server last died.
    pub in_log_at_death: BTreeSet<ClientMsgId>,
    /// What a restore took away.
    pub lost: BTreeSet<ClientMsgId>,
    /// Read watermarks a device has shown, of one log and one stay.
    pub shown_read: BTreeMap<(usize, ConversationId, Option<Uuid>, Timestamp), Seq>,
    pub restores: usize,
}

impl Record {
    pub fn compose(&mut self, name: ClientMsgId, composed: Composed) {
        self.index.insert(name.clone(), self.composed.len());
        self.composed.push((name, composed));
    }

    pub fn edit(&mut self, device: usize, name: ClientMsgId, body: String, before: Option<String>, stay: Timestamp) {
        let number = self.edits.len();
        self.edits.push(Edit { number, device, name, body, before, stay, given_up: false });
    }

    /// With it go those that it has taken the place of.
    pub fn give_up_edit(&mut self, body: &str) {
        let Some(last) = self.edits.iter().rfind(|edit| edit.body == body).cloned() else { return };
        let of_it = |edit: &Edit| edit.device == last.device && edit.name == last.name && edit.number <= last.number;
        self.edits.iter_mut().filter(|edit| of_it(edit)).for_each(|edit| edit.given_up = true);
    }

    pub fn set_fate(&mut self, name: &ClientMsgId, fate: Fate) {
        if let Some(at) = self.index.get(name) {
            self.composed[*at].1.fate = fate;
        }
    }

    pub fn get(&self, name: &ClientMsgId) -> Option<&Composed> {
        self.index.get(name).map(|at| &self.composed[*at].1)
    }
}
