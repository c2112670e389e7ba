//! The difference: what changed for one person above a commit position.
//!
//! Conversations are handed over in the order of their ids, each once, so that a difference ends however much is written meanwhile. The base of the
//! next one is the position of the first page's snapshot: everything at or below it has been handed over when the last page has, and what was
//! written while the pages were fetched comes (again) with the next. Rows are filtered by the difference's own base throughout.

use rusqlite::Connection;
use tertulia_proto::sync::SyncConversation;
use tertulia_proto::{ConversationId, UserId};
use tertulia_store::{DifferencePage, SyncFrom};

use crate::read::accounts::{limit_of, log_state};
use crate::read::{conversations, history};
use crate::rows::{MESSAGE_COLUMNS, MessageRow, Sql, message_from, message_key, user_no, with_reactions};

/// Rows of a page, all conversations together, after which no further conversation is begun.
const ROWS_MAX: usize = 1000;

struct Changed {
    no: i64,
    id: ConversationId,
    removed: bool,
    joined_pos: i64,
}

pub(crate) fn page(
    connection: &Connection,
    user: UserId,
    from: SyncFrom,
    conversations_max: usize,
    messages_max: usize,
) -> Sql<DifferencePage> {
    let position = log_state(connection)?.position;
    // Where the first page stood.
    let target = from.within.map_or(position, |(target, _)| target);
    let done = SyncFrom { base: target, within: None };
    let mut page = DifferencePage { conversations: Vec::new(), removed: Vec::new(), next: done, has_more: false };
    if from.base >= position && from.within.is_none() {
        return Ok(page);
    }
    let Some(user_no) = user_no(connection, user)? else { return Ok(page) };
    let mut last = None;
    let mut rows = 0;
    for changed in changed(connection, user_no, from, conversations_max.saturating_add(1))? {
        if page.conversations.len() + page.removed.len() >= conversations_max || rows >= ROWS_MAX {
            page.has_more = true;
            page.next = SyncFrom { base: from.base, within: last };
            break;
        }
        last = Some((target, changed.id));
        if changed.removed {
            page.removed.push(changed.id);
        } else if let Some(conversation) = one(connection, user, &changed, from, messages_max)? {
            rows += conversation.messages.len() + conversation.conversation.members.as_ref().map_or(0, |m| m.len());
            page.conversations.push(conversation);
        }
    }
    Ok(page)
}

fn changed(connection: &Connection, user_no: i64, from: SyncFrom, limit: usize) -> Sql<Vec<Changed>> {
    let after = from.within.map_or([0; 16], |(_, id)| *id.as_bytes());
    connection
        .prepare_cached(
            // A removed member learns of the removal, and of nothing after it. A client that has nothing yet need not hear of it at all.
            "SELECT no, id, removed, joined_pos FROM (
                SELECT c.no AS no, c.id AS id, m.removed_at IS NOT NULL AS removed, m.joined_pos AS joined_pos,
                    CASE WHEN m.removed_at IS NULL THEN max(c.pos, m.pos) ELSE m.pos END AS pos
                FROM members m JOIN conversations c ON c.no = m.conversation_no WHERE m.user_no = ?1)
             WHERE pos > ?2 AND id > ?3 AND NOT (removed AND ?4) ORDER BY id LIMIT ?5",
        )?
        .query_map((user_no, from.base, after.as_slice(), from == SyncFrom::BEGINNING, limit_of(limit)), |row| {
            Ok(Changed {
                no: row.get(0)?,
                id: ConversationId::from_bytes(row.get(1)?),
                removed: row.get(2)?,
                joined_pos: row.get(3)?,
            })
        })?
        .collect()
}

fn one(
    connection: &Connection,
    user: UserId,
    changed: &Changed,
    from: SyncFrom,
    messages_max: usize,
) -> Sql<Option<SyncConversation>> {
    let Some(view) = conversations::view(connection, user, changed.id)? else { return Ok(None) };
    // Who joined since gets it whole, whatever the cursor says.
    let rejoined = changed.joined_pos > from.base;
    let base = if rejoined { 0 } else { from.base };
    let mut conversation = view.conversation;
    // Only a client that has nothing at all need not hear who is gone: others may hold the conversation from an earlier page or an earlier stay.
    let above = (from != SyncFrom::BEGINNING).then_some(base);
    conversation.members = Some(conversations::members(connection, changed.no, above)?.into());
    let floor = message_key(changed.no, view.visible_after_seq);
    let end = message_key(changed.no, conversation.last_seq + 1);

    let mut rows = history::rows(connection, changed.id, (floor, end), true, messages_max.saturating_add(1))?;
    let older = rows.iter().position(|row| row.born_pos <= base).unwrap_or(rows.len());
    rows.truncate(older);
    let (mut hole_before, mut stale_before) = (None, None);
    if rows.len() > messages_max {
        rows.truncate(messages_max);
        hole_before = rows.last().map(|row| row.message.seq);
    }
    if base > 0 {
        // Of what is in the hole nothing is sent: it comes whole when the hole is filled.
        let oldest_new = rows.last().map_or(end, |row| row.key);
        let known_end = if hole_before.is_some() {
            first_born_after(connection, changed.no, floor, oldest_new, base)?
        } else {
            oldest_new
        };
        let mut older = amended(connection, changed, base, (floor, known_end), messages_max.saturating_add(1))?;
        if older.len() > messages_max {
            older.truncate(messages_max);
            stale_before = older.last().map(|row| row.message.seq);
        }
        rows.extend(older);
    }
    // Live events and the pages of a longer difference run ahead of the cursor, so the client may hold messages that lie in this hole, and they may
    // have changed. Only who has nothing holds nothing there.
    if from != SyncFrom::BEGINNING {
        stale_before = stale_before.max(hole_before);
    }
    rows.reverse();
    Ok(Some(SyncConversation { conversation, messages: with_reactions(connection, rows)?, hole_before, stale_before }))
}

/// The lowest key above `floor` that was born after `base`: births are in key order, so it is found by halving.
fn first_born_after(connection: &Connection, no: i64, floor: i64, high: i64, base: i64) -> Sql<i64> {
    let mut born = connection.prepare_cached("SELECT born_pos FROM messages WHERE key = ?1")?;
    let (mut low, mut high) = (floor.max(message_key(no, 0)), high);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let born_pos: i64 = born.query_row([middle], |row| row.get(0))?;
        if born_pos > base { high = middle } else { low = middle }
    }
    Ok(high)
}

/// Messages the client has that were edited, deleted or reacted to, newest first.
fn amended(
    connection: &Connection,
    changed: &Changed,
    base: i64,
    (floor, end): (i64, i64),
    limit: usize,
) -> Sql<Vec<MessageRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {MESSAGE_COLUMNS} FROM messages x JOIN users s ON s.no = x.sender_no
             WHERE x.key >> 32 = ?1 AND x.amended = 1 AND x.pos > ?2 AND x.key > ?3 AND x.key < ?4 ORDER BY x.key DESC LIMIT ?5"
        ))?
        .query_map((changed.no, base, floor, end, limit_of(limit)), |row| message_from(row, 0, changed.id))?
        .collect()
}
