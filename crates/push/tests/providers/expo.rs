//! Expo: messages, tickets and receipts.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tertulia_proto::Platform;
use tertulia_push::{Answer, Expo, ExpoConfig, Network, Notification, Provider as _};

use crate::stage::{
    Act, CONVERSATION, LINK, MESSAGE, Seen, Stage, Time, Wire, network, notification, say, say_with, target, withdrawal,
};

pub const TOKEN: &str = "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]";
const SEND: &str = "/--/api/v2/push/send";
const RECEIPTS: &str = "/--/api/v2/push/getReceipts";

/// "Message request format".
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "the names and types are what is checked")]
struct Message {
    to: String,
    data: serde_json::Map<String, Value>,
    title: Option<String>,
    body: Option<String>,
    ttl: Option<u64>,
    priority: Priority,
    sound: Option<String>,
    badge: Option<u64>,
    channel_id: Option<String>,
    #[serde(rename = "_contentAvailable")]
    content_available: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Priority {
    Default,
    Normal,
    High,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    ids: Vec<String>,
}

fn check(seen: &Seen) -> Result<(), String> {
    if seen.method != "POST" || seen.header("content-type") != "application/json" {
        return Err("JSON is posted".to_owned());
    }
    if seen.header("accept") != "application/json" || seen.header("authorization") != "Bearer expo-secret" {
        return Err("who asks, and for what?".to_owned());
    }
    match seen.path.as_str() {
        SEND => {
            let message: Message = serde_json::from_slice(&seen.body).map_err(|error| error.to_string())?;
            if message.to.starts_with("ExponentPushToken[") { Ok(()) } else { Err("to whom?".to_owned()) }
        }
        RECEIPTS => {
            let asked: Ids = serde_json::from_slice(&seen.body).map_err(|error| error.to_string())?;
            if asked.ids.len() <= 1000 { Ok(()) } else { Err("PUSH_TOO_MANY_RECEIPTS".to_owned()) }
        }
        other => Err(format!("no such path: {other}")),
    }
}

fn usual(seen: &Seen) -> Act {
    if seen.path == SEND {
        say(200, json!({"data": {"status": "ok", "id": "ticket-1"}}))
    } else {
        say(200, json!({"data": {}}))
    }
}

pub fn expo(url: &str, network: Network, time: &Time) -> Expo {
    let config = ExpoConfig { base_url: url.to_owned(), network, ..ExpoConfig::new(Some("expo-secret".to_owned())) };
    Expo::new(config, time.clock()).expect("the settings are good")
}

async fn staged() -> (Stage, Expo) {
    let stage = Stage::start(Wire::Plain, check, usual).await;
    let expo = expo(&stage.url("http"), network(), &Time::new());
    (stage, expo)
}

async fn send(expo: &Expo, notification: &Notification) -> Answer {
    expo.send(&target(Platform::Android, TOKEN), notification).await
}

fn accepted(id: &str) -> Answer {
    Answer::Accepted { id: Some(id.to_owned()) }
}

#[tokio::test]
async fn a_message_is_shown_and_a_withdrawal_only_told() {
    let (stage, expo) = staged().await;
    assert_eq!(send(&expo, &notification()).await, accepted("ticket-1"));
    let data = |kind: &str| {
        json!({
            "kind": kind,
            "conversationId": CONVERSATION,
            "messageId": MESSAGE,
            "seq": 42,
            "link": LINK,
            "badge": 7,
        })
    };
    let wanted = json!({
        "to": TOKEN,
        "title": "Alice",
        "body": "Shall we meet? \u{1f375}",
        "badge": 7,
        "sound": "default",
        "channelId": "messages",
        "priority": "high",
        "ttl": 604_800,
        "data": data("message"),
    });
    assert_eq!(stage.take_one().json(), wanted);
    send(&expo, &Notification { silent: true, ..notification() }).await;
    assert_eq!(stage.take_one().json()["sound"], Value::Null);

    send(&expo, &withdrawal()).await;
    let wanted = json!({
        "to": TOKEN,
        "priority": "normal",
        "ttl": 604_800,
        "_contentAvailable": true,
        "data": data("withdrawal"),
    });
    assert_eq!(stage.take_one().json(), wanted);
}

#[tokio::test]
async fn each_ticket_and_error_leads_to_what_is_of_use() {
    let (stage, expo) = staged().await;
    let unregistered = |reason: &str| Answer::Unregistered(reason.to_owned());
    let refused = |reason: &str| Answer::Refused(reason.to_owned());
    let ours = |reason: &str| Answer::Misconfigured(reason.to_owned());
    let later = |seconds: Option<u64>, reason: &str| Answer::Later {
        after: seconds.map(Duration::from_secs),
        reason: reason.to_owned(),
    };
    let error =
        |error: &str| json!({"status": "error", "message": format!("\"{TOKEN}\" ..."), "details": {"error": error}});
    let ticket = |one: &str| say(200, json!({"data": [error(one)]}));
    let fault = |code: &str| json!({"errors": [{"code": code, "message": TOKEN}]});
    let cases = [
        (say(200, json!({"data": [{"status": "ok", "id": "a"}]})), accepted("a")),
        (ticket("DeviceNotRegistered"), unregistered("DeviceNotRegistered")),
        (say(200, json!({"data": error("DeviceNotRegistered")})), unregistered("DeviceNotRegistered")),
        (ticket("MessageTooBig"), refused("MessageTooBig")),
        (ticket("MessageRateExceeded"), later(None, "MessageRateExceeded")),
        (ticket("MismatchSenderId"), ours("MismatchSenderId: the project's FCM key is another's")),
        (ticket("InvalidCredentials"), ours("InvalidCredentials: the project's push credentials")),
        (ticket("ProviderError"), later(None, "ProviderError")),
        (ticket(TOKEN), refused("an error that is not documented")),
        (say(200, json!({"data": {"status": "error"}})), refused("an error that is not documented")),
        (say(200, json!({"data": {"status": "ok"}})), later(None, "not an answer of Expo")),
        (say(200, json!({"data": []})), later(None, "not an answer of Expo")),
        (say(200, "<html>"), later(None, "not an answer of Expo")),
        (say(401, fault("UNAUTHORIZED")), ours("UNAUTHORIZED")),
        (say(400, fault("UNAUTHORIZED")), ours("UNAUTHORIZED")),
        (say(401, "<html>"), ours("status 401")),
        (say(403, ""), ours("status 403")),
        (say(400, fault("PUSH_TOO_MANY_EXPERIENCE_IDS")), refused("PUSH_TOO_MANY_EXPERIENCE_IDS")),
        (say(400, fault(TOKEN)), refused("status 400")),
        (say(404, "<html>"), refused("status 404")),
        (say_with(429, &[("retry-after", "5")], fault("TOO_MANY_REQUESTS")), later(Some(5), "TOO_MANY_REQUESTS")),
        (say(429, ""), later(None, "status 429")),
        (say(504, "<html>"), later(None, "status 504")),
    ];
    for (act, wanted) in cases {
        stage.script([act.clone()]);
        assert_eq!(send(&expo, &notification()).await, wanted, "{act:?}");
    }
}

#[tokio::test]
async fn receipts_say_what_became_of_tickets_and_nothing_of_others() {
    let (stage, expo) = staged().await;
    let ids: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let gone = json!({"status": "error", "message": "gone", "details": {"error": "DeviceNotRegistered"}});
    stage.script([say(200, json!({"data": {"a": {"status": "ok"}, "b": gone, "of-somebody-else": gone}}))]);
    let wanted =
        [("a".to_owned(), accepted("a")), ("b".to_owned(), Answer::Unregistered("DeviceNotRegistered".to_owned()))];
    assert_eq!(expo.receipts(&ids).await, wanted);
    assert_eq!(stage.take_one().json(), json!({"ids": ["a", "b", "c"]}));

    for act in [say(401, json!({"errors": [{"code": "UNAUTHORIZED", "message": ""}]})), say(503, ""), say(200, "[]")] {
        stage.script([act]);
        let answers = expo.receipts(&ids).await;
        assert!(answers.iter().all(|(_, answer)| matches!(answer, Answer::Later { .. })), "{answers:?}");
        assert_eq!(answers.len(), 3);
    }
    stage.take();
    let many: Vec<String> = (0..2500).map(|number| number.to_string()).collect();
    assert_eq!(expo.receipts(&many).await, []);
    assert_eq!(stage.take().len(), 3);
    assert_eq!(expo.receipts(&[]).await, []);
    assert_eq!(stage.take().len(), 0);
}

#[tokio::test]
async fn what_can_never_go_is_not_sent() {
    let (stage, expo) = staged().await;
    let answer = expo.send(&target(Platform::Ios, "ExponentPushToken[]"), &notification()).await;
    assert!(matches!(answer, Answer::Unregistered(_)), "{answer:?}");
    let long = Notification { body: "a".repeat(4000), ..notification() };
    assert_eq!(send(&expo, &long).await, Answer::Refused("over 4096 bytes".to_owned()));
    assert_eq!(stage.connections(), 0);
    assert!(Expo::new(ExpoConfig::new(Some("a\nb".to_owned())), Time::new().clock()).is_err());
    assert!(!format!("{:?}", ExpoConfig::new(Some("expo-secret".to_owned()))).contains("secret"));
}
