//! A device opens another connection while the server still has its older one.

use std::pin::pin;
use std::sync::Arc;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde_json::json;
use tertulia_gateway::dispatch::{Attachment, Session};
use tertulia_proto::request::{ClientRequest, EditMessage};
use tertulia_proto::{ConversationId, DeviceId, Limits, MessageId, Protocol};
use tokio_tungstenite::tungstenite::Message;

use crate::support::wire::{Door, Stream, ask, bearer, next, packet};
use crate::support::{Person, Server, Wish};
use crate::{server, short_times};

const PHONE: DeviceId = DeviceId::from_bytes([1; 16]);
const DESK: DeviceId = DeviceId::from_bytes([2; 16]);

async fn open(door: &Door, who: &Person, device: DeviceId) -> Stream {
    let path = format!("/messages/subscribe?device={device}");
    let mut stream = door.upgrade(&path, bearer(&who.token.token)).await;
    assert_eq!(next(&mut stream).await.unwrap()["type"], "connected");
    stream
}

#[tokio::test]
async fn a_newer_connection_of_a_device_ends_the_older_one_and_nobody_elses() {
    let server = server(short_times());
    let door = Door::open(&server);
    let (alice, bob) = (server.person("Alice").await, server.person("Bob").await);
    let mut older = open(&door, &alice, PHONE).await;
    let (mut desk, mut nameless) = (open(&door, &alice, DESK).await, door.connected(&alice.token.token).await);
    let mut bobs = open(&door, &bob, PHONE).await;
    let mut newer = open(&door, &alice, PHONE).await;
    assert_eq!(next(&mut older).await, Err(4409));
    for stream in [&mut desk, &mut nameless, &mut bobs, &mut newer] {
        assert_eq!(ask(stream, "ping", json!({})).await["type"], "ok");
    }
    assert_eq!(server.services().hub().counts().connections, 4);
}

#[tokio::test]
async fn a_device_has_one_connection_over_both_protocols_together() {
    let server = server(short_times());
    let door = Door::open(&server);
    let alice = server.person("Alice").await;
    let mut plain = open(&door, &alice, PHONE).await;
    let auth = json!({ "token": alice.token.token, "device": PHONE });
    let (mut packets, opened) = door.socketio(Vec::new(), auth).await;
    assert!(opened.starts_with("40{"), "{opened}");
    assert_eq!(next(&mut plain).await, Err(4409));
    let _newer = open(&door, &alice, PHONE).await;
    let told = packet(&mut packets).await.unwrap();
    assert!(told.starts_with("42[\"error\"") && told.contains("conflict") && told.contains("4409"), "{told}");
    assert_eq!(packet(&mut packets).await.as_deref(), Ok("41"));
}

