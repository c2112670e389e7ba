//! The log on PostgreSQL: for several servers, replicas, and more than one machine holds.
//!
//! One writer thread with group commit ([`writer`]), a pool of connections that read ([`readers`]), the search index
//! behind the commit ([`index`]), and the queue of jobs over connections of its own ([`jobs`]), as devices that are notified ([`push`]). Several processes write at the same time: the locks
//! of conversations order them, and the cursor is built on what is certainly visible (docs/adr/0008).
//!
//! This crate must not know: who may do what (it asks `Rules`), HTTP, sockets, clocks.
//!
//! The way through: `migrations/` the tables; [`write`] one transaction; [`read`] one lookup; [`rows`] how rows look; [`session`] how statements are sent;
//! [`connect`] how a database is reached; [`replicas`] who else may be read from; [`schema`] versions; [`lineage`] epochs; [`portable`] a move to or from
//! another home.

mod connect;
mod error;
mod index;
mod jobs;
mod lineage;
pub mod portable;
mod push;
mod read;
mod readers;
mod replicas;
mod rows;
mod schema;
mod session;
mod traces;
mod transactions;
mod webhooks;
mod write;
mod writer;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use lineage::{Failover, OnNewEpoch, Seed};
pub use replicas::{Fallback, ReplicaState};
pub use schema::OpenError;
pub use session::Prepared;
use tertulia_store::*;

use crate::connect::Target;
use crate::error::{Fault, Sql};
use crate::index::Indexer;
use crate::lineage::Lineage;
use crate::read::difference::{Begun, PageMax, begun, fill, page};
use crate::read::warrant::{Sight, sight};
use crate::readers::{Readers, Times, told};
use crate::replicas::Replicas;
use crate::session::Session;
use crate::transactions::Transactions;
use crate::writer::{Counts, Desk, Writer};

/// A statement that is planned for all partitions locks all of them and their indexes, and `max_locks_per_transaction` is 64 where nobody has raised it.
pub const PARTITIONS_MAX: u16 = 64;

/// How a database is opened.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host[:port][,host2]/database?sslmode=disable|prefer|require|verify-full[&sslrootcert=FILE]`. Of several hosts the one
    /// that takes writes is used. With `require` too the server's certificate and name are checked.
    pub url: String,
    /// Connections that read, at the primary and at each replica.
    pub readers: usize,
    /// How long the primary may take to answer a lookup. 1 s.
    pub lookup_deadline: Duration,
    /// Streaming replicas that may be read from, each by a URL of its own, with one host. None is needed for anything: what they can't answer, or not in
    /// time, the primary answers.
    pub replicas: Vec<String>,
    /// A replica that has been behind for longer is left out. 5 s.
    pub replica_lag_max: Duration,
    /// How long a replica may take to answer a lookup; half as long to give it a connection. 500 ms.
    pub replica_deadline: Duration,
    /// How often each replica is looked at. 1 s; up to 32 times as long for one that is away.
    pub replica_check_every: Duration,
    pub prepared: Prepared,
    /// Into how many parts a new log's messages are divided, 1 to [`PARTITIONS_MAX`]; of no effect on one that is there.
    pub partitions: u16,
    /// How long an answer is waited for before its connection is given up. What is sent is limited to 10 s by the database itself, and commits wait for
    /// replicas: at least 30 s where the database is a real one.
    pub silence_max: Duration,
    pub failover: Failover,
    /// Whoever holds what the log said before has to begin anew.
    pub on_new_epoch: Option<OnNewEpoch>,
    /// Unpredictable bytes, fresh at every start.
    pub seed: Seed,
}

/// Whether a replica can be reached by this URL, without trying it. The error holds no secret.
pub fn check_replica_url(url: &str) -> Result<(), OpenError> {
    Target::of_replica(url).map(drop)
}

