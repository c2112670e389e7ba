//! Which way a message took, and where a message is.

mod behind;

use rusqlite::{Connection, OptionalExtension, Params, Row};
use tertulia_proto::{ConversationId, MessageId, Seq, ServerId, Timestamp, UserId};
use tertulia_store::trace::*;

use crate::read::accounts::limit_of;
use crate::rows::{Sql, bad_value, message_key, seq_of, time_at};

/// Of a key `k.key` and its sender `s`.
fn place_from(row: &Row<'_>) -> Sql<Place> {
    Ok(Place {
        conversation: ConversationId::from_bytes(row.get(0)?),
        seq: seq_of(row.get(1)?),
        sender: UserId::from_bytes(row.get(2)?),
    })
}

const BY_ID: &str = "SELECT c.id, x.key, s.id FROM messages x CROSS JOIN conversations c ON c.no = x.key >> 32
     CROSS JOIN users s ON s.no = x.sender_no WHERE x.id = ?1 LIMIT ?2";

/// Of messages of the last days.
const BY_NOTED_NAME: &str = "SELECT DISTINCT c.id, x.key, s.id FROM traces t CROSS JOIN conversations c ON c.id = t.conversation_id
     CROSS JOIN messages x ON x.key = (c.no << 32) + t.seq AND x.id = t.message_id CROSS JOIN users s ON s.no = x.sender_no
     WHERE t.client_msg_id = ?1 ORDER BY s.id LIMIT ?2";

const BY_NAME_OF_ONE: &str = "SELECT c.id, k.message_key, s.id FROM users s CROSS JOIN message_keys k ON k.sender_no = s.no AND k.client_msg_id = ?1
     CROSS JOIN conversations c ON c.no = k.message_key >> 32 WHERE s.id = ?2 LIMIT 1";

/// One look for each person there is.
const BY_NAME: &str = "SELECT c.id, k.message_key, s.id FROM users s CROSS JOIN message_keys k ON k.sender_no = s.no AND k.client_msg_id = ?1
     CROSS JOIN conversations c ON c.no = k.message_key >> 32 ORDER BY s.id LIMIT ?2";

pub(crate) fn find(connection: &Connection, which: &WhichMessage) -> Sql<Vec<Place>> {
    let most = limit_of(FOUND_MAX);
    match which {
        WhichMessage::Id(id) => {
            connection.prepare_cached(BY_ID)?.query_map((id.as_bytes().as_slice(), most), place_from)?.collect()
        }
        WhichMessage::Name { client_msg_id, sender: Some(sender) } => {
            let params = (client_msg_id.as_str(), sender.as_bytes().as_slice());
            connection.prepare_cached(BY_NAME_OF_ONE)?.query_map(params, place_from)?.collect()
        }
        WhichMessage::Name { client_msg_id, sender: None } => {
            let params = (client_msg_id.as_str(), most);
            let noted: Vec<Place> =
                connection.prepare_cached(BY_NOTED_NAME)?.query_map(params, place_from)?.collect::<Sql<_>>()?;
            if !noted.is_empty() {
                return Ok(noted);
            }
            connection.prepare_cached(BY_NAME)?.query_map(params, place_from)?.collect()
        }
    }
}

