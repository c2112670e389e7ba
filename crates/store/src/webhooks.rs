//! Other programs are told what happens: their endpoints, the events that are kept for them, and how far each has come.
//!
//! An event is a row beside the change that it tells of, in the same transaction, and it names things only: what it says is read when it is sent. Events
//! lie in streams, one for each conversation and person, numbered in the order of their changes; a *line* is one endpoint's way along one stream. Each line
//! has one job, one position and at most one request under way, so a line is told in order.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tertulia_proto::Timestamp;
use tertulia_proto::webhook::{
    EventFilter, EventId, EventKind, KeptEvent, WebhookBatch, WebhookEndpoint, WebhookEvent,
};
use tertulia_proto::{ConversationId, Seq, UserId, WebhookId};
use uuid::Uuid;

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

/// What a job of [`WEBHOOK_WAKE`] says: lines above this stream are to be looked at; those that have been told later than `since` go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WakeJob {
    pub endpoint: WebhookId,
    pub above: Option<Uuid>,
    pub since: Option<Timestamp>,
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
    /// The numbers of the first and of the last one of these.
    pub first: i64,
    pub up_to: i64,
    pub batch: WebhookBatch,
    pub has_more: bool,
}

impl Sending {
    /// Names the request: the same when it is made again.
    pub fn id(&self) -> String {
        let first = self.batch.events.first().map_or("", |event| event.id.as_str());
        format!("{first}_{}", self.up_to)
    }
}

/// Takes the line for one request, if it still stands there and nobody else has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    pub holder: [u8; 16],
    pub after: i64,
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
    /// Between the tries of one line, and of one endpoint; after the last one the endpoint is switched off.
    pub waits: Vec<Duration>,
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
    pub off_since: Option<Timestamp>,
}

/// What became of a line with the end of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Taken,
    Again(Timestamp),
    Off,
    /// Somebody else's by now: nothing was changed, but the request is kept.
    Lost,
}

/// Failures in a row, and when it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failing {
    pub failures: i64,
    pub retry_at: Option<Timestamp>,
}

impl Failing {
    /// Once more. `None`: that was the last.
    fn again(self, end: &End, not_before: Option<Timestamp>) -> Option<Self> {
        let wait = end.waits.get(usize::try_from(self.failures).ok()?)?;
        let retry_at = end.now.plus_ms(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2));
        Some(Self { failures: self.failures + 1, retry_at: Some(not_before.map_or(retry_at, |at| at.max(retry_at))) })
    }
}

/// What a failure makes of a line and its endpoint: the rule of both homes. `None`: the endpoint is switched off.
///
/// The endpoint counts for itself, so that where nobody answers not each of ten thousand lines has to find that out. Those that were under way together
/// fail together and count as one.
pub fn after_failure(
    line: Failing,
    endpoint: Failing,
    end: &End,
    not_before: Option<Timestamp>,
) -> Option<(Failing, Failing)> {
    let line = line.again(end, not_before)?;
    let is_known = endpoint.retry_at.is_some_and(|at| at > end.began_at);
    let endpoint = if is_known { endpoint } else { endpoint.again(end, not_before)? };
    Some((line, endpoint))
}

/// The beginning of a reason, cut at a character within [`FAILURE_MAX_BYTES`].
pub fn kept_failure(reason: &str) -> String {
    let mut end = reason.len().min(FAILURE_MAX_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    // Text of PostgreSQL can't hold it.
    reason[..end].replace('\0', "")
}

/// How many of these make one request: as many as fit, and one at least.
pub fn fitting(events: &[WebhookEvent]) -> usize {
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
    /// Told again, from where each line stood. `jobs` are queued with it. Whether there is such an endpoint.
    fn enable_endpoint(&self, id: WebhookId, jobs: Vec<NewJob>) -> Reading<'_, bool>;

    /// `None` where nothing is kept of it: it is no event, or was not wanted by anybody, or is too old.
    fn kept_event(&self, id: EventId) -> Reading<'_, Option<KeptEvent>>;
    /// The latest events that are kept, before a time.
    fn kept_events(&self, before: Timestamp, limit: usize) -> Reading<'_, Vec<KeptEvent>>;

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

    /// Streams above this one where the endpoint has something to be told, in their order, at most [`LINES_MAX`].
    fn lines_behind(&self, endpoint: WebhookId, above: Option<Uuid>) -> Reading<'_, Vec<Uuid>>;
    /// Streams above this one with events since that time, in their order, at most [`LINES_MAX`]; the endpoint's lines there go back to before the first of
    /// them, whoever is sending just now.
    fn rewind_lines(&self, endpoint: WebhookId, since: Timestamp, above: Option<Uuid>) -> Reading<'_, Vec<Uuid>>;
    /// Goes back to before this event, with the job that sends it.
    fn rewind_line(&self, line: Line, number: i64, now: Timestamp) -> Reading<'_, ()>;

    /// Work of the clean-up: events of before `at`, positions that no event needs, and the wishes of those who have been off since before `at`; at most
    /// `limit`. How many are gone.
    fn forget_events(&self, at: Timestamp, limit: usize) -> Reading<'_, usize>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(began_at: i64, now: i64) -> End {
        End {
            holder: [0; 16],
            events: (1, 1),
            status: None,
            result: TryResult::Gone { reason: String::new() },
            began_at: Timestamp::from_ms(began_at),
            now: Timestamp::from_ms(now),
            waits: [10, 30].map(Duration::from_millis).to_vec(),
        }
    }

    fn failing(failures: i64, retry_at: i64) -> Failing {
        Failing { failures, retry_at: Some(Timestamp::from_ms(retry_at)) }
    }

    #[test]
    fn what_fails_together_counts_once_for_the_endpoint() {
        let none = Failing::default();
        let (line, endpoint) = after_failure(none, none, &end(100, 105), None).unwrap();
        assert_eq!((line, endpoint), (failing(1, 115), failing(1, 115)));
        let (other, same) = after_failure(none, endpoint, &end(101, 107), None).unwrap();
        assert_eq!((other, same), (failing(1, 117), endpoint));
        let (line, endpoint) = after_failure(line, endpoint, &end(115, 120), None).unwrap();
        assert_eq!((line, endpoint), (failing(2, 150), failing(2, 150)));
        assert_eq!(after_failure(line, endpoint, &end(150, 151), None), None, "the schedule has ended");
        assert_eq!(after_failure(other, endpoint, &end(150, 151), None), None, "also where another line fails");
    }

    #[test]
    fn an_endpoint_that_asks_for_more_time_has_it_and_for_less_does_not() {
        let none = Failing::default();
        let ask = |at| after_failure(none, none, &end(100, 100), Some(Timestamp::from_ms(at))).unwrap().0;
        assert_eq!((ask(500), ask(101)), (failing(1, 500), failing(1, 110)));
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
