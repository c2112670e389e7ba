//! What an operator does to a file while no server runs on it.

use std::path::Path;

use rusqlite::Connection;

use crate::schema::{OpenError, open_writer};

/// What is wrong with the file, in SQLite's words; empty when nothing is.
pub fn check(folder: &Path) -> Result<Vec<String>, OpenError> {
    let path = folder.join("tertulia.db");
    let failed = |e: rusqlite::Error| OpenError::failed(&path, e);
    let connection = open_writer(&path)?;
    let mut found = lines(&connection, "PRAGMA integrity_check(20)").map_err(failed)?;
    found.retain(|line| line != "ok");
    found.extend(
        lines(&connection, "SELECT 'foreign key of ' || \"table\" FROM pragma_foreign_key_check LIMIT 20")
            .map_err(failed)?,
    );
    // The promises, asked of the rows themselves.
    let gaps = "SELECT 'conversation ' || c.no || ': seq has gaps' FROM conversations c
        WHERE c.last_seq <> (SELECT count(*) FROM messages x WHERE x.key > (c.no << 32) AND x.key < ((c.no + 1) << 32))";
    found.extend(lines(&connection, gaps).map_err(failed)?);
    let keys = "SELECT 'message ' || x.key || ': not among the keys that make it unique' FROM messages x
        WHERE NOT EXISTS (SELECT 1 FROM message_keys k WHERE k.sender_no = x.sender_no AND k.client_msg_id = x.client_msg_id AND k.message_key = x.key)
        LIMIT 20";
    found.extend(lines(&connection, keys).map_err(failed)?);
    Ok(found)
}

fn lines(connection: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}

/// Gives the log a new epoch: every client starts over. For a restore that the server can't see, such as a snapshot of the whole machine; and for one that was
/// moved away and is to go on here as another log.
pub fn renew_epoch(folder: &Path, epoch: &[u8; 16]) -> Result<(), OpenError> {
    let path = folder.join("tertulia.db");
    let failed = |e: rusqlite::Error| OpenError::failed(&path, e);
    let connection = open_writer(&path)?;
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    crate::portable::forget(&transaction, folder)?;
    transaction.execute("UPDATE log_state SET epoch = ?1", [epoch.as_slice()]).map_err(failed)?;
    transaction.commit().map_err(failed)
}
