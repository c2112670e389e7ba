//! Other programs' addresses, and how far each has been told: what is changed of them, each inside a commit of the writer's.

use rusqlite::{Connection, OptionalExtension};
use tertulia_proto::{Timestamp, WebhookId};
use tertulia_store::jobs::{JOBS_PER_CALL_MAX, NewJob};
use tertulia_store::webhooks::*;
use uuid::Uuid;

use crate::read::accounts::limit_of;
use crate::read::webhooks::{health_from, line_health_from};
use crate::rows::Sql;

pub(crate) fn add(connection: &Connection, new: &NewEndpoint) -> Sql<bool> {
    let added = connection
        .prepare_cached(
            "INSERT INTO webhook_endpoints (id, url, kinds, secret, created_at)
             SELECT ?1, ?2, ?3, ?4, ?5 WHERE (SELECT count(*) FROM webhook_endpoints) < ?6",
        )?
        .execute((
            new.id.as_bytes().as_slice(),
            &new.url,
            new.filter.number(),
            new.secret.0,
            new.now.ms(),
            limit_of(ENDPOINTS_MAX),
        ))?;
    Ok(added > 0)
}

/// Its positions go with the clean-up: there may be as many as conversations.
pub(crate) fn remove(connection: &Connection, id: WebhookId) -> Sql<bool> {
    let id = id.as_bytes().as_slice();
    Ok(connection.prepare_cached("DELETE FROM webhook_endpoints WHERE id = ?1")?.execute([id])? > 0)
}

/// Of two rotations without an end between, what the receiver knows is the oldest.
pub(crate) fn rotate(connection: &Connection, id: WebhookId, secret: Option<Secret>) -> Sql<bool> {
    let id = id.as_bytes().as_slice();
    let changed = match secret {
        Some(secret) => connection
            .prepare_cached(
                "UPDATE webhook_endpoints SET old_secret = coalesce(old_secret, secret), secret = ?2 WHERE id = ?1",
            )?
            .execute((id, secret.0))?,
        None => {
            connection.prepare_cached("UPDATE webhook_endpoints SET old_secret = NULL WHERE id = ?1")?.execute([id])?
        }
    };
    Ok(changed > 0)
}

pub(crate) fn enable(connection: &Connection, id: WebhookId, jobs: &[NewJob]) -> Sql<bool> {
    let enabled = connection
        .prepare_cached(
            "UPDATE webhook_endpoints SET off_at = NULL, off_reason = NULL, listens = 1, enabled_count = enabled_count + 1, failures = 0, failing_since = NULL,
                retry_from = NULL, retry_at = NULL WHERE id = ?1",
        )?
        .execute([id.as_bytes().as_slice()])?;
    if enabled == 0 {
        return Ok(false);
    }
    super::jobs::enqueue(connection, jobs)?;
    Ok(true)
}

pub(crate) fn begin(connection: &Connection, line: Line, begin: &Begin) -> Sql<bool> {
    let (endpoint, stream) = (line.endpoint.as_bytes().as_slice(), line.stream.as_bytes().as_slice());
    let (now, ahead) = (begin.now.ms(), begin.now.plus_ms(CLOCKS_APART_MS).ms());
    let is_open: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM webhook_endpoints
                WHERE id = ?1 AND off_at IS NULL AND (coalesce(retry_at, 0) <= ?2 OR retry_from > ?3))",
        )?
        .query_row((endpoint, now, ahead), |row| row.get(0))?;
    if !is_open {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "INSERT INTO webhook_cursors (endpoint_id, stream_id, taken_number, moved_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute((endpoint, stream, begin.after, now))?;
    let taken = connection
        .prepare_cached(
            "UPDATE webhook_cursors SET holder = ?5, lease_until = ?6, trying_number = ?7
             WHERE endpoint_id = ?1 AND stream_id = ?2 AND taken_number = ?3 AND (coalesce(lease_until, 0) <= ?4 OR lease_until > ?8)
                AND failures = ?9 AND enabled_count = ?10 AND parked_at IS ?11 AND trying_number IS ?12
                AND retry_at IS ?13",
        )?
        .execute((
            endpoint,
            stream,
            begin.after,
            now,
            begin.holder,
            begin.lease_until.ms(),
            begin.up_to,
            ahead,
            begin.health.failing.failures,
            begin.health.enabled_count,
            begin.health.parked_at.map(Timestamp::ms),
            begin.tried,
            begin.health.failing.retry_at.map(Timestamp::ms),
        ))?;
    Ok(taken > 0)
}

