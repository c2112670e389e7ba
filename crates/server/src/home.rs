//! Where the log lives: one file, or PostgreSQL.

use std::sync::Arc;

use anyhow::Context as _;
use tertulia_core::Powers;
use tertulia_gateway::{ReplicaState, ReplicaStates, ReplicaWatch};
use tertulia_store::{CommitSink, Rules, Store, StoreError};
use tertulia_store_postgres::PostgresStore;
use tertulia_store_sqlite::SqliteStore;

use crate::settings::Settings;

#[derive(Clone)]
pub enum Home {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

impl Home {
    /// `on_new_epoch`: called with its epoch when the log turns out to be another one while it is open. `serves`: as the server, which keeps the search index and watches for restores; else as a tool beside it.
    pub async fn open(
        settings: &Settings,
        serves: bool,
        powers: &Powers,
        rules: Arc<dyn Rules>,
        sink: Arc<dyn CommitSink>,
        on_new_epoch: Arc<dyn Fn([u8; 16]) + Send + Sync>,
    ) -> anyhow::Result<Self> {
        if let Some(mut options) = settings.postgres(powers.bytes()) {
            options.on_new_epoch = Some(on_new_epoch);
            let store = PostgresStore::open(&options, rules, sink).await.context("database_url")?;
            return Ok(Self::Postgres(store));
        }
        let options = tertulia_store_sqlite::Options { readers: settings.readers, serves, seed: powers.bytes() };
        let store = SqliteStore::open(&settings.data, &options, rules, sink)
            .with_context(|| format!("the database in {}", settings.data.display()))?;
        Ok(Self::Sqlite(store))
    }

    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as _,
            Self::Postgres(store) => Arc::clone(store) as _,
        }
    }

    /// How it is with the replicas, for metrics; `None` where none are set.
    pub fn replicas(&self) -> Option<ReplicaWatch> {
        let Self::Postgres(store) = self else { return None };
        if store.replicas().is_empty() {
            return None;
        }
        let store = Arc::clone(store);
        let look = move || {
            let all = store.replicas().into_iter();
            let all = all.map(|one| ReplicaState { is_used: one.is_used, lag_ms: one.lag_ms, reads: one.reads });
            let fallbacks = store.fallbacks().into_iter().map(|(why, count)| (why.name(), count));
            ReplicaStates { all: all.collect(), fallbacks: fallbacks.collect() }
        };
        Some(ReplicaWatch::new(look))
    }

    /// What has to be done about every second.
    pub async fn tend(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.remember_position().await,
            // The look at the state finds out whether it is still the same log.
            Self::Postgres(store) => store.log_state().await.map(drop),
        }
    }

    /// Writes that wait to be committed.
    pub fn writes_waiting(&self) -> usize {
        match self {
            Self::Sqlite(store) => store.writes_waiting(),
            Self::Postgres(store) => store.writes_waiting(),
        }
    }

    /// Commits what waits; later writes are refused. Blocks.
    pub fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close(),
            Self::Postgres(store) => store.close(),
        }
    }
}
