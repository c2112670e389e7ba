//! The shapes, in the form in which they cross. Most are the client's own once more, with the names that TypeScript sees.

use serde::{Deserialize, Serialize};
use tertulia_client as client;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        #[serde(transparent)]
        pub struct $name(#[cfg_attr(test, ts(type = "string"))] pub client::$name);

        impl From<client::$name> for $name {
            fn from(name: client::$name) -> Self {
                Self(name)
            }
        }
    )*};
}

names! {
    UserId
    ConversationId
    MessageId
    /// The sender's own name for a message, unique together with the sender: a UUIDv7.
    ClientMsgId
}

/// Milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(transparent)]
pub struct Ms(#[cfg_attr(test, ts(type = "number"))] pub i64);

impl From<client::Timestamp> for Ms {
    fn from(time: client::Timestamp) -> Self {
        Self(time.ms())
    }
}

/// A message in a call: the log's name for it, or for one of mine, pending or not, the name it was written under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(untagged)]
pub enum MessageRef {
    Log { id: MessageId },
    Mine { name: ClientMsgId },
}

impl From<client::MessageRef> for MessageRef {
    fn from(message: client::MessageRef) -> Self {
        match message {
            client::MessageRef::Log(id) => Self::Log { id: id.into() },
            client::MessageRef::Mine(name) => Self::Mine { name: name.into() },
        }
    }
}

impl From<MessageRef> for client::MessageRef {
    fn from(message: MessageRef) -> Self {
        match message {
            MessageRef::Log { id } => Self::Log(id.0),
            MessageRef::Mine { name } => Self::Mine(name.0),
        }
    }
}

/// How far a message of mine has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Status {
    Pending,
    Sent,
    Delivered,
    Read,
    /// `entry`: what `retry` and `discard` take.
    Failed {
        entry: i64,
        code: String,
        detail: String,
    },
}

