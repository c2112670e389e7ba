//! The queue of work for later, in the database that holds the messages: what can be asked of it, and what its rows say.
//!
//! A job is *ready* until a worker claims it, *running* while a worker holds its lease, *dead* when it has failed for good; done ones are gone. Delivery
//! is at least once: a worker that dies has its jobs claimed again when their leases end. Whoever comes late with a result changes nothing: `(id,
//! worker, attempt)` has to be that of the row.
//!
//! A claimed job says that something was committed, not what is so by now: a worker that acts on a conversation reads it in a snapshot taken after
//! the claim. Then whatever is committed later has queued another job, because the first was no longer ready.
//!
//! Of two jobs with one kind and key the older one's payload stands for both ([`Again`]): payloads may not say what a later job of the same key would
//! need.

use serde::{Deserialize, Serialize};
use tertulia_proto::Timestamp;

use crate::Reading;

/// Rows that one call may name or make; more are refused as `unavailable`.
pub const JOBS_PER_CALL_MAX: usize = 512;

/// Reasons of failed attempts that are kept with a job, the latest.
pub const REASONS_MAX: usize = 10;

/// Bytes of one of them; the rest is cut off.
pub const REASON_MAX_BYTES: usize = 500;

/// Bytes of a payload.
pub const PAYLOAD_MAX_BYTES: usize = 65_536;

/// What a job whose worker let its lease end has failed of.
pub const WORKER_LOST: &str = "its worker was lost";

/// How much later than a job's own lease that of another one ends for which it gives way, in milliseconds.
pub const BESIDE_MAX_MS: i64 = 60_000;

/// Names one job; never used twice.
pub type JobId = i64;

/// Names one process that works; another one after each start.
pub type WorkerId = [u8; 16];

/// Whose turn is first, whatever the time it became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    /// What people wait for.
    High,
    /// Notifications.
    #[default]
    Normal,
    /// Clean-ups.
    Low,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// As it is stored: the lower number goes first.
    pub const fn number(self) -> i64 {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }

    /// What is unknown goes last.
    pub const fn from_number(number: i64) -> Self {
        match number {
            0 => Self::High,
            1 => Self::Normal,
            _ => Self::Low,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    Ready,
    Running,
    Dead,
}

impl JobState {
    pub const fn number(self) -> i64 {
        match self {
            Self::Ready => 0,
            Self::Running => 1,
            Self::Dead => 2,
        }
    }

    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Ready),
            1 => Some(Self::Running),
            2 => Some(Self::Dead),
            _ => None,
        }
    }
}

/// A job to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub kind: String,
    /// A ready job of this kind and key stays as it is, but for the higher priority and the earlier `run_at`; one that waits after a failure keeps its
    /// time.
    pub unique_key: Option<Vec<u8>>,
    /// A running job of this kind and key counts as well: for what is to go on by itself.
    pub unless_running: bool,
    /// At most [`PAYLOAD_MAX_BYTES`].
    pub payload: String,
    pub priority: Priority,
    /// Not before.
    pub run_at: Timestamp,
    pub now: Timestamp,
}

/// Of which kinds a worker takes jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimKind {
    pub kind: String,
    /// A job whose worker was lost at this attempt is dead.
    pub attempts_max: i64,
    /// No more of this kind.
    pub jobs_max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub kinds: Vec<ClaimKind>,
    /// No more altogether, and never more than [`JOBS_PER_CALL_MAX`].
    pub jobs_max: usize,
    pub worker: WorkerId,
    pub now: Timestamp,
    /// When the jobs are anybody's again.
    pub lease_until: Timestamp,
}

/// What a clock that has gone back since left ahead of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recall {
    /// Of no others.
    pub kinds: Vec<String>,
    pub now: Timestamp,
    /// Later than any clock can be that agrees with the caller's: what was written after it was written by one that did not.
    pub ahead: Timestamp,
    /// No lease can end later, whoever's it is: above that it is of such a clock.
    pub lease_until: Timestamp,
}

/// A job as its worker gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedJob {
    pub id: JobId,
    pub kind: String,
    pub unique_key: Option<Vec<u8>>,
    pub payload: String,
    /// Grows with each claim: guards the row against late workers.
    pub attempt: i64,
    /// Which try this is, from 1; attempts that were handed back do not count.
    pub tries: i64,
    pub run_at: Timestamp,
    pub created_at: Timestamp,
}

