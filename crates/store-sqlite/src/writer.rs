//! The one writer: a thread that takes whatever waits, commits it as one batch, and hands the results on in commit order.
//!
//! No timer: idle means immediate, busy means large batches, because everything that arrives during a commit is in the next one.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tertulia_store::{CommitSink, Committed, Completion, Rules, StoreError, Write, WriteError};

use crate::write;

/// Writes that wait for the writer; more are refused as `unavailable`.
const QUEUE_MAX: usize = 32_768;

/// Writes of one commit. 1,024 measured as enough: the commit's own cost is then under 2 % of the batch (see docs/adr/0003).
const BATCH_MAX: usize = 1024;

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
    /// Commits the batch, or each write alone where the batch fails: one poisoned write may not take others with it.
    pub fn process(&self, connection: &Connection, batch: Vec<(Write, Completion)>) {
        let (writes, completions): (Vec<Write>, Vec<Completion>) = batch.into_iter().unzip();
        let results = match write::commit(connection, &*self.rules, &writes) {
            Ok((results, touched)) => {
                (self.touched)(&touched);
                results
            }
            Err(error) if writes.len() == 1 => {
                tracing::warn!(%error, "a write failed");
                vec![Err(WriteError::Store(error))]
            }
            Err(error) => {
                tracing::warn!(%error, writes = writes.len(), "a batch failed; its writes are tried one by one");
                writes.iter().map(|one| self.alone(connection, one)).collect()
            }
        };
        let committed = results.into_iter().zip(completions).map(|(result, done)| Committed { result, done }).collect();
        self.sink.committed(committed);
    }

    fn alone(&self, connection: &Connection, one: &Write) -> tertulia_store::WriteResult {
        let (mut results, touched) =
            write::commit(connection, &*self.rules, std::slice::from_ref(one)).map_err(|error| {
                tracing::warn!(%error, "a write failed");
                WriteError::Store(error)
            })?;
        (self.touched)(&touched);
        results.pop().unwrap_or_else(|| Err(StoreError::Unavailable("no result".into()).into()))
    }

    /// Answers writes that will not be tried.
    pub fn refuse(&self, batch: Vec<(Write, Completion)>, why: &str) {
        let refused = |done| Committed { result: Err(StoreError::Unavailable(why.into()).into()), done };
        self.sink.committed(batch.into_iter().map(|(_, done)| refused(done)).collect());
    }
}

struct Queue {
    waiting: VecDeque<(Write, Completion)>,
    closed: bool,
}

pub(crate) struct Writer {
    shared: Arc<(Mutex<Queue>, Condvar)>,
    desk: Arc<Desk>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Writer {
    pub fn start(connection: Connection, desk: Arc<Desk>) -> std::io::Result<Self> {
        let queue = Queue { waiting: VecDeque::new(), closed: false };
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
        let was_idle = queue.waiting.is_empty();
        queue.waiting.push_back((write, done));
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
        let batch: Vec<_> = {
            let mut queue = shared.0.lock();
            while queue.waiting.is_empty() {
                if queue.closed {
                    return;
                }
                shared.1.wait(&mut queue);
            }
            let size = queue.waiting.len().min(BATCH_MAX);
            queue.waiting.drain(..size).collect()
        };
        desk.process(connection, batch);
    }
}