impl From<client::Status> for Status {
    fn from(status: client::Status) -> Self {
        match status {
            client::Status::Pending => Self::Pending,
            client::Status::Sent => Self::Sent,
            client::Status::Delivered => Self::Delivered,
            client::Status::Read => Self::Read,
            client::Status::Failed { entry, code, detail } => {
                Self::Failed { entry, code: code.as_str().to_owned(), detail }
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    pub emoji: String,
    pub user_ids: Vec<UserId>,
}

impl From<client::Reaction> for Reaction {
    fn from(reaction: client::Reaction) -> Self {
        Self {
            emoji: reaction.emoji.as_str().to_owned(),
            user_ids: reaction.user_ids.into_iter().map(UserId).collect(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Row on this device; stays while a pending message becomes the log's. Negative where there is no row: in what the server found.
    pub key: i64,
    pub conversation_id: ConversationId,
    /// Place in the conversation; null while pending.
    pub seq: Option<i64>,
    pub id: Option<MessageId>,
    pub name: ClientMsgId,
    pub sender_id: UserId,
    pub sender_name: String,
    pub sender_avatar: Option<String>,
    /// Empty once deleted.
    pub body: String,
    pub created_at: Ms,
    pub reply_to: Option<MessageRef>,
    pub edited_at: Option<Ms>,
    pub deleted_at: Option<Ms>,
    pub reactions: Vec<Reaction>,
    /// Of a message of mine; null for others'.
    pub status: Option<Status>,
    /// An edit, deletion or reaction is shown that the log does not have yet.
    pub is_changing: bool,
    /// Messages are missing right above; they are being fetched where a timeline shows them.
    pub gap_above: bool,
}

impl From<client::Message> for Message {
    fn from(message: client::Message) -> Self {
        Self {
            key: message.key,
            conversation_id: message.conversation.into(),
            seq: message.seq,
            id: message.id.map(MessageId),
            name: message.name.into(),
            sender_id: message.sender.into(),
            sender_name: message.sender_name,
            sender_avatar: message.sender_avatar,
            body: message.body,
            created_at: message.created_at.into(),
            reply_to: message.reply_to.map(MessageRef::from),
            edited_at: message.edited_at.map(Ms::from),
            deleted_at: message.deleted_at.map(Ms::from),
            reactions: message.reactions.into_iter().map(Reaction::from).collect(),
            status: message.status.map(Status::from),
            is_changing: message.is_changing,
            gap_above: message.gap_above,
        }
    }
}

impl Message {
    /// One that the server found, and that need not be on this device; `place`: among what it found.
    pub fn found(message: client::proto::Message, place: usize, me: Option<client::UserId>) -> Self {
        let mine = me == Some(message.sender_id);
        Self {
            key: -1 - i64::try_from(place).unwrap_or(i64::MAX - 1),
            conversation_id: message.conversation_id.into(),
            seq: Some(message.seq),
            id: Some(message.message_id.into()),
            name: message.client_msg_id.into(),
            sender_id: message.sender_id.into(),
            sender_name: message.sender_name,
            sender_avatar: message.sender_avatar,
            body: message.body,
            created_at: message.created_at.into(),
            reply_to: message.reply_to.map(|id| MessageRef::Log { id: id.into() }),
            edited_at: message.edited_at.map(Ms::from),
            deleted_at: message.deleted_at.map(Ms::from),
            reactions: message.reactions.into_iter().map(Reaction::from).collect(),
            status: mine.then_some(Status::Sent),
            is_changing: false,
            gap_above: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub id: UserId,
    pub email: Option<String>,
    pub name: String,
    pub avatar_url: Option<String>,
    pub created_at: Ms,
}

impl From<client::User> for User {
    fn from(user: client::User) -> Self {
        Self {
            id: user.id.into(),
            email: user.email,
            name: user.name,
            avatar_url: user.avatar_url,
            created_at: user.created_at.into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum Role {
    Owner,
    Admin,
    Member,
}

impl From<client::Role> for Role {
    fn from(role: client::Role) -> Self {
        match role {
            client::Role::Owner => Self::Owner,
            client::Role::Admin => Self::Admin,
            client::Role::Member => Self::Member,
        }
    }
}

impl From<Role> for client::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    pub id: ConversationId,
    #[cfg_attr(test, ts(type = "\"dm\" | \"group\""))]
    pub r#type: client::ConversationKind,
    /// null in a DM: its title is `peer.name`.
    pub title: Option<String>,
    pub peer: Option<User>,
    pub created_at: Ms,
    pub last_message_at: Option<Ms>,
    pub last_message: Option<Message>,
    pub last_seq: i64,
    pub read_seq: i64,
    pub unread: i64,
    pub my_role: Role,
    pub member_count: i64,
    #[cfg_attr(test, ts(type = "\"joined\" | \"all\""))]
    pub history_visibility: client::HistoryVisibility,
    pub muted_until: Option<Ms>,
    pub is_hidden: bool,
    pub draft: String,
    /// Something of it was refused and waits for the person: see the outbox.
    pub has_parked: bool,
    /// One is no member any more; it is here for what could not be sent.
    pub is_left: bool,
}

impl From<client::Conversation> for Conversation {
    fn from(conversation: client::Conversation) -> Self {
        Self {
            id: conversation.id.into(),
            r#type: conversation.kind,
            title: conversation.title,
            peer: conversation.peer.map(User::from),
            created_at: conversation.created_at.into(),
            last_message_at: conversation.last_message_at.map(Ms::from),
            last_message: conversation.last_message.map(Message::from),
            last_seq: conversation.last_seq,
            read_seq: conversation.read_seq,
            unread: conversation.unread,
            my_role: conversation.my_role.into(),
            member_count: conversation.member_count,
            history_visibility: conversation.history_visibility,
            muted_until: conversation.muted_until.map(Ms::from),
            is_hidden: conversation.is_hidden,
            draft: conversation.draft,
            has_parked: conversation.has_parked,
            is_left: conversation.is_left,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub user_id: UserId,
    pub name: String,
    pub avatar_url: Option<String>,
    pub role: Role,
    pub joined_at: Ms,
    /// Everything up to here has reached one of the person's devices.
    pub delivered_seq: i64,
    pub read_seq: i64,
}

impl From<client::Member> for Member {
    fn from(member: client::Member) -> Self {
        Self {
            user_id: member.user_id.into(),
            name: member.name,
            avatar_url: member.avatar_url,
            role: member.role.into(),
            joined_at: member.joined_at.into(),
            delivered_seq: member.delivered_seq,
            read_seq: member.read_seq,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum Op {
    Send,
    Edit { body: String },
    Delete,
    React { emoji: String, remove: bool },
}

impl From<client::Op> for Op {
    fn from(op: client::Op) -> Self {
        match op {
            client::Op::Send => Self::Send,
            client::Op::Edit { body } => Self::Edit { body },
            client::Op::Delete => Self::Delete,
            client::Op::React { emoji, remove } => Self::React { emoji: emoji.as_str().to_owned(), remove },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Parked {
    pub code: String,
    pub detail: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// What `retry` and `discard` take.
    pub entry: i64,
    pub conversation_id: ConversationId,
    pub message: MessageRef,
    pub op: Op,
    /// Refused for good, and why: it waits for the person. null: it goes by itself.
    pub parked: Option<Parked>,
    pub created_at: Ms,
}

impl From<client::Waiting> for Waiting {
    fn from(waiting: client::Waiting) -> Self {
        Self {
            entry: waiting.entry,
            conversation_id: waiting.conversation.into(),
            message: waiting.message.into(),
            op: waiting.op.into(),
            parked: waiting.parked.map(|why| Parked { code: why.code.as_str().to_owned(), detail: why.detail }),
            created_at: waiting.created_at.into(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ConnectionState {
    Paused,
    Offline,
    /// `inMs`: until the next try, counted when this was told.
    Waiting {
        #[cfg_attr(test, ts(type = "number"))]
        in_ms: u64,
    },
    Connecting,
    /// `caughtUp`: what was missed is here.
    Connected {
        caught_up: bool,
    },
    SignedOut,
    WrongAccount,
    /// Another tab runs a newer version of this app: this one has to be reloaded.
    NewerVersion,
}

impl ConnectionState {
    pub fn of(state: client::ConnectionState, next_try_in_ms: Option<u64>) -> Self {
        use client::ConnectionState as Of;
        match state {
            Of::Paused => Self::Paused,
            Of::Offline => Self::Offline,
            Of::Waiting { .. } => Self::Waiting { in_ms: next_try_in_ms.unwrap_or(0) },
            Of::Connecting => Self::Connecting,
            Of::Connected { caught_up } => Self::Connected { caught_up },
            Of::SignedOut => Self::SignedOut,
            Of::WrongAccount => Self::WrongAccount,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Typist {
    pub user_id: UserId,
    pub name: String,
}

impl From<client::TypingState> for Typist {
    fn from(typing: client::TypingState) -> Self {
        Self { user_id: typing.user.into(), name: typing.name }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    pub online: bool,
    pub last_seen_at: Option<Ms>,
}

impl From<client::PresenceState> for Presence {
    fn from(state: client::PresenceState) -> Self {
        Self { online: state.online, last_seen_at: state.last_seen_at.map(Ms::from) }
    }
}

/// What came to nothing and was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    pub conversation_id: ConversationId,
    pub code: String,
    pub detail: String,
}

impl From<client::Refused> for Refused {
    fn from(refused: client::Refused) -> Self {
        Self { conversation_id: refused.conversation.into(), code: refused.code.to_owned(), detail: refused.detail }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    pub body_max_bytes: usize,
    pub title_max_chars: usize,
    pub group_members_max: usize,
}

impl From<client::Limits> for Limits {
    fn from(limits: client::Limits) -> Self {
        Self {
            body_max_bytes: limits.body_max_bytes,
            title_max_chars: limits.title_max_chars,
            group_members_max: limits.group_members_max,
        }
    }
}

/// What the data take on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    pub bytes: i64,
    /// false: in memory alone, gone with the tab that leads.
    pub is_durable: bool,
}

/// A session of this person on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Session {
    pub id: String,
    pub created_at: Ms,
    pub last_seen_at: Option<Ms>,
    pub user_agent: Option<String>,
    pub is_this: bool,
}

impl From<client::proto::Session> for Session {
    fn from(session: client::proto::Session) -> Self {
        Self {
            id: session.id.to_string(),
            created_at: session.created_at.into(),
            last_seen_at: session.last_seen_at.map(Ms::from),
            user_agent: session.user_agent,
            is_this: session.current,
        }
    }
}

/// `token`: null where the browser has been given the session's cookie instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SignedIn {
    pub user: User,
    pub token: Option<String>,
}

/// One step of a list. Steps are applied in order; each index counts in the list as the steps before it left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "step", rename_all = "camelCase")]
pub enum ListStep<T> {
    /// The whole list anew.
    Reset {
        values: Vec<T>,
    },
    /// What stood at `index` and below it stands one further down.
    Insert {
        index: usize,
        value: T,
    },
    /// Another value in the same place.
    Set {
        index: usize,
        value: T,
    },
    Remove {
        index: usize,
    },
}

impl<T, U: From<T>> From<client::ListDiff<T>> for ListStep<U> {
    fn from(step: client::ListDiff<T>) -> Self {
        match step {
            client::ListDiff::Reset(values) => Self::Reset { values: values.into_iter().map(U::from).collect() },
            client::ListDiff::Insert { index, value } => Self::Insert { index, value: value.into() },
            client::ListDiff::Set { index, value } => Self::Set { index, value: value.into() },
            client::ListDiff::Remove { index } => Self::Remove { index },
        }
    }
}

/// What changed of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct TimelineChange {
    pub steps: Vec<ListStep<Message>>,
    pub has_older: bool,
    pub has_newer: bool,
}
