//! A cluster of a test, and databases in it.

#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test uses its part, and a cluster that does not start fails it"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use tertulia_store_postgres::{Options, Seed};
use tertulia_testkit::{Postgres, PostgresOptions};

/// Of all logs that this process opens.
static COUNT: AtomicU64 = AtomicU64::new(1);

/// Another one each time, and the same in every run.
pub fn seed() -> Seed {
    let number = COUNT.fetch_add(1, Ordering::SeqCst);
    let mut seed = [0; 64];
    for (place, bytes) in (0_u64..).zip(seed.chunks_exact_mut(8)) {
        bytes.copy_from_slice(&(number << 8 | place).to_be_bytes());
    }
    seed
}

pub struct Cluster {
    pub postgres: Postgres,
}

impl Cluster {
    pub fn start() -> Self {
        Self::start_with(PostgresOptions::default())
    }

    pub fn start_with(options: PostgresOptions) -> Self {
        Self { postgres: Postgres::start(options).expect("PostgreSQL starts") }
    }

    /// The name of a new, empty one.
    pub fn database(&self) -> String {
        let name = format!("log_{}", COUNT.fetch_add(1, Ordering::SeqCst));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Few partitions: they take time to make.
    pub fn options(&self, database: &str) -> Options {
        Options { readers: 2, partitions: 2, ..Options::new(self.postgres.url(database), seed()) }
    }

    pub fn psql(&self, database: &str, statements: &str) -> String {
        self.postgres.psql(database, statements).expect("psql")
    }
}
