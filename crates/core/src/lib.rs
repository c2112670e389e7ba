//! The services: what it means to send, edit, join, read and search; permissions; limits. The only place with rules.
//!
//! This crate must not know HTTP, Socket.IO, SQL, Redis, nor ambient time or chance: those come in through [`Powers`].
//!
//! The way through: [`rules`] who may do what; [`services`] what can be asked for; [`fanout`] what leaves a commit; [`journal`] what is noted of it; [`auth`] who is asking; [`limit`]
//! how often; [`quiet`] when people want to be left alone; [`power`] clock and entropy.

pub mod auth;
pub mod fanout;
pub mod journal;
pub mod limit;
pub mod power;
pub mod quiet;
pub mod rules;
pub mod services;
mod write;

pub use fanout::Fanout;
pub use journal::Journal;
pub use power::{Clock, Entropy, Powers};
pub use rules::HouseRules;
pub use services::{AddressCheck, Condemned, JOBS_COUNTED_MAX, Judged, Notifying, Services, TestSender, Verdict};
