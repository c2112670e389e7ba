//! Conversations as a member sees them.

use rusqlite::{Connection, OptionalExtension, Row};
use tertulia_proto::{Conversation, ConversationId, ListCursor, Member, Timestamp, UserId, model::unread_count};
use tertulia_store::{ConversationPage, Membership};

use crate::read::accounts::limit_of;
use crate::rows::{
    MEMBER_COLUMNS, MESSAGE_COLUMNS, MessageRow, Sql, USER_COLUMNS, kind_of, member_from, message_from, role_of,
    time_at, user_from, user_no, visibility_of, with_reactions,
};

/// A conversation with what the difference needs beside it.
pub(crate) struct View {
    pub no: i64,
    pub visible_after_seq: i64,
    pub conversation: Conversation,
    last_message: Option<MessageRow>,
}

/// Selects views: `m` is the viewer's row, `c` the conversation. 23 columns, then the last message's.
fn view_query(from: &str) -> String {
    format!(
        "SELECT c.no, c.id, c.kind, c.title, c.created_at, c.last_seq, c.rev, c.last_message_at, c.history_visibility, c.member_count,
            m.role, m.read_seq, m.visible_after_seq, coalesce(m.hidden_seq >= c.last_seq, 0), m.muted_until,
            (SELECT count(*) FROM messages d WHERE d.key > (c.no << 32) + m.read_seq AND d.key <= (c.no << 32) + c.last_seq
                AND d.deleted_at IS NOT NULL),
            EXISTS (SELECT 1 FROM blocks b WHERE b.user_no = m.user_no AND b.blocked_no = u.no),
            {USER_COLUMNS}, x.key IS NOT NULL, {MESSAGE_COLUMNS}
         {from}
         LEFT JOIN users u ON c.kind = 0 AND u.no = CASE c.dm_low WHEN m.user_no THEN c.dm_high ELSE c.dm_low END
         LEFT JOIN messages x ON x.key = (c.no << 32) + c.last_seq AND c.last_seq > m.visible_after_seq
         LEFT JOIN users s ON s.no = x.sender_no"
    )
}

fn view_from(row: &Row<'_>) -> Sql<View> {
    let id = ConversationId::from_bytes(row.get(1)?);
    let (last_seq, read_seq, deleted_above) = (row.get(5)?, row.get(11)?, row.get(15)?);
    let has_peer = row.get_ref(17)? != rusqlite::types::ValueRef::Null;
    let has_message: bool = row.get(22)?;
    let visible_after_seq: i64 = row.get(12)?;
    let peer = if has_peer {
        let mut peer = user_from(row, 17, true)?;
        peer.blocked = row.get(16)?;
        Some(peer)
    } else {
        None
    };
    Ok(View {
        no: row.get(0)?,
        visible_after_seq,
        last_message: if has_message { Some(message_from(row, 23, id)?) } else { None },
        conversation: Conversation {
            id,
            kind: kind_of(row.get(2)?),
            title: row.get(3)?,
            created_at: Timestamp::from_ms(row.get(4)?),
            last_seq,
            rev: row.get(6)?,
            last_message_at: time_at(row, 7)?,
            last_message: None,
            unread_count: unread_count(last_seq, read_seq, deleted_above),
            my_role: role_of(row.get(10)?)?,
            muted_until: time_at(row, 14)?,
            hidden: row.get(13)?,
            history_visibility: visibility_of(row.get(8)?),
            peer,
            member_count: row.get(9)?,
            members: None,
        },
    })
}

/// Puts last messages and their reactions on: one query more, whatever the number of views.
fn with_last_messages(connection: &Connection, views: Vec<View>) -> Sql<Vec<Conversation>> {
    let mut conversations = Vec::with_capacity(views.len());
    let mut messages = Vec::with_capacity(views.len());
    for view in views {
        let mut conversation = view.conversation;
        conversation.last_message = Some(None);
        conversations.push(conversation);
        messages.extend(view.last_message);
    }
    let mut messages = with_reactions(connection, messages)?.into_iter().peekable();
    for conversation in &mut conversations {
        if let Some(message) = messages.next_if(|m| m.conversation_id == conversation.id) {
            conversation.last_message = Some(Some(Box::new(message)));
        }
    }
    Ok(conversations)
}

