//! Other programs' addresses, what they have still to be told, and what that says.

use rusqlite::{Connection, OptionalExtension, Row};
use tertulia_proto::webhook::*;
use tertulia_proto::{ConversationId, Timestamp, UserId, WebhookId};
use tertulia_store::webhooks::*;
use uuid::Uuid;

use crate::read::accounts::limit_of;
use crate::read::{conversations, history};
use crate::rows::{Sql, USER_COLUMNS, bad_value, kind_of, message_key, time_at, user_from, user_no};

/// Those that are parked since it was switched on.
const ENDPOINTS: &str = "SELECT id, url, kinds, created_at, off_at, off_reason, old_secret IS NOT NULL, taken, last_taken_at, failed, last_failed_at,
        last_failure, failures, retry_at, forgotten,
        (SELECT count(*) FROM webhook_cursors c WHERE c.endpoint_id = e.id AND c.enabled_count = e.enabled_count AND c.parked_at IS NOT NULL)
     FROM webhook_endpoints e ORDER BY id";

const PARKED: &str = "SELECT v.stream_id, v.epoch, v.number, c.parked_at, c.parked_reason
     FROM webhook_endpoints e CROSS JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.enabled_count = e.enabled_count AND c.parked_at IS NOT NULL
     CROSS JOIN webhook_events v ON v.stream_id = c.stream_id AND v.number = (SELECT f.number FROM webhook_events f
        WHERE f.stream_id = c.stream_id AND f.number > c.taken_number AND (e.kinds >> f.kind) & 1 = 1 ORDER BY f.number LIMIT 1)
     WHERE e.id = ?1 ORDER BY c.parked_at DESC LIMIT ?2";

pub(crate) fn endpoints(connection: &Connection) -> Sql<Vec<WebhookEndpoint>> {
    let mut all: Vec<WebhookEndpoint> =
        connection.prepare_cached(ENDPOINTS)?.query_map([], endpoint_from)?.collect::<Sql<_>>()?;
    for endpoint in all.iter_mut().filter(|endpoint| endpoint.parked > 0) {
        endpoint.parked_at = connection
            .prepare_cached(PARKED)?
            .query_map((endpoint.id.as_bytes().as_slice(), limit_of(PARKED_SHOWN_MAX)), |row| {
                let event = id_from(row)?.to_string();
                Ok(ParkedAt { event, since: Timestamp::from_ms(row.get(3)?), reason: row.get(4)? })
            })?
            .collect::<Sql<_>>()?;
    }
    Ok(all)
}

fn endpoint_from(row: &Row<'_>) -> Sql<WebhookEndpoint> {
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
        events_forgotten: row.get(14)?,
        parked: row.get(15)?,
        parked_at: Vec::new(),
    })
}

/// Its first three columns.
fn id_from(row: &Row<'_>) -> Sql<EventId> {
    Ok(EventId { stream: Uuid::from_bytes(row.get(0)?), epoch: row.get(1)?, number: row.get(2)? })
}

fn kind_from(number: i64) -> Sql<EventKind> {
    EventKind::from_number(number).ok_or_else(|| bad_value("a kind of event that is not 0 to 10"))
}

fn kept_from(row: &Row<'_>) -> Sql<KeptEvent> {
    let (kind, timestamp) = (kind_from(row.get(3)?)?, Timestamp::from_ms(row.get(5)?));
    Ok(KeptEvent { id: id_from(row)?.to_string(), kind, timestamp, seq: row.get(4)? })
}

pub(crate) fn kept_event(connection: &Connection, id: EventId) -> Sql<Option<KeptEvent>> {
    connection
        .prepare_cached(
            "SELECT stream_id, epoch, number, kind, seq, at FROM webhook_events WHERE stream_id = ?1 AND number = ?2 AND epoch = ?3",
        )?
        .query_row((id.stream.as_bytes().as_slice(), id.number, id.epoch), kept_from)
        .optional()
}

