//! Other programs that are told, in few words: what the scenarios about them hold.

use std::time::Duration;

use tertulia_proto::WebhookId;
use tertulia_proto::webhook::{EventFilter, WebhookEndpoint, WebhookEvent};
use uuid::Uuid;

use super::Home;
use super::world::World;
use crate::jobs::*;
use crate::webhooks::*;
use crate::*;

pub const LEASE_MS: i64 = 60_000;

/// Between tries.
const WAITS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(180)];

/// One world and whoever listens to it.
pub struct Hooks {
    pub world: World,
}

impl Hooks {
    pub async fn open(home: &impl Home) -> Self {
        Self { world: World::open(home).await }
    }

    pub fn book(&self) -> &dyn WebhookBook {
        self.world.store.webhooks()
    }

    /// An endpoint for these kinds.
    pub async fn listen(&self, patterns: &[&str]) -> WebhookId {
        let id = WebhookId::from_bytes(self.world.id());
        let filter = EventFilter::of_patterns(patterns).expect("the test names kinds of events");
        let (url, secret) = (format!("https://{id}.example.org"), Secret([7; 32]));
        let new = NewEndpoint { id, url, filter, secret, now: self.world.now() };
        assert!(self.book().add_endpoint(new).await.expect("an endpoint is added"));
        id
    }

    pub async fn endpoint(&self, id: WebhookId) -> WebhookEndpoint {
        let all = self.book().endpoints().await.expect("the endpoints are listed");
        all.into_iter().find(|endpoint| endpoint.id == id).expect("the endpoint is there")
    }

    pub async fn next(&self, line: Line) -> Next {
        self.book().next(line, self.world.now()).await.expect("the store reads")
    }

    /// What is to be sent.
    pub async fn sending(&self, line: Line) -> Sending {
        match self.next(line).await {
            Next::Send(sending) => *sending,
            other => panic!("something was to be sent, and not: {other:?}"),
        }
    }

    /// Their kinds and numbers.
    pub async fn waiting(&self, line: Line) -> Vec<(&'static str, i64)> {
        match self.next(line).await {
            Next::Send(sending) => numbered(&sending.batch.events),
            _ => Vec::new(),
        }
    }

    pub fn beginning(&self, sending: &Sending, holder: u8) -> Begin {
        let now = self.world.now();
        let Sending { after, health, tried, up_to, .. } = *sending;
        Begin { holder: [holder; 16], after, health, tried, up_to, now, lease_until: now.plus_ms(LEASE_MS) }
    }

    pub async fn begin(&self, line: Line, begin: Begin) -> bool {
        self.book().begin_try(line, begin).await.expect("a try is begun")
    }

    pub async fn end(&self, line: Line, begin: Begin, result: TryResult) -> After {
        let status = matches!(result, TryResult::Taken { .. }).then_some(204);
        self.end_with(line, begin, result, (status, None)).await
    }

    /// With what was answered, and the last event of the first half.
    pub async fn end_with(
        &self,
        line: Line,
        begin: Begin,
        result: TryResult,
        (status, half): (Option<u16>, Option<i64>),
    ) -> After {
        let (waits, events) = (WAITS.to_vec(), (begin.after + 1, begin.up_to));
        let now = self.world.now();
        let end = End { holder: begin.holder, events, status, result, began_at: begin.now, now, waits, half };
        self.book().end_try(line, end).await.expect("a try is ended")
    }

    /// One try of what is to be sent, and what became of it.
    pub async fn tried(&self, line: Line, result: impl FnOnce(&Sending) -> TryResult) -> After {
        let sending = self.sending(line).await;
        let begin = self.beginning(&sending, 1);
        assert!(self.begin(line, begin).await, "the line is free");
        self.end(line, begin, result(&sending)).await
    }

    /// One try that is answered so.
    pub async fn refuse(&self, line: Line, status: u16) -> After {
        let sending = self.sending(line).await;
        let begin = self.beginning(&sending, 1);
        assert!(self.begin(line, begin).await, "the line is free");
        self.end_with(line, begin, failed(None), (Some(status), sending.half)).await
    }

