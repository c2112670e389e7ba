//! What a line has to send: the rule of both homes, between their reads.

use tertulia_proto::webhook::{EventId, EventKind, WebhookBatch, WebhookEvent};
use tertulia_proto::{ConversationId, Seq, Timestamp, UserId};

use super::{BATCH_MAX, BATCH_MAX_BYTES, CLOCKS_APART_MS, Health, LineHealth, Next, Secret, Sending};

/// An endpoint that is on, and where one of its lines stands.
#[derive(Debug, Clone)]
pub struct Stand {
    pub url: String,
    /// The new one first.
    pub secrets: Vec<Secret>,
    /// A bit for each kind of event that is wanted.
    pub kinds: i64,
    pub created_at: Timestamp,
    pub health: Health,
    /// `None`: nothing was sent yet, and it is owed what happened since the endpoint was added.
    pub cursor: Option<Cursor>,
}

/// How far a line has come.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    /// The last event that was taken.
    pub taken: i64,
    /// The last event of the request that was not taken yet.
    trying: Option<i64>,
    /// The same as it was read, whatever is left of it.
    tried: Option<i64>,
    /// A request may be under way until then.
    pub lease_until: Option<Timestamp>,
    pub health: LineHealth,
}

impl Cursor {
    /// `trying`: the last event of the request that was not taken yet.
    pub const fn new(taken: i64, trying: Option<i64>, lease_until: Option<Timestamp>, health: LineHealth) -> Self {
        Self { taken, trying, tried: trying, lease_until, health }
    }
}

/// Events of a stream: of these kinds, above a number and up to another, from the first on that is not of before a time, whatever time a clock gave to those
/// that follow it; the first [`BATCH_MAX`] and one more are enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub kinds: i64,
    pub above: i64,
    pub up_to: i64,
    /// In milliseconds since 1970.
    pub since: i64,
}

/// An event as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub number: i64,
    pub kind: EventKind,
    pub seq: Option<Seq>,
    pub user: Option<UserId>,
    pub at: Timestamp,
    pub epoch: [u8; 4],
}

/// Events of which it is to be read what they say.
#[derive(Debug, Clone)]
pub struct Due {
    stand: Stand,
    rows: Vec<Kept>,
    first: i64,
    /// The request that is made again ends with it.
    trying: Option<i64>,
    has_more: bool,
}

impl Stand {
    /// `None` where the line is parked.
    pub fn wanted(&self) -> Option<Wanted> {
        let kinds = self.kinds;
        Some(match &self.cursor {
            Some(cursor) if cursor.health.parked(&self.health).is_some() => return None,
            Some(Cursor { taken, trying, .. }) => {
                Wanted { kinds, above: *taken, up_to: trying.unwrap_or(i64::MAX), since: i64::MIN }
            }
            None => Wanted { kinds, above: 0, up_to: i64::MAX, since: self.created_at.ms() },
        })
    }

    /// Where nothing is left of what was tried: what follows it. `None` where nothing was tried.
    pub fn wanted_next(&mut self) -> Option<Wanted> {
        self.cursor.as_mut()?.trying.take()?;
        self.wanted()
    }

    /// With the events that are wanted, in their order. Otherwise what keeps them from being sent.
    pub fn due(self, mut rows: Vec<Kept>, now: Timestamp) -> Result<Due, Next> {
        let Some(first) = rows.first().map(|row| row.number) else { return Err(Next::Nothing) };
        // One that ends later than any may was given by a clock that has gone back since.
        let may_be_under_way = |until: Timestamp| until > now && until <= now.plus_ms(CLOCKS_APART_MS);
        if self.cursor.and_then(|cursor| cursor.lease_until).is_some_and(may_be_under_way) {
            return Err(Next::Busy);
        }
        let line = self.cursor.map(|cursor| cursor.health).unwrap_or_default();
        if let Some(at) = line.waits_until(&self.health, now) {
            return Err(Next::Wait(at));
        }
        let is_cut = rows.len() > BATCH_MAX;
        rows.truncate(BATCH_MAX);
        let trying = self.cursor.and_then(|cursor| cursor.trying);
        Ok(Due { stand: self, rows, first, trying: trying.filter(|_| !is_cut), has_more: is_cut || trying.is_some() })
    }
}

