//! Whether this is still the log it was: new epochs, and positions that go on where transactions are numbered anew (docs/adr/0008).
//!
//! A position is an offset, kept with the log, and the number of a transaction. Another server may number transactions from before what was handed
//! out: a promoted replica (it need not know those that were aborted), a copy put back, another cluster. Then the offset is raised above all of it.
//! And what had been acknowledged may be missing there: then the log is another one, and gets another epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::error::{Fault, Sql};
use crate::rows::at;
use crate::session::{Param, Session};

/// 64 unpredictable bytes: for the epoch, the token secret of a new log, and the name of this process among the writers.
pub type Seed = [u8; 64];

/// What the promotion of a replica may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Failover {
    /// A promoted replica may lack what was acknowledged: each promotion begins a new epoch, and clients compare what they hold.
    #[default]
    MayLose,
    /// Only replicas that have confirmed every commit are promoted (`synchronous_standby_names`): clients go on with their cursors. Where a writer finds
    /// one of its own commits missing all the same, the epoch is new.
    LosesNothing,
}

/// Of the lock that every transaction holds in common, and alone who changes the epoch or the offset: "tert", "line".
pub(crate) const SHARE_LINEAGE: &str = "SELECT pg_advisory_xact_lock_shared(1952805492, 1818848869)";
const OWN_LINEAGE: &str = "SELECT pg_advisory_xact_lock(1952805492, 1818848869)";

/// More transactions than a replica can be behind, or a copy be older: their numbers have 32 bits, of which a server keeps half ahead of it.
pub(crate) const LEAP: i64 = 1 << 32;

/// What one process knows of the log's history.
pub(crate) struct Lineage {
    seed: Seed,
    failover: Failover,
    /// The latest batch whose commit was confirmed.
    confirmed: AtomicI64,
    /// The generation and its epoch at the latest look.
    seen: Mutex<Option<(i64, Uuid)>>,
    on_new_epoch: Option<OnNewEpoch>,
}

/// Called with the new epoch when the log is found to be another one, before anything of it is told. Must not block.
pub type OnNewEpoch = Arc<dyn Fn([u8; 16]) + Send + Sync>;

const STATE: &str = "SELECT position_offset, generation, system_identifier, timeline,
        (SELECT c.system_identifier FROM pg_control_system() c),
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint
     FROM log_state";

const IS_MARKED: &str = "SELECT to_regclass('log_move') IS NOT NULL";

const RENEW: &str = "UPDATE log_state SET epoch = coalesce($1, epoch), position_offset = $2, generation = generation + 1, system_identifier = $3,
        timeline = $4";

/// No row is above it: who writes one writes this too.
const HIGHEST: &str = "SELECT coalesce(max(pos), 0) FROM writers";

const ENROL: &str = "INSERT INTO writers (writer_id, batch) VALUES ($1, $2) ON CONFLICT (writer_id)
     DO UPDATE SET batch = greatest(writers.batch, excluded.batch), seen_at = now()";

/// What a writer's row is kept for is over long before: who lives shows itself every day ([`crate::writer`]). But the highest position stays.
const FORGET: &str = "DELETE FROM writers WHERE seen_at < now() - interval '90 days' AND writer_id <> $1
     AND pos < (SELECT max(pos) FROM writers)";

const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 10000; SET LOCAL lock_timeout = 5000";

impl Lineage {
    pub fn new(seed: Seed, failover: Failover, on_new_epoch: Option<OnNewEpoch>) -> Self {
        Self { seed, failover, confirmed: AtomicI64::new(0), seen: Mutex::new(None), on_new_epoch }
    }

