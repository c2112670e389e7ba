//! A database that says nothing, or that somebody else keeps busy.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod database;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tertulia_proto::HistoryVisibility;
use tertulia_store::conformance::world::World;
use tertulia_store::conformance::writes::sending;
use tertulia_store::*;
use tertulia_store_postgres::Options;
use tertulia_testkit::{until, within};

use crate::database::{Cluster, Log, Raw, Server, seed};

/// A server that gives up an answer soon.
async fn impatient(log: &Log) -> Server {
    Server::open(&Options { silence_max: Duration::from_secs(3), seed: seed(), ..log.options.clone() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_to_a_frozen_database_is_answered_and_there_once_when_it_goes_on() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let server = impatient(&log).await;
    for round in 0..3 {
        let before = server.store.writer_counts().reconnects;
        let messages: Vec<AppendMessage> =
            (0..20).map(|n| world.message(alice, group, &format!("{round} {n}"))).collect();
        server.submit(sending(&world.message(alice, group, "awake"))).await.expect("the database answers");
        cluster.postgres.pause().expect("it stops");
        let told: Vec<_> = messages.iter().map(|message| server.submitted(sending(message))).collect();
        until("the connection is given up", || server.store.writer_counts().reconnects > before).await.expect("soon");
        cluster.postgres.resume().expect("it goes on");
        for (message, told) in messages.iter().zip(told) {
            let first = within("an answer", told).await.expect("in time").expect("a completion is called");
            // Whoever was refused sends again, as clients do.
            let again = server.submit(sending(&world.again(message))).await.expect("the database answers");
            let Effect::MessageAppended { fresh, .. } = again else { panic!("another effect") };
            assert_eq!(fresh, first.is_err(), "an answer says what is so");
        }
    }
    let bodies: Vec<String> = world.history(bob, group).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies.len(), 63);
    assert_eq!(bodies.iter().filter(|body| *body != "awake").collect::<BTreeSet<_>>().len(), 60, "each of them once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_ends_though_its_database_is_frozen() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let server = impatient(&log).await;
    server.submit(sending(&world.message(alice, dm, "before"))).await.expect("the database answers");
    cluster.postgres.pause().expect("it stops");
    let told = server.submitted(sending(&world.message(alice, dm, "into the void")));
    let store = Arc::clone(&server.store);
    let closing = tokio::task::spawn_blocking(move || store.close());
    within("the end", closing).await.expect("in time").expect("no panic");
    assert!(told.await.expect("a completion is called").is_err(), "nobody says that it was written");
    cluster.postgres.resume().expect("it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_a_stranger_holds_keeps_nobody_else_waiting() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (held, also_held, free) =
        (world.dm(alice, bob).await, world.dm(bob, carol).await, world.dm(alice, carol).await);
    let server = log.server().await;
    let (raw, other) = (log.raw().await, log.raw().await);
    let hold = |dm: ConversationId| format!("BEGIN; SELECT 1 FROM conversations WHERE id = '{dm}' FOR UPDATE");
    raw.run(&hold(held)).await;
    other.run(&hold(also_held)).await;
    let talk = async {
        for n in 0..40 {
            let stuck = [
                server.submitted(sending(&world.message(alice, held, &format!("{n}")))),
                server.submitted(sending(&world.message(bob, also_held, &format!("{n}")))),
            ];
            let sent = server.submitted(sending(&world.message(carol, free, &format!("{n}"))));
            sent.await.expect("a completion is called").expect("nobody holds this one");
            for told in stuck {
                let refused = told.await.expect("a completion is called");
                assert!(matches!(refused, Err(WriteError::Store(StoreError::Unavailable(_)))), "{refused:?}");
            }
        }
    };
    // Forty times the wait for a lock would be minutes.
    within("a talk beside the held conversations", talk).await.expect("in time");
    raw.run("COMMIT").await;
    // The first one after that may still find it together with the other one.
    let _ = server.submit(sending(&world.message(alice, held, "is it free?"))).await;
    server.submit(sending(&world.message(alice, held, "at last"))).await.expect("it is free again");
    other.run("COMMIT").await;
    let _ = server.submit(sending(&world.message(bob, also_held, "and this?"))).await;
    server.submit(sending(&world.message(bob, also_held, "too"))).await.expect("it is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writes_that_go_one_by_one_a_busy_held_conversation_takes_the_patience_of_no_other() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob, carol, dave] = world.people(["alice", "bob", "carol", "dave"]).await;
    let (held, free) = (world.dm(alice, bob).await, world.dm(alice, carol).await);
    let (bad, first) = (world.dm(bob, carol).await, world.dm(alice, dave).await);
    world.send(alice, held, "one that has a job").await;
    cluster.psql(
        log.name(),
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''on purpose''; END';
         CREATE TRIGGER broken BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.body = 'bad') EXECUTE FUNCTION broken()",
    );
    let server = log.server().await;
    let (raw, other) = (log.raw().await, log.raw().await);
    // Not the conversation itself, whose holders are looked for.
    raw.run(&format!("BEGIN; SELECT 1 FROM jobs WHERE unique_key = uuid_send('{held}') FOR UPDATE")).await;
    // What is submitted while the writer waits is one batch.
    other.run(&format!("BEGIN; SELECT 1 FROM conversations WHERE id = '{first}' FOR UPDATE")).await;
    let before = server.submitted(sending(&world.message(alice, first, "first")));
    log.raw().await.until_waiting(1).await;
    let stuck: Vec<_> = (0..10).map(|n| server.submitted(sending(&world.message(bob, held, &n.to_string())))).collect();
    let broken = server.submitted(sending(&world.message(bob, bad, "bad")));
    let sent = server.submitted(sending(&world.message(carol, free, "good")));
    other.run("COMMIT").await;
    before.await.expect("a completion is called").expect("it is free again");
    sent.await.expect("a completion is called").expect("nobody holds this one");
    assert!(broken.await.expect("a completion is called").is_err());
    for told in stuck {
        assert!(told.await.expect("a completion is called").is_err());
    }
    raw.run("COMMIT").await;
    server.submit(sending(&world.message(bob, held, "at last"))).await.expect("it is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_that_a_stranger_holds_keeps_only_their_own_writes_waiting() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (group, dm) = (world.group(alice, &[bob]).await, world.dm(alice, bob).await);
    let server = log.server().await;
    let raw: Raw = log.raw().await;
    raw.run(&format!("BEGIN; SELECT 1 FROM users WHERE id = '{carol}' FOR UPDATE")).await;
    let adding =
        server.submitted(Write::AddMember { conversation: group, actor: alice, target: carol, now: world.now() });
    let sent = server.submitted(sending(&world.message(alice, dm, "beside it")));
    let both = async { (adding.await.expect("a completion is called"), sent.await.expect("a completion is called")) };
    let (added, sent) = within("both answers", both).await.expect("in time");
    assert!(added.is_err());
    sent.expect("nobody holds what this one needs");
    raw.run("COMMIT").await;
    server
        .submit(Write::AddMember { conversation: group, actor: alice, target: carol, now: world.now() })
        .await
        .expect("she is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_that_a_stranger_holds_costs_the_long_wait_once() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let dm = world.dm(alice, bob).await;
    let server = log.server().await;
    let raw: Raw = log.raw().await;
    raw.run(&format!("BEGIN; SELECT 1 FROM users WHERE id = '{carol}' FOR UPDATE")).await;
    let opening = || server.submitted(world.creating_group(alice, &[carol], HistoryVisibility::Joined));
    let all: Vec<_> = (0..20).map(|_| opening()).collect();
    let sent = server.submitted(sending(&world.message(alice, dm, "behind them")));
    // Twenty times the wait for a lock would be minutes.
    let answers = async {
        for told in all {
            let refused = told.await.expect("a completion is called");
            assert!(matches!(refused, Err(WriteError::Store(StoreError::Unavailable(_)))), "{refused:?}");
        }
        sent.await.expect("a completion is called").expect("nobody holds what this one needs");
    };
    within("all answers", answers).await.expect("in time");
    raw.run("COMMIT").await;
    opening().await.expect("a completion is called").expect("she is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_host_that_opens_its_socket_and_says_nothing_is_passed_by() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    let url = log.options.url.replacen('@', &format!("@127.0.0.1:{port},"), 1);
    let options = Options { url, seed: seed(), ..log.options.clone() };
    let server = within("the other host answers", Server::open(&options)).await.expect("in time");
    let opened = within("a write", server.submit(world.opening_dm(alice, bob))).await.expect("in time");
    opened.expect("the database answers");
    let list = server.store.conversations(bob, None, 10);
    assert_eq!(within("a lookup", list).await.expect("in time").expect("the store reads").conversations.len(), 1);
}

#[tokio::test]
async fn a_log_that_went_back_behind_a_pooler_is_noticed_by_the_next_write() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let server = log.server().await;
    server.submit(sending(&world.message(alice, dm, "one"))).await.expect("the database answers");
    server.submit(sending(&world.message(alice, dm, "two"))).await.expect("the database answers");
    let before = server.store.log_state().await.expect("the store reads");
    // What a copy put back looks like to a connection that outlives it.
    log.raw().await.run("UPDATE writers SET batch = batch - 1").await;
    let reconnects = server.store.writer_counts().reconnects;
    server.submit(sending(&world.message(alice, dm, "three"))).await.expect("it settles what the log is");
    assert_ne!(server.store.log_state().await.expect("the store reads").epoch, before.epoch);
    assert_eq!(server.store.writer_counts().reconnects, reconnects + 1);
}
