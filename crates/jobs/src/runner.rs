//! The loop: one task that claims, renews and finishes; each handler is a task of its own.
//!
//! Ends are written in batches together with the next claim, so that on SQLite one commit serves both. Nothing is claimed while ends can't be written.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, join, select};
use tertulia_store::jobs::{
    Claim, ClaimKind, ClaimedJob, Finish, Held, JOBS_PER_CALL_MAX, JobEnd, NewJob, Recall, WorkerId, oversize_ends,
};
use tertulia_store::{Reading, Store, StoreError, Timestamp};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};

use crate::Surroundings;
use crate::counts::Counts;
use crate::kind::{Job, Kind, Outcome};
use crate::slots::{Key, Slot, Slots};

/// How often it is looked whether what runs by itself is still queued: a dead letter of it, or a person who dropped it, would end it for ever. And
/// whether anything was written by a clock that has gone back since, this one or another's.
const SEED_EVERY_MS: i64 = 60_000;

/// Whatever a schedule or somebody's `Retry-After` says.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// Periods and graces longer than that mean nothing any more.
const TIME_MAX: Duration = Duration::from_hours(24 * 365);

/// Whoever finds jobs only after that, or keeps a lost worker's for that long, has mistaken a unit.
const OPTION_MAX: Duration = Duration::from_hours(24);

/// How a runner works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Another one for each process.
    pub worker: WorkerId,
    /// Jobs at a time, of all kinds; at most [`JOBS_PER_CALL_MAX`].
    pub jobs_max: usize,
    /// After so long without a sign of the worker its jobs are anybody's. Renewed after a third of it. The clocks of all servers have to agree within
    /// a sixth.
    pub lease: Duration,
    /// How often it is looked for jobs that nobody told of.
    pub poll: Duration,
    /// How long handlers have when the runner stops; then their jobs are handed back.
    pub grace: Duration,
}

impl Options {
    pub fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            jobs_max: 64,
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            grace: Duration::from_secs(4),
        }
    }
}

/// Why a runner can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    #[error("two handlers for jobs of the kind {0}")]
    TwoOfAKind(&'static str),
    #[error("{0} jobs at a time: from 1 to {JOBS_PER_CALL_MAX}")]
    JobsMax(usize),
    #[error("a lease of {0:?}: from a second to a day")]
    Lease(Duration),
    #[error("looking for jobs every {0:?}: from 1 ms to a day")]
    Poll(Duration),
}

/// Tells a runner of this process that something was queued. Costs nothing; may come too often.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Queues jobs, and has the runner look for them at once.
    pub async fn enqueue(&self, store: &dyn Store, jobs: Vec<NewJob>) -> Result<Vec<bool>, StoreError> {
        let fresh = store.jobs().enqueue(jobs).await?;
        self.wake();
        Ok(fresh)
    }
}

/// See the module's own documentation.
pub struct Runner {
    store: Arc<dyn Store>,
    surroundings: Arc<dyn Surroundings>,
    kinds: Vec<Kind>,
    options: Options,
    wake: Wake,
    counts: Counts,
}

impl Runner {
    pub fn new(
        store: Arc<dyn Store>,
        surroundings: Arc<dyn Surroundings>,
        kinds: Vec<Kind>,
        options: Options,
    ) -> Result<Self, RunnerError> {
        for (at, kind) in kinds.iter().enumerate() {
            if kinds[..at].iter().any(|other| other.name == kind.name) {
                return Err(RunnerError::TwoOfAKind(kind.name));
            }
        }
        if !(1..=JOBS_PER_CALL_MAX).contains(&options.jobs_max) {
            return Err(RunnerError::JobsMax(options.jobs_max));
        }
        if !(Duration::from_secs(1)..=OPTION_MAX).contains(&options.lease) {
            return Err(RunnerError::Lease(options.lease));
        }
        if !(Duration::from_millis(1)..=OPTION_MAX).contains(&options.poll) {
            return Err(RunnerError::Poll(options.poll));
        }
        let counts = Counts::default();
        for kind in &kinds {
            counts.change(kind.name, |_| ());
        }
        Ok(Self { store, surroundings, kinds, options, wake: Wake::default(), counts })
    }