/// One claim of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    pub id: JobId,
    pub worker: WorkerId,
    pub attempt: i64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// The row goes.
    Done,
    /// Ready again, with the reason of the failure. Where a job of its key has become ready meanwhile, the two become one ([`Again::Failed`]).
    Retry { at: Timestamp, reason: String },
    /// Kept as a dead letter.
    Dead { reason: String },
    /// Ready again as if nothing had been: the attempt does not count. As at [`JobEnd::Retry`] where its key has a ready one ([`Again::HandedBack`]).
    HandedBack,
    /// The same, and not before that time: it was not the moment to try.
    NotNow { at: Timestamp },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    pub held: Held,
    pub end: JobEnd,
    /// Queued in the same transaction, and only if the end counts.
    pub next: Vec<NewJob>,
}

impl Finish {
    /// What it takes of a call's bound.
    pub fn rows(&self) -> usize {
        1 + self.next.len()
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub at: Timestamp,
    pub reason: String,
}

/// A job as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    pub id: JobId,
    pub kind: String,
    pub unique_key: Option<Vec<u8>>,
    pub payload: String,
    pub state: JobState,
    pub priority: Priority,
    pub tries: i64,
    pub run_at: Timestamp,
    pub created_at: Timestamp,
    pub lease_until: Option<Timestamp>,
    pub dead_at: Option<Timestamp>,
    /// At most [`REASONS_MAX`], oldest first.
    pub reasons: Vec<Reason>,
}

/// Which jobs are listed: in order of id, above `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFilter {
    pub state: JobState,
    pub kind: Option<String>,
    pub after: JobId,
    /// At most [`JOBS_PER_CALL_MAX`].
    pub limit: usize,
}

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetters {
    Of(JobId),
    /// All of a kind, so many at a time.
    OfKind {
        kind: String,
        limit: usize,
    },
    /// That died before, so many at a time.
    Before {
        at: Timestamp,
        limit: usize,
    },
}

/// How many jobs of one kind are in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStats {
    pub kind: String,
    pub state: JobState,
    pub count: i64,
    /// The earliest `run_at` of ready ones (their age where it has passed), the earliest `created_at` of others that were counted.
    pub oldest: Timestamp,
}

/// The queue. Every call is one transaction, durable when it answers; all times are the caller's.
pub trait JobQueue: Send + Sync {
    /// Which of them are new rows; the others had one already.
    fn enqueue(&self, jobs: Vec<NewJob>) -> Reading<'_, Vec<bool>>;
    /// First those whose lease has ended (out of attempts: dead), then ready ones by priority and time, both only of the kinds named.
    fn claim(&self, claim: Claim) -> Reading<'_, Vec<ClaimedJob>>;
    /// Ready jobs that were given a time after `ahead` when it was after `ahead` already are due `now`; leases that end after `lease_until` end then, and
    /// not sooner, because who holds them may be at work. What was meant for later (quiet hours, somebody's `Retry-After`) comes early as well: how long it
    /// was to wait nobody can tell any more, and a handler decides anew. How many; no more than [`JOBS_PER_CALL_MAX`] at a time, so that many may be left.
    /// What was recalled is not recalled again. Where nothing is ahead nothing is written.
    fn recall(&self, recall: Recall) -> Reading<'_, usize>;
    /// Which of them are still the caller's; those have the new end.
    fn renew(&self, held: Vec<Held>, lease_until: Timestamp) -> Reading<'_, Vec<bool>>;
    /// Which of them counted; of the others nothing was changed, because they are somebody else's by now. Ends and the jobs after them are together no
    /// more than [`JOBS_PER_CALL_MAX`].
    fn finish(&self, finished: Vec<Finish>, now: Timestamp) -> Reading<'_, Vec<bool>>;
    /// Dead letters become ready at `now`, with all their attempts before them and their history kept; as at [`JobEnd::Retry`] where their key has a
    /// ready one ([`Again::Revived`]). How many.
    fn retry_dead(&self, which: DeadLetters, now: Timestamp) -> Reading<'_, usize>;
    /// How many are gone.
    fn drop_dead(&self, which: DeadLetters) -> Reading<'_, usize>;
    /// Whether another job of the same kind and key is running, or was when its worker was lost. Of two that ask before they begin, and give way where
    /// the answer is yes, no two are at work at once: whoever is claimed later finds the one before it. One whose lease ends more than [`BESIDE_MAX_MS`]
    /// after this one's does not count: it is of a clock that has gone back since.
    fn runs_beside(&self, job: JobId) -> Reading<'_, bool>;
    /// By kind and state. Of ready ones no more than `count_max` of each kind are counted, of running and of dead ones no more altogether: with a bound
    /// it costs the same however deep the queue is.
    fn job_stats(&self, count_max: usize) -> Reading<'_, Vec<JobStats>>;
    fn list_jobs(&self, filter: JobFilter) -> Reading<'_, Vec<JobRecord>>;
    /// Removes sessions that expired before `at`, at most `limit`: work of the clean-up, and of nobody else. Those that devices were registered by stay until
    /// these are gone ([`crate::push::PushBook::forget_devices`]). How many.
    fn forget_sessions(&self, at: Timestamp, limit: usize) -> Reading<'_, usize>;
}

