//! The one writer: a thread that takes whatever waits, commits it as one batch, and hands the results on in commit order.
//!
//! No timer: idle means immediate, busy means large batches, because everything that arrives during a commit is in the next one.
//!
//! Beside the writes of people there is a second lane for the queue of jobs. Both share each commit, and so the wait for the disk; but of the second
//! lane a commit takes only so many rows, and it finds them by index: however deep the queue is, sending does not wait for it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tertulia_store::{CommitSink, Committed, Completion, Rules, StoreError, Write, WriteError, WriteResult};
use tokio::sync::oneshot;

use crate::rows::Sql;
use crate::write;

/// Writes that wait for the writer; more are refused as `unavailable`.
const QUEUE_MAX: usize = 32_768;

/// Writes of one commit. 1,024 measured as enough: the commit's own cost is then under 2 % of the batch (see docs/adr/0003).
const BATCH_MAX: usize = 1024;

/// Chores that wait for the writer; more are refused as `unavailable`.
const CHORES_MAX: usize = 1024;

/// Rows of jobs in one commit: what a worker claims and finishes at a time, which is a few milliseconds' work.
const CHORE_ROWS_MAX: usize = 2 * tertulia_store::jobs::JOBS_PER_CALL_MAX;

/// Work on the queue of jobs. May run more than once, where a commit fails, before it is told.
pub(crate) trait Chore: Send {
    /// How many rows it may touch.
    fn rows(&self) -> usize;
    fn run(&mut self, connection: &Connection) -> Sql<()>;
    /// After the commit.
    fn tell(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A chore whose answer somebody waits for.
pub(crate) struct Asked<T, F> {
    pub rows: usize,
    pub work: F,
    pub answer: Option<T>,
    pub told: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&Connection) -> Sql<T> + Send> Chore for Asked<T, F> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn run(&mut self, connection: &Connection) -> Sql<()> {
        self.answer = None;
        // What nobody waits for any more, nobody would work on.
        if !self.told.is_closed() {
            self.answer = Some((self.work)(connection)?);
        }
        Ok(())
    }

    fn tell(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { answer, told, .. } = *self;
        let answer = committed.and_then(|()| answer.ok_or_else(|| StoreError::Unavailable("given up".into())));
        // Gone meanwhile: then the lease ends by itself.
        let _ = told.send(answer);
    }
}

/// Told the numbers of the conversations that a commit changed.
pub(crate) type Touched = Box<dyn Fn(&BTreeSet<i64>) + Send + Sync>;

/// What the writer needs besides its connection.
pub(crate) struct Desk {
    pub rules: Arc<dyn Rules>,
    pub sink: Arc<dyn CommitSink>,
    /// Told which conversations' bodies changed.
    pub touched: Touched,
}

impl Desk {
    /// Commits all together; where that fails the writes without the chores, and then each write alone: one that is poisoned may not take others with it.
    pub fn process(&self, connection: &Connection, batch: Vec<(Write, Completion)>, mut chores: Vec<Box<dyn Chore>>) {
        let (writes, completions): (Vec<Write>, Vec<Completion>) = batch.into_iter().unzip();
        let (results, mut done) = match write::commit(connection, &*self.rules, &writes, &mut chores) {
            Ok(outcome) => {
                (self.touched)(&outcome.touched);
                (outcome.results, Some(outcome.chores))
            }
            Err(error) if !chores.is_empty() => {
                tracing::warn!(%error, writes = writes.len(), chores = chores.len(), "a commit failed; its writes are tried alone");
                (self.without_chores(connection, &writes), None)
            }
            Err(error) => (self.one_by_one(connection, &writes, error), None),
        };
        let committed: Vec<Committed> =
            results.into_iter().zip(completions).map(|(result, done)| Committed { result, done }).collect();
        if !committed.is_empty() {
            self.sink.committed(committed);
        }
        if done.is_none() && !chores.is_empty() {
            done = match write::commit(connection, &*self.rules, &[], &mut chores) {
                Ok(outcome) => Some(outcome.chores),
                Err(error) => Some(chores.iter().map(|_| Err(error.clone())).collect()),
            };
        }
        for (chore, done) in chores.into_iter().zip(done.unwrap_or_default()) {
            chore.tell(done);
        }
    }

    fn without_chores(&self, connection: &Connection, writes: &[Write]) -> Vec<WriteResult> {
        if writes.is_empty() {
            return Vec::new();
        }
        match write::commit(connection, &*self.rules, writes, &mut []) {
            Ok(outcome) => {
                (self.touched)(&outcome.touched);
                outcome.results
            }
            Err(error) => self.one_by_one(connection, writes, error),
        }
    }

    /// `error`: of all together.
    fn one_by_one(&self, connection: &Connection, writes: &[Write], error: StoreError) -> Vec<WriteResult> {
        if writes.len() == 1 {
            tracing::warn!(%error, "a write failed");
            return vec![Err(WriteError::Store(error))];
        }
        tracing::warn!(%error, writes = writes.len(), "a batch failed; its writes are tried one by one");
        writes.iter().map(|one| self.alone(connection, one)).collect()
    }

    fn alone(&self, connection: &Connection, one: &Write) -> WriteResult {
        let mut outcome =
            write::commit(connection, &*self.rules, std::slice::from_ref(one), &mut []).map_err(|error| {
                tracing::warn!(%error, "a write failed");
                WriteError::Store(error)
            })?;
        (self.touched)(&outcome.touched);
        outcome.results.pop().unwrap_or_else(|| Err(StoreError::Unavailable("no result".into()).into()))
    }

