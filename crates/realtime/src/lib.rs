//! Who is connected to this server, and how things reach them.
//!
//! [`Hub`] knows people, their connections and the conversations they are in; [`lane::Lane`] is what waits for one connection: a durable, bounded queue
//! that is never skipped (who is too slow is disconnected and catches up by the difference) and beside it the latest of each typing or presence sign.
//! [`Publication`] is an event that is encoded once per protocol, however many connections it goes to. [`News`] is what other servers hear, over a [`Bus`];
//! [`Hub::tell`] and [`Hub::hear`] put what comes from several servers in the log's order.
//!
//! This crate must not know: a database, a protocol's transport, the clock. Nothing here awaits under a lock.

mod bus;
pub mod connection;
mod hub;
pub mod lane;
mod news;
mod order;
mod publication;
mod signs;
mod witness;

pub use bus::Bus;
pub use connection::{Connection, ConnectionId};
pub use hub::{AttachError, Hub, HubCounts};
pub use lane::{Closing, Outbound, Reply};
pub use news::{Membership, News};
pub use publication::Publication;
pub use witness::{Told, Witness};
