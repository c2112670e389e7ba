//! Which way a message took, and where a message is.

mod behind;

use tertulia_proto::{ConversationId, MessageId, Seq, ServerId, Timestamp, UserId};
use tertulia_store::trace::*;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Sql;
use crate::read::accounts::limit_of;
use crate::rows::{at, bad_value, conversation_at, time_at, user_at};
use crate::session::{Param, Session};
use crate::write::traces::small;

fn place_from(row: &Row) -> Sql<Place> {
    Ok(Place { conversation: conversation_at(row, 0)?, seq: at(row, 1)?, sender: user_at(row, 2)? })
}

/// Of a message of the last days.
const BY_NOTED_ID: &str = "SELECT x.conversation_id, x.seq, x.sender_id
     FROM (SELECT t.conversation_id, t.seq FROM traces t WHERE t.message_id = $1 GROUP BY 1, 2) t
     CROSS JOIN LATERAL (SELECT x.conversation_id, x.seq, x.sender_id FROM messages x
        WHERE x.conversation_id = t.conversation_id AND x.seq = t.seq AND x.id = $1 OFFSET 0) x LIMIT $2";

const BY_NOTED_NAME: &str = "SELECT x.conversation_id, x.seq, x.sender_id
     FROM (SELECT t.conversation_id, t.seq, t.message_id FROM traces t WHERE t.client_msg_id = $1 GROUP BY 1, 2, 3) t
     CROSS JOIN LATERAL (SELECT x.conversation_id, x.seq, x.sender_id FROM messages x
        WHERE x.conversation_id = t.conversation_id AND x.seq = t.seq AND x.id = t.message_id OFFSET 0) x
     ORDER BY x.sender_id LIMIT $2";

/// No index leads with a message's id alone (it would have to be asked in every partition, and would cost each message): one look for each
/// conversation that had messages then, which the id tells.
const BY_ID: &str = "SELECT c.id, x.seq, x.sender_id FROM conversations c
     CROSS JOIN LATERAL (SELECT x.seq, x.sender_id FROM messages x WHERE x.conversation_id = c.id AND x.id = $1 OFFSET 0) x
     WHERE c.last_message_at >= $2 AND c.created_at <= $3 LIMIT 1";

/// One look for each sender there is, or for the one.
const BY_NAME: &str = "SELECT k.conversation_id, k.seq, s.id FROM users s
     CROSS JOIN LATERAL (SELECT k.conversation_id, k.seq FROM message_keys k WHERE k.sender_id = s.id AND k.client_msg_id = $1 OFFSET 0) k
     ORDER BY s.id LIMIT $2";

const BY_NAME_OF_ONE: &str = "SELECT k.conversation_id, k.seq, k.sender_id FROM message_keys k WHERE k.sender_id = $2 AND k.client_msg_id = $1 LIMIT 1";

/// By an index of its own; nothing where there is none, and [`look_through`] is left.
pub(crate) async fn find(session: &Session, which: &WhichMessage) -> Sql<Vec<Place>> {
    let most = limit_of(FOUND_MAX);
    let rows = match which {
        WhichMessage::Id(id) => session.rows(BY_NOTED_ID, &[&id.uuid(), &1_i64]).await?,
        WhichMessage::Name { client_msg_id, sender: Some(sender) } => {
            session.rows(BY_NAME_OF_ONE, &[&client_msg_id.as_str(), &sender.uuid()]).await?
        }
        WhichMessage::Name { client_msg_id, sender: None } => {
            session.rows(BY_NOTED_NAME, &[&client_msg_id.as_str(), &most]).await?
        }
    };
    rows.iter().map(place_from).collect()
}

/// One look for each conversation, or for each person: on a large log some seconds.
pub(crate) async fn look_through(session: &Session, which: &WhichMessage) -> Sql<Vec<Place>> {
    let rows = match which {
        WhichMessage::Id(id) => {
            let (from, to) = around(*id);
            session.rows(BY_ID, &[&id.uuid(), &from, &to]).await?
        }
        WhichMessage::Name { sender: Some(_), .. } => Vec::new(),
        WhichMessage::Name { client_msg_id, sender: None } => {
            session.rows(BY_NAME, &[&client_msg_id.as_str(), &limit_of(FOUND_MAX)]).await?
        }
    };
    rows.iter().map(place_from).collect()
}

const OUTLINE: &str = "SELECT x.id, s.id, s.name, x.client_msg_id, x.created_at, x.edited_at, x.deleted_at,
        CASE WHEN NOT x.amended THEN x.rev END, x.born_pos
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
        born_rev: at(row, 7)?,
    })
}

const WAY: &str = "SELECT seq, server_id, part, data FROM traces WHERE conversation_id = $1 AND kind = $2 AND seq = $3 AND message_id = $4
     ORDER BY no LIMIT $5";

const RECEIPTS: &str = "SELECT seq, server_id, part, data FROM traces
     WHERE conversation_id = $1 AND kind = $2 AND (seq, server_id, part) > ($3, $4, $5)
     ORDER BY conversation_id, kind, seq, server_id, part LIMIT $6";

const GAPS: &str =
    "SELECT seq, server_id, part, data FROM traces WHERE conversation_id = $1 AND kind = $2 AND seq >= $3
     ORDER BY conversation_id, kind, seq LIMIT $4";

