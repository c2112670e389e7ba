//! People, conversations and messages for tests.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use tertulia_client::{
    ConnectionState, Conversation, ConversationId, ConversationKind, ErrorCode, HistoryVisibility, ListDiff, Message,
    MessageId, MessageRef, Op, ParkedReason, PresenceState, Reaction, Role, Seq, Status, Timestamp, User, UserId,
    Waiting,
};

use crate::account::Account;
use crate::app::{App, News, Parcel, Wish};

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

pub fn account() -> Account {
    Account {
        server: "https://chat.example.org".to_owned(),
        token: "secret".to_owned(),
        expires_at: None,
        user_id: user(ME),
        email: Some("alice@example.org".to_owned()),
        name: "Alice".to_owned(),
    }
}

pub fn now() -> Timestamp {
    Timestamp::from_ms(NOON_MS + 60 * MINUTE_MS)
}

/// Alice's screen, connected.
pub fn app(width: u16, height: u16) -> App {
    let mut app = App::new(&account(), TimeZone::UTC, now(), (width, height));
    app.take(now(), News::Connection(ConnectionState::Connected { caught_up: true }));
    app
}

pub fn key(app: &mut App, code: KeyCode) -> Vec<Wish> {
    app.take(now(), News::Key(KeyEvent::from(code)))
}

pub fn control(app: &mut App, letter: char) -> Vec<Wish> {
    app.take(now(), News::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)))
}

pub fn type_in(app: &mut App, text: &str) {
    for c in text.chars() {
        key(app, KeyCode::Char(c));
    }
}

/// Three conversations, the first one with Bob is open and says something of everything.
pub fn busy(width: u16, height: u16) -> App {
    let mut app = app(width, height);
    let last = message(8, BOB, "See you there 👋");
    let with_bob = Conversation { last_seq: 8, read_seq: 6, unread: 2, last_message: Some(last.clone()), ..dm(1, BOB) };
    let trip = Conversation {
        last_seq: 40,
        unread: 3,
        muted_until: Some(now().plus_ms(MINUTE_MS)),
        last_message: Some(Message {
            conversation: room(2),
            created_at: now().plus_ms(-3 * 24 * 60 * MINUTE_MS),
            ..message(40, CAROL, "Bring boots,\nand something to eat")
        }),
        ..group(2, "Weekend in the mountains 🏔")
    };
    let draft = Conversation { draft: "Dear Carol,".to_owned(), has_parked: true, ..dm(3, CAROL) };
    app.take(now(), News::Conversations(vec![ListDiff::Reset(vec![with_bob, trip, draft])]));
    key(&mut app, KeyCode::Enter);
    app.take(now(), timeline(conversation_of_everything(last)));
    app.take(now(), News::Presence(user(BOB), Some(PresenceState { online: true, last_seen_at: None })));
    app
}

pub fn timeline(rows: Vec<Message>) -> News {
    News::Timeline { room: room(1), steps: vec![ListDiff::Reset(rows)], has_more: false, quoted: Vec::new() }
}

fn conversation_of_everything(last: Message) -> Vec<Message> {
    let yesterday = Message {
        created_at: Timestamp::from_ms(NOON_MS - 24 * 60 * MINUTE_MS),
        status: Some(Status::Read),
        ..message(1, ME, "Shall we go for a walk on Sunday? The weather should be fine, they say.")
    };
    let reaction = |emoji: &str, who: &[u8]| Reaction {
        emoji: emoji.parse().unwrap(),
        user_ids: who.iter().map(|number| user(*number)).collect(),
    };
    let liked = Message {
        reactions: vec![reaction("👍", &[ME, CAROL]), reaction("🎉", &[CAROL])],
        ..message(2, BOB, "Gladly!")
    };
    let answer = Message {
        reply_to: Some(MessageRef::Log(message_id(2))),
        edited_at: Some(now()),
        status: Some(Status::Delivered),
        ..message(3, ME, "日本語 too, if you like: 今日は")
    };
    let deleted = Message { deleted_at: Some(now()), body: String::new(), ..message(5, BOB, "") };
    vec![yesterday, liked, answer, deleted, message(6, ME, "At three?"), message(7, BOB, "Three is good."), last]
}

pub fn parcel(entry: i64, text: &str, why: Option<&str>) -> Parcel {
    let parked = why.map(|why| ParkedReason { code: ErrorCode::Forbidden, detail: why.to_owned() });
    let waiting = Waiting {
        entry,
        conversation: room(1),
        message: MessageRef::Mine(format!("mine-{entry}").parse().unwrap()),
        op: Op::Send,
        parked,
        created_at: now(),
    };
    Parcel { waiting, text: text.to_owned() }
}
