//! How jobs go on: ends of attempts, and what a person does to dead letters. However many, in so many statements.
//!
//! What is to be ready again may meet a ready row of its key, or somebody who is about to make one. Therefore the keys are taken first, all of them, in the
//! order in which everybody takes keys ([`LOCK_KEYS`]); then it is decided what becomes of the rows, and nothing that is written waits for anybody.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tertulia_store::Timestamp;
use tertulia_store::jobs::*;
use tokio_postgres::Row;

use super::{Claims, DIE, limit, number, queueing};
use crate::error::{Fault, Sql};
use crate::rows::at;
use crate::session::Session;

/// In the order of the ids, as everybody locks rows that run.
const HELD: &str =
    "SELECT j.id, j.attempt::bigint, j.spared::bigint, j.priority, j.run_at, j.reasons, j.kind, j.unique_key, j.worker
     FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS h (id, worker, attempt) JOIN jobs j ON j.id = h.id
     WHERE j.state = 1 AND j.worker = h.worker AND j.attempt = h.attempt ORDER BY j.id FOR UPDATE OF j";

const DONE: &str = "DELETE FROM jobs j USING unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS h (id, worker, attempt)
     WHERE j.id = h.id AND j.state = 1 AND j.worker = h.worker AND j.attempt = h.attempt RETURNING j.id, j.attempt::bigint, j.worker";

/// A key that has a ready row: that row is locked. One that has none: a row is made, which nobody else sees and which is gone before the commit, so that
/// whoever else wants to make one waits.
const LOCK_KEYS: &str = "INSERT INTO jobs (kind, unique_key, payload, run_at, created_at)
     SELECT w.kind, w.unique_key, '', 0, 0 FROM unnest($1::text[], $2::bytea[]) AS w (kind, unique_key)
     ORDER BY w.kind COLLATE \"C\", w.unique_key
     ON CONFLICT (kind, unique_key) WHERE state = 0 DO UPDATE SET run_at = jobs.run_at WHERE false RETURNING id";

const READY_OF_KEYS: &str =
    "SELECT j.id, j.attempt::bigint, j.spared::bigint, j.priority, j.run_at, j.reasons, j.kind, j.unique_key
     FROM unnest($1::text[], $2::bytea[]) AS w (kind, unique_key)
     CROSS JOIN LATERAL (SELECT * FROM jobs r WHERE r.state = 0 AND r.kind = w.kind AND r.unique_key = w.unique_key OFFSET 0) j";

const REMOVE: &str = "DELETE FROM jobs WHERE id = ANY($1)";

const BE_READY: &str = "UPDATE jobs j SET state = 0, worker = NULL, lease_until = NULL, dead_at = NULL, attempt = w.attempt, spared = w.spared,
        priority = w.priority, run_at = w.run_at, reasons = w.reasons
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[], $6::text[])
        AS w (id, attempt, spared, priority, run_at, reasons) WHERE j.id = w.id";

/// In the order of the conflicts' index.
type Key = (String, Vec<u8>);

struct Found {
    row: Standing,
    key: Option<Key>,
}

impl Found {
    fn from_row(row: &Row) -> Sql<Self> {
        let kind: String = at(row, 6)?;
        Ok(Self {
            row: Standing {
                id: at(row, 0)?,
                attempt: at(row, 1)?,
                spared: at(row, 2)?,
                priority: Priority::from_number(i64::from(at::<i16>(row, 3)?)),
                run_at: Timestamp::from_ms(at(row, 4)?),
                reasons: at(row, 5)?,
            },
            key: at::<Option<Vec<u8>>>(row, 7)?.map(|key| (kind, key)),
        })
    }
}

/// What is to be written.
#[derive(Default)]
struct Ends<'a> {
    gone: Vec<JobId>,
    dead: Vec<JobId>,
    last_words: Vec<String>,
    again: Vec<(Found, Again<'a>)>,
    next: Vec<NewJob>,
}

pub(super) async fn finish(session: &Session, finished: &[Finish], now: Timestamp) -> Sql<Vec<bool>> {
    let mut ends = Ends::default();
    let claims = Claims::of(finished.iter().map(|one| &one.held));
    let are_done = finished.iter().all(|one| one.end == JobEnd::Done);
    let mut gone: HashSet<Held> = HashSet::new();
    let mut held: HashMap<Held, Found> = HashMap::new();
    // What most batches are made of takes one statement.
    let text = if are_done { DONE } else { HELD };
    for row in session.rows(text, &[&claims.ids, &claims.workers, &claims.attempts]).await? {
        if are_done {
            gone.insert(held_by(&row, 2)?);
        } else {
            held.insert(held_by(&row, 8)?, Found::from_row(&row)?);
        }
    }
    let mut counts = Vec::with_capacity(finished.len());
    for one in finished {
        // Of the same end twice the first counts.
        let counted = match (held.remove(&one.held), &one.end) {
            (None, _) => gone.remove(&one.held),
            (Some(found), end) => {
                ends.take(found, end, now);
                true
            }
        };
        counts.push(counted);
        if counted {
            ends.next.extend_from_slice(&one.next);
        }
    }
    ends.write(session, now).await?;
    Ok(counts)
}

fn held_by(row: &Row, worker: usize) -> Sql<Held> {
    let wrong = |_| Fault::Corrupt("a worker that is not 128 bits long".into());
    Ok(Held { id: at(row, 0)?, attempt: at(row, 1)?, worker: at::<&[u8]>(row, worker)?.try_into().map_err(wrong)? })
}