    /// Answers writes that will not be tried.
    pub fn refuse(&self, batch: Vec<(Write, Completion)>, why: &str) {
        let refused = |done| Committed { result: Err(StoreError::Unavailable(why.into()).into()), done };
        self.sink.committed(batch.into_iter().map(|(_, done)| refused(done)).collect());
    }
}

struct Queue {
    waiting: VecDeque<(Write, Completion)>,
    chores: VecDeque<Box<dyn Chore>>,
    closed: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.chores.is_empty()
    }

    /// What one commit may hold of the second lane, and one at least.
    fn next_chores(&mut self) -> Vec<Box<dyn Chore>> {
        let mut next = Vec::new();
        let mut rows = 0;
        while let Some(chore) = self.chores.pop_front() {
            rows += chore.rows();
            if rows > CHORE_ROWS_MAX && !next.is_empty() {
                self.chores.push_front(chore);
                break;
            }
            next.push(chore);
        }
        next
    }
}

pub(crate) struct Writer {
    shared: Arc<(Mutex<Queue>, Condvar)>,
    desk: Arc<Desk>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Writer {
    pub fn start(connection: Connection, desk: Arc<Desk>) -> std::io::Result<Self> {
        let queue = Queue { waiting: VecDeque::new(), chores: VecDeque::new(), closed: false };
        let shared = Arc::new((Mutex::new(queue), Condvar::new()));
        let (theirs, their_desk) = (Arc::clone(&shared), Arc::clone(&desk));
        let thread = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || run(&connection, &theirs, &their_desk))?;
        Ok(Self { shared, desk, thread: Mutex::new(Some(thread)) })
    }

    pub fn submit(&self, write: Write, done: Completion) {
        let (queue, woken) = &*self.shared;
        let mut queue = queue.lock();
        if queue.closed || queue.waiting.len() >= QUEUE_MAX {
            let why = if queue.closed { "shutting down" } else { "too many writes wait" };
            drop(queue);
            return self.desk.refuse(vec![(write, done)], why);
        }
        let was_idle = queue.is_empty();
        queue.waiting.push_back((write, done));
        drop(queue);
        if was_idle {
            woken.notify_one();
        }
    }

    pub fn add_chore(&self, chore: Box<dyn Chore>) {
        let (queue, woken) = &*self.shared;
        let mut queue = queue.lock();
        if queue.closed || queue.chores.len() >= CHORES_MAX {
            let why = if queue.closed { "shutting down" } else { "too much work on the queue waits" };
            drop(queue);
            return chore.tell(Err(StoreError::Unavailable(why.into())));
        }
        let was_idle = queue.is_empty();
        queue.chores.push_back(chore);
        drop(queue);
        if was_idle {
            woken.notify_one();
        }
    }

    pub fn waiting(&self) -> usize {
        self.shared.0.lock().waiting.len()
    }

    /// Commits what waits, then ends the thread.
    pub fn close(&self) {
        self.shared.0.lock().closed = true;
        self.shared.1.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the writer had panicked");
        }
    }
}

fn run(connection: &Connection, shared: &(Mutex<Queue>, Condvar), desk: &Desk) {
    loop {
        let (batch, chores): (Vec<_>, _) = {
            let mut queue = shared.0.lock();
            while queue.is_empty() {
                if queue.closed {
                    return;
                }
                shared.1.wait(&mut queue);
            }
            let size = queue.waiting.len().min(BATCH_MAX);
            (queue.waiting.drain(..size).collect(), queue.next_chores())
        };
        desk.process(connection, batch, chores);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tertulia_proto::UserId;
    use tertulia_store::conformance::house::House;
    use tertulia_store::conformance::sink::Sink;
    use tertulia_store::{NewUser, Timestamp};

    use super::*;

    /// Takes the whole transaction with it as often as it is told, as a full disk would.
    struct Poison(u32);

    impl Chore for Poison {
        fn rows(&self) -> usize {
            1
        }

        fn run(&mut self, connection: &Connection) -> Sql<()> {
            if self.0 == 0 {
                return Ok(());
            }
            self.0 -= 1;
            connection.execute_batch("ROLLBACK; SELECT no FROM nowhere")
        }

        fn tell(self: Box<Self>, committed: Result<(), StoreError>) {
            assert!(committed.is_ok(), "it is tried again: {committed:?}");
        }
    }

    fn newcomer(number: u8) -> Write {
        Write::CreateUser(NewUser {
            id: UserId::from_bytes([number; 16]),
            email: None,
            name: "N".to_owned(),
            password_hash: None,
            avatar_url: None,
            now: Timestamp::from_ms(1),
        })
    }

    #[test]
    fn writes_that_shared_a_commit_with_a_chore_that_failed_are_committed_together() {
        let connection = crate::schema::open_memory(None).unwrap();
        crate::schema::begin_incarnation(&connection, None, &[7; 64]).unwrap();
        let counter = || Arc::new(AtomicUsize::new(0));
        let (commits, told) = (counter(), counter());
        let counted = Arc::clone(&commits);
        let touched = Box::new(move |_: &BTreeSet<i64>| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let desk = Desk { rules: Arc::new(House::default()), sink: Arc::new(Sink::default()), touched };
        let batch = (1..=5).map(|number| {
            let told = Arc::clone(&told);
            let done: Completion = Box::new(move |result: &WriteResult| {
                assert!(result.is_ok(), "{result:?}");
                told.fetch_add(1, Ordering::Relaxed);
            });
            (newcomer(number), done)
        });
        desk.process(&connection, batch.collect(), vec![Box::new(Poison(1))]);
        assert_eq!((commits.load(Ordering::Relaxed), told.load(Ordering::Relaxed)), (1, 5), "five in one commit");
    }
}
