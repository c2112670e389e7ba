//! Other programs' addresses, what they have still to be told, and what that says.

use std::collections::HashMap;

use tertulia_proto::webhook::*;
use tertulia_proto::{ConversationId, Message, Seq, Timestamp, UserId, WebhookId};
use tertulia_store::webhooks::*;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Sql;
use crate::read::accounts::limit_of;
use crate::read::history;
use crate::rows::{
    Key, at, bad_value, kind_of, member_columns, member_from, time_at, user_at, user_columns, user_from,
};
use crate::session::{Param, Session};

/// With those that are parked since it was switched on.
const ENDPOINTS: &str = "SELECT id, url, kinds, created_at, off_at, off_reason, old_secret IS NOT NULL, taken, last_taken_at, failed, last_failed_at,
        last_failure, failures, retry_at, forgotten,
        (SELECT count(*) FROM webhook_cursors c WHERE c.endpoint_id = e.id AND c.enabled_count = e.enabled_count AND c.parked_at IS NOT NULL)
     FROM webhook_endpoints e ORDER BY id";

const PARKED: &str = "SELECT v.stream_id, v.epoch, v.number, c.parked_at, c.parked_reason
     FROM webhook_endpoints e JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.enabled_count = e.enabled_count AND c.parked_at IS NOT NULL
     CROSS JOIN LATERAL (SELECT f.stream_id, f.epoch, f.number FROM webhook_events f
        WHERE f.stream_id = c.stream_id AND f.number > c.taken_number AND (e.kinds >> f.kind::int) & 1 = 1 ORDER BY f.number LIMIT 1) v
     WHERE e.id = $1 ORDER BY c.parked_at DESC LIMIT $2";

pub(crate) async fn endpoints(session: &Session) -> Sql<Vec<WebhookEndpoint>> {
    let mut all: Vec<WebhookEndpoint> =
        session.rows(ENDPOINTS, &[]).await?.iter().map(endpoint_from).collect::<Sql<_>>()?;
    for endpoint in all.iter_mut().filter(|endpoint| endpoint.parked > 0) {
        let rows = session.rows(PARKED, &[&endpoint.id.uuid(), &limit_of(PARKED_SHOWN_MAX)]).await?;
        let from = |row: &Row| {
            let (event, since) = (id_from(row)?.to_string(), Timestamp::from_ms(at(row, 3)?));
            Ok(ParkedAt { event, since, reason: at(row, 4)? })
        };
        endpoint.parked_at = rows.iter().map(from).collect::<Sql<_>>()?;
    }
    Ok(all)
}

fn endpoint_from(row: &Row) -> Sql<WebhookEndpoint> {
    let off_since = time_at(row, 4)?;
    Ok(WebhookEndpoint {
        id: WebhookId::from_uuid(at(row, 0)?),
        url: at(row, 1)?,
        events: EventFilter::from_number(at(row, 2)?).names(),
        created_at: Timestamp::from_ms(at(row, 3)?),
        active: off_since.is_none(),
        off_since,
        off_reason: at(row, 5)?,
        rotating: at(row, 6)?,
        events_taken: at(row, 7)?,
        last_taken_at: time_at(row, 8)?,
        requests_failed: at(row, 9)?,
        last_failed_at: time_at(row, 10)?,
        last_failure: at(row, 11)?,
        failures: at(row, 12)?,
        retry_at: time_at(row, 13)?,
        events_forgotten: at(row, 14)?,
        parked: at(row, 15)?,
        parked_at: Vec::new(),
    })
}

/// Its first three columns.
fn id_from(row: &Row) -> Sql<EventId> {
    Ok(EventId { stream: at(row, 0)?, epoch: epoch_at(row, 1)?, number: at(row, 2)? })
}

fn epoch_at(row: &Row, index: usize) -> Sql<[u8; 4]> {
    at::<&[u8]>(row, index)?.try_into().map_err(|_| bad_value("a short epoch that is not 4 bytes"))
}

