//! Opening a file, making its tables, and making an end of it.

use std::path::Path;

use rusqlite::Connection;

use crate::{Durability, Key, Store, encryption};

/// Migrations in order, forward only. The file's `user_version` says how many it has seen.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_rows.sql"),
    include_str!("../migrations/0002_taken_back.sql"),
    include_str!("../migrations/0003_device.sql"),
    include_str!("../migrations/0004_profile.sql"),
    include_str!("../migrations/0005_fewer_pages.sql"),
    include_str!("../migrations/0006_push.sql"),
];

/// What a file says that this code has made or brought up to date.
pub const SCHEMA_VERSION: usize = MIGRATIONS.len();

/// Bytes of the write-ahead log at which it is moved into the file.
const WAL_PAGES: i64 = 1000;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the local database is of a newer version of this app ({found}, this one knows {known}): update the app")]
    Newer { found: usize, known: usize },
    #[error("the local database can't be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the local database can't be removed: {0}")]
    Remove(#[from] std::io::Error),
    #[error("key: this app was built without encryption (feature `encryption` of tertulia-client-sqlite)")]
    NoEncryption,
    /// Of another key, with a key where it has none, or without one where it has.
    #[error("key: the local database can't be read with it: it has another one, or is none")]
    WrongKey,
    /// There are no files to be had: a private window, an old browser, a page without TLS.
    #[error("this browser gives no files: {0}")]
    NoFiles(String),
    /// Somebody else has it open, or had a moment ago.
    #[error("the local database is in use: {0}")]
    InUse(String),
    /// What lies around the file is damaged.
    #[error("the local database is damaged: {0}")]
    Damaged(String),
}

impl OpenError {
    /// Whether the file can't be read by anybody any more. It can be removed; what waited to be sent is lost with it, everything else the server tells
    /// again.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
            ),
            Self::Damaged(_) => true,
            _ => false,
        }
    }
}

impl Store {
    /// Opens or makes a file. Nobody else may have it open.
    pub fn open(file: &Path) -> Result<Self, OpenError> {
        make_private(file);
        let connection = Connection::open(file)?;
        encryption::check_readable(&connection)?;
        Self::prepare(connection, true)
    }

    /// The same with a file that only this key opens, by SQLCipher: on the disk there is nothing to read, not even that it is a database. A file keeps the
    /// key it was made with; without encryption in this build, and for another key, it is an error and nothing is touched.
    pub fn open_encrypted(file: &Path, key: &Key) -> Result<Self, OpenError> {
        make_private(file);
        let connection = Connection::open(file)?;
        encryption::unlock(&connection, key)?;
        Self::prepare(connection, true)
    }

    /// A store that ends with the process: where there is no place for files.
    pub fn open_in_memory() -> Result<Self, OpenError> {
        Self::prepare(Connection::open_in_memory()?, false)
    }

    /// All of it, as bytes that [`Store::open_image`] takes: for the simulation, whose devices lose their power.
    #[cfg(not(target_family = "wasm"))]
    pub fn image(&mut self) -> Result<Vec<u8>, OpenError> {
        Ok(self.connection.serialize("main")?.to_vec())
    }

    /// A store in memory, as it was when the image was taken.
    #[cfg(not(target_family = "wasm"))]
    pub fn open_image(image: &[u8]) -> Result<Self, OpenError> {
        let mut connection = Connection::open_in_memory()?;
        connection.deserialize_read_exact("main", image, image.len(), false)?;
        Self::prepare(connection, false)
    }

    pub(crate) fn prepare(connection: Connection, is_durable: bool) -> Result<Self, OpenError> {
        // The order matters: in the browser there is no shared memory, and without the exclusive lock a WAL can't be opened.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        // What is deleted is gone from the file too.
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.set_prepared_statement_cache_capacity(128);
        migrate(&connection)?;
        Ok(Self {
            connection,
            durability: Durability::Power,
            is_durable,
            #[cfg(all(target_family = "wasm", target_os = "unknown"))]
            _files: None,
        })
    }

    /// Ends the account on this device: not a word of it stays in the file. The store is empty afterwards and may be used for another account.
    pub fn wipe(&mut self) -> Result<(), OpenError> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.execute_batch(
            "DELETE FROM outbox; DELETE FROM taken_back; DELETE FROM holes; DELETE FROM messages; DELETE FROM members; DELETE FROM conversations; DELETE FROM sqlite_sequence;
             DELETE FROM profile; DELETE FROM push;
             INSERT INTO found (found) VALUES ('delete-all');
             UPDATE sync_state SET account = NULL, cursor = NULL, epoch = NULL, round = 0, within = 0, resetting = 0, registration = 0,
                device = NULL;",
        )?;
        transaction.commit()?;
        // Should the next step find no room, the words are out of the file all the same.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.connection.execute_batch("VACUUM")?;
        // The log of the file still has the pages as they were.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

fn migrate(connection: &Connection) -> Result<(), OpenError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    if found > MIGRATIONS.len() {
        return Err(OpenError::Newer { found, known: MIGRATIONS.len() });
    }
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(found) {
        connection
            .execute_batch(&format!("BEGIN IMMEDIATE;\n{migration}\nPRAGMA user_version = {};\nCOMMIT;", number + 1))?;
    }
    Ok(())
}

/// Nobody else on the device reads the messages: neither in the file nor in its write-ahead log, which SQLite makes with the file's mode. So the file has
/// it before SQLite opens it.
fn make_private(file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        // A file system without permissions is no reason not to work, and what else keeps the file from being made is said by SQLite.
        let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        for suffix in ["", "-wal"] {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            let _ = std::fs::set_permissions(name, std::fs::Permissions::from_mode(0o600));
        }
    }
    #[cfg(not(unix))]
    let _ = file;
}
