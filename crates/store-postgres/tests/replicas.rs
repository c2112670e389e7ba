//! Reading at replicas: one that lags, stands still, hangs, is of another log, or is left behind by a promotion, and nobody is told anything that is not so.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod database;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tertulia_store::conformance::house::House;
use tertulia_store::conformance::replica::Replica;
use tertulia_store::conformance::sink::Sink;
use tertulia_store::conformance::world::World;
use tertulia_store::conformance::writes::sending;
use tertulia_store::*;
use tertulia_store_postgres::{Fallback, Options, PostgresStore, ReplicaState};
use tertulia_testkit::postgres::Stop;
use tertulia_testkit::{Postgres, within};

use crate::database::{Cluster, Log, PATIENT, Pair, Raw, Server, follower, seed, until_replica};

/// A replica is looked at in the beginning, and not again within a test.
const NEVER: Duration = Duration::from_secs(3600);

/// A log that one store writes and reads without knowing of the replica, and another reads with it.
struct Readers {
    world: World,
    plain: Arc<PostgresStore>,
    reader: Arc<PostgresStore>,
    log: Log,
}

/// The world is the reader's: what it asks, it asks at the replica where it may.
async fn readers(log: Log) -> Readers {
    let plain = Options { replicas: Vec::new(), seed: seed(), ..log.options.clone() };
    let plain = Server::open(&plain).await.store;
    let opening = Opening { options: log.options.clone(), opened: parking_lot::Mutex::default() };
    let world = World::open(&opening).await;
    let reader = opening.opened.lock().clone().expect("it was opened");
    Readers { world, plain, reader, log }
}

struct Opening {
    options: Options,
    opened: parking_lot::Mutex<Option<Arc<PostgresStore>>>,
}

impl tertulia_store::conformance::Home for Opening {
    async fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> Arc<dyn Store> {
        let store = PostgresStore::open(&self.options, rules, sink).await.expect("the database opens");
        *self.opened.lock() = Some(Arc::clone(&store));
        store as Arc<dyn Store>
    }
}

impl Readers {
    async fn until(&self, what: &str, is_so: impl Fn(ReplicaState) -> bool) {
        until_replica(&self.reader, what, is_so).await;
    }

    async fn until_used(&self) {
        self.until("the replica is read from", |replica| replica.is_used).await;
    }

    fn reads(&self) -> u64 {
        self.reader.replicas()[0].reads
    }

    fn fallbacks(&self, why: Fallback) -> u64 {
        self.reader.fallbacks().into_iter().find(|(one, _)| *one == why).expect("each is counted").1
    }

    /// Whatever one person sees is what the log says, without a replica.
    async fn sees_what_is(&self, person: UserId, groups: &[ConversationId]) {
        for group in groups {
            for range in [HistoryRange::Latest, HistoryRange::After(0), HistoryRange::Before(3)] {
                let [here, there] = [&self.plain, &self.reader].map(|store| store.history(person, *group, range, 50));
                let (here, there) = (here.await.expect("reads"), there.await.expect("reads"));
                assert_eq!(here.map(|page| page.messages), there.map(|page| page.messages));
            }
        }
        let [here, there] = [&self.plain, &self.reader].map(|store| store.conversations(person, None, 50));
        assert_eq!(here.await.expect("reads").conversations, there.await.expect("reads").conversations);
        let from = SyncFrom::BEGINNING;
        let [here, there] = [&self.plain, &self.reader].map(|store| store.difference(person, from, None, 50, 50));
        let (here, there) = (here.await.expect("reads"), there.await.expect("reads"));
        assert_eq!((here.conversations, here.removed), (there.conversations, there.removed));
    }
}

/// Also what does not wait for the disk, such as the search index.
fn all_have_all(replicas: usize) -> String {
    format!(
        "SELECT count(*) = {replicas} AND coalesce(bool_and(replay_lsn >= pg_current_wal_insert_lsn()), false) FROM pg_stat_replication"
    )
}