impl Options {
    /// Four readers, named statements, sixteen partitions, no replica that is read from, and no trust in those that are promoted.
    pub fn new(url: impl Into<String>, seed: Seed) -> Self {
        Self {
            url: url.into(),
            readers: 4,
            lookup_deadline: readers::DEADLINE,
            replicas: Vec::new(),
            replica_lag_max: Duration::from_secs(5),
            replica_deadline: Duration::from_millis(500),
            replica_check_every: Duration::from_secs(1),
            prepared: Prepared::default(),
            partitions: 16,
            silence_max: Duration::from_secs(60),
            failover: Failover::default(),
            on_new_epoch: None,
            seed,
        }
    }
}

/// What the writer has met since it was started, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriterCounts {
    /// Transactions begun.
    pub transactions: u64,
    /// Transactions tried again because others were in the way.
    pub retries: u64,
    /// Connections that were lost.
    pub reconnects: u64,
    /// Commits whose answer was lost, and that turned out to have happened.
    pub found: u64,
}

/// See the crate's own documentation. Dropping it commits what waits and closes its connections.
pub struct PostgresStore {
    writer: Writer,
    readers: Arc<Readers>,
    replicas: Replicas,
    indexer: Indexer,
    jobs: Transactions,
    changes: Transactions,
    counts: Arc<Counts>,
    lineage: Arc<Lineage>,
}

impl PostgresStore {
    /// Brings the schema up to date and opens the log, which is made where there is none. Reads run on the tokio runtime of whoever asks (with IO and
    /// time), the writer on a thread of its own.
    ///
    /// Behind a pooler in transaction mode [`Prepared::Typed`] is needed, and a schema that is up to date already.
    pub async fn open(
        options: &Options,
        rules: Arc<dyn Rules>,
        sink: Arc<dyn CommitSink>,
    ) -> Result<Arc<Self>, OpenError> {
        let target = Target::parse(&options.url)?.for_writing();
        schema::migrate(&target, options.partitions.clamp(1, PARTITIONS_MAX)).await?;
        let lineage = Arc::new(Lineage::new(options.seed, options.failover, options.on_new_epoch.clone()));
        schema::begin(&target, options.prepared, &lineage).await?;
        let readers =
            Readers::new(&target, options.readers, options.prepared, Times::of(&target, options.lookup_deadline))?;
        let replicas = Replicas::start(options, &readers)?;
        let jobs = Transactions::new("jobs", &target, options.prepared)?;
        let changes = Transactions::new("a change", &target, options.prepared)?;
        let indexer = Indexer::start(target.clone(), options.prepared, options.silence_max)
            .map_err(|e| OpenError::failed(&target, e))?;
        let counts = Arc::<Counts>::default();
        let desk = Desk {
            rules,
            sink,
            lineage: Arc::clone(&lineage),
            target: target.clone(),
            prepared: options.prepared,
            silence_max: options.silence_max,
            counts: Arc::clone(&counts),
            backlog: Arc::clone(&indexer.backlog),
        };
        let writer = Writer::start(Arc::new(desk)).map_err(|e| OpenError::failed(&target, e))?;
        Ok(Arc::new(Self { writer, readers, replicas, indexer, jobs, changes, counts, lineage }))
    }

    /// Commits what waits and stops the writer, then closes what reads; later writes are refused. Blocks until that is done.
    pub fn close(&self) {
        self.writer.close();
        self.indexer.close();
        self.jobs.close();
        self.changes.close();
        self.replicas.close();
        self.readers.close();
    }

    /// Writes that wait for the writer.
    pub fn writes_waiting(&self) -> usize {
        self.writer.waiting()
    }

    pub fn writer_counts(&self) -> WriterCounts {
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        WriterCounts {
            transactions: read(&self.counts.transactions),
            retries: read(&self.counts.retries),
            reconnects: read(&self.counts.reconnects),
            found: read(&self.counts.found),
        }
    }

    /// In the order of [`Options::replicas`].
    pub fn replicas(&self) -> Vec<ReplicaState> {
        self.replicas.states()
    }

    /// How often the primary answered what a replica was asked, and why.
    pub fn fallbacks(&self) -> [(Fallback, u64); 6] {
        self.replicas.fallbacks()
    }

