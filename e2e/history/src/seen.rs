//! What must hold wherever a message or a watermark is seen.

use std::collections::BTreeMap;

use crate::Violation;
use crate::asked::Asked;
use crate::entry::{Entry, Event, Key, Message};

/// Where everything was seen, and who saw it first.
#[derive(Debug, Default)]
pub struct Sights {
    /// Place and the first entry that tells of it.
    pub places: BTreeMap<Key, (i64, usize)>,
    pub at: BTreeMap<(String, i64), (Key, usize)>,
    /// First entry in which a message is deleted.
    pub deleted: BTreeMap<Key, usize>,
    /// The highest of each, by conversation and user.
    pub watermarks: BTreeMap<(String, String), Marks>,
    ids: BTreeMap<Key, (String, usize)>,
    by_client: BTreeMap<(String, String, String), Marks>,
}

/// Delivered and read, each with the entry that tells of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Marks {
    pub delivered: (i64, usize),
    pub read: (i64, usize),
}

pub fn check(entries: &[Entry], asked: &Asked) -> Result<Sights, Violation> {
    let mut sights = Sights::default();
    for (index, entry) in entries.iter().enumerate() {
        let conversation = &entry.conversation;
        match &entry.event {
            Event::Ack { name, seq, id } => {
                sights.place(index, conversation, &entry.own(name), *seq)?;
                sights.id(index, &entry.own(name), id.as_deref())?;
            }
            Event::See(message) => sights.message(index, entry, message, asked)?,
            Event::Final { messages, watermarks } => {
                for message in messages {
                    sights.message(index, entry, message, asked)?;
                }
                for (of, (delivered, read)) in watermarks {
                    sights.watermark(index, entry, of, *delivered, *read)?;
                }
            }
            Event::Watermark { of, delivered, read } => sights.watermark(index, entry, of, *delivered, *read)?,
            _ => {}
        }
    }
    Ok(sights)
}

impl Sights {
    fn message(&mut self, index: usize, entry: &Entry, message: &Message, asked: &Asked) -> Result<(), Violation> {
        let key = &message.key;
        let sent = asked.sent.get(key).ok_or_else(|| Violation::new(format!("nobody sent {key}"), [index]))?;
        if sent.conversation != entry.conversation {
            return Err(Violation::new(format!("{key} was sent to another conversation"), [sent.entry, index]));
        }
        if let Some(refused) = sent.refused {
            return Err(Violation::new(format!("{key} was refused and is seen"), [sent.entry, refused, index]));
        }
        self.place(index, &entry.conversation, key, message.seq)?;
        self.id(index, key, message.id.as_deref())?;
        if message.deleted {
            self.deleted.entry(key.clone()).or_insert(index);
            if sent.deletes.is_empty() {
                return Err(Violation::new(format!("{key} is deleted, and nobody asked for it"), [sent.entry, index]));
            }
            if !message.body.is_empty() {
                return Err(Violation::new(format!("{key} is deleted, and still has a body"), [index]));
            }
        } else if message.body != sent.body && !sent.edits.iter().any(|edit| edit.wanted == message.body) {
            let what = format!("{key} has a body that its sender never gave it");
            let edits = sent.edits.iter().map(|edit| edit.entry);
            return Err(Violation::new(what, [sent.entry].into_iter().chain(edits).chain([index])));
        }
        for (emoji, users) in &message.reactions {
            for user in users {
                if !asked.reactions.contains_key(&(key.clone(), emoji.clone(), user.clone())) {
                    return Err(Violation::new(format!("{user} never reacted with {emoji} to {key}"), [index]));
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, index: usize, conversation: &str, key: &Key, seq: i64) -> Result<(), Violation> {
        let (known, first) = *self.places.entry(key.clone()).or_insert((seq, index));
        if known != seq {
            return Err(Violation::new(format!("{key} stands at {known} and at {seq}"), [first, index]));
        }
        let there = self.at.entry((conversation.to_owned(), seq)).or_insert_with(|| (key.clone(), index));
        if there.0 != *key {
            return Err(Violation::new(format!("{} and {key} both stand at {seq}", there.0), [there.1, index]));
        }
        Ok(())
    }

    fn id(&mut self, index: usize, key: &Key, id: Option<&str>) -> Result<(), Violation> {
        let Some(id) = id else { return Ok(()) };
        let known = self.ids.entry(key.clone()).or_insert_with(|| (id.to_owned(), index));
        if known.0 != id {
            return Err(Violation::new(format!("{key} has two ids"), [known.1, index]));
        }
        Ok(())
    }

    fn watermark(&mut self, index: usize, entry: &Entry, of: &str, delivered: i64, read: i64) -> Result<(), Violation> {
        let of_client = (entry.client.clone(), entry.conversation.clone(), of.to_owned());
        let held = self.by_client.entry(of_client).or_default();
        for (what, held, now) in [("delivered", held.delivered, delivered), ("read", held.read, read)] {
            if now < held.0 {
                let what = format!("{}: what {of} has {what} goes back from {} to {now}", entry.client, held.0);
                return Err(Violation::new(what, [held.1, index]));
            }
        }
        *held = Marks { delivered: (delivered, index), read: (read, index) };
        let highest = self.watermarks.entry((entry.conversation.clone(), of.to_owned())).or_default();
        highest.delivered = highest.delivered.max((delivered, index));
        highest.read = highest.read.max((read, index));
        Ok(())
    }
}
