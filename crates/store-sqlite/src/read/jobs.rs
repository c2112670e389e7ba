//! What people and metrics see of the queue.

use rusqlite::{Connection, Row};
use tertulia_store::jobs::*;
use tertulia_store::{ConversationId, Timestamp};

use crate::read::accounts::limit_of;
use crate::rows::{Sql, bad_value, time_at};

/// From one kind to the next by the index; of each a bounded part.
const STATS: &str = "WITH RECURSIVE kinds (kind) AS (
        SELECT (SELECT min(kind) FROM jobs WHERE state = 0)
        UNION ALL SELECT (SELECT min(j.kind) FROM jobs j WHERE j.state = 0 AND j.kind > kinds.kind) FROM kinds WHERE kinds.kind IS NOT NULL)
     SELECT kind, 0, (SELECT count(*) FROM (SELECT 1 FROM jobs j WHERE j.state = 0 AND j.kind = kinds.kind LIMIT ?1)),
        min(coalesce((SELECT min(run_at) FROM jobs j WHERE j.state = 0 AND j.kind = kinds.kind AND j.priority = 0), 1 << 62),
            coalesce((SELECT min(run_at) FROM jobs j WHERE j.state = 0 AND j.kind = kinds.kind AND j.priority = 1), 1 << 62),
            coalesce((SELECT min(run_at) FROM jobs j WHERE j.state = 0 AND j.kind = kinds.kind AND j.priority = 2), 1 << 62))
     FROM kinds WHERE kind IS NOT NULL
     UNION ALL SELECT kind, 1, count(*), min(created_at) FROM (SELECT kind, created_at FROM jobs WHERE state = 1 LIMIT ?1) GROUP BY kind
     UNION ALL SELECT kind, 2, count(*), min(created_at) FROM (SELECT kind, created_at FROM jobs WHERE state = 2 LIMIT ?1) GROUP BY kind
     ORDER BY 1, 2";

pub(crate) fn stats(connection: &Connection, count_max: usize) -> Sql<Vec<JobStats>> {
    connection
        .prepare_cached(STATS)?
        .query_map([i64::try_from(count_max).unwrap_or(i64::MAX)], |row| {
            Ok(JobStats {
                kind: row.get(0)?,
                state: state_at(row, 1)?,
                count: row.get(2)?,
                oldest: Timestamp::from_ms(row.get(3)?),
            })
        })?
        .collect()
}

const COLUMNS: &str = "id, kind, unique_key, payload, state, priority, attempt - spared, run_at, created_at, lease_until, dead_at, reasons";

fn record(row: &Row<'_>) -> Sql<JobRecord> {
    Ok(JobRecord {
        id: row.get(0)?,
        kind: row.get(1)?,
        unique_key: row.get(2)?,
        payload: row.get(3)?,
        state: state_at(row, 4)?,
        priority: Priority::from_number(row.get(5)?),
        tries: row.get(6)?,
        run_at: Timestamp::from_ms(row.get(7)?),
        created_at: Timestamp::from_ms(row.get(8)?),
        lease_until: time_at(row, 9)?,
        dead_at: time_at(row, 10)?,
        reasons: reasons_of(row.get_ref(11)?.as_str()?),
    })
}

pub(crate) fn list(connection: &Connection, filter: &JobFilter) -> Sql<Vec<JobRecord>> {
    let limit = i64::try_from(filter.limit.min(JOBS_PER_CALL_MAX)).unwrap_or(0);
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM jobs WHERE state = ?1 AND id > ?2 AND kind = coalesce(?3, kind) ORDER BY id LIMIT ?4"
        ))?
        .query_map((filter.state.number(), filter.after, &filter.kind, limit), record)?
        .collect()
}

pub(crate) fn runs_beside(connection: &Connection, job: JobId) -> Sql<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM jobs j JOIN jobs r ON r.state = 1 AND r.kind = j.kind AND r.unique_key = j.unique_key AND r.id <> j.id
                    AND r.lease_until <= j.lease_until + ?2
                WHERE j.id = ?1)",
        )?
        .query_row((job, BESIDE_MAX_MS), |row| row.get(0))
}

