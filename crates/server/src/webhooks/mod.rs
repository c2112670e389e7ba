//! Telling other programs what happens: what the jobs `webhook` and `webhook.wake` do.
//!
//! A job is for one line, an endpoint's way along one conversation or person. It reads what is to be told, takes the line for so long as a request may last,
//! sends, and notes what came of it, which moves the line. A crash anywhere in between has the same request made again, under the same name. However it
//! ends, the job is done: whether and when the line is tried again is in the database, so that a retry is the endpoint's business and not the queue's.

pub mod command;
mod send;
mod settings;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use tertulia_core::{AddressCheck, Powers};
use tertulia_jobs::{Job, Kind, Outcome, Schedule};
use tertulia_proto::Timestamp;
use tertulia_store::jobs::NewJob;
use tertulia_store::webhooks::{
    After, Begin, End, LINES_MAX, Line, Next, Sending, TryResult, WEBHOOK, WEBHOOK_WAKE, WakeJob, WebhookBook,
};
use tertulia_store::{Store, StoreError};

use self::send::Sender;
pub use self::settings::WebhookSettings;

/// Requests at a time, to all endpoints.
const CONCURRENCY: usize = 32;

/// A line that somebody else has is looked at again.
const BUSY_MS: i64 = 500;

/// What a request may take beside its network: reading before and noting after it.
const MARGIN: Duration = Duration::from_secs(5);

/// A job fails only where the log does not answer or its worker is lost. So it is not given up.
const PATIENCE: [u64; 60] = [30; 60];

/// Everything that has to be there to tell somebody.
pub struct Telling {
    sender: Sender,
    timeout: Duration,
    waits: Vec<Duration>,
    /// For how long events are kept.
    pub retention_ms: i64,
    powers: Powers,
}

impl Telling {
    /// Which addresses may be told.
    pub fn addresses(self: &Arc<Self>) -> AddressCheck {
        let telling = Arc::clone(self);
        Arc::new(move |url| telling.sender.check(url).map(drop).map_err(|refusal| refusal.to_string()))
    }

    pub fn kinds(self: &Arc<Self>, store: &Arc<dyn Store>) -> Vec<Kind> {
        let (telling, asked) = (Arc::clone(self), Arc::clone(store));
        let tell = Kind::new(WEBHOOK, move |job: Job| {
            let (telling, store) = (Arc::clone(&telling), Arc::clone(&asked));
            async move { telling.run(store.webhooks(), &job).await }
        });
        let (powers, asked) = (self.powers.clone(), Arc::clone(store));
        let wake = Kind::new(WEBHOOK_WAKE, move |job: Job| {
            let (now, store) = (powers.now(), Arc::clone(&asked));
            async move { wake(store.webhooks(), &job, now).await }
        });
        let schedule = Schedule::of_seconds(&PATIENCE);
        let limit = self.timeout + 2 * MARGIN;
        vec![
            Kind { schedule: schedule.clone(), limit, concurrency: CONCURRENCY, ..tell },
            Kind { schedule, concurrency: 2, ..wake },
        ]
    }

    async fn run(&self, book: &dyn WebhookBook, job: &Job) -> Outcome {
        let Some(line) = job.unique_key.as_deref().and_then(Line::of_key) else {
            return Outcome::Dead("its key is no line".into());
        };
        match self.tell(book, line).await {
            Ok(next) => Outcome::DoneAnd(next.into_iter().collect()),
            Err(error) => Outcome::Retry(error.to_string()),
        }
    }

    /// One request, if there is something to tell; and the job with which the line goes on.
    async fn tell(&self, book: &dyn WebhookBook, line: Line) -> Result<Option<NewJob>, StoreError> {
        let now = self.powers.now();
        let sending = match book.next(line, now).await? {
            Next::Nothing => return Ok(None),
            Next::Wait(at) => return Ok(Some(line.job(at, now))),
            Next::Busy => return Ok(Some(line.job(now.plus_ms(BUSY_MS), now))),
            Next::Send(sending) => *sending,
        };
        let lease = i64::try_from((self.timeout + MARGIN).as_millis()).unwrap_or(i64::MAX / 2);
        let (after, up_to, holder) = (sending.after, sending.up_to, self.powers.bytes());
        let begin = Begin { holder, after, up_to, now, lease_until: now.plus_ms(lease) };
        if !book.begin_try(line, begin).await? {
            return Ok(Some(line.job(now.plus_ms(BUSY_MS), now)));
        }
        let (result, status) = self.sender.send(&sending, now).await;
        let now = self.powers.now();
        let waits = self.waits.iter().map(|wait| self.spread(*wait)).collect();
        let events = (sending.first, sending.up_to);
        let end = End { holder, events, status, result: result.clone(), began_at: begin.now, now, waits };
        let after = book.end_try(line, end).await?;
        self.say(line, &sending, &result, after);
        Ok(match after {
            After::Taken if sending.has_more => Some(line.job(now, now)),
            After::Taken | After::Off | After::Lost => None,
            After::Again(at) => Some(line.job(at, now)),
        })
    }

    /// By a fifth to both sides, so that what failed together does not come back together.
    fn spread(&self, wait: Duration) -> Duration {
        let permille = 800 + u32::from(u16::from_le_bytes(self.powers.bytes())) % 401;
        wait.saturating_mul(permille) / 1000
    }

    /// Neither the address, which may have a secret in it, nor what was told.
    fn say(&self, line: Line, sending: &Sending, result: &TryResult, after: After) {
        let (endpoint, stream, events) = (line.endpoint, line.stream, sending.batch.events.len());
        match (result, after) {
            (TryResult::Failed { reason, .. } | TryResult::Gone { reason }, After::Off) => {
                tracing::warn!(endpoint.id = %endpoint, stream.id = %stream, reason, "a webhook was switched off");
            }
            (TryResult::Failed { reason, .. } | TryResult::Gone { reason }, _) => {
                tracing::info!(endpoint.id = %endpoint, stream.id = %stream, events, reason, "a webhook did not take its events");
            }
            (TryResult::Taken { .. }, _) => {
                tracing::debug!(endpoint.id = %endpoint, stream.id = %stream, events, "a webhook took its events");
            }
        }
    }
}

/// Queues the lines of one page, and the look at the next page with them.
async fn wake(book: &dyn WebhookBook, job: &Job, now: Timestamp) -> Outcome {
    let Ok(wake) = serde_json::from_str::<WakeJob>(&job.payload) else {
        return Outcome::Dead("its payload can't be read".into());
    };
    let found = match wake.since {
        Some(since) => book.rewind_lines(wake.endpoint, since, wake.above).await,
        None => book.lines_behind(wake.endpoint, wake.above).await,
    };
    match found {
        Ok(streams) => {
            let endpoint = wake.endpoint;
            let mut jobs: Vec<NewJob> =
                streams.iter().map(|stream| Line { endpoint, stream: *stream }.job(now, now)).collect();
            if streams.len() >= LINES_MAX {
                jobs.push(WakeJob { above: streams.last().copied(), ..wake }.job(now, now));
            }
            Outcome::DoneAnd(jobs)
        }
        Err(error) => Outcome::Retry(error.to_string()),
    }
}

/// Work of the clean-up: lines whose job somebody dropped, or whose worker was lost too often, are found again.
pub async fn wake_all(store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
    let endpoints = store.webhooks().endpoints().await?;
    let wake = |id| WakeJob { endpoint: id, above: None, since: None }.job(now, now);
    let jobs = endpoints.iter().filter(|endpoint| endpoint.active).map(|endpoint| wake(endpoint.id)).collect();
    store.jobs().enqueue(jobs).await.map(drop)
}
