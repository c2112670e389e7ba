//! The sync engine of one account on one device: a state machine without IO.
//!
//! In go what the person did ([`Command`]), what the server sent, ticks, and whether there is a network. Out come requests to send
//! ([`Engine::poll_transmit`]), what to do about the connection ([`Engine::poll_link`]), what changed on the screen ([`Engine::poll_notice`]) and when to
//! call again ([`Engine::poll_timeout`]). Rows live behind [`LocalStore`]; what the engine itself remembers may be lost at any moment.
//!
//! The rules that everything else follows from:
//! - An event that bears the next `rev` of a conversation held here is applied. Anything else that is heard live is a hint to ask for the difference.
//! - The cursor moves by differences alone. What was heard beyond it is said with the next request (`have`), so that it is not told again.
//! - A pending row becomes the log's row in one transaction, whoever brings the news first: acknowledgement, event or difference.
//! - What waits in the outbox is overtaken by nothing of its conversation; what was perhaps sent is never taken for unsent.
//! - Order of every step: commit locally, then show, then transmit. The caller does it: see [`LocalStore`].
//!
//! What may not be here: tokio, SQL, sockets, clocks, randomness, iteration in no order, a collection without a bound.
//!
//! The way through: [`engine`] the entrances; [`link`] the connection; [`events`] and [`difference`] what comes in; [`commands`] and [`outbox`] what goes
//! out, [`repeat`] what is sent again; [`history`] holes; [`intents`] watermarks and mutes, [`push`] whether this device tells them by itself; [`signs`] typing and presence; [`view`] what a screen shows of rows; [`store`] the rows.

pub mod backoff;
mod commands;
mod config;
mod difference;
mod engine;
mod events;
mod history;
pub mod holes;
mod intents;
mod link;
mod outbox;
mod planted;
mod push;
mod repeat;
mod signs;
pub mod store;
pub mod view;

pub use commands::{Command, CommandError};
pub use config::Config;
pub use engine::{Engine, Load, Notice, Now, Refused, Transmit};
pub use holes::Holes;
pub use link::{Closed, ConnectionState, LinkAction, LinkId};
#[cfg(feature = "planted")]
pub use planted::Bug;
pub use push::RegistrationStep;
pub use signs::{PresenceState, TypingState};
pub use store::{
    Departure, LocalConversation, LocalMessage, LocalStore, MessageRef, Op, OutboxEntry, ParkedReason, Registration,
    StoreFailure, Stored, SyncState,
};
