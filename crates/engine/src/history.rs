//! Holes are filled when the reader comes to them.

use std::collections::BTreeMap;

use tertulia_proto::model::History;
use tertulia_proto::request::{ClientRequest, HistoryRequest};
use tertulia_proto::{Answer, ApiError, ConversationId, Rev, Seq};

use crate::backoff;
use crate::engine::{Asked, Engine, Notice, Now};
use crate::planted::Bug;
use crate::store::{LocalStore, Stored};

/// One conversation's hole being filled.
#[derive(Debug)]
pub(crate) struct Fill {
    /// The page below this is wanted.
    before: Seq,
    /// The number of the request that is under way; an answer to another one is not this one's.
    in_flight: Option<u64>,
    /// What changed while the page was under way, and its `rev`: the page may be older.
    amended: BTreeMap<Seq, Rev>,
    /// New holes came while the page was under way, so it can't close any.
    doubtful: bool,
    retry_at: Option<u64>,
    attempt: u32,
}

/// Changes noted while a page is under way; with more of them the page closes nothing.
const AMENDED_MAX: usize = 256;

impl Fill {
    fn new(before: Seq) -> Self {
        Self { before, in_flight: None, amended: BTreeMap::new(), doubtful: false, retry_at: None, attempt: 0 }
    }

    pub fn forget_flight(&mut self) {
        (self.in_flight, self.retry_at) = (None, None);
    }

    pub const fn timeout(&self) -> Option<u64> {
        self.retry_at
    }

    pub fn amended(&mut self, seq: Seq, rev: Rev) {
        if self.in_flight.is_some() {
            self.amended.insert(seq, rev);
            self.doubtful |= self.amended.len() > AMENDED_MAX;
        }
    }

    pub const fn doubt(&mut self) {
        self.doubtful = true;
    }
}

impl Engine {
    pub(crate) fn fill(&mut self, store: &mut dyn LocalStore, now: Now, id: ConversationId, below: Seq) -> Stored<()> {
        let Some((_, to)) = store.holes(id)?.at_or_below(below.saturating_sub(1)) else { return Ok(()) };
        if self.fills.get(&id).is_some_and(|fill| fill.in_flight.is_some()) {
            return Ok(());
        }
        if !self.fills.contains_key(&id) && self.fills.len() >= self.config.fills_max {
            // One that only waits makes room; one under way does not, and the reader asks again.
            let Some(idle) = self.fills.iter().find(|(_, fill)| fill.in_flight.is_none()).map(|(id, _)| *id) else {
                return Ok(());
            };
            self.fills.remove(&idle);
        }
        self.fills.insert(id, Fill::new(to + 1));
        self.pump_fills(store, now)
    }

    pub(crate) fn pump_fills(&mut self, _: &mut dyn LocalStore, now: Now) -> Stored<()> {
        if !self.link.is_open() {
            return Ok(());
        }
        let due: Vec<(ConversationId, Seq)> = self
            .fills
            .iter()
            .filter(|(_, fill)| fill.in_flight.is_none() && fill.retry_at.is_none_or(|at| at <= now.mono_ms))
            .map(|(id, fill)| (*id, fill.before))
            .collect();
        for (id, before) in due {
            let request = HistoryRequest {
                conversation_id: id,
                before_seq: Some(before),
                after_seq: None,
                limit: Some(self.config.history_page),
            };
            let number = self.ask(now, Asked::History { conversation: id }, ClientRequest::History(request));
            if let Some(fill) = self.fills.get_mut(&id) {
                (fill.in_flight, fill.retry_at, fill.doubtful) = (Some(number), None, false);
                fill.amended.clear();
            }
        }
        Ok(())
    }

    pub(crate) fn history_answered(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        number: u64,
        result: Result<Answer, ApiError>,
    ) -> Stored<()> {
        if self.fills.get(&id).is_none_or(|fill| fill.in_flight != Some(number)) {
            return Ok(());
        }
        let Some(mut fill) = self.fills.remove(&id) else { return Ok(()) };
        self.notice(Notice::Timeline(id));
        match result.and_then(|answer| answer.read::<History>()) {
            Ok(page) => self.take_page(store, id, &fill, page),
            Err(error) => {
                let again = matches!(error.code.next_step(), tertulia_proto::error::NextStep::RetryAfter);
                if !again {
                    self.want_sync(now.mono_ms);
                    return Ok(());
                }
                fill.attempt += 1;
                let wait = error.retry_after_ms.unwrap_or_else(|| backoff::retry_ms(fill.attempt, &mut self.jitter));
                fill.in_flight = None;
                fill.retry_at = Some(now.mono_ms.saturating_add(wait));
                self.fills.insert(id, fill);
                Ok(())
            }
        }
    }

    fn take_page(&mut self, store: &mut dyn LocalStore, id: ConversationId, fill: &Fill, page: History) -> Stored<()> {
        let Some(mut held) = store.conversation(id)?.filter(|held| !held.left && !held.doubted) else { return Ok(()) };
        let mut holes = store.holes(id)?;
        let low = match page.messages.first() {
            Some(oldest) if page.has_more => oldest.seq,
            // The beginning, as far as I may see it.
            _ => 1,
        };
        let careless = self.has(Bug::HoleClosedByOldPage);
        if !fill.doubtful || careless {
            holes.remove(low, fill.before - 1);
            if !page.has_more {
                // What is held below came through before I left, and was acknowledged after I had come back: it is not mine to see any more.
                store.clear_log_below(id, page.messages.first().map_or(fill.before, |oldest| oldest.seq))?;
            }
        }
        let tombstones = store.tombstones_above(id, held.read_seq)?;
        for message in page.messages {
            let seq = message.seq;
            let older = fill.amended.get(&seq).is_some_and(|rev| message.rev < *rev);
            if older && !careless {
                // It changed after the page was read: to be fetched again.
                holes.add(seq, seq);
            }
            self.put_log_row(store, message)?;
        }
        store.put_holes(id, &holes)?;
        let found = store.tombstones_above(id, held.read_seq)? - tombstones;
        let left = if holes.reach_above(held.read_seq) { (held.deleted_in_holes - found).max(0) } else { 0 };
        if left != held.deleted_in_holes {
            held.deleted_in_holes = left;
            store.put_conversation(&held)?;
        }
        self.changed(id);
        Ok(())
    }
}
