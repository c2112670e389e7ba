//! Messages of one conversation, by keyset.

use tertulia_proto::{ConversationId, Message, MessageId, Seq, UserId};
use tertulia_store::{HistoryPage, HistoryRange};
use uuid::Uuid;

use crate::error::Sql;
use crate::read::accounts::limit_of;
use crate::read::conversations;
use crate::rows::{Key, MessageRow, at, message_columns, message_from, with_reactions};
use crate::session::Session;

macro_rules! range {
    ($order:literal) => {
        concat!(
            "SELECT ",
            message_columns!(),
            " FROM (SELECT x.* FROM messages x WHERE x.conversation_id = $1 AND x.seq > $2 AND x.seq < $3 ORDER BY x.seq ",
            $order,
            " LIMIT $4) x JOIN users s ON s.id = x.sender_id ORDER BY x.seq ",
            $order
        )
    };
}

const NEWEST_FIRST: &str = range!("DESC");
const OLDEST_FIRST: &str = range!("ASC");

/// Rows with `low < seq < high`, from the one end or the other.
pub(crate) async fn rows(
    session: &Session,
    conversation: ConversationId,
    (low, high): (Seq, Seq),
    newest_first: bool,
    limit: usize,
) -> Sql<Vec<MessageRow>> {
    let select = if newest_first { NEWEST_FIRST } else { OLDEST_FIRST };
    let rows = session.rows(select, &[&conversation.uuid(), &low, &high, &limit_of(limit)]).await?;
    rows.iter().map(|row| message_from(row, 0)).collect()
}

pub(crate) async fn page(
    session: &Session,
    user: UserId,
    conversation: ConversationId,
    range: HistoryRange,
    limit: usize,
) -> Sql<Option<HistoryPage>> {
    let Some(member) = conversations::membership(session, user, conversation).await? else { return Ok(None) };
    let floor = member.visible_after_seq;
    let end = member.last_seq + 1;
    let (low, high, newest_first) = match range {
        HistoryRange::Latest => (floor, end, true),
        HistoryRange::Before(seq) => (floor, seq.clamp(0, end), true),
        HistoryRange::After(seq) => (seq.clamp(floor, end), end, false),
        HistoryRange::AfterMessage(id) => match seq_by_id(session, conversation, id).await? {
            Some(seq) if seq > floor => (seq, end, false),
            _ => return Ok(Some(HistoryPage { messages: Vec::new(), has_more: false })),
        },
    };
    let mut rows = rows(session, conversation, (low, high), newest_first, limit.saturating_add(1)).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    if newest_first {
        rows.reverse();
    }
    Ok(Some(HistoryPage { messages: with_reactions(session, rows).await?, has_more }))
}

pub(crate) async fn message(
    session: &Session,
    user: UserId,
    conversation: ConversationId,
    id: MessageId,
) -> Sql<Option<Message>> {
    let Some(member) = conversations::membership(session, user, conversation).await? else { return Ok(None) };
    match seq_by_id(session, conversation, id).await? {
        Some(seq) if seq > member.visible_after_seq => Ok(by_keys(session, &[(conversation, seq)]).await?.pop()),
        _ => Ok(None),
    }
}

const BY_KEYS: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS k (conversation_id, seq, place)
     CROSS JOIN LATERAL (SELECT x.* FROM messages x WHERE x.conversation_id = k.conversation_id AND x.seq = k.seq OFFSET 0) x
     JOIN users s ON s.id = x.sender_id ORDER BY k.place"
);

/// The messages that lie there, in the order of the keys.
pub(crate) async fn by_keys(session: &Session, keys: &[Key]) -> Sql<Vec<Message>> {
    let (ids, seqs): (Vec<Uuid>, Vec<i64>) = keys.iter().map(|(id, seq)| (id.uuid(), *seq)).unzip();
    let rows = session.rows(BY_KEYS, &[&ids, &seqs]).await?;
    let rows = rows.iter().map(|row| message_from(row, 0)).collect::<Sql<Vec<_>>>()?;
    with_reactions(session, rows).await
}

/// `None` where the message is not of this conversation.
pub(crate) async fn seq_by_id(session: &Session, conversation: ConversationId, id: MessageId) -> Sql<Option<Seq>> {
    let select = "SELECT seq FROM messages WHERE conversation_id = $1 AND id = $2";
    session.opt(select, &[&conversation.uuid(), &id.uuid()]).await?.map(|row| at(&row, 0)).transpose()
}
