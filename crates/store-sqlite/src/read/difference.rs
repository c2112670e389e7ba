//! The difference: what changed for one person above a commit position, or above what they say they hold.
//!
//! Conversations are handed over in the order of their ids, each once, so that a difference ends however much is written meanwhile. The base of the
//! next one is the position of the first page's snapshot: everything at or below it has been handed over when the last page has, and what was
//! written while the pages were fetched comes (again) with the next. Rows are filtered by the difference's own base throughout.
//!
//! Who says by `rev` what they hold of a conversation gets the rows above that `rev`, wherever the base is: they have heard what lies between.

use rusqlite::Connection;
use tertulia_proto::sync::{Held, SyncConversation};
use tertulia_proto::{ConversationId, Message, Seq, UserId};
use tertulia_store::{ChangedFor, DifferencePage, Holdings, SyncFrom};

use crate::read::accounts::{limit_of, log_state};
use crate::read::conversations::{Above, View};
use crate::read::{conversations, history};
use crate::rows::{MESSAGE_COLUMNS, MessageRow, Sql, message_from, message_key, user_no, with_reactions};

/// Rows of a page, all conversations together, after which no further conversation is begun.
const ROWS_MAX: usize = 1000;

/// Bytes of messages of a page, after which no further conversation is begun: a page has to come through on a slow line before its reader gives up.
const BYTES_MAX: usize = 256 * 1024;

#[derive(Debug, Clone, Copy)]
pub(crate) struct PageMax {
    pub conversations: usize,
    /// New ones of each conversation, and as many that were amended.
    pub messages: usize,
}

struct Changed {
    no: i64,
    id: ConversationId,
    removed: bool,
    joined_pos: i64,
    held: Option<Held>,
}

/// What is told of a conversation's messages; the rows newest first.
struct Told {
    rows: Vec<MessageRow>,
    hole_before: Option<Seq>,
    stale_before: Option<Seq>,
}

pub(crate) fn page(
    connection: &Connection,
    user: UserId,
    from: SyncFrom,
    have: Option<&Holdings>,
    max: PageMax,
) -> Sql<DifferencePage> {
    let position = log_state(connection)?.position;
    // Where the first page stood.
    let target = from.within.map_or(position, |(target, _)| target);
    let done = SyncFrom { base: target, within: None };
    let mut page =
        DifferencePage { conversations: Vec::new(), removed: Vec::new(), next: done, has_more: false, reset: false };
    if from.base >= position && from.within.is_none() && have.is_none() {
        return Ok(page);
    }
    let Some(user_no) = user_no(connection, user)? else { return Ok(page) };
    let limit = max.conversations.saturating_add(1);
    let changed = match have {
        None => Some(changed(connection, user_no, from, limit)?),
        Some(have) => changed_beyond(connection, user_no, from, have, limit)?,
    };
    let Some(changed) = changed else {
        let everything = self::page(connection, user, SyncFrom::BEGINNING, None, max)?;
        return Ok(DifferencePage { reset: true, ..everything });
    };
    let mut last = None;
    let (mut rows, mut bytes) = (0, 0);
    for changed in changed {
        if page.conversations.len() + page.removed.len() >= max.conversations || rows >= ROWS_MAX || bytes >= BYTES_MAX
        {
            page.has_more = true;
            page.next = SyncFrom { base: from.base, within: last };
            break;
        }
        last = Some((target, changed.id));
        if changed.removed {
            page.removed.push(changed.id);
        } else if let Some(conversation) = one(connection, user, &changed, from, have.is_some(), max.messages)? {
            bytes += conversation.messages.iter().map(Message::size_hint).sum::<usize>();
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
                held: None,
            })
        })?
        .collect()
}