    fn part(&self, at: usize) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.seed[at..at + 16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Names this process among the writers.
    pub fn writer_id(&self) -> Uuid {
        self.part(16)
    }

    pub fn confirm(&self, batch: i64) {
        self.confirmed.store(batch, Ordering::Release);
    }

    /// The latest batch that is known to be committed; 0 where none is yet.
    pub fn confirmed(&self) -> i64 {
        self.confirmed.load(Ordering::Acquire)
    }

    /// Makes the state of a new log.
    pub async fn begin(&self, session: &Session) -> Sql<()> {
        let insert =
            "INSERT INTO log_state (id, epoch, position_offset, generation, system_identifier, timeline, token_secret)
             SELECT 1, $1, 0, 1, (SELECT c.system_identifier FROM pg_control_system() c),
                ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint, $2
             ON CONFLICT DO NOTHING";
        session.execute(insert, &[&self.part(0), &&self.seed[32..]]).await?;
        Ok(())
    }

    /// Finds out whether the log is what it was and writes down what has changed; done whenever a writer has a new connection.
    ///
    /// First with the lock that everybody has: whoever waits for all transactions to end, keeps all from beginning.
    pub async fn settle(&self, session: &Session) -> Sql<()> {
        for may_change in [false, true] {
            session.batch(BEGIN).await?;
            match self.settled(session, may_change).await {
                Ok(Some((generation, epoch))) => {
                    session.batch("COMMIT").await?;
                    // Not before: what is not committed another server may settle otherwise.
                    self.notice(generation, epoch);
                    return Ok(());
                }
                Ok(None) => session.batch("ROLLBACK").await?,
                Err(fault) => {
                    let _ = session.batch("ROLLBACK").await;
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// The generation and its epoch; `None` where something has changed and may not be written down.
    async fn settled(&self, session: &Session, may_change: bool) -> Sql<Option<(i64, Uuid)>> {
        session.rows(if may_change { OWN_LINEAGE } else { SHARE_LINEAGE }, &[]).await?;
        // A server that has the log open finds here that it is no longer its to write to.
        if at(&session.one(IS_MARKED, &[]).await?, 0)? {
            return Err(Fault::Unavailable("the log is being moved, or was".into()));
        }
        let row = session.one(STATE, &[]).await?;
        let (offset, generation, system, timeline): (i64, i64, i64, i64) =
            (at(&row, 0)?, at(&row, 1)?, at(&row, 2)?, at(&row, 3)?);
        let (system_now, timeline_now): (i64, i64) = (at(&row, 4)?, at(&row, 5)?);
        let confirmed = self.confirmed();
        let marker = session.opt("SELECT batch FROM writers WHERE writer_id = $1", &[&self.writer_id()]).await?;
        let marker: i64 = marker.map(|row| at(&row, 0)).transpose()?.unwrap_or(0);
        let (has_moved, was_promoted, went_back) = (system != system_now, timeline != timeline_now, marker < confirmed);
        if has_moved || was_promoted || went_back {
            if !may_change {
                return Ok(None);
            }
            let keeps_epoch = !has_moved && !went_back && self.failover == Failover::LosesNothing;
            let epoch = (!keeps_epoch).then(|| self.renewed(generation));
            let highest: i64 = if has_moved { at(&session.one(HIGHEST, &[]).await?, 0)? } else { 0 };
            let offset = offset.max(highest) + LEAP;
            let renew: &[&dyn Param] = &[&epoch, &offset, &system_now, &timeline_now];
            session.execute(RENEW, renew).await?;
            tracing::warn!(has_moved, was_promoted, went_back, keeps_epoch, "the log goes on with another history");
        }
        let now = session.one("SELECT generation, epoch FROM log_state", &[]).await?;
        session.execute(ENROL, &[&self.writer_id(), &marker.max(confirmed)]).await?;
        session.execute(FORGET, &[&self.writer_id()]).await?;
        Ok(Some((at(&now, 0)?, at(&now, 1)?)))
    }

    /// Also where another server has found it out and begun the epoch.
    pub fn notice(&self, generation: i64, epoch: Uuid) {
        let mut seen = self.seen.lock();
        let before = *seen;
        // What was read before the latest look says nothing.
        if before.is_some_and(|(known, _)| generation <= known) {
            return;
        }
        *seen = Some((generation, epoch));
        drop(seen);
        if before.is_some_and(|(_, known)| known != epoch)
            && let Some(on_new_epoch) = &self.on_new_epoch
        {
            on_new_epoch(epoch.into_bytes());
        }
    }

    /// An epoch nobody can guess and nobody has used.
    fn renewed(&self, generation: i64) -> Uuid {
        let digest = Sha256::new().chain_update(self.seed).chain_update(generation.to_be_bytes()).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}
