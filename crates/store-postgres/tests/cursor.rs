//! The cursor: transactions become visible in another order than that of their numbers, and nothing is missed.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod database;

use tertulia_store::conformance::world::World;
use tertulia_store::conformance::writes::sending;
use tertulia_store::*;
use tertulia_testkit::PostgresOptions;
use tertulia_testkit::postgres::Stop;

use crate::database::{Cluster, Log};

async fn page(world: &World, person: UserId, from: SyncFrom) -> DifferencePage {
    world.store.difference(person, from, None, 50, 50).await.expect("the store reads")
}

fn bodies(page: &DifferencePage) -> Vec<&str> {
    page.conversations.iter().flat_map(|changed| &changed.messages).map(|message| message.body.as_str()).collect()
}

/// Keeps others from writing to a conversation until it is let go.
async fn hold(log: &Log, conversation: ConversationId) -> database::Raw {
    let raw = log.raw().await;
    raw.run(&format!("BEGIN; SELECT 1 FROM conversations WHERE id = '{conversation}' FOR UPDATE")).await;
    raw
}

#[tokio::test]
async fn what_commits_late_with_a_low_number_comes_with_the_next_difference() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let (other, watch) = (log.server().await, log.raw().await);
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (slow, quick) = (world.group(alice, &[bob]).await, world.group(alice, &[bob]).await);
    let before = page(&world, bob, SyncFrom::BEGINNING).await.next;

    let held = hold(&log, slow).await;
    let late = other.submitted(sending(&world.message(alice, slow, "late")));
    watch.until_waiting(1).await;
    world.send(alice, quick, "early").await;
    let first = page(&world, bob, before).await;
    assert_eq!(bodies(&first), ["early"]);
    assert!(!first.has_more);
    // The same once more, for nothing is certain yet beyond the one that waits.
    let again = page(&world, bob, first.next).await;
    assert_eq!(bodies(&again), ["early"]);
    // Nor does one reader take another for a reason to go on.
    for _ in 0..20 {
        let both = futures_util::join!(page(&world, bob, first.next), page(&world, alice, first.next));
        assert_eq!((both.0.next, both.1.next), (first.next, first.next));
    }

    held.run("COMMIT").await;
    late.await.expect("a completion is called").expect("the message goes through");
    let next = page(&world, bob, again.next).await;
    let mut told = bodies(&next);
    told.sort_unstable();
    assert_eq!(told, ["early", "late"]);
    let last = page(&world, bob, next.next).await;
    assert!(last.conversations.is_empty(), "{last:?}");
    assert!(last.next.base > first.next.base, "and the cursor went on");
}

#[tokio::test]
async fn positions_do_not_fall_along_a_conversation_whoever_got_their_number_first() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let (slow, quick, watch) = (log.server().await, log.server().await, log.raw().await);
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let mut groups = Vec::new();
    for _ in 0..3 {
        groups.push(world.group(alice, &[bob]).await);
    }
    groups.sort_unstable();
    let [first, shared, gate] = groups[..] else { panic!("three groups") };
    let before = page(&world, bob, SyncFrom::BEGINNING).await.next;

    // The slow server's next batch takes both conversations: its number first, the first conversation, and much later the shared one.
    let (at_gate, at_first) = (hold(&log, gate).await, hold(&log, first).await);
    let waits = slow.submitted(sending(&world.message(alice, gate, "to be behind")));
    watch.until_waiting(1).await;
    let both = [first, shared].map(|group| slow.submitted(sending(&world.message(alice, group, "slow"))));
    at_gate.run("COMMIT").await;
    waits.await.expect("a completion is called").expect("the message goes through");
    watch.until_waiting(1).await;
    for _ in 0..3 {
        quick.submit(sending(&world.message(bob, shared, "quick"))).await.expect("the message goes through");
    }
    let from = page(&world, bob, before).await;
    assert!(bodies(&from).contains(&"quick"));
    at_first.run("COMMIT").await;
    for one in both {
        one.await.expect("a completion is called").expect("the message goes through");
    }
    let falls = format!(
        "SELECT count(*) FROM (SELECT born_pos - lag(born_pos) OVER (ORDER BY seq) AS step FROM messages WHERE conversation_id = '{shared}') x
         WHERE step < 0"
    );
    assert_eq!(watch.one::<i64>(&falls).await, 0, "births never fall along a conversation");
    let next = page(&world, bob, from.next).await;
    assert_eq!(bodies(&next).iter().filter(|body| **body == "slow").count(), 2, "{:?}", bodies(&next));
}

