//! Conversations as a member sees them.

use std::collections::HashMap;

use tertulia_proto::{Conversation, ConversationId, ListCursor, Member, Timestamp, UserId, model::unread_count};
use tertulia_store::{ConversationPage, Membership};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Sql;
use crate::read::accounts::limit_of;
use crate::read::warrant::{Warrant, history_columns};
use crate::rows::{
    MessageRow, at, conversation_at, kind_of, member_columns, member_from, message_columns, message_from, role_of,
    time_at, user_columns, user_from, visibility_of, with_reactions,
};
use crate::session::Session;

/// A conversation with what the difference needs beside it.
pub(crate) struct View {
    pub visible_after_seq: i64,
    pub conversation: Conversation,
    last_message: Option<MessageRow>,
}

/// Selects views: `m` is the viewer's row, `c` the conversation. 22 columns, then the last message's.
macro_rules! views {
    ($from:literal, $order:literal) => {
        concat!(
            "SELECT c.id, c.kind, c.title, c.created_at, c.last_seq, c.rev, c.last_message_at, c.history_visibility, c.member_count,
                m.role, m.read_seq, m.visible_after_seq, coalesce(m.hidden_seq >= c.last_seq, false), m.muted_until, d.deleted,
                EXISTS (SELECT 1 FROM blocks b WHERE b.user_id = m.user_id AND b.blocked_id = u.id), ",
            user_columns!(),
            ", x.seq IS NOT NULL, ",
            message_columns!(),
            " ",
            $from,
            " LEFT JOIN users u ON c.kind = 0 AND u.id = CASE c.dm_low WHEN m.user_id THEN c.dm_high ELSE c.dm_low END
             CROSS JOIN LATERAL (SELECT count(*) AS deleted FROM messages d
                WHERE d.conversation_id = c.id AND d.seq > m.read_seq AND d.seq <= c.last_seq AND d.deleted_at IS NOT NULL) d
             LEFT JOIN LATERAL (SELECT x.* FROM messages x
                WHERE x.conversation_id = c.id AND x.seq = c.last_seq AND c.last_seq > m.visible_after_seq OFFSET 0) x ON true
             LEFT JOIN users s ON s.id = x.sender_id",
            $order
        )
    };
}

fn view_from(row: &Row) -> Sql<View> {
    let (last_seq, read_seq, deleted_above) = (at(row, 4)?, at(row, 10)?, at(row, 14)?);
    let peer = match at::<Option<Uuid>>(row, 16)? {
        Some(_) => {
            let mut peer = user_from(row, 16, true)?;
            peer.blocked = at(row, 15)?;
            Some(peer)
        }
        None => None,
    };
    Ok(View {
        visible_after_seq: at(row, 11)?,
        last_message: if at(row, 21)? { Some(message_from(row, 22)?) } else { None },
        conversation: Conversation {
            id: conversation_at(row, 0)?,
            kind: kind_of(at(row, 1)?),
            title: at(row, 2)?,
            created_at: Timestamp::from_ms(at(row, 3)?),
            last_seq,
            rev: at(row, 5)?,
            last_message_at: time_at(row, 6)?,
            last_message: None,
            unread_count: unread_count(last_seq, read_seq, deleted_above),
            my_role: role_of(at(row, 9)?)?,
            muted_until: time_at(row, 13)?,
            hidden: at(row, 12)?,
            history_visibility: visibility_of(at(row, 7)?),
            peer,
            member_count: at(row, 8)?,
            members: None,
        },
    })
}

/// Puts last messages and their reactions on: one query more, whatever the number of views.
async fn with_last_messages(session: &Session, views: Vec<View>) -> Sql<Vec<Conversation>> {
    let mut conversations = Vec::with_capacity(views.len());
    let mut messages = Vec::with_capacity(views.len());
    for view in views {
        let mut conversation = view.conversation;
        conversation.last_message = Some(None);
        conversations.push(conversation);
        messages.extend(view.last_message);
    }
    let mut messages = with_reactions(session, messages).await?.into_iter().peekable();
    for conversation in &mut conversations {
        if let Some(message) = messages.next_if(|m| m.conversation_id == conversation.id) {
            conversation.last_message = Some(Some(Box::new(message)));
        }
    }
    Ok(conversations)
}

