//! What is noted, beside the log, of the way that messages take: who brought one and how, when it was committed and told, who got and read it when.
//!
//! Whoever sends must not wait for it to be written. So a record costs a push into a bounded queue; when that is full the record is dropped, counted,
//! and the gap is written down instead, so that whoever asks later learns that something is missing and why. A task of the server takes rows from here
//! ([`Journal::take`]) and keeps them by [`tertulia_store::TraceBook`].
//!
//! The way through: [`record`] what is noted and how it looks in a row.

pub mod record;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tertulia_proto::trace::Door;
use tertulia_proto::{
    ApiKeyId, ConversationId, DeviceId, Message, MessageId, Seq, ServerId, SessionId, Timestamp, UserId,
};
use tertulia_realtime::{ConnectionId, Told, Witness};
use tertulia_store::trace::{NOWHERE, TraceKind, TraceRow};

use self::record::{Counted, Gap, Note, Record};
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

/// A gap ends when nothing was dropped for so long, or when it has lasted for [`GAP_MAX_MS`]: a server that has too much to do for an hour writes some
/// hundred rows of it.
const GAP_ENDS_AFTER_MS: i64 = 1_000;
pub(crate) const GAP_MAX_MS: i64 = 10_000;

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
    /// Of a time that the clock, which has gone back since, has still to come to.
    ahead: Option<Gap>,
}

impl Queue {
    /// That something is missing. It may be put to what is known as long as that does not make a gap of a step of the clock.
    fn miss(&mut self, gap: Gap, now: Timestamp) {
        self.set_aside(now);
        Gap::add(if gap.to > now { &mut self.ahead } else { &mut self.gap }, gap);
    }

    /// What ends after now can't go on.
    fn set_aside(&mut self, now: Timestamp) {
        if let Some(gap) = self.gap.take_if(|gap| gap.to > now) {
            Gap::add(&mut self.ahead, gap);
        }
    }
}

/// What is written at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Go {
    pub rows: Vec<TraceRow>,
    /// In them.
    records: usize,
}

/// One server's.
pub struct Journal {
    server: ServerId,
    clock: Arc<dyn Clock>,
    limits: JournalLimits,
    queue: Mutex<Queue>,
    /// Made of what was taken from the queue, and not handed out yet. Where both are locked, this one is first.
    ready: Mutex<VecDeque<Counted>>,
    /// Records that were taken from the queue and are not written yet.
    held: AtomicUsize,
    parts: AtomicI64,
    rows: AtomicU64,
    dropped: AtomicU64,
}

