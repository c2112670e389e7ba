//! What people and metrics see of the queue.

use tertulia_store::Timestamp;
use tertulia_store::jobs::*;
use tokio_postgres::Row;

use crate::error::Sql;
use crate::rows::{at, bad_value, time_at};
use crate::session::Session;

const STATS: &str = "SELECT kind, 0::smallint, count(*), min(run_at) FROM jobs WHERE state = 0 GROUP BY kind
     UNION ALL SELECT kind, 1::smallint, count(*), min(created_at) FROM jobs WHERE state = 1 GROUP BY kind
     UNION ALL SELECT kind, 2::smallint, count(*), min(created_at) FROM jobs WHERE state = 2 GROUP BY kind
     ORDER BY 1, 2";

pub(crate) async fn stats(session: &Session) -> Sql<Vec<JobStats>> {
    let rows = session.rows(STATS, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(JobStats {
                kind: at(row, 0)?,
                state: state_at(row, 1)?,
                count: at(row, 2)?,
                oldest: Timestamp::from_ms(at(row, 3)?),
            })
        })
        .collect()
}

const LIST: &str = "SELECT id, kind, unique_key, payload, state, priority, (attempt - spared)::bigint, run_at, created_at, lease_until, dead_at,
        reasons
     FROM jobs WHERE state = $1 AND id > $2 AND kind = coalesce($3, kind) ORDER BY id LIMIT $4";

pub(crate) async fn list(session: &Session, filter: &JobFilter) -> Sql<Vec<JobRecord>> {
    let state = i16::try_from(filter.state.number()).unwrap_or(0);
    let limit = i64::try_from(filter.limit.min(JOBS_PER_CALL_MAX)).unwrap_or(0);
    let rows = session.rows(LIST, &[&state, &filter.after, &filter.kind, &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(JobRecord {
                id: at(row, 0)?,
                kind: at(row, 1)?,
                unique_key: at(row, 2)?,
                payload: at(row, 3)?,
                state: state_at(row, 4)?,
                priority: Priority::from_number(i64::from(at::<i16>(row, 5)?)),
                tries: at(row, 6)?,
                run_at: Timestamp::from_ms(at(row, 7)?),
                created_at: Timestamp::from_ms(at(row, 8)?),
                lease_until: time_at(row, 9)?,
                dead_at: time_at(row, 10)?,
                reasons: reasons_of(at(row, 11)?),
            })
        })
        .collect()
}

fn state_at(row: &Row, index: usize) -> Sql<JobState> {
    JobState::from_number(i64::from(at::<i16>(row, index)?))
        .ok_or_else(|| bad_value("a state of a job that is not 0, 1 or 2"))
}
