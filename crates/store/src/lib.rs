//! The seam between rules and homes of the log. A home (SQLite, PostgreSQL) implements [`Store`]; the services in `core` know nothing else.
//!
//! The interface speaks in whole business facts: a [`Write`] is one thing that happened, and a home applies it in one transaction, many of them a
//! commit. Whether it may happen is asked of [`Rules`], on [`Facts`] read inside that transaction, so that no home has rules of its own and no rule
//! races with a write. Results leave in commit order through one [`CommitSink`].
//!
//! What may not be here: SQL, errors for absence (`Option`) or for what was done already (an outcome), anything only one home could do.
//!
//! The way through: [`write`] what happens, [`rules`] who is asked, [`read`] what is looked up, [`jobs`] work for later, [`push`] who is notified where, [`webhooks`] what other programs are told, [`trace`] which way messages took, [`portable`] how a log changes
//! homes, [`conformance`] what every home must pass.

pub mod conformance;
pub mod jobs;
pub mod portable;
pub mod push;
pub mod read;
pub mod rules;
pub mod trace;
pub mod webhooks;
pub mod write;

use std::future::Future;
use std::pin::Pin;

pub use jobs::JobQueue;
pub use push::PushBook;
pub use read::*;
pub use rules::{Action, Facts, Rules, Target};
use tertulia_proto::ApiError;
pub use trace::TraceBook;
pub use webhooks::WebhookBook;
pub use write::*;

pub type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The home itself failed; nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Busy, full, disconnected or shutting down: may work later. The text is for the log.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A row that can't be what the schema says.
    #[error("a stored row does not decode: {0}")]
    Corrupt(String),
}

/// Why a write did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The rules, or the state of things, said no; the answer is final for this request.
    #[error(transparent)]
    Refused(#[from] ApiError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub type WriteResult = Result<Effect, WriteError>;

/// Called once, after the commit (or the refusal), in commit order, before anybody else hears of it.
pub type Completion = Box<dyn FnOnce(&WriteResult) + Send>;

/// A write that has an end: committed and durable, or refused.
pub struct Committed {
    pub result: WriteResult,
    pub done: Completion,
}

/// Where results go, in commit order. Called from the home's writer: must not block for long and never call the store back synchronously.
pub trait CommitSink: Send + Sync {
    fn committed(&self, batch: Vec<Committed>);
}

/// A home of the log.
pub trait Store: Send + Sync + 'static {
    /// Queues a write; never blocks. `done` is called through the sink, also when the queue is full (`Unavailable`).
    ///
    /// Writes submitted by one caller one after the other are applied in that order.
    fn submit(&self, write: Write, done: Completion);

    /// Which log this is and how far it has come.
    fn log_state(&self) -> Reading<'_, LogState>;

    fn user(&self, viewer: UserId, user: UserId) -> Reading<'_, Option<User>>;
    /// Exact match or prefix of the e-mail, in order of e-mail; never more than `limit`.
    fn users_by_email(&self, viewer: UserId, prefix: String, limit: usize) -> Reading<'_, Vec<User>>;
    fn account(&self, lookup: AccountLookup) -> Reading<'_, Option<Account>>;
    /// Whom the user has blocked, by name; never more than `limit`.
    fn blocked(&self, user: UserId, limit: usize) -> Reading<'_, Vec<User>>;
    fn session(&self, session: SessionId) -> Reading<'_, Option<SessionRecord>>;
    /// The user's sessions that stand at `now`, newest first; never more than `limit`.
    fn sessions(&self, user: UserId, now: Timestamp, limit: usize) -> Reading<'_, Vec<OpenSession>>;
    fn api_key(&self, hash: [u8; 32]) -> Reading<'_, Option<ApiKeyRecord>>;
    /// Keys that stand, in order of id, above one; never more than `limit`. What opens with them is not to be had: only its hash is kept.
    fn api_keys(&self, above: Option<ApiKeyId>, limit: usize) -> Reading<'_, Vec<KeptApiKey>>;
    /// Whether the key is there and not revoked.
    fn api_key_stands(&self, id: ApiKeyId) -> Reading<'_, bool>;
    /// The secret that signs this log's own tokens, made with the log.
    fn token_secret(&self) -> Reading<'_, [u8; 32]>;

    /// Conversations the user is a member of, for live delivery.
    fn memberships(&self, user: UserId) -> Reading<'_, Vec<ConversationId>>;
    /// Of these people's conversations those that changed above a position for them, in no order: what a server asks that may have missed what
    /// another one told. Others may be among them; nothing of what came after one was taken out.
    fn changed_for(&self, people: Vec<UserId>, above: i64) -> Reading<'_, Vec<ChangedFor>>;
    /// `None` where the user is no member.
    fn membership(&self, user: UserId, conversation: ConversationId) -> Reading<'_, Option<Membership>>;
    /// Of `others`, those who share a conversation with the viewer and have not blocked them, with when they were last here.
    fn acquaintances(&self, viewer: UserId, others: Vec<UserId>) -> Reading<'_, Vec<Acquaintance>>;

    /// One conversation with all members and the last message; `None` where the user is no member.
    fn conversation(&self, user: UserId, conversation: ConversationId) -> Reading<'_, Option<Conversation>>;
    /// Newest activity first, hidden ones left out; the same number of queries whatever the page holds.
    fn conversations(&self, user: UserId, after: Option<ListCursor>, limit: usize) -> Reading<'_, ConversationPage>;
    /// `None` where the user is no member. In `seq` order.
    fn history(
        &self,
        user: UserId,
        conversation: ConversationId,
        range: HistoryRange,
        limit: usize,
    ) -> Reading<'_, Option<HistoryPage>>;
    fn message(&self, user: UserId, conversation: ConversationId, message: MessageId) -> Reading<'_, Option<Message>>;

    /// What changed for the user above `from`, at most so many conversations and messages of each; at least one conversation if any.
    ///
    /// Of a conversation in `have` the rows above the `rev` held are told, and a hole and stale messages exactly; nothing at all where neither its
    /// `rev` nor what the user alone sees has moved. Who joined above `from` gets it whole all the same: what they hold may be of an earlier stay.
    /// Of a conversation that is not in it, nothing is held beyond `from`.
    fn difference(
        &self,
        user: UserId,
        from: SyncFrom,
        have: Option<Holdings>,
        conversations_max: usize,
        messages_max: usize,
    ) -> Reading<'_, DifferencePage>;

    /// Messages that hold the text anywhere, newest first, of what the user may see. The index follows the log at a distance ([`SearchLag`]).
    fn search(
        &self,
        user: UserId,
        text: String,
        within: Option<ConversationId>,
        limit: usize,
    ) -> Reading<'_, Vec<Message>>;
    fn search_lag(&self) -> SearchLag;

    /// Jobs by state, for metrics and the conformance suite.
    fn job_counts(&self) -> Reading<'_, JobCounts>;
    /// The queue that lies beside the log.
    fn jobs(&self) -> &dyn JobQueue;
    /// The devices that are registered for notifications.
    fn push(&self) -> &dyn PushBook;
    /// Other programs that are told what happens.
    fn webhooks(&self) -> &dyn WebhookBook;
    /// Which way messages took.
    fn traces(&self) -> &dyn TraceBook;
}

pub use tertulia_proto::{
    ApiKeyId, Conversation, ConversationId, ListCursor, Member, Message, MessageId, Role, SessionId, Timestamp, User,
    UserId,
};
