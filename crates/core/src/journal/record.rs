//! What is noted, and how it looks in a row.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};
use tertulia_proto::trace::Door;
use tertulia_proto::{
    ApiKeyId, ClientMsgId, ConversationId, DeviceId, MessageId, Rev, Seq, ServerId, SessionId, Timestamp, UserId,
};
use tertulia_store::trace::{TRACE_DATA_MAX_BYTES, TraceKind, TraceRow};

use super::TraceId;

/// One thing that happened to a message. Ids and times: a field that could hold what people say, a token or an address has no place here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum Record {
    Received {
        at: Timestamp,
        door: Door,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connection: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<u64>,
        trace: TraceId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<ApiKeyId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        repeat: bool,
    },
    Committed {
        at: Timestamp,
        rev: Rev,
    },
    /// Handed to the connections of a server.
    Told {
        at: Timestamp,
        connections: Vec<u64>,
        count: u64,
    },
    /// A member has got all up to the row's `seq`.
    Receipt {
        at: Timestamp,
        user: UserId,
        /// And read up to this one.
        read: Seq,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
    },
}

impl Record {
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Received { at, .. }
            | Self::Committed { at, .. }
            | Self::Told { at, .. }
            | Self::Receipt { at, .. } => *at,
        }
    }

    const fn kind(&self) -> TraceKind {
        match self {
            Self::Received { .. } | Self::Committed { .. } | Self::Told { .. } => TraceKind::Way,
            Self::Receipt { .. } => TraceKind::Receipts,
        }
    }
}

/// A record and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub conversation: ConversationId,
    pub seq: Seq,
    /// Of what is about one message: which one.
    pub message: Option<MessageId>,
    /// Where it is committed: what the sender calls it.
    pub name: Option<ClientMsgId>,
    pub record: Record,
}

/// Of one of them is one row, or several where one is too small.
type Key = (ConversationId, TraceKind, Seq, Option<MessageId>);

/// So many records are in it.
pub(super) type Counted = (TraceRow, usize);

impl Note {
    const fn key(&self) -> Key {
        (self.conversation, self.record.kind(), self.seq, self.message)
    }
}

/// All of a message together: what of it comes within one go is written once. What no row can hold widens the gap.
pub(super) fn rows(
    notes: impl IntoIterator<Item = Note>,
    server: ServerId,
    parts: &AtomicI64,
    gap: &mut Option<Gap>,
) -> Vec<Counted> {
    let mut by_key: BTreeMap<Key, (Option<ClientMsgId>, Vec<Record>)> = BTreeMap::new();
    for note in notes {
        let (name, records) = by_key.entry(note.key()).or_default();
        *name = name.take().or(note.name);
        records.push(note.record);
    }
    let mut rows = Vec::new();
    for ((conversation, kind, seq, message), (name, records)) in by_key {
        for (at, count, data) in encode(&records, gap) {
            let part = parts.fetch_add(1, Ordering::Relaxed);
            let client_msg_id = name.clone();
            rows.push((TraceRow { conversation, kind, seq, message, client_msg_id, server, part, at, data }, count));
        }
    }
    rows
}

/// As many rows as are needed, each with the earliest time of its records and their count: a group of a thousand may tell in one moment that they have
/// come to a message.
fn encode(records: &[Record], gap: &mut Option<Gap>) -> Vec<(Timestamp, usize, String)> {
    let mut rows: Vec<(Timestamp, usize, String)> = Vec::new();
    for record in records {
        let text = serde_json::to_string(record).ok().filter(|text| text.len() + 2 <= TRACE_DATA_MAX_BYTES);
        let Some(text) = text else {
            Gap::widen(gap, record.at(), 1);
            continue;
        };
        match rows.last_mut() {
            Some((at, count, data)) if data.len() + 2 + text.len() <= TRACE_DATA_MAX_BYTES => {
                *at = record.at().min(*at);
                *count += 1;
                data.push(',');
                data.push_str(&text);
            }
            _ => rows.push((record.at(), 1, format!("[{text}"))),
        }
    }
    rows.iter_mut().for_each(|(_, _, data)| data.push(']'));
    rows
}

/// What does not decode (a newer server's, perhaps) is passed over.
pub fn decode(data: &str) -> Vec<Record> {
    let values: Vec<serde_json::Value> = serde_json::from_str(data).unwrap_or_default();
    values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect()
}

/// So many records of one server are missing, of this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub from: Timestamp,
    pub to: Timestamp,
    pub count: u64,
}

impl Gap {
    pub(super) fn widen(gap: &mut Option<Self>, at: Timestamp, count: u64) {
        let known = gap.get_or_insert(Self { from: at, to: at, count: 0 });
        *known = Self { from: known.from.min(at), to: known.to.max(at), count: known.count + count };
    }

    /// Of what was noted at a time, and is given up now.
    pub(super) fn since(at: Timestamp, now: Timestamp, count: u64) -> Self {
        Self { from: at, to: at.max(now), count }
    }

    pub(super) fn add(known: &mut Option<Self>, more: Self) {
        Self::widen(known, more.from, more.count);
        Self::widen(known, more.to, 0);
    }

    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn decode(data: &str) -> Option<Self> {
        serde_json::from_str(data).ok()
    }
}
