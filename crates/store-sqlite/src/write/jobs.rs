//! What happens to the queue, each inside a commit of the writer's.

use rusqlite::{Connection, OptionalExtension, Row};
use tertulia_store::Timestamp;
use tertulia_store::jobs::*;

use crate::read::jobs::IS_READY_AHEAD;
use crate::rows::Sql;

const ENDED: &str = "SELECT id, attempt - spared, reasons FROM jobs WHERE state = 1 AND kind = ?1 AND lease_until <= ?2
             ORDER BY lease_until LIMIT ?3";
const READY: &str = "SELECT run_at, id FROM jobs WHERE state = 0 AND kind = ?1 AND priority = ?2 AND run_at <= ?3
             ORDER BY run_at, id LIMIT ?4";
const READY_OF_KEY: &str = "SELECT r.id, r.attempt, r.spared, r.priority, r.run_at, r.reasons FROM jobs h
             JOIN jobs r ON r.state = 0 AND r.kind = h.kind AND r.unique_key = h.unique_key WHERE h.id = ?1";
const DEAD_OF_KIND: &str = "SELECT id FROM jobs WHERE state = 2 AND kind = ?1 ORDER BY dead_at, id LIMIT ?2";
const DEAD_BEFORE: &str = "SELECT id FROM jobs WHERE state = 2 AND dead_at < ?1 ORDER BY dead_at, id LIMIT ?2";

pub(crate) fn enqueue(connection: &Connection, jobs: &[NewJob]) -> Sql<Vec<bool>> {
    jobs.iter().map(|job| enqueue_one(connection, job)).collect()
}

fn enqueue_one(connection: &Connection, job: &NewJob) -> Sql<bool> {
    if let Some(key) = &job.unique_key {
        let waits = connection
            .prepare_cached(
                "UPDATE jobs SET run_at = CASE WHEN attempt > spared THEN run_at ELSE min(run_at, ?3) END, priority = min(priority, ?4)
                 WHERE state = 0 AND kind = ?1 AND unique_key = ?2",
            )?
            .execute((&job.kind, key, job.run_at.ms(), job.priority.number()))?;
        if waits > 0 || (job.unless_running && is_running(connection, &job.kind, key)?) {
            return Ok(false);
        }
    }
    connection
        .prepare_cached(
            "INSERT INTO jobs (kind, unique_key, payload, priority, run_at, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            &job.kind,
            &job.unique_key,
            &job.payload,
            job.priority.number(),
            job.run_at.ms(),
            job.now.ms(),
        ))?;
    Ok(true)
}

fn is_running(connection: &Connection, kind: &str, key: &[u8]) -> Sql<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 1 AND kind = ?1 AND unique_key = ?2)")?
        .query_row((kind, key), |row| row.get(0))
}

pub(crate) fn claim(connection: &Connection, claim: &Claim) -> Sql<Vec<ClaimedJob>> {
    let mut claimed = Vec::new();
    let mut left: Vec<usize> = claim.kinds.iter().map(|kind| kind.jobs_max).collect();
    let jobs_max = claim.jobs_max.min(JOBS_PER_CALL_MAX);
    for (kind, left) in claim.kinds.iter().zip(&mut left) {
        let most = (*left).min(jobs_max - claimed.len());
        let rescued = rescue(connection, claim, kind, most)?;
        *left -= rescued.len();
        claimed.extend(rescued);
    }
    for priority in Priority::ALL {
        let mut found: Vec<(i64, JobId, usize)> = Vec::new();
        for (at, kind) in claim.kinds.iter().enumerate() {
            let most = left[at].min(jobs_max - claimed.len());
            found.extend(ready(connection, claim, &kind.kind, priority, most)?.into_iter().map(|(t, id)| (t, id, at)));
        }
        found.sort_unstable();
        for (_, id, at) in found.into_iter().take(jobs_max - claimed.len()) {
            claimed.push(take(connection, claim, id, None)?);
            left[at] -= 1;
        }
    }
    Ok(claimed)
}

