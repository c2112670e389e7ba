//! Messages of one conversation, by keyset.

use rusqlite::{Connection, OptionalExtension};
use tertulia_proto::{ConversationId, Message, MessageId, Seq, UserId};
use tertulia_store::{HistoryPage, HistoryRange};

use crate::read::accounts::limit_of;
use crate::read::conversations;
use crate::rows::{MESSAGE_COLUMNS, MessageRow, Sql, message_from, message_key, with_reactions};

/// Rows with `low < key < high`, from the one end or the other.
pub(crate) fn rows(
    connection: &Connection,
    conversation: ConversationId,
    (low, high): (i64, i64),
    newest_first: bool,
    limit: usize,
) -> Sql<Vec<MessageRow>> {
    let order = if newest_first { "DESC" } else { "ASC" };
    connection
        .prepare_cached(&format!(
            "SELECT {MESSAGE_COLUMNS} FROM messages x JOIN users s ON s.no = x.sender_no WHERE x.key > ?1 AND x.key < ?2
             ORDER BY x.key {order} LIMIT ?3"
        ))?
        .query_map((low, high, limit_of(limit)), |row| message_from(row, 0, conversation))?
        .collect()
}

pub(crate) fn page(
    connection: &Connection,
    user: UserId,
    conversation: ConversationId,
    range: HistoryRange,
    limit: usize,
) -> Sql<Option<HistoryPage>> {
    let Some(member) = conversations::membership(connection, user, conversation)? else { return Ok(None) };
    let Some(no) = conversation_no(connection, conversation)? else { return Ok(None) };
    let floor = member.visible_after_seq;
    let end = member.last_seq + 1;
    let (low, high, newest_first) = match range {
        HistoryRange::Latest => (floor, end, true),
        HistoryRange::Before(seq) => (floor, seq.clamp(0, end), true),
        HistoryRange::After(seq) => (seq.clamp(floor, end), end, false),
        HistoryRange::AfterMessage(id) => match seq_by_id(connection, no, id)? {
            Some(seq) if seq > floor => (seq, end, false),
            _ => return Ok(Some(HistoryPage { messages: Vec::new(), has_more: false })),
        },
    };
    let keys = (message_key(no, low), message_key(no, high));
    let mut rows = rows(connection, conversation, keys, newest_first, limit.saturating_add(1))?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    if newest_first {
        rows.reverse();
    }
    Ok(Some(HistoryPage { messages: with_reactions(connection, rows)?, has_more }))
}

pub(crate) fn message(
    connection: &Connection,
    user: UserId,
    conversation: ConversationId,
    id: MessageId,
) -> Sql<Option<Message>> {
    let Some(member) = conversations::membership(connection, user, conversation)? else { return Ok(None) };
    let Some(no) = conversation_no(connection, conversation)? else { return Ok(None) };
    match seq_by_id(connection, no, id)? {
        Some(seq) if seq > member.visible_after_seq => by_key(connection, conversation, message_key(no, seq)),
        _ => Ok(None),
    }
}

pub(crate) fn by_key(connection: &Connection, conversation: ConversationId, key: i64) -> Sql<Option<Message>> {
    let row = rows(connection, conversation, (key - 1, key + 1), false, 1)?;
    Ok(with_reactions(connection, row)?.pop())
}

pub(crate) fn conversation_no(connection: &Connection, conversation: ConversationId) -> Sql<Option<i64>> {
    connection
        .prepare_cached("SELECT no FROM conversations WHERE id = ?1")?
        .query_row([conversation.as_bytes().as_slice()], |row| row.get(0))
        .optional()
}

/// `None` where the message is not of this conversation.
pub(crate) fn seq_by_id(connection: &Connection, conversation_no: i64, id: MessageId) -> Sql<Option<Seq>> {
    let key: Option<i64> = connection
        .prepare_cached("SELECT key FROM messages WHERE id = ?1")?
        .query_row([id.as_bytes().as_slice()], |row| row.get(0))
        .optional()?;
    Ok(key.filter(|key| crate::rows::conversation_no_of(*key) == conversation_no).map(crate::rows::seq_of))
}
