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

const LAST: &str = "SELECT max(no) FROM (SELECT no FROM traces WHERE no > ?1 ORDER BY no LIMIT ?2)";

const FORGET: &str = "DELETE FROM traces WHERE no > ?1 AND no <= ?2 AND (at < ?3 OR at > ?4 OR no <= ?5)";

/// Looks at so many of the oldest above a number: how many are gone, and the last that was looked at.
pub(crate) fn forget(connection: &Connection, which: OldTraces, above: i64, rows: usize) -> Sql<(usize, Option<i64>)> {
    let (from, to, up_to) = which.bounds();
    let rows = i64::try_from(rows).unwrap_or(0);
    let last: Option<i64> = connection.prepare_cached(LAST)?.query_row((above, rows), |row| row.get(0))?;
    let Some(last) = last else { return Ok((0, None)) };
    let gone = connection.prepare_cached(FORGET)?.execute((above, last, from, to, up_to))?;
    Ok((gone, Some(last)))
}
