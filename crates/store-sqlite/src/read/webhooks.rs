//! Other programs' addresses, what they have still to be told, and what that says.

use rusqlite::{Connection, OptionalExtension, Row};
use tertulia_proto::webhook::*;
use tertulia_proto::{ConversationId, Timestamp, UserId, WebhookId};
use tertulia_store::webhooks::*;
use uuid::Uuid;

use crate::read::accounts::limit_of;
use crate::read::{conversations, history};
use crate::rows::{Sql, USER_COLUMNS, bad_value, kind_of, message_key, time_at, user_from, user_no};

pub(crate) fn endpoints(connection: &Connection) -> Sql<Vec<WebhookEndpoint>> {
    connection
        .prepare_cached(
            "SELECT id, url, kinds, created_at, off_at, off_reason, old_secret IS NOT NULL, taken, last_taken_at, failed, last_failed_at, last_failure,
                failures, retry_at FROM webhook_endpoints ORDER BY id",
        )?
        .query_map([], |row| {
            let off_since = time_at(row, 4)?;
            Ok(WebhookEndpoint {
                id: WebhookId::from_bytes(row.get(0)?),
                url: row.get(1)?,
                events: EventFilter::from_number(row.get(2)?).names(),
                created_at: Timestamp::from_ms(row.get(3)?),
                active: off_since.is_none(),
                off_since,
                off_reason: row.get(5)?,
                rotating: row.get(6)?,
                events_taken: row.get(7)?,
                last_taken_at: time_at(row, 8)?,
                requests_failed: row.get(9)?,
                last_failed_at: time_at(row, 10)?,
                last_failure: row.get(11)?,
                failures: row.get(12)?,
                retry_at: time_at(row, 13)?,
            })
        })?
        .collect()
}

fn kind_from(number: i64) -> Sql<EventKind> {
    EventKind::from_number(number).ok_or_else(|| bad_value("a kind of event that is not 0 to 10"))
}

fn kept_from(row: &Row<'_>) -> Sql<KeptEvent> {
    let id = EventId { stream: Uuid::from_bytes(row.get(0)?), number: row.get(1)? };
    let (kind, timestamp) = (kind_from(row.get(2)?)?, Timestamp::from_ms(row.get(4)?));
    Ok(KeptEvent { id: id.to_string(), kind, timestamp, seq: row.get(3)? })
}

pub(crate) fn kept_event(connection: &Connection, id: EventId) -> Sql<Option<KeptEvent>> {
    connection
        .prepare_cached(
            "SELECT stream_id, number, kind, seq, at FROM webhook_events WHERE stream_id = ?1 AND number = ?2",
        )?
        .query_row((id.stream.as_bytes().as_slice(), id.number), kept_from)
        .optional()
}

pub(crate) fn kept_events(connection: &Connection, before: Timestamp, limit: usize) -> Sql<Vec<KeptEvent>> {
    connection
        .prepare_cached(
            "SELECT stream_id, number, kind, seq, at FROM webhook_events WHERE at < ?1
             ORDER BY at DESC, stream_id DESC, number DESC LIMIT ?2",
        )?
        .query_map((before.ms(), limit_of(limit.min(KEPT_MAX))), kept_from)?
        .collect()
}

struct Endpoint {
    url: String,
    kinds: i64,
    secrets: Vec<Secret>,
    created_at: i64,
    retry_at: Option<Timestamp>,
}

fn endpoint(connection: &Connection, id: WebhookId) -> Sql<Option<Endpoint>> {
    connection
        .prepare_cached(
            "SELECT url, kinds, secret, old_secret, created_at, retry_at FROM webhook_endpoints WHERE id = ?1 AND off_at IS NULL",
        )?
        .query_row([id.as_bytes().as_slice()], |row| {
            let old: Option<[u8; 32]> = row.get(3)?;
            Ok(Endpoint {
                url: row.get(0)?,
                kinds: row.get(1)?,
                secrets: std::iter::once(row.get(2)?).chain(old).map(Secret).collect(),
                created_at: row.get(4)?,
                retry_at: time_at(row, 5)?,
            })
        })
        .optional()
}

