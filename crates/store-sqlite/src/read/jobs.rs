//! What people and metrics see of the queue.

use rusqlite::{Connection, Row};
use tertulia_store::Timestamp;
use tertulia_store::jobs::*;

use crate::rows::{Sql, bad_value, time_at};

pub(crate) fn stats(connection: &Connection) -> Sql<Vec<JobStats>> {
    connection
        .prepare_cached(
            "SELECT kind, 0, count(*), min(run_at) FROM jobs WHERE state = 0 GROUP BY kind
             UNION ALL SELECT kind, 1, count(*), min(created_at) FROM jobs WHERE state = 1 GROUP BY kind
             UNION ALL SELECT kind, 2, count(*), min(created_at) FROM jobs WHERE state = 2 GROUP BY kind
             ORDER BY 1, 2",
        )?
        .query_map([], |row| {
            Ok(JobStats {
                kind: row.get(0)?,
                state: state_at(row, 1)?,
                count: row.get(2)?,
                oldest: Timestamp::from_ms(row.get(3)?),
            })
        })?
        .collect()
}

pub(crate) fn list(connection: &Connection, filter: &JobFilter) -> Sql<Vec<JobRecord>> {
    let limit = i64::try_from(filter.limit.min(JOBS_PER_CALL_MAX)).unwrap_or(0);
    connection
        .prepare_cached(
            "SELECT id, kind, unique_key, payload, state, priority, attempt - spared, run_at, created_at, lease_until, dead_at, reasons
             FROM jobs WHERE state = ?1 AND id > ?2 AND kind = coalesce(?3, kind) ORDER BY id LIMIT ?4",
        )?
        .query_map((filter.state.number(), filter.after, &filter.kind, limit), |row| {
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
        })?
        .collect()
}

fn state_at(row: &Row<'_>, index: usize) -> Sql<JobState> {
    JobState::from_number(row.get(index)?).ok_or_else(|| bad_value("a state of a job that is not 0, 1 or 2"))
}
