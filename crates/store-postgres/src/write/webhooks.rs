//! What happens, noted for other programs beside the change itself: events, and a job for each line that has something to send.

use tertulia_proto::webhook::EventKind;
use tertulia_proto::{Timestamp, UserId};
use tertulia_store::webhooks::{Event, WEBHOOK, next_number};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Batch;
use crate::error::Sql;
use crate::rows::at;
use crate::session::{Param, Session};

/// Events that somebody wants to be told of; where nobody listens, this is one look into an empty index. A ready job is locked without a change, as that of
/// a notification is: claimed before this commit, it would find nothing of it. An event comes after those who want it were added, although the clock may have
/// gone back since: else nobody would be told of it.
const TELL: &str = "WITH e AS MATERIALIZED (SELECT id, kinds, created_at, off_at FROM webhook_endpoints WHERE listens),
     w AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::bigint[], $5::uuid[], $6::bigint[])
        AS w (stream_id, number, kind, seq, user_id, at) WHERE EXISTS (SELECT 1 FROM e WHERE (e.kinds >> w.kind::int) & 1 = 1)),
     put AS (INSERT INTO webhook_events (stream_id, number, kind, seq, user_id, at, epoch)
        SELECT w.stream_id, w.number, w.kind, w.seq, w.user_id, greatest(w.at, (SELECT max(e.created_at) FROM e WHERE (e.kinds >> w.kind::int) & 1 = 1)),
            substr(uuid_send(l.epoch), 1, 4) FROM w, log_state l)
     INSERT INTO jobs (kind, unique_key, payload, run_at, created_at)
     SELECT $7, uuid_send(e.id) || uuid_send(w.stream_id), '', min(w.at), min(w.at)
     FROM e JOIN w ON (e.kinds >> w.kind::int) & 1 = 1 WHERE e.off_at IS NULL GROUP BY e.id, w.stream_id ORDER BY 2
     ON CONFLICT (kind, unique_key) WHERE state = 0 DO UPDATE SET run_at = jobs.run_at WHERE false";

/// A person's latest number: as long as one endpoint stands there, it is known although the event itself is forgotten.
const LATEST: &str = "SELECT greatest((SELECT max(number) FROM webhook_events WHERE stream_id = $1),
     (SELECT max(c.taken_number) FROM webhook_endpoints e JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = $1))";

pub(super) async fn prepare(session: &Session) -> Sql<()> {
    let (ids, numbers) = (Type::UUID_ARRAY, Type::INT8_ARRAY);
    let types = [ids.clone(), numbers.clone(), Type::INT2_ARRAY, numbers.clone(), ids, numbers, Type::TEXT];
    session.ready(TELL, &types).await
}

/// Under way at the first poll.
pub(super) async fn tell(session: &Session, events: &[Event]) -> Sql<()> {
    if events.is_empty() {
        return Ok(());
    }
    let streams: Vec<Uuid> = events.iter().map(|event| event.stream).collect();
    let numbers: Vec<i64> = events.iter().map(|event| event.number.unwrap_or_default()).collect();
    let kinds: Vec<i16> = events.iter().map(|event| i16::try_from(event.kind.number()).unwrap_or(i16::MAX)).collect();
    let seqs: Vec<Option<i64>> = events.iter().map(|event| event.seq).collect();
    let users: Vec<Option<Uuid>> = events.iter().map(|event| event.user.map(|user| user.uuid())).collect();
    let times: Vec<i64> = events.iter().map(|event| event.at.ms()).collect();
    let params: &[&dyn Param] = &[&streams, &numbers, &kinds, &seqs, &users, &times, &WEBHOOK];
    session.rows(TELL, params).await.map(drop)
}

impl Batch<'_> {
    /// With the commit: without a round trip of its own.
    pub(super) fn tell(&mut self, event: Event) {
        self.told.push(event);
    }

    /// Of a person whom nobody else changes until the end, once in a transaction.
    pub(super) async fn tell_of_person(&mut self, kind: EventKind, user: UserId, now: Timestamp) -> Sql<()> {
        let latest = at(&self.session.one(LATEST, &[&user.uuid()]).await?, 0)?;
        self.tell(Event { number: Some(next_number(latest, now)), ..Event::of_user(kind, user, now) });
        Ok(())
    }
}
