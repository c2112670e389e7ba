//! Which way messages took: kept through the writer's second lane, looked at through the readers.

use tertulia_proto::Seq;
use tertulia_store::trace::*;
use tertulia_store::{ConversationId, Reading};

use crate::{SqliteStore, read, write};

impl TraceBook for SqliteStore {
    fn note_traces(&self, rows: Vec<TraceRow>) -> Reading<'_, ()> {
        match oversize_traces(&rows) {
            Some(error) => Box::pin(std::future::ready(Err(error))),
            None => self.change(rows.len(), move |c| write::traces::note(c, &rows)),
        }
    }

    fn find_message(&self, which: WhichMessage) -> Reading<'_, Vec<Place>> {
        self.read(move |c| read::traces::find(c, &which))
    }

    fn traced(&self, conversation: ConversationId, seq: Seq) -> Reading<'_, Option<Traced>> {
        self.read(move |c| read::traces::traced(c, conversation, seq))
    }

    fn count_traces(&self) -> Reading<'_, usize> {
        self.read(read::traces::count)
    }

    fn forget_traces(&self, which: OldTraces, limit: usize) -> Reading<'_, usize> {
        let limit = limit.min(TRACE_ROWS_MAX);
        self.change(limit, move |c| write::traces::forget(c, which, limit))
    }
}
