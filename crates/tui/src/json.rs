//! The lines that scripts read. Names and meanings stay; new fields may come.
//!
//! | `event` | when |
//! | --- | --- |
//! | `message` | a message is told for the first time: with its `seq` where the server has acknowledged it, without while it is pending |
//! | `changed` | something of a told message is another: it was acknowledged (and has its `seq` from now on), delivered, read, edited, deleted, reacted to, refused |
//! | `removed` | a told message is on this device no more: a pending one was discarded, or the conversation was left |
//! | `connection` | the connection is another: `state`, `caughtUp` |
//!
//! A message is the same as another exactly where `senderId` and `clientMsgId` are the same. Order is `seq`'s; lines of a conversation come in it, but for
//! messages that were missing and are told when they have been fetched.

use serde::Serialize;
use tertulia_client::{
    ClientMsgId, ConnectionState, Conversation, ConversationId, ConversationKind, ErrorCode, Message, MessageId,
    MessageRef, Op, ParkedReason, Reaction, Seq, Status, Timestamp, UserId, Waiting,
};

use crate::text::escaped_json;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    Message,
    Changed,
    Removed,
}

/// A message; `status` is of one's own: pending, sent, delivered, read or failed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageLine<'a> {
    event: Event,
    conversation_id: ConversationId,
    message_id: Option<MessageId>,
    seq: Option<Seq>,
    client_msg_id: &'a ClientMsgId,
    sender_id: UserId,
    sender_name: &'a str,
    body: &'a str,
    status: Option<&'static str>,
    failure: Option<Failure<'a>>,
    reply_to: Option<ReplyTo<'a>>,
    reactions: &'a [Reaction],
    created_at: Timestamp,
    edited_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    entry: i64,
    code: ErrorCode,
    detail: &'a str,
}

/// A pending message of one's own has no other name yet.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", untagged)]
enum ReplyTo<'a> {
    Log { message_id: MessageId },
    Mine { client_msg_id: &'a ClientMsgId },
}

impl<'a> MessageLine<'a> {
    pub fn new(event: Event, message: &'a Message) -> Self {
        let (status, failure) = match &message.status {
            None => (None, None),
            Some(Status::Pending) => (Some("pending"), None),
            Some(Status::Sent) => (Some("sent"), None),
            Some(Status::Delivered) => (Some("delivered"), None),
            Some(Status::Read) => (Some("read"), None),
            Some(Status::Failed { entry, code, detail }) => {
                (Some("failed"), Some(Failure { entry: *entry, code: *code, detail }))
            }
        };
        Self {
            event,
            conversation_id: message.conversation,
            message_id: message.id,
            seq: message.seq,
            client_msg_id: &message.name,
            sender_id: message.sender,
            sender_name: &message.sender_name,
            body: &message.body,
            status,
            failure,
            reply_to: message.reply_to.as_ref().map(|to| match to {
                MessageRef::Log(id) => ReplyTo::Log { message_id: *id },
                MessageRef::Mine(name) => ReplyTo::Mine { client_msg_id: name },
            }),
            reactions: &message.reactions,
            created_at: message.created_at,
            edited_at: message.edited_at,
            deleted_at: message.deleted_at,
        }
    }
}

/// `{"event":"connection","state":...,"caughtUp":...}`: paused, offline, waiting, connecting, connected, signedOut or wrongAccount.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionLine {
    event: &'static str,
    state: &'static str,
    caught_up: bool,
}

impl From<ConnectionState> for ConnectionLine {
    fn from(state: ConnectionState) -> Self {
        let name = match state {
            ConnectionState::Paused => "paused",
            ConnectionState::Offline => "offline",
            ConnectionState::Waiting { .. } => "waiting",
            ConnectionState::Connecting => "connecting",
            ConnectionState::Connected { .. } => "connected",
            ConnectionState::SignedOut => "signedOut",
            ConnectionState::WrongAccount => "wrongAccount",
        };
        let caught_up = state == ConnectionState::Connected { caught_up: true };
        Self { event: "connection", state: name, caught_up }
    }
}

/// A line of `conversations --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationLine<'a> {
    conversation_id: ConversationId,
    kind: ConversationKind,
    title: &'a str,
    peer_id: Option<UserId>,
    peer_email: Option<&'a str>,
    last_seq: Seq,
    last_message_at: Option<Timestamp>,
    read_seq: Seq,
    unread: i64,
    muted_until: Option<Timestamp>,
    hidden: bool,
    has_parked: bool,
    left: bool,
}

impl<'a> From<&'a Conversation> for ConversationLine<'a> {
    fn from(of: &'a Conversation) -> Self {
        Self {
            conversation_id: of.id,
            kind: of.kind,
            title: title(of),
            peer_id: of.peer.as_ref().map(|peer| peer.id),
            peer_email: of.peer.as_ref().and_then(|peer| peer.email.as_deref()),
            last_seq: of.last_seq,
            last_message_at: of.last_message_at,
            read_seq: of.read_seq,
            unread: of.unread,
            muted_until: of.muted_until,
            hidden: of.is_hidden,
            has_parked: of.has_parked,
            left: of.is_left,
        }
    }
}

/// A line of `outbox --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboxLine<'a> {
    entry: i64,
    conversation_id: ConversationId,
    op: &'a Op,
    parked: Option<&'a ParkedReason>,
    created_at: Timestamp,
}

impl<'a> From<&'a Waiting> for OutboxLine<'a> {
    fn from(of: &'a Waiting) -> Self {
        Self {
            entry: of.entry,
            conversation_id: of.conversation,
            op: &of.op,
            parked: of.parked.as_ref(),
            created_at: of.created_at,
        }
    }
}

/// Of a DM the other person's name. As they wrote it: to be cleaned where it is shown.
pub fn title(of: &Conversation) -> &str {
    of.title.as_deref().or_else(|| Some(of.peer.as_ref()?.name.as_str())).unwrap_or("")
}

/// One line without its end.
pub fn line(of: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(of).map(|json| escaped_json(&json))
}

/// For people.
impl std::fmt::Display for ConnectionLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.caught_up { "caught up" } else { self.state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{BOB, MINUTE_MS, NOON_MS, dm, message, message_id, pending};

    #[test]
    fn the_lines_are_these() {
        let reply = Message {
            reply_to: Some(MessageRef::Log(message_id(1))),
            edited_at: Some(Timestamp::from_ms(NOON_MS + 3 * MINUTE_MS)),
            ..message(2, BOB, "line\u{1b}[2J one\nline two \u{9b}")
        };
        let failure = Status::Failed { entry: 4, code: ErrorCode::Forbidden, detail: "no member".to_owned() };
        let failed = Message { status: Some(failure), ..pending(3, "never") };
        let of = Conversation { last_seq: 2, unread: 1, ..dm(1, BOB) };
        let lines = [
            line(&MessageLine::new(Event::Message, &reply)).unwrap(),
            line(&MessageLine::new(Event::Changed, &failed)).unwrap(),
            line(&ConnectionLine::from(ConnectionState::Connected { caught_up: true })).unwrap(),
            line(&ConnectionLine::from(ConnectionState::Waiting { until_ms: 7 })).unwrap(),
            line(&ConversationLine::from(&of)).unwrap(),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }
}
