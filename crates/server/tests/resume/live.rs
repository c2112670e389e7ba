//! Coming back while others write at full speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tertulia_proto::sync::Difference;
use tertulia_proto::{ConversationId, UserId};
use tertulia_testkit::{Frame, Incoming, Person, Random, Server, Socket};
use tokio::task::JoinSet;

use crate::options;
use crate::replica::{Replica, Taken};
use crate::writer::Writer;

const RECONNECTS: usize = 30;

/// Pages of one difference. There are at most eight conversations; the rest is for those that change meanwhile.
const PAGES_MAX: usize = 50;

struct Table {
    server: Server,
    people: Vec<Person>,
    conversations: Vec<ConversationId>,
    stop: Arc<AtomicBool>,
    writers: JoinSet<Result<usize>>,
}

impl Table {
    /// Four who write in three groups, and a reader, the last of the people.
    async fn new(random: &mut Random) -> Result<Self> {
        let server = Server::start(options()).await?;
        let people = server.people(["alice", "bob", "carol", "dave", "guest", "reader"]).await?;
        let everybody: Vec<Person> =
            people.iter().filter(|person| !["alice", "guest"].contains(&person.name.as_str())).cloned().collect();
        let alice = server.api(&people[0]);
        let mut conversations = Vec::new();
        for title in ["kitchen", "garden", "cellar"] {
            conversations.push(alice.group(title, &everybody).await?.id);
        }
        let (stop, mut writers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for (index, person) in people.iter().take(4).enumerate() {
            let writer = Writer {
                name: person.name.clone(),
                api: server.api(person),
                conversations: conversations.clone(),
                moves: (index == 0).then(|| people[4].clone()),
                everybody: everybody.clone(),
                random: random.fork(),
                stop: Arc::clone(&stop),
            };
            writers.spawn(writer.run(server.connect(person).await?));
        }
        Ok(Self { server, people, conversations, stop, writers })
    }

    fn reader(&self) -> Result<&Person> {
        self.people.last().context("a reader")
    }

    /// The writers end with everything acknowledged; gives how much that was.
    async fn finish(&mut self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut count = 0;
        while let Some(writer) = self.writers.join_next().await {
            count += writer??;
        }
        Ok(count)
    }
}

/// Asks for the whole difference over the socket. Live events that come before its end are taken by the rule, jumps among them are no matter:
/// the difference holds what they skipped.
async fn catch_up(socket: &mut Socket, replica: &mut Replica, page: usize, says: bool) -> Result<()> {
    for _ in 0..PAGES_MAX {
        socket.send("sync.request", replica.question(page, says)).await?;
        if !take_page(socket, replica).await? {
            return Ok(());
        }
    }
    bail!("a difference of {page} conversations a page that has not ended after {PAGES_MAX} pages")
}

/// Takes what comes up to the next page of the difference; `true` where more follow.
async fn take_page(socket: &mut Socket, replica: &mut Replica) -> Result<bool> {
    loop {
        match socket.next().await? {
            Incoming::Frame(Frame::Event { kind, fields }) if kind == "sync.batch" => {
                let difference: Difference = serde_json::from_value(fields)?;
                let more = difference.has_more;
                replica.take_difference(difference)?;
                return Ok(more);
            }
            Incoming::Frame(Frame::Event { kind, fields }) => drop(replica.take_event(&kind, &fields)?),
            Incoming::Frame(Frame::Answer { result, .. }) => drop(result?),
            Incoming::Closed(code) => bail!("closed with {code:?} before the difference"),
        }
    }
}

/// Takes so many live events; a jump among them is what may not happen.
async fn follow(socket: &mut Socket, replica: &mut Replica, events: usize) -> Result<()> {
    let mut applied = 0;
    while applied < events {
        match socket.next().await? {
            Incoming::Frame(Frame::Event { kind, fields }) => match replica.take_event(&kind, &fields)? {
                Taken::Applied => applied += 1,
                Taken::Old => {}
                Taken::Jump(what) => bail!("a jump after the difference: {what}"),
            },
            Incoming::Frame(Frame::Answer { result, .. }) => drop(result?),
            Incoming::Closed(code) => bail!("closed with {code:?}"),
        }
    }
    Ok(())
}

async fn come_back_often(table: &Table, replica: &mut Replica, random: &mut Random, page: usize) -> Result<()> {
    let api = table.server.api(table.reader()?);
    for time in 1..=RECONNECTS {
        let mut socket = table.server.connect(table.reader()?).await?;
        let events = random.below(300);
        // Half of the times it says what it holds.
        let says = random.one_in(2);
        let come_back = async {
            catch_up(&mut socket, replica, page, says).await?;
            // Seldom does the reader scroll up; what is missing stays noted.
            if time % 10 == 0 {
                replica.fill(&api).await?;
            }
            follow(&mut socket, replica, events).await
        };
        come_back.await.with_context(|| format!("reconnect {time}"))?;
        // Half of them say goodbye.
        if random.one_in(2) {
            socket.close().await?;
        }
    }
    Ok(())
}

async fn come_back_and_compare(page: usize) -> Result<()> {
    let mut random = Random::from_environment();
    let mut table = Table::new(&mut random).await?;
    let mut replica = Replica::new(table.reader()?.id);
    come_back_often(&table, &mut replica, &mut random, page).await?;
    let changes = table.finish().await?;

    let api = table.server.api(table.reader()?);
    let mut socket = table.server.connect(table.reader()?).await?;
    catch_up(&mut socket, &mut replica, page, random.one_in(2)).await?;
    replica.fill(&api).await?;
    let messages = replica.check_fresh(&api).await?;
    eprintln!("{changes} changes, {messages} messages, {RECONNECTS} reconnects");
    ensure!(messages > RECONNECTS, "{messages} messages are no load");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_comes_back_under_full_load_never_has_a_gap() {
    come_back_and_compare(100).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_comes_back_and_asks_in_small_pages_never_has_a_gap() {
    come_back_and_compare(2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_never_leaves_has_what_a_fresh_fetch_brings() {
    let mut random = Random::from_environment();
    let mut table = Table::new(&mut random).await.unwrap();
    let reader = table.reader().unwrap().clone();
    let mut replica = Replica::new(reader.id);
    let api = table.server.api(&reader);
    let mut socket = table.server.connect(&reader).await.unwrap();
    catch_up(&mut socket, &mut replica, 100, false).await.unwrap();
    replica.fill(&api).await.unwrap();
    follow(&mut socket, &mut replica, 2000).await.unwrap();
    table.finish().await.unwrap();
    follow_to_the_end(&mut socket, &mut replica, &table, reader.id).await.unwrap();
    replica.fill(&api).await.unwrap();
    replica.check_fresh(&api).await.unwrap();
}

/// Live events alone bring every conversation to the `rev` it has.
async fn follow_to_the_end(socket: &mut Socket, replica: &mut Replica, table: &Table, reader: UserId) -> Result<()> {
    let reader = table.people.iter().find(|person| person.id == reader).context("the reader")?;
    let api = table.server.api(reader);
    let mut ids = table.conversations.clone();
    for page in api.differences(None).await? {
        ids.extend(page.conversations.iter().map(|changed| changed.conversation.id));
    }
    for id in ids {
        let rev = api.conversation(id).await?.rev;
        while replica.known.get(&id).is_none_or(|known| known.rev < rev) {
            follow(socket, replica, 1).await?;
        }
    }
    Ok(())
}

/// Twice as many conversations as a page of the difference holds, each of which gets something new between two pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_of_several_pages_ends_while_others_write() {
    let mut random = Random::from_environment();
    let server = Server::start(options()).await.unwrap();
    let people = server.people(["alice", "bob"]).await.unwrap();
    let conversations = busy_conversations(&server, &people, 24).await.unwrap();
    let (stop, mut writers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    let writer = Writer {
        name: "alice".to_owned(),
        api: server.api(&people[0]),
        conversations,
        moves: None,
        everybody: Vec::new(),
        random: random.fork(),
        stop: Arc::clone(&stop),
    };
    writers.spawn(writer.run(server.connect(&people[0]).await.unwrap()));
    let api = server.api(&people[1]);
    let (mut pages, mut cursor) = (0, None::<String>);
    while pages < 50 {
        let page = api.difference(cursor.as_deref()).await.unwrap();
        pages += 1;
        cursor = Some(page.cursor);
        if !page.has_more {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    writers.join_all().await.into_iter().collect::<Result<Vec<_>>>().unwrap();
    assert!(pages < 10, "2,400 messages took {pages} pages or more");
}

/// Groups with a page of messages each.
async fn busy_conversations(server: &Server, people: &[Person], count: usize) -> Result<Vec<ConversationId>> {
    let api = server.api(&people[0]);
    let mut socket = server.connect(&people[0]).await?;
    let mut conversations = Vec::new();
    for conversation in 0..count {
        let group = api.group("kitchen", &people[1..]).await?.id;
        let mut last = 0;
        for number in 0..100 {
            let fields =
                json!({ "conversationId": group, "clientMsgId": format!("c{conversation}-{number}"), "body": "x" });
            last = socket.feed("message.send", fields).await?;
        }
        socket.flush().await?;
        socket.answer(last).await??;
        conversations.push(group);
    }
    Ok(conversations)
}
