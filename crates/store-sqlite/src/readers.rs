//! Connections that only read, used from the runtime's blocking threads; each lookup is one snapshot.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tertulia_store::StoreError;
use tokio::sync::Semaphore;

use crate::error::unavailable;
use crate::rows::Sql;

pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    pub fn new(connections: Vec<Connection>) -> Arc<Self> {
        Arc::new(Self { permits: Semaphore::new(connections.len()), idle: Mutex::new(connections) })
    }

    pub async fn read<T, F>(self: Arc<Self>, lookup: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Sql<T> + Send + 'static,
    {
        let _permit = self.permits.acquire().await.map_err(|_| StoreError::Unavailable("shutting down".into()))?;
        let readers = Arc::clone(&self);
        let read = tokio::task::spawn_blocking(move || {
            let connection =
                readers.idle.lock().pop().ok_or_else(|| StoreError::Unavailable("no reader is free".into()))?;
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| in_snapshot(&connection, lookup)));
            readers.idle.lock().push(connection);
            found.unwrap_or_else(|_| Err(StoreError::Corrupt("a lookup panicked".into())))
        });
        read.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
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
