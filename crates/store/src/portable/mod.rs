//! A whole log on its way from one home to another, so that no client notices: the rows both homes have in common, and the move itself.
//!
//! A home shows itself as an [`End`]: typed rows of known [`TABLES`] in an order that is the same everywhere, a page at a time. The move ([`run`]) reads
//! one end and writes the other, with its progress in the same transactions; at the end both are read again and compared ([`compare`]). Nothing here knows
//! which home it talks to.
//!
//! What keeps two logs of one epoch from living: the source is marked as moved (no server starts on it) before the destination is marked as complete (no
//! server starts on it before). Between the two nobody is served, and the same command goes on.

mod compare;
mod run;
mod tables;
mod value;

use std::future::Future;
use std::pin::Pin;

pub use compare::Comparison;
pub use run::{Event, Options, Plan, Summary, plan, run};
pub use tables::{Column, Kind, TABLES, Table};
pub use value::{Row, Value, decode, encode};

use crate::jobs::JobId;

/// What an end is asked takes as long as it takes; it stays on the task that asks.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, MoveError>> + 'a>>;

/// Why a log was not moved. The texts say what to do, and hold no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// The ends are not as they have to be; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// Everything was brought, and yet the ends differ: one text for each difference that is named. The destination stays unfinished.
    #[error("the two ends differ, so the destination stays unfinished and the source as it is:\n{}", .0.join("\n"))]
    Different(Vec<String>),
    /// An end failed on the way. The same command goes on where it stood.
    #[error("{0}; the same command goes on where this one stood")]
    Failed(String),
}

/// What makes a log the one it is, beside its rows.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    pub epoch: [u8; 16],
    pub token_secret: [u8; 32],
    /// No position above it was ever given to a row or to a client.
    pub end: i64,
    /// The highest number that a job ever had, also of those that are gone: none comes twice.
    pub last_job: JobId,
}

/// What a destination remembers of a move until it is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub move_id: [u8; 16],
    /// Of the log that is brought.
    pub epoch: [u8; 16],
    /// SHA-256 of what the source was at the beginning: another one means that the source has gone on since.
    pub fingerprint: [u8; 32],
    /// The source, without secrets.
    pub from: String,
    /// Which of [`TABLES`] is being brought: all before it are here. [`TABLES`]' length when all are.
    pub table: u32,
    /// The last key that is here of it.
    pub after: Option<Row>,
}

/// What a source remembers of a move that is complete, or nearly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    pub move_id: [u8; 16],
    /// The destination, without secrets.
    pub to: String,
}

/// What a source is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing is changed, and others may write meanwhile.
    Look,
    /// Nobody else writes until it is dropped.
    Move,
}

/// How a destination is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is no log, or one in which nothing ever happened.
    Empty,
    Unfinished(Progress),
}

/// How much of a table is read at once: whichever is reached first. At least one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageMax {
    pub rows: usize,
    pub bytes: usize,
}

impl PageMax {
    pub const DEFAULT: Self = Self { rows: 1000, bytes: 4 << 20 };
}

/// One home of a log, held so that nobody else changes it.
pub trait End {
    /// For people and for the command that they repeat; nothing secret.
    fn place(&self) -> String;
    fn identity(&mut self) -> Doing<'_, Identity>;
    /// Counted by the home itself, not by reading pages.
    fn count(&mut self, table: &'static Table) -> Doing<'_, u64>;
    /// What the home takes on its disk, about.
    fn bytes(&mut self) -> Doing<'_, u64>;
    /// Rows above a key, in order of the key. Empty at the end.
    fn page<'a>(&'a mut self, table: &'static Table, after: Option<&'a [Value]>, max: PageMax) -> Doing<'a, Vec<Row>>;
}

pub trait Source: End {
    fn departure(&mut self) -> Doing<'_, Option<Departure>>;
    /// Called once. From here on no server starts on it, and whoever has it open writes nothing more.
    fn depart<'a>(&'a mut self, departure: &'a Departure) -> Doing<'a, ()>;
}

pub trait Destination: End {
    /// Refused where a log is there in which something has happened.
    fn standing(&mut self) -> Doing<'_, Standing>;
    /// Throws away what an unfinished move has brought and marks the beginning of one.
    fn begin<'a>(&'a mut self, progress: &'a Progress) -> Doing<'a, ()>;
    /// Rows and progress in one transaction. It need not be on the disk before [`Destination::complete`].
    fn put<'a>(&'a mut self, table: &'static Table, rows: &'a [Row], progress: &'a Progress) -> Doing<'a, ()>;
    /// What does not agree within the home itself, where it keeps something twice.
    fn faults(&mut self) -> Doing<'_, Vec<String>>;
    /// From here on it is the log, durably: its next position is above the identity's end, and its next job above the last.
    fn complete<'a>(&'a mut self, identity: &'a Identity, move_id: [u8; 16]) -> Doing<'a, ()>;
}
