//! What is kept for a while of the way that messages took: rows beside the log, which say nothing of what people say. What is in them is the
//! journal's affair (`core::journal`); a home keeps and finds them.

use tertulia_proto::{ClientMsgId, ConversationId, MessageId, Seq, ServerId, Timestamp, UserId};

use crate::Reading;
use crate::jobs::JobRecord;

/// Rows that one call may bring or remove.
pub const TRACE_ROWS_MAX: usize = crate::jobs::JOBS_PER_CALL_MAX;

/// Bytes of what one row says.
pub const TRACE_DATA_MAX_BYTES: usize = 16_384;

/// Rows of one message's way that are told, and of gaps the latest.
pub const WAY_ROWS_MAX: usize = 200;

/// Rows of receipts that are looked through, from the message on.
pub const RECEIPT_ROWS_MAX: usize = 1_000;

/// Members that are told of.
pub const MARKS_MAX: usize = 1_000;

/// Later messages among which each member's first one is looked for.
pub const LATER_MAX: i64 = 1_000;

/// Jobs that are told.
pub const JOBS_TOLD_MAX: usize = 100;

/// Messages of one `clientMsgId` that are told: each sender may have one.
pub const FOUND_MAX: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceKind {
    /// Received, committed, told: of the message with the row's `seq`.
    Way,
    /// Of members that have come to the row's `seq`.
    Receipts,
    /// That a server could not write down all. Of no conversation ([`NOWHERE`]).
    Gap,
}

/// The conversation of a row that is of none.
pub const NOWHERE: ConversationId = ConversationId::from_bytes([0; 16]);

impl TraceKind {
    pub const fn number(self) -> i64 {
        match self {
            Self::Way => 0,
            Self::Receipts => 1,
            Self::Gap => 2,
        }
    }
}

/// What one server noted, in one go, of one message or of who has come to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceRow {
    pub conversation: ConversationId,
    pub kind: TraceKind,
    pub seq: Seq,
    pub server: ServerId,
    /// Counts the goes of a server: no two of its rows have all of conversation, kind, seq and this.
    pub part: i64,
    /// Of the earliest that it tells.
    pub at: Timestamp,
    /// JSON; no content, no token, no address. At most [`TRACE_DATA_MAX_BYTES`].
    pub data: String,
}

/// A row as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    pub seq: Seq,
    pub server: ServerId,
    pub data: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichMessage {
    Id(MessageId),
    /// Without a sender it is asked of everybody.
    Name {
        client_msg_id: ClientMsgId,
        sender: Option<UserId>,
    },
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub conversation: ConversationId,
    pub seq: Seq,
    pub sender: UserId,
}

/// A message without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    pub id: MessageId,
    pub sender: UserId,
    pub sender_name: String,
    pub client_msg_id: ClientMsgId,
    pub created_at: Timestamp,
    pub edited_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
}

/// How far a member has come by now, and by when they surely had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub user: UserId,
    pub name: String,
    pub delivered_seq: Seq,
    pub read_seq: Seq,
    /// When they first wrote something after the message, of the [`LATER_MAX`] that follow it: who writes has seen what was there.
    pub wrote_at: Option<Timestamp>,
}

/// All that is kept of one message, in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    pub message: Outline,
    /// At most [`WAY_ROWS_MAX`].
    pub way: Vec<Noted>,
    /// In order of `seq`, from the message's on; at most [`RECEIPT_ROWS_MAX`].
    pub receipts: Vec<Noted>,
    /// The latest [`WAY_ROWS_MAX`].
    pub gaps: Vec<Noted>,
    /// Of those who had joined when it was sent and may see it, but not of the sender, in order of id.
    pub marks: Vec<Mark>,
    /// Whose key ends with the conversation's id, in order of id.
    pub jobs: Vec<JobRecord>,
    /// The earliest row that is kept, of whatever message.
    pub kept_since: Option<Timestamp>,
}

/// Which rows go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldTraces {
    Before(Timestamp),
    Oldest,
}

/// The rows. Each change is one transaction, durable when it answers.
pub trait TraceBook: Send + Sync {
    /// At most [`TRACE_ROWS_MAX`]. A row that is there already stays as it is.
    fn note_traces(&self, rows: Vec<TraceRow>) -> Reading<'_, ()>;
    /// At most [`FOUND_MAX`], in order of sender.
    fn find_message(&self, which: WhichMessage) -> Reading<'_, Vec<Place>>;
    /// `None` where there is no such message.
    fn traced(&self, conversation: ConversationId, seq: Seq) -> Reading<'_, Option<Traced>>;
    fn count_traces(&self) -> Reading<'_, usize>;
    /// How many are gone: at most `limit`, and never more than [`TRACE_ROWS_MAX`].
    fn forget_traces(&self, which: OldTraces, limit: usize) -> Reading<'_, usize>;
}

/// Whether rows are within their bounds.
pub fn oversize_traces(rows: &[TraceRow]) -> Option<crate::StoreError> {
    let too_large = rows.iter().map(|row| row.data.len()).find(|bytes| *bytes > TRACE_DATA_MAX_BYTES);
    let too_large = too_large.map(|bytes| format!("a trace of {bytes} bytes, over {TRACE_DATA_MAX_BYTES}"));
    let too_many =
        (rows.len() > TRACE_ROWS_MAX).then(|| format!("{} traces in one call, over {TRACE_ROWS_MAX}", rows.len()));
    too_many.or(too_large).map(crate::StoreError::Unavailable)
}

/// From when on conversations have to have had a message for one of this id to be in them, and before when they have to have begun: ids of version 7
/// (RFC 9562) begin with a time, which may be a day off. Whole time for others.
pub fn around(id: MessageId) -> (i64, i64) {
    const DAY_MS: i64 = 86_400_000;
    match id.uuid().get_version_num() {
        7 => {
            let bytes = id.as_bytes();
            let ms = bytes.iter().take(6).fold(0_i64, |ms, byte| (ms << 8) | i64::from(*byte));
            (ms - DAY_MS, ms + DAY_MS)
        }
        _ => (i64::MIN, i64::MAX),
    }
}