#[tokio::test]
async fn a_device_that_is_none_is_refused_by_name() {
    let server = server(short_times());
    let door = Door::open(&server);
    let alice = server.person("Alice").await;
    for bad in ["", "phone", "0101010101010101010101010101010101010101"] {
        let path = format!("/messages/subscribe?device={bad}");
        let mut stream = door.upgrade(&path, bearer(&alice.token.token)).await;
        match stream.next().await {
            Some(Ok(Message::Close(Some(close)))) => {
                assert_eq!((u16::from(close.code), &*close.reason), (1008, "device: must be a UUID of 36 characters"));
            }
            other => panic!("{other:?}"),
        }
        let (_, refused) = door.socketio(Vec::new(), json!({ "token": alice.token.token, "device": bad })).await;
        assert_eq!(refused, r#"44{"message":"invalid: device: must be a UUID of 36 characters"}"#);
    }
    let (_, refused) = door.socketio(Vec::new(), json!({ "token": alice.token.token, "device": 7 })).await;
    assert!(refused.contains("device"), "{refused}");
    let (_, opened) = door.socketio(Vec::new(), json!({ "token": alice.token.token, "device": null })).await;
    assert!(opened.starts_with("40{"), "{opened}");
}

/// A socket of Alice's phone as its reader sees it, and a message of hers.
struct Room {
    server: Server,
    alice: Person,
    group: ConversationId,
    message: MessageId,
}

impl Room {
    /// A connection may have so many requests under way.
    async fn new(in_flight_max: usize) -> Self {
        let limits = Limits { in_flight_max, ..Limits::default() };
        let server = Server::new(Wish { limits, ..Wish::default() });
        let (alice, bob) = (server.person("Alice").await, server.person("Bob").await);
        let group = server.group(&alice, &[&bob]).await;
        let message = server.say(&alice, group, "first", "zero").await.message_id;
        Self { server, alice, group, message }
    }

    async fn session(&self) -> (Session, Attachment) {
        let connection = self.server.services().connect(&self.alice.identity, Some(PHONE)).await.unwrap();
        let app = &self.server.gateway;
        let attachment = Attachment::new(Arc::clone(app), Arc::clone(&connection));
        (Session::new(Arc::clone(app), connection, self.alice.identity.clone(), Protocol::WebSocket), attachment)
    }

    fn edit(&self, body: &str) -> ClientRequest {
        let body = body.to_owned();
        ClientRequest::EditMessage(EditMessage { conversation_id: self.group, message_id: self.message, body })
    }

    async fn body(&self) -> String {
        self.server.services().message(&self.alice.identity, self.group, self.message).await.unwrap().body
    }
}

#[tokio::test]
async fn what_waits_for_its_turn_is_not_done_for_a_connection_that_was_replaced_meanwhile() {
    let room = Room::new(1).await;
    let (mut older, _seat) = room.session().await;
    room.server.handoff.hold();
    older.handle(None, room.edit("one")).await;
    let mut late = pin!(older.handle(None, room.edit("late")));
    assert!((&mut late).now_or_never().is_none(), "all places are taken");
    let mut newer = pin!(room.session());
    assert!((&mut newer).now_or_never().is_none());
    room.server.handoff.release();
    late.await;
    let (mut newer, _newer_seat) = newer.await;
    assert_eq!(room.body().await, "one");
    newer.handle(None, room.edit("two")).await;
    assert_eq!(room.body().await, "two");
}

#[tokio::test]
async fn nothing_is_looked_up_for_a_connection_that_was_replaced() {
    let room = Room::new(8).await;
    let (mut older, seat) = room.session().await;
    let (_newer, _newer_seat) = room.session().await;
    let watch = serde_json::from_value(json!({ "userIds": [room.alice.id()] })).unwrap();
    older.handle(Some(1), ClientRequest::WatchPresence(watch)).await;
    assert_eq!(room.server.services().hub().watched_by(room.alice.id()), []);
    drop(seat);
    assert_eq!(room.server.services().hub().counts().connections, 1, "the older one's end is not the newer one's");
}

#[tokio::test]
async fn what_the_older_connection_had_submitted_is_in_the_log_before_the_newer_one_is_connected() {
    let room = Room::new(8).await;
    let (mut older, seat) = room.session().await;
    // Else the newer one would be the first of its person, and wait in any case.
    let (_desk, _desk_seat) = {
        let connection = room.server.services().connect(&room.alice.identity, Some(DESK)).await.unwrap();
        (Arc::clone(&connection), Attachment::new(Arc::clone(&room.server.gateway), connection))
    };
    room.server.handoff.hold();
    older.handle(None, room.edit("one")).await;
    // Also when the older one has gone by itself.
    drop(seat);
    let mut newer = pin!(room.session());
    assert!((&mut newer).now_or_never().is_none(), "what was submitted before has not been told yet");
    room.server.handoff.release();
    newer.await;
}

#[tokio::test]
async fn what_comes_over_a_socket_after_it_was_replaced_is_not_done() {
    let room = Room::new(8).await;
    let door = Door::open(&room.server);
    let mut older = open(&door, &room.alice, PHONE).await;
    let mut newer = open(&door, &room.alice, PHONE).await;
    let edit = json!({ "conversationId": room.group, "messageId": room.message, "body": "late" });
    let mut frame = edit.clone();
    frame["type"] = json!("message.edit");
    // The server may have hung up by now, which is as well.
    let _ = older.send(Message::text(frame.to_string())).await;
    assert_eq!(next(&mut older).await, Err(4409));
    let mut edit = edit;
    edit["body"] = json!("two");
    assert_eq!(ask(&mut newer, "message.edit", edit).await["type"], "ok");
    assert_eq!(room.body().await, "two");
}
