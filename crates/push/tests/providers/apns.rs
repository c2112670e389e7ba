//! APNs: what it is sent, the provider token, and what becomes of its answers.

use std::time::Duration;

use axum::http::Version;
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tertulia_proto::Platform;
use tertulia_push::{Answer, Apns, ApnsConfig, Network, Notification, Provider as _};

use crate::stage::{
    Act, CONVERSATION, HTTP2, LINK, MESSAGE, START_MS, Seen, Stage, Time, network, notification, say, say_with, target,
    withdrawal,
};

pub const TOKEN: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
const EC_PEM: &str = include_str!("../keys/ec.pem");
const EC_PUBLIC_PEM: &[u8] = include_bytes!("../keys/ec.pub.pem");
const ID: &str = "eabeae54-14a8-11e5-b60b-1697f925ec7b";

/// <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>
fn check(seen: &Seen) -> Result<(), String> {
    if seen.version != Version::HTTP_2 || seen.method != "POST" {
        return Err(format!("{} over {:?}", seen.method, seen.version));
    }
    let token = seen.path.strip_prefix("/3/device/").ok_or("BadPath")?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("BadDeviceToken".to_owned());
    }
    claims(seen)?;
    let known = [
        "authorization",
        "apns-id",
        "apns-push-type",
        "apns-expiration",
        "apns-priority",
        "apns-topic",
        "apns-collapse-id",
    ];
    for name in seen.headers.keys().map(|name| name.as_str()) {
        if !known.contains(&name) && !["accept", "content-length", "content-type", "host"].contains(&name) {
            return Err(format!("a header that is not documented: {name}"));
        }
    }
    if seen.header("apns-topic") != "dev.tertulia.app" {
        return Err("BadTopic".to_owned());
    }
    if seen.header("apns-collapse-id").len() > 64 {
        return Err("BadCollapseId".to_owned());
    }
    if seen.header("apns-expiration").parse::<u64>().is_err() {
        return Err("BadExpirationDate".to_owned());
    }
    if seen.body.is_empty() || seen.body.len() > 4096 {
        return Err("PayloadTooLarge".to_owned());
    }
    check_payload(seen)
}

fn check_payload(seen: &Seen) -> Result<(), String> {
    let payload: Value = serde_json::from_slice(&seen.body).map_err(|error| error.to_string())?;
    let aps = payload["aps"].as_object().ok_or("no aps")?;
    let keys: Vec<&str> = aps.keys().map(String::as_str).collect();
    match (seen.header("apns-push-type"), seen.header("apns-priority")) {
        ("alert", "10" | "5" | "1") => {
            let alert = aps["alert"].as_object().ok_or("no alert")?;
            let known = ["alert", "badge", "sound", "thread-id"];
            let is_known =
                keys.iter().all(|key| known.contains(key)) && alert.keys().all(|key| key == "title" || key == "body");
            if is_known && aps["badge"].is_u64() { Ok(()) } else { Err(format!("aps: {keys:?}")) }
        }
        // "Do not include alert, sound or badge"; "specifying 10 is an error".
        ("background", "5") if keys == ["content-available"] && aps["content-available"] == 1 => Ok(()),
        other => Err(format!("{other:?} of {keys:?}")),
    }
}

/// Those of the provider token, once its signature is verified.
fn claims(seen: &Seen) -> Result<Value, String> {
    let token = seen.header("authorization").strip_prefix("bearer ").ok_or("MissingProviderToken")?;
    let key = DecodingKey::from_ec_pem(EC_PUBLIC_PEM).map_err(|error| error.to_string())?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.set_required_spec_claims(&["iss"]);
    validation.set_issuer(&["TEAM567890"]);
    let token = jsonwebtoken::decode::<Value>(token, &key, &validation).map_err(|error| error.to_string())?;
    if token.header.kid.as_deref() != Some("ABC1234567") || !token.claims["iat"].is_i64() {
        return Err("InvalidProviderToken".to_owned());
    }
    Ok(token.claims)
}

fn usual(_: &Seen) -> Act {
    say_with(200, &[("apns-id", ID)], "")
}

pub fn apns(url: &str, network: Network, time: &Time) -> Apns {
    let config = ApnsConfig::new(EC_PEM, "ABC1234567", "TEAM567890", "dev.tertulia.app");
    let config = ApnsConfig { base_url: url.to_owned(), network, ..config };
    Apns::new(config, time.clock()).expect("the settings are good")
}

async fn staged() -> (Stage, Apns, Time) {
    let stage = Stage::start(HTTP2, check, usual).await;
    let time = Time::new();
    let apns = apns(&stage.url("https"), network(), &time);
    (stage, apns, time)
}

