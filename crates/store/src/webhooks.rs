//! Other programs are told what happens: their endpoints, the events that are kept for them, and how far each has come.
//!
//! An event is a row beside the change that it tells of, in the same transaction, and it names things only: what it says is read when it is sent. Events
//! lie in streams, one for each conversation and person, numbered in the order of their changes; a *line* is one endpoint's way along one stream. Each line
//! has one job, one position and at most one request under way, so a line is told in order.

mod due;
mod failing;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tertulia_proto::Timestamp;
use tertulia_proto::webhook::{EventFilter, EventId, EventKind, KeptEvent, WebhookBatch, WebhookEndpoint};
use tertulia_proto::{ConversationId, Seq, UserId, WebhookId};
use uuid::Uuid;

pub use self::due::{Cursor, Due, Kept, Stand, Wanted, bare};
pub use self::failing::{CLOCKS_APART_MS, Ending, Failed, Failing, Health, LineHealth};
use crate::Reading;
use crate::jobs::{NewJob, Priority};

/// The kind of the jobs that send; the key is [`Line::key`], and there is no payload.
pub const WEBHOOK: &str = "webhook";

/// The kind of the jobs that look which lines have something to send.
pub const WEBHOOK_WAKE: &str = "webhook.wake";

/// Events of one request.
pub const BATCH_MAX: usize = 100;

/// Bytes of one request's events, the first one's apart.
pub const BATCH_MAX_BYTES: usize = 256 * 1024;

/// Endpoints of one server: all of them are looked at with every change.
pub const ENDPOINTS_MAX: usize = 32;

/// Bytes of a reason that is kept.
pub const FAILURE_MAX_BYTES: usize = 200;

/// Lines of one page.
pub const LINES_MAX: usize = 256;

/// Events that are looked at for one page of them.
pub const EVENTS_LOOKED_MAX: usize = 4096;

/// Parked lines of an endpoint that are shown.
pub const PARKED_SHOWN_MAX: usize = 20;

/// Kept events of one page.
pub const KEPT_MAX: usize = 200;

/// Requests that are kept of one endpoint and one last event: the newest.
pub const REQUESTS_KEPT_MAX: i64 = 50;

/// Requests that are told of one event: the newest.
pub const REQUESTS_TOLD_MAX: usize = 200;

/// Requests that are looked at for it: those whose last event is nearest.
pub const REQUESTS_READ_MAX: usize = 1024;

/// What signs. In no log and in no error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(Debug, Clone)]
pub struct NewEndpoint {
    pub id: WebhookId,
    pub url: String,
    pub filter: EventFilter,
    pub secret: Secret,
    pub now: Timestamp,
}

/// Something that endpoints may want to be told of, as a home notes it with the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub stream: Uuid,
    /// `None`: the stream's next, for people.
    pub number: Option<i64>,
    pub kind: EventKind,
    pub seq: Option<Seq>,
    /// The member that it is about.
    pub user: Option<UserId>,
    pub at: Timestamp,
}

impl Event {
    pub const fn of_conversation(kind: EventKind, id: ConversationId, rev: i64, at: Timestamp) -> Self {
        Self { stream: id.uuid(), number: Some(rev), kind, seq: None, user: None, at }
    }

    pub const fn of_message(kind: EventKind, id: ConversationId, (seq, rev): (Seq, i64), at: Timestamp) -> Self {
        Self { seq: Some(seq), ..Self::of_conversation(kind, id, rev, at) }
    }

    pub const fn of_member(kind: EventKind, id: ConversationId, rev: i64, user: UserId, at: Timestamp) -> Self {
        Self { user: Some(user), ..Self::of_conversation(kind, id, rev, at) }
    }

    pub const fn of_user(kind: EventKind, user: UserId, at: Timestamp) -> Self {
        Self { stream: user.uuid(), number: None, kind, seq: None, user: None, at }
    }
}

/// A person's numbers have no `rev` to follow. They grow with time, so that none is given twice, although old events are forgotten.
pub fn next_number(latest: Option<i64>, at: Timestamp) -> i64 {
    latest.map_or(1, |latest| latest + 1).max(at.ms())
}

/// One endpoint's way along one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    pub endpoint: WebhookId,
    pub stream: Uuid,
}

impl Line {
    /// The endpoint's 16 bytes, then the stream's.
    pub fn key(&self) -> Vec<u8> {
        let mut key = self.endpoint.as_bytes().to_vec();
        key.extend_from_slice(self.stream.as_bytes());
        key
    }