async fn stand_still(replica: &Raw) {
    replica.run("SELECT pg_wal_replay_pause()").await;
    replica.until("SELECT pg_get_wal_replay_pause_state() = 'paused'").await;
}

#[tokio::test]
async fn who_was_told_of_a_change_by_one_server_finds_it_over_another_that_reads_at_a_replica() {
    let pair = Pair::start();
    let readers = readers(pair.log()).await;
    let world = &readers.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let other = readers.log.server().await;
    readers.until_used().await;
    for n in 1..=150 {
        let sent = other.submit(sending(&world.message(alice, group, &n.to_string()))).await;
        let Ok(Effect::MessageAppended { message, .. }) = sent else { panic!("{sent:?}") };
        assert_eq!(world.history(bob, group).await.last(), Some(&message));
        if n % 3 == 0 {
            let edited = other.submit(world.editing(alice, &message, "edited")).await;
            assert!(edited.is_ok());
            assert_eq!(world.list(bob, 5).await[0].last_message.clone().flatten().expect("one").body, "edited");
            other.submit(world.reading(bob, group, message.seq)).await.expect("it goes through");
            assert_eq!(world.list(bob, 5).await[0].unread_count, 0);
        }
        if n % 5 == 0 {
            let until = Some(Timestamp::from_ms(n * 1000));
            other.submit(world.muting(bob, group, until)).await.expect("it goes through");
            assert_eq!(world.list(bob, 5).await[0].muted_until, until);
        }
    }
    readers.sees_what_is(bob, &[group]).await;
    assert!(readers.reads() > 0, "{:?}", readers.reader.fallbacks());
}

#[tokio::test]
async fn a_replica_that_stands_still_answers_what_it_has_and_nothing_else() {
    let pair = Pair::start();
    let mut log = pair.log();
    log.options.replica_lag_max = Duration::from_secs(3600);
    let readers = readers(log).await;
    let world = &readers.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (still, busy) = (world.group(alice, &[bob]).await, world.group(alice, &[bob]).await);
    let old = world.send_many(alice, still, 5).await;
    world.send(alice, busy, "needle one").await;
    world.search_caught_up().await;
    let primary = readers.log.raw().await;
    primary.until(&all_have_all(1)).await;
    readers.until_used().await;
    let replica = Raw::connect(&readers.log.options.replicas[0]).await;
    stand_still(&replica).await;
    world.send(alice, busy, "needle two").await;
    world.search_caught_up().await;
    let reads = readers.reads();
    assert_eq!(world.history(bob, still).await, old);
    assert!(readers.reads() > reads, "nothing of this has changed since: {:?}", readers.reader.fallbacks());
    let behind = readers.fallbacks(Fallback::Behind);
    readers.sees_what_is(bob, &[still, busy]).await;
    assert_eq!(world.found(bob, "needle").await, ["needle two", "needle one"]);
    assert!(readers.fallbacks(Fallback::Behind) >= behind + 4);
    assert!(readers.reader.replicas()[0].is_used);
}

/// A replica that is not waited for may be ahead: what it shows and the one that is waited for lacks would be gone after a promotion.
#[tokio::test]
async fn what_is_not_acknowledged_yet_is_not_shown_though_a_replica_has_it() {
    let pair = Pair::start();
    let readers = readers(pair.log()).await;
    let world = &readers.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let old = world.send(alice, group, "acknowledged").await;
    readers.until_used().await;
    let waits_for = |whom: &str| {
        pair.primary.psql(readers.log.name(), &format!("ALTER SYSTEM SET synchronous_standby_names = '{whom}'"));
        pair.primary.psql(readers.log.name(), "SELECT pg_reload_conf()");
    };
    waits_for("nobody");
    let waiting = readers.log.raw().await;
    waiting.until("SELECT current_setting('synchronous_standby_names') <> ''").await;
    let sent = world.submit(sending(&world.message(alice, group, "not yet")));
    let replica = Raw::connect(&readers.log.options.replicas[0]).await;
    replica.until("SELECT count(*) = 2 FROM messages").await;
    assert_eq!(world.history(bob, group).await, [old]);
    let anew = world.store.difference(bob, SyncFrom::BEGINNING, None, 50, 50).await.expect("the store reads");
    assert_eq!(anew.conversations[0].messages.len(), 1);
    assert_eq!(readers.fallbacks(Fallback::Behind), 2, "{:?}", readers.reader.fallbacks());
    waits_for("");
    sent.await.expect("it goes through");
    readers.sees_what_is(bob, &[group]).await;
}

