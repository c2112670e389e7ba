//! The one writer of this process: a thread that takes whatever waits, commits it in as few transactions as it can, and hands the results on in commit
//! order. Other servers have writers of their own; the locks of conversations keep them apart.
//!
//! No timer: idle means immediate, busy means large batches, because everything that arrives during a commit is in the next one.
//!
//! A connection that breaks during a commit leaves open what became of it. Each transaction first marks the writer's own row with the number of its
//! batch; so the next connection waits until nobody holds that row, looks, and knows ([`Scribe::outcome`]).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tertulia_store::{
    CommitSink, Committed, Completion, ConversationId, Rules, StoreError, Write, WriteError, WriteResult,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_postgres::types::Type;

use crate::connect::Target;
use crate::error::{Fault, Remedy, Sql};
use crate::index::Backlog;
use crate::lineage::Lineage;
use crate::rows::at;
use crate::session::{Prepared, Session};
use crate::write::{self, Done, Failure, Stamp};

/// Writes that wait for the writer; more are refused as `unavailable`.
const QUEUE_MAX: usize = 32_768;

/// Writes of one transaction, as in SQLite.
const BATCH_MAX: usize = 1024;

/// Others were in the way so often: then the batch is taken apart.
const TRIES_MAX: u32 = 8;

/// How long writes wait for a database that is not there before they are refused.
const OUTAGE_MAX: Duration = Duration::from_secs(5);

/// Between two tries to connect: doubled from the first to the last.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How long a lock is waited for. Our own transactions take milliseconds; who holds one for longer is a stranger, or has lost its server, and everybody
/// else's writes wait behind it.
const LOCK_MS: u32 = 5000;

/// The same where nobody is to wait: for what was seen to be held, and for signs of life.
const SHORT_LOCK_MS: u32 = 50;

/// So many conversations may meet a held lock before the others are given up: it is one that all of them want.
const HELD_MAX: usize = 8;

/// A server that has nothing to write shows so often that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_hours(24);

/// What the writer has met.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub retries: AtomicU64,
    pub reconnects: AtomicU64,
    /// Commits whose answer was lost, and that turned out to have happened.
    pub found: AtomicU64,
    pub transactions: AtomicU64,
}

/// What the writer needs besides its connection.
pub(crate) struct Desk {
    pub rules: Arc<dyn Rules>,
    pub sink: Arc<dyn CommitSink>,
    pub lineage: Arc<Lineage>,
    pub target: Target,
    pub prepared: Prepared,
    /// An answer that takes longer does not come: every statement ends by itself long before.
    pub silence_max: Duration,
    pub counts: Arc<Counts>,
    pub backlog: Arc<Backlog>,
}

struct Queue {
    waiting: VecDeque<(Write, Completion)>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    woken: Notify,
    /// Somebody has seen that the log is of another history than its state says.
    is_doubted: AtomicBool,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Writer {
    pub fn start(desk: Arc<Desk>) -> std::io::Result<Self> {
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), closed: false });
        let shared = Arc::new(Shared { queue, woken: Notify::new(), is_doubted: AtomicBool::new(false) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (theirs, their_desk) = (Arc::clone(&shared), Arc::clone(&desk));
        let thread = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || runtime.block_on(run(&theirs, their_desk)))?;
        Ok(Self { shared, desk, thread: Mutex::new(Some(thread)) })
    }

    pub fn submit(&self, write: Write, done: Completion) {
        let mut queue = self.shared.queue.lock();
        if queue.closed || queue.waiting.len() >= QUEUE_MAX {
            let why = if queue.closed { "shutting down" } else { "too many writes wait" };
            drop(queue);
            let result = Err(StoreError::Unavailable(why.into()).into());
            return self.desk.sink.committed(vec![Committed { result, done }]);
        }
        let was_idle = queue.waiting.is_empty();
        queue.waiting.push_back((write, done));
        drop(queue);
        if was_idle {
            self.shared.woken.notify_one();
        }
    }

    pub fn waiting(&self) -> usize {
        self.shared.queue.lock().waiting.len()
    }

    /// Has the writer look which history the log has, though nothing is to be written.
    pub fn doubt(&self) {
        self.shared.is_doubted.store(true, Ordering::Release);
        self.shared.woken.notify_one();
    }

    /// Commits what waits, then ends the thread. Where the database is away, what waits is refused.
    pub fn close(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.woken.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the writer had panicked");
        }
    }
}

