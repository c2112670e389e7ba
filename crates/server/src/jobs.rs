//! The jobs of this program, and who works on them. Those that notify are in [`crate::push`]; where no provider is set up they have no handler.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tertulia_core::Powers;
use tertulia_gateway::{Gateway, JobFigures, JobsWatch};
use tertulia_jobs::{Counts, Kind, KindCounts, Options, Outcome, Runner, Schedule, Surroundings, Wake};
use tertulia_proto::Timestamp;
use tertulia_store::jobs::DeadLetters;
use tertulia_store::{Reading, Store, StoreError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::listen::{HEAD_TIMEOUT, Server};
use crate::powers::powers;
use crate::settings::Settings;
use crate::trace;
use crate::webhooks::{self, Telling};
use crate::wiring::{self, Parts};
use tertulia_notify::Pushing;

/// Rows that one step of the clean-up removes: a step is one short transaction.
const STEP: usize = 256;
/// Steps of one run; the next run goes on.
const STEPS_MAX: usize = 200;

const SWEEP_EVERY: Duration = Duration::from_hours(1);

const DAY_MS: i64 = 86_400_000;

/// Connections of whoever looks how a worker is.
const OBSERVERS_MAX: usize = 64;

/// A session may be asked for until it expires; after so long nobody remembers it.
const SESSION_RETENTION_MS: i64 = 30 * DAY_MS;

struct Real(Powers);

impl Surroundings for Real {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn timer(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed()
    }

    fn chance(&self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }
}

/// What handlers work with.
struct Means {
    store: Arc<dyn Store>,
    powers: Powers,
    /// For what they queue while they run: the runner looks for it at once.
    wake: Wake,
    pushing: Arc<Pushing>,
    telling: Arc<Telling>,
}

/// All kinds that have a handler.
fn kinds(settings: &Settings, means: &Means) -> Vec<Kind> {
    let (store, powers) = (Arc::clone(&means.store), means.powers.clone());
    let days = |days: u16| i64::from(days) * DAY_MS;
    let kept = Kept {
        letters_ms: days(settings.jobs.dead_retention_days),
        attempts_ms: days(settings.push.attempts_retention_days),
        events_ms: means.telling.retention_ms,
        traces: settings.trace.kept(),
    };
    let sweep = Kind::periodic("sweep", SWEEP_EVERY, move |_| {
        let (store, now) = (Arc::clone(&store), powers.now());
        async move {
            match sweep(&*store, now, kept).await {
                Ok(()) => Outcome::Done,
                Err(error) => Outcome::Retry(error.to_string()),
            }
        }
    });
    let mut kinds = vec![Kind { schedule: schedule(&settings.jobs.message_waits_s), ..sweep }];
    let waits = schedule(&settings.jobs.notification_waits_s);
    kinds.extend(means.pushing.kinds(&means.store, &waits, &means.wake));
    kinds.extend(means.telling.kinds(&means.store));
    kinds
}

/// For how long what nobody needs any more is kept.
#[derive(Clone, Copy)]
struct Kept {
    letters_ms: i64,
    attempts_ms: i64,
    events_ms: i64,
    traces: trace::Kept,
}

fn schedule(waits_s: &[u64]) -> Schedule {
    Schedule::of_seconds(waits_s)
}

/// Removes what nobody needs any more, a step at a time.
async fn sweep(store: &dyn Store, now: Timestamp, kept: Kept) -> Result<(), StoreError> {
    let (jobs, push) = (store.jobs(), store.push());
    let sessions = in_steps(|| jobs.forget_sessions(now.plus_ms(-SESSION_RETENTION_MS), STEP)).await?;
    let before = DeadLetters::Before { at: now.plus_ms(-kept.letters_ms), limit: STEP };
    let letters = in_steps(|| jobs.drop_dead(before.clone())).await?;
    let attempts = in_steps(|| push.forget_attempts(now.plus_ms(-kept.attempts_ms), STEP)).await?;
    let events = in_steps(|| store.webhooks().forget_events(now.plus_ms(-kept.events_ms), STEP)).await?;
    let requests = in_steps(|| store.webhooks().forget_requests(now.plus_ms(-kept.events_ms), STEP)).await?;
    webhooks::wake_all(store, now).await?;
    let traces = trace::sweep(store, now, kept.traces).await?;
    tracing::info!(
        sessions,
        dead_letters = letters,
        push_attempts = attempts,
        webhook_events = events,
        webhook_requests = requests,
        traces,
        "swept"
    );
    Ok(())
}

/// Until a step finds less than it may remove.
async fn in_steps<'a>(step: impl Fn() -> Reading<'a, usize>) -> Result<usize, StoreError> {
    let mut all = 0;
    for _ in 0..STEPS_MAX {
        let gone = step().await?;
        all += gone;
        if gone < STEP {
            break;
        }
    }
    Ok(all)
}

