//! What happens, noted for other programs beside the change itself.

use std::collections::BTreeMap;

use rusqlite::Connection;
use tertulia_proto::WebhookId;
use tertulia_proto::webhook::EventFilter;
use tertulia_store::webhooks::{Event, Line, WEBHOOK, next_number};
use uuid::Uuid;

use super::Batch;
use crate::rows::Sql;

/// Who wants to be told, asked once a commit and not before something happens; and which lines have something to send by now.
#[derive(Default)]
pub(super) struct Listeners {
    known: Option<Vec<Listener>>,
    /// With the time of their first event here.
    due: BTreeMap<Line, i64>,
}

struct Listener {
    id: WebhookId,
    filter: EventFilter,
    created_at: i64,
    is_on: bool,
}

const LISTENING: &str = "SELECT id, kinds, created_at, off_at IS NULL FROM webhook_endpoints WHERE listens = 1";

const INSERT: &str = "INSERT INTO webhook_events (stream_id, number, kind, seq, user_id, at, epoch)
     SELECT ?1, ?2, ?3, ?4, ?5, ?6, substr(epoch, 1, 4) FROM log_state";

/// A person's latest number: as long as one endpoint stands there, it is known although the event itself is forgotten.
const LATEST: &str = "SELECT max(number) FROM (SELECT max(number) AS number FROM webhook_events WHERE stream_id = ?1
     UNION ALL SELECT max(c.taken_number) FROM webhook_endpoints e CROSS JOIN webhook_cursors c ON c.endpoint_id = e.id AND c.stream_id = ?1)";

/// One job for each line; further events find it waiting.
const QUEUE: &str = "INSERT INTO jobs (kind, unique_key, payload, run_at, created_at) VALUES (?1, ?2, '', ?3, ?3)
     ON CONFLICT (kind, unique_key) WHERE state = 0 DO NOTHING";

fn listening(connection: &Connection) -> Sql<Vec<Listener>> {
    connection
        .prepare_cached(LISTENING)?
        .query_map([], |row| {
            let filter = EventFilter::from_number(row.get(1)?);
            Ok(Listener { id: WebhookId::from_bytes(row.get(0)?), filter, created_at: row.get(2)?, is_on: row.get(3)? })
        })?
        .collect()
}

impl Batch<'_> {
    /// Notes an event where somebody wants it.
    pub(super) fn tell(&mut self, event: Event) -> Sql<()> {
        let known = match &mut self.listeners.known {
            Some(known) => known,
            none => none.insert(listening(self.connection)?),
        };
        let mut wanting = known.iter().filter(|listener| listener.filter.has(event.kind)).peekable();
        if wanting.peek().is_none() {
            return Ok(());
        }
        // It comes after they were added, although the clock may have gone back since: else nobody would be told of it.
        let mut at = event.at.ms();
        for listener in wanting {
            at = at.max(listener.created_at);
            if !listener.is_on {
                continue;
            }
            let line = Line { endpoint: listener.id, stream: event.stream };
            self.listeners.due.entry(line).or_insert(event.at.ms());
        }
        let number = match event.number {
            Some(number) => number,
            None => next_number(self.latest(event.stream)?, event.at),
        };
        self.connection
            .prepare_cached(INSERT)?
            .execute((
                event.stream.as_bytes().as_slice(),
                number,
                event.kind.number(),
                event.seq,
                event.user.as_ref().map(|id| id.as_bytes().as_slice()),
                at,
            ))
            .map(drop)
    }

    fn latest(&self, stream: Uuid) -> Sql<Option<i64>> {
        self.connection.prepare_cached(LATEST)?.query_row([stream.as_bytes().as_slice()], |row| row.get(0))
    }

    pub(super) fn queue_lines(&mut self) -> Sql<()> {
        for (line, at) in std::mem::take(&mut self.listeners.due) {
            self.connection.prepare_cached(QUEUE)?.execute((WEBHOOK, line.key(), at))?;
        }
        Ok(())
    }
}
