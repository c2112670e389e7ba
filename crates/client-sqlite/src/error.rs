//! From SQLite's errors to what someone decides by.

use rusqlite::ErrorCode;
use tertulia_engine::StoreFailure;

pub(crate) fn failure(error: rusqlite::Error) -> StoreFailure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFailure::Full(error.to_string()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreFailure::Corrupt(error.to_string()),
        Some(_) => StoreFailure::Unavailable(error.to_string()),
        None => StoreFailure::Corrupt(error.to_string()),
    }
}

/// A value that the schema allows and this code does not.
pub(crate) fn bad_value(what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Null, what.to_owned().into())
}
