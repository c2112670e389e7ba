//! Several servers on one log, and what happens to it: contention, lost connections, restarts, promotions.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod database;
mod proxy;

use std::collections::{BTreeMap, BTreeSet};

use tertulia_store::conformance::world::World;
use tertulia_store::conformance::writes::{client_msg_id, sending};
use tertulia_store::*;
use tertulia_store_postgres::{Failover, Options};
use tertulia_testkit::postgres::Stop;
use tertulia_testkit::{Postgres, PostgresOptions};
use tokio::sync::oneshot;

use crate::database::{Cluster, Server, seed};
use crate::proxy::{Cut, Proxy};

/// How many messages each conversation has, and whether their numbers are those that were given.
async fn numbered(log: &database::Raw, group: ConversationId, messages: i64) {
    let whole = format!(
        "SELECT count(*) = {messages} AND min(seq) = 1 AND max(seq) = {messages} AND count(DISTINCT rev) = {messages}
            AND (SELECT last_seq = {messages} AND rev = {messages} + 1 FROM conversations WHERE id = '{group}')
         FROM messages WHERE conversation_id = '{group}'"
    );
    assert!(log.one::<bool>(&whole).await, "seq and rev without gaps");
}

fn fresh(result: WriteResult) -> Option<Message> {
    match result.expect("a send goes through") {
        Effect::MessageAppended { message, fresh } => fresh.then_some(message),
        other => panic!("another effect than this write has: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_on_many_servers_number_as_one() {
    const WRITERS: usize = 64;
    const ROUNDS: usize = 5;
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let servers = [log.server().await, log.server().await, log.server().await];
    let mut people = Vec::new();
    for n in 0..WRITERS {
        people.push(world.person(&format!("p{n}")).await);
    }
    let mut groups = Vec::new();
    for _ in 0..10 {
        groups.push(world.open_group(people[0], &people[1..]).await);
    }
    let mut waiting: Vec<(UserId, oneshot::Receiver<WriteResult>)> = Vec::new();
    for round in 0..ROUNDS {
        for (n, person) in people.iter().enumerate() {
            for (g, group) in groups.iter().enumerate() {
                let message = world.message(*person, *group, &format!("{round} {n} {g}"));
                // The same message over two servers at once: exactly one of them takes it.
                for server in [&servers[(n + g) % 3], &servers[(n + g + round + 1) % 3]] {
                    waiting.push((*person, server.submitted(sending(&world.again(&message)))));
                }
                waiting.push((*person, servers[n % 3].submitted(world.reading(*person, *group, 0))));
            }
        }
    }
    let mut taken: BTreeMap<ConversationId, BTreeSet<i64>> = BTreeMap::new();
    for (_, told) in waiting {
        let result = told.await.expect("a completion is called");
        if matches!(result, Ok(Effect::WatermarksAdvanced { .. })) {
            continue;
        }
        if let Some(message) = fresh(result) {
            assert!(taken.entry(message.conversation_id).or_default().insert(message.seq), "a seq is given once");
        }
    }
    let each = i64::try_from(WRITERS * ROUNDS).expect("a small number");
    let raw = log.raw().await;
    for group in &groups {
        assert_eq!(taken[group], (1..=each).collect(), "each message is fresh for one server");
        numbered(&raw, *group, each).await;
    }
    for server in &servers {
        let mut last: BTreeMap<ConversationId, i64> = BTreeMap::new();
        for result in server.sink.results() {
            if let Ok(Effect::MessageAppended { message, fresh: true }) = result {
                let before = last.insert(message.conversation_id, message.rev).unwrap_or(0);
                assert!(before < message.rev, "results leave in commit order");
            }
        }
        assert!(!server.sink.was_entered_twice());
        server.store.close();
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(raw.one::<i64>(deadlocks).await, 0);
    assert_eq!(raw.one::<i64>("SELECT count(*) - count(DISTINCT (sender_id, client_msg_id)) FROM messages").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_sent_to_two_conversations_over_two_servers_is_in_one_of_them() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let servers = [log.server().await, log.server().await];
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let groups = [world.group(alice, &[bob]).await, world.group(alice, &[bob]).await];
    for n in 0..60 {
        let name = client_msg_id(&format!("m-{n}"));
        let sent = [0, 1].map(|at| {
            let message = world.message(alice, groups[at], "once");
            servers[at].submitted(sending(&AppendMessage { client_msg_id: name.clone(), ..message }))
        });
        let mut count = 0;
        for told in sent {
            count += usize::from(fresh(told.await.expect("a completion is called")).is_some());
        }
        assert_eq!(count, 1);
    }
    assert_eq!(log.raw().await.one::<i64>("SELECT count(*) FROM messages").await, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_opens_its_dm_over_two_servers_has_one() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let servers = [log.server().await, log.server().await];
    for n in 0..20 {
        let [a, b] = [world.person(&format!("a{n}")).await, world.person(&format!("b{n}")).await];
        let opened = [servers[0].submitted(world.opening_dm(a, b)), servers[1].submitted(world.opening_dm(b, a))];
        let mut ids = BTreeSet::new();
        for told in opened {
            let effect = told.await.expect("a completion is called").expect("a DM opens");
            ids.insert(tertulia_store::conformance::world::opened(&effect));
        }
        assert_eq!(ids.len(), 1);
    }
}

/// Sends one message after the other while connections are cut at the worst moment; each acknowledged one is in the log, once.
async fn survives(cut: Cut) -> u64 {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let proxy = Proxy::open(&cluster.postgres).await;
    let server = Server::open(&Options { url: proxy.url(log.name()), ..log.options.clone() }).await;
    for n in 1..=60_i64 {
        if n % 4 == 0 {
            proxy.arm(cut);
        }
        let message = world.message(alice, group, &n.to_string());
        let effect = server.submit(sending(&message)).await;
        assert_eq!(fresh(effect).map(|message| message.seq), Some(n), "answered as what it came to, once");
    }
    numbered(&log.raw().await, group, 60).await;
    assert!(proxy.cuts() >= 10, "the connection was cut {} times", proxy.cuts());
    let counts = server.store.writer_counts();
    assert_eq!(counts.reconnects, proxy.cuts());
    counts.found
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_and_told_once() {
    assert!(survives(Cut::AfterCommit).await >= 10, "each of them was found in the log");
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_made_again() {
    assert_eq!(survives(Cut::BeforeCommit).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_dies_under_load_loses_nothing_acknowledged_and_doubles_nothing() {
    let mut cluster = Cluster::start();
    let name = cluster.database();
    let options = cluster.options(&name);
    let log = database::Log { options: options.clone() };
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let server = log.server().await;
    let mut waiting = Vec::new();
    for n in 0..400 {
        let message = world.message(alice, group, &n.to_string());
        waiting.push((message.clone(), server.submitted(sending(&message))));
        if n % 100 == 50 {
            cluster.postgres.stop(Stop::Immediate).expect("PostgreSQL ends");
            cluster.postgres.launch().expect("PostgreSQL starts");
        }
    }
    let mut acknowledged = 0;
    for (message, told) in waiting {
        let Ok(effect) = told.await.expect("a completion is called") else { continue };
        acknowledged += 1;
        let Effect::MessageAppended { message: appended, .. } = effect else { panic!("another effect") };
        let seen = world.store.message(bob, group, appended.message_id).await.expect("the store reads");
        assert_eq!(seen.map(|seen| seen.client_msg_id), Some(message.client_msg_id));
    }
    assert!(acknowledged > 0);
    let raw = database::Raw::connect(&options.url).await;
    let count: i64 = raw.one("SELECT count(*) FROM messages").await;
    numbered(&raw, group, count).await;
}

/// A primary, and a replica that has followed it up to some point.
struct Pair {
    primary: Cluster,
    replica: Postgres,
    name: String,
}

impl Pair {
    fn start() -> Self {
        let primary = Cluster::start();
        let name = primary.database();
        let replica = Postgres::start_from(PostgresOptions::default(), |to| primary.postgres.back_up(to, true))
            .expect("a replica starts");
        Self { primary, replica, name }
    }

    /// For a server that goes to the one that takes writes.
    fn options(&self) -> Options {
        let place = |postgres: &Postgres| {
            let url = postgres.url("");
            url.trim_start_matches("postgres://postgres@").trim_end_matches('/').to_owned()
        };
        let url =
            format!("postgres://postgres@{},{}/{}", place(&self.primary.postgres), place(&self.replica), self.name);
        Options { url, ..self.primary.options(&self.name) }
    }

    async fn until_replica_has_all(&self) {
        let raw = database::Raw::connect(&self.primary.postgres.url(&self.name)).await;
        raw.until("SELECT coalesce(bool_and(replay_lsn >= pg_current_wal_lsn()), false) FROM pg_stat_replication")
            .await;
    }

    fn fail_over(&mut self) {
        self.primary.postgres.stop(Stop::Immediate).expect("the primary ends");
        self.replica.promote().expect("the replica takes over");
    }
}

#[tokio::test]
async fn a_replica_that_lacks_acknowledged_messages_is_another_log() {
    let mut pair = Pair::start();
    let options = Options { failover: Failover::LosesNothing, ..pair.options() };
    let log = database::Log { options: options.clone() };
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send(alice, dm, "kept").await;
    pair.until_replica_has_all().await;
    let before = world.log_state().await;
    pair.replica.stop(Stop::Fast).expect("the replica ends");
    world.send(alice, dm, "acknowledged, and lost").await;
    pair.primary.postgres.stop(Stop::Immediate).expect("the primary ends");
    pair.replica.launch().expect("the replica starts");
    pair.replica.promote().expect("the replica takes over");
    // Said to lose nothing; the writer knows better.
    world.send(alice, dm, "afterwards").await;
    let after = world.log_state().await;
    assert_ne!(after.epoch, before.epoch, "the log went back");
    assert!(after.position > before.position);
    let bodies: Vec<String> = world.history(bob, dm).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["kept", "afterwards"]);
}

#[tokio::test]
async fn a_promotion_is_another_log_unless_it_is_known_to_lose_nothing() {
    for (failover, is_same) in [(Failover::MayLose, false), (Failover::LosesNothing, true)] {
        let mut pair = Pair::start();
        let log = database::Log { options: Options { failover, ..pair.options() } };
        let world = World::open(&log).await;
        let [alice, bob] = world.people(["alice", "bob"]).await;
        let dm = world.dm(alice, bob).await;
        world.send(alice, dm, "before").await;
        // Transactions that leave nothing to replicate: the replica will give their numbers anew.
        let raw = database::Raw::connect(&pair.primary.postgres.url(&pair.name)).await;
        for _ in 0..50 {
            raw.run("BEGIN; SELECT pg_current_xact_id(); ROLLBACK").await;
        }
        let first = world.store.difference(bob, SyncFrom::BEGINNING, None, 10, 10).await.expect("the store reads");
        let before = world.log_state().await;
        pair.until_replica_has_all().await;
        drop(raw);
        pair.fail_over();
        // A reader notices too, and has the writer settle it.
        let after = loop {
            if let Ok(state) = world.store.log_state().await {
                break state;
            }
        };
        assert_eq!(after.epoch == before.epoch, is_same, "{failover:?}");
        assert!(after.position >= before.position, "{failover:?}: a position does not go back");
        world.send(alice, dm, "after").await;
        let next = world.store.difference(bob, first.next, None, 10, 10).await.expect("the store reads");
        let bodies: Vec<&str> = next
            .conversations
            .iter()
            .flat_map(|changed| &changed.messages)
            .map(|message| message.body.as_str())
            .collect();
        assert_eq!(bodies, ["after"], "{failover:?}: an old cursor misses nothing");
        // Who starts now sees the same log.
        let options = Options { seed: seed(), ..log.options.clone() };
        let another = Server::open(&options).await;
        assert_eq!(another.store.log_state().await.expect("the store reads").epoch, after.epoch);
    }
}

#[tokio::test]
async fn a_copy_put_back_under_running_servers_is_another_log() {
    let mut cluster = Cluster::start();
    let name = cluster.database();
    let options = cluster.options(&name);
    let log = database::Log { options: options.clone() };
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send(alice, dm, "kept").await;
    let data = cluster.postgres.data();
    cluster.postgres.stop(Stop::Fast).expect("PostgreSQL ends");
    let copy = data.with_extension("copy");
    let cp = |from: &std::path::Path, to: &std::path::Path| {
        assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().expect("cp").success());
    };
    cp(&data, &copy);
    cluster.postgres.launch().expect("PostgreSQL starts");
    world.send(alice, dm, "acknowledged, and lost").await;
    let before = world.log_state().await;
    cluster.postgres.stop(Stop::Fast).expect("PostgreSQL ends");
    std::fs::remove_dir_all(&data).expect("the files go");
    cp(&copy, &data);
    cluster.postgres.launch().expect("PostgreSQL starts");
    world.send(alice, dm, "afterwards").await;
    let after = world.log_state().await;
    assert_ne!(after.epoch, before.epoch);
    assert!(after.position > before.position);
}

#[tokio::test]
async fn a_log_that_came_from_elsewhere_goes_on_above_all_its_positions() {
    const FAR: i64 = 7_000_000_000_000;
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send(alice, dm, "from elsewhere").await;
    let before = world.log_state().await;
    cluster.psql(
        log.name(),
        &format!("UPDATE log_state SET system_identifier = 1; UPDATE conversations SET pos = {FAR}; UPDATE members SET pos = {FAR}; UPDATE writers SET pos = {FAR}"),
    );
    let server = log.server().await;
    let state = server.store.log_state().await.expect("the store reads");
    assert_ne!(state.epoch, before.epoch);
    assert!(state.position >= FAR);
    let first = server.store.difference(bob, SyncFrom::BEGINNING, None, 10, 10).await.expect("the store reads");
    let empty = server.store.difference(bob, first.next, None, 10, 10).await.expect("the store reads");
    assert!(empty.conversations.is_empty(), "what came along is not told again and again");
    server.submit(sending(&world.message(alice, dm, "here"))).await.expect("the message goes through");
    let next = server.store.difference(bob, empty.next, None, 10, 10).await.expect("the store reads");
    let bodies: Vec<&str> = next.conversations[0].messages.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["here"]);
    let ahead = SyncFrom { base: state.position + FAR, within: None };
    assert!(
        server.store.difference(bob, ahead, None, 10, 10).await.expect("the store reads").reset,
        "nobody was given that"
    );
}

#[tokio::test]
async fn what_a_server_left_unindexed_is_found_by_the_next() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let old = world.send(alice, dm, "an old needle").await;
    assert_eq!(world.found(bob, "needle").await.len(), 1);
    let (other, raw) = (log.server().await, log.raw().await);
    // Nobody gets to index it: the row of its progress is held, and then this server ends.
    raw.run(&format!("BEGIN; SELECT 1 FROM search_progress WHERE conversation_id = '{dm}' FOR UPDATE")).await;
    other.submit(sending(&world.message(bob, dm, "a new needle"))).await.expect("the message goes through");
    other.submit(world.editing(alice, &old, "an old needle, edited")).await.expect("the edit goes through");
    assert_eq!(other.store.search_lag().conversations, 1);
    other.store.close();
    raw.run("COMMIT").await;
    assert_eq!(world.found(bob, "new needle").await.len(), 0);
    let next = log.server().await;
    let found = async {
        loop {
            let hits = next.store.search(bob, "needle".to_owned(), None, 10).await.expect("the store reads");
            if hits.len() == 2 {
                break hits;
            }
        }
    };
    let hits = tertulia_testkit::within("the index follows", found).await.expect("in time");
    assert_eq!(next.store.search(bob, "edited".to_owned(), None, 10).await.expect("the store reads"), hits[1..]);
}