pub(crate) fn traced(connection: &Connection, conversation: ConversationId, seq: Seq) -> Sql<Option<Traced>> {
    let id = conversation.as_bytes().as_slice();
    let no: Option<i64> = connection
        .prepare_cached("SELECT no FROM conversations WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(no) = no else { return Ok(None) };
    let key = message_key(no, seq);
    let Some((message, sender_no, born_pos)) = outline(connection, key)? else { return Ok(None) };
    let way = (id, TraceKind::Way.number(), seq, message.id.as_bytes().as_slice(), limit_of(WAY_ROWS_MAX));
    let from = message.created_at.ms() - CLOCKS_APART_MS;
    let gaps = (NOWHERE.as_bytes().as_slice(), TraceKind::Gap.number(), from, limit_of(GAPS_MAX));
    Ok(Some(Traced {
        way: noted(connection, WAY, way)?,
        gaps: noted(connection, GAPS, gaps)?,
        marks: marks(connection, (no, seq), sender_no, born_pos)?,
        audience: behind::audience(connection, (no, seq), sender_no, born_pos)?,
        kept_since: kept_since(connection)?,
        message,
    }))
}

/// And the sender's number, and the position where it was born.
fn outline(connection: &Connection, key: i64) -> Sql<Option<(Outline, i64, i64)>> {
    connection
        .prepare_cached(
            "SELECT x.id, s.id, s.name, x.client_msg_id, x.created_at, x.edited_at, x.deleted_at, CASE WHEN x.amended = 0 THEN x.rev END, s.no,
                x.born_pos
             FROM messages x JOIN users s ON s.no = x.sender_no WHERE x.key = ?1",
        )?
        .query_row([key], |row| {
            let client_msg_id = row.get_ref(3)?.as_str()?.parse();
            let outline = Outline {
                id: MessageId::from_bytes(row.get(0)?),
                sender: UserId::from_bytes(row.get(1)?),
                sender_name: row.get(2)?,
                client_msg_id: client_msg_id.map_err(|_| bad_value("a client_msg_id outside its alphabet"))?,
                created_at: Timestamp::from_ms(row.get(4)?),
                edited_at: time_at(row, 5)?,
                deleted_at: time_at(row, 6)?,
                born_rev: row.get(7)?,
            };
            Ok((outline, row.get(8)?, row.get(9)?))
        })
        .optional()
}

const WAY: &str = "SELECT seq, server_id, part, data FROM traces WHERE conversation_id = ?1 AND kind = ?2 AND seq = ?3 AND message_id = ?4
     ORDER BY no LIMIT ?5";

const RECEIPTS: &str = "SELECT seq, server_id, part, data FROM traces WHERE conversation_id = ?1 AND kind = ?2 AND (seq, server_id, part) > (?3, ?4, ?5)
     ORDER BY seq, server_id, part LIMIT ?6";

const GAPS: &str = "SELECT seq, server_id, part, data FROM traces WHERE conversation_id = ?1 AND kind = ?2 AND seq >= ?3 ORDER BY seq LIMIT ?4";

pub(crate) fn receipts(connection: &Connection, conversation: ConversationId, after: ReceiptsAfter) -> Sql<Vec<Noted>> {
    let id = conversation.as_bytes().as_slice();
    let server = after.server.as_bytes().as_slice();
    let kind = TraceKind::Receipts.number();
    noted(connection, RECEIPTS, (id, kind, after.seq, server, after.part, limit_of(RECEIPT_ROWS_MAX)))
}

fn noted(connection: &Connection, select: &str, params: impl Params) -> Sql<Vec<Noted>> {
    connection
        .prepare_cached(select)?
        .query_map(params, |row| {
            let server = ServerId::from_bytes(row.get(1)?);
            Ok(Noted { seq: row.get(0)?, server, part: row.get(2)?, data: row.get(3)? })
        })?
        .collect()
}

fn marks(connection: &Connection, (no, seq): (i64, Seq), sender_no: i64, born_pos: i64) -> Sql<Vec<Mark>> {
    let key = message_key(no, seq);
    connection
        .prepare_cached(
            "WITH later (sender_no, key, at) AS MATERIALIZED (
                SELECT sender_no, min(key), created_at FROM messages WHERE key > ?5 AND key <= ?6 GROUP BY sender_no)
             SELECT u.id, u.name, m.delivered_seq, m.read_seq, l.at
             FROM members m JOIN users u ON u.no = m.user_no LEFT JOIN later l ON l.sender_no = m.user_no
             WHERE m.conversation_no = ?1 AND m.user_no <> ?2 AND m.visible_after_seq < ?3 AND m.joined_pos <= ?4
                AND max(m.delivered_seq, m.read_seq) >= ?3 ORDER BY u.id LIMIT ?7",
        )?
        .query_map((no, sender_no, seq, born_pos, key, key + LATER_MAX, limit_of(MARKS_MAX + 1)), |row| {
            Ok(Mark {
                user: UserId::from_bytes(row.get(0)?),
                name: row.get(1)?,
                delivered_seq: row.get(2)?,
                read_seq: row.get(3)?,
                wrote_at: time_at(row, 4)?,
            })
        })?
        .collect()
}

