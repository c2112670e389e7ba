//! A log changes homes, there and back, broken off wherever it can be; and nobody who uses it can tell.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod database;
mod life;
mod telling;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tertulia_store::conformance::Home;
use tertulia_store::conformance::world::{World, by_id};
use tertulia_store::portable::{
    Destination, Event, MoveError, PageMax, Purpose, Source, Standing, Summary, TABLES, plan, run,
};
use tertulia_store::*;
use tertulia_store_postgres::portable::{self as postgres, PostgresEnd};
use tertulia_store_postgres::{Options, PostgresStore};
use tertulia_store_sqlite::SqliteStore;
use tertulia_store_sqlite::portable::SqliteEnd;
use tertulia_testkit::Folder;
use tertulia_testkit::postgres::Stop;

use crate::database::{Cluster, Raw, seed};
use crate::life::{Chance, InMemory, Things, begin, notify, seen, told, write};

/// Pages so small that a short life has many borders.
const SMALL: PageMax = PageMax { rows: 3, bytes: 4 << 20 };

#[derive(Clone)]
enum Place {
    File(PathBuf),
    Database(Options),
}

impl Place {
    async fn opened(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> Result<Arc<dyn Store>, String> {
        match self {
            Self::File(folder) => {
                let options = tertulia_store_sqlite::Options { readers: 1, serves: true, seed: seed() };
                let store = SqliteStore::open(folder, &options, rules, sink).map_err(|e| e.to_string())?;
                Ok(store as Arc<dyn Store>)
            }
            Self::Database(options) => {
                let options = Options { seed: seed(), ..options.clone() };
                let store = PostgresStore::open(&options, rules, sink).await.map_err(|e| e.to_string())?;
                Ok(store as Arc<dyn Store>)
            }
        }
    }

    /// Why no server starts here.
    async fn refusal(&self) -> String {
        let world = World::open(&InMemory).await;
        self.opened(world.rules.clone(), world.sink.clone()).await.err().expect("no server starts here")
    }

    async fn source(&self) -> Result<Box<dyn Source>, MoveError> {
        Ok(match self {
            Self::File(folder) => Box::new(SqliteEnd::source(folder, Purpose::Move)?),
            Self::Database(options) => Box::new(PostgresEnd::source(&options.url, Purpose::Move).await?),
        })
    }

    async fn destination(&self) -> Result<Box<dyn Destination>, MoveError> {
        Ok(match self {
            Self::File(folder) => Box::new(SqliteEnd::destination(folder)?),
            Self::Database(options) => Box::new(PostgresEnd::destination(&options.url, options.partitions).await?),
        })
    }
}

impl Home for Place {
    async fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> Arc<dyn Store> {
        self.opened(rules, sink).await.expect("the log opens")
    }
}

/// Folders and databases for one test.
struct Places {
    cluster: Cluster,
    folder: Folder,
    count: usize,
}

impl Places {
    fn new() -> Self {
        Self { cluster: Cluster::start(), folder: Folder::new().expect("a folder"), count: 0 }
    }

    fn file(&mut self) -> Place {
        self.count += 1;
        Place::File(self.folder.path().join(self.count.to_string()))
    }

    fn database(&self) -> Place {
        Place::Database(self.cluster.options(&self.cluster.database()))
    }

    fn psql(&self, place: &Place, statements: &str) -> String {
        let Place::Database(options) = place else { panic!("no database") };
        self.cluster.psql(options.url.rsplit('/').next().expect("a name"), statements)
    }
}

async fn moved(
    from: &Place,
    to: &Place,
    starts_over: bool,
    mut watch: impl FnMut(Event) -> Result<(), MoveError>,
) -> Result<Summary, MoveError> {
    let (mut source, mut destination) = (from.source().await?, to.destination().await?);
    let mut move_id = [0; 16];
    move_id.copy_from_slice(&seed()[..16]);
    let options = portable::Options { move_id, page: SMALL, starts_over };
    run(&mut *source, &mut *destination, options, &mut watch).await
}

fn killed() -> MoveError {
    MoveError::Failed("killed".into())
}

/// Nobody has the log open any more.
async fn close(world: &mut World) {
    world.store = World::open(&InMemory).await.store;
}

async fn reopen(world: &mut World, place: &Place) {
    world.store = place.opened(world.rules.clone(), world.sink.clone()).await.expect("the log opens");
    // The index of a database learns behind the opening what it has to make up for.
    if let Place::Database(options) = place {
        let behind =
            "SELECT NOT EXISTS (SELECT 1 FROM conversations c LEFT JOIN search_progress p ON p.conversation_id = c.id
             WHERE c.last_seq > coalesce(p.seq, 0) OR EXISTS (SELECT 1 FROM messages x
                WHERE x.conversation_id = c.id AND x.amended AND x.rev > coalesce(p.rev, 0)))";
        Raw::connect(&options.url).await.until(behind).await;
    }
}

