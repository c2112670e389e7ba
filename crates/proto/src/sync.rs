//! The difference: what changed since a cursor.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::ConversationId;
use crate::model::{Conversation, Message};
use crate::{Rev, Seq};

/// What a client holds of a conversation: everything up to this `rev`, heard live or told by a difference, but for the holes and stale messages it
/// was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Held {
    pub id: ConversationId,
    pub rev: Rev,
    /// The conversation's `lastSeq` at that `rev`.
    pub last_seq: Seq,
}

/// A page of the difference. The same rows may come twice across calls; keep the one with the higher `rev`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Ask with this next time.
    pub cursor: String,
    pub epoch: Uuid,
    /// Ask again at once.
    pub has_more: bool,
    pub conversations: Vec<SyncConversation>,
    /// Conversations one is no longer a member of.
    pub removed: Vec<ConversationId>,
    /// The cursor given was of another epoch or could not be read, or more is held than the log has: this is the first page of everything. What is
    /// here and not told by the pages up to `hasMore: false` is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// Over a plain WebSocket: the `id` of the request that this answers, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SyncConversation {
    #[serde(flatten)]
    pub conversation: Conversation,
    /// The changed messages in `seq` order: of the new ones the newest page at most, and the older ones that were edited, deleted or reacted to.
    pub messages: Vec<Message>,
    /// New messages before this `seq` were left out: fetch them when the reader scrolls there. New is what comes after the `lastSeq` said in `have`
    /// (what was heard of it since the request is to be fetched again too), and without that, what came after the cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hole_before: Option<Seq>,
    /// Of the messages held below this `seq` some may be stale: they lie in the hole, or more of them changed than a page holds. Fetch them again when
    /// the reader scrolls there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_before: Option<Seq>,
}
