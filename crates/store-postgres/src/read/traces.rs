//! Which way a message took, and where a message is.

use tertulia_proto::{ConversationId, MessageId, Seq, ServerId, Timestamp, UserId};
use tertulia_store::trace::*;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Sql;
use crate::read::accounts::limit_of;
use crate::read::jobs;
use crate::rows::{at, bad_value, conversation_at, time_at, user_at};
use crate::session::Session;
use crate::write::traces::small;

fn place_from(row: &Row) -> Sql<Place> {
    Ok(Place { conversation: conversation_at(row, 0)?, seq: at(row, 1)?, sender: user_at(row, 2)? })
}

/// No index leads with a message's id alone (it would have to be asked in every partition, and would cost each message): one look for each
/// conversation that had messages then, which the id tells.
const BY_ID: &str = "SELECT c.id, x.seq, x.sender_id FROM conversations c
     CROSS JOIN LATERAL (SELECT x.seq, x.sender_id FROM messages x WHERE x.conversation_id = c.id AND x.id = $1 OFFSET 0) x
     WHERE c.last_message_at >= $2 AND c.created_at <= $3 LIMIT $4";

/// One look for each sender there is, or for the one.
const BY_NAME: &str = "SELECT k.conversation_id, k.seq, s.id FROM users s
     CROSS JOIN LATERAL (SELECT k.conversation_id, k.seq FROM message_keys k WHERE k.sender_id = s.id AND k.client_msg_id = $1 OFFSET 0) k
     WHERE s.id = coalesce($2, s.id) ORDER BY s.id LIMIT $3";

const BY_NAME_OF_ONE: &str = "SELECT k.conversation_id, k.seq, k.sender_id FROM message_keys k WHERE k.sender_id = $2 AND k.client_msg_id = $1 LIMIT $3";

pub(crate) async fn find(session: &Session, which: &WhichMessage) -> Sql<Vec<Place>> {
    let most = limit_of(FOUND_MAX);
    let rows = match which {
        WhichMessage::Id(id) => {
            let (from, to) = around(*id);
            session.rows(BY_ID, &[&id.uuid(), &from, &to, &most]).await?
        }
        WhichMessage::Name { client_msg_id, sender: Some(sender) } => {
            session.rows(BY_NAME_OF_ONE, &[&client_msg_id.as_str(), &sender.uuid(), &most]).await?
        }
        WhichMessage::Name { client_msg_id, sender: None } => {
            session.rows(BY_NAME, &[&client_msg_id.as_str(), &None::<Uuid>, &most]).await?
        }
    };
    rows.iter().map(place_from).collect()
}

const OUTLINE: &str = "SELECT x.id, s.id, s.name, x.client_msg_id, x.created_at, x.edited_at, x.deleted_at
     FROM messages x JOIN users s ON s.id = x.sender_id WHERE x.conversation_id = $1 AND x.seq = $2";

fn outline_from(row: &Row) -> Sql<Outline> {
    let client_msg_id: &str = at(row, 3)?;
    Ok(Outline {
        id: MessageId::from_uuid(at(row, 0)?),
        sender: user_at(row, 1)?,
        sender_name: at(row, 2)?,
        client_msg_id: client_msg_id.parse().map_err(|_| bad_value("a client_msg_id outside its alphabet"))?,
        created_at: Timestamp::from_ms(at(row, 4)?),
        edited_at: time_at(row, 5)?,
        deleted_at: time_at(row, 6)?,
    })
}

const WAY: &str = "SELECT seq, server_id, data FROM traces WHERE conversation_id = $1 AND kind = $2 AND seq = $3
     ORDER BY at, server_id, part LIMIT $4";

const RECEIPTS: &str = "SELECT seq, server_id, data FROM traces WHERE conversation_id = $1 AND kind = $2 AND seq >= $3
     ORDER BY conversation_id, kind, seq, server_id, part LIMIT $4";

const GAPS: &str = "SELECT seq, server_id, data FROM traces WHERE conversation_id = $1 AND kind = $2 AND seq >= $3 ORDER BY at DESC LIMIT $4";

async fn noted(
    session: &Session,
    select: &'static str,
    (conversation, kind, seq): (ConversationId, TraceKind, Seq),
    most: usize,
) -> Sql<Vec<Noted>> {
    let rows = session.rows(select, &[&conversation.uuid(), &small(kind), &seq, &limit_of(most)]).await?;
    rows.iter()
        .map(|row| Ok(Noted { seq: at(row, 0)?, server: ServerId::from_uuid(at(row, 1)?), data: at(row, 2)? }))
        .collect()
}

const MARKS: &str = "WITH later AS MATERIALIZED (
        SELECT DISTINCT ON (sender_id) sender_id, created_at FROM messages
        WHERE conversation_id = $1 AND seq > $3 AND seq <= $5 ORDER BY sender_id, seq)
     SELECT u.id, u.name, m.delivered_seq, m.read_seq, l.created_at
     FROM members m JOIN users u ON u.id = m.user_id LEFT JOIN later l ON l.sender_id = m.user_id
     WHERE m.conversation_id = $1 AND m.user_id <> $2 AND m.visible_after_seq < $3 AND m.joined_at <= $4 ORDER BY u.id LIMIT $6";

async fn marks(
    session: &Session,
    conversation: ConversationId,
    seq: Seq,
    sender: UserId,
    created_at: Timestamp,
) -> Sql<Vec<Mark>> {
    let last = seq + LATER_MAX;
    let rows = session
        .rows(MARKS, &[&conversation.uuid(), &sender.uuid(), &seq, &created_at.ms(), &last, &limit_of(MARKS_MAX)])
        .await?;
    let from = |row: &Row| {
        Ok(Mark {
            user: user_at(row, 0)?,
            name: at(row, 1)?,
            delivered_seq: at(row, 2)?,
            read_seq: at(row, 3)?,
            wrote_at: time_at(row, 4)?,
        })
    };
    rows.iter().map(from).collect()
}

pub(crate) async fn traced(session: &Session, conversation: ConversationId, seq: Seq) -> Sql<Option<Traced>> {
    let Some(row) = session.opt(OUTLINE, &[&conversation.uuid(), &seq]).await? else { return Ok(None) };
    let message = outline_from(&row)?;
    let kept_since = session.opt("SELECT at FROM traces ORDER BY at LIMIT 1", &[]).await?;
    Ok(Some(Traced {
        way: noted(session, WAY, (conversation, TraceKind::Way, seq), WAY_ROWS_MAX).await?,
        receipts: noted(session, RECEIPTS, (conversation, TraceKind::Receipts, seq), RECEIPT_ROWS_MAX).await?,
        gaps: noted(session, GAPS, (NOWHERE, TraceKind::Gap, 0), WAY_ROWS_MAX).await?,
        marks: marks(session, conversation, seq, message.sender, message.created_at).await?,
        jobs: jobs::of_conversation(session, conversation, JOBS_TOLD_MAX).await?,
        kept_since: kept_since.map(|row| at(&row, 0).map(Timestamp::from_ms)).transpose()?,
        message,
    }))
}

pub(crate) async fn count(session: &Session) -> Sql<usize> {
    let row = session.one("SELECT count(*) FROM traces", &[]).await?;
    Ok(usize::try_from(at::<i64>(&row, 0)?).unwrap_or(0))
}
