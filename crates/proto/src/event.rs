//! What the server tells. One type for both socket protocols: Socket.IO names an event `message:new`, the plain WebSocket `message.new`.

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::id::{ClientMsgId, ConversationId, MessageId, SessionId, UserId};
use crate::limits::Limits;
use crate::model::{Conversation, Member, Message, Reaction};
use crate::sync::Difference;
use crate::time::Timestamp;
use crate::{Rev, Seq};
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    WebSocket,
    SocketIo,
}

/// What an event is called: `message.new` on the plain WebSocket, `message:new` on Socket.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventName {
    dots: &'static str,
    colons: &'static str,
}

macro_rules! event_names {
    ($($constant:ident $dots:literal $colons:literal)*) => {
        impl EventName {
            $(pub const $constant: Self = Self { dots: $dots, colons: $colons };)*

            const ALL: &'static [Self] = &[$(Self::$constant),*];
        }
    };
}

event_names! {
    CONNECTED "connected" "connected"
    MESSAGE_ACK "message.ack" "message:ack"
    MESSAGE_NEW "message.new" "message:new"
    MESSAGE_UPDATED "message.updated" "message:updated"
    MESSAGE_DELETED "message.deleted" "message:deleted"
    REACTION_UPDATED "reaction.updated" "reaction:updated"
    RECEIPT_UPDATED "receipt.updated" "receipt:updated"
    CONVERSATION_UPDATED "conversation.updated" "conversation:updated"
    CONVERSATION_REMOVED "conversation.removed" "conversation:removed"
    MEMBER_UPDATED "member.updated" "member:updated"
    TYPING_START "typing.start" "typing:start"
    TYPING_STOP "typing.stop" "typing:stop"
    PRESENCE_UPDATE "presence.update" "presence:update"
    SYNC_BATCH "sync.batch" "sync:batch"
    SYNC_NEEDED "sync.needed" "sync:needed"
    ERROR "error" "error"
}

impl EventName {
    pub const fn of(self, protocol: Protocol) -> &'static str {
        match protocol {
            Protocol::WebSocket => self.dots,
            Protocol::SocketIo => self.colons,
        }
    }

    /// By its name on the plain WebSocket; `None` for one that this version does not know.
    pub fn known(dots: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.dots == dots)
    }

    /// The WebSocket's text of an event whose payload has been encoded.
    pub fn frame(self, payload: &str) -> String {
        let mut out = String::with_capacity(payload.len() + self.dots.len() + 12);
        self.begin_frame(&mut out);
        splice_fields(&mut out, payload);
        out
    }

    fn begin_frame(self, out: &mut String) {
        out.push_str("{\"type\":\"");
        out.push_str(self.dots);
        out.push('"');
    }
}

macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "camelCase")]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),* }
    };
}

payload!(
    /// The first frame of a plain WebSocket.
    Connected {
        user_id: UserId,
        session_id: SessionId,
        server_time: Timestamp,
        limits: Limits,
        /// Of the log, as in the difference. Where it is another than what is held was told under, the log is another one (a backup was restored): its
        /// `rev`s begin again, so nothing it tells fits what is held before a difference has begun anew. Left out when it could not be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<Uuid>,
    }
);
payload!(
    /// The message is in the log and on the disk.
    MessageAck { client_msg_id: ClientMsgId, message_id: MessageId, seq: Seq, rev: Rev, created_at: Timestamp }
);
payload!(
    /// A tombstone took the message's place.
    MessageDeleted { conversation_id: ConversationId, message_id: MessageId, seq: Seq, rev: Rev, deleted_at: Timestamp }
);
payload!(
    /// All reactions of a message after one came or went.
    ReactionUpdated { conversation_id: ConversationId, message_id: MessageId, seq: Seq, rev: Rev, reactions: Vec<Reaction> }
);
payload!(
    /// A member's watermarks moved.
    ReceiptUpdated { conversation_id: ConversationId, user_id: UserId, delivered_seq: Seq, read_seq: Seq, rev: Rev }
);
payload!(
    /// The conversation changed: for everybody its title, or, where `conversation` is there, all of it as I see it (I was just added, or hid or
    /// muted it on another device). With neither, something changed that I do not see, such as a message from before I joined: only `rev` is news.
    ConversationUpdated {
        conversation_id: ConversationId,
        rev: Rev,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Box<Conversation>>,
    }
);
payload!(
    /// I am no longer a member.
    ConversationRemoved { conversation_id: ConversationId }
);
payload!(
    /// A member came, left, got another role or another name.
    MemberUpdated { conversation_id: ConversationId, rev: Rev, member: Member }
);
payload!(
    /// Somebody else writes, or stopped.
    Typing { conversation_id: ConversationId, user_id: UserId, user_name: String }
);
payload!(
    /// A watched person came or went.
    Presence { user_id: UserId, online: bool, last_seen_at: Option<Timestamp> }
);
payload!(
    /// What one conversation holds after a message.
    ConversationBatch { conversation_id: ConversationId, messages: Vec<Message>, has_more: bool }
);

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ServerEvent {
    Connected(Box<Connected>),
    MessageAck(MessageAck),
    MessageNew(Box<Message>),
    MessageUpdated(Box<Message>),
    MessageDeleted(MessageDeleted),
    ReactionUpdated(ReactionUpdated),
    ReceiptUpdated(ReceiptUpdated),
    ConversationUpdated(ConversationUpdated),
    ConversationRemoved(ConversationRemoved),
    MemberUpdated(MemberUpdated),
    TypingStart(Typing),
    TypingStop(Typing),
    PresenceUpdate(Presence),
    SyncBatch(Box<Difference>),
    ConversationBatch(Box<ConversationBatch>),
    SyncNeeded {},
    /// A request without an acknowledgement was refused.
    Error(ApiError),
}

