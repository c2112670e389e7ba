//! The log in one SQLite file: the home that needs nothing installed.
//!
//! One writer thread with group commit ([`writer`]), several read-only connections ([`readers`]), the search index in a second file ([`index`]). The
//! inline form ([`SqliteStore::open_in_memory`]) has no threads and no files: simulation and tests run the same SQL, step by step.
//!
//! This crate must not know: who may do what (it asks `Rules`), HTTP, sockets, clocks.
//!
//! The way through: `migrations/` the tables; [`write`] one commit; [`read`] one lookup; [`rows`] how rows look; [`schema`] opening a file;
//! [`files`] who may read it; [`portable`] a move to or from another home.

mod error;
pub mod files;
mod index;
mod jobs;
pub mod maintenance;
pub mod portable;
mod push;
mod read;
mod readers;
mod rows;
mod schema;
mod traces;
mod webhooks;
mod write;
mod writer;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
pub use schema::{OpenError, Seed};
use tertulia_store::*;

use crate::index::{Backlog, Indexer};
use crate::readers::{DEADLINE, Readers, in_snapshot};
use crate::rows::Sql;
use crate::schema::Witness;
use crate::writer::{Desk, Writer};

/// How a file is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections that read. Each costs up to 4 MiB of cache.
    pub readers: usize,
    /// Whether this process keeps the search index and the witness of restores: the server does, a tool beside it does not.
    pub serves: bool,
    /// Unpredictable bytes, fresh at every start.
    pub seed: Seed,
}

enum Home {
    Inline(Mutex<Connection>),
    File { writer: Writer, readers: Arc<Readers>, indexer: Option<Indexer> },
}

/// See the crate's own documentation. Dropping it commits what waits and closes the file.
pub struct SqliteStore {
    home: Home,
    desk: Arc<Desk>,
    witness: Option<Arc<Witness>>,
}

impl SqliteStore {
    /// Opens (or makes) `tertulia.db` and `search.db` in a folder.
    pub fn open(
        folder: &Path,
        options: &Options,
        rules: Arc<dyn Rules>,
        sink: Arc<dyn CommitSink>,
    ) -> Result<Arc<Self>, OpenError> {
        files::make_folder(folder).map_err(|e| OpenError::failed(folder, e))?;
        let (log, index) = (folder.join("tertulia.db"), folder.join("search.db"));
        let connection = schema::open_writer(&log)?;
        portable::refuse(&connection, folder)?;
        let witness = folder.join("incarnation");
        let is_new: i64 = connection
            .query_row("SELECT count(*) FROM log_state", [], |row| row.get(0))
            .map_err(|e| OpenError::failed(&log, e))?;
        let witness = if options.serves || is_new == 0 {
            schema::begin_incarnation(&connection, Some(&witness), &options.seed)?
                .filter(|_| options.serves)
                .map(Arc::new)
        } else {
            None
        };
        let indexer = if options.serves { Some(Indexer::start(&log, &index)?) } else { None };
        let readers = (0..options.readers.max(1))
            .map(|_| {
                let reader = schema::open_reader(&log)?;
                if options.serves {
                    index::attach(&reader, &index.display().to_string()).map_err(|e| OpenError::failed(&index, e))?;
                }
                Ok(reader)
            })
            .collect::<Result<Vec<_>, OpenError>>()?;
        let backlog = indexer.as_ref().map(|indexer| Arc::clone(&indexer.backlog));
        let touched = move |conversations: &BTreeSet<i64>| {
            if let Some(backlog) = &backlog {
                Backlog::add(backlog, conversations);
            }
        };
        let desk = Arc::new(Desk { rules, sink, touched: Box::new(touched) });
        let writer = Writer::start(connection, Arc::clone(&desk)).map_err(|e| OpenError::failed(&log, e))?;
        let readers = Readers::new(readers, DEADLINE);
        Ok(Arc::new(Self { home: Home::File { writer, readers, indexer }, desk, witness }))
    }

    /// A log without threads or files: every call is done when it returns.
    pub fn open_in_memory(
        seed: &Seed,
        rules: Arc<dyn Rules>,
        sink: Arc<dyn CommitSink>,
    ) -> Result<Arc<Self>, OpenError> {
        let connection = schema::open_memory(None)?;
        schema::begin_incarnation(&connection, None, seed)?;
        Self::inline(connection, rules, sink)
    }

