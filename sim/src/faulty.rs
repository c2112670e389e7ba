//! Stores with bad days: the server's, and a device's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tertulia_core::HouseRules;
use tertulia_engine::{
    Holes, LocalConversation, LocalMessage, LocalStore, MessageRef, OutboxEntry, StoreFailure, Stored, SyncState,
};
use tertulia_proto::sync::Held;
use tertulia_proto::{ApiError, ClientMsgId, Member, Seq};
use tertulia_store::*;
use tertulia_store_sqlite::SqliteStore;

use crate::notify::post::Post;
use crate::notify::{WorkerBook, WorkerQueue};
use crate::planted::NotifyBug;
use crate::webhooks::WorkerHooks;

/// The server's store; once in so many writes its disk is full.
pub struct FaultyStore {
    inner: Arc<SqliteStore>,
    full_every: Arc<AtomicUsize>,
    count: AtomicUsize,
    post: Arc<Post>,
    lines: Option<Lines>,
}

/// How a worker reaches what it works on.
pub struct Lines {
    pub queue: WorkerQueue,
    pub book: WorkerBook,
    pub hooks: WorkerHooks,
}

impl FaultyStore {
    pub fn new(inner: Arc<SqliteStore>, full_every: Arc<AtomicUsize>, post: &Arc<Post>) -> Self {
        Self { inner, full_every, count: AtomicUsize::new(0), post: Arc::clone(post), lines: None }
    }

    pub fn of_worker(inner: Arc<SqliteStore>, post: &Arc<Post>, lines: Lines) -> Self {
        Self { lines: Some(lines), ..Self::new(inner, Arc::default(), post) }
    }

    fn silence_others(&self, told: &Write) {
        let Write::AdvanceWatermarks { conversation, actor, delivered, device: Some(device), now, .. } = *told else {
            return;
        };
        let others: Vec<_> = self.post.book().clients_of(actor).filter(|other| *other != device).collect();
        for other in others {
            let device = Some(other);
            let write = Write::AdvanceWatermarks { conversation, actor, delivered, read: None, device, now };
            self.inner.submit(write, Box::new(|_| ()));
        }
    }

    /// Does it, and has the world know what concerns notifications.
    fn submit_noted(&self, write: Write, done: Completion) {
        let (is_done, told) = (Arc::new(AtomicBool::new(false)), write.clone());
        let seen = Arc::clone(&is_done);
        let done: Completion = Box::new(move |result| {
            seen.store(result.is_ok(), Ordering::Relaxed);
            done(result);
        });
        self.inner.submit(write, done);
        if is_done.load(Ordering::Relaxed) && self.post.book().bug == Some(NotifyBug::SilencedByAnother) {
            self.silence_others(&told);
        }
        if is_done.load(Ordering::Relaxed)
            && let Err(error) = self.post.wrote(&told, &self.inner)
        {
            self.post.breaks(|| format!("looking at a write: {error:#}"));
        }
    }
}

impl Store for FaultyStore {
    fn webhooks(&self) -> &dyn WebhookBook {
        self.lines.as_ref().map_or_else(|| self.inner.webhooks(), |lines| &lines.hooks)
    }
    fn submit(&self, write: Write, done: Completion) {
        let every = self.full_every.load(Ordering::Relaxed);
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        if every > 0 && count % every == every - 1 {
            return crate::server::disk_full(done);
        }
        let is_of_interest =
            matches!(write, Write::AdvanceWatermarks { .. } | Write::SetMuted { .. } | Write::SetBlocked { .. });
        if is_of_interest && self.post.book().is_on {
            return self.submit_noted(write, done);
        }
        self.inner.submit(write, done);
    }

