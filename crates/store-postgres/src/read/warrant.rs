//! What the primary says before a replica is asked: who may see which conversations, and how far each has come there.
//!
//! A replica may answer where it stands exactly there, on the same history. So its answer is the one that the primary would have given: never older than the
//! question, whoever was told what before it; nor newer than what is acknowledged, which a promotion could take back (docs/adr/0008).

use tertulia_proto::{ConversationId, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Fault, Sql};
use crate::rows::{at, conversation_at};
use crate::session::Session;

/// Of `log_state l`, two columns: which history this is, and whether the server is on the one that the state speaks of.
macro_rules! history_columns {
    () => {
        "l.generation, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint = l.timeline"
    };
}
pub(crate) use history_columns;

/// One conversation as one member finds it at the primary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub id: ConversationId,
    /// Counts everything that others may see.
    rev: i64,
    /// Which transaction wrote the member's own row: what only they see moves no `rev`, and need not move a position either.
    version: i64,
    /// How far the search has followed, by seq and by rev.
    indexed: (i64, i64),
}

impl Head {
    pub const fn new(id: ConversationId, rev: i64, version: i64) -> Self {
        Self { id, rev, version, indexed: (0, 0) }
    }

    /// The first three columns of a row: id, rev, version.
    pub fn from_row(row: &Row) -> Sql<Self> {
        Ok(Self::new(conversation_at(row, 0)?, at(row, 1)?, at(row, 2)?))
    }

    pub const fn indexed(self, seq: i64, rev: i64) -> Self {
        Self { indexed: (seq, rev), ..self }
    }
}

/// What a replica must have to answer one lookup.
#[derive(Debug)]
pub(crate) struct Warrant {
    user: UserId,
    pub generation: i64,
    heads: Vec<Head>,
    is_indexed: bool,
}

/// How many of the conversations are there, and as they should be.
macro_rules! held {
    ($from:literal, $and:literal) => {
        concat!(
            "SELECT l.generation = $1 AND pg_is_in_recovery(), (SELECT count(*)
                FROM unnest($3::uuid[], $4::bigint[], $5::bigint[]",
            $from,
            " WHERE m.xmin::text::bigint = w.version AND c.rev = w.rev",
            $and,
            ") FROM log_state l"
        )
    };
}

const HELD: &str = held!(
    ") AS w (id, rev, version)
        JOIN conversations c ON c.id = w.id JOIN members m ON m.conversation_id = w.id AND m.user_id = $2",
    ""
);

const HELD_WITH_INDEX: &str = held!(
    ", $6::bigint[], $7::bigint[]) AS w (id, rev, version, indexed_seq, indexed_rev)
        JOIN conversations c ON c.id = w.id JOIN members m ON m.conversation_id = w.id AND m.user_id = $2
        LEFT JOIN search_progress p ON p.conversation_id = w.id",
    " AND coalesce(p.seq, 0) >= w.indexed_seq AND coalesce(p.rev, 0) >= w.indexed_rev"
);

impl Warrant {
    pub const fn new(user: UserId, generation: i64, heads: Vec<Head>) -> Self {
        Self { user, generation, heads, is_indexed: false }
    }

    /// From rows whose first five columns are a head's and [`history_columns!`]. `None` where there is none, or the history is not settled.
    pub fn from_rows(user: UserId, rows: &[Row]) -> Sql<Option<Self>> {
        let Some(first) = rows.first() else { return Ok(None) };
        if !at::<bool>(first, 4)? {
            return Ok(None);
        }
        let heads = rows.iter().map(Head::from_row).collect::<Sql<_>>()?;
        Ok(Some(Self::new(user, at(first, 3)?, heads)))
    }

    /// The search must have come as far as well.
    pub const fn with_index(mut self) -> Self {
        self.is_indexed = true;
        self
    }

    pub fn ids(&self) -> Vec<ConversationId> {
        self.heads.iter().map(|head| head.id).collect()
    }

    /// An error where this replica may not answer.
    pub async fn holds_at(&self, session: &Session) -> Sql<()> {
        let ids: Vec<Uuid> = self.heads.iter().map(|head| head.id.uuid()).collect();
        let revs: Vec<i64> = self.heads.iter().map(|head| head.rev).collect();
        let versions: Vec<i64> = self.heads.iter().map(|head| head.version).collect();
        let user = self.user.uuid();
        let row = if self.is_indexed {
            let seqs: Vec<i64> = self.heads.iter().map(|head| head.indexed.0).collect();
            let followed: Vec<i64> = self.heads.iter().map(|head| head.indexed.1).collect();
            let params: &[&dyn crate::session::Param] =
                &[&self.generation, &user, &ids, &revs, &versions, &seqs, &followed];
            session.opt(HELD_WITH_INDEX, params).await?
        } else {
            session.opt(HELD, &[&self.generation, &user, &ids, &revs, &versions]).await?
        };
        // A log without a state is not this one.
        let Some(row) = row else { return Err(Fault::OtherHistory) };
        if !at::<bool>(&row, 0)? {
            return Err(Fault::OtherHistory);
        }
        let count = usize::try_from(at::<i64>(&row, 1)?).unwrap_or(0);
        if count == self.heads.len() { Ok(()) } else { Err(Fault::Behind) }
    }
}

/// Of one conversation.
const HEAD: &str = concat!(
    "SELECT c.id, c.rev, m.xmin::text::bigint, ",
    history_columns!(),
    " FROM log_state l CROSS JOIN conversations c JOIN members m ON m.conversation_id = c.id AND m.removed_at IS NULL
     WHERE c.id = $1 AND m.user_id = $2"
);

/// What may be seen of one conversation.
pub(crate) enum Sight {
    Nothing,
    /// Only at the primary: the log's history is not settled.
    Here,
    There(Warrant),
}

pub(crate) async fn sight(session: &Session, user: UserId, conversation: ConversationId) -> Sql<Sight> {
    let rows = session.rows(HEAD, &[&conversation.uuid(), &user.uuid()]).await?;
    if rows.is_empty() {
        return Ok(Sight::Nothing);
    }
    Ok(Warrant::from_rows(user, &rows)?.map_or(Sight::Here, Sight::There))
}