fn kind_at(row: &Row, index: usize) -> Sql<EventKind> {
    let kind = EventKind::from_number(at::<i16>(row, index)?.into());
    kind.ok_or_else(|| bad_value("a kind of event that is not 0 to 10"))
}

fn kept_from(row: &Row) -> Sql<KeptEvent> {
    let timestamp = Timestamp::from_ms(at(row, 5)?);
    Ok(KeptEvent { id: id_from(row)?.to_string(), kind: kind_at(row, 3)?, timestamp, seq: at(row, 4)? })
}

const KEPT_EVENT: &str = "SELECT stream_id, epoch, number, kind, seq, at FROM webhook_events WHERE stream_id = $1 AND number = $2 AND epoch = $3";

pub(crate) async fn kept_event(session: &Session, id: EventId) -> Sql<Option<KeptEvent>> {
    session.opt(KEPT_EVENT, &[&id.stream, &id.number, &&id.epoch[..]]).await?.as_ref().map(kept_from).transpose()
}

const KEPT_EVENTS: &str =
    "SELECT stream_id, epoch, number, kind, seq, at FROM webhook_events WHERE (at, stream_id, number) < ($1, $2, $3)
     ORDER BY at DESC, stream_id DESC, number DESC LIMIT $4";

pub(crate) async fn kept_events(session: &Session, before: EventPlace, limit: usize) -> Sql<Vec<KeptEvent>> {
    let EventPlace { at, stream, number } = before;
    let rows = session.rows(KEPT_EVENTS, &[&at.ms(), &stream, &number, &limit_of(limit.min(KEPT_MAX))]).await?;
    rows.iter().map(kept_from).collect()
}

/// An endpoint that is on, and where it stands.
const STAND: &str = "SELECT e.url, e.kinds, e.secret, e.old_secret, e.created_at, c.taken_number, c.trying_number, c.lease_until,
        e.failures, e.failing_since, e.retry_from, e.retry_at, e.enabled_count, e.last_taken_at,
        c.failures, c.failing_since, c.retry_from, c.retry_at, c.enabled_count, c.parked_at
     FROM webhook_endpoints e LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = $2 WHERE e.id = $1 AND e.off_at IS NULL";

/// Those that count in a row.
fn failing_at(row: &Row, index: usize) -> Sql<Failing> {
    Ok(Failing {
        failures: at::<Option<i64>>(row, index)?.unwrap_or_default(),
        since: time_at(row, index + 1)?,
        retry_from: time_at(row, index + 2)?,
        retry_at: time_at(row, index + 3)?,
    })
}

pub(crate) fn health_at(row: &Row, index: usize) -> Sql<Health> {
    let (enabled_count, last_taken_at) = (at(row, index + 4)?, time_at(row, index + 5)?);
    Ok(Health { failing: failing_at(row, index)?, enabled_count, last_taken_at })
}

/// What is not there has never failed.
pub(crate) fn line_health_at(row: &Row, index: usize) -> Sql<LineHealth> {
    let enabled_count = at::<Option<i64>>(row, index + 4)?.unwrap_or_default();
    Ok(LineHealth { failing: failing_at(row, index)?, enabled_count, parked_at: time_at(row, index + 5)? })
}

fn stand_from(row: &Row) -> Sql<Stand> {
    let (trying, lease_until, health) = (at(row, 6)?, time_at(row, 7)?, line_health_at(row, 14)?);
    let taken: Option<i64> = at(row, 5)?;
    Ok(Stand {
        url: at(row, 0)?,
        secrets: secret_at(row, 2)?.into_iter().chain(secret_at(row, 3)?).collect(),
        kinds: at(row, 1)?,
        created_at: Timestamp::from_ms(at(row, 4)?),
        health: health_at(row, 8)?,
        cursor: taken.map(|taken| Cursor::new(taken, trying, lease_until, health)),
    })
}