struct Cursor {
    taken: i64,
    trying: Option<i64>,
    lease_until: Option<Timestamp>,
    retry_at: Option<Timestamp>,
}

fn cursor(connection: &Connection, line: Line) -> Sql<Option<Cursor>> {
    connection
        .prepare_cached(
            "SELECT taken_number, trying_number, lease_until, retry_at FROM webhook_cursors WHERE endpoint_id = ?1 AND stream_id = ?2",
        )?
        .query_row((line.endpoint.as_bytes().as_slice(), line.stream.as_bytes().as_slice()), |row| {
            let (lease_until, retry_at) = (time_at(row, 2)?, time_at(row, 3)?);
            Ok(Cursor { taken: row.get(0)?, trying: row.get(1)?, lease_until, retry_at })
        })
        .optional()
}

struct Kept {
    number: i64,
    kind: EventKind,
    seq: Option<i64>,
    user: Option<UserId>,
    at: Timestamp,
}

/// Above a number and up to another, since a time.
fn kept(connection: &Connection, stream: Uuid, kinds: i64, range: (i64, i64, i64)) -> Sql<Vec<Kept>> {
    let (above, end, since) = range;
    connection
        .prepare_cached(
            "SELECT number, kind, seq, user_id, at FROM webhook_events
             WHERE stream_id = ?1 AND number > ?2 AND number <= ?3 AND at >= ?4 AND (?5 >> kind) & 1 = 1 ORDER BY number LIMIT ?6",
        )?
        .query_map((stream.as_bytes().as_slice(), above, end, since, kinds, limit_of(BATCH_MAX + 1)), |row| {
            Ok(Kept {
                number: row.get(0)?,
                kind: kind_from(row.get(1)?)?,
                seq: row.get(2)?,
                user: row.get::<_, Option<[u8; 16]>>(3)?.map(UserId::from_bytes),
                at: Timestamp::from_ms(row.get(4)?),
            })
        })?
        .collect()
}

pub(crate) fn next(connection: &Connection, line: Line, now: Timestamp) -> Sql<Next> {
    let Some(endpoint) = endpoint(connection, line.endpoint)? else { return Ok(Next::Nothing) };
    let cursor = cursor(connection, line)?;
    let (above, since) = cursor.as_ref().map_or((0, endpoint.created_at), |cursor| (cursor.taken, i64::MIN));
    let mut trying = cursor.as_ref().and_then(|cursor| cursor.trying);
    let mut rows = kept(connection, line.stream, endpoint.kinds, (above, trying.unwrap_or(i64::MAX), since))?;
    if rows.is_empty() && trying.take().is_some() {
        // Those are forgotten by now.
        rows = kept(connection, line.stream, endpoint.kinds, (above, i64::MAX, since))?;
    }
    let Some(first) = rows.first() else { return Ok(Next::Nothing) };
    let (first, after) = (first.number, cursor.as_ref().map_or(first.number - 1, |cursor| cursor.taken));
    let (lease_until, retry_at) = cursor.map(|cursor| (cursor.lease_until, cursor.retry_at)).unwrap_or_default();
    if lease_until.is_some_and(|at| at > now) {
        return Ok(Next::Busy);
    }
    if let Some(at) = retry_at.max(endpoint.retry_at).filter(|at| *at > now) {
        return Ok(Next::Wait(at));
    }
    let mut has_more = trying.is_some() || rows.len() > BATCH_MAX;
    rows.truncate(BATCH_MAX);
    let mut events = told(connection, line.stream, &rows)?;
    // What was tried before stays as it was, or it would have another name.
    if trying.is_none() {
        let fitting = fitting(&events);
        has_more |= fitting < events.len();
        events.truncate(fitting);
    }
    let Some(last) = rows.get(events.len() - 1) else { return Ok(Next::Nothing) };
    let up_to = trying.unwrap_or(last.number);
    let Endpoint { url, secrets, .. } = endpoint;
    let batch = WebhookBatch { events };
    Ok(Next::Send(Box::new(Sending { url, secrets, after, first, up_to, batch, has_more })))
}

