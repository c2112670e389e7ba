//! The search index: its own file beside the log, written behind the commit by its own thread, rebuilt from the log whenever it is missing, damaged
//! or of another epoch. The log's writer never waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OptionalExtension};
use tertulia_store::SearchLag;

use crate::files;
use crate::read::accounts::log_state;
use crate::rows::{Sql, message_key, seq_of};
use crate::schema::OpenError;

/// Messages indexed in one transaction.
const STEP_MESSAGES: i64 = 1000;

/// What has changed gathers for this long, so that a busy conversation is visited once for many messages.
const GATHER: Duration = Duration::from_millis(150);

/// After a step the thread rests three times as long as the step took, so that indexing takes at most a quarter of a core from sending. Once the
/// oldest waiting change is older than this it no longer rests: the lag stays bounded.
const LAG_MAX: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Waiting {
    /// Conversation numbers, since when they wait, and how often they were told.
    since: BTreeMap<i64, (Instant, u64)>,
    closed: bool,
}

/// What the writer tells and the thread works off.
#[derive(Default)]
pub(crate) struct Backlog {
    waiting: Mutex<Waiting>,
    woken: Condvar,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the lag is told by the monotonic clock; nothing in the log depends on it"
)]
fn instant() -> Instant {
    Instant::now()
}

impl Backlog {
    pub fn add(&self, conversations: &BTreeSet<i64>) {
        if conversations.is_empty() {
            return;
        }
        let now = instant();
        let mut waiting = self.waiting.lock();
        for no in conversations {
            waiting.since.entry(*no).or_insert((now, 0)).1 += 1;
        }
        drop(waiting);
        self.woken.notify_one();
    }

    pub fn lag(&self) -> SearchLag {
        let waiting = self.waiting.lock();
        let age = waiting.since.values().min().map_or(Duration::ZERO, |(since, _)| instant().duration_since(*since));
        SearchLag {
            conversations: u64::try_from(waiting.since.len()).unwrap_or(u64::MAX),
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn close(&self) {
        self.waiting.lock().closed = true;
        self.woken.notify_all();
    }

    /// Waits for work, then a little for more of it. `None` at the end.
    fn next(&self, rest: Duration) -> Option<Vec<i64>> {
        let mut waiting = self.waiting.lock();
        let until = instant() + GATHER.max(rest);
        loop {
            if waiting.closed {
                return None;
            }
            let now = instant();
            let oldest = waiting.since.values().min().map(|(since, _)| now.duration_since(*since));
            match oldest {
                None => self.woken.wait(&mut waiting),
                Some(age) if now >= until || age >= LAG_MAX => break,
                Some(_) => drop(self.woken.wait_for(&mut waiting, until.duration_since(now))),
            }
        }
        Some(waiting.since.keys().copied().collect())
    }

    /// Takes a step, and the conversation off when the step has arrived.
    fn work_off(&self, no: i64, step: impl FnOnce() -> Sql<bool>) -> Sql<()> {
        // Before the step reads the log: what is told from here on may not be in it.
        let told = self.told(no);
        if step()? {
            self.done(no, told);
        }
        Ok(())
    }

    /// How often the conversation has been told up to now.
    fn told(&self, no: i64) -> u64 {
        self.waiting.lock().since.get(&no).map_or(0, |(_, told)| *told)
    }

    /// The step that began when the conversation had been told so often has arrived. What was told meanwhile is not in it and waits from now on.
    fn done(&self, no: i64, told: u64) {
        let mut waiting = self.waiting.lock();
        match waiting.since.get_mut(&no) {
            Some((since, times)) if *times != told => *since = instant(),
            _ => drop(waiting.since.remove(&no)),
        }
    }
}

pub(crate) struct Indexer {
    pub backlog: Arc<Backlog>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Indexer {
    /// Opens the index of this log and starts its thread.
    pub fn start(log: &Path, index: &Path) -> Result<Self, OpenError> {
        let connection = match open(log, index) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "the search index is unusable and is built anew");
                remove(index);
                open(log, index)?
            }
        };
        let backlog = Arc::new(Backlog::default());
        backlog.add(&behind(&connection).map_err(|e| OpenError::failed(index, e))?);
        let theirs = Arc::clone(&backlog);
        let thread = std::thread::Builder::new()
            .name("search-index".into())
            .spawn(move || run(&connection, &theirs))
            .map_err(|e| OpenError::failed(index, e))?;
        Ok(Self { backlog, thread: Mutex::new(Some(thread)) })
    }

