//! A client that heard what happens and says so when it comes back.

use anyhow::Result;
use serde_json::{Value, json};
use tertulia_proto::event::ConversationUpdated;
use tertulia_proto::sync::Difference;
use tertulia_proto::{ApiError, ErrorCode, Message};
use tertulia_testkit::{Person, Server, Socket};

use crate::options;
use crate::replica::{Replica, Taken};

/// Messages that are heard; more than a page of the difference holds.
const HEARD: usize = 300;

struct Pair {
    server: Server,
    alice: Person,
    bob: Person,
}

impl Pair {
    async fn new() -> Result<Self> {
        let server = Server::start(options()).await?;
        let mut people = server.people(["alice", "bob"]).await?.into_iter();
        let (Some(alice), Some(bob)) = (people.next(), people.next()) else { anyhow::bail!("two people") };
        Ok(Self { server, alice, bob })
    }
}

async fn asked(socket: &mut Socket, question: Value) -> Result<(Difference, usize)> {
    socket.request("sync.request", question).await?;
    let difference: Value = socket.next_event("sync.batch").await?;
    Ok((serde_json::from_value(difference.clone())?, difference.to_string().len()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_heard_everything_is_told_nothing_when_they_come_back() {
    let pair = Pair::new().await.unwrap();
    let group = pair.server.api(&pair.alice).group("kitchen", std::slice::from_ref(&pair.bob)).await.unwrap().id;
    let mut bob = pair.server.connect(&pair.bob).await.unwrap();
    let mut replica = Replica::new(pair.bob.id);
    let (first, _) = asked(&mut bob, replica.question(100, true)).await.unwrap();
    replica.take_difference(first).unwrap();
    let mut alice = pair.server.connect(&pair.alice).await.unwrap();
    for number in 0..HEARD {
        let fields = json!({ "conversationId": group, "clientMsgId": format!("a-{number}"), "body": "x" });
        alice.feed("message.send", fields).await.unwrap();
    }
    alice.flush().await.unwrap();
    for _ in 0..HEARD {
        let fields: Value = bob.next_event("message.new").await.unwrap();
        assert_eq!(replica.take_event("message.new", &fields).unwrap(), Taken::Applied);
    }
    drop(bob);

    let mut bob = pair.server.connect(&pair.bob).await.unwrap();
    let without = asked(&mut bob, replica.question(100, false)).await.unwrap().0;
    let doubts = (without.conversations[0].hole_before, without.conversations[0].stale_before);
    assert_eq!(doubts, (Some(201), Some(201)), "told all again, and the older ones doubted");
    let before = replica.cursor.clone();
    let (difference, bytes) = asked(&mut bob, replica.question(100, true)).await.unwrap();
    eprintln!("{bytes} bytes for who heard {HEARD} messages live");
    assert!(difference.conversations.is_empty() && difference.removed.is_empty() && !difference.has_more);
    assert!(bytes < 200, "{bytes} bytes to say nothing");
    replica.take_difference(difference).unwrap();
    assert_ne!(replica.cursor, before, "the next difference begins here");
    let api = pair.server.api(&pair.bob);
    assert_eq!(replica.check_fresh(&api).await.unwrap(), HEARD);
    let over_rest: Difference = api.post("/api/v1/sync", &replica.question(100, true)).await.unwrap().take().unwrap();
    assert_eq!((over_rest.conversations.len(), over_rest.reset), (0, false));
}

fn refusal(error: &anyhow::Error) -> Option<&ApiError> {
    error.downcast_ref()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_over_a_socket_is_that_of_rest() {
    let pair = Pair::new().await.unwrap();
    let api = pair.server.api(&pair.alice);
    let group = api.group("kitchen", &[]).await.unwrap().id;
    for number in 1..=7 {
        api.send(group, &format!("a-{number}"), "x").await.unwrap();
    }
    let mut socket = pair.server.connect(&pair.alice).await.unwrap();
    for (range, query) in [
        (json!({}), ""),
        (json!({ "limit": 3 }), "?limit=3"),
        (json!({ "beforeSeq": 6, "limit": 2 }), "?beforeSeq=6&limit=2"),
        (json!({ "afterSeq": 2, "limit": 4 }), "?afterSeq=2&limit=4"),
        (json!({ "afterSeq": 7 }), "?afterSeq=7"),
    ] {
        let mut fields = range.clone();
        fields["conversationId"] = json!(group);
        let answer = socket.request("history.request", fields).await.unwrap();
        let rest = api.get(&format!("/api/v1/conversations/{group}/messages{query}")).await.unwrap().body;
        assert_eq!((&answer["messages"], &answer["hasMore"]), (&rest["messages"], &rest["hasMore"]), "{range}");
    }
    for (wrong, field) in [(json!({ "beforeSeq": 1, "afterSeq": 1 }), "beforeSeq"), (json!({ "limit": 0 }), "limit")] {
        let mut fields = wrong.clone();
        fields["conversationId"] = json!(group);
        let error = socket.request("history.request", fields).await.unwrap_err();
        let error = refusal(&error).unwrap();
        assert_eq!((error.code, error.detail.starts_with(field)), (ErrorCode::Invalid, true), "{wrong}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn muting_over_a_socket_keeps_its_place_among_the_writes() {
    let pair = Pair::new().await.unwrap();
    let api = pair.server.api(&pair.alice);
    let group = api.group("kitchen", &[]).await.unwrap().id;
    let (mut writing, mut watching) =
        (pair.server.connect(&pair.alice).await.unwrap(), pair.server.connect(&pair.alice).await.unwrap());
    let until = "2030-01-01T00:00:00.000Z";
    let mut asked = Vec::new();
    for (number, muted_until) in [Some(until), None, Some(until), None, Some(until)].into_iter().enumerate() {
        let fields = json!({ "conversationId": group, "clientMsgId": format!("a-{number}"), "body": "x" });
        asked.push(writing.feed("message.send", fields).await.unwrap());
        let fields = json!({ "conversationId": group, "mutedUntil": muted_until });
        asked.push(writing.feed("conversation.mute", fields).await.unwrap());
    }
    writing.flush().await.unwrap();
    for id in asked {
        writing.answer(id).await.unwrap().unwrap();
    }
    for number in 0..5 {
        let message: Message = watching.next_event("message.new").await.unwrap();
        assert_eq!(message.client_msg_id.as_str(), format!("a-{number}"));
        let view: ConversationUpdated = watching.next_event("conversation.updated").await.unwrap();
        let view = view.conversation.unwrap();
        assert_eq!((view.last_seq, view.muted_until.is_some()), (message.seq, number % 2 == 0), "after {number}");
    }
    let muted_until = api.conversation(group).await.unwrap().muted_until;
    assert_eq!(json!(muted_until), json!(until));
}