const KEPT_EVENTS: &str =
    "SELECT stream_id, epoch, number, kind, seq, at FROM webhook_events WHERE (at, stream_id, number) < (?1, ?2, ?3)
     ORDER BY at DESC, stream_id DESC, number DESC LIMIT ?4";

pub(crate) fn kept_events(connection: &Connection, before: EventPlace, limit: usize) -> Sql<Vec<KeptEvent>> {
    let EventPlace { at, stream, number } = before;
    connection
        .prepare_cached(KEPT_EVENTS)?
        .query_map((at.ms(), stream.as_bytes().as_slice(), number, limit_of(limit.min(KEPT_MAX))), kept_from)?
        .collect()
}

/// Those that count in a row.
pub(crate) fn failing_from(row: &Row<'_>, at: usize) -> Sql<Failing> {
    Ok(Failing {
        failures: row.get::<_, Option<i64>>(at)?.unwrap_or_default(),
        since: time_at(row, at + 1)?,
        retry_from: time_at(row, at + 2)?,
        retry_at: time_at(row, at + 3)?,
    })
}

pub(crate) fn health_from(row: &Row<'_>, at: usize) -> Sql<Health> {
    Ok(Health {
        failing: failing_from(row, at)?,
        enabled_count: row.get(at + 4)?,
        last_taken_at: time_at(row, at + 5)?,
    })
}

/// What is not there has never failed.
pub(crate) fn line_health_from(row: &Row<'_>, at: usize) -> Sql<LineHealth> {
    Ok(LineHealth {
        failing: failing_from(row, at)?,
        enabled_count: row.get::<_, Option<i64>>(at + 4)?.unwrap_or_default(),
        parked_at: time_at(row, at + 5)?,
    })
}

const STAND: &str = "SELECT e.url, e.kinds, e.secret, e.old_secret, e.created_at, c.taken_number, c.trying_number, c.lease_until,
        e.failures, e.failing_since, e.retry_from, e.retry_at, e.enabled_count, e.last_taken_at,
        c.failures, c.failing_since, c.retry_from, c.retry_at, c.enabled_count, c.parked_at
     FROM webhook_endpoints e LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = ?2 WHERE e.id = ?1 AND e.off_at IS NULL";

fn stand_from(row: &Row<'_>) -> Sql<Stand> {
    let old: Option<[u8; 32]> = row.get(3)?;
    let (trying, lease_until, health) = (row.get(6)?, time_at(row, 7)?, line_health_from(row, 14)?);
    let taken: Option<i64> = row.get(5)?;
    Ok(Stand {
        url: row.get(0)?,
        secrets: std::iter::once(row.get(2)?).chain(old).map(Secret).collect(),
        kinds: row.get(1)?,
        created_at: Timestamp::from_ms(row.get(4)?),
        health: health_from(row, 8)?,
        cursor: taken.map(|taken| Cursor::new(taken, trying, lease_until, health)),
    })
}

fn kept(connection: &Connection, stream: Uuid, wanted: Wanted) -> Sql<Vec<Kept>> {
    let Wanted { kinds, above, up_to, since } = wanted;
    connection
        .prepare_cached(
            "SELECT number, kind, seq, user_id, at, epoch FROM webhook_events
             WHERE stream_id = ?1 AND number <= ?3 AND (?5 >> kind) & 1 = 1
                AND number >= (SELECT f.number FROM webhook_events f WHERE f.stream_id = ?1 AND f.number > ?2 AND f.at >= ?4 ORDER BY f.number LIMIT 1)
             ORDER BY number LIMIT ?6",
        )?
        .query_map((stream.as_bytes().as_slice(), above, up_to, since, kinds, limit_of(BATCH_MAX + 1)), |row| {
            Ok(Kept {
                number: row.get(0)?,
                kind: kind_from(row.get(1)?)?,
                seq: row.get(2)?,
                user: row.get::<_, Option<[u8; 16]>>(3)?.map(UserId::from_bytes),
                at: Timestamp::from_ms(row.get(4)?),
                epoch: row.get(5)?,
            })
        })?
        .collect()
}

