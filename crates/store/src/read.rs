//! What can be looked up. Rows that people see are the wire's own types; the rest is here.

use std::collections::BTreeMap;

use tertulia_proto::sync::Held;
use tertulia_proto::{
    ApiKeyId, ConversationId, HistoryVisibility, Message, MessageId, Rev, Role, Seq, SessionId, Timestamp, User, UserId,
};
use tertulia_proto::{Conversation, sync::SyncConversation};

/// Epoch and commit position. The position grows, at once or a little later, with every commit that people can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    pub epoch: [u8; 16],
    /// All at or below it has ended and can be seen.
    pub position: i64,
    /// Nothing at or below the position has ever been above this: a client that says otherwise is of another log.
    pub end: i64,
}

#[derive(Debug, Clone)]
pub enum AccountLookup {
    Id(UserId),
    Email(String),
    External { issuer: String, subject: String },
}

/// A user with what nobody else may see.
#[derive(Debug, Clone)]
pub struct Account {
    pub user: User,
    pub password_hash: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRecord {
    pub user: UserId,
    pub expires_at: Timestamp,
    pub ended: bool,
}

/// A session as its person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    pub id: SessionId,
    pub created_at: Timestamp,
    pub last_seen_at: Option<Timestamp>,
    pub user_agent: Option<String>,
}

#[derive(Debug, Clone)]
pub struct ApiKeyRecord {
    pub id: ApiKeyId,
    pub name: String,
    pub scopes: Vec<String>,
    /// Whom it acts for; else each call says so.
    pub user: Option<UserId>,
}

/// A key as the owner of the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptApiKey {
    pub id: ApiKeyId,
    pub name: String,
    pub scopes: Vec<String>,
    /// Whom it acts for; else each call says so.
    pub user: Option<UserId>,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct Membership {
    pub role: Role,
    pub user_name: String,
    pub last_seq: Seq,
    /// Messages up to here are not for this member.
    pub visible_after_seq: Seq,
    pub history_visibility: HistoryVisibility,
    /// In a DM: one of the two has blocked the other.
    pub blocked: bool,
}

/// A conversation that changed for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedFor {
    pub user: UserId,
    pub conversation: ConversationId,
    /// The conversation's; of one whom the change took out, that of the removal.
    pub rev: Rev,
    pub is_member: bool,
    /// Something changed that the person alone sees, and that moves no `rev`.
    pub is_personal: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acquaintance {
    pub user: UserId,
    pub last_seen_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub struct ConversationPage {
    pub conversations: Vec<Conversation>,
    pub has_more: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryRange {
    /// The newest.
    Latest,
    /// The newest of those below.
    Before(Seq),
    /// The oldest of those above.
    After(Seq),
    /// The oldest of those above this message; nothing is known of a message that is not there.
    AfterMessage(MessageId),
}

#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// In `seq` order.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction asked.
    pub has_more: bool,
}

/// Where a difference starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncFrom {
    /// Rows above this position are wanted.
    pub base: i64,
    /// Inside a difference of several pages: the position where it will end, and the last conversation handed over, in order of id.
    pub within: Option<(i64, ConversationId)>,
}

impl SyncFrom {
    pub const BEGINNING: Self = Self { base: 0, within: None };
}

/// What a client holds beyond its cursor, by conversation. What is not in it the client holds as of the cursor and no further.
pub type Holdings = BTreeMap<ConversationId, Held>;

#[derive(Debug, Clone)]
pub struct DifferencePage {
    pub conversations: Vec<SyncConversation>,
    pub removed: Vec<ConversationId>,
    /// Where the next page or the next difference starts.
    pub next: SyncFrom,
    pub has_more: bool,
    /// The client holds what is not in this log, which has gone back: this is the first page of everything.
    pub reset: bool,
}

/// How far the search index is behind the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchLag {
    /// Conversations with something not yet indexed.
    pub conversations: u64,
    /// Age of the oldest of it, in milliseconds of the home's monotonic clock.
    pub age_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobCounts {
    pub ready: i64,
    pub dead: i64,
}
