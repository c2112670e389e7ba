//! What travels between Tertulia's server, its clients and other people's code: typed identifiers, messages, events,
//! requests, limits and error codes.
//!
//! This crate knows serde and nothing else: no clock, no IO, no rules, no database or HTTP type. It compiles to wasm32.
//!
//! The way through: [`id`] and [`time`] are the scalars, [`cursor`] the opaque strings; [`model`] holds the things people
//! see; [`event`] what a server tells; [`request`] what a client asks; [`frame`] the same from
//! the client's side; [`sync`] the difference; [`device`] where one is notified; [`webhook`] what other programs are told;
//! [`trace`] the life of a message; [`error`] the codes and [`limits`] the numbers.

pub mod cursor;
pub mod device;
pub mod emoji;
pub mod error;
pub mod event;
pub mod frame;
pub mod id;
pub mod limits;
pub mod model;
pub mod request;
pub mod sync;
pub mod time;
pub mod trace;
pub mod webhook;

pub use cursor::{ListCursor, SyncCursor};
pub use device::{Device, DeviceTest, Platform, PushProvider, QuietHours, TestOutcome};
pub use emoji::Emoji;
pub use error::{ApiError, ErrorCode};
pub use event::{EventName, Protocol, ServerEvent};
pub use frame::{Answer, ServerFrame};
pub use id::{
    ApiKeyId, ClientMsgId, ConversationId, DeviceId, MessageId, RegistrationId, ServerId, SessionId, UserId, WebhookId,
};
pub use limits::Limits;
pub use model::{
    Conversation, ConversationKind, History, HistoryVisibility, Member, Message, Reaction, Role, Session, User,
};
pub use time::Timestamp;
pub use trace::MessageTrace;

/// Position of a message in its conversation: 1, 2, 3, ... without gaps. 0 stands before the first.
pub type Seq = i64;

/// Number of a conversation's latest change, counted without gaps from 1.
pub type Rev = i64;
