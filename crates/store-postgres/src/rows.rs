//! Rows in and out: enums, members, messages.

use std::collections::HashMap;

use tertulia_proto::{
    ConversationId, ConversationKind, Emoji, HistoryVisibility, Member, Message, MessageId, Reaction, Role, Seq,
    Timestamp, User, UserId,
};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::error::{Fault, Sql};
use crate::session::Session;

pub(crate) fn at<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Sql<T> {
    row.try_get(index).map_err(|error| bad_value(&error.to_string()))
}

pub(crate) fn bad_value(what: &str) -> Fault {
    Fault::Corrupt(what.to_owned())
}

pub(crate) const fn role_number(role: Role) -> i16 {
    match role {
        Role::Member => 0,
        Role::Admin => 1,
        Role::Owner => 2,
    }
}

pub(crate) fn role_of(number: i16) -> Sql<Role> {
    match number {
        0 => Ok(Role::Member),
        1 => Ok(Role::Admin),
        2 => Ok(Role::Owner),
        _ => Err(bad_value("a role that is not 0, 1 or 2")),
    }
}

pub(crate) fn kind_of(number: i16) -> ConversationKind {
    if number == 0 { ConversationKind::Dm } else { ConversationKind::Group }
}

pub(crate) fn visibility_of(number: i16) -> HistoryVisibility {
    if number == 0 { HistoryVisibility::Joined } else { HistoryVisibility::All }
}

pub(crate) fn time_at(row: &Row, index: usize) -> Sql<Option<Timestamp>> {
    Ok(at::<Option<i64>>(row, index)?.map(Timestamp::from_ms))
}

pub(crate) fn user_at(row: &Row, index: usize) -> Sql<UserId> {
    Ok(UserId::from_uuid(at(row, index)?))
}

pub(crate) fn conversation_at(row: &Row, index: usize) -> Sql<ConversationId> {
    Ok(ConversationId::from_uuid(at(row, index)?))
}

/// Of `users u`: five columns.
macro_rules! user_columns {
    () => {
        "u.id, u.email, u.name, u.avatar_url, u.created_at"
    };
}
pub(crate) use user_columns;

/// From `user_columns!` at `index`; the e-mail only where the viewer may know it.
pub(crate) fn user_from(row: &Row, index: usize, with_email: bool) -> Sql<User> {
    Ok(User {
        id: user_at(row, index)?,
        email: if with_email { at(row, index + 1)? } else { None },
        name: at(row, index + 2)?,
        avatar_url: at(row, index + 3)?,
        created_at: Timestamp::from_ms(at(row, index + 4)?),
        blocked: false,
    })
}

/// Of `members m JOIN users u`.
macro_rules! member_columns {
    () => {
        "m.conversation_id, u.id, u.name, u.avatar_url, m.role, m.joined_at, m.delivered_seq, m.read_seq, m.rev, \
         m.removed_at IS NOT NULL"
    };
}
pub(crate) use member_columns;

pub(crate) fn member_from(row: &Row) -> Sql<(ConversationId, Member)> {
    let member = Member {
        user_id: user_at(row, 1)?,
        name: at(row, 2)?,
        avatar_url: at(row, 3)?,
        role: role_of(at(row, 4)?)?,
        joined_at: Timestamp::from_ms(at(row, 5)?),
        delivered_seq: at(row, 6)?,
        read_seq: at(row, 7)?,
        rev: at(row, 8)?,
        removed: at(row, 9)?,
    };
    Ok((conversation_at(row, 0)?, member))
}

/// Of `messages x JOIN users s`: fourteen columns.
macro_rules! message_columns {
    () => {
        "x.conversation_id, x.seq, x.id, s.id, s.name, s.avatar_url, x.client_msg_id, x.body, x.reply_to, x.created_at, \
         x.edited_at, x.deleted_at, x.rev, x.amended"
    };
}
pub(crate) use message_columns;

/// A message without its reactions, and what the wire does not show.
pub(crate) struct MessageRow {
    pub amended: bool,
    pub message: Message,
}

pub(crate) fn message_from(row: &Row, index: usize) -> Sql<MessageRow> {
    let client_msg_id: &str = at(row, index + 6)?;
    Ok(MessageRow {
        amended: at(row, index + 13)?,
        message: Message {
            message_id: MessageId::from_uuid(at(row, index + 2)?),
            conversation_id: conversation_at(row, index)?,
            seq: at(row, index + 1)?,
            rev: at(row, index + 12)?,
            sender_id: user_at(row, index + 3)?,
            sender_name: at(row, index + 4)?,
            sender_avatar: at(row, index + 5)?,
            client_msg_id: client_msg_id.parse().map_err(|_| bad_value("a client_msg_id outside its alphabet"))?,
            body: at(row, index + 7)?,
            created_at: Timestamp::from_ms(at(row, index + 9)?),
            reply_to: at::<Option<Uuid>>(row, index + 8)?.map(MessageId::from_uuid),
            edited_at: time_at(row, index + 10)?,
            deleted_at: time_at(row, index + 11)?,
            reactions: Vec::new(),
        },
    })
}

/// Where a message lies.
pub(crate) type Key = (ConversationId, Seq);

/// Puts the reactions on the rows that have some: one query whatever their number.
pub(crate) async fn with_reactions(session: &Session, rows: Vec<MessageRow>) -> Sql<Vec<Message>> {
    let keys: Vec<Key> =
        rows.iter().filter(|row| row.amended).map(|row| (row.message.conversation_id, row.message.seq)).collect();
    let mut reactions = reactions_of(session, &keys).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let mut message = row.message;
            message.reactions = reactions.remove(&(message.conversation_id, message.seq)).unwrap_or_default();
            message
        })
        .collect())
}

const REACTIONS: &str = "SELECT r.conversation_id, r.seq, r.emoji, r.user_id FROM unnest($1::uuid[], $2::bigint[]) AS k (conversation_id, seq)
     CROSS JOIN LATERAL (SELECT r.* FROM reactions r WHERE r.conversation_id = k.conversation_id AND r.seq = k.seq ORDER BY r.rev OFFSET 0) r";

pub(crate) async fn reactions_of(session: &Session, keys: &[Key]) -> Sql<HashMap<Key, Vec<Reaction>>> {
    let mut found: HashMap<Key, Vec<Reaction>> = HashMap::new();
    if keys.is_empty() {
        return Ok(found);
    }
    let (conversations, seqs): (Vec<Uuid>, Vec<i64>) = keys.iter().map(|(id, seq)| (id.uuid(), *seq)).unzip();
    for row in session.rows(REACTIONS, &[&conversations, &seqs]).await? {
        let emoji: &str = at(&row, 2)?;
        let emoji: Emoji = emoji.parse().map_err(|_| bad_value("a reaction that is no emoji"))?;
        let user = user_at(&row, 3)?;
        let of_message = found.entry((conversation_at(&row, 0)?, at(&row, 1)?)).or_default();
        match of_message.iter_mut().find(|r| r.emoji == emoji) {
            Some(reaction) => reaction.user_ids.push(user),
            None => of_message.push(Reaction { emoji, user_ids: vec![user] }),
        }
    }
    Ok(found)
}
