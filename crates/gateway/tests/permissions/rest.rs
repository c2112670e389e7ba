//! The REST API.

use std::collections::BTreeSet;

use serde_json::Value;
use tertulia_core::auth::Scope::{self, Admin, ChatRead, ChatWrite, TokensWrite, UsersRead, UsersWrite};

use crate::support::Ask;
use crate::world::{Caller, World};

struct Row {
    line: &'static str,
    body: &'static str,
    scope: Option<Scope>,
    expected: [u16; 12],
}

const fn row(line: &'static str, body: &'static str, scope: Option<Scope>, expected: [u16; 12]) -> Row {
    Row { line, body, scope, expected }
}

const R: Option<Scope> = Some(ChatRead);
const W: Option<Scope> = Some(ChatWrite);
const UR: Option<Scope> = Some(UsersRead);
const UW: Option<Scope> = Some(UsersWrite);
const T: Option<Scope> = Some(TokensWrite);
const A: Option<Scope> = Some(Admin);

#[rustfmt::skip]
const AUTH: &[Row] = &[
    //                                                                     stranger removed member admin owner blocked  nobody bad expired ended  key- key+
    row("POST /auth/register", r#"{"email":"new@example.org","password":"correct horse","name":"New"}"#, None,
                                                                              [201, 201, 201, 201, 201, 201,   201, 201, 201, 201,   201, 201]),
    row("POST /auth/login", r#"{"email":"owner@example.org","password":"wrong horse"}"#, None,
                                                                              [401, 401, 401, 401, 401, 401,   401, 401, 401, 401,   401, 401]),
    row("POST /auth/refresh", "", None,                                       [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 403]),
    row("POST /auth/logout", "", None,                                        [204, 204, 204, 204, 204, 204,   401, 401, 401, 401,   403, 403]),
    row("GET /auth/verify", "", UR,                                           [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("POST /api/v1/tokens", r#"{"email":"new@example.org"}"#, T,           [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 201]),
];

#[rustfmt::skip]
const OPERATIONS: &[Row] = &[
    //                                                                     stranger removed member admin owner blocked  nobody bad expired ended  key- key+
    row("GET /health/live", "", None,                                         [200, 200, 200, 200, 200, 200,   200, 200, 200, 200,   200, 200]),
    row("GET /health/ready", "", None,                                        [200, 200, 200, 200, 200, 200,   200, 200, 200, 200,   200, 200]),
    row("GET /metrics", "", None,                                             [200, 200, 200, 200, 200, 200,   200, 200, 200, 200,   200, 200]),
];

#[rustfmt::skip]
const PEOPLE: &[Row] = &[
    //                                                                     stranger removed member admin owner blocked  nobody bad expired ended  key- key+
    row("GET /api/v1/me", "", UR,                                             [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("PATCH /api/v1/me", r#"{"name":"Another"}"#, UW,                      [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("GET /api/v1/users/search?email=alice", "", UR,                       [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("GET /api/v1/users/blocked", "", UR,                                  [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("GET /api/v1/me/sessions", "", None,                                  [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 403]),
    // Of nobody.
    row("DELETE /api/v1/me/sessions/{alice}", "", None,                       [404, 404, 404, 404, 404, 404,   401, 401, 401, 401,   403, 403]),
    // Nobody can be notified here: there is no provider. Who registers a device reads, so a key needs more than the one scope.
    row("GET /api/v1/push", "", None,                                         [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   200, 200]),
    row("GET /api/v1/devices", "", UR,                                        [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("POST /api/v1/devices/register", r#"{"token":"t","platform":"ios","provider":"fcm"}"#, UW,
                                                                              [400, 400, 400, 400, 400, 400,   401, 401, 401, 401,   403, 403]),
    row("POST /api/v1/devices/unregister", r#"{"token":"t"}"#, UW,            [404, 404, 404, 404, 404, 404,   401, 401, 401, 401,   403, 404]),
    row("POST /api/v1/devices/test", "", UW,                                  [400, 400, 400, 400, 400, 400,   401, 401, 401, 401,   403, 400]),
    row("GET /api/v1/me/notifications", "", UR,                               [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("PATCH /api/v1/me/notifications", r#"{"doNotDisturb":null}"#, UW,     [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("GET /api/v1/users/{alice}", "", UR,                                  [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("PUT /api/v1/users/{alice}/block", "", UW,                            [204, 204, 204, 204, 204, 204,   401, 401, 401, 401,   403, 204]),
    row("DELETE /api/v1/users/{alice}/block", "", UW,                         [204, 204, 204, 204, 204, 204,   401, 401, 401, 401,   403, 204]),
    row("PUT /api/v1/users/{owner}/block", "", UW,                            [204, 204, 204, 204, 400, 204,   401, 401, 401, 401,   403, 400]),
];

#[rustfmt::skip]
const CONVERSATIONS: &[Row] = &[
    //                                                                     stranger removed member admin owner blocked  nobody bad expired ended  key- key+
    row("GET /api/v1/conversations", "", R,                                   [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("POST /api/v1/conversations/dm", r#"{"userId":"{alice}"}"#, W,        [201, 201, 201, 201, 201, 200,   401, 401, 401, 401,   403, 201]),
    row("POST /api/v1/conversations/dm", r#"{"userId":"{carol}"}"#, W,        [201, 201, 201, 201, 403, 403,   401, 401, 401, 401,   403, 403]),
    row("POST /api/v1/conversations/group", r#"{"title":"Trip","memberIds":["{alice}"]}"#, W,
                                                                              [201, 201, 201, 201, 201, 403,   401, 401, 401, 401,   403, 201]),
    row("POST /api/v1/conversations/group", r#"{"title":"Trip","memberEmails":["carol@example.org"]}"#, W,
                                                                              [201, 201, 201, 201, 403, 403,   401, 401, 401, 401,   403, 403]),
    row("GET /api/v1/conversations/{place}", "", R,                           [404, 404, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("PATCH /api/v1/conversations/{place}", r#"{"title":"Ours"}"#, W,      [404, 404, 403, 200, 200, 403,   401, 401, 401, 401,   403, 200]),
    row("PATCH /api/v1/conversations/{place}", r#"{"mutedUntil":"2030-01-01T00:00:00.000Z"}"#, W,
                                                                              [404, 404, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("PATCH /api/v1/conversations/{place}", "{}", W,                       [404, 404, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("DELETE /api/v1/conversations/{place}", "", W,                        [404, 404, 204, 204, 204, 204,   401, 401, 401, 401,   403, 204]),
    row("GET /api/v1/sync", "", R,                                            [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("POST /api/v1/sync", r#"{"have":[{"id":"{place}","rev":1,"lastSeq":0}]}"#, R,
                                                                              [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
];

#[rustfmt::skip]
const MEMBERS: &[Row] = &[
    //                                                                     stranger removed member admin owner blocked  nobody bad expired ended  key- key+
    row("POST /api/v1/conversations/{place}/members", r#"{"userId":"{stranger}"}"#, W,
                                                                              [404, 404, 403, 201, 201, 403,   401, 401, 401, 401,   403, 201]),
    row("POST /api/v1/conversations/{place}/members", r#"{"email":"removed@example.org"}"#, W,
                                                                              [404, 404, 403, 201, 201, 403,   401, 401, 401, 401,   403, 201]),
    row("POST /api/v1/conversations/{place}/members", r#"{"userId":"{person}"}"#, W,
                                                                              [404, 404, 403, 200, 200, 403,   401, 401, 401, 401,   403, 200]),
    // Carol has blocked the owner.
    row("POST /api/v1/conversations/{place}/members", r#"{"userId":"{carol}"}"#, W,
                                                                              [404, 404, 403, 201, 403, 403,   401, 401, 401, 401,   403, 403]),
    // Who is in the group may learn that there is no such account, as a search by e-mail would tell them.
    row("POST /api/v1/conversations/{place}/members", r#"{"email":"unknown@example.org"}"#, W,
                                                                              [404, 404, 404, 404, 404, 404,   401, 401, 401, 401,   403, 404]),
    row("PATCH /api/v1/conversations/{place}/members/{person}", r#"{"role":"admin"}"#, W,
                                                                              [404, 404, 403, 403, 200, 403,   401, 401, 401, 401,   403, 200]),
    row("PATCH /api/v1/conversations/{place}/members/{person}", r#"{"role":"owner"}"#, W,
                                                                              [404, 404, 403, 403, 200, 403,   401, 401, 401, 401,   403, 200]),
    row("PATCH /api/v1/conversations/{place}/members/{admin}", r#"{"role":"member"}"#, W,
                                                                              [404, 404, 403, 403, 200, 403,   401, 401, 401, 401,   403, 200]),
    row("PATCH /api/v1/conversations/{place}/members/{owner}", r#"{"role":"member"}"#, W,
                                                                              [404, 404, 403, 403, 409, 403,   401, 401, 401, 401,   403, 409]),
    row("PATCH /api/v1/conversations/{place}/members/{stranger}", r#"{"role":"admin"}"#, W,
                                                                              [404, 404, 403, 403, 404, 403,   401, 401, 401, 401,   403, 404]),
    // The member and (at his own) the admin and the owner leave here; the owner is the last one.
    row("DELETE /api/v1/conversations/{place}/members/{person}", "", W,       [404, 404, 204, 204, 204, 403,   401, 401, 401, 401,   403, 204]),
    row("DELETE /api/v1/conversations/{place}/members/{admin}", "", W,        [404, 404, 403, 204, 204, 403,   401, 401, 401, 401,   403, 204]),
    row("DELETE /api/v1/conversations/{place}/members/{owner}", "", W,        [404, 404, 403, 403, 409, 403,   401, 401, 401, 401,   403, 409]),
    row("DELETE /api/v1/conversations/{place}/members/{owner}?newOwner={person}", "", W,
                                                                              [404, 404, 403, 403, 204, 403,   401, 401, 401, 401,   403, 204]),
    row("DELETE /api/v1/conversations/{place}/members/{owner}?newOwner={stranger}", "", W,
                                                                              [404, 404, 403, 403, 400, 403,   401, 401, 401, 401,   403, 400]),
    row("DELETE /api/v1/conversations/{place}/members/{admin}?newOwner={person}", "", W,
                                                                              [404, 404, 403, 403, 204, 403,   401, 401, 401, 401,   403, 204]),
    row("DELETE /api/v1/conversations/{place}/members/{removed}", "", W,      [404, 404, 403, 404, 404, 403,   401, 401, 401, 401,   403, 404]),
];

#[rustfmt::skip]
const MESSAGES: &[Row] = &[
    //                                                                     stranger removed member admin owner blocked  nobody bad expired ended  key- key+
    row("GET /api/v1/conversations/{place}/messages", "", R,                  [404, 404, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("GET /api/v1/conversations/{place}/messages?after={mine}", "", R,     [404, 404, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("POST /api/v1/conversations/{place}/messages", r#"{"clientMsgId":"new","body":"hi"}"#, W,
                                                                              [404, 404, 201, 201, 201, 403,   401, 401, 401, 401,   403, 201]),
    row("POST /api/v1/conversations/{place}/messages", r#"{"clientMsgId":"new","body":"hi","replyTo":"{theirs}"}"#, W,
                                                                              [404, 404, 201, 201, 201, 403,   401, 401, 401, 401,   403, 201]),
    row("GET /api/v1/conversations/{place}/messages/{mine}", "", R,           [404, 404, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    // To the admin, `{mine}` is the member's.
    row("PATCH /api/v1/conversations/{place}/messages/{mine}", r#"{"body":"better"}"#, W,
                                                                              [404, 404, 200, 403, 200, 403,   401, 401, 401, 401,   403, 200]),
    row("PATCH /api/v1/conversations/{place}/messages/{theirs}", r#"{"body":"better"}"#, W,
                                                                              [404, 404, 403, 403, 403, 403,   401, 401, 401, 401,   403, 403]),
    row("DELETE /api/v1/conversations/{place}/messages/{mine}", "", W,        [404, 404, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("DELETE /api/v1/conversations/{place}/messages/{theirs}", "", W,      [404, 404, 403, 200, 200, 403,   401, 401, 401, 401,   403, 200]),
    row("PUT /api/v1/conversations/{place}/messages/{theirs}/reactions/%F0%9F%91%8D", "", W,
                                                                              [404, 404, 200, 200, 200, 403,   401, 401, 401, 401,   403, 200]),
    row("DELETE /api/v1/conversations/{place}/messages/{theirs}/reactions/%F0%9F%91%8D", "", W,
                                                                              [404, 404, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("POST /api/v1/conversations/{place}/receipts", r#"{"readSeq":1}"#, W, [404, 404, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    // Whom alice has blocked is told nothing of it; she does not see the sign.
    row("POST /api/v1/conversations/{place}/typing", r#"{"typing":true}"#, W, [404, 404, 204, 204, 204, 204,   401, 401, 401, 401,   403, 204]),
    row("GET /api/v1/search?q=hello", "", R,                                  [200, 200, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
    row("GET /api/v1/search?q=hello&conversationId={place}", "", R,           [404, 404, 200, 200, 200, 200,   401, 401, 401, 401,   403, 200]),
];

#[rustfmt::skip]
const WEBHOOKS: &[Row] = &[
    //                                                                     stranger removed member admin owner blocked  nobody bad expired ended  key- key+
    row("GET /api/v1/admin/webhooks", "", A,                                  [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 200]),
    row("POST /api/v1/admin/webhooks", r#"{"url":"nowhere"}"#, A,             [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 400]),
    row("DELETE /api/v1/admin/webhooks/{alice}", "", A,                       [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 404]),
    row("POST /api/v1/admin/webhooks/{alice}/secret", "", A,                  [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 404]),
    row("DELETE /api/v1/admin/webhooks/{alice}/secret", "", A,                [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 404]),
    row("POST /api/v1/admin/webhooks/{alice}/enable", "", A,                  [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 404]),
    row("POST /api/v1/admin/webhooks/{alice}/replay", "{}", A,                [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 404]),
    row("POST /api/v1/admin/webhooks/{alice}/skip", r#"{"event":"x"}"#, A,    [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 404]),
    row("GET /api/v1/admin/webhook-events", "", A,                            [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 200]),
];

#[rustfmt::skip]
const ADMIN: &[Row] = &[
    //                                                                     stranger removed member admin owner blocked  nobody bad expired ended  key- key+
    row("GET /api/v1/admin/trace/{mine}", "", A,                              [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 200]),
    row("GET /api/v1/admin/trace?clientMsgId=nobody's", "", A,                [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   400, 400]),
    row("GET /api/v1/admin/trace?clientMsgId=nobodys", "", A,                 [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 404]),
    row("GET /api/v1/admin/jobs", "", A,                                      [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 200]),
    row("GET /api/v1/admin/jobs?state=dead&kind=notify&after=7&limit=1", "", A, [403, 403, 403, 403, 403, 403, 401, 401, 401, 401,   403, 200]),
    row("GET /api/v1/admin/jobs/stats", "", A,                                [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 200]),
    row("POST /api/v1/admin/jobs/retry", r#"{"id":1}"#, A,                    [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 404]),
    row("POST /api/v1/admin/jobs/drop", r#"{"kind":"notify"}"#, A,            [403, 403, 403, 403, 403, 403,   401, 401, 401, 401,   403, 200]),
];

const ALL: [&[Row]; 8] = [ADMIN, AUTH, OPERATIONS, PEOPLE, CONVERSATIONS, MEMBERS, MESSAGES, WEBHOOKS];

/// Asks every row as every caller and tells all answers that are not the expected ones at once.
async fn check(rows: &[Row]) {
    let mut wrong = Vec::new();
    for row in rows {
        for (caller, expected) in Caller::ALL.into_iter().zip(row.expected) {
            let world = World::new().await;
            let papers = world.papers(caller, row.scope).await;
            let mut ask = Ask::new(&world.fill(row.line, caller));
            if let Some(token) = papers.token {
                ask = ask.bearer(&token);
            }
            if let Some(acts_as) = papers.acts_as {
                ask = ask.header("tertulia-user", &acts_as);
            }
            if !row.body.is_empty() {
                ask = ask.body(world.fill(row.body, caller));
            }
            let answer = world.server.call(ask).await;
            if answer.status != expected {
                wrong.push(format!("{} {} as {caller:?}: expected {expected}, was {answer}", row.line, row.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn signing_in_is_for_everybody_and_tokens_for_keys() {
    check(AUTH).await;
}

#[tokio::test]
async fn health_and_metrics_are_for_everybody() {
    check(OPERATIONS).await;
}

#[tokio::test]
async fn what_the_owner_of_the_server_sees_is_for_keys_that_may() {
    check(ADMIN).await;
}

#[tokio::test]
async fn people_are_for_whoever_is_signed_in() {
    check(PEOPLE).await;
}

#[tokio::test]
async fn conversations_are_for_their_members() {
    check(CONVERSATIONS).await;
}

#[tokio::test]
async fn members_are_for_those_who_manage_them() {
    check(MEMBERS).await;
}

#[tokio::test]
async fn messages_are_for_members_and_changes_for_authors() {
    check(MESSAGES).await;
}

#[tokio::test]
async fn webhooks_are_for_keys_of_administrators() {
    check(WEBHOOKS).await;
}

/// The calls of the OpenAPI document, such as `GET /api/v1/users/{id}`.
fn documented() -> BTreeSet<String> {
    let document = tertulia_gateway::docs::openapi();
    let paths = document["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter().filter(|(_, operation)| operation["responses"].is_object());
        methods.map(move |(method, _)| format!("{} {path}", method.to_uppercase()))
    });
    calls.collect()
}

/// The documented call that a row asks: the one with the fewest parameters among those of its form.
fn call_of<'a>(line: &str, documented: &'a BTreeSet<String>) -> Option<&'a String> {
    let line = line.split('?').next().unwrap_or(line);
    let is_parameter = |segment: &&str| segment.starts_with('{');
    let fits = |call: &&String| {
        let same = call.split('/').zip(line.split('/')).all(|(known, asked)| known == asked || is_parameter(&known));
        same && call.split('/').count() == line.split('/').count()
    };
    documented.iter().filter(fits).min_by_key(|call| call.split('/').filter(is_parameter).count())
}

#[test]
fn every_documented_call_is_in_the_table() {
    let documented = documented();
    assert!(documented.len() > 25, "{documented:?}");
    let mut asked = BTreeSet::new();
    for row in ALL.into_iter().flatten() {
        let call = call_of(row.line, &documented);
        asked.insert(call.unwrap_or_else(|| panic!("{} is not documented", row.line)).clone());
    }
    let missing: Vec<_> = documented.difference(&asked).collect();
    assert!(missing.is_empty(), "documented calls that nobody asks here: {missing:#?}");
}

#[tokio::test]
async fn a_good_password_signs_in_whoever_brings_it() {
    let world = World::new().await;
    world.server.services().auth().register("new@example.org", "correct horse", "New", None).await.unwrap();
    let body = r#"{"email":"New@Example.org","password":"correct horse"}"#;
    let answer = world.server.call(Ask::new("POST /auth/login").bearer("nonsense").body(body)).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert!(answer.header("set-cookie").starts_with("tertulia_session="));
}

/// What somebody sees where the status alone says nothing.
async fn seen(caller: Caller, line: &str) -> Value {
    let world = World::new().await;
    let papers = world.papers(caller, None).await;
    let ask = Ask::new(&world.fill(line, caller)).bearer(&papers.token.unwrap());
    let answer = world.server.call(ask).await;
    assert_eq!(answer.status, 200, "{line} as {caller:?}: {answer}");
    answer.json()
}

#[tokio::test]
async fn what_is_not_ones_own_is_in_no_list() {
    for (caller, conversations, hits) in
        [(Caller::Stranger, 0, 0), (Caller::Removed, 0, 0), (Caller::Member, 1, 3), (Caller::Blocked, 1, 2)]
    {
        let list = seen(caller, "GET /api/v1/conversations").await;
        assert_eq!(list["conversations"].as_array().unwrap().len(), conversations, "{caller:?}");
        let found = seen(caller, "GET /api/v1/search?q=hello").await;
        assert_eq!(found["messages"].as_array().unwrap().len(), hits, "{caller:?}");
        let difference = seen(caller, "GET /api/v1/sync").await;
        assert_eq!(difference["conversations"].as_array().unwrap().len(), conversations, "{caller:?}");
    }
}

#[tokio::test]
async fn who_is_blocked_does_not_find_who_blocked_them() {
    let found = seen(Caller::Blocked, "GET /api/v1/users/search?email=alice@example.org").await;
    assert_eq!(found["users"], Value::Array(Vec::new()));
    let found = seen(Caller::Stranger, "GET /api/v1/users/search?email=alice@example.org").await;
    assert_eq!(found["users"][0]["name"], "Alice");
}

#[tokio::test]
async fn an_address_is_shown_to_those_one_shares_a_conversation_with() {
    assert_eq!(seen(Caller::Member, "GET /api/v1/users/{owner}").await["email"], "owner@example.org");
    assert_eq!(seen(Caller::Stranger, "GET /api/v1/users/{owner}").await.get("email"), None);
    assert_eq!(seen(Caller::Removed, "GET /api/v1/users/{owner}").await.get("email"), None);
}

#[tokio::test]
async fn a_key_names_the_person_it_acts_for_and_is_refused_once_revoked() {
    let world = World::new().await;
    let papers = world.papers(Caller::KeyWithScope, UR).await;
    let token = papers.token.unwrap();
    let me = |who: &'static str| Ask::new("GET /api/v1/me").bearer(&token).header("tertulia-user", who);
    assert_eq!(world.server.call(me("Owner@example.org")).await.json()["name"], "Owner");
    assert_eq!(world.server.call(me("unknown@example.org")).await.status, 400);
    assert_eq!(world.server.call(me("nonsense")).await.status, 400);
    assert_eq!(world.server.call(Ask::new("GET /api/v1/me").bearer(&token)).await.status, 400);
    let auth = world.server.services().auth();
    let id = auth.authenticate_api_key(&token).await.unwrap().id;
    auth.revoke_api_key(id).await.unwrap();
    assert_eq!(world.server.call(me("owner@example.org")).await.status, 401);
}

#[tokio::test]
async fn a_person_acts_for_nobody_else() {
    let world = World::new().await;
    let token = world.papers(Caller::Member, None).await.token.unwrap();
    let ask = Ask::new("GET /api/v1/me").bearer(&token).header("tertulia-user", "owner@example.org");
    assert_eq!(world.server.call(ask).await.json()["name"], "Member");
}
