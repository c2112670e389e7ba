//! What the page can ask.

use serde::{Deserialize, Deserializer};
use tertulia_client as client;

use crate::model::{ClientMsgId, ConversationId, MessageId, MessageRef, Ms, Role, UserId};
use crate::notify::QuietHours;

/// How the client is opened.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    /// Origin, and path where it has one, of the server.
    pub server: String,
    /// Name of the folder of the database.
    pub folder: String,
    /// The session's cookie says who is asking; else tokens do.
    pub by_cookie: bool,
}

/// Somebody to be found by the server.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Who {
    Email { email: String },
    Id { user_id: UserId },
}

impl From<Who> for client::Person {
    fn from(who: Who) -> Self {
        match who {
            Who::Email { email } => Self::Email(email),
            Who::Id { user_id } => Self::Id(user_id.0),
        }
    }
}

/// One call. What the person does is committed on this device when the answer comes; what needs the server says so by its errors.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Call {
    Send {
        conversation: ConversationId,
        name: ClientMsgId,
        body: String,
        reply_to: Option<MessageRef>,
    },
    Edit {
        conversation: ConversationId,
        message: MessageRef,
        body: String,
    },
    Delete {
        conversation: ConversationId,
        message: MessageRef,
    },
    React {
        conversation: ConversationId,
        message: MessageRef,
        emoji: String,
        remove: bool,
    },
    MarkRead {
        conversation: ConversationId,
        seq: Option<i64>,
    },
    Mute {
        conversation: ConversationId,
        until: Option<Ms>,
    },
    SetDraft {
        conversation: ConversationId,
        text: String,
    },
    Retry {
        entry: i64,
    },
    Discard {
        entry: i64,
    },
    SetTyping {
        conversation: ConversationId,
        typing: bool,
    },
    Connect,
    Pause,
    SetNetwork {
        up: bool,
    },
    SetToken {
        token: String,
    },
    LoadOlder {
        subscription: String,
    },
    LoadNewer {
        subscription: String,
    },
    JumpTo {
        subscription: String,
        message: MessageId,
    },
    JumpToPlace {
        subscription: String,
        seq: client::Seq,
    },
    JumpToNewest {
        subscription: String,
    },
    Message {
        conversation: ConversationId,
        message: MessageRef,
    },
    Search {
        text: String,
        conversation: Option<ConversationId>,
        limit: usize,
    },
    Limits,
    Login {
        email: String,
        password: String,
    },
    Register {
        email: String,
        password: String,
        name: String,
    },
    Me,
    UpdateMe {
        #[cfg_attr(test, ts(optional))]
        name: Option<String>,
        /// null takes the picture away; without it the picture stays.
        #[serde(default, deserialize_with = "present")]
        #[cfg_attr(test, ts(optional, type = "string | null"))]
        avatar_url: Option<Option<String>>,
    },
    User {
        user: UserId,
    },
    SearchUsers {
        email: String,
    },
    Block {
        user: UserId,
    },
    Unblock {
        user: UserId,
    },
    Blocked,
    Sessions,
    EndSession {
        id: String,
    },
    OpenDm {
        who: Who,
    },
    CreateGroup {
        title: String,
        members: Vec<Who>,
        #[cfg_attr(test, ts(type = "\"joined\" | \"all\""))]
        history_visibility: client::HistoryVisibility,
    },
    Rename {
        conversation: ConversationId,
        title: String,
    },
    Hide {
        conversation: ConversationId,
    },
    AddMember {
        conversation: ConversationId,
        who: Who,
    },
    SetRole {
        conversation: ConversationId,
        user: UserId,
        role: Role,
    },
    RemoveMember {
        conversation: ConversationId,
        user: UserId,
        new_owner: Option<UserId>,
    },
    SearchMessages {
        text: String,
        conversation: Option<ConversationId>,
        limit: usize,
    },
    /// How the local store names itself to the server; null where that could not be kept.
    DeviceId,
    PushOffer,
    /// This browser, under the name of its local store.
    RegisterDevice {
        /// The subscription as JSON.
        token: String,
        app_version: Option<String>,
        shows_content: bool,
    },
    /// By its subscription, or its registration.
    UnregisterDevice {
        token: Option<String>,
        id: Option<String>,
    },
    Devices,
    TestDevices,
    NotificationSettings,
    SetQuietHours {
        hours: Option<QuietHours>,
    },
    LogOut,
    /// Ends the session on the server alone: one that could not be ended when the person logged out.
    EndOwnSession,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What there is to see.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum Topic {
    Connection,
    Account,
    Conversations,
    UnreadTotal,
    Outbox,
    Kept,
    Refusals,
    Conversation {
        id: ConversationId,
    },
    Members {
        id: ConversationId,
    },
    Typing {
        id: ConversationId,
    },
    Presence {
        user: UserId,
    },
    /// `older` and `newer`: how many pages more above and below.
    Timeline {
        id: ConversationId,
        /// The place it is around; without, it is at the end.
        at: Option<client::Seq>,
        older: u32,
        newer: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Call {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_the_page_sends_is_read() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let sent = format!(r#"{{"send":{{"conversation":"{id}","name":"a","body":"x","replyTo":{{"name":"b"}}}}}}"#);
        assert!(matches!(call(&sent), Call::Send { reply_to: Some(MessageRef::Mine { .. }), .. }));
        assert!(matches!(call(r#""logOut""#), Call::LogOut));
        assert!(serde_json::from_str::<Call>(r#"{"setNetwork":{"up":1}}"#).is_err());
        let topic = format!(r#"{{"timeline":{{"id":"{id}","older":2,"newer":1}}}}"#);
        assert!(matches!(serde_json::from_str(&topic), Ok(Topic::Timeline { older: 2, newer: 1, .. })));
    }

    #[test]
    fn a_picture_that_stays_is_not_one_that_is_taken_away() {
        let stays = call(r#"{"updateMe":{"name":"A"}}"#);
        assert!(matches!(stays, Call::UpdateMe { avatar_url: None, .. }));
        let goes = call(r#"{"updateMe":{"avatarUrl":null}}"#);
        assert!(matches!(goes, Call::UpdateMe { name: None, avatar_url: Some(None) }));
    }
}
