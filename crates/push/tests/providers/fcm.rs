//! FCM: what it is sent, how one signs in, and what becomes of its answers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Value, json};
use tertulia_proto::Platform;
use tertulia_push::{Answer, Fcm, FcmConfig, Network, Notification, Provider as _};

use crate::stage::{
    Act, CONVERSATION, LINK, MESSAGE, Seen, Stage, Time, Wire, network, notification, say, say_with, target, withdrawal,
};

pub const TOKEN: &str = "dQw4w9WgXcQ:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx_secret";
const RSA_PEM: &str = include_str!("../keys/rsa.pem");
const RSA_PUBLIC_PEM: &[u8] = include_bytes!("../keys/rsa.pub.pem");
const EMAIL: &str = "push@tertulia-test.iam.gserviceaccount.com";
const SEND: &str = "/v1/projects/tertulia-test/messages:send";

/// `projects.messages.send`, of what is used here: a field that the reference does not have is an error there too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Send {
    message: Message,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    token: String,
    notification: Option<Shown>,
    data: BTreeMap<String, String>,
    android: Option<Android>,
    apns: Option<Apns>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    title: String,
    body: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Android {
    collapse_key: String,
    priority: Priority,
    ttl: String,
    notification: Option<AndroidShown>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Priority {
    Normal,
    High,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AndroidShown {
    channel_id: String,
    tag: String,
    sound: Option<String>,
    notification_count: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Apns {
    headers: BTreeMap<String, String>,
    payload: Value,
}

fn check(seen: &Seen) -> Result<(), String> {
    match seen.path.as_str() {
        "/token" => check_token(seen),
        SEND => check_send(seen),
        other => Err(format!("no such path: {other}")),
    }
}

/// <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>
fn check_token(seen: &Seen) -> Result<(), String> {
    let form = String::from_utf8_lossy(&seen.body).into_owned();
    let Some(assertion) =
        form.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
    else {
        return Err(format!("form: {form}"));
    };
    if seen.header("content-type") != "application/x-www-form-urlencoded" || seen.method != "POST" {
        return Err("a form is posted".to_owned());
    }
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.set_audience(&[format!("http://{}/token", seen.header("host"))]);
    validation.set_issuer(&[EMAIL]);
    validation.set_required_spec_claims(&["aud", "iss", "exp"]);
    let key = DecodingKey::from_rsa_pem(RSA_PUBLIC_PEM).map_err(|error| error.to_string())?;
    let token = jsonwebtoken::decode::<Value>(assertion, &key, &validation).map_err(|error| error.to_string())?;
    let claims = token.claims;
    let (iat, exp) = (claims["iat"].as_i64().unwrap_or(0), claims["exp"].as_i64().unwrap_or(0));
    if token.header.kid.as_deref() != Some("key-1") || token.header.typ.as_deref() != Some("JWT") {
        return Err(format!("header: {:?}", token.header));
    }
    if claims["scope"] != "https://www.googleapis.com/auth/firebase.messaging" || iat <= 0 || exp - iat > 3600 {
        return Err(format!("claims: {claims}"));
    }
    Ok(())
}

fn check_send(seen: &Seen) -> Result<(), String> {
    if seen.method != "POST" || seen.header("content-type") != "application/json" {
        return Err("JSON is posted".to_owned());
    }
    if !seen.header("authorization").starts_with("Bearer ya29.") {
        return Err("who asks?".to_owned());
    }
    let send: Send = serde_json::from_slice(&seen.body).map_err(|error| error.to_string())?;
    let reserved =
        |key: &str| key == "from" || key == "message_type" || key.starts_with("google") || key.starts_with("gcm");
    if send.message.data.keys().any(|key| reserved(key)) {
        return Err("a reserved key".to_owned());
    }
    if let Some(android) = &send.message.android {
        let ttl = android.ttl.strip_suffix('s').and_then(|seconds| seconds.parse::<u32>().ok());
        if ttl.is_none_or(|ttl| ttl > 2_419_200) {
            return Err(format!("ttl: {}", android.ttl));
        }
    }
    Ok(())
}

fn usual(seen: &Seen) -> Act {
    if seen.path == "/token" { granted(1) } else { say(200, json!({"name": "projects/tertulia-test/messages/0:1%2"})) }
}

fn granted(number: u32) -> Act {
    say(200, json!({"access_token": format!("ya29.{number}"), "expires_in": 3599, "token_type": "Bearer"}))
}

pub fn account(url: &str) -> Value {
    json!({
        "type": "service_account",
        "project_id": "tertulia-test",
        "private_key_id": "key-1",
        "private_key": RSA_PEM,
        "client_email": EMAIL,
        "client_id": "1",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": format!("{url}/token"),
        "universe_domain": "googleapis.com",
    })
}

pub fn fcm(url: &str, network: Network, time: &Time) -> Fcm {
    let config = FcmConfig { base_url: url.to_owned(), network, ..FcmConfig::new(account(url).to_string()) };
    Fcm::new(config, time.clock()).expect("the account is good")
}

async fn staged() -> (Stage, Fcm, Time) {
    let stage = Stage::start(Wire::Plain, check, usual).await;
    let time = Time::new();
    let fcm = fcm(&stage.url("http"), network(), &time);
    (stage, fcm, time)
}

async fn send(fcm: &Fcm, platform: Platform, notification: &Notification) -> Answer {
    fcm.send(&target(platform, TOKEN), notification).await
}

fn message(stage: &Stage) -> Message {
    let sent = stage.take().into_iter().find(|seen| seen.path == SEND).expect("a message was sent");
    serde_json::from_slice::<Send>(&sent.body).expect("it was checked").message
}

#[tokio::test]
async fn an_android_device_is_told_what_to_show_and_what_it_replaces() {
    let (stage, fcm, _) = staged().await;
    let accepted = Answer::Accepted { id: Some("projects/tertulia-test/messages/0:1%2".to_owned()) };
    assert_eq!(send(&fcm, Platform::Android, &notification()).await, accepted);
    let message = message(&stage);
    assert_eq!(message.token, TOKEN);
    let shown = message.notification.expect("it is shown");
    assert_eq!((shown.title.as_str(), shown.body.as_str()), ("Alice", "Shall we meet? \u{1f375}"));
    let data = [
        ("badge", "7"),
        ("conversationId", CONVERSATION),
        ("kind", "message"),
        ("link", LINK),
        ("messageId", MESSAGE),
        ("seq", "42"),
    ];
    assert_eq!(message.data, data.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    let android = message.android.expect("it is of Android");
    assert_eq!((android.collapse_key.as_str(), android.priority), (CONVERSATION, Priority::High));
    assert_eq!(android.ttl, "604800s");
    let shown = android.notification.expect("it is shown");
    assert_eq!((shown.channel_id.as_str(), shown.tag.as_str()), ("messages", CONVERSATION));
    assert_eq!((shown.sound.as_deref(), shown.notification_count), (Some("default"), Some(7)));
    assert!(message.apns.is_none());

    let silent = Notification { silent: true, badge: 0, ..notification() };
    send(&fcm, Platform::Android, &silent).await;
    let shown = self::message(&stage).android.and_then(|android| android.notification).expect("it is shown");
    assert_eq!((shown.sound, shown.notification_count), (None, None));
}

#[tokio::test]
async fn an_apple_device_behind_fcm_is_told_as_apns_would() {
    let (stage, fcm, _) = staged().await;
    send(&fcm, Platform::Ios, &notification()).await;
    let message = message(&stage);
    assert!(message.android.is_none() && message.notification.is_some());
    let apns = message.apns.expect("it is of Apple");
    let headers = [("apns-collapse-id", CONVERSATION), ("apns-priority", "10"), ("apns-push-type", "alert")];
    assert_eq!(apns.headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!(apns.payload, json!({"aps": {"badge": 7, "sound": "default", "thread-id": CONVERSATION}}));
}

#[tokio::test]
async fn a_withdrawal_shows_nothing() {
    let (stage, fcm, _) = staged().await;
    send(&fcm, Platform::Android, &withdrawal()).await;
    let of_android = message(&stage);
    assert!(of_android.notification.is_none());
    assert_eq!(of_android.data["kind"], "withdrawal");
    let android = of_android.android.expect("it is of Android");
    assert_eq!((android.priority, android.notification.is_none()), (Priority::Normal, true));
    // With the key of what it takes back, which FCM may still hold.
    assert_eq!(android.collapse_key, CONVERSATION);
    send(&fcm, Platform::Ios, &withdrawal()).await;
    let apns = message(&stage).apns.expect("it is of Apple");
    assert_eq!(apns.payload, json!({"aps": {"content-available": 1}}));
    assert_eq!((apns.headers["apns-priority"].as_str(), apns.headers["apns-push-type"].as_str()), ("5", "background"));
}

#[tokio::test]
async fn the_access_token_is_fetched_once_for_all_and_again_before_it_ends() {
    let (stage, fcm, time) = staged().await;
    let fetches = |stage: &Stage| stage.take().iter().filter(|seen| seen.path == "/token").count();
    let (one, device) = (notification(), target(Platform::Android, TOKEN));
    let twenty = || join_all((0..20).map(|_| fcm.send(&device, &one)));
    assert!(twenty().await.iter().all(|answer| matches!(answer, Answer::Accepted { .. })));
    assert_eq!(fetches(&stage), 1);
    // 3599 s less five minutes.
    time.advance(3298);
    twenty().await;
    assert_eq!(fetches(&stage), 0);
    time.advance(1);
    twenty().await;
    assert_eq!(fetches(&stage), 1);
}

#[tokio::test]
async fn a_failed_sign_in_is_told_to_all_who_waited_and_tried_again_by_the_next() {
    let (stage, fcm, _) = staged().await;
    stage.script([say(503, "")]);
    let (one, device) = (notification(), target(Platform::Android, TOKEN));
    let answers = join_all((0..20).map(|_| fcm.send(&device, &one))).await;
    let later = Answer::Later { after: None, reason: "no access token: status 503".to_owned() };
    assert!(answers.iter().all(|answer| *answer == later), "{answers:?}");
    assert_eq!(stage.take().len(), 1);
    assert!(matches!(fcm.send(&device, &one).await, Answer::Accepted { .. }));
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let (stage, fcm, _) = staged().await;
    let unauthenticated = || say(401, json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}}));
    stage.script([granted(1), unauthenticated(), granted(2)]);
    assert!(matches!(send(&fcm, Platform::Android, &notification()).await, Answer::Accepted { .. }));
    let all: Vec<String> = stage.take().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert_eq!(all, ["", "Bearer ya29.1", "", "Bearer ya29.2"]);

    stage.script([unauthenticated(), granted(3), unauthenticated()]);
    let refused = Answer::Misconfigured("status 401".to_owned());
    assert_eq!(send(&fcm, Platform::Android, &notification()).await, refused);
    assert_eq!(stage.take().len(), 3);

    // Not about our token: another would not help.
    let code = "THIRD_PARTY_AUTH_ERROR";
    stage.script([say(401, json!({"error": {"status": "UNAUTHENTICATED", "details": [{"errorCode": code}]}}))]);
    let answer = send(&fcm, Platform::Android, &notification()).await;
    assert!(matches!(&answer, Answer::Misconfigured(reason) if reason.starts_with(code)), "{answer:?}");
    assert_eq!(stage.take().len(), 1);
}

fn error(status: &str, code: &str) -> Value {
    let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
    let details = json!([{"@type": kind, "errorCode": code}]);
    json!({"error": {"code": 1, "message": format!("about {TOKEN}"), "status": status, "details": details}})
}

#[tokio::test]
async fn each_error_leads_to_what_is_of_use() {
    let (stage, fcm, _) = staged().await;
    let unregistered = |reason: &str| Answer::Unregistered(reason.to_owned());
    let refused = |reason: &str| Answer::Refused(reason.to_owned());
    let ours = |reason: &str| Answer::Misconfigured(reason.to_owned());
    let later = |seconds: Option<u64>, reason: &str| Answer::Later {
        after: seconds.map(Duration::from_secs),
        reason: reason.to_owned(),
    };
    let bad_field = |field: &str| {
        let mut error = error("INVALID_ARGUMENT", "INVALID_ARGUMENT");
        let violation =
            json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": field}]});
        error["error"]["details"].as_array_mut().expect("details").push(violation);
        error
    };
    let mut bare = error("INVALID_ARGUMENT", "INVALID_ARGUMENT");
    bare["error"]["message"] = json!("The registration token is not a valid FCM registration token");
    let quota = error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED");
    let cases = [
        (say(404, error("NOT_FOUND", "UNREGISTERED")), unregistered("UNREGISTERED")),
        // A wrong project, or a proxy: no reason to switch a device off.
        (say(404, json!({"error": {"code": 404, "status": "NOT_FOUND"}})), ours("status 404")),
        (say(404, "<html>"), ours("status 404")),
        (say(400, bad_field("message.token")), unregistered("INVALID_ARGUMENT of the token")),
        (say(400, bare), unregistered("INVALID_ARGUMENT of the token")),
        (say(400, bad_field("message.android.ttl")), refused("INVALID_ARGUMENT")),
        (say(400, error("INVALID_ARGUMENT", "INVALID_ARGUMENT")), refused("INVALID_ARGUMENT")),
        (
            say(403, error("PERMISSION_DENIED", "SENDER_ID_MISMATCH")),
            ours("SENDER_ID_MISMATCH: the devices are another project's"),
        ),
        (say(403, json!({"error": {"code": 403, "status": "PERMISSION_DENIED"}})), ours("status 403")),
        (say(429, &quota), later(Some(60), "QUOTA_EXCEEDED")),
        (say_with(429, &[("retry-after", "90")], &quota), later(Some(90), "QUOTA_EXCEEDED")),
        (say(429, "<html>"), later(Some(60), "status 429")),
        (say_with(503, &[("retry-after", "7")], error("UNAVAILABLE", "UNAVAILABLE")), later(Some(7), "UNAVAILABLE")),
        (say_with(503, &[("retry-after", "Thu, 01 Jan 2026 00:02:00 GMT")], ""), later(Some(120), "status 503")),
        (say_with(503, &[("retry-after", "soon")], ""), later(None, "status 503")),
        (say_with(503, &[("retry-after", "31536000")], ""), later(Some(86400), "status 503")),
        (say(500, error("INTERNAL", "INTERNAL")), later(None, "INTERNAL")),
        (say(502, "<!DOCTYPE html>"), later(None, "status 502")),
        (say(418, error("TEAPOT", TOKEN)), refused("status 418")),
        (say(200, "<html>Welcome to our Wi-Fi"), later(None, "not an answer of FCM")),
        (say(200, "{}"), later(None, "not an answer of FCM")),
        (say(200, json!({"name": "a teapot"})), later(None, "not an answer of FCM")),
        (say(200, ""), later(None, "not an answer of FCM")),
    ];
    send(&fcm, Platform::Android, &notification()).await;
    for (act, wanted) in cases {
        stage.script([act.clone()]);
        let answer = send(&fcm, Platform::Android, &notification()).await;
        assert_eq!(answer, wanted, "{act:?}");
        assert!(!format!("{answer:?}").contains(TOKEN));
    }
}

#[tokio::test]
async fn what_the_token_server_says_wrongly_is_no_token() {
    let (stage, fcm, _) = staged().await;
    let grant = |token: &str, expires_in: Value| say(200, json!({"access_token": token, "expires_in": expires_in}));
    let strange = "no access token: not an answer of an OAuth 2 server";
    let cases = [
        (
            say(400, json!({"error": "invalid_grant", "error_description": EMAIL})),
            "no access token: status 400, invalid_grant",
        ),
        (say(400, json!({"error": EMAIL})), "no access token: status 400, no known reason"),
        (say(302, ""), "no access token: status 302, no known reason"),
        (say(429, ""), "no access token: status 429"),
        (say(200, "<html>"), strange),
        (say(200, "{}"), strange),
        (grant("", json!(3599)), strange),
        (grant("a\nb", json!(3599)), strange),
        (grant("ya29.1", json!(-1)), strange),
        (grant("ya29.1", json!("soon")), strange),
    ];
    for (act, wanted) in cases {
        stage.script([act.clone()]);
        let (Answer::Misconfigured(reason) | Answer::Later { reason, .. }) =
            send(&fcm, Platform::Android, &notification()).await
        else {
            panic!("{act:?}")
        };
        assert_eq!(reason, wanted);
        assert_eq!(stage.take().len(), 1, "no message without a token");
    }
    // Good for less than five minutes: used, and not kept.
    stage.script([grant("ya29.1", json!(60))]);
    send(&fcm, Platform::Android, &notification()).await;
    send(&fcm, Platform::Android, &notification()).await;
    assert_eq!(stage.take().len(), 4);
}

#[tokio::test]
async fn what_can_never_go_is_not_sent() {
    let (stage, fcm, _) = staged().await;
    for token in ["", "a b", "a\nb", "\u{e9}"] {
        let answer = fcm.send(&target(Platform::Android, token), &notification()).await;
        assert!(matches!(answer, Answer::Unregistered(_)), "{answer:?}");
    }
    let long = Notification { body: "a".repeat(4097), ..notification() };
    assert_eq!(send(&fcm, Platform::Android, &long).await, Answer::Refused("over 4096 bytes".to_owned()));
    assert_eq!(stage.connections(), 0);
}

#[test]
fn a_key_file_that_is_none_is_said_to_be_none_without_a_word_of_it() {
    let good = account("https://oauth2.googleapis.com");
    let with = |key: &str, value: Value| {
        let mut file = good.clone();
        file[key] = value;
        file.to_string()
    };
    let wrong = [
        String::new(),
        "secret".to_owned(),
        json!({"private_key": "secret"}).to_string(),
        with("type", json!("authorized_user")),
        with("project_id", json!("../secret")),
        with("private_key", json!("secret")),
        with("private_key", json!(include_str!("../keys/ec.pem"))),
        with("token_uri", json!("secret")),
        with("client_email", json!({"secret": 1})),
    ];
    for file in wrong {
        let error = Fcm::new(FcmConfig::new(&file), Time::new().clock()).err().expect("it is wrong");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(Fcm::new(FcmConfig::new(good.to_string()), Time::new().clock()).is_ok());
    assert!(!format!("{:?}", FcmConfig::new(good.to_string())).contains("PRIVATE"));
}
