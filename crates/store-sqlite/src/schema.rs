//! Opening a file: settings of a connection, migrations, and whether the file is still the one this server left.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use crate::files;

/// "Tert" in ASCII: tells our files from other people's.
const APPLICATION_ID: i32 = 0x5465_7274;

/// Forward only. A released file's text never changes; the position in this list is the version in the file.
const MIGRATIONS: [&str; 7] = [
    include_str!("../migrations/0001_log.sql"),
    include_str!("../migrations/0002_personal_pos.sql"),
    include_str!("../migrations/0003_sessions.sql"),
    include_str!("../migrations/0004_jobs.sql"),
    include_str!("../migrations/0005_push.sql"),
    include_str!("../migrations/0006_traces.sql"),
    include_str!("../migrations/0007_webhooks.sql"),
];

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{path} was written by a newer version of Tertulia (schema {found}, this one knows {known}): use that version"
    )]
    Newer { path: String, found: i64, known: i64 },
    #[error("{0} is an SQLite file of another program")]
    Foreign(String),
    #[error("{0} is of an older version of Tertulia: `tertulia migrate` brings it up to this one")]
    Older(String),
    #[error(
        "{folder} is the unfinished destination of a move, and nothing is served from it: go on with `tertulia move --from {from} --to sqlite:{folder}`, or \
         remove the folder and serve the source"
    )]
    Unfinished { folder: String, from: String },
    #[error(
        "the log in {folder} was moved to {to}: serve that one. If it is to go on here as another log, with every client starting over: \
         `tertulia doctor --new-epoch --data {folder}`"
    )]
    Departed { folder: String, to: String },
    #[error("can't open {path}: {cause}")]
    Failed { path: String, cause: String },
}

impl OpenError {
    pub(crate) fn failed(path: &Path, cause: impl ToString) -> Self {
        Self::Failed { path: path.display().to_string(), cause: cause.to_string() }
    }
}

/// The connection that writes; makes and migrates the file.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let failed = |e: rusqlite::Error| OpenError::failed(path, e);
    files::make_private_database(path).map_err(|e| OpenError::failed(path, e))?;
    let connection = Connection::open(path).map_err(failed)?;
    // Other processes (`tertulia token`) write beside a running server, a row or two at a time.
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(failed)?;
    connection
        .execute_batch(
            // FULL: a commit returns after the WAL is on the disk (promise 1). A WAL of up to 64 MiB before it is moved into the file: 1.09 and
            // 1.12 times the throughput of 16 MiB in paired runs, 200 people with one send in flight (2 cores, ext4, 2026-11-21).
            "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 16384; PRAGMA journal_size_limit = 134217728;",
        )
        .map_err(failed)?;
    migrate(&connection, path)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// A log without a file; with `image`, as it was when [`crate::SqliteStore::image`] was taken.
pub(crate) fn open_memory(image: Option<&[u8]>) -> Result<Connection, OpenError> {
    let path = Path::new(":memory:");
    let mut connection = Connection::open_in_memory().map_err(|e| OpenError::failed(path, e))?;
    if let Some(image) = image {
        connection.deserialize_read_exact("main", image, image.len(), false).map_err(|e| OpenError::failed(path, e))?;
    }
    connection.execute_batch("PRAGMA foreign_keys = ON").map_err(|e| OpenError::failed(path, e))?;
    migrate(&connection, path)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// A connection that only reads the log.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let failed = |e: rusqlite::Error| OpenError::failed(path, e);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(failed)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096;").map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn migrate(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| OpenError::failed(path, e);
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let found = pragma("user_version")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let refusal = if tables > 0 && pragma("application_id")? != i64::from(APPLICATION_ID) {
        Some(OpenError::Foreign(path.display().to_string()))
    } else if found > known {
        Some(OpenError::Newer { path: path.display().to_string(), found, known })
    } else {
        None
    };
    if let Some(refusal) = refusal {
        connection.execute_batch("ROLLBACK").map_err(failed)?;
        return Err(refusal);
    }
    for text in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        connection.execute_batch(text).map_err(failed)?;
    }
    connection
        .execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known}"))
        .map_err(failed)?;
    connection.execute_batch("COMMIT").map_err(failed)
}