/// The newest of its last event.
fn keep(connection: &Connection, line: Line, end: &End) -> Sql<()> {
    let (endpoint, stream) = (line.endpoint.as_bytes().as_slice(), line.stream.as_bytes().as_slice());
    let (first, last) = end.events;
    let attempt: i64 = connection
        .prepare_cached(
            "INSERT INTO webhook_attempts (stream_id, last_number, endpoint_id, attempt, first_number, at, outcome, status)
             SELECT ?1, ?2, ?3, 1 + coalesce((SELECT max(attempt) FROM webhook_attempts WHERE stream_id = ?1 AND last_number = ?2 AND endpoint_id = ?3), 0),
                ?4, ?5, ?6, ?7 RETURNING attempt",
        )?
        .query_row((stream, last, endpoint, first, end.now.ms(), end.result.outcome().number(), end.status), |row| {
            row.get(0)
        })?;
    if attempt > REQUESTS_KEPT_MAX {
        connection
            .prepare_cached(
                "DELETE FROM webhook_attempts WHERE stream_id = ?1 AND last_number = ?2 AND endpoint_id = ?3 AND attempt <= ?4",
            )?
            .execute((stream, last, endpoint, attempt - REQUESTS_KEPT_MAX))?;
    }
    Ok(())
}

pub(crate) fn end(connection: &Connection, line: Line, end: &End) -> Sql<After> {
    keep(connection, line, end)?;
    let (endpoint, stream) = (line.endpoint.as_bytes().as_slice(), line.stream.as_bytes().as_slice());
    let held = connection
        .prepare_cached(
            "SELECT failures, failing_since, retry_from, retry_at, enabled_count, parked_at FROM webhook_cursors
             WHERE endpoint_id = ?1 AND stream_id = ?2 AND holder = ?3",
        )?
        .query_row((endpoint, stream, end.holder), |row| line_health_from(row, 0))
        .optional()?;
    let Some(held) = held else { return Ok(After::Lost) };
    let health = connection
        .prepare_cached(
            "SELECT failures, failing_since, retry_from, retry_at, enabled_count, last_taken_at FROM webhook_endpoints WHERE id = ?1",
        )?
        .query_row([endpoint], |row| health_from(row, 0))
        .optional()?;
    let Some(health) = health else { return Ok(After::Lost) };
    match Ending::of(end, held, &health) {
        Ending::Taken { up_to, count, endpoint } => {
            advance(connection, line, end.now, up_to)?;
            count_taken(connection, line.endpoint, end.now, (count, endpoint))?;
            Ok(After::Taken)
        }
        Ending::Failed(failed) => {
            stay(connection, line, &failed)?;
            fail(connection, line.endpoint, end.now, &failed)?;
            Ok(failed.after)
        }
    }
}

fn advance(connection: &Connection, line: Line, now: Timestamp, up_to: i64) -> Sql<()> {
    connection
        .prepare_cached(
            "UPDATE webhook_cursors SET taken_number = ?3, trying_number = NULL, moved_at = ?4, holder = NULL, lease_until = NULL, failures = 0,
                failing_since = NULL, retry_from = NULL, retry_at = NULL, parked_at = NULL, parked_reason = NULL WHERE endpoint_id = ?1 AND stream_id = ?2",
        )?
        .execute((line.endpoint.as_bytes().as_slice(), line.stream.as_bytes().as_slice(), up_to, now.ms()))
        .map(drop)
}

fn count_taken(connection: &Connection, id: WebhookId, now: Timestamp, (count, failing): (i64, Failing)) -> Sql<()> {
    connection
        .prepare_cached(
            "UPDATE webhook_endpoints SET taken = taken + ?2, last_taken_at = ?3, failures = ?4, failing_since = ?5, retry_from = ?6, retry_at = ?7
             WHERE id = ?1",
        )?
        .execute((
            id.as_bytes().as_slice(),
            count,
            now.ms(),
            failing.failures,
            failing.since.map(Timestamp::ms),
            failing.retry_from.map(Timestamp::ms),
            failing.retry_at.map(Timestamp::ms),
        ))
        .map(drop)
}