impl Due {
    pub fn rows(&self) -> &[Kept] {
        &self.rows
    }

    /// With what each of them says.
    pub fn next(self, mut events: Vec<WebhookEvent>) -> Next {
        let Self { stand, rows, first, trying, mut has_more } = self;
        // What was tried before stays as it was, or it would have another name.
        if trying.is_none() {
            let fitting = fitting(&events);
            has_more |= fitting < events.len();
            events.truncate(fitting);
        }
        let number = |count: usize| rows.get(count.checked_sub(1)?).map(|row| row.number);
        let Some(last) = number(events.len()) else { return Next::Nothing };
        Next::Send(Box::new(Sending {
            url: stand.url,
            secrets: stand.secrets,
            after: stand.cursor.map_or(first - 1, |cursor| cursor.taken),
            health: stand.cursor.map(|cursor| cursor.health).unwrap_or_default(),
            tried: stand.cursor.and_then(|cursor| cursor.tried),
            first,
            up_to: trying.unwrap_or(last),
            half: number(events.len() / 2),
            batch: WebhookBatch { events },
            has_more,
        }))
    }
}

/// How many of these make one request: as many as fit, and one at least.
fn fitting(events: &[WebhookEvent]) -> usize {
    let mut bytes = 0;
    for (count, event) in events.iter().enumerate() {
        bytes += serde_json::to_vec(event).map_or(0, |text| text.len());
        if bytes > BATCH_MAX_BYTES && count > 0 {
            return count;
        }
    }
    events.len()
}

/// An event without what it says.
pub fn bare(id: EventId, kind: EventKind, seq: Option<Seq>, at: Timestamp) -> WebhookEvent {
    let is_of_person = matches!(kind, EventKind::UserCreated | EventKind::UserUpdated);
    WebhookEvent {
        id: id.to_string(),
        kind,
        timestamp: at,
        conversation_id: (!is_of_person).then(|| ConversationId::from_uuid(id.stream)),
        rev: (!is_of_person).then_some(id.number),
        seq,
        data: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn kept(number: i64) -> Kept {
        let at = Timestamp::from_ms(1);
        Kept { number, kind: EventKind::MessageCreated, seq: Some(number), user: None, at, epoch: [0; 4] }
    }

    fn stand(trying: Option<i64>) -> Stand {
        let cursor = Cursor::new(4, trying, None, LineHealth::default());
        Stand {
            url: String::new(),
            secrets: Vec::new(),
            kinds: 1,
            created_at: Timestamp::from_ms(1),
            health: Health::default(),
            cursor: Some(cursor),
        }
    }

    fn sent(trying: Option<i64>, rows: Vec<Kept>) -> Sending {
        let due = stand(trying).due(rows, Timestamp::from_ms(5)).expect("there are some");
        let of_row = |row: &Kept| {
            bare(EventId { stream: Uuid::nil(), epoch: row.epoch, number: row.number }, row.kind, row.seq, row.at)
        };
        let events = due.rows().iter().map(of_row).collect();
        match due.next(events) {
            Next::Send(sending) => *sending,
            other => panic!("something is sent, and not {other:?}"),
        }
    }

    #[test]
    fn a_request_ends_with_the_last_event_that_is_in_it() {
        let sending = sent(None, (5..8).map(kept).collect());
        assert_eq!((sending.first, sending.up_to, sending.half, sending.has_more), (5, 7, Some(5), false));
        // Made again, it ends where it did, although that event is forgotten.
        let sending = sent(Some(9), (5..8).map(kept).collect());
        assert_eq!((sending.first, sending.up_to, sending.half, sending.has_more), (5, 9, Some(5), true));
        // More than it had: what is not in it is told later.
        let sending = sent(Some(300), (5..=105).map(kept).collect());
        assert_eq!((sending.batch.events.len(), sending.up_to, sending.has_more), (BATCH_MAX, 104, true));
    }
}
