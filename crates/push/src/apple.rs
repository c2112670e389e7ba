//! What Apple's devices understand, whoever brings it: APNs directly, or FCM.
//!
//! Sources: <https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification> (`aps`),
//! <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns> (headers),
//! <https://developer.apple.com/documentation/usernotifications/pushing-background-updates-to-your-app> (withdrawals).

use serde_json::{Value, json};

use crate::notification::Notification;

pub fn push_type(notification: &Notification) -> &'static str {
    if notification.is_withdrawal() { "background" } else { "alert" }
}

/// At once; of the background "use 5": 10 is an error there.
pub fn priority(notification: &Notification) -> &'static str {
    if notification.is_withdrawal() { "5" } else { "10" }
}

/// "No longer than 64 bytes": 36 here.
pub fn collapse_id(notification: &Notification) -> String {
    notification.conversation.to_string()
}

/// A background notification has `content-available` alone: with alert, sound or badge it would not be one. The app takes away what it showed of the
/// conversation, and sets the badge that stands among its own fields.
pub fn aps(notification: &Notification) -> Value {
    if notification.is_withdrawal() {
        return json!({"content-available": 1});
    }
    let mut aps = json!({
        "alert": {"title": notification.title, "body": notification.body},
        "badge": notification.badge.max(0),
        "thread-id": notification.conversation,
    });
    if !notification.silent {
        aps["sound"] = json!("default");
    }
    aps
}