    pub fn of_key(key: &[u8]) -> Option<Self> {
        let (endpoint, stream) = key.split_at_checked(16)?;
        let endpoint = WebhookId::from_bytes(endpoint.try_into().ok()?);
        Some(Self { endpoint, stream: Uuid::from_bytes(stream.try_into().ok()?) })
    }

    pub fn job(&self, run_at: Timestamp, now: Timestamp) -> NewJob {
        NewJob {
            kind: WEBHOOK.to_owned(),
            unique_key: Some(self.key()),
            unless_running: false,
            payload: String::new(),
            priority: Priority::Normal,
            run_at,
            now,
        }
    }
}

/// What a job of [`WEBHOOK_WAKE`] says: lines above this stream are to be looked at; or those that have been told later than `since` go back, as far as there
/// are events after a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WakeJob {
    pub endpoint: WebhookId,
    pub above: Option<Uuid>,
    pub since: Option<Timestamp>,
    pub after: Option<EventPlace>,
}

/// Where an event stands among all, by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventPlace {
    pub at: Timestamp,
    pub stream: Uuid,
    pub number: i64,
}

impl EventPlace {
    /// Before all events of this time.
    pub const fn at(at: Timestamp) -> Self {
        Self { at, stream: Uuid::nil(), number: i64::MIN }
    }
}

/// Streams where an endpoint has something to be told, among those that were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Behind {
    pub streams: Vec<Uuid>,
    /// The last that was looked at, where there may be more.
    pub next: Option<Uuid>,
}

impl Behind {
    /// Of streams in their order, with whether something is to be told there; a page of them, or what is left.
    pub fn of(looked_at: Vec<(Uuid, bool)>) -> Self {
        let next = looked_at.last().map(|(stream, _)| *stream).filter(|_| looked_at.len() >= LINES_MAX);
        let streams = looked_at.into_iter().filter(|(_, is_behind)| *is_behind).map(|(stream, _)| stream).collect();
        Self { streams, next }
    }
}

/// The first events of streams since a time, among those that were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firsts {
    pub events: Vec<(Uuid, i64)>,
    /// The last that was looked at, where there may be more.
    pub next: Option<EventPlace>,
}

impl Firsts {
    /// Of events in their order, with whether each is the first of its stream; as many as one page has.
    pub fn of(looked_at: impl IntoIterator<Item = (EventPlace, bool)>) -> Self {
        let (mut firsts, mut count) = (Self::default(), 0);
        for (place, is_first) in looked_at {
            count += 1;
            if is_first {
                firsts.events.push((place.stream, place.number));
            }
            if count >= EVENTS_LOOKED_MAX || firsts.events.len() >= LINES_MAX {
                firsts.next = Some(place);
                break;
            }
        }
        firsts
    }
}

impl WakeJob {
    /// One waits for each endpoint; those that go back, and those that go on where a page ended, are no one else's.
    pub fn job(&self, run_at: Timestamp, now: Timestamp) -> NewJob {
        let is_plain = self.above.is_none() && self.since.is_none();
        NewJob {
            kind: WEBHOOK_WAKE.to_owned(),
            unique_key: is_plain.then(|| self.endpoint.as_bytes().to_vec()),
            unless_running: false,
            payload: serde_json::to_string(self).unwrap_or_default(),
            priority: Priority::Normal,
            run_at,
            now,
        }
    }
}

/// What a line has to send, read in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing, or the endpoint is off or gone.
    Nothing,
    /// Not before: the line or the endpoint waits after a failure.
    Wait(Timestamp),
    /// Somebody else is sending.
    Busy,
    Send(Box<Sending>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    pub url: String,
    /// The new one first.
    pub secrets: Vec<Secret>,
    /// Where the line stands: the number of the last event that was taken, or the one before the first to send.
    pub after: i64,
    /// How the line did when this was read.
    pub health: LineHealth,
    /// The last event of the request that was not taken yet, when this was read.
    pub tried: Option<i64>,
    /// The numbers of the first and of the last one of these.
    pub first: i64,
    pub up_to: i64,
    /// The last one of the first half, where there are several.
    pub half: Option<i64>,
    pub batch: WebhookBatch,
    pub has_more: bool,
}

impl Sending {
    /// Names the request: the same when it is made again. The epoch is the last event's, for what came before it in that epoch is the same for ever.
    pub fn id(&self) -> String {
        let last = self.batch.events.last().and_then(|event| event.id.parse::<EventId>().ok());
        last.map_or_else(String::new, |last| format!("{}_{}", EventId { number: self.first, ..last }, self.up_to))
    }
}

