//! Readers who do not read.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tertulia_proto::sync::Difference;
use tertulia_proto::{Conversation, Message};
use tertulia_testkit::{Api, Frame, Incoming, Person, Server, Socket, SocketOptions};

use crate::options;
use crate::replica::{Replica, Taken};

/// What the operating system receives for somebody who does not read: as little as it may be.
const DEAF: SocketOptions = SocketOptions { receive_buffer_bytes: Some(4096), device: None };

/// The lane's default bound is 2 MiB; a message of this size fills it with some five hundred.
const BODY_BYTES: usize = 4000;

const MEBIBYTE: u64 = 1 << 20;

struct Room {
    server: Server,
    writer: Person,
    fast: Person,
    slow: Person,
    group: Conversation,
}

impl Room {
    async fn new(options: tertulia_testkit::Options) -> Result<Self> {
        let server = Server::start(options).await?;
        let people = server.people(["writer", "fast", "slow"]).await?;
        let group = server.api(&people[0]).group("kitchen", &people[1..]).await?;
        let [writer, fast, slow] = <[Person; 3]>::try_from(people).ok().context("three people")?;
        Ok(Self { server, writer, fast, slow, group })
    }

    fn message(&self, name: &str, number: usize) -> serde_json::Value {
        json!({ "conversationId": self.group.id, "clientMsgId": format!("{name}-{number}"), "body": "x".repeat(BODY_BYTES) })
    }

    async fn deaf(&self) -> Result<Socket> {
        Socket::connect(self.server.url(), &self.slow.token, DEAF).await
    }

    /// One message after the other, each read by the fast reader before the next is sent; gives the longest way from one to the other.
    #[expect(clippy::disallowed_methods, reason = "how long a message takes is what is measured")]
    async fn talk(&self, name: &str, messages: usize) -> Result<Duration> {
        let mut writer = self.server.connect(&self.writer).await?;
        let mut fast = self.server.connect(&self.fast).await?;
        let mut longest = Duration::ZERO;
        for number in 0..messages {
            let began = tokio::time::Instant::now();
            let id = writer.send("message.send", self.message(name, number)).await?;
            let message: Message = fast.next_event("message.new").await?;
            longest = longest.max(began.elapsed());
            ensure!(
                message.client_msg_id.as_str() == format!("{name}-{number}"),
                "{} came instead",
                message.client_msg_id
            );
            writer.answer(id).await??;
            let _: Message = writer.next_event("message.new").await?;
        }
        Ok(longest)
    }
}

async fn catch_up_by_rest(api: &Api, replica: &mut Replica) -> Result<()> {
    for page in api.differences(replica.cursor.clone().as_deref()).await? {
        replica.take_difference(page)?;
    }
    replica.fill(api).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_stops_reading_is_sent_away_and_catches_up_completely() {
    let room = Room::new(options()).await.unwrap();
    let api = room.server.api(&room.slow);
    let mut replica = Replica::new(room.slow.id);
    catch_up_by_rest(&api, &mut replica).await.unwrap();
    let mut deaf = room.deaf().await.unwrap();
    let longest = room.talk("while-slow", 1500).await.unwrap();
    eprintln!("the slowest message took {longest:?}");
    assert!(longest < Duration::from_secs(20), "others waited {longest:?} for a reader who does not read");

    let code = read_to_the_end(&mut deaf, &mut replica).await.unwrap();
    assert!(matches!(code, Some(4408) | None), "closed with {code:?}");
    let behind = replica.known[&room.group.id].rev;
    let now = api.conversation(room.group.id).await.unwrap().rev;
    assert!(behind < now, "a lane that was never full");
    catch_up_by_rest(&api, &mut replica).await.unwrap();
    assert_eq!(replica.check_fresh(&api).await.unwrap(), 1500);
}

/// What still comes is whole and in order; then the close code.
async fn read_to_the_end(socket: &mut Socket, replica: &mut Replica) -> Result<Option<u16>> {
    loop {
        match socket.next().await? {
            Incoming::Frame(Frame::Event { kind, fields }) => {
                if let Taken::Jump(what) = replica.take_event(&kind, &fields)? {
                    bail!("skipped silently: {what}");
                }
            }
            Incoming::Frame(Frame::Answer { .. }) => {}
            Incoming::Closed(code) => return Ok(code),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_readers_who_hang_cost_little_memory_and_nobody_else_waits() {
    let room = Room::new(options()).await.unwrap();
    room.talk("warm", 200).await.unwrap();
    let before = room.server.resident_bytes().unwrap();
    let mut hanging = Vec::new();
    for _ in 0..50 {
        hanging.push(room.deaf().await.unwrap());
    }
    let mut most = before;
    for round in 0..6 {
        let longest = room.talk(&format!("round-{round}"), 250).await.unwrap();
        most = most.max(room.server.resident_bytes().unwrap());
        assert!(longest < Duration::from_secs(20), "others waited {longest:?}");
    }
    let grown = (most - before) / MEBIBYTE;
    eprintln!("{} MiB before, {grown} MiB more with fifty who hang", before / MEBIBYTE);
    assert!(grown < 64, "{grown} MiB more");
}

/// Each asks for pages it does not read, so that nothing in the lanes is shared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_who_ask_and_do_not_read_are_bounded_by_their_lanes() {
    let lane = 256 * 1024;
    let room = Room::new(options().limit("lane_max_bytes", lane)).await.unwrap();
    room.talk("page", 40).await.unwrap();
    let api = room.server.api(&room.slow);
    let page = api.difference(None).await.unwrap();
    assert_eq!(page.conversations[0].messages.len(), 40, "a page of some 160 KiB");
    let before = room.server.resident_bytes().unwrap();
    let mut hanging: Vec<Socket> = Vec::new();
    for _ in 0..50 {
        hanging.push(room.deaf().await.unwrap());
    }
    for socket in &mut hanging {
        for _ in 0..20 {
            socket.feed("sync.request", json!({})).await.unwrap();
        }
        socket.flush().await.unwrap();
    }
    // One who asks last and reads is answered after the others were.
    let mut asking = room.server.connect(&room.fast).await.unwrap();
    let mut most = before;
    for _ in 0..50 {
        asking.request("sync.request", json!({})).await.unwrap();
        let _: Difference = asking.next_event("sync.batch").await.unwrap();
        most = most.max(room.server.resident_bytes().unwrap());
    }
    let grown = (most - before) / MEBIBYTE;
    // A lane, and as much again that was taken from it and waits for the socket.
    let bound = 2 * 50 * lane / MEBIBYTE + 40;
    eprintln!("{} MiB before, {grown} MiB more with fifty who ask", before / MEBIBYTE);
    assert!(grown < bound, "{grown} MiB more, over {bound}");
}

/// Live events that wait for a difference are in the lane as well, and are counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_write_at_once_and_one_who_reads_all_get_everything() {
    let room = Arc::new(Room::new(options()).await.unwrap());
    let mut reader = room.server.connect(&room.fast).await.unwrap();
    let mut writing = tokio::task::JoinSet::new();
    for name in ["a", "b", "c", "d"] {
        let room = Arc::clone(&room);
        writing.spawn(async move {
            let mut socket = room.server.connect(&room.writer).await?;
            for number in 0..250 {
                socket.request("message.send", room.message(name, number)).await?;
            }
            anyhow::Ok(())
        });
    }
    for seq in 1..=1000 {
        let message: Message = reader.next_event("message.new").await.unwrap();
        assert_eq!(message.seq, seq);
    }
    writing.join_all().await.into_iter().collect::<Result<Vec<_>>>().unwrap();
}
