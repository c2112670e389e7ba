//! The engine's rows.

use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tertulia_engine::{
    Holes, LocalConversation, LocalMessage, LocalStore, MessageRef, OutboxEntry, Registration, StoreFailure, Stored,
    SyncState,
};
use tertulia_proto::sync::Held;
use tertulia_proto::{
    ClientMsgId, ConversationId, ConversationKind, HistoryVisibility, Member, MessageId, Reaction, Role, Seq,
    Timestamp, UserId,
};
use uuid::Uuid;

use crate::error::{bad_value, failure};

pub(crate) type Sql<T> = rusqlite::Result<T>;

/// The rows of one transaction.
pub struct Rows<'a> {
    connection: &'a Connection,
}

pub(crate) const CONVERSATION_COLUMNS: &str = "id, kind, title, created_at, last_message_at, my_role, muted_until, hidden,
    history_visibility, peer, member_count, joined_at, rev, last_seq, delivered_seq, read_seq, want_read, wants_mute, want_muted,
    deleted_in_holes, touched, doubted, gone, draft, told_delivered_seq";

pub(crate) const MESSAGE_COLUMNS: &str =
    "m.key, c.id, m.seq, m.message_id, m.rev, m.sender_id, m.sender_name, m.sender_avatar,
    m.client_msg_id, m.body, m.created_at, m.reply_to, m.reply_to_mine, m.edited_at, m.deleted_at, m.reactions";

const MEMBER_COLUMNS: &str = "user_id, name, avatar_url, role, joined_at, delivered_seq, read_seq, rev, removed";

pub(crate) const OUTBOX_COLUMNS: &str =
    "o.id, c.id, o.target_message, o.target_mine, o.op, o.parked, o.transmitted, o.created_at,
    o.departure";

pub(crate) fn json<T: Serialize>(value: &T) -> Sql<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

pub(crate) fn from_json<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> Sql<Option<T>> {
    let text = row.get_ref(at)?.as_str_or_null();
    let text = text.map_err(|e| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(e)))?;
    let Some(text) = text else { return Ok(None) };
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text)
        .map(Some)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(e)))
}

fn parsed<T: std::str::FromStr>(row: &Row<'_>, at: usize) -> Sql<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(at)?;
    text.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(e)))
}

fn id<T: FromSql>(row: &Row<'_>, at: usize) -> Sql<T> {
    row.get(at)
}

fn time(row: &Row<'_>, at: usize) -> Sql<Timestamp> {
    Ok(Timestamp::from_ms(row.get(at)?))
}

fn time_or_null(row: &Row<'_>, at: usize) -> Sql<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_ms))
}

fn role(number: i64) -> Sql<Role> {
    Ok(match number {
        0 => Role::Member,
        1 => Role::Admin,
        2 => Role::Owner,
        _ => return Err(bad_value("a role")),
    })
}

const fn role_number(role: Role) -> i64 {
    match role {
        Role::Member => 0,
        Role::Admin => 1,
        Role::Owner => 2,
    }
}

fn registration(number: i64) -> Sql<Registration> {
    Ok(match number {
        0 => Registration::None,
        1 => Registration::Asked,
        2 => Registration::Stands,
        _ => return Err(bad_value("a registration")),
    })
}

const fn registration_number(registration: Registration) -> i64 {
    match registration {
        Registration::None => 0,
        Registration::Asked => 1,
        Registration::Stands => 2,
    }
}

