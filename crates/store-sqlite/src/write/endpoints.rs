//! Other programs' addresses, and how far each has been told: what is changed of them, each inside a commit of the writer's.

use rusqlite::{Connection, OptionalExtension};
use tertulia_proto::{Timestamp, WebhookId};
use tertulia_store::jobs::{JOBS_PER_CALL_MAX, NewJob};
use tertulia_store::webhooks::*;
use uuid::Uuid;

use crate::read::accounts::limit_of;
use crate::rows::{Sql, time_at};

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

pub(crate) fn remove(connection: &Connection, id: WebhookId) -> Sql<bool> {
    let id = id.as_bytes().as_slice();
    connection.prepare_cached("DELETE FROM webhook_cursors WHERE endpoint_id = ?1")?.execute([id])?;
    Ok(connection.prepare_cached("DELETE FROM webhook_endpoints WHERE id = ?1")?.execute([id])? > 0)
}

pub(crate) fn rotate(connection: &Connection, id: WebhookId, secret: Option<Secret>) -> Sql<bool> {
    let id = id.as_bytes().as_slice();
    let changed = match secret {
        Some(secret) => connection
            .prepare_cached("UPDATE webhook_endpoints SET old_secret = secret, secret = ?2 WHERE id = ?1")?
            .execute((id, secret.0))?,
        None => {
            connection.prepare_cached("UPDATE webhook_endpoints SET old_secret = NULL WHERE id = ?1")?.execute([id])?
        }
    };
    Ok(changed > 0)
}

pub(crate) fn enable(connection: &Connection, id: WebhookId, jobs: &[NewJob]) -> Sql<bool> {
    let endpoint = id.as_bytes().as_slice();
    let enabled = connection
        .prepare_cached(
            "UPDATE webhook_endpoints SET off_at = NULL, off_reason = NULL, listens = 1, failures = 0, retry_at = NULL WHERE id = ?1",
        )?
        .execute([endpoint])?;
    if enabled == 0 {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "UPDATE webhook_cursors SET failures = 0, retry_at = NULL WHERE endpoint_id = ?1 AND (failures > 0 OR retry_at IS NOT NULL)",
        )?
        .execute([endpoint])?;
    super::jobs::enqueue(connection, jobs)?;
    Ok(true)
}

pub(crate) fn begin(connection: &Connection, line: Line, begin: &Begin) -> Sql<bool> {
    let (endpoint, stream) = (line.endpoint.as_bytes().as_slice(), line.stream.as_bytes().as_slice());
    let is_on: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM webhook_endpoints WHERE id = ?1 AND off_at IS NULL)")?
        .query_row([endpoint], |row| row.get(0))?;
    if !is_on {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "INSERT INTO webhook_cursors (endpoint_id, stream_id, taken_number, moved_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute((endpoint, stream, begin.after, begin.now.ms()))?;
    let taken = connection
        .prepare_cached(
            "UPDATE webhook_cursors SET holder = ?5, lease_until = ?6, trying_number = ?7
             WHERE endpoint_id = ?1 AND stream_id = ?2 AND taken_number = ?3 AND coalesce(lease_until, 0) <= ?4",
        )?
        .execute((endpoint, stream, begin.after, begin.now.ms(), begin.holder, begin.lease_until.ms(), begin.up_to))?;
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
    let select =
        "SELECT failures, retry_at FROM webhook_cursors WHERE endpoint_id = ?1 AND stream_id = ?2 AND holder = ?3";
    let held =
        connection.prepare_cached(select)?.query_row((endpoint, stream, end.holder), |row| failing(row)).optional()?;
    let Some(held) = held else { return Ok(After::Lost) };
    let mut free = connection.prepare_cached(
        "UPDATE webhook_cursors SET taken_number = coalesce(?3, taken_number), trying_number = CASE WHEN ?3 IS NULL THEN trying_number END,
            moved_at = CASE WHEN ?3 IS NULL THEN moved_at ELSE ?4 END, holder = NULL, lease_until = NULL, failures = ?5, retry_at = ?6
         WHERE endpoint_id = ?1 AND stream_id = ?2",
    )?;
    let (reason, not_before) = match &end.result {
        TryResult::Taken { up_to, count } => {
            free.execute((endpoint, stream, up_to, end.now.ms(), 0, None::<i64>))?;
            connection
                .prepare_cached(
                    "UPDATE webhook_endpoints SET taken = taken + ?2, last_taken_at = ?3, failures = 0, retry_at = NULL WHERE id = ?1",
                )?
                .execute((endpoint, count, end.now.ms()))?;
            return Ok(After::Taken);
        }
        TryResult::Failed { reason, not_before } => (reason, Some(*not_before)),
        TryResult::Gone { reason } => (reason, None),
    };
    let of_endpoint = connection
        .prepare_cached("SELECT failures, retry_at FROM webhook_endpoints WHERE id = ?1")?
        .query_row([endpoint], |row| failing(row))
        .optional()?
        .unwrap_or_default();
    let next = not_before.and_then(|not_before| after_failure(held, of_endpoint, end, not_before));
    let (line, all) = next.unwrap_or((held, of_endpoint));
    free.execute((endpoint, stream, None::<i64>, None::<i64>, line.failures, line.retry_at.map(Timestamp::ms)))?;
    connection
        .prepare_cached(
            "UPDATE webhook_endpoints SET failed = failed + 1, last_failed_at = ?2, last_failure = ?3, failures = ?4, retry_at = ?5,
                off_at = CASE WHEN ?6 THEN coalesce(off_at, ?2) ELSE off_at END, off_reason = CASE WHEN ?6 THEN coalesce(off_reason, ?3) ELSE off_reason END
             WHERE id = ?1",
        )?
        .execute((
            endpoint,
            end.now.ms(),
            kept_failure(reason),
            all.failures,
            all.retry_at.map(Timestamp::ms),
            next.is_none(),
        ))?;
    Ok(match next {
        None => After::Off,
        Some((line, all)) => After::Again(line.retry_at.max(all.retry_at).unwrap_or(end.now)),
    })
}

