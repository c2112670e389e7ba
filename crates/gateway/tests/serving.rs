//! What every answer over HTTP has, and where the limits are.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use futures_util::StreamExt as _;
use http::StatusCode;
use serde_json::{Value, json};
use support::{Answer, Ask, Server, Wish, assert_problem};
use tertulia_core::auth::Scope;
use tertulia_gateway::{Settings, Times};

mod support;

/// A person with a group of their own.
struct House {
    server: Server,
    token: String,
    group: String,
}

impl House {
    async fn new(wish: Wish) -> Self {
        let server = Server::new(wish);
        let token = server.sign_in("Alice").await.token;
        let group = open_group(&server, &token, &[]).await;
        Self { server, token, group }
    }

    /// With the limits on how often somebody may do something.
    async fn limited() -> Self {
        Self::new(Wish { rate_limits: true, ..Wish::default() }).await
    }

    async fn plain() -> Self {
        Self::new(Wish::default()).await
    }

    async fn call(&self, line: &str) -> Answer {
        self.server.call(self.ask(line)).await
    }

    async fn post(&self, line: &str, body: impl Into<axum::body::Body>) -> Answer {
        self.server.call(self.ask(line).body(body)).await
    }

    /// `{group}` in the line becomes its id.
    fn ask(&self, line: &str) -> Ask {
        Ask::new(&line.replace("{group}", &self.group)).bearer(&self.token)
    }
}