const KEPT: &str = "SELECT number, kind, seq, user_id, at, epoch FROM webhook_events
     WHERE stream_id = $1 AND number <= $3 AND ($5 >> kind::int) & 1 = 1
        AND number >= (SELECT f.number FROM webhook_events f WHERE f.stream_id = $1 AND f.number > $2 AND f.at >= $4 ORDER BY f.number LIMIT 1)
     ORDER BY number LIMIT $6";

async fn kept(session: &Session, stream: Uuid, wanted: Wanted) -> Sql<Vec<Kept>> {
    let Wanted { kinds, above, up_to, since } = wanted;
    let params: &[&dyn Param] = &[&stream, &above, &up_to, &since, &kinds, &limit_of(BATCH_MAX + 1)];
    let from = |row: &Row| {
        Ok(Kept {
            number: at(row, 0)?,
            kind: kind_at(row, 1)?,
            seq: at(row, 2)?,
            user: at::<Option<Uuid>>(row, 3)?.map(UserId::from_uuid),
            at: Timestamp::from_ms(at(row, 4)?),
            epoch: epoch_at(row, 5)?,
        })
    };
    session.rows(KEPT, params).await?.iter().map(from).collect()
}

fn secret_at(row: &Row, index: usize) -> Sql<Option<Secret>> {
    let bytes: Option<&[u8]> = at(row, index)?;
    let secret = bytes.map(|bytes| bytes.try_into().map(Secret)).transpose();
    secret.map_err(|_| bad_value("a secret that is not 32 bytes"))
}

pub(crate) async fn next(session: &Session, line: Line, now: Timestamp) -> Sql<Next> {
    let row = session.opt(STAND, &[&line.endpoint.uuid(), &line.stream]).await?;
    let Some(mut stand) = row.as_ref().map(stand_from).transpose()? else { return Ok(Next::Nothing) };
    let Some(wanted) = stand.wanted() else { return Ok(Next::Nothing) };
    let mut rows = kept(session, line.stream, wanted).await?;
    if let Some(wanted) = rows.is_empty().then(|| stand.wanted_next()).flatten() {
        rows = kept(session, line.stream, wanted).await?;
    }
    let due = match stand.due(rows, now) {
        Ok(due) => due,
        Err(next) => return Ok(next),
    };
    let events = told(session, line.stream, due.rows()).await?;
    Ok(due.next(events))
}

/// How the things are that a stream's events speak of.
struct Things {
    conversation: Option<EventConversation>,
    messages: HashMap<Seq, Message>,
    members: HashMap<UserId, EventMember>,
    ids: Vec<UserId>,
    person: Option<tertulia_proto::User>,
}

const CONVERSATION: &str =
    "SELECT kind, title, created_at, last_seq, rev, member_count FROM conversations WHERE id = $1";

const MEMBER_IDS: &str =
    "SELECT user_id FROM members WHERE conversation_id = $1 AND removed_at IS NULL ORDER BY joined_at, user_id";

const MEMBERS: &str = concat!(
    "SELECT ",
    member_columns!(),
    " FROM members m JOIN users u ON u.id = m.user_id WHERE m.conversation_id = $1 AND m.user_id = ANY($2)"
);

const PERSON: &str = concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = $1");

