//! The suite that every home must pass, against both forms of this one.

#![expect(clippy::expect_used, reason = "a home that does not open fails its test")]

use std::future::{Future, ready};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use tertulia_proto::ServerId;
use tertulia_store::conformance::Home;
use tertulia_store::conformance::world::World;
use tertulia_store::trace::{NOWHERE, OldTraces, TraceKind, TraceRow};
use tertulia_store::{CommitSink, Rules, Store, Timestamp};
use tertulia_store_sqlite::{Options, Seed, SqliteStore};

/// Of all logs that this process opens.
static COUNT: AtomicU64 = AtomicU64::new(1);

/// Another one each time, and the same in every run.
fn seed(number: u64) -> Seed {
    let mut seed = [0; 64];
    for (place, bytes) in (0_u64..).zip(seed.chunks_exact_mut(8)) {
        bytes.copy_from_slice(&(number << 8 | place).to_be_bytes());
    }
    seed
}

/// Without threads and files.
struct InMemory;

impl Home for InMemory {
    fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> impl Future<Output = Arc<dyn Store>> {
        let seed = seed(COUNT.fetch_add(1, Ordering::SeqCst));
        let store = SqliteStore::open_in_memory(&seed, rules, sink).expect("an empty log opens in memory");
        ready(store as Arc<dyn Store>)
    }
}

/// As the server opens it: a writer, readers and an indexer, each a thread, in a folder that goes with the test.
struct InFolder(PathBuf);

impl InFolder {
    fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{}-{number}", std::process::id()));
        Self(folder)
    }
}

impl Drop for InFolder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the logs of this test stay in {}", self.0.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} could not be removed: {error}", self.0.display());
        }
    }
}

impl Home for InFolder {
    fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> impl Future<Output = Arc<dyn Store>> {
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let options = Options { readers: 2, serves: true, seed: seed(number) };
        let folder = self.0.join(number.to_string());
        let store = SqliteStore::open(&folder, &options, rules, sink).expect("an empty folder becomes a log");
        ready(store as Arc<dyn Store>)
    }
}

mod in_memory {
    tertulia_store::conformance_tests!(super::InMemory);
}

mod in_folder {
    tertulia_store::conformance_tests!(super::InFolder::new());
}

/// Whoever sends waits for each of these commits.
#[tokio::test]
async fn many_old_traces_go_in_small_commits() {
    let world = World::open(&InFolder::new()).await;
    let book = world.store.traces();
    let row = |part| TraceRow {
        conversation: NOWHERE,
        kind: TraceKind::Way,
        seq: 1,
        message: None,
        client_msg_id: None,
        server: ServerId::from_bytes([9; 16]),
        part,
        at: Timestamp::from_ms(0),
        data: "[]".to_owned(),
    };
    book.note_traces((0..512).map(row).collect()).await.expect("rows are kept");
    let mut forgetting = book.forget_traces(OldTraces::UpTo(i64::MAX), 512);
    // Looked at once, it has asked for its first commit and for no other.
    std::future::poll_fn(|context| Poll::Ready(forgetting.as_mut().poll(context).is_ready())).await;
    let left = loop {
        let left = book.count_traces().await.expect("the store reads");
        if left < 512 {
            break left;
        }
    };
    assert_eq!(left, 512 - 64);
    assert_eq!(forgetting.await.expect("rows go"), 512);
    assert_eq!(book.count_traces().await.expect("the store reads"), 0);
}