fn failing(row: &rusqlite::Row<'_>) -> Sql<Failing> {
    Ok(Failing { failures: row.get(0)?, retry_at: time_at(row, 1)? })
}

/// To before this event, where it stands later or nowhere; whoever is sending just now moves it no more.
fn go_back(connection: &Connection, line: Line, number: i64) -> Sql<()> {
    connection
        .prepare_cached(
            "INSERT INTO webhook_cursors (endpoint_id, stream_id, taken_number, moved_at)
             SELECT ?1, ?2, ?3 - 1, at FROM webhook_events WHERE stream_id = ?2 AND number = ?3
             ON CONFLICT DO UPDATE SET taken_number = min(taken_number, excluded.taken_number), trying_number = NULL, holder = NULL,
                lease_until = NULL, failures = 0, retry_at = NULL",
        )?
        .execute((line.endpoint.as_bytes().as_slice(), line.stream.as_bytes().as_slice(), number))
        .map(drop)
}

fn is_there(connection: &Connection, endpoint: WebhookId) -> Sql<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM webhook_endpoints WHERE id = ?1)")?
        .query_row([endpoint.as_bytes().as_slice()], |row| row.get(0))
}

pub(crate) fn rewind_lines(
    connection: &Connection,
    endpoint: WebhookId,
    since: Timestamp,
    above: Option<Uuid>,
) -> Sql<Vec<Uuid>> {
    if !is_there(connection, endpoint)? {
        return Ok(Vec::new());
    }
    let above = above.as_ref().map_or(&[][..], |id| id.as_bytes());
    let firsts: Vec<(Uuid, i64)> = connection
        .prepare_cached(
            "WITH RECURSIVE s (id) AS (SELECT (SELECT stream_id FROM webhook_events WHERE stream_id > ?1 ORDER BY stream_id LIMIT 1)
                UNION ALL SELECT (SELECT stream_id FROM webhook_events WHERE stream_id > s.id ORDER BY stream_id LIMIT 1) FROM s WHERE s.id IS NOT NULL)
             SELECT id, first FROM (SELECT s.id, (SELECT number FROM webhook_events v WHERE v.stream_id = s.id AND v.at >= ?2
                ORDER BY number LIMIT 1) AS first FROM s WHERE s.id IS NOT NULL) WHERE first IS NOT NULL LIMIT ?3",
        )?
        .query_map((above, since.ms(), limit_of(LINES_MAX)), |row| Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?)))?
        .collect::<Sql<_>>()?;
    for (stream, first) in &firsts {
        go_back(connection, Line { endpoint, stream: *stream }, *first)?;
    }
    Ok(firsts.into_iter().map(|(stream, _)| stream).collect())
}

pub(crate) fn rewind_line(connection: &Connection, line: Line, number: i64, now: Timestamp) -> Sql<()> {
    if is_there(connection, line.endpoint)? {
        go_back(connection, line, number)?;
        super::jobs::enqueue(connection, &[line.job(now, now)])?;
    }
    Ok(())
}

pub(crate) fn forget(connection: &Connection, at: Timestamp, most: usize) -> Sql<usize> {
    let most = most.min(JOBS_PER_CALL_MAX);
    let events = connection
        .prepare_cached(
            "DELETE FROM webhook_events WHERE (stream_id, number) IN
                (SELECT stream_id, number FROM webhook_events WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute((at.ms(), limit_of(most)))?;
    if events >= most {
        return Ok(events);
    }
    connection
        .prepare_cached("UPDATE webhook_endpoints SET listens = 0 WHERE listens = 1 AND off_at < ?1")?
        .execute([at.ms()])?;
    let cursors = connection
        .prepare_cached(
            "DELETE FROM webhook_cursors WHERE (endpoint_id, stream_id) IN
                (SELECT endpoint_id, stream_id FROM webhook_cursors c WHERE moved_at < ?1 AND holder IS NULL
                    AND NOT EXISTS (SELECT 1 FROM webhook_events v WHERE v.stream_id = c.stream_id) ORDER BY moved_at LIMIT ?2)",
        )?
        .execute((at.ms(), limit_of(most - events)))?;
    Ok(events + cursors)
}

pub(crate) fn forget_requests(connection: &Connection, at: Timestamp, most: usize) -> Sql<usize> {
    connection
        .prepare_cached(
            "DELETE FROM webhook_attempts WHERE (stream_id, last_number, endpoint_id, attempt) IN
                (SELECT stream_id, last_number, endpoint_id, attempt FROM webhook_attempts WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute((at.ms(), limit_of(most.min(JOBS_PER_CALL_MAX))))
}