    pub fn wake(&self) -> Wake {
        self.wake.clone()
    }

    /// Woken by this one, which handlers may hold already: they are made before the runner.
    #[must_use]
    pub fn woken_by(mut self, wake: Wake) -> Self {
        self.wake = wake;
        self
    }

    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Works until `stop`, then waits for handlers as long as the grace lasts and hands the rest back.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let now = self.surroundings.now();
        let hungry = vec![true; self.kinds.len()];
        let mut shift = Shift {
            runner: self,
            tasks: JoinSet::new(),
            slots: Slots::default(),
            ended: Vec::new(),
            hungry,
            seen: now,
            poll_at: now,
            seed_at: now,
            pause_until: now,
            is_cut_off: false,
            stop_at: None,
        };
        shift.work(stop).await;
    }

    fn ms(time: Duration) -> i64 {
        i64::try_from(time.min(TIME_MAX).as_millis()).unwrap_or(i64::MAX)
    }

    /// An answer that takes longer than a sixth of the lease is none: the leases have to be looked after.
    async fn asked<T>(&self, answer: Reading<'_, T>) -> Result<T, StoreError> {
        match select(answer, self.surroundings.timer(self.options.lease / 6)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(StoreError::Unavailable("no answer in time".into())),
        }
    }

    fn third(&self) -> i64 {
        Self::ms(self.options.lease) / 3
    }

    /// Clocks may disagree by so much.
    fn sixth(&self) -> i64 {
        Self::ms(self.options.lease) / 6
    }

    /// After a failure nothing is asked for so long: leases are to be renewed, however seldom it is looked for jobs.
    fn pause(&self) -> i64 {
        Self::ms(self.options.poll.min(self.options.lease / 6))
    }
}

/// From start to stop.
struct Shift {
    runner: Runner,
    tasks: JoinSet<(Key, Outcome)>,
    slots: Slots,
    /// Not written down yet.
    ended: Vec<(usize, Finish)>,
    /// Of which kinds there may be more than was claimed.
    hungry: Vec<bool>,
    /// What the clock said last.
    seen: Timestamp,
    poll_at: Timestamp,
    seed_at: Timestamp,
    /// The store failed: nothing is asked before.
    pause_until: Timestamp,
    is_cut_off: bool,
    /// Stopping: handlers have until then.
    stop_at: Option<Timestamp>,
}