pub(crate) fn conversation_from(row: &Row<'_>) -> Sql<LocalConversation> {
    let wants_mute: bool = row.get(17)?;
    Ok(LocalConversation {
        id: ConversationId::from_bytes(id(row, 0)?),
        kind: if row.get(1)? { ConversationKind::Group } else { ConversationKind::Dm },
        title: row.get(2)?,
        created_at: time(row, 3)?,
        last_message_at: time_or_null(row, 4)?,
        my_role: role(row.get(5)?)?,
        muted_until: time_or_null(row, 6)?,
        hidden: row.get(7)?,
        history_visibility: if row.get(8)? { HistoryVisibility::All } else { HistoryVisibility::Joined },
        peer: from_json(row, 9)?,
        member_count: row.get(10)?,
        joined_at: time(row, 11)?,
        rev: row.get(12)?,
        last_seq: row.get(13)?,
        delivered_seq: row.get(14)?,
        read_seq: row.get(15)?,
        want_read: row.get(16)?,
        want_muted: if wants_mute { Some(time_or_null(row, 18)?) } else { None },
        deleted_in_holes: row.get(19)?,
        touched: row.get(20)?,
        doubted: row.get(21)?,
        left: row.get(22)?,
        draft: row.get(23)?,
        told_delivered: row.get(24)?,
    })
}

pub(crate) fn message_from(row: &Row<'_>) -> Sql<LocalMessage> {
    Ok(LocalMessage {
        key: row.get(0)?,
        conversation_id: ConversationId::from_bytes(id(row, 1)?),
        seq: row.get(2)?,
        message_id: row.get::<_, Option<[u8; 16]>>(3)?.map(MessageId::from_bytes),
        rev: row.get(4)?,
        sender_id: UserId::from_bytes(id(row, 5)?),
        sender_name: row.get(6)?,
        sender_avatar: row.get(7)?,
        client_msg_id: parsed(row, 8)?,
        body: row.get(9)?,
        created_at: time(row, 10)?,
        reply_to: row.get::<_, Option<[u8; 16]>>(11)?.map(MessageId::from_bytes),
        reply_to_mine: if row.get::<_, Option<String>>(12)?.is_some() { Some(parsed(row, 12)?) } else { None },
        edited_at: time_or_null(row, 13)?,
        deleted_at: time_or_null(row, 14)?,
        reactions: from_json::<Vec<Reaction>>(row, 15)?.unwrap_or_default(),
    })
}

pub(crate) fn outbox_from(row: &Row<'_>) -> Sql<OutboxEntry> {
    let target = match row.get::<_, Option<[u8; 16]>>(2)? {
        Some(message) => MessageRef::Log(MessageId::from_bytes(message)),
        None => MessageRef::Mine(parsed(row, 3)?),
    };
    Ok(OutboxEntry {
        id: row.get(0)?,
        conversation_id: ConversationId::from_bytes(id(row, 1)?),
        target,
        op: from_json(row, 4)?.ok_or_else(|| bad_value("an op"))?,
        parked: from_json(row, 5)?,
        transmitted: row.get(6)?,
        created_at: time(row, 7)?,
        departure: from_json(row, 8)?,
    })
}

fn member_from(row: &Row<'_>) -> Sql<Member> {
    Ok(Member {
        user_id: UserId::from_bytes(id(row, 0)?),
        name: row.get(1)?,
        avatar_url: row.get(2)?,
        role: role(row.get(3)?)?,
        joined_at: time(row, 4)?,
        delivered_seq: row.get(5)?,
        read_seq: row.get(6)?,
        rev: row.get(7)?,
        removed: row.get(8)?,
    })
}

pub(crate) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// `None` for both where a reference is of the other kind.
fn halves(target: &MessageRef) -> (Option<&[u8]>, Option<&str>) {
    match target {
        MessageRef::Log(message) => (Some(message.as_bytes().as_slice()), None),
        MessageRef::Mine(name) => (None, Some(name.as_str())),
    }
}

impl<'a> Rows<'a> {
    pub(crate) const fn new(connection: &'a Connection) -> Self {
        Self { connection }
    }

    pub(crate) const fn connection(&self) -> &Connection {
        self.connection
    }

    fn no(&self, id: ConversationId) -> Sql<Option<i64>> {
        self.connection
            .prepare_cached("SELECT no FROM conversations WHERE id = ?1")?
            .query_row([id.as_bytes().as_slice()], |row| row.get(0))
            .optional()
    }

