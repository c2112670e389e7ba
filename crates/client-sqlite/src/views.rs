//! What screens show: the conversation list, a conversation's timeline, members, search, the badge.

use std::ops::Range;

use rusqlite::OptionalExtension;
use tertulia_engine::view::{self, Reached, Status};
use tertulia_engine::{Holes, LocalConversation, LocalMessage, LocalStore as _, MessageRef, OutboxEntry, Stored};
use tertulia_proto::{ConversationId, Member, Seq, Timestamp, UserId};

use crate::Store;
use crate::error::failure;
use crate::rows::{
    CONVERSATION_COLUMNS, MESSAGE_COLUMNS, OUTBOX_COLUMNS, Rows, Sql, conversation_from, limit_of, message_from,
    outbox_from,
};

/// A message as it is shown: what waits to be done to it is done already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownMessage {
    pub message: LocalMessage,
    /// Of a message of mine; `None` for others'.
    pub status: Option<Status>,
    /// Something waits to be done to it.
    pub is_changing: bool,
    /// Just above it messages are missing; they come when [`tertulia_engine::Command::Fill`] asks for them.
    pub hole_above: bool,
}

/// A conversation as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownConversation {
    pub conversation: LocalConversation,
    pub unread: i64,
    pub last: Option<ShownMessage>,
    /// Something of it waits for the person.
    pub has_parked: bool,
    /// What the list goes by, and then by the id: the newest message's time, also of one that waits to be sent.
    pub active_at: Timestamp,
}

/// A piece of a conversation, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    pub messages: Vec<ShownMessage>,
    /// There is more above, here or on the server.
    pub has_more: bool,
    /// What is right above the first message has to be fetched: its `seq` to be filled below, if so.
    pub fill_below: Option<Seq>,
}