/// A life in two homes of which one stays where it is.
struct Twins {
    still: World,
    moving: World,
    things: [Things; 2],
    chances: [Chance; 2],
    /// Cursors of both, taken at the same moments.
    cursors: Vec<[i64; 2]>,
}

impl Twins {
    async fn new(place: &Place, seed: u64) -> Self {
        let (still, moving) = (World::open(&InMemory).await, World::open(place).await);
        let things = [begin(&still).await, begin(&moving).await];
        for (world, things) in [(&still, &things[0]), (&moving, &things[1])] {
            like(world, things).await;
            for (name, hash) in [("shop", [1; 32]), ("till", [2; 32])] {
                let (id, scopes) =
                    (ApiKeyId::from_bytes(world.id()), vec!["chat:read".to_owned(), "chat:write".to_owned()]);
                let now = world.now();
                world
                    .done(Write::CreateApiKey { id, hash, name: name.to_owned(), scopes, user: None, bot: None, now })
                    .await;
                if name == "till" {
                    world.done(Write::RevokeApiKey { id, now }).await;
                }
            }
        }
        Self { still, moving, things, chances: [Chance(seed), Chance(seed)], cursors: Vec::new() }
    }

    async fn live(&mut self, rounds: usize) {
        for round in 0..rounds {
            let mut results = Vec::new();
            for at in 0..2 {
                let (world, things, chance) =
                    ([&self.still, &self.moving][at], &mut self.things[at], &mut self.chances[at]);
                let writes: Vec<Write> = (0..=chance.below(8)).map(|_| write(world, things, chance)).collect();
                let mut all: Vec<String> = world.burst(writes.clone()).await.iter().map(told).collect();
                all.push(notify(world, things, chance).await);
                results.push(all);
                if let [one, other] = &results[..] {
                    for (at, (one, other)) in one.iter().zip(other).enumerate() {
                        assert_eq!(one, other, "round {round}: {:?}", writes.get(at));
                    }
                }
            }
            if round % 7 == 0 {
                let one = self.still.log_state().await.position;
                self.cursors.push([one, self.moving.log_state().await.position]);
            }
        }
    }

    /// Everything that a client can ask is answered in the same way, also to those who come with an old cursor.
    async fn compare(&self) {
        let (now, _) = (self.still.now(), self.moving.now());
        for &person in &self.things[0].people {
            let one = seen(&self.still, person, &self.things[0], now).await;
            let other = seen(&self.moving, person, &self.things[1], now).await;
            for (one, other) in one.iter().zip(&other) {
                assert_eq!(one, other);
            }
            for [one, other] in &self.cursors {
                let one = difference(&self.still, person, *one).await;
                assert_eq!(one, difference(&self.moving, person, *other).await);
            }
        }
        for hash in [[1; 32], [2; 32]] {
            let one = self.still.store.api_key(hash).await.expect("the store reads");
            let other = self.moving.store.api_key(hash).await.expect("the store reads");
            assert_eq!((one.is_some(), format!("{one:?}")), (hash[0] == 1, format!("{other:?}")));
        }
        let one = self.still.store.job_counts().await.expect("the store reads");
        assert_eq!(one, self.moving.store.job_counts().await.expect("the store reads"));
    }

    /// What was said is not said again, and is answered with the same message.
    async fn repeat(&mut self) {
        let sent = self.things[1].sent.clone();
        for (one, other) in self.things[0].sent.iter().zip(&sent) {
            let one = self.still.submit(conformance::writes::sending(&self.still.again(one))).await;
            let other = self.moving.submit(conformance::writes::sending(&self.moving.again(other))).await;
            assert_eq!(told(&one), told(&other));
        }
    }
}

