//! The local store as the engine sees it: rows in, rows out, no decisions.
//!
//! The caller opens a transaction around every call of the engine and commits it before anything that the engine gave out is shown or sent. An error
//! ends the transaction, and then [`crate::Engine::handle_store_failure`] is called: the engine keeps nothing that matters outside the store.

use serde::{Deserialize, Serialize};
use tertulia_proto::sync::Held;
use tertulia_proto::{
    ClientMsgId, ConversationId, ConversationKind, Emoji, ErrorCode, HistoryVisibility, Member, Message, MessageId,
    Reaction, Rev, Role, Seq, Timestamp, User, UserId,
};
use uuid::Uuid;

use crate::holes::Holes;

/// Why the local store did not do what was asked; nothing of the transaction stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFailure {
    /// The disk, or the browser's quota, is full.
    #[error("no room left on this device: {0}")]
    Full(String),
    /// Locked, gone, or an error of the medium.
    #[error("the local database is unavailable: {0}")]
    Unavailable(String),
    /// A row that can't be what the schema says.
    #[error("a local row does not decode: {0}")]
    Corrupt(String),
}

pub type Stored<T> = Result<T, StoreFailure>;

/// Whether the server notifies this device. It does so of everything that this very device has not told to have got, so what other devices of the
/// person have told counts no more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Registration {
    #[default]
    None,
    /// Asked for and not answered: what is told meanwhile may come before it, and count for nothing.
    Asked,
    Stands,
}

/// Where this device stands in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncState {
    /// Whose log it is; set by the first connection.
    pub account: Option<UserId>,
    pub cursor: Option<String>,
    pub epoch: Option<Uuid>,
    /// Number of the difference that is being read or was read last; [`LocalConversation::touched`] refers to it.
    pub round: i64,
    /// The cursor stands inside a difference of several pages.
    pub within: bool,
    /// A reset is under way: what is still in doubt at its end is gone.
    pub resetting: bool,
    pub registration: Registration,
}

/// A conversation as this device holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalConversation {
    pub id: ConversationId,
    pub kind: ConversationKind,
    pub title: Option<String>,
    pub created_at: Timestamp,
    pub last_message_at: Option<Timestamp>,
    pub my_role: Role,
    pub muted_until: Option<Timestamp>,
    pub hidden: bool,
    pub history_visibility: HistoryVisibility,
    pub peer: Option<User>,
    pub member_count: i64,
    /// When I joined: another time than before means another stay, whose history may begin elsewhere.
    pub joined_at: Timestamp,
    /// Everything up to here is held, but for the holes.
    pub rev: Rev,
    /// The log's end at `rev`.
    pub last_seq: Seq,
    /// My watermarks in the log.
    pub delivered_seq: Seq,
    pub read_seq: Seq,
    /// Up to here this very device has told what has reached it; `None` where it is not registered for notifications.
    pub told_delivered: Option<Seq>,
    /// What I have read on this device, perhaps not told yet.
    pub want_read: Seq,
    /// What I chose here and the log does not say yet.
    pub want_muted: Option<Option<Timestamp>>,
    /// Deleted messages that lie in holes above my read watermark: they count for nothing in what is unread.
    pub deleted_in_holes: i64,
    /// The round in which something beyond the cursor was last applied; 0: nothing.
    pub touched: i64,
    /// A reset has not told it yet.
    pub doubted: bool,
    /// I am no member any more; kept for what could not be sent.
    pub left: bool,
    pub draft: String,
}

impl LocalConversation {
    /// Whether something has reached this device that the server knows of no device of mine, or of this one although it notifies it. What was read
    /// anywhere nobody is notified of.
    pub fn is_untold(&self) -> bool {
        self.last_seq > self.delivered_seq || self.is_untold_above(0)
    }

    /// Of this very device, where what it has told up to `told` counts.
    pub(crate) fn is_untold_above(&self, told: Seq) -> bool {
        self.told_delivered.is_some_and(|mark| self.last_seq > mark.max(told).max(self.read_seq))
    }
}

/// A message as this device holds it: a row of the log, or one that is to become it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMessage {
    /// The store's own number; 0 for a row that is to be made. It stays when a pending row becomes the log's.
    pub key: i64,
    pub conversation_id: ConversationId,
    /// `None`: pending.
    pub seq: Option<Seq>,
    pub message_id: Option<MessageId>,
    pub rev: Rev,
    pub sender_id: UserId,
    pub sender_name: String,
    pub sender_avatar: Option<String>,
    pub client_msg_id: ClientMsgId,
    pub body: String,
    /// The server's time, for a pending message this device's.
    pub created_at: Timestamp,
    pub reply_to: Option<MessageId>,
    /// The reply is to a message of mine that was pending when it was written.
    pub reply_to_mine: Option<ClientMsgId>,
    pub edited_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
    pub reactions: Vec<Reaction>,
}

impl LocalMessage {
    /// The log's row, to be put under `key`.
    pub fn of_log(key: i64, message: Message) -> Self {
        Self {
            key,
            conversation_id: message.conversation_id,
            seq: Some(message.seq),
            message_id: Some(message.message_id),
            rev: message.rev,
            sender_id: message.sender_id,
            sender_name: message.sender_name,
            sender_avatar: message.sender_avatar,
            client_msg_id: message.client_msg_id,
            body: message.body,
            created_at: message.created_at,
            reply_to: message.reply_to,
            reply_to_mine: None,
            edited_at: message.edited_at,
            deleted_at: message.deleted_at,
            reactions: message.reactions,
        }
    }

    pub fn is_pending(&self) -> bool {
        self.seq.is_none()
    }
}

