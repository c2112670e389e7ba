//! What is noted, and how it looks in a row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tertulia_proto::trace::Door;
use tertulia_proto::{ApiKeyId, ConversationId, DeviceId, Rev, Seq, ServerId, SessionId, Timestamp, UserId};
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
    pub record: Record,
}

/// Of one of them is one row.
pub(super) type Key = (ConversationId, TraceKind, Seq);

impl Note {
    pub const fn key(&self) -> Key {
        (self.conversation, self.record.kind(), self.seq)
    }
}

/// All of a message in one row: what of it comes within one go is written once.
pub(super) fn rows(notes: Vec<Note>, server: ServerId, part: i64) -> Vec<TraceRow> {
    let mut by_key: BTreeMap<Key, Vec<Record>> = BTreeMap::new();
    for note in notes {
        by_key.entry(note.key()).or_default().push(note.record);
    }
    let row = |((conversation, kind, seq), records): (Key, Vec<Record>)| {
        let at = records.iter().map(Record::at).min().unwrap_or(Timestamp::from_ms(0));
        TraceRow { conversation, kind, seq, server, part, at, data: encode(records) }
    };
    by_key.into_iter().map(row).collect()
}

/// The first that there is room for: a group of a thousand may tell in one moment that they have come to a message.
fn encode(mut records: Vec<Record>) -> String {
    loop {
        let data = serde_json::to_string(&records).unwrap_or_else(|_| "[]".to_owned());
        if data.len() <= TRACE_DATA_MAX_BYTES {
            return data;
        }
        records.truncate(records.len() / 2);
    }
}

/// What does not decode (a newer server's, perhaps) is passed over.
pub fn decode(data: &str) -> Vec<Record> {
    let values: Vec<serde_json::Value> = serde_json::from_str(data).unwrap_or_default();
    values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect()
}

/// So many records are missing, of this time.
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

    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn decode(data: &str) -> Option<Self> {
        serde_json::from_str(data).ok()
    }
}
