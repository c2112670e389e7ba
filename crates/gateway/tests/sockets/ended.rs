//! Sockets whose session or key has been ended elsewhere.

use serde_json::json;
use tertulia_core::auth::{Scope, Scopes};

use crate::support::wire::{Door, ask, bearer, next, packet};
use crate::support::{Server, email};
use crate::{server, short_times};

async fn key(server: &Server, scopes: &[Scope]) -> tertulia_core::auth::NewApiKey {
    let scopes = scopes.iter().copied().collect::<Scopes>();
    server.services().auth().create_api_key("the shop", scopes).await.unwrap()
}

/// Nobody tells a connection of this: the command that revokes a key is another process.
#[tokio::test]
async fn a_revoked_key_closes_the_sockets_it_opened_and_no_others() {
    let server = server(short_times());
    let door = Door::open(&server);
    let alice = server.person("Alice").await;
    let (revoked, kept) = (key(&server, &[Scope::ChatRead]).await, key(&server, &[Scope::ChatRead]).await);
    let open = |token: &str| {
        let mut headers = bearer(token);
        headers.push(("tertulia-user", email("Alice")));
        headers
    };
    let mut ends = door.subscribe(open(&revoked.token)).await;
    let mut stays = door.subscribe(open(&kept.token)).await;
    let mut own = door.connected(&alice.token.token).await;
    let (mut packets, opened) = door.socketio(open(&revoked.token), json!({})).await;
    assert!(opened.starts_with("40{"), "{opened}");
    for stream in [&mut ends, &mut stays] {
        assert_eq!(next(stream).await.unwrap()["type"], "connected");
    }

    server.services().auth().revoke_api_key(revoked.id).await.unwrap();
    assert_eq!(next(&mut ends).await, Err(4401));
    let told = packet(&mut packets).await.unwrap();
    assert!(told.starts_with("42[\"error\"") && told.contains("unauthenticated"), "{told}");
    assert_eq!(packet(&mut packets).await.as_deref(), Ok("41"));
    for stream in [&mut stays, &mut own] {
        assert_eq!(ask(stream, "ping", json!({})).await["type"], "ok");
    }
}

#[tokio::test]
async fn a_token_of_an_ended_session_renews_nothing() {
    let server = server(short_times());
    let door = Door::open(&server);
    let (phone, laptop) = (server.person("Alice").await, server.person("Alice").await);
    let mut stream = door.connected(&phone.token.token).await;
    server.services().auth().logout(&laptop.identity).await.unwrap();
    let refused = ask(&mut stream, "auth.refresh", json!({ "token": laptop.token.token })).await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("unauthenticated")), "{refused}");
    // It is still the connection of the phone's session, and ends with that.
    assert_eq!(ask(&mut stream, "ping", json!({})).await["type"], "ok");
    server.services().auth().logout(&phone.identity).await.unwrap();
    assert_eq!(next(&mut stream).await, Err(4401));
}

#[tokio::test]
async fn a_renewed_connection_ends_with_its_new_session_and_not_with_the_old() {
    let server = server(short_times());
    let door = Door::open(&server);
    let (old, new) = (server.person("Alice").await, server.person("Alice").await);
    let mut stream = door.connected(&old.token.token).await;
    assert_eq!(ask(&mut stream, "auth.refresh", json!({ "token": new.token.token })).await["type"], "ok");
    server.services().auth().logout(&old.identity).await.unwrap();
    assert_eq!(ask(&mut stream, "ping", json!({})).await["type"], "ok");
    server.services().auth().logout(&new.identity).await.unwrap();
    assert_eq!(next(&mut stream).await, Err(4401));
}

/// What a key may do is bound to it: a connection that it opened becomes nobody else's, and ends with it.
#[tokio::test]
async fn a_connection_of_a_key_takes_no_persons_token() {
    let server = server(short_times());
    let door = Door::open(&server);
    let alice = server.person("Alice").await;
    let shop = key(&server, &[Scope::ChatRead]).await;
    let mut headers = bearer(&shop.token);
    headers.push(("tertulia-user", email("Alice")));
    let mut stream = door.subscribe(headers).await;
    assert_eq!(next(&mut stream).await.unwrap()["type"], "connected");
    let refused = ask(&mut stream, "auth.refresh", json!({ "token": alice.token.token })).await;
    assert_eq!(refused["code"], "forbidden", "{refused}");
    assert_eq!(ask(&mut stream, "ping", json!({})).await["type"], "ok");
    server.services().auth().revoke_api_key(shop.id).await.unwrap();
    assert_eq!(next(&mut stream).await, Err(4401));
}
