//! PostgreSQL's errors in the seam's words.

use tertulia_store::StoreError;
use tokio_postgres::error::SqlState;

/// What may go wrong between here and the rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{}", told(.0))]
    Database(#[from] tokio_postgres::Error),
    /// A row that can't be what the schema says.
    #[error("{0}")]
    Corrupt(String),
    #[error("{0}")]
    Unavailable(String),
    /// The server has not answered for so long that it is given up.
    #[error("the database does not answer")]
    Silent,
    #[error("no connection to read with: {0}")]
    NoConnection(String),
    #[error("a lookup took too long")]
    Late,
    /// A replica that does not stand where this answer has to be read.
    #[error("the replica is not where the primary is")]
    Behind,
    /// The log is on another line of history than its state says: whoever writes settles that first.
    #[error("the database has another history than the log's state says")]
    OtherHistory,
}

pub(crate) type Sql<T> = Result<T, Fault>;

/// With the cause: the driver's own text says "db error" and no more.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// What to do about a transaction that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing was done, and others were in the way: the same again may go through.
    Again,
    /// Somebody has held a lock for as long as we wait for one: a stranger, for no transaction of ours takes so long.
    Held,
    /// The connection, or the server behind it, is of no use: with another one.
    Reconnect,
    /// What was asked for can't be done.
    None,
}

impl Fault {
    pub fn remedy(&self) -> Remedy {
        let Self::Database(error) = self else {
            return if matches!(self, Self::OtherHistory | Self::Silent) { Remedy::Reconnect } else { Remedy::None };
        };
        let Some(code) = error.code() else { return Remedy::Reconnect };
        // A unique violation here is a race: every write looks first. Whoever lost it finds the other's row the next time.
        let others =
            [&SqlState::T_R_SERIALIZATION_FAILURE, &SqlState::T_R_DEADLOCK_DETECTED, &SqlState::UNIQUE_VIOLATION];
        if others.contains(&code) {
            return Remedy::Again;
        }
        if *code == SqlState::LOCK_NOT_AVAILABLE {
            return Remedy::Held;
        }
        // Shutdowns (57P..), broken connections (08...), a server that is only a standby by now (25006), a session that was ended for idling (25P03).
        let text = code.code();
        let is_session = text.starts_with("57P") || text.starts_with("08") || ["25006", "25P03"].contains(&text);
        if is_session { Remedy::Reconnect } else { Remedy::None }
    }
}

pub(crate) fn unavailable(fault: Fault) -> StoreError {
    match fault {
        Fault::Corrupt(what) => StoreError::Corrupt(what),
        other => StoreError::Unavailable(other.to_string()),
    }
}
