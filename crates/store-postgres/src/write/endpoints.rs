//! Other programs' addresses, and how far each has been told.
//!
//! The order of locks is: the endpoint, its positions by stream, jobs by kind and key.

use tertulia_proto::{Timestamp, WebhookId};
use tertulia_store::jobs::{JOBS_PER_CALL_MAX, NewJob};
use tertulia_store::webhooks::*;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Sql;
use crate::jobs::enqueue;
use crate::read::accounts::limit_of;
use crate::rows::{at, time_at};
use crate::session::{Param, Session};

/// One after the other, so that there are never more than there may be.
const ONE_ADDS: &str = "SELECT pg_advisory_xact_lock(hashtext('webhook_endpoints'))::text";

const ADD: &str = "INSERT INTO webhook_endpoints (id, url, kinds, secret, created_at)
     SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM webhook_endpoints) < $6";

pub(crate) async fn add(session: &Session, new: &NewEndpoint) -> Sql<bool> {
    session.rows(ONE_ADDS, &[]).await?;
    let params: &[&dyn Param] =
        &[&new.id.uuid(), &new.url, &new.filter.number(), &&new.secret.0[..], &new.now.ms(), &limit_of(ENDPOINTS_MAX)];
    Ok(session.execute(ADD, params).await? > 0)
}

const LOCK: &str = "SELECT failures, retry_at, off_at IS NULL FROM webhook_endpoints WHERE id = $1 FOR NO KEY UPDATE";

pub(crate) async fn remove(session: &Session, id: WebhookId) -> Sql<bool> {
    let id = id.uuid();
    let removed = session.execute("DELETE FROM webhook_endpoints WHERE id = $1", &[&id]).await?;
    session.execute("DELETE FROM webhook_cursors WHERE endpoint_id = $1", &[&id]).await?;
    Ok(removed > 0)
}

pub(crate) async fn rotate(session: &Session, id: WebhookId, secret: Option<Secret>) -> Sql<bool> {
    let id = id.uuid();
    let changed = match secret {
        Some(secret) => {
            let rotate = "UPDATE webhook_endpoints SET old_secret = secret, secret = $2 WHERE id = $1";
            session.execute(rotate, &[&id, &&secret.0[..]]).await?
        }
        None => session.execute("UPDATE webhook_endpoints SET old_secret = NULL WHERE id = $1", &[&id]).await?,
    };
    Ok(changed > 0)
}

const ENABLE: &str = "UPDATE webhook_endpoints SET off_at = NULL, off_reason = NULL, listens = true, failures = 0, retry_at = NULL WHERE id = $1";

const FORGIVE: &str = "UPDATE webhook_cursors c SET failures = 0, retry_at = NULL
     FROM (SELECT endpoint_id, stream_id FROM webhook_cursors WHERE endpoint_id = $1 AND (failures > 0 OR retry_at IS NOT NULL)
        ORDER BY stream_id FOR UPDATE) w
     WHERE c.endpoint_id = w.endpoint_id AND c.stream_id = w.stream_id";

pub(crate) async fn enable(session: &Session, id: WebhookId, jobs: &[NewJob]) -> Sql<bool> {
    if session.execute(ENABLE, &[&id.uuid()]).await? == 0 {
        return Ok(false);
    }
    session.execute(FORGIVE, &[&id.uuid()]).await?;
    enqueue(session, jobs).await?;
    Ok(true)
}

const STAND: &str = "INSERT INTO webhook_cursors (endpoint_id, stream_id, taken_number, moved_at)
     SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM webhook_endpoints WHERE id = $1 AND off_at IS NULL) ON CONFLICT DO NOTHING";

const BEGIN: &str = "UPDATE webhook_cursors SET holder = $5, lease_until = $6, trying_number = $7
     WHERE endpoint_id = $1 AND stream_id = $2 AND taken_number = $3 AND coalesce(lease_until, 0) <= $4
        AND EXISTS (SELECT 1 FROM webhook_endpoints WHERE id = $1 AND off_at IS NULL)";

pub(crate) async fn begin(session: &Session, line: Line, begin: &Begin) -> Sql<bool> {
    let (endpoint, stream) = (line.endpoint.uuid(), line.stream);
    session.execute(STAND, &[&endpoint, &stream, &begin.after, &begin.now.ms()]).await?;
    let params: &[&dyn Param] =
        &[&endpoint, &stream, &begin.after, &begin.now.ms(), &&begin.holder[..], &begin.lease_until.ms(), &begin.up_to];
    Ok(session.execute(BEGIN, params).await? > 0)
}

