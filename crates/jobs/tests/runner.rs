//! A runner on a log in memory, with a clock that only the test moves.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod clock;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tertulia_jobs::{Job, Kind, KindCounts, Options, Outcome, Runner, RunnerError, Schedule, Wake};
use tertulia_store::conformance::house::House;
use tertulia_store::conformance::sink::Sink;
use tertulia_store::jobs::*;
use tertulia_store::{Store, Timestamp};
use tertulia_store_sqlite::{Options as StoreOptions, SqliteStore};
use tertulia_testkit::{Folder, until, within};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::clock::Clock;

/// A queue, a clock, and workers beside one another.
struct Work {
    store: Arc<SqliteStore>,
    clock: Arc<Clock>,
    workers: JoinSet<()>,
    stops: Vec<oneshot::Sender<()>>,
}

impl Work {
    fn new() -> Self {
        let store = SqliteStore::open_in_memory(&[7; 64], Arc::new(House::default()), Arc::new(Sink::default()));
        Self::with(store.expect("a log opens in memory"))
    }

    fn with(store: Arc<SqliteStore>) -> Self {
        Self { store, clock: Arc::new(Clock::new()), workers: JoinSet::new(), stops: Vec::new() }
    }

    fn queue(&self) -> &dyn JobQueue {
        self.store.jobs()
    }

    fn runner(&self, worker: u8, kinds: Vec<Kind>) -> Runner {
        self.runner_with(kinds, Options::new([worker; 16]))
    }

    fn runner_with(&self, kinds: Vec<Kind>, options: Options) -> Runner {
        Runner::new(Arc::clone(&self.store) as Arc<dyn Store>, self.clock.clone(), kinds, options).expect("a runner")
    }

    fn start(&mut self, runner: Runner) {
        let (stop, stopped) = oneshot::channel();
        self.stops.push(stop);
        self.workers.spawn(async move { runner.run(async { drop(stopped.await) }).await });
    }

    async fn add(&self, kind: &str, count: usize) {
        let job = |n| NewJob {
            kind: kind.to_owned(),
            unique_key: None,
            unless_running: false,
            payload: format!("{n}"),
            priority: Priority::Normal,
            run_at: self.clock.at(),
            now: self.clock.at(),
        };
        self.queue().enqueue((0..count).map(job).collect()).await.expect("jobs are queued");
    }

    async fn list(&self, state: JobState) -> Vec<JobRecord> {
        let filter = JobFilter { state, kind: None, after: 0, limit: 500 };
        self.queue().list_jobs(filter).await.expect("the queue is listed")
    }