    pub fn close(&self) {
        self.backlog.close();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the search index had panicked");
        }
    }
}

pub(crate) fn remove(index: &Path) {
    for suffix in files::PARTS {
        let _ = std::fs::remove_file(files::part(index, suffix));
    }
}

fn open(log: &Path, index: &Path) -> Result<Connection, OpenError> {
    let connection = crate::schema::open_reader(log)?;
    let failed = |e: rusqlite::Error| OpenError::failed(index, e);
    connection.execute_batch("PRAGMA query_only = OFF").map_err(failed)?;
    files::make_private_database(index).map_err(|e| OpenError::failed(index, e))?;
    // ATTACH opens what is there; it makes nothing on a connection that may not.
    drop(Connection::open(index).map_err(failed)?);
    attach(&connection, &index.display().to_string()).map_err(failed)?;
    // Rebuildable, so a commit need not reach the disk at once; WAL keeps it whole.
    connection
        .execute_batch("PRAGMA search.journal_mode = WAL; PRAGMA search.synchronous = NORMAL; BEGIN IMMEDIATE")
        .map_err(failed)?;
    create(&connection).and_then(|()| connection.execute_batch("COMMIT")).map_err(failed)?;
    Ok(connection)
}

pub(crate) fn attach(connection: &Connection, index: &str) -> Sql<()> {
    connection.execute("ATTACH DATABASE ?1 AS search", [index]).map(drop)
}

/// Makes the tables, or empties them where they are of another log.
pub(crate) fn create(connection: &Connection) -> Sql<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS search.state (epoch BLOB NOT NULL) STRICT;
         CREATE TABLE IF NOT EXISTS search.progress (
            conversation_no INTEGER PRIMARY KEY, seq INTEGER NOT NULL, pos INTEGER NOT NULL) STRICT;
         CREATE VIRTUAL TABLE IF NOT EXISTS search.message_fts USING fts5 (
            body, content = '', contentless_delete = 1, tokenize = 'trigram remove_diacritics 1');",
    )?;
    let epoch = log_state(connection)?.epoch;
    let known: Option<[u8; 16]> =
        connection.query_row("SELECT epoch FROM search.state", [], |row| row.get(0)).optional()?;
    if known != Some(epoch) {
        connection.execute_batch("DELETE FROM search.state; DELETE FROM search.progress; INSERT INTO search.message_fts (message_fts) VALUES ('delete-all');")?;
        connection.execute("INSERT INTO search.state (epoch) VALUES (?1)", [epoch.as_slice()])?;
    }
    Ok(())
}

