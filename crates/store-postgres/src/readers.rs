//! Connections that only read; each lookup is one snapshot, and has a deadline.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Pool, Runtime};
use parking_lot::Mutex;
use tertulia_store::StoreError;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::connect::Target;
use crate::error::{Fault, Sql, unavailable};
use crate::schema::OpenError;
use crate::session::{Prepared, Session};

/// How long a lookup may take once it has a connection, where nothing else was set. The largest honest ones take some milliseconds; what takes longer takes
/// a reader from everybody.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);

/// How long a lookup waits for a connection.
const QUEUE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a lookup may take in each of its steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Until it has a connection of those that are there.
    pub queue: Duration,
    /// Until a new connection has come about.
    pub connect: Duration,
    /// From then on.
    pub lookup: Duration,
    /// One statement, by the database's own clock: then it still answers.
    pub statement: Duration,
}

impl Times {
    pub fn of(target: &Target, lookup: Duration) -> Self {
        let connect = target.patience() + QUEUE_DEADLINE;
        Self { queue: QUEUE_DEADLINE, connect, lookup, statement: lookup }
    }
}

/// One snapshot for all statements of a lookup. The settings are those of the transaction, because behind a pooler a session is everybody's.
///
/// Plans must not depend on statistics, which are missing when a log is young and old when it grows: every lookup has its index, so whole tables are
/// never to be read, and nothing that is planned is worth compiling.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 5000;
     SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off;
     SET LOCAL statement_timeout = ";

pub(crate) struct Readers {
    pool: Pool,
    prepared: Prepared,
    begin: Arc<str>,
    /// One long look at a time: it takes a reader from everybody.
    long: tokio::sync::Semaphore,
    deadline: Duration,
    /// Lookups under way. One whose asker has gone away keeps its place until it has ended.
    tasks: Mutex<JoinSet<()>>,
}

impl Readers {
    pub fn new(target: &Target, size: usize, prepared: Prepared, times: Times) -> Result<Arc<Self>, OpenError> {
        let pool = Pool::builder(target.manager())
            .max_size(size.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(times.queue))
            .create_timeout(Some(times.connect))
            .build()
            .map_err(|e| OpenError::Tls(e.to_string()))?;
        let begin = format!("{BEGIN}{}", times.statement.as_millis()).into();
        let (long, tasks) = (tokio::sync::Semaphore::new(1), Mutex::default());
        Ok(Arc::new(Self { pool, prepared, begin, long, deadline: times.lookup, tasks }))
    }

    pub async fn read<T, F, R>(self: Arc<Self>, lookup: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Session>) -> R + Send + 'static,
        R: Future<Output = Sql<T>> + Send + 'static,
    {
        let (begin, deadline) = (Arc::clone(&self.begin), self.deadline);
        self.look(begin, deadline, lookup).await
    }

    /// With a deadline of its own, for what an operator asks: the others wait for one.
    pub async fn read_long<T, F, R>(self: Arc<Self>, deadline: Duration, lookup: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Session>) -> R + Send + 'static,
        R: Future<Output = Sql<T>> + Send + 'static,
    {
        let _alone = self.long.acquire().await.map_err(|error| Fault::NoConnection(error.to_string()))?;
        let begin = format!("{BEGIN}{}", deadline.as_millis()).into();
        self.look(begin, deadline, lookup).await
    }