async fn run(shared: &Arc<Shared>, desk: Arc<Desk>) {
    let mut scribe = Scribe {
        desk,
        shared: Arc::clone(shared),
        line: None,
        batch: AtomicI64::new(0),
        held: HashSet::new(),
        is_hindered: false,
    };
    // The first write need not wait for it; where it fails, that write tries again.
    if let Err(fault) = scribe.connect().await {
        tracing::debug!(%fault, "the writer has no connection yet");
    }
    loop {
        if shared.is_doubted.swap(false, Ordering::AcqRel) {
            scribe.line = None;
            if let Err(fault) = scribe.connect().await {
                tracing::warn!(%fault, "the log's history can't be looked at");
            }
        }
        let batch: Vec<_> = {
            let mut queue = shared.queue.lock();
            if queue.waiting.is_empty() && queue.closed {
                return;
            }
            let size = queue.waiting.len().min(BATCH_MAX);
            queue.waiting.drain(..size).collect()
        };
        if batch.is_empty() {
            if tokio::time::timeout(SIGN_OF_LIFE, shared.woken.notified()).await.is_err() {
                shared.is_doubted.store(true, Ordering::Release);
            }
        } else {
            scribe.process(batch).await;
        }
    }
}

/// A connection with the task that drives it.
struct Line {
    session: Session,
    durability: &'static str,
    _driver: JoinSet<()>,
}

struct Scribe {
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    line: Option<Line>,
    /// Of the latest transaction that was begun.
    batch: AtomicI64,
    /// Conversations that somebody else was seen to hold, until a write goes through.
    held: HashSet<ConversationId>,
    /// The latest write of those that go alone met a held lock: the next ones do not wait for one.
    is_hindered: bool,
}

/// What can be done in one transaction, in the order of the writes.
enum Part {
    /// Writes that concern one conversation each, and signs of life among them.
    Together(Vec<(Write, Completion)>),
    Alone(Write, Completion),
}

fn parts(batch: Vec<(Write, Completion)>) -> Vec<Part> {
    let mut parts = Vec::new();
    for (write, done) in batch {
        let is_small = matches!(write, Write::Fence | Write::TouchLastSeen { .. });
        if !is_small && write::rounds::place(&write).is_none() {
            parts.push(Part::Alone(write, done));
        } else if let Some(Part::Together(some)) = parts.last_mut() {
            some.push((write, done));
        } else {
            parts.push(Part::Together(vec![(write, done)]));
        }
    }
    parts
}

impl Scribe {
    /// Each part is told as soon as it is committed.
    async fn process(&mut self, batch: Vec<(Write, Completion)>) {
        for part in parts(batch) {
            let (results, completions) = match part {
                Part::Alone(write, done) => {
                    let results = self.transact(Ask::Alone(&write)).await;
                    self.is_hindered = results.as_ref().is_err_and(|fault| fault.remedy() == Remedy::Held);
                    (results.unwrap_or_else(|fault| vec![failed(fault)]), vec![done])
                }
                Part::Together(some) => {
                    let (writes, completions): (Vec<Write>, Vec<Completion>) = some.into_iter().unzip();
                    (self.together(&writes).await, completions)
                }
            };
            self.desk.backlog.take(&results);
            let committed = results.into_iter().zip(completions).map(|(result, done)| Committed { result, done });
            self.desk.sink.committed(committed.collect());
        }
    }

    async fn together(&mut self, writes: &[Write]) -> Vec<WriteResult> {
        let signs: Vec<_> = writes
            .iter()
            .filter_map(|write| match write {
                Write::TouchLastSeen { user, session, at } => Some((*user, *session, *at)),
                _ => None,
            })
            .collect();
        let touched = if signs.is_empty() { Ok(Vec::new()) } else { self.transact(Ask::Touch(&signs)).await };
        let touched = touched.map(drop).map_err(|fault| StoreError::Unavailable(fault.to_string()));
        let talk: Vec<&Write> = writes.iter().filter(|write| write::rounds::place(write).is_some()).collect();
        let mut talked = self.talk(&talk).await.into_iter();
        writes
            .iter()
            .map(|write| match write {
                Write::Fence => Ok(tertulia_store::Effect::Done),
                Write::TouchLastSeen { .. } => {
                    touched.clone().map(|()| tertulia_store::Effect::Done).map_err(WriteError::Store)
                }
                _ => talked.next().unwrap_or_else(|| failed(Fault::Unavailable("no result".into()))),
            })
            .collect()
    }

