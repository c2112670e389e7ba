//! Bugs on purpose: each has to be found, or the simulation is worth nothing.

use anyhow::Result;
use rusqlite::Connection;
pub use tertulia_engine::Bug;

/// A broken promise of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerBug {
    /// What was acknowledged may be lost when the process dies.
    AcknowledgedBeforeCommit,
    /// Repeats are known by what the process remembers.
    DedupInMemory,
    /// A restored log calls itself the old one.
    EpochKept,
    /// What comes over a connection that its device has given up is done all the same.
    AbandonedStillHeard,
}

/// A broken promise of a device's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceBug {
    /// What the person did is committed for the process alone.
    CommandsNotLasting,
    /// A message goes before it is on the disk that it perhaps went.
    SentForgotten,
}

/// A broken promise of those who notify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyBug {
    /// What has reached one device of a person has reached all of them.
    SilencedByAnother,
    /// It is noted that a device was told before it is told.
    NotedBeforeSent,
    /// It is not noted that a device was told.
    NotNoted,
    /// The end of a job counts whoever tells it.
    EndedUnguarded,
    /// Whom to tell is asked as soon as a message is there.
    NoGrace,
    /// What to tell is decided on what was so when it was asked whom to tell.
    DecidedEarly,
    /// What was read elsewhere is not taken away.
    NeverWithdrawn,
    /// What is shown to somebody who has to go is not taken away.
    LeftBehind,
    /// A job is claimed before the lease of another worker has ended.
    ClaimedTwice,
    /// Two workers tell the same device of the same conversation at once.
    ToldBeside,
    /// What a clock that has gone back put ahead of time waits for that time.
    NeverRecalled,
}

/// A broken promise of those who tell other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookBug {
    /// A line is taken while another request may be under way.
    LeaseIgnored,
    /// The first event of a request is left out.
    JumpedOver,
    /// What an endpoint took is not noted.
    NotNoted,
    /// What an endpoint did not take is noted as taken.
    TakenAnyway,
    /// The job with which a line goes on is forgotten.
    NotGoneOn,
    /// The time that an endpoint asks for is not heeded.
    AskedInVain,
    /// What could not be taken is not halved.
    NotHalved,
}

/// Which bug, if any, a world has, and what is not left to its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planted {
    pub engine: Option<Bug>,
    pub server: Option<ServerBug>,
    pub device: Option<DeviceBug>,
    pub notify: Option<NotifyBug>,
    pub hook: Option<HookBug>,
    /// What people do all the time, by its number in [`crate::plan::THEMES`]; else the seed decides.
    pub theme: Option<usize>,
    /// Deeds after which all heals; else the seed decides.
    pub deeds: Option<usize>,
    /// Nobody works on jobs, also where the seed says so.
    pub without_workers: bool,
}

/// The log as it would be had the server remembered its repeats in memory.
pub fn forget_keys(image: &[u8]) -> Result<Vec<u8>> {
    let mut connection = Connection::open_in_memory()?;
    connection.deserialize_read_exact("main", image, image.len(), false)?;
    connection.execute("DELETE FROM message_keys", [])?;
    Ok(connection.serialize("main")?.to_vec())
}
