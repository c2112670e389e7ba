//! The difference: what changed for one person above a position, or above what they say they hold.
//!
//! Conversations are handed over in the order of their ids, each once, so that a difference ends however much is written meanwhile. The base of the
//! next one is the horizon of the first page's snapshot: every transaction at or below it had ended then, so its rows have been handed over when the
//! last page has. Transactions above the horizon may have been seen as well; their rows come again with the next difference. So nothing is concluded
//! here from `base >= position`: the horizon stands still while rows above it arrive (docs/adr/0008).
//!
//! Some conversations are read at a time, with the same number of statements whatever they hold.
//!
//! What changed, and the cursor, are read first ([`plan`]); what the conversations hold after it ([`fill`]), perhaps from a replica.

use std::collections::HashMap;
use std::sync::Arc;

use tertulia_proto::sync::{Held, SyncConversation};
use tertulia_proto::{Conversation, ConversationId, Member, Message, Seq, UserId};
use tertulia_store::{ChangedFor, DifferencePage, Holdings, LogState, SyncFrom};
use uuid::Uuid;

use crate::error::Sql;
use crate::read::accounts::{generation_and_state, limit_of};
use crate::read::conversations;
use crate::read::conversations::{Above, View};
use crate::read::warrant::{Head, Warrant};
use crate::rows::{MessageRow, at, conversation_at, message_columns, message_from, with_reactions};
use crate::session::Session;

/// Rows of a page, all conversations together, after which no further conversation is begun.
const ROWS_MAX: usize = 1000;

/// Bytes of messages of a page, after which no further conversation is begun: a page has to come through on a slow line before its reader gives up.
const BYTES_MAX: usize = 256 * 1024;

/// Conversations read together. More than a page's bounds let through is read for nothing.
const TOGETHER: usize = 25;

#[derive(Debug, Clone, Copy)]
pub(crate) struct PageMax {
    pub conversations: usize,
    /// New ones of each conversation, and as many that were amended.
    pub messages: usize,
}

/// What is to be told, and of what: all that only the log itself can say.
pub(crate) struct Plan {
    asked: Asked,
    changed: Vec<Changed>,
    target: i64,
    reset: bool,
    conversations_max: usize,
    generation: i64,
}

impl Plan {
    /// What whoever reads the contents must have; `None` where there are none to be read.
    fn warrant(&self) -> Option<Warrant> {
        let told = self.changed.iter().take(self.conversations_max);
        let heads: Vec<Head> = told.filter(|changed| !changed.removed).map(|changed| changed.head).collect();
        (!heads.is_empty()).then(|| Warrant::new(self.asked.user, self.generation, heads))
    }
}

/// Who asks for what.
struct Asked {
    user: UserId,
    from: SyncFrom,
    says_what_it_holds: bool,
    messages_max: usize,
}

struct Changed {
    id: ConversationId,
    head: Head,
    removed: bool,
    joined_pos: i64,
    held: Option<Held>,
}

/// What is told of a conversation's messages; the rows newest first.
#[derive(Default)]
struct Told {
    rows: Vec<MessageRow>,
    hole_before: Option<Seq>,
    stale_before: Option<Seq>,
}

pub(crate) async fn page(
    session: &Session,
    user: UserId,
    from: SyncFrom,
    have: Option<&Holdings>,
    max: PageMax,
) -> Sql<DifferencePage> {
    fill(session, &plan(session, user, from, have, max).await?).await
}

/// What only the log itself can say has been said.
pub(crate) enum Begun {
    /// There is no more to it.
    Done(DifferencePage),
    /// The contents are to be read by whoever has what the warrant says.
    Planned(Arc<Plan>, Warrant),
}

/// The first half of [`page`]; [`fill`] is the other.
pub(crate) async fn begun(
    session: &Session,
    user: UserId,
    from: SyncFrom,
    have: Option<&Holdings>,
    max: PageMax,
) -> Sql<Begun> {
    let plan = plan(session, user, from, have, max).await?;
    match plan.warrant() {
        Some(warrant) => Ok(Begun::Planned(Arc::new(plan), warrant)),
        None => Ok(Begun::Done(fill(session, &plan).await?)),
    }
}