/// Conversations that went on while the index was not looking.
pub(crate) fn behind(connection: &Connection) -> Sql<BTreeSet<i64>> {
    connection
        .prepare(
            "SELECT c.no FROM main.conversations c LEFT JOIN search.progress p ON p.conversation_no = c.no
             WHERE c.last_seq > coalesce(p.seq, 0) OR c.pos > coalesce(p.pos, 0)",
        )?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn run(connection: &Connection, backlog: &Backlog) {
    let mut rest = Duration::ZERO;
    while let Some(conversations) = backlog.next(rest) {
        let began = instant();
        for no in conversations {
            if let Err(error) = backlog.work_off(no, || in_transaction(connection, no)) {
                tracing::warn!(%error, "indexing failed and is tried again");
                break;
            }
        }
        rest = (instant().duration_since(began) * 3).min(Duration::from_secs(5));
    }
}

fn in_transaction(connection: &Connection, no: i64) -> Sql<bool> {
    let transaction = connection.unchecked_transaction()?;
    let done = step(&transaction, no)?;
    transaction.commit()?;
    Ok(done)
}

/// Brings the index of one conversation a step nearer to the log; `true` when it has arrived.
pub(crate) fn step(connection: &Connection, no: i64) -> Sql<bool> {
    let position = log_state(connection)?.position;
    let (seq, pos): (i64, i64) = connection
        .prepare_cached("SELECT seq, pos FROM search.progress WHERE conversation_no = ?1")?
        .query_row([no], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .unwrap_or((0, 0));
    let mut insert = connection.prepare_cached("INSERT INTO search.message_fts (rowid, body) VALUES (?1, ?2)")?;
    let mut delete = connection.prepare_cached("DELETE FROM search.message_fts WHERE rowid = ?1")?;

    let mut changed = connection.prepare_cached(
        "SELECT key, body, deleted_at IS NOT NULL FROM main.messages WHERE key >> 32 = ?1 AND amended = 1 AND pos > ?2 AND key <= ?3",
    )?;
    let mut rows = changed.query((no, pos, message_key(no, seq)))?;
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        delete.execute([key])?;
        if !row.get::<_, bool>(2)? {
            insert.execute((key, row.get_ref(1)?.as_str()?))?;
        }
    }

    let mut new = connection.prepare_cached(
        "SELECT key, body, deleted_at IS NOT NULL FROM main.messages WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3",
    )?;
    let mut rows = new.query((message_key(no, seq), message_key(no + 1, 0), STEP_MESSAGES))?;
    let (mut last_seq, mut count) = (seq, 0);
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        if !row.get::<_, bool>(2)? {
            insert.execute((key, row.get_ref(1)?.as_str()?))?;
        }
        (last_seq, count) = (seq_of(key), count + 1);
    }
    connection
        .prepare_cached(
            "INSERT INTO search.progress (conversation_no, seq, pos) VALUES (?1, ?2, ?3)
             ON CONFLICT (conversation_no) DO UPDATE SET seq = excluded.seq, pos = excluded.pos",
        )?
        .execute((no, last_seq, position))?;
    Ok(count < STEP_MESSAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(backlog: &Backlog) -> Vec<i64> {
        backlog.waiting.lock().since.keys().copied().collect()
    }

    #[test]
    fn a_conversation_that_is_told_again_during_its_step_is_indexed_again() {
        let backlog = Backlog::default();
        backlog.add(&BTreeSet::from([1, 2]));
        let during = || {
            backlog.add(&BTreeSet::from([1]));
            Ok(true)
        };
        backlog.work_off(1, during).unwrap();
        backlog.work_off(2, || Ok(true)).unwrap();
        assert_eq!(waiting(&backlog), [1], "what came during the step is not in the index");
        assert_eq!(backlog.lag().conversations, 1);
        backlog.work_off(1, || Ok(true)).unwrap();
        assert_eq!(waiting(&backlog), [0; 0]);
        backlog.add(&BTreeSet::from([1]));
        assert_eq!(waiting(&backlog), [1]);
    }

    #[test]
    fn a_conversation_waits_until_its_step_has_arrived() {
        let backlog = Backlog::default();
        backlog.add(&BTreeSet::from([1]));
        backlog.work_off(1, || Ok(false)).unwrap();
        assert_eq!(waiting(&backlog), [1]);
        backlog.work_off(1, || Err(rusqlite::Error::InvalidQuery)).unwrap_err();
        assert_eq!(waiting(&backlog), [1]);
        backlog.work_off(1, || Ok(true)).unwrap();
        assert_eq!(waiting(&backlog), [0; 0]);
    }
}