#[tokio::test]
async fn a_long_writer_anywhere_in_the_cluster_delays_the_cursor_and_loses_nothing() {
    let cluster = Cluster::start();
    let (log, stranger) = (cluster.log(), cluster.database());
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let mut from = page(&world, bob, SyncFrom::BEGINNING).await.next;
    let elsewhere = database::Raw::connect(&cluster.postgres.url(&stranger)).await;
    elsewhere.run("CREATE TABLE t (n int); BEGIN; INSERT INTO t VALUES (1)").await;
    for n in 1..=3 {
        world.send(alice, dm, &n.to_string()).await;
        let page = page(&world, bob, from).await;
        assert_eq!(bodies(&page).len(), n, "all since the stranger began, each time");
        from = page.next;
    }
    let base = from.base;
    elsewhere.run("COMMIT").await;
    let page = page(&world, bob, from).await;
    assert_eq!(bodies(&page).len(), 3);
    assert!(page.next.base > base);
    let page = self::page(&world, bob, page.next).await;
    assert!(page.conversations.is_empty());
}

#[tokio::test]
async fn holes_are_told_right_while_the_horizon_stands_still() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let old = world.send_many(alice, dm, 20).await;
    let held = log.raw().await;
    held.run("BEGIN; SELECT pg_current_xact_id()").await;
    let from = page(&world, bob, SyncFrom::BEGINNING).await.next;
    world.send_many(alice, dm, 9).await;
    world.done(world.editing(alice, &old[3], "edited")).await;
    for _ in 0..2 {
        let page = world.store.difference(bob, from, None, 50, 4).await.expect("the store reads");
        let changed = &page.conversations[0];
        let seqs: Vec<i64> = changed.messages.iter().map(|message| message.seq).collect();
        assert_eq!((seqs, changed.hole_before), (vec![4, 26, 27, 28, 29], Some(26)));
    }
}

#[tokio::test]
async fn the_search_index_does_not_hold_the_cursor() {
    let cluster = Cluster::start();
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send(alice, dm, "first").await;
    world.search_caught_up().await;
    // The indexing of the next message waits in the middle of its transaction.
    let (held, watch) = (log.raw().await, log.raw().await);
    held.run("BEGIN; LOCK TABLE message_texts IN SHARE MODE").await;
    world.send(alice, dm, "second").await;
    watch.until_waiting(1).await;
    let state = world.log_state().await;
    let page = page(&world, bob, SyncFrom { base: state.position, within: None }).await;
    assert!(page.conversations.is_empty(), "{page:?}");
    held.run("COMMIT").await;
}

/// What leaves nothing on the disk takes numbers that a crash gives out again; nobody may have been told that all up to them is known.
#[tokio::test]
async fn numbers_that_are_given_again_after_a_crash_are_above_every_cursor() {
    let mut cluster = Cluster::start_with(PostgresOptions::default().set("wal_writer_delay", "10000"));
    let log = cluster.log();
    let world = World::open(&log).await;
    let [alice, bob, eve] = world.people(["alice", "bob", "eve"]).await;
    let group = world.group(alice, &[bob]).await;
    for _ in 0..40 {
        world.refused(sending(&world.message(eve, group, "not hers"))).await;
    }
    let told = page(&world, bob, SyncFrom::BEGINNING).await.next;
    cluster.postgres.stop(Stop::Immediate).expect("the cluster ends");
    cluster.postgres.launch().expect("the cluster starts");
    world.send(alice, group, "after the crash").await;
    // Until the numbers are beyond those that were given twice: nothing shows any more that there was a crash.
    for _ in 0..80 {
        world.refused(sending(&world.message(eve, group, "not hers"))).await;
    }
    let next = page(&world, bob, told).await;
    assert!(!next.reset);
    assert_eq!(bodies(&next), ["after the crash"]);
}