/// What changed, and where the next difference begins.
async fn plan(session: &Session, user: UserId, from: SyncFrom, have: Option<&Holdings>, max: PageMax) -> Sql<Plan> {
    let (generation, LogState { position, end, .. }) = generation_and_state(session).await?;
    // Where the first page stood. What was shown once stays shown, though the horizon may fall a little: what works for the search counts in it for a moment.
    let target = from.within.map_or(position.max(from.base), |(target, _)| target);
    let limit = max.conversations.saturating_add(1);
    let changed = match have {
        // What was handed out earlier can't be above the end: this log has gone back.
        _ if from.base > end || target > end => None,
        None => Some(changed(session, user, from, limit).await?),
        Some(have) => changed_beyond(session, user, from, have, limit).await?,
    };
    let conversations_max = max.conversations;
    if let Some(changed) = changed {
        let asked = Asked { user, from, says_what_it_holds: have.is_some(), messages_max: max.messages };
        return Ok(Plan { asked, changed, target, reset: false, conversations_max, generation });
    }
    let from = SyncFrom::BEGINNING;
    let asked = Asked { user, from, says_what_it_holds: false, messages_max: max.messages };
    let changed = self::changed(session, user, from, limit).await?;
    Ok(Plan { asked, changed, target: position, reset: true, conversations_max, generation })
}

/// A page of the changed conversations, as many as its bounds let through.
pub(crate) async fn fill(session: &Session, plan: &Plan) -> Sql<DifferencePage> {
    let Plan { asked, changed, target, reset, conversations_max, .. } = plan;
    let next = SyncFrom { base: *target, within: None };
    let (conversations, removed) = (Vec::new(), Vec::new());
    let mut page = DifferencePage { conversations, removed, next, has_more: false, reset: *reset };
    let (mut last, mut rows, mut bytes) = (None, 0, 0);
    for together in changed.chunks(TOGETHER) {
        let mut read = read(session, asked, together).await?;
        for changed in together {
            let count = page.conversations.len() + page.removed.len();
            if count >= *conversations_max || rows >= ROWS_MAX || bytes >= BYTES_MAX {
                page.has_more = true;
                page.next = SyncFrom { base: asked.from.base, within: last };
                return Ok(page);
            }
            last = Some((*target, changed.id));
            if changed.removed {
                page.removed.push(changed.id);
            } else if let Some(conversation) = read.remove(&changed.id) {
                bytes += conversation.messages.iter().map(Message::size_hint).sum::<usize>();
                rows += conversation.messages.len() + conversation.conversation.members.as_ref().map_or(0, |m| m.len());
                page.conversations.push(conversation);
            }
        }
    }
    Ok(page)
}

/// A removed member learns of the removal, and of nothing after it. A client that has nothing yet need not hear of it at all.
const CHANGED: &str = "SELECT id, removed, joined_pos, rev, version FROM (
        SELECT c.id AS id, m.removed_at IS NOT NULL AS removed, m.joined_pos AS joined_pos, c.rev AS rev, m.xmin::text::bigint AS version,
            CASE WHEN m.removed_at IS NULL THEN greatest(c.pos, m.pos) ELSE m.pos END AS pos
        FROM members m JOIN conversations c ON c.id = m.conversation_id WHERE m.user_id = $1) p
     WHERE pos > $2 AND id > $3 AND NOT (removed AND $4) ORDER BY id LIMIT $5";

async fn changed(session: &Session, user: UserId, from: SyncFrom, limit: usize) -> Sql<Vec<Changed>> {
    let after = from.within.map_or(Uuid::nil(), |(_, id)| id.uuid());
    let begins = from == SyncFrom::BEGINNING;
    let rows = session.rows(CHANGED, &[&user.uuid(), &from.base, &after, &begins, &limit_of(limit)]).await?;
    rows.iter()
        .map(|row| {
            let (id, removed, joined_pos) = (conversation_at(row, 0)?, at(row, 1)?, at(row, 2)?);
            let head = Head::new(id, at(row, 3)?, at(row, 4)?);
            Ok(Changed { id, head, removed, joined_pos, held: None })
        })
        .collect()
}

const CHANGED_FOR: &str =
    "SELECT c.id, m.user_id, CASE WHEN m.removed_at IS NULL THEN c.rev ELSE m.rev END, m.removed_at IS NULL,
        m.personal_pos > $2
     FROM members m JOIN conversations c ON c.id = m.conversation_id
     WHERE m.user_id = ANY($1)
        AND CASE WHEN m.removed_at IS NULL THEN greatest(c.pos, m.pos, m.personal_pos) ELSE m.pos END > $2";

/// The heads of the differences of several people.
pub(crate) async fn changed_for(session: &Session, people: &[UserId], above: i64) -> Sql<Vec<ChangedFor>> {
    let people: Vec<Uuid> = people.iter().map(UserId::uuid).collect();
    let rows = session.rows(CHANGED_FOR, &[&people, &above]).await?;
    rows.iter()
        .map(|row| {
            Ok(ChangedFor {
                conversation: conversation_at(row, 0)?,
                user: UserId::from_uuid(at(row, 1)?),
                rev: at(row, 2)?,
                is_member: at(row, 3)?,
                is_personal: at(row, 4)?,
            })
        })
        .collect()
}