/// When it got its time is told by its last failure (times of RFC 3339 are in order as texts), or, where it had none, by the job itself. One that was dead
/// was due at once when it was tried again: that it has all its attempts before it and a history says so.
pub(crate) const IS_READY_AHEAD: &str =
    "run_at > ?1 AND CASE WHEN reasons = '[]' OR NOT json_valid(reasons) THEN created_at > ?1
        WHEN attempt = spared THEN 1 ELSE json_extract(reasons, '$[#-1].at') > ?2 END";

const READY_AHEAD: &str = "SELECT id FROM jobs WHERE state = 0 AND kind = ?3 AND priority = ?4 AND ";

const LEASED_AHEAD: &str = "SELECT id FROM jobs WHERE state = 1 AND kind = ?1 AND lease_until > ?2 LIMIT ?3";

fn ready_ahead() -> String {
    format!("{READY_AHEAD}{IS_READY_AHEAD} LIMIT ?5")
}

/// What a recall is about, as it was when it was looked.
pub(crate) fn ahead(connection: &Connection, recall: &Recall) -> Sql<Vec<JobId>> {
    let mut found: Vec<JobId> = Vec::new();
    let left = |found: &Vec<JobId>| i64::try_from(JOBS_PER_CALL_MAX.saturating_sub(found.len())).unwrap_or(0);
    let (ahead_ms, ahead_text) = (recall.ahead.ms(), recall.ahead.to_string());
    for kind in &recall.kinds {
        for priority in Priority::ALL {
            let mut ready = connection.prepare_cached(&ready_ahead())?;
            let params = (ahead_ms, &ahead_text, kind, priority.number(), left(&found));
            let ids: Vec<JobId> = ready.query_map(params, |row| row.get(0))?.collect::<Sql<_>>()?;
            found.extend(ids);
        }
        let mut leased = connection.prepare_cached(LEASED_AHEAD)?;
        let params = (kind, recall.lease_until.ms(), left(&found));
        let ids: Vec<JobId> = leased.query_map(params, |row| row.get(0))?.collect::<Sql<_>>()?;
        found.extend(ids);
    }
    Ok(found)
}

/// Whose key ends with the conversation's id, and that did not die before: looks at the whole queue, and is for people.
pub(crate) fn of_conversation(
    connection: &Connection,
    conversation: ConversationId,
    since: Timestamp,
    most: usize,
) -> Sql<Vec<JobRecord>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM jobs WHERE length(unique_key) >= 16 AND substr(unique_key, -16) = ?1 AND (dead_at IS NULL OR dead_at >= ?2)
             ORDER BY id DESC LIMIT ?3"
        ))?
        .query_map((conversation.as_bytes().as_slice(), since.ms(), limit_of(most)), record)?
        .collect()
}

fn state_at(row: &Row<'_>, index: usize) -> Sql<JobState> {
    JobState::from_number(row.get(index)?).ok_or_else(|| bad_value("a state of a job that is not 0, 1 or 2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many are due, and however many run: what is not ahead costs nothing.
    #[test]
    fn what_is_ahead_is_looked_for_among_what_is_later_alone() {
        let connection = crate::schema::open_memory(None).unwrap();
        for (statement, by) in [
            (ready_ahead(), "jobs_ready (kind=? AND priority=? AND run_at>?)"),
            (LEASED_AHEAD.to_owned(), "jobs_running (kind=? AND lease_until>?)"),
        ] {
            let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
            let nothing = vec![rusqlite::types::Null; explained.parameter_count()];
            let plan: Vec<String> = explained
                .query_map(rusqlite::params_from_iter(nothing), |row| row.get(3))
                .unwrap()
                .collect::<Sql<_>>()
                .unwrap();
            assert!(plan.len() == 1 && plan[0].contains(by), "{plan:?}");
        }
    }

    /// However deep the queue is.
    #[test]
    fn what_is_counted_is_found_by_index() {
        let connection = crate::schema::open_memory(None).unwrap();
        let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {STATS}")).unwrap();
        let plan: Vec<String> = explained.query_map([0], |row| row.get(3)).unwrap().collect::<Sql<_>>().unwrap();
        let looks: Vec<&String> = plan.iter().filter(|line| line.contains(" jobs") || line.contains(" j ")).collect();
        assert!(looks.len() >= 7, "{plan:?}");
        assert!(looks.iter().all(|line| line.contains(" INDEX ")), "{plan:?}");
    }
}