    fn known_no(&self, id: ConversationId) -> Sql<i64> {
        self.no(id)?.ok_or_else(|| bad_value("a row of a conversation that is not here"))
    }

    pub(crate) fn members(&self, id: ConversationId) -> Sql<Vec<Member>> {
        let Some(no) = self.no(id)? else { return Ok(Vec::new()) };
        self.connection
            .prepare_cached(&format!(
                "SELECT {MEMBER_COLUMNS} FROM members WHERE conversation_no = ?1 ORDER BY joined_at, user_id"
            ))?
            .query_map([no], member_from)?
            .collect()
    }

    /// Rows of the log up to a place, but for those that wait to be changed.
    pub(crate) fn delete_log_up_to(&self, no: i64, to: Seq) -> Sql<usize> {
        self.connection
            .prepare_cached(
                "DELETE FROM messages WHERE conversation_no = ?1 AND seq <= ?2
                 AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.target_message = message_id OR o.target_mine = client_msg_id)",
            )?
            .execute((no, to))
    }

    fn messages<P: rusqlite::Params>(&self, filter: &str, params: P) -> Sql<Option<LocalMessage>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT {MESSAGE_COLUMNS} FROM messages m JOIN conversations c ON c.no = m.conversation_no WHERE {filter}"
            ))?
            .query_row(params, message_from)
            .optional()
    }

    fn entries<P: rusqlite::Params>(&self, filter: &str, params: P) -> Sql<Vec<OutboxEntry>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT {OUTBOX_COLUMNS} FROM outbox o JOIN conversations c ON c.no = o.conversation_no WHERE {filter}"
            ))?
            .query_map(params, outbox_from)?
            .collect()
    }

    fn conversations<P: rusqlite::Params>(&self, filter: &str, params: P) -> Sql<Vec<LocalConversation>> {
        self.connection
            .prepare_cached(&format!("SELECT {CONVERSATION_COLUMNS} FROM conversations WHERE {filter}"))?
            .query_map(params, conversation_from)?
            .collect()
    }

    pub(crate) fn run<P: rusqlite::Params>(&self, sql: &str, params: P) -> Stored<()> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map(drop)
            .map_err(failure)
    }

    /// Not as one `INSERT ... ON CONFLICT`: each of those uses up a number of `AUTOINCREMENT`, and writes another page to remember that.
    fn update_or_insert(&self, update: &str, insert: &str, values: &[&dyn ToSql]) -> Sql<Option<i64>> {
        if self.connection.prepare_cached(update)?.execute(values)? > 0 {
            return Ok(None);
        }
        self.connection.prepare_cached(insert)?.insert(values).map(Some)
    }

    fn write_conversation(&self, c: &LocalConversation) -> Sql<()> {
        let peer = c.peer.as_ref().map(json).transpose()?;
        let ms = |time: Option<Timestamp>| time.map(Timestamp::ms);
        self.update_or_insert(
            "UPDATE conversations SET kind = ?2, title = ?3, created_at = ?4, last_message_at = ?5, my_role = ?6, muted_until = ?7, hidden = ?8,
                history_visibility = ?9, peer = ?10, member_count = ?11, joined_at = ?12, rev = ?13, last_seq = ?14, delivered_seq = ?15,
                read_seq = ?16, want_read = ?17, wants_mute = ?18, want_muted = ?19, deleted_in_holes = ?20, touched = ?21, doubted = ?22,
                gone = ?23, draft = ?24, told_delivered_seq = ?25
             WHERE id = ?1",
            &format!(
                "INSERT INTO conversations ({CONVERSATION_COLUMNS})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)"
            ),
            params![
                c.id.as_bytes().as_slice(),
                c.kind == ConversationKind::Group,
                c.title,
                c.created_at.ms(),
                ms(c.last_message_at),
                role_number(c.my_role),
                ms(c.muted_until),
                c.hidden,
                c.history_visibility == HistoryVisibility::All,
                peer,
                c.member_count,
                c.joined_at.ms(),
                c.rev,
                c.last_seq,
                c.delivered_seq,
                c.read_seq,
                c.want_read,
                c.want_muted.is_some(),
                c.want_muted.flatten().map(Timestamp::ms),
                c.deleted_in_holes,
                c.touched,
                c.doubted,
                c.left,
                c.draft,
                c.told_delivered,
            ],
        )?;
        Ok(())
    }

    fn write_message(&self, m: &LocalMessage) -> Sql<i64> {
        let no = self.known_no(m.conversation_id)?;
        let reactions = if m.reactions.is_empty() { String::new() } else { json(&m.reactions)? };
        let key = (m.key != 0).then_some(m.key);
        let new = self.update_or_insert(
            "UPDATE messages SET seq = ?3, message_id = ?4, rev = ?5, sender_name = ?7, sender_avatar = ?8, body = ?10, created_at = ?11,
                reply_to = ?12, reply_to_mine = ?13, edited_at = ?14, deleted_at = ?15, reactions = ?16
             WHERE key = ?1",
            "INSERT INTO messages (key, conversation_no, seq, message_id, rev, sender_id, sender_name, sender_avatar, client_msg_id, body,
                created_at, reply_to, reply_to_mine, edited_at, deleted_at, reactions)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            params![
                key,
                no,
                m.seq,
                m.message_id.as_ref().map(|id| id.as_bytes().as_slice()),
                m.rev,
                m.sender_id.as_bytes().as_slice(),
                m.sender_name,
                m.sender_avatar,
                m.client_msg_id.as_str(),
                m.body,
                m.created_at.ms(),
                m.reply_to.as_ref().map(|id| id.as_bytes().as_slice()),
                m.reply_to_mine.as_ref().map(ClientMsgId::as_str),
                m.edited_at.map(Timestamp::ms),
                m.deleted_at.map(Timestamp::ms),
                reactions,
            ],
        )?;
        Ok(new.unwrap_or(m.key))
    }

    fn write_outbox(&self, entry: &OutboxEntry) -> Sql<i64> {
        let no = self.known_no(entry.conversation_id)?;
        let (message, mine) = halves(&entry.target);
        let parked = entry.parked.as_ref().map(json).transpose()?;
        let departure = entry.departure.as_ref().map(json).transpose()?;
        let id = (entry.id != 0).then_some(entry.id);
        let new = self.update_or_insert(
            "UPDATE outbox SET op = ?5, parked = ?6, transmitted = ?7, departure = ?9 WHERE id = ?1",
            "INSERT INTO outbox (id, conversation_no, target_message, target_mine, op, parked, transmitted, created_at, departure)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                id,
                no,
                message,
                mine,
                json(&entry.op)?,
                parked,
                entry.transmitted,
                entry.created_at.ms(),
                departure
            ],
        )?;
        Ok(new.unwrap_or(entry.id))
    }
}

