//! Rows of traces come in sets, and the oldest go.

use tertulia_store::trace::*;
use uuid::Uuid;

use crate::error::Sql;
use crate::rows::at;
use crate::session::{Param, Session};

const NOTE: &str = "INSERT INTO traces (conversation_id, kind, seq, message_id, client_msg_id, server_id, part, at, data)
     SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::uuid[], $5::text[], $6::uuid[], $7::bigint[], $8::bigint[], $9::text[])
     ON CONFLICT DO NOTHING";

/// These rows are worth no wait for the disk, nor for replicas: what a fall of the machine takes of them is a fifth of a second.
const NOT_AT_ONCE: &str = "SELECT set_config('synchronous_commit', 'off', true)";

pub(crate) async fn note(session: &Session, rows: &[TraceRow]) -> Sql<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let conversations: Vec<Uuid> = rows.iter().map(|row| row.conversation.uuid()).collect();
    let kinds: Vec<i16> = rows.iter().map(|row| small(row.kind)).collect();
    let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    let messages: Vec<Option<Uuid>> = rows.iter().map(|row| row.message.map(|id| id.uuid())).collect();
    let names: Vec<Option<String>> =
        rows.iter().map(|row| row.client_msg_id.as_ref().map(|name| name.as_str().to_owned())).collect();
    let servers: Vec<Uuid> = rows.iter().map(|row| row.server.uuid()).collect();
    let parts: Vec<i64> = rows.iter().map(|row| row.part).collect();
    let times: Vec<i64> = rows.iter().map(|row| row.at.ms()).collect();
    let data: Vec<&str> = rows.iter().map(|row| row.data.as_str()).collect();
    let params: &[&dyn Param] = &[&conversations, &kinds, &seqs, &messages, &names, &servers, &parts, &times, &data];
    session.rows(NOT_AT_ONCE, &[]).await?;
    session.execute(NOTE, params).await.map(drop)
}

pub(crate) fn small(kind: TraceKind) -> i16 {
    i16::try_from(kind.number()).unwrap_or(i16::MAX)
}

/// One server at a time.
const ALONE: &str = "SELECT pg_try_advisory_xact_lock(hashtextextended('tertulia: traces are forgotten', 0))";

/// Looks no further than at so many of the oldest.
const FORGET: &str =
    "DELETE FROM traces WHERE no IN (SELECT o.no FROM (SELECT no, at FROM traces ORDER BY no LIMIT $4) o
     WHERE o.at < $1 OR o.at > $2 OR o.no <= $3)";

pub(crate) async fn forget(session: &Session, which: OldTraces, limit: usize) -> Sql<usize> {
    let (from, to, up_to) = which.bounds();
    if !at::<bool>(&session.one(ALONE, &[]).await?, 0)? {
        return Ok(0);
    }
    let gone = session.execute(FORGET, &[&from, &to, &up_to, &i64::try_from(limit).unwrap_or(0)]).await?;
    Ok(usize::try_from(gone).unwrap_or(usize::MAX))
}
