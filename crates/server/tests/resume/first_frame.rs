//! What a connection may rely on from its first frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use serde_json::json;
use tertulia_proto::sync::Difference;
use tertulia_testkit::{Random, Server};

use crate::options;
use crate::writer::Writer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connected_is_the_first_frame_also_under_load() {
    let server = Server::start(options()).await.unwrap();
    let people = server.people(["alice", "bob"]).await.unwrap();
    let group = server.api(&people[0]).group("kitchen", &people[1..]).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = Writer {
        name: "alice".to_owned(),
        api: server.api(&people[0]),
        conversations: vec![group.id],
        moves: None,
        everybody: Vec::new(),
        random: Random::from_environment(),
        stop: Arc::clone(&stop),
    };
    let mut writing = tokio::task::JoinSet::new();
    writing.spawn(writer.run(server.connect(&people[0]).await.unwrap()));
    let mut first = Vec::new();
    for _ in 0..100 {
        first.push(server.connect(&people[1]).await.unwrap().first_kind().to_owned());
    }
    stop.store(true, Ordering::Relaxed);
    writing.join_all().await.into_iter().collect::<Result<Vec<_>>>().unwrap();
    let others = first.iter().filter(|kind| *kind != "connected").count();
    assert_eq!(others, 0, "of 100 connections {others} began with another frame: {first:?}");
}

/// Ten conversations with a page of long messages each: over the lane's bytes, and within what a page may hold.
async fn ten_full_conversations(server: &Server) -> Result<tertulia_testkit::Person> {
    let people = server.people(["alice", "bob"]).await?;
    let alice = server.api(&people[0]);
    let mut socket = server.connect(&people[0]).await?;
    for conversation in 0..10 {
        let group = alice.group("kitchen", &people[1..]).await?;
        let mut last = 0;
        for number in 0..100 {
            let id = format!("c{conversation}-{number}");
            let fields = json!({ "conversationId": group.id, "clientMsgId": id, "body": "x".repeat(4096) });
            last = socket.feed("message.send", fields).await?;
        }
        socket.flush().await?;
        socket.answer(last).await??;
    }
    Ok(people[1].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_difference_with_long_messages_arrives_over_the_socket() {
    let server = Server::start(options()).await.unwrap();
    let bob = ten_full_conversations(&server).await.unwrap();
    let mut socket = server.connect(&bob).await.unwrap();
    let read = async {
        let (mut cursor, mut messages) = (None::<String>, 0);
        loop {
            socket.request("sync.request", json!({ "cursor": cursor })).await?;
            let page: Difference = socket.next_event("sync.batch").await?;
            messages += page.conversations.iter().map(|changed| changed.messages.len()).sum::<usize>();
            if !page.has_more {
                return anyhow::Ok(messages);
            }
            ensure!(cursor.as_ref() != Some(&page.cursor), "the difference does not go on");
            cursor = Some(page.cursor);
        }
    };
    assert_eq!(read.await.unwrap(), 1000);
}
