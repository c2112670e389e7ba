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

const ENDPOINTS: &str = "SELECT id, url, kinds, created_at, off_at, off_reason, old_secret IS NOT NULL, taken, last_taken_at, failed, last_failed_at,
        last_failure, failures, retry_at FROM webhook_endpoints ORDER BY id";

pub(crate) async fn endpoints(session: &Session) -> Sql<Vec<WebhookEndpoint>> {
    let from = |row: &Row| {
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
        })
    };
    session.rows(ENDPOINTS, &[]).await?.iter().map(from).collect()
}

fn kind_at(row: &Row, index: usize) -> Sql<EventKind> {
    let kind = EventKind::from_number(at::<i16>(row, index)?.into());
    kind.ok_or_else(|| bad_value("a kind of event that is not 0 to 10"))
}

fn kept_from(row: &Row) -> Sql<KeptEvent> {
    let id = EventId { stream: at(row, 0)?, number: at(row, 1)? };
    let timestamp = Timestamp::from_ms(at(row, 4)?);
    Ok(KeptEvent { id: id.to_string(), kind: kind_at(row, 2)?, timestamp, seq: at(row, 3)? })
}

const KEPT_EVENT: &str =
    "SELECT stream_id, number, kind, seq, at FROM webhook_events WHERE stream_id = $1 AND number = $2";

pub(crate) async fn kept_event(session: &Session, id: EventId) -> Sql<Option<KeptEvent>> {
    session.opt(KEPT_EVENT, &[&id.stream, &id.number]).await?.as_ref().map(kept_from).transpose()
}

const KEPT_EVENTS: &str = "SELECT stream_id, number, kind, seq, at FROM webhook_events WHERE at < $1
     ORDER BY at DESC, stream_id DESC, number DESC LIMIT $2";

pub(crate) async fn kept_events(session: &Session, before: Timestamp, limit: usize) -> Sql<Vec<KeptEvent>> {
    let rows = session.rows(KEPT_EVENTS, &[&before.ms(), &limit_of(limit.min(KEPT_MAX))]).await?;
    rows.iter().map(kept_from).collect()
}

/// An endpoint that is on, and where it stands.
const STANDING: &str = "SELECT e.url, e.kinds, e.secret, e.old_secret, e.created_at, e.retry_at, c.taken_number, c.trying_number, c.lease_until, c.retry_at
     FROM webhook_endpoints e LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = $2 WHERE e.id = $1 AND e.off_at IS NULL";

/// Above a number and up to another, since a time.
const KEPT: &str = "SELECT number, kind, seq, user_id, at FROM webhook_events
     WHERE stream_id = $1 AND number > $2 AND number <= $3 AND at >= $4 AND ($5 >> kind::int) & 1 = 1 ORDER BY number LIMIT $6";

struct Kept {
    number: i64,
    kind: EventKind,
    seq: Option<Seq>,
    user: Option<UserId>,
    at: Timestamp,
}

