//! What is noted, beside the log, of the way that messages take: who brought one and how, when it was committed and told, who got and read it when.
//!
//! Whoever sends must not wait for it. So a record costs a push into a bounded queue; when that is full the record is dropped, counted, and the gap is
//! written down instead, so that whoever asks later learns that something is missing and why. A task of the server takes rows from here
//! ([`Journal::take`]) and keeps them by [`tertulia_store::TraceBook`].
//!
//! The way through: [`record`] what is noted and how it looks in a row.

pub mod record;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tertulia_proto::trace::Door;
use tertulia_proto::{ApiKeyId, ConversationId, DeviceId, Message, Seq, ServerId, SessionId, Timestamp, UserId};
use tertulia_realtime::{ConnectionId, Told, Witness};
use tertulia_store::trace::{NOWHERE, TraceKind, TraceRow};

use self::record::{Gap, Note, Record};
use crate::auth::Identity;
use crate::power::Clock;

/// 16 unpredictable bytes that a request, or a connection, is followed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceId([u8; 16]);

impl TraceId {
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Of 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("no trace id"))
    }
}

/// How a request came.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    pub door: Door,
    /// When it had been read.
    pub at: Timestamp,
    pub trace: TraceId,
    /// The socket, and the number that the client gave the request on it.
    pub connection: Option<ConnectionId>,
    pub request: Option<u64>,
    pub device: Option<DeviceId>,
}

/// How much may be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// Records that wait to be written.
    pub records_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalCounts {
    pub rows: u64,
    /// Records that were not written.
    pub dropped: u64,
    pub waiting: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Note>,
    /// Since the last one that was written down.
    gap: Option<Gap>,
}

/// One server's.
pub struct Journal {
    server: ServerId,
    clock: Arc<dyn Clock>,
    limits: JournalLimits,
    queue: Mutex<Queue>,
    parts: AtomicI64,
    rows: AtomicU64,
    dropped: AtomicU64,
}

impl Journal {
    /// `server`: of this run, and of no other.
    pub fn new(server: ServerId, clock: Arc<dyn Clock>, limits: JournalLimits) -> Self {
        let (rows, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { server, clock, limits, queue: Mutex::default(), parts: AtomicI64::new(1), rows, dropped }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn counts(&self) -> JournalCounts {
        JournalCounts {
            rows: self.rows.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            waiting: self.queue.lock().waiting.len(),
        }
    }

    fn note(&self, note: Note) {
        let mut queue = self.queue.lock();
        if queue.waiting.len() < self.limits.records_max {
            queue.waiting.push_back(note);
            return;
        }
        Gap::widen(&mut queue.gap, note.record.at(), 1);
        drop(queue);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// A request with this message; `fresh`: it put it into the log.
    pub(crate) fn received(&self, who: Bearer, origin: &Origin, message: &Message, fresh: bool) {
        let record = Record::Received {
            at: origin.at,
            door: origin.door,
            connection: origin.connection.map(|connection| connection.0),
            request: origin.request,
            trace: origin.trace,
            session: who.session,
            key: who.key,
            device: origin.device,
            repeat: !fresh,
        };
        self.note(Note { conversation: message.conversation_id, seq: message.seq, record });
    }

    pub(crate) fn committed(&self, message: &Message, at: Timestamp) {
        let record = Record::Committed { at, rev: message.rev };
        self.note(Note { conversation: message.conversation_id, seq: message.seq, record });
    }

    pub(crate) fn receipt(
        &self,
        conversation: ConversationId,
        user: UserId,
        (delivered, read): (Seq, Seq),
        device: Option<DeviceId>,
    ) {
        let record = Record::Receipt { at: self.now(), user, read, device };
        self.note(Note { conversation, seq: delivered, record });
    }

    /// What waits, as rows: so many at most, each with all that waits of one message. [`Journal::written`] or [`Journal::lost`] follows.
    pub fn take(&self, rows_max: usize) -> Vec<TraceRow> {
        let (notes, gap) = {
            let mut queue = self.queue.lock();
            let (mut notes, mut keys) = (Vec::new(), BTreeSet::new());
            while let Some(note) = queue.waiting.pop_front() {
                keys.insert(note.key());
                if keys.len() > rows_max {
                    queue.waiting.push_front(note);
                    break;
                }
                notes.push(note);
            }
            (notes, queue.gap.take())
        };
        let part = self.parts.fetch_add(1, Ordering::Relaxed);
        let mut rows = record::rows(notes, self.server, part);
        rows.extend(gap.map(|gap| TraceRow {
            conversation: NOWHERE,
            kind: TraceKind::Gap,
            seq: 0,
            server: self.server,
            part,
            at: gap.from,
            data: gap.encode(),
        }));
        rows
    }

    pub fn written(&self, rows: usize) {
        self.rows.fetch_add(u64::try_from(rows).unwrap_or(0), Ordering::Relaxed);
    }

    /// Rows that could not be kept: that much is said when it goes on.
    pub fn lost(&self, rows: &[TraceRow]) {
        let mut queue = self.queue.lock();
        for row in rows {
            let before = Gap::decode(&row.data).filter(|_| row.kind == TraceKind::Gap);
            let count = before.map_or(1, |gap| gap.count);
            Gap::widen(&mut queue.gap, row.at, count);
            Gap::widen(&mut queue.gap, before.map_or(self.clock.now(), |gap| gap.to), 0);
            if before.is_none() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Witness for Journal {
    fn told(&self, conversation: ConversationId, seq: Seq, told: Told) {
        let connections = told.first.iter().map(|connection| connection.0).collect();
        let record = Record::Told { at: self.now(), connections, count: told.count };
        self.note(Note { conversation, seq, record });
    }
}

/// By whose right something was asked, in a record's terms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bearer {
    session: Option<SessionId>,
    key: Option<ApiKeyId>,
}

impl Bearer {
    pub fn of(actor: &Identity) -> Self {
        match actor.scopes {
            None => Self { session: Some(actor.session), key: None },
            Some(_) => Self { session: None, key: Some(ApiKeyId::from_bytes(*actor.session.as_bytes())) },
        }
    }
}

#[cfg(test)]
mod tests;
