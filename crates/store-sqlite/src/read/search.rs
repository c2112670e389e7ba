//! Searching the bodies. One probe of the index per conversation the person may see, newest activity first, until no older conversation can have
//! anything newer than what is found.

use rusqlite::Connection;
use tertulia_proto::{ConversationId, Message, UserId};

use crate::read::accounts::limit_of;
use crate::read::history;
use crate::rows::{Sql, message_key, user_no};

struct Place {
    no: i64,
    id: ConversationId,
    visible_after_seq: i64,
    last_seq: i64,
    activity_at: i64,
}

pub(crate) fn messages(
    connection: &Connection,
    user: UserId,
    text: &str,
    within: Option<ConversationId>,
    limit: usize,
) -> Sql<Vec<Message>> {
    let Some(user_no) = user_no(connection, user)? else { return Ok(Vec::new()) };
    // A phrase of trigrams is a substring; a doubled quote is a quote; nothing else has a meaning inside.
    let phrase = format!("\"{}\"", text.replace('"', "\"\""));
    let mut statement = connection.prepare_cached(
        "SELECT rowid FROM search.message_fts WHERE message_fts MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC LIMIT ?4",
    )?;
    let mut found: Vec<Message> = Vec::new();
    for place in places(connection, user_no, within)? {
        let oldest_needed = if found.len() >= limit { found.last().map(|m| m.created_at.ms()) } else { None };
        if oldest_needed.is_some_and(|oldest| place.activity_at < oldest) {
            break;
        }
        let (low, high) = (message_key(place.no, place.visible_after_seq + 1), message_key(place.no, place.last_seq));
        let keys: Vec<i64> =
            statement.query_map((&phrase, low, high, limit_of(limit)), |row| row.get(0))?.collect::<Sql<_>>()?;
        for key in keys {
            // The index is behind the log: what has been deleted since is still in it.
            found.extend(history::by_key(connection, place.id, key)?.filter(|m| m.deleted_at.is_none()));
        }
        found.sort_by(|a, b| (b.created_at, b.message_id).cmp(&(a.created_at, a.message_id)));
        found.truncate(limit);
    }
    Ok(found)
}

fn places(connection: &Connection, user_no: i64, within: Option<ConversationId>) -> Sql<Vec<Place>> {
    connection
        .prepare_cached(
            "SELECT c.no, c.id, m.visible_after_seq, c.last_seq, c.activity_at FROM members m JOIN conversations c ON c.no = m.conversation_no
             WHERE m.user_no = ?1 AND m.removed_at IS NULL AND (?2 IS NULL OR c.id = ?2) ORDER BY c.activity_at DESC",
        )?
        .query_map((user_no, within.as_ref().map(|id| id.as_bytes().as_slice())), |row| {
            Ok(Place {
                no: row.get(0)?,
                id: ConversationId::from_bytes(row.get(1)?),
                visible_after_seq: row.get(2)?,
                last_seq: row.get(3)?,
                activity_at: row.get(4)?,
            })
        })?
        .collect()
}