    async fn until_listed(&self, state: JobState, count: usize) -> Vec<JobRecord> {
        within("so many jobs in this state", async {
            loop {
                let found = self.list(state).await;
                if found.len() == count {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("it comes to be")
    }
}

/// Two tasks can only take turns: whatever is ready is done.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Seen to be dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs until it is dropped, which is counted.
fn long(dropped: &Arc<AtomicUsize>) -> Kind {
    let dropped = Arc::clone(dropped);
    let kind = Kind::new("a", move |_| {
        let guard = Dropped(Arc::clone(&dropped));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    });
    Kind { limit: Duration::from_secs(3600), ..kind }
}

fn never() -> impl Fn(Job) -> std::future::Pending<Outcome> + Send + Sync + 'static {
    |_| std::future::pending()
}

#[tokio::test]
async fn jobs_are_run_no_more_at_a_time_than_their_kind_allows() {
    let mut work = Work::new();
    let (now, most, all) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (theirs, their_most, their_all) = (now.clone(), most.clone(), all.clone());
    let kind = Kind::new("a", move |_| {
        let (now, most, all) = (theirs.clone(), their_most.clone(), their_all.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            all.fetch_add(1, Ordering::SeqCst);
            Outcome::Done
        }
    });
    work.add("a", 100).await;
    work.add("nobody's", 3).await;
    let runner = work.runner(1, vec![Kind { concurrency: 5, ..kind }]);
    let (counts, wake) = (runner.counts(), runner.wake());
    work.start(runner);
    until("all are run", || all.load(Ordering::SeqCst) == 100).await.expect("soon");
    assert_eq!(most.load(Ordering::SeqCst), 5);
    let left = work.until_listed(JobState::Ready, 3).await;
    assert!(left.iter().all(|job| job.kind == "nobody's"), "who has no handler stays unclaimed");
    // The clock stands still: only the hint can tell of this one.
    work.add("a", 1).await;
    wake.wake();
    until("it is counted", || counts.look()["a"] == KindCounts { done: 101, ..KindCounts::default() })
        .await
        .expect("soon");
}

#[tokio::test]
async fn a_job_that_nobody_told_of_is_found_at_the_next_look() {
    let mut work = Work::new();
    work.start(work.runner(1, vec![Kind::new("a", |_| async { Outcome::Done })]));
    settle().await;
    work.add("a", 1).await;
    settle().await;
    assert_eq!(work.list(JobState::Ready).await.len(), 1);
    work.clock.advance(1000);
    work.until_listed(JobState::Ready, 0).await;
}

#[tokio::test]
async fn a_handler_that_fails_panics_or_overruns_is_tried_again_by_its_schedule_and_then_dead() {
    let mut work = Work::new();
    let kind = Kind::new("a", |job: Job| async move {
        match job.tries {
            1 => Outcome::Retry("no luck".into()),
            2 => panic!("on purpose"),
            _ => std::future::pending().await,
        }
    });
    work.add("a", 1).await;
    let runner = work.runner(1, vec![Kind { schedule: Schedule::notifications(), ..kind }]);
    let counts = runner.counts();
    work.start(runner);
    let first = work.until_listed(JobState::Ready, 1).await;
    until("it has failed", || counts.look()["a"].failed == 1).await.expect("soon");
    let began = work.clock.at();
    let again = work.list(JobState::Ready).await[0].run_at.ms() - began.ms();
    assert!((4000..=6000).contains(&again), "5 s and a fifth: {again} of {first:?}");
    work.clock.advance(6000);
    until("it has panicked", || counts.look()["a"].failed == 2).await.expect("soon");
    work.clock.advance(18_000);
    work.until_listed(JobState::Running, 1).await;
    settle().await;
    work.clock.advance(15_000);
    let dead = work.until_listed(JobState::Dead, 1).await;
    let reasons: Vec<&str> = dead[0].reasons.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons, ["no luck", "panicked: on purpose", "took longer than 15s"]);
    assert_eq!(counts.look()["a"], KindCounts { done: 0, failed: 3, dead: 1, running: 0 });
}

#[tokio::test]
async fn a_handler_decides_when_it_is_tried_again_and_that_it_is_of_no_use() {
    let mut work = Work::new();
    let kind = Kind::new("a", |job: Job| async move {
        match job.tries {
            1 => Outcome::RetryAfter(Duration::from_secs(100), "busy".into()),
            _ => Outcome::Dead("gone".into()),
        }
    });
    work.add("a", 1).await;
    work.start(work.runner(1, vec![kind]));
    settle().await;
    let ready = work.until_listed(JobState::Ready, 1).await;
    assert_eq!(ready[0].run_at, work.clock.at().plus_ms(100_000));
    work.clock.advance(100_000);
    assert_eq!(work.until_listed(JobState::Dead, 1).await[0].tries, 2);
}

#[tokio::test]
async fn a_lease_is_renewed_while_its_handler_runs() {
    let mut work = Work::new();
    let kind = Kind { limit: Duration::from_secs(3600), ..Kind::new("a", never()) };
    work.add("a", 3).await;
    work.start(work.runner(1, vec![kind]));
    work.until_listed(JobState::Running, 3).await;
    for _ in 0..20 {
        settle().await;
        work.clock.advance(20_000);
    }
    settle().await;
    let running = work.list(JobState::Running).await;
    assert_eq!(running.len(), 3, "they still run");
    assert!(running.iter().all(|job| job.tries == 1 && job.reasons.is_empty()), "{running:?}");
    assert!(running.iter().all(|job| job.lease_until > Some(work.clock.at().plus_ms(39_000))), "{running:?}");
}

#[tokio::test]
async fn who_has_lost_a_lease_drops_its_handler_and_changes_nothing() {
    let mut work = Work::new();
    let dropped = Arc::new(AtomicUsize::new(0));
    work.add("a", 1).await;
    work.start(work.runner(1, vec![long(&dropped)]));
    work.until_listed(JobState::Running, 1).await;
    settle().await;
    // Another server, whose clock is far ahead.
    let kinds = vec![ClaimKind { kind: "a".into(), attempts_max: 3, jobs_max: 1 }];
    let (now, lease_until) = (work.clock.at().plus_ms(60_000), work.clock.at().plus_ms(600_000));
    let claim = Claim { kinds, jobs_max: 1, worker: [9; 16], now, lease_until };
    assert_eq!(work.queue().claim(claim).await.expect("an answer").len(), 1);
    work.clock.advance(20_000);
    until("the handler is dropped", || dropped.load(Ordering::SeqCst) == 1).await.expect("at the renewal");
    assert_eq!(work.list(JobState::Running).await[0].tries, 2, "the other one has it");
}

#[tokio::test]
async fn a_runner_that_stops_waits_for_a_while_and_hands_the_rest_back() {
    let mut work = Work::new();
    let (finish, may_finish) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (theirs, begun) = (finish.clone(), may_finish.clone());
    let short = Kind::new("short", move |_| {
        let (finish, begun) = (theirs.clone(), begun.clone());
        async move {
            begun.fetch_add(1, Ordering::SeqCst);
            finish.notified().await;
            Outcome::Done
        }
    });
    work.add("short", 1).await;
    work.add("long", 2).await;
    work.start(work.runner(1, vec![short, Kind::new("long", never())]));
    work.until_listed(JobState::Running, 3).await;
    until("it runs", || may_finish.load(Ordering::SeqCst) == 1).await.expect("soon");
    work.add("short", 1).await;
    for stop in work.stops.drain(..) {
        stop.send(()).expect("it listens");
    }
    settle().await;
    finish.notify_waiters();
    work.until_listed(JobState::Running, 2).await;
    work.clock.advance(3000);
    settle().await;
    assert_eq!(work.list(JobState::Running).await.len(), 2, "they still have time");
    work.clock.advance(1000);
    work.workers.join_next().await.expect("a worker").expect("no panic");
    let ready = work.list(JobState::Ready).await;
    assert_eq!(ready.len(), 3);
    assert!(ready.iter().all(|job| job.tries == 0 && job.reasons.is_empty()), "{ready:?}");
}

#[tokio::test]
async fn what_runs_by_itself_runs_once_a_period_for_all_servers() {
    let mut work = Work::new();
    let runs = Arc::new(AtomicUsize::new(0));
    for worker in 1..=3 {
        let runs = runs.clone();
        let tick = Kind::periodic("tick", Duration::from_secs(3600), move |job: Job| {
            let runs = runs.clone();
            async move {
                // What fails is tried again within its period.
                if job.tries == 1 && runs.load(Ordering::SeqCst) == 1 {
                    return Outcome::Retry("no luck".into());
                }
                runs.fetch_add(1, Ordering::SeqCst);
                Outcome::Done
            }
        });
        work.start(work.runner(worker, vec![tick]));
    }
    settle().await;
    for hour in 1..=5_usize {
        for _ in 0..60 {
            work.clock.advance(60_000);
            settle().await;
        }
        // The second one failed at first: it was done within the next minute.
        let runs = runs.load(Ordering::SeqCst);
        assert!(runs == hour || (hour == 2 && runs == 1), "{runs} runs in {hour} hours");
    }
    let ready = work.list(JobState::Ready).await;
    assert_eq!((ready.len(), ready[0].priority), (1, Priority::Low));
    assert!(ready[0].run_at > work.clock.at());
    assert_eq!(Timestamp::from_ms(ready[0].run_at.ms() % 1000), Timestamp::from_ms(0));
    // Whoever drops it ends nothing for ever.
    let kinds = vec![ClaimKind { kind: "tick".into(), attempts_max: 1, jobs_max: 1 }];
    let (now, lease_until) = (ready[0].run_at, ready[0].run_at);
    let claim = Claim { kinds, jobs_max: 1, worker: [9; 16], now, lease_until };
    let lost = work.queue().claim(claim).await.expect("an answer").remove(0);
    let held = Held { id: lost.id, worker: [9; 16], attempt: lost.attempt };
    let end = JobEnd::Dead { reason: "a person wanted it so".into() };
    work.queue().finish(vec![Finish { held, end, next: Vec::new() }], work.clock.at()).await.expect("an answer");
    work.clock.advance(60_000);
    work.until_listed(JobState::Ready, 1).await;
}

/// A log in a folder, so that somebody else can be in its writer's way.
fn in_folder(folder: &Folder) -> Work {
    let options = StoreOptions { readers: 1, serves: false, seed: [7; 64] };
    let store = SqliteStore::open(folder.path(), &options, Arc::new(House::default()), Arc::new(Sink::default()));
    Work::with(store.expect("a log opens"))
}

#[tokio::test]
async fn a_lease_is_renewed_after_a_failure_however_seldom_it_is_looked_for_jobs() {
    let folder = Folder::new().expect("a folder");
    let mut work = in_folder(&folder);
    let dropped = Arc::new(AtomicUsize::new(0));
    work.add("a", 1).await;
    let options = Options { poll: Duration::from_secs(3600), ..Options::new([1; 16]) };
    let runner = work.runner_with(vec![long(&dropped)], options);
    let counts = runner.counts();
    work.start(runner);
    until("it runs", || counts.look()["a"].running == 1).await.expect("soon");
    let claimed = work.list(JobState::Running).await;
    settle().await;
    let stranger = Stranger::in_the_way(&folder);
    work.clock.advance(20_000);
    settle().await;
    // No answer in a sixth of the lease.
    work.clock.advance(10_000);
    settle().await;
    drop(stranger);
    work.clock.advance(10_000);
    within("the lease is renewed", async {
        while work.list(JobState::Running).await[0].lease_until == claimed[0].lease_until {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("before it ends");
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_handler_is_dropped_a_sixth_of_the_lease_before_its_end_whatever_the_queue_does() {
    let folder = Folder::new().expect("a folder");
    let mut work = in_folder(&folder);
    let dropped = Arc::new(AtomicUsize::new(0));
    work.add("a", 1).await;
    let runner = work.runner(1, vec![long(&dropped)]);
    let counts = runner.counts();
    work.start(runner);
    until("it runs", || counts.look()["a"].running == 1).await.expect("soon");
    settle().await;
    let _stranger = Stranger::in_the_way(&folder);
    for _ in 0..49 {
        work.clock.advance(1000);
        settle().await;
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 0, "it may still be renewed");
    work.clock.advance(1000);
    settle().await;
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_handler_that_panics_while_it_is_dropped_has_failed() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let mut work = Work::new();
    let kind = Kind::new("a", |job: Job| async move {
        if job.tries > 1 {
            return Outcome::Done;
        }
        let _bad = Bad;
        std::future::pending().await
    });
    work.add("a", 1).await;
    let runner = work.runner(1, vec![Kind { concurrency: 1, ..kind }]);
    let counts = runner.counts();
    work.start(runner);
    work.until_listed(JobState::Running, 1).await;
    settle().await;
    work.clock.advance(15_000);
    let ready = work.until_listed(JobState::Ready, 1).await;
    assert_eq!(ready[0].reasons[0].reason, "panicked while it was dropped: on purpose");
    // There is room for it again.
    work.clock.advance(6000);
    work.until_listed(JobState::Ready, 0).await;
    until("it is done", || counts.look()["a"] == KindCounts { done: 1, failed: 1, dead: 0, running: 0 })
        .await
        .expect("soon");
}

#[tokio::test]
async fn a_clock_that_is_set_back_stops_nothing() {
    let mut work = Work::new();
    let dropped = Arc::new(AtomicUsize::new(0));
    let tick = Kind::periodic("tick", Duration::from_secs(3600), |_| async { Outcome::Done });
    let short = Kind::new("short", |_| async { Outcome::Done });
    work.add("a", 1).await;
    work.start(work.runner(1, vec![long(&dropped), short, tick]));
    work.until_listed(JobState::Running, 1).await;
    settle().await;
    work.clock.set_back(DAY_MS);
    work.add("short", 1).await;
    // A period after the next look at the clock: looking, renewing, and seeing to what runs by itself.
    work.clock.advance(1000);
    settle().await;
    work.clock.advance(1000);
    work.until_listed(JobState::Ready, 1).await;
    work.clock.advance(20_000);
    settle().await;
    let lease_until = work.list(JobState::Running).await[0].lease_until.expect("a lease");
    assert!(lease_until <= work.clock.at().plus_ms(60_000), "{lease_until}");
    let early = work.clock.at().plus_ms(3_600_000);
    for _ in 0..2 {
        work.clock.advance(20_000);
        settle().await;
    }
    let ticks = work.until_listed(JobState::Ready, 1).await;
    assert!(ticks[0].run_at <= early, "the next run is of this day: {ticks:?}");
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    for stop in work.stops.drain(..) {
        stop.send(()).expect("it listens");
    }
    settle().await;
    work.clock.set_back(DAY_MS);
    // The loop has a look, then the grace lasts as long as ever.
    work.clock.advance(1000);
    settle().await;
    work.clock.advance(4000);
    work.workers.join_next().await.expect("a worker").expect("no panic");
}

#[tokio::test]
async fn a_clock_that_is_set_back_while_the_store_is_asked_keeps_nobody_asleep() {
    let folder = Folder::new().expect("a folder");
    let mut work = in_folder(&folder);
    let stranger = Stranger::in_the_way(&folder);
    let runner = work.runner(1, vec![Kind::new("a", |_| async { Outcome::Done })]);
    let counts = runner.counts();
    work.start(runner);
    // It asks for jobs and gets no answer yet.
    settle().await;
    work.clock.set_back(DAY_MS);
    drop(stranger);
    until("it waits for its next look", || work.clock.wakes_somebody_within(1000)).await.expect("soon");
    work.add("a", 1).await;
    work.clock.advance(1000);
    until("it is done", || counts.look()["a"].done == 1).await.expect("soon");
}

const DAY_MS: i64 = 86_400_000;

impl Work {
    /// A job that is to run three seconds from now.
    async fn add_soon(&self, kind: &str) {
        let run_at = self.clock.at().plus_ms(3000);
        let job = NewJob {
            kind: kind.to_owned(),
            unique_key: None,
            unless_running: false,
            payload: String::new(),
            priority: Priority::Normal,
            run_at,
            now: self.clock.at(),
        };
        self.queue().enqueue(vec![job]).await.expect("a job is queued");
    }
}

#[tokio::test]
async fn what_a_clock_that_went_back_left_in_the_future_is_done_when_a_runner_starts() {
    let mut work = Work::new();
    work.add_soon("a").await;
    work.clock.set_back(DAY_MS);
    let runner = work.runner(1, vec![Kind::new("a", |_| async { Outcome::Done })]);
    let counts = runner.counts();
    work.start(runner);
    until("it is done", || counts.look()["a"].done == 1).await.expect("soon");
}

#[tokio::test]
async fn what_a_clock_that_goes_back_leaves_in_the_future_is_done_at_the_next_look() {
    let mut work = Work::new();
    let fails = Kind::new("fails", |job: Job| async move {
        if job.tries == 1 { Outcome::RetryAfter(Duration::from_secs(3600), "busy".into()) } else { Outcome::Done }
    });
    work.add("fails", 1).await;
    let runner = work.runner(1, vec![Kind::new("a", |_| async { Outcome::Done }), fails]);
    let counts = runner.counts();
    work.start(runner);
    until("it has failed", || counts.look()["fails"].failed == 1).await.expect("soon");
    work.add_soon("a").await;
    work.clock.set_back(DAY_MS);
    work.clock.advance(1000);
    until("it is done", || counts.look()["a"].done == 1).await.expect("soon");
    until("it is tried again", || counts.look()["fails"].done == 1).await.expect("soon");
}

/// Nothing in this process tells of it: the clock of whoever queued it is wrong.
#[tokio::test]
async fn what_another_clock_puts_far_ahead_is_done_within_a_minute() {
    let mut work = Work::new();
    let runner = work.runner(1, vec![Kind::new("a", |_| async { Outcome::Done })]);
    let counts = runner.counts();
    work.start(runner);
    settle().await;
    work.clock.set_back(-DAY_MS);
    work.add_soon("a").await;
    work.clock.set_back(DAY_MS);
    for _ in 0..59 {
        work.clock.advance(1000);
        settle().await;
    }
    assert_eq!(counts.look()["a"].done, 0);
    work.clock.advance(1000);
    until("it is done", || counts.look()["a"].done == 1).await.expect("soon");
}

#[tokio::test]
async fn what_runs_by_itself_goes_on_after_its_worker_died_under_a_clock_that_then_went_back() {
    let mut work = Work::new();
    let every = Duration::from_secs(600);
    work.start(work.runner(1, vec![Kind::periodic("tick", every, |_| std::future::pending())]));
    settle().await;
    // Half a period at most, and then it runs.
    for _ in 0..600 {
        work.clock.advance(1000);
        settle().await;
        if !work.list(JobState::Running).await.is_empty() {
            break;
        }
    }
    work.until_listed(JobState::Running, 1).await;
    work.workers.abort_all();
    while work.workers.join_next().await.is_some() {}
    work.clock.set_back(DAY_MS);
    let runner = work.runner(2, vec![Kind::periodic("tick", every, |_| async { Outcome::Done })]);
    let counts = runner.counts();
    work.start(runner);
    settle().await;
    let lease_until = work.list(JobState::Running).await[0].lease_until.expect("a lease");
    assert_eq!(lease_until, work.clock.at().plus_ms(70_000), "as long as whoever holds it could be at work");
    for _ in 0..70 {
        work.clock.advance(1000);
        settle().await;
    }
    until("it is done", || counts.look()["tick"].done == 1).await.expect("soon");
    let next = work.until_listed(JobState::Ready, 1).await;
    assert!(next[0].run_at <= work.clock.at().plus_ms(600_000), "{next:?}");
}

/// The end of a failed try that can't be written yet has its time by the old clock.
#[tokio::test]
async fn a_retry_that_could_not_be_written_before_the_clock_went_back_waits_no_longer_for_that() {
    let folder = Folder::new().expect("a folder");
    let mut work = in_folder(&folder);
    let (go, gone) = oneshot::channel::<()>();
    let gone = parking_lot::Mutex::new(Some(gone));
    let kind = Kind::new("a", move |_| {
        let gone = gone.lock().take();
        async move {
            if let Some(gone) = gone {
                drop(gone.await);
                return Outcome::RetryAfter(Duration::from_secs(5), "busy".into());
            }
            Outcome::Done
        }
    });
    work.add("a", 1).await;
    let runner = work.runner(1, vec![kind]);
    let counts = runner.counts();
    work.start(runner);
    work.until_listed(JobState::Running, 1).await;
    settle().await;
    let stranger = Stranger::in_the_way(&folder);
    go.send(()).expect("it waits");
    settle().await;
    // The end gets no answer in time, and is kept; then the clock goes back.
    work.clock.advance(10_000);
    settle().await;
    work.clock.set_back(DAY_MS);
    drop(stranger);
    for _ in 0..10 {
        work.clock.advance(1000);
        settle().await;
    }
    until("it is done", || counts.look()["a"].done == 1).await.expect("soon");
}

fn follow_up(clock: &Clock, payload: String) -> NewJob {
    NewJob {
        kind: "b".to_owned(),
        unique_key: None,
        unless_running: false,
        payload,
        priority: Priority::Normal,
        run_at: clock.at(),
        now: clock.at(),
    }
}

#[tokio::test]
async fn what_a_handler_queues_with_its_end_is_run_at_once() {
    let mut work = Work::new();
    let clock = work.clock.clone();
    let first = Kind::new("a", move |job: Job| {
        let next = match (job.payload.as_str(), job.tries) {
            ("0", _) => (0..20).map(|n| follow_up(&clock, format!("{n}"))).collect(),
            ("1", 1) => (0..JOBS_PER_CALL_MAX).map(|n| follow_up(&clock, format!("{n}"))).collect(),
            ("2", 1) => vec![follow_up(&clock, "x".repeat(PAYLOAD_MAX_BYTES + 1))],
            _ => Vec::new(),
        };
        async move { Outcome::DoneAnd(next) }
    });
    let second = Kind::new("b", |_| async { Outcome::Done });
    work.add("a", 10).await;
    let runner = work.runner(1, vec![first, second]);
    let counts = runner.counts();
    work.start(runner);
    until("they are run", || counts.look()["b"].done == 20).await.expect("soon");
    // What no call can hold keeps nobody else's end from being written.
    let failed = work.until_listed(JobState::Ready, 2).await;
    assert!(failed.iter().all(|job| job.reasons[0].reason.starts_with("what it queues: ")), "{failed:?}");
    until("the others are done", || counts.look()["a"].done == 8).await.expect("soon");
}

#[tokio::test]
async fn what_a_handler_queues_while_it_runs_is_run_at_once() {
    let mut work = Work::new();
    let (clock, store, wake) = (work.clock.clone(), Arc::clone(&work.store), Wake::default());
    let has_run = Arc::new(tokio::sync::Notify::new());
    let (theirs, done) = (has_run.clone(), has_run.clone());
    let hint = wake.clone();
    let first = Kind::new("a", move |_| {
        let (clock, store, hint, has_run) = (clock.clone(), Arc::clone(&store), hint.clone(), theirs.clone());
        async move {
            hint.enqueue(&*store, vec![follow_up(&clock, String::new())]).await.expect("a job is queued");
            has_run.notified().await;
            Outcome::Done
        }
    });
    let second = Kind::new("b", move |_| {
        done.notify_one();
        async { Outcome::Done }
    });
    work.add("a", 1).await;
    let runner = work.runner(1, vec![first, second]).woken_by(wake);
    let counts = runner.counts();
    work.start(runner);
    until("both are done", || counts.look()["a"].done == 1).await.expect("soon");
}

#[tokio::test]
async fn a_job_whose_moment_it_is_not_comes_at_its_time_and_keeps_its_tries() {
    let mut work = Work::new();
    let (clock, tries) = (work.clock.clone(), Arc::new(parking_lot::Mutex::new(Vec::new())));
    let theirs = tries.clone();
    let kind = Kind::new("a", move |job: Job| {
        let (clock, tries) = (clock.clone(), theirs.clone());
        async move {
            let so_far = {
                let mut tries = tries.lock();
                tries.push(job.tries);
                tries.len()
            };
            match so_far {
                1 => Outcome::Retry("no luck".into()),
                2..=9 => Outcome::Later(clock.at().plus_ms(60_000)),
                10 => Outcome::Later(clock.at().plus_ms(1_000_000_000_000)),
                _ => Outcome::Done,
            }
        }
    });
    work.add("a", 1).await;
    let runner = work.runner(1, vec![kind]);
    let counts = runner.counts();
    work.start(runner);
    settle().await;
    work.clock.advance(10_000);
    settle().await;
    for begun in 2..10 {
        work.clock.advance(59_000);
        settle().await;
        assert_eq!(tries.lock().len(), begun, "not before its time");
        work.clock.advance(1000);
        settle().await;
        assert_eq!(tries.lock().len(), begun + 1, "and then at once");
    }
    let waits = work.until_listed(JobState::Ready, 1).await;
    assert_eq!((waits[0].tries, waits[0].reasons.len()), (1, 1));
    assert_eq!(waits[0].run_at, work.clock.at().plus_ms(86_400_000), "a day at most");
    assert_eq!(*tries.lock(), [1, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
    assert_eq!((counts.look()["a"].failed, counts.look()["a"].done, counts.look()["a"].running), (1, 0, 0));
}

#[test]
fn options_that_mean_nothing_are_refused() {
    let work = Work::new();
    let refused = |change: fn(&mut Options)| {
        let mut options = Options::new([1; 16]);
        change(&mut options);
        Runner::new(Arc::clone(&work.store) as Arc<dyn Store>, work.clock.clone(), Vec::new(), options).err()
    };
    assert_eq!(refused(|_| ()), None);
    assert!(matches!(refused(|options| options.jobs_max = 0), Some(RunnerError::JobsMax(0))));
    assert!(matches!(refused(|options| options.lease = Duration::from_millis(999)), Some(RunnerError::Lease(_))));
    assert!(matches!(refused(|options| options.lease = Duration::MAX), Some(RunnerError::Lease(_))));
    assert!(matches!(refused(|options| options.poll = Duration::ZERO), Some(RunnerError::Poll(_))));
    assert!(matches!(refused(|options| options.poll = Duration::MAX), Some(RunnerError::Poll(_))));
}

/// Another process that writes to the folder's log.
struct Stranger {
    _connection: rusqlite::Connection,
}

impl Stranger {
    fn in_the_way(folder: &Folder) -> Self {
        let connection = rusqlite::Connection::open(folder.path().join("tertulia.db")).expect("the log");
        connection.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
        Self { _connection: connection }
    }
}
