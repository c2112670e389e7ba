//! What may be said of what one holds, over REST; sockets bring the same to the same service.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

use serde_json::{Value, json};
use support::{Answer, Ask, Server, Wish};

mod support;

/// Somebody with a group of their own, in which they wrote three messages.
struct House {
    server: Server,
    token: String,
    group: String,
}

impl House {
    async fn new() -> Self {
        let server = Server::new(Wish::default());
        let token = server.sign_in("Alice").await.token;
        let mut house = Self { server, token, group: String::new() };
        let answer = house.post("/api/v1/conversations/group", &json!({ "title": "Ours" })).await;
        house.group = answer.json()["id"].as_str().unwrap().to_owned();
        for number in 0..3 {
            house.send(number).await;
        }
        house
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.server.call(Ask::new(&format!("POST {path}")).bearer(&self.token).body(body.to_string())).await
    }

    async fn send(&self, number: usize) {
        let line = format!("/api/v1/conversations/{}/messages", self.group);
        let answer = self.post(&line, &json!({ "clientMsgId": format!("a-{number}"), "body": "hi" })).await;
        assert_eq!(answer.status, 201, "{answer}");
    }

    async fn sync(&self, body: Value) -> Value {
        let answer = self.post("/api/v1/sync", &body).await;
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()
    }

    fn held(&self, rev: i64, last_seq: i64) -> Value {
        json!({ "id": self.group, "rev": rev, "lastSeq": last_seq })
    }
}

fn seqs(difference: &Value) -> Vec<i64> {
    let conversations = difference["conversations"].as_array().unwrap();
    let messages = conversations.iter().flat_map(|told| told["messages"].as_array().unwrap());
    messages.map(|message| message["seq"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_difference_that_is_posted_is_the_one_that_is_got() {
    let house = House::new().await;
    let got = house.server.call(Ask::new("GET /api/v1/sync?limit=7").bearer(&house.token)).await.json();
    assert_eq!(house.sync(json!({ "limit": 7 })).await, got);
    assert_eq!(house.sync(json!({})).await, got);
    let cursor = got["cursor"].as_str().unwrap();
    house.send(3).await;
    let got = house.server.call(Ask::new(&format!("GET /api/v1/sync?cursor={cursor}")).bearer(&house.token)).await;
    assert_eq!(house.sync(json!({ "cursor": cursor })).await, got.json());
}

#[tokio::test]
async fn what_is_held_is_left_out() {
    let house = House::new().await;
    let cursor = house.sync(json!({})).await["cursor"].clone();
    house.send(3).await;
    house.send(4).await;
    let told = house.sync(json!({ "cursor": cursor, "have": [house.held(5, 4)] })).await;
    assert_eq!(seqs(&told), [5]);
    let answer = house.post("/api/v1/sync", &json!({ "cursor": cursor, "have": [house.held(6, 5)] })).await;
    assert_eq!(answer.json()["conversations"], json!([]));
    assert!(answer.body.len() < 200, "{} bytes to say nothing", answer.body.len());
    // Nothing is listed: the difference since the cursor.
    assert_eq!(seqs(&house.sync(json!({ "cursor": cursor, "have": [] })).await), [4, 5]);
}

#[tokio::test]
async fn who_holds_more_than_there_is_starts_over() {
    let house = House::new().await;
    let cursor = house.sync(json!({})).await["cursor"].clone();
    let unknown = json!({ "id": "018f0000-0000-7000-8000-000000000003", "rev": 1, "lastSeq": 0 });
    for beyond in [house.held(5, 3), house.held(4, 4), unknown] {
        let told = house.sync(json!({ "cursor": cursor, "have": [beyond] })).await;
        assert_eq!((&told["reset"], seqs(&told)), (&json!(true), vec![1, 2, 3]), "{beyond}");
    }
}

#[tokio::test]
async fn what_is_held_counts_only_with_a_cursor_of_this_log() {
    let house = House::new().await;
    // Neither left out nor found to be too much.
    for held in [house.held(4, 3), house.held(99, 99)] {
        let told = house.sync(json!({ "have": [held] })).await;
        assert_eq!((told.get("reset"), seqs(&told)), (None, vec![1, 2, 3]), "{held}");
        let told = house.sync(json!({ "cursor": "", "have": [held] })).await;
        assert_eq!((told.get("reset"), seqs(&told)), (None, vec![1, 2, 3]), "{held}");
        let told = house.sync(json!({ "cursor": "nonsense", "have": [held] })).await;
        assert_eq!((&told["reset"], seqs(&told)), (&json!(true), vec![1, 2, 3]), "{held}");
    }
}

#[tokio::test]
async fn only_so_much_may_be_said_and_of_each_conversation_once() {
    let house = House::new().await;
    let cursor = house.sync(json!({})).await["cursor"].clone();
    let most = house.server.services().limits().sync_have_max;
    let answer =
        house.post("/api/v1/sync", &json!({ "cursor": cursor, "have": vec![house.held(4, 3); most + 1] })).await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (413, Some("too_large")), "{answer}");
    assert_eq!(answer.json()["detail"], "have: over the limit of 500 conversations");
    let answer = house.post("/api/v1/sync", &json!({ "cursor": cursor, "have": vec![house.held(4, 3); 2] })).await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (400, Some("invalid")), "{answer}");
    // As many as may be, all of them another person's: told nothing, and no reset.
    let bob = house.server.sign_in("Bob").await.token;
    let mut foreign = Vec::new();
    for _ in 0..most {
        let ask =
            Ask::new("POST /api/v1/conversations/group").bearer(&bob).body(json!({ "title": "Theirs" }).to_string());
        let id = house.server.call(ask).await.json()["id"].clone();
        foreign.push(json!({ "id": id, "rev": 1, "lastSeq": 0 }));
    }
    let told = house.sync(json!({ "cursor": cursor, "have": foreign })).await;
    assert_eq!((told.get("reset"), &told["conversations"]), (None, &json!([])));
}
