//! What was asked for: all that may be seen, and by whose will.

use std::collections::{BTreeMap, BTreeSet};

use crate::Violation;
use crate::entry::{Entry, Event, Key};

/// Refusals of this kind mean a message that is deleted, about which nothing else is promised.
const GONE: [&str; 2] = ["gone", "not_found"];

/// An entry that wants something of a message.
#[derive(Debug, Clone)]
pub struct Wish<T> {
    pub entry: usize,
    pub client: String,
    pub wanted: T,
}

#[derive(Debug, Clone)]
pub struct Sent {
    pub entry: usize,
    pub client: String,
    pub conversation: String,
    pub body: String,
    pub refused: Option<usize>,
    /// In the order of each client.
    pub edits: Vec<Wish<String>>,
    pub deletes: Vec<Wish<()>>,
}

/// Who reacts how to what.
pub type Reaction = (Key, String, String);

#[derive(Debug, Default)]
pub struct Asked {
    pub sent: BTreeMap<Key, Sent>,
    /// In the order of each client; `wanted`: whether it is to be there.
    pub reactions: BTreeMap<Reaction, Vec<Wish<bool>>>,
    /// The highest place read, by conversation, user and client.
    pub read: BTreeMap<(String, String, String), (i64, usize)>,
    /// Clients of whose edits, deletions or reactions one came to nothing, by conversation: which one is not known.
    pub unsure: BTreeSet<(String, String)>,
}

impl Asked {
    pub fn of(entries: &[Entry]) -> Result<Self, Violation> {
        let mut asked = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            asked.note_send(index, entry)?;
        }
        for (index, entry) in entries.iter().enumerate() {
            asked.note(index, entry)?;
        }
        Ok(asked)
    }

    fn note_send(&mut self, index: usize, entry: &Entry) -> Result<(), Violation> {
        let Event::Send { name, body } = &entry.event else { return Ok(()) };
        let sent = Sent {
            entry: index,
            client: entry.client.clone(),
            conversation: entry.conversation.clone(),
            body: body.clone(),
            refused: None,
            edits: Vec::new(),
            deletes: Vec::new(),
        };
        match self.sent.insert(entry.own(name), sent) {
            None => Ok(()),
            Some(first) => {
                Err(Violation::new(format!("{} was given to two messages", entry.own(name)), [first.entry, index]))
            }
        }
    }

    fn note(&mut self, index: usize, entry: &Entry) -> Result<(), Violation> {
        let client = entry.client.clone();
        match &entry.event {
            Event::Ack { name, .. } => self.own(index, entry, name).map(drop)?,
            Event::Refused { name: Some(name), .. } => self.own(index, entry, name)?.refused = Some(index),
            Event::Refused { name: None, code } if !GONE.contains(&code.as_str()) => {
                self.unsure.insert((entry.conversation.clone(), client));
            }
            Event::Edit { name, body } => {
                self.own(index, entry, name)?.edits.push(Wish { entry: index, client, wanted: body.clone() });
            }
            Event::Delete { name } => {
                self.own(index, entry, name)?.deletes.push(Wish { entry: index, client, wanted: () });
            }
            Event::React { key, emoji, remove } => {
                let reaction = (key.clone(), emoji.clone(), entry.user.clone());
                self.reactions.entry(reaction).or_default().push(Wish { entry: index, client, wanted: !remove });
            }
            Event::Read { seq } => {
                let reader = (entry.conversation.clone(), entry.user.clone(), client);
                let highest = self.read.entry(reader).or_insert((*seq, index));
                if highest.0 < *seq {
                    *highest = (*seq, index);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The user's own message, which somebody must have written.
    fn own(&mut self, index: usize, entry: &Entry, name: &str) -> Result<&mut Sent, Violation> {
        let key = entry.own(name);
        let nobody = Violation::new(format!("nobody sent {key}"), [index]);
        let sent = self.sent.get_mut(&key).ok_or(nobody)?;
        if sent.conversation != entry.conversation {
            return Err(Violation::new(format!("{key} is in two conversations"), [sent.entry, index]));
        }
        Ok(sent)
    }
}
