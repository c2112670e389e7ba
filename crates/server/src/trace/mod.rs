//! The journal's rows: written a few times a second, and removed when they are old or too many. [`command`] shows what is kept of a message.

pub mod command;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use tertulia_core::Journal;
use tertulia_core::journal::{Go, JournalLimits};
use tertulia_core::services::Tracing;
use tertulia_core::{Clock, Powers};
use tertulia_proto::{ServerId, Timestamp};
use tertulia_store::trace::{OldTraces, TRACE_ROWS_MAX, TraceBook, TraceRow};
use tertulia_store::{Reading, Store, StoreError};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub use settings::TraceSettings;

/// How long a record waits at most to be written.
const EVERY: Duration = Duration::from_millis(200);
const GOES_PER_SECOND: usize = 5;

/// After so many rows it is looked how many there are, so that there are never many more than there may be.
const LOOK_AFTER_ROWS: usize = 10_000;

/// When the server stops, what waits is written within this time, or not at all.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// Goes that are left out after one that failed: twice as many each time, up to 10 s.
const PAUSE_MAX: u32 = 50;

/// A batch that has failed so often (about ten minutes) is given up: it may be the batch.
const TRIES_MAX: u32 = 64;

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
        Tracing { journal, is_on: self.is_on(), retention_ms: self.kept().retention_ms }
    }
}

/// Where the rows are kept.
trait Shelf: Send + Sync + 'static {
    fn keep(&self, rows: Vec<TraceRow>) -> Reading<'_, ()>;
    fn sweep(&self, now: Timestamp, kept: Kept) -> Reading<'_, usize>;
}

impl Shelf for Arc<dyn Store> {
    fn keep(&self, rows: Vec<TraceRow>) -> Reading<'_, ()> {
        self.traces().note_traces(rows)
    }

    fn sweep(&self, now: Timestamp, kept: Kept) -> Reading<'_, usize> {
        Box::pin(sweep(&**self, now, kept))
    }
}

/// The task that writes.
pub struct Keeping {
    task: JoinSet<()>,
    stop: oneshot::Sender<()>,
    journal: Arc<Journal>,
}

impl Keeping {
    pub fn start(journal: Arc<Journal>, store: Arc<dyn Store>, settings: &TraceSettings) -> Self {
        Self::on(journal, store, settings)
    }

    fn on(journal: Arc<Journal>, shelf: impl Shelf, settings: &TraceSettings) -> Self {
        let (stop, stopped) = oneshot::channel();
        let rows_max = (settings.rows_per_second_max / GOES_PER_SECOND).clamp(1, TRACE_ROWS_MAX - 1);
        let keeper = Keeper {
            journal: Arc::clone(&journal),
            shelf: Arc::new(shelf),
            rows_max,
            kept: settings.kept(),
            since_look: 0,
            sweeping: JoinSet::new(),
            failed: None,
            failures: 0,
            pause: 0,
        };
        let mut task = JoinSet::new();
        task.spawn(keeper.keep(stopped));
        Self { task, stop, journal }
    }

    /// Writes what waits, as far as that is possible within 2 s.
    pub async fn finish(mut self) {
        let _ = self.stop.send(());
        let ended = tokio::time::timeout(FINISH_MAX, async { while self.task.join_next().await.is_some() {} }).await;
        let left = self.journal.counts().waiting;
        if ended.is_err() || left > 0 {
            tracing::warn!(records = left, "the last of the journal was not written");
        }
    }
}

struct Keeper<S> {
    journal: Arc<Journal>,
    shelf: Arc<S>,
    /// Of one go. One more where something was dropped.
    rows_max: usize,
    kept: Kept,
    since_look: usize,
    /// One at a time, beside the writing.
    sweeping: JoinSet<()>,
    /// What is tried again.
    failed: Option<Go>,
    failures: u32,
    /// Goes to leave out.
    pause: u32,
}

