//! How often somebody may do something: each limit is of one person, or of one address, and says when to come again.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use serde_json::{Value, json};
use support::wire::{Door, ask};
use support::{Answer, Ask, Person, Server, Wish, assert_problem};
use tertulia_gateway::Settings;
use tertulia_proto::Limits;

mod support;

/// Alice's group, with bob in it and a message of each.
struct House {
    server: Server,
    alice: Person,
    bob: Person,
    names: Vec<(&'static str, String)>,
}

impl House {
    async fn new(limits: Limits) -> Self {
        let server = Server::new(Wish { rate_limits: true, limits, ..Wish::default() });
        let (alice, bob) = (server.person("Alice").await, server.person("Bob").await);
        let group = server.group(&alice, &[&bob]).await;
        let mine = server.say(&alice, group, "of-alice", "hello").await.message_id;
        let names = vec![
            ("{group}", group.to_string()),
            ("{mine}", mine.to_string()),
            ("{alice}", alice.id().to_string()),
            ("{bob}", bob.id().to_string()),
        ];
        Self { server, alice, bob, names }
    }

    fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
    }

    async fn call(&self, who: &Person, (line, body): (&str, &str)) -> Answer {
        let ask = Ask::new(&self.fill(line)).bearer(&who.token.token).body(self.fill(body));
        self.server.call(ask).await
    }

    /// As often as the window allows the first of the calls; then none of them, for her, until the window is over.
    async fn assert_window(&self, count: usize, window_ms: i64, calls: &[(&str, &str)]) {
        for _ in 0..count {
            let answer = self.call(&self.alice, calls[0]).await;
            assert!(answer.status.is_success(), "{}: {answer}", calls[0].0);
        }
        self.server.later(window_ms - 1500);
        for call in calls {
            let answer = self.call(&self.alice, *call).await;
            assert_problem(&answer, 429, "rate_limited");
            assert_eq!((answer.json()["retryAfterMs"].as_i64(), answer.header("retry-after")), (Some(1500), "2"));
        }
        assert!(self.call(&self.bob, calls[0]).await.status.is_success(), "{} of somebody else", calls[0].0);
        self.server.later(1500);
        assert!(self.call(&self.alice, calls[0]).await.status.is_success(), "{} after the window", calls[0].0);
    }
}

