//! Web Push: a push service and a browser, who read what they are sent as RFC 8030, 8188, 8291 and 8292 have it.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tertulia_proto::{ConversationId, Platform};
use tertulia_push::{
    Answer, Network, Notification, Provider as _, VapidKeys, WebPush, WebPushConfig, generate_vapid_keys,
};

use crate::stage::{
    ANY_HTTP, Act, CONVERSATION, LINK, MESSAGE, Seen, Stage, Time, network, notification, say, say_with, target,
    withdrawal,
};

static VAPID: LazyLock<VapidKeys> = LazyLock::new(|| generate_vapid_keys().expect("a pair"));
static BROWSER: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(&ECDH_P256).expect("a key"));
const AUTH: [u8; 16] = *b"sixteen bytes of";
const SUBJECT: &str = "mailto:push@tertulia.dev";

fn check(seen: &Seen) -> Result<(), String> {
    if seen.method != "POST" || !seen.path.starts_with("/wpush/") {
        return Err(format!("{} {}", seen.method, seen.path));
    }
    if seen.header("ttl").parse::<u32>().is_err() {
        return Err("ttl is missing (RFC 8030, 5.2)".to_owned());
    }
    if !["very-low", "low", "normal", "high"].contains(&seen.header("urgency")) {
        return Err("urgency (RFC 8030, 5.3)".to_owned());
    }
    let topic = seen.header("topic");
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if topic.is_empty() || topic.len() > 32 || !topic.bytes().all(is_base64url) {
        return Err(format!("topic (RFC 8030, 5.4): {topic}"));
    }
    if seen.header("content-encoding") != "aes128gcm" {
        return Err("content-encoding (RFC 8291, 4)".to_owned());
    }
    if seen.body.len() > 4096 {
        return Err("over 4096 bytes (RFC 8030, 7.2)".to_owned());
    }
    check_vapid(seen)
}

/// RFC 8292, 2 and 3.
fn check_vapid(seen: &Seen) -> Result<(), String> {
    let parameters = seen.header("authorization").strip_prefix("vapid ").ok_or("no vapid")?;
    let (token, key) = parameters.split_once(", ").ok_or("two parameters")?;
    let token = token.strip_prefix("t=").ok_or("no t")?;
    let key = key.strip_prefix("k=").ok_or("no k")?;
    if key != VAPID.public {
        return Err("VapidPkHashMismatch".to_owned());
    }
    let point = URL_SAFE_NO_PAD.decode(key).map_err(|error| error.to_string())?;
    let [x, y] = [&point[1..33], &point[33..65]].map(|half| URL_SAFE_NO_PAD.encode(half));
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    // Over HTTP/2 the name is in the request's own line, not in a header.
    let ports = seen.path.trim_start_matches("/wpush/").split('/').next().unwrap_or_default().to_owned();
    validation.set_audience(&[format!("https://127.0.0.1:{ports}")]);
    let key = DecodingKey::from_ec_components(&x, &y).map_err(|error| error.to_string())?;
    let token = jsonwebtoken::decode::<Value>(token, &key, &validation).map_err(|error| error.to_string())?;
    let (typ, claims) = (token.header.typ, token.claims);
    let left_s = claims["exp"].as_i64().unwrap_or(0) - crate::stage::START_MS / 1000;
    if typ.as_deref() != Some("JWT") || claims["sub"] != SUBJECT || !(1..=24 * 3600).contains(&left_s) {
        return Err(format!("claims: {claims}"));
    }
    Ok(())
}

fn usual(_: &Seen) -> Act {
    say_with(201, &[("location", "https://127.0.0.1/message/secret")], "")
}

fn config(network: Network) -> WebPushConfig {
    WebPushConfig { allow_private: true, network, ..WebPushConfig::new(&VAPID.private, SUBJECT) }
}

pub fn webpush(network: Network, time: &Time) -> WebPush {
    WebPush::new(config(network), time.clock()).expect("the settings are good")
}

pub fn subscription(endpoint: &str) -> String {
    let public = BROWSER.compute_public_key().expect("a point");
    let keys = json!({"p256dh": URL_SAFE_NO_PAD.encode(public.as_ref()), "auth": URL_SAFE_NO_PAD.encode(AUTH)});
    json!({"endpoint": endpoint, "expirationTime": null, "keys": keys}).to_string()
}

/// The port is in the path, so that who checks can tell where it was sent to.
pub fn endpoint(stage: &Stage) -> String {
    format!("{}/wpush/{}/secret", stage.url("https"), stage.address.port())
}

async fn staged() -> (Stage, WebPush, String) {
    let stage = Stage::start(ANY_HTTP, check, usual).await;
    let token = subscription(&endpoint(&stage));
    (stage, webpush(network(), &Time::new()), token)
}

async fn send(webpush: &WebPush, token: &str, notification: &Notification) -> Answer {
    webpush.send(&target(Platform::Web, token), notification).await
}

