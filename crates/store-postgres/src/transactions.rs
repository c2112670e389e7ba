//! Changes outside the log, over connections of their own: each is one short transaction, tried again where others were in its way.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Pool, Runtime};
use tertulia_store::StoreError;

use crate::connect::Target;
use crate::error::{Fault, Remedy, Sql, unavailable};
use crate::lineage::SHARE_LINEAGE;
use crate::rows::at;
use crate::schema::OpenError;
use crate::session::{Prepared, Session};

/// Made when they are needed.
const CONNECTIONS: usize = 2;

/// How long a call waits for one of them.
const QUEUE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a transaction may take: above the database's own limits.
const DEADLINE: Duration = Duration::from_secs(15);

/// Others were in the way so often: then it is an error.
const TRIES_MAX: u32 = 8;

/// Somebody held a lock for as long as we wait for one, so often.
const HELD_MAX: u32 = 4;

/// Plans must not depend on statistics (see `readers.rs`), which a queue never keeps up with. Who is stopped in the middle of it lets go of its rows sooner than
/// whoever sends a message gives up waiting for one of them. A lock is waited for half as long as the database takes to look for a deadlock: a batch of messages
/// may take keys in several statements, so a circle is possible, and it is not the messages that let go and come again.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = 10000;
     SET LOCAL lock_timeout = 500; SET LOCAL idle_in_transaction_session_timeout = 2000;
     SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// Whether this is still the log that is served here: nothing is changed of one that was moved away, or goes on with another history that nobody has
/// settled.
const IS_OURS: &str = "SELECT to_regclass('log_move') IS NULL AND system_identifier = (SELECT c.system_identifier FROM pg_control_system() c)
        AND ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint = timeline
     FROM log_state";

pub(crate) struct Transactions {
    /// What for.
    what: &'static str,
    pool: Pool,
    prepared: Prepared,
}

impl Transactions {
    pub fn new(what: &'static str, target: &Target, prepared: Prepared) -> Result<Self, OpenError> {
        let pool = Pool::builder(target.manager())
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(QUEUE_DEADLINE))
            .create_timeout(Some(target.patience() + QUEUE_DEADLINE))
            .build()
            .map_err(|e| OpenError::Tls(e.to_string()))?;
        Ok(Self { what, pool, prepared })
    }

    pub fn close(&self) {
        self.pool.close();
    }

    /// A connection whose transaction did not end goes.
    pub async fn transact<T, F, R>(&self, work: F) -> Result<T, StoreError>
    where
        F: Fn(Arc<Session>) -> R,
        R: Future<Output = Sql<T>>,
    {
        let (mut tries, mut held) = (0, 0);
        loop {
            let object = self
                .pool
                .get()
                .await
                .map_err(|error| StoreError::Unavailable(format!("no connection for {}: {error}", self.what)))?;
            let session = Arc::new(Session::pooled(object, self.prepared));
            let under_way = async {
                begin(&session).await?;
                let done = work(Arc::clone(&session)).await?;
                session.batch("COMMIT").await?;
                Ok(done)
            };
            let fault = match tokio::time::timeout(DEADLINE, under_way).await.unwrap_or(Err(Fault::Silent)) {
                Ok(done) => {
                    session.is_done();
                    return Ok(done);
                }
                Err(fault) => fault,
            };
            let is_over = match fault.remedy() {
                Remedy::Again => tries >= TRIES_MAX,
                Remedy::Held => {
                    held += 1;
                    held >= HELD_MAX
                }
                Remedy::Reconnect | Remedy::None => true,
            };
            if is_over {
                return Err(unavailable(fault));
            }
            if let Ok(Ok(())) = tokio::time::timeout(DEADLINE, session.batch("ROLLBACK")).await {
                session.is_done();
            }
            drop(session);
            tries += 1;
            tokio::time::sleep(Duration::from_millis(1 << tries.min(6))).await;
        }
    }
}

/// As every transaction that writes to the log.
async fn begin(session: &Session) -> Sql<()> {
    session.ready(SHARE_LINEAGE, &[]).await?;
    session.ready(IS_OURS, &[]).await?;
    let (begun, shared, is_ours) = futures_util::join!(session.batch(BEGIN), session.rows(SHARE_LINEAGE, &[]), async {
        session.opt(IS_OURS, &[]).await
    });
    begun?;
    shared?;
    match is_ours?.map(|row| at::<bool>(&row, 0)).transpose()? {
        Some(true) => Ok(()),
        _ => Err(Fault::OtherHistory),
    }
}
