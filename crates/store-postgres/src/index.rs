//! The search index: texts beside the messages, written behind the commit by a thread of each server, for what that server wrote. The log's writer never
//! waits for it. What a server left undone is found by the next that starts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tertulia_store::{ConversationId, Effect, SearchLag, WriteResult};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::connect::Target;
use crate::error::{Fault, Sql};
use crate::rows::{at, conversation_at};
use crate::session::{Prepared, Session};

/// Messages of a conversation indexed in one transaction.
const STEP_MESSAGES: i64 = 1000;

/// Conversations of one transaction.
const STEP_CONVERSATIONS: usize = 100;

/// What has changed gathers for this long, so that a busy conversation is visited once for many messages.
const GATHER: Duration = Duration::from_millis(150);

/// After a step the thread rests three times as long as the step took, so that indexing takes at most a quarter of a core from sending. Once the
/// oldest waiting change is older than this it no longer rests: the lag stays bounded.
const LAG_MAX: Duration = Duration::from_secs(20);

/// Before the next try after a failure.
const RETRY: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Waiting {
    /// Since when they wait, and how often they were told.
    since: BTreeMap<ConversationId, (Instant, u64)>,
}

impl Waiting {
    /// Those that have waited for longest, as many as a step takes.
    fn oldest(&self) -> Vec<(ConversationId, u64)> {
        let mut all: Vec<_> = self.since.iter().map(|(id, (since, told))| (*since, *id, *told)).collect();
        if all.len() > STEP_CONVERSATIONS {
            all.select_nth_unstable(STEP_CONVERSATIONS);
            all.truncate(STEP_CONVERSATIONS);
        }
        all.into_iter().map(|(_, id, told)| (id, told)).collect()
    }
}

/// What the writer tells and the thread works off.
#[derive(Default)]
pub(crate) struct Backlog {
    waiting: Mutex<Waiting>,
    woken: Notify,
    is_closed: AtomicBool,
    ended: Notify,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the lag is told by the monotonic clock; nothing in the log depends on it"
)]
fn instant() -> Instant {
    Instant::now()
}

impl Backlog {
    /// Takes on what these writes did to bodies; before anybody is told of them.
    pub fn take(&self, results: &[WriteResult]) {
        self.add(results.iter().filter_map(|result| match result {
            Ok(
                Effect::MessageAppended { message, fresh: true }
                | Effect::MessageEdited { message, changed: true, .. }
                | Effect::MessageDeleted { message, changed: true, .. },
            ) => Some(message.conversation_id),
            _ => None,
        }));
    }

    fn add(&self, conversations: impl Iterator<Item = ConversationId>) {
        let now = instant();
        let mut waiting = self.waiting.lock();
        let before = waiting.since.len();
        for id in conversations {
            waiting.since.entry(id).or_insert((now, 0)).1 += 1;
        }
        let is_first = before == 0 && !waiting.since.is_empty();
        drop(waiting);
        if is_first {
            self.woken.notify_one();
        }
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
        self.is_closed.store(true, Ordering::Release);
        self.ended.notify_one();
    }

    async fn closed(&self) {
        while !self.is_closed.load(Ordering::Acquire) {
            self.ended.notified().await;
        }
    }

    /// Waits for work, then a little for more of it.
    async fn next(&self, rest: Duration) -> Vec<(ConversationId, u64)> {
        let until = instant() + GATHER.max(rest);
        loop {
            let now = instant();
            let oldest = {
                let waiting = self.waiting.lock();
                let oldest = waiting.since.values().map(|(since, _)| now.duration_since(*since)).max();
                if oldest.is_some_and(|age| now >= until || age >= LAG_MAX) {
                    return waiting.oldest();
                }
                oldest
            };
            match oldest {
                None => self.woken.notified().await,
                Some(_) => drop(tokio::time::timeout(until.duration_since(now), self.woken.notified()).await),
            }
        }
    }

    /// The step that began when the conversation had been told so often has arrived. What was told meanwhile is not in it and waits from now on.
    fn done(&self, id: ConversationId, told: u64) {
        let mut waiting = self.waiting.lock();
        match waiting.since.get_mut(&id) {
            Some((since, times)) if *times != told => *since = instant(),
            _ => drop(waiting.since.remove(&id)),
        }
    }
}