    async fn look<T, F, R>(&self, begin: Arc<str>, deadline: Duration, lookup: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Session>) -> R + Send + 'static,
        R: Future<Output = Sql<T>> + Send + 'static,
    {
        let object = self.pool.get().await.map_err(|error| Fault::NoConnection(error.to_string()))?;
        let session = Arc::new(Session::pooled(object, self.prepared));
        let (found_is, found) = oneshot::channel();
        let task = async move {
            let looking = lookup(Arc::clone(&session));
            // The beginning is sent before the first statement, and waited for together with it.
            let both = async { futures_util::join!(session.batch(&begin), looking) };
            let looked_up = tokio::time::timeout(deadline, both).await;
            let result = match looked_up {
                Ok((Ok(()), found)) => found,
                Ok((Err(fault), _)) => Err(fault),
                Err(_) => {
                    let _ = found_is.send(Err(Fault::Late));
                    return;
                }
            };
            let _ = found_is.send(result);
            // Nothing was written: the end of the transaction can't lose anything, and nobody waits for it.
            if let Ok(Ok(())) = tokio::time::timeout(deadline, session.batch("ROLLBACK")).await {
                session.is_done();
            }
        };
        {
            let mut tasks = self.tasks.lock();
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
        found.await.unwrap_or_else(|_| Err(Fault::Corrupt("a lookup panicked".into())))
    }

    pub fn close(&self) {
        self.pool.close();
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// A fault in the words of the seam.
pub(crate) fn told<T>(found: Sql<T>) -> Result<T, StoreError> {
    found.map_err(unavailable)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use tertulia_testkit::{Postgres, PostgresOptions, within};
    use tokio::sync::{Notify, oneshot};

    use super::*;
    use crate::rows::at;

    /// A lookup may take so long; the database itself would let it take longer.
    fn readers(size: usize, deadline: Duration) -> (Postgres, Arc<Readers>) {
        let postgres = Postgres::start(PostgresOptions::default()).unwrap();
        postgres.create("log").unwrap();
        let target = Target::parse(&postgres.url("log")).unwrap();
        let times = Times { statement: 2 * deadline, ..Times::of(&target, deadline) };
        (postgres, Readers::new(&target, size, Prepared::Cached, times).unwrap())
    }

    async fn one(readers: &Arc<Readers>) -> Sql<i64> {
        let lookup = |session: Arc<Session>| async move { at(&session.one("SELECT 1::bigint", &[]).await?, 0) };
        Arc::clone(readers).read(lookup).await
    }

    fn busy(readers: &Readers) -> usize {
        let status = readers.pool.status();
        status.size - status.available
    }

    /// A lookup that has begun, and whoever asked for it has gone away; it ends when the sender is dropped.
    async fn abandoned(readers: &Arc<Readers>) -> oneshot::Sender<()> {
        let (end, ended) = oneshot::channel::<()>();
        let has_begun = Arc::new(Notify::new());
        let begun = Arc::clone(&has_begun);
        let asking = Arc::clone(readers).read(move |session: Arc<Session>| async move {
            session.one("SELECT 1::bigint", &[]).await?;
            begun.notify_one();
            let _ = ended.await;
            Ok(())
        });
        tokio::select! {
            _ = asking => panic!("nobody has ended it"),
            () = has_begun.notified() => {}
        }
        end
    }

    #[tokio::test]
    async fn an_abandoned_lookup_keeps_its_place_until_it_has_ended() {
        let (_postgres, readers) = readers(2, Duration::from_secs(20));
        let first = abandoned(&readers).await;
        let second = abandoned(&readers).await;
        assert_eq!(busy(&readers), 2, "more lookups than connections");
        let mut later = pin!(one(&readers));
        let asked = poll_fn(|context| Poll::Ready(later.as_mut().poll(context))).await;
        assert!(asked.is_pending(), "it waits for a connection");
        drop(first);
        assert_eq!(later.await.unwrap(), 1);
        drop(second);
        for _ in 0..10 {
            assert_eq!(one(&readers).await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn a_lookup_over_the_deadline_ends_with_an_error_and_its_connection_goes() {
        let (_postgres, readers) = readers(1, Duration::from_secs(20));
        for _ in 0..3 {
            let long = |session: Arc<Session>| async move { session.rows("SELECT pg_sleep(30)", &[]).await.map(drop) };
            let looking = readers.look(Arc::clone(&readers.begin), Duration::from_millis(200), long);
            let ended = within("the deadline", looking).await.unwrap();
            assert!(matches!(ended, Err(Fault::Late)), "{ended:?}");
            assert_eq!(one(&readers).await.unwrap(), 1, "a short one is not hindered");
        }
    }

    #[tokio::test]
    async fn a_lookup_that_fails_or_panics_leaves_nothing_to_the_next() {
        let (_postgres, readers) = readers(1, DEADLINE);
        let wrong = |session: Arc<Session>| async move { session.rows("SELECT 1 / 0", &[]).await.map(drop) };
        assert!(Arc::clone(&readers).read(wrong).await.is_err());
        assert_eq!(one(&readers).await.unwrap(), 1);
        let panics = |session: Arc<Session>| async move {
            session.one("SELECT 1::bigint", &[]).await?;
            panic!("on purpose")
        };
        let ended: Sql<()> = Arc::clone(&readers).read(panics).await;
        assert!(matches!(ended, Err(Fault::Corrupt(_))), "{ended:?}");
        assert_eq!(one(&readers).await.unwrap(), 1);
    }
}
