//! The life of one message, as an operator sees it: when it came to which station. Ids and times, nothing of what was said.

use serde::{Deserialize, Serialize};

use crate::device::PushProvider;
use crate::id::{
    ApiKeyId, ClientMsgId, ConversationId, DeviceId, MessageId, RegistrationId, ServerId, SessionId, UserId, WebhookId,
};
use crate::time::Timestamp;
use crate::{Rev, Seq};

/// By which of the server's protocols something came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Door {
    #[serde(rename = "rest")]
    Rest,
    #[serde(rename = "socket.io")]
    SocketIo,
    #[serde(rename = "websocket")]
    WebSocket,
}

impl Door {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::SocketIo => "socket.io",
            Self::WebSocket => "websocket",
        }
    }
}

/// When a message came to which station. Times are of the clock of the server that was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct MessageTrace {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub sender_id: UserId,
    /// Where names were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_name: Option<String>,
    pub client_msg_id: ClientMsgId,
    /// As the log has it.
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Each request that brought it, the earliest first.
    pub received: Vec<Reception>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<Commitment>,
    /// At the server that committed it, and at each other one where members were connected.
    pub fanned_out: Vec<FanOut>,
    /// Of everybody else who was a member then and to whom the message has come; at most 1,000.
    pub receipts: Vec<TracedReceipt>,
    /// Of everybody else who was a member then and still is: to whom it has not come by now.
    pub not_delivered: NotDelivered,
    /// Each attempt to notify a device of it, or of it with later ones, in order of time. Of devices that are gone by now it is not known whose they were.
    pub pushes: Vec<TracedPush>,
    /// Each endpoint that is to be told of it, and each that was asked to take it.
    pub webhooks: Vec<TracedWebhook>,
    /// Jobs of its conversation that wait, run, or died since it was sent, the newest first; at most 100.
    pub jobs: Vec<TracedJob>,
    /// What is missing above, and why.
    pub not_recorded: Vec<NotRecorded>,
}

/// A request that brought the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reception {
    /// When its frame, or its body, had been read.
    pub at: Timestamp,
    /// One run of one server; it says its id in the log when it starts.
    pub server_id: ServerId,
    pub door: Door,
    /// Of a socket: counted from 1 by each run of a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<u64>,
    /// The number that the client gave it on its connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<u64>,
    /// `X-Trace-Id` of the request, or of the handshake of its connection.
    pub trace_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Of another server's key that acted for the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_id: Option<ApiKeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// It was in the log already.
    pub repeat: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Commitment {
    pub at: Timestamp,
    pub server_id: ServerId,
    pub rev: Rev,
}

/// When the message was handed to the connections of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct FanOut {
    pub at: Timestamp,
    pub server_id: ServerId,
    /// The first 50 of them.
    pub connection_ids: Vec<u64>,
    /// All of them.
    pub count: u64,
}

/// How far the message has come to one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TracedReceipt {
    pub user_id: UserId,
    /// Where names were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Seen>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Seen>,
}

/// To whom the message has not come by now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NotDelivered {
    /// Everybody else who was a member when it was sent and still is.
    pub members: u64,
    /// Those of them to whom it has not come.
    pub count: u64,
    /// The first 20 of these, in order of id.
    pub users: Vec<Behind>,
}

/// A member to whom the message has not come by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    pub user_id: UserId,
    /// Where names were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why no notification tells them of it. Absent where one does, or was tried: see `pushes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_notified: Option<WhyNotNotified>,
}

/// As it is by now; how it was when the message was sent is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhyNotNotified {
    /// The message was deleted.
    Deleted,
    /// This server notifies by no provider, or by none that one of their devices has.
    NoProvider,
    /// They have registered no device.
    NoDevice,
    /// All their devices are switched off, because their providers refused them.
    DevicesOff,
    /// They have muted the conversation.
    Muted,
    /// They have blocked the sender.
    Blocked,
    /// A job for it waits or runs.
    Queued,
    /// Nothing that is kept tells why.
    Unknown,
}

/// How it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SeenBy {
    /// A receipt told it.
    Receipt,
    /// A receipt told it, and an earlier one may be missing: at the latest then.
    AtLatest,
    /// They wrote something later in the conversation.
    Writing,
    /// It is so by now; when it came to be is not recorded.
    Watermark,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Absent: by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    pub by: SeenBy,
    /// That told it, where it said which it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TracedPush {
    pub at: Timestamp,
    pub registration_id: RegistrationId,
    /// Absent where the registration is gone; likewise the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<PushProvider>,
    /// The newest message that it spoke of.
    pub seq: Seq,
    /// accepted, withdrawn, failed (to be tried again), refused or unregistered.
    pub outcome: String,
    /// The provider's name for it, or the reason.
    pub detail: String,
}

/// Where an endpoint stands with the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TracedWebhook {
    pub endpoint_id: WebhookId,
    /// It has answered that it has it.
    pub taken: bool,
    /// Of one that has not: nothing is sent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Timestamp>,
    /// Of one that has not: an event of this conversation was not taken although others were, and it is told nothing more of it since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_since: Option<Timestamp>,
    /// It is told nothing since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_since: Option<Timestamp>,
    /// There is no such endpoint any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// In order of time.
    pub requests: Vec<TracedRequest>,
}

/// A request to an endpoint in which the message was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TracedRequest {
    pub at: Timestamp,
    /// The first and the last event in it, by their numbers: where a longer one was not taken, shorter ones follow.
    pub first_event: Rev,
    pub last_event: Rev,
    pub outcome: RequestOutcome,
    /// HTTP's; absent where no answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Counts from 1 for the endpoint and the same last event.
    #[serde(rename = "try")]
    pub number: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    Taken,
    /// To be tried again.
    Failed,
    /// The endpoint does not want to be told any more.
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TracedJob {
    pub id: i64,
    pub kind: String,
    /// ready, running or dead.
    pub state: String,
    pub tries: i64,
    pub created_at: Timestamp,
    /// Not before.
    pub run_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_at: Option<Timestamp>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Station {
    Received,
    Committed,
    FannedOut,
    /// When some members got or read it.
    Receipts,
    /// What endpoints answered.
    Webhooks,
    Jobs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhyNot {
    /// Older than what is kept.
    Expired,
    /// A server had more to do than it could write down at that time.
    Busy,
    /// Less than a moment old: ask again.
    NotYet,
    /// There is more than is looked through or told.
    TooMany,
    /// It could not be looked at.
    NotLooked,
    /// The settings of the server that is asked say that nothing is recorded (`trace.enabled`).
    Off,
    /// Nothing was recorded then, or it is not written yet, or the server ended before it was.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NotRecorded {
    pub what: Station,
    pub why: WhyNot,
    /// What is above of this station may be a part of it; else there is nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// By which server it is missing, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<ServerId>,
}
