//! The journal's rows: written a few times a second, and removed when they are old or too many. [`command`] shows what is kept of a message.

pub mod command;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use tertulia_core::Journal;
use tertulia_core::journal::JournalLimits;
use tertulia_core::services::Tracing;
use tertulia_core::{Clock, Powers};
use tertulia_proto::{ServerId, Timestamp};
use tertulia_store::trace::{OldTraces, TRACE_ROWS_MAX};
use tertulia_store::{Store, StoreError};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub use settings::TraceSettings;

/// How long a record waits at most to be written.
const EVERY: Duration = Duration::from_millis(200);
const GOES_PER_SECOND: usize = 5;

/// After so many rows it is looked how many there are, so that there are never many more than there may be.
const LOOK_AFTER_ROWS: usize = 10_000;

/// When the server stops, what waits is written in so many goes at most.
const LAST_GOES_MAX: usize = 20;

/// Steps of one clean-up; the next one goes on.
const STEPS_MAX: usize = 4_000;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    pub retention_ms: i64,
    pub rows_max: usize,
}

impl TraceSettings {
    pub fn kept(&self) -> Kept {
        Kept { retention_ms: i64::from(self.retention_hours) * 3_600_000, rows_max: self.rows_max }
    }

    /// `serves`: as the server, which notes; a tool beside it does not.
    pub fn open(&self, server: ServerId, powers: &Powers, serves: bool) -> Tracing {
        let limits = JournalLimits { records_max: self.queue_max };
        let clock: Arc<dyn Clock> = Arc::clone(&powers.clock);
        let journal = (serves && self.is_on()).then(|| Arc::new(Journal::new(server, clock, limits)));
        Tracing { journal, retention_ms: self.kept().retention_ms }
    }
}

/// The task that writes.
pub struct Keeping {
    task: JoinSet<()>,
    stop: oneshot::Sender<()>,
}

impl Keeping {
    pub fn start(journal: Arc<Journal>, store: Arc<dyn Store>, settings: &TraceSettings) -> Self {
        let (stop, stopped) = oneshot::channel();
        let rows_max = (settings.rows_per_second_max / GOES_PER_SECOND).clamp(1, TRACE_ROWS_MAX - 1);
        let keeper = Keeper { journal, store, rows_max, kept: settings.kept(), since_look: 0 };
        let mut task = JoinSet::new();
        task.spawn(keeper.keep(stopped));
        Self { task, stop }
    }

    /// Writes what waits.
    pub async fn finish(mut self) {
        let _ = self.stop.send(());
        while self.task.join_next().await.is_some() {}
    }
}

struct Keeper {
    journal: Arc<Journal>,
    store: Arc<dyn Store>,
    /// Of one go. One more where something was dropped.
    rows_max: usize,
    kept: Kept,
    since_look: usize,
}

impl Keeper {
    async fn keep(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => { self.go().await; }
                _ = &mut stopped => break,
            }
            if self.since_look >= LOOK_AFTER_ROWS {
                self.since_look = 0;
                if let Err(error) = sweep(&*self.store, self.journal.now(), self.kept).await {
                    tracing::warn!(%error, "old traces could not be removed");
                }
            }
        }
        for _ in 0..LAST_GOES_MAX {
            if self.go().await == 0 {
                return;
            }
        }
    }

    /// How many rows there were to write.
    async fn go(&mut self) -> usize {
        let rows = self.journal.take(self.rows_max);
        if rows.is_empty() {
            return 0;
        }
        let count = rows.len();
        match self.store.traces().note_traces(rows.clone()).await {
            Ok(()) => {
                self.journal.written(count);
                self.since_look += count;
            }
            Err(error) => {
                tracing::warn!(%error, rows = count, "traces were lost");
                self.journal.lost(&rows);
            }
        }
        count
    }
}

/// Removes what is older than it is kept, and the oldest of what is too many. How many are gone.
pub async fn sweep(store: &dyn Store, now: Timestamp, kept: Kept) -> Result<usize, StoreError> {
    let book = store.traces();
    let before = OldTraces::Before(now.plus_ms(-kept.retention_ms));
    let mut gone = 0;
    for _ in 0..STEPS_MAX {
        let some = book.forget_traces(before, TRACE_ROWS_MAX).await?;
        gone += some;
        if some < TRACE_ROWS_MAX {
            break;
        }
    }
    let mut too_many = book.count_traces().await?.saturating_sub(kept.rows_max);
    for _ in 0..STEPS_MAX {
        if too_many == 0 {
            break;
        }
        let some = book.forget_traces(OldTraces::Oldest, too_many.min(TRACE_ROWS_MAX)).await?;
        gone += some;
        too_many = if some == 0 { 0 } else { too_many.saturating_sub(some) };
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use tertulia_proto::ConversationId;
    use tertulia_store::conformance::house::House;
    use tertulia_store::conformance::sink::Sink;
    use tertulia_store::trace::{TraceKind, TraceRow};
    use tertulia_store_sqlite::SqliteStore;

    use super::*;

    #[tokio::test]
    async fn what_is_older_than_it_is_kept_goes_and_the_oldest_of_what_is_too_many() {
        let store =
            SqliteStore::open_in_memory(&[7; 64], Arc::new(House::default()), Arc::new(Sink::default())).unwrap();
        let row = |seq: i64| TraceRow {
            conversation: ConversationId::from_bytes([1; 16]),
            kind: TraceKind::Way,
            seq,
            server: ServerId::from_bytes([2; 16]),
            part: 1,
            at: Timestamp::from_ms(seq),
            data: "[]".to_owned(),
        };
        for first in [0, 500, 1000] {
            store.traces().note_traces((first..first + 500).map(row).collect()).await.unwrap();
        }
        let now = Timestamp::from_ms(2000);
        let gone = sweep(&*store, now, Kept { retention_ms: 1300, rows_max: 10_000 }).await.unwrap();
        assert_eq!((gone, store.traces().count_traces().await.unwrap()), (700, 800));
        let gone = sweep(&*store, now, Kept { retention_ms: 1300, rows_max: 150 }).await.unwrap();
        assert_eq!((gone, store.traces().count_traces().await.unwrap()), (650, 150));
    }
}
