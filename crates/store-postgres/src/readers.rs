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

/// How long a lookup may take once it has a connection. The largest honest ones take some milliseconds; what takes longer takes a reader from everybody.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);

/// How long a lookup waits for a connection.
const QUEUE_DEADLINE: Duration = Duration::from_secs(5);

/// One snapshot for all statements of a lookup. The settings are those of the transaction, because behind a pooler a session is everybody's.
///
/// Plans must not depend on statistics, which are missing when a log is young and old when it grows: every lookup has its index, so whole tables are
/// never to be read, and nothing that is planned is worth compiling.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
     SET LOCAL statement_timeout = 1000; SET LOCAL idle_in_transaction_session_timeout = 5000;
     SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

pub(crate) struct Readers {
    pool: Pool,
    prepared: Prepared,
    deadline: Duration,
    /// Lookups under way. One whose asker has gone away keeps its place until it has ended.
    tasks: Mutex<JoinSet<()>>,
}

impl Readers {
    pub fn new(target: &Target, size: usize, prepared: Prepared, deadline: Duration) -> Result<Arc<Self>, OpenError> {
        let pool = Pool::builder(target.manager())
            .max_size(size.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(QUEUE_DEADLINE))
            .create_timeout(Some(QUEUE_DEADLINE))
            .build()
            .map_err(|e| OpenError::Tls(e.to_string()))?;
        Ok(Arc::new(Self { pool, prepared, deadline, tasks: Mutex::default() }))
    }

    /// Connections that look something up just now.
    #[cfg(test)]
    pub fn busy(&self) -> usize {
        let status = self.pool.status();
        status.size - status.available
    }

    pub async fn read<T, F, R>(self: Arc<Self>, lookup: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Session>) -> R + Send + 'static,
        R: Future<Output = Sql<T>> + Send + 'static,
    {
        let object = self
            .pool
            .get()
            .await
            .map_err(|error| Fault::Unavailable(format!("no connection to read with: {error}")))?;
        let session = Arc::new(Session::pooled(object, self.prepared));
        let (found_is, found) = oneshot::channel();
        let deadline = self.deadline;
        let task = async move {
            let looking = lookup(Arc::clone(&session));
            // The beginning is sent before the first statement, and waited for together with it.
            let both = async { futures_util::join!(session.batch(BEGIN), looking) };
            let looked_up = tokio::time::timeout(deadline, both).await;
            let result = match looked_up {
                Ok((Ok(()), found)) => found,
                Ok((Err(fault), _)) => Err(fault),
                Err(_) => {
                    let _ = found_is.send(Err(Fault::Unavailable("a lookup took too long".into())));
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

    /// Works off what waits beside the index of the bodies: each part in a statement of its own, without a deadline.
    pub async fn tend(self: Arc<Self>) -> Sql<()> {
        let object = self.pool.get().await.map_err(|error| Fault::Unavailable(error.to_string()))?;
        let session = Session::pooled(object, self.prepared);
        let indexes = "SELECT gin_clean_pending_list(i.inhrelid::regclass) FROM pg_inherits i WHERE i.inhparent = to_regclass('messages_searchable')";
        session.rows(indexes, &[]).await?;
        session.is_done();
        Ok(())
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
