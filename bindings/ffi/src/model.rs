//! The types, in the form in which they cross. Most are the client's own, named here once more for UniFFI; the compiler compares.

use tertulia_client::{
    ClientMsgId, Conversation, ConversationId, ConversationKind, Emoji, ErrorCode, HistoryVisibility, ListDiff, Member,
    Message, MessageId, MessageRef, NextStep, Op, ParkedReason, Person, PresenceState, Reaction, Refused, Role, Seq,
    Status, Timestamp, TypingState, User, UserId, Waiting, Window,
};

use crate::error::TertuliaError;

macro_rules! texts {
    ($($name:ident)*) => {$(
        uniffi::custom_type!($name, String, {
            remote,
            try_lift: |text| Ok(text.parse().map_err($crate::error::TertuliaError::bad)?),
            lower: |value| value.to_string(),
        });
    )*};
}

pub(crate) use texts;

texts!(UserId ConversationId MessageId ClientMsgId);

uniffi::custom_type!(Emoji, String, {
    remote,
    try_lift: |text| Ok(text.parse().map_err(TertuliaError::bad)?),
    lower: |emoji| emoji.as_str().to_owned(),
});

// Milliseconds since 1970, UTC.
uniffi::custom_type!(Timestamp, i64, {
    remote,
    try_lift: |ms| Ok(Timestamp::from_ms(ms)),
    lower: |time| time.ms(),
});

#[uniffi::remote(Enum)]
pub enum ErrorCode {
    Unauthenticated,
    Forbidden,
    NotFound,
    Invalid,
    TooLarge,
    RateLimited,
    Conflict,
    OutOfOrder,
    Gone,
    Unavailable,
}

#[uniffi::remote(Enum)]
pub enum NextStep {
    NeverAgain,
    RetryAfter,
    SignIn,
    Resync,
}

/// What to do about it.
#[uniffi::export]
pub fn next_step(code: ErrorCode) -> NextStep {
    code.next_step()
}

#[uniffi::remote(Enum)]
pub enum ConversationKind {
    Dm,
    Group,
}

#[uniffi::remote(Enum)]
pub enum Role {
    Member,
    Admin,
    Owner,
}

#[uniffi::remote(Enum)]
pub enum HistoryVisibility {
    Joined,
    All,
}

/// Somebody to be found by the server.
#[uniffi::remote(Enum)]
pub enum Person {
    Id(UserId),
    Email(String),
}

#[uniffi::remote(Record)]
pub struct User {
    pub id: UserId,
    pub email: Option<String>,
    pub name: String,
    pub avatar_url: Option<String>,
    pub created_at: Timestamp,
    /// By me.
    pub blocked: bool,
}

#[uniffi::remote(Record)]
pub struct Member {
    pub user_id: UserId,
    pub name: String,
    pub avatar_url: Option<String>,
    pub role: Role,
    pub joined_at: Timestamp,
    /// Everything up to here has reached one of the person's devices.
    pub delivered_seq: i64,
    /// Everything up to here has been read.
    pub read_seq: i64,
    pub rev: i64,
    pub removed: bool,
}

#[uniffi::remote(Record)]
pub struct Reaction {
    pub emoji: Emoji,
    pub user_ids: Vec<UserId>,
}

/// How far a message of mine has come.
#[uniffi::remote(Enum)]
pub enum Status {
    Pending,
    Sent,
    Delivered,
    Read,
    /// Refused; to be retried or discarded by the number.
    Failed {
        entry: i64,
        code: ErrorCode,
        detail: String,
    },
}

/// A message by the log's name, or by this device's own while it is pending.
#[uniffi::remote(Enum)]
pub enum MessageRef {
    Log(MessageId),
    Mine(ClientMsgId),
}

/// A message as it is shown: what waits to be done to it is done already.
#[uniffi::remote(Record)]
pub struct Message {
    /// What lists go by: it stays while a pending message becomes the log's.
    pub key: i64,
    pub conversation: ConversationId,
    /// Its place in the conversation; `None` while it is pending.
    pub seq: Option<Seq>,
    pub id: Option<MessageId>,
    pub name: ClientMsgId,
    pub sender: UserId,
    pub sender_name: String,
    pub sender_avatar: Option<String>,
    /// Empty once deleted.
    pub body: String,
    pub created_at: Timestamp,
    pub reply_to: Option<MessageRef>,
    pub edited_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
    pub reactions: Vec<Reaction>,
    /// Of a message of mine; `None` for others'.
    pub status: Option<Status>,
    /// Something is shown that the log does not have yet.
    pub is_changing: bool,
    /// Messages are missing right above it.
    pub gap_above: bool,
}

/// The message in a call such as `edit`.
#[uniffi::export]
pub fn message_ref(message: Message) -> MessageRef {
    MessageRef::from(&message)
}

