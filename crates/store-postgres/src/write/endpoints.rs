//! Other programs' addresses, and how far each has been told.
//!
//! The order of locks is: the endpoint, its positions by stream, jobs by kind and key.

use std::collections::BTreeMap;

use tertulia_proto::{Timestamp, WebhookId};
use tertulia_store::jobs::{JOBS_PER_CALL_MAX, NewJob};
use tertulia_store::webhooks::*;
use uuid::Uuid;

use crate::error::Sql;
use crate::jobs::enqueue;
use crate::read::accounts::limit_of;
use crate::read::webhooks::{health_at, line_health_at};
use crate::rows::at;
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

const LOCK: &str = "SELECT failures, failing_since, retry_from, retry_at, enabled_count, last_taken_at FROM webhook_endpoints WHERE id = $1 FOR NO KEY UPDATE";

/// Its positions go with the clean-up: there may be as many as conversations.
pub(crate) async fn remove(session: &Session, id: WebhookId) -> Sql<bool> {
    Ok(session.execute("DELETE FROM webhook_endpoints WHERE id = $1", &[&id.uuid()]).await? > 0)
}

/// Of two rotations without an end between, what the receiver knows is the oldest.
const ROTATE: &str =
    "UPDATE webhook_endpoints SET old_secret = coalesce(old_secret, secret), secret = $2 WHERE id = $1";

pub(crate) async fn rotate(session: &Session, id: WebhookId, secret: Option<Secret>) -> Sql<bool> {
    let id = id.uuid();
    let changed = match secret {
        Some(secret) => session.execute(ROTATE, &[&id, &&secret.0[..]]).await?,
        None => session.execute("UPDATE webhook_endpoints SET old_secret = NULL WHERE id = $1", &[&id]).await?,
    };
    Ok(changed > 0)
}

const ENABLE: &str = "UPDATE webhook_endpoints SET off_at = NULL, off_reason = NULL, listens = true, enabled_count = enabled_count + 1, failures = 0,
        failing_since = NULL, retry_from = NULL, retry_at = NULL WHERE id = $1";

pub(crate) async fn enable(session: &Session, id: WebhookId, jobs: &[NewJob]) -> Sql<bool> {
    if session.execute(ENABLE, &[&id.uuid()]).await? == 0 {
        return Ok(false);
    }
    enqueue(session, jobs).await?;
    Ok(true)
}

const STAND: &str = "INSERT INTO webhook_cursors (endpoint_id, stream_id, taken_number, moved_at)
     SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM webhook_endpoints WHERE id = $1 AND off_at IS NULL) ON CONFLICT DO NOTHING";

const BEGIN: &str = "UPDATE webhook_cursors SET holder = $5, lease_until = $6, trying_number = $7
     WHERE endpoint_id = $1 AND stream_id = $2 AND taken_number = $3 AND (coalesce(lease_until, 0) <= $4 OR lease_until > $8)
        AND failures = $9 AND enabled_count = $10 AND parked_at IS NOT DISTINCT FROM $11
        AND trying_number IS NOT DISTINCT FROM $12 AND retry_at IS NOT DISTINCT FROM $13
        AND EXISTS (SELECT 1 FROM webhook_endpoints
            WHERE id = $1 AND off_at IS NULL AND (coalesce(retry_at, 0) <= $4 OR retry_from > $8))";

pub(crate) async fn begin(session: &Session, line: Line, begin: &Begin) -> Sql<bool> {
    let (endpoint, stream) = (line.endpoint.uuid(), line.stream);
    session.execute(STAND, &[&endpoint, &stream, &begin.after, &begin.now.ms()]).await?;
    let (now, lease_until) = (begin.now.ms(), begin.lease_until.ms());
    let ahead = begin.now.plus_ms(CLOCKS_APART_MS).ms();
    let failing = begin.health.failing;
    let (parked_at, retry_at) = (begin.health.parked_at.map(Timestamp::ms), failing.retry_at.map(Timestamp::ms));
    let params: &[&dyn Param] = &[
        &endpoint,
        &stream,
        &begin.after,
        &now,
        &&begin.holder[..],
        &lease_until,
        &begin.up_to,
        &ahead,
        &failing.failures,
        &begin.health.enabled_count,
        &parked_at,
        &begin.tried,
        &retry_at,
    ];
    Ok(session.execute(BEGIN, params).await? > 0)
}

