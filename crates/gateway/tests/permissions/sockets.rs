//! The requests of the sockets, over a plain WebSocket to a real listener. Socket.IO hands the same requests to the same dispatch.

use std::collections::BTreeSet;

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tertulia_core::auth::Scope::{self, ChatRead, ChatWrite, UsersRead};
use tertulia_proto::request::ClientRequest;
use tokio_tungstenite::tungstenite::Message;

use crate::support::wire::{self, Door, Stream, bearer, next};
use crate::world::{Caller, Papers, World};

const CALLERS: [Caller; 5] =
    [Caller::Stranger, Caller::Removed, Caller::Member, Caller::Blocked, Caller::KeyWithoutScope];

struct Row {
    kind: &'static str,
    fields: &'static str,
    scope: Option<Scope>,
    /// `ok` or the error's code, for each of [`CALLERS`].
    expected: [&'static str; 5],
}

const fn row(kind: &'static str, fields: &'static str, scope: Option<Scope>, expected: [&'static str; 5]) -> Row {
    Row { kind, fields, scope, expected }
}

const R: Option<Scope> = Some(ChatRead);
const W: Option<Scope> = Some(ChatWrite);
const UR: Option<Scope> = Some(UsersRead);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    //                                                                         stranger     removed      member       blocked      key-
    row("message.send", r#"{"conversationId":"{place}","clientMsgId":"new","body":"hi"}"#, W,
                                                                             ["not_found", "not_found", "ok",        "forbidden", "forbidden"]),
    row("message.edit", r#"{"conversationId":"{place}","messageId":"{mine}","body":"better"}"#, W,
                                                                             ["not_found", "not_found", "ok",        "forbidden", "forbidden"]),
    row("message.edit", r#"{"conversationId":"{place}","messageId":"{theirs}","body":"better"}"#, W,
                                                                             ["not_found", "not_found", "forbidden", "forbidden", "forbidden"]),
    row("message.delete", r#"{"conversationId":"{place}","messageId":"{mine}"}"#, W,
                                                                             ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("message.delete", r#"{"conversationId":"{place}","messageId":"{theirs}"}"#, W,
                                                                             ["not_found", "not_found", "forbidden", "forbidden", "forbidden"]),
    row("message.react", r#"{"conversationId":"{place}","messageId":"{theirs}","emoji":"👍"}"#, W,
                                                                             ["not_found", "not_found", "ok",        "forbidden", "forbidden"]),
    row("message.react", r#"{"conversationId":"{place}","messageId":"{theirs}","emoji":"👍","remove":true}"#, W,
                                                                             ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("receipt", r#"{"conversationId":"{place}","readSeq":1}"#, W,         ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("sync.request", r#"{"conversationId":"{place}"}"#, R,                ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("sync.request", r#"{"conversationId":"{place}","afterMessageId":"{mine}"}"#, R,
                                                                             ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("sync.request", "{}", R,                                             ["ok",        "ok",        "ok",        "ok",        "forbidden"]),
    row("sync.request", r#"{"have":[{"id":"{place}","rev":1,"lastSeq":0}]}"#, R,
                                                                             ["ok",        "ok",        "ok",        "ok",        "forbidden"]),
    row("history.request", r#"{"conversationId":"{place}"}"#, R,             ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("history.request", r#"{"conversationId":"{place}","beforeSeq":2,"limit":1}"#, R,
                                                                             ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("conversation.mute", r#"{"conversationId":"{place}","mutedUntil":"2030-01-01T00:00:00.000Z"}"#, W,
                                                                             ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("conversation.mute", r#"{"conversationId":"{place}","mutedUntil":null}"#, W,
                                                                             ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("typing.start", r#"{"conversationId":"{place}"}"#, W,                ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("typing.stop", r#"{"conversationId":"{place}"}"#, W,                 ["not_found", "not_found", "ok",        "ok",        "forbidden"]),
    row("presence.watch", r#"{"userIds":["{owner}","{alice}"]}"#, UR,        ["ok",        "ok",        "ok",        "ok",        "forbidden"]),
    row("auth.refresh", r#"{"token":"{own token}"}"#, None,                  ["ok",        "ok",        "ok",        "ok",        "invalid"]),
    row("auth.refresh", r#"{"token":"{alice's token}"}"#, None,
                                                                 ["forbidden", "forbidden", "forbidden", "forbidden", "forbidden"]),
    row("auth.refresh", r#"{"token":"nonsense"}"#, None,
                                             ["unauthenticated", "unauthenticated", "unauthenticated", "unauthenticated", "unauthenticated"]),
    row("ping", "{}", None,                                                  ["ok",        "ok",        "ok",        "ok",        "ok"]),
];

/// A world behind a listener, for as long as this lives.
struct Listening {
    world: World,
    door: Door,
}

impl Listening {
    async fn new() -> Self {
        let world = World::new().await;
        let door = Door::open(&world.server);
        Self { world, door }
    }

    async fn connect(&self, papers: &Papers) -> Stream {
        let token = papers.token.iter().flat_map(|token| bearer(token));
        let acts_as = papers.acts_as.iter().map(|who| ("tertulia-user", who.clone()));
        self.door.subscribe(token.chain(acts_as).collect()).await
    }
}

/// Asks with fields as the table has them.
async fn ask(stream: &mut Stream, kind: &str, fields: &str) -> Value {
    wire::ask(stream, kind, serde_json::from_str(fields).unwrap()).await
}

fn outcome(answer: &Value) -> &str {
    if answer["type"] == "ok" { "ok" } else { answer["code"].as_str().unwrap_or("no code") }
}

#[tokio::test]
async fn requests_over_a_socket_have_the_same_rules() {
    let mut wrong = Vec::new();
    for row in ROWS {
        for (caller, expected) in CALLERS.into_iter().zip(row.expected) {
            let listening = Listening::new().await;
            let papers = listening.world.papers(caller, row.scope).await;
            let alices = listening.world.server.sign_in("Alice").await.token;
            let fields = listening.world.fill(row.fields, caller);
            let fields = fields.replace("{own token}", papers.token.as_deref().unwrap_or("none"));
            let fields = fields.replace("{alice's token}", &alices);
            let mut stream = listening.connect(&papers).await;
            let answer = ask(&mut stream, row.kind, &fields).await;
            if outcome(&answer) != expected {
                wrong.push(format!("{} {} as {caller:?}: expected {expected}, was {answer}", row.kind, row.fields));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_request_of_the_protocol_is_in_the_table() {
    let asked: BTreeSet<_> = ROWS.iter().map(|row| row.kind).collect();
    assert_eq!(asked, BTreeSet::from(ClientRequest::NAMES));
}

#[tokio::test]
async fn a_socket_opens_for_a_good_token_alone() {
    for caller in Caller::ALL {
        let listening = Listening::new().await;
        let papers = listening.world.papers(caller, R).await;
        let first = next(&mut listening.connect(&papers).await).await;
        let is_open = matches!(&first, Ok(frame) if frame["type"] == "connected");
        match caller {
            Caller::Nobody | Caller::BadToken | Caller::ExpiredToken | Caller::EndedSession => {
                assert_eq!(first, Err(4401), "{caller:?}");
            }
            _ => assert!(is_open, "{caller:?}: {first:?}"),
        }
    }
}

#[tokio::test]
async fn a_token_comes_by_query_subprotocol_or_cookie_too() {
    let listening = Listening::new().await;
    let token = listening.world.papers(Caller::Member, None).await.token.unwrap();
    let cookie = ("cookie", format!("tertulia_session={token}"));
    let origin = |host: &str| ("origin", format!("http://{host}"));
    let protocol = ("sec-websocket-protocol", format!("bearer.{token}"));
    let own = origin(&listening.door.address.to_string());
    for (query, headers, is_let_in) in [
        (format!("?a=b&token={token}"), vec![], true),
        (String::new(), vec![protocol], true),
        (String::new(), vec![cookie.clone(), own], true),
        (String::new(), vec![cookie.clone(), origin("evil.example.org")], false),
        (String::new(), vec![cookie], false),
        ("?token=nonsense".to_owned(), vec![], false),
    ] {
        let what = format!("{query} {headers:?}");
        let first = next(&mut listening.door.upgrade(&format!("/messages/subscribe{query}"), headers).await).await;
        match first {
            Ok(frame) => assert!(is_let_in && frame["type"] == "connected", "{what}: {frame}"),
            Err(code) => assert!(!is_let_in && code == 4401, "{what}: {code}"),
        }
    }
}

#[tokio::test]
async fn signing_out_ends_the_open_sockets_of_the_session() {
    let listening = Listening::new().await;
    let papers = listening.world.papers(Caller::Owner, None).await;
    let mut stream = listening.connect(&papers).await;
    assert_eq!(next(&mut stream).await.unwrap()["type"], "connected");
    listening.world.papers(Caller::EndedSession, None).await;
    assert_eq!(next(&mut stream).await, Err(4401));
}

#[tokio::test]
async fn only_acquaintances_who_have_not_blocked_one_can_be_watched() {
    for (caller, seen) in
        [(Caller::Stranger, 0), (Caller::Removed, 0), (Caller::Member, 1), (Caller::Admin, 1), (Caller::Blocked, 0)]
    {
        let listening = Listening::new().await;
        let papers = listening.world.papers(caller, None).await;
        let mut stream = listening.connect(&papers).await;
        let fields = listening.world.fill(r#"{"userIds":["{owner}","{alice}"]}"#, caller);
        let answer = ask(&mut stream, "presence.watch", &fields).await;
        assert_eq!(answer["presence"].as_array().map(Vec::len), Some(seen), "{caller:?}: {answer}");
    }
}

#[tokio::test]
async fn who_was_removed_hears_nothing_more_and_who_is_blocked_is_not_seen_writing() {
    let listening = Listening::new().await;
    let alice = Papers { token: Some(listening.world.server.sign_in("Alice").await.token), acts_as: None };
    let mut alices = listening.connect(&alice).await;
    let mut bobs = listening.connect(&listening.world.papers(Caller::Blocked, None).await).await;
    let mut removeds = listening.connect(&listening.world.papers(Caller::Removed, None).await).await;
    let mut members = listening.connect(&listening.world.papers(Caller::Member, None).await).await;
    for stream in [&mut alices, &mut bobs, &mut removeds, &mut members] {
        assert_eq!(next(stream).await.unwrap()["type"], "connected");
    }
    let fill = |text: &str, caller| listening.world.fill(text, caller);
    let typing = fill(r#"{"conversationId":"{place}"}"#, Caller::Blocked);
    ask(&mut bobs, "typing.start", &typing).await;
    let send = fill(r#"{"conversationId":"{place}","clientMsgId":"new","body":"hi"}"#, Caller::Member);
    ask(&mut members, "message.send", &send).await;
    for stream in [&mut alices, &mut removeds] {
        // Whatever was told before them would come before the second answer.
        for id in [1, 2] {
            stream.send(Message::text(json!({"type": "ping", "id": id}).to_string())).await.unwrap();
            assert_eq!(next(stream).await, Ok(json!({"type": "ok", "id": id})));
        }
    }
}