/// Takes the line for one request, if it still stands there, nobody else has it, and no other request of it was begun or has failed since it was looked at: with
/// which events it is made again, and what its endpoint asked for, is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    pub holder: [u8; 16],
    pub after: i64,
    /// As they were read.
    pub health: LineHealth,
    pub tried: Option<i64>,
    /// A try that fails, or whose sender dies, is made again with the same events, and so under the same name.
    pub up_to: i64,
    pub now: Timestamp,
    /// From then on the line is anybody's.
    pub lease_until: Timestamp,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub holder: [u8; 16],
    /// The numbers of the first and of the last event that were sent.
    pub events: (i64, i64),
    /// HTTP's; `None` where no answer came.
    pub status: Option<u16>,
    pub result: TryResult,
    pub began_at: Timestamp,
    pub now: Timestamp,
    /// Between the tries of one line, and of one endpoint. After the last one the endpoint is switched off, or where it takes others the line parked.
    pub waits: Vec<Duration>,
    /// The last event of the first half of what was sent, where it were several. The next try may end with it: see [`Ending`].
    pub half: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TryResult {
    Taken {
        up_to: i64,
        count: i64,
    },
    /// Tried again, not before what the endpoint has asked for.
    Failed {
        reason: String,
        not_before: Option<Timestamp>,
    },
    /// It does not want to be told any more.
    Gone {
        reason: String,
    },
}

impl TryResult {
    pub const fn outcome(&self) -> WebhookOutcome {
        match self {
            Self::Taken { .. } => WebhookOutcome::Taken,
            Self::Failed { .. } => WebhookOutcome::Failed,
            Self::Gone { .. } => WebhookOutcome::Gone,
        }
    }
}

/// How a request ended, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WebhookOutcome {
    Taken,
    Failed,
    Gone,
}

impl WebhookOutcome {
    pub const fn number(self) -> i64 {
        match self {
            Self::Taken => 0,
            Self::Failed => 1,
            Self::Gone => 2,
        }
    }

    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Taken),
            1 => Some(Self::Failed),
            2 => Some(Self::Gone),
            _ => None,
        }
    }
}

/// One request for events of a stream, and what was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookAttempt {
    /// May be gone by now.
    pub endpoint: WebhookId,
    /// The first and the last event. Between them may be some that the endpoint does not want.
    pub first: i64,
    pub last: i64,
    /// Counts from 1 for the endpoint and the last event, replays among them.
    pub attempt: i64,
    pub at: Timestamp,
    pub outcome: WebhookOutcome,
    /// HTTP's; `None` where no answer came.
    pub status: Option<u16>,
}

/// Where an endpoint stands in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub endpoint: WebhookId,
    /// What it wants to be told of, and since when.
    pub filter: EventFilter,
    pub created_at: Timestamp,
    /// The last event that it took. `None`: none was sent yet.
    pub taken: Option<i64>,
    /// Nothing is sent before.
    pub retry_at: Option<Timestamp>,
    /// It is passed over since then.
    pub parked_at: Option<Timestamp>,
    pub off_since: Option<Timestamp>,
}

/// What became of a line with the end of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Taken,
    Again(Timestamp),
    /// It is passed over, and the endpoint's others go on.
    Parked,
    Off,
    /// Somebody else's by now: nothing was changed, but the request is kept.
    Lost,
}

/// The endpoints, and what was sent to them. Each change is one transaction, durable when it answers.
pub trait WebhookBook: Send + Sync {
    /// `false` where there are [`ENDPOINTS_MAX`] already. It is told of what happens from now on.
    fn add_endpoint(&self, new: NewEndpoint) -> Reading<'_, bool>;
    /// In the order of their ids.
    fn endpoints(&self) -> Reading<'_, Vec<WebhookEndpoint>>;
    /// Whether there was such a one.
    fn remove_endpoint(&self, id: WebhookId) -> Reading<'_, bool>;
    /// With a secret: from now on it signs, and beside it the one before. Without: only the newest signs from now on. Whether there is such an endpoint.
    fn rotate_secret(&self, id: WebhookId, secret: Option<Secret>) -> Reading<'_, bool>;
    /// Told again, from where each line stood, those that are parked too. `jobs` are queued with it. Whether there is such an endpoint.
    fn enable_endpoint(&self, id: WebhookId, jobs: Vec<NewJob>) -> Reading<'_, bool>;