    fn log_state(&self) -> Reading<'_, LogState> {
        self.inner.log_state()
    }
    fn user(&self, viewer: UserId, user: UserId) -> Reading<'_, Option<User>> {
        self.inner.user(viewer, user)
    }
    fn users_by_email(&self, viewer: UserId, prefix: String, limit: usize) -> Reading<'_, Vec<User>> {
        self.inner.users_by_email(viewer, prefix, limit)
    }
    fn account(&self, lookup: AccountLookup) -> Reading<'_, Option<Account>> {
        self.inner.account(lookup)
    }
    fn blocked(&self, user: UserId, limit: usize) -> Reading<'_, Vec<User>> {
        self.inner.blocked(user, limit)
    }
    fn sessions(&self, user: UserId, now: Timestamp, limit: usize) -> Reading<'_, Vec<OpenSession>> {
        self.inner.sessions(user, now, limit)
    }
    fn session(&self, session: SessionId) -> Reading<'_, Option<SessionRecord>> {
        self.inner.session(session)
    }
    fn api_key(&self, hash: [u8; 32]) -> Reading<'_, Option<ApiKeyRecord>> {
        self.inner.api_key(hash)
    }
    fn api_keys(&self, above: Option<ApiKeyId>, limit: usize) -> Reading<'_, Vec<KeptApiKey>> {
        self.inner.api_keys(above, limit)
    }
    fn api_key_stands(&self, id: ApiKeyId) -> Reading<'_, bool> {
        self.inner.api_key_stands(id)
    }
    fn token_secret(&self) -> Reading<'_, [u8; 32]> {
        self.inner.token_secret()
    }
    fn memberships(&self, user: UserId) -> Reading<'_, Vec<ConversationId>> {
        self.inner.memberships(user)
    }
    fn changed_for(&self, people: Vec<UserId>, above: i64) -> Reading<'_, Vec<ChangedFor>> {
        self.inner.changed_for(people, above)
    }

    fn membership(&self, user: UserId, conversation: ConversationId) -> Reading<'_, Option<Membership>> {
        self.inner.membership(user, conversation)
    }
    fn acquaintances(&self, viewer: UserId, others: Vec<UserId>) -> Reading<'_, Vec<Acquaintance>> {
        self.inner.acquaintances(viewer, others)
    }
    fn conversation(&self, user: UserId, conversation: ConversationId) -> Reading<'_, Option<Conversation>> {
        self.inner.conversation(user, conversation)
    }
    fn conversations(&self, user: UserId, after: Option<ListCursor>, limit: usize) -> Reading<'_, ConversationPage> {
        self.inner.conversations(user, after, limit)
    }
    fn history(
        &self,
        user: UserId,
        conversation: ConversationId,
        range: HistoryRange,
        limit: usize,
    ) -> Reading<'_, Option<HistoryPage>> {
        self.inner.history(user, conversation, range, limit)
    }
    fn message(&self, user: UserId, conversation: ConversationId, message: MessageId) -> Reading<'_, Option<Message>> {
        self.inner.message(user, conversation, message)
    }
    fn difference(
        &self,
        user: UserId,
        from: SyncFrom,
        have: Option<Holdings>,
        conversations_max: usize,
        messages_max: usize,
    ) -> Reading<'_, DifferencePage> {
        self.inner.difference(user, from, have, conversations_max, messages_max)
    }
    fn search(
        &self,
        user: UserId,
        text: String,
        within: Option<ConversationId>,
        limit: usize,
    ) -> Reading<'_, Vec<Message>> {
        self.inner.search(user, text, within, limit)
    }
    fn search_lag(&self) -> SearchLag {
        self.inner.search_lag()
    }
    fn job_counts(&self) -> Reading<'_, JobCounts> {
        self.inner.job_counts()
    }
    fn jobs(&self) -> &dyn tertulia_store::JobQueue {
        self.lines.as_ref().map_or_else(|| self.inner.jobs(), |lines| &lines.queue)
    }

    fn push(&self) -> &dyn PushBook {
        self.lines.as_ref().map_or_else(|| self.inner.push(), |lines| &lines.book)
    }

    fn traces(&self) -> &dyn tertulia_store::TraceBook {
        self.inner.traces()
    }
}

/// The house's rules, and once in so many sends a refusal for good.
pub struct FaultyRules {
    pub house: HouseRules,
    pub refuse_every: Arc<AtomicUsize>,
    pub count: AtomicUsize,
}

impl Rules for FaultyRules {
    fn decide(&self, action: Action, facts: &Facts) -> Result<(), ApiError> {
        self.house.decide(action, facts)?;
        let every = self.refuse_every.load(Ordering::Relaxed);
        if action == Action::SendMessage && every > 0 && self.count.fetch_add(1, Ordering::Relaxed) % every == every - 1
        {
            return Err(ApiError::forbidden("not here, says the moderator"));
        }
        Ok(())
    }
}

/// A device's rows; after so many calls its disk is full.
pub struct FaultyRows<'a> {
    pub inner: &'a mut dyn LocalStore,
    pub calls_left: Option<usize>,
}

impl FaultyRows<'_> {
    fn call(&mut self) -> Stored<&mut dyn LocalStore> {
        if let Some(left) = &mut self.calls_left {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => return Err(StoreFailure::Full("the simulated disk".to_owned())),
            }
        }
        Ok(self.inner)
    }
}