/// The same for a client that says what it holds; `None` where it holds what is not in this log.
///
/// Of a conversation that the person was removed from, nothing after that may be told, nor be guessed at by claims.
fn changed_beyond(
    connection: &Connection,
    user_no: i64,
    from: SyncFrom,
    have: &Holdings,
    limit: usize,
) -> Sql<Option<Vec<Changed>>> {
    let mut places = connection.prepare_cached(
        "SELECT c.no, c.id, m.removed_at IS NOT NULL, m.joined_pos, m.personal_pos,
            CASE WHEN m.removed_at IS NULL THEN max(c.pos, m.pos) ELSE m.pos END,
            CASE WHEN m.removed_at IS NULL THEN c.rev ELSE m.rev END, c.last_seq
         FROM members m JOIN conversations c ON c.no = m.conversation_no WHERE m.user_no = ?1",
    )?;
    let mut places = places.query([user_no])?;
    let mut known = 0;
    let mut found = Vec::new();
    while let Some(row) = places.next()? {
        let (id, removed, joined_pos): (_, bool, i64) =
            (ConversationId::from_bytes(row.get(1)?), row.get(2)?, row.get(3)?);
        let (personal_pos, pos, rev, last_seq): (i64, i64, i64, i64) =
            (row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?);
        let mut held = have.get(&id).copied();
        known += usize::from(held.is_some());
        if held.is_some_and(|held| held.rev > rev || (!removed && held.last_seq > last_seq)) {
            return Ok(None);
        }
        // Who joined since gets it whole: what they hold may be of an earlier stay.
        held = held.filter(|_| !removed && joined_pos <= from.base);
        let is_told = match held {
            Some(held) => rev > held.rev || personal_pos > from.base,
            None => pos > from.base && !(removed && from == SyncFrom::BEGINNING),
        };
        if is_told && from.within.is_none_or(|(_, after)| id > after) {
            found.push(Changed { no: row.get(0)?, id, removed, joined_pos, held });
        }
    }
    if known < have.len() {
        for id in have.keys() {
            if history::conversation_no(connection, *id)?.is_none() {
                return Ok(None);
            }
        }
    }
    found.sort_unstable_by_key(|changed| changed.id);
    found.truncate(limit);
    Ok(Some(found))
}