/// The page is chosen first, so that unread counts and last messages are looked up for its rows alone.
const PAGE: &str = views!(
    "FROM (SELECT c.id AS chosen FROM members m JOIN conversations c ON c.id = m.conversation_id
        WHERE m.user_id = $1 AND m.removed_at IS NULL AND NOT coalesce(m.hidden_seq >= c.last_seq, false)
            AND (c.activity_at, c.id) < ($2, $3)
        ORDER BY c.activity_at DESC, c.id DESC LIMIT $4) p
     JOIN conversations c ON c.id = p.chosen JOIN members m ON m.conversation_id = c.id AND m.user_id = $1",
    " ORDER BY c.activity_at DESC, c.id DESC"
);

pub(crate) async fn page(
    session: &Session,
    user: UserId,
    after: Option<ListCursor>,
    limit: usize,
) -> Sql<ConversationPage> {
    let (before, id) = beginning(after);
    let rows = session.rows(PAGE, &[&user.uuid(), &before, &id, &limit_of(limit.saturating_add(1))]).await?;
    let mut views: Vec<View> = rows.iter().map(view_from).collect::<Sql<_>>()?;
    let has_more = views.len() > limit;
    views.truncate(limit);
    Ok(ConversationPage { conversations: with_last_messages(session, views).await?, has_more })
}

/// What the page would show, and nothing of it yet.
const CHOSEN: &str = concat!(
    "SELECT p.id, p.rev, p.version, ",
    history_columns!(),
    " FROM log_state l CROSS JOIN (SELECT c.id, c.rev, m.xmin::text::bigint AS version, c.activity_at
        FROM members m JOIN conversations c ON c.id = m.conversation_id
        WHERE m.user_id = $1 AND m.removed_at IS NULL AND NOT coalesce(m.hidden_seq >= c.last_seq, false)
            AND (c.activity_at, c.id) < ($2, $3)
        ORDER BY c.activity_at DESC, c.id DESC LIMIT $4) p ORDER BY p.activity_at DESC, p.id DESC"
);

/// Which conversations the page shows, in their order, and whether there are more; `None` where the log's history is not settled.
pub(crate) async fn chosen(
    session: &Session,
    user: UserId,
    after: Option<ListCursor>,
    limit: usize,
) -> Sql<Option<(Warrant, bool)>> {
    let (before, id) = beginning(after);
    let rows = session.rows(CHOSEN, &[&user.uuid(), &before, &id, &limit_of(limit.saturating_add(1))]).await?;
    let has_more = rows.len() > limit;
    let shown = rows.get(..limit).unwrap_or(&rows);
    Ok(Warrant::from_rows(user, shown)?.map(|warrant| (warrant, has_more)))
}

/// These conversations as in a list, in this order.
pub(crate) async fn listed(session: &Session, user: UserId, ids: &[ConversationId]) -> Sql<Vec<Conversation>> {
    let mut views = views(session, user, ids).await?;
    with_last_messages(session, ids.iter().filter_map(|id| views.remove(id)).collect()).await
}

fn beginning(after: Option<ListCursor>) -> (i64, Uuid) {
    after.map_or((i64::MAX, Uuid::max()), |cursor| (cursor.activity_at_ms, cursor.id.uuid()))
}

const VIEWS: &str = views!(
    "FROM unnest($2::uuid[]) AS w (id) JOIN conversations c ON c.id = w.id
     JOIN members m ON m.conversation_id = c.id AND m.user_id = $1 AND m.removed_at IS NULL",
    ""
);

/// A member's views without last messages and members; none of conversations they are no member of.
pub(crate) async fn views(
    session: &Session,
    user: UserId,
    conversations: &[ConversationId],
) -> Sql<HashMap<ConversationId, View>> {
    let ids: Vec<Uuid> = conversations.iter().map(ConversationId::uuid).collect();
    let rows = session.rows(VIEWS, &[&user.uuid(), &ids]).await?;
    rows.iter().map(|row| view_from(row).map(|view| (view.conversation.id, view))).collect()
}

/// One conversation whole: with its last message and all members.
pub(crate) async fn conversation(
    session: &Session,
    user: UserId,
    conversation: ConversationId,
) -> Sql<Option<Conversation>> {
    let mut views = views(session, user, &[conversation]).await?;
    let Some(view) = views.remove(&conversation) else { return Ok(None) };
    let mut found = with_last_messages(session, vec![view]).await?;
    let Some(mut found) = found.pop() else { return Ok(None) };
    let mut members = members(session, &[(conversation, Above::Nothing)]).await?;
    found.members = Some(members.remove(&conversation).unwrap_or_default().into());
    Ok(Some(found))
}

