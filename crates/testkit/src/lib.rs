//! What tests of the whole server share: a throw-away server, named people, and clients as plain as can be.
//!
//! This crate must not know: the server's insides. It starts real programs and speaks the wire contract.
//!
//! The way through: [`process`] a program that runs, and its log; [`server`] the server's, with its folder, and a worker's; [`people`] who signs in;
//! [`rest`] and [`socket`] the clients; [`ledger`] what was acknowledged and whether it is there; [`sender`] a client that keeps many sends under way;
//! [`deadline`] waiting without a sleep; [`random`] chance that can be repeated; [`postgres`] a database of its own, [`redis`] a throw-away Redis;
//! [`gate`] a way to the server that can be cut; [`chaos`] one on which everything goes wrong.

pub mod chaos;
pub mod deadline;
mod folder;
pub mod gate;
pub mod ledger;
pub mod people;
pub mod postgres;
pub mod process;
pub mod random;
pub mod redis;
pub mod rest;
pub mod sender;
pub mod server;
pub mod socket;

pub use chaos::Chaos;
pub use deadline::{until, within};
pub use folder::Folder;
pub use gate::Gate;
pub use ledger::{Audit, Ledger};
pub use people::Person;
pub use postgres::{Pooler, Postgres, PostgresOptions};
pub use process::{Process, ending};
pub use random::Random;
pub use redis::Redis;
pub use rest::{Answer, Api};
pub use sender::{Ended, Sender};
pub use server::{Options, Server, Worker, program};
pub use socket::{Frame, Incoming, Socket, SocketOptions};
