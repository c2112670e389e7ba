//! Real processes that work on one queue, and are killed: every job is run, and none by two workers within a lease.
//!
//! A worker is this test once more, in a process of its own that finds [`PLACE`] in its environment. Each handler writes a line when it begins and one
//! when it ends.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tertulia_jobs::{Job, Kind, Options, Outcome, Runner, Surroundings};
use tertulia_store::conformance::house::House;
use tertulia_store::conformance::sink::Sink;
use tertulia_store::jobs::*;
use tertulia_store::{Store, Timestamp};
use tertulia_store_postgres::PostgresStore;
use tertulia_store_sqlite::SqliteStore;
use tertulia_testkit::{Folder, Postgres, PostgresOptions, until};

/// A URL of PostgreSQL, or the folder of a log.
const PLACE: &str = "TERTULIA_TEST_WORKER_PLACE";
const LINES: &str = "TERTULIA_TEST_WORKER_LINES";

const LEASE: Duration = Duration::from_secs(8);
const AT_A_TIME: usize = 32;
const JOBS: usize = 3000;
/// Of these some are running when the worker is killed.
const BEFORE_THE_KILL: usize = 500;

struct Real;

#[expect(clippy::disallowed_methods, reason = "real processes have real clocks")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("a long way off")
}

impl Surroundings for Real {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(now_ms())
    }

    fn timer(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::timeout(time, std::future::pending::<()>()).map(drop).boxed()
    }

    fn chance(&self) -> u64 {
        u64::from(std::process::id())
    }
}

fn seed() -> [u8; 64] {
    let mut seed = [7; 64];
    seed[..4].copy_from_slice(&std::process::id().to_be_bytes());
    seed[16..20].copy_from_slice(&std::process::id().to_be_bytes());
    seed
}

async fn open(place: &str) -> Arc<dyn Store> {
    let (rules, sink) = (Arc::new(House::default()), Arc::new(Sink::default()));
    if place.starts_with("postgres") {
        let options =
            tertulia_store_postgres::Options { partitions: 1, ..tertulia_store_postgres::Options::new(place, seed()) };
        return PostgresStore::open(&options, rules, sink).await.expect("the database opens");
    }
    let options = tertulia_store_sqlite::Options { readers: 1, serves: false, seed: seed() };
    SqliteStore::open(Path::new(place), &options, rules, sink).expect("the folder opens")
}

/// What a worker's process does until it is killed.
async fn be_a_worker(place: &str, lines: &str) {
    let file = OpenOptions::new().append(true).create(true).open(lines).expect("a file of lines");
    let file = Arc::new(file);
    let handler = move |job: Job| {
        let file = Arc::clone(&file);
        async move {
            write_line(&file, "begin", &job);
            // As a provider far away would take.
            Real.timer(Duration::from_millis(1 + job.id.unsigned_abs() % 40)).await;
            write_line(&file, "end", &job);
            Outcome::Done
        }
    };
    let kind = Kind { concurrency: AT_A_TIME, ..Kind::new("record", handler) };
    let mut worker = [0; 16];
    worker[..4].copy_from_slice(&std::process::id().to_be_bytes());
    let options =
        Options { lease: LEASE, poll: Duration::from_millis(200), jobs_max: AT_A_TIME, ..Options::new(worker) };
    let runner = Runner::new(open(place).await, Arc::new(Real), vec![kind], options).expect("a runner");
    runner.run(std::future::pending()).await;
}

/// One write, so that lines of several processes do not mix.
fn write_line(mut file: &File, what: &str, job: &Job) {
    let line = format!("{what} {} {} {}\n", job.id, std::process::id(), now_ms());
    file.write_all(line.as_bytes()).expect("a line is written");
}

/// Killed at the end, whatever the test came to.
struct Worker(Child);

impl Worker {
    fn start(test: &str, place: &str, lines: &Path) -> Self {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", test, "--nocapture"])
            .env(PLACE, place)
            .env(LINES, lines)
            .spawn()
            .expect("this program once more");
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().expect("SIGKILL is sent");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Debug, Clone, Copy)]
struct Run {
    process: u32,
    begun: i64,
    ended: Option<i64>,
}

fn runs(lines: &Path) -> BTreeMap<JobId, Vec<Run>> {
    let mut runs: BTreeMap<JobId, Vec<Run>> = BTreeMap::new();
    for line in std::fs::read_to_string(lines).unwrap_or_default().lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("four words");
        let (what, id, process, at) = (word(), word(), word(), word());
        let (id, process, at) = (id.parse().expect("an id"), process.parse().expect("a pid"), at.parse().expect("ms"));
        let of_job = runs.entry(id).or_default();
        if what == "begin" {
            of_job.push(Run { process, begun: at, ended: None });
        } else if let Some(run) = of_job.iter_mut().rev().find(|run| run.process == process) {
            run.ended = Some(at);
        }
    }
    runs
}

