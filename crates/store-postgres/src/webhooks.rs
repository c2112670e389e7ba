//! Other programs that are told: changes over connections of their own, looks at the primary.

use std::sync::Arc;

use tertulia_proto::WebhookId;
use tertulia_proto::webhook::{EventId, KeptEvent, WebhookEndpoint};
use tertulia_store::jobs::NewJob;
use tertulia_store::webhooks::*;
use tertulia_store::{Reading, Timestamp};
use uuid::Uuid;

use crate::write::endpoints as change;
use crate::{PostgresStore, read};

impl WebhookBook for PostgresStore {
    fn add_endpoint(&self, new: NewEndpoint) -> Reading<'_, bool> {
        let new = Arc::new(new);
        Box::pin(self.changes.transact(move |s| {
            let new = Arc::clone(&new);
            async move { change::add(&s, &new).await }
        }))
    }

    fn endpoints(&self) -> Reading<'_, Vec<WebhookEndpoint>> {
        self.read(|s| async move { read::webhooks::endpoints(&s).await })
    }

    fn remove_endpoint(&self, id: WebhookId) -> Reading<'_, bool> {
        Box::pin(self.changes.transact(move |s| async move { change::remove(&s, id).await }))
    }

    fn rotate_secret(&self, id: WebhookId, secret: Option<Secret>) -> Reading<'_, bool> {
        Box::pin(self.changes.transact(move |s| async move { change::rotate(&s, id, secret).await }))
    }

    fn enable_endpoint(&self, id: WebhookId, jobs: Vec<NewJob>) -> Reading<'_, bool> {
        let jobs = Arc::new(jobs);
        Box::pin(self.changes.transact(move |s| {
            let jobs = Arc::clone(&jobs);
            async move { change::enable(&s, id, &jobs).await }
        }))
    }

    fn kept_event(&self, id: EventId) -> Reading<'_, Option<KeptEvent>> {
        self.read(move |s| async move { read::webhooks::kept_event(&s, id).await })
    }

    fn kept_events(&self, before: EventPlace, limit: usize) -> Reading<'_, Vec<KeptEvent>> {
        self.read(move |s| async move { read::webhooks::kept_events(&s, before, limit).await })
    }

    fn next(&self, line: Line, now: Timestamp) -> Reading<'_, Next> {
        self.read(move |s| async move { read::webhooks::next(&s, line, now).await })
    }

    fn begin_try(&self, line: Line, begin: Begin) -> Reading<'_, bool> {
        Box::pin(self.changes.transact(move |s| async move { change::begin(&s, line, &begin).await }))
    }

    fn end_try(&self, line: Line, end: End) -> Reading<'_, After> {
        let end = Arc::new(end);
        Box::pin(self.changes.transact(move |s| {
            let end = Arc::clone(&end);
            async move { change::end(&s, line, &end).await }
        }))
    }

    fn attempts(&self, stream: Uuid, number: i64) -> Reading<'_, Vec<WebhookAttempt>> {
        self.read(move |s| async move { read::webhooks::attempts(&s, stream, number).await })
    }

    fn standings(&self, stream: Uuid) -> Reading<'_, Vec<Standing>> {
        self.read(move |s| async move { read::webhooks::standings(&s, stream).await })
    }

    fn forget_requests(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(self.changes.transact(move |s| async move { change::forget_requests(&s, at, limit).await }))
    }

    fn lines_behind(&self, endpoint: WebhookId, above: Option<Uuid>) -> Reading<'_, Behind> {
        self.read(move |s| async move { read::webhooks::lines_behind(&s, endpoint, above).await })
    }

    fn first_events(&self, since: Timestamp, after: Option<EventPlace>) -> Reading<'_, Firsts> {
        self.read(move |s| async move { read::webhooks::first_events(&s, since, after).await })
    }

    fn rewind_lines(&self, endpoint: WebhookId, to: Vec<(Uuid, i64)>, now: Timestamp) -> Reading<'_, ()> {
        let to = Arc::new(to);
        Box::pin(self.changes.transact(move |s| {
            let to = Arc::clone(&to);
            async move { change::rewind_lines(&s, endpoint, &to, now).await }
        }))
    }

    fn rewind_line(&self, line: Line, number: i64, now: Timestamp) -> Reading<'_, ()> {
        Box::pin(self.changes.transact(move |s| async move { change::rewind_line(&s, line, number, now).await }))
    }

    fn skip_event(&self, line: Line, number: i64, now: Timestamp) -> Reading<'_, bool> {
        Box::pin(self.changes.transact(move |s| async move { change::skip(&s, line, number, now).await }))
    }

    fn forget_events(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(self.changes.transact(move |s| async move { change::forget(&s, at, limit).await }))
    }

    fn forget_positions(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(self.changes.transact(move |s| async move { change::forget_positions(&s, at, limit).await }))
    }
}