    /// All in one transaction, but for conversations that are held: nobody else waits for those.
    async fn talk(&mut self, writes: &[&Write]) -> Vec<WriteResult> {
        let held: Vec<bool> = writes.iter().map(|write| self.is_held(write)).collect();
        let of = |is_held: bool| writes.iter().zip(&held).filter(move |(_, held)| **held == is_held);
        let (free, stuck): (Vec<&Write>, Vec<&Write>) =
            (of(false).map(|(write, _)| *write).collect(), of(true).map(|(write, _)| *write).collect());
        let mut told_free = self.talk_of_free(&free).await.into_iter();
        let mut told_stuck = self.talk_of_held(&stuck).await.into_iter();
        let told = held.iter().map(|is_held| if *is_held { told_stuck.next() } else { told_free.next() });
        told.map(|result| result.unwrap_or_else(|| failed(Fault::Unavailable("no result".into())))).collect()
    }

    fn is_held(&self, write: &Write) -> bool {
        write::rounds::place(write).is_some_and(|(conversation, _)| self.held.contains(&conversation))
    }

    /// Each conversation by itself: one that is free by now is not held up by the others.
    async fn talk_of_held(&mut self, writes: &[&Write]) -> Vec<WriteResult> {
        let mut places: Vec<Option<ConversationId>> =
            writes.iter().map(|write| write::rounds::place(write).map(|(id, _)| id)).collect();
        let mut results: Vec<Option<WriteResult>> = writes.iter().map(|_| None).collect();
        let mut failed_here = 0;
        while let Some(id) = places.iter().flatten().next().copied() {
            let here: Vec<usize> = (0..writes.len()).filter(|at| places[*at] == Some(id)).collect();
            let some: Vec<&Write> = here.iter().map(|at| writes[*at]).collect();
            let told = if failed_here < HELD_MAX {
                let told = self.talk_of_one(&some).await;
                failed_here += usize::from(self.held.contains(&id));
                told
            } else {
                refused(&some, &Fault::Unavailable("somebody else holds too many conversations".into()))
            };
            for (at, told) in here.into_iter().zip(told) {
                (results[at], places[at]) = (Some(told), None);
            }
        }
        let none = || failed(Fault::Unavailable("no result".into()));
        results.into_iter().map(|result| result.unwrap_or_else(none)).collect()
    }

    async fn talk_of_one(&mut self, writes: &[&Write]) -> Vec<WriteResult> {
        match self.transact(Ask::Talk(writes, SHORT_LOCK_MS)).await {
            Ok(results) => {
                self.release(writes);
                results
            }
            Err(fault) => refused(writes, &fault),
        }
    }

    fn release(&mut self, writes: &[&Write]) {
        for (conversation, _) in writes.iter().filter_map(|write| write::rounds::place(write)) {
            self.held.remove(&conversation);
        }
    }

    /// All in one transaction, or taken apart where that fails: one poisoned write may not take others with it.
    async fn talk_of_free(&mut self, writes: &[&Write]) -> Vec<WriteResult> {
        if writes.is_empty() {
            return Vec::new();
        }
        let fault = match self.transact(Ask::Talk(writes, LOCK_MS)).await {
            Ok(results) => return results,
            Err(fault) => fault,
        };
        match fault.remedy() {
            Remedy::Held if self.find_held(writes).await => Box::pin(self.talk(writes)).await,
            Remedy::Reconnect => refused(writes, &fault),
            _ if writes.len() == 1 => refused(writes, &fault),
            _ => self.one_by_one(writes, &fault).await,
        }
    }

    /// Looks which of these conversations somebody holds; whether that is news.
    async fn find_held(&mut self, writes: &[&Write]) -> bool {
        let concerned: HashSet<ConversationId> =
            writes.iter().filter_map(|write| write::rounds::place(write)).map(|(id, _)| id).collect();
        let concerned: Vec<ConversationId> = concerned.into_iter().collect();
        // Twice, because others write to them too: those are done after a moment.
        let looking = async {
            let line = self.line.as_ref().ok_or_else(|| Fault::Unavailable("no connection".into()))?;
            let before = write::held(&line.session, &concerned).await?;
            tokio::time::sleep(Duration::from_millis(u64::from(SHORT_LOCK_MS))).await;
            write::held(&line.session, &before).await
        };
        match tokio::time::timeout(self.desk.silence_max, looking).await.unwrap_or(Err(Fault::Silent)) {
            Ok(held) => {
                tracing::warn!(conversations = ?held, "somebody else holds these conversations: writes to them are refused");
                self.held.extend(&held);
                !held.is_empty()
            }
            Err(fault) => {
                tracing::warn!(%fault, "who holds a lock can't be found out");
                self.line = None;
                false
            }
        }
    }