/// A conversation as a list shows it.
#[uniffi::remote(Record)]
pub struct Conversation {
    pub id: ConversationId,
    pub kind: ConversationKind,
    /// `None` in a DM: the title is `peer`'s name.
    pub title: Option<String>,
    pub peer: Option<User>,
    pub created_at: Timestamp,
    pub last_message_at: Option<Timestamp>,
    pub last_message: Option<Message>,
    pub last_seq: Seq,
    pub read_seq: Seq,
    pub unread: i64,
    pub my_role: Role,
    pub member_count: i64,
    pub history_visibility: HistoryVisibility,
    pub muted_until: Option<Timestamp>,
    pub is_hidden: bool,
    pub draft: String,
    /// Something of it was refused and waits for the person: see the outbox.
    pub has_parked: bool,
    /// One is no member any more; it is here for what could not be sent.
    pub is_left: bool,
}

#[uniffi::remote(Enum)]
pub enum Op {
    Send,
    Edit { body: String },
    Delete,
    React { emoji: Emoji, remove: bool },
}

#[uniffi::remote(Record)]
pub struct ParkedReason {
    pub code: ErrorCode,
    pub detail: String,
}

/// Something that waits to reach the log.
#[uniffi::remote(Record)]
pub struct Waiting {
    /// What `retry` and `discard` take.
    pub entry: i64,
    pub conversation: ConversationId,
    pub message: MessageRef,
    pub op: Op,
    /// Refused for good: it waits for the person. `None`: it goes by itself.
    pub parked: Option<ParkedReason>,
    pub created_at: Timestamp,
}

#[uniffi::remote(Record)]
pub struct TypingState {
    pub user: UserId,
    pub name: String,
}

#[uniffi::remote(Record)]
pub struct PresenceState {
    pub online: bool,
    pub last_seen_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum ConnectionState {
    /// Not asked to connect.
    Paused,
    /// No network.
    Offline,
    /// Until the next try.
    Waiting,
    Connecting,
    /// `caught_up`: the first difference is here.
    Connected {
        caught_up: bool,
    },
    /// The token is not taken: a new one is needed.
    SignedOut,
    /// The token is of another person than the data here.
    WrongAccount,
}

impl From<tertulia_client::ConnectionState> for ConnectionState {
    /// Without the time of the next try, which is by a clock that nobody else has.
    fn from(state: tertulia_client::ConnectionState) -> Self {
        use tertulia_client::ConnectionState as Of;
        match state {
            Of::Paused => Self::Paused,
            Of::Offline => Self::Offline,
            Of::Waiting { .. } => Self::Waiting,
            Of::Connecting => Self::Connecting,
            Of::Connected { caught_up } => Self::Connected { caught_up },
            Of::SignedOut => Self::SignedOut,
            Of::WrongAccount => Self::WrongAccount,
        }
    }
}

/// What the server would not do and the device has taken back.
#[derive(Debug, uniffi::Record)]
pub struct Refusal {
    pub conversation: ConversationId,
    /// `None`: one that this version does not know.
    pub code: Option<ErrorCode>,
    pub detail: String,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let code = ErrorCode::ALL.into_iter().find(|code| code.as_str() == refused.code);
        Self { conversation: refused.conversation, code, detail: refused.detail }
    }
}

/// What a timeline shows.
#[derive(Debug, uniffi::Record)]
pub struct TimelineWindow {
    pub messages: Vec<Message>,
    /// There is more above, on this device or on the server.
    pub has_more: bool,
}

impl From<Window> for TimelineWindow {
    fn from(window: Window) -> Self {
        Self { messages: window.messages, has_more: window.has_more }
    }
}

macro_rules! diffs {
    ($($name:ident of $value:ident)*) => {$(
        /// One step of a list. Steps are applied in order; each index counts in the list as the steps before it left it.
        #[derive(Debug, uniffi::Enum)]
        pub enum $name {
            /// The whole list anew.
            Reset { values: Vec<$value> },
            /// What stood at `index` and below it stands one further down.
            Insert { index: u32, value: $value },
            /// Another value in the same place.
            Set { index: u32, value: $value },
            Remove { index: u32 },
        }

        impl From<ListDiff<$value>> for $name {
            fn from(step: ListDiff<$value>) -> Self {
                // Lists of the client are far shorter.
                let narrow = |index| u32::try_from(index).unwrap_or(u32::MAX);
                match step {
                    ListDiff::Reset(values) => Self::Reset { values },
                    ListDiff::Insert { index, value } => Self::Insert { index: narrow(index), value },
                    ListDiff::Set { index, value } => Self::Set { index: narrow(index), value },
                    ListDiff::Remove { index } => Self::Remove { index: narrow(index) },
                }
            }
        }
    )*};
}

diffs!(MessageDiff of Message ConversationDiff of Conversation);