impl ServerEvent {
    /// The event's name in a protocol.
    pub const fn name(&self, protocol: Protocol) -> &'static str {
        self.event_name().of(protocol)
    }

    pub const fn event_name(&self) -> EventName {
        match self {
            Self::Connected(_) => EventName::CONNECTED,
            Self::MessageAck(_) => EventName::MESSAGE_ACK,
            Self::MessageNew(_) => EventName::MESSAGE_NEW,
            Self::MessageUpdated(_) => EventName::MESSAGE_UPDATED,
            Self::MessageDeleted(_) => EventName::MESSAGE_DELETED,
            Self::ReactionUpdated(_) => EventName::REACTION_UPDATED,
            Self::ReceiptUpdated(_) => EventName::RECEIPT_UPDATED,
            Self::ConversationUpdated(_) => EventName::CONVERSATION_UPDATED,
            Self::ConversationRemoved(_) => EventName::CONVERSATION_REMOVED,
            Self::MemberUpdated(_) => EventName::MEMBER_UPDATED,
            Self::TypingStart(_) => EventName::TYPING_START,
            Self::TypingStop(_) => EventName::TYPING_STOP,
            Self::PresenceUpdate(_) => EventName::PRESENCE_UPDATE,
            Self::SyncBatch(_) | Self::ConversationBatch(_) => EventName::SYNC_BATCH,
            Self::SyncNeeded {} => EventName::SYNC_NEEDED,
            Self::Error(_) => EventName::ERROR,
        }
    }

    /// The frame's text: for the WebSocket `{"type": name, ...}`, for Socket.IO the payload alone.
    pub fn encode(&self, protocol: Protocol) -> String {
        let mut out = String::with_capacity(self.size_hint());
        let payload = serde_json::to_string(self).unwrap_or_else(|_| "{}".into());
        match protocol {
            Protocol::SocketIo => return payload,
            Protocol::WebSocket => {
                self.event_name().begin_frame(&mut out);
            }
        }
        splice_fields(&mut out, &payload);
        out
    }

    /// Bytes of the frame, roughly.
    pub fn size_hint(&self) -> usize {
        match self {
            Self::MessageNew(m) | Self::MessageUpdated(m) => m.size_hint(),
            Self::SyncBatch(d) => {
                let messages: usize = d.conversations.iter().flat_map(|c| &c.messages).map(Message::size_hint).sum();
                let members: usize =
                    d.conversations.iter().filter_map(|c| c.conversation.members.as_ref()).map(|m| m.len()).sum();
                300 + d.conversations.len() * 450 + members * 280 + messages
            }
            Self::ConversationBatch(b) => 100 + b.messages.iter().map(Message::size_hint).sum::<usize>(),
            Self::ConversationUpdated(c) => {
                300 + c.conversation.as_ref().map_or(0, |c| 600 + c.members.as_ref().map_or(0, |m| m.len()) * 280)
            }
            Self::ReactionUpdated(r) => 250 + r.reactions.iter().map(|r| 20 + r.user_ids.len() * 39).sum::<usize>(),
            Self::Connected(_) => 1200,
            _ => 320,
        }
    }
}

/// Appends the fields of a JSON object to an object that has been begun, and closes it.
pub fn splice_fields(out: &mut String, object: &str) {
    let fields = object.strip_prefix('{').unwrap_or("}");
    if fields.len() > 1 {
        out.push(',');
    }
    out.push_str(fields);
}