    async fn one_by_one(&mut self, writes: &[&Write], fault: &Fault) -> Vec<WriteResult> {
        tracing::warn!(%fault, writes = writes.len(), "a batch failed; its writes are tried one by one");
        let mut results = Vec::with_capacity(writes.len());
        // What is held of a conversation is held for all that is written there: a busy one takes the patience of no other.
        let mut held: HashSet<ConversationId> = HashSet::new();
        for write in writes {
            let one = std::slice::from_ref(write);
            let place = write::rounds::place(write).map(|(id, _)| id);
            if held.len() >= HELD_MAX || place.is_some_and(|id| held.contains(&id)) {
                results.extend(refused(one, fault));
                continue;
            }
            match self.transact(Ask::Talk(one, SHORT_LOCK_MS)).await {
                Ok(result) => results.extend(result),
                Err(fault) => {
                    held.extend(place.filter(|_| fault.remedy() == Remedy::Held));
                    results.extend(refused(one, &fault));
                }
            }
        }
        results
    }

    /// One transaction, tried until it is known what became of it.
    async fn transact(&mut self, ask: Ask<'_>) -> Sql<Vec<WriteResult>> {
        let (mut tries, began) = (0_u32, now());
        loop {
            let failure = match self.connect().await {
                Ok(()) => match self.attempt(&ask).await {
                    Ok(done) => return Ok(done.results),
                    Err(failure) => failure,
                },
                Err(fault) => Failure::from(fault),
            };
            let Failure { fault, unsure } = failure;
            match fault.remedy() {
                Remedy::None | Remedy::Held => return self.broken_off(fault).await,
                Remedy::Again if tries >= TRIES_MAX => return self.broken_off(fault).await,
                Remedy::Again => {
                    tries += 1;
                    self.desk.counts.retries.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%fault, tries, "a transaction is tried again");
                    self.roll_back().await;
                    tokio::time::sleep(Duration::from_millis(1 << tries.min(6))).await;
                }
                Remedy::Reconnect => {
                    self.line = None;
                    self.desk.counts.reconnects.fetch_add(1, Ordering::Relaxed);
                    if let Some(results) = unsure
                        && self.outcome().await?
                    {
                        self.desk.counts.found.fetch_add(1, Ordering::Relaxed);
                        return Ok(results);
                    }
                    if now().duration_since(began) >= OUTAGE_MAX || self.is_closing() {
                        return Err(fault);
                    }
                    let wait = (RECONNECT.0 * (1 << tries.min(6))).min(RECONNECT.1);
                    tries += 1;
                    tracing::debug!(%fault, "the connection is made anew");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn broken_off(&mut self, fault: Fault) -> Sql<Vec<WriteResult>> {
        self.roll_back().await;
        Err(fault)
    }

    async fn roll_back(&mut self) {
        let Some(line) = &self.line else { return };
        let ended = tokio::time::timeout(self.desk.silence_max, line.session.batch("ROLLBACK")).await;
        if !matches!(ended, Ok(Ok(()))) {
            self.line = None;
        }
    }

    async fn attempt(&mut self, ask: &Ask<'_>) -> Result<Done, Failure> {
        let batch = self.batch.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(line) = &self.line else { return Err(Fault::Unavailable("no connection".into()).into()) };
        let lock_ms = match ask {
            Ask::Talk(_, lock_ms) => *lock_ms,
            Ask::Alone(_) => {
                if self.is_hindered {
                    SHORT_LOCK_MS
                } else {
                    LOCK_MS
                }
            }
            Ask::Touch(_) => SHORT_LOCK_MS,
        };
        let lineage = &self.desk.lineage;
        let stamp = Stamp {
            writer: lineage.writer_id(),
            batch,
            confirmed: lineage.confirmed(),
            lock_ms,
            durability: line.durability,
        };
        let rules = &*self.desk.rules;
        self.desk.counts.transactions.fetch_add(1, Ordering::Relaxed);
        let under_way = async {
            match ask {
                Ask::Talk(writes, _) => write::talk(&line.session, rules, &stamp, writes).await.map(Some),
                Ask::Alone(write) => write::alone(&line.session, rules, &stamp, write).await.map(Some),
                Ask::Touch(signs) => write::touch(&line.session, &stamp.begin(), signs).await.map(|()| None),
            }
        };
        let silence_max = self.desk.silence_max;
        let ready = tokio::time::timeout(silence_max, under_way).await.unwrap_or(Err(Fault::Silent))?;
        let done = match ready {
            Some(ready) => ready.commit(silence_max).await?,
            None => Done { results: Vec::new(), is_committed: false },
        };
        if done.is_committed {
            lineage.confirm(batch);
        }
        Ok(done)
    }

    /// Whether the latest batch was committed. Nobody else has its row when this is known, so nothing can come later.
    async fn outcome(&mut self) -> Sql<bool> {
        let batch = self.batch.load(Ordering::Relaxed);
        let mut wait = RECONNECT.0;
        loop {
            let looked = tokio::time::timeout(self.desk.silence_max, self.look_up(batch)).await;
            match looked.unwrap_or(Err(Fault::Silent)) {
                Ok(is_committed) => {
                    tracing::warn!(is_committed, "the answer to a commit was lost");
                    if is_committed {
                        self.desk.lineage.confirm(batch);
                    }
                    return Ok(is_committed);
                }
                Err(fault) if self.is_closing() => return Err(fault),
                Err(fault) => {
                    tracing::warn!(%fault, "what became of a commit is not known yet");
                    self.line = None;
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RECONNECT.1);
                }
            }
        }
    }

    async fn look_up(&mut self, batch: i64) -> Sql<bool> {
        self.connect().await?;
        let Some(line) = &self.line else { return Err(Fault::Unavailable("no connection".into())) };
        let writer = self.desk.lineage.writer_id();
        let begin = format!("BEGIN; SET LOCAL synchronous_commit = {}; SET LOCAL lock_timeout = 5000", line.durability);
        line.session.batch(&begin).await?;
        let select = "SELECT batch FROM writers WHERE writer_id = $1 FOR UPDATE";
        let row = line.session.opt(select, &[&writer]).await?;
        // A commit of its own behind the one in question: where replicas have to confirm, they have confirmed both.
        line.session.execute("UPDATE writers SET seen_at = now() WHERE writer_id = $1", &[&writer]).await?;
        line.session.batch(write::COMMIT).await?;
        Ok(row.map(|row| at::<i64>(&row, 0)).transpose()?.is_some_and(|marked| marked >= batch))
    }

    /// Does nothing where there is a connection.
    async fn connect(&mut self) -> Sql<()> {
        if self.line.is_some() {
            return Ok(());
        }
        let connecting = establish(&self.desk);
        self.line = Some(tokio::time::timeout(self.desk.silence_max, connecting).await.unwrap_or(Err(Fault::Silent))?);
        Ok(())
    }

    fn is_closing(&self) -> bool {
        self.shared.queue.lock().closed
    }
}

/// A connection that knows which log it writes to.
async fn establish(desk: &Desk) -> Sql<Line> {
    let mut driver = JoinSet::new();
    let (client, connection) = desk.target.connect().await?;
    driver.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the writer's connection ended");
        }
    });
    let session = Session::own(client, desk.prepared);
    let durability = durability(&session).await?;
    desk.lineage.settle(&session).await?;
    write::prepare(&session).await?;
    session.ready("SELECT batch FROM writers WHERE writer_id = $1 FOR UPDATE", &[Type::UUID]).await?;
    Ok(Line { session, durability, _driver: driver })
}

#[expect(
    clippy::disallowed_methods,
    reason = "an outage is measured by the monotonic clock; nothing in the log depends on it"
)]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// What a transaction is to do.
enum Ask<'a> {
    /// With how long a lock is waited for.
    Talk(&'a [&'a Write], u32),
    Alone(&'a Write),
    Touch(&'a [(tertulia_store::UserId, tertulia_store::SessionId, tertulia_store::Timestamp)]),
}

fn refused(writes: &[&Write], fault: &Fault) -> Vec<WriteResult> {
    tracing::warn!(%fault, writes = writes.len(), "writes failed");
    let told = StoreError::Unavailable(fault.to_string());
    writes.iter().map(|_| Err(WriteError::Store(told.clone()))).collect()
}

fn failed(fault: Fault) -> WriteResult {
    tracing::warn!(%fault, "a write failed");
    Err(WriteError::Store(crate::error::unavailable(fault)))
}

/// What commits wait for: the disk at least, and the replicas' application where the database is set so.
async fn durability(session: &Session) -> Sql<&'static str> {
    let row = session.one("SELECT current_setting('synchronous_commit')", &[]).await?;
    Ok(if at::<&str>(&row, 0)? == "remote_apply" { "remote_apply" } else { "on" })
}
