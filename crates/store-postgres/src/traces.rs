//! Which way messages took: changes over connections of their own, looks at the primary.

use std::sync::Arc;

use tertulia_proto::Seq;
use tertulia_store::trace::*;
use tertulia_store::{ConversationId, Reading};

use crate::{PostgresStore, read, write};

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
        self.read(move |s| async move { read::traces::find(&s, &which).await })
    }

    fn traced(&self, conversation: ConversationId, seq: Seq) -> Reading<'_, Option<Traced>> {
        self.read(move |s| async move { read::traces::traced(&s, conversation, seq).await })
    }

    fn count_traces(&self) -> Reading<'_, usize> {
        self.read(|s| async move { read::traces::count(&s).await })
    }

    fn forget_traces(&self, which: OldTraces, limit: usize) -> Reading<'_, usize> {
        let limit = limit.min(TRACE_ROWS_MAX);
        Box::pin(self.changes.transact(move |s| async move { write::traces::forget(&s, which, limit).await }))
    }
}