    /// One at a time, and it may take longer than a lookup.
    async fn look_long<T, F, R>(&self, deadline: Duration, lookup: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Session>) -> R + Send + 'static,
        R: Future<Output = Sql<T>> + Send + 'static,
    {
        told(Arc::clone(&self.readers).read_long(deadline, lookup).await)
    }

    fn read<T, F, R>(&self, lookup: F) -> Reading<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Session>) -> R + Send + 'static,
        R: Future<Output = Sql<T>> + Send + 'static,
    {
        Box::pin(async move {
            let found = Arc::clone(&self.readers).read(lookup).await;
            if matches!(found, Err(Fault::OtherHistory)) {
                self.writer.doubt();
            }
            told(found)
        })
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for PostgresStore {
    fn submit(&self, write: Write, done: Completion) {
        self.writer.submit(write, done);
    }

    fn log_state(&self) -> Reading<'_, LogState> {
        Box::pin(async move {
            let read = self.read(|s| async move { read::accounts::generation_and_state(&s).await });
            let (generation, state) = read.await?;
            self.lineage.notice(generation, uuid::Uuid::from_bytes(state.epoch));
            Ok(state)
        })
    }

    fn user(&self, viewer: UserId, user: UserId) -> Reading<'_, Option<User>> {
        self.read(move |s| async move { read::accounts::user(&s, viewer, user).await })
    }

    fn users_by_email(&self, viewer: UserId, prefix: String, limit: usize) -> Reading<'_, Vec<User>> {
        self.read(move |s| async move { read::accounts::users_by_email(&s, viewer, prefix, limit).await })
    }

    fn account(&self, lookup: AccountLookup) -> Reading<'_, Option<Account>> {
        self.read(move |s| async move { read::accounts::account(&s, &lookup).await })
    }

    fn blocked(&self, user: UserId, limit: usize) -> Reading<'_, Vec<User>> {
        self.read(move |s| async move { read::accounts::blocked(&s, user, limit).await })
    }

    fn sessions(&self, user: UserId, now: Timestamp, limit: usize) -> Reading<'_, Vec<OpenSession>> {
        self.read(move |s| async move { read::accounts::sessions(&s, user, now, limit).await })
    }

    fn session(&self, session: SessionId) -> Reading<'_, Option<SessionRecord>> {
        self.read(move |s| async move { read::accounts::session(&s, session).await })
    }

    fn api_key(&self, hash: [u8; 32]) -> Reading<'_, Option<ApiKeyRecord>> {
        self.read(move |s| async move { read::accounts::api_key(&s, &hash).await })
    }

    fn api_keys(&self, above: Option<ApiKeyId>, limit: usize) -> Reading<'_, Vec<KeptApiKey>> {
        self.read(move |s| async move { read::accounts::api_keys(&s, above, limit).await })
    }

    fn api_key_stands(&self, id: ApiKeyId) -> Reading<'_, bool> {
        self.read(move |s| async move { read::accounts::api_key_stands(&s, id).await })
    }

    fn token_secret(&self) -> Reading<'_, [u8; 32]> {
        self.read(|s| async move { read::accounts::token_secret(&s).await })
    }

    fn memberships(&self, user: UserId) -> Reading<'_, Vec<ConversationId>> {
        self.read(move |s| async move { read::conversations::memberships(&s, user).await })
    }

    fn changed_for(&self, people: Vec<UserId>, above: i64) -> Reading<'_, Vec<ChangedFor>> {
        self.read(move |s| async move { read::difference::changed_for(&s, &people, above).await })
    }

    fn membership(&self, user: UserId, conversation: ConversationId) -> Reading<'_, Option<Membership>> {
        self.read(move |s| async move { read::conversations::membership(&s, user, conversation).await })
    }

    fn acquaintances(&self, viewer: UserId, others: Vec<UserId>) -> Reading<'_, Vec<Acquaintance>> {
        self.read(move |s| async move { read::accounts::acquaintances(&s, viewer, &others).await })
    }

    fn conversation(&self, user: UserId, conversation: ConversationId) -> Reading<'_, Option<Conversation>> {
        self.read(move |s| async move { read::conversations::conversation(&s, user, conversation).await })
    }

    fn conversations(&self, user: UserId, after: Option<ListCursor>, limit: usize) -> Reading<'_, ConversationPage> {
        Box::pin(async move {
            if let Some(replica) = self.replicas.choose()
                && let Some((warrant, has_more)) =
                    self.read(move |s| async move { read::conversations::chosen(&s, user, after, limit).await }).await?
            {
                let ids = warrant.ids();
                let listed = move |s: Arc<Session>| async move { read::conversations::listed(&s, user, &ids).await };
                if let Some(conversations) = replica.read(warrant, listed).await {
                    return Ok(ConversationPage { conversations, has_more });
                }
            }
            self.read(move |s| async move { read::conversations::page(&s, user, after, limit).await }).await
        })
    }

    fn history(
        &self,
        user: UserId,
        conversation: ConversationId,
        range: HistoryRange,
        limit: usize,
    ) -> Reading<'_, Option<HistoryPage>> {
        let page =
            move |s: Arc<Session>| async move { read::history::page(&s, user, conversation, range, limit).await };
        Box::pin(async move {
            if let Some(replica) = self.replicas.choose() {
                match self.read(move |s| async move { sight(&s, user, conversation).await }).await? {
                    Sight::Nothing => return Ok(None),
                    Sight::Here => {}
                    Sight::There(warrant) => {
                        if let Some(found) = replica.read(warrant, page).await {
                            return Ok(found);
                        }
                    }
                }
            }
            self.read(page).await
        })
    }

    fn message(&self, user: UserId, conversation: ConversationId, message: MessageId) -> Reading<'_, Option<Message>> {
        self.read(move |s| async move { read::history::message(&s, user, conversation, message).await })
    }

    fn difference(
        &self,
        user: UserId,
        from: SyncFrom,
        have: Option<Holdings>,
        conversations_max: usize,
        messages_max: usize,
    ) -> Reading<'_, DifferencePage> {
        let max = PageMax { conversations: conversations_max, messages: messages_max };
        let have = Arc::new(have);
        Box::pin(async move {
            if let Some(replica) = self.replicas.choose() {
                let have = Arc::clone(&have);
                let begun =
                    self.read(move |s| async move { begun(&s, user, from, have.as_ref().as_ref(), max).await }).await?;
                let (plan, warrant) = match begun {
                    Begun::Done(page) => return Ok(page),
                    Begun::Planned(plan, warrant) => (plan, warrant),
                };
                if let Some(page) = replica.read(warrant, move |s| async move { fill(&s, &plan).await }).await {
                    return Ok(page);
                }
            }
            self.read(move |s| async move { page(&s, user, from, have.as_ref().as_ref(), max).await }).await
        })
    }

    fn search(
        &self,
        user: UserId,
        text: String,
        within: Option<ConversationId>,
        limit: usize,
    ) -> Reading<'_, Vec<Message>> {
        Box::pin(async move {
            if let Some(replica) = self.replicas.choose().filter(|_| read::search::is_searchable(&text)) {
                let places = self.read(move |s| async move { read::search::places(&s, user, within).await }).await?;
                if let Some(warrant) = places.warrant(user) {
                    let text = text.clone();
                    let found =
                        move |s: Arc<Session>| async move { read::search::found(&s, &places, &text, limit).await };
                    if let Some(messages) = replica.read(warrant, found).await {
                        return Ok(messages);
                    }
                }
            }
            self.read(move |s| async move { read::search::messages(&s, user, &text, within, limit).await }).await
        })
    }

    /// Of what this server wrote.
    fn search_lag(&self) -> SearchLag {
        self.indexer.backlog.lag()
    }

    fn job_counts(&self) -> Reading<'_, JobCounts> {
        self.read(|s| async move { read::accounts::job_counts(&s).await })
    }

    fn jobs(&self) -> &dyn JobQueue {
        self
    }

    fn push(&self) -> &dyn PushBook {
        self
    }

    fn webhooks(&self) -> &dyn WebhookBook {
        self
    }

    fn traces(&self) -> &dyn TraceBook {
        self
    }
}