/// An error where the file is not one of ours, or not of this version; nothing is changed.
pub(crate) fn is_current(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| OpenError::failed(path, e);
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let (application, found) = (pragma("application_id")?, pragma("user_version")?);
    let path = path.display().to_string();
    match found {
        _ if application != i64::from(APPLICATION_ID) => Err(OpenError::Foreign(path)),
        _ if found > known => Err(OpenError::Newer { path, found, known }),
        _ if found < known => Err(OpenError::Older(path)),
        _ => Ok(()),
    }
}

/// 64 unpredictable bytes: for the epoch, the incarnation and the token secret of a new log.
pub type Seed = [u8; 64];

/// What the file beside the log remembers of it: the names of its latest starts, and a position it had reached.
pub(crate) struct Witness {
    path: PathBuf,
    incarnation: Vec<u8>,
    position: Mutex<i64>,
}

impl Witness {
    /// Notes how far the log has come. What is noted has been committed and is on the disk, so the log can't honestly be behind it later.
    pub fn remember(&self, position: i64) -> Result<(), OpenError> {
        let mut noted = self.position.lock();
        if position > *noted {
            write_witness(&self.path, &[&self.incarnation], position)?;
            *noted = position;
        }
        Ok(())
    }
}

/// Makes the state of a new log, or notes the start of an existing one. Gives a new epoch where the file beside the log remembers another
/// incarnation than the log itself, or a position that the log has not reached: then the log was put back from a backup, and the positions clients
/// hold are of another log.
pub(crate) fn begin_incarnation(
    connection: &Connection,
    witness: Option<&Path>,
    seed: &Seed,
) -> Result<Option<Witness>, OpenError> {
    let path = witness.unwrap_or(Path::new(":memory:"));
    let failed = |e: rusqlite::Error| OpenError::failed(path, e);
    let (epoch, rest) = seed.split_at(16);
    let (incarnation, secret) = rest.split_at(16);
    let made = connection
        .execute(
            "INSERT INTO log_state (id, epoch, position, incarnation, token_secret) VALUES (1, ?1, 0, ?2, ?3) ON CONFLICT DO NOTHING",
            (epoch, incarnation, secret),
        )
        .map_err(failed)?;
    let Some(witness) = witness else { return Ok(None) };
    let (last, position): (Vec<u8>, i64) = connection
        .query_row("SELECT incarnation, position FROM log_state", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(failed)?;
    if made == 0 {
        let known = fs::read_to_string(witness).unwrap_or_default();
        let same_name = known.lines().any(|line| line == hex(&last));
        let noted = known.lines().find_map(|line| line.strip_prefix("position ")?.parse::<i64>().ok());
        let same_log = same_name && noted.is_none_or(|noted| position >= noted);
        // Both names are in the file while the log is between them: a crash here is no restore.
        write_witness(witness, &[&last, incarnation], position)?;
        let new_epoch = if same_log { None } else { Some(epoch) };
        connection
            .execute("UPDATE log_state SET incarnation = ?1, epoch = coalesce(?2, epoch)", (incarnation, new_epoch))
            .map_err(failed)?;
    }
    write_witness(witness, &[incarnation], position)?;
    Ok(Some(Witness { path: witness.to_owned(), incarnation: incarnation.to_vec(), position: Mutex::new(position) }))
}

pub(crate) fn write_witness(path: &Path, incarnations: &[&[u8]], position: i64) -> Result<(), OpenError> {
    let failed = |e: std::io::Error| OpenError::failed(path, e);
    let mut text: String = incarnations.iter().map(|bytes| hex(bytes) + "\n").collect();
    text.push_str(&format!("position {position}\n"));
    let beside = path.with_extension("new");
    files::make_private(&beside).map_err(failed)?;
    let mut file = fs::File::create(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder).and_then(|f| f.sync_all()).map_err(failed)?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own under the build's folder for tests.
    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("tertulia-schema-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_commit_returns_after_the_log_has_reached_the_disk() {
        let folder = folder("full");
        let writer = open_writer(&folder.join("tertulia.db")).unwrap();
        let pragma = |name: &str| writer.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        // 2 is FULL: in WAL mode every commit is synced, not only checkpoints (sqlite.org/pragma.html#pragma_synchronous).
        assert_eq!(pragma("synchronous"), 2);
        assert_eq!(pragma("foreign_keys"), 1);
        let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_file_of_another_program_or_of_a_newer_version_is_left_alone() {
        let folder = folder("foreign");
        let path = folder.join("tertulia.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(open_writer(&path), Err(OpenError::Foreign(_))));
        fs::remove_file(&path).unwrap();
        drop(open_writer(&path).unwrap());
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        assert!(matches!(open_writer(&path), Err(OpenError::Newer { found: 99, .. })));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_of_the_first_version_comes_along_with_its_rows() {
        let folder = folder("first");
        let path = folder.join("tertulia.db");
        let first = Connection::open(&path).unwrap();
        first.execute_batch(MIGRATIONS[0]).unwrap();
        first
            .execute_batch(&format!(
                "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;
                 INSERT INTO users (no, id, name, created_at) VALUES (1, x'01', 'Alice', 0);
                 INSERT INTO conversations (no, id, kind, created_at, history_visibility, member_count, activity_at, rev, pos)
                 VALUES (1, x'02', 1, 0, 0, 1, 0, 1, 7);
                 INSERT INTO members (conversation_no, user_no, role, joined_at, joined_pos, visible_after_seq, delivered_seq, read_seq, rev, pos)
                 VALUES (1, 1, 2, 0, 7, 0, 0, 0, 1, 9);
                 INSERT INTO jobs (kind, unique_key, payload, run_at, created_at) VALUES ('notify', x'02', '{{}}', 5, 5);"
            ))
            .unwrap();
        drop(first);
        for _ in 0..2 {
            let writer = open_writer(&path).unwrap();
            let found: (i64, i64) = writer
                .query_row("SELECT personal_pos, (SELECT * FROM pragma_user_version) FROM members", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .unwrap();
            assert_eq!(found, (9, 7), "what only Alice saw may have changed as late as her row");
            let job: (i64, i64, String) = writer
                .query_row("SELECT state, priority, reasons FROM jobs", [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .unwrap();
            assert_eq!(job, (0, 1, "[]".to_owned()), "a job of before waits as it did");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_log_put_back_from_a_copy_is_another_log_and_a_restart_is_not() {
        let folder = folder("epoch");
        let (path, witness) = (folder.join("tertulia.db"), folder.join("incarnation"));
        let start = |seed: u8| {
            let writer = open_writer(&path).unwrap();
            begin_incarnation(&writer, Some(&witness), &[seed; 64]).unwrap();
            writer.query_row("SELECT epoch FROM log_state", [], |row| row.get::<_, Vec<u8>>(0)).unwrap()
        };
        let first = start(1);
        assert_eq!(start(2), first);
        let copy = fs::read(&path).unwrap();
        assert_eq!(start(3), first);
        fs::write(&path, copy).unwrap();
        let second = start(4);
        assert_ne!(second, first);
        // A copy made while this incarnation ran has its name, but is behind what the file beside it has seen.
        let writer = open_writer(&path).unwrap();
        let noted = begin_incarnation(&writer, Some(&witness), &[5; 64]).unwrap().unwrap();
        drop(writer);
        let of_this_start = fs::read(&path).unwrap();
        noted.remember(7).unwrap();
        fs::write(&path, of_this_start).unwrap();
        assert_ne!(start(6), second);
        fs::remove_dir_all(folder).unwrap();
    }
}
