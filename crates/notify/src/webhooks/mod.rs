//! Telling other programs what happens: what the jobs `webhook` and `webhook.wake` do.
//!
//! A job is for one line, an endpoint's way along one conversation or person. It reads what is to be told, takes the line for so long as a request may last,
//! sends, and notes what came of it, which moves the line. A crash anywhere in between has the same request made again, under the same name. However it
//! ends, the job is done: whether and when the line is tried again is in the database, so that a retry is the endpoint's business and not the queue's.

mod gates;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tertulia_core::Powers;
use tertulia_jobs::{Job, Kind, Outcome, Schedule};
use tertulia_proto::{Timestamp, WebhookId};
use tertulia_store::jobs::NewJob;
use tertulia_store::webhooks::{
    After, Begin, Behind, End, Firsts, LINES_MAX, Line, Next, Sending, TryResult, WEBHOOK, WEBHOOK_WAKE, WakeJob,
    WebhookBook,
};
use tertulia_store::{Store, StoreError};

use self::gates::{CONCURRENCY, Gates, Pass};

/// Pages of one look: most lines of most servers have nothing to send.
const PAGES_MAX: usize = 16;

/// A line that somebody else has is looked at again.
const BUSY_MS: i64 = 500;

/// What a request may take beside its network: reading before and noting after it.
const MARGIN: Duration = Duration::from_secs(5);

/// A job fails only where the log does not answer or its worker is lost. So it is not given up.
const PATIENCE: [u64; 60] = [30; 60];

/// How an endpoint is reached.
pub trait Deliver: Send + Sync {
    /// Makes one request, and says what its answer means, with HTTP's status where there was an answer. It ends within the time that [`Telling`] was given.
    fn deliver<'a>(&'a self, sending: &'a Sending, now: Timestamp) -> BoxFuture<'a, (TryResult, Option<u16>)>;
}

/// Everything that has to be there to tell somebody.
pub struct Telling {
    by: Arc<dyn Deliver>,
    timeout: Duration,
    waits: Vec<Duration>,
    powers: Powers,
    gates: Gates,
}