const PLACES: &str = "SELECT c.id, m.removed_at IS NOT NULL, m.joined_pos, m.personal_pos,
        CASE WHEN m.removed_at IS NULL THEN greatest(c.pos, m.pos) ELSE m.pos END,
        CASE WHEN m.removed_at IS NULL THEN c.rev ELSE m.rev END, c.last_seq, m.xmin::text::bigint
     FROM members m JOIN conversations c ON c.id = m.conversation_id WHERE m.user_id = $1";

/// The same for a client that says what it holds; `None` where it holds what is not in this log.
///
/// Of a conversation that the person was removed from, nothing after that may be told, nor be guessed at by claims.
async fn changed_beyond(
    session: &Session,
    user: UserId,
    from: SyncFrom,
    have: &Holdings,
    limit: usize,
) -> Sql<Option<Vec<Changed>>> {
    let mut unknown: Vec<Uuid> = Vec::new();
    let mut known = 0;
    let mut found = Vec::new();
    for row in session.rows(PLACES, &[&user.uuid()]).await? {
        let (id, removed, joined_pos): (_, bool, i64) = (conversation_at(&row, 0)?, at(&row, 1)?, at(&row, 2)?);
        let (personal_pos, pos, rev, last_seq): (i64, i64, i64, i64) =
            (at(&row, 3)?, at(&row, 4)?, at(&row, 5)?, at(&row, 6)?);
        let mut held = have.get(&id).copied();
        known += usize::from(held.is_some());
        if held.is_some_and(|held| held.rev > rev || (!removed && held.last_seq > last_seq)) {
            return Ok(None);
        }
        // Who joined since gets it whole: what they hold may be of an earlier stay. Whoever joined in a transaction that the base does not cover has
        // joined above it; some who joined before it have too, and get it whole once more.
        held = held.filter(|_| !removed && joined_pos <= from.base);
        let is_told = match held {
            Some(held) => rev > held.rev || personal_pos > from.base,
            None => pos > from.base && !(removed && from == SyncFrom::BEGINNING),
        };
        if is_told && from.within.is_none_or(|(_, after)| id > after) {
            let head = Head::new(id, rev, at(&row, 7)?);
            found.push(Changed { id, head, removed, joined_pos, held });
        }
    }
    if known < have.len() {
        unknown.extend(have.keys().map(ConversationId::uuid));
        let count = "SELECT count(*) FROM unnest($1::uuid[]) AS w (id) JOIN conversations c ON c.id = w.id";
        let there: i64 = at(&session.one(count, &[&unknown]).await?, 0)?;
        if usize::try_from(there).unwrap_or(0) < have.len() {
            return Ok(None);
        }
    }
    found.sort_unstable_by_key(|changed| changed.id);
    found.truncate(limit);
    Ok(Some(found))
}

/// What is told of each of these conversations that the person is a member of.
async fn read(
    session: &Session,
    asked: &Asked,
    together: &[Changed],
) -> Sql<HashMap<ConversationId, SyncConversation>> {
    let present: Vec<&Changed> = together.iter().filter(|changed| !changed.removed).collect();
    if present.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<ConversationId> = present.iter().map(|changed| changed.id).collect();
    let wanted: Vec<(ConversationId, Above)> =
        present.iter().map(|changed| (changed.id, asked.above(changed))).collect();
    let (views, members) =
        futures_util::join!(conversations::views(session, asked.user, &ids), conversations::members(session, &wanted));
    let (mut views, mut members) = (views?, members?);
    let mut told = told(session, asked, &present, &views).await?;
    let (mut counts, mut rows) = (Vec::new(), Vec::new());
    for changed in &present {
        let told = told.entry(changed.id).or_default();
        // Live events and the pages of a longer difference run ahead of the cursor, so the client may hold messages that lie in this hole, and they may
        // have changed. Only who has nothing holds nothing there, and who says what they hold, unless they have it from an earlier stay.
        if asked.from != SyncFrom::BEGINNING && (asked.rejoined(changed) || !asked.says_what_it_holds) {
            told.stale_before = told.stale_before.max(told.hole_before);
        }
        told.rows.reverse();
        counts.push(told.rows.len());
        rows.append(&mut told.rows);
    }
    let mut messages = with_reactions(session, rows).await?.into_iter();
    let mut found = HashMap::new();
    for (changed, count) in present.iter().zip(counts) {
        let messages: Vec<Message> = messages.by_ref().take(count).collect();
        let (Some(view), Some(told)) = (views.remove(&changed.id), told.remove(&changed.id)) else { continue };
        let members: Vec<Member> = members.remove(&changed.id).unwrap_or_default();
        let conversation = Conversation { members: Some(members.into()), ..view.conversation };
        let Told { hole_before, stale_before, .. } = told;
        found.insert(changed.id, SyncConversation { conversation, messages, hole_before, stale_before });
    }
    Ok(found)
}

