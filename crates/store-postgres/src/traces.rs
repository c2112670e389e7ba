//! Which way messages took: changes over connections of their own, looks at the primary.

use std::sync::Arc;
use std::time::Duration;

use tertulia_proto::{Seq, Timestamp, UserId};
use tertulia_store::jobs::JobRecord;
use tertulia_store::trace::*;
use tertulia_store::{ConversationId, Reading};

use crate::{PostgresStore, read, write};

/// How long it may take to look for a message that the traces don't know.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

impl TraceBook for PostgresStore {
    fn note_traces(&self, rows: Vec<TraceRow>) -> Reading<'_, ()> {
        if let Some(error) = oversize_traces(&rows) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let rows = Arc::new(rows);
        Box::pin(self.changes.transact(move |s| {
            let rows = Arc::clone(&rows);
            async move { write::traces::note(&s, &rows).await }
        }))
    }

    fn find_message(&self, which: WhichMessage) -> Reading<'_, Vec<Place>> {
        Box::pin(async move {
            let asked = which.clone();
            let found = self.read(move |s| async move { read::traces::find(&s, &asked).await }).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            let look = move |s: Arc<_>| async move { read::traces::look_through(&s, &which).await };
            self.look_long(LOOK_DEADLINE, look).await
        })
    }

    fn traced(&self, conversation: ConversationId, seq: Seq) -> Reading<'_, Option<Traced>> {
        self.read(move |s| async move { read::traces::traced(&s, conversation, seq).await })
    }

    fn traced_receipts(&self, conversation: ConversationId, after: ReceiptsAfter) -> Reading<'_, Vec<Noted>> {
        self.read(move |s| async move { read::traces::receipts(&s, conversation, after).await })
    }

    fn members_then(&self, conversation: ConversationId, seq: Seq, users: Vec<UserId>) -> Reading<'_, Vec<UserId>> {
        self.read(move |s| async move { read::traces::members_then(&s, conversation, seq, &users).await })
    }

    fn jobs_of_conversation(&self, conversation: ConversationId, since: Timestamp) -> Reading<'_, Vec<JobRecord>> {
        self.read(move |s| async move { read::jobs::of_conversation(&s, conversation, since, JOBS_TOLD_MAX).await })
    }

    fn count_traces(&self) -> Reading<'_, usize> {
        self.read(|s| async move { read::traces::count(&s).await })
    }

    fn surplus_traces(&self, keep: usize) -> Reading<'_, Option<i64>> {
        self.read(move |s| async move { read::traces::surplus(&s, keep).await })
    }

    fn forget_traces(&self, which: OldTraces, limit: usize) -> Reading<'_, usize> {
        let limit = limit.min(TRACE_ROWS_MAX);
        Box::pin(self.changes.transact(move |s| async move { write::traces::forget(&s, which, limit).await }))
    }
}
