//! Files that only their key opens.
//!
//! SQLCipher encrypts each page of the file and of its write-ahead log with AES-256 and proves it with an HMAC. It is given the key itself, not a
//! passphrase to be stretched: the platform's key store (Keychain, Keystore, Secret Service) keeps 32 random bytes better than a person remembers words,
//! and opening takes no second.

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use crate::open::OpenError;

/// 32 bytes of chance, kept by the platform's key store. Whoever loses them loses what waits to be sent; all else comes from the server again.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Key {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Before anything else is done with the connection.
pub fn unlock(connection: &Connection, key: &Key) -> Result<(), OpenError> {
    let version: Option<String> = connection.query_row("PRAGMA cipher_version", [], |row| row.get(0)).optional()?;
    if version.is_none() {
        // SQLite passes over what it does not know: the file would be written for everybody to read.
        return Err(OpenError::NoEncryption);
    }
    let digits: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
    connection.pragma_update(None, "key", format!("x'{digits}'"))?;
    check_readable(connection)
}

/// A first look, which fails where the key is wrong.
pub fn check_readable(connection: &Connection) -> Result<(), OpenError> {
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Err(OpenError::WrongKey),
        done => Ok(done?),
    }
}
