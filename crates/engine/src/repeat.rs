//! Operations that left and were not answered: what became of them is read from the log before they are sent again.
//!
//! When a connection is open, nothing that was sent over an earlier one can still be executed (the server retires those of the same device), and what was
//! executed is in the first difference. So an operation that the log does not show did not arrive, with one exception: another device of the same person
//! may have overwritten it since. To send it again would undo that.

use tertulia_proto::{Seq, Timestamp};

use crate::engine::{Engine, Now};
use crate::planted::Bug;
use crate::store::{Departure, LocalMessage, LocalStore, Op, OutboxEntry, Stored};

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The log shows it, or something newer in its place.
    Done,
    /// It did not arrive.
    Lost,
    /// The message lies in a hole at this `seq`.
    Unknown(Seq),
}

impl Engine {
    /// The server's time, at the earliest: what it said when it connected, and what has passed here since.
    fn server_time(&self, now: Now) -> Option<Timestamp> {
        let (said, at) = self.server_clock?;
        let passed = i64::try_from(now.mono_ms.saturating_sub(at)).unwrap_or(i64::MAX);
        Some(said.plus_ms(passed))
    }

    /// Marks an operation as sent, before it is.
    pub(crate) fn depart(&self, store: &mut dyn LocalStore, now: Now, mut entry: OutboxEntry) -> Stored<()> {
        entry.transmitted = true;
        entry.departure = None;
        if let (Op::Edit { .. }, Some(at)) = (&entry.op, self.server_time(now)) {
            let body = store.message(entry.conversation_id, &entry.target)?.map(|row| row.body);
            entry.departure = body.map(|body| Departure { at, body });
        }
        store.put_outbox(&entry).map(drop)
    }

    /// Only while caught up: the rows are the log's then.
    pub(crate) fn fate(&self, store: &mut dyn LocalStore, entry: &OutboxEntry) -> Stored<Fate> {
        let id = entry.conversation_id;
        let Some(row) = store.message(id, &entry.target)? else { return Ok(Fate::Lost) };
        let Some(seq) = row.seq else { return Ok(Fate::Lost) };
        if store.holes(id)?.contains(seq) {
            return Ok(Fate::Unknown(seq));
        }
        let done = match &entry.op {
            // Nothing can be done to it any more.
            _ if row.deleted_at.is_some() => true,
            Op::Edit { body } => row.body == *body || Self::is_superseded(&row, entry),
            // Whoever toggled it meanwhile on another device is undone: of a reaction the log keeps no time. It is never lost.
            Op::React { emoji, remove } => {
                let mut there = row.reactions.iter().filter(|reaction| reaction.emoji == *emoji);
                let mine = there.any(|reaction| reaction.user_ids.iter().any(|user| self.is_mine(*user)));
                mine != *remove
            }
            Op::Send | Op::Delete => false,
        };
        Ok(if done || self.has(Bug::UnansweredTakenForDone) { Fate::Done } else { Fate::Lost })
    }

    /// Whether the text is of an edit that this device did not know of when its own left, and that was committed after that. By the log alone it can't be
    /// told whether that one came after ours or in its stead; it is the newer either way. One that was known, or committed before, is no reason: ours was
    /// made later.
    fn is_superseded(row: &LocalMessage, entry: &OutboxEntry) -> bool {
        let Some(departure) = &entry.departure else { return false };
        let is_later = row.edited_at.is_some_and(|edited_at| edited_at >= departure.at);
        row.body != departure.body && is_later
    }
}