impl Store {
    fn rows(&self) -> Rows<'_> {
        Rows::new(&self.connection)
    }

    pub fn account(&self) -> Stored<Option<UserId>> {
        Ok(self.rows().sync_state()?.account)
    }

    pub fn conversation(&self, id: ConversationId) -> Stored<Option<ShownConversation>> {
        let found = self.active("id = ?1", [id.as_bytes().as_slice()]).map_err(failure)?.pop();
        found.map(|(held, active_at)| self.shown_conversation(held, active_at)).transpose()
    }

    /// Newest activity first; hidden ones are left out.
    pub fn conversations(&self, limit: usize) -> Stored<Vec<ShownConversation>> {
        let listed = "NOT hidden ORDER BY active_at DESC, id DESC LIMIT ?1";
        let found = self.active(listed, [limit_of(limit)]).map_err(failure)?;
        found.into_iter().map(|(held, active_at)| self.shown_conversation(held, active_at)).collect()
    }

    fn active<P: rusqlite::Params>(&self, which: &str, params: P) -> Sql<Vec<(LocalConversation, Timestamp)>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT {CONVERSATION_COLUMNS}, max(coalesce(last_message_at, created_at),
                    coalesce((SELECT max(p.created_at) FROM messages p WHERE p.conversation_no = c.no AND p.seq IS NULL), 0)) AS active_at
                 FROM conversations c WHERE {which}"
            ))?
            .query_map(params, |row| Ok((conversation_from(row)?, Timestamp::from_ms(row.get("active_at")?))))?
            .collect()
    }

    /// All that is held, the hidden ones too, in order of their ids.
    pub fn held(&self) -> Stored<Vec<LocalConversation>> {
        let read = || -> Sql<Vec<LocalConversation>> {
            self.connection
                .prepare_cached(&format!("SELECT {CONVERSATION_COLUMNS} FROM conversations ORDER BY id"))?
                .query_map([], conversation_from)?
                .collect()
        };
        read().map_err(failure)
    }

    fn shown_conversation(&self, held: LocalConversation, active_at: Timestamp) -> Stored<ShownConversation> {
        let unread = view::unread(&held, self.rows().tombstones_above(held.id, view::read_seq(&held))?);
        let last = self.timeline(held.id, None, 1)?.messages.pop();
        let parked = || -> Sql<bool> {
            self.connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM outbox WHERE conversation_no = (SELECT no FROM conversations WHERE id = ?1) AND parked IS NOT NULL)",
                )?
                .query_row([held.id.as_bytes().as_slice()], |row| row.get(0))
        };
        let has_parked = parked().map_err(failure)?;
        Ok(ShownConversation { conversation: held, unread, last, has_parked, active_at })
    }

    /// What all badges add up to; muted conversations count for nothing.
    pub fn unread_total(&self, now_ms: i64) -> Stored<i64> {
        let read = || -> Sql<Vec<LocalConversation>> {
            self.connection
                .prepare_cached(&format!(
                    "SELECT {CONVERSATION_COLUMNS} FROM conversations
                     WHERE last_seq > max(read_seq, want_read) AND NOT gone AND NOT hidden AND NOT (CASE wants_mute WHEN 1 THEN coalesce(want_muted, 0) ELSE coalesce(muted_until, 0) END) > ?1"
                ))?
                .query_map([now_ms], conversation_from)?
                .collect()
        };
        let mut total = 0;
        for held in read().map_err(failure)? {
            total += view::unread(&held, self.rows().tombstones_above(held.id, view::read_seq(&held))?);
        }
        Ok(total)
    }

    /// The members, the removed ones left out.
    pub fn members(&self, id: ConversationId) -> Stored<Vec<Member>> {
        let mut members = self.rows().members(id).map_err(failure)?;
        members.retain(|member| !member.removed);
        Ok(members)
    }

    /// The newest messages below a place in the log (`None`: from the end, with what is pending), at most so many.
    pub fn timeline(&self, id: ConversationId, below: Option<Seq>, limit: usize) -> Stored<Timeline> {
        let Some(no) = self.number(id).map_err(failure)? else { return Ok(Timeline::default()) };
        let mut pending = if below.is_none() { self.pending(no, limit).map_err(failure)? } else { Vec::new() };
        let room = limit.saturating_sub(pending.len());
        let mut log = self.log_below(no, below.unwrap_or(Seq::MAX), room + 1).map_err(failure)?;
        let more_here = log.len() > room;
        log.truncate(room);
        log.reverse();
        let holes = self.rows().holes(id)?;
        let first = log.first().and_then(|message| message.seq);
        let missing = first.or(below).and_then(|seq| holes.at_or_below(seq - 1)).or_else(|| {
            // Nothing here at all: what there is lies in the hole.
            if first.is_none() && below.is_none() { holes.at_or_below(Seq::MAX) } else { None }
        });
        let fill_below = missing.filter(|(_, to)| first.or(below).is_none_or(|seq| *to == seq - 1) || !more_here);
        log.append(&mut pending);
        let messages = self.shown(no, log, &holes)?;
        Ok(Timeline {
            messages,
            has_more: more_here || missing.is_some(),
            fill_below: fill_below.map(|(_, to)| to + 1),
        })
    }

    /// The messages from one place in the log to below another, without what is pending. Where one of them is missing, [`Timeline::fill_below`] says so.
    pub fn stretch(&self, id: ConversationId, places: Range<Seq>) -> Stored<Timeline> {
        let Some(no) = self.number(id).map_err(failure)? else { return Ok(Timeline::default()) };
        let room = usize::try_from(places.end.saturating_sub(places.start)).unwrap_or(0);
        // One more: whether there is anything above.
        let mut log = self.log_below(no, places.end, room + 1).map_err(failure)?;
        let read = log.len();
        log.retain(|message| message.seq >= Some(places.start));
        log.reverse();
        let holes = self.rows().holes(id)?;
        let missing = holes.at_or_below(places.end.saturating_sub(1)).map(|(_, to)| to + 1);
        Ok(Timeline {
            has_more: log.len() < read || holes.at_or_below(places.start.saturating_sub(1)).is_some(),
            messages: self.shown(no, log, &holes)?,
            fill_below: missing.filter(|below| *below > places.start),
        })
    }

    /// The newest place in a conversation; 0 where it is not here.
    pub fn last_seq(&self, id: ConversationId) -> Stored<Seq> {
        Ok(self.rows().conversation(id)?.map_or(0, |held| held.last_seq))
    }

    /// One message.
    pub fn message(&self, conversation: ConversationId, message: &MessageRef) -> Stored<Option<ShownMessage>> {
        let Some(no) = self.number(conversation).map_err(failure)? else { return Ok(None) };
        let Some(row) = self.rows().message(conversation, message)? else { return Ok(None) };
        Ok(self.shown(no, vec![row], &Holes::default())?.pop())
    }

    /// Messages held here that hold the text, newest first. At least three characters.
    pub fn search(&self, text: &str, within: Option<ConversationId>, limit: usize) -> Stored<Vec<LocalMessage>> {
        if text.chars().count() < 3 {
            return Ok(Vec::new());
        }
        let mut found = self.waiting_with(text, within).map_err(failure)?;
        found.extend(self.log_with(text, within, limit).map_err(failure)?);
        found.sort_by_key(|message| std::cmp::Reverse((message.created_at, message.key)));
        found.truncate(limit);
        Ok(found)
    }

    fn log_with(&self, text: &str, within: Option<ConversationId>, limit: usize) -> Sql<Vec<LocalMessage>> {
        let phrase = format!("\"{}\"", text.replace('"', "\"\""));
        let within = within.map(|id| id.as_bytes().to_vec());
        self.connection
            .prepare_cached(&format!(
                "SELECT {MESSAGE_COLUMNS} FROM found f JOIN messages m ON m.key = f.rowid JOIN conversations c ON c.no = m.conversation_no
                 WHERE f.body MATCH ?1 AND (?2 IS NULL OR c.id = ?2) ORDER BY m.created_at DESC, m.key DESC LIMIT ?3"
            ))?
            .query_map((phrase, within, limit_of(limit)), message_from)?
            .collect()
    }

    /// Of those that are not in the index, since they wait to be sent: no more than the outbox holds.
    fn waiting_with(&self, text: &str, within: Option<ConversationId>) -> Sql<Vec<LocalMessage>> {
        let wanted = text.to_lowercase();
        let all: Vec<LocalMessage> = self
            .connection
            .prepare_cached(&format!(
                "SELECT {MESSAGE_COLUMNS} FROM messages m JOIN conversations c ON c.no = m.conversation_no
                 WHERE m.seq IS NULL AND (?1 IS NULL OR c.id = ?1)"
            ))?
            .query_map([within.map(|id| id.as_bytes().to_vec())], message_from)?
            .collect::<Sql<_>>()?;
        Ok(all.into_iter().filter(|message| message.body.to_lowercase().contains(&wanted)).collect())
    }

    pub fn outbox_len(&self) -> Stored<usize> {
        Rows::new(&self.connection).outbox_len()
    }

    /// What waits, in order: for the banner, and for the person to decide about what is parked.
    pub fn outbox(&self, limit: usize) -> Stored<Vec<OutboxEntry>> {
        let read = || -> Sql<Vec<OutboxEntry>> {
            self.connection
                .prepare_cached(&format!(
                    "SELECT {OUTBOX_COLUMNS} FROM outbox o JOIN conversations c ON c.no = o.conversation_no ORDER BY o.id LIMIT ?1"
                ))?
                .query_map([limit_of(limit)], outbox_from)?
                .collect()
        };
        read().map_err(failure)
    }

    pub fn holes(&self, id: ConversationId) -> Stored<Holes> {
        self.rows().holes(id)
    }

    fn number(&self, id: ConversationId) -> Sql<Option<i64>> {
        self.connection
            .prepare_cached("SELECT no FROM conversations WHERE id = ?1")?
            .query_row([id.as_bytes().as_slice()], |row| row.get(0))
            .optional()
    }

    /// The newest that wait to be sent, in order.
    fn pending(&self, no: i64, limit: usize) -> Sql<Vec<LocalMessage>> {
        let mut newest: Vec<LocalMessage> = self
            .connection
            .prepare_cached(&format!(
                "SELECT {MESSAGE_COLUMNS} FROM messages m JOIN conversations c ON c.no = m.conversation_no
                 WHERE m.conversation_no = ?1 AND m.seq IS NULL ORDER BY m.key DESC LIMIT ?2"
            ))?
            .query_map((no, limit_of(limit)), message_from)?
            .collect::<Sql<_>>()?;
        newest.reverse();
        Ok(newest)
    }

    /// Newest first.
    fn log_below(&self, no: i64, below: Seq, limit: usize) -> Sql<Vec<LocalMessage>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT {MESSAGE_COLUMNS} FROM messages m JOIN conversations c ON c.no = m.conversation_no
                 WHERE m.conversation_no = ?1 AND m.seq < ?2 ORDER BY m.seq DESC LIMIT ?3"
            ))?
            .query_map((no, below, limit_of(limit)), message_from)?
            .collect()
    }

    fn reached(&self, no: i64, me: UserId) -> Sql<Reached> {
        self.connection
            .prepare_cached(
                "SELECT coalesce(min(delivered_seq), 0), coalesce(min(read_seq), 0) FROM members
                 WHERE conversation_no = ?1 AND NOT removed AND user_id <> ?2",
            )?
            .query_row((no, me.as_bytes().as_slice()), |row| {
                Ok(Reached { delivered_seq: row.get(0)?, read_seq: row.get(1)? })
            })
    }

    /// What changes how messages look: all that waits but sends, and what is parked.
    fn to_show(&self, no: i64) -> Sql<Vec<OutboxEntry>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT {OUTBOX_COLUMNS} FROM outbox o JOIN conversations c ON c.no = o.conversation_no
                 WHERE o.conversation_no = ?1 AND (o.parked IS NOT NULL OR o.op <> '{{\"kind\":\"send\"}}') ORDER BY o.id"
            ))?
            .query_map([no], outbox_from)?
            .collect()
    }

    fn shown(&self, no: i64, rows: Vec<LocalMessage>, holes: &Holes) -> Stored<Vec<ShownMessage>> {
        let me = self.account()?;
        let Some(me) = me else { return Ok(Vec::new()) };
        let reached = self.reached(no, me).map_err(failure)?;
        let waiting = self.to_show(no).map_err(failure)?;
        let shown = rows.into_iter().map(|mut message| {
            let ops: Vec<OutboxEntry> = waiting.iter().filter(|entry| is_about(entry, &message, me)).cloned().collect();
            view::with_ops(&mut message, &ops, me);
            let hole_above = message.seq.is_some_and(|seq| seq > 1 && holes.contains(seq - 1));
            let status = (message.sender_id == me).then(|| view::status(&message, &ops, reached));
            let is_changing = ops.iter().any(|entry| entry.op != tertulia_engine::Op::Send);
            ShownMessage { message, status, is_changing, hole_above }
        });
        Ok(shown.collect())
    }
}

fn is_about(entry: &OutboxEntry, message: &LocalMessage, me: UserId) -> bool {
    match &entry.target {
        tertulia_engine::MessageRef::Log(id) => message.message_id == Some(*id),
        tertulia_engine::MessageRef::Mine(name) => message.sender_id == me && message.client_msg_id == *name,
    }
}