fn stay(connection: &Connection, line: Line, failed: &Failed) -> Sql<()> {
    let LineHealth { failing, parked_at, enabled_count } = failed.line;
    connection
        .prepare_cached(
            "UPDATE webhook_cursors SET holder = NULL, lease_until = NULL, trying_number = coalesce(?3, trying_number), failures = ?4, failing_since = ?5,
                retry_from = ?6, retry_at = ?7, enabled_count = ?8, parked_at = ?9, parked_reason = ?10 WHERE endpoint_id = ?1 AND stream_id = ?2",
        )?
        .execute((
            line.endpoint.as_bytes().as_slice(),
            line.stream.as_bytes().as_slice(),
            failed.trying,
            failing.failures,
            failing.since.map(Timestamp::ms),
            failing.retry_from.map(Timestamp::ms),
            failing.retry_at.map(Timestamp::ms),
            enabled_count,
            parked_at.map(Timestamp::ms),
            parked_at.map(|_| &failed.reason),
        ))
        .map(drop)
}

fn fail(connection: &Connection, id: WebhookId, now: Timestamp, failed: &Failed) -> Sql<()> {
    let failing = failed.endpoint;
    connection
        .prepare_cached(
            "UPDATE webhook_endpoints SET failed = failed + 1, last_failed_at = ?2, last_failure = ?3, failures = ?4, failing_since = ?5, retry_from = ?6,
                retry_at = ?7, off_at = CASE WHEN ?8 THEN coalesce(off_at, ?2) ELSE off_at END,
                off_reason = CASE WHEN ?8 THEN coalesce(off_reason, ?3) ELSE off_reason END
             WHERE id = ?1",
        )?
        .execute((
            id.as_bytes().as_slice(),
            now.ms(),
            &failed.reason,
            failing.failures,
            failing.since.map(Timestamp::ms),
            failing.retry_from.map(Timestamp::ms),
            failing.retry_at.map(Timestamp::ms),
            failed.is_off,
        ))
        .map(drop)
}

/// To before this event, where it stands later or nowhere; but where it stood nowhere, never over what it is owed. Whoever is sending just now moves it no
/// more, but there is no second request until that one is over.
fn go_back(connection: &Connection, line: Line, number: i64) -> Sql<bool> {
    let moved = connection
        .prepare_cached(
            "INSERT INTO webhook_cursors (endpoint_id, stream_id, taken_number, moved_at)
             SELECT e.id, v.stream_id, min(v.number, coalesce((SELECT o.number FROM webhook_events o WHERE o.stream_id = ?2 AND o.at >= e.created_at
                ORDER BY o.number LIMIT 1), v.number)) - 1, v.at
             FROM webhook_endpoints e CROSS JOIN webhook_events v WHERE e.id = ?1 AND v.stream_id = ?2 AND v.number = ?3
             ON CONFLICT (endpoint_id, stream_id) DO UPDATE SET taken_number = min(taken_number, ?3 - 1), trying_number = NULL, holder = NULL, failures = 0,
                failing_since = NULL, retry_from = NULL, retry_at = NULL, parked_at = NULL, parked_reason = NULL",
        )?
        .execute((line.endpoint.as_bytes().as_slice(), line.stream.as_bytes().as_slice(), number))?;
    Ok(moved > 0)
}

/// With their jobs: whoever goes back may have lost its own meanwhile.
pub(crate) fn rewind_lines(
    connection: &Connection,
    endpoint: WebhookId,
    to: &[(Uuid, i64)],
    now: Timestamp,
) -> Sql<()> {
    to.iter()
        .take(LINES_MAX)
        .try_for_each(|(stream, number)| rewind_line(connection, Line { endpoint, stream: *stream }, *number, now))
}

pub(crate) fn rewind_line(connection: &Connection, line: Line, number: i64, now: Timestamp) -> Sql<()> {
    if go_back(connection, line, number)? {
        super::jobs::enqueue(connection, &[line.job(now, now)])?;
    }
    Ok(())
}