pub(crate) fn next(connection: &Connection, line: Line, now: Timestamp) -> Sql<Next> {
    let key = (line.endpoint.as_bytes().as_slice(), line.stream.as_bytes().as_slice());
    let stand = connection.prepare_cached(STAND)?.query_row(key, stand_from).optional()?;
    let Some(mut stand) = stand else { return Ok(Next::Nothing) };
    let Some(wanted) = stand.wanted() else { return Ok(Next::Nothing) };
    let mut rows = kept(connection, line.stream, wanted)?;
    if let Some(wanted) = rows.is_empty().then(|| stand.wanted_next()).flatten() {
        rows = kept(connection, line.stream, wanted)?;
    }
    let due = match stand.due(rows, now) {
        Ok(due) => due,
        Err(next) => return Ok(next),
    };
    let events = told(connection, line.stream, due.rows())?;
    Ok(due.next(events))
}

/// What they say by now.
fn told(connection: &Connection, stream: Uuid, rows: &[Kept]) -> Sql<Vec<WebhookEvent>> {
    let conversation = ConversationId::from_uuid(stream);
    let no = history::conversation_no(connection, conversation)?;
    let of_row = |row: &Kept| {
        let id = EventId { stream, epoch: row.epoch, number: row.number };
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
            "SELECT e.id, e.kinds, e.created_at, e.off_at, c.taken_number,
                e.failures, e.failing_since, e.retry_from, e.retry_at, e.enabled_count, e.last_taken_at,
                c.failures, c.failing_since, c.retry_from, c.retry_at, c.enabled_count, c.parked_at
             FROM webhook_endpoints e LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = ?1 ORDER BY e.id",
        )?
        .query_map([stream.as_bytes().as_slice()], |row| {
            let (endpoint, line) = (health_from(row, 5)?, line_health_from(row, 11)?);
            Ok(Standing {
                endpoint: WebhookId::from_bytes(row.get(0)?),
                filter: EventFilter::from_number(row.get(1)?),
                created_at: Timestamp::from_ms(row.get(2)?),
                taken: row.get(4)?,
                retry_at: line.retry_at(&endpoint),
                parked_at: line.parked(&endpoint),
                off_since: time_at(row, 3)?,
            })
        })?
        .collect()
}

const LINES_BEHIND: &str = "WITH RECURSIVE s (id, n) AS (SELECT (SELECT stream_id FROM webhook_events WHERE stream_id > ?2 ORDER BY stream_id LIMIT 1), 1
        UNION ALL SELECT (SELECT stream_id FROM webhook_events WHERE stream_id > s.id ORDER BY stream_id LIMIT 1), n + 1
        FROM s WHERE s.id IS NOT NULL AND n < ?3)
     SELECT s.id, (c.parked_at IS NULL OR c.enabled_count <> e.enabled_count) AND EXISTS (SELECT 1 FROM webhook_events v
        WHERE v.stream_id = s.id AND v.number > coalesce(c.taken_number, 0) AND (c.taken_number IS NOT NULL OR v.at >= e.created_at)
            AND (e.kinds >> v.kind) & 1 = 1)
     FROM webhook_endpoints e CROSS JOIN s LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = s.id
     WHERE e.id = ?1 AND e.off_at IS NULL AND s.id IS NOT NULL";

pub(crate) fn lines_behind(connection: &Connection, endpoint: WebhookId, above: Option<Uuid>) -> Sql<Behind> {
    let above = above.as_ref().map_or(&[][..], |id| id.as_bytes());
    let looked_at = connection
        .prepare_cached(LINES_BEHIND)?
        .query_map((endpoint.as_bytes().as_slice(), above, limit_of(LINES_MAX)), |row| {
            Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?))
        })?
        .collect::<Sql<Vec<(Uuid, bool)>>>()?;
    Ok(Behind::of(looked_at))
}

