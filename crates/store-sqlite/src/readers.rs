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
}

impl Readers {
    pub fn new(connections: Vec<Connection>) -> Arc<Self> {
        Arc::new(Self { permits: Arc::new(Semaphore::new(connections.len())), idle: Mutex::new(connections) })
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
            let found =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| within_deadline(&mut connection, lookup)));
            readers.idle.lock().push(connection);
            // Not before the connection is back: who asked may have gone away long ago.
            drop(permit);
            found.unwrap_or_else(|_| Err(StoreError::Corrupt("a lookup panicked".into())))
        });
        read.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}

/// How long a lookup may take. The largest honest ones take some milliseconds; what takes longer takes a reader from everybody.
const DEADLINE: Duration = Duration::from_secs(1);

/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 10_000;

#[expect(clippy::disallowed_methods, reason = "a deadline is a matter of the monotonic clock; no answer depends on it")]
fn instant() -> Instant {
    Instant::now()
}

fn within_deadline<T>(
    connection: &mut Connection,
    lookup: impl FnOnce(&Connection) -> Sql<T>,
) -> Result<T, StoreError> {
    let began = instant();
    connection
        .progress_handler(STEPS, Some(move || instant().duration_since(began) > DEADLINE))
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