fn hmac<const BYTES: usize>(key: &[u8], text: &[&[u8]]) -> [u8; BYTES] {
    let tag = sign(&Key::new(HMAC_SHA256, key), &text.concat());
    tag.as_ref()[..BYTES].try_into().expect("a hash is longer")
}

/// As the browser does it, after the formulas of RFC 8291, 3.4 and RFC 8188, 2.
fn opened(body: &[u8]) -> Vec<u8> {
    let (salt, rest) = body.split_at(16);
    let (record_size, rest) = rest.split_at(4);
    assert_eq!(record_size, 4096u32.to_be_bytes());
    assert_eq!(rest[0], 65);
    let (theirs, record) = rest[1..].split_at(65);
    let ours = BROWSER.compute_public_key().expect("a point");
    let peer = UnparsedPublicKey::new(&ECDH_P256, theirs);
    let secret = agree(&BROWSER, peer, Unspecified, |secret| Ok(secret.to_vec())).expect("an exchange");
    let combined: [u8; 32] = hmac(&AUTH, &[&secret]);
    let input: [u8; 32] = hmac(&combined, &[b"WebPush: info\0", ours.as_ref(), theirs, &[1]]);
    let keys: [u8; 32] = hmac(salt, &[&input]);
    let key: [u8; 16] = hmac(&keys, &[b"Content-Encoding: aes128gcm\0", &[1]]);
    let nonce: [u8; 12] = hmac(&keys, &[b"Content-Encoding: nonce\0", &[1]]);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).expect("a key"));
    let mut record = record.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let content = key.open_in_place(nonce, Aad::empty(), &mut record).expect("it is for this browser");
    let end = content.iter().rposition(|byte| *byte != 0).expect("a delimiter");
    assert_eq!(content[end], 2, "the last record ends with 2");
    content[..end].to_vec()
}

#[tokio::test]
async fn a_browser_reads_what_to_show_and_the_push_service_does_not() {
    let (stage, webpush, token) = staged().await;
    assert_eq!(webpush.public_key(), VAPID.public);
    assert_eq!(send(&webpush, &token, &notification()).await, Answer::Accepted { id: None });
    let seen = stage.take_one();
    assert_eq!((seen.header("ttl"), seen.header("urgency")), ("604800", "high"));
    let wanted = json!({
        "kind": "message",
        "title": "Alice",
        "body": "Shall we meet? \u{1f375}",
        "badge": 7,
        "conversationId": CONVERSATION,
        "messageId": MESSAGE,
        "seq": 42,
        "link": LINK,
        "sentAt": "2025-12-31T23:59:58.500Z",
        "silent": false,
    });
    assert_eq!(serde_json::from_slice::<Value>(&opened(&seen.body)).expect("JSON"), wanted);
    send(&webpush, &token, &Notification { silent: true, ..notification() }).await;
    assert_eq!(stage.take_one().header("urgency"), "normal");
}

#[tokio::test]
async fn a_conversation_has_one_topic_per_subscription_and_does_not_show_in_it() {
    let (stage, webpush, token) = staged().await;
    let other: ConversationId = MESSAGE.parse().expect("an id");
    send(&webpush, &token, &notification()).await;
    send(&webpush, &token, &Notification { seq: 43, ..notification() }).await;
    send(&webpush, &token, &Notification { conversation: other, ..notification() }).await;
    let of_another = token.replace(&URL_SAFE_NO_PAD.encode(AUTH), &URL_SAFE_NO_PAD.encode([7; 16]));
    send(&webpush, &of_another, &notification()).await;
    let topics: Vec<String> = stage.take().iter().map(|seen| seen.header("topic").to_owned()).collect();
    assert_eq!(topics[0], topics[1]);
    assert!(topics[0] != topics[2] && topics[0] != topics[3], "{topics:?}");
}

#[tokio::test]
async fn withdrawals_are_not_for_browsers() {
    let (stage, webpush, token) = staged().await;
    assert!(!webpush.withdraws());
    assert!(matches!(send(&webpush, &token, &withdrawal()).await, Answer::Refused(_)));
    assert_eq!(stage.connections(), 0);
}

