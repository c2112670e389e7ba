//! A whole cluster on one machine: PostgreSQL with a replica, Redis, nginx and several servers; devices that live on it and write down what they do and
//! see; and everything that goes wrong.
//!
//! This crate must not know: the server's insides. It starts real programs, and the clients are the real client.
//!
//! The way through: [`place`] what runs; [`device`] and [`record`] who lives there; [`chaos`] what befalls it;
//! [`recovery`] how long that is felt.

pub mod chaos;
pub mod device;
mod nginx;
pub mod place;
pub mod record;
pub mod recovery;

pub use device::{Device, Running};
pub use place::{Place, Plan};
pub use record::{Names, Record};
