//! Says whether a history keeps the promises: what real clients did, and what they saw, is all it knows.
//!
//! This crate must not know: any other of this workspace. It shares no code with what it judges, so a mistake there can't hide here.
//!
//! # The format
//!
//! Lines of JSON, in any number of files; the lines of one client stand in the order in which it wrote them. Every line has `at_ms` (for people who
//! read it), `client` (a device: a name of its own, the same after a restart of the app), `user` (whose device it is) and `event`:
//!
//! | `event` | fields | what happened |
//! | --- | --- | --- |
//! | `send` | `conversation`, `name`, `body` | a message was written; `name` is the `clientMsgId`, unique for the user |
//! | `ack` | `conversation`, `name`, `seq`, `message?` | the client holds its own message as one of the log |
//! | `refused` | `conversation`, `name?`, `code` | with `name`: that send came to nothing; without: an edit, a deletion or a reaction of this client did |
//! | `edit` | `conversation`, `name`, `body` | of a message of one's own |
//! | `delete` | `conversation`, `name` | of a message of one's own; one that has not left the device may then never be seen |
//! | `react` | `conversation`, `sender`, `name`, `emoji`, `remove` | |
//! | `read` | `conversation`, `seq` | the person has seen everything up to there |
//! | `see` | `conversation` and the fields of a message | the client shows a message of the log, or shows it differently than before |
//! | `watermark` | `conversation`, `of`, `delivered`, `read` | how far somebody is, as the client knows it |
//! | `final` | `conversation`, `messages`, `watermarks` | nothing waits to be sent, and the client has read the conversation to both ends |
//!
//! A message: `sender`, `name`, `seq`, `message?` (its id), `body`, and where they apply `edited: true`, `deleted: true` and
//! `reactions: {emoji: [user, ...]}`. `watermarks` of `final`: `{user: [delivered, read]}`. Of two `final` lines of one client about one conversation the
//! later counts. Fields that are not named here are ignored; an event that is not is an error.
//!
//! # What must hold
//!
//! Wherever a message is seen: somebody sent it; it has one place and one id; nothing else is there; its body is one that its sender gave it.
//! Watermarks go forward only.
//!
//! In the end, in every `final`: places from 1 without a gap; no message twice; everything that was acknowledged or seen by anybody, and everything that
//! the finished clients sent; nothing that was refused; each device's messages in the order in which they were written; bodies, deletions and reactions
//! as they were last asked for, where the order of those who asked leaves no doubt; read watermarks at least where the person was. All `final`s of a
//! conversation are the same, and there is one.
//!
//! The way through: [`entry`] the lines; [`asked`] what was asked for; [`seen`] what must hold wherever a message is seen; [`ends`] and [`state`] what must
//! hold in the end.

pub mod asked;
pub mod ends;
pub mod entry;
pub mod seen;
pub mod state;

use crate::asked::Asked;
use crate::entry::{Entry, Event};

/// A promise that was broken, and the entries that prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub what: String,
    pub entries: Vec<usize>,
}

impl Violation {
    pub(crate) fn new(what: impl Into<String>, entries: impl IntoIterator<Item = usize>) -> Self {
        Self { what: what.into(), entries: entries.into_iter().collect() }
    }
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    pub entries: usize,
    pub sends: usize,
    pub acks: usize,
    pub sights: usize,
    pub finals: usize,
}

/// The first promise that was broken, if one was.
pub fn check(entries: &[Entry]) -> Result<Summary, Violation> {
    let asked = Asked::of(entries)?;
    let sights = seen::check(entries, &asked)?;
    ends::check(entries, &asked, &sights)?;
    let count = |wanted: fn(&Event) -> bool| entries.iter().filter(|entry| wanted(&entry.event)).count();
    Ok(Summary {
        entries: entries.len(),
        sends: count(|event| matches!(event, Event::Send { .. })),
        acks: count(|event| matches!(event, Event::Ack { .. })),
        sights: count(|event| matches!(event, Event::See { .. })),
        finals: count(|event| matches!(event, Event::Final { .. })),
    })
}