async fn send(apns: &Apns, notification: &Notification) -> Answer {
    apns.send(&target(Platform::Ios, TOKEN), notification).await
}

fn accepted() -> Answer {
    Answer::Accepted { id: Some(ID.to_owned()) }
}

#[tokio::test]
async fn a_message_is_an_alert_that_replaces_what_was_shown_of_its_conversation() {
    let (stage, apns, _) = staged().await;
    assert_eq!(send(&apns, &notification()).await, accepted());
    let seen = stage.take_one();
    assert_eq!(seen.path, format!("/3/device/{TOKEN}"));
    let header = |name| seen.header(name);
    assert_eq!((header("apns-push-type"), header("apns-priority")), ("alert", "10"));
    assert_eq!(header("apns-collapse-id"), CONVERSATION);
    assert_eq!(header("apns-expiration"), (START_MS / 1000 + 7 * 24 * 3600).to_string());
    let wanted = json!({
        "aps": {
            "alert": {"title": "Alice", "body": "Shall we meet? \u{1f375}"},
            "badge": 7,
            "sound": "default",
            "thread-id": CONVERSATION,
        },
        "kind": "message",
        "conversationId": CONVERSATION,
        "messageId": MESSAGE,
        "seq": 42,
        "link": LINK,
        "badge": 7,
    });
    assert_eq!(seen.json(), wanted);
    send(&apns, &Notification { silent: true, ..notification() }).await;
    assert_eq!(stage.take_one().json()["aps"]["sound"], Value::Null);
}

#[tokio::test]
async fn a_withdrawal_wakes_the_app_and_shows_nothing() {
    let (stage, apns, _) = staged().await;
    assert!(apns.withdraws());
    assert_eq!(send(&apns, &withdrawal()).await, accepted());
    let payload = stage.take_one().json();
    assert_eq!((&payload["kind"], &payload["badge"]), (&json!("withdrawal"), &json!(7)));
}

#[tokio::test]
async fn one_connection_and_one_provider_token_serve_many_and_the_token_is_renewed_after_fifty_minutes() {
    let (stage, apns, time) = staged().await;
    let one = notification();
    assert_eq!(send(&apns, &one).await, accepted());
    join_all((0..20).map(|_| send(&apns, &one))).await;
    assert_eq!(stage.connections(), 1);
    let issued = |stage: &Stage| -> Vec<i64> {
        let mut all: Vec<i64> =
            stage.take().iter().filter_map(|seen| claims(seen).expect("a token")["iat"].as_i64()).collect();
        all.dedup();
        all
    };
    let start_s = START_MS / 1000;
    assert_eq!(issued(&stage), [start_s]);
    time.advance(50 * 60 - 1);
    send(&apns, &one).await;
    assert_eq!(issued(&stage), [start_s]);
    time.advance(1);
    send(&apns, &one).await;
    assert_eq!(issued(&stage), [start_s + 50 * 60]);
}

#[tokio::test]
async fn a_provider_token_that_has_expired_is_renewed_once_and_never_within_twenty_minutes() {
    let (stage, apns, time) = staged().await;
    let expired = || say(403, json!({"reason": "ExpiredProviderToken"}));
    let wrong_clock = Answer::Misconfigured("ExpiredProviderToken: does this machine's clock go wrong?".to_owned());
    send(&apns, &notification()).await;
    time.advance(20 * 60 - 1);
    stage.take();
    stage.script([expired()]);
    assert_eq!(send(&apns, &notification()).await, wrong_clock);
    assert_eq!(stage.take().len(), 1);

    time.advance(1);
    stage.script([expired()]);
    assert_eq!(send(&apns, &notification()).await, accepted());
    let tokens: Vec<String> = stage.take().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert!(tokens.len() == 2 && tokens[0] != tokens[1], "{tokens:?}");

    time.advance(30 * 60);
    stage.script([expired(), expired()]);
    assert_eq!(send(&apns, &notification()).await, wrong_clock);
    assert_eq!(stage.take().len(), 2);
}