/// The heads of the differences of several people.
pub(crate) fn changed_for(connection: &Connection, people: &[UserId], above: i64) -> Sql<Vec<ChangedFor>> {
    let mut places = connection.prepare_cached(
        "SELECT c.id, CASE WHEN m.removed_at IS NULL THEN c.rev ELSE m.rev END, m.removed_at IS NULL, m.personal_pos > ?2
         FROM users u JOIN members m ON m.user_no = u.no JOIN conversations c ON c.no = m.conversation_no
         WHERE u.id = ?1 AND CASE WHEN m.removed_at IS NULL THEN max(c.pos, m.pos, m.personal_pos) ELSE m.pos END > ?2",
    )?;
    let mut found = Vec::new();
    for user in people {
        let rows = places.query_map((user.as_bytes(), above), |row| {
            Ok(ChangedFor {
                user: *user,
                conversation: ConversationId::from_bytes(row.get(0)?),
                rev: row.get(1)?,
                is_member: row.get(2)?,
                is_personal: row.get(3)?,
            })
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(found)
}

fn one(
    connection: &Connection,
    user: UserId,
    changed: &Changed,
    from: SyncFrom,
    says_what_it_holds: bool,
    messages_max: usize,
) -> Sql<Option<SyncConversation>> {
    let Some(view) = conversations::view(connection, user, changed.id)? else { return Ok(None) };
    // Who joined since gets it whole, whatever the cursor says.
    let rejoined = changed.joined_pos > from.base;
    let base = if rejoined { 0 } else { from.base };
    let above = match changed.held {
        Some(held) => Some(Above::Rev(held.rev)),
        // Only a client that has nothing at all need not hear who is gone: others may hold the conversation from an earlier page or an earlier stay.
        None => (from != SyncFrom::BEGINNING).then_some(Above::Pos(base)),
    };
    let members = conversations::members(connection, changed.no, above)?.into();
    let mut told = match changed.held {
        Some(held) => above_held(connection, changed, &view, held, messages_max)?,
        None => above_base(connection, changed, &view, base, messages_max)?,
    };
    // Live events and the pages of a longer difference run ahead of the cursor, so the client may hold messages that lie in this hole, and they may
    // have changed. Only who has nothing holds nothing there, and who says what they hold, unless they have it from an earlier stay.
    if from != SyncFrom::BEGINNING && (rejoined || !says_what_it_holds) {
        told.stale_before = told.stale_before.max(told.hole_before);
    }
    told.rows.reverse();
    let Told { rows, hole_before, stale_before } = told;
    let mut conversation = view.conversation;
    conversation.members = Some(members);
    Ok(Some(SyncConversation { conversation, messages: with_reactions(connection, rows)?, hole_before, stale_before }))
}

/// The new messages are those behind the last one held, the older ones those that were amended since.
fn above_held(connection: &Connection, changed: &Changed, view: &View, held: Held, messages_max: usize) -> Sql<Told> {
    let visible = message_key(changed.no, view.visible_after_seq);
    let held_end = message_key(changed.no, held.last_seq.max(view.visible_after_seq) + 1);
    let end = message_key(changed.no, view.conversation.last_seq + 1);
    let new = history::rows(connection, changed.id, (held_end - 1, end), true, messages_max.saturating_add(1))?;
    let (mut rows, hole_before) = page_of(new, messages_max);
    let limit = messages_max.saturating_add(1);
    let older = amended(connection, changed, Above::Rev(held.rev), (visible, held_end), limit)?;
    let (older, stale_before) = page_of(older, messages_max);
    rows.extend(older);
    Ok(Told { rows, hole_before, stale_before })
}

/// The new messages are those born above the base.
fn above_base(connection: &Connection, changed: &Changed, view: &View, base: i64, messages_max: usize) -> Sql<Told> {
    let floor = message_key(changed.no, view.visible_after_seq);
    let end = message_key(changed.no, view.conversation.last_seq + 1);
    let mut new = history::rows(connection, changed.id, (floor, end), true, messages_max.saturating_add(1))?;
    let older = new.iter().position(|row| row.born_pos <= base).unwrap_or(new.len());
    new.truncate(older);
    let (mut rows, hole_before) = page_of(new, messages_max);
    let mut stale_before = None;
    if base > 0 {
        // Of what is in the hole nothing is sent: it comes whole when the hole is filled.
        let oldest_new = rows.last().map_or(end, |row| row.key);
        let known_end = if hole_before.is_some() {
            first_born_after(connection, changed.no, floor, oldest_new, base)?
        } else {
            oldest_new
        };
        let limit = messages_max.saturating_add(1);
        let older = amended(connection, changed, Above::Pos(base), (floor, known_end), limit)?;
        let (older, overflow) = page_of(older, messages_max);
        stale_before = overflow;
        rows.extend(older);
    }
    Ok(Told { rows, hole_before, stale_before })
}

/// The newest page of rows, and where it begins if there are more.
fn page_of(mut rows: Vec<MessageRow>, max: usize) -> (Vec<MessageRow>, Option<Seq>) {
    if rows.len() <= max {
        return (rows, None);
    }
    rows.truncate(max);
    let begins = rows.last().map(|row| row.message.seq);
    (rows, begins)
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
    above: Above,
    (floor, end): (i64, i64),
    limit: usize,
) -> Sql<Vec<MessageRow>> {
    let (column, above) = match above {
        Above::Pos(pos) => ("pos", pos),
        Above::Rev(rev) => ("rev", rev),
    };
    connection
        .prepare_cached(&format!(
            "SELECT {MESSAGE_COLUMNS} FROM messages x JOIN users s ON s.no = x.sender_no
             WHERE x.key >> 32 = ?1 AND x.amended = 1 AND x.{column} > ?2 AND x.key > ?3 AND x.key < ?4 ORDER BY x.key DESC LIMIT ?5"
        ))?
        .query_map((changed.no, above, floor, end, limit_of(limit)), |row| message_from(row, 0, changed.id))?
        .collect()
}
