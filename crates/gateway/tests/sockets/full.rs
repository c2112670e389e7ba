//! A connection whose client does not read: full from the server's end to the client's.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tertulia_gateway::Times;
use tertulia_proto::ConversationId;
use tokio_tungstenite::tungstenite::Message;

use crate::support::wire::{Door, Stream, next, until};
use crate::support::{Ask, Person, Server};
use crate::{server, short_times};

const BODY_BYTES: usize = 200;

/// More than fits between the server and the client, more packets than the Socket.IO library holds, and less than the lane takes.
const ROUNDS: usize = 16;
const MESSAGES_PER_ROUND: usize = 100;
const MESSAGES: i64 = 1600;

struct Room {
    server: Server,
    door: Door,
    writer: Person,
    deaf: Person,
    group: ConversationId,
}

impl Room {
    async fn new() -> Self {
        // A clock that jumps to the end of a token is no silence.
        let server = server(Times { silence: Duration::MAX, ..short_times() });
        let door = Door::narrow(&server);
        let (writer, deaf) = (server.person("Writer").await, server.person("Deaf").await);
        let group = server.group(&writer, &[&deaf]).await;
        Self { server, door, writer, deaf, group }
    }

    /// Writes more than the deaf one's socket takes. The writer's own device reads it all, so that the deaf one's has had its turn as well.
    async fn fill(&self) {
        let mut device = self.door.connected(&self.writer.token.token).await;
        let body = "x".repeat(BODY_BYTES);
        for round in 0..ROUNDS {
            for number in 0..MESSAGES_PER_ROUND {
                self.server.say(&self.writer, self.group, &format!("{round}-{number}"), &body).await;
            }
            for _ in 0..MESSAGES_PER_ROUND {
                assert_eq!(next(&mut device).await.unwrap()["type"], "message.new");
            }
        }
        drop(device);
        self.count_down_to(1).await;
    }

    async fn sign_out(&self) {
        self.server.services().auth().logout(&self.deaf.identity).await.unwrap();
    }

    async fn count_down_to(&self, connections: usize) {
        let hub = self.server.services().hub();
        until("the end of a connection", || hub.counts().connections == connections).await;
    }

    /// For its own reason: not as a reader who is too slow.
    async fn assert_the_session_ended_it(&self) {
        let metrics = self.server.call(Ask::new("GET /metrics")).await;
        assert!(metrics.text().contains("tertulia_socket_endings_total{code=\"4401\"} 1\n"), "{}", metrics.text());
    }

    /// Whatever was written meanwhile would stand before it.
    async fn assert_nothing_was_written(&self) {
        let next = self.server.say(&self.writer, self.group, "the-last-one", "hello").await;
        assert_eq!(next.seq, MESSAGES + 1, "something came into the log after the end of its session");
    }

    fn message(&self) -> Value {
        json!({ "conversationId": self.group, "clientMsgId": "too-late", "body": "I am still here" })
    }
}

async fn send(stream: &mut Stream, text: String) {
    stream.send(Message::text(text)).await.unwrap();
}

#[tokio::test]
async fn a_full_socket_ends_with_its_session_and_writes_nothing_more() {
    let room = Room::new().await;
    let mut deaf = room.door.connected(&room.deaf.token.token).await;
    room.fill().await;
    room.sign_out().await;
    let mut late = room.message();
    late["type"] = json!("message.send");
    send(&mut deaf, late.to_string()).await;
    room.count_down_to(0).await;
    room.assert_the_session_ended_it().await;
    room.assert_nothing_was_written().await;
}

#[tokio::test]
async fn a_full_socket_ends_with_its_token() {
    let room = Room::new().await;
    let _deaf = room.door.connected(&room.deaf.token.token).await;
    room.fill().await;
    room.server.later(room.deaf.token.expires_at.ms() - room.server.services().now().ms());
    room.count_down_to(0).await;
    room.assert_the_session_ended_it().await;
}

#[tokio::test]
async fn a_full_socket_io_connection_ends_with_its_session_and_writes_nothing_more() {
    let room = Room::new().await;
    let auth = json!({ "token": room.deaf.token.token });
    let (mut deaf, opened) = room.door.socketio(Vec::new(), auth).await;
    assert!(opened.starts_with("40{"), "{opened}");
    room.fill().await;
    room.sign_out().await;
    send(&mut deaf, format!("42{}", json!(["message:send", room.message()]))).await;
    room.count_down_to(0).await;
    room.assert_the_session_ended_it().await;
    room.assert_nothing_was_written().await;
}
