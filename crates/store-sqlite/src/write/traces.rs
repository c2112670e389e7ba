//! Rows of traces come at the end and go from the beginning.

use rusqlite::Connection;
use tertulia_store::trace::*;

use crate::rows::Sql;

pub(crate) fn note(connection: &Connection, rows: &[TraceRow]) -> Sql<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO traces (conversation_id, kind, seq, message_id, client_msg_id, server_id, part, at, data)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO NOTHING",
    )?;
    for row in rows {
        insert.execute((
            row.conversation.as_bytes().as_slice(),
            row.kind.number(),
            row.seq,
            row.message.as_ref().map(|id| id.as_bytes().as_slice()),
            row.client_msg_id.as_ref().map(|name| name.as_str()),
            row.server.as_bytes().as_slice(),
            row.part,
            row.at.ms(),
            &row.data,
        ))?;
    }
    Ok(())
}

/// Looks no further than at so many of the oldest.
const FORGET: &str =
    "DELETE FROM traces WHERE no IN (SELECT no FROM (SELECT no, at FROM traces ORDER BY no LIMIT ?2) WHERE at < ?1)";

pub(crate) fn forget(connection: &Connection, which: OldTraces, limit: usize) -> Sql<usize> {
    let before = match which {
        OldTraces::Before(at) => at.ms(),
        OldTraces::Oldest => i64::MAX,
    };
    connection.prepare_cached(FORGET)?.execute((before, i64::try_from(limit).unwrap_or(0)))
}
