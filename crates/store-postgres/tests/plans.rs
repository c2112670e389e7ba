//! How the database goes about it: no large table is read whole, and a conversation's messages are looked for in one partition.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod database;

use std::collections::BTreeSet;

use tertulia_proto::sync::Held as HeldRev;
use tertulia_proto::{DeviceId, PushProvider, ServerId};
use tertulia_store::conformance::book::Book;
use tertulia_store::conformance::hooks::{Hooks, line};
use tertulia_store::conformance::world::World;
use tertulia_store::conformance::writes::sending;
use tertulia_store::jobs::*;
use tertulia_store::push::*;
use tertulia_store::trace::*;
use tertulia_store::*;
use tertulia_store_postgres::Options;
use tertulia_testkit::postgres::ADMINISTRATION;
use tertulia_testkit::{Postgres, PostgresOptions, within};

use crate::database::{Cluster, Followed, Pair};

/// What must never be read whole.
const LARGE: [&str; 7] =
    ["messages", "message_texts", "message_keys", "members", "conversations", "reactions", "users"];

/// A cluster that writes down how it went about each statement.
fn explaining() -> Cluster {
    Cluster::start_with(explanations())
}

fn explanations() -> PostgresOptions {
    PostgresOptions::default()
        .set("session_preload_libraries", "auto_explain")
        .set("auto_explain.log_min_duration", "0")
        .set("auto_explain.log_analyze", "on")
        .set("auto_explain.log_timing", "off")
        .set("log_line_prefix", "")
}

struct Plan {
    statement: String,
    /// Parts that were executed.
    nodes: Vec<String>,
}

impl Plan {
    /// The tables that were looked into, partitions by their own names.
    fn tables(&self) -> BTreeSet<&str> {
        self.nodes
            .iter()
            .filter(|node| node.contains(" Scan"))
            .filter_map(|node| node.split(" on ").nth(1))
            .filter_map(|rest| rest.split([' ', '(']).next())
            .collect()
    }

    fn partitions_of(&self, table: &str) -> usize {
        let is_partition = |name: &&&str| {
            name.strip_prefix(table).is_some_and(|rest| rest.trim_start_matches('_').parse::<u32>().is_ok())
        };
        self.tables().iter().filter(is_partition).count()
    }
}

/// The plans in the log from some place on, without those of other people's statements.
fn plans(log: &str) -> Vec<Plan> {
    log.split("LOG:  duration: ")
        .skip(1)
        .filter_map(|entry| {
            let (_, text) = entry.split_once("Query Text: ")?;
            let begins = text.find("(cost=")?;
            let begins = text[..begins].rfind('\n')?;
            let nodes =
                text[begins..].lines().filter(|line| line.contains("(actual ")).map(|line| line.trim().to_owned());
            let statement = text[..begins].split_whitespace().collect::<Vec<_>>().join(" ");
            Some(Plan { statement, nodes: nodes.collect() })
        })
        .collect()
}

fn is_indexing(plan: &Plan) -> bool {
    ["INSERT INTO message_texts", "DELETE FROM message_texts"].iter().any(|begin| plan.statement.starts_with(begin))
}

/// Does something and gives the plans that it had.
async fn plans_of<T>(cluster: &Cluster, what: impl Future<Output = T>) -> Vec<Plan> {
    let before = cluster.postgres.log().len();
    what.await;
    // What is written down comes a moment after its answer.
    let end = format!("the end of {before}");
    cluster.psql(ADMINISTRATION, &format!("SELECT '{end}'"));
    let written = async {
        while !cluster.postgres.log()[before..].contains(&end) {
            tokio::task::yield_now().await;
        }
    };
    within("the log is written", written).await.expect("soon");
    plans(&cluster.postgres.log()[before..])
}

