//! Whether anybody is there.

use serde_json::json;

use crate::support::wire::{Door, answer_a_ping, ask, next, until};
use crate::{server, short_times};

/// As `Times` has it.
const SILENCE_MS: i64 = 75_000;

#[tokio::test]
async fn who_answers_nothing_is_gone_after_75_seconds() {
    let server = server(short_times());
    let door = Door::open(&server);
    let alice = server.person("Alice").await;
    let mut stream = door.connected(&alice.token.token).await;
    // Who does not read answers no ping either.
    server.later(SILENCE_MS + 1);
    let hub = server.services().hub();
    until("the end of a silent connection", || hub.counts().connections == 0).await;
    assert_eq!(next(&mut stream).await, Err(1001));
}

#[tokio::test]
async fn who_answers_pings_stays() {
    let server = server(short_times());
    let door = Door::open(&server);
    let alice = server.person("Alice").await;
    let mut stream = door.connected(&alice.token.token).await;
    for _ in 0..4 {
        // After the second ping the pong to the first one has been heard.
        for _ in 0..3 {
            answer_a_ping(&mut stream).await;
        }
        server.later(SILENCE_MS / 2);
    }
    assert_eq!(ask(&mut stream, "ping", json!({})).await["type"], "ok");
}

#[tokio::test]
async fn a_connection_is_not_silent_at_the_limit() {
    let server = server(short_times());
    let door = Door::open(&server);
    let alice = server.person("Alice").await;
    let mut stream = door.connected(&alice.token.token).await;
    server.later(SILENCE_MS);
    answer_a_ping(&mut stream).await;
    assert_eq!(ask(&mut stream, "ping", json!({})).await["type"], "ok");
}