const HELD: &str = "SELECT failures, retry_at FROM webhook_cursors WHERE endpoint_id = $1 AND stream_id = $2 AND holder = $3 FOR UPDATE";

const MOVE: &str = "UPDATE webhook_cursors SET taken_number = $3, trying_number = NULL, moved_at = $4, holder = NULL, lease_until = NULL, failures = 0,
        retry_at = NULL WHERE endpoint_id = $1 AND stream_id = $2";

const COUNT: &str =
    "UPDATE webhook_endpoints SET taken = taken + $2, last_taken_at = $3, failures = 0, retry_at = NULL WHERE id = $1";

const STAY: &str = "UPDATE webhook_cursors SET holder = NULL, lease_until = NULL, failures = $3, retry_at = $4
     WHERE endpoint_id = $1 AND stream_id = $2";

const FAIL: &str = "UPDATE webhook_endpoints SET failed = failed + 1, last_failed_at = $2, last_failure = $3, failures = $4, retry_at = $5,
        off_at = CASE WHEN $6 THEN coalesce(off_at, $2) ELSE off_at END, off_reason = CASE WHEN $6 THEN coalesce(off_reason, $3) ELSE off_reason END
     WHERE id = $1";

/// The newest of its last event. Where two servers end at once, one of them is late and says nothing new.
const KEEP: &str = "WITH l AS (SELECT 1 + coalesce(max(attempt), 0) AS attempt FROM webhook_attempts
        WHERE stream_id = $1 AND last_number = $2 AND endpoint_id = $3),
     old AS (DELETE FROM webhook_attempts a USING l
        WHERE a.stream_id = $1 AND a.last_number = $2 AND a.endpoint_id = $3 AND a.attempt <= l.attempt - $8)
     INSERT INTO webhook_attempts (stream_id, last_number, endpoint_id, attempt, first_number, at, outcome, status)
     SELECT $1, $2, $3, l.attempt, $4, $5, $6, $7 FROM l ON CONFLICT DO NOTHING";

async fn keep(session: &Session, line: Line, end: &End) -> Sql<()> {
    let (endpoint, (first, last)) = (line.endpoint.uuid(), end.events);
    let outcome = i16::try_from(end.result.outcome().number()).unwrap_or(i16::MAX);
    let status = end.status.map(i64::from);
    let params: &[&dyn Param] =
        &[&line.stream, &last, &endpoint, &first, &end.now.ms(), &outcome, &status, &REQUESTS_KEPT_MAX];
    session.execute(KEEP, params).await.map(drop)
}

pub(crate) async fn end(session: &Session, line: Line, end: &End) -> Sql<After> {
    keep(session, line, end).await?;
    let (endpoint, stream) = (line.endpoint.uuid(), line.stream);
    let Some(of_endpoint) = session.opt(LOCK, &[&endpoint]).await? else { return Ok(After::Lost) };
    let held = session.opt(HELD, &[&endpoint, &stream, &&end.holder[..]]).await?;
    let Some(held) = held else { return Ok(After::Lost) };
    let (reason, not_before) = match &end.result {
        TryResult::Taken { up_to, count } => {
            session.execute(MOVE, &[&endpoint, &stream, up_to, &end.now.ms()]).await?;
            session.execute(COUNT, &[&endpoint, count, &end.now.ms()]).await?;
            return Ok(After::Taken);
        }
        TryResult::Failed { reason, not_before } => (reason, Some(*not_before)),
        TryResult::Gone { reason } => (reason, None),
    };
    let (held, of_endpoint) = (failing(&held)?, failing(&of_endpoint)?);
    let next = not_before.and_then(|not_before| after_failure(held, of_endpoint, end, not_before));
    let (line, all) = next.unwrap_or((held, of_endpoint));
    let line_at = line.retry_at.map(Timestamp::ms);
    session.execute(STAY, &[&endpoint, &stream, &line.failures, &line_at]).await?;
    let (reason, all_at) = (kept_failure(reason), all.retry_at.map(Timestamp::ms));
    let params: &[&dyn Param] = &[&endpoint, &end.now.ms(), &reason, &all.failures, &all_at, &next.is_none()];
    session.execute(FAIL, params).await?;
    Ok(match next {
        None => After::Off,
        Some((line, all)) => After::Again(line.retry_at.max(all.retry_at).unwrap_or(end.now)),
    })
}

fn failing(row: &Row) -> Sql<Failing> {
    Ok(Failing { failures: at(row, 0)?, retry_at: time_at(row, 1)? })
}