impl<S: Shelf> Keeper<S> {
    async fn keep(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.next().await,
                _ = &mut stopped => break,
            }
            self.look();
        }
        // The gap, if there is one, ends with the last.
        while matches!(self.go(true).await, Ok(rows) if rows > 0) {}
    }

    /// A go, unless the last ones failed and there is still room.
    async fn next(&mut self) {
        if self.pause > 0 && self.journal.has_room() {
            self.pause -= 1;
            return;
        }
        match self.go(false).await {
            Ok(_) if self.failures > 0 => {
                tracing::info!(after = self.failures, "traces are written again");
                (self.failures, self.pause) = (0, 0);
            }
            Ok(_) => {}
            Err((error, go)) => self.has_failed(&error, go),
        }
    }

    fn has_failed(&mut self, error: &StoreError, go: Go) {
        // With pauses every ten minutes or so; without room there are none, and it is every 13 s.
        if self.failures.is_multiple_of(TRIES_MAX) {
            tracing::warn!(%error, "traces can't be written");
        }
        self.failures += 1;
        self.pause = (1 << self.failures.min(10)).min(PAUSE_MAX);
        if self.journal.has_room() && !self.failures.is_multiple_of(TRIES_MAX) {
            self.failed = Some(go);
        } else {
            self.journal.lost(&go);
        }
    }

    /// How many rows there were to write; or what was not written, and why.
    async fn go(&mut self, is_last: bool) -> Result<usize, (StoreError, Go)> {
        let go = self.failed.take().unwrap_or_else(|| self.journal.take(self.rows_max, is_last));
        if go.rows.is_empty() {
            return Ok(0);
        }
        match self.shelf.keep(go.rows.clone()).await {
            Ok(()) => {
                self.journal.written(&go);
                self.since_look += go.rows.len();
                Ok(go.rows.len())
            }
            Err(error) => Err((error, go)),
        }
    }

    /// Whether something has to go: that may take long, and what comes is written meanwhile.
    fn look(&mut self) {
        while self.sweeping.try_join_next().is_some() {}
        if self.since_look < LOOK_AFTER_ROWS || !self.sweeping.is_empty() {
            return;
        }
        self.since_look = 0;
        let (shelf, now, kept) = (Arc::clone(&self.shelf), self.journal.now(), self.kept);
        self.sweeping.spawn(async move {
            if let Err(error) = shelf.sweep(now, kept).await {
                tracing::warn!(%error, "old traces could not be removed");
            }
        });
    }
}

/// Removes what is older than it is kept, and the oldest of what is too many. How many are gone.
pub async fn sweep(store: &dyn Store, now: Timestamp, kept: Kept) -> Result<usize, StoreError> {
    let book = store.traces();
    let mut gone = forget(book, OldTraces::at(now, kept.retention_ms)).await?;
    // Quickly counted are the holes between numbers, too, and two servers may be at it: what goes is up to a number, so nothing goes twice.
    if book.count_traces().await? > kept.rows_max
        && let Some(last) = book.surplus_traces(kept.rows_max).await?
    {
        gone += forget(book, OldTraces::UpTo(last)).await?;
    }
    Ok(gone)
}