impl Shift {
    async fn work(&mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop.fuse());
        loop {
            while let Some(ended) = self.tasks.try_join_next() {
                self.note(ended);
            }
            let now = self.runner.surroundings.now();
            self.bound(now);
            if let Some(stop_at) = self.stop_at
                && (now >= stop_at || (self.slots.len() == 0 && self.ended.is_empty()))
            {
                return self.hand_back().await;
            }
            if now >= self.poll_at {
                self.hungry.fill(true);
                self.poll_at = now.plus_ms(Runner::ms(self.runner.options.poll));
            }
            // Leases first: what takes long may not end them.
            let_go(&self.runner, &mut self.slots);
            self.renew().await;
            if self.recall().await {
                self.seed().await;
            }
            self.exchange().await;
            // The clock may have been set back while the store was asked: what is waited for was set by the old one.
            let now = self.runner.surroundings.now();
            self.bound(now);
            let (goes_on, asleep) = (self.goes_on(now), self.runner.surroundings.timer(self.until_next(now)));
            let wake = self.runner.wake.clone();
            tokio::select! {
                biased;
                () = &mut stop, if self.stop_at.is_none() => {
                    let grace = Runner::ms(self.runner.options.grace);
                    self.stop_at = Some(self.runner.surroundings.now().plus_ms(grace));
                }
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.note(ended),
                () = wake.0.notified() => self.hungry.fill(true),
                () = tokio::task::yield_now(), if goes_on => {}
                () = asleep => {}
            }
        }
    }

    /// Nothing is further away than it was when it was set: the clock may have been set back, and by how much is no reason to wait.
    fn bound(&mut self, now: Timestamp) {
        let runner = &self.runner;
        let back_ms = self.seen.ms() - now.ms();
        self.seen = now;
        if back_ms > runner.sixth() {
            tracing::warn!(back_ms, "the clock has gone back");
            // What it left in the queue is recalled at once; what has no end there yet has its time moved along.
            self.seed_at = now;
            if !self.is_cut_off {
                self.pause_until = now;
            }
            for (_, finish) in &mut self.ended {
                if let JobEnd::Retry { at, .. } = &mut finish.end {
                    *at = at.plus_ms(-back_ms);
                }
            }
        }
        let within = |time: &mut Timestamp, ms: i64| *time = (*time).min(now.plus_ms(ms));
        within(&mut self.poll_at, Runner::ms(runner.options.poll));
        within(&mut self.seed_at, SEED_EVERY_MS);
        within(&mut self.pause_until, runner.pause());
        if let Some(stop_at) = &mut self.stop_at {
            within(stop_at, Runner::ms(runner.options.grace));
        }
        self.slots.end_by(now.plus_ms(Runner::ms(runner.options.lease)));
    }

    /// Whether there is something to ask at once.
    fn goes_on(&self, now: Timestamp) -> bool {
        let seeds = now >= self.seed_at && self.stop_at.is_none();
        now >= self.pause_until && (!self.ended.is_empty() || seeds || self.claim().is_some())
    }

    fn until_next(&self, now: Timestamp) -> Duration {
        let mut next = self.poll_at.max(self.pause_until);
        if let Some(end) = self.slots.first_end() {
            let third = self.runner.third();
            let renewal = end.plus_ms(-2 * third);
            next = next.min(renewal.max(self.pause_until)).min(end.plus_ms(-third / 2));
        }
        if let Some(stop_at) = self.stop_at {
            next = next.min(stop_at);
        }
        Duration::from_millis(u64::try_from(next.ms() - now.ms()).unwrap_or(0).max(1))
    }

    /// A handler came to its end; of those that were dropped nobody wants to know.
    fn note(&mut self, ended: Result<(Key, Outcome), JoinError>) {
        let (slot, outcome) = match ended {
            Ok((key, outcome)) => (self.slots.take(key), outcome),
            // A handler that panics is caught, but for one that panics while it is dropped.
            Err(error) => (self.slots.take_of(error.id()), Outcome::Retry(last_words(error))),
        };
        let Some(slot) = slot else { return };
        let now = self.runner.surroundings.now();
        let kind = &self.runner.kinds[slot.kind];
        let chance = self.runner.surroundings.chance();
        let again = |after: Option<Duration>, reason: String| match kind.schedule.wait(slot.tries, chance) {
            Some(wait) => JobEnd::Retry { at: now.plus_ms(Runner::ms(after.unwrap_or(wait).min(WAIT_MAX))), reason },
            None => JobEnd::Dead { reason },
        };
        let mut finish = Finish { held: slot.held, end: JobEnd::Done, next: Vec::new() };
        match outcome {
            Outcome::Done => {}
            Outcome::DoneAnd(next) => finish.next = next,
            Outcome::Retry(reason) => finish.end = again(None, reason),
            Outcome::RetryAfter(after, reason) => finish.end = again(Some(after), reason),
            Outcome::Later(at) => finish.end = JobEnd::NotNow { at: at.min(now.plus_ms(Runner::ms(WAIT_MAX))) },
            Outcome::Dead(reason) => finish.end = JobEnd::Dead { reason },
        }
        let is_over = !matches!(finish.end, JobEnd::Retry { .. } | JobEnd::NotNow { .. });
        if let Some(every) = kind.every.filter(|_| is_over) {
            finish.next.push(periodic(kind, every, now));
        }
        // It would never be taken, and keep the others' ends from being written with it.
        if let Some(error) = oversize_ends(std::slice::from_ref(&finish)) {
            finish = Finish { end: again(None, format!("what it queues: {error}")), next: Vec::new(), ..finish };
        }
        self.ended.push((slot.kind, finish));
    }

    /// Brings back what was put ahead of time by a clock that has gone back, also while nobody looked, and perhaps that of another server. Whether that was all.
    async fn recall(&mut self) -> bool {
        let now = self.runner.surroundings.now();
        if now < self.seed_at.max(self.pause_until) || self.stop_at.is_some() {
            return false;
        }
        let runner = &self.runner;
        let ahead = now.plus_ms(runner.sixth());
        // Who holds a lease has looked at the clock within a third of it, and drops the handler a sixth before its end: so long it may last.
        let lease_until = ahead.plus_ms(Runner::ms(runner.options.lease));
        let kinds = runner.kinds.iter().map(|kind| kind.name.to_owned()).collect();
        let recalling = runner.asked(runner.store.jobs().recall(Recall { kinds, now, ahead, lease_until }));
        let recalled = match meanwhile(runner, &mut self.slots, recalling).await {
            Ok(recalled) => recalled,
            Err(error) => {
                self.pause(&error);
                return false;
            }
        };
        if recalled > 0 {
            tracing::warn!(jobs = recalled, "jobs of a clock that has gone back were recalled");
            self.hungry.fill(true);
        }
        recalled < JOBS_PER_CALL_MAX
    }

    /// Queues what runs by itself, where it is neither ready nor running anywhere. What is ready already is as early.
    async fn seed(&mut self) {
        let now = self.runner.surroundings.now();
        if now < self.seed_at.max(self.pause_until) || self.stop_at.is_some() {
            return;
        }
        let jobs: Vec<NewJob> =
            self.runner.kinds.iter().filter_map(|kind| Some(periodic(kind, kind.every?, now))).collect();
        if !jobs.is_empty() {
            let queueing = self.runner.asked(self.runner.store.jobs().enqueue(jobs));
            if let Err(error) = meanwhile(&self.runner, &mut self.slots, queueing).await {
                return self.pause(&error);
            }
        }
        self.seed_at = now.plus_ms(SEED_EVERY_MS);
    }

    /// What is to be claimed, if anything: of each kind that may have more, as many as there is room for.
    fn claim(&self) -> Option<Claim> {
        let Options { worker, jobs_max, lease, .. } = self.runner.options;
        let now = self.runner.surroundings.now();
        // What has ended and could not be written down yet takes its place as well: else it would grow for as long as the store is away.
        let free = jobs_max.saturating_sub(self.slots.len() + self.ended.len());
        let room = |(at, kind): (usize, &Kind)| {
            let room = kind.concurrency.saturating_sub(self.slots.of_kind(at)).min(free);
            (self.hungry[at] && room > 0).then(|| ClaimKind {
                kind: kind.name.to_owned(),
                attempts_max: kind.schedule.attempts_max(),
                jobs_max: room,
            })
        };
        let kinds: Vec<ClaimKind> = self.runner.kinds.iter().enumerate().filter_map(room).collect();
        let wants = !kinds.is_empty() && self.stop_at.is_none();
        wants.then(|| Claim { kinds, jobs_max: free, worker, now, lease_until: now.plus_ms(Runner::ms(lease)) })
    }

    /// Writes down what has ended and claims what there is room for, at the same time.
    async fn exchange(&mut self) {
        let claim = self.claim();
        let count = self.countable();
        let now = self.runner.surroundings.now();
        if now < self.pause_until || (claim.is_none() && count == 0) {
            return;
        }
        let finished: Vec<Finish> = self.ended[..count].iter().map(|(_, finish)| finish.clone()).collect();
        let (runner, jobs) = (&self.runner, self.runner.store.jobs());
        let finishing =
            async { if finished.is_empty() { Ok(Vec::new()) } else { runner.asked(jobs.finish(finished, now)).await } };
        let claiming = async {
            match claim.clone() {
                Some(claim) => runner.asked(jobs.claim(claim)).await,
                None => Ok(Vec::new()),
            }
        };
        let (told, claimed) = meanwhile(runner, &mut self.slots, join(finishing, claiming)).await;
        let mut queued: Vec<String> = Vec::new();
        match told {
            Ok(told) => {
                for ((kind, finish), counts) in self.ended.drain(..count).zip(told) {
                    account(&self.runner.counts, self.runner.kinds[kind].name, &finish, counts);
                    let due = finish.next.into_iter().filter(|job| counts && job.run_at <= now);
                    queued.extend(due.map(|job| job.kind));
                }
            }
            Err(error) => self.pause(&error),
        }
        match (claim, claimed) {
            (Some(claim), Ok(claimed)) => {
                self.is_cut_off = false;
                self.begin(&claim, claimed);
            }
            (None, _) => {}
            (_, Err(error)) => self.pause(&error),
        }
        // Whether the claim has seen them already nobody knows.
        for kind in queued {
            if let Some(at) = self.place(&kind) {
                self.hungry[at] = true;
            }
        }
    }

    /// How many of those that have ended one call can hold, with the jobs after them.
    fn countable(&self) -> usize {
        let mut rows = 0;
        let fits = |(_, finish): &&(usize, Finish)| {
            rows += finish.rows();
            rows <= JOBS_PER_CALL_MAX
        };
        self.ended.iter().take_while(fits).count()
    }

    fn begin(&mut self, claim: &Claim, claimed: Vec<ClaimedJob>) {
        let is_full = claimed.len() >= claim.jobs_max;
        for asked in &claim.kinds {
            let of_kind = claimed.iter().filter(|job| job.kind == asked.kind).count();
            if let Some(at) = self.place(&asked.kind) {
                self.hungry[at] = is_full || of_kind >= asked.jobs_max;
            }
        }
        for job in claimed {
            if let Some(kind) = self.place(&job.kind) {
                self.start(kind, job, claim.lease_until);
            }
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.runner.kinds.iter().position(|kind| kind.name == name)
    }

    fn start(&mut self, kind: usize, job: ClaimedJob, until: Timestamp) {
        let key: Key = (job.id, job.attempt);
        let held = Held { id: job.id, worker: self.runner.options.worker, attempt: job.attempt };
        let tries = job.tries;
        let of_kind = &self.runner.kinds[kind];
        let (name, limit, handler) = (of_kind.name, of_kind.limit, Arc::clone(&of_kind.handler));
        let job = Job {
            id: job.id,
            kind: job.kind,
            unique_key: job.unique_key,
            payload: job.payload,
            tries,
            run_at: job.run_at,
            created_at: job.created_at,
        };
        let too_long = self.runner.surroundings.timer(limit);
        let handler = self.tasks.spawn(async move {
            let running = pin!(AssertUnwindSafe(async move { handler.run(job).await }).catch_unwind());
            let outcome = match select(running, too_long).await {
                Either::Left((Ok(outcome), _)) => outcome,
                Either::Left((Err(panic), _)) => Outcome::Retry(format!("panicked: {}", words_of(&*panic))),
                Either::Right(_) => Outcome::Retry(format!("took longer than {limit:?}")),
            };
            (key, outcome)
        });
        self.runner.counts.change(name, |counts| counts.running += 1);
        self.slots.add(Slot { held, kind, tries, until, handler });
    }

    /// At a third of the lease, for all at once.
    async fn renew(&mut self) {
        let now = self.runner.surroundings.now();
        let is_due = self.slots.first_end().is_some_and(|end| now >= end.plus_ms(-2 * self.runner.third()));
        if !is_due || now < self.pause_until {
            return;
        }
        let held = self.slots.held();
        let until = now.plus_ms(Runner::ms(self.runner.options.lease));
        let renewing = self.runner.asked(self.runner.store.jobs().renew(held.clone(), until));
        match meanwhile(&self.runner, &mut self.slots, renewing).await {
            Ok(renewed) => {
                for (one, is_ours) in held.into_iter().zip(renewed) {
                    if is_ours {
                        self.slots.renewed(one, until);
                    } else {
                        lose(&self.runner, &mut self.slots, (one.id, one.attempt));
                    }
                }
            }
            Err(error) => self.pause(&error),
        }
    }

    fn pause(&mut self, error: &StoreError) {
        // Once for each outage.
        if std::mem::replace(&mut self.is_cut_off, true) {
            tracing::debug!(%error, "the queue still can't be reached");
        } else {
            tracing::warn!(%error, "the queue can't be reached");
        }
        self.pause_until = self.runner.surroundings.now().plus_ms(self.runner.pause());
    }

    /// The last thing a shift does.
    async fn hand_back(&mut self) {
        for slot in self.slots.drain() {
            self.ended.push((slot.kind, Finish { held: slot.held, end: JobEnd::HandedBack, next: Vec::new() }));
        }
        self.tasks.abort_all();
        while !self.ended.is_empty() {
            let left = self.ended.len();
            self.pause_until = self.runner.surroundings.now();
            self.exchange().await;
            if self.ended.len() == left {
                tracing::warn!(jobs = left, "jobs could not be handed back: others take them when their leases end");
                return;
            }
        }
    }
}