#[tokio::test]
async fn no_large_table_is_read_whole_and_a_conversation_lies_in_one_partition() {
    let cluster = explaining();
    let log = database::Log { options: Options { partitions: 16, ..cluster.options(&cluster.database()) } };
    let world = World::open(&log).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let mut groups = Vec::new();
    for _ in 0..8 {
        groups.push(world.open_group(alice, &[bob, carol]).await);
    }
    for name in 0..60 {
        world.person(&format!("p{name}")).await;
    }
    for group in &groups {
        world.send_many(alice, *group, 500).await;
    }
    let first = world.send(alice, groups[0], "the needle").await;
    world.done(world.editing(alice, &first, "the needle, edited")).await;
    // Once without statistics, and once with them.
    for statistics in ["", "ANALYZE"] {
        cluster.psql(log.name(), statistics);
        let mut all = writes(&cluster, &world, alice, &groups).await;
        let one = reads_of_one(&cluster, &world, bob, &first).await;
        // The index follows many conversations at once.
        for plan in one.iter().chain(&all).filter(|plan| !is_indexing(plan)) {
            for table in ["messages", "message_keys", "message_texts"] {
                let count = plan.partitions_of(table);
                assert!(count <= 1, "{count} partitions of {table}: {}\n{:#?}", plan.statement, plan.nodes);
            }
        }
        all.extend(one);
        all.extend(reads_of_many(&cluster, &world, bob, &groups).await);
        assert!(all.len() > 50, "{} plans are too few: are they in the log?", all.len());
        none_is_read_whole(&all);
    }
}

fn none_is_read_whole(plans: &[Plan]) {
    for plan in plans {
        let whole = plan.nodes.iter().find(|node| {
            LARGE.iter().any(|table| {
                let at = format!("Seq Scan on {table}");
                node.contains(&format!("{at} ")) || node.contains(&format!("{at}_"))
            })
        });
        assert_eq!(whole, None, "{}\n{:#?}", plan.statement, plan.nodes);
    }
}

