//! How much stays on the device: by age and by size. What goes becomes a hole, and comes back when the reader scrolls there.

use tertulia_engine::{LocalStore as _, Stored, view};

use crate::error::failure;
use crate::rows::{CONVERSATION_COLUMNS, Rows, Sql, conversation_from};
use crate::{Durability, Store};

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Messages younger than this stay. 30 days.
    pub age_ms: i64,
    /// Bytes the file may have before older messages go, oldest half of each conversation first. 2 GiB.
    pub bytes: i64,
    /// The newest so many of each conversation stay whatever their age. 50.
    pub newest: i64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { age_ms: 30 * 24 * 60 * 60 * 1000, bytes: 2 << 30, newest: 50 }
    }
}

/// What went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    pub messages: usize,
}

impl Store {
    /// Bytes in use.
    pub fn size_bytes(&self) -> Stored<i64> {
        let read = || -> Sql<i64> {
            let pragma =
                |name: &str| self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
        };
        read().map_err(failure)
    }

    /// Lets go of what is too old or too much; never of what is pending, unread, or waits to be changed.
    pub fn prune(&mut self, keep: Keep, now_ms: i64) -> Stored<Pruned> {
        let mut pruned = Pruned::default();
        pruned.messages +=
            self.prune_below(keep, |store, no| store.older_than(no, now_ms.saturating_sub(keep.age_ms)))?;
        if self.size_bytes()? > keep.bytes {
            pruned.messages += self.prune_below(keep, Self::middle)?;
        }
        Ok(pruned)
    }

    /// The newest message that is older.
    fn older_than(&self, no: i64, before_ms: i64) -> Sql<Option<i64>> {
        self.connection
            .prepare_cached(
                "SELECT max(seq) FROM messages WHERE conversation_no = ?1 AND seq IS NOT NULL AND created_at < ?2",
            )?
            .query_row((no, before_ms), |row| row.get(0))
    }

    fn middle(&self, no: i64) -> Sql<Option<i64>> {
        self.connection
            .prepare_cached(
                "SELECT seq FROM messages WHERE conversation_no = ?1 AND seq IS NOT NULL ORDER BY seq
                 LIMIT 1 OFFSET (SELECT count(*) / 2 FROM messages WHERE conversation_no = ?1 AND seq IS NOT NULL)",
            )?
            .query_row([no], |row| row.get(0))
            .or_else(|error| if error == rusqlite::Error::QueryReturnedNoRows { Ok(None) } else { Err(error) })
    }

    fn prune_below(&mut self, keep: Keep, boundary: impl Fn(&Self, i64) -> Sql<Option<i64>>) -> Stored<usize> {
        let all = || -> Sql<Vec<(i64, tertulia_engine::LocalConversation)>> {
            self.connection
                .prepare(&format!("SELECT {CONVERSATION_COLUMNS}, no FROM conversations WHERE NOT doubted"))?
                .query_map([], |row| Ok((row.get(25)?, conversation_from(row)?)))?
                .collect()
        };
        let mut gone = 0;
        for (no, held) in all().map_err(failure)? {
            let Some(to) = boundary(self, no).map_err(failure)? else { continue };
            // What is unread counts by its rows; what waits to be changed is looked for by its row.
            let to = to.min(view::read_seq(&held).min(held.read_seq)).min(held.last_seq - keep.newest);
            if to < 1 {
                continue;
            }
            gone += self.transaction(Durability::Process, |rows| forget_up_to(rows, no, held.id, to))?;
        }
        Ok(gone)
    }
}

fn forget_up_to(rows: &mut Rows<'_>, no: i64, id: tertulia_proto::ConversationId, to: i64) -> Stored<usize> {
    let gone = rows.delete_log_up_to(no, to).map_err(failure)?;
    if gone > 0 {
        let mut holes = rows.holes(id)?;
        holes.add(1, to);
        rows.put_holes(id, &holes)?;
    }
    Ok(gone)
}
