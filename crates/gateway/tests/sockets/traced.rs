//! What is noted of a message that comes over Socket.IO.

use futures_util::SinkExt as _;
use serde_json::json;
use tertulia_core::journal::record::{Record, decode};
use tertulia_proto::trace::Door;
use tokio_tungstenite::tungstenite::Message;

use crate::support::wire::{Door as Way, packet};
use crate::support::{Server, Wish};

#[tokio::test]
async fn a_message_over_socket_io_is_noted_with_its_door_its_connection_and_its_session() {
    let server = Server::new(Wish { noting: true, ..Wish::default() });
    let (alice, bob) = (server.person("Alice").await, server.person("Bob").await);
    let group = server.group(&alice, &[&bob]).await;
    let door = Way::open(&server);
    let (mut socket, opened) = door.socketio(Vec::new(), json!({ "token": alice.token.token })).await;
    assert!(opened.starts_with("40{"), "{opened}");
    let message = json!({ "conversationId": group, "clientMsgId": "one", "body": "hello" });
    socket.send(Message::text(format!("425{}", json!(["message:send", message])))).await.unwrap();
    while !packet(&mut socket).await.unwrap().starts_with("435[") {}
    let journal = server.services().journal().unwrap();
    let rows = journal.take(100, true).rows;
    let records: Vec<Record> = rows.iter().flat_map(|row| decode(&row.data)).collect();
    let received = records.iter().find_map(|record| match record {
        Record::Received { door, connection, session, repeat, .. } => Some((*door, *connection, *session, *repeat)),
        _ => None,
    });
    let (door, connection, session, repeat) = received.unwrap();
    assert_eq!((door, session, repeat), (Door::SocketIo, Some(alice.identity.session), false));
    assert!(connection.is_some() && rows.iter().all(|row| row.message.is_some()));
}