/// Why a job that was running or dead is ready again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again<'a> {
    /// At that time. One that becomes one with it is not tried before: whoever said when to come again (a schedule, or somebody's `Retry-After`) meant
    /// the key. Its tries are kept as well; else a key that is queued again all the time would never be dead.
    Failed { at: Timestamp, reason: &'a str },
    /// At its own time, or that of the one it becomes one with if that is earlier and does not wait after a failure.
    HandedBack,
    /// As handed back, with that for its own time.
    NotNow { at: Timestamp },
    /// A person wants it tried, now and with all attempts.
    Revived,
}

/// A row, as far as it decides how its job goes on: the rule of both homes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub id: JobId,
    pub attempt: i64,
    /// Of the attempts, those that do not count.
    pub spared: i64,
    pub priority: Priority,
    pub run_at: Timestamp,
    /// As stored.
    pub reasons: String,
}

impl Standing {
    pub const fn tries(&self) -> i64 {
        self.attempt - self.spared
    }

    /// What becomes of a row that was running or dead, before it is looked whether its key has a ready one.
    #[must_use]
    pub fn again(mut self, why: Again<'_>, now: Timestamp) -> Self {
        match why {
            Again::Failed { at, reason } => {
                self.reasons = with_reason(&self.reasons, now, reason);
                self.run_at = at;
            }
            Again::HandedBack => self.spared += 1,
            Again::NotNow { at } => {
                self.spared += 1;
                self.run_at = at;
            }
            Again::Revived => {
                self.spared = self.attempt;
                self.run_at = now;
            }
        }
        self
    }

    /// One row of two of a key, and which one goes. `self` comes from [`Standing::again`], the other one was ready before it. The older row stays, and so
    /// does its payload: it was there first, whichever of them failed later.
    #[must_use]
    pub fn joined(self, ready: Self, why: Again<'_>) -> (Self, JobId) {
        let run_at = match why {
            Again::Failed { .. } => self.run_at.max(ready.run_at),
            Again::HandedBack | Again::NotNow { .. } if ready.tries() > 0 => ready.run_at,
            Again::HandedBack | Again::NotNow { .. } | Again::Revived => self.run_at.min(ready.run_at),
        };
        let tries = self.tries().max(ready.tries());
        let reasons = merged_reasons(&self.reasons, &ready.reasons);
        let priority = self.priority.min(ready.priority);
        let (stays, goes) = if self.id < ready.id { (self, ready.id) } else { (ready, self.id) };
        // `attempt` never goes back: it guards the row against late workers.
        let (attempt, spared) = match why {
            Again::Revived => (stays.attempt, stays.attempt),
            Again::Failed { .. } | Again::HandedBack | Again::NotNow { .. } => {
                (stays.attempt + tries - stays.tries(), stays.spared)
            }
        };
        (Self { id: stays.id, attempt, spared, priority, run_at, reasons }, goes)
    }
}