/// An event is the first of its stream where none is before it, or that one is older.
const FIRST_EVENTS: &str = "SELECT v.at, v.stream_id, v.number,
        NOT coalesce((SELECT p.at >= ?1 FROM webhook_events p WHERE p.stream_id = v.stream_id AND p.number < v.number ORDER BY p.number DESC LIMIT 1), 0)
     FROM webhook_events v WHERE (v.at, v.stream_id, v.number) > (?2, ?3, ?4) ORDER BY v.at, v.stream_id, v.number LIMIT ?5";

pub(crate) fn first_events(connection: &Connection, since: Timestamp, after: Option<EventPlace>) -> Sql<Firsts> {
    let after = after.unwrap_or(EventPlace::at(since));
    let stream = after.stream.as_bytes().as_slice();
    let looked_at = connection
        .prepare_cached(FIRST_EVENTS)?
        .query_map((since.ms(), after.at.ms(), stream, after.number, limit_of(EVENTS_LOOKED_MAX)), |row| {
            let (at, stream) = (Timestamp::from_ms(row.get(0)?), Uuid::from_bytes(row.get(1)?));
            Ok((EventPlace { at, stream, number: row.get(2)? }, row.get(3)?))
        })?
        .collect::<Sql<Vec<(EventPlace, bool)>>>()?;
    Ok(Firsts::of(looked_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(statement: &str) -> Vec<String> {
        let connection = crate::schema::open_memory(None).unwrap();
        let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let nothing = vec![rusqlite::types::Null; explained.parameter_count()];
        explained.query_map(rusqlite::params_from_iter(nothing), |row| row.get(3)).unwrap().collect::<Sql<_>>().unwrap()
    }

    #[test]
    fn the_requests_for_an_event_are_found_by_index_and_already_in_order() {
        let plan = plan_of(ATTEMPTS);
        let found = "webhook_attempts USING PRIMARY KEY (stream_id=? AND last_number>?)";
        assert!(plan.iter().any(|line| line.contains(found)), "{plan:?}");
        // What is ordered anew is what was found.
        assert_eq!(plan.iter().filter(|line| line.contains("TEMP B-TREE")).count(), 1, "{plan:?}");
    }

    #[test]
    fn the_first_events_since_a_time_are_found_by_it_and_already_in_order() {
        let plan = plan_of(FIRST_EVENTS);
        assert!(plan[0].contains("webhook_events_by_time ((at,stream_id,number)>(?,?,?))"), "{plan:?}");
        assert!(plan.iter().all(|line| !line.contains("SCAN") && !line.contains("TEMP B-TREE")), "{plan:?}");
    }

    #[test]
    fn the_latest_events_are_found_by_index_and_already_in_order() {
        let plan = plan_of(KEPT_EVENTS);
        assert!(plan[0].contains("webhook_events_by_time ((at,stream_id,number)<(?,?,?))"), "{plan:?}");
        assert!(plan.iter().all(|line| !line.contains("SCAN") && !line.contains("TEMP B-TREE")), "{plan:?}");
    }

    #[test]
    fn parked_lines_are_counted_by_index() {
        let plan = plan_of(ENDPOINTS);
        assert!(
            plan.iter()
                .any(|line| line.contains("webhook_cursors_parked (endpoint_id=? AND enabled_count=? AND parked_at>?)")),
            "{plan:?}"
        );
        let plan = plan_of(PARKED);
        assert!(
            plan.iter()
                .any(|line| line.contains("webhook_cursors_parked (endpoint_id=? AND enabled_count=? AND parked_at>?)")),
            "{plan:?}"
        );
        assert!(plan.iter().all(|line| !line.contains("SCAN")), "{plan:?}");
    }
}
