//! A whole cluster on one machine: PostgreSQL with a replica, Redis, nginx, several servers and a worker; devices that live on it and write down what
//! they do and see; and everything that goes wrong.
//!
//! This crate must not know: the server's insides. It starts real programs, and the clients are the real client.
//!
//! The way through: [`place`] what runs; [`town`], [`device`] and [`record`] who lives there; [`work`] what its workers do;
//! [`chaos`] what befalls it; [`recovery`] how long that is felt.

pub mod chaos;
mod device;
mod nginx;
pub mod place;
mod record;
pub mod recovery;
pub mod town;
pub mod work;

pub use device::{Device, Running};
pub use place::{Place, Plan};
pub use town::Town;
