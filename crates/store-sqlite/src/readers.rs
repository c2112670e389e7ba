//! Connections that only read, used from the runtime's blocking threads; each lookup is one snapshot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;
use tertulia_store::StoreError;
use tokio::sync::Semaphore;

use crate::error::unavailable;
use crate::rows::Sql;

pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    deadline: Duration,
}

impl Readers {
    pub fn new(connections: Vec<Connection>, deadline: Duration) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Arc::new(Self { idle: Mutex::new(connections), permits, deadline })
    }

    pub async fn read<T, F>(self: Arc<Self>, lookup: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Sql<T> + Send + 'static,
    {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| StoreError::Unavailable("shutting down".into()))?;
        let readers = Arc::clone(&self);
        let read = tokio::task::spawn_blocking(move || {
            let mut connection =
                readers.idle.lock().pop().ok_or_else(|| StoreError::Unavailable("no reader is free".into()))?;
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                within(readers.deadline, &mut connection, lookup)
            }));
            readers.idle.lock().push(connection);
            // Not before the connection is back: who asked may have gone away long ago.
            drop(permit);
            found.unwrap_or_else(|_| Err(StoreError::Corrupt("a lookup panicked".into())))
        });
        read.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}

/// How long a lookup may take. The largest honest ones take some milliseconds; what takes longer takes a reader from everybody.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);

/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 10_000;

#[expect(clippy::disallowed_methods, reason = "a deadline is a matter of the monotonic clock; no answer depends on it")]
fn instant() -> Instant {
    Instant::now()
}

fn within<T>(
    deadline: Duration,
    connection: &mut Connection,
    lookup: impl FnOnce(&Connection) -> Sql<T>,
) -> Result<T, StoreError> {
    let began = instant();
    connection
        .progress_handler(STEPS, Some(move || instant().duration_since(began) > deadline))
        .map_err(unavailable)?;
    in_snapshot(connection, lookup)
}

/// Runs the lookup inside one read transaction.
pub(crate) fn in_snapshot<T>(
    connection: &Connection,
    lookup: impl FnOnce(&Connection) -> Sql<T>,
) -> Result<T, StoreError> {
    let snapshot = connection.unchecked_transaction().map_err(unavailable)?;
    let found = lookup(&snapshot).map_err(unavailable);
    // Nothing was written: the end of the transaction can't lose anything.
    drop(snapshot);
    found
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::Poll;

    use tokio::sync::Notify;

    use super::*;

    fn readers(count: usize, deadline: Duration) -> Arc<Readers> {
        Readers::new((0..count).map(|_| Connection::open_in_memory().unwrap()).collect(), deadline)
    }

    fn one(connection: &Connection) -> Sql<i64> {
        connection.query_row("SELECT 1", [], |row| row.get(0))
    }

    /// Ends by itself as well, so that a deadline that is not kept fails the test instead of hanging it.
    fn long(connection: &Connection) -> Sql<i64> {
        let count =
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000000) SELECT count(*) FROM n";
        connection.query_row(count, [], |row| row.get(0))
    }

    /// A lookup that has begun, and whoever asked for it has gone away; it ends when the sender is dropped.
    async fn abandoned(readers: &Arc<Readers>) -> mpsc::Sender<()> {
        let (end, ended) = mpsc::channel::<()>();
        let has_begun = Arc::new(Notify::new());
        let begun = Arc::clone(&has_begun);
        let asking = Arc::clone(readers).read(move |connection| {
            begun.notify_one();
            let _ = ended.recv();
            one(connection)
        });
        tokio::select! {
            _ = asking => panic!("nobody has ended it"),
            () = has_begun.notified() => {}
        }
        end
    }

    #[tokio::test]
    async fn an_abandoned_lookup_keeps_its_place_until_it_has_ended() {
        let readers = readers(2, DEADLINE);
        let first = abandoned(&readers).await;
        assert_eq!(readers.permits.available_permits(), 1, "one place is left");
        let second = abandoned(&readers).await;
        assert_eq!(readers.permits.available_permits(), 0, "more lookups than readers");

        let mut later = pin!(Arc::clone(&readers).read(one));
        let asked = poll_fn(|context| Poll::Ready(later.as_mut().poll(context))).await;
        assert!(asked.is_pending(), "it waits for a reader");
        drop(first);
        assert_eq!(later.await.unwrap(), 1);
        drop(second);
        for _ in 0..10 {
            assert_eq!(Arc::clone(&readers).read(one).await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn a_lookup_over_the_deadline_ends_with_an_error_and_gives_its_reader_back() {
        let readers = readers(1, Duration::ZERO);
        for _ in 0..3 {
            let ended = Arc::clone(&readers).read(long).await;
            assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
            assert_eq!(Arc::clone(&readers).read(one).await.unwrap(), 1, "a short one is not hindered");
        }
    }

    #[tokio::test]
    async fn a_lookup_that_panics_gives_its_reader_back() {
        let readers = readers(1, DEADLINE);
        let ended = Arc::clone(&readers).read(|_| -> Sql<i64> { panic!("on purpose") }).await;
        assert!(matches!(ended, Err(StoreError::Corrupt(_))), "{ended:?}");
        assert_eq!(Arc::clone(&readers).read(one).await.unwrap(), 1);
    }
}