impl Telling {
    /// `timeout`: what one request may take. `waits`: between the tries of one; after the last wait comes the last try.
    pub fn new(by: Arc<dyn Deliver>, timeout: Duration, waits: Vec<Duration>, powers: Powers) -> Self {
        Self { by, timeout, waits, powers, gates: Gates::default() }
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
            Ok(next) => Outcome::DoneAnd(next),
            Err(error) => Outcome::Retry(error.to_string()),
        }
    }

    /// One request, if there is something to tell; and the jobs with which the line goes on, and another that waits for room.
    async fn tell(&self, book: &dyn WebhookBook, line: Line) -> Result<Vec<NewJob>, StoreError> {
        let now = self.powers.now();
        let pass = match self.gates.enter(line, now) {
            Ok(pass) => pass,
            Err(later) => return Ok(vec![line.job(later, now)]),
        };
        let sending = match book.next(line, now).await? {
            Next::Nothing => return Ok(self.and_next(pass, None, now)),
            Next::Wait(at) => return Ok(vec![line.job(at, now)]),
            Next::Busy => return Ok(self.and_next(pass, Some(line.job(now.plus_ms(BUSY_MS), now)), now)),
            Next::Send(sending) => *sending,
        };
        // The line is taken from now on: the look may have waited for the log.
        let now = self.powers.now();
        let lease = i64::try_from((self.timeout + MARGIN).as_millis()).unwrap_or(i64::MAX / 2);
        let holder = self.powers.bytes();
        let Sending { after, health, tried, up_to, .. } = sending;
        let begin = Begin { holder, after, health, tried, up_to, now, lease_until: now.plus_ms(lease) };
        if !book.begin_try(line, begin).await? {
            return Ok(self.and_next(pass, Some(line.job(now.plus_ms(BUSY_MS), now)), now));
        }
        let (result, status) = self.by.deliver(&sending, now).await;
        let now = self.powers.now();
        pass.took(now.ms() - begin.now.ms());
        let waits = self.waits.iter().map(|wait| self.spread(*wait)).collect();
        let events = (sending.first, sending.up_to);
        let half = sending.half;
        let end = End { holder, events, status, result: result.clone(), began_at: begin.now, now, waits, half };
        let after = book.end_try(line, end).await?;
        self.say(line, &sending, &result, after);
        Ok(match after {
            After::Taken if sending.has_more => {
                drop(pass);
                let (at, called) = self.gates.go_on(line, now);
                [line.job(at, now)].into_iter().chain(called.map(|line| line.job(now, now))).collect()
            }
            After::Taken | After::Parked | After::Off | After::Lost => self.and_next(pass, None, now),
            After::Again(at) => vec![line.job(at, now)],
        })
    }

    /// With this job, if any, that of the line whose turn it is, which was told to come later. Where a request has failed nobody is called: others would fail
    /// as well. The room is left first: who came in between would find none, and nobody would call them.
    fn and_next(&self, pass: Pass<'_>, own: Option<NewJob>, now: Timestamp) -> Vec<NewJob> {
        drop(pass);
        let called = self.gates.next().map(|line| line.job(now, now));
        own.into_iter().chain(called).collect()
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
            (TryResult::Failed { reason, .. }, After::Parked) => {
                tracing::warn!(endpoint.id = %endpoint, stream.id = %stream, reason, "a webhook's conversation was parked");
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

/// Queues the lines that were found, and the look at what comes after them.
async fn wake(book: &dyn WebhookBook, job: &Job, now: Timestamp) -> Outcome {
    let Ok(wake) = serde_json::from_str::<WakeJob>(&job.payload) else {
        return Outcome::Dead("its payload can't be read".into());
    };
    let found = match wake.since {
        Some(since) => go_back(book, wake, since, now).await,
        None => look(book, wake).await,
    };
    match found {
        Ok((lines, next)) => {
            let jobs = lines.iter().map(|line| line.job(now, now));
            Outcome::DoneAnd(jobs.chain(next.map(|next| next.job(now, now))).collect())
        }
        Err(error) => Outcome::Retry(error.to_string()),
    }
}

type Found = (Vec<Line>, Option<WakeJob>);

async fn look(book: &dyn WebhookBook, wake: WakeJob) -> Result<Found, StoreError> {
    let (mut found, mut above) = (Vec::new(), wake.above);
    for _ in 0..PAGES_MAX {
        let Behind { streams, next } = book.lines_behind(wake.endpoint, above).await?;
        found.extend(streams.into_iter().map(|stream| Line { endpoint: wake.endpoint, stream }));
        above = next;
        // With another page there may be more than a job queues.
        if above.is_none() || found.len() >= LINES_MAX / 2 {
            break;
        }
    }
    Ok((found, above.map(|above| WakeJob { above: Some(above), ..wake })))
}

/// What goes back is queued with that.
async fn go_back(book: &dyn WebhookBook, wake: WakeJob, since: Timestamp, now: Timestamp) -> Result<Found, StoreError> {
    let Firsts { events, next } = book.first_events(since, wake.after).await?;
    book.rewind_lines(wake.endpoint, events, now).await?;
    Ok((Vec::new(), next.map(|after| WakeJob { after: Some(after), ..wake })))
}

/// Work of the clean-up: lines whose job somebody dropped, or whose worker was lost too often, are found again.
pub async fn wake_all(store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
    let endpoints = store.webhooks().endpoints().await?;
    let wake = |id: WebhookId| WakeJob { endpoint: id, above: None, since: None, after: None }.job(now, now);
    let jobs = endpoints.iter().filter(|endpoint| endpoint.active).map(|endpoint| wake(endpoint.id)).collect();
    store.jobs().enqueue(jobs).await.map(drop)
}