/// Several people with the same reaction: pages end between them.
async fn like(world: &World, things: &Things) {
    let (conversation, people) = (things.groups[1], &things.people[1..4]);
    let message = world.send(people[0], conversation, "liked").await.message_id;
    for (emoji, count) in [("❤️", 2), ("👍", 3), ("😀", 3)] {
        for &actor in &people[..count] {
            let emoji = conformance::writes::emoji(emoji);
            let now = world.now();
            let like =
                Write::SetReaction { conversation, message, actor, emoji, present: true, per_message_max: 9, now };
            world.done(like).await;
        }
    }
}

async fn difference(world: &World, person: UserId, base: i64) -> String {
    let from = SyncFrom { base, within: None };
    let mut page = world.store.difference(person, from, None, 100, 100).await.expect("the store reads");
    assert!(!page.reset && !page.has_more, "a cursor that was given is good");
    page.conversations.sort_by_key(|changed| changed.conversation.id);
    for changed in &mut page.conversations {
        changed.conversation = by_id(changed.conversation.clone());
    }
    format!("{:?}\n{:?}", page.conversations, page.removed)
}

async fn secrets(world: &World) -> ([u8; 16], [u8; 32]) {
    (world.log_state().await.epoch, world.store.token_secret().await.expect("the store reads"))
}

/// To the next home and on with life there.
async fn change(twins: &mut Twins, from: &Place, to: &Place) {
    let (before, end) = (secrets(&twins.moving).await, twins.moving.log_state().await.end);
    close(&mut twins.moving).await;
    let summary = moved(from, to, false, |_| Ok(())).await.expect("the log moves");
    assert_eq!(summary.end, end);
    let refusal = from.refusal().await;
    assert!(refusal.contains("was moved to") && refusal.contains("--new-epoch"), "{refusal}");
    reopen(&mut twins.moving, to).await;
    assert_eq!(secrets(&twins.moving).await, before, "epoch and token secret");
    let state = twins.moving.log_state().await;
    assert_eq!((state.position, state.end), (end, end), "an idle log has nothing to tell");
    twins.compare().await;
    twins.repeat().await;
    twins.live(15).await;
    twins.compare().await;
}

/// A file whose positions are above every number that a database will give to a transaction.
async fn far_on(place: &Place) {
    drop(World::open(place).await);
    let Place::File(folder) = place else { panic!("no file") };
    let file = rusqlite::Connection::open(folder.join("tertulia.db")).expect("a file");
    file.execute_batch("UPDATE log_state SET position = 1 << 40").expect("an update");
}

#[tokio::test]
async fn a_log_lives_on_in_any_home_as_if_it_had_not_moved() {
    let mut places = Places::new();
    let way = [places.file(), places.database(), places.file(), places.file(), places.database(), places.database()];
    far_on(&way[0]).await;
    let mut twins = Twins::new(&way[0], 1).await;
    twins.live(40).await;
    for pair in way.windows(2) {
        change(&mut twins, &pair[0], &pair[1]).await;
    }
}

/// A life's log that nobody has open.
async fn lived(place: &Place) -> Twins {
    let mut twins = Twins::new(place, 5).await;
    twins.live(100).await;
    close(&mut twins.moving).await;
    twins
}

async fn killed_at_every_border(from: &Place, to: &Place) {
    let mut twins = lived(from).await;
    let (mut deaths, mut seen) = (0, BTreeSet::new());
    loop {
        let mut dies_here = |event: Event| {
            let is_progress = matches!(event, Event::Copied { rows: 1.., .. });
            if is_progress || seen.insert(format!("{event:?}")) { Err(killed()) } else { Ok(()) }
        };
        match moved(from, to, false, &mut dies_here).await {
            Err(MoveError::Failed(_)) => deaths += 1,
            Err(MoveError::Refused(why)) if seen.contains("Completed") => {
                assert!(why.contains("moved to"), "{why}");
                break;
            }
            other => panic!("{other:?} after {deaths} deaths, {seen:?}"),
        }
        if !seen.contains("Completed") && deaths % 9 == 1 {
            let refusal = to.refusal().await;
            assert!(refusal.contains("unfinished") && refusal.contains("tertulia move --from"), "{refusal}");
        }
        assert!(deaths < 1000, "a move that does not end");
    }
    assert!(deaths > 80, "{deaths} deaths are few");
    reopen(&mut twins.moving, to).await;
    twins.compare().await;
    twins.live(10).await;
    twins.compare().await;
}