/// Jobs whose lease has ended: claimed again, or dead where that was their last attempt. So many are looked at.
fn rescue(connection: &Connection, claim: &Claim, kind: &ClaimKind, most: usize) -> Sql<Vec<ClaimedJob>> {
    let ended: Vec<(JobId, i64, String)> = connection
        .prepare_cached(ENDED)?
        .query_map((&kind.kind, claim.now.ms(), limit(most)), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Sql<_>>()?;
    let mut claimed = Vec::new();
    for (id, tries, reasons) in ended {
        let reasons = with_reason(&reasons, claim.now, WORKER_LOST);
        if tries >= kind.attempts_max {
            die(connection, id, claim.now, &reasons)?;
        } else {
            claimed.push(take(connection, claim, id, Some(&reasons))?);
        }
    }
    Ok(claimed)
}

fn ready(
    connection: &Connection,
    claim: &Claim,
    kind: &str,
    priority: Priority,
    most: usize,
) -> Sql<Vec<(i64, JobId)>> {
    if most == 0 {
        return Ok(Vec::new());
    }
    connection
        .prepare_cached(READY)?
        .query_map((kind, priority.number(), claim.now.ms(), limit(most)), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn take(connection: &Connection, claim: &Claim, id: JobId, reasons: Option<&str>) -> Sql<ClaimedJob> {
    connection
        .prepare_cached(
            "UPDATE jobs SET state = 1, attempt = attempt + 1, worker = ?2, lease_until = ?3, reasons = coalesce(?4, reasons)
             WHERE id = ?1 RETURNING id, kind, unique_key, payload, attempt, attempt - spared, run_at, created_at",
        )?
        .query_row((id, claim.worker, claim.lease_until.ms(), reasons), |row| {
            Ok(ClaimedJob {
                id: row.get(0)?,
                kind: row.get(1)?,
                unique_key: row.get(2)?,
                payload: row.get(3)?,
                attempt: row.get(4)?,
                tries: row.get(5)?,
                run_at: Timestamp::from_ms(row.get(6)?),
                created_at: Timestamp::from_ms(row.get(7)?),
            })
        })
}

pub(crate) fn renew(connection: &Connection, held: &[Held], lease_until: Timestamp) -> Sql<Vec<bool>> {
    let mut renew = connection.prepare_cached(
        "UPDATE jobs SET lease_until = ?4 WHERE id = ?1 AND state = 1 AND worker = ?2 AND attempt = ?3",
    )?;
    held.iter().map(|one| Ok(renew.execute((one.id, one.worker, one.attempt, lease_until.ms()))? > 0)).collect()
}

/// Of what a look found, what is still so.
pub(crate) fn recall(connection: &Connection, recall: &Recall, found: &[JobId]) -> Sql<usize> {
    let ready = format!("UPDATE jobs SET run_at = ?4 WHERE id = ?3 AND state = 0 AND {IS_READY_AHEAD}");
    let mut ready = connection.prepare_cached(&ready)?;
    let mut leased = connection
        .prepare_cached("UPDATE jobs SET lease_until = ?2 WHERE id = ?1 AND state = 1 AND lease_until > ?2")?;
    let (ahead_ms, ahead_text) = (recall.ahead.ms(), recall.ahead.to_string());
    let mut count = 0;
    for id in found {
        count += ready.execute((ahead_ms, &ahead_text, id, recall.now.ms()))?;
        count += leased.execute((id, recall.lease_until.ms()))?;
    }
    Ok(count)
}

pub(crate) fn finish(connection: &Connection, finished: &[Finish], now: Timestamp) -> Sql<Vec<bool>> {
    finished
        .iter()
        .map(|one| {
            let counts = end(connection, one, now)?;
            if counts {
                enqueue(connection, &one.next)?;
            }
            Ok(counts)
        })
        .collect()
}

const STANDING: &str = "id, attempt, spared, priority, run_at, reasons";

fn standing(row: &Row<'_>) -> Sql<Standing> {
    Ok(Standing {
        id: row.get(0)?,
        attempt: row.get(1)?,
        spared: row.get(2)?,
        priority: Priority::from_number(row.get(3)?),
        run_at: Timestamp::from_ms(row.get(4)?),
        reasons: row.get(5)?,
    })
}

fn end(connection: &Connection, finish: &Finish, now: Timestamp) -> Sql<bool> {
    let Held { id, worker, attempt } = finish.held;
    if finish.end == JobEnd::Done {
        let gone = connection
            .prepare_cached("DELETE FROM jobs WHERE id = ?1 AND state = 1 AND worker = ?2 AND attempt = ?3")?
            .execute((id, worker, attempt))?;
        return Ok(gone > 0);
    }
    let select = format!("SELECT {STANDING} FROM jobs WHERE id = ?1 AND state = 1 AND worker = ?2 AND attempt = ?3");
    let row = connection.prepare_cached(&select)?.query_row((id, worker, attempt), standing).optional()?;
    let Some(held) = row else { return Ok(false) };
    match &finish.end {
        JobEnd::Done => {}
        JobEnd::Retry { at, reason } => be_ready(connection, held, Again::Failed { at: *at, reason }, now)?,
        JobEnd::Dead { reason } => die(connection, id, now, &with_reason(&held.reasons, now, reason))?,
        JobEnd::HandedBack => be_ready(connection, held, Again::HandedBack, now)?,
        JobEnd::NotNow { at } => be_ready(connection, held, Again::NotNow { at: *at }, now)?,
    }
    Ok(true)
}

fn die(connection: &Connection, id: JobId, now: Timestamp, reasons: &str) -> Sql<()> {
    connection
        .prepare_cached(
            "UPDATE jobs SET state = 2, worker = NULL, lease_until = NULL, dead_at = ?2, reasons = ?3 WHERE id = ?1",
        )?
        .execute((id, now.ms(), reasons))
        .map(drop)
}

/// Running or dead before. Where its key has a ready row already, the two become one.
fn be_ready(connection: &Connection, row: Standing, why: Again<'_>, now: Timestamp) -> Sql<()> {
    let waiting = connection.prepare_cached(READY_OF_KEY)?.query_row([row.id], standing).optional()?;
    let mut row = row.again(why, now);
    if let Some(waiting) = waiting {
        let goes;
        (row, goes) = row.joined(waiting, why);
        connection.prepare_cached("DELETE FROM jobs WHERE id = ?1")?.execute([goes])?;
    }
    connection
        .prepare_cached(
            "UPDATE jobs SET state = 0, worker = NULL, lease_until = NULL, dead_at = NULL, attempt = ?2, spared = ?3, priority = ?4, run_at = ?5,
                reasons = ?6 WHERE id = ?1",
        )?
        .execute((row.id, row.attempt, row.spared, row.priority.number(), row.run_at.ms(), row.reasons))
        .map(drop)
}

fn dead_ids(connection: &Connection, which: &DeadLetters) -> Sql<Vec<JobId>> {
    let id = |row: &Row<'_>| row.get(0);
    match which {
        DeadLetters::Of(one) => connection
            .prepare_cached("SELECT id FROM jobs WHERE state = 2 AND id = ?1")?
            .query_map([one], id)?
            .collect(),
        DeadLetters::OfKind { kind, limit: most } => {
            connection.prepare_cached(DEAD_OF_KIND)?.query_map((kind, limit(*most)), id)?.collect()
        }
        DeadLetters::Before { at, limit: most } => {
            connection.prepare_cached(DEAD_BEFORE)?.query_map((at.ms(), limit(*most)), id)?.collect()
        }
    }
}

pub(crate) fn retry_dead(connection: &Connection, which: &DeadLetters, now: Timestamp) -> Sql<usize> {
    let ids = dead_ids(connection, which)?;
    let select = format!("SELECT {STANDING} FROM jobs WHERE id = ?1");
    for id in &ids {
        let dead = connection.prepare_cached(&select)?.query_row([id], standing)?;
        be_ready(connection, dead, Again::Revived, now)?;
    }
    Ok(ids.len())
}

pub(crate) fn drop_dead(connection: &Connection, which: &DeadLetters) -> Sql<usize> {
    let ids = dead_ids(connection, which)?;
    let mut delete = connection.prepare_cached("DELETE FROM jobs WHERE id = ?1")?;
    for id in &ids {
        delete.execute([id])?;
    }
    Ok(ids.len())
}

pub(crate) fn forget_sessions(connection: &Connection, at: Timestamp, most: usize) -> Sql<usize> {
    connection
        .prepare_cached(
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions s WHERE expires_at < ?1
                AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.session_id = s.id) ORDER BY expires_at LIMIT ?2)",
        )?
        .execute((at.ms(), limit(most)))
}

/// Never more than a call may touch.
fn limit(most: usize) -> i64 {
    i64::try_from(most.min(JOBS_PER_CALL_MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(connection: &Connection, statement: &str) -> Vec<String> {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let mut explained = connection.prepare(&explain).unwrap();
        let count = explained.parameter_count();
        let nothing = vec![rusqlite::types::Null; count];
        explained.query_map(rusqlite::params_from_iter(nothing), |row| row.get(3)).unwrap().collect::<Sql<_>>().unwrap()
    }

    /// However deep the queue is: what is asked at every look reads as many rows as it answers.
    #[test]
    fn the_next_jobs_are_found_by_index_and_already_in_order() {
        let connection = crate::schema::open_memory(None).unwrap();
        for (statement, index) in
            [(READY, "jobs_ready"), (ENDED, "jobs_running"), (DEAD_BEFORE, "jobs_dead"), (DEAD_OF_KIND, "jobs_dead")]
        {
            let plan = plan_of(&connection, statement);
            assert!(plan.iter().all(|line| line.contains(index) && !line.contains("TEMP B-TREE")), "{plan:?}");
        }
    }

    #[test]
    fn the_ready_job_of_a_key_is_found_by_it() {
        let plan = plan_of(&crate::schema::open_memory(None).unwrap(), READY_OF_KEY);
        assert!(plan.len() == 2 && plan[0].contains("PRIMARY KEY"), "{plan:?}");
        assert!(plan[1].contains("one_ready_job_per_key (kind=? AND unique_key=?)"), "{plan:?}");
    }
}
