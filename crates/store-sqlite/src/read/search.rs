//! Searching the bodies: the newest hits of the conversations a person may see, merged by time. Each conversation is a range of the index; it is
//! looked into only when its last activity is newer than the best hit known, one hit at a time.

use std::collections::BinaryHeap;

use rusqlite::{Connection, OptionalExtension};
use tertulia_proto::{ConversationId, Message, UserId};

use crate::read::history;
use crate::rows::{Sql, message_key, user_no};

struct Place {
    no: i64,
    id: ConversationId,
    visible_after_seq: i64,
    last_seq: i64,
    activity_at: i64,
}

/// The newest hit of a place that has not been taken yet; the greatest is the newest of all.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    created_at: i64,
    key: i64,
    place: usize,
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
    let places = places(connection, user_no, within)?;
    let (mut heap, mut next_place, mut found) = (BinaryHeap::new(), 0, Vec::new());
    while found.len() < limit {
        // A place is looked into only when it could hold something newer than what is known.
        while let Some(place) = places.get(next_place) {
            if heap.peek().is_some_and(|hit: &Hit| hit.created_at > place.activity_at) {
                break;
            }
            let newest = message_key(place.no, place.last_seq);
            heap.extend(newest_hit(connection, &phrase, place, newest)?.map(|(key, created_at)| Hit {
                created_at,
                key,
                place: next_place,
            }));
            next_place += 1;
        }
        let Some(hit) = heap.pop() else { break };
        let Some(place) = places.get(hit.place) else { break };
        found.extend(history::by_key(connection, place.id, hit.key)?);
        let next = newest_hit(connection, &phrase, place, hit.key - 1)?;
        heap.extend(next.map(|(key, created_at)| Hit { created_at, key, place: hit.place }));
    }
    Ok(found)
}

/// The newest hit of a place at or below a key. The index is behind the log, so what has been deleted since is still in it.
fn newest_hit(connection: &Connection, phrase: &str, place: &Place, at_most: i64) -> Sql<Option<(i64, i64)>> {
    connection
        .prepare_cached(
            "SELECT f.rowid, x.created_at FROM search.message_fts f CROSS JOIN main.messages x ON x.key = f.rowid
             WHERE f.message_fts MATCH ?1 AND f.rowid BETWEEN ?2 AND ?3 AND x.deleted_at IS NULL ORDER BY f.rowid DESC LIMIT 1",
        )?
        .query_row((phrase, message_key(place.no, place.visible_after_seq + 1), at_most), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
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