pub(crate) struct Indexer {
    pub backlog: Arc<Backlog>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Indexer {
    pub fn start(target: Target, prepared: Prepared, silence_max: Duration) -> std::io::Result<Self> {
        let backlog = Arc::<Backlog>::default();
        let theirs = Arc::clone(&backlog);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("search-index".into()).spawn(move || {
            runtime.block_on(async {
                // What is broken off is done again by whoever comes next: the end waits for nobody.
                tokio::select! {
                    () = run(&target, prepared, silence_max, &theirs) => {}
                    () = theirs.closed() => {}
                }
            });
        })?;
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

async fn run(target: &Target, prepared: Prepared, silence_max: Duration, backlog: &Backlog) {
    loop {
        let Err(fault) = follow(target, prepared, silence_max, backlog).await;
        tracing::warn!(%fault, "indexing failed and is tried again");
        tokio::time::sleep(RETRY).await;
    }
}

/// Until something fails.
async fn follow(
    target: &Target,
    prepared: Prepared,
    silence_max: Duration,
    backlog: &Backlog,
) -> Sql<std::convert::Infallible> {
    let mut driver = JoinSet::new();
    let (client, connection) = target.connect().await?;
    driver.spawn(async move { drop(connection.await) });
    let session = Session::own(client, prepared);
    let looking = session.rows(BEHIND, &[]);
    let behind = tokio::time::timeout(silence_max, looking).await.unwrap_or(Err(Fault::Silent))?;
    backlog.add(behind.iter().map(|row| conversation_at(row, 0)).collect::<Sql<Vec<_>>>()?.into_iter());
    let mut rest = Duration::ZERO;
    loop {
        let conversations = backlog.next(rest).await;
        let began = instant();
        let ids: Vec<Uuid> = conversations.iter().map(|(id, _)| id.uuid()).collect();
        let stepping = in_transaction(&session, &ids);
        let arrived = tokio::time::timeout(silence_max, stepping).await.unwrap_or(Err(Fault::Silent))?;
        for (id, told) in conversations {
            if arrived.contains(&id) {
                backlog.done(id, told);
            }
        }
        rest = (instant().duration_since(began) * 3).min(Duration::from_secs(5));
    }
}

/// Conversations that went on while nobody was looking.
const BEHIND: &str = "SELECT c.id FROM conversations c LEFT JOIN search_progress p ON p.conversation_id = c.id
     WHERE c.last_seq > coalesce(p.seq, 0) OR EXISTS (SELECT 1 FROM messages x
        WHERE x.conversation_id = c.id AND x.amended AND x.rev > coalesce(p.rev, 0))";

/// The index may be behind anyway, so it need not wait for the disk: what a crash takes is found to be missing.
const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = 5000; SET LOCAL idle_in_transaction_session_timeout = 10000;
     SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// Says to whom it may concern that this transaction writes nothing to the log: a cursor need not wait for its end. Of the lock "asid".
const ASIDE: &str =
    "SELECT pg_try_advisory_xact_lock(1634953572, (pg_current_xact_id()::text::bigint & 2147483647)::int)";

const BEGUN: &str = "INSERT INTO search_progress (conversation_id, seq, rev) SELECT w.id, 0, 0 FROM unnest($1::uuid[]) AS w (id) ORDER BY w.id
     ON CONFLICT DO NOTHING";

/// With where each conversation stands now. What another server is at is left to it, and looked at again.
const PROGRESS: &str = "SELECT p.conversation_id, p.seq, p.rev, c.last_seq, c.rev FROM search_progress p JOIN conversations c ON c.id = p.conversation_id
     WHERE p.conversation_id = ANY($1) ORDER BY p.conversation_id FOR UPDATE OF p SKIP LOCKED";

/// Of what is indexed already, what has changed since; then what is new.
const TEXTS: &str = "INSERT INTO message_texts (conversation_id, seq, body)
     SELECT x.conversation_id, x.seq, searchable(x.body) FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS w (id, seq, rev, upto)
     CROSS JOIN LATERAL (
        SELECT x.conversation_id, x.seq, x.body FROM messages x
        WHERE x.conversation_id = w.id AND x.amended AND x.rev > w.rev AND x.seq <= w.seq AND x.deleted_at IS NULL
        UNION ALL
        SELECT x.conversation_id, x.seq, x.body FROM messages x
        WHERE x.conversation_id = w.id AND x.seq > w.seq AND x.seq <= w.upto AND x.deleted_at IS NULL) x
     ON CONFLICT (conversation_id, seq) DO UPDATE SET body = excluded.body WHERE message_texts.body <> excluded.body";

const DELETED: &str = "DELETE FROM message_texts t USING unnest($1::uuid[], $2::bigint[]) AS w (id, rev), messages x
     WHERE x.conversation_id = w.id AND x.amended AND x.rev > w.rev AND x.deleted_at IS NOT NULL
        AND t.conversation_id = w.id AND t.seq = x.seq";

const ADVANCED: &str = "UPDATE search_progress p SET seq = w.seq, rev = w.rev FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS w (id, seq, rev)
     WHERE p.conversation_id = w.id";

async fn in_transaction(session: &Session, ids: &Vec<Uuid>) -> Sql<Vec<ConversationId>> {
    session.batch(BEGIN).await?;
    let done = step(session, ids).await;
    match done {
        Ok(arrived) => session.batch("COMMIT").await.map(|()| arrived),
        Err(fault) => {
            let _ = session.batch("ROLLBACK").await;
            Err(fault)
        }
    }
}

/// Brings the texts of these conversations a step nearer to the log; those that have arrived.
///
/// What is read after the heads may be newer than they are: then it is read again the next time, and comes to the same.
async fn step(session: &Session, ids: &Vec<Uuid>) -> Sql<Vec<ConversationId>> {
    session.rows(ASIDE, &[]).await?;
    session.execute(BEGUN, &[ids]).await?;
    let (mut at_work, mut seqs, mut revs) = (Vec::<Uuid>::new(), Vec::<i64>::new(), Vec::<i64>::new());
    let (mut upto, mut heads, mut arrived) = (Vec::<i64>::new(), Vec::<i64>::new(), Vec::new());
    for row in session.rows(PROGRESS, &[ids]).await? {
        let (seq, last_seq): (i64, i64) = (at(&row, 1)?, at(&row, 3)?);
        let end = last_seq.min(seq + STEP_MESSAGES);
        if end == last_seq {
            arrived.push(conversation_at(&row, 0)?);
        }
        at_work.push(at(&row, 0)?);
        seqs.push(seq);
        revs.push(at(&row, 2)?);
        upto.push(end);
        heads.push(at(&row, 4)?);
    }
    session.execute(TEXTS, &[&at_work, &seqs, &revs, &upto]).await?;
    session.execute(DELETED, &[&at_work, &revs]).await?;
    session.execute(ADVANCED, &[&at_work, &upto, &heads]).await?;
    Ok(arrived)
}
