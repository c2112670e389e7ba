//! The suite that every home must pass, against both forms of this one.

#![expect(clippy::expect_used, reason = "a home that does not open fails its test")]

use std::future::{Future, ready};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tertulia_store::conformance::Home;
use tertulia_store::{CommitSink, Rules, Store};
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