fn ended(lines: &Path) -> usize {
    runs(lines).values().filter(|of_job| of_job.iter().any(|run| run.ended.is_some())).count()
}

async fn queue(place: &str) {
    let store = open(place).await;
    let job = |_| NewJob {
        kind: "record".to_owned(),
        unique_key: None,
        unless_running: false,
        payload: String::new(),
        priority: Priority::Normal,
        run_at: Timestamp::from_ms(0),
        now: Timestamp::from_ms(0),
    };
    for _ in 0..JOBS / 500 {
        store.jobs().enqueue((0..500).map(job).collect()).await.expect("jobs are queued");
    }
}

async fn until_empty(place: &str) {
    let store = open(place).await;
    tertulia_testkit::within("an empty queue", async {
        while !store.jobs().job_stats(usize::MAX).await.expect("an answer").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("in time");
}

/// `killed`: the process that was killed, and when.
fn judge(lines: &Path, killed: u32, killed_at: i64) {
    let runs = runs(lines);
    assert_eq!(runs.len(), JOBS, "each job was begun");
    let lease = i64::try_from(LEASE.as_millis()).expect("short");
    let mut again = 0;
    for (id, of_job) in runs {
        assert!(of_job.iter().any(|run| run.ended.is_some()), "job {id} was not run to its end: {of_job:?}");
        let [first, rest @ ..] = of_job.as_slice() else { panic!("job {id} has no run") };
        if rest.is_empty() {
            continue;
        }
        again += 1;
        // Only what the killed one held is run again, after its lease: that began before the handler did.
        assert!(rest.len() == 1 && first.process == killed && rest[0].process != killed, "job {id}: {of_job:?}");
        assert!(rest[0].begun > killed_at && rest[0].begun >= first.begun + lease / 2, "job {id}: {of_job:?}");
    }
    // What had ended but was not written down when the kill came counts as held.
    assert!((1..=2 * AT_A_TIME).contains(&again), "{again} jobs were run again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_on_a_folder_leaves_nothing_undone_to_the_next() {
    if let (Ok(place), Ok(lines)) = (std::env::var(PLACE), std::env::var(LINES)) {
        return be_a_worker(&place, &lines).await;
    }
    let test = "a_worker_killed_on_a_folder_leaves_nothing_undone_to_the_next";
    let folder = Folder::new().expect("a folder");
    let (place, lines) = (folder.path().join("log").display().to_string(), folder.path().join("lines"));
    queue(&place).await;
    let mut first = Worker::start(test, &place, &lines);
    until("many are done", || ended(&lines) >= BEFORE_THE_KILL).await.expect("soon");
    let process = first.0.id();
    first.kill();
    let killed_at = now_ms();
    let mut second = Worker::start(test, &place, &lines);
    until("all are done", || ended(&lines) == JOBS).await.expect("in time");
    until_empty(&place).await;
    second.kill();
    judge(&lines, process, killed_at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_on_postgresql_one_is_killed_and_the_other_does_the_rest() {
    if let (Ok(place), Ok(lines)) = (std::env::var(PLACE), std::env::var(LINES)) {
        return be_a_worker(&place, &lines).await;
    }
    let test = "of_two_workers_on_postgresql_one_is_killed_and_the_other_does_the_rest";
    let postgres = Postgres::start(PostgresOptions::default()).expect("PostgreSQL starts");
    postgres.create("log").expect("a database is made");
    let folder = Folder::new().expect("a folder");
    let (place, lines): (String, PathBuf) = (postgres.url("log"), folder.path().join("lines"));
    queue(&place).await;
    let mut workers = [Worker::start(test, &place, &lines), Worker::start(test, &place, &lines)];
    let of = |process: u32| {
        runs(&lines).values().flatten().filter(|run| run.process == process && run.ended.is_some()).count()
    };
    let process = workers[0].0.id();
    until("it has done its part", || of(process) >= BEFORE_THE_KILL).await.expect("soon");
    workers[0].kill();
    let killed_at = now_ms();
    until("all are done", || ended(&lines) == JOBS).await.expect("in time");
    until_empty(&place).await;
    workers[1].kill();
    judge(&lines, process, killed_at);
}