    /// `None` where nothing is kept of it: it is no event, or was not wanted by anybody, or is too old.
    fn kept_event(&self, id: EventId) -> Reading<'_, Option<KeptEvent>>;
    /// The latest events that are kept, before a place.
    fn kept_events(&self, before: EventPlace, limit: usize) -> Reading<'_, Vec<KeptEvent>>;

    fn next(&self, line: Line, now: Timestamp) -> Reading<'_, Next>;
    /// Whether the line is the caller's.
    fn begin_try(&self, line: Line, begin: Begin) -> Reading<'_, bool>;
    fn end_try(&self, line: Line, end: End) -> Reading<'_, After>;

    /// Requests of which this number was one: in order of time, at most the newest [`REQUESTS_TOLD_MAX`] of the [`REQUESTS_READ_MAX`] nearest to it. That a
    /// message was made has the conversation's `rev` of then as its number.
    fn attempts(&self, stream: Uuid, number: i64) -> Reading<'_, Vec<WebhookAttempt>>;
    /// Where each endpoint stands there, in the order of their ids.
    fn standings(&self, stream: Uuid) -> Reading<'_, Vec<Standing>>;
    /// Work of the clean-up: requests of before `at`, at most `limit`. How many are gone.
    fn forget_requests(&self, at: Timestamp, limit: usize) -> Reading<'_, usize>;

    /// Of the next [`LINES_MAX`] streams above this one, in their order, those where the endpoint has something to be told.
    fn lines_behind(&self, endpoint: WebhookId, above: Option<Uuid>) -> Reading<'_, Behind>;
    /// The first events of streams since that time, among the next [`EVENTS_LOOKED_MAX`] events after a place, at most [`LINES_MAX`]. Where clocks differ, more
    /// than one of a stream.
    fn first_events(&self, since: Timestamp, after: Option<EventPlace>) -> Reading<'_, Firsts>;
    /// The endpoint's lines go back to before these events, at most [`LINES_MAX`], and are queued; whoever is sending just now moves them no more, but is
    /// waited for.
    fn rewind_lines(&self, endpoint: WebhookId, to: Vec<(Uuid, i64)>, now: Timestamp) -> Reading<'_, ()>;
    /// Goes back to before this event, with the job that sends it.
    fn rewind_line(&self, line: Line, number: i64, now: Timestamp) -> Reading<'_, ()>;
    /// Goes on behind this event, which is not told, with the job that sends what follows. `false` where it is not the first that waits in a line of which
    /// something was sent.
    fn skip_event(&self, line: Line, number: i64, now: Timestamp) -> Reading<'_, bool>;

    /// Work of the clean-up: events of before `at`, at most `limit`, and all wishes of those who have been off since before then. How many events are gone;
    /// what was not taken of them is counted for each endpoint.
    fn forget_events(&self, at: Timestamp, limit: usize) -> Reading<'_, usize>;
    /// Work of the clean-up: positions of endpoints that are gone, and those that no event has needed since `at`; at most `limit`. How many are gone.
    fn forget_positions(&self, at: Timestamp, limit: usize) -> Reading<'_, usize>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_so_many_events_or_lines_and_says_where() {
        let place = |n: usize| {
            let number = i64::try_from(n).unwrap();
            EventPlace { at: Timestamp::from_ms(number), stream: Uuid::from_u128(n as u128), number }
        };
        let firsts = Firsts::of((1..4).map(|n| (place(n), n == 2)));
        assert_eq!((firsts.events.len(), firsts.next), (1, None));
        let firsts = Firsts::of((1..=EVENTS_LOOKED_MAX).map(|n| (place(n), n == 2)));
        assert_eq!((firsts.events.len(), firsts.next), (1, Some(place(EVENTS_LOOKED_MAX))));
        let firsts = Firsts::of((1..=EVENTS_LOOKED_MAX).map(|n| (place(n), true)));
        assert_eq!((firsts.events.len(), firsts.next), (LINES_MAX, Some(place(LINES_MAX))));
    }

    #[test]
    fn a_line_is_its_key() {
        let line = Line { endpoint: WebhookId::from_bytes([1; 16]), stream: Uuid::from_u128(2) };
        assert_eq!(Line::of_key(&line.key()), Some(line));
        assert_eq!((Line::of_key(&[1; 31]), Line::of_key(&[])), (None, None));
    }

    #[test]
    fn numbers_of_people_grow_whatever_the_clock_says() {
        let at = Timestamp::from_ms;
        assert_eq!((next_number(None, at(5)), next_number(Some(5), at(5)), next_number(Some(9), at(3))), (5, 6, 10));
        assert_eq!(next_number(None, at(-5)), 1);
    }
}
