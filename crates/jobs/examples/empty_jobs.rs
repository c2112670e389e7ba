//! Jobs a second of a kind that does nothing, on SQLite: `cargo run --release -p tertulia-jobs --example empty_jobs [-- FOLDER [JOBS]]`.
//!
//! Prints, and demands nothing: machines differ. Each count is of one process on one file, whose commits reach the disk. The second one has a deep
//! queue of jobs that nobody works on beside it; the third shows how long one sent message takes meanwhile.

#![allow(clippy::expect_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a program that measures")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tertulia_jobs::{Kind, Options, Outcome, Runner, Surroundings};
use tertulia_store::conformance::house::House;
use tertulia_store::conformance::sink::Sink;
use tertulia_store::jobs::{JOBS_PER_CALL_MAX, JobQueue, NewJob, Priority};
use tertulia_store::{NewUser, Store, Timestamp, UserId, Write, WriteResult};
use tertulia_store_sqlite::SqliteStore;
use tokio::sync::oneshot;

struct Real;

impl Surroundings for Real {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Timestamp::from_ms(i64::try_from(since.as_millis()).expect("a long way off"))
    }

    fn timer(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed()
    }

    fn chance(&self) -> u64 {
        7
    }
}

async fn queue(jobs: &dyn JobQueue, kind: &str, count: usize) {
    let job = |_| NewJob {
        kind: kind.to_owned(),
        unique_key: None,
        unless_running: false,
        payload: "{}".to_owned(),
        priority: Priority::Normal,
        run_at: Timestamp::from_ms(0),
        now: Timestamp::from_ms(0),
    };
    let mut left = count;
    while left > 0 {
        let some = left.min(JOBS_PER_CALL_MAX);
        jobs.enqueue((0..some).map(job).collect()).await.expect("jobs are queued");
        left -= some;
    }
}

/// Runs all that is queued of a kind; calls back about every millisecond.
async fn work_through(store: &Arc<SqliteStore>, count: u64, mut meanwhile: impl AsyncFnMut()) -> f64 {
    let kind = Kind { concurrency: 256, ..Kind::new("empty", |_| async { Outcome::Done }) };
    let options = Options { jobs_max: 256, ..Options::new([1; 16]) };
    let runner = Runner::new(Arc::clone(store) as Arc<dyn Store>, Arc::new(Real), vec![kind], options);
    let runner = runner.expect("a runner");
    let (counts, (stop, stopped)) = (runner.counts(), oneshot::channel::<()>());
    let began = Instant::now();
    let working = runner.run(async { drop(stopped.await) });
    let watching = async {
        while counts.look()["empty"].done < count {
            meanwhile().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = began.elapsed();
        let _ = stop.send(());
        took
    };
    let (took, ()) = tokio::join!(watching, working);
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64()
}

/// How long somebody else's commit takes that has to reach the disk, as a send's does.
async fn one_commit(store: &SqliteStore, number: u64) -> Duration {
    let mut id = [9; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    let user = NewUser {
        id: UserId::from_bytes(id),
        email: None,
        name: "Alice".to_owned(),
        password_hash: None,
        avatar_url: None,
        now: Timestamp::from_ms(0),
    };
    let (tell, told) = oneshot::channel();
    let began = Instant::now();
    let done = move |result: &WriteResult| {
        let _ = tell.send(result.is_ok());
    };
    store.submit(Write::CreateUser(user), Box::new(done));
    assert!(told.await.expect("a completion is called"), "a person is made");
    began.elapsed()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("tertulia-jobs-figures"), PathBuf::from);
    let count: usize = arguments.next().map_or(100_000, |count| count.parse().expect("a number of jobs"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&folder, count));
    let _ = std::fs::remove_dir_all(folder);
}

async fn measure(folder: &Path, count: usize) {
    let _ = std::fs::remove_dir_all(folder);
    let options = tertulia_store_sqlite::Options { readers: 1, serves: false, seed: [7; 64] };
    let store = SqliteStore::open(folder, &options, Arc::new(House::default()), Arc::new(Sink::default()));
    let store = store.expect("a folder opens");
    let jobs = u64::try_from(count).unwrap_or(u64::MAX);

    queue(store.jobs(), "empty", count).await;
    println!("{count} empty jobs: {:.0} jobs/s", work_through(&store, jobs, async || ()).await);

    queue(store.jobs(), "nobody's", count * 5).await;
    queue(store.jobs(), "empty", count).await;
    let rate = work_through(&store, jobs, async || ()).await;
    println!("the same beside {} jobs that nobody works on: {rate:.0} jobs/s", count * 5);

    let mut idle = Vec::new();
    for number in 0..500 {
        idle.push(one_commit(&store, number).await);
    }
    queue(store.jobs(), "empty", count).await;
    let mut busy = Vec::new();
    let mut number = 1000;
    work_through(&store, jobs, async || {
        number += 1;
        busy.push(one_commit(&store, number).await);
    })
    .await;
    println!("a commit of somebody else, idle: {}; while jobs run: {}", told(idle), told(busy));
}

fn told(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    format!("median {:.1?}, p99 {:.1?}", at(50), at(99))
}
