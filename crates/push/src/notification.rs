//! What is told, and to whom.

use std::fmt;

use serde::{Deserialize, Serialize};
use tertulia_proto::{ConversationId, MessageId, Platform, Timestamp};

/// How long a provider keeps what it can't deliver, in seconds: a week. Whoever was away for longer sees it in the app. Within what all of them take: FCM
/// 28 days (REST reference, `AndroidConfig.ttl`), APNs 30 days.
pub(crate) const KEPT_S: u32 = 7 * 24 * 3600;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotificationKind {
    /// There is something to read.
    Message,
    /// What was shown of this conversation is to be taken away: it was read elsewhere. Nothing follows when a message is deleted: what was shown of it stays.
    Withdrawal,
    /// The person asked whether notifications arrive.
    Test,
}

impl NotificationKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Withdrawal => "withdrawal",
            Self::Test => "test",
        }
    }
}

/// What a device shows, or is told to take away. Its `Debug` leaves out what people wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    pub kind: NotificationKind,
    /// Already cut to what fits; empty in a withdrawal, like `body`.
    pub title: String,
    pub body: String,
    /// All that is unread, shown on the app's icon.
    pub badge: i64,
    /// What is shown of one conversation replaces what was shown of it before, and stands in one group.
    pub conversation: ConversationId,
    /// The newest that is shown.
    pub message: Option<MessageId>,
    pub seq: i64,
    /// Where a tap leads: `/c/<conversation>?m=<message>`.
    pub link: String,
    pub sent_at: Timestamp,
    /// Without a sound.
    pub silent: bool,
}

impl Notification {
    pub(crate) fn is_withdrawal(&self) -> bool {
        self.kind == NotificationKind::Withdrawal
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("kind", &self.kind)
            .field("conversation", &self.conversation)
            .field("message", &self.message)
            .field("seq", &self.seq)
            .field("badge", &self.badge)
            .field("sent_at", &self.sent_at)
            .field("silent", &self.silent)
            .finish_non_exhaustive()
    }
}

/// One device, as its provider knows it. Who has the token can notify the device, so its `Debug` leaves it out.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub platform: Platform,
    pub token: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("platform", &self.platform).finish_non_exhaustive()
    }
}

/// What an app is told beside what it shows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Data<'a> {
    pub kind: NotificationKind,
    pub conversation_id: ConversationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    pub seq: i64,
    pub link: &'a str,
    pub badge: i64,
}

impl<'a> From<&'a Notification> for Data<'a> {
    fn from(notification: &'a Notification) -> Self {
        Self {
            kind: notification.kind,
            conversation_id: notification.conversation,
            message_id: notification.message,
            seq: notification.seq,
            link: &notification.link,
            badge: notification.badge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_token_nor_what_was_written_is_shown_by_debug() {
        let target = Target { platform: Platform::Ios, token: "secret".to_owned() };
        assert!(!format!("{target:?}").contains("secret"));
        let notification = Notification {
            kind: NotificationKind::Message,
            title: "Alice".to_owned(),
            body: "hello".to_owned(),
            badge: 1,
            conversation: ConversationId::from_bytes([1; 16]),
            message: None,
            seq: 1,
            link: "/c".to_owned(),
            sent_at: Timestamp::from_ms(0),
            silent: false,
        };
        let shown = format!("{notification:?}");
        assert!(!shown.contains("Alice") && !shown.contains("hello"), "{shown}");
    }
}