/// What they say by now.
fn told(connection: &Connection, stream: Uuid, rows: &[Kept]) -> Sql<Vec<WebhookEvent>> {
    let conversation = ConversationId::from_uuid(stream);
    let no = history::conversation_no(connection, conversation)?;
    let of_row = |row: &Kept| {
        let id = EventId { stream, number: row.number };
        let data = match no {
            Some(no) => data(connection, (conversation, no), row)?,
            None => EventData { user: user(connection, UserId::from_uuid(stream))?, ..EventData::default() },
        };
        Ok(WebhookEvent { data, ..bare(id, row.kind, row.seq, row.at) })
    };
    rows.iter().map(of_row).collect()
}

fn data(connection: &Connection, (id, no): (ConversationId, i64), row: &Kept) -> Sql<EventData> {
    if let Some(seq) = row.seq {
        let message = history::by_key(connection, id, message_key(no, seq))?;
        return Ok(EventData { message, ..EventData::default() });
    }
    let member = match row.user {
        Some(user) => member(connection, no, user)?,
        None => None,
    };
    let conversation = Some(conversation(connection, id, no, row.kind)?);
    Ok(EventData { message: None, conversation, member, user: None })
}

fn conversation(connection: &Connection, id: ConversationId, no: i64, kind: EventKind) -> Sql<EventConversation> {
    let member_ids = if kind == EventKind::ConversationCreated {
        let ids = connection
            .prepare_cached(
                "SELECT u.id FROM members m JOIN users u ON u.no = m.user_no
                 WHERE m.conversation_no = ?1 AND m.removed_at IS NULL ORDER BY m.joined_at, u.id",
            )?
            .query_map([no], |row| Ok(UserId::from_bytes(row.get(0)?)))?
            .collect::<Sql<_>>()?;
        Some(ids)
    } else {
        None
    };
    connection
        .prepare_cached("SELECT kind, title, created_at, last_seq, rev, member_count FROM conversations WHERE no = ?1")?
        .query_row([no], |row| {
            Ok(EventConversation {
                id,
                kind: kind_of(row.get(0)?),
                title: row.get(1)?,
                created_at: Timestamp::from_ms(row.get(2)?),
                last_seq: row.get(3)?,
                rev: row.get(4)?,
                member_count: row.get(5)?,
                member_ids,
            })
        })
}

fn member(connection: &Connection, no: i64, user: UserId) -> Sql<Option<EventMember>> {
    let Some(user_no) = user_no(connection, user)? else { return Ok(None) };
    let member = conversations::member(connection, no, user_no).optional()?;
    Ok(member.map(|row| EventMember { user_id: row.user_id, name: row.name, role: row.role, removed: row.removed }))
}

fn user(connection: &Connection, id: UserId) -> Sql<Option<tertulia_proto::User>> {
    connection
        .prepare_cached(&format!("SELECT {USER_COLUMNS} FROM users u WHERE u.id = ?1"))?
        .query_row([id.as_bytes().as_slice()], |row| user_from(row, 0, true))
        .optional()
}

const ATTEMPTS: &str = "SELECT endpoint_id, first_number, last_number, attempt, at, outcome, status FROM
        (SELECT * FROM webhook_attempts WHERE stream_id = ?1 AND last_number >= ?2 ORDER BY last_number, endpoint_id, attempt LIMIT ?3)
     WHERE first_number <= ?2 ORDER BY at DESC, last_number DESC, endpoint_id, attempt DESC LIMIT ?4";

