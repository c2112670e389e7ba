//! What people and metrics see of the queue.

use tertulia_store::jobs::*;
use tertulia_store::{ConversationId, Timestamp};
use tokio_postgres::Row;

use crate::error::Sql;
use crate::read::accounts::limit_of;
use crate::rows::{at, bad_value, time_at};
use crate::session::Session;

/// From one kind to the next by the index; of each a bounded part.
const STATS: &str = "WITH RECURSIVE kinds (kind) AS (
        (SELECT j.kind FROM jobs j WHERE j.state = 0 ORDER BY j.kind LIMIT 1)
        UNION ALL SELECT n.kind FROM kinds k
            CROSS JOIN LATERAL (SELECT j.kind FROM jobs j WHERE j.state = 0 AND j.kind > k.kind ORDER BY j.kind LIMIT 1) n)
     SELECT k.kind, 0::smallint, c.count, coalesce(o.oldest, 0) FROM kinds k
     CROSS JOIN LATERAL (SELECT count(*) FROM (SELECT FROM jobs j WHERE j.state = 0 AND j.kind = k.kind LIMIT $1) x) c (count)
     CROSS JOIN LATERAL (SELECT min(p.run_at) FROM unnest('{0,1,2}'::smallint[]) AS u (priority)
        CROSS JOIN LATERAL (SELECT j.run_at FROM jobs j WHERE j.state = 0 AND j.kind = k.kind AND j.priority = u.priority
            ORDER BY j.run_at LIMIT 1) p) o (oldest)
     UNION ALL SELECT kind, 1::smallint, count(*), min(created_at) FROM (SELECT kind, created_at FROM jobs WHERE state = 1 LIMIT $1) r GROUP BY kind
     UNION ALL SELECT kind, 2::smallint, count(*), min(created_at) FROM (SELECT kind, created_at FROM jobs WHERE state = 2 LIMIT $1) d GROUP BY kind
     ORDER BY 1, 2";

pub(crate) async fn stats(session: &Session, count_max: usize) -> Sql<Vec<JobStats>> {
    let rows = session.rows(STATS, &[&i64::try_from(count_max).unwrap_or(i64::MAX)]).await?;
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

macro_rules! columns {
    () => {
        "id, kind, unique_key, payload, state, priority, (attempt - spared)::bigint, run_at, created_at, lease_until, dead_at, reasons"
    };
}

fn record(row: &Row) -> Sql<JobRecord> {
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
}

const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM jobs WHERE state = $1 AND id > $2 AND kind = coalesce($3, kind) ORDER BY id LIMIT $4"
);

pub(crate) async fn list(session: &Session, filter: &JobFilter) -> Sql<Vec<JobRecord>> {
    let state = i16::try_from(filter.state.number()).unwrap_or(0);
    let limit = i64::try_from(filter.limit.min(JOBS_PER_CALL_MAX)).unwrap_or(0);
    let rows = session.rows(LIST, &[&state, &filter.after, &filter.kind, &limit]).await?;
    rows.iter().map(record).collect()
}

const RUNS_BESIDE: &str =
    "SELECT FROM jobs j JOIN jobs r ON r.state = 1 AND r.kind = j.kind AND r.unique_key = j.unique_key AND r.id <> j.id
        AND r.lease_until <= j.lease_until + $2
     WHERE j.id = $1 LIMIT 1";

pub(crate) async fn runs_beside(session: &Session, job: JobId) -> Sql<bool> {
    Ok(!session.rows(RUNS_BESIDE, &[&job, &BESIDE_MAX_MS]).await?.is_empty())
}

const OF_CONVERSATION: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM jobs WHERE length(unique_key) >= 16 AND substring(unique_key FROM length(unique_key) - 15) = uuid_send($1)
        AND (dead_at IS NULL OR dead_at >= $2) ORDER BY id DESC LIMIT $3"
);

/// Whose key ends with the conversation's id, and that did not die before: looks at the whole queue, and is for people.
pub(crate) async fn of_conversation(
    session: &Session,
    conversation: ConversationId,
    since: Timestamp,
    most: usize,
) -> Sql<Vec<JobRecord>> {
    let rows = session.rows(OF_CONVERSATION, &[&conversation.uuid(), &since.ms(), &limit_of(most)]).await?;
    rows.iter().map(record).collect()
}

fn state_at(row: &Row, index: usize) -> Sql<JobState> {
    JobState::from_number(i64::from(at::<i16>(row, index)?))
        .ok_or_else(|| bad_value("a state of a job that is not 0, 1 or 2"))
}
