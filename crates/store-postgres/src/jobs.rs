//! The queue of jobs, over connections of its own: work for later takes none from the writer and none from those who read.
//!
//! Each call is one short transaction. Workers of all servers pass over each other's rows (`SKIP LOCKED`). There is no LISTEN: a NOTIFY in a commit takes
//! a lock of the whole database, so that all commits that send would queue up, and over a pooler nothing would be heard. Workers look for themselves.
//!
//! The way through: claims and leases here; [`queueing`] new jobs; [`ends`] how they go on.
//!
//! Who sends a message locks the ready job of its conversation where there is one (`write/hot.rs`), so that nobody claims it until the message is
//! committed. What is claimed is therefore followed by nothing that had counted on it.

mod ends;
mod queueing;

pub(crate) use self::queueing::enqueue;

use std::collections::HashSet;
use std::sync::Arc;

use tertulia_store::jobs::*;
use tertulia_store::{Reading, StoreError, Timestamp};
use tokio_postgres::Row;

use crate::error::Sql;
use crate::rows::at;
use crate::session::{Param, Session};
use crate::{PostgresStore, read};

fn limit(most: usize) -> i64 {
    i64::try_from(most.min(JOBS_PER_CALL_MAX)).unwrap_or(0)
}

fn number(priority: Priority) -> i16 {
    i16::try_from(priority.number()).unwrap_or(i16::MAX)
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
        let params: &[&dyn Param] = &[&kinds, &limits(&left), &number(priority), &claim.now.ms(), &limit(free)];
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
    fn of(held: impl IntoIterator<Item = &'a Held>) -> Self {
        let mut held: Vec<&Held> = held.into_iter().collect();
        held.sort_unstable();
        held.dedup();
        Self {
            ids: held.iter().map(|one| one.id).collect(),
            workers: held.iter().map(|one| &one.worker[..]).collect(),
            attempts: held.iter().map(|one| one.attempt).collect(),
        }
    }
}

const RENEW: &str = "UPDATE jobs j SET lease_until = $4 FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS h (id, worker, attempt)
     WHERE j.id = h.id AND j.state = 1 AND j.worker = h.worker AND j.attempt = h.attempt RETURNING j.id, j.attempt::bigint";

async fn renew(session: &Session, held: &[Held], lease_until: Timestamp) -> Sql<Vec<bool>> {
    let claims = Claims::of(held);
    let rows = session.rows(RENEW, &[&claims.ids, &claims.workers, &claims.attempts, &lease_until.ms()]).await?;
    let renewed: HashSet<(JobId, i64)> = rows.iter().map(|row| Ok((at(row, 0)?, at(row, 1)?))).collect::<Sql<_>>()?;
    Ok(held.iter().map(|one| renewed.contains(&(one.id, one.attempt))).collect())
}

/// When it got its time is told by its last failure (times of RFC 3339 are in order as texts), or, where it had none, by the job itself. One that was dead
/// was due at once when it was tried again: that it has all its attempts before it and a history says so. Whose row somebody holds is for another time.
const RECALL_READY: &str = "WITH found AS MATERIALIZED (
        SELECT j.id FROM unnest($1::text[]) AS k (kind) CROSS JOIN unnest('{0,1,2}'::smallint[]) AS p (priority)
        CROSS JOIN LATERAL (SELECT r.id FROM jobs r WHERE r.state = 0 AND r.kind = k.kind AND r.priority = p.priority AND r.run_at > $2
            AND CASE WHEN r.reasons = '[]' THEN r.created_at > $2 WHEN r.attempt = r.spared THEN true
                ELSE coalesce(substring(r.reasons from '.*\"at\":\"([^\"]*)\"') > $3, r.created_at > $2) END
            LIMIT $5 FOR UPDATE SKIP LOCKED) j
        LIMIT $5)
     UPDATE jobs j SET run_at = $4 FROM found f WHERE j.id = f.id";

const RECALL_LEASES: &str = "WITH found AS MATERIALIZED (
        SELECT j.id FROM unnest($1::text[]) AS k (kind)
        CROSS JOIN LATERAL (SELECT r.id FROM jobs r WHERE r.state = 1 AND r.kind = k.kind AND r.lease_until > $2
            LIMIT $3 FOR UPDATE SKIP LOCKED) j
        LIMIT $3)
     UPDATE jobs j SET lease_until = $2 FROM found f WHERE j.id = f.id";

async fn recall(session: &Session, recall: &Recall) -> Sql<usize> {
    let Recall { kinds, now, ahead, lease_until } = recall;
    let most = JOBS_PER_CALL_MAX;
    let params: &[&dyn Param] = &[kinds, &ahead.ms(), &ahead.to_string(), &now.ms(), &limit(most)];
    let ready = usize::try_from(session.execute(RECALL_READY, params).await?).unwrap_or(most);
    let leases =
        session.execute(RECALL_LEASES, &[kinds, &lease_until.ms(), &limit(most.saturating_sub(ready))]).await?;
    Ok(ready.saturating_add(usize::try_from(leases).unwrap_or(most)))
}

const FORGET_SESSIONS: &str = "DELETE FROM sessions WHERE id IN
     (SELECT id FROM sessions s WHERE expires_at < $1 AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.session_id = s.id OFFSET 0)
     ORDER BY expires_at LIMIT $2 FOR UPDATE OF s SKIP LOCKED)";

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
            async move { queueing::enqueue(&s, &jobs).await }
        }))
    }

    fn claim(&self, ask: Claim) -> Reading<'_, Vec<ClaimedJob>> {
        let ask = Arc::new(ask);
        Box::pin(self.jobs.transact(move |s| {
            let ask = Arc::clone(&ask);
            async move { claim(&s, &ask).await }
        }))
    }

    fn recall(&self, ask: Recall) -> Reading<'_, usize> {
        let ask = Arc::new(ask);
        Box::pin(self.jobs.transact(move |s| {
            let ask = Arc::clone(&ask);
            async move { recall(&s, &ask).await }
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
        if let Some(error) = oversize_ends(&finished) {
            return refused(error);
        }
        let finished = Arc::new(finished);
        Box::pin(self.jobs.transact(move |s| {
            let finished = Arc::clone(&finished);
            async move { ends::finish(&s, &finished, now).await }
        }))
    }

    fn retry_dead(&self, which: DeadLetters, now: Timestamp) -> Reading<'_, usize> {
        Box::pin(self.jobs.transact(move |s| {
            let which = which.clone();
            async move { ends::retry_dead(&s, &which, now).await }
        }))
    }

    fn drop_dead(&self, which: DeadLetters) -> Reading<'_, usize> {
        Box::pin(self.jobs.transact(move |s| {
            let which = which.clone();
            async move { ends::drop_dead(&s, &which).await }
        }))
    }

    fn runs_beside(&self, job: JobId) -> Reading<'_, bool> {
        self.read(move |s| async move { read::jobs::runs_beside(&s, job).await })
    }

    fn job_stats(&self, count_max: usize) -> Reading<'_, Vec<JobStats>> {
        self.read(move |s| async move { read::jobs::stats(&s, count_max).await })
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