#[tokio::test]
async fn a_move_to_a_database_that_is_killed_at_every_border_goes_on() {
    let mut places = Places::new();
    killed_at_every_border(&places.file(), &places.database()).await;
}

#[tokio::test]
async fn a_move_to_a_file_that_is_killed_at_every_border_goes_on() {
    let mut places = Places::new();
    let to = places.file();
    killed_at_every_border(&places.database(), &to).await;
}

/// What had not reached the disk is brought again.
#[tokio::test]
async fn a_database_that_crashes_under_a_move_loses_no_row_of_it() {
    let mut places = Places::new();
    let (from, to) = (places.file(), places.database());
    let mut twins = lived(&from).await;
    for crash in [3, 40, 30] {
        let mut count = 0;
        let dies_here = |event: Event| {
            count += usize::from(matches!(event, Event::Copied { .. }));
            if count == crash {
                places.cluster.postgres.stop(Stop::Immediate).expect("it ends");
            }
            Ok(())
        };
        let failed = moved(&from, &to, false, dies_here).await.expect_err("the database is gone");
        assert!(matches!(&failed, MoveError::Failed(why) if why.contains("postgres://")), "{failed:?}");
        places.cluster.postgres.launch().expect("it starts");
    }
    moved(&from, &to, false, |_| Ok(())).await.expect("the log moves");
    reopen(&mut twins.moving, &to).await;
    twins.compare().await;
}

/// Has the destination fail in the middle of a batch of messages, or no longer.
fn break_off(places: &Places, place: &Place, breaks: bool) {
    match place {
        Place::Database(_) if breaks => places.psql(
            place,
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''on purpose''; END';
             CREATE TRIGGER broken BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.seq = 5) EXECUTE FUNCTION broken()",
        ),
        Place::Database(_) => places.psql(place, "DROP FUNCTION broken CASCADE"),
        Place::File(folder) => {
            let file = rusqlite::Connection::open(folder.join("tertulia.db")).expect("a file");
            let make = "CREATE TRIGGER broken BEFORE INSERT ON messages WHEN NEW.key & 0xffffffff = 5 BEGIN SELECT raise(ABORT, 'on purpose'); END";
            file.execute_batch(if breaks { make } else { "DROP TRIGGER broken" }).expect("a trigger");
            String::new()
        }
    };
}

#[tokio::test]
async fn a_batch_that_fails_halfway_is_brought_whole_the_next_time() {
    let mut places = Places::new();
    let ways = [(places.file(), places.database()), (places.database(), places.file())];
    for (from, to) in ways {
        let mut twins = lived(&from).await;
        let failed = moved(&from, &to, false, |event| {
            if event == Event::Begun {
                break_off(&places, &to, true);
            }
            Ok(())
        });
        let failed = failed.await.expect_err("it breaks off");
        assert!(matches!(&failed, MoveError::Failed(why) if why.contains("on purpose")), "{failed:?}");
        break_off(&places, &to, false);
        moved(&from, &to, false, |_| Ok(())).await.expect("the log moves");
        reopen(&mut twins.moving, &to).await;
        twins.compare().await;
    }
}

#[tokio::test]
async fn a_source_that_went_on_after_a_move_was_broken_off_is_brought_anew() {
    let mut places = Places::new();
    let ways = [(places.file(), places.database()), (places.database(), places.file())];
    for (from, to) in ways {
        let mut twins = lived(&from).await;
        let mut count = 0;
        let broken_off = moved(&from, &to, false, |_| {
            count += 1;
            if count > 60 { Err(killed()) } else { Ok(()) }
        });
        broken_off.await.expect_err("it is broken off");
        reopen(&mut twins.moving, &from).await;
        twins.live(5).await;
        close(&mut twins.moving).await;
        let mut events = Vec::new();
        let again = moved(&from, &to, false, |event| {
            events.push(event);
            Ok(())
        });
        again.await.expect("the log moves");
        assert_eq!(events[0], Event::StartedOver { has_changed: true });
        reopen(&mut twins.moving, &to).await;
        twins.compare().await;
    }
}

