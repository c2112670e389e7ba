//! Other programs that are told what happens: the real handler of the jobs over the world's store, and endpoints that fail, hang, refuse and forget to answer.
//!
//! [`plan`] how many there are, and what goes wrong; [`book`] how a worker reaches the server's tables; [`host`] the endpoints; [`ledger`] what the world
//! knows beside those tables, which everything is held against, [`tries`] when and with what a line may be tried again; [`deeds`] what operators do, and what is demanded when all is well again.

mod book;
mod deeds;
mod host;
pub mod ledger;
pub mod plan;
mod tries;

pub use self::book::WorkerHooks;
pub use self::host::{Host, SimHost, TIMEOUT};
