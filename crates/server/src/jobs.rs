//! The jobs of this program, and who works on them. Those that notify are in [`crate::push`]; where no provider is set up they have no handler.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tertulia_core::Powers;
use tertulia_gateway::{Gateway, JobFigures, JobsWatch};
use tertulia_jobs::{Counts, Job, Kind, KindCounts, Options, Outcome, Runner, Schedule, Surroundings, Wake};
use tertulia_proto::Timestamp;
use tertulia_store::jobs::{DeadLetters, NewJob, Priority};
use tertulia_store::{Reading, Store, StoreError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::listen::{HEAD_TIMEOUT, Server};
use crate::powers::powers;
use crate::settings::Settings;
use crate::trace;
use crate::wiring::{self, Parts};
use tertulia_notify::Pushing;
use tertulia_notify::webhooks::{self, Telling};

/// Rows that one step of the clean-up removes: a step is one short transaction.
const STEP: usize = 256;
/// Steps of one part of a run. Where there is more, the next run begins at once.
const STEPS_MAX: usize = 40;

/// What the job of such a run says: lines were looked at by the one before.
const GOES_ON: &str = "goes on";

const SWEEP: &str = "sweep";

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
        events_ms: days(settings.webhooks.retention_days),
        traces: settings.trace.kept(),
    };
    let sweep = Kind::periodic(SWEEP, SWEEP_EVERY, move |job: Job| {
        let (store, now) = (Arc::clone(&store), powers.now());
        async move { clean_up(&*store, &job, now, kept).await }
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

/// One run, and where it left something the next one at once.
async fn clean_up(store: &dyn Store, job: &Job, now: Timestamp, kept: Kept) -> Outcome {
    // Whatever else fails, lines that nobody works on are found again.
    let woken = if job.payload == GOES_ON { Ok(()) } else { webhooks::wake_all(store, now).await };
    match sweep(store, now, kept, STEPS_MAX).await.and_then(|has_more| woken.map(|()| has_more)) {
        Ok(true) => Outcome::DoneAnd(vec![going_on(now)]),
        Ok(false) => Outcome::Done,
        Err(error) => Outcome::Retry(error.to_string()),
    }
}

fn going_on(now: Timestamp) -> NewJob {
    NewJob {
        kind: SWEEP.to_owned(),
        unique_key: Some(SWEEP.as_bytes().to_vec()),
        unless_running: false,
        payload: GOES_ON.to_owned(),
        priority: Priority::Low,
        run_at: now,
        now,
    }
}

/// Removes what nobody needs any more, a step at a time. Whether there is more of anything. What fails keeps nothing else from being removed.
async fn sweep(store: &dyn Store, now: Timestamp, kept: Kept, steps: usize) -> Result<bool, StoreError> {
    let (jobs, push, hooks) = (store.jobs(), store.push(), store.webhooks());
    let before = DeadLetters::Before { at: now.plus_ms(-kept.letters_ms), limit: STEP };
    let sessions = now.plus_ms(-SESSION_RETENTION_MS);
    let (attempts, events) = (now.plus_ms(-kept.attempts_ms), now.plus_ms(-kept.events_ms));
    let parts = [
        // Before the sessions: what nobody remembers nobody can find to be over.
        in_steps(steps, || push.forget_devices(sessions, STEP)).await,
        in_steps(steps, || jobs.forget_sessions(sessions, STEP)).await,
        in_steps(steps, || jobs.drop_dead(before.clone())).await,
        in_steps(steps, || push.forget_attempts(attempts, STEP)).await,
        in_steps(steps, || hooks.forget_events(events, STEP)).await,
        in_steps(steps, || hooks.forget_positions(events, STEP)).await,
        in_steps(steps, || hooks.forget_requests(events, STEP)).await,
    ];
    let traces = trace::sweep(store, now, kept.traces).await;
    let gone = |part: usize| parts[part].as_ref().map_or(0, |swept| swept.gone);
    tracing::info!(
        devices = gone(0),
        sessions = gone(1),
        dead_letters = gone(2),
        push_attempts = gone(3),
        webhook_events = gone(4),
        webhook_positions = gone(5),
        webhook_requests = gone(6),
        traces = traces.as_ref().copied().unwrap_or_default(),
        "swept"
    );
    traces?;
    let mut has_more = false;
    for part in parts {
        has_more |= part?.has_more;
    }
    Ok(has_more)
}

/// What a part of a run came to.
struct Swept {
    gone: usize,
    has_more: bool,
}

/// Until a step finds less than it may remove, or it was its last.
async fn in_steps<'a>(steps: usize, step: impl Fn() -> Reading<'a, usize>) -> Result<Swept, StoreError> {
    let mut all = 0;
    for _ in 0..steps {
        let gone = step().await?;
        all += gone;
        if gone < STEP {
            return Ok(Swept { gone: all, has_more: false });
        }
    }
    Ok(Swept { gone: all, has_more: true })
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
    use tertulia_store::jobs::{Claim, ClaimKind, Finish, Held, JobEnd};
    use tertulia_store::webhooks::{NewEndpoint, Secret};
    use tertulia_store_sqlite::SqliteStore;

    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_ms(day * DAY_MS)
    }

    fn kept() -> Kept {
        let traces = trace::Kept { retention_ms: DAY_MS, rows_max: 0 };
        Kept { letters_ms: 30 * DAY_MS, attempts_ms: 14 * DAY_MS, events_ms: 7 * DAY_MS, traces }
    }

    /// So many jobs that died on that day.
    async fn die(store: &SqliteStore, count: usize, died: i64) {
        let jobs = store.jobs();
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

    fn opened() -> Arc<SqliteStore> {
        SqliteStore::open_in_memory(&[7; 64], Arc::new(House::default()), Arc::new(Sink::default())).unwrap()
    }

    #[tokio::test]
    async fn the_clean_up_removes_what_is_older_than_its_retention_and_more_than_a_step_of_it() {
        let store = opened();
        die(&store, STEP + 10, 1).await;
        die(&store, 5, 40).await;
        assert!(!sweep(&*store, day(50), kept(), STEPS_MAX).await.unwrap());
        assert_eq!(store.job_counts().await.unwrap().dead, 5);
    }

    #[tokio::test]
    async fn a_clean_up_that_leaves_something_says_so_until_nothing_is_left() {
        let store = opened();
        die(&store, 2 * STEP, 1).await;
        die(&store, 10, 1).await;
        assert!(sweep(&*store, day(50), kept(), 1).await.unwrap());
        assert!(sweep(&*store, day(50), kept(), 1).await.unwrap());
        assert!(!sweep(&*store, day(50), kept(), 1).await.unwrap());
        assert_eq!(store.job_counts().await.unwrap().dead, 0);
    }

    #[tokio::test]
    async fn a_clean_up_goes_on_at_once_and_finds_lines_although_a_part_of_it_fails() {
        let folder = std::env::temp_dir().join(format!("tertulia-clean-up-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let options = tertulia_store_sqlite::Options { readers: 1, serves: false, seed: [7; 64] };
        let (rules, sink) = (Arc::new(House::default()), Arc::new(Sink::default()));
        let store = SqliteStore::open(&folder, &options, rules, sink).unwrap();
        let new = NewEndpoint {
            id: tertulia_proto::WebhookId::from_bytes([3; 16]),
            url: "https://example.org".to_owned(),
            filter: tertulia_proto::webhook::EventFilter::all(),
            secret: Secret([7; 32]),
            now: day(1),
        };
        store.webhooks().add_endpoint(new).await.unwrap();
        let run = |payload: &str| Job {
            id: 1,
            kind: SWEEP.to_owned(),
            unique_key: None,
            payload: payload.to_owned(),
            tries: 1,
            run_at: day(50),
            created_at: day(50),
        };
        let queued = async || store.job_counts().await.unwrap().ready;
        for _ in 0..=STEPS_MAX {
            die(&store, STEP, 1).await;
        }
        let Outcome::DoneAnd(next) = clean_up(&*store, &run(GOES_ON), day(50), kept()).await else { panic!("more") };
        assert_eq!((next[0].run_at, next[0].payload.as_str(), queued().await), (day(50), GOES_ON, 0));
        assert_eq!(clean_up(&*store, &run(GOES_ON), day(50), kept()).await, Outcome::Done);
        rusqlite::Connection::open(folder.join("tertulia.db"))
            .and_then(|log| log.execute_batch("ALTER TABLE push_attempts RENAME TO gone"))
            .unwrap();
        die(&store, 5, 1).await;
        let outcome = clean_up(&*store, &run("{}"), day(50), kept()).await;
        assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
        assert_eq!(queued().await, 1, "lines are looked for");
        assert_eq!(store.job_counts().await.unwrap().dead, 0, "and what else there is is removed");
        drop(store);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