const HELD: &str = "SELECT failures, failing_since, retry_from, retry_at, enabled_count, parked_at FROM webhook_cursors
     WHERE endpoint_id = $1 AND stream_id = $2 AND holder = $3 FOR UPDATE";

const MOVE: &str = "UPDATE webhook_cursors SET taken_number = $3, trying_number = NULL, moved_at = $4, holder = NULL, lease_until = NULL, failures = 0,
        failing_since = NULL, retry_from = NULL, retry_at = NULL, parked_at = NULL, parked_reason = NULL WHERE endpoint_id = $1 AND stream_id = $2";

const COUNT: &str = "UPDATE webhook_endpoints SET taken = taken + $2, last_taken_at = $3, failures = $4, failing_since = $5, retry_from = $6, retry_at = $7
     WHERE id = $1";

const STAY: &str = "UPDATE webhook_cursors SET holder = NULL, lease_until = NULL, trying_number = coalesce($3, trying_number), failures = $4, failing_since = $5,
        retry_from = $6, retry_at = $7, enabled_count = $8, parked_at = $9, parked_reason = $10 WHERE endpoint_id = $1 AND stream_id = $2";

const FAIL: &str = "UPDATE webhook_endpoints SET failed = failed + 1, last_failed_at = $2, last_failure = $3, failures = $4, failing_since = $5, retry_from = $6,
        retry_at = $7, off_at = CASE WHEN $8 THEN coalesce(off_at, $2) ELSE off_at END,
        off_reason = CASE WHEN $8 THEN coalesce(off_reason, $3) ELSE off_reason END
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
    let Some(health) = session.opt(LOCK, &[&endpoint]).await? else { return Ok(After::Lost) };
    let held = session.opt(HELD, &[&endpoint, &stream, &&end.holder[..]]).await?;
    let Some(held) = held else { return Ok(After::Lost) };
    match Ending::of(end, line_health_at(&held, 0)?, &health_at(&health, 0)?) {
        Ending::Taken { up_to, count, endpoint: failing } => {
            session.execute(MOVE, &[&endpoint, &stream, &up_to, &end.now.ms()]).await?;
            let (since, retry_from, retry_at) = times(failing);
            let params: &[&dyn Param] =
                &[&endpoint, &count, &end.now.ms(), &failing.failures, &since, &retry_from, &retry_at];
            session.execute(COUNT, params).await?;
            Ok(After::Taken)
        }
        Ending::Failed(failed) => {
            fail(session, line, end.now, &failed).await?;
            Ok(failed.after)
        }
    }
}

async fn fail(session: &Session, line: Line, now: Timestamp, failed: &Failed) -> Sql<()> {
    let (endpoint, stream) = (line.endpoint.uuid(), line.stream);
    let LineHealth { failing, parked_at, enabled_count } = failed.line;
    let (since, retry_from, retry_at) = times(failing);
    let (parked_at, parked_reason) = (parked_at.map(Timestamp::ms), parked_at.map(|_| failed.reason.clone()));
    let params: &[&dyn Param] = &[
        &endpoint,
        &stream,
        &failed.trying,
        &failing.failures,
        &since,
        &retry_from,
        &retry_at,
        &enabled_count,
        &parked_at,
        &parked_reason,
    ];
    session.execute(STAY, params).await?;
    let (since, retry_from, retry_at) = times(failed.endpoint);
    let failures = failed.endpoint.failures;
    let params: &[&dyn Param] =
        &[&endpoint, &now.ms(), &failed.reason, &failures, &since, &retry_from, &retry_at, &failed.is_off];
    session.execute(FAIL, params).await.map(drop)
}

