//! New jobs, many in one statement.

use std::collections::{HashMap, HashSet};

use tertulia_store::jobs::*;

use super::number;
use crate::error::Sql;
use crate::rows::at;
use crate::session::Session;

/// In the order of the keys, as everybody's: who waits for one holds none that comes later. `xmax` is 0 of a row that was inserted and not updated. With
/// `OFFSET 0` each lookup is by the index: else all that run and wait might be hashed.
const ENQUEUE: &str = "INSERT INTO jobs (kind, unique_key, payload, priority, run_at, created_at)
     SELECT w.kind, w.unique_key, w.payload, w.priority, w.run_at, w.created_at
     FROM unnest($1::text[], $2::bytea[], $3::text[], $4::smallint[], $5::bigint[], $6::bigint[], $7::boolean[]) WITH ORDINALITY
        AS w (kind, unique_key, payload, priority, run_at, created_at, unless_running, place)
     WHERE NOT w.unless_running
        OR NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 1 AND r.kind = w.kind AND r.unique_key = w.unique_key OFFSET 0)
        OR EXISTS (SELECT 1 FROM jobs r WHERE r.state = 0 AND r.kind = w.kind AND r.unique_key = w.unique_key OFFSET 0)
     ORDER BY w.kind COLLATE \"C\", w.unique_key, w.place
     ON CONFLICT (kind, unique_key) WHERE state = 0
     DO UPDATE SET run_at = CASE WHEN jobs.attempt > jobs.spared THEN jobs.run_at ELSE least(jobs.run_at, excluded.run_at) END,
        priority = least(jobs.priority, excluded.priority)
     RETURNING kind, unique_key, xmax = 0";

/// One job, and those of its key after it in the same call, which change only its time and priority: a statement may not touch a row twice.
struct Head<'a> {
    place: usize,
    first: &'a NewJob,
    priority: Priority,
    run_at: i64,
}

pub(super) async fn enqueue(session: &Session, jobs: &[NewJob]) -> Sql<Vec<bool>> {
    let mut fresh = vec![false; jobs.len()];
    for heads in rounds(jobs) {
        insert(session, &heads, &mut fresh).await?;
    }
    Ok(fresh)
}

/// Two at most: of one key there may be those that a running job keeps away, and then those that it does not.
fn rounds(jobs: &[NewJob]) -> Vec<Vec<Head<'_>>> {
    let mut rounds: [Vec<Head<'_>>; 2] = Default::default();
    // In which round the latest of a key is, and where.
    let mut latest: HashMap<(&str, &[u8]), (usize, usize)> = HashMap::new();
    for (place, job) in jobs.iter().enumerate() {
        let mut round = 0;
        if let Some(key) = job.unique_key.as_deref() {
            let before = latest.get(&(job.kind.as_str(), key)).copied();
            if let Some((known, at)) = before {
                let head = &mut rounds[known][at];
                if job.unless_running || !head.first.unless_running {
                    head.priority = head.priority.min(job.priority);
                    head.run_at = head.run_at.min(job.run_at.ms());
                    continue;
                }
                round = 1;
            }
            latest.insert((&job.kind, key), (round, rounds[round].len()));
        }
        rounds[round].push(Head { place, first: job, priority: job.priority, run_at: job.run_at.ms() });
    }
    rounds.into_iter().filter(|round| !round.is_empty()).collect()
}

async fn insert(session: &Session, heads: &[Head<'_>], fresh: &mut [bool]) -> Sql<()> {
    let kinds: Vec<&str> = heads.iter().map(|head| head.first.kind.as_str()).collect();
    let keys: Vec<Option<&[u8]>> = heads.iter().map(|head| head.first.unique_key.as_deref()).collect();
    let payloads: Vec<&str> = heads.iter().map(|head| head.first.payload.as_str()).collect();
    let priorities: Vec<i16> = heads.iter().map(|head| number(head.priority)).collect();
    let times: Vec<i64> = heads.iter().map(|head| head.run_at).collect();
    let made: Vec<i64> = heads.iter().map(|head| head.first.now.ms()).collect();
    let unless_running: Vec<bool> = heads.iter().map(|head| head.first.unless_running).collect();
    let rows = session.rows(ENQUEUE, &[&kinds, &keys, &payloads, &priorities, &times, &made, &unless_running]).await?;
    let mut inserted: HashSet<(&str, &[u8])> = HashSet::new();
    for row in &rows {
        if let (kind, Some(key), true) = (at(row, 0)?, at(row, 1)?, at(row, 2)?) {
            inserted.insert((kind, key));
        }
    }
    for head in heads {
        let key = head.first.unique_key.as_deref();
        fresh[head.place] = key.is_none_or(|key| inserted.contains(&(head.first.kind.as_str(), key)));
    }
    Ok(())
}