#[tokio::test]
async fn changes_have_a_window_of_ten_seconds() {
    let house = House::new(Limits { changes_per_10s: 3, ..Limits::default() }).await;
    let calls = [
        ("POST /api/v1/conversations/{group}/receipts", r#"{"readSeq":1}"#),
        ("PATCH /api/v1/me", r#"{"name":"Al"}"#),
        ("PATCH /api/v1/conversations/{group}", r#"{"title":"Other"}"#),
        ("PATCH /api/v1/conversations/{group}", r#"{"mutedUntil":null}"#),
        ("DELETE /api/v1/conversations/{group}", ""),
        ("POST /api/v1/conversations/{group}/members", r#"{"userId":"{bob}"}"#),
        ("PATCH /api/v1/conversations/{group}/members/{bob}", r#"{"role":"admin"}"#),
        ("DELETE /api/v1/conversations/{group}/members/{bob}", ""),
        ("PATCH /api/v1/conversations/{group}/messages/{mine}", r#"{"body":"better"}"#),
        ("PUT /api/v1/conversations/{group}/messages/{mine}/reactions/%F0%9F%91%8D", ""),
        ("DELETE /api/v1/conversations/{group}/messages/{mine}/reactions/%F0%9F%91%8D", ""),
        ("DELETE /api/v1/conversations/{group}/messages/{mine}", ""),
        ("PUT /api/v1/users/{bob}/block", ""),
        ("DELETE /api/v1/users/{bob}/block", ""),
    ];
    house.assert_window(3, 10_000, &calls).await;
}

#[tokio::test]
async fn searches_of_messages_and_of_people_share_a_window_of_a_minute() {
    let house = House::new(Limits { searches_per_minute: 3, ..Limits::default() }).await;
    let calls = [("GET /api/v1/search?q=hello", ""), ("GET /api/v1/users/search?email=bob", "")];
    house.assert_window(3, 60_000, &calls).await;
}

#[tokio::test]
async fn differences_have_a_window_of_ten_seconds() {
    let house = House::new(Limits { lookups_per_10s: 3, ..Limits::default() }).await;
    house.assert_window(3, 10_000, &[("GET /api/v1/sync", "")]).await;
}

fn refusal(answer: &Value) -> (&str, Option<i64>) {
    (answer["code"].as_str().unwrap_or("none"), answer["retryAfterMs"].as_i64())
}

#[tokio::test]
async fn sockets_count_into_the_same_windows() {
    let limits = Limits { lookups_per_10s: 2, changes_per_10s: 2, ..Limits::default() };
    let house = House::new(limits).await;
    let door = Door::open(&house.server);
    let mut alice = door.connected(&house.alice.token.token).await;
    let mut bob = door.connected(&house.bob.token.token).await;
    let fields = |text: &str| -> Value { serde_json::from_str(&house.fill(text)).unwrap() };
    let (watch, receipt) = (fields(r#"{"userIds":["{bob}"]}"#), fields(r#"{"conversationId":"{group}","readSeq":1}"#));
    let edit = fields(r#"{"conversationId":"{group}","messageId":"{mine}","body":"better"}"#);

    assert_eq!(ask(&mut alice, "sync.request", json!({})).await["type"], "ok");
    assert_eq!(ask(&mut alice, "presence.watch", watch.clone()).await["type"], "ok");
    assert_eq!(ask(&mut alice, "receipt", receipt.clone()).await["type"], "ok");
    assert_eq!(ask(&mut alice, "message.edit", edit).await["type"], "ok");
    house.server.later(4000);
    for (kind, fields) in [("sync.request", json!({})), ("presence.watch", watch.clone()), ("receipt", receipt.clone())]
    {
        let refused = ask(&mut alice, kind, fields.clone()).await;
        assert_eq!(refusal(&refused), ("rate_limited", Some(6000)), "{kind}: {refused}");
        assert_eq!(ask(&mut bob, kind, fields).await["type"], "ok", "{kind} of somebody else");
    }
    assert_problem(&house.call(&house.alice, ("GET /api/v1/sync", "")).await, 429, "rate_limited");
    house.server.later(6000);
    for (kind, fields) in [("sync.request", json!({})), ("presence.watch", watch), ("receipt", receipt)] {
        assert_eq!(ask(&mut alice, kind, fields).await["type"], "ok", "{kind} after the window");
    }
}

/// A server that lets an address try twice a minute.
struct Gate(Server);

impl Gate {
    fn new(behind_proxy: bool) -> Self {
        let limits = Limits { sign_ins_per_address_per_minute: 2, ..Limits::default() };
        let settings = Settings { behind_proxy, ..Settings::default() };
        Self(Server::new(Wish { rate_limits: true, limits, settings, ..Wish::default() }))
    }

    /// Tries from a peer that says in each line of `X-Forwarded-For` so much; gives the status. No try has an e-mail address, so that no password is
    /// hashed.
    async fn attempt(&self, peer: u8, lines: &[&str]) -> u16 {
        let peer = ConnectInfo(SocketAddr::from(([192, 0, 2, peer], 4000)));
        let body = json!({ "email": "nobody", "password": "x" }).to_string();
        let ask = Ask::new("POST /auth/login").body(body).with(peer);
        let ask = lines.iter().fold(ask, |ask, line| ask.and_header("x-forwarded-for", line));
        let answer = self.0.call(ask).await;
        if answer.status == 429 {
            assert_problem(&answer, 429, "rate_limited");
            assert_eq!(answer.header("retry-after"), "60");
        }
        answer.status.as_u16()
    }
}

#[tokio::test]
async fn without_a_proxy_the_peer_counts_whatever_it_says() {
    let gate = Gate::new(false);
    assert_eq!(gate.attempt(1, &["203.0.113.1"]).await, 401);
    assert_eq!(gate.attempt(1, &["203.0.113.2"]).await, 401);
    assert_eq!(gate.attempt(1, &["203.0.113.3"]).await, 429);
    assert_eq!(gate.attempt(1, &[]).await, 429);
    assert_eq!(gate.attempt(2, &["203.0.113.1"]).await, 401, "another peer");
}

#[tokio::test]
async fn behind_a_proxy_the_last_address_it_names_counts_and_nothing_before_it() {
    let gate = Gate::new(true);
    assert_eq!(gate.attempt(1, &["203.0.113.1"]).await, 401);
    assert_eq!(gate.attempt(2, &["198.51.100.7, 203.0.113.1"]).await, 401);
    for lines in [&["203.0.113.1"][..], &["198.51.100.8,203.0.113.1"], &["198.51.100.9", " 203.0.113.1 "]] {
        assert_eq!(gate.attempt(3, lines).await, 429, "{lines:?}");
    }
    assert_eq!(gate.attempt(1, &["203.0.113.1, 203.0.113.2"]).await, 401, "somebody else behind the same proxy");
    assert_eq!(gate.attempt(1, &["203.0.113.1", "2001:db8::2"]).await, 401);
    assert_eq!(gate.attempt(1, &["2001:db8::2"]).await, 401);
    assert_eq!(gate.attempt(1, &["2001:db8::2"]).await, 429);
}

#[tokio::test]
async fn behind_a_proxy_that_names_nobody_the_peer_counts() {
    let gate = Gate::new(true);
    assert_eq!(gate.attempt(1, &[]).await, 401);
    assert_eq!(gate.attempt(1, &["203.0.113.1, unknown"]).await, 401);
    assert_eq!(gate.attempt(1, &["not an address"]).await, 429);
    assert_eq!(gate.attempt(2, &[]).await, 401);
}