async fn kept(session: &Session, stream: Uuid, kinds: i64, range: (i64, i64, i64)) -> Sql<Vec<Kept>> {
    let (above, end, since) = range;
    let params: &[&dyn Param] = &[&stream, &above, &end, &since, &kinds, &limit_of(BATCH_MAX + 1)];
    let from = |row: &Row| {
        Ok(Kept {
            number: at(row, 0)?,
            kind: kind_at(row, 1)?,
            seq: at(row, 2)?,
            user: at::<Option<Uuid>>(row, 3)?.map(UserId::from_uuid),
            at: Timestamp::from_ms(at(row, 4)?),
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
    let Some(row) = session.opt(STANDING, &[&line.endpoint.uuid(), &line.stream]).await? else {
        return Ok(Next::Nothing);
    };
    let (url, kinds): (String, i64) = (at(&row, 0)?, at(&row, 1)?);
    let secrets: Vec<Secret> = secret_at(&row, 2)?.into_iter().chain(secret_at(&row, 3)?).collect();
    let (created_at, taken): (i64, Option<i64>) = (at(&row, 4)?, at(&row, 6)?);
    let (above, since) = taken.map_or((0, created_at), |taken| (taken, i64::MIN));
    let mut trying: Option<i64> = at(&row, 7)?;
    let mut rows = kept(session, line.stream, kinds, (above, trying.unwrap_or(i64::MAX), since)).await?;
    if rows.is_empty() && trying.take().is_some() {
        // Those are forgotten by now.
        rows = kept(session, line.stream, kinds, (above, i64::MAX, since)).await?;
    }
    let Some(first) = rows.first() else { return Ok(Next::Nothing) };
    let (first, after) = (first.number, taken.unwrap_or(first.number - 1));
    if time_at(&row, 8)?.is_some_and(|at| at > now) {
        return Ok(Next::Busy);
    }
    if let Some(at) = time_at(&row, 5)?.max(time_at(&row, 9)?).filter(|at| *at > now) {
        return Ok(Next::Wait(at));
    }
    let mut has_more = trying.is_some() || rows.len() > BATCH_MAX;
    rows.truncate(BATCH_MAX);
    let mut events = told(session, line.stream, &rows).await?;
    // What was tried before stays as it was, or it would have another name.
    if trying.is_none() {
        let fitting = fitting(&events);
        has_more |= fitting < events.len();
        events.truncate(fitting);
    }
    let Some(last) = rows.get(events.len() - 1) else { return Ok(Next::Nothing) };
    let up_to = trying.unwrap_or(last.number);
    let batch = WebhookBatch { events };
    Ok(Next::Send(Box::new(Sending { url, secrets, after, first, up_to, batch, has_more })))
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
        let id = EventId { stream, number: row.number };
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

const STANDINGS: &str = "SELECT e.id, e.kinds, e.created_at, c.taken_number, greatest(e.retry_at, c.retry_at), e.off_at
     FROM webhook_endpoints e LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = $1 ORDER BY e.id";

pub(crate) async fn standings(session: &Session, stream: Uuid) -> Sql<Vec<Standing>> {
    let from = |row: &Row| {
        Ok(Standing {
            endpoint: WebhookId::from_uuid(at(row, 0)?),
            filter: EventFilter::from_number(at(row, 1)?),
            created_at: Timestamp::from_ms(at(row, 2)?),
            taken: at(row, 3)?,
            retry_at: time_at(row, 4)?,
            off_since: time_at(row, 5)?,
        })
    };
    session.rows(STANDINGS, &[&stream]).await?.iter().map(from).collect()
}

const LINES_BEHIND: &str = "WITH RECURSIVE s (id) AS (
        (SELECT stream_id FROM webhook_events WHERE $2::uuid IS NULL OR stream_id > $2 ORDER BY stream_id LIMIT 1)
        UNION ALL SELECT (SELECT v.stream_id FROM webhook_events v WHERE v.stream_id > s.id ORDER BY v.stream_id LIMIT 1) FROM s WHERE s.id IS NOT NULL)
     SELECT s.id FROM webhook_endpoints e CROSS JOIN s LEFT JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = s.id
     WHERE e.id = $1 AND e.off_at IS NULL AND s.id IS NOT NULL
        AND EXISTS (SELECT 1 FROM webhook_events v WHERE v.stream_id = s.id AND v.number > coalesce(c.taken_number, 0)
            AND (c.taken_number IS NOT NULL OR v.at >= e.created_at) AND (e.kinds >> v.kind::int) & 1 = 1 OFFSET 0)
     ORDER BY s.id LIMIT $3";

pub(crate) async fn lines_behind(session: &Session, endpoint: WebhookId, above: Option<Uuid>) -> Sql<Vec<Uuid>> {
    let rows = session.rows(LINES_BEHIND, &[&endpoint.uuid(), &above, &limit_of(LINES_MAX)]).await?;
    rows.iter().map(|row| at(row, 0)).collect()
}
