//! Other programs that are told: changes go through the writer's second lane, looks through the readers.

use tertulia_proto::WebhookId;
use tertulia_proto::webhook::{EventId, KeptEvent, WebhookEndpoint};
use tertulia_store::jobs::{JOBS_PER_CALL_MAX, NewJob};
use tertulia_store::webhooks::*;
use tertulia_store::{Reading, Timestamp};
use uuid::Uuid;

use crate::write::endpoints as change;
use crate::{SqliteStore, read};

/// Rows that the end of a request touches: the line's, the endpoint's, the request's.
const END_ROWS: usize = 3;

impl WebhookBook for SqliteStore {
    fn add_endpoint(&self, new: NewEndpoint) -> Reading<'_, bool> {
        self.change(1, move |c| change::add(c, &new))
    }

    fn endpoints(&self) -> Reading<'_, Vec<WebhookEndpoint>> {
        self.read(read::webhooks::endpoints)
    }

    fn remove_endpoint(&self, id: WebhookId) -> Reading<'_, bool> {
        self.change(1, move |c| change::remove(c, id))
    }

    fn rotate_secret(&self, id: WebhookId, secret: Option<Secret>) -> Reading<'_, bool> {
        self.change(1, move |c| change::rotate(c, id, secret))
    }

    fn enable_endpoint(&self, id: WebhookId, jobs: Vec<NewJob>) -> Reading<'_, bool> {
        self.change(1 + jobs.len(), move |c| change::enable(c, id, &jobs))
    }

    fn kept_event(&self, id: EventId) -> Reading<'_, Option<KeptEvent>> {
        self.read(move |c| read::webhooks::kept_event(c, id))
    }

    fn kept_events(&self, before: EventPlace, limit: usize) -> Reading<'_, Vec<KeptEvent>> {
        self.read(move |c| read::webhooks::kept_events(c, before, limit))
    }

    fn next(&self, line: Line, now: Timestamp) -> Reading<'_, Next> {
        self.read(move |c| read::webhooks::next(c, line, now))
    }

    fn begin_try(&self, line: Line, begin: Begin) -> Reading<'_, bool> {
        self.change(1, move |c| change::begin(c, line, &begin))
    }

    fn end_try(&self, line: Line, end: End) -> Reading<'_, After> {
        self.change(END_ROWS, move |c| change::end(c, line, &end))
    }

    fn attempts(&self, stream: Uuid, number: i64) -> Reading<'_, Vec<WebhookAttempt>> {
        self.read(move |c| read::webhooks::attempts(c, stream, number))
    }

    fn standings(&self, stream: Uuid) -> Reading<'_, Vec<Standing>> {
        self.read(move |c| read::webhooks::standings(c, stream))
    }

    fn forget_requests(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        self.change(limit.min(JOBS_PER_CALL_MAX), move |c| change::forget_requests(c, at, limit))
    }

    fn lines_behind(&self, endpoint: WebhookId, above: Option<Uuid>) -> Reading<'_, Behind> {
        self.read(move |c| read::webhooks::lines_behind(c, endpoint, above))
    }

    fn first_events(&self, since: Timestamp, after: Option<EventPlace>) -> Reading<'_, Firsts> {
        self.read(move |c| read::webhooks::first_events(c, since, after))
    }

    fn rewind_lines(&self, endpoint: WebhookId, to: Vec<(Uuid, i64)>, now: Timestamp) -> Reading<'_, ()> {
        self.change(LINES_MAX, move |c| change::rewind_lines(c, endpoint, &to, now))
    }

    fn rewind_line(&self, line: Line, number: i64, now: Timestamp) -> Reading<'_, ()> {
        self.change(END_ROWS, move |c| change::rewind_line(c, line, number, now))
    }

    fn skip_event(&self, line: Line, number: i64, now: Timestamp) -> Reading<'_, bool> {
        self.change(END_ROWS, move |c| change::skip(c, line, number, now))
    }

    fn forget_events(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        self.change(limit.min(JOBS_PER_CALL_MAX), move |c| change::forget(c, at, limit))
    }

    fn forget_positions(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        self.change(limit.min(JOBS_PER_CALL_MAX), move |c| change::forget_positions(c, at, limit))
    }
}
