//! The suite that every home must pass, with each way of sending statements.

#![expect(clippy::expect_used, reason = "a home that does not open fails its test")]

mod database;

use std::sync::Arc;

use parking_lot::Mutex;
use tertulia_store::conformance::Home;
use tertulia_store::{CommitSink, Rules, Store};
use tertulia_store_postgres::{Fallback, PostgresStore, Prepared};

use crate::database::{Cluster, Pair, until_replica};

/// A cluster of its own for each test, because a horizon is the whole cluster's.
struct OnPostgres {
    cluster: Cluster,
    prepared: Prepared,
}

impl OnPostgres {
    fn new(prepared: Prepared) -> Self {
        Self { cluster: Cluster::start(), prepared }
    }
}

impl Home for OnPostgres {
    async fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> Arc<dyn Store> {
        let mut options = self.cluster.options(&self.cluster.database());
        options.prepared = self.prepared;
        PostgresStore::open(&options, rules, sink).await.expect("an empty database becomes a log") as Arc<dyn Store>
    }
}

/// Read at a replica wherever that has what the answer needs; else the suite would not notice that there is one.
struct WithReplica {
    pair: Pair,
    stores: Mutex<Vec<Arc<PostgresStore>>>,
}

impl WithReplica {
    fn new(pair: Pair) -> Self {
        Self { pair, stores: Mutex::default() }
    }
}

impl Home for WithReplica {
    async fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> Arc<dyn Store> {
        let options = self.pair.log().options;
        let store = PostgresStore::open(&options, rules, sink).await.expect("an empty database becomes a log");
        until_replica(&store, "the replica is read from", |replica| replica.is_used).await;
        self.stores.lock().push(Arc::clone(&store));
        store as Arc<dyn Store>
    }
}

/// What a replica can't answer for another reason than being behind is a fault of ours.
impl Drop for WithReplica {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for store in self.stores.lock().iter() {
            for (why, count) in store.fallbacks() {
                assert!(why == Fallback::Behind || count == 0, "{why:?}: {count}");
            }
        }
    }
}

mod with_replica {
    tertulia_store::conformance_tests!(super::WithReplica::new(super::Pair::start()));
}

mod with_replica_in_step {
    tertulia_store::conformance_tests!(super::WithReplica::new(super::Pair::in_step()));
}

mod cached {
    tertulia_store::conformance_tests!(super::OnPostgres::new(super::Prepared::Cached));
}