/// A message in a command: by the log's id, or, of mine, by the name this device gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MessageRef {
    Log(MessageId),
    Mine(ClientMsgId),
}

impl From<MessageId> for MessageRef {
    fn from(id: MessageId) -> Self {
        Self::Log(id)
    }
}

impl From<ClientMsgId> for MessageRef {
    fn from(name: ClientMsgId) -> Self {
        Self::Mine(name)
    }
}

/// What is to be done to the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Op {
    /// The pending message itself; its text is in the message's row.
    Send,
    Edit {
        body: String,
    },
    Delete,
    React {
        emoji: Emoji,
        remove: bool,
    },
}

/// Why something waits for the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedReason {
    pub code: ErrorCode,
    pub detail: String,
}

/// How an edit left, so that a later connection can tell whether a newer one took its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Departure {
    /// The server's time then, at the earliest.
    pub at: Timestamp,
    /// The message's text then, as it was known here.
    pub body: String,
}

/// One thing to be done, in the order in which it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Grows with the order; 0 for one that is to be made.
    pub id: i64,
    pub conversation_id: ConversationId,
    pub target: MessageRef,
    pub op: Op,
    /// Refused for good, and why; `None`: waiting.
    pub parked: Option<ParkedReason>,
    /// It may have reached the server, so it may be in the log.
    pub transmitted: bool,
    /// Of an edit that was transmitted.
    pub departure: Option<Departure>,
    pub created_at: Timestamp,
}

/// The rows of one account on one device. Every call is part of the caller's transaction.
pub trait LocalStore {
    fn sync_state(&mut self) -> Stored<SyncState>;
    fn put_sync_state(&mut self, state: &SyncState) -> Stored<()>;

    fn conversation(&mut self, id: ConversationId) -> Stored<Option<LocalConversation>>;
    fn put_conversation(&mut self, conversation: &LocalConversation) -> Stored<()>;
    /// With its messages, members, holes and outbox.
    fn delete_conversation(&mut self, id: ConversationId) -> Stored<()>;
    /// Its rows of the log, its members and its holes; what is pending stays.
    fn clear_log(&mut self, id: ConversationId) -> Stored<()>;
    /// Its rows of the log below `seq`; what is pending stays.
    fn clear_log_below(&mut self, id: ConversationId, seq: Seq) -> Stored<()>;
    /// What is held beyond the cursor, latest round first.
    fn touched(&mut self, limit: usize) -> Stored<Vec<Held>>;
    /// The cursor covers whatever was touched before this round.
    fn settle_touched(&mut self, before_round: i64) -> Stored<()>;
    /// Puts every conversation in doubt.
    fn doubt_all(&mut self) -> Stored<()>;
    fn doubted(&mut self) -> Stored<Vec<ConversationId>>;
    /// Conversations that are untold ([`LocalConversation::is_untold`]), or whose read watermark or mute the log does not know yet, not left nor in doubt.
    fn intents(&mut self, limit: usize) -> Stored<Vec<LocalConversation>>;
    /// What is held counts as told by this device, in every conversation.
    fn begin_telling(&mut self) -> Stored<()>;
    /// Nothing is told by this device, in any conversation.
    fn end_telling(&mut self) -> Stored<()>;

    fn member(&mut self, conversation: ConversationId, user: UserId) -> Stored<Option<Member>>;
    fn put_member(&mut self, conversation: ConversationId, member: &Member) -> Stored<()>;

    fn message_at(&mut self, conversation: ConversationId, seq: Seq) -> Stored<Option<LocalMessage>>;
    fn message(&mut self, conversation: ConversationId, message: &MessageRef) -> Stored<Option<LocalMessage>>;
    /// Makes the row where the key is 0; answers the key.
    fn put_message(&mut self, message: &LocalMessage) -> Stored<i64>;
    fn delete_message(&mut self, key: i64) -> Stored<()>;
    /// Deleted messages held above `seq`.
    fn tombstones_above(&mut self, conversation: ConversationId, seq: Seq) -> Stored<i64>;

    fn holes(&mut self, conversation: ConversationId) -> Stored<Holes>;
    fn put_holes(&mut self, conversation: ConversationId, holes: &Holes) -> Stored<()>;

    /// The first entries in order.
    fn outbox(&mut self, conversation: ConversationId, limit: usize) -> Stored<Vec<OutboxEntry>>;
    /// The first that go by themselves or hold up what comes after: all but changes that are parked.
    fn outbox_due(&mut self, conversation: ConversationId, limit: usize) -> Stored<Vec<OutboxEntry>>;
    fn outbox_entry(&mut self, id: i64) -> Stored<Option<OutboxEntry>>;
    /// Entries about one message, in order.
    fn outbox_about(&mut self, conversation: ConversationId, target: &MessageRef) -> Stored<Vec<OutboxEntry>>;
    /// Makes the entry where the id is 0; answers the id.
    fn put_outbox(&mut self, entry: &OutboxEntry) -> Stored<i64>;
    fn delete_outbox(&mut self, id: i64) -> Stored<()>;
    /// Conversations with something that waits.
    /// Whether a message of mine was given up after a refusal ([`LocalStore::put_taken_back`]).
    fn is_taken_back(&mut self, conversation: ConversationId, name: &ClientMsgId) -> Stored<bool>;
    /// `round`: of the difference that was the last to begin before.
    fn put_taken_back(&mut self, conversation: ConversationId, name: &ClientMsgId, round: i64) -> Stored<()>;
    /// A difference of this round has been read: what was given up before it began is not in the log.
    fn settle_taken_back(&mut self, before_round: i64) -> Stored<()>;
    fn outbox_conversations(&mut self) -> Stored<Vec<ConversationId>>;
    fn outbox_len(&mut self) -> Stored<usize>;
}