pub(crate) fn page(
    connection: &Connection,
    user: UserId,
    after: Option<ListCursor>,
    limit: usize,
) -> Sql<ConversationPage> {
    let Some(user_no) = user_no(connection, user)? else {
        return Ok(ConversationPage { conversations: Vec::new(), has_more: false });
    };
    // The page is chosen first, so that unread counts and last messages are looked up for its rows alone.
    let from = "FROM (SELECT c.no AS chosen FROM members m JOIN conversations c ON c.no = m.conversation_no
            WHERE m.user_no = ?1 AND m.removed_at IS NULL AND NOT coalesce(m.hidden_seq >= c.last_seq, 0) AND (c.activity_at, c.id) < (?2, ?3)
            ORDER BY c.activity_at DESC, c.id DESC LIMIT ?4)
         JOIN conversations c ON c.no = chosen JOIN members m ON m.conversation_no = c.no AND m.user_no = ?1";
    let query = format!("{} ORDER BY c.activity_at DESC, c.id DESC", view_query(from));
    let (at, id) = after.map_or((i64::MAX, [0xff; 16]), |cursor| (cursor.activity_at_ms, *cursor.id.as_bytes()));
    let mut views: Vec<View> = connection
        .prepare_cached(&query)?
        .query_map((user_no, at, id.as_slice(), limit_of(limit.saturating_add(1))), view_from)?
        .collect::<Sql<_>>()?;
    let has_more = views.len() > limit;
    views.truncate(limit);
    Ok(ConversationPage { conversations: with_last_messages(connection, views)?, has_more })
}

/// A member's view without last message and members; `None` for others.
pub(crate) fn view(connection: &Connection, user: UserId, conversation: ConversationId) -> Sql<Option<View>> {
    let from = "FROM conversations c JOIN members m ON m.conversation_no = c.no AND m.removed_at IS NULL JOIN users me ON me.no = m.user_no";
    connection
        .prepare_cached(&format!("{} WHERE c.id = ?1 AND me.id = ?2", view_query(from)))?
        .query_row((conversation.as_bytes().as_slice(), user.as_bytes().as_slice()), view_from)
        .optional()
}

/// One conversation whole: with its last message and all members.
pub(crate) fn conversation(
    connection: &Connection,
    user: UserId,
    conversation: ConversationId,
) -> Sql<Option<Conversation>> {
    let Some(view) = view(connection, user, conversation)? else { return Ok(None) };
    let no = view.no;
    let mut found = with_last_messages(connection, vec![view])?;
    let Some(mut conversation) = found.pop() else { return Ok(None) };
    conversation.members = Some(members(connection, no, None)?.into());
    Ok(Some(conversation))
}

/// Rows that changed above a commit position, or above a `rev` of their conversation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Above {
    Pos(i64),
    Rev(i64),
}

/// The members now, or every row that changed, the removed ones too.
pub(crate) fn members(connection: &Connection, conversation_no: i64, above: Option<Above>) -> Sql<Vec<Member>> {
    let (filter, above) = match above {
        None => ("m.removed_at IS NULL AND ?2 = 0", 0),
        Some(Above::Pos(pos)) => ("m.pos > ?2", pos),
        Some(Above::Rev(rev)) => ("m.rev > ?2", rev),
    };
    connection
        .prepare_cached(&format!(
            "SELECT {MEMBER_COLUMNS} FROM members m JOIN users u ON u.no = m.user_no WHERE m.conversation_no = ?1 AND {filter}
             ORDER BY m.joined_at, u.id"
        ))?
        .query_map((conversation_no, above), member_from)?
        .collect()
}

pub(crate) fn member(connection: &Connection, conversation_no: i64, user_no: i64) -> Sql<Member> {
    connection
        .prepare_cached(&format!(
            "SELECT {MEMBER_COLUMNS} FROM members m JOIN users u ON u.no = m.user_no WHERE m.conversation_no = ?1 AND m.user_no = ?2"
        ))?
        .query_row((conversation_no, user_no), member_from)
}

pub(crate) fn memberships(connection: &Connection, user: UserId) -> Sql<Vec<ConversationId>> {
    connection
        .prepare_cached(
            "SELECT c.id FROM users u JOIN members m ON m.user_no = u.no AND m.removed_at IS NULL
             JOIN conversations c ON c.no = m.conversation_no WHERE u.id = ?1",
        )?
        .query_map([user.as_bytes().as_slice()], |row| Ok(ConversationId::from_bytes(row.get(0)?)))?
        .collect()
}

pub(crate) fn membership(
    connection: &Connection,
    user: UserId,
    conversation: ConversationId,
) -> Sql<Option<Membership>> {
    connection
        .prepare_cached(
            "SELECT m.role, u.name, c.last_seq, m.visible_after_seq, c.history_visibility,
                c.kind = 0 AND EXISTS (SELECT 1 FROM blocks b WHERE (b.user_no = c.dm_low AND b.blocked_no = c.dm_high)
                    OR (b.user_no = c.dm_high AND b.blocked_no = c.dm_low))
             FROM conversations c JOIN members m ON m.conversation_no = c.no AND m.removed_at IS NULL JOIN users u ON u.no = m.user_no
             WHERE c.id = ?1 AND u.id = ?2",
        )?
        .query_row((conversation.as_bytes().as_slice(), user.as_bytes().as_slice()), |row| {
            Ok(Membership {
                role: role_of(row.get(0)?)?,
                user_name: row.get(1)?,
                last_seq: row.get(2)?,
                visible_after_seq: row.get(3)?,
                history_visibility: visibility_of(row.get(4)?),
                blocked: row.get(5)?,
            })
        })
        .optional()
}
