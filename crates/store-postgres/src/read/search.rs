//! Searching the bodies: the newest hits of the conversations a person may see, merged by time. Each conversation is a part of the index; some are
//! looked into at a time, and further ones only while their last activity is newer than the best hit known.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tertulia_proto::{ConversationId, Message, UserId};
use uuid::Uuid;

use crate::error::Sql;
use crate::read::accounts::limit_of;
use crate::read::history;
use crate::read::warrant::{Head, Warrant, history_columns};
use crate::rows::{Key, at};
use crate::session::Session;

/// Conversations looked into by one statement.
const PLACES: usize = 32;

/// What is shorter has no trigram, and is found nowhere.
const CHARS_MIN: usize = 3;

pub(crate) struct Place {
    id: ConversationId,
    visible_after_seq: i64,
    activity_at: i64,
    head: Head,
}

/// Where a person may look, the most recently active first.
pub(crate) struct Places {
    all: Vec<Place>,
    /// `None` where the log's history is not settled.
    generation: Option<i64>,
}

impl Places {
    /// What whoever looks must have; `None` where only the log itself may look.
    pub fn warrant(&self, user: UserId) -> Option<Warrant> {
        Some(Warrant::new(user, self.generation?, self.all.iter().map(|place| place.head).collect()).with_index())
    }
}

/// Whether a text can be found anywhere.
pub(crate) fn is_searchable(text: &str) -> bool {
    text.chars().count() >= CHARS_MIN
}

/// The newest hit of a place that has not been taken yet; the greatest is the newest of all.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    created_at: i64,
    /// Of two at the same time the one whose place was active more recently.
    place: Reverse<usize>,
    seq: i64,
}

pub(crate) async fn messages(
    session: &Session,
    user: UserId,
    text: &str,
    within: Option<ConversationId>,
    limit: usize,
) -> Sql<Vec<Message>> {
    if !is_searchable(text) {
        return Ok(Vec::new());
    }
    found(session, &places(session, user, within).await?, text, limit).await
}

/// The newest hits in these places.
pub(crate) async fn found(session: &Session, places: &Places, text: &str, limit: usize) -> Sql<Vec<Message>> {
    let places = &places.all;
    let (mut next_place, mut known) = (0, Vec::<VecDeque<(i64, i64)>>::new());
    let mut heap = BinaryHeap::new();
    let mut found: Vec<Key> = Vec::new();
    while found.len() < limit {
        // Places are looked into only as long as they could hold something newer than what is known.
        while let Some(place) = places.get(next_place) {
            if heap.peek().is_some_and(|hit: &Hit| hit.created_at > place.activity_at) {
                break;
            }
            let some = &places[next_place..places.len().min(next_place + PLACES)];
            for (at_place, mut hits) in (next_place..).zip(newest_hits(session, text, some, limit).await?) {
                heap.extend(hits.pop_front().map(|hit| hit_of(at_place, hit)));
                known.push(hits);
            }
            next_place += some.len();
        }
        let Some(hit) = heap.pop() else { break };
        let Reverse(at_place) = hit.place;
        found.extend(places.get(at_place).map(|place| (place.id, hit.seq)));
        heap.extend(known.get_mut(at_place).and_then(VecDeque::pop_front).map(|hit| hit_of(at_place, hit)));
    }
    history::by_keys(session, &found).await
}

const fn hit_of(place: usize, (seq, created_at): (i64, i64)) -> Hit {
    Hit { created_at, place: Reverse(place), seq }
}

const NEWEST_HITS: &str = r"SELECT w.place, x.seq, x.created_at
     FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS w (conversation_id, visible_after_seq, place)
     CROSS JOIN LATERAL (SELECT x.seq, x.created_at FROM message_texts t
        JOIN messages x ON x.conversation_id = w.conversation_id AND x.seq = t.seq AND x.deleted_at IS NULL
        WHERE t.conversation_id = w.conversation_id AND t.seq > w.visible_after_seq
            AND t.body LIKE '%' || replace(replace(replace(searchable($3), '\', '\\'), '%', '\%'), '_', '\_') || '%'
        ORDER BY t.seq DESC LIMIT $4) x
     ORDER BY w.place, x.seq DESC";

/// For each place its newest hits, newest first: seq and time. The index is behind the log, so what has been deleted since is still in it.
async fn newest_hits(session: &Session, text: &str, places: &[Place], limit: usize) -> Sql<Vec<VecDeque<(i64, i64)>>> {
    let ids: Vec<Uuid> = places.iter().map(|place| place.id.uuid()).collect();
    let visible: Vec<i64> = places.iter().map(|place| place.visible_after_seq).collect();
    let mut hits: Vec<VecDeque<(i64, i64)>> = places.iter().map(|_| VecDeque::new()).collect();
    for row in session.rows(NEWEST_HITS, &[&ids, &visible, &text, &limit_of(limit)]).await? {
        let place = usize::try_from(at::<i64>(&row, 0)? - 1).unwrap_or(usize::MAX);
        if let Some(of_place) = hits.get_mut(place) {
            of_place.push_back((at(&row, 1)?, at(&row, 2)?));
        }
    }
    Ok(hits)
}

const PLACES_OF: &str = concat!(
    "SELECT c.id, c.rev, m.xmin::text::bigint, ",
    history_columns!(),
    ", coalesce(p.seq, 0), coalesce(p.rev, 0), m.visible_after_seq, c.activity_at
     FROM log_state l CROSS JOIN members m JOIN conversations c ON c.id = m.conversation_id LEFT JOIN search_progress p ON p.conversation_id = c.id
     WHERE m.user_id = $1 AND m.removed_at IS NULL AND ($2::uuid IS NULL OR c.id = $2) ORDER BY c.activity_at DESC, c.id DESC"
);

pub(crate) async fn places(session: &Session, user: UserId, within: Option<ConversationId>) -> Sql<Places> {
    let within: Option<Uuid> = within.map(|id| id.uuid());
    let rows = session.rows(PLACES_OF, &[&user.uuid(), &within]).await?;
    let place = |row: &tokio_postgres::Row| {
        let head = Head::from_row(row)?.indexed(at(row, 5)?, at(row, 6)?);
        Ok(Place { id: head.id, visible_after_seq: at(row, 7)?, activity_at: at(row, 8)?, head })
    };
    let all = rows.iter().map(place).collect::<Sql<Vec<_>>>()?;
    let generation = Warrant::from_rows(user, &rows)?.map(|warrant| warrant.generation);
    Ok(Places { all, generation })
}
