//! The one error of all calls: a code to act on, and a text for people who read logs.

use serde::Serialize;
use tertulia_client::{
    AddressError, CommandError, LogOutError, OpenError, ReadError, Refusal, RestError, StoreError, StoreFailure,
    SyncError,
};

/// `code`: one of the server's, or `unreachable` (no network, no server, no token for now: whether the server did it is not known), `closed`, `store` (the local
/// database), `newer_version` (another tab, or the database, is of a newer version of this app: reload).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub code: String,
    pub detail: String,
    #[cfg_attr(test, ts(type = "number | null"))]
    pub retry_after_ms: Option<u64>,
    /// What is to be done about the database before anything else can go on.
    pub remedy: Option<Remedy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum Remedy {
    /// It is in use, as by a worker that is just ending: open it again.
    Again,
    /// It can't be read any more: remove it, and open another.
    Remove,
}

impl Failure {
    pub fn new(code: &str, detail: impl std::fmt::Display) -> Self {
        Self { code: code.to_owned(), detail: detail.to_string(), retry_after_ms: None, remedy: None }
    }

    pub fn invalid(detail: impl std::fmt::Display) -> Self {
        Self::new("invalid", detail)
    }

    fn with(self, remedy: Remedy) -> Self {
        Self { remedy: Some(remedy), ..self }
    }
}

impl From<StoreFailure> for Failure {
    fn from(failure: StoreFailure) -> Self {
        let told = Self::new("store", &failure);
        if matches!(failure, StoreFailure::Corrupt(_)) { told.with(Remedy::Remove) } else { told }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Newer { .. } => Self::new("newer_version", error),
            StoreError::InUse(_) => Self::new("store", error).with(Remedy::Again),
            _ if error.is_damage() => Self::new("store", error).with(Remedy::Remove),
            _ => Self::new("store", error),
        }
    }
}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        Self::invalid(error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Address(error) => error.into(),
            OpenError::Store(error) => error.into(),
            OpenError::Read(failure) => failure.into(),
            other => Self::new("unavailable", other),
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let refusal = match error {
            CommandError::Refused(refusal) => refusal,
            CommandError::Closed => return Self::new("closed", error),
            CommandError::NoRandomness => return Self::new("unavailable", error),
        };
        let code = match refusal {
            Refusal::NoSuchConversation | Refusal::NoSuchMessage | Refusal::NotParked => "not_found",
            Refusal::BlankBody => "invalid",
            Refusal::BodyTooLarge { .. } => "too_large",
            Refusal::OutboxFull { .. } => "unavailable",
            Refusal::NotMine => "forbidden",
            Refusal::Deleted => "gone",
            Refusal::NameTaken => "conflict",
            Refusal::NoAccount => "unauthenticated",
            Refusal::Store(failure) => return failure.into(),
        };
        Self::new(code, refusal)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::new("closed", error),
            ReadError::Store(failure) => failure.into(),
        }
    }
}

impl From<RestError> for Failure {
    fn from(error: RestError) -> Self {
        match error {
            RestError::Refused(error) => {
                Self { retry_after_ms: error.retry_after_ms, ..Self::new(error.code.as_str(), error.detail) }
            }
            RestError::SignedOut => Self::new("unauthenticated", error),
            RestError::Unreachable(_) => Self::new("unreachable", error),
            RestError::Unreadable(_) => Self::new("unavailable", error),
        }
    }
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::NotInTime => Self::new("unreachable", error),
            SyncError::NoSuchMessage => Self::new("not_found", error),
            SyncError::SignedOut => Self::new("unauthenticated", error),
            SyncError::WrongAccount => Self::new("conflict", error),
            SyncError::Command(error) => error.into(),
            SyncError::Read(error) => error.into(),
        }
    }
}

impl From<LogOutError> for Failure {
    fn from(error: LogOutError) -> Self {
        match error {
            LogOutError::Closed => Self::new("closed", error),
            LogOutError::Store(error) => error.into(),
        }
    }
}
