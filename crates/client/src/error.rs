//! One enum per kind of operation; each variant is a decision for somebody.

use tertulia_engine::{CommandError as Refusal, StoreFailure};
use tertulia_proto::{ApiError, ErrorCode};

use crate::address::AddressError;

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Store(#[from] tertulia_client_sqlite::OpenError),
    #[error(transparent)]
    Read(#[from] StoreFailure),
    #[error("the system has no randomness to give")]
    NoRandomness,
    #[error("HTTP: {0}")]
    Http(String),
    /// There is nothing that could run the connection.
    #[error("open the client inside of a tokio runtime")]
    NoRuntime,
}

/// A command did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// By the rules, or by the local store.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the client is closed")]
    Closed,
    #[error("the system has no randomness to give")]
    NoRandomness,
}

/// Nothing can be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The last [`crate::Client`] is gone, or closed: nothing will come any more.
    #[error("the client is closed")]
    Closed,
    /// The next change may be readable again.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

/// A call to the server came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RestError {
    /// The server says no, or not now: see [`ErrorCode::next_step`].
    #[error(transparent)]
    Refused(ApiError),
    /// There is no token, or none that the server takes.
    #[error("the person has to sign in")]
    SignedOut,
    /// No network, no server, or no token for now. Whether the server did it is not known.
    #[error("the server can't be reached: {0}")]
    Unreachable(String),
    /// An answer that this version does not understand.
    #[error("the server's answer can't be read: {0}")]
    Unreadable(String),
}

impl RestError {
    /// What the server said.
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(error) => Some(error.code),
            Self::SignedOut => Some(ErrorCode::Unauthenticated),
            Self::Unreachable(_) | Self::Unreadable(_) => None,
        }
    }
}

/// The message is not here.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SyncError {
    #[error("the message did not come in time")]
    NotInTime,
    /// Deleted for this person, of a conversation they have left, or never there.
    #[error("no such message, or not for this person to see")]
    NoSuchMessage,
    #[error("the person has to sign in")]
    SignedOut,
    /// The token is of somebody else than the data on this device: sign out first.
    #[error("the data on this device are another person's")]
    WrongAccount,
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The data may still be on the device.
#[derive(Debug, thiserror::Error)]
pub enum LogOutError {
    #[error("the client is closed")]
    Closed,
    #[error(transparent)]
    Store(#[from] tertulia_client_sqlite::OpenError),
}
