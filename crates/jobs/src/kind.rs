//! A kind of job: its handler, how long it may take, and when it is tried again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tertulia_store::Timestamp;
use tertulia_store::jobs::{JobId, NewJob, Priority};

/// A claimed job, as its handler gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub kind: String,
    pub unique_key: Option<Vec<u8>>,
    pub payload: String,
    /// Which try this is, from 1.
    pub tries: i64,
    pub run_at: Timestamp,
    pub created_at: Timestamp,
}

/// What a handler came to. Its reasons are kept and shown: never content, tokens or addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// With these queued in the transaction of its end. Fewer than [`JOBS_PER_CALL_MAX`], each within its bound: else the attempt has failed.
    ///
    /// [`JOBS_PER_CALL_MAX`]: tertulia_store::jobs::JOBS_PER_CALL_MAX
    DoneAnd(Vec<NewJob>),
    /// Again by the kind's schedule; out of tries: dead.
    Retry(String),
    /// Again after this time, a day at most (somebody else's `Retry-After`); out of tries: dead.
    RetryAfter(Duration, String),
    /// It is not the moment to try: as if it had not been, until then, a day at most. Tries and history stay.
    Later(Timestamp),
    /// Trying again is of no use.
    Dead(String),
}

pub trait Handler: Send + Sync + 'static {
    /// Must be safe to drop at each `await`, and to run again from its beginning. Blocking work belongs elsewhere: it can't be stopped.
    fn run(&self, job: Job) -> BoxFuture<'static, Outcome>;
}

impl<F, R> Handler for F
where
    F: Fn(Job) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    fn run(&self, job: Job) -> BoxFuture<'static, Outcome> {
        Box::pin(self(job))
    }
}

/// Waits between the tries: one more try than waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub waits: Vec<Duration>,
}

impl Schedule {
    pub fn of_seconds(waits: &[u64]) -> Self {
        Self { waits: waits.iter().map(|seconds| Duration::from_secs(*seconds)).collect() }
    }

    /// 10, 30, 60 s.
    pub fn messages() -> Self {
        Self::of_seconds(&[10, 30, 60])
    }

    /// 5, 15 s.
    pub fn notifications() -> Self {
        Self::of_seconds(&[5, 15])
    }

    pub fn attempts_max(&self) -> i64 {
        i64::try_from(self.waits.len()).unwrap_or(i64::MAX).saturating_add(1)
    }

    /// After the try of this number, from 1; spread by a fifth to both sides, so that what failed together does not come back together. `None`: that was
    /// the last.
    pub fn wait(&self, tries: i64, chance: u64) -> Option<Duration> {
        let at = usize::try_from(tries).ok()?.checked_sub(1)?;
        let wait = self.waits.get(at)?;
        let permille = 800 + u32::try_from(chance % 401).unwrap_or(200);
        Some(wait.saturating_mul(permille) / 1000)
    }
}

/// How jobs of one kind are run.
#[derive(Clone)]
pub struct Kind {
    pub name: &'static str,
    pub handler: Arc<dyn Handler>,
    /// A handler that takes longer has failed.
    pub limit: Duration,
    pub schedule: Schedule,
    /// So many at a time in this process.
    pub concurrency: usize,
    pub priority: Priority,
    /// From one run to the next, where the kind runs by itself: once for all servers.
    pub every: Option<Duration>,
}

impl Kind {
    /// As notifications are run: 15 s, tried again after 5 and 15 s.
    pub fn new(name: &'static str, handler: impl Handler) -> Self {
        Self {
            name,
            handler: Arc::new(handler),
            limit: Duration::from_secs(15),
            schedule: Schedule::notifications(),
            concurrency: 16,
            priority: Priority::Normal,
            every: None,
        }
    }

    /// As messages are: 30 s, tried again after 10, 30 and 60 s, before everything else.
    pub fn of_messages(name: &'static str, handler: impl Handler) -> Self {
        Self {
            limit: Duration::from_secs(30),
            schedule: Schedule::messages(),
            priority: Priority::High,
            ..Self::new(name, handler)
        }
    }

    /// A clean-up that runs by itself, after everything else, one at a time.
    pub fn periodic(name: &'static str, every: Duration, handler: impl Handler) -> Self {
        Self {
            limit: Duration::from_secs(30),
            schedule: Schedule::messages(),
            concurrency: 1,
            priority: Priority::Low,
            every: Some(every),
            ..Self::new(name, handler)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_has_one_try_more_than_waits_and_spreads_them_by_a_fifth() {
        let schedule = Schedule::messages();
        assert_eq!(schedule.attempts_max(), 4);
        let all: Vec<Duration> = (0..2000).filter_map(|chance| schedule.wait(1, chance)).collect();
        assert_eq!(all.iter().min(), Some(&Duration::from_secs(8)));
        assert_eq!(all.iter().max(), Some(&Duration::from_secs(12)));
        assert_eq!(schedule.wait(3, 200), Some(Duration::from_secs(60)));
        assert_eq!((schedule.wait(4, 0), schedule.wait(0, 0)), (None, None));
    }
}