impl Things {
    /// The number of statements does not depend on how many there are.
    async fn load(session: &Session, stream: Uuid, rows: &[Kept]) -> Sql<Self> {
        let id = ConversationId::from_uuid(stream);
        let row = session.opt(CONVERSATION, &[&stream]).await?;
        let conversation = row.as_ref().map(|row| conversation_from(row, id)).transpose()?;
        let mut things =
            Self { conversation, messages: HashMap::new(), members: HashMap::new(), ids: Vec::new(), person: None };
        if things.conversation.is_none() {
            let row = session.opt(PERSON, &[&stream]).await?;
            things.person = row.as_ref().map(|row| user_from(row, 0, true)).transpose()?;
            return Ok(things);
        }
        let keys: Vec<Key> = rows.iter().filter_map(|row| Some((id, row.seq?))).collect();
        if !keys.is_empty() {
            let messages = history::by_keys(session, &keys).await?;
            things.messages = messages.into_iter().map(|message| (message.seq, message)).collect();
        }
        let users: Vec<Uuid> = rows.iter().filter_map(|row| Some(row.user?.uuid())).collect();
        if !users.is_empty() {
            for row in session.rows(MEMBERS, &[&stream, &users]).await? {
                let member = member_from(&row)?.1;
                let (user_id, role, removed) = (member.user_id, member.role, member.removed);
                things.members.insert(user_id, EventMember { user_id, name: member.name, role, removed });
            }
        }
        if rows.iter().any(|row| row.kind == EventKind::ConversationCreated) {
            let rows = session.rows(MEMBER_IDS, &[&stream]).await?;
            things.ids = rows.iter().map(|row| user_at(row, 0)).collect::<Sql<_>>()?;
        }
        Ok(things)
    }

    fn said_by(&self, row: &Kept) -> EventData {
        if let Some(seq) = row.seq {
            return EventData { message: self.messages.get(&seq).cloned(), ..EventData::default() };
        }
        let mut conversation = self.conversation.clone();
        if let Some(conversation) = conversation.as_mut().filter(|_| row.kind == EventKind::ConversationCreated) {
            conversation.member_ids = Some(self.ids.clone());
        }
        let member = row.user.and_then(|user| self.members.get(&user).cloned());
        EventData { message: None, conversation, member, user: self.person.clone() }
    }
}

fn conversation_from(row: &Row, id: ConversationId) -> Sql<EventConversation> {
    Ok(EventConversation {
        id,
        kind: kind_of(at(row, 0)?),
        title: at(row, 1)?,
        created_at: Timestamp::from_ms(at(row, 2)?),
        last_seq: at(row, 3)?,
        rev: at(row, 4)?,
        member_count: at(row, 5)?,
        member_ids: None,
    })
}

/// What they say by now.
async fn told(session: &Session, stream: Uuid, rows: &[Kept]) -> Sql<Vec<WebhookEvent>> {
    let things = Things::load(session, stream, rows).await?;
    let of_row = |row: &Kept| {
        let id = EventId { stream, epoch: row.epoch, number: row.number };
        WebhookEvent { data: things.said_by(row), ..bare(id, row.kind, row.seq, row.at) }
    };
    Ok(rows.iter().map(of_row).collect())
}

const ATTEMPTS: &str = "SELECT endpoint_id, first_number, last_number, attempt, at, outcome, status FROM
        (SELECT * FROM webhook_attempts WHERE stream_id = $1 AND last_number >= $2 ORDER BY last_number, endpoint_id, attempt LIMIT $3) a
     WHERE first_number <= $2 ORDER BY at DESC, last_number DESC, endpoint_id, attempt DESC LIMIT $4";

pub(crate) async fn attempts(session: &Session, stream: Uuid, number: i64) -> Sql<Vec<WebhookAttempt>> {
    let params: &[&dyn Param] = &[&stream, &number, &limit_of(REQUESTS_READ_MAX), &limit_of(REQUESTS_TOLD_MAX)];
    let from = |row: &Row| {
        let outcome = WebhookOutcome::from_number(at::<i16>(row, 5)?.into());
        Ok(WebhookAttempt {
            endpoint: WebhookId::from_uuid(at(row, 0)?),
            first: at(row, 1)?,
            last: at(row, 2)?,
            attempt: at(row, 3)?,
            at: Timestamp::from_ms(at(row, 4)?),
            outcome: outcome.ok_or_else(|| bad_value("an outcome that is not 0 to 2"))?,
            status: at::<Option<i64>>(row, 6)?.and_then(|status| status.try_into().ok()),
        })
    };
    session.rows(ATTEMPTS, params).await?.iter().rev().map(from).collect()
}