    /// A log without threads or files, as it was when the image was taken: for the simulation, whose servers die. With `new_epoch` it is one that was
    /// put back from a backup.
    pub fn open_image(
        image: &[u8],
        new_epoch: Option<[u8; 16]>,
        rules: Arc<dyn Rules>,
        sink: Arc<dyn CommitSink>,
    ) -> Result<Arc<Self>, OpenError> {
        let connection = schema::open_memory(Some(image))?;
        if let Some(epoch) = new_epoch {
            connection
                .execute("UPDATE log_state SET epoch = ?1", [epoch])
                .map_err(|e| OpenError::failed(Path::new(":memory:"), e))?;
        }
        Self::inline(connection, rules, sink)
    }

    fn inline(
        connection: Connection,
        rules: Arc<dyn Rules>,
        sink: Arc<dyn CommitSink>,
    ) -> Result<Arc<Self>, OpenError> {
        index::attach(&connection, ":memory:")
            .and_then(|()| index::create(&connection))
            .map_err(|e| OpenError::failed(Path::new(":memory:"), e))?;
        let desk = Arc::new(Desk { rules, sink, touched: Box::new(|_| ()) });
        Ok(Arc::new(Self { home: Home::Inline(Mutex::new(connection)), desk, witness: None }))
    }

    /// The whole log as bytes, of one without files; empty for one with.
    pub fn image(&self) -> Result<Vec<u8>, StoreError> {
        match &self.home {
            Home::Inline(connection) => {
                let image = connection.lock().serialize("main").map(|data| data.to_vec());
                image.map_err(|e| StoreError::Unavailable(e.to_string()))
            }
            Home::File { .. } => Ok(Vec::new()),
        }
    }

    /// Commits what waits and stops the threads; later writes are refused.
    pub fn close(&self) {
        if let Home::File { writer, indexer, .. } = &self.home {
            writer.close();
            if let Some(indexer) = indexer {
                indexer.close();
            }
        }
    }

    /// Notes beside the log how far it has come, so that a restore is noticed. Called about every second; cheap when nothing happened.
    pub async fn remember_position(&self) -> Result<(), StoreError> {
        let Some(witness) = self.witness.clone() else { return Ok(()) };
        let position = self.log_state().await?.position;
        let noted = tokio::task::spawn_blocking(move || witness.remember(position)).await;
        noted.map_err(|e| StoreError::Unavailable(e.to_string()))?.map_err(|e| StoreError::Unavailable(e.to_string()))
    }

    /// Writes that wait for the writer.
    pub fn writes_waiting(&self) -> usize {
        match &self.home {
            Home::Inline(_) => 0,
            Home::File { writer, .. } => writer.waiting(),
        }
    }

    fn read<T, F>(&self, lookup: F) -> Reading<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Sql<T> + Send + 'static,
    {
        match &self.home {
            Home::Inline(connection) => {
                let found = in_snapshot(&connection.lock(), lookup);
                Box::pin(std::future::ready(found))
            }
            Home::File { readers, .. } => Box::pin(Arc::clone(readers).read(lookup)),
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for SqliteStore {
    fn submit(&self, write: Write, done: Completion) {
        match &self.home {
            Home::File { writer, .. } => writer.submit(write, done),
            Home::Inline(connection) => {
                let connection = connection.lock();
                self.desk.process(&connection, vec![(write, done)], Vec::new());
                // No thread follows behind here: the index arrives with the commit.
                let indexed = index::behind(&connection).and_then(|behind| {
                    behind.into_iter().try_for_each(|no| {
                        while !index::step(&connection, no)? {}
                        Ok(())
                    })
                });
                if let Err(error) = indexed {
                    tracing::warn!(%error, "indexing failed");
                }
            }
        }
    }

    fn log_state(&self) -> Reading<'_, LogState> {
        self.read(read::accounts::log_state)
    }

    fn user(&self, viewer: UserId, user: UserId) -> Reading<'_, Option<User>> {
        self.read(move |c| read::accounts::user(c, viewer, user))
    }

    fn users_by_email(&self, viewer: UserId, prefix: String, limit: usize) -> Reading<'_, Vec<User>> {
        self.read(move |c| read::accounts::users_by_email(c, viewer, &prefix, limit))
    }