pub(crate) fn attempts(connection: &Connection, stream: Uuid, number: i64) -> Sql<Vec<WebhookAttempt>> {
    let mut found: Vec<WebhookAttempt> = connection
        .prepare_cached(ATTEMPTS)?
        .query_map(
            (stream.as_bytes().as_slice(), number, limit_of(REQUESTS_READ_MAX), limit_of(REQUESTS_TOLD_MAX)),
            |row| {
                let outcome = WebhookOutcome::from_number(row.get(5)?);
                Ok(WebhookAttempt {
                    endpoint: WebhookId::from_bytes(row.get(0)?),
                    first: row.get(1)?,
                    last: row.get(2)?,
                    attempt: row.get(3)?,
                    at: Timestamp::from_ms(row.get(4)?),
                    outcome: outcome.ok_or_else(|| bad_value("an outcome that is not 0 to 2"))?,
                    status: row.get(6)?,
                })
            },
        )?
        .collect::<Sql<_>>()?;
    found.reverse();
    Ok(found)
}

pub(crate) fn standings(connection: &Connection, stream: Uuid) -> Sql<Vec<Standing>> {
    connection
        .prepare_cached(
            "SELECT e.id, e.kinds, e.created_at, c.taken_number, max(coalesce(e.retry_at, c.retry_at), coalesce(c.retry_at, e.retry_at)), e.off_at
             FROM webhook_endpoints e LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = ?1 ORDER BY e.id",
        )?
        .query_map([stream.as_bytes().as_slice()], |row| {
            Ok(Standing {
                endpoint: WebhookId::from_bytes(row.get(0)?),
                filter: EventFilter::from_number(row.get(1)?),
                created_at: Timestamp::from_ms(row.get(2)?),
                taken: row.get(3)?,
                retry_at: time_at(row, 4)?,
                off_since: time_at(row, 5)?,
            })
        })?
        .collect()
}

pub(crate) fn lines_behind(connection: &Connection, endpoint: WebhookId, above: Option<Uuid>) -> Sql<Vec<Uuid>> {
    let above = above.as_ref().map_or(&[][..], |id| id.as_bytes());
    connection
        .prepare_cached(
            "WITH RECURSIVE s (id) AS (SELECT (SELECT stream_id FROM webhook_events WHERE stream_id > ?2 ORDER BY stream_id LIMIT 1)
                UNION ALL SELECT (SELECT stream_id FROM webhook_events WHERE stream_id > s.id ORDER BY stream_id LIMIT 1) FROM s WHERE s.id IS NOT NULL)
             SELECT s.id FROM webhook_endpoints e CROSS JOIN s LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = s.id
             WHERE e.id = ?1 AND e.off_at IS NULL AND s.id IS NOT NULL
                AND EXISTS (SELECT 1 FROM webhook_events v WHERE v.stream_id = s.id AND v.number > coalesce(c.taken_number, 0)
                    AND (c.taken_number IS NOT NULL OR v.at >= e.created_at) AND (e.kinds >> v.kind) & 1 = 1)
             LIMIT ?3",
        )?
        .query_map((endpoint.as_bytes().as_slice(), above, limit_of(LINES_MAX)), |row| Ok(Uuid::from_bytes(row.get(0)?)))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_for_an_event_are_found_by_index_and_already_in_order() {
        let connection = crate::schema::open_memory(None).unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {ATTEMPTS}");
        let mut explained = connection.prepare(&explain).unwrap();
        let nothing = [rusqlite::types::Null; 4];
        let plan: Vec<String> = explained.query_map(nothing, |row| row.get(3)).unwrap().collect::<Sql<_>>().unwrap();
        assert!(
            plan.iter().any(|line| line.contains("webhook_attempts USING PRIMARY KEY (stream_id=? AND last_number>?)")),
            "{plan:?}"
        );
        // What is ordered anew is what was found.
        assert_eq!(plan.iter().filter(|line| line.contains("TEMP B-TREE")).count(), 1, "{plan:?}");
    }
}