impl LocalStore for FaultyRows<'_> {
    fn sync_state(&mut self) -> Stored<SyncState> {
        self.call()?.sync_state()
    }
    fn put_sync_state(&mut self, state: &SyncState) -> Stored<()> {
        self.call()?.put_sync_state(state)
    }
    fn conversation(&mut self, id: ConversationId) -> Stored<Option<LocalConversation>> {
        self.call()?.conversation(id)
    }
    fn put_conversation(&mut self, conversation: &LocalConversation) -> Stored<()> {
        self.call()?.put_conversation(conversation)
    }
    fn delete_conversation(&mut self, id: ConversationId) -> Stored<()> {
        self.call()?.delete_conversation(id)
    }
    fn clear_log(&mut self, id: ConversationId) -> Stored<()> {
        self.call()?.clear_log(id)
    }
    fn clear_log_below(&mut self, id: ConversationId, seq: Seq) -> Stored<()> {
        self.call()?.clear_log_below(id, seq)
    }
    fn touched(&mut self, limit: usize) -> Stored<Vec<Held>> {
        self.call()?.touched(limit)
    }
    fn settle_touched(&mut self, before_round: i64) -> Stored<()> {
        self.call()?.settle_touched(before_round)
    }
    fn doubt_all(&mut self) -> Stored<()> {
        self.call()?.doubt_all()
    }
    fn doubted(&mut self) -> Stored<Vec<ConversationId>> {
        self.call()?.doubted()
    }
    fn intents(&mut self, limit: usize) -> Stored<Vec<LocalConversation>> {
        self.call()?.intents(limit)
    }
    fn begin_telling(&mut self) -> Stored<()> {
        self.call()?.begin_telling()
    }
    fn end_telling(&mut self) -> Stored<()> {
        self.call()?.end_telling()
    }
    fn member(&mut self, conversation: ConversationId, user: UserId) -> Stored<Option<Member>> {
        self.call()?.member(conversation, user)
    }
    fn put_member(&mut self, conversation: ConversationId, member: &Member) -> Stored<()> {
        self.call()?.put_member(conversation, member)
    }
    fn message_at(&mut self, conversation: ConversationId, seq: Seq) -> Stored<Option<LocalMessage>> {
        self.call()?.message_at(conversation, seq)
    }
    fn message(&mut self, conversation: ConversationId, message: &MessageRef) -> Stored<Option<LocalMessage>> {
        self.call()?.message(conversation, message)
    }
    fn put_message(&mut self, message: &LocalMessage) -> Stored<i64> {
        self.call()?.put_message(message)
    }
    fn delete_message(&mut self, key: i64) -> Stored<()> {
        self.call()?.delete_message(key)
    }
    fn tombstones_above(&mut self, conversation: ConversationId, seq: Seq) -> Stored<i64> {
        self.call()?.tombstones_above(conversation, seq)
    }
    fn holes(&mut self, conversation: ConversationId) -> Stored<Holes> {
        self.call()?.holes(conversation)
    }
    fn put_holes(&mut self, conversation: ConversationId, holes: &Holes) -> Stored<()> {
        self.call()?.put_holes(conversation, holes)
    }
    fn outbox(&mut self, conversation: ConversationId, limit: usize) -> Stored<Vec<OutboxEntry>> {
        self.call()?.outbox(conversation, limit)
    }
    fn outbox_due(&mut self, conversation: ConversationId, limit: usize) -> Stored<Vec<OutboxEntry>> {
        self.call()?.outbox_due(conversation, limit)
    }
    fn outbox_entry(&mut self, id: i64) -> Stored<Option<OutboxEntry>> {
        self.call()?.outbox_entry(id)
    }
    fn outbox_about(&mut self, conversation: ConversationId, target: &MessageRef) -> Stored<Vec<OutboxEntry>> {
        self.call()?.outbox_about(conversation, target)
    }
    fn put_outbox(&mut self, entry: &OutboxEntry) -> Stored<i64> {
        self.call()?.put_outbox(entry)
    }
    fn delete_outbox(&mut self, id: i64) -> Stored<()> {
        self.call()?.delete_outbox(id)
    }
    fn is_taken_back(&mut self, conversation: ConversationId, name: &ClientMsgId) -> Stored<bool> {
        self.call()?.is_taken_back(conversation, name)
    }
    fn put_taken_back(&mut self, conversation: ConversationId, name: &ClientMsgId, round: i64) -> Stored<()> {
        self.call()?.put_taken_back(conversation, name, round)
    }
    fn settle_taken_back(&mut self, before_round: i64) -> Stored<()> {
        self.call()?.settle_taken_back(before_round)
    }
    fn outbox_conversations(&mut self) -> Stored<Vec<ConversationId>> {
        self.call()?.outbox_conversations()
    }
    fn outbox_len(&mut self) -> Stored<usize> {
        self.call()?.outbox_len()
    }
}