pub(crate) fn skip(connection: &Connection, line: Line, number: i64, now: Timestamp) -> Sql<bool> {
    let skipped = connection
        .prepare_cached(
            "UPDATE webhook_cursors SET taken_number = ?3, trying_number = NULL, moved_at = ?4, holder = NULL, failures = 0, failing_since = NULL,
                retry_from = NULL, retry_at = NULL, parked_at = NULL, parked_reason = NULL
             WHERE endpoint_id = ?1 AND stream_id = ?2 AND ?3 = (SELECT v.number FROM webhook_endpoints e CROSS JOIN webhook_events v
                WHERE e.id = ?1 AND v.stream_id = ?2 AND v.number > taken_number AND (e.kinds >> v.kind) & 1 = 1 ORDER BY v.number LIMIT 1)",
        )?
        .execute((line.endpoint.as_bytes().as_slice(), line.stream.as_bytes().as_slice(), number, now.ms()))?;
    if skipped > 0 {
        super::jobs::enqueue(connection, &[line.job(now, now)])?;
    }
    Ok(skipped > 0)
}

/// Before they are forgotten: what of them was owed.
const COUNT_FORGOTTEN: &str = "UPDATE webhook_endpoints SET forgotten = forgotten + l.lost
     FROM (SELECT e.id, count(*) AS lost
        FROM (SELECT stream_id, number, kind, at FROM webhook_events WHERE at < ?1 ORDER BY at, stream_id, number LIMIT ?2) v
        CROSS JOIN webhook_endpoints e LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = v.stream_id
        WHERE (e.kinds >> v.kind) & 1 = 1 AND v.number > coalesce(c.taken_number, 0) AND (c.taken_number IS NOT NULL OR v.at >= e.created_at)
        GROUP BY e.id) l
     WHERE webhook_endpoints.id = l.id";

pub(crate) fn forget(connection: &Connection, at: Timestamp, most: usize) -> Sql<usize> {
    let most = limit_of(most.min(JOBS_PER_CALL_MAX));
    connection
        .prepare_cached("UPDATE webhook_endpoints SET listens = 0 WHERE listens = 1 AND off_at < ?1")?
        .execute([at.ms()])?;
    connection.prepare_cached(COUNT_FORGOTTEN)?.execute((at.ms(), most))?;
    connection
        .prepare_cached(
            "DELETE FROM webhook_events WHERE (stream_id, number) IN
                (SELECT stream_id, number FROM webhook_events WHERE at < ?1 ORDER BY at, stream_id, number LIMIT ?2)",
        )?
        .execute((at.ms(), most))
}

pub(crate) fn forget_positions(connection: &Connection, at: Timestamp, most: usize) -> Sql<usize> {
    let most = most.min(JOBS_PER_CALL_MAX);
    let orphans = connection
        .prepare_cached(
            "WITH RECURSIVE d (id) AS (SELECT (SELECT endpoint_id FROM webhook_cursors ORDER BY endpoint_id LIMIT 1)
                UNION ALL SELECT (SELECT endpoint_id FROM webhook_cursors WHERE endpoint_id > d.id ORDER BY endpoint_id LIMIT 1) FROM d WHERE d.id IS NOT NULL)
             DELETE FROM webhook_cursors WHERE (endpoint_id, stream_id) IN
                (SELECT c.endpoint_id, c.stream_id FROM d CROSS JOIN webhook_cursors c ON c.endpoint_id = d.id
                 WHERE d.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM webhook_endpoints e WHERE e.id = d.id) LIMIT ?1)",
        )?
        .execute([limit_of(most)])?;
    let old = connection
        .prepare_cached(
            "DELETE FROM webhook_cursors WHERE (endpoint_id, stream_id) IN
                (SELECT endpoint_id, stream_id FROM webhook_cursors c WHERE moved_at < ?1 AND coalesce(lease_until, 0) < ?1
                    AND NOT EXISTS (SELECT 1 FROM webhook_events v WHERE v.stream_id = c.stream_id) ORDER BY moved_at LIMIT ?2)",
        )?
        .execute((at.ms(), limit_of(most - orphans)))?;
    Ok(orphans + old)
}

pub(crate) fn forget_requests(connection: &Connection, at: Timestamp, most: usize) -> Sql<usize> {
    connection
        .prepare_cached(
            "DELETE FROM webhook_attempts WHERE (stream_id, last_number, endpoint_id, attempt) IN
                (SELECT stream_id, last_number, endpoint_id, attempt FROM webhook_attempts WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute((at.ms(), limit_of(most.min(JOBS_PER_CALL_MAX))))
}