/// What an answer comes to; handlers are dropped in time meanwhile.
async fn meanwhile<T>(runner: &Runner, slots: &mut Slots, answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    loop {
        let Some(end) = slots.first_end() else { return answer.await };
        let left = end.plus_ms(-runner.third() / 2).ms() - runner.surroundings.now().ms();
        let timer = runner.surroundings.timer(Duration::from_millis(u64::try_from(left).unwrap_or(0)));
        match select(answer.as_mut(), timer).await {
            Either::Left((answer, _)) => return answer,
            Either::Right(_) => let_go(runner, slots),
        }
    }
}

/// Drops handlers whose lease is about to end: from then on somebody else may run their jobs.
fn let_go(runner: &Runner, slots: &mut Slots) {
    let by = runner.surroundings.now().plus_ms(runner.third() / 2);
    for key in slots.ending(by) {
        lose(runner, slots, key);
    }
}

fn lose(runner: &Runner, slots: &mut Slots, key: Key) {
    let Some(slot) = slots.take(key) else { return };
    slot.handler.abort();
    let kind = runner.kinds[slot.kind].name;
    runner.counts.change(kind, |counts| counts.running = counts.running.saturating_sub(1));
    tracing::warn!(job.id = key.0, job.kind = kind, "the lease of a running job was lost");
}

