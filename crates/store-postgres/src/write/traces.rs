//! Rows of traces come in sets, and the oldest go.

use tertulia_store::trace::*;
use uuid::Uuid;

use crate::error::Sql;
use crate::session::{Param, Session};

const NOTE: &str = "INSERT INTO traces (conversation_id, kind, seq, server_id, part, at, data)
     SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::uuid[], $5::bigint[], $6::bigint[], $7::text[])
     ON CONFLICT DO NOTHING";

pub(crate) async fn note(session: &Session, rows: &[TraceRow]) -> Sql<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let conversations: Vec<Uuid> = rows.iter().map(|row| row.conversation.uuid()).collect();
    let kinds: Vec<i16> = rows.iter().map(|row| small(row.kind)).collect();
    let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    let servers: Vec<Uuid> = rows.iter().map(|row| row.server.uuid()).collect();
    let parts: Vec<i64> = rows.iter().map(|row| row.part).collect();
    let times: Vec<i64> = rows.iter().map(|row| row.at.ms()).collect();
    let data: Vec<&str> = rows.iter().map(|row| row.data.as_str()).collect();
    let params: &[&dyn Param] = &[&conversations, &kinds, &seqs, &servers, &parts, &times, &data];
    session.execute(NOTE, params).await.map(drop)
}

pub(crate) fn small(kind: TraceKind) -> i16 {
    i16::try_from(kind.number()).unwrap_or(i16::MAX)
}

const FORGET: &str = "DELETE FROM traces WHERE (conversation_id, kind, seq, server_id, part) IN
     (SELECT conversation_id, kind, seq, server_id, part FROM traces WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";

pub(crate) async fn forget(session: &Session, which: OldTraces, limit: usize) -> Sql<usize> {
    let before = match which {
        OldTraces::Before(at) => at.ms(),
        OldTraces::Oldest => i64::MAX,
    };
    let gone = session.execute(FORGET, &[&before, &i64::try_from(limit).unwrap_or(0)]).await?;
    Ok(usize::try_from(gone).unwrap_or(usize::MAX))
}