async fn open_group(server: &Server, token: &str, members: &[&str]) -> String {
    let body = json!({ "title": "Ours", "memberEmails": members }).to_string();
    let answer = server.call(Ask::new("POST /api/v1/conversations/group").bearer(token).body(body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn send(server: &Server, token: &str, conversation: &str, client_msg_id: &str) -> Answer {
    let body = json!({ "clientMsgId": client_msg_id, "body": "hi" }).to_string();
    let line = format!("POST /api/v1/conversations/{conversation}/messages");
    server.call(Ask::new(&line).bearer(token).body(body)).await
}

#[tokio::test]
async fn every_refusal_is_a_problem_document() {
    let house = House::plain().await;
    let unknown = "018f0000-0000-7000-8000-000000000000";
    for (line, body, status, code) in [
        ("GET /api/v1/conversations?limit=0", "", 400, "invalid"),
        ("GET /api/v1/conversations?limit=many", "", 400, "invalid"),
        ("GET /api/v1/conversations?cursor=nonsense", "", 400, "invalid"),
        ("GET /api/v1/search", "", 400, "invalid"),
        ("GET /api/v1/search?q=ab", "", 400, "invalid"),
        ("GET /api/v1/users/search?email=a", "", 400, "invalid"),
        ("GET /api/v1/conversations/{group}/messages?beforeSeq=2&afterSeq=1", "", 400, "invalid"),
        ("POST /api/v1/conversations/group", "{}", 400, "invalid"),
        ("POST /api/v1/conversations/group", "", 400, "invalid"),
        ("POST /api/v1/conversations/group", r#"{"title":"  "}"#, 400, "invalid"),
        ("PATCH /api/v1/conversations/{group}", r#"{"title":"a","title":"b"}"#, 400, "invalid"),
        ("POST /api/v1/conversations/{group}/receipts", "{}", 400, "invalid"),
        ("POST /api/v1/tokens", r#"{"email":"a@b"}"#, 403, "forbidden"),
        ("GET /api/v1/conversations/018f0000-0000-7000-8000-000000000000", "", 404, "not_found"),
        ("GET /api/v1/nonsense", "", 404, "not_found"),
        ("POST /api/v1/me", "", 405, "invalid"),
        ("DELETE /health/live", "", 405, "invalid"),
        ("PUT /docs", "", 405, "invalid"),
    ] {
        let answer = house.post(line, body).await;
        assert_problem(&answer, status, code);
    }
    assert_problem(&house.server.call(Ask::new("GET /api/v1/me")).await, 401, "unauthenticated");
    assert_problem(&send(&house.server, &house.token, unknown, "a").await, 404, "not_found");
}

#[tokio::test]
async fn the_form_of_a_problem_stays() {
    let house = House::limited().await;
    let refusal = house.call("GET /api/v1/conversations?limit=0").await;
    insta::assert_snapshot!("problem", refusal.text());
    for number in 0..30 {
        send(&house.server, &house.token, &house.group, &number.to_string()).await;
    }
    let wait = send(&house.server, &house.token, &house.group, "30").await;
    insta::assert_snapshot!("problem_with_a_wait", wait.text());
}

/// The plain WebSocket is no REST call, but whoever comes there by mistake reads the same kind of answer.
#[tokio::test]
async fn the_address_of_the_sockets_refuses_as_the_others_do() {
    let house = House::plain().await;
    assert_problem(&house.call("POST /messages/subscribe").await, 405, "invalid");
    assert_problem(&house.call("GET /messages/subscribe").await, 400, "invalid");
}

#[tokio::test]
async fn a_state_that_does_not_allow_it_is_a_conflict() {
    let house = House::plain().await;
    let body = r#"{"clientMsgId":"b","body":"hi","afterClientMsgId":"a"}"#;
    let early = house.post("POST /api/v1/conversations/{group}/messages", body).await;
    assert_problem(&early, 409, "out_of_order");
    let members = ["bob@example.org"];
    house.server.sign_in("Bob").await;
    let group = open_group(&house.server, &house.token, &members).await;
    let me = house.call("GET /api/v1/me").await.json()["id"].as_str().unwrap().to_owned();
    let leave = house.call(&format!("DELETE /api/v1/conversations/{group}/members/{me}")).await;
    assert_problem(&leave, 409, "conflict");
    let sent = send(&house.server, &house.token, &house.group, "a").await.json();
    let message = format!("/api/v1/conversations/{}/messages/{}", house.group, sent["messageId"].as_str().unwrap());
    assert_eq!(house.call(&format!("DELETE {message}")).await.status, 200);
    assert_problem(&house.post(&format!("PATCH {message}"), r#"{"body":"better"}"#).await, 410, "gone");
}

/// Whoever made the account would share it with the person meant.
#[tokio::test]
async fn a_key_mints_no_token_for_an_account_with_a_password() {
    let server = Server::new(Wish::default());
    let auth = server.services().auth();
    let key = auth.create_api_key("the shop", [Scope::TokensWrite].into_iter().collect()).await.unwrap().token;
    auth.register("squatter@example.org", "correct horse", "Squatter", None).await.unwrap();
    let mint = |email: &str| {
        server.call(Ask::new("POST /api/v1/tokens").bearer(&key).body(json!({ "email": email }).to_string()))
    };
    assert_problem(&mint("squatter@example.org").await, 409, "conflict");
    assert_problem(&mint(" Squatter@Example.org ").await, 409, "conflict");
    for _ in 0..2 {
        assert_eq!(mint("customer@example.org").await.status, 201);
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let times = Times { body: Duration::from_millis(20), ..Times::default() };
    let settings = Settings { times, ..Settings::default() };
    let house = House::new(Wish { settings, ..Wish::default() }).await;
    for beginning in [vec![], vec![Ok::<_, std::io::Error>("{\"typing\":")]] {
        let body = futures_util::stream::iter(beginning).chain(futures_util::stream::pending());
        let call = house.post("POST /api/v1/conversations/{group}/typing", axum::body::Body::from_stream(body));
        let answer = tokio::time::timeout(Duration::from_secs(30), call).await.expect("an answer without a body");
        assert_problem(&answer, 400, "invalid");
        assert!(answer.json()["detail"].as_str().unwrap().contains("too long"), "{answer}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let house = House::plain().await;
    let line = "POST /api/v1/conversations/group";
    for body in [&b"\xff\xfe"[..], b"{\"title\":\"\xc3\x28\"}", b"null", b"[]", b"{\"title\":\"a\"", b"{\"title\":1}"] {
        assert_problem(&house.post(line, body.to_vec()).await, 400, "invalid");
    }
    assert_problem(&house.post(line, "[".repeat(60_000)).await, 400, "invalid");
    // In a field that nobody reads, too.
    let nested = format!(r#"{{"title":"a","more":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    let answer = house.post(line, nested).await;
    assert!(matches!(answer.status.as_u16(), 201 | 400), "{answer}");
    assert_eq!(house.call("GET /health/ready").await.status, 200);
}

#[tokio::test]
async fn a_request_of_64_kib_is_read_and_not_a_byte_more() {
    let house = House::plain().await;
    let line = "POST /api/v1/conversations/{group}/typing";
    let typing = r#"{"typing":true}"#;
    let padded = |size: usize| typing.to_owned() + &" ".repeat(size - typing.len());
    assert_eq!(house.post(line, padded(65_536)).await.status, 204);
    assert_problem(&house.post(line, padded(65_537)).await, 413, "too_large");
    let chunks = futures_util::stream::iter((0..65).map(|_| Ok::<_, std::io::Error>(" ".repeat(1024))));
    assert_problem(&house.post(line, axum::body::Body::from_stream(chunks)).await, 413, "too_large");
}

#[tokio::test]
async fn texts_over_their_limit_are_too_large() {
    let house = House::plain().await;
    let message = |body: String| json!({ "clientMsgId": "a", "body": body }).to_string();
    let line = "POST /api/v1/conversations/{group}/messages";
    assert_problem(&house.post(line, message("é".repeat(2049))).await, 413, "too_large");
    assert_eq!(house.post(line, message("é".repeat(2048))).await.status, 201);
    for blank in ["", " \n\t", "\u{3000}", "a\0b"] {
        assert_problem(&house.post(line, message(blank.to_owned())).await, 400, "invalid");
    }
    let title = |chars: usize| json!({ "title": "é".repeat(chars) }).to_string();
    assert_eq!(house.post("PATCH /api/v1/conversations/{group}", title(200)).await.status, 200);
    assert_problem(&house.post("PATCH /api/v1/conversations/{group}", title(201)).await, 413, "too_large");
}

#[tokio::test]
async fn what_is_no_identifier_is_refused_before_anything_is_looked_up() {
    let house = House::plain().await;
    let bad =
        ["1", "nonsense", "018f0000000070008000000000000000", "018f0000-0000-7000-8000-00000000000g", "%FF", "%00"];
    for line in ["GET /api/v1/conversations", "GET /api/v1/conversations/{group}/messages", "GET /api/v1/users"] {
        for id in bad {
            assert_problem(&house.call(&format!("{line}/{id}")).await, 400, "invalid");
        }
    }
    let sent = send(&house.server, &house.token, &house.group, "a").await.json();
    let reactions =
        format!("PUT /api/v1/conversations/{{group}}/messages/{}/reactions", sent["messageId"].as_str().unwrap());
    for emoji in ["a", "1", "%F0%9F%91%8D%F0%9F%91%8D", "%F0%9F"] {
        assert_problem(&house.call(&format!("{reactions}/{emoji}")).await, 400, "invalid");
    }
    assert_eq!(house.call(&format!("{reactions}/%E2%9D%A4%EF%B8%8F")).await.status, 200);
    for id in ["", "a b", "é", &"a".repeat(65)] {
        assert_problem(&send(&house.server, &house.token, &house.group, id).await, 400, "invalid");
    }
}

#[tokio::test]
async fn a_page_has_at_least_one_and_at_most_its_limit() {
    let house = House::plain().await;
    for (line, max) in [("/api/v1/conversations?limit=", 100), ("/api/v1/sync?limit=", 100)] {
        assert_problem(&house.call(&format!("GET {line}0")).await, 400, "invalid");
        assert_problem(&house.call(&format!("GET {line}-1")).await, 400, "invalid");
        assert_problem(&house.call(&format!("GET {line}99999999999999999999")).await, 400, "invalid");
        for limit in [1, max, max + 1, i64::MAX] {
            assert_eq!(house.call(&format!("GET {line}{limit}")).await.status, 200, "{line}{limit}");
        }
    }
    let shown = house.call("GET /api/v1/conversations?limit=101").await.json();
    assert_eq!(shown["pagination"], json!({ "hasMore": false, "nextCursor": null, "limit": 100 }));
    let shown = house.call("GET /api/v1/conversations").await.json();
    assert_eq!(shown["pagination"]["limit"], 20);
}

#[tokio::test]
async fn a_list_goes_on_where_the_page_ended() {
    let house = House::plain().await;
    for _ in 0..2 {
        house.server.later(1);
        open_group(&house.server, &house.token, &[]).await;
    }
    let first = house.call("GET /api/v1/conversations?limit=2").await.json();
    assert_eq!(first["pagination"]["hasMore"], true);
    let cursor = first["pagination"]["nextCursor"].as_str().unwrap();
    let second = house.call(&format!("GET /api/v1/conversations?limit=2&cursor={cursor}")).await.json();
    assert_eq!(second["pagination"]["nextCursor"], Value::Null);
    assert_eq!(second["conversations"][0]["id"], house.group.as_str());
    assert_eq!(second["conversations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_trace_id_is_the_requests_or_a_new_one() {
    let server = Server::new(Wish::default());
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let with = |value: &str| Ask::new("GET /nowhere").header("traceparent", value);
    let good = format!("00-{id}-00f067aa0ba902b7-01");
    assert_eq!(server.call(with(&good)).await.header("x-trace-id"), id);
    let later = format!("01-{id}-00f067aa0ba902b7-01-more");
    assert_eq!(server.call(with(&later)).await.header("x-trace-id"), id, "a later version may say more");
    let bad = [
        String::new(),
        "nonsense".to_owned(),
        format!("00-{id}"),
        format!("00-{id}-00f067aa0ba902b7"),
        format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
        format!("00-{id}-0000000000000000-01"),
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(),
        format!("ff-{id}-00f067aa0ba902b7-01"),
    ];
    let mut made = std::collections::BTreeSet::new();
    for value in &bad {
        let answer = server.call(with(value)).await;
        let new = answer.header("x-trace-id").to_owned();
        assert!(new.len() == 32 && new.bytes().all(|b| b.is_ascii_hexdigit()) && new != id, "{value}: {new}");
        made.insert(new);
    }
    assert_eq!(made.len(), bad.len(), "each its own");
}

#[tokio::test]
async fn every_answer_has_a_trace_id_and_safe_headers() {
    let house = House::plain().await;
    for line in [
        "GET /api/v1/me",
        "GET /nowhere",
        "POST /health/live",
        "GET /health/live",
        "GET /metrics",
        "GET /docs",
        "GET /api/v1/openapi.json",
        "OPTIONS /api/v1/me",
        "GET /socket.io/",
        "GET /messages/subscribe",
    ] {
        let answer = house.call(line).await;
        assert_eq!(answer.header("x-trace-id").len(), 32, "{line}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{line}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{line}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{line}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{line}");
        assert_eq!(answer.header("cache-control"), "no-store", "{line}");
    }
}

#[tokio::test]
async fn with_the_cookie_changes_come_from_a_page_of_this_server() {
    for (public_url, own, others) in [
        (
            None,
            "http://chat.example.org",
            &["https://chat.example.org", "http://evil.example.org", "http://chat.example.org.evil", "null"][..],
        ),
        (
            Some("https://chat.example.org"),
            "https://chat.example.org",
            &["http://chat.example.org", "https://evil.example.org", "null"],
        ),
    ] {
        let settings = Settings { public_url: public_url.map(str::to_owned), ..Settings::default() };
        let house = House::new(Wish { settings, ..Wish::default() }).await;
        let cookie = format!("other=1; tertulia_session={}; more=2", house.token);
        let ask = |line: &str| {
            let line = line.replace("{group}", &house.group);
            Ask::new(&line).header("cookie", &cookie).header("host", "chat.example.org")
        };
        let unsafe_calls = [
            "POST /api/v1/conversations/group",
            "PATCH /api/v1/conversations/{group}",
            "DELETE /api/v1/conversations/{group}",
            "POST /auth/logout",
        ];
        let body = r#"{"title":"Ours"}"#;
        assert_eq!(house.server.call(ask("GET /api/v1/me")).await.status, 200, "reading needs no origin");
        for line in unsafe_calls {
            assert_problem(&house.server.call(ask(line).body(body)).await, 403, "forbidden");
            for other in others {
                assert_problem(
                    &house.server.call(ask(line).body(body).header("origin", other)).await,
                    403,
                    "forbidden",
                );
            }
        }
        for line in unsafe_calls {
            let answer = house.server.call(ask(line).body(body).header("origin", own)).await;
            assert!(answer.status.is_success(), "{line} from {own}: {answer}");
        }
        assert_problem(&house.server.call(ask("GET /api/v1/me")).await, 401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_page_of_another_site_signs_nobody_in() {
    let settings = Settings { cors_origins: vec!["https://app.example.org".to_owned()], ..Settings::default() };
    let server = Server::new(Wish { settings, ..Wish::default() });
    let ask = |line: &str, body: &str| Ask::new(line).header("host", "chat.example.org").body(body.to_owned());
    let login = || ask("POST /auth/login", r#"{"email":"nobody","password":"x"}"#);
    let register = || ask("POST /auth/register", r#"{"email":"nobody","password":"x","name":"x"}"#);
    let evil = "https://evil.example.org";
    assert_problem(&server.call(login().header("origin", evil)).await, 403, "forbidden");
    assert_problem(&server.call(register().header("origin", evil)).await, 403, "forbidden");
    for own in ["http://chat.example.org", "https://app.example.org"] {
        assert_problem(&server.call(login().header("origin", own)).await, 401, "unauthenticated");
        assert_problem(&server.call(register().header("origin", own)).await, 400, "invalid");
    }
}

#[tokio::test]
async fn the_session_cookie_is_for_the_server_alone_and_ends_with_the_session() {
    for (public_url, secure) in [(None, ""), (Some("https://chat.example.org"), "; Secure")] {
        let settings = Settings { public_url: public_url.map(str::to_owned), ..Settings::default() };
        let house = House::new(Wish { settings, ..Wish::default() }).await;
        let refreshed = house.call("POST /auth/refresh").await;
        let token = refreshed.json()["token"].as_str().unwrap().to_owned();
        let cookie = format!("tertulia_session={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=604800{secure}");
        assert_eq!(refreshed.header("set-cookie"), cookie);
        let ended = house.call("POST /auth/logout").await;
        let cookie = format!("tertulia_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}");
        assert_eq!(ended.header("set-cookie"), cookie);
    }
}

#[tokio::test]
async fn other_origins_may_call_where_they_are_listed_and_never_with_the_cookie() {
    let settings = Settings { cors_origins: vec!["https://app.example.org".to_owned()], ..Settings::default() };
    let server = Server::new(Wish { settings, ..Wish::default() });
    for (origin, allowed) in [("https://app.example.org", "https://app.example.org"), ("https://evil.example.org", "")]
    {
        let preflight =
            Ask::new("OPTIONS /api/v1/me").header("origin", origin).header("access-control-request-method", "PATCH");
        for ask in [preflight, Ask::new("GET /health/live").header("origin", origin)] {
            let answer = server.call(ask).await;
            assert_eq!(answer.header("access-control-allow-origin"), allowed);
            assert_eq!(answer.header("access-control-allow-credentials"), "");
        }
    }
}

#[tokio::test]
async fn the_31st_send_in_ten_seconds_waits_until_the_first_is_ten_seconds_old() {
    let house = House::limited().await;
    for number in 0..30 {
        house.server.later(100);
        let answer = send(&house.server, &house.token, &house.group, &number.to_string()).await;
        assert_eq!(answer.status, 201, "{number}: {answer}");
    }
    let refused = send(&house.server, &house.token, &house.group, "30").await;
    assert_problem(&refused, 429, "rate_limited");
    // The first was sent 2,900 ms ago.
    assert_eq!(refused.json()["retryAfterMs"], 7100);
    assert_eq!(refused.header("retry-after"), "8");
    house.server.later(7099);
    assert_eq!(send(&house.server, &house.token, &house.group, "30").await.json()["retryAfterMs"], 1);
    house.server.later(1);
    assert_eq!(send(&house.server, &house.token, &house.group, "30").await.status, 201);
    assert_problem(&send(&house.server, &house.token, &house.group, "31").await, 429, "rate_limited");
}

#[tokio::test]
async fn the_121st_send_to_a_conversation_in_a_minute_waits() {
    let house = House::limited().await;
    for round in 0..4 {
        for number in 0..30 {
            let answer = send(&house.server, &house.token, &house.group, &format!("{round}-{number}")).await;
            assert_eq!(answer.status, 201, "{round}-{number}: {answer}");
        }
        house.server.later(10_000);
    }
    let refused = send(&house.server, &house.token, &house.group, "more").await;
    assert_problem(&refused, 429, "rate_limited");
    assert_eq!(refused.json()["retryAfterMs"], 20_000);
    let other = open_group(&house.server, &house.token, &[]).await;
    assert_eq!(send(&house.server, &house.token, &other, "elsewhere").await.status, 201);
    house.server.later(20_000);
    assert_eq!(send(&house.server, &house.token, &house.group, "more").await.status, 201);
}

#[tokio::test]
async fn a_send_that_waits_for_its_conversation_uses_up_nothing_of_the_persons() {
    let house = House::limited().await;
    let bob = house.server.sign_in("Bob").await.token;
    let group = open_group(&house.server, &house.token, &["bob@example.org"]).await;
    for round in 0..4 {
        for number in 0..30 {
            assert_eq!(send(&house.server, &bob, &group, &format!("{round}-{number}")).await.status, 201);
        }
        house.server.later(10_000);
    }
    for number in 0..30 {
        let refused = send(&house.server, &house.token, &group, &number.to_string()).await;
        assert_problem(&refused, 429, "rate_limited");
        assert!(refused.json()["detail"].as_str().unwrap().contains("conversation"), "{refused}");
    }
    let answer = send(&house.server, &house.token, &house.group, "elsewhere").await;
    assert_eq!(answer.status, 201, "refusals were counted: {answer}");
}

/// A group's id is known to whoever was ever in it.
#[tokio::test]
async fn sends_of_people_who_are_no_members_use_up_nothing_of_the_conversations() {
    let house = House::limited().await;
    let stranger = house.server.sign_in("Stranger").await.token;
    for round in 0..4 {
        for number in 0..30 {
            let answer = send(&house.server, &stranger, &house.group, &format!("{round}-{number}")).await;
            assert_problem(&answer, 404, "not_found");
        }
        house.server.later(10_000);
    }
    let answer = send(&house.server, &house.token, &house.group, "mine").await;
    assert_eq!(answer.status, 201, "the member is kept from sending: {answer}");
}

#[tokio::test]
async fn attempts_to_sign_in_are_counted_by_address_and_by_email() {
    let house = House::limited().await;
    let from = |last: u8| ConnectInfo(SocketAddr::from(([203, 0, 113, last], 4000)));
    let login = |email: &str, from: ConnectInfo<SocketAddr>| {
        // No e-mail address, so that no password is hashed; it is counted all the same.
        let body = json!({ "email": email, "password": "x" }).to_string();
        house.server.call(Ask::new("POST /auth/login").body(body).with(from))
    };
    for number in 0..200 {
        assert_problem(&login(&format!("nobody{number}"), from(1)).await, 401, "unauthenticated");
    }
    for number in 0..20 {
        assert_problem(&login("victim", from(100 + number)).await, 401, "unauthenticated");
    }
    assert_problem(&login("another", from(1)).await, 429, "rate_limited");
    assert_problem(&login(" VICTIM", from(2)).await, 429, "rate_limited");
    assert_problem(&login("another", from(2)).await, 401, "unauthenticated");
    house.server.later(60_000);
    assert_problem(&login("another", from(1)).await, 401, "unauthenticated");
    assert_problem(&login("victim", from(2)).await, 401, "unauthenticated");
}

#[tokio::test]
async fn opening_conversations_has_a_limit_too() {
    let house = House::limited().await;
    for _ in 1..200 {
        open_group(&house.server, &house.token, &[]).await;
    }
    let refused = house.post("POST /api/v1/conversations/group", r#"{"title":"Ours"}"#).await;
    assert_problem(&refused, 429, "rate_limited");
    house.server.later(600_000);
    open_group(&house.server, &house.token, &[]).await;
}

#[tokio::test]
async fn a_difference_with_nothing_in_it_has_less_than_300_bytes() {
    let house = House::plain().await;
    let whole = house.call("GET /api/v1/sync").await.json();
    assert_eq!(whole["conversations"].as_array().unwrap().len(), 1);
    let line = format!("GET /api/v1/sync?cursor={}", whole["cursor"].as_str().unwrap());
    let nothing = house.call(&line).await;
    assert_eq!(nothing.json()["conversations"], json!([]), "{nothing}");
    assert!(nothing.body.len() < 300, "{} bytes: {nothing}", nothing.body.len());
}

#[tokio::test]
async fn metrics_say_how_far_the_search_is_behind() {
    let house = House::plain().await;
    house.call("GET /nowhere").await;
    let answer = house.call("GET /metrics").await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = answer.text();
    for line in [
        "tertulia_search_lag_conversations 0",
        "tertulia_search_lag_ms 0",
        "tertulia_connections 0",
        "tertulia_jobs_dead 0",
        "tertulia_http_answers_total{class=\"4xx\"} 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    assert_eq!(text.lines().last(), Some("# EOF"));
    assert!(!text.contains(&house.group) && !text.contains("example.org"));
}

#[tokio::test]
async fn the_reference_page_loads_nothing_from_elsewhere() {
    let server = Server::new(Wish::default());
    let page = server.call(Ask::new("GET /docs")).await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("script-src 'self'"));
    let addresses = page.text().split('"').filter(|text| text.starts_with('/')).map(str::to_owned);
    let mut loaded = 0;
    for address in addresses {
        let part = server.call(Ask::new(&format!("GET {address}"))).await;
        assert_eq!(part.status, 200, "{address}");
        assert!(part.header("content-type").contains('/'), "{address}");
        if address.starts_with("/docs/") {
            assert!(!has_address(part.text()), "{address}");
            loaded += 1;
        }
    }
    assert_eq!(loaded, 2);
    assert!(!has_address(page.text()));
    assert!(!page.text().contains("<script>") && !page.text().contains("style="));
}

fn has_address(text: &str) -> bool {
    text.contains("://") || text.contains("\"//") || text.contains("url(")
}

#[tokio::test]
async fn a_server_that_stops_is_not_ready_and_still_alive() {
    let server = Server::new(Wish::default());
    assert_eq!(server.call(Ask::new("GET /health/ready")).await.json(), json!({ "status": "ok", "store": "ok" }));
    server.gateway.drain();
    let ready = server.call(Ask::new("GET /health/ready")).await;
    assert_eq!((ready.status.as_u16(), ready.json()["status"].clone()), (503, json!("draining")));
    assert_eq!(server.call(Ask::new("GET /health/live")).await.status, 200);
}

/// What an owner's program asks, and what it is told.
struct Owner {
    server: Server,
    key: String,
}

impl Owner {
    async fn new() -> Self {
        let server = Server::new(Wish::default());
        let scopes = [Scope::Admin].into_iter().collect();
        let key = server.services().auth().create_api_key("the owner", scopes).await.unwrap().token;
        Self { server, key }
    }

    async fn ask(&self, line: &str, body: impl Into<axum::body::Body>) -> Answer {
        self.server.call(Ask::new(line).bearer(&self.key).body(body)).await
    }

    /// The detail of a refusal.
    async fn refused(&self, line: &str, body: impl Into<axum::body::Body>) -> String {
        let answer = self.ask(line, body).await;
        assert_problem(&answer, 400, "invalid");
        answer.json()["detail"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn an_address_to_be_told_is_kept_as_it_was_understood_and_has_nothing_that_is_not_seen() {
    let owner = Owner::new().await;
    for bad in [
        "https://a.b/\0",
        "https://a.b/\u{1b}[2J",
        "https://a.b/\n",
        "https://a.b/\u{85}",
        "https://a.b/ ",
        "https://a.b/\u{2028}",
    ] {
        let detail = owner.refused("POST /api/v1/admin/webhooks", json!({ "url": bad }).to_string()).await;
        assert!(detail.starts_with("url: ") && !detail.contains(char::is_control), "{detail}");
    }
    let made = owner.ask("POST /api/v1/admin/webhooks", json!({ "url": "HTTPS://a.b/" }).to_string()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made}");
    let listed = owner.ask("GET /api/v1/admin/webhooks", "").await.json();
    assert_eq!(listed["webhooks"].as_array().unwrap().len(), 1, "what was refused is not there");
    assert_eq!(listed["webhooks"][0]["url"], "https://a.b/");
}

#[tokio::test]
async fn what_an_owner_misspells_is_refused_and_does_not_mean_all() {
    let owner = Owner::new().await;
    let webhooks = "POST /api/v1/admin/webhooks";
    let replay = format!("{webhooks}/0199b3c2-0000-7000-8000-000000000007/replay");
    let skip = replay.replace("replay", "skip");
    let cases = [
        (webhooks, json!({ "url": "https://a.b/", "event": ["message.created"] }), "unknown field `event`"),
        (webhooks, json!({ "url": "https://a.b/", "events": [] }), "events: must not be empty"),
        (webhooks, json!({ "url": "https://a.b/", "events": ["message.create"] }), "events: "),
        (&replay, json!({ "all": true, "sinse": "2026-11-20T00:00:00Z" }), "unknown field `sinse`"),
        (&skip, json!({ "event": "x", "all": true }), "unknown field `all`"),
        ("POST /api/v1/admin/jobs/drop", json!({ "kind": "notify", "ids": [1] }), "unknown field `ids`"),
    ];
    for (line, body, why) in cases {
        let detail = owner.refused(line, body.to_string()).await;
        assert!(detail.contains(why), "{line} {body}: {detail}");
    }
    for all in [json!({ "url": "https://a.b/" }), json!({ "url": "https://a.b/", "events": null })] {
        assert_eq!(owner.ask(webhooks, all.to_string()).await.status, StatusCode::CREATED);
    }
    let listed = owner.ask("GET /api/v1/admin/webhooks", "").await.json();
    assert_eq!(listed["webhooks"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_limit_of_an_owners_page_is_refused_on_both_sides_with_its_bound() {
    let owner = Owner::new().await;
    for (line, max) in [("GET /api/v1/admin/jobs", 512), ("GET /api/v1/admin/webhook-events", 200)] {
        for bad in ["0".to_owned(), "-1".to_owned(), (max + 1).to_string(), i64::MAX.to_string()] {
            let detail = owner.refused(&format!("{line}?limit={bad}"), "").await;
            assert_eq!(detail, format!("limit: must be 1 to {max}"), "{bad}");
        }
        for good in [1, max] {
            assert_eq!(owner.ask(&format!("{line}?limit={good}"), "").await.status, StatusCode::OK, "{line} {good}");
        }
    }
}

#[tokio::test]
async fn a_refusal_names_the_parameter_and_says_nothing_of_the_parser() {
    let owner = Owner::new().await;
    let id = "0199b3c2-0000-7000-8000-000000000007";
    let cases = [
        ("GET /api/v1/admin/jobs?limit=many".to_owned(), "limit: must be a whole number"),
        ("GET /api/v1/admin/jobs?limit=".to_owned(), "limit: must be a whole number"),
        ("GET /api/v1/admin/jobs?limit=99999999999999999999".to_owned(), "limit: too large a number"),
        (
            "GET /api/v1/admin/jobs?state=lost".to_owned(),
            "state: unknown variant `lost`, expected one of `ready`, `running`, `dead`",
        ),
        (
            "GET /api/v1/admin/trace?clientMsgId=a%20b".to_owned(),
            "clientMsgId: must be 1 to 64 characters of A-Z a-z 0-9 _ -",
        ),
        ("GET /api/v1/admin/trace".to_owned(), "missing field `clientMsgId`"),
        ("GET /api/v1/admin/trace/7".to_owned(), "message_id: must be a UUID of 36 characters"),
        ("DELETE /api/v1/admin/webhooks/7".to_owned(), "id: must be a UUID of 36 characters"),
        ("DELETE /api/v1/admin/webhooks/%ff".to_owned(), "id: must be UTF-8"),
        ("POST /api/v1/admin/jobs/drop".to_owned(), "the body must be a JSON object"),
    ];
    for (line, detail) in cases {
        assert_eq!(owner.refused(&line, "").await, detail, "{line}");
    }
    let long = owner.refused(&format!("GET /api/v1/admin/jobs?state={}", "x".repeat(5000)), "").await;
    assert_eq!(long.chars().count(), 200, "what was sent comes back in part");
    for body in ["[]", "[1]", "{", "null", "x"] {
        let detail = owner.refused("POST /api/v1/admin/jobs/drop", body).await;
        assert_eq!(detail, "the body must be a JSON object", "{body}");
    }
    let house = House::plain().await;
    let two = house.call(&format!("DELETE /api/v1/conversations/{id}/messages/7")).await;
    assert_problem(&two, 400, "invalid");
    assert!(two.json()["detail"].as_str().unwrap().ends_with(": must be a UUID of 36 characters"), "{two}");
    assert!(!two.json()["detail"].as_str().unwrap().contains("URL"), "{two}");
}