/// The next run of what runs by itself, at the beginning of the next period: of all time, so that retries and restarts shift nothing. One key for all servers.
fn periodic(kind: &Kind, every: Duration, now: Timestamp) -> NewJob {
    let every = Runner::ms(every).max(1);
    let run_at = Timestamp::from_ms((now.ms().div_euclid(every) + 1).saturating_mul(every));
    NewJob {
        kind: kind.name.to_owned(),
        unique_key: Some(kind.name.as_bytes().to_vec()),
        unless_running: true,
        payload: "{}".to_owned(),
        priority: kind.priority,
        run_at,
        now,
    }
}

fn account(counts: &Counts, kind: &'static str, finish: &Finish, is_counted: bool) {
    counts.change(kind, |counts| {
        counts.running = counts.running.saturating_sub(1);
        match &finish.end {
            _ if !is_counted => {}
            JobEnd::Done => counts.done += 1,
            JobEnd::Retry { .. } => counts.failed += 1,
            JobEnd::Dead { .. } => {
                counts.failed += 1;
                counts.dead += 1;
            }
            JobEnd::HandedBack | JobEnd::NotNow { .. } => {}
        }
    });
    match &finish.end {
        _ if !is_counted => tracing::warn!(job.id = finish.held.id, job.kind = kind, "the end of a job came too late"),
        JobEnd::Retry { reason, .. } => {
            tracing::info!(job.id = finish.held.id, job.kind = kind, reason, "a job failed; it is tried again");
        }
        JobEnd::Dead { reason } => {
            tracing::warn!(job.id = finish.held.id, job.kind = kind, reason, "a job failed for good");
        }
        JobEnd::Done | JobEnd::HandedBack | JobEnd::NotNow { .. } => {}
    }
}

fn last_words(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("panicked while it was dropped: {}", words_of(&*panic)),
        Err(_) => "was cancelled".to_owned(),
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(words), _) => (*words).to_owned(),
        (_, Some(words)) => words.clone(),
        _ => "no words".to_owned(),
    }
}
