//! The queue of jobs, over connections of its own: work for later takes none from the writer and none from those who read.
//!
//! Each call is one short transaction. Workers of all servers pass over each other's rows (`SKIP LOCKED`). There is no LISTEN: a NOTIFY in a commit takes
//! a lock of the whole database, so that all commits that send would queue up, and over a pooler nothing would be heard. Workers look for themselves.
//!
//! Who sends a message locks the ready job of its conversation where there is one (`write/hot.rs`), so that nobody claims it until the message is
//! committed. What is claimed is therefore followed by nothing that had counted on it.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Pool, Runtime};
use futures_util::future::join_all;
use tertulia_store::jobs::*;
use tertulia_store::{Reading, StoreError, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::connect::Target;
use crate::error::{Fault, Remedy, Sql, unavailable};
use crate::lineage::SHARE_LINEAGE;
use crate::rows::at;
use crate::schema::OpenError;
use crate::session::{Param, Prepared, Session};
use crate::{PostgresStore, read};

/// Made when they are needed.
const CONNECTIONS: usize = 2;

/// How long a call waits for one of them.
const QUEUE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a transaction may take: above the database's own limits.
const DEADLINE: Duration = Duration::from_secs(15);

/// Others were in the way so often: then it is an error.
const TRIES_MAX: u32 = 8;

/// Plans must not depend on statistics, which a queue never keeps up with (see `readers.rs`). A worker that is stopped in the middle of it lets go of its
/// rows sooner than whoever sends a message gives up waiting for one of them.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = 10000;
     SET LOCAL lock_timeout = 1000; SET LOCAL idle_in_transaction_session_timeout = 2000;
     SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// Whether this is still the log that is served here: one that was moved away, or goes on with another history that nobody has settled, has no workers.
const IS_OURS: &str = "SELECT to_regclass('log_move') IS NULL AND system_identifier = (SELECT c.system_identifier FROM pg_control_system() c)
        AND ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint = timeline
     FROM log_state";

pub(crate) struct Jobs {
    pool: Pool,
    prepared: Prepared,
}

impl Jobs {
    pub fn new(target: &Target, prepared: Prepared) -> Result<Self, OpenError> {
        let pool = Pool::builder(target.manager())
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(QUEUE_DEADLINE))
            .create_timeout(Some(target.patience() + QUEUE_DEADLINE))
            .build()
            .map_err(|e| OpenError::Tls(e.to_string()))?;
        Ok(Self { pool, prepared })
    }

    pub fn close(&self) {
        self.pool.close();
    }

    /// One transaction, tried again where others were in its way. A connection whose transaction did not end goes.
    async fn transact<T, F, R>(&self, work: F) -> Result<T, StoreError>
    where
        F: Fn(Arc<Session>) -> R,
        R: Future<Output = Sql<T>>,
    {
        let mut tries = 0;
        loop {
            let object = self
                .pool
                .get()
                .await
                .map_err(|error| StoreError::Unavailable(format!("no connection for jobs: {error}")))?;
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
            if fault.remedy() != Remedy::Again || tries >= TRIES_MAX {
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

fn limit(most: usize) -> i64 {
    i64::try_from(most.min(JOBS_PER_CALL_MAX)).unwrap_or(0)
}

/// `xmax` is 0 of a row that was inserted and not updated.
const ENQUEUE: &str = "INSERT INTO jobs (kind, unique_key, payload, priority, run_at, created_at)
     SELECT $1, $2, $3, $4, $5, $6
     WHERE NOT $7 OR NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 1 AND r.kind = $1 AND r.unique_key = $2)
     ON CONFLICT (kind, unique_key) WHERE state = 0
     DO UPDATE SET run_at = least(jobs.run_at, excluded.run_at), priority = least(jobs.priority, excluded.priority)
     RETURNING xmax = 0";

async fn enqueue(session: &Session, jobs: &[NewJob]) -> Sql<Vec<bool>> {
    use Type as T;
    session.ready(ENQUEUE, &[T::TEXT, T::BYTEA, T::TEXT, T::INT2, T::INT8, T::INT8, T::BOOL]).await?;
    // All of them leave at once. In the order of their keys, as everybody's: who waits for one holds none that comes later.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|at| (&jobs[*at].kind, &jobs[*at].unique_key, *at));
    let told = join_all(order.iter().map(|at| enqueue_one(session, &jobs[*at]))).await;
    let mut fresh = vec![false; jobs.len()];
    for (place, told) in order.into_iter().zip(told) {
        fresh[place] = told?;
    }
    Ok(fresh)
}

async fn enqueue_one(session: &Session, job: &NewJob) -> Sql<bool> {
    let (priority, key) = (priority_of(job.priority), job.unique_key.as_deref());
    let params: &[&dyn Param] = &[
        &job.kind,
        &key,
        &job.payload,
        &priority,
        &job.run_at.ms(),
        &job.now.ms(),
        &(job.unless_running && key.is_some()),
    ];
    Ok(session.opt(ENQUEUE, params).await?.map(|row| at(&row, 0)).transpose()?.unwrap_or(false))
}

const fn priority_of(priority: Priority) -> i16 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

const ENDED: &str = "SELECT j.id, j.kind, (j.attempt - j.spared)::bigint, j.reasons
     FROM unnest($1::text[], $2::bigint[]) AS k (kind, most)
     CROSS JOIN LATERAL (SELECT * FROM jobs r WHERE r.state = 1 AND r.kind = k.kind AND r.lease_until <= $3
        ORDER BY r.lease_until LIMIT k.most FOR UPDATE SKIP LOCKED) j
     LIMIT $4";

const READY: &str = "SELECT j.id, j.kind
     FROM unnest($1::text[], $2::bigint[]) AS k (kind, most)
     CROSS JOIN LATERAL (SELECT * FROM jobs r WHERE r.state = 0 AND r.kind = k.kind AND r.priority = $3 AND r.run_at <= $4
        ORDER BY r.run_at LIMIT k.most FOR UPDATE SKIP LOCKED) j
     ORDER BY j.run_at, j.id LIMIT $5";

/// In the order of the ids given.
const TAKE: &str = "WITH taken AS (
        UPDATE jobs j SET state = 1, attempt = attempt + 1, worker = $3, lease_until = $4, reasons = coalesce(w.reasons, j.reasons)
        FROM unnest($1::bigint[], $2::text[]) AS w (id, reasons) WHERE j.id = w.id RETURNING j.*)
     SELECT t.id, t.kind, t.unique_key, t.payload, t.attempt::bigint, (t.attempt - t.spared)::bigint, t.run_at, t.created_at
     FROM unnest($1::bigint[]) WITH ORDINALITY AS o (id, place) JOIN taken t ON t.id = o.id ORDER BY o.place";

const DIE: &str = "UPDATE jobs j SET state = 2, worker = NULL, lease_until = NULL, dead_at = $3, reasons = w.reasons
     FROM unnest($1::bigint[], $2::text[]) AS w (id, reasons) WHERE j.id = w.id";

async fn claim(session: &Session, claim: &Claim) -> Sql<Vec<ClaimedJob>> {
    let kinds: Vec<&str> = claim.kinds.iter().map(|kind| kind.kind.as_str()).collect();
    let mut left: Vec<usize> = claim.kinds.iter().map(|kind| kind.jobs_max).collect();
    let mut free = claim.jobs_max.min(JOBS_PER_CALL_MAX);
    let place = |kind: &str| kinds.iter().position(|known| *known == kind);
    let (mut ids, mut histories): (Vec<i64>, Vec<Option<String>>) = (Vec::new(), Vec::new());
    let (mut dead, mut last_words): (Vec<i64>, Vec<String>) = (Vec::new(), Vec::new());
    for row in session.rows(ENDED, &[&kinds, &limits(&left), &claim.now.ms(), &limit(free)]).await? {
        let (id, kind, tries, reasons): (i64, &str, i64, &str) =
            (at(&row, 0)?, at(&row, 1)?, at(&row, 2)?, at(&row, 3)?);
        let Some(place) = place(kind) else { continue };
        let reasons = with_reason(reasons, claim.now, WORKER_LOST);
        if tries >= claim.kinds[place].attempts_max {
            dead.push(id);
            last_words.push(reasons);
        } else {
            ids.push(id);
            histories.push(Some(reasons));
            left[place] = left[place].saturating_sub(1);
            free -= 1;
        }
    }
    if !dead.is_empty() {
        session.execute(DIE, &[&dead, &last_words, &claim.now.ms()]).await?;
    }
    for priority in Priority::ALL {
        if free == 0 {
            break;
        }
        let params: &[&dyn Param] = &[&kinds, &limits(&left), &priority_of(priority), &claim.now.ms(), &limit(free)];
        for row in session.rows(READY, params).await? {
            let (id, kind): (i64, &str) = (at(&row, 0)?, at(&row, 1)?);
            let Some(place) = place(kind) else { continue };
            ids.push(id);
            histories.push(None);
            left[place] = left[place].saturating_sub(1);
            free = free.saturating_sub(1);
        }
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let taken = session.rows(TAKE, &[&ids, &histories, &&claim.worker[..], &claim.lease_until.ms()]).await?;
    taken.iter().map(claimed).collect()
}

fn limits(left: &[usize]) -> Vec<i64> {
    left.iter().map(|most| limit(*most)).collect()
}

fn claimed(row: &Row) -> Sql<ClaimedJob> {
    Ok(ClaimedJob {
        id: at(row, 0)?,
        kind: at(row, 1)?,
        unique_key: at(row, 2)?,
        payload: at(row, 3)?,
        attempt: at(row, 4)?,
        tries: at(row, 5)?,
        run_at: Timestamp::from_ms(at(row, 6)?),
        created_at: Timestamp::from_ms(at(row, 7)?),
    })
}

/// Claims, column by column.
struct Claims<'a> {
    ids: Vec<i64>,
    workers: Vec<&'a [u8]>,
    attempts: Vec<i64>,
}

impl<'a> Claims<'a> {
    /// In the order of their ids, as everybody locks them.
    fn of(held: impl Iterator<Item = &'a Held>) -> Self {
        let mut held: Vec<&Held> = held.collect();
        held.sort();
        Self {
            ids: held.iter().map(|one| one.id).collect(),
            workers: held.iter().map(|one| &one.worker[..]).collect(),
            attempts: held.iter().map(|one| one.attempt).collect(),
        }
    }
}

const RENEW: &str = "UPDATE jobs j SET lease_until = $4 FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS h (id, worker, attempt)
     WHERE j.id = h.id AND j.state = 1 AND j.worker = h.worker AND j.attempt = h.attempt RETURNING j.id, j.attempt::bigint";

const DONE: &str = "DELETE FROM jobs j USING unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS h (id, worker, attempt)
     WHERE j.id = h.id AND j.state = 1 AND j.worker = h.worker AND j.attempt = h.attempt RETURNING j.id, j.attempt::bigint";

const HELD: &str = "SELECT id, kind, unique_key, payload, priority, run_at, reasons FROM jobs
     WHERE id = $1 AND state = 1 AND worker = $2 AND attempt = $3 FOR UPDATE";

async fn counted(
    session: &Session,
    text: &'static str,
    claims: &Claims<'_>,
    until: Option<i64>,
) -> Sql<Vec<(i64, i64)>> {
    let rows = match until {
        Some(until) => session.rows(text, &[&claims.ids, &claims.workers, &claims.attempts, &until]).await?,
        None => session.rows(text, &[&claims.ids, &claims.workers, &claims.attempts]).await?,
    };
    rows.iter().map(|row| Ok((at(row, 0)?, at(row, 1)?))).collect()
}

async fn renew(session: &Session, held: &[Held], lease_until: Timestamp) -> Sql<Vec<bool>> {
    let renewed = counted(session, RENEW, &Claims::of(held.iter()), Some(lease_until.ms())).await?;
    Ok(held.iter().map(|one| renewed.contains(&(one.id, one.attempt))).collect())
}

async fn finish(session: &Session, finished: &[Finish], now: Timestamp) -> Sql<Vec<bool>> {
    let is_done = |one: &&Finish| one.end == JobEnd::Done;
    let claims = Claims::of(finished.iter().filter(is_done).map(|one| &one.held));
    let mut gone: HashSet<(i64, i64)> = if claims.ids.is_empty() {
        Default::default()
    } else {
        counted(session, DONE, &claims, None).await?.into_iter().collect()
    };
    let mut counts = Vec::with_capacity(finished.len());
    let mut next = Vec::new();
    for one in finished {
        let counted = match &one.end {
            JobEnd::Done => gone.remove(&(one.held.id, one.held.attempt)),
            _ => end(session, one, now).await?,
        };
        counts.push(counted);
        next.extend(one.next.clone().filter(|_| counted));
    }
    if !next.is_empty() {
        enqueue(session, &next).await?;
    }
    Ok(counts)
}

/// What of a row decides about how it goes on.
struct Place {
    id: JobId,
    kind: String,
    unique_key: Option<Vec<u8>>,
    payload: String,
    priority: i16,
    run_at: i64,
    reasons: String,
}

impl Place {
    fn from_row(row: &Row) -> Sql<Self> {
        Ok(Self {
            id: at(row, 0)?,
            kind: at(row, 1)?,
            unique_key: at(row, 2)?,
            payload: at(row, 3)?,
            priority: at(row, 4)?,
            run_at: at(row, 5)?,
            reasons: at(row, 6)?,
        })
    }
}

async fn end(session: &Session, finish: &Finish, now: Timestamp) -> Sql<bool> {
    let Held { id, worker, attempt } = finish.held;
    let Some(row) = session.opt(HELD, &[&id, &&worker[..], &attempt]).await? else { return Ok(false) };
    let mut place = Place::from_row(&row)?;
    match &finish.end {
        JobEnd::Done => {}
        JobEnd::Retry { at, reason } => {
            place.reasons = with_reason(&place.reasons, now, reason);
            place.run_at = at.ms();
            be_ready(session, &place, Spare::None).await?;
        }
        JobEnd::Dead { reason } => {
            let reasons = with_reason(&place.reasons, now, reason);
            session.execute(DIE, &[&vec![id], &vec![reasons], &now.ms()]).await?;
        }
        JobEnd::HandedBack => be_ready(session, &place, Spare::One).await?,
    }
    Ok(true)
}

/// Of the attempts so far, which are forgiven from now on.
#[derive(Clone, Copy)]
enum Spare {
    None,
    One,
    All,
}

const WAITING: &str = "SELECT id, reasons FROM jobs WHERE state = 0 AND kind = $1 AND unique_key = $2 FOR UPDATE";
const TAKE_IN: &str = "UPDATE jobs SET payload = $2, run_at = least(run_at, $3), priority = least(priority, $4), reasons = $5 WHERE id = $1";
const REMOVE: &str = "DELETE FROM jobs WHERE id = ANY($1)";
const BE_READY: &str =
    "UPDATE jobs SET state = 0, worker = NULL, lease_until = NULL, dead_at = NULL, run_at = $2, reasons = $3,
        spared = CASE WHEN $5 THEN attempt ELSE spared + $4::bigint END WHERE id = $1";

/// Running or dead before, and locked. Where its key has a ready row already, that one takes it in; where somebody makes one at this moment, the unique
/// index stops us, and the next try finds it.
async fn be_ready(session: &Session, place: &Place, spare: Spare) -> Sql<()> {
    if let Some(key) = &place.unique_key
        && let Some(row) = session.opt(WAITING, &[&place.kind, &&key[..]]).await?
    {
        let (other, reasons): (i64, &str) = (at(&row, 0)?, at(&row, 1)?);
        let merged = merged_reasons(reasons, &place.reasons);
        let params: &[&dyn Param] = &[&other, &place.payload, &place.run_at, &place.priority, &merged];
        session.execute(TAKE_IN, params).await?;
        return session.execute(REMOVE, &[&vec![place.id]]).await.map(drop);
    }
    let (one, all) = match spare {
        Spare::None => (0_i64, false),
        Spare::One => (1, false),
        Spare::All => (0, true),
    };
    session.execute(BE_READY, &[&place.id, &place.run_at, &place.reasons, &one, &all]).await.map(drop)
}

const DEAD_ONE: &str = "SELECT id, kind, unique_key, payload, priority, run_at, reasons FROM jobs WHERE state = 2 AND id = $1 FOR UPDATE SKIP LOCKED";
const DEAD_OF_KIND: &str =
    "SELECT id, kind, unique_key, payload, priority, run_at, reasons FROM jobs WHERE state = 2 AND kind = $1
     ORDER BY dead_at LIMIT $2 FOR UPDATE SKIP LOCKED";
const DEAD_BEFORE: &str =
    "SELECT id, kind, unique_key, payload, priority, run_at, reasons FROM jobs WHERE state = 2 AND dead_at < $1
     ORDER BY dead_at LIMIT $2 FOR UPDATE SKIP LOCKED";

async fn dead(session: &Session, which: &DeadLetters) -> Sql<Vec<Place>> {
    let rows = match which {
        DeadLetters::Of(id) => session.rows(DEAD_ONE, &[id]).await?,
        DeadLetters::OfKind { kind, limit: most } => session.rows(DEAD_OF_KIND, &[kind, &limit(*most)]).await?,
        DeadLetters::Before { at, limit: most } => session.rows(DEAD_BEFORE, &[&at.ms(), &limit(*most)]).await?,
    };
    rows.iter().map(Place::from_row).collect()
}

async fn retry_dead(session: &Session, which: &DeadLetters, now: Timestamp) -> Sql<usize> {
    let mut places = dead(session, which).await?;
    for place in &mut places {
        place.run_at = now.ms();
        be_ready(session, place, Spare::All).await?;
    }
    Ok(places.len())
}

async fn drop_dead(session: &Session, which: &DeadLetters) -> Sql<usize> {
    let ids: Vec<i64> = dead(session, which).await?.iter().map(|place| place.id).collect();
    session.execute(REMOVE, &[&ids]).await?;
    Ok(ids.len())
}

const FORGET_SESSIONS: &str = "DELETE FROM sessions WHERE id IN
     (SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// A call that is refused before anything is asked.
fn refused<'a, T: Send + 'a>(error: StoreError) -> Reading<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}

impl JobQueue for PostgresStore {
    fn enqueue(&self, jobs: Vec<NewJob>) -> Reading<'_, Vec<bool>> {
        if let Some(error) = oversize(&jobs) {
            return refused(error);
        }
        let jobs = Arc::new(jobs);
        Box::pin(self.jobs.transact(move |s| {
            let jobs = Arc::clone(&jobs);
            async move { enqueue(&s, &jobs).await }
        }))
    }

    fn claim(&self, ask: Claim) -> Reading<'_, Vec<ClaimedJob>> {
        let ask = Arc::new(ask);
        Box::pin(self.jobs.transact(move |s| {
            let ask = Arc::clone(&ask);
            async move { claim(&s, &ask).await }
        }))
    }

    fn renew(&self, held: Vec<Held>, lease_until: Timestamp) -> Reading<'_, Vec<bool>> {
        if let Some(error) = too_many(held.len()) {
            return refused(error);
        }
        let held = Arc::new(held);
        Box::pin(self.jobs.transact(move |s| {
            let held = Arc::clone(&held);
            async move { renew(&s, &held, lease_until).await }
        }))
    }

    fn finish(&self, finished: Vec<Finish>, now: Timestamp) -> Reading<'_, Vec<bool>> {
        if let Some(error) = too_many(finished.len()) {
            return refused(error);
        }
        let finished = Arc::new(finished);
        Box::pin(self.jobs.transact(move |s| {
            let finished = Arc::clone(&finished);
            async move { finish(&s, &finished, now).await }
        }))
    }

    fn retry_dead(&self, which: DeadLetters, now: Timestamp) -> Reading<'_, usize> {
        Box::pin(self.jobs.transact(move |s| {
            let which = which.clone();
            async move { retry_dead(&s, &which, now).await }
        }))
    }

    fn drop_dead(&self, which: DeadLetters) -> Reading<'_, usize> {
        Box::pin(self.jobs.transact(move |s| {
            let which = which.clone();
            async move { drop_dead(&s, &which).await }
        }))
    }

    fn job_stats(&self) -> Reading<'_, Vec<JobStats>> {
        self.read(|s| async move { read::jobs::stats(&s).await })
    }

    fn list_jobs(&self, filter: JobFilter) -> Reading<'_, Vec<JobRecord>> {
        self.read(move |s| async move { read::jobs::list(&s, &filter).await })
    }

    fn forget_sessions(&self, at: Timestamp, most: usize) -> Reading<'_, usize> {
        Box::pin(self.jobs.transact(move |s| async move {
            let gone = s.execute(FORGET_SESSIONS, &[&at.ms(), &limit(most)]).await?;
            Ok(usize::try_from(gone).unwrap_or(usize::MAX))
        }))
    }
}