/// A history as it is stored, with one more reason: the latest [`REASONS_MAX`], each cut at a character within [`REASON_MAX_BYTES`].
pub fn with_reason(stored: &str, at: Timestamp, reason: &str) -> String {
    let mut reasons = reasons_of(stored);
    let mut end = reason.len().min(REASON_MAX_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    // Text of PostgreSQL can't hold it.
    reasons.push(Reason { at, reason: reason[..end].replace('\0', "") });
    latest(reasons)
}

/// Two histories as one, in order of time.
pub fn merged_reasons(one: &str, other: &str) -> String {
    let mut reasons = reasons_of(one);
    reasons.extend(reasons_of(other));
    reasons.sort_by_key(|reason| reason.at);
    latest(reasons)
}

fn latest(mut reasons: Vec<Reason>) -> String {
    reasons.drain(..reasons.len().saturating_sub(REASONS_MAX));
    serde_json::to_string(&reasons).unwrap_or_else(|_| "[]".to_owned())
}

/// A history that does not decode is none: it is for people, and may not keep a job from its worker.
pub fn reasons_of(stored: &str) -> Vec<Reason> {
    serde_json::from_str(stored).unwrap_or_default()
}

/// What is more than a call may hold.
pub fn too_many(count: usize) -> Option<crate::StoreError> {
    (count > JOBS_PER_CALL_MAX)
        .then(|| crate::StoreError::Unavailable(format!("{count} jobs in one call, over {JOBS_PER_CALL_MAX}")))
}

/// Whether new jobs are within their bounds.
pub fn oversize(jobs: &[NewJob]) -> Option<crate::StoreError> {
    too_many(jobs.len()).or_else(|| jobs.iter().find_map(too_large))
}

/// Whether ends and the jobs after them are within their bounds.
pub fn oversize_ends(finished: &[Finish]) -> Option<crate::StoreError> {
    too_many(finished.iter().map(Finish::rows).sum())
        .or_else(|| finished.iter().flat_map(|one| &one.next).find_map(too_large))
}

fn too_large(job: &NewJob) -> Option<crate::StoreError> {
    let bytes = job.payload.len();
    (bytes > PAYLOAD_MAX_BYTES)
        .then(|| crate::StoreError::Unavailable(format!("a payload of {bytes} bytes, over {PAYLOAD_MAX_BYTES}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_keeps_the_latest_reasons_and_cuts_long_ones_between_characters() {
        let at = Timestamp::from_ms;
        let mut stored = "[]".to_owned();
        for n in 0..15 {
            stored = with_reason(&stored, at(n), &format!("{n}{}", "ö".repeat(400)));
        }
        let reasons = reasons_of(&stored);
        assert_eq!(reasons.len(), REASONS_MAX);
        assert_eq!(reasons[0].at, at(5));
        assert!(reasons.iter().all(|one| (REASON_MAX_BYTES - 1..=REASON_MAX_BYTES).contains(&one.reason.len())));
        assert_eq!(reasons_of("no list"), []);
    }

    #[test]
    fn two_histories_become_one_in_order_of_time() {
        let at = Timestamp::from_ms;
        let (one, other) = (with_reason("[]", at(1), "a"), with_reason("[]", at(2), "b"));
        let merged = merged_reasons(&other, &with_reason(&one, at(3), "c"));
        let told: Vec<String> = reasons_of(&merged).into_iter().map(|one| one.reason).collect();
        assert_eq!(told, ["a", "b", "c"]);
    }

    fn standing(id: JobId, attempt: i64, spared: i64, run_at: i64) -> Standing {
        let run_at = Timestamp::from_ms(run_at);
        Standing { id, attempt, spared, priority: Priority::Normal, run_at, reasons: "[]".to_owned() }
    }

    #[test]
    fn the_older_of_two_rows_stays_and_its_attempts_never_go_back() {
        let why = Again::Failed { at: Timestamp::from_ms(50), reason: "no" };
        for (failed, ready, stays) in [
            // The one that is ready was queued while the other ran.
            (standing(1, 3, 1, 0), standing(2, 0, 0, 10), standing(1, 3, 1, 50)),
            // It is the older one, and had fewer tries or more.
            (standing(2, 2, 0, 0), standing(1, 1, 1, 90), standing(1, 3, 1, 90)),
            (standing(2, 1, 0, 0), standing(1, 5, 3, 10), standing(1, 5, 3, 50)),
        ] {
            let goes = failed.id.max(ready.id);
            let (one, gone) = failed.again(why, Timestamp::from_ms(20)).joined(ready, why);
            assert_eq!((one.id, one.attempt, one.spared, one.run_at), (1, stays.attempt, stays.spared, stays.run_at));
            assert_eq!((gone, reasons_of(&one.reasons).len()), (goes, 1));
        }
    }

    #[test]
    fn what_is_handed_back_hurries_nothing_that_waits_after_a_failure() {
        let back = |ready| {
            let why = Again::HandedBack;
            standing(1, 1, 0, 0).again(why, Timestamp::from_ms(20)).joined(ready, why).0
        };
        assert_eq!(back(standing(2, 0, 0, 90)), standing(1, 1, 1, 0));
        assert_eq!(back(standing(2, 2, 0, 90)), standing(1, 3, 1, 90));
        let not_now = |ready| {
            let why = Again::NotNow { at: Timestamp::from_ms(60) };
            standing(1, 2, 0, 0).again(why, Timestamp::from_ms(20)).joined(ready, why).0
        };
        assert_eq!(not_now(standing(2, 0, 0, 90)), standing(1, 2, 1, 60));
        assert_eq!(not_now(standing(2, 0, 0, 30)), standing(1, 2, 1, 30));
        assert_eq!(not_now(standing(2, 2, 0, 90)), standing(1, 3, 1, 90));
        let revived = standing(1, 4, 0, 0).again(Again::Revived, Timestamp::from_ms(20));
        assert_eq!(revived.joined(standing(2, 2, 0, 90), Again::Revived).0, standing(1, 4, 4, 20));
    }
}