/// Since when, and of when the next try is.
fn times(failing: Failing) -> (Option<i64>, Option<i64>, Option<i64>) {
    let ms = |at: Option<Timestamp>| at.map(Timestamp::ms);
    (ms(failing.since), ms(failing.retry_from), ms(failing.retry_at))
}

/// To before these events, where a line stands later or nowhere; but where it stood nowhere, never over what it is owed. Whoever is sending just now moves it
/// no more, but there is no second request until that one is over.
const GO_BACK: &str = "INSERT INTO webhook_cursors (endpoint_id, stream_id, taken_number, moved_at)
     SELECT e.id, w.stream_id, CASE WHEN c.stream_id IS NULL THEN least(w.number, o.number) ELSE w.number END - 1, v.at
     FROM unnest($2::uuid[], $3::bigint[]) AS w (stream_id, number) JOIN webhook_endpoints e ON e.id = $1
     JOIN webhook_events v ON v.stream_id = w.stream_id AND v.number = w.number
     LEFT JOIN webhook_cursors c ON c.endpoint_id = $1 AND c.stream_id = w.stream_id
     LEFT JOIN LATERAL (SELECT o.number FROM webhook_events o WHERE o.stream_id = w.stream_id AND o.at >= e.created_at ORDER BY o.number LIMIT 1) o ON true
     ORDER BY w.stream_id
     ON CONFLICT (endpoint_id, stream_id) DO UPDATE SET taken_number = least(webhook_cursors.taken_number, excluded.taken_number), trying_number = NULL,
        holder = NULL, failures = 0, failing_since = NULL, retry_from = NULL, retry_at = NULL, parked_at = NULL, parked_reason = NULL";

/// Of one stream the first alone: a row can't be changed twice.
/// With their jobs: whoever goes back may have lost its own meanwhile.
pub(crate) async fn rewind_lines(
    session: &Session,
    endpoint: WebhookId,
    to: &[(Uuid, i64)],
    now: Timestamp,
) -> Sql<()> {
    if session.opt(LOCK, &[&endpoint.uuid()]).await?.is_none() {
        return Ok(());
    }
    let mut firsts: BTreeMap<Uuid, i64> = BTreeMap::new();
    for (stream, number) in to.iter().take(LINES_MAX) {
        let first = firsts.entry(*stream).or_insert(*number);
        *first = (*first).min(*number);
    }
    let (streams, numbers): (Vec<Uuid>, Vec<i64>) = firsts.into_iter().unzip();
    session.execute(GO_BACK, &[&endpoint.uuid(), &streams, &numbers]).await?;
    let jobs: Vec<NewJob> = streams.into_iter().map(|stream| Line { endpoint, stream }.job(now, now)).collect();
    enqueue(session, &jobs).await.map(drop)
}

pub(crate) async fn rewind_line(session: &Session, line: Line, number: i64, now: Timestamp) -> Sql<()> {
    rewind_lines(session, line.endpoint, &[(line.stream, number)], now).await
}

const SKIP: &str = "UPDATE webhook_cursors c SET taken_number = $3, trying_number = NULL, moved_at = $4, holder = NULL, failures = 0, failing_since = NULL,
        retry_from = NULL, retry_at = NULL, parked_at = NULL, parked_reason = NULL
     WHERE c.endpoint_id = $1 AND c.stream_id = $2 AND $3 = (SELECT v.number FROM webhook_endpoints e JOIN webhook_events v ON v.stream_id = $2
        WHERE e.id = $1 AND v.number > c.taken_number AND (e.kinds >> v.kind::int) & 1 = 1 ORDER BY v.number LIMIT 1)";

pub(crate) async fn skip(session: &Session, line: Line, number: i64, now: Timestamp) -> Sql<bool> {
    if session.opt(LOCK, &[&line.endpoint.uuid()]).await?.is_none() {
        return Ok(false);
    }
    let params: &[&dyn Param] = &[&line.endpoint.uuid(), &line.stream, &number, &now.ms()];
    let is_skipped = session.execute(SKIP, params).await? > 0;
    if is_skipped {
        enqueue(session, &[line.job(now, now)]).await?;
    }
    Ok(is_skipped)
}