/// One byte of one body.
fn damage(places: &Places, place: &Place) -> String {
    match place {
        Place::Database(_) => places.psql(
            place,
            "UPDATE messages SET body = 'x' || substr(body, 2) WHERE (conversation_id, seq) IN
                (SELECT conversation_id, seq FROM messages WHERE deleted_at IS NULL ORDER BY created_at LIMIT 1) RETURNING conversation_id",
        ),
        Place::File(folder) => {
            let file = rusqlite::Connection::open(folder.join("tertulia.db")).expect("a file");
            let key: i64 = file
                .query_row("SELECT min(key) FROM messages WHERE deleted_at IS NULL", [], |row| row.get(0))
                .expect("a message");
            file.execute("UPDATE messages SET body = 'x' || substr(body, 2) WHERE key = ?1", [key]).expect("an update");
            let id = "SELECT id FROM conversations WHERE no = ?1 >> 32";
            let id = file.query_row(id, [key], |row| row.get(0)).expect("a conversation");
            ConversationId::from_bytes(id).to_string()
        }
    }
}

#[tokio::test]
async fn a_byte_that_is_another_one_at_the_destination_is_noticed_and_nothing_is_served_from_there() {
    let mut places = Places::new();
    let ways = [(places.file(), places.database()), (places.database(), places.file())];
    for (from, to) in ways {
        let mut twins = lived(&from).await;
        let mut damaged = None;
        let noticed = moved(&from, &to, false, |event| {
            if matches!(event, Event::Comparing { .. }) && damaged.is_none() {
                damaged = Some(damage(&places, &to));
            }
            Ok(())
        });
        let noticed = noticed.await.expect_err("it is noticed");
        let MoveError::Different(differences) = &noticed else { panic!("{noticed:?}") };
        assert_eq!(differences.len(), 1, "{differences:?}");
        assert!(differences[0].contains(&damaged.expect("a conversation")), "{differences:?}");
        assert!(to.refusal().await.contains("unfinished"));
        let again = moved(&from, &to, false, |_| Ok(())).await;
        assert_eq!(again, Err(noticed), "what is there stays wrong");
        moved(&from, &to, true, |_| Ok(())).await.expect("from the beginning it goes through");
        reopen(&mut twins.moving, &to).await;
        twins.compare().await;
    }
}

#[tokio::test]
async fn a_destination_that_holds_something_is_refused_and_left_alone() {
    let mut places = Places::new();
    let (one, other) = (places.file(), places.file());
    let mut taken = lived(&one).await;
    lived(&other).await;
    let why = moved(&other, &one, false, |_| Ok(())).await.expect_err("it is taken");
    assert!(matches!(&why, MoveError::Refused(why) if why.contains("holds a log already")), "{why:?}");
    reopen(&mut taken.moving, &one).await;
    taken.compare().await;
    close(&mut taken.moving).await;
    let database = places.database();
    let begun = moved(&one, &database, false, |event| {
        if event == Event::Departed {
            panic!("too late")
        }
        if matches!(event, Event::Copied { rows: 1.., .. }) { Err(killed()) } else { Ok(()) }
    });
    begun.await.expect_err("it is broken off");
    let why = moved(&other, &database, false, |_| Ok(())).await.expect_err("it is another's");
    assert!(matches!(&why, MoveError::Refused(why) if why.contains("another log")), "{why:?}");
    let Place::Database(options) = &database else { panic!("a database") };
    assert!(matches!(PostgresEnd::look(&options.url).await, Ok(Standing::Unfinished(_))));
    moved(&one, &database, false, |_| Ok(())).await.expect("its own goes on");
    for full in [&database, &one] {
        let why = moved(&other, full, false, |_| Ok(())).await.expect_err("there is a log");
        assert!(matches!(&why, MoveError::Refused(_)), "{why:?}");
    }
}

/// What is there may be somebody's, and its servers may be of that version.
#[tokio::test]
async fn a_destination_of_an_older_version_is_left_at_it() {
    let mut places = Places::new();
    let (from, file, database) = (places.file(), places.file(), places.database());
    lived(&from).await;
    drop(World::open(&file).await);
    drop(World::open(&database).await);
    let Place::File(folder) = &file else { panic!("a file") };
    let connection = rusqlite::Connection::open(folder.join("tertulia.db")).expect("a file");
    connection.execute_batch("PRAGMA user_version = 2").expect("a pragma");
    places.psql(&database, "DELETE FROM tertulia_migrations WHERE number > 2");
    for to in [&file, &database] {
        let why = moved(&from, to, false, |_| Ok(())).await.expect_err("it is older");
        assert!(matches!(&why, MoveError::Refused(why) if why.contains("older version")), "{why:?}");
    }
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a pragma");
    assert_eq!(version, 2);
    assert_eq!(places.psql(&database, "SELECT max(number) FROM tertulia_migrations"), "2");
}