impl Asked {
    /// Who joined since gets it whole, whatever the cursor says.
    const fn rejoined(&self, changed: &Changed) -> bool {
        changed.joined_pos > self.from.base
    }

    const fn base(&self, changed: &Changed) -> i64 {
        if self.rejoined(changed) { 0 } else { self.from.base }
    }

    /// Which member rows: only a client that has nothing at all need not hear who is gone; others may hold the conversation from an earlier page or an
    /// earlier stay.
    fn above(&self, changed: &Changed) -> Above {
        match changed.held {
            Some(held) => Above::Rev(held.rev),
            None if self.from == SyncFrom::BEGINNING => Above::Nothing,
            None => Above::Pos(self.base(changed)),
        }
    }
}

/// Where the new messages of a conversation are looked for, and where the older ones end.
struct Range {
    id: ConversationId,
    above: Above,
    /// Exclusive.
    low: Seq,
    /// Exclusive.
    end: Seq,
    visible_after_seq: Seq,
}

/// The new messages, and the older ones that were amended since: above what is held, or above the base.
async fn told(
    session: &Session,
    asked: &Asked,
    present: &[&Changed],
    views: &HashMap<ConversationId, View>,
) -> Sql<HashMap<ConversationId, Told>> {
    let ranges: Vec<Range> =
        present.iter().filter_map(|changed| Some(asked.range(changed, views.get(&changed.id)?))).collect();
    let max = asked.messages_max;
    let mut new = new_rows(session, &ranges, max.saturating_add(1)).await?;
    let mut found: HashMap<ConversationId, Told> = HashMap::new();
    let mut older: Vec<Range> = Vec::new();
    let mut halved: Vec<Range> = Vec::new();
    for range in ranges {
        let (rows, hole_before) = page_of(new.remove(&range.id).unwrap_or_default(), max);
        let oldest_new = rows.last().map_or(range.end, |row| row.message.seq);
        found.insert(range.id, Told { rows, hole_before, stale_before: None });
        let low = range.visible_after_seq;
        match range.above {
            Above::Rev(_) => older.push(Range { end: range.low + 1, low, ..range }),
            // Of what is in the hole nothing is sent: it comes whole when the hole is filled.
            Above::Pos(base) if base > 0 && hole_before.is_some() => {
                halved.push(Range { end: oldest_new, low, ..range })
            }
            Above::Pos(base) if base > 0 => older.push(Range { end: oldest_new, low, ..range }),
            Above::Pos(_) | Above::Nothing => {}
        }
    }
    older.extend(first_born_after(session, halved).await?);
    let mut amended = amended(session, &older, max.saturating_add(1)).await?;
    for range in older {
        let (rows, stale_before) = page_of(amended.remove(&range.id).unwrap_or_default(), max);
        let told = found.entry(range.id).or_default();
        told.rows.extend(rows);
        told.stale_before = stale_before;
    }
    Ok(found)
}

impl Asked {
    fn range(&self, changed: &Changed, view: &View) -> Range {
        let visible_after_seq = view.visible_after_seq;
        let (low, above) = match changed.held {
            // The new messages are those behind the last one held.
            Some(held) => (held.last_seq.max(visible_after_seq), Above::Rev(held.rev)),
            // The new messages are those born above the base.
            None => (visible_after_seq, Above::Pos(self.base(changed))),
        };
        Range { id: changed.id, above, low, end: view.conversation.last_seq + 1, visible_after_seq }
    }
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

/// Walks each conversation from its end down, at most so many rows, and keeps what was born above. Births never fall along a conversation.
const NEW_ROWS: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS w (conversation_id, low, high, born)
     CROSS JOIN LATERAL (SELECT x.* FROM messages x WHERE x.conversation_id = w.conversation_id AND x.seq > w.low AND x.seq < w.high
        ORDER BY x.seq DESC LIMIT $5) x
     JOIN users s ON s.id = x.sender_id WHERE x.born_pos > w.born ORDER BY x.conversation_id, x.seq DESC"
);