impl Journal {
    /// `server`: of this run, and of no other.
    pub fn new(server: ServerId, clock: Arc<dyn Clock>, limits: JournalLimits) -> Self {
        Self {
            server,
            clock,
            limits,
            queue: Mutex::default(),
            ready: Mutex::default(),
            held: AtomicUsize::new(0),
            parts: AtomicI64::new(1),
            rows: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn counts(&self) -> JournalCounts {
        JournalCounts {
            rows: self.rows.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            waiting: self.queue.lock().waiting.len() + self.held.load(Ordering::Relaxed),
        }
    }

    /// Whether the next record finds a place.
    pub fn has_room(&self) -> bool {
        self.counts().waiting < self.limits.records_max
    }

    /// The log is another one: what waits is of messages that it may not have, and whose places others will take.
    pub fn begin_anew(&self) {
        self.queue.lock().waiting.clear();
        let gone: usize = self.ready.lock().drain(..).map(|(_, records)| records).sum();
        self.held.fetch_sub(gone, Ordering::Relaxed);
    }

    fn note(&self, note: Note) {
        let mut queue = self.queue.lock();
        if queue.waiting.len() + self.held.load(Ordering::Relaxed) < self.limits.records_max {
            queue.waiting.push_back(note);
            return;
        }
        let now = self.clock.now();
        queue.miss(Gap::since(note.record.at(), now, 1), now);
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
        let (conversation, seq, id) = (message.conversation_id, message.seq, message.message_id);
        self.note(Note { conversation, seq, message: Some(id), name: None, record });
    }

    pub(crate) fn committed(&self, message: &Message, at: Timestamp) {
        let record = Record::Committed { at, rev: message.rev };
        let (conversation, seq, id) = (message.conversation_id, message.seq, message.message_id);
        let name = Some(message.client_msg_id.clone());
        self.note(Note { conversation, seq, message: Some(id), name, record });
    }

    pub(crate) fn receipt(
        &self,
        conversation: ConversationId,
        user: UserId,
        (delivered, read): (Seq, Seq),
        device: Option<DeviceId>,
    ) {
        let record = Record::Receipt { at: self.now(), user, read, device };
        self.note(Note { conversation, seq: delivered, message: None, name: None, record });
    }

    /// What waits, as rows: so many at most, and one where a gap ended. [`Journal::written`] or [`Journal::lost`] follows. `is_last`: nothing will be
    /// taken after this, so a gap ends now.
    pub fn take(&self, rows_max: usize, is_last: bool) -> Go {
        let mut ready = self.ready.lock();
        if ready.len() < rows_max {
            let notes = {
                let mut queue = self.queue.lock();
                // Before they leave the queue: the two together are bounded.
                self.held.fetch_add(queue.waiting.len(), Ordering::Relaxed);
                std::mem::take(&mut queue.waiting)
            };
            let mut too_large = None;
            ready.extend(record::rows(notes, self.server, &self.parts, &mut too_large));
            if let Some(gap) = too_large {
                self.drop_records(gap);
                self.held.fetch_sub(usize::try_from(gap.count).unwrap_or(0), Ordering::Relaxed);
            }
        }
        let count = ready.len().min(rows_max);
        let mut go = Go::default();
        for (row, records) in ready.drain(..count) {
            go.rows.push(row);
            go.records += records;
        }
        drop(ready);
        go.rows.extend(self.ended_gap(is_last).map(|gap| self.row_of(gap)));
        go
    }

    /// One at a time: one that the clock went back from is over, then.
    fn ended_gap(&self, is_last: bool) -> Option<Gap> {
        let now = self.clock.now();
        let mut queue = self.queue.lock();
        queue.set_aside(now);
        if let Some(gap) = queue.ahead.take() {
            return Some(gap);
        }
        let has_ended = |gap: &mut Gap| {
            is_last || gap.to <= now.plus_ms(-GAP_ENDS_AFTER_MS) || gap.from <= now.plus_ms(-GAP_MAX_MS)
        };
        queue.gap.take_if(has_ended)
    }

    fn row_of(&self, gap: Gap) -> TraceRow {
        TraceRow {
            conversation: NOWHERE,
            kind: TraceKind::Gap,
            seq: gap.to.ms(),
            message: None,
            client_msg_id: None,
            server: self.server,
            part: self.parts.fetch_add(1, Ordering::Relaxed),
            at: gap.from,
            data: gap.encode(),
        }
    }

    fn drop_records(&self, gap: Gap) {
        let mut queue = self.queue.lock();
        queue.miss(gap, self.clock.now());
        drop(queue);
        self.dropped.fetch_add(gap.count, Ordering::Relaxed);
    }

    pub fn written(&self, go: &Go) {
        self.rows.fetch_add(u64::try_from(go.rows.len()).unwrap_or(0), Ordering::Relaxed);
        self.held.fetch_sub(go.records, Ordering::Relaxed);
    }

    /// Rows that could not be kept: how many records were in them is said when it goes on.
    pub fn lost(&self, go: &Go) {
        let now = self.clock.now();
        for row in &go.rows {
            match Gap::decode(&row.data).filter(|_| row.kind == TraceKind::Gap) {
                // They have been counted.
                Some(gap) => self.queue.lock().miss(gap, now),
                None => {
                    let count = u64::try_from(record::decode(&row.data).len()).unwrap_or(0);
                    self.drop_records(Gap::since(row.at, now, count));
                }
            }
        }
        self.held.fetch_sub(go.records, Ordering::Relaxed);
    }
}

impl Witness for Journal {
    fn told(&self, conversation: ConversationId, (seq, id): (Seq, MessageId), told: Told) {
        let connections = told.first.iter().map(|connection| connection.0).collect();
        let record = Record::Told { at: self.now(), connections, count: told.count };
        self.note(Note { conversation, seq, message: Some(id), name: None, record });
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
