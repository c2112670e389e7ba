//! Whose coming and going a socket is told.

use futures_util::SinkExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::wire::{Door, ask, next, packet};
use crate::{server, short_times};

#[tokio::test]
async fn who_watches_others_is_told_of_the_earlier_ones_no_more() {
    let server = server(short_times());
    let door = Door::open(&server);
    let (alice, bob, carol) = (server.person("Alice").await, server.person("Bob").await, server.person("Carol").await);
    server.group(&alice, &[&bob, &carol]).await;
    let mut plain = door.connected(&alice.token.token).await;
    let (mut packets, _) = door.socketio(Vec::new(), json!({ "token": alice.token.token })).await;
    for (number, watched) in [&bob, &carol].into_iter().enumerate() {
        let request = json!({ "userIds": [watched.id()] });
        let answer = ask(&mut plain, "presence.watch", request.clone()).await;
        assert_eq!(answer["presence"][0]["userId"], json!(watched.id()));
        packets.send(Message::text(format!("42{number}{}", json!(["presence:watch", request])))).await.unwrap();
        let acknowledged = packet(&mut packets).await.unwrap();
        assert!(acknowledged.starts_with(&format!("43{number}[{{\"presence\"")), "{acknowledged}");
    }
    let (_bobs, _carols) = (door.connected(&bob.token.token).await, door.connected(&carol.token.token).await);
    let told = next(&mut plain).await.unwrap();
    assert_eq!((&told["type"], &told["userId"]), (&json!("presence.update"), &json!(carol.id())), "{told}");
    let told = packet(&mut packets).await.unwrap();
    assert!(told.starts_with("42[\"presence:update\"") && told.contains(&carol.id().to_string()), "{told}");
}