async fn noted(session: &Session, select: &'static str, params: &[&dyn Param]) -> Sql<Vec<Noted>> {
    let from = |row: &Row| {
        let server = ServerId::from_uuid(at(row, 1)?);
        Ok(Noted { seq: at(row, 0)?, server, part: at(row, 2)?, data: at(row, 3)? })
    };
    session.rows(select, params).await?.iter().map(from).collect()
}

pub(crate) async fn receipts(session: &Session, conversation: ConversationId, after: ReceiptsAfter) -> Sql<Vec<Noted>> {
    let (kind, server, most) = (small(TraceKind::Receipts), after.server.uuid(), limit_of(RECEIPT_ROWS_MAX));
    noted(session, RECEIPTS, &[&conversation.uuid(), &kind, &after.seq, &server, &after.part, &most]).await
}

const MARKS: &str = "WITH later AS MATERIALIZED (
        SELECT DISTINCT ON (sender_id) sender_id, created_at FROM messages
        WHERE conversation_id = $1 AND seq > $3 AND seq <= $5 ORDER BY sender_id, seq)
     SELECT u.id, u.name, m.delivered_seq, m.read_seq, l.created_at
     FROM members m JOIN users u ON u.id = m.user_id LEFT JOIN later l ON l.sender_id = m.user_id
     WHERE m.conversation_id = $1 AND m.user_id <> $2 AND m.visible_after_seq < $3 AND m.joined_pos <= $4
        AND greatest(m.delivered_seq, m.read_seq) >= $3 ORDER BY u.id LIMIT $6";

async fn marks(
    session: &Session,
    conversation: ConversationId,
    seq: Seq,
    sender: UserId,
    born_pos: i64,
) -> Sql<Vec<Mark>> {
    let last = seq + LATER_MAX;
    let rows = session
        .rows(MARKS, &[&conversation.uuid(), &sender.uuid(), &seq, &born_pos, &last, &limit_of(MARKS_MAX + 1)])
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

const MEMBERS_THEN: &str = "SELECT m.user_id FROM messages x
     CROSS JOIN LATERAL (SELECT m.user_id FROM members m WHERE m.conversation_id = x.conversation_id AND m.user_id = ANY($3)
        AND m.visible_after_seq < x.seq AND m.joined_pos <= x.born_pos OFFSET 0) m
     WHERE x.conversation_id = $1 AND x.seq = $2 AND m.user_id <> x.sender_id";

pub(crate) async fn members_then(
    session: &Session,
    conversation: ConversationId,
    seq: Seq,
    users: &[UserId],
) -> Sql<Vec<UserId>> {
    let users: Vec<Uuid> = users.iter().map(UserId::uuid).collect();
    let rows = session.rows(MEMBERS_THEN, &[&conversation.uuid(), &seq, &users]).await?;
    rows.iter().map(|row| user_at(row, 0)).collect()
}

pub(crate) async fn traced(session: &Session, conversation: ConversationId, seq: Seq) -> Sql<Option<Traced>> {
    let id = conversation.uuid();
    let Some(row) = session.opt(OUTLINE, &[&id, &seq]).await? else { return Ok(None) };
    let (message, born_pos) = (outline_from(&row)?, at(&row, 8)?);
    let kept_since = session.one(KEPT_SINCE, &[&limit_of(TRACE_ROWS_MAX)]).await?;
    let (way, gap) = (small(TraceKind::Way), small(TraceKind::Gap));
    let gaps_from = message.created_at.ms() - CLOCKS_APART_MS;
    Ok(Some(Traced {
        way: noted(session, WAY, &[&id, &way, &seq, &message.id.uuid(), &limit_of(WAY_ROWS_MAX)]).await?,
        gaps: noted(session, GAPS, &[&NOWHERE.uuid(), &gap, &gaps_from, &limit_of(GAPS_MAX)]).await?,
        marks: marks(session, conversation, seq, message.sender, born_pos).await?,
        audience: behind::audience(session, conversation, seq, message.sender, born_pos).await?,
        kept_since: time_at(&kept_since, 0)?,
        message,
    }))
}

const KEPT_SINCE: &str = "SELECT min(o.at) FROM (SELECT at FROM traces ORDER BY no LIMIT $1) o";

/// Numbers are given in order, and rows are removed from the beginning: few are missing between.
pub(crate) async fn count(session: &Session) -> Sql<usize> {
    const COUNT: &str = "SELECT coalesce((SELECT max(no) FROM traces) - (SELECT min(no) FROM traces) + 1, 0)";
    let row = session.one(COUNT, &[]).await?;
    Ok(usize::try_from(at::<i64>(&row, 0)?).unwrap_or(0))
}

const SURPLUS: &str = "WITH counted AS MATERIALIZED (SELECT count(*) - $1 AS surplus FROM traces)
     SELECT no FROM traces WHERE (SELECT surplus FROM counted) > 0 ORDER BY no OFFSET greatest((SELECT surplus FROM counted) - 1, 0) LIMIT 1";

pub(crate) async fn surplus(session: &Session, keep: usize) -> Sql<Option<i64>> {
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    session.opt(SURPLUS, &[&keep]).await?.map(|row| at(&row, 0)).transpose()
}