#[tokio::test]
async fn each_reason_leads_to_what_is_of_use() {
    let (stage, apns, _) = staged().await;
    let unregistered = |reason: &str| Answer::Unregistered(reason.to_owned());
    let refused = |reason: &str| Answer::Refused(reason.to_owned());
    let ours = |reason: &str| Answer::Misconfigured(reason.to_owned());
    let later = |seconds: Option<u64>, reason: &str| Answer::Later {
        after: seconds.map(Duration::from_secs),
        reason: reason.to_owned(),
    };
    let reason = |status: u16, reason: &str| say(status, json!({"reason": reason}));
    let cases = [
        (reason(400, "BadDeviceToken"), unregistered("BadDeviceToken")),
        (reason(400, "DeviceTokenNotForTopic"), unregistered("DeviceTokenNotForTopic")),
        (reason(410, "ExpiredToken"), unregistered("ExpiredToken")),
        (
            say(410, json!({"reason": "Unregistered", "timestamp": START_MS})),
            unregistered("Unregistered since 2026-01-01T00:00:00.000Z"),
        ),
        (say(410, ""), unregistered("status 410")),
        (reason(429, "TooManyRequests"), later(None, "TooManyRequests")),
        (reason(429, "TooManyProviderTokenUpdates"), later(Some(1200), "TooManyProviderTokenUpdates")),
        (reason(500, "InternalServerError"), later(None, "InternalServerError")),
        (
            say_with(503, &[("retry-after", "30")], json!({"reason": "ServiceUnavailable"})),
            later(Some(30), "ServiceUnavailable"),
        ),
        (reason(503, "Shutdown"), later(None, "Shutdown")),
        (reason(400, "IdleTimeout"), later(None, "IdleTimeout")),
        (say(502, "<html>"), later(None, "status 502")),
        (reason(413, "PayloadTooLarge"), refused("PayloadTooLarge")),
        (reason(403, "InvalidProviderToken"), ours("InvalidProviderToken")),
        (reason(403, "Forbidden"), ours("Forbidden")),
        (reason(400, "BadExpirationDate"), ours("BadExpirationDate")),
        (say(403, "<html>"), ours("status 403")),
        (reason(400, "BadTopic"), ours("BadTopic")),
        (reason(400, "BadCollapseId"), refused("BadCollapseId")),
        (reason(400, TOKEN), refused("status 400")),
        (say(404, "<html>"), refused("status 404")),
        (say(200, "<html>"), later(None, "not an answer of APNs")),
    ];
    for (act, wanted) in cases {
        stage.script([act.clone()]);
        assert_eq!(send(&apns, &notification()).await, wanted, "{act:?}");
    }
}

#[tokio::test]
async fn what_can_never_go_is_not_sent() {
    let (stage, apns, _) = staged().await;
    for token in ["", "../../evil", &format!("{TOKEN}/.."), &TOKEN[..62], &TOKEN.replace('0', "g")] {
        let answer = apns.send(&target(Platform::Ios, token), &notification()).await;
        assert!(matches!(answer, Answer::Unregistered(_)), "{answer:?}");
    }
    let long = Notification { body: "a".repeat(4000), ..notification() };
    assert_eq!(send(&apns, &long).await, Answer::Refused("over 4096 bytes".to_owned()));
    assert_eq!(stage.connections(), 0);
    // The largest that goes.
    let empty = Notification { body: String::new(), ..notification() };
    send(&apns, &empty).await;
    let room = 4096 - stage.take_one().body.len();
    assert_eq!(send(&apns, &Notification { body: "a".repeat(room), ..notification() }).await, accepted());
    assert!(matches!(
        send(&apns, &Notification { body: "a".repeat(room + 1), ..notification() }).await,
        Answer::Refused(_)
    ));
}

#[test]
fn settings_that_cannot_work_are_refused_without_a_word_of_the_key() {
    let make = |key: &str, id: &str, team: &str, topic: &str| {
        Apns::new(ApnsConfig::new(key, id, team, topic), Time::new().clock()).map(drop)
    };
    assert!(make(EC_PEM, "ABC1234567", "TEAM567890", "dev.tertulia.app").is_ok());
    let wrong = [
        make("secret", "ABC1234567", "TEAM567890", "dev.tertulia.app"),
        make(include_str!("../keys/rsa.pem"), "ABC1234567", "TEAM567890", "dev.tertulia.app"),
        make(EC_PEM, "ABC", "TEAM567890", "dev.tertulia.app"),
        make(EC_PEM, "ABC1234567", "", "dev.tertulia.app"),
        make(EC_PEM, "ABC1234567", "TEAM567890", ""),
        make(EC_PEM, "ABC1234567", "TEAM567890", "a b"),
    ];
    for error in wrong.map(|made| made.expect_err("it is wrong").to_string()) {
        assert!(!error.contains("secret"), "{error}");
    }
    let shown = format!("{:?}", ApnsConfig::new(EC_PEM, "ABC1234567", "TEAM567890", "dev.tertulia.app"));
    assert!(!shown.contains("PRIVATE"));
}
