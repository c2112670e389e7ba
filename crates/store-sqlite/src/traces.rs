//! Which way messages took: kept through the writer's second lane, looked at through the readers.

use tertulia_proto::{Seq, Timestamp, UserId};
use tertulia_store::jobs::JobRecord;
use tertulia_store::trace::*;
use tertulia_store::{ConversationId, Reading};

use crate::{SqliteStore, read, write};

/// Rows of one commit: whoever sends waits for them.
const ROWS_PER_COMMIT: usize = 64;

impl TraceBook for SqliteStore {
    fn note_traces(&self, rows: Vec<TraceRow>) -> Reading<'_, ()> {
        if let Some(error) = oversize_traces(&rows) {
            return Box::pin(std::future::ready(Err(error)));
        }
        Box::pin(async move {
            for some in rows.chunks(ROWS_PER_COMMIT) {
                let some = some.to_vec();
                self.change(some.len(), move |c| write::traces::note(c, &some)).await?;
            }
            Ok(())
        })
    }

    fn find_message(&self, which: WhichMessage) -> Reading<'_, Vec<Place>> {
        self.read(move |c| read::traces::find(c, &which))
    }

    fn traced(&self, conversation: ConversationId, seq: Seq) -> Reading<'_, Option<Traced>> {
        self.read(move |c| read::traces::traced(c, conversation, seq))
    }

    fn traced_receipts(&self, conversation: ConversationId, after: ReceiptsAfter) -> Reading<'_, Vec<Noted>> {
        self.read(move |c| read::traces::receipts(c, conversation, after))
    }

    fn members_then(&self, conversation: ConversationId, seq: Seq, users: Vec<UserId>) -> Reading<'_, Vec<UserId>> {
        self.read(move |c| read::traces::members_then(c, conversation, seq, &users))
    }

    fn jobs_of_conversation(&self, conversation: ConversationId, since: Timestamp) -> Reading<'_, Vec<JobRecord>> {
        self.read(move |c| read::jobs::of_conversation(c, conversation, since, JOBS_TOLD_MAX))
    }

    fn count_traces(&self) -> Reading<'_, usize> {
        self.read(read::traces::count)
    }

    fn surplus_traces(&self, keep: usize) -> Reading<'_, Option<i64>> {
        self.read(move |c| read::traces::surplus(c, keep))
    }

    fn forget_traces(&self, which: OldTraces, limit: usize) -> Reading<'_, usize> {
        Box::pin(async move {
            let (mut gone, mut above, mut left) = (0, i64::MIN, limit.min(TRACE_ROWS_MAX));
            while left > 0 {
                let rows = left.min(ROWS_PER_COMMIT);
                let (some, last) = self.change(rows, move |c| write::traces::forget(c, which, above, rows)).await?;
                gone += some;
                left -= rows;
                match last {
                    Some(last) => above = last,
                    None => break,
                }
            }
            Ok(gone)
        })
    }
}