#[tokio::test]
async fn a_database_with_a_server_on_it_is_not_moved() {
    let mut places = Places::new();
    let (from, to) = (places.database(), places.file());
    let mut twins = Twins::new(&from, 3).await;
    let why = moved(&from, &to, false, |_| Ok(())).await.expect_err("a server is there");
    assert!(matches!(&why, MoveError::Refused(why) if why.contains("is being served")), "{why:?}");
    twins.live(3).await;
    close(&mut twins.moving).await;
    let held = from.source().await.expect("a source");
    assert!(from.refusal().await.contains("is being moved"));
    let why = from.source().await.err().expect("one move at a time");
    assert!(matches!(&why, MoveError::Refused(why) if why.contains("another move")), "{why:?}");
    drop(held);
    moved(&from, &to, false, |event| {
        if event == Event::Begun {
            let Place::Database(options) = &from else { panic!("a database") };
            let name = options.url.rsplit('/').next().expect("a name");
            let locks =
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock'";
            assert_eq!(places.cluster.psql(name, locks), "2");
        }
        Ok(())
    })
    .await
    .expect("now it moves");
}

/// A program that had the file open before (`tertulia token` beside a server) waits while it moves, and is refused then.
#[tokio::test]
async fn a_tool_that_has_the_file_open_writes_nothing_to_a_log_that_moved() {
    let mut places = Places::new();
    let (from, to) = (places.file(), places.database());
    let world = World::open(&from).await;
    let [ana, bo] = world.people(["ana", "bo"]).await;
    let dm = world.dm(ana, bo).await;
    let (person, message) = (world.newcomer("cy"), world.message(ana, dm, "late"));
    let session = SessionId::from_bytes(world.id());
    let expires_at = world.now().plus_ms(1000);
    let late = vec![
        Write::EnsureUser(person),
        conformance::writes::sending(&message),
        Write::OpenSession { session, user: ana, user_agent: None, expires_at, now: world.now() },
    ];
    moved(&from, &to, false, |_| Ok(())).await.expect("the log moves");
    for told in world.burst(late).await {
        assert!(
            matches!(&told, Err(WriteError::Store(StoreError::Unavailable(why))) if why.contains("moved")),
            "{told:?}"
        );
    }
}

/// A server that is called otherwise is not seen. It can write nothing while the log moves, and nothing after.
#[tokio::test]
async fn a_server_that_was_not_seen_writes_nothing_to_a_log_that_moves() {
    let mut places = Places::new();
    let (Place::Database(options), to) = (places.database(), places.file()) else { panic!("a database") };
    let hidden = Options { url: format!("{}?application_name=hidden", options.url), ..options.clone() };
    let world = World::open(&Place::Database(hidden)).await;
    let [ana, bo] = world.people(["ana", "bo"]).await;
    let dm = world.dm(ana, bo).await;
    world.send(ana, dm, "before").await;
    let (mut late, mut working) = (None, tokio::task::JoinSet::new());
    let from = Place::Database(options);
    moved(&from, &to, false, |event| {
        if event == Event::Begun {
            late = Some(world.submit(conformance::writes::sending(&world.message(ana, dm, "while it moves"))));
            let (store, now) = (std::sync::Arc::clone(&world.store), world.now());
            working.spawn(async move { store.jobs().retry_dead(jobs::DeadLetters::Of(1), now).await });
        }
        Ok(())
    })
    .await
    .expect("the log moves");
    let told = late.expect("it was sent").await;
    assert!(matches!(&told, Err(WriteError::Store(StoreError::Unavailable(why))) if why.contains("moved")), "{told:?}");
    assert_eq!(places.psql(&from, "SELECT count(*) FROM messages"), "1");
    // A worker writes as little, neither while it moves nor to what was left.
    let worked = working.join_next().await.expect("it was asked").expect("no panic");
    assert!(worked.is_err(), "{worked:?}");
    let worked = world.store.jobs().retry_dead(jobs::DeadLetters::Of(1), world.now()).await;
    assert!(worked.is_err(), "{worked:?}");
}