/// For those of the kinds that are named, or for all.
pub fn runner(settings: &Settings, parts: &Parts, only: &[String]) -> anyhow::Result<Runner> {
    let (store, powers, wake) = (parts.home.store(), powers(), Wake::default());
    let (pushing, telling) = (Arc::clone(&parts.pushing), Arc::clone(&parts.telling));
    let means = Means { store: Arc::clone(&store), powers: powers.clone(), wake: wake.clone(), pushing, telling };
    let mut kinds = kinds(settings, &means);
    if let Some(unknown) = only.iter().find(|name| kinds.iter().all(|kind| kind.name != **name)) {
        let known: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
        bail!("--queues: nobody works on {unknown:?}; there is {}", known.join(", "));
    }
    kinds.retain(|kind| only.is_empty() || only.iter().any(|name| name == kind.name));
    let options = Options {
        jobs_max: settings.jobs.workers,
        lease: Duration::from_millis(settings.jobs.lease_ms),
        poll: Duration::from_millis(settings.jobs.poll_ms),
        grace: Duration::from_millis(settings.jobs.grace_ms),
        ..Options::new(powers.bytes())
    };
    Ok(Runner::new(store, Arc::new(Real(powers)), kinds, options).context("jobs")?.woken_by(wake))
}

/// What this process has run, for metrics.
pub fn watch(counts: Counts) -> JobsWatch {
    let figures = |(kind, counts): (&'static str, KindCounts)| JobFigures {
        kind,
        done: counts.done,
        failed: counts.failed,
        died: counts.dead,
        running: counts.running,
    };
    JobsWatch::new(move || counts.look().into_iter().map(figures).collect())
}

/// `tertulia worker`.
pub async fn work(settings: &Settings, only: &[String]) -> anyhow::Result<()> {
    if settings.database_url.is_none() {
        bail!(
            "a worker of its own needs PostgreSQL (database_url). The database of a folder has one writer, which commits for everybody at once and \
             is in `tertulia serve`, and that runs the workers too: a second process that writes all the time would take turns with it for the file, \
             and people would wait for its jobs"
        );
    }
    let parts = wiring::open(settings, false).await?;
    let runner = runner(settings, &parts, only)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let door = Door::open(settings, &parts, watch(runner.counts())).await?;
    tracing::info!("working");
    let gateway = Arc::clone(&door.gateway);
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        gateway.drain();
    };
    tokio::select! {
        () = runner.run(stop) => {}
        () = door.answer() => {}
    }
    let home = parts.home.clone();
    tokio::task::spawn_blocking(move || home.close()).await?;
    if let Some(bus) = &parts.bus {
        bus.close().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Where a worker shows how it is, if it is to.
struct Door {
    gateway: Arc<Gateway>,
    listener: Option<TcpListener>,
}

impl Door {
    async fn open(settings: &Settings, parts: &Parts, jobs: JobsWatch) -> anyhow::Result<Self> {
        let replicas = parts.home.replicas();
        let doors = tertulia_gateway::Settings { jobs: Some(jobs), replicas, ..tertulia_gateway::Settings::default() };
        let gateway = Gateway::new(Arc::clone(&parts.services), doors);
        let Some(address) = settings.worker_listen else { return Ok(Self { gateway, listener: None }) };
        let listener = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
        let address = listener.local_addr()?;
        #[expect(clippy::print_stderr, reason = "who starts the worker waits for this line")]
        {
            eprintln!("listening on http://{address}");
        }
        Ok(Self { gateway, listener: Some(listener) })
    }

    /// Until it is dropped.
    async fn answer(self) {
        let Some(listener) = self.listener else { return std::future::pending().await };
        let router = tertulia_gateway::operations(&self.gateway);
        Server::new(router, OBSERVERS_MAX, HEAD_TIMEOUT, None).run(&listener).await;
    }
}

#[cfg(test)]
mod tests {
    use tertulia_store::conformance::house::House;
    use tertulia_store::conformance::sink::Sink;
    use tertulia_store::jobs::{Claim, ClaimKind, Finish, Held, JobEnd, NewJob, Priority};
    use tertulia_store_sqlite::SqliteStore;

    use super::*;

    #[tokio::test]
    async fn the_clean_up_removes_what_is_older_than_its_retention_and_more_than_a_step_of_it() {
        let store =
            SqliteStore::open_in_memory(&[7; 64], Arc::new(House::default()), Arc::new(Sink::default())).unwrap();
        let jobs = store.jobs();
        let day = |day: i64| Timestamp::from_ms(day * DAY_MS);
        for (count, died) in [(STEP + 10, 1), (5, 40)] {
            let job = |_| NewJob {
                kind: "a".to_owned(),
                unique_key: None,
                unless_running: false,
                payload: String::new(),
                priority: Priority::Normal,
                run_at: day(0),
                now: day(0),
            };
            jobs.enqueue((0..count).map(job).collect()).await.unwrap();
            let kinds = vec![ClaimKind { kind: "a".to_owned(), attempts_max: 1, jobs_max: 512 }];
            let claim = Claim { kinds, jobs_max: 512, worker: [1; 16], now: day(died), lease_until: day(died + 1) };
            let claimed = jobs.claim(claim).await.unwrap();
            let dead = |id, attempt| Finish {
                held: Held { id, worker: [1; 16], attempt },
                end: JobEnd::Dead { reason: "no".to_owned() },
                next: Vec::new(),
            };
            let finished = claimed.iter().map(|job| dead(job.id, job.attempt)).collect();
            jobs.finish(finished, day(died)).await.unwrap();
        }
        let traces = trace::Kept { retention_ms: DAY_MS, rows_max: 0 };
        let kept = Kept { letters_ms: 30 * DAY_MS, attempts_ms: 14 * DAY_MS, events_ms: 7 * DAY_MS, traces };
        sweep(&*store, day(50), kept).await.unwrap();
        assert_eq!(store.job_counts().await.unwrap().dead, 5);
    }
}
