//! The roads to the database: a pooler in transaction mode, and TLS.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod database;

use std::process::Command;
use std::sync::Arc;

use tertulia_store::conformance::house::House;
use tertulia_store::conformance::sink::Sink;
use tertulia_store::conformance::{self, Home};
use tertulia_store::{CommitSink, Rules, Store};
use tertulia_store_postgres::{OpenError, Options, PostgresStore, Prepared};
use tertulia_testkit::postgres::Stop;
use tertulia_testkit::{Pooler, PostgresOptions};

use crate::database::{Cluster, seed};

/// Migrated over a direct connection, used over the pooler.
struct BehindPooler {
    cluster: Cluster,
    pooler: Pooler,
}

impl BehindPooler {
    fn new() -> Self {
        let cluster = Cluster::start();
        let pooler = Pooler::start(&cluster.postgres).expect("PgBouncer starts");
        Self { cluster, pooler }
    }
}

async fn open(options: &Options) -> Result<Arc<PostgresStore>, OpenError> {
    PostgresStore::open(options, Arc::new(House::default()), Arc::new(Sink::default())).await
}

impl Home for BehindPooler {
    async fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> Arc<dyn Store> {
        let name = self.cluster.database();
        let direct = self.cluster.options(&name);
        open(&direct).await.expect("the database opens directly").close();
        let options = Options { url: self.pooler.url(&name), prepared: Prepared::Typed, seed: seed(), ..direct };
        PostgresStore::open(&options, rules, sink).await.expect("the database opens behind a pooler")
    }
}

#[tokio::test]
async fn everything_works_behind_a_pooler_in_transaction_mode() {
    let home = BehindPooler::new();
    conformance::log::the_results_of_one_caller_leave_in_the_order_of_the_submits(&home).await;
    conformance::difference::state_and_difference_make_a_fresh_fetch_for_every_kind_of_change(&home).await;
    conformance::search::hits_come_newest_first_and_no_more_than_asked(&home).await;
    conformance::people::a_person_sees_the_sessions_that_stand(&home).await;
    conformance::paging::more_old_messages_changed_than_a_page_holds_are_told_to_be_stale(&home).await;
}

#[tokio::test]
async fn nobody_migrates_behind_a_pooler() {
    let home = BehindPooler::new();
    let name = home.cluster.database();
    let options = Options { url: home.pooler.url(&name), prepared: Prepared::Typed, ..home.cluster.options(&name) };
    let refused = open(&options).await.err();
    assert!(matches!(refused, Some(OpenError::Pooler(_))), "{refused:?}");
    assert_eq!(home.cluster.psql(&name, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}

fn openssl(arguments: &str, folder: &std::path::Path) {
    let status = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().expect("openssl");
    assert!(status.status.success(), "{arguments}: {}", String::from_utf8_lossy(&status.stderr));
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_authority_vouches_for_and_nobody_else() {
    let mut cluster = Cluster::start_with(PostgresOptions::over_tcp());
    let name = cluster.database();
    let data = cluster.postgres.data();
    cluster.postgres.stop(Stop::Fast).expect("PostgreSQL ends");
    for (file, subject) in [("ca", "/CN=authority"), ("other", "/CN=somebody")] {
        let make = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout {file}.key -out {file}.pem -subj {subject}"
        );
        openssl(&make, &data);
    }
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
        &data,
    );
    std::fs::write(data.join("names"), "subjectAltName=DNS:localhost").expect("a file");
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out server.crt -extfile names",
        &data,
    );
    for file in ["server.key", "server.crt"] {
        let taken =
            Command::new("chown").arg("--reference=PG_VERSION").arg(file).current_dir(&data).status().expect("chown");
        assert!(taken.success());
    }
    let only_tls = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
    std::fs::write(data.join("pg_hba.conf"), only_tls).expect("a file");
    std::fs::OpenOptions::new()
        .append(true)
        .open(data.join("postgresql.conf"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"\nssl = on\n"))
        .expect("a file");
    cluster.postgres.launch().expect("PostgreSQL starts");

    let url = |host: &str, authority: &str, mode: &str| {
        let place = cluster.postgres.tcp_url(&name).replace("127.0.0.1", host);
        format!("{place}?sslmode={mode}&sslrootcert={}", data.join(authority).display())
    };
    let with = |url| Options { url, ..cluster.options(&name) };
    let store = open(&with(url("localhost", "ca.pem", "require"))).await.expect("TLS is spoken");
    store.log_state().await.expect("the store reads");
    let encrypted = "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE datname = current_database() AND application_name = 'tertulia'";
    assert_eq!(cluster.psql(&name, encrypted), "t");
    for url in [
        url("localhost", "other.pem", "require"),
        url("127.0.0.1", "ca.pem", "verify-full"),
        url("localhost", "ca.pem", "disable"),
    ] {
        let refused = open(&with(url.clone())).await.err();
        assert!(matches!(refused, Some(OpenError::Failed { .. })), "{url}: {refused:?}");
    }
    let unknown = open(&with(url("localhost", "ca.pem", "verify-ca"))).await.err();
    assert!(matches!(unknown, Some(OpenError::Url(_))), "{unknown:?}");
}
