//! A cluster of a test, and databases in it.

#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test uses its part, and a cluster that does not start fails it"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tertulia_store::conformance::Home;
use tertulia_store::conformance::house::House;
use tertulia_store::conformance::sink::Sink;
use tertulia_store::{CommitSink, Rules, Store, Write, WriteResult};
use tertulia_store_postgres::{Fallback, Options, PostgresStore, ReplicaState, Seed};
use tertulia_testkit::postgres::ADMINISTRATION;
use tertulia_testkit::{Postgres, PostgresOptions, within};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

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
        self.postgres.create(&name).expect("a database is made");
        name
    }

    /// Few partitions: they take time to make.
    pub fn options(&self, database: &str) -> Options {
        // What is judged here does not end with a second in which nobody came to run.
        let lookup_deadline = Duration::from_secs(60);
        Options { readers: 2, partitions: 2, lookup_deadline, ..Options::new(self.postgres.url(database), seed()) }
    }

    pub fn psql(&self, database: &str, statements: &str) -> String {
        self.postgres.psql(database, statements).expect("psql")
    }
}

/// A log in a cluster, as the suite's world opens one.
pub struct Log {
    pub options: Options,
}

impl Home for Log {
    async fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> Arc<dyn Store> {
        PostgresStore::open(&self.options, rules, sink).await.expect("the database opens") as Arc<dyn Store>
    }
}

impl Cluster {
    /// A new log, with nothing in it.
    pub fn log(&self) -> Log {
        Log { options: self.options(&self.database()) }
    }
}

impl Log {
    pub fn name(&self) -> &str {
        self.options.url.rsplit('/').next().expect("a URL ends with the database")
    }

    /// Another server on the same log, with a sink of its own.
    pub async fn server(&self) -> Server {
        let options = Options { seed: seed(), ..self.options.clone() };
        Server::open(&options).await
    }

    pub async fn raw(&self) -> Raw {
        Raw::connect(&self.options.url).await
    }
}

/// One more server.
pub struct Server {
    pub store: Arc<PostgresStore>,
    pub sink: Arc<Sink>,
}

impl Server {
    pub async fn open(options: &Options) -> Self {
        let sink = Arc::new(Sink::default());
        let rules = Arc::new(House::default());
        let store = PostgresStore::open(options, rules, sink.clone()).await.expect("the database opens");
        Self { store, sink }
    }

    /// What comes of a write.
    pub async fn submit(&self, write: Write) -> WriteResult {
        self.submitted(write).await.expect("a completion is called")
    }

    /// Queues a write at once.
    pub fn submitted(&self, write: Write) -> oneshot::Receiver<WriteResult> {
        let (tell, told) = oneshot::channel();
        self.store.submit(write, Box::new(move |result: &WriteResult| drop(tell.send(result.clone()))));
        told
    }
}

/// For replicas on a machine that has other things to do: who is slow is to be answered by, not fallen back from.
pub const PATIENT: Duration = Duration::from_secs(2);

/// A primary and a replica that follows it.
pub struct Pair {
    pub primary: Cluster,
    pub replica: Postgres,
}

impl Pair {
    pub fn start() -> Self {
        let primary = Cluster::start();
        let replica = follower(&primary);
        Self { primary, replica }
    }

    /// Nothing is acknowledged before the replica shows it.
    pub async fn in_step() -> Self {
        let pair = Self::start();
        for setting in ["synchronous_standby_names = '*'", "synchronous_commit = remote_apply"] {
            pair.primary.psql(ADMINISTRATION, &format!("ALTER SYSTEM SET {setting}"));
        }
        pair.primary.psql(ADMINISTRATION, "SELECT pg_reload_conf()");
        // Nobody may be connected to the template of databases for longer than a statement.
        let in_step = async {
            let state = "SELECT coalesce(bool_and(sync_state = 'sync'), false) FROM pg_stat_replication";
            while pair.primary.psql(ADMINISTRATION, state) != "t" {
                tokio::task::yield_now().await;
            }
        };
        within("the replica confirms every commit", in_step).await.expect("it comes to be");
        pair
    }

    /// A new log, read at the replica by whoever opens it.
    pub fn log(&self) -> Log {
        let mut log = self.primary.log();
        log.options.replicas = vec![self.replica.url(log.name())];
        log.options.replica_check_every = Duration::from_millis(10);
        log.options.replica_deadline = PATIENT;
        log
    }
}

/// Logs that are read at a replica wherever that has what the answer needs.
pub struct Followed {
    pub pair: Pair,
    stores: Mutex<Vec<Arc<PostgresStore>>>,
}

impl Followed {
    pub fn by(pair: Pair) -> Self {
        Self { pair, stores: Mutex::default() }
    }

    /// The one that was opened last.
    pub fn store(&self) -> Arc<PostgresStore> {
        Arc::clone(self.stores.lock().last().expect("a log was opened"))
    }
}

impl Home for Followed {
    async fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> Arc<dyn Store> {
        let store = PostgresStore::open(&self.pair.log().options, rules, sink).await.expect("the database opens");
        until_replica(&store, "the replica is read from", |replica| replica.is_used).await;
        self.stores.lock().push(Arc::clone(&store));
        store as Arc<dyn Store>
    }
}

/// What a replica that is well refuses to answer is a fault of ours.
impl Drop for Followed {
    fn drop(&mut self) {
        let stores = std::mem::take(&mut *self.stores.lock());
        if std::thread::panicking() {
            return;
        }
        for store in stores {
            for (why, count) in store.fallbacks() {
                let is_fault = matches!(why, Fallback::OtherLog | Fallback::Failed);
                assert!(!is_fault || count == 0, "{why:?}: {count}");
            }
        }
    }
}

/// A replica of a cluster.
pub fn follower(primary: &Cluster) -> Postgres {
    Postgres::start_from(PostgresOptions::default(), |to| primary.postgres.back_up(to, true)).expect("a replica starts")
}

/// Until the store says so of its only replica.
pub async fn until_replica(store: &PostgresStore, what: &str, is_so: impl Fn(ReplicaState) -> bool) {
    let looked = async {
        while !store.replicas().first().copied().is_some_and(&is_so) {
            tokio::task::yield_now().await;
        }
    };
    within(what, looked).await.expect("it comes to be");
}

/// A connection of a stranger.
pub struct Raw {
    pub client: tokio_postgres::Client,
    _driver: JoinSet<()>,
}

impl Raw {
    pub async fn connect(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a connection");
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        Self { client, _driver: driver }
    }

    pub async fn run(&self, statements: &str) {
        self.client.batch_execute(statements).await.expect("statements that work");
    }

    /// The first column of the first row.
    pub async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, statement: &str) -> T {
        self.client.query_typed(statement, &[]).await.expect("a statement that works")[0].get(0)
    }

    /// Until so many transactions of this database wait for somebody's row.
    pub async fn until_waiting(&self, count: i64) {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        self.until(&format!("SELECT ({waiting}) >= {count}")).await;
    }

    /// Until the statement says so.
    pub async fn until(&self, statement: &str) {
        let asked = async {
            while !self.one::<bool>(statement).await {
                tokio::task::yield_now().await;
            }
        };
        within(statement, asked).await.expect("it comes to be");
    }
}
