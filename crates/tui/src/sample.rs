//! People, conversations and messages for tests.

use tertulia_client::{
    Conversation, ConversationId, ConversationKind, HistoryVisibility, Message, MessageId, Role, Seq, Status,
    Timestamp, User, UserId,
};

/// Sunday, 2026-03-01T12:00:00Z.
pub const NOON_MS: i64 = 1_772_366_400_000;
pub const MINUTE_MS: i64 = 60_000;

pub fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

pub const ME: u8 = 1;
pub const BOB: u8 = 2;
pub const CAROL: u8 = 3;

pub fn room(number: u8) -> ConversationId {
    ConversationId::from_bytes([number; 16])
}

pub fn name_of(number: u8) -> &'static str {
    match number {
        ME => "Alice",
        BOB => "Bob",
        _ => "Carol",
    }
}

pub fn message_id(seq: Seq) -> MessageId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&seq.to_be_bytes());
    MessageId::from_bytes(bytes)
}

/// In the log, at its `seq`'s minute after noon.
pub fn message(seq: Seq, sender: u8, body: &str) -> Message {
    Message {
        key: seq,
        conversation: room(1),
        seq: Some(seq),
        id: Some(message_id(seq)),
        name: format!("name-{seq}").parse().unwrap(),
        sender: user(sender),
        sender_name: name_of(sender).to_owned(),
        sender_avatar: None,
        body: body.to_owned(),
        created_at: Timestamp::from_ms(NOON_MS + seq * MINUTE_MS),
        reply_to: None,
        edited_at: None,
        deleted_at: None,
        reactions: Vec::new(),
        status: (sender == ME).then_some(Status::Sent),
        is_changing: false,
        gap_above: false,
    }
}

/// Of mine, not sent.
pub fn pending(key: i64, body: &str) -> Message {
    Message { seq: None, id: None, status: Some(Status::Pending), ..message(key, ME, body) }
}

pub fn dm(number: u8, with: u8) -> Conversation {
    Conversation {
        id: room(number),
        kind: ConversationKind::Dm,
        title: None,
        peer: Some(User {
            id: user(with),
            email: Some(format!("{}@example.org", name_of(with).to_lowercase())),
            name: name_of(with).to_owned(),
            avatar_url: None,
            created_at: Timestamp::from_ms(NOON_MS),
            blocked: false,
        }),
        created_at: Timestamp::from_ms(NOON_MS),
        last_message_at: None,
        last_message: None,
        last_seq: 0,
        read_seq: 0,
        unread: 0,
        my_role: Role::Member,
        member_count: 2,
        history_visibility: HistoryVisibility::Joined,
        muted_until: None,
        is_hidden: false,
        draft: String::new(),
        has_parked: false,
        is_left: false,
    }
}

pub fn group(number: u8, title: &str) -> Conversation {
    Conversation {
        kind: ConversationKind::Group,
        title: Some(title.to_owned()),
        peer: None,
        member_count: 4,
        ..dm(number, BOB)
    }
}
