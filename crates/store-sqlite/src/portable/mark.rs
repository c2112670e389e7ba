//! What a file says of a move: that it is an unfinished destination, or a source that has been left. A log that was never moved has no such table.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};
use tertulia_store::portable::{Departure, Identity, Progress, TABLES, decode, encode};

use crate::rows::{Sql, bad_value};
use crate::schema::OpenError;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS log_move (
    id INTEGER PRIMARY KEY CONSTRAINT there_is_one_move CHECK (id = 1),
    -- 1: this log was moved away. 0: one is on its way into this file.
    has_left INTEGER NOT NULL,
    move_id BLOB NOT NULL,
    -- The other end, without secrets.
    place TEXT NOT NULL,
    epoch BLOB,
    fingerprint BLOB,
    -- Which table is being brought, and its last key that is here.
    at_table INTEGER,
    after BLOB
) STRICT";

fn is_marked(connection: &Connection) -> Sql<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'log_move')", [], |row| row.get(0))
}

pub fn departure(connection: &Connection) -> Sql<Option<Departure>> {
    if !is_marked(connection)? {
        return Ok(None);
    }
    let select = "SELECT move_id, place FROM log_move WHERE has_left = 1";
    connection.query_row(select, [], |row| Ok(Departure { move_id: row.get(0)?, to: row.get(1)? })).optional()
}

pub fn progress(connection: &Connection) -> Sql<Option<Progress>> {
    if !is_marked(connection)? {
        return Ok(None);
    }
    let select = "SELECT move_id, epoch, fingerprint, place, at_table, after FROM log_move WHERE has_left = 0";
    let read = |row: &rusqlite::Row<'_>| {
        let after: Option<Vec<u8>> = row.get(5)?;
        let after = after.map(|bytes| decode(&bytes).ok_or_else(|| bad_value("a key that is none"))).transpose()?;
        Ok(Progress {
            move_id: row.get(0)?,
            epoch: row.get(1)?,
            fingerprint: row.get(2)?,
            from: row.get(3)?,
            table: row.get(4)?,
            after,
        })
    };
    connection.query_row(select, [], read).optional()
}

pub fn arrive(connection: &Connection, progress: &Progress) -> Sql<()> {
    connection.execute_batch(TABLE)?;
    connection.execute_batch("DELETE FROM log_move")?;
    connection
        .execute(
            "INSERT INTO log_move (id, has_left, move_id, place, epoch, fingerprint, at_table) VALUES (1, 0, ?1, ?2, ?3, ?4, 0)",
            (progress.move_id, &progress.from, progress.epoch, progress.fingerprint),
        )
        .map(drop)
}

pub fn advance(connection: &Connection, progress: &Progress) -> Sql<()> {
    let after = progress.after.as_deref().map(encode);
    let updated = connection
        .prepare_cached("UPDATE log_move SET at_table = ?2, after = ?3 WHERE move_id = ?1 AND has_left = 0")?
        .execute((progress.move_id, progress.table, after))?;
    if updated == 1 { Ok(()) } else { Err(bad_value("another move has begun here")) }
}

/// Whoever has the file open still can write nothing more: what people can see, and the tables of those who sign in. The file is no longer the one that
/// its witness knows, either: should it be written to all the same, it has a new epoch.
pub fn leave(connection: &Connection, departure: &Departure) -> Sql<()> {
    connection.execute_batch(TABLE)?;
    connection.execute_batch("DELETE FROM log_move")?;
    connection.execute(
        "INSERT INTO log_move (id, has_left, move_id, place) VALUES (1, 1, ?1, ?2)",
        (departure.move_id, &departure.to),
    )?;
    connection.execute("UPDATE log_state SET incarnation = ?1", [departure.move_id])?;
    for (name, change, table) in seals() {
        connection.execute_batch(&format!(
            "CREATE TRIGGER {name} BEFORE {change} ON {table} BEGIN SELECT raise(ABORT, 'this log was moved to another home'); END"
        ))?;
    }
    Ok(())
}

/// The triggers that keep a file as it is: name, what they keep from happening, and where.
fn seals() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    let tables = TABLES.iter().map(|table| table.name).chain(["log_state"]);
    tables.flat_map(|table| {
        ["INSERT", "UPDATE", "DELETE"]
            .map(|change| (format!("log_move_{table}_{}", change.to_lowercase()), change, table))
    })
}

pub fn complete(connection: &Connection, identity: &Identity, move_id: &[u8; 16]) -> Sql<()> {
    connection.execute(
        "INSERT OR REPLACE INTO log_state (id, epoch, position, incarnation, token_secret) VALUES (1, ?1, ?2, ?3, ?4)",
        (identity.epoch, identity.end, move_id, identity.token_secret),
    )?;
    // Numbers of jobs are given on from the highest; without a job there is no row yet.
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'jobs' AND seq <= ?1", [identity.last_job])?;
    connection.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'jobs', ?1
         WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'jobs')",
        [identity.last_job],
    )?;
    connection.execute_batch("DROP TABLE log_move")
}

/// An error where the file may not be served.
pub fn refuse(connection: &Connection, folder: &Path) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| OpenError::failed(folder, e);
    let folder = folder.display().to_string();
    if let Some(progress) = progress(connection).map_err(failed)? {
        return Err(OpenError::Unfinished { folder, from: progress.from });
    }
    match departure(connection).map_err(failed)? {
        Some(departure) => Err(OpenError::Departed { folder, to: departure.to }),
        None => Ok(()),
    }
}

/// A log that has been left becomes one of its own; its epoch is the caller's to renew. An error for an unfinished destination.
pub fn forget(connection: &Connection, folder: &Path) -> Result<(), OpenError> {
    match refuse(connection, folder) {
        Err(OpenError::Departed { .. }) => {
            let drop: String = seals().map(|(name, ..)| format!("DROP TRIGGER IF EXISTS {name};")).collect();
            connection.execute_batch(&(drop + "DROP TABLE log_move")).map_err(|e| OpenError::failed(folder, e))
        }
        other => other,
    }
}