impl<'a> Ends<'a> {
    fn take(&mut self, found: Found, end: &'a JobEnd, now: Timestamp) {
        match end {
            JobEnd::Done => self.gone.push(found.row.id),
            JobEnd::Retry { at, reason } => self.again.push((found, Again::Failed { at: *at, reason })),
            JobEnd::Dead { reason } => {
                self.dead.push(found.row.id);
                self.last_words.push(with_reason(&found.row.reasons, now, reason));
            }
            JobEnd::HandedBack => self.again.push((found, Again::HandedBack)),
            JobEnd::NotNow { at } => self.again.push((found, Again::NotNow { at: *at })),
        }
    }

    async fn write(mut self, session: &Session, now: Timestamp) -> Sql<()> {
        let mut ready = self.lock_keys(session).await?;
        let mut again: BTreeMap<JobId, Standing> = BTreeMap::new();
        for (Found { row, key }, why) in std::mem::take(&mut self.again) {
            let mut row = row.again(why, now);
            if let Some(key) = key {
                if let Some(waiting) = ready.remove(&key) {
                    let goes;
                    (row, goes) = row.joined(waiting, why);
                    again.remove(&goes);
                    self.gone.push(goes);
                }
                ready.insert(key, row.clone());
            }
            again.insert(row.id, row);
        }
        if !self.gone.is_empty() {
            session.execute(REMOVE, &[&self.gone]).await?;
        }
        if !self.dead.is_empty() {
            session.execute(DIE, &[&self.dead, &self.last_words, &now.ms()]).await?;
        }
        if !again.is_empty() {
            be_ready(session, again.into_values().collect()).await?;
        }
        if !self.next.is_empty() {
            queueing::enqueue(session, &self.next).await?;
        }
        Ok(())
    }

    /// The ready rows of all keys that something is to become ready of. From here on nobody else's rows come to these keys.
    async fn lock_keys(&mut self, session: &Session) -> Sql<HashMap<Key, Standing>> {
        let mut keys: BTreeSet<(&str, &[u8])> = BTreeSet::new();
        let again = self.again.iter().filter_map(|(found, _)| found.key.as_ref());
        keys.extend(again.map(|(kind, key)| (kind.as_str(), key.as_slice())));
        if keys.is_empty() {
            // What is queued by itself takes its keys in order anyway.
            return Ok(HashMap::new());
        }
        keys.extend(self.next.iter().filter_map(|job| Some((job.kind.as_str(), job.unique_key.as_deref()?))));
        let (kinds, keys): (Vec<&str>, Vec<&[u8]>) = keys.into_iter().unzip();
        let mut made: HashSet<JobId> = HashSet::new();
        for row in session.rows(LOCK_KEYS, &[&kinds, &keys]).await? {
            made.insert(at(&row, 0)?);
        }
        let mut ready = HashMap::new();
        for row in session.rows(READY_OF_KEYS, &[&kinds, &keys]).await? {
            let Found { row, key } = Found::from_row(&row)?;
            if !made.contains(&row.id) {
                ready.extend(key.map(|key| (key, row)));
            }
        }
        self.gone.extend(made);
        Ok(ready)
    }
}

async fn be_ready(session: &Session, rows: Vec<Standing>) -> Sql<()> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let attempts: Vec<i64> = rows.iter().map(|row| row.attempt).collect();
    let spared: Vec<i64> = rows.iter().map(|row| row.spared).collect();
    let priorities: Vec<i16> = rows.iter().map(|row| number(row.priority)).collect();
    let times: Vec<i64> = rows.iter().map(|row| row.run_at.ms()).collect();
    let reasons: Vec<String> = rows.into_iter().map(|row| row.reasons).collect();
    session.execute(BE_READY, &[&ids, &attempts, &spared, &priorities, &times, &reasons]).await.map(drop)
}

const DEAD_ONE: &str =
    "SELECT id, attempt::bigint, spared::bigint, priority, run_at, reasons, kind, unique_key FROM jobs
     WHERE state = 2 AND id = $1 FOR UPDATE SKIP LOCKED";
const DEAD_OF_KIND: &str =
    "SELECT id, attempt::bigint, spared::bigint, priority, run_at, reasons, kind, unique_key FROM jobs
     WHERE state = 2 AND kind = $1 ORDER BY dead_at, id LIMIT $2 FOR UPDATE SKIP LOCKED";
const DEAD_BEFORE: &str =
    "SELECT id, attempt::bigint, spared::bigint, priority, run_at, reasons, kind, unique_key FROM jobs
     WHERE state = 2 AND dead_at < $1 ORDER BY dead_at, id LIMIT $2 FOR UPDATE SKIP LOCKED";

async fn dead(session: &Session, which: &DeadLetters) -> Sql<Vec<Found>> {
    let rows = match which {
        DeadLetters::Of(id) => session.rows(DEAD_ONE, &[id]).await?,
        DeadLetters::OfKind { kind, limit: most } => session.rows(DEAD_OF_KIND, &[kind, &limit(*most)]).await?,
        DeadLetters::Before { at, limit: most } => session.rows(DEAD_BEFORE, &[&at.ms(), &limit(*most)]).await?,
    };
    rows.iter().map(Found::from_row).collect()
}

pub(super) async fn retry_dead(session: &Session, which: &DeadLetters, now: Timestamp) -> Sql<usize> {
    let dead = dead(session, which).await?;
    let count = dead.len();
    let again = dead.into_iter().map(|found| (found, Again::Revived)).collect();
    Ends { again, ..Ends::default() }.write(session, now).await?;
    Ok(count)
}

pub(super) async fn drop_dead(session: &Session, which: &DeadLetters) -> Sql<usize> {
    let ids: Vec<i64> = dead(session, which).await?.iter().map(|found| found.row.id).collect();
    session.execute(REMOVE, &[&ids]).await?;
    Ok(ids.len())
}
