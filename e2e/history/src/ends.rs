//! What must hold in the end: nothing lost, nothing twice, one order, the same for all.

use std::collections::{BTreeMap, BTreeSet};

use crate::Violation;
use crate::asked::{Asked, Sent};
use crate::entry::{Entry, Event, Key, Message, Watermarks};
use crate::seen::Sights;
use crate::state;

/// What one client has in the end of one conversation.
#[derive(Debug, Clone, Copy)]
pub struct Last<'a> {
    pub entry: usize,
    pub client: &'a str,
    pub messages: &'a [Message],
    pub watermarks: &'a Watermarks,
}

/// Of one conversation, by client.
pub type Lasts<'a> = BTreeMap<&'a str, Last<'a>>;

pub fn check(entries: &[Entry], asked: &Asked, sights: &Sights) -> Result<(), Violation> {
    let mut conversations: BTreeMap<&str, Lasts<'_>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let lasts = conversations.entry(entry.conversation.as_str()).or_default();
        if let Event::Final { messages, watermarks } = &entry.event {
            let client = entry.client.as_str();
            lasts.insert(client, Last { entry: index, client, messages, watermarks });
        }
    }
    for (conversation, lasts) in &conversations {
        let Some(first) = lasts.values().next() else {
            let any = entries.iter().position(|entry| entry.conversation == **conversation);
            return Err(Violation::new(format!("nobody has read {conversation} to its end"), any));
        };
        for last in lasts.values() {
            no_gap(last)?;
            nothing_lost(conversation, last, lasts, asked, sights)?;
            in_order(last, asked)?;
            state::check(conversation, last, lasts, asked, sights)?;
            the_same(first, last)?;
        }
    }
    Ok(())
}

fn no_gap(last: &Last<'_>) -> Result<(), Violation> {
    for (message, wanted) in last.messages.iter().zip(1..) {
        if message.seq != wanted {
            let what =
                format!("{}: {} stands at {} where {wanted} was expected", last.client, message.key, message.seq);
            return Err(Violation::new(what, [last.entry]));
        }
    }
    Ok(())
}

fn nothing_lost(
    conversation: &str,
    last: &Last<'_>,
    lasts: &Lasts<'_>,
    asked: &Asked,
    sights: &Sights,
) -> Result<(), Violation> {
    let there: BTreeSet<&Key> = last.messages.iter().map(|message| &message.key).collect();
    for (key, sent) in asked.sent.iter().filter(|(_, sent)| sent.conversation == conversation) {
        if let Some((seq, sight)) = sights.places.get(key)
            && !there.contains(key)
        {
            let what = format!("{key} was at {seq}, and {} does not have it", last.client);
            return Err(Violation::new(what, [sent.entry, *sight, last.entry]));
        }
        let should_be = sent.refused.is_none() && sent.deletes.is_empty() && lasts.contains_key(sent.client.as_str());
        if should_be && !there.contains(key) {
            let what = format!("{key} was sent, nothing waits to be sent, and {} does not have it", last.client);
            return Err(Violation::new(what, [sent.entry, last.entry]));
        }
    }
    Ok(())
}

/// A message that was taken back has no place it must have.
fn in_order(last: &Last<'_>, asked: &Asked) -> Result<(), Violation> {
    let mut before: BTreeMap<&str, (&Key, &Sent)> = BTreeMap::new();
    for message in last.messages {
        let Some(sent) = asked.sent.get(&message.key).filter(|sent| sent.deletes.is_empty()) else { continue };
        if let Some((earlier, first)) = before.insert(&sent.client, (&message.key, sent))
            && first.entry > sent.entry
        {
            let what = format!("{} wrote {} before {earlier}, and it comes after it", sent.client, message.key);
            return Err(Violation::new(what, [sent.entry, first.entry, last.entry]));
        }
    }
    Ok(())
}

fn the_same(first: &Last<'_>, other: &Last<'_>) -> Result<(), Violation> {
    let differ = |what: String| Violation::new(what, [first.entry, other.entry]);
    let (a, b) = (first.client, other.client);
    if first.messages.len() != other.messages.len() {
        return Err(differ(format!("{a} has {} messages and {b} has {}", first.messages.len(), other.messages.len())));
    }
    for (mine, theirs) in first.messages.iter().zip(other.messages) {
        // Not everybody tells ids; where they do they are compared where they are seen.
        let comparable = Message { id: mine.id.clone(), ..theirs.clone() };
        if *mine != comparable {
            return Err(differ(format!("{a} and {b} differ about {} at {}", mine.key, mine.seq)));
        }
    }
    if first.watermarks != other.watermarks {
        return Err(differ(format!("{a} and {b} differ about watermarks")));
    }
    Ok(())
}