/// To before these events, where a line stands later or nowhere; whoever is sending just now moves it no more.
const GO_BACK: &str = "INSERT INTO webhook_cursors (endpoint_id, stream_id, taken_number, moved_at)
     SELECT $1, w.stream_id, w.number - 1, v.at FROM unnest($2::uuid[], $3::bigint[]) AS w (stream_id, number)
     JOIN webhook_events v ON v.stream_id = w.stream_id AND v.number = w.number ORDER BY w.stream_id
     ON CONFLICT (endpoint_id, stream_id) DO UPDATE SET taken_number = least(webhook_cursors.taken_number, excluded.taken_number), trying_number = NULL,
        holder = NULL, lease_until = NULL, failures = 0, retry_at = NULL";

const FIRSTS: &str = "WITH RECURSIVE s (id) AS (
        (SELECT stream_id FROM webhook_events WHERE $1::uuid IS NULL OR stream_id > $1 ORDER BY stream_id LIMIT 1)
        UNION ALL SELECT (SELECT v.stream_id FROM webhook_events v WHERE v.stream_id > s.id ORDER BY v.stream_id LIMIT 1) FROM s WHERE s.id IS NOT NULL)
     SELECT s.id, f.number FROM s
     CROSS JOIN LATERAL (SELECT v.number FROM webhook_events v WHERE v.stream_id = s.id AND v.at >= $2 ORDER BY v.number LIMIT 1) f
     WHERE s.id IS NOT NULL ORDER BY s.id LIMIT $3";

pub(crate) async fn rewind_lines(
    session: &Session,
    endpoint: WebhookId,
    since: Timestamp,
    above: Option<Uuid>,
) -> Sql<Vec<Uuid>> {
    if session.opt(LOCK, &[&endpoint.uuid()]).await?.is_none() {
        return Ok(Vec::new());
    }
    let (mut streams, mut numbers) = (Vec::<Uuid>::new(), Vec::<i64>::new());
    for row in session.rows(FIRSTS, &[&above, &since.ms(), &limit_of(LINES_MAX)]).await? {
        streams.push(at(&row, 0)?);
        numbers.push(at(&row, 1)?);
    }
    session.execute(GO_BACK, &[&endpoint.uuid(), &streams, &numbers]).await?;
    Ok(streams)
}

pub(crate) async fn rewind_line(session: &Session, line: Line, number: i64, now: Timestamp) -> Sql<()> {
    if session.opt(LOCK, &[&line.endpoint.uuid()]).await?.is_some() {
        session.execute(GO_BACK, &[&line.endpoint.uuid(), &vec![line.stream], &vec![number]]).await?;
        enqueue(session, &[line.job(now, now)]).await?;
    }
    Ok(())
}

const FORGET: &str = "DELETE FROM webhook_events WHERE (stream_id, number) IN
     (SELECT stream_id, number FROM webhook_events WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";

const LISTEN_NO_MORE: &str = "UPDATE webhook_endpoints SET listens = false WHERE listens AND off_at < $1";

const FORGET_POSITIONS: &str = "DELETE FROM webhook_cursors WHERE (endpoint_id, stream_id) IN
     (SELECT c.endpoint_id, c.stream_id FROM webhook_cursors c WHERE c.moved_at < $1 AND c.holder IS NULL
        AND NOT EXISTS (SELECT 1 FROM webhook_events v WHERE v.stream_id = c.stream_id) ORDER BY c.moved_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

pub(crate) async fn forget(session: &Session, at: Timestamp, most: usize) -> Sql<usize> {
    let most = most.min(JOBS_PER_CALL_MAX);
    let events = gone(session.execute(FORGET, &[&at.ms(), &limit_of(most)]).await?);
    if events >= most {
        return Ok(events);
    }
    session.execute(LISTEN_NO_MORE, &[&at.ms()]).await?;
    let positions = session.execute(FORGET_POSITIONS, &[&at.ms(), &limit_of(most - events)]).await?;
    Ok(events + gone(positions))
}

const FORGET_REQUESTS: &str = "DELETE FROM webhook_attempts WHERE (stream_id, last_number, endpoint_id, attempt) IN
     (SELECT stream_id, last_number, endpoint_id, attempt FROM webhook_attempts WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";

pub(crate) async fn forget_requests(session: &Session, at: Timestamp, most: usize) -> Sql<usize> {
    Ok(gone(session.execute(FORGET_REQUESTS, &[&at.ms(), &limit_of(most.min(JOBS_PER_CALL_MAX))]).await?))
}

fn gone(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
