//! The suite that every home must pass, with each way of sending statements.

#![expect(clippy::expect_used, reason = "a home that does not open fails its test")]

mod database;

use std::sync::Arc;

use tertulia_store::conformance::Home;
use tertulia_store::{CommitSink, Rules, Store};
use tertulia_store_postgres::{PostgresStore, Prepared};

use crate::database::{Cluster, Followed, Pair};

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

/// Read at a replica that has everything acknowledged: but for the search, whose index follows later, it answers all that it may.
mod with_replica {
    tertulia_store::conformance_tests!(super::Followed::by(super::Pair::in_step().await));
}

mod cached {
    tertulia_store::conformance_tests!(super::OnPostgres::new(super::Prepared::Cached));
}