/// Which rows of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Above {
    /// All that stand now; of members those who are in.
    Nothing,
    /// What changed above a position, the removed too.
    Pos(i64),
    /// What changed above a `rev` of the conversation, the removed too.
    Rev(i64),
}

const MEMBERS: &str = concat!(
    "SELECT ",
    member_columns!(),
    " FROM unnest($1::uuid[], $2::smallint[], $3::bigint[]) AS w (conversation_id, kind, above)
     CROSS JOIN LATERAL (SELECT m.* FROM members m WHERE m.conversation_id = w.conversation_id
        AND CASE w.kind WHEN 0 THEN m.removed_at IS NULL WHEN 1 THEN m.pos > w.above ELSE m.rev > w.above END OFFSET 0) m
     JOIN users u ON u.id = m.user_id ORDER BY m.conversation_id, m.joined_at, u.id"
);

pub(crate) async fn members(
    session: &Session,
    wanted: &[(ConversationId, Above)],
) -> Sql<HashMap<ConversationId, Vec<Member>>> {
    let (mut ids, mut kinds, mut aboves) = (Vec::<Uuid>::new(), Vec::<i16>::new(), Vec::<i64>::new());
    for (id, above) in wanted {
        let (kind, above) = match above {
            Above::Nothing => (0, 0),
            Above::Pos(pos) => (1, *pos),
            Above::Rev(rev) => (2, *rev),
        };
        ids.push(id.uuid());
        kinds.push(kind);
        aboves.push(above);
    }
    let mut found: HashMap<ConversationId, Vec<Member>> = HashMap::new();
    for row in session.rows(MEMBERS, &[&ids, &kinds, &aboves]).await? {
        let (conversation, member) = member_from(&row)?;
        found.entry(conversation).or_default().push(member);
    }
    Ok(found)
}

const MEMBER: &str = concat!(
    "SELECT ",
    member_columns!(),
    " FROM members m JOIN users u ON u.id = m.user_id WHERE m.conversation_id = $1 AND m.user_id = $2"
);

/// The row of somebody who is a member or was one.
pub(crate) async fn member(session: &Session, conversation: ConversationId, user: UserId) -> Sql<Member> {
    let row = session.one(MEMBER, &[&conversation.uuid(), &user.uuid()]).await?;
    Ok(member_from(&row)?.1)
}

pub(crate) async fn memberships(session: &Session, user: UserId) -> Sql<Vec<ConversationId>> {
    let select = "SELECT conversation_id FROM members WHERE user_id = $1 AND removed_at IS NULL";
    session.rows(select, &[&user.uuid()]).await?.iter().map(|row| conversation_at(row, 0)).collect()
}

const MEMBERSHIP: &str = "SELECT m.role, u.name, c.last_seq, m.visible_after_seq, c.history_visibility,
        c.kind = 0 AND EXISTS (SELECT 1 FROM blocks b WHERE (b.user_id = c.dm_low AND b.blocked_id = c.dm_high)
            OR (b.user_id = c.dm_high AND b.blocked_id = c.dm_low))
     FROM conversations c JOIN members m ON m.conversation_id = c.id AND m.removed_at IS NULL JOIN users u ON u.id = m.user_id
     WHERE c.id = $1 AND m.user_id = $2";

pub(crate) async fn membership(
    session: &Session,
    user: UserId,
    conversation: ConversationId,
) -> Sql<Option<Membership>> {
    let row = session.opt(MEMBERSHIP, &[&conversation.uuid(), &user.uuid()]).await?;
    row.map(|row| {
        Ok(Membership {
            role: role_of(at(&row, 0)?)?,
            user_name: at(&row, 1)?,
            last_seq: at(&row, 2)?,
            visible_after_seq: at(&row, 3)?,
            history_visibility: visibility_of(at(&row, 4)?),
            blocked: at(&row, 5)?,
        })
    })
    .transpose()
}

const ROWS_OF: &str = concat!(
    "SELECT ",
    member_columns!(),
    " FROM members m JOIN users u ON u.id = m.user_id WHERE m.user_id = $1 AND m.conversation_id = ANY($2) ORDER BY m.conversation_id"
);

/// One person's rows in several conversations.
pub(crate) async fn rows_of(
    session: &Session,
    user: UserId,
    conversations: &Vec<Uuid>,
) -> Sql<Vec<(ConversationId, Member)>> {
    session.rows(ROWS_OF, &[&user.uuid(), conversations]).await?.iter().map(member_from).collect()
}
