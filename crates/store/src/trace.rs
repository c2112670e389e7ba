//! What is kept for a while of the way that messages took: rows beside the log, which say nothing of what people say. What is in them is the
//! journal's affair (`core::journal`); a home keeps and finds them.

use tertulia_proto::{
    ClientMsgId, ConversationId, MessageId, PushProvider, RegistrationId, Rev, Seq, ServerId, Timestamp, UserId,
};

use crate::Reading;
use crate::jobs::JobRecord;

/// Rows that one call may bring or remove.
pub const TRACE_ROWS_MAX: usize = crate::jobs::JOBS_PER_CALL_MAX;

/// A row of a time that is so far ahead is of a clock that has gone back since, and goes with the old ones.
pub const AHEAD_MAX_MS: i64 = 86_400_000;

/// Bytes of what one row says.
pub const TRACE_DATA_MAX_BYTES: usize = 2_048;

/// Rows of one message's way that are told.
pub const WAY_ROWS_MAX: usize = 200;

/// Gaps that are told: the first since the message.
pub const GAPS_MAX: usize = 200;

/// Rows of receipts in one page.
pub const RECEIPT_ROWS_MAX: usize = 1_000;

/// Clocks of two servers may be so far from one another.
pub const CLOCKS_APART_MS: i64 = 1_000;

/// Members that are told of.
pub const MARKS_MAX: usize = 1_000;

/// Members that a message has not come to who are named, and devices of each.
pub const BEHIND_MAX: usize = 20;

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
    /// That a server could not write down all. Of no conversation ([`NOWHERE`]); its `seq` is when it ended, in ms.
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
    /// Of a row of [`TraceKind::Way`]: which one was at `seq` then. After a restore it may be another.
    pub message: Option<MessageId>,
    /// Where it says how the message was committed: the sender's own name for it.
    pub client_msg_id: Option<ClientMsgId>,
    pub server: ServerId,
    /// Counts the rows of a server.
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
    pub part: i64,
    pub data: String,
}

/// Where a page of receipts ended, or begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReceiptsAfter {
    pub seq: Seq,
    pub server: ServerId,
    pub part: i64,
}

impl ReceiptsAfter {
    /// Before all that have come to this message.
    pub const fn from(seq: Seq) -> Self {
        Self { seq, server: ServerId::from_bytes([0; 16]), part: i64::MIN }
    }

    pub const fn after(row: &Noted) -> Self {
        Self { seq: row.seq, server: row.server, part: row.part }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichMessage {
    Id(MessageId),
    /// Without a sender: those of it that the traces know, and where they know none, of everybody.
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
    /// The conversation's `rev` when it was made; `None` where it was edited, deleted or reacted to since.
    pub born_rev: Option<Rev>,
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

/// Of those who were members when a message was sent and still are, but not the sender: to whom it has not come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audience {
    /// All of them.
    pub members: u64,
    /// To whom it has not come.
    pub behind: u64,
    /// The first [`BEHIND_MAX`] of these, in order of id.
    pub first: Vec<Behind>,
}

/// A member to whom a message has not come by now, and what else has to do with telling them of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    pub user: UserId,
    pub name: String,
    pub muted_until: Option<Timestamp>,
    /// They have blocked the sender.
    pub blocks: bool,
    /// The first [`BEHIND_MAX`], in order of id.
    pub devices: Vec<BehindDevice>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BehindDevice {
    pub registration: RegistrationId,
    pub provider: PushProvider,
    /// It is not switched off.
    pub active: bool,
    /// Up to here it was notified.
    pub pushed_seq: Seq,
}

/// What is kept of one message, but for receipts and jobs, in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    pub message: Outline,
    /// At most [`WAY_ROWS_MAX`].
    pub way: Vec<Noted>,
    /// Those that ended after it was sent, less [`CLOCKS_APART_MS`], in that order; at most [`GAPS_MAX`].
    pub gaps: Vec<Noted>,
    /// Of those who had joined when it was sent and have got it, but not of the sender, in order of id. One more than [`MARKS_MAX`] says that there are
    /// more.
    pub marks: Vec<Mark>,
    pub audience: Audience,
    /// The earliest of the [`TRACE_ROWS_MAX`] rows with the lowest numbers, of whatever message: a row among them may be of a clock that was ahead.
    pub kept_since: Option<Timestamp>,
}

/// Which rows go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldTraces {
    /// Noted before `from`, or after `to`: of a clock that was ahead.
    Outside { from: Timestamp, to: Timestamp },
    /// All up to this number ([`TraceBook::surplus_traces`]).
    UpTo(i64),
}

impl OldTraces {
    /// What is older than it is kept, and what is of a time to come.
    pub fn at(now: Timestamp, retention_ms: i64) -> Self {
        Self::Outside { from: now.plus_ms(-retention_ms), to: now.plus_ms(AHEAD_MAX_MS) }
    }

    /// Gone are those before the first time, after the second, and up to the number.
    pub const fn bounds(self) -> (i64, i64, i64) {
        match self {
            Self::Outside { from, to } => (from.ms(), to.ms(), i64::MIN),
            Self::UpTo(no) => (i64::MIN, i64::MAX, no),
        }
    }
}

/// The rows.
pub trait TraceBook: Send + Sync {
    /// At most [`TRACE_ROWS_MAX`]. A row that is there already stays as it is, so what failed may be brought again whole; some of it may have been kept.
    /// Outlives the server that notes; whether it outlives the machine, too, is the home's affair.
    fn note_traces(&self, rows: Vec<TraceRow>) -> Reading<'_, ()>;
    /// At most [`FOUND_MAX`], in order of sender. A name and its sender cost one look; so does what the traces know, and on SQLite an id. Else it is one look
    /// for each person, or on PostgreSQL for each conversation of an id's time: that may take some seconds, and there one at a time looks so.
    fn find_message(&self, which: WhichMessage) -> Reading<'_, Vec<Place>>;
    /// `None` where there is no such message.
    fn traced(&self, conversation: ConversationId, seq: Seq) -> Reading<'_, Option<Traced>>;
    /// The next rows of receipts, in order of `seq`, server and part: at most [`RECEIPT_ROWS_MAX`].
    fn traced_receipts(&self, conversation: ConversationId, after: ReceiptsAfter) -> Reading<'_, Vec<Noted>>;
    /// Who of these, but for the sender, was a member when the message was sent and may see it.
    fn members_then(&self, conversation: ConversationId, seq: Seq, users: Vec<UserId>) -> Reading<'_, Vec<UserId>>;
    /// Jobs whose key ends with the conversation's id, without those that died before `since`: the newest [`JOBS_TOLD_MAX`], those first. Looks through
    /// the whole queue.
    fn jobs_of_conversation(&self, conversation: ConversationId, since: Timestamp) -> Reading<'_, Vec<JobRecord>>;
    /// Not fewer than there are: by the first and the last number.
    fn count_traces(&self) -> Reading<'_, usize>;
    /// The number up to which rows are more than `keep`, counted exactly from the last one; `None` where there are no more. Counts all.
    fn surplus_traces(&self, keep: usize) -> Reading<'_, Option<i64>>;
    /// Of the `limit` rows with the lowest numbers, and of no more than [`TRACE_ROWS_MAX`]: how many are gone. None while another server does it.
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
