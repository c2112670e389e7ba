//! A notification as FCM wants it told.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use tertulia_proto::Platform;

use crate::apple;
use crate::notification::{KEPT_S, Notification, Target};

/// Of the apps: the channel that messages are shown in.
const CHANNEL: &str = "messages";

#[derive(Serialize)]
pub struct Message<'a> {
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<Shown<'a>>,
    /// "An object containing a list of key-value pairs": of strings only.
    data: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    android: Option<Android<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns: Option<Value>,
}

#[derive(Serialize)]
struct Shown<'a> {
    title: &'a str,
    body: &'a str,
}

#[derive(Serialize)]
struct Android<'a> {
    priority: &'static str,
    collapse_key: String,
    ttl: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<AndroidShown<'a>>,
}

#[derive(Serialize)]
struct AndroidShown<'a> {
    channel_id: &'static str,
    /// What bears the same tag is replaced on the device.
    tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_count: Option<i32>,
}

impl<'a> Message<'a> {
    pub fn new(target: &'a Target, notification: &'a Notification) -> Self {
        let shown = Shown { title: &notification.title, body: &notification.body };
        let is_apple = target.platform == Platform::Ios;
        Self {
            token: &target.token,
            // Without it the app is woken and shows nothing: how what was shown is taken away.
            notification: (!notification.is_withdrawal()).then_some(shown),
            data: data(notification),
            android: (!is_apple).then(|| Android::new(notification)),
            apns: is_apple.then(|| apns(notification)),
        }
    }

    pub fn payload_bytes(&self) -> usize {
        let shown = self.notification.as_ref().map_or(0, |shown| shown.title.len() + shown.body.len());
        shown + self.data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
    }
}

/// None of the names that FCM keeps for itself: `from`, `message_type`, and what begins with `google.` or `gcm.`.
fn data(notification: &Notification) -> BTreeMap<&'static str, String> {
    let mut data = BTreeMap::from([
        ("kind", notification.kind.as_str().to_owned()),
        ("conversationId", notification.conversation.to_string()),
        ("seq", notification.seq.to_string()),
        ("link", notification.link.clone()),
        ("badge", notification.badge.to_string()),
    ]);
    if let Some(message) = notification.message {
        data.insert("messageId", message.to_string());
    }
    data
}

impl Android<'_> {
    /// FCM ignores the collapse key of what it shows itself (those collapse by the tag, on the device), and keeps four keys at most for a device that is
    /// away: <https://firebase.google.com/docs/cloud-messaging/customize-messages/collapsible-message-types>. It is of use for withdrawals.
    fn new(notification: &Notification) -> Self {
        let conversation = notification.conversation.to_string();
        let shown = AndroidShown {
            channel_id: CHANNEL,
            tag: conversation.clone(),
            sound: (!notification.silent).then_some("default"),
            // Zero would count as one; an int32.
            notification_count: i32::try_from(notification.badge).ok().filter(|badge| *badge > 0),
        };
        let is_withdrawal = notification.is_withdrawal();
        Self {
            // Of high priority is what the person sees; else Google lowers it (docs, "Set the priority of a message").
            priority: if is_withdrawal { "NORMAL" } else { "HIGH" },
            collapse_key: conversation,
            ttl: format!("{KEPT_S}s"),
            notification: (!is_withdrawal).then_some(shown),
        }
    }
}

/// FCM itself adds title, body and data to it.
fn apns(notification: &Notification) -> Value {
    let headers = json!({
        "apns-push-type": apple::push_type(notification),
        "apns-priority": apple::priority(notification),
        "apns-collapse-id": apple::collapse_id(notification),
    });
    let mut aps = apple::aps(notification);
    if let Some(aps) = aps.as_object_mut() {
        aps.remove("alert");
    }
    json!({"headers": headers, "payload": {"aps": aps}})
}