const STANDINGS: &str = "SELECT e.id, e.kinds, e.created_at, e.off_at, c.taken_number,
        e.failures, e.failing_since, e.retry_from, e.retry_at, e.enabled_count, e.last_taken_at,
        c.failures, c.failing_since, c.retry_from, c.retry_at, c.enabled_count, c.parked_at
     FROM webhook_endpoints e LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = $1 ORDER BY e.id";

pub(crate) async fn standings(session: &Session, stream: Uuid) -> Sql<Vec<Standing>> {
    let from = |row: &Row| {
        let (endpoint, line) = (health_at(row, 5)?, line_health_at(row, 11)?);
        Ok(Standing {
            endpoint: WebhookId::from_uuid(at(row, 0)?),
            filter: EventFilter::from_number(at(row, 1)?),
            created_at: Timestamp::from_ms(at(row, 2)?),
            taken: at(row, 4)?,
            retry_at: line.retry_at(&endpoint),
            parked_at: line.parked(&endpoint),
            off_since: time_at(row, 3)?,
        })
    };
    session.rows(STANDINGS, &[&stream]).await?.iter().map(from).collect()
}

const LINES_BEHIND: &str = "WITH RECURSIVE s (id, n) AS (
        (SELECT stream_id, 1 FROM webhook_events WHERE $2::uuid IS NULL OR stream_id > $2 ORDER BY stream_id LIMIT 1)
        UNION ALL SELECT (SELECT v.stream_id FROM webhook_events v WHERE v.stream_id > s.id ORDER BY v.stream_id LIMIT 1), s.n + 1
        FROM s WHERE s.id IS NOT NULL AND s.n < $3)
     SELECT s.id, (c.parked_at IS NULL OR c.enabled_count <> e.enabled_count) AND EXISTS (SELECT 1 FROM webhook_events v
        WHERE v.stream_id = s.id AND v.number > coalesce(c.taken_number, 0) AND (c.taken_number IS NOT NULL OR v.at >= e.created_at)
            AND (e.kinds >> v.kind::int) & 1 = 1 OFFSET 0)
     FROM webhook_endpoints e CROSS JOIN s LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = s.id
     WHERE e.id = $1 AND e.off_at IS NULL AND s.id IS NOT NULL ORDER BY s.id";

pub(crate) async fn lines_behind(session: &Session, endpoint: WebhookId, above: Option<Uuid>) -> Sql<Behind> {
    let rows = session.rows(LINES_BEHIND, &[&endpoint.uuid(), &above, &limit_of(LINES_MAX)]).await?;
    let looked_at = rows.iter().map(|row| Ok((at(row, 0)?, at(row, 1)?))).collect::<Sql<_>>()?;
    Ok(Behind::of(looked_at))
}

/// An event is the first of its stream where none is before it, or that one is older.
const FIRST_EVENTS: &str = "SELECT v.at, v.stream_id, v.number,
        NOT coalesce((SELECT p.at >= $1 FROM webhook_events p WHERE p.stream_id = v.stream_id AND p.number < v.number ORDER BY p.number DESC LIMIT 1), false)
     FROM webhook_events v WHERE (v.at, v.stream_id, v.number) > ($2, $3, $4) ORDER BY v.at, v.stream_id, v.number LIMIT $5";

pub(crate) async fn first_events(session: &Session, since: Timestamp, after: Option<EventPlace>) -> Sql<Firsts> {
    let after = after.unwrap_or(EventPlace::at(since));
    let params: &[&dyn Param] =
        &[&since.ms(), &after.at.ms(), &after.stream, &after.number, &limit_of(EVENTS_LOOKED_MAX)];
    let from = |row: &Row| {
        let place = EventPlace { at: Timestamp::from_ms(at(row, 0)?), stream: at(row, 1)?, number: at(row, 2)? };
        Ok((place, at(row, 3)?))
    };
    let looked_at = session.rows(FIRST_EVENTS, params).await?.iter().map(from).collect::<Sql<Vec<_>>>()?;
    Ok(Firsts::of(looked_at))
}