/// Until there are none left. Some rows of each step may stay: those of a clock that was ahead by less than a day.
async fn forget(book: &dyn TraceBook, which: OldTraces) -> Result<usize, StoreError> {
    let mut gone = 0;
    for _ in 0..STEPS_MAX {
        let some = book.forget_traces(which, TRACE_ROWS_MAX).await?;
        gone += some;
        if some == 0 {
            break;
        }
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

    fn row(seq: i64) -> TraceRow {
        TraceRow {
            conversation: ConversationId::from_bytes([1; 16]),
            kind: TraceKind::Way,
            seq,
            message: None,
            client_msg_id: None,
            server: ServerId::from_bytes([2; 16]),
            part: 1,
            at: Timestamp::from_ms(seq),
            data: "[]".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_is_older_than_it_is_kept_goes_and_the_oldest_of_what_is_too_many() {
        let store =
            SqliteStore::open_in_memory(&[7; 64], Arc::new(House::default()), Arc::new(Sink::default())).unwrap();
        for first in [0, 500, 1000] {
            store.traces().note_traces((first..first + 500).map(row).collect()).await.unwrap();
        }
        let now = Timestamp::from_ms(2000);
        let gone = sweep(&*store, now, Kept { retention_ms: 1300, rows_max: 10_000 }).await.unwrap();
        assert_eq!((gone, store.traces().count_traces().await.unwrap()), (700, 800));
        let gone = sweep(&*store, now, Kept { retention_ms: 1300, rows_max: 150 }).await.unwrap();
        assert_eq!((gone, store.traces().count_traces().await.unwrap()), (650, 150));
    }

    #[tokio::test]
    async fn a_clock_that_was_ahead_keeps_no_old_rows_and_a_hole_between_numbers_takes_none_with_it() {
        let store =
            SqliteStore::open_in_memory(&[7; 64], Arc::new(House::default()), Arc::new(Sink::default())).unwrap();
        let (kept, hour) = (Kept { retention_ms: 1300, rows_max: 1000 }, 3_600_000);
        let ahead = |seq, ms| TraceRow { at: Timestamp::from_ms(ms), ..row(seq) };
        let book = store.traces();
        // A year ahead: as many as one step looks at. An hour ahead: one, and some among those that stay.
        book.note_traces((2000..2512).map(|seq| ahead(seq, 365 * 24 * hour)).collect()).await.unwrap();
        book.note_traces(vec![ahead(3000, hour)]).await.unwrap();
        for first in [0, 500] {
            book.note_traces((first..first + 500).map(row).collect()).await.unwrap();
        }
        book.note_traces((3001..3101).map(|seq| ahead(seq, hour)).collect()).await.unwrap();
        book.note_traces((1000..1500).map(row).collect()).await.unwrap();
        let gone = sweep(&*store, Timestamp::from_ms(2000), kept).await.unwrap();
        assert_eq!(gone, 512 + 700, "700 are old");
        let quickly = book.count_traces().await.unwrap();
        assert!(quickly > kept.rows_max, "{quickly}: the one at the beginning has a hole behind it");
        assert_eq!(book.surplus_traces(901).await.unwrap(), None, "the others are still there");
        assert!(book.surplus_traces(900).await.unwrap().is_some());
    }

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp::from_ms(1000)
        }
    }

    /// Does as it is told, and never answers where nothing is told.
    #[derive(Clone, Default)]
    struct Moody {
        answers: Arc<std::sync::Mutex<std::collections::VecDeque<bool>>>,
        kept: Arc<std::sync::Mutex<Vec<Vec<TraceRow>>>>,
        sweeps: Arc<std::sync::Mutex<usize>>,
    }

    impl Shelf for Moody {
        fn keep(&self, rows: Vec<TraceRow>) -> Reading<'_, ()> {
            let answer = self.answers.lock().unwrap().pop_front();
            Box::pin(async move {
                match answer {
                    Some(true) => {
                        self.kept.lock().unwrap().push(rows);
                        Ok(())
                    }
                    Some(false) => Err(StoreError::Unavailable("down".into())),
                    None => std::future::pending().await,
                }
            })
        }

        fn sweep(&self, _: Timestamp, _: Kept) -> Reading<'_, usize> {
            *self.sweeps.lock().unwrap() += 1;
            Box::pin(std::future::pending())
        }
    }

    fn journal(records_max: usize) -> Arc<Journal> {
        Arc::new(Journal::new(ServerId::from_bytes([9; 16]), Arc::new(Stopped), JournalLimits { records_max }))
    }

    fn tell(journal: &Journal, seqs: std::ops::RangeInclusive<i64>) {
        for seq in seqs {
            let (place, id) = (ConversationId::from_bytes([1; 16]), tertulia_proto::MessageId::from_bytes([2; 16]));
            tertulia_realtime::Witness::told(journal, place, (seq, id), tertulia_realtime::Told::default());
        }
    }

    fn begin(journal: &Arc<Journal>, answers: &[bool]) -> (Moody, Keeping) {
        let shelf = Moody::default();
        shelf.answers.lock().unwrap().extend(answers);
        let keeping = Keeping::on(Arc::clone(journal), shelf.clone(), &TraceSettings::default());
        (shelf, keeping)
    }

    async fn until(is_so: impl Fn() -> bool) {
        while !is_so() {
            tokio::time::sleep(EVERY).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_is_written_later_while_there_is_room() {
        let journal = journal(10);
        tell(&journal, 1..=3);
        let (shelf, keeping) = begin(&journal, &[false, false, false, true, true, true]);
        until(|| shelf.answers.lock().unwrap().len() == 3).await;
        tell(&journal, 4..=5);
        keeping.finish().await;
        let seqs: Vec<i64> = shelf.kept.lock().unwrap().iter().flatten().map(|row| row.seq).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5]);
        assert_eq!((journal.counts().dropped, journal.counts().waiting), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_not_be_written_gives_way_when_there_is_no_room() {
        let journal = journal(5);
        tell(&journal, 1..=3);
        let (shelf, keeping) = begin(&journal, &[false, false, true, true]);
        until(|| shelf.answers.lock().unwrap().len() == 3).await;
        tell(&journal, 4..=5);
        until(|| journal.counts().dropped == 3).await;
        keeping.finish().await;
        let rows: Vec<_> = shelf.kept.lock().unwrap().iter().flatten().map(|row| (row.kind, row.seq)).collect();
        assert_eq!(rows, [(TraceKind::Way, 4), (TraceKind::Way, 5), (TraceKind::Gap, 1000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_stops_soon_although_the_store_fails_or_does_not_answer() {
        for answers in [&[false][..], &[]] {
            let journal = journal(10);
            tell(&journal, 1..=3);
            let (_, keeping) = begin(&journal, answers);
            let finished = tokio::time::timeout(2 * FINISH_MAX, keeping.finish()).await;
            assert!(finished.is_ok(), "it waits for no store");
            assert_eq!(journal.counts().waiting, 3);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_old_rows_are_removed_new_ones_are_written() {
        let rows = i64::try_from(LOOK_AFTER_ROWS).unwrap();
        let journal = journal(4 * LOOK_AFTER_ROWS);
        let (shelf, keeping) = begin(&journal, &[true; 200]);
        tell(&journal, 1..=rows);
        until(|| journal.counts().waiting == 0).await;
        tell(&journal, rows + 1..=3 * rows);
        until(|| journal.counts().waiting == 0).await;
        assert_eq!(*shelf.sweeps.lock().unwrap(), 1, "one at a time, and it has not ended");
        keeping.finish().await;
    }
}