    fn account(&self, lookup: AccountLookup) -> Reading<'_, Option<Account>> {
        self.read(move |c| read::accounts::account(c, &lookup))
    }

    fn blocked(&self, user: UserId, limit: usize) -> Reading<'_, Vec<User>> {
        self.read(move |c| read::accounts::blocked(c, user, limit))
    }

    fn sessions(&self, user: UserId, now: Timestamp, limit: usize) -> Reading<'_, Vec<OpenSession>> {
        self.read(move |c| read::accounts::sessions(c, user, now, limit))
    }

    fn session(&self, session: SessionId) -> Reading<'_, Option<SessionRecord>> {
        self.read(move |c| read::accounts::session(c, session))
    }

    fn api_key(&self, hash: [u8; 32]) -> Reading<'_, Option<ApiKeyRecord>> {
        self.read(move |c| read::accounts::api_key(c, &hash))
    }

    fn api_keys(&self, above: Option<ApiKeyId>, limit: usize) -> Reading<'_, Vec<KeptApiKey>> {
        self.read(move |c| read::accounts::api_keys(c, above, limit))
    }

    fn api_key_stands(&self, id: ApiKeyId) -> Reading<'_, bool> {
        self.read(move |c| read::accounts::api_key_stands(c, id))
    }

    fn token_secret(&self) -> Reading<'_, [u8; 32]> {
        self.read(read::accounts::token_secret)
    }

    fn memberships(&self, user: UserId) -> Reading<'_, Vec<ConversationId>> {
        self.read(move |c| read::conversations::memberships(c, user))
    }

    fn changed_for(&self, people: Vec<UserId>, above: i64) -> Reading<'_, Vec<ChangedFor>> {
        self.read(move |c| read::difference::changed_for(c, &people, above))
    }

    fn membership(&self, user: UserId, conversation: ConversationId) -> Reading<'_, Option<Membership>> {
        self.read(move |c| read::conversations::membership(c, user, conversation))
    }

    fn acquaintances(&self, viewer: UserId, others: Vec<UserId>) -> Reading<'_, Vec<Acquaintance>> {
        self.read(move |c| read::accounts::acquaintances(c, viewer, &others))
    }

    fn conversation(&self, user: UserId, conversation: ConversationId) -> Reading<'_, Option<Conversation>> {
        self.read(move |c| read::conversations::conversation(c, user, conversation))
    }

    fn conversations(&self, user: UserId, after: Option<ListCursor>, limit: usize) -> Reading<'_, ConversationPage> {
        self.read(move |c| read::conversations::page(c, user, after, limit))
    }

    fn history(
        &self,
        user: UserId,
        conversation: ConversationId,
        range: HistoryRange,
        limit: usize,
    ) -> Reading<'_, Option<HistoryPage>> {
        self.read(move |c| read::history::page(c, user, conversation, range, limit))
    }

    fn message(&self, user: UserId, conversation: ConversationId, message: MessageId) -> Reading<'_, Option<Message>> {
        self.read(move |c| read::history::message(c, user, conversation, message))
    }

    fn difference(
        &self,
        user: UserId,
        from: SyncFrom,
        have: Option<Holdings>,
        conversations_max: usize,
        messages_max: usize,
    ) -> Reading<'_, DifferencePage> {
        let max = read::difference::PageMax { conversations: conversations_max, messages: messages_max };
        self.read(move |c| read::difference::page(c, user, from, have.as_ref(), max))
    }

    fn search(
        &self,
        user: UserId,
        text: String,
        within: Option<ConversationId>,
        limit: usize,
    ) -> Reading<'_, Vec<Message>> {
        self.read(move |c| read::search::messages(c, user, &text, within, limit))
    }

    fn search_lag(&self) -> SearchLag {
        match &self.home {
            Home::File { indexer: Some(indexer), .. } => indexer.backlog.lag(),
            _ => SearchLag::default(),
        }
    }

    fn job_counts(&self) -> Reading<'_, JobCounts> {
        self.read(|c| {
            c.query_row("SELECT coalesce(sum(state = 0), 0), coalesce(sum(state = 2), 0) FROM jobs", [], |row| {
                Ok(JobCounts { ready: row.get(0)?, dead: row.get(1)? })
            })
        })
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