const MEMBER_THEN: &str = "SELECT 1 FROM conversations c CROSS JOIN messages x ON x.key = (c.no << 32) + ?2
     CROSS JOIN users u ON u.id = ?3 AND u.no <> x.sender_no CROSS JOIN members m ON m.conversation_no = c.no AND m.user_no = u.no
     WHERE c.id = ?1 AND m.visible_after_seq < ?2 AND m.joined_pos <= x.born_pos";

pub(crate) fn members_then(
    connection: &Connection,
    conversation: ConversationId,
    seq: Seq,
    users: &[UserId],
) -> Sql<Vec<UserId>> {
    let mut select = connection.prepare_cached(MEMBER_THEN)?;
    let mut members = Vec::new();
    for user in users {
        if select.exists((conversation.as_bytes().as_slice(), seq, user.as_bytes().as_slice()))? {
            members.push(*user);
        }
    }
    Ok(members)
}

fn kept_since(connection: &Connection) -> Sql<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT min(at) FROM (SELECT at FROM traces ORDER BY no LIMIT ?1)")?
        .query_row([limit_of(TRACE_ROWS_MAX)], |row| time_at(row, 0))
}

/// The larger index has no more than what it needs: few pages are read.
const SURPLUS: &str = "WITH counted (surplus) AS MATERIALIZED (SELECT count(*) - ?1 FROM traces)
     SELECT no FROM traces WHERE (SELECT surplus FROM counted) > 0 ORDER BY no LIMIT 1 OFFSET (SELECT surplus FROM counted) - 1";

pub(crate) fn surplus(connection: &Connection, keep: usize) -> Sql<Option<i64>> {
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    connection.prepare_cached(SURPLUS)?.query_row([keep], |row| row.get(0)).optional()
}

/// They are removed from the beginning, so few numbers between are missing.
pub(crate) fn count(connection: &Connection) -> Sql<usize> {
    let count: i64 = connection
        .prepare_cached("SELECT coalesce((SELECT max(no) FROM traces) - (SELECT min(no) FROM traces) + 1, 0)")?
        .query_row([], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many there are.
    #[test]
    fn what_is_kept_of_a_message_is_found_by_index() {
        let connection = crate::schema::open_memory(None).unwrap();
        let scans = |select: &str| {
            let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {select}")).unwrap();
            let parameters = vec![rusqlite::types::Null; explained.parameter_count()];
            let plan =
                explained.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3)).unwrap();
            plan.collect::<Sql<Vec<_>>>()
                .unwrap()
                .into_iter()
                .filter(|line| line.starts_with("SCAN"))
                .collect::<Vec<_>>()
        };
        let of_behind = [behind::COUNTS, behind::BEHIND, behind::DEVICES];
        let selects = [BY_ID, BY_NOTED_NAME, BY_NAME_OF_ONE, WAY, RECEIPTS, GAPS, MEMBER_THEN];
        for select in selects.into_iter().chain(of_behind) {
            assert_eq!(scans(select), [""; 0], "{select}");
        }
        let of_everybody = scans(BY_NAME);
        assert!(
            of_everybody.len() == 1 && of_everybody[0].starts_with("SCAN s"),
            "people are gone through: {of_everybody:?}"
        );
    }
}