#[tokio::test]
async fn each_status_leads_to_what_is_of_use() {
    let (stage, webpush, token) = staged().await;
    let unregistered = |reason: &str| Answer::Unregistered(reason.to_owned());
    let refused = |reason: &str| Answer::Refused(reason.to_owned());
    let ours = |reason: &str| Answer::Misconfigured(reason.to_owned());
    let later = |seconds: Option<u64>, reason: &str| Answer::Later {
        after: seconds.map(Duration::from_secs),
        reason: reason.to_owned(),
    };
    let apples = |reason: &str| json!({"reason": reason});
    let mozillas = json!({"code": 401, "errno": 109, "error": "Unauthorized", "message": token});
    let cases = [
        (say(200, "<html>"), Answer::Accepted { id: None }),
        (say(202, ""), Answer::Accepted { id: None }),
        (say(404, ""), unregistered("status 404")),
        (say(410, apples("Unregistered")), unregistered("status 410")),
        (say(413, ""), refused("status 413")),
        (say(400, apples("BadWebPushTopic")), refused("status 400, BadWebPushTopic")),
        (say(401, mozillas), ours("status 401")),
        (say(403, apples("VapidPkHashMismatch")), ours("status 403, VapidPkHashMismatch")),
        (say(403, apples("BadJwtToken")), ours("status 403, BadJwtToken")),
        (say(403, apples(&endpoint(&stage))), ours("status 403")),
        (say(400, apples("VapidPkHashMismatch")), ours("status 400, VapidPkHashMismatch")),
        (say(400, apples("BadJwtToken")), ours("status 400, BadJwtToken")),
        (say_with(429, &[("retry-after", "120")], ""), later(Some(120), "status 429")),
        (say_with(429, &[("retry-after", "-5")], ""), later(None, "status 429")),
        (say_with(503, &[("retry-after", "Thu, 01 Jan 2026 01:00:00 GMT")], ""), later(Some(3600), "status 503")),
        (say(500, ""), later(None, "status 500")),
        (say_with(307, &[("location", "https://127.0.0.1:1/")], ""), refused("status 307")),
    ];
    for (act, wanted) in cases {
        stage.script([act.clone()]);
        assert_eq!(send(&webpush, &token, &notification()).await, wanted, "{act:?}");
    }
}

#[tokio::test]
async fn what_is_no_subscription_is_switched_off() {
    let (stage, webpush, token) = staged().await;
    let good: Value = serde_json::from_str(&token).expect("JSON");
    let with = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).expect("it is there") = value;
        changed.to_string()
    };
    let wrong = [
        String::new(),
        "{}".to_owned(),
        "https://push.example.net/".to_owned(),
        with("/endpoint", json!("http://push.example.net/")),
        with("/endpoint", json!("https://me:secret@push.example.net/")),
        with("/endpoint", json!("ftp://push.example.net/")),
        with("/endpoint", json!(1)),
        with("/keys/p256dh", json!("AAAA")),
        // Of the right form, and no point of the curve.
        with("/keys/p256dh", json!(format!("BA{}", "A".repeat(85)))),
        with("/keys/p256dh", json!("not base64!")),
        with("/keys/auth", json!("AAAA")),
        format!("{token}{}", " ".repeat(5000)),
    ];
    for token in wrong {
        let answer = send(&webpush, &token, &notification()).await;
        let is_right = matches!(&answer, Answer::Unregistered(reason) if !reason.contains("push.example"));
        assert!(is_right, "{token}: {answer:?}");
    }
    let padded = with("/keys/auth", json!(base64::engine::general_purpose::URL_SAFE.encode(AUTH)));
    assert!(matches!(send(&webpush, &padded, &notification()).await, Answer::Accepted { .. }));
    let long = Notification { body: "a".repeat(3993), ..notification() };
    assert_eq!(send(&webpush, &token, &long).await, Answer::Refused("over 3993 bytes".to_owned()));
    assert_eq!(stage.take().len(), 1);
}

#[tokio::test]
async fn no_endpoint_leads_into_a_private_network() {
    let (stage, _, _) = staged().await;
    let config = WebPushConfig { allow_private: false, ..config(network()) };
    let guarded = WebPush::new(config, Time::new().clock()).expect("the settings are good");
    let port = stage.address.port();
    let refused = "the address leads into a private network";
    // The first are addresses; the last is a name, which shows only when it is resolved.
    for host in ["127.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0", "localhost"] {
        let token = subscription(&format!("https://{host}:{port}/wpush/{port}/secret"));
        let answer = send(&guarded, &token, &notification()).await;
        assert!(matches!(&answer, Answer::Misconfigured(reason) if reason.ends_with(refused)), "{host}: {answer:?}");
    }
    assert_eq!(stage.connections(), 0);
}

#[test]
fn settings_that_cannot_work_are_refused_without_a_word_of_the_key() {
    let make = |key: &str, subject: &str| WebPush::new(WebPushConfig::new(key, subject), Time::new().clock()).err();
    assert_eq!(make(&VAPID.private, SUBJECT), None);
    assert_eq!(make(&VAPID.private, "").expect("no subject").setting, "subject");
    assert_eq!(make(&VAPID.private, "mailto:push@localhost").expect("nobody").setting, "subject");
    let error = make("secret", SUBJECT).expect("no key");
    assert_eq!(error.setting, "private key");
    assert!(!error.to_string().contains("secret"));
    assert!(!format!("{:?}", config(network())).contains(&VAPID.private));
}
