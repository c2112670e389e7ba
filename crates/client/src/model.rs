//! What an app shows. Of the rows of the local store only what a screen needs, so that bookkeeping changes nothing here.

use tertulia_client_sqlite::views::{ShownConversation, ShownMessage};
use tertulia_engine::{LocalMessage, MessageRef, Op, OutboxEntry, ParkedReason, view};
use tertulia_proto::{
    ClientMsgId, ConversationId, ConversationKind, HistoryVisibility, MessageId, Reaction, Role, Seq, Timestamp, User,
    UserId,
};

pub use tertulia_engine::view::Status;

/// A message as it is shown: what waits to be done to it is done already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Number of the row on this device. It stays while a pending message becomes the log's: what lists go by.
    pub key: i64,
    pub conversation: ConversationId,
    /// Its place in the conversation; `None` while it is pending.
    pub seq: Option<Seq>,
    /// The log's name for it; `None` while it is pending.
    pub id: Option<MessageId>,
    /// Its sender's name for it; unique together with `sender`.
    pub name: ClientMsgId,
    pub sender: UserId,
    pub sender_name: String,
    pub sender_avatar: Option<String>,
    /// Empty once deleted.
    pub body: String,
    /// The server's time; of a pending message this device's.
    pub created_at: Timestamp,
    pub reply_to: Option<MessageRef>,
    pub edited_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
    pub reactions: Vec<Reaction>,
    /// Of a message of mine; `None` for others'.
    pub status: Option<Status>,
    /// An edit, a deletion or a reaction is shown that the log does not have yet.
    pub is_changing: bool,
    /// Messages are missing right above it. They are being fetched where a [`crate::Timeline`] shows them.
    pub gap_above: bool,
}

/// The message in a call such as [`crate::Client::edit`].
impl From<&Message> for MessageRef {
    fn from(message: &Message) -> Self {
        message.id.map_or_else(|| Self::Mine(message.name.clone()), Self::Log)
    }
}

impl Message {
    pub(crate) fn of_row(row: LocalMessage) -> Self {
        Self::of_shown(ShownMessage { message: row, status: None, is_changing: false, hole_above: false })
    }

    pub(crate) fn of_shown(shown: ShownMessage) -> Self {
        let row = shown.message;
        Self {
            key: row.key,
            conversation: row.conversation_id,
            seq: row.seq,
            id: row.message_id,
            name: row.client_msg_id,
            sender: row.sender_id,
            sender_name: row.sender_name,
            sender_avatar: row.sender_avatar,
            body: row.body,
            created_at: row.created_at,
            reply_to: row.reply_to.map(MessageRef::Log).or(row.reply_to_mine.map(MessageRef::Mine)),
            edited_at: row.edited_at,
            deleted_at: row.deleted_at,
            reactions: row.reactions,
            status: shown.status,
            is_changing: shown.is_changing,
            gap_above: shown.hole_above,
        }
    }
}

/// A conversation as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    pub id: ConversationId,
    pub kind: ConversationKind,
    /// `None` in a DM: the title is `peer`'s name.
    pub title: Option<String>,
    /// The other person of a DM.
    pub peer: Option<User>,
    pub created_at: Timestamp,
    pub last_message_at: Option<Timestamp>,
    pub last_message: Option<Message>,
    /// Place of the newest message.
    pub last_seq: Seq,
    /// Everything up to here has been read, on this device or another.
    pub read_seq: Seq,
    pub unread: i64,
    pub my_role: Role,
    pub member_count: i64,
    pub history_visibility: HistoryVisibility,
    /// Muted until then, for oneself.
    pub muted_until: Option<Timestamp>,
    /// Hidden until something new arrives.
    pub is_hidden: bool,
    pub draft: String,
    /// Something of it was refused and waits for the person: see [`crate::Client::outbox`].
    pub has_parked: bool,
    /// One is no member any more; it is here for what could not be sent.
    pub is_left: bool,
}

impl Conversation {
    pub(crate) fn of_shown(shown: ShownConversation) -> Self {
        let row = shown.conversation;
        Self {
            id: row.id,
            kind: row.kind,
            read_seq: view::read_seq(&row),
            title: row.title,
            peer: row.peer,
            created_at: row.created_at,
            last_message_at: row.last_message_at,
            last_message: shown.last.map(Message::of_shown),
            last_seq: row.last_seq,
            unread: shown.unread,
            my_role: row.my_role,
            member_count: row.member_count,
            history_visibility: row.history_visibility,
            muted_until: row.want_muted.unwrap_or(row.muted_until),
            is_hidden: row.hidden,
            draft: row.draft,
            has_parked: shown.has_parked,
            is_left: row.left,
        }
    }
}

/// Something that waits to reach the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What [`crate::Client::retry`] and [`crate::Client::discard`] take.
    pub entry: i64,
    pub conversation: ConversationId,
    pub message: MessageRef,
    pub op: Op,
    /// Refused for good, and why: it waits for the person. `None`: it goes by itself.
    pub parked: Option<ParkedReason>,
    pub created_at: Timestamp,
}

impl Waiting {
    pub(crate) fn of_row(row: OutboxEntry) -> Self {
        Self {
            entry: row.id,
            conversation: row.conversation_id,
            message: row.target,
            op: row.op,
            parked: row.parked,
            created_at: row.created_at,
        }
    }
}