#[tokio::test]
async fn no_large_table_is_read_whole_at_a_replica_nor_by_what_is_asked_before_it() {
    let primary = explaining();
    let replica = Postgres::start_from(explanations(), |to| primary.postgres.back_up(to, true));
    let home = Followed::by(Pair { primary, replica: replica.expect("a replica starts") });
    let world = World::open(&home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let mut groups = Vec::new();
    for _ in 0..8 {
        groups.push(world.open_group(alice, &[bob]).await);
    }
    for group in &groups {
        world.send_many(alice, *group, 100).await;
    }
    world.search_caught_up().await;
    let raw = database::Raw::connect(&home.pair.primary.postgres.url(ADMINISTRATION)).await;
    raw.until("SELECT coalesce(bool_and(replay_lsn >= pg_current_wal_insert_lsn()), false) FROM pg_stat_replication")
        .await;
    let clusters = [&home.pair.primary.postgres, &home.pair.replica];
    let before = clusters.map(|cluster| cluster.log().len());
    world.history(bob, groups[0]).await;
    world.list(bob, 3).await;
    world.found(bob, "100").await;
    world.store.difference(bob, SyncFrom::BEGINNING, None, 50, 20).await.expect("the store reads");
    assert!(home.store().replicas()[0].reads >= 4, "{:?}", home.store().replicas());
    assert!(home.store().fallbacks().iter().all(|(_, count)| *count == 0), "{:?}", home.store().fallbacks());
    for (cluster, before) in clusters.into_iter().zip(before) {
        let plans = plans(&cluster.log()[before..]);
        assert!(plans.len() > 5, "{} plans are too few: are they in the log?", plans.len());
        none_is_read_whole(&plans);
    }
}

/// Each in a transaction about one conversation.
async fn writes(cluster: &Cluster, world: &World, alice: UserId, groups: &[ConversationId]) -> Vec<Plan> {
    plans_of(cluster, async {
        for group in &groups[..3] {
            let message = world.send(alice, *group, "hello").await;
            world.done(sending(&world.reply(alice, &message, "an answer"))).await;
            world.done(world.reading(alice, *group, 10)).await;
            world.done(world.reacting(alice, &message, "👍")).await;
            world.done(world.editing(alice, &message, "hello!")).await;
            world.done(world.deleting(alice, &message)).await;
        }
    })
    .await
}

async fn reads_of_one(cluster: &Cluster, world: &World, bob: UserId, first: &Message) -> Vec<Plan> {
    let group = first.conversation_id;
    plans_of(cluster, async {
        world.search_caught_up().await;
        world.history(bob, group).await;
        world.page(bob, group, HistoryRange::Before(100), 50).await;
        world.page(bob, group, HistoryRange::AfterMessage(first.message_id), 50).await;
        world.message_seen(bob, first).await.expect("bob sees it");
        world.view(bob, group).await;
        world.store.search(bob, "needle".to_owned(), Some(group), 10).await.expect("the store reads");
    })
    .await
}

async fn reads_of_many(cluster: &Cluster, world: &World, bob: UserId, groups: &[ConversationId]) -> Vec<Plan> {
    let position = world.log_state().await.position;
    for group in groups {
        let message = world.send(bob, *group, "more").await;
        world.done(world.reacting(bob, &message, "👍")).await;
    }
    plans_of(cluster, async {
        world.list(bob, 3).await;
        let from = SyncFrom { base: position, within: None };
        world.store.difference(bob, from, None, 50, 50).await.expect("the store reads");
        world.store.difference(bob, SyncFrom { base: 1, within: None }, None, 50, 20).await.expect("the store reads");
        let have = groups.iter().map(|id| (*id, HeldRev { id: *id, rev: 100, last_seq: 99 })).collect();
        world.store.difference(bob, from, Some(have), 50, 50).await.expect("the store reads");
        world.store.memberships(bob).await.expect("the store reads");
        world.store.acquaintances(bob, vec![bob]).await.expect("the store reads");
    })
    .await
}

/// Everything that is asked of and told by devices.
async fn all_of_devices(book: &Book, (alice, bob): (UserId, UserId), device: DeviceId, groups: &[ConversationId]) {
    let world = &book.world;
    let session = book.sign_in(bob).await;
    let of_bob = |token| NewRegistration { session: Some(session), ..book.of_device(bob, token, device) };
    for token in ["first", "refreshed", "refreshed", "other"] {
        book.register(of_bob(token)).await;
    }
    book.push().unregister(bob, WhichDevice::Token("other".into())).await.expect("an answer");
    let phone = book.register(of_bob("bob's")).await.id;
    for group in groups {
        let message = world.send(alice, *group, "hello").await;
        world.done(book.got(bob, *group, message.seq, device)).await;
        book.heard_by(*group).await;
        book.pushed(phone, *group, 50).await;
        book.occasion(phone, *group).await;
        book.attempts(*group, 1).await;
        world.done(world.reading(bob, *group, 60)).await;
        world.send(bob, *group, "an answer").await;
    }
    book.devices(bob).await;
    book.tokens(bob).await;
    let off = book.push().switch_off(phone, token_hash(PushProvider::Fcm, "bob's"), "off".into(), world.now());
    off.await.expect("an answer");
    book.sign_out(bob, session).await;
    book.push().forget_attempts(world.now().plus_ms(-600_000), 10).await.expect("an answer");
}

/// Nothing that a device asks or tells reads what it does not need, however many people are registered.
#[tokio::test]
async fn devices_are_found_by_their_people_and_their_conversations() {
    let cluster = explaining();
    let log = database::Log { options: Options { partitions: 16, ..cluster.options(&cluster.database()) } };
    let book = Book::on(World::open(&log).await);
    let world = &book.world;
    let alice = world.person("alice").await;
    let mut people = Vec::new();
    for n in 0..40 {
        people.push(world.person(&format!("p{n}")).await);
    }
    let (bob, device) = (people[0], book.client_device());
    let mut groups = Vec::new();
    for _ in 0..8 {
        let group = world.group(alice, &people[..3]).await;
        world.send_many(alice, group, 100).await;
        groups.push(group);
    }
    for person in &people {
        for n in 0..3 {
            let phone = book.phone_of(*person, &format!("{person} {n}")).await;
            // Few calls, because each is written down.
            book.note(groups.iter().map(|group| book.noted(phone, *group, 10, PushOutcome::Accepted)).collect()).await;
        }
    }
    for statistics in ["", "ANALYZE"] {
        cluster.psql(log.name(), statistics);
        let all = plans_of(&cluster, all_of_devices(&book, (alice, bob), device, &groups[..3])).await;
        none_is_read_whole(&all);
        let about: Vec<&Plan> = all
            .iter()
            .filter(|plan| {
                ["devices", "device_seats", "push_attempts"].iter().any(|table| plan.statement.contains(table))
            })
            .collect();
        assert!(about.len() > 40, "{} plans are too few: are they in the log?", about.len());
        for plan in about {
            let whole = plan.nodes.iter().find(|node| {
                let is_whole = node.contains("Seq Scan on device") || node.contains("Seq Scan on push_attempts");
                // Without a condition an index is read from its one end to the other.
                is_whole
                    || node.contains("devices_pkey on devices")
                        && !plan.statement.contains("ANY($1)")
                        && !plan.statement.contains("id = ")
            });
            assert_eq!(whole, None, "{}\n{:#?}", plan.statement, plan.nodes);
        }
        // What an app adds up lies in many conversations; everything else in one.
        for plan in all.iter().filter(|plan| !is_indexing(plan) && !plan.statement.contains("AS deleted FROM messages"))
        {
            let count = plan.partitions_of("messages");
            assert!(count <= 1, "{count} partitions: {}\n{:#?}", plan.statement, plan.nodes);
        }
    }
}

/// Everything that is asked of the traces, with rows of these messages.
async fn all_of_traces(world: &World, message: &Message) {
    let traces = world.store.traces();
    let (place, sender) = (message.conversation_id, message.sender_id);
    let name = |sender| WhichMessage::Name { client_msg_id: message.client_msg_id.clone(), sender };
    for which in [WhichMessage::Id(message.message_id), name(Some(sender)), name(None)] {
        let found = traces.find_message(which).await.expect("an answer");
        assert_eq!(found, [Place { conversation: place, seq: message.seq, sender }]);
    }
    let traced = traces.traced(place, message.seq).await.expect("an answer").expect("it is there");
    assert_eq!(traced.way.len(), 1);
    traces.traced_receipts(place, ReceiptsAfter::from(message.seq)).await.expect("an answer");
    traces.members_then(place, message.seq, vec![sender]).await.expect("an answer");
    traces.count_traces().await.expect("an answer");
    assert_eq!(traces.surplus_traces(1_000_000).await.expect("an answer"), None);
    let before = OldTraces::Outside { from: Timestamp::from_ms(0), to: Timestamp::from_ms(i64::MAX) };
    assert_eq!(traces.forget_traces(before, 10).await.expect("an answer"), 0);
}

/// However many messages there are, and rows of them.
#[tokio::test]
async fn a_message_of_the_last_days_is_found_by_its_traces() {
    let cluster = explaining();
    let log = database::Log { options: Options { partitions: 16, ..cluster.options(&cluster.database()) } };
    let world = World::open(&log).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let mut all = Vec::new();
    for _ in 0..8 {
        let group = world.open_group(alice, &[bob]).await;
        all.extend(world.send_many(alice, group, 100).await);
    }
    let row = |kind, (part, message): (i64, &Message)| TraceRow {
        conversation: message.conversation_id,
        kind,
        seq: message.seq,
        message: (kind == TraceKind::Way).then_some(message.message_id),
        client_msg_id: (kind == TraceKind::Way).then(|| message.client_msg_id.clone()),
        server: ServerId::from_bytes([9; 16]),
        part,
        at: Timestamp::from_ms(part),
        data: "[]".to_owned(),
    };
    for some in all.chunks(TRACE_ROWS_MAX) {
        for kind in [TraceKind::Way, TraceKind::Receipts] {
            let rows = (1..).zip(some).map(|one| row(kind, one)).collect();
            world.store.traces().note_traces(rows).await.expect("rows are kept");
        }
    }
    for statistics in ["", "ANALYZE"] {
        cluster.psql(log.name(), statistics);
        let plans = plans_of(&cluster, all_of_traces(&world, &all[555])).await;
        none_is_read_whole(&plans);
        let about: Vec<&Plan> = plans.iter().filter(|plan| plan.statement.contains("traces")).collect();
        assert!(about.len() >= 8, "{} plans are too few: are they in the log?", about.len());
        for plan in about {
            let is_whole = plan.nodes.iter().any(|node| node.contains("Seq Scan on traces"));
            assert!(!is_whole && plan.partitions_of("messages") <= 1, "{}\n{:#?}", plan.statement, plan.nodes);
        }
        let by_index = |index: &str| plans.iter().any(|plan| plan.nodes.iter().any(|node| node.contains(index)));
        assert!(by_index("traces_by_message") && by_index("traces_by_name") && by_index("one_row_per_part"));
        assert!(!plans.iter().any(|plan| plan.statement.starts_with("SELECT c.id, x.seq")), "no scan");
    }
}

/// One of three kinds, each with a key of its own.
fn job(n: i64) -> NewJob {
    NewJob {
        kind: format!("kind {}", n % 3),
        unique_key: Some(n.to_be_bytes().to_vec()),
        unless_running: false,
        payload: String::new(),
        priority: Priority::Normal,
        run_at: Timestamp::from_ms(n),
        now: Timestamp::from_ms(0),
    }
}

/// So many jobs are queued, claimed, held on to and ended in every way: the plans before the ends, and those of the ends.
async fn ends(cluster: &Cluster, jobs: &dyn JobQueue, count: usize) -> (Vec<Plan>, Vec<Plan>) {
    let (at, worker) = (Timestamp::from_ms, [1; 16]);
    let kinds = (0..2).map(|n| ClaimKind { kind: format!("kind {n}"), attempts_max: 3, jobs_max: 50 }).collect();
    let claim = Claim { kinds, jobs_max: count, worker, now: at(1000), lease_until: at(2000) };
    let mut held = Vec::new();
    let before = plans_of(cluster, async {
        jobs.enqueue((0..500).map(job).collect()).await.expect("jobs are queued");
        let claimed = jobs.claim(claim).await.expect("jobs are claimed");
        held.extend(claimed.iter().map(|job| Held { id: job.id, worker, attempt: job.attempt }));
        jobs.renew(held.clone(), at(3000)).await.expect("leases are renewed");
        // Some of their keys are ready again.
        jobs.enqueue((0..250).map(job).collect()).await.expect("jobs are queued");
    })
    .await;
    assert_eq!(held.len(), count);
    let end = |(n, held): (i64, &Held)| {
        let reason = String::new();
        let end = match n % 4 {
            0 => JobEnd::Done,
            1 => JobEnd::Retry { at: at(5000), reason },
            2 => JobEnd::Dead { reason },
            _ => JobEnd::HandedBack,
        };
        Finish { held: *held, end, next: vec![job(1000 + n)] }
    };
    let finished = (0..).zip(&held).map(end).collect();
    let finishing = plans_of(cluster, async {
        jobs.finish(finished, at(1500)).await.expect("jobs are finished");
    });
    (before, finishing.await)
}

#[tokio::test]
async fn the_queue_is_never_read_whole_to_claim_renew_or_end() {
    let cluster = explaining();
    let log = database::Log { options: cluster.options(&cluster.database()) };
    let world = World::open(&log).await;
    let at = Timestamp::from_ms;
    for statistics in ["", "ANALYZE"] {
        cluster.psql(log.name(), statistics);
        let jobs = world.store.jobs();
        let mut of_finishing = Vec::new();
        let mut plans = Vec::new();
        for count in [8, 80] {
            let (before, finishing) = ends(&cluster, jobs, count).await;
            of_finishing.push(finishing.iter().filter(|plan| plan.statement.contains("jobs")).count());
            plans.extend(before.into_iter().chain(finishing));
        }
        assert!(of_finishing[0] > 4, "{of_finishing:?} plans are too few: are they in the log?");
        assert_eq!(of_finishing[0], of_finishing[1], "as many statements for many as for few");
        let rest = plans_of(&cluster, async {
            jobs.retry_dead(DeadLetters::OfKind { kind: "kind 0".into(), limit: 5 }, at(1)).await.expect("an answer");
            jobs.drop_dead(DeadLetters::Before { at: at(9000), limit: 5 }).await.expect("an answer");
            jobs.job_stats(usize::MAX).await.expect("an answer");
            let kinds = vec!["kind 0".into(), "kind 1".into()];
            let recall = Recall { kinds, now: at(1), ahead: at(10_001), lease_until: at(70_001) };
            jobs.recall(recall).await.expect("an answer");
        });
        plans.extend(rest.await);
        let recalls = plans.iter().filter(|plan| plan.statement.contains("WITH found AS MATERIALIZED"));
        for (plan, index) in recalls.clone().zip(["jobs_ready", "jobs_running"]) {
            assert!(plan.nodes.iter().any(|node| node.contains(index)), "{}\n{:#?}", plan.statement, plan.nodes);
        }
        assert_eq!(recalls.count(), 2);
        let of_jobs: Vec<&Plan> = plans.iter().filter(|plan| plan.statement.contains("jobs")).collect();
        assert!(of_jobs.len() > 30, "{} plans are too few: are they in the log?", of_jobs.len());
        for plan in of_jobs {
            let whole = plan.nodes.iter().find(|node| node.contains("Seq Scan on jobs"));
            assert_eq!(whole, None, "{}\n{:#?}", plan.statement, plan.nodes);
        }
    }
}

/// What is asked of other programs with each request, and for each message that is looked at, reads what it needs.
#[tokio::test]
async fn what_other_programs_were_told_is_found_by_index() {
    let cluster = explaining();
    let log = database::Log { options: cluster.options(&cluster.database()) };
    let hooks = Hooks::open(&log).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let all = hooks.listen(&[]).await;
    let mut groups = Vec::new();
    for _ in 0..30 {
        let group = world.group(alice, &[bob]).await;
        world.send_many(alice, group, 10).await;
        groups.push(group);
    }
    for statistics in ["", "ANALYZE"] {
        cluster.psql(log.name(), statistics);
        let asked = plans_of(&cluster, async {
            for group in &groups {
                hooks.book().rewind_line(line(all, *group), 5, world.now()).await.expect("it goes back");
                hooks.take(line(all, *group)).await;
                assert!(!hooks.book().attempts(group.uuid(), 5).await.expect("a read").is_empty());
                hooks.book().standings(group.uuid()).await.expect("a read");
            }
            let (book, long_ago) = (hooks.book(), Timestamp::from_ms(1));
            book.forget_requests(long_ago, 10).await.expect("an answer");
            book.forget_events(long_ago, 10).await.expect("an answer");
            book.forget_positions(long_ago, 10).await.expect("an answer");
            book.lines_behind(all, None).await.expect("a read");
            book.first_events(world.now(), None).await.expect("a read");
            book.endpoints().await.expect("a read");
            assert!(!book.skip_event(line(all, groups[0]), 3, world.now()).await.expect("an answer"));
        });
        let plans = asked.await;
        let about: Vec<&Plan> = plans.iter().filter(|plan| plan.statement.contains("webhook_")).collect();
        assert!(about.len() > 200, "{} plans are too few: are they in the log?", about.len());
        for plan in about {
            let is_whole = |node: &&String| {
                ["attempts", "events", "cursors"]
                    .iter()
                    .any(|table| node.contains(&format!("Seq Scan on webhook_{table}")))
            };
            assert_eq!(plan.nodes.iter().find(is_whole), None, "{}\n{:#?}", plan.statement, plan.nodes);
        }
    }
}
