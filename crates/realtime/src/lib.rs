//! Who is connected to this server, and how things reach them.
//!
//! [`Hub`] knows people, their connections and the conversations they are in; [`lane::Lane`] is what waits for one connection: a durable, bounded queue
//! that is never skipped (who is too slow is disconnected and catches up by the difference) and beside it the latest of each typing or presence sign.
//! [`Publication`] is an event that is encoded once per protocol, however many connections it goes to.
//!
//! This crate must not know: a database, a protocol's transport, the clock. Nothing here awaits under a lock.

pub mod connection;
mod hub;
pub mod lane;
mod publication;
mod signs;

pub use connection::{Connection, ConnectionId};
pub use hub::{AttachError, Hub, HubCounts, Membership};
pub use lane::{Closing, Outbound, Reply};
pub use publication::Publication;
