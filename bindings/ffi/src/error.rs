//! The one error of all calls; each variant is a class of its own in the other language, and a decision for somebody.

use tertulia_client::{
    CommandError, ErrorCode, LogOutError, OpenError, ReadError, Refusal, RestError, StoreError, StoreFailure, SyncError,
};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum TertuliaError {
    /// Not what the argument wants, such as an identifier that is no UUID.
    #[error("{detail}")]
    BadArgument { detail: String },
    #[error("conversation: not on this device")]
    NoSuchConversation,
    /// Not on this device; of `sync_until`: not there, or not for this person to see.
    #[error("no such message, or not for this person to see")]
    NoSuchMessage,
    #[error("body: must not be blank")]
    BlankBody,
    #[error("body: over the limit of {limit_bytes} bytes of UTF-8")]
    BodyTooLarge { limit_bytes: u64 },
    #[error("outbox: {limit} things wait already; connect first")]
    OutboxFull { limit: u64 },
    #[error("message: only its author can do that")]
    NotMine,
    #[error("message: deleted")]
    Deleted,
    #[error("entry: nothing is parked under this number")]
    NotParked,
    /// Nobody has signed in on this device, so nothing can be written.
    #[error("not signed in on this device")]
    NoAccount,
    /// The server does not take the token, and there is no other: the person has to sign in.
    #[error("the person has to sign in")]
    SignedOut,
    /// The token is of somebody else than the data on this device: log out first.
    #[error("the data on this device are another person's")]
    WrongAccount,
    /// The server says no, or not now: see `next_step`.
    #[error("{detail}")]
    Refused { code: ErrorCode, detail: String, retry_after_ms: Option<u64> },
    /// No network, no server, or no token for now. Whether the server did it is not known.
    #[error("the server can't be reached: {detail}")]
    Unreachable { detail: String },
    /// An answer that this version does not understand: the app may be too old.
    #[error("the server's answer can't be read: {detail}")]
    Unreadable { detail: String },
    #[error("the message did not come in time")]
    NotInTime,
    /// By the `Cancel` of the call, or `cancel` of the subscription.
    #[error("called off")]
    Cancelled,
    /// The client was shut down, or is gone: nothing will come any more.
    #[error("the client is closed")]
    Closed,
    #[error("no space left: {detail}")]
    StorageFull { detail: String },
    /// The file can't be opened, read or written; of one that is in use: by another client.
    #[error("the local database: {detail}")]
    Storage { detail: String },
    /// The file is damaged. It can be deleted; what waited to be sent is lost with it.
    #[error("the local database is damaged: {detail}")]
    StorageCorrupt { detail: String },
    #[error("the local database is of a newer version of this app: update the app")]
    StorageNewer,
    /// The operating system gives no threads, no chance or no TLS.
    #[error("the operating system: {detail}")]
    Platform { detail: String },
}

impl TertuliaError {
    pub(crate) fn bad(why: impl std::fmt::Display) -> Self {
        Self::BadArgument { detail: why.to_string() }
    }
}

impl From<StoreFailure> for TertuliaError {
    fn from(failure: StoreFailure) -> Self {
        match failure {
            StoreFailure::Full(detail) => Self::StorageFull { detail },
            StoreFailure::Unavailable(detail) => Self::Storage { detail },
            StoreFailure::Corrupt(detail) => Self::StorageCorrupt { detail },
        }
    }
}

impl From<StoreError> for TertuliaError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Newer { .. } => Self::StorageNewer,
            other => Self::Storage { detail: other.to_string() },
        }
    }
}

impl From<OpenError> for TertuliaError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Address(error) => Self::bad(error),
            OpenError::Store(error) => error.into(),
            OpenError::Read(failure) => failure.into(),
            other => Self::Platform { detail: other.to_string() },
        }
    }
}

impl From<CommandError> for TertuliaError {
    fn from(error: CommandError) -> Self {
        let wide = |limit| u64::try_from(limit).unwrap_or(u64::MAX);
        let refusal = match error {
            CommandError::Refused(refusal) => refusal,
            CommandError::Closed => return Self::Closed,
            CommandError::NoRandomness => return Self::Platform { detail: error.to_string() },
        };
        match refusal {
            Refusal::NoSuchConversation => Self::NoSuchConversation,
            Refusal::NoSuchMessage => Self::NoSuchMessage,
            Refusal::BlankBody => Self::BlankBody,
            Refusal::BodyTooLarge { limit } => Self::BodyTooLarge { limit_bytes: wide(limit) },
            Refusal::OutboxFull { limit } => Self::OutboxFull { limit: wide(limit) },
            Refusal::NotMine => Self::NotMine,
            Refusal::Deleted => Self::Deleted,
            // Names come from the client here.
            Refusal::NameTaken => Self::Platform { detail: refusal.to_string() },
            Refusal::NoAccount => Self::NoAccount,
            Refusal::NotParked => Self::NotParked,
            Refusal::Store(failure) => failure.into(),
        }
    }
}

impl From<ReadError> for TertuliaError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Closed,
            ReadError::Store(failure) => failure.into(),
        }
    }
}

impl From<RestError> for TertuliaError {
    fn from(error: RestError) -> Self {
        match error {
            RestError::Refused(error) => {
                Self::Refused { code: error.code, detail: error.detail, retry_after_ms: error.retry_after_ms }
            }
            RestError::SignedOut => Self::SignedOut,
            RestError::Unreachable(detail) => Self::Unreachable { detail },
            RestError::Unreadable(detail) => Self::Unreadable { detail },
        }
    }
}

impl From<SyncError> for TertuliaError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::NotInTime => Self::NotInTime,
            SyncError::NoSuchMessage => Self::NoSuchMessage,
            SyncError::SignedOut => Self::SignedOut,
            SyncError::WrongAccount => Self::WrongAccount,
            SyncError::Command(error) => error.into(),
            SyncError::Read(error) => error.into(),
        }
    }
}

impl From<LogOutError> for TertuliaError {
    fn from(error: LogOutError) -> Self {
        match error {
            LogOutError::Closed => Self::Closed,
            LogOutError::Store(error) => error.into(),
        }
    }
}

/// What another language's code threw that it had not declared.
impl From<uniffi::UnexpectedUniFFICallbackError> for TertuliaError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Platform { detail: error.reason }
    }
}
