//! Which log a cursor is of: restarts and kills keep the epoch, a database that was put back has a new one.

use anyhow::{Context as _, Result};
use serde_json::json;
use tertulia_proto::sync::Difference;
use tertulia_proto::{Conversation, SyncCursor};
use tertulia_testkit::process::ending;
use tertulia_testkit::{Folder, Person, Server};

use crate::options;

/// The log alone: search.db and the witness stay, as in a restore of the database.
const LOG: [&str; 3] = ["tertulia.db", "tertulia.db-wal", "tertulia.db-shm"];

struct House {
    server: Server,
    alice: Person,
    group: Conversation,
}

impl House {
    async fn new() -> Result<Self> {
        let server = Server::start(options()).await?;
        let people = server.people(["alice", "bob"]).await?;
        let group = server.api(&people[0]).group("kitchen", &people[1..]).await?;
        Ok(Self { server, alice: people[0].clone(), group })
    }

    async fn say(&self, name: &str, count: usize) -> Result<()> {
        let api = self.server.api(&self.alice);
        for number in 0..count {
            api.send(self.group.id, &format!("{name}-{number}"), name).await?;
        }
        Ok(())
    }

    async fn since(&self, cursor: Option<&str>) -> Result<Difference> {
        let pages = self.server.api(&self.alice).differences(cursor).await?;
        Ok(pages.into_iter().next_back().unwrap_or_else(|| unreachable!("one page at least")))
    }
}

#[tokio::test]
async fn a_restart_and_a_kill_keep_the_epoch_and_the_cursor() {
    let mut house = House::new().await.unwrap();
    house.say("before", 3).await.unwrap();
    let mut last = house.since(None).await.unwrap();
    for graceful in [true, false, true, false] {
        if graceful {
            assert_eq!(house.server.terminate().await.unwrap().code(), Some(0));
        }
        house.server.restart().await.unwrap();
        house.say(&format!("after-{}", last.cursor), 1).await.unwrap();
        let next = house.since(Some(&last.cursor)).await.unwrap();
        assert_eq!(next.epoch, last.epoch);
        assert!(!next.reset);
        assert_eq!(next.conversations.iter().map(|changed| changed.messages.len()).sum::<usize>(), 1);
        last = next;
    }
}

async fn put_back(house: &mut House, copy: &Folder) -> Result<()> {
    house.server.kill()?;
    house.server.folder().remove_files(&LOG)?;
    copy.copy_files(&LOG, house.server.folder().path())?;
    house.server.launch().await
}

#[tokio::test]
async fn a_database_put_back_from_a_copy_is_another_log() {
    let mut house = House::new().await.unwrap();
    let copy = Folder::new().unwrap();
    house.say("before", 3).await.unwrap();
    house.server.terminate().await.unwrap();
    house.server.folder().copy_files(&LOG, copy.path()).unwrap();
    house.server.launch().await.unwrap();
    house.say("lost", 3).await.unwrap();
    let old = house.since(None).await.unwrap();
    house.server.terminate().await.unwrap();
    put_back(&mut house, &copy).await.unwrap();

    // As far as before, with other messages: the numbers alone would not show it.
    house.say("instead", 5).await.unwrap();
    let now = house.since(Some(&old.cursor)).await.unwrap();
    assert_ne!(now.epoch, old.epoch);
    assert!(now.reset);
    let messages: Vec<_> = now
        .conversations
        .iter()
        .flat_map(|changed| &changed.messages)
        .map(|message| message.client_msg_id.to_string())
        .collect();
    assert_eq!(messages.len(), 8, "{messages:?}");
    let again = house.since(Some(&now.cursor)).await.unwrap();
    assert!(!again.reset && again.conversations.is_empty());
}