/// What of them was owed is counted with the endpoint.
const FORGET: &str = "WITH gone AS (DELETE FROM webhook_events WHERE (stream_id, number) IN
        (SELECT stream_id, number FROM webhook_events WHERE at < $1 ORDER BY at, stream_id, number LIMIT $2 FOR UPDATE SKIP LOCKED)
        RETURNING stream_id, number, kind, at),
     lost AS (SELECT e.id, count(*) AS lost FROM gone v CROSS JOIN webhook_endpoints e
        LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = v.stream_id
        WHERE (e.kinds >> v.kind::int) & 1 = 1 AND v.number > coalesce(c.taken_number, 0) AND (c.taken_number IS NOT NULL OR v.at >= e.created_at)
        GROUP BY e.id),
     counted AS (UPDATE webhook_endpoints e SET forgotten = e.forgotten + l.lost FROM lost l WHERE e.id = l.id)
     SELECT count(*) FROM gone";

const LISTEN_NO_MORE: &str = "UPDATE webhook_endpoints SET listens = false WHERE listens AND off_at < $1";

pub(crate) async fn forget(session: &Session, until: Timestamp, most: usize) -> Sql<usize> {
    session.execute(LISTEN_NO_MORE, &[&until.ms()]).await?;
    let row = session.one(FORGET, &[&until.ms(), &limit_of(most.min(JOBS_PER_CALL_MAX))]).await?;
    Ok(usize::try_from(at::<i64>(&row, 0)?).unwrap_or(usize::MAX))
}

const FORGET_ORPHANS: &str = "WITH RECURSIVE d (id) AS ((SELECT endpoint_id FROM webhook_cursors ORDER BY endpoint_id LIMIT 1)
        UNION ALL SELECT (SELECT c.endpoint_id FROM webhook_cursors c WHERE c.endpoint_id > d.id ORDER BY c.endpoint_id LIMIT 1) FROM d WHERE d.id IS NOT NULL)
     DELETE FROM webhook_cursors WHERE (endpoint_id, stream_id) IN (SELECT c.endpoint_id, c.stream_id FROM d
        CROSS JOIN LATERAL (SELECT c.endpoint_id, c.stream_id FROM webhook_cursors c WHERE c.endpoint_id = d.id LIMIT $1) c
        WHERE d.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM webhook_endpoints e WHERE e.id = d.id) LIMIT $1)";

const FORGET_POSITIONS: &str = "DELETE FROM webhook_cursors WHERE (endpoint_id, stream_id) IN
     (SELECT c.endpoint_id, c.stream_id FROM webhook_cursors c WHERE c.moved_at < $1 AND coalesce(c.lease_until, 0) < $1
        AND NOT EXISTS (SELECT 1 FROM webhook_events v WHERE v.stream_id = c.stream_id) ORDER BY c.moved_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

pub(crate) async fn forget_positions(session: &Session, until: Timestamp, most: usize) -> Sql<usize> {
    let most = most.min(JOBS_PER_CALL_MAX);
    let orphans = gone(session.execute(FORGET_ORPHANS, &[&limit_of(most)]).await?);
    let rest = limit_of(most.saturating_sub(orphans));
    Ok(orphans + gone(session.execute(FORGET_POSITIONS, &[&until.ms(), &rest]).await?))
}

const FORGET_REQUESTS: &str = "DELETE FROM webhook_attempts WHERE (stream_id, last_number, endpoint_id, attempt) IN
     (SELECT stream_id, last_number, endpoint_id, attempt FROM webhook_attempts WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";

pub(crate) async fn forget_requests(session: &Session, at: Timestamp, most: usize) -> Sql<usize> {
    Ok(gone(session.execute(FORGET_REQUESTS, &[&at.ms(), &limit_of(most.min(JOBS_PER_CALL_MAX))]).await?))
}

fn gone(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