impl LocalStore for Rows<'_> {
    fn sync_state(&mut self) -> Stored<SyncState> {
        self.connection
            .prepare_cached("SELECT account, cursor, epoch, round, within, resetting, registration FROM sync_state")
            .and_then(|mut statement| {
                statement.query_row([], |row| {
                    Ok(SyncState {
                        account: row.get::<_, Option<[u8; 16]>>(0)?.map(UserId::from_bytes),
                        cursor: row.get(1)?,
                        epoch: row.get::<_, Option<[u8; 16]>>(2)?.map(Uuid::from_bytes),
                        round: row.get(3)?,
                        within: row.get(4)?,
                        resetting: row.get(5)?,
                        registration: registration(row.get(6)?)?,
                    })
                })
            })
            .map_err(failure)
    }

    fn put_sync_state(&mut self, state: &SyncState) -> Stored<()> {
        self.run(
            "UPDATE sync_state SET account = ?1, cursor = ?2, epoch = ?3, round = ?4, within = ?5, resetting = ?6, registration = ?7",
            params![
                state.account.as_ref().map(|id| id.as_bytes().as_slice()),
                state.cursor,
                state.epoch.as_ref().map(|id| id.as_bytes().as_slice()),
                state.round,
                state.within,
                state.resetting,
                registration_number(state.registration),
            ],
        )
    }

    fn conversation(&mut self, id: ConversationId) -> Stored<Option<LocalConversation>> {
        self.conversations("id = ?1", [id.as_bytes().as_slice()]).map(|mut found| found.pop()).map_err(failure)
    }

    fn put_conversation(&mut self, conversation: &LocalConversation) -> Stored<()> {
        self.write_conversation(conversation).map_err(failure)
    }

    fn delete_conversation(&mut self, id: ConversationId) -> Stored<()> {
        let Some(no) = self.no(id).map_err(failure)? else { return Ok(()) };
        self.clear_log(id)?;
        self.run("DELETE FROM messages WHERE conversation_no = ?1 AND seq IS NULL", [no])?;
        self.run("DELETE FROM outbox WHERE conversation_no = ?1", [no])?;
        self.run("DELETE FROM taken_back WHERE conversation_no = ?1", [no])?;
        self.run("DELETE FROM conversations WHERE no = ?1", [no])
    }

    fn clear_log(&mut self, id: ConversationId) -> Stored<()> {
        let Some(no) = self.no(id).map_err(failure)? else { return Ok(()) };
        self.run("DELETE FROM messages WHERE conversation_no = ?1 AND seq IS NOT NULL", [no])?;
        self.run("DELETE FROM members WHERE conversation_no = ?1", [no])?;
        self.run("DELETE FROM holes WHERE conversation_no = ?1", [no])
    }

    fn clear_log_below(&mut self, id: ConversationId, seq: Seq) -> Stored<()> {
        let Some(no) = self.no(id).map_err(failure)? else { return Ok(()) };
        self.run("DELETE FROM messages WHERE conversation_no = ?1 AND seq < ?2", (no, seq))
    }

    fn touched(&mut self, limit: usize) -> Stored<Vec<Held>> {
        let read = || -> Sql<Vec<Held>> {
            self.connection
                .prepare_cached(
                    "SELECT id, rev, last_seq FROM conversations WHERE touched > 0 AND NOT gone AND NOT doubted
                     ORDER BY touched DESC, no LIMIT ?1",
                )?
                .query_map([limit_of(limit)], |row| {
                    Ok(Held { id: ConversationId::from_bytes(row.get(0)?), rev: row.get(1)?, last_seq: row.get(2)? })
                })?
                .collect()
        };
        read().map_err(failure)
    }

    fn settle_touched(&mut self, before_round: i64) -> Stored<()> {
        self.run("UPDATE conversations SET touched = 0 WHERE touched > 0 AND touched < ?1", [before_round])
    }

    fn doubt_all(&mut self) -> Stored<()> {
        self.run("UPDATE conversations SET doubted = 1, touched = 0 WHERE NOT gone", [])
    }

    fn doubted(&mut self) -> Stored<Vec<ConversationId>> {
        let found = self.conversations("doubted ORDER BY no", []).map_err(failure)?;
        Ok(found.into_iter().map(|held| held.id).collect())
    }

    fn intents(&mut self, limit: usize) -> Stored<Vec<LocalConversation>> {
        self.conversations(
            "(want_read > read_seq OR last_seq > delivered_seq OR wants_mute = 1 OR (last_seq > told_delivered_seq AND last_seq > read_seq))
             AND NOT gone AND NOT doubted ORDER BY no LIMIT ?1",
            [limit_of(limit)],
        )
        .map_err(failure)
    }

    fn begin_telling(&mut self) -> Stored<()> {
        self.run("UPDATE conversations SET told_delivered_seq = last_seq WHERE NOT gone", [])
    }

    fn end_telling(&mut self) -> Stored<()> {
        self.run("UPDATE conversations SET told_delivered_seq = NULL WHERE told_delivered_seq IS NOT NULL", [])
    }

    fn member(&mut self, conversation: ConversationId, user: UserId) -> Stored<Option<Member>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT {MEMBER_COLUMNS} FROM members
                 WHERE conversation_no = (SELECT no FROM conversations WHERE id = ?1) AND user_id = ?2"
            ))
            .and_then(|mut statement| {
                statement
                    .query_row((conversation.as_bytes().as_slice(), user.as_bytes().as_slice()), member_from)
                    .optional()
            })
            .map_err(failure)
    }

    fn put_member(&mut self, conversation: ConversationId, m: &Member) -> Stored<()> {
        let no = match self.no(conversation).map_err(failure)? {
            Some(no) => no,
            None => return Err(StoreFailure::Corrupt("a member of a conversation that is not here".to_owned())),
        };
        self.run(
            "INSERT INTO members (conversation_no, user_id, name, avatar_url, role, joined_at, delivered_seq, read_seq, rev, removed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (conversation_no, user_id) DO UPDATE SET name = ?3, avatar_url = ?4, role = ?5, joined_at = ?6,
                delivered_seq = ?7, read_seq = ?8, rev = ?9, removed = ?10",
            params![
                no,
                m.user_id.as_bytes().as_slice(),
                m.name,
                m.avatar_url,
                role_number(m.role),
                m.joined_at.ms(),
                m.delivered_seq,
                m.read_seq,
                m.rev,
                m.removed
            ],
        )
    }

    fn message_at(&mut self, conversation: ConversationId, seq: Seq) -> Stored<Option<LocalMessage>> {
        self.messages("c.id = ?1 AND m.seq = ?2", (conversation.as_bytes().as_slice(), seq)).map_err(failure)
    }

    fn message(&mut self, conversation: ConversationId, message: &MessageRef) -> Stored<Option<LocalMessage>> {
        let conversation = conversation.as_bytes().as_slice();
        match message {
            MessageRef::Log(id) => {
                self.messages("m.message_id = ?2 AND c.id = ?1", (conversation, id.as_bytes().as_slice()))
            }
            MessageRef::Mine(name) => self.messages(
                "m.client_msg_id = ?2 AND m.sender_id = (SELECT account FROM sync_state) AND c.id = ?1",
                (conversation, name.as_str()),
            ),
        }
        .map_err(failure)
    }

    fn put_message(&mut self, message: &LocalMessage) -> Stored<i64> {
        self.write_message(message).map_err(failure)
    }

    fn delete_message(&mut self, key: i64) -> Stored<()> {
        self.run("DELETE FROM messages WHERE key = ?1", [key])
    }

    fn tombstones_above(&mut self, conversation: ConversationId, seq: Seq) -> Stored<i64> {
        let count = || -> Sql<i64> {
            self.connection
                .prepare_cached(
                    "SELECT count(*) FROM messages WHERE conversation_no = (SELECT no FROM conversations WHERE id = ?1)
                     AND deleted_at IS NOT NULL AND seq > ?2",
                )?
                .query_row((conversation.as_bytes().as_slice(), seq), |row| row.get(0))
        };
        count().map_err(failure)
    }

    fn holes(&mut self, conversation: ConversationId) -> Stored<Holes> {
        let read = || -> Sql<Vec<(Seq, Seq)>> {
            self.connection
                .prepare_cached(
                    "SELECT from_seq, to_seq FROM holes WHERE conversation_no = (SELECT no FROM conversations WHERE id = ?1)
                     ORDER BY from_seq",
                )?
                .query_map([conversation.as_bytes().as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        read().map(Holes::new).map_err(failure)
    }

    fn put_holes(&mut self, conversation: ConversationId, holes: &Holes) -> Stored<()> {
        if self.holes(conversation)? == *holes {
            return Ok(());
        }
        let no = self.known_no(conversation).map_err(failure)?;
        self.run("DELETE FROM holes WHERE conversation_no = ?1", [no])?;
        for (from, to) in holes.ranges() {
            self.run("INSERT INTO holes (conversation_no, from_seq, to_seq) VALUES (?1, ?2, ?3)", (no, from, to))?;
        }
        Ok(())
    }

    fn outbox(&mut self, conversation: ConversationId, limit: usize) -> Stored<Vec<OutboxEntry>> {
        self.entries("c.id = ?1 ORDER BY o.id LIMIT ?2", (conversation.as_bytes().as_slice(), limit_of(limit)))
            .map_err(failure)
    }

    fn outbox_due(&mut self, conversation: ConversationId, limit: usize) -> Stored<Vec<OutboxEntry>> {
        self.entries(
            "c.id = ?1 AND (o.parked IS NULL OR o.op = '{\"kind\":\"send\"}') ORDER BY o.id LIMIT ?2",
            (conversation.as_bytes().as_slice(), limit_of(limit)),
        )
        .map_err(failure)
    }

    fn outbox_entry(&mut self, id: i64) -> Stored<Option<OutboxEntry>> {
        self.entries("o.id = ?1", [id]).map(|mut found| found.pop()).map_err(failure)
    }

    fn outbox_about(&mut self, conversation: ConversationId, target: &MessageRef) -> Stored<Vec<OutboxEntry>> {
        let conversation = conversation.as_bytes().as_slice();
        match halves(target) {
            (Some(message), _) => {
                self.entries("o.target_message = ?2 AND c.id = ?1 ORDER BY o.id", (conversation, message))
            }
            (None, mine) => self.entries("o.target_mine = ?2 AND c.id = ?1 ORDER BY o.id", (conversation, mine)),
        }
        .map_err(failure)
    }

    fn put_outbox(&mut self, entry: &OutboxEntry) -> Stored<i64> {
        self.write_outbox(entry).map_err(failure)
    }

    fn delete_outbox(&mut self, id: i64) -> Stored<()> {
        self.run("DELETE FROM outbox WHERE id = ?1", [id])
    }

    fn is_taken_back(&mut self, conversation: ConversationId, name: &ClientMsgId) -> Stored<bool> {
        self.connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM taken_back WHERE client_msg_id = ?2 AND conversation_no = (SELECT no FROM conversations WHERE id = ?1))",
            )
            .and_then(|mut statement| {
                statement.query_row((conversation.as_bytes().as_slice(), name.as_str()), |row| row.get(0))
            })
            .map_err(failure)
    }

    fn put_taken_back(&mut self, conversation: ConversationId, name: &ClientMsgId, round: i64) -> Stored<()> {
        let no = self.known_no(conversation).map_err(failure)?;
        self.run(
            "INSERT OR REPLACE INTO taken_back (conversation_no, client_msg_id, round) VALUES (?1, ?2, ?3)",
            (no, name.as_str(), round),
        )
    }

    fn settle_taken_back(&mut self, before_round: i64) -> Stored<()> {
        self.run("DELETE FROM taken_back WHERE round < ?1", [before_round])
    }

    fn outbox_conversations(&mut self) -> Stored<Vec<ConversationId>> {
        let read = || -> Sql<Vec<ConversationId>> {
            self.connection
                .prepare_cached(
                    "SELECT c.id FROM conversations c WHERE NOT c.gone AND EXISTS (SELECT 1 FROM outbox o WHERE o.conversation_no = c.no AND o.parked IS NULL)
                     ORDER BY (SELECT min(o.id) FROM outbox o WHERE o.conversation_no = c.no)",
                )?
                .query_map([], |row| Ok(ConversationId::from_bytes(row.get(0)?)))?
                .collect()
        };
        read().map_err(failure)
    }

    fn outbox_len(&mut self) -> Stored<usize> {
        self.connection
            .prepare_cached("SELECT count(*) FROM outbox")
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
            .map(|count| usize::try_from(count).unwrap_or(0))
            .map_err(failure)
    }
}
