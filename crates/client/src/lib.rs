//! The client of Tertulia, for apps: chat that works without a network.
//!
//! [`Client::builder`] opens a local store and gives a [`Client`]. What a person does with it (send, edit, delete, react, read, mute) is committed on
//! this device when the call returns, shows at once, survives a restart of the app, and reaches the server later in the order it was done. What there is
//! to see comes as subscriptions: [`Client::conversations`] and [`Client::timeline`] as steps of a list, everything else as a [`Watch`]. What needs the
//! server at once is in [`Rest`].
//!
//! ```no_run
//! use tertulia_client::{Client, Rest};
//!
//! # async fn chat() -> Result<(), Box<dyn std::error::Error>> {
//! let server = "https://chat.example.org";
//! let alice = Rest::new(server)?.login("alice@example.org", "correct horse").await?;
//! let client = Client::builder(server).token(alice.token).file("alice.db").open()?;
//! client.connect()?;
//!
//! let with_bob = client.rest().open_dm(tertulia_client::Person::Email("bob@example.org".into())).await?;
//! client.conversation(with_bob.id).until(|here| here.is_some()).await?;
//! client.send(with_bob.id, "Hello!")?;
//!
//! let mut timeline = client.timeline(with_bob.id);
//! let mut messages = Vec::new();
//! while let Ok(steps) = timeline.next().await {
//!     steps.into_iter().for_each(|step| step.apply(&mut messages));
//!     println!("{} messages, the last one {:?}", messages.len(), messages.last());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A program that can be run: `examples/chat.rs`.
//!
//! What may not be here: a decision about what is sent when or what an event means (that is [`tertulia_engine`]'s); a question about the platform
//! outside of `platform/`.
//!
//! The way through: [`client`] the calls; [`core`] one step: transaction, engine, commit, and only then what it gives out; [`driver`] and [`connection`]
//! the task that runs it; [`board`] who waits for what; [`live`], [`timeline`] and [`list`] subscriptions; [`model`] what is shown; [`arrival`] and [`background`] phones that are woken; [`push`] and
//! [`registrar`] whether they are; [`rest`], [`token`],
//! [`address`] the server; [`platform`] what differs between computers and browsers.

mod address;
mod arrival;
mod background;
mod board;
mod builder;
mod client;
mod connection;
mod core;
mod driver;
mod error;
mod list;
mod live;
mod model;
mod platform;
mod push;
mod registrar;
mod rest;
mod shared;
mod timeline;
mod token;

pub use address::AddressError;
pub use background::SyncOutcome;
pub use builder::Builder;
pub use client::{Client, OUTBOX_SHOWN_MAX};
pub use error::{CommandError, LogOutError, OpenError, ReadError, RestError, SyncError};
pub use list::ListDiff;
pub use live::{CONVERSATIONS_PAGE, Conversations, Refusals, Watch};
pub use model::{Conversation, Message, Status, Waiting};
pub use push::{PushRegistration, PushState};
pub use rest::{Person, Rest};
pub use timeline::{TIMELINE_PAGE, Timeline, Window};
pub use token::TokenError;

/// The wire's types, which [`Rest`] answers with.
pub use tertulia_proto as proto;

pub use tertulia_client_sqlite::{Keep, Key, OpenError as StoreError, Pruned, SCHEMA_VERSION, Store};
pub use tertulia_engine::{
    CommandError as Refusal, ConnectionState, MessageRef, Op, ParkedReason, PresenceState, Refused, StoreFailure,
    TypingState,
};
pub use tertulia_proto::{
    ApiError, ClientMsgId, ConversationId, ConversationKind, Emoji, ErrorCode, HistoryVisibility, Limits, Member,
    MessageId, Reaction, Role, Seq, Session, SessionId, Timestamp, User, UserId, error::NextStep, model::TokenAnswer,
};
