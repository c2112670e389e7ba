//! Rows in and out: keys, enums, messages.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row};
use tertulia_proto::{
    ConversationId, ConversationKind, Emoji, HistoryVisibility, Member, Message, MessageId, Reaction, Role, Seq,
    Timestamp, User, UserId,
};

pub(crate) type Sql<T> = rusqlite::Result<T>;

pub(crate) const fn message_key(conversation_no: i64, seq: Seq) -> i64 {
    (conversation_no << 32) | seq
}

pub(crate) const fn seq_of(key: i64) -> Seq {
    key & 0xffff_ffff
}

pub(crate) const fn conversation_no_of(key: i64) -> i64 {
    key >> 32
}

pub(crate) fn bad_value(what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Null, what.to_owned().into())
}

pub(crate) const fn role_number(role: Role) -> i64 {
    match role {
        Role::Member => 0,
        Role::Admin => 1,
        Role::Owner => 2,
    }
}

pub(crate) fn role_of(number: i64) -> Sql<Role> {
    match number {
        0 => Ok(Role::Member),
        1 => Ok(Role::Admin),
        2 => Ok(Role::Owner),
        _ => Err(bad_value("a role that is not 0, 1 or 2")),
    }
}

pub(crate) fn kind_of(number: i64) -> ConversationKind {
    if number == 0 { ConversationKind::Dm } else { ConversationKind::Group }
}

pub(crate) fn visibility_of(number: i64) -> HistoryVisibility {
    if number == 0 { HistoryVisibility::Joined } else { HistoryVisibility::All }
}

pub(crate) fn time_at(row: &Row<'_>, index: usize) -> Sql<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(index)?.map(Timestamp::from_ms))
}

pub(crate) fn user_no(connection: &Connection, user: UserId) -> Sql<Option<i64>> {
    connection
        .prepare_cached("SELECT no FROM users WHERE id = ?1")?
        .query_row([user.as_bytes().as_slice()], |row| row.get(0))
        .optional()
}

pub(crate) const USER_COLUMNS: &str = "u.id, u.email, u.name, u.avatar_url, u.created_at";

/// From [`USER_COLUMNS`] at `at`; the e-mail only where the viewer may know it.
pub(crate) fn user_from(row: &Row<'_>, at: usize, with_email: bool) -> Sql<User> {
    Ok(User {
        id: UserId::from_bytes(row.get(at)?),
        email: if with_email { row.get(at + 1)? } else { None },
        name: row.get(at + 2)?,
        avatar_url: row.get(at + 3)?,
        created_at: Timestamp::from_ms(row.get(at + 4)?),
        blocked: false,
    })
}

pub(crate) const MEMBER_COLUMNS: &str =
    "u.id, u.name, u.avatar_url, m.role, m.joined_at, m.delivered_seq, m.read_seq, m.rev, m.removed_at IS NOT NULL";

pub(crate) fn member_from(row: &Row<'_>) -> Sql<Member> {
    Ok(Member {
        user_id: UserId::from_bytes(row.get(0)?),
        name: row.get(1)?,
        avatar_url: row.get(2)?,
        role: role_of(row.get(3)?)?,
        joined_at: Timestamp::from_ms(row.get(4)?),
        delivered_seq: row.get(5)?,
        read_seq: row.get(6)?,
        rev: row.get(7)?,
        removed: row.get(8)?,
    })
}

/// With `messages x JOIN users s ON s.no = x.sender_no`.
pub(crate) const MESSAGE_COLUMNS: &str =
    "x.key, x.id, s.id, s.name, s.avatar_url, x.client_msg_id, x.body, x.reply_to, x.created_at, x.edited_at,
     x.deleted_at, x.rev, x.amended, x.born_pos, x.pos";

/// A message without its reactions, and what the wire does not show.
pub(crate) struct MessageRow {
    pub key: i64,
    pub amended: bool,
    pub born_pos: i64,
    pub message: Message,
}

pub(crate) fn message_from(row: &Row<'_>, at: usize, conversation: ConversationId) -> Sql<MessageRow> {
    let key: i64 = row.get(at)?;
    let reply_to: Option<[u8; 16]> = row.get(at + 7)?;
    let client_msg_id =
        row.get_ref(at + 5)?.as_str()?.parse().map_err(|_| bad_value("a client_msg_id outside its alphabet"))?;
    Ok(MessageRow {
        key,
        amended: row.get(at + 12)?,
        born_pos: row.get(at + 13)?,
        message: Message {
            message_id: MessageId::from_bytes(row.get(at + 1)?),
            conversation_id: conversation,
            seq: seq_of(key),
            rev: row.get(at + 11)?,
            sender_id: UserId::from_bytes(row.get(at + 2)?),
            sender_name: row.get(at + 3)?,
            sender_avatar: row.get(at + 4)?,
            client_msg_id,
            body: row.get(at + 6)?,
            created_at: Timestamp::from_ms(row.get(at + 8)?),
            reply_to: reply_to.map(MessageId::from_bytes),
            edited_at: time_at(row, at + 9)?,
            deleted_at: time_at(row, at + 10)?,
            reactions: Vec::new(),
        },
    })
}

/// Puts the reactions on the rows that have some: one query whatever their number.
pub(crate) fn with_reactions(connection: &Connection, rows: Vec<MessageRow>) -> Sql<Vec<Message>> {
    let keys: Vec<i64> = rows.iter().filter(|row| row.amended).map(|row| row.key).collect();
    let mut reactions = reactions_of(connection, &keys)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let mut message = row.message;
            message.reactions = reactions.remove(&row.key).unwrap_or_default();
            message
        })
        .collect())
}

pub(crate) fn reactions_of(connection: &Connection, keys: &[i64]) -> Sql<BTreeMap<i64, Vec<Reaction>>> {
    let mut found: BTreeMap<i64, Vec<Reaction>> = BTreeMap::new();
    if keys.is_empty() {
        return Ok(found);
    }
    let list = serde_json::to_string(keys).unwrap_or_default();
    let mut statement = connection.prepare_cached(
        "SELECT r.message_key, r.emoji, u.id FROM json_each(?1) k JOIN reactions r ON r.message_key = k.value
         JOIN users u ON u.no = r.user_no ORDER BY r.message_key, r.rev",
    )?;
    let mut rows = statement.query([list])?;
    while let Some(row) = rows.next()? {
        let emoji: Emoji = row.get_ref(1)?.as_str()?.parse().map_err(|_| bad_value("a reaction that is no emoji"))?;
        let user = UserId::from_bytes(row.get(2)?);
        let of_message = found.entry(row.get(0)?).or_default();
        match of_message.iter_mut().find(|r| r.emoji == emoji) {
            Some(reaction) => reaction.user_ids.push(user),
            None => of_message.push(Reaction { emoji, user_ids: vec![user] }),
        }
    }
    Ok(found)
}