/// Queues one job in each round and ends it: the log that is moved then has none left.
async fn number_of_a_job(place: &Place) -> jobs::JobId {
    use tertulia_store::jobs::*;
    let world = World::open(place).await;
    let (queue, at, worker) = (world.store.jobs(), Timestamp::from_ms(0), [1; 16]);
    let job = NewJob {
        kind: "a".to_owned(),
        unique_key: None,
        unless_running: false,
        payload: String::new(),
        priority: Priority::Normal,
        run_at: at,
        now: at,
    };
    queue.enqueue(vec![job]).await.expect("a job is queued");
    let kinds = vec![ClaimKind { kind: "a".to_owned(), attempts_max: 1, jobs_max: 1 }];
    let claim = Claim { kinds, jobs_max: 1, worker, now: at, lease_until: at };
    let claimed = queue.claim(claim).await.expect("a job is claimed").remove(0);
    let held = Held { id: claimed.id, worker, attempt: claimed.attempt };
    let finish = Finish { held, end: JobEnd::Done, next: Vec::new() };
    assert_eq!(queue.finish(vec![finish], at).await.expect("a job is finished"), [true]);
    claimed.id
}

#[tokio::test]
async fn the_number_of_a_job_that_is_gone_comes_in_no_other_home_again() {
    let mut places = Places::new();
    let chain = [places.file(), places.database(), places.database(), places.file(), places.file()];
    let mut last = number_of_a_job(&chain[0]).await;
    for pair in chain.windows(2) {
        moved(&pair[0], &pair[1], false, |_| Ok(())).await.expect("the log moves");
        let next = number_of_a_job(&pair[1]).await;
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}

#[tokio::test]
async fn a_log_that_was_left_goes_on_as_another_one_when_that_is_asked_for() {
    let mut places = Places::new();
    let [file, database, back] = [places.file(), places.database(), places.file()];
    let twins = lived(&file).await;
    moved(&file, &database, false, |_| Ok(())).await.expect("the log moves");
    moved(&database, &back, false, |_| Ok(())).await.expect("and on");
    let mut epochs = BTreeSet::new();
    let (Place::File(folder), Place::Database(options)) = (&file, &database) else { panic!("two places") };
    tertulia_store_sqlite::maintenance::renew_epoch(folder, &[9; 16]).expect("a new epoch");
    postgres::renew_epoch(&options.url, &[9; 16]).await.expect("a new epoch");
    for place in [&file, &database, &back] {
        let store = place.opened(twins.still.rules.clone(), twins.still.sink.clone()).await.expect("the log opens");
        epochs.insert(store.log_state().await.expect("the store reads").epoch);
    }
    assert_eq!(epochs.len(), 3, "three logs");
}

/// A program that knows nothing of moves: it begins a new epoch on what was left.
#[tokio::test]
async fn a_log_that_was_left_has_another_epoch_for_whoever_does_not_see_the_mark() {
    let mut places = Places::new();
    let [file, database, back] = [places.file(), places.database(), places.file()];
    let mut twins = Twins::new(&file, 2).await;
    let epoch = twins.moving.log_state().await.epoch;
    close(&mut twins.moving).await;
    moved(&file, &database, false, |_| Ok(())).await.expect("the log moves");
    moved(&database, &back, false, |_| Ok(())).await.expect("and on");
    let Place::File(folder) = &file else { panic!("a file") };
    let connection = rusqlite::Connection::open(folder.join("tertulia.db")).expect("a file");
    let triggers =
        "SELECT coalesce(group_concat('DROP TRIGGER ' || name, ';'), '') FROM sqlite_schema WHERE type = 'trigger'";
    let triggers: String = connection.query_row(triggers, [], |row| row.get(0)).expect("a text");
    connection.execute_batch(&format!("{triggers}; DROP TABLE log_move")).expect("the mark goes");
    drop(connection);
    places.psql(&database, "DROP TABLE log_move");
    for place in [&file, &database] {
        let store = place.opened(twins.still.rules.clone(), twins.still.sink.clone()).await.expect("the log opens");
        assert_ne!(store.log_state().await.expect("the store reads").epoch, epoch);
    }
}

#[tokio::test]
async fn a_plan_counts_and_changes_nothing() {
    let mut places = Places::new();
    let (from, to) = (places.file(), places.database());
    lived(&from).await;
    let (Place::File(folder), Place::Database(options)) = (&from, &to) else { panic!("two places") };
    let files = || {
        let mut files: Vec<(std::ffi::OsString, Vec<u8>)> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).expect("a file")))
            .filter(|(name, _)| !name.to_string_lossy().ends_with("-shm"))
            .collect();
        files.sort();
        files
    };
    let before = files();
    let mut source = SqliteEnd::source(folder, Purpose::Look).expect("a source");
    let standing = PostgresEnd::look(&options.url).await.expect("an empty database");
    assert_eq!(standing, Standing::Empty);
    let plan = plan(&mut source, standing).await.expect("a plan");
    drop(source);
    let messages = TABLES.iter().position(|table| table.name == "messages").expect("a table");
    assert!(plan.rows[messages] > 20 && plan.bytes > 0 && !plan.resumes, "{plan:?}");
    assert_eq!(
        places.psql(&to, "SELECT count(*) FROM pg_class WHERE relname LIKE 'log_%' OR relname LIKE 'tertulia_%'"),
        "0"
    );
    assert!(
        files().iter().filter(|(name, _)| !name.to_string_lossy().ends_with("-wal")).all(|file| before.contains(file))
    );
    moved(&from, &to, false, |_| Ok(())).await.expect("the log moves");
    let Err(MoveError::Refused(why)) = PostgresEnd::look(&options.url).await else { panic!("there is a log") };
    assert!(why.contains("holds a log already"), "{why}");
}