    pub async fn take(&self, line: Line) -> Vec<(&'static str, i64)> {
        let sending = self.sending(line).await;
        let begin = self.beginning(&sending, 1);
        assert!(self.begin(line, begin).await, "the line is free");
        assert_eq!(self.end(line, begin, taken(&sending)).await, After::Taken);
        numbered(&sending.batch.events)
    }

    pub async fn fail(&self, line: Line) -> After {
        self.tried(line, |_| failed(None)).await
    }

    /// Lines with a ready job.
    pub async fn queued(&self) -> Vec<Line> {
        let filter = JobFilter { state: JobState::Ready, kind: Some(WEBHOOK.to_owned()), after: 0, limit: 512 };
        let jobs = self.world.store.jobs().list_jobs(filter).await.expect("the queue is listed");
        let mut lines: Vec<Line> = jobs
            .iter()
            .map(|job| Line::of_key(job.unique_key.as_deref().expect("a key")).expect("the key of a line"))
            .collect();
        lines.sort_unstable();
        lines
    }

    pub async fn kept(&self) -> usize {
        let later = EventPlace::at(Timestamp::from_ms(i64::MAX));
        self.book().kept_events(later, KEPT_MAX).await.expect("events are listed").len()
    }

    pub async fn behind(&self, endpoint: WebhookId, above: Option<Uuid>) -> Vec<Uuid> {
        self.book().lines_behind(endpoint, above).await.expect("a read").streams
    }

    /// Goes back everywhere; where.
    pub async fn rewind(&self, endpoint: WebhookId, since: Timestamp) -> Vec<Uuid> {
        let firsts = self.book().first_events(since, None).await.expect("a read");
        self.book().rewind_lines(endpoint, firsts.events.clone(), self.world.now()).await.expect("it goes back");
        sorted(firsts.events.into_iter().map(|(stream, _)| stream).collect())
    }

    /// The clock is set by so much, and goes on.
    pub fn set_clock_by(&self, ms: i64) {
        self.world.step_clock_by(ms);
        self.world.now();
        self.world.step_clock_by(1000);
    }

    /// Until the clock has passed.
    pub fn wait_until(&self, at: Timestamp) {
        while self.world.now() < at {}
    }
}

/// Two people with two conversations, and an endpoint that wants to know of messages.
pub struct Stage {
    pub hooks: Hooks,
    pub alice: UserId,
    pub bob: UserId,
    pub dm: ConversationId,
    pub other: ConversationId,
    pub all: WebhookId,
}

impl Stage {
    pub async fn open(home: &impl Home) -> Self {
        let hooks = Hooks::open(home).await;
        let world = &hooks.world;
        let [alice, bob] = world.people(["alice", "bob"]).await;
        let (dm, other) = (world.dm(alice, bob).await, world.open_group(alice, &[bob]).await);
        let all = hooks.listen(&["message.*"]).await;
        Self { hooks, alice, bob, dm, other, all }
    }
}

pub fn line(endpoint: WebhookId, conversation: ConversationId) -> Line {
    Line { endpoint, stream: conversation.uuid() }
}

pub fn line_of(endpoint: WebhookId, user: UserId) -> Line {
    Line { endpoint, stream: user.uuid() }
}

pub fn taken(sending: &Sending) -> TryResult {
    let count = i64::try_from(sending.batch.events.len()).unwrap_or(i64::MAX);
    TryResult::Taken { up_to: sending.up_to, count }
}

pub fn failed(not_before: Option<Timestamp>) -> TryResult {
    TryResult::Failed { reason: "500".to_owned(), not_before }
}

pub fn numbered(events: &[WebhookEvent]) -> Vec<(&'static str, i64)> {
    let number = |id: &str| id.rsplit('_').next().and_then(|text| text.parse().ok()).expect("an event's id");
    events.iter().map(|event| (event.kind.as_str(), number(&event.id))).collect()
}

pub fn sorted(mut streams: Vec<Uuid>) -> Vec<Uuid> {
    streams.sort_unstable();
    streams
}