async fn new_rows(session: &Session, ranges: &[Range], limit: usize) -> Sql<HashMap<ConversationId, Vec<MessageRow>>> {
    let (mut ids, mut lows, mut ends, mut born) = (Vec::<Uuid>::new(), Vec::new(), Vec::new(), Vec::<i64>::new());
    for range in ranges {
        ids.push(range.id.uuid());
        lows.push(range.low);
        ends.push(range.end);
        born.push(if let Above::Pos(base) = range.above { base } else { -1 });
    }
    grouped(session.rows(NEW_ROWS, &[&ids, &lows, &ends, &born, &limit_of(limit)]).await?)
}

fn grouped(rows: Vec<tokio_postgres::Row>) -> Sql<HashMap<ConversationId, Vec<MessageRow>>> {
    let mut found: HashMap<ConversationId, Vec<MessageRow>> = HashMap::new();
    for row in rows {
        let message = message_from(&row, 0)?;
        found.entry(message.message.conversation_id).or_default().push(message);
    }
    Ok(found)
}

/// The lowest seq above `low` that was born above the base: births are in order of seq, so it is found by halving.
const FIRST_BORN: &str = "WITH RECURSIVE h (conversation_id, low, high, base) AS (
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[])
        UNION ALL
        SELECT h.conversation_id, CASE WHEN x.born_pos > h.base THEN h.low ELSE x.seq END,
            CASE WHEN x.born_pos > h.base THEN x.seq ELSE h.high END, h.base
        FROM h CROSS JOIN LATERAL (SELECT x.seq, x.born_pos FROM messages x
            WHERE x.conversation_id = h.conversation_id AND x.seq = h.low + (h.high - h.low) / 2 OFFSET 0) x
        WHERE h.high - h.low > 1)
     SELECT conversation_id, high FROM h WHERE high - low <= 1";

/// Ends each range where the messages begin that were born above its base.
async fn first_born_after(session: &Session, ranges: Vec<Range>) -> Sql<Vec<Range>> {
    if ranges.is_empty() {
        return Ok(ranges);
    }
    let (mut ids, mut lows, mut ends, mut bases) = (Vec::<Uuid>::new(), Vec::new(), Vec::new(), Vec::<i64>::new());
    for range in &ranges {
        ids.push(range.id.uuid());
        lows.push(range.low);
        ends.push(range.end);
        bases.push(if let Above::Pos(base) = range.above { base } else { 0 });
    }
    let mut first: HashMap<ConversationId, Seq> = HashMap::new();
    for row in session.rows(FIRST_BORN, &[&ids, &lows, &ends, &bases]).await? {
        first.insert(conversation_at(&row, 0)?, at(&row, 1)?);
    }
    Ok(ranges
        .into_iter()
        .map(|range| Range { end: first.get(&range.id).copied().unwrap_or(range.end), ..range })
        .collect())
}

/// The index of the amended gives the rows, few as they are, before they are sorted: by the order of seq a whole conversation would be walked.
macro_rules! amended {
    ($column:literal) => {
        concat!(
            "SELECT ",
            message_columns!(),
            " FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS w (conversation_id, above, low, high)
             CROSS JOIN LATERAL (SELECT a.* FROM (SELECT x.* FROM messages x
                    WHERE x.conversation_id = w.conversation_id AND x.amended AND x.",
            $column,
            " > w.above AND x.seq > w.low AND x.seq < w.high OFFSET 0) a
                ORDER BY a.seq DESC LIMIT $5) x
             JOIN users s ON s.id = x.sender_id ORDER BY x.conversation_id, x.seq DESC"
        )
    };
}

const AMENDED_BY_POS: &str = amended!("pos");
const AMENDED_BY_REV: &str = amended!("rev");

/// Messages the client has that were edited, deleted or reacted to, newest first.
async fn amended(session: &Session, ranges: &[Range], limit: usize) -> Sql<HashMap<ConversationId, Vec<MessageRow>>> {
    let mut found = HashMap::new();
    for (select, by_rev) in [(AMENDED_BY_POS, false), (AMENDED_BY_REV, true)] {
        let (mut ids, mut aboves, mut lows, mut ends) = (Vec::<Uuid>::new(), Vec::<i64>::new(), Vec::new(), Vec::new());
        for range in ranges {
            match range.above {
                Above::Pos(pos) if !by_rev => aboves.push(pos),
                Above::Rev(rev) if by_rev => aboves.push(rev),
                _ => continue,
            }
            ids.push(range.id.uuid());
            lows.push(range.low);
            ends.push(range.end);
        }
        if !ids.is_empty() {
            found.extend(grouped(session.rows(select, &[&ids, &aboves, &lows, &ends, &limit_of(limit)]).await?)?);
        }
    }
    Ok(found)
}