#[tokio::test]
async fn a_replica_that_is_too_far_behind_is_left_out_until_it_has_caught_up() {
    let pair = Pair::start();
    let mut log = pair.log();
    log.options.replica_lag_max = Duration::from_millis(200);
    let readers = readers(log).await;
    let world = &readers.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    readers.until_used().await;
    let replica = Raw::connect(&readers.log.options.replicas[0]).await;
    stand_still(&replica).await;
    world.send(alice, group, "what it lacks").await;
    readers.until("it is left out", |replica| !replica.is_used && replica.lag_ms > 200).await;
    assert_eq!(readers.reader.replicas()[0].complaint, Some("it is too far behind"));
    let reads = readers.reads();
    readers.sees_what_is(bob, &[group]).await;
    assert_eq!(readers.reads(), reads, "nobody asks it");
    replica.run("SELECT pg_wal_replay_resume()").await;
    readers.until("it is read from again", |replica| replica.is_used && replica.lag_ms <= 200).await;
    readers.sees_what_is(bob, &[group]).await;
    assert!(readers.reads() > reads);
}

#[tokio::test]
async fn who_was_removed_sees_nothing_of_a_replica_that_does_not_know_it_yet() {
    let pair = Pair::start();
    let readers = readers(pair.log()).await;
    let world = &readers.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (group, other) = (world.group(alice, &[bob]).await, world.group(alice, &[bob]).await);
    world.send(alice, group, "a needle that bob may see").await;
    world.search_caught_up().await;
    let begun = world.store.difference(bob, SyncFrom::BEGINNING, None, 50, 50).await.expect("the store reads");
    let primary = readers.log.raw().await;
    primary.until(&all_have_all(1)).await;
    readers.until_used().await;
    let replica = Raw::connect(&readers.log.options.replicas[0]).await;
    stand_still(&replica).await;
    world.done(world.removing(alice, group, bob)).await;
    let there =
        format!("SELECT removed_at IS NULL FROM members WHERE conversation_id = '{group}' AND user_id = '{bob}'");
    assert!(replica.one::<bool>(&there).await, "the replica takes him for a member");
    let history = world.store.history(bob, group, HistoryRange::Latest, 50).await.expect("the store reads");
    assert!(history.is_none());
    let listed: Vec<ConversationId> = world.list(bob, 50).await.iter().map(|one| one.id).collect();
    assert_eq!(listed, [other]);
    assert_eq!(world.found(bob, "needle").await, [""; 0]);
    let next = world.store.difference(bob, begun.next, None, 50, 50).await.expect("the store reads");
    assert_eq!((next.removed, next.conversations.len()), (vec![group], 0));
    let anew = world.store.difference(bob, SyncFrom::BEGINNING, None, 50, 50).await.expect("the store reads");
    assert!(anew.conversations.iter().all(|one| one.conversation.id == other));
    assert!(readers.reader.replicas()[0].is_used && readers.reads() > 0, "{:?}", readers.reader.fallbacks());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_hangs_or_dies_costs_a_moment_and_comes_back() {
    let mut pair = Pair::start();
    let readers = readers(pair.log()).await;
    let world = &readers.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    world.send(alice, group, "hello").await;
    readers.until_used().await;
    readers.sees_what_is(bob, &[group]).await;
    pair.replica.pause().expect("it hangs");
    let asked = (0..40).map(|_| world.store.history(bob, group, HistoryRange::Latest, 10));
    let answers = within("everybody is answered", futures_util::future::join_all(asked)).await.expect("in time");
    for answer in answers {
        assert_eq!(answer.expect("the primary answers").expect("a member").messages.len(), 1);
    }
    assert!(!readers.reader.replicas()[0].is_used, "{:?}", readers.reader.fallbacks());
    let asked_in_vain =
        |readers: &Readers| readers.fallbacks(Fallback::Silent) + readers.fallbacks(Fallback::Unreachable);
    assert!(asked_in_vain(&readers) > 0);
    pair.replica.resume().expect("it goes on");
    readers.until_used().await;
    readers.sees_what_is(bob, &[group]).await;
    pair.replica.stop(Stop::Immediate).expect("it dies");
    readers.sees_what_is(bob, &[group]).await;
    assert!(!readers.reader.replicas()[0].is_used);
    pair.replica.launch().expect("it comes back");
    readers.until_used().await;
    let reads = readers.reads();
    readers.sees_what_is(bob, &[group]).await;
    assert!(readers.reads() > reads);
}

#[tokio::test]
async fn a_replica_that_does_not_answer_once_is_not_asked_again_before_it_was_looked_at() {
    let line = Line::start(NEVER).await;
    line.second.pause().expect("it hangs");
    let asked = within("the primary answers", line.bodies()).await.expect("in time");
    assert_eq!(asked, ["before"]);
    assert!(!line.readers.reader.replicas()[0].is_used);
    let before = line.readers.reader.fallbacks();
    line.readers.sees_what_is(line.bob, &[line.group]).await;
    assert_eq!(line.readers.reader.fallbacks(), before);
    line.second.resume().expect("it goes on");
}

#[tokio::test]
async fn a_lookup_that_a_replica_breaks_off_is_answered_by_the_primary_and_the_replica_goes_on() {
    let pair = Pair::start();
    let readers = readers(pair.log()).await;
    let world = &readers.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    world.send(alice, group, "hello").await;
    readers.until_used().await;
    // The replica follows as far as a lock that nobody can read beside, and not as far as its end.
    let (primary, replica) = (readers.log.raw().await, Raw::connect(&readers.log.options.replicas[0]).await);
    primary
        .run("BEGIN; LOCK TABLE messages IN ACCESS EXCLUSIVE MODE; SELECT pg_current_xact_id(), pg_switch_wal()")
        .await;
    replica.until("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted)").await;
    stand_still(&replica).await;
    primary.run("COMMIT").await;
    assert_eq!(world.history(bob, group).await.len(), 1);
    assert_eq!(readers.fallbacks(Fallback::Cancelled), 1, "{:?}", readers.reader.fallbacks());
    assert!(readers.reader.replicas()[0].is_used);
}

#[tokio::test]
async fn what_is_no_replica_of_this_log_is_not_read_from() {
    let (pair, stranger) = (Pair::start(), Pair::start());
    let log = pair.log();
    let world = World::open(&Log { options: Options { replicas: Vec::new(), ..log.options.clone() } }).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    // Another log of the same name, with a replica of its own.
    let name = log.name().to_owned();
    stranger.primary.postgres.create(&name).expect("a database is made");
    let theirs = Server::open(&stranger.primary.options(&name)).await;
    for (url, complaint) in [
        (stranger.replica.url(&name), OTHER_HISTORY),
        (stranger.primary.postgres.url(&name), "it is no replica"),
        (pair.primary.postgres.url(&name), "it is no replica"),
    ] {
        let options = Options { replicas: vec![url], seed: seed(), ..log.options.clone() };
        let readers = readers(Log { options }).await;
        readers.until(complaint, |replica| replica.complaint == Some(complaint)).await;
        readers.sees_what_is(bob, &[group]).await;
        let state = readers.reader.replicas()[0];
        assert!(!state.is_used && state.reads == 0);
    }
    drop(theirs);
}

const OTHER_HISTORY: &str = "it has another history than the primary";

/// A primary, who takes over from it, and a replica that is read from.
struct Line {
    primary: Cluster,
    heir: Postgres,
    second: Postgres,
    readers: Readers,
    bob: UserId,
    group: ConversationId,
}

impl Line {
    /// `look_every`: how often the replica is looked at; the first time when it has everything.
    async fn start(look_every: Duration) -> Self {
        let primary = Cluster::start();
        let name = primary.database();
        let (heir, second) = (follower(&primary), follower(&primary));
        let place = |postgres: &Postgres| {
            let url = postgres.url("");
            url.trim_start_matches("postgres://postgres@").trim_end_matches('/').to_owned()
        };
        let url = format!("postgres://postgres@{},{}/{name}", place(&primary.postgres), place(&heir));
        let replicas = vec![second.url(&name)];
        let options = Options {
            url,
            replicas,
            replica_check_every: look_every,
            replica_deadline: PATIENT,
            ..primary.options(&name)
        };
        Server::open(&Options { replicas: Vec::new(), ..options.clone() }).await.store.close();
        let raw = Raw::connect(&primary.postgres.url(&name)).await;
        raw.until(&all_have_all(2)).await;
        let readers = readers(Log { options }).await;
        let [alice, bob] = readers.world.people(["alice", "bob"]).await;
        let group = readers.world.group(alice, &[bob]).await;
        readers.world.send(alice, group, "before").await;
        readers.until_used().await;
        let line = Self { primary, heir, second, readers, bob, group };
        line.until_all_have_all(2).await;
        line
    }

    fn name(&self) -> &str {
        self.readers.log.name()
    }

    async fn until_all_have_all(&self, replicas: usize) {
        let raw = Raw::connect(&self.primary.postgres.url(self.name())).await;
        raw.until(&all_have_all(replicas)).await;
    }

    /// Whom a replica follows from now on; nobody where there is none.
    fn follow(&self, replica: &Postgres, leader: Option<&Postgres>) {
        let place = leader.map_or_else(String::new, |leader| {
            format!("host={} port={} user=postgres", leader.folder().display(), leader.port())
        });
        replica.psql(self.name(), &format!("ALTER SYSTEM SET primary_conninfo = '{place}'")).expect("psql");
        replica.psql(self.name(), "SELECT pg_reload_conf()").expect("psql");
    }

    async fn fail_over(&mut self) {
        self.primary.postgres.stop(Stop::Immediate).expect("the primary ends");
        self.heir.promote().expect("the heir takes over");
        self.readers.world.send(self.bob, self.group, "afterwards").await;
    }

    async fn bodies(&self) -> Vec<String> {
        self.readers.world.history(self.bob, self.group).await.into_iter().map(|message| message.body).collect()
    }
}

#[tokio::test]
async fn after_a_promotion_a_replica_is_left_out_until_it_follows_the_new_primary() {
    let mut line = Line::start(Duration::from_millis(10)).await;
    line.fail_over().await;
    assert_eq!(line.bodies().await, ["before", "afterwards"]);
    line.readers.until(OTHER_HISTORY, |replica| replica.complaint == Some(OTHER_HISTORY)).await;
    let reads = line.readers.reads();
    line.readers.sees_what_is(line.bob, &[line.group]).await;
    assert_eq!(line.readers.reads(), reads);
    line.follow(&line.second, Some(&line.heir));
    line.readers.until_used().await;
    line.readers.sees_what_is(line.bob, &[line.group]).await;
    assert!(line.readers.reads() > reads, "{:?}", line.readers.reader.fallbacks());
}

#[tokio::test]
async fn what_was_lost_in_a_promotion_is_not_shown_though_a_replica_has_it() {
    // Nobody has looked at the replica since.
    let mut line = Line::start(NEVER).await;
    line.follow(&line.heir, None);
    line.heir.psql(line.name(), "SELECT pg_terminate_backend(pid) FROM pg_stat_wal_receiver").expect("psql");
    let raw = Raw::connect(&line.primary.postgres.url(line.name())).await;
    raw.until("SELECT count(*) = 1 FROM pg_stat_replication").await;
    drop(raw);
    for _ in 0..3 {
        line.readers.world.send(line.bob, line.group, "acknowledged, and lost").await;
    }
    line.until_all_have_all(1).await;
    line.fail_over().await;
    assert!(line.readers.reader.replicas()[0].is_used);
    assert_eq!(line.bodies().await, ["before", "afterwards"]);
    assert_eq!(line.readers.fallbacks(Fallback::OtherLog), 1);
    assert!(!line.readers.reader.replicas()[0].is_used);
    line.readers.sees_what_is(line.bob, &[line.group]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_read_at_a_lagging_replica_while_others_write_miss_nothing() {
    let pair = Pair::start();
    let readers = readers(pair.log()).await;
    let world = &readers.world;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let mut groups = Vec::new();
    for _ in 0..8 {
        groups.push(world.open_group(alice, &[bob, carol]).await);
    }
    let servers = [readers.log.server().await, readers.log.server().await];
    let replica = Raw::connect(&readers.log.options.replicas[0]).await;
    readers.until_used().await;
    let is_over = AtomicBool::new(false);
    let writing = async {
        for n in 0..400 {
            let group = groups[n * 7 % groups.len()];
            let server = &servers[n % 2];
            let sent = server.submit(sending(&world.message([alice, carol][n % 2], group, &n.to_string()))).await;
            let Ok(Effect::MessageAppended { message, .. }) = sent else { panic!("{sent:?}") };
            let more = match n % 9 {
                1 => Some(world.editing(message.sender_id, &message, "edited")),
                2 => Some(world.reacting(bob, &message, "👍")),
                3 => Some(world.deleting(message.sender_id, &message)),
                4 => Some(world.reading(carol, group, message.seq)),
                5 => Some(world.muting(bob, group, Some(Timestamp::from_ms(i64::try_from(n).unwrap_or(0) + 1)))),
                6 => Some(world.hiding(bob, group)),
                _ => None,
            };
            if let Some(write) = more {
                server.submit(write).await.expect("it goes through");
            }
            match n % 40 {
                10 => replica.run("SELECT pg_wal_replay_pause()").await,
                18 => replica.run("SELECT pg_wal_replay_resume()").await,
                20 => drop(server.submit(world.removing(alice, group, bob)).await.expect("it goes through")),
                21 => {
                    drop(server.submit(world.adding(alice, groups[(n - 1) * 7 % groups.len()], bob)).await.expect("ok"))
                }
                _ => {}
            }
        }
        is_over.store(true, Ordering::SeqCst);
    };
    let reading = async {
        // What each page asserts: the cursor does not go back, rows are in order, nothing that is held is lost.
        let mut client = Replica::new(bob);
        while !is_over.load(Ordering::SeqCst) {
            let page = client.page(world, 3, 10).await;
            assert!(!page.reset, "nothing was lost");
            tokio::task::yield_now().await;
        }
        client
    };
    let ((), mut client) = futures_util::join!(writing, reading);
    client.catch_up(world, 3, 10).await;
    client.fill_holes(world).await;
    client.assert_fresh(world, "in the end").await;
    readers.sees_what_is(bob, &groups).await;
    let counts = (readers.reads(), readers.fallbacks(Fallback::Behind));
    assert!(counts.0 > 0 && counts.1 > 0, "both ways were gone: {counts:?}");
}

/// What the suite's rules and results are not needed for.
#[tokio::test]
async fn a_url_that_is_no_replicas_is_refused() {
    let cluster = Cluster::start();
    let log = cluster.log();
    for (url, told) in [
        ("postgres://me:secret@a,b/tertulia", "one host"),
        ("b:5432/tertulia", "a URL of its own"),
        ("postgres://me:secret@host:port/tertulia", "port"),
    ] {
        let options = Options { replicas: vec![url.to_owned()], ..log.options.clone() };
        let opened = PostgresStore::open(&options, Arc::new(House::default()), Arc::new(Sink::default())).await;
        let error = opened.err().expect("it is refused").to_string();
        assert!(error.contains(told) && !error.contains("secret"), "{error}");
    }
}
