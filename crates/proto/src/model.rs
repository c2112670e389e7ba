//! What people see: users, conversations, members, messages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::emoji::Emoji;
use crate::id::{ClientMsgId, ConversationId, MessageId, SessionId, UserId};
use crate::time::Timestamp;
use crate::{Rev, Seq};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// Two people; one per pair.
    Dm,
    Group,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Member,
    Admin,
    Owner,
}

/// What a new member of a group sees of what came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HistoryVisibility {
    /// Only what came after joining.
    #[default]
    Joined,
    All,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub id: UserId,
    /// Only one's own, or of people one shares a conversation with or found by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    pub name: String,
    pub avatar_url: Option<String>,
    pub created_at: Timestamp,
    /// Whether I have blocked this person; only said when it is so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub user_id: UserId,
    pub name: String,
    pub avatar_url: Option<String>,
    pub role: Role,
    pub joined_at: Timestamp,
    /// Everything up to here has reached one of the person's devices.
    pub delivered_seq: Seq,
    /// Everything up to here has been read.
    pub read_seq: Seq,
    /// The conversation's `rev` when this row last changed.
    pub rev: Rev,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    pub emoji: Emoji,
    /// Who reacted with it, first come first.
    pub user_ids: Vec<UserId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Message {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    /// The conversation's `rev` when this message last changed.
    pub rev: Rev,
    pub sender_id: UserId,
    pub sender_name: String,
    pub sender_avatar: Option<String>,
    pub client_msg_id: ClientMsgId,
    /// Empty once deleted.
    pub body: String,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    pub edited_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
    pub reactions: Vec<Reaction>,
}

impl Message {
    /// Bytes the message takes on the wire, roughly: for the bound of a lane.
    pub fn size_hint(&self) -> usize {
        let reactions: usize = self.reactions.iter().map(|r| 40 + r.user_ids.len() * 39).sum();
        450 + self.body.len() + self.sender_name.len() + reactions
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    pub id: ConversationId,
    #[serde(rename = "type")]
    pub kind: ConversationKind,
    /// `null` in a DM.
    pub title: Option<String>,
    pub created_at: Timestamp,
    pub last_seq: Seq,
    pub rev: Rev,
    pub last_message_at: Option<Timestamp>,
    /// `null` where nothing that I may see was said; absent in the difference, whose messages say it.
    #[serde(default, deserialize_with = "crate::request::present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Message>))]
    pub last_message: Option<Option<Box<Message>>>,
    pub unread_count: i64,
    pub my_role: Role,
    pub muted_until: Option<Timestamp>,
    /// Hidden by me until something new arrives; only said when it is so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    pub history_visibility: HistoryVisibility,
    /// The other person of a DM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<User>,
    pub member_count: i64,
    /// All members in the single call; the changed ones in the difference; absent in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<Member>>))]
    pub members: Option<Arc<[Member]>>,
}

/// A page of a conversation's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// In `seq` order.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction asked.
    pub has_more: bool,
}

/// Signed in: the answer to registering, signing in and refreshing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TokenAnswer {
    /// For `Authorization: Bearer`.
    pub token: String,
    pub expires_at: Timestamp,
    pub user: User,
}

/// A sign-in of one's own that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Session {
    pub id: SessionId,
    pub created_at: Timestamp,
    /// When it last had an open socket or got another token: now, while it has one; `null` where it never did.
    pub last_seen_at: Option<Timestamp>,
    /// What the client that signed in called itself (`User-Agent`), its first 200 characters.
    pub user_agent: Option<String>,
    /// The one that asks.
    pub current: bool,
}

/// Without the token, which belongs in no log.
impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnswer")
            .field("expires_at", &self.expires_at)
            .field("user", &self.user.id)
            .finish_non_exhaustive()
    }
}

/// Unread messages of a member: what came after `read_seq`, less the deleted ones among it.
pub fn unread_count(last_seq: Seq, read_seq: Seq, deleted_above: i64) -> i64 {
    (last_seq - read_seq - deleted_above).max(0)
}