/// Waits until the server has noted beside the log that it has come as far as the cursor; it does so every second.
async fn noted(house: &House, cursor: &str) -> Result<()> {
    let reached = SyncCursor::decode(cursor).context("a cursor of this server")?.base;
    let witness = house.server.folder().path().join("incarnation");
    let noted = async {
        loop {
            let text = std::fs::read_to_string(&witness).unwrap_or_default();
            let position = text.lines().find_map(|line| line.strip_prefix("position ")?.parse::<i64>().ok());
            if position.is_some_and(|position| position >= reached) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(90), noted).await.context("nothing is noted")
}

/// The usual backup: taken while the server runs, and put back without a restart in between.
#[tokio::test]
async fn a_copy_taken_while_the_server_ran_is_another_log_when_it_is_put_back() {
    let mut house = House::new().await.unwrap();
    let copy = Folder::new().unwrap();
    house.say("before", 3).await.unwrap();
    let log = rusqlite::Connection::open(house.server.folder().path().join(LOG[0])).unwrap();
    log.execute("VACUUM INTO ?1", [copy.path().join(LOG[0]).display().to_string()]).unwrap();
    drop(log);
    house.say("lost", 3).await.unwrap();
    let old = house.since(None).await.unwrap();
    noted(&house, &old.cursor).await.unwrap();
    put_back(&mut house, &copy).await.unwrap();

    house.say("instead", 5).await.unwrap();
    let now = house.since(Some(&old.cursor)).await.unwrap();
    assert_ne!(now.epoch, old.epoch, "the cursor of a client that saw the lost messages is taken for one of this log");
    assert!(now.reset);
}

/// Nobody at the server can know; who heard more than the log has can.
#[tokio::test]
async fn a_log_put_back_with_the_file_beside_it_is_found_out_by_who_heard_more() {
    let mut house = House::new().await.unwrap();
    let copy = Folder::new().unwrap();
    house.say("before", 3).await.unwrap();
    let old = house.since(None).await.unwrap();
    house.server.terminate().await.unwrap();
    let all = [LOG[0], LOG[1], LOG[2], "incarnation"];
    house.server.folder().copy_files(&all, copy.path()).unwrap();
    house.server.launch().await.unwrap();
    house.say("lost", 3).await.unwrap();
    let heard = house.server.api(&house.alice).conversation(house.group.id).await.unwrap();
    house.server.terminate().await.unwrap();
    house.server.folder().remove_files(&all).unwrap();
    copy.copy_files(&all, house.server.folder().path()).unwrap();
    house.server.launch().await.unwrap();

    let api = house.server.api(&house.alice);
    let held = json!({ "id": house.group.id, "rev": heard.rev, "lastSeq": heard.last_seq });
    let question = json!({ "cursor": old.cursor, "have": [held] });
    let unnoticed = house.since(Some(&old.cursor)).await.unwrap();
    assert_eq!((unnoticed.epoch, unnoticed.reset), (old.epoch, false));
    let now: Difference = api.post("/api/v1/sync", &question).await.unwrap().take().unwrap();
    assert!(now.reset);
    assert_eq!(now.conversations.iter().map(|changed| changed.messages.len()).sum::<usize>(), 3);
}

#[tokio::test]
async fn a_cursor_that_cannot_be_read_or_is_of_the_future_starts_over() {
    let house = House::new().await.unwrap();
    house.say("before", 3).await.unwrap();
    let now = house.since(None).await.unwrap();
    let future = SyncCursor { epoch: now.epoch, base: 1_000_000, within: None }.encode();
    for cursor in ["x", "AAAA", &future, &now.cursor[1..]] {
        let answer = house.since(Some(cursor)).await.unwrap();
        assert!(answer.reset, "{cursor}");
        assert_eq!(answer.conversations.len(), 1, "{cursor}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_stays_as_it_is() {
    let mut house = House::new().await.unwrap();
    house.server.terminate().await.unwrap();
    let path = house.server.folder().path().join(LOG[0]);
    let version = |new: Option<i64>| -> rusqlite::Result<i64> {
        let log = rusqlite::Connection::open(&path)?;
        if let Some(new) = new {
            log.pragma_update(None, "user_version", new)?;
        }
        log.pragma_query_value(None, "user_version", |row| row.get(0))
    };
    let own = version(None).unwrap();
    version(Some(99)).unwrap();
    house.server.spawn().unwrap();
    let status = house.server.ended().await.unwrap();
    assert_eq!(status.code(), Some(1), "{}", ending(status));
    let said = house.server.log();
    assert!(said.contains("newer version") && said.contains("99"), "{said}");
    assert!(!house.server.command(&["doctor"]).await.unwrap().status.success());
    assert_eq!(version(None).unwrap(), 99);

    version(Some(own)).unwrap();
    house.server.launch().await.unwrap();
    house.say("after", 1).await.unwrap();
}

#[tokio::test]
async fn a_file_of_another_program_is_refused() {
    let mut server = Server::new(options()).unwrap();
    let log = rusqlite::Connection::open(server.folder().path().join(LOG[0])).unwrap();
    log.execute_batch("CREATE TABLE theirs (a)").unwrap();
    drop(log);
    server.spawn().unwrap();
    assert_eq!(server.ended().await.unwrap().code(), Some(1));
    assert!(server.log().contains("another program"), "{}", server.log());
}