/// What a migration adds has to be moved, or be said here not to.
#[tokio::test]
async fn every_column_of_both_homes_is_moved_or_known_not_to_be() {
    const MADE_ANEW: [&str; 2] = ["log_state", "tertulia_migrations"];
    // Of the last days and of servers that are gone: the log moves, not what was noted of how it came about.
    const LEFT_BEHIND: [&str; 1] = ["traces"];
    const OF_POSTGRESQL: [&str; 4] = ["writers", "dms", "message_texts", "search_progress"];
    let mut places = Places::new();
    let (file, database) = (places.file(), places.database());
    drop(World::open(&file).await);
    drop(World::open(&database).await);
    let known: BTreeSet<String> = TABLES
        .iter()
        .flat_map(|table| table.columns.iter().map(|column| format!("{}.{}", table.name, column.name)))
        .collect();
    let columns = "SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped";
    let is_moved = |name: &str| {
        let table = name.split('.').next().unwrap_or_default();
        ![&MADE_ANEW[..], &LEFT_BEHIND, &OF_POSTGRESQL].iter().any(|tables| tables.contains(&table))
    };
    let found: BTreeSet<String> =
        places.psql(&database, columns).lines().filter(|name| is_moved(name)).map(str::to_owned).collect();
    assert_eq!(found, known, "PostgreSQL's columns, and those that are moved");
    let state = "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'log_state'::regclass AND attnum > 0";
    assert_eq!(
        places.psql(&database, state),
        "id epoch position_offset generation system_identifier timeline token_secret"
    );
    let Place::File(folder) = &file else { panic!("a file") };
    let connection = rusqlite::Connection::open(folder.join("tertulia.db")).expect("a file");
    let columns = "SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid";
    let mut statement = connection.prepare(columns).expect("a statement");
    let names = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let names: Vec<String> = names.map(|name| name.expect("a name")).collect();
    let state: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("log_state.")).collect();
    assert_eq!(state, ["id", "epoch", "position", "incarnation", "token_secret"]);
    // Numbers are for the file alone: what they stand for is moved.
    let found: BTreeSet<String> = names
        .iter()
        .filter(|name| is_moved(name))
        .flat_map(|name| match name.as_str() {
            "users.no" | "conversations.no" | "devices.no" => vec![],
            "messages.key" | "message_keys.message_key" | "reactions.message_key" => {
                let table = name.split('.').next().unwrap_or_default();
                vec![format!("{table}.conversation_id"), format!("{table}.seq")]
            }
            name => vec![name.strip_suffix("_no").map_or(name.to_owned(), |name| format!("{name}_id"))],
        })
        .collect();
    assert_eq!(found, known, "SQLite's columns, and those that are moved");
}
