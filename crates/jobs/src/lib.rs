//! The runner of jobs: claims them in batches, runs their handlers beside one another, renews their leases, and gives each an end.
//!
//! This crate must not know: a concrete job (those are registered), a concrete home (it asks a [`JobQueue`]), ambient time or chance ([`Surroundings`]).
//!
//! Delivery is at least once: a handler whose end could not be written down runs again, here or elsewhere, so handlers are to be idempotent by their
//! job's key. No job is run by two workers within a lease: whoever can't renew one drops the handler before the lease ends (docs/adr/0010).
//!
//! The way through: [`kind`] what is registered; [`runner`] the loop; [`counts`] what metrics show.
//!
//! [`JobQueue`]: tertulia_store::JobQueue

pub mod counts;
pub mod kind;
pub mod runner;
mod slots;

use std::time::Duration;

pub use counts::{Counts, KindCounts};
use futures_util::future::BoxFuture;
pub use kind::{Handler, Job, Kind, Outcome, Schedule};
pub use runner::{Options, Runner, RunnerError, Wake};
use tertulia_proto::Timestamp;

/// Time and chance, from outside.
pub trait Surroundings: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    /// Ready after that time.
    fn timer(&self, time: Duration) -> BoxFuture<'static, ()>;
    /// 64 bits that nobody foresees.
    fn chance(&self) -> u64;
}
