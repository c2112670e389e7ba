//! The queue: order, keys, leases, late workers, retries, dead letters.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::Home;
use super::world::World;
use super::writes::sending;
use crate::jobs::*;
use crate::*;

const ANN: WorkerId = [1; 16];
const BEN: WorkerId = [2; 16];

/// Longer than anything in a scenario, unless it waits on purpose.
const LEASE_MS: i64 = 60_000;
const ATTEMPTS_MAX: i64 = 3;

/// Milliseconds since the queue began.
fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(1_767_225_600_000 + ms)
}

fn job(kind: &str, payload: &str, run_at: i64) -> NewJob {
    NewJob {
        kind: kind.to_owned(),
        unique_key: None,
        unless_running: false,
        payload: payload.to_owned(),
        priority: Priority::Normal,
        run_at: at(run_at),
        now: at(0),
    }
}

fn keyed(kind: &str, key: &str, payload: &str, run_at: i64) -> NewJob {
    NewJob { unique_key: Some(key.as_bytes().to_vec()), ..job(kind, payload, run_at) }
}

fn claim_of(worker: WorkerId, kinds: &[&str], jobs_max: usize, now: i64) -> Claim {
    let kind = |kind: &&str| ClaimKind { kind: (*kind).to_owned(), attempts_max: ATTEMPTS_MAX, jobs_max };
    let kinds = kinds.iter().map(kind).collect();
    Claim { kinds, jobs_max, worker, now: at(now), lease_until: at(now + LEASE_MS) }
}

fn held(worker: WorkerId, job: &ClaimedJob) -> Held {
    Held { id: job.id, worker, attempt: job.attempt }
}

/// The queue of one world.
struct Queue {
    world: World,
}

impl Queue {
    async fn open(home: &impl Home) -> Self {
        Self { world: World::open(home).await }
    }

    fn jobs(&self) -> &dyn JobQueue {
        self.world.store.jobs()
    }

    async fn add(&self, jobs: Vec<NewJob>) -> Vec<bool> {
        self.jobs().enqueue(jobs).await.expect("jobs are queued")
    }

    async fn claim(&self, worker: WorkerId, kinds: &[&str], jobs_max: usize, now: i64) -> Vec<ClaimedJob> {
        self.jobs().claim(claim_of(worker, kinds, jobs_max, now)).await.expect("jobs are claimed")
    }

    async fn one(&self, worker: WorkerId, kind: &str, now: i64) -> ClaimedJob {
        let mut claimed = self.claim(worker, &[kind], 10, now).await;
        assert_eq!(claimed.len(), 1, "one job waits: {claimed:?}");
        claimed.remove(0)
    }

    /// Whether it counted.
    async fn end(&self, worker: WorkerId, job: &ClaimedJob, end: JobEnd, now: i64) -> bool {
        let finish = Finish { held: held(worker, job), end, next: Vec::new() };
        self.jobs().finish(vec![finish], at(now)).await.expect("a job is finished")[0]
    }

    async fn list(&self, state: JobState) -> Vec<JobRecord> {
        let filter = JobFilter { state, kind: None, after: 0, limit: 100 };
        self.jobs().list_jobs(filter).await.expect("the queue is listed")
    }

    async fn payloads(&self, state: JobState) -> Vec<String> {
        self.list(state).await.into_iter().map(|job| job.payload).collect()
    }

    /// Has a job of this kind fail for good.
    async fn bury(&self, kind: &str, payload: &str, now: i64) -> JobId {
        self.add(vec![keyed(kind, payload, payload, now)]).await;
        let claimed = self.one(ANN, kind, now).await;
        assert!(self.end(ANN, &claimed, JobEnd::Dead { reason: format!("no {payload}") }, now).await);
        claimed.id
    }
}

fn told(claimed: &[ClaimedJob]) -> Vec<&str> {
    claimed.iter().map(|job| job.payload.as_str()).collect()
}

fn retry(at_ms: i64, reason: &str) -> JobEnd {
    JobEnd::Retry { at: at(at_ms), reason: reason.to_owned() }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// All at once, in one task.
async fn together<T>(mut all: Vec<Answer<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    poll_fn(move |context| {
        for (one, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(value) = one.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if done.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut done).into_iter().flatten().collect())
    })
    .await
}

pub async fn jobs_come_by_priority_and_then_by_time(home: &impl Home) {
    let queue = Queue::open(home).await;
    let with = |priority, job| NewJob { priority, ..job };
    queue
        .add(vec![
            with(Priority::Low, job("a", "swept", 1)),
            job("a", "second", 20),
            job("b", "first", 10),
            job("a", "third", 30),
            with(Priority::High, job("b", "at once", 40)),
        ])
        .await;
    assert_eq!(told(&queue.claim(ANN, &["a", "b"], 3, 100).await), ["at once", "first", "second"]);
    assert_eq!(told(&queue.claim(ANN, &["a", "b"], 3, 100).await), ["third", "swept"]);
    assert_eq!(queue.claim(ANN, &["a", "b"], 3, 100).await, []);
}

pub async fn a_job_is_claimed_at_its_time_by_who_wants_its_kind(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![job("a", "now", 0), job("a", "later", 1000), job("b", "another's", 0)]).await;
    assert_eq!(told(&queue.claim(ANN, &["a"], 10, 999).await), ["now"]);
    assert_eq!(queue.claim(ANN, &["a", "c"], 10, 999).await, []);
    assert_eq!(queue.claim(ANN, &[], 10, 999).await, []);
    assert_eq!(told(&queue.claim(ANN, &["a"], 10, 1000).await), ["later"]);
    assert_eq!(queue.payloads(JobState::Ready).await, ["another's"]);
}

pub async fn no_more_of_a_kind_are_claimed_than_it_has_room_for(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add((0..5).flat_map(|n| [job("a", &format!("a{n}"), n), job("b", &format!("b{n}"), 10 + n)]).collect()).await;
    let mut claim = claim_of(ANN, &["a", "b"], 10, 100);
    claim.kinds[0].jobs_max = 2;
    claim.kinds[1].jobs_max = 3;
    claim.jobs_max = 4;
    let claimed = queue.jobs().claim(claim).await.expect("jobs are claimed");
    assert_eq!(told(&claimed), ["a0", "a1", "b0", "b1"]);
    // What is lost counts like what is ready.
    let mut claim = claim_of(BEN, &["a", "b"], 10, 100 + LEASE_MS);
    claim.kinds[0].jobs_max = 3;
    claim.kinds[1].jobs_max = 0;
    let claimed = queue.jobs().claim(claim).await.expect("jobs are claimed");
    assert_eq!(told(&claimed).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["a0", "a1", "a2"]));
}

pub async fn a_ready_job_of_the_same_key_stays_and_keeps_the_earlier_time(home: &impl Home) {
    let queue = Queue::open(home).await;
    let urgent = NewJob { priority: Priority::High, ..keyed("a", "k", "third", 50) };
    let fresh = queue
        .add(vec![keyed("a", "k", "first", 100), keyed("a", "k", "second", 200), urgent, keyed("b", "k", "of b", 100)])
        .await;
    assert_eq!(fresh, [true, false, false, true]);
    assert_eq!(queue.add(vec![keyed("a", "other", "other", 100)]).await, [true]);
    let ready = queue.list(JobState::Ready).await;
    assert_eq!((ready[0].payload.as_str(), ready[0].run_at, ready[0].priority), ("first", at(50), Priority::High));
    assert_eq!(ready.len(), 3);
}

pub async fn a_running_job_leaves_room_for_another_of_its_key(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![keyed("a", "k", "first", 0)]).await;
    let first = queue.one(ANN, "a", 0).await;
    let not_beside = NewJob { unless_running: true, ..keyed("a", "k", "not beside", 0) };
    assert_eq!(queue.add(vec![not_beside.clone()]).await, [false]);
    assert_eq!(queue.add(vec![keyed("a", "k", "second", 10)]).await, [true]);
    assert_eq!(queue.add(vec![not_beside.clone()]).await, [false], "the one that is ready is made earlier by it");
    let second = queue.one(BEN, "a", 0).await;
    assert_eq!(second.payload, "second");
    queue.add(vec![keyed("a", "other", "elsewhere", 0), keyed("b", "k", "of another kind", 0)]).await;
    let (elsewhere, other) = (queue.one(ANN, "a", 0).await, queue.one(ANN, "b", 0).await);
    for (job, is_beside) in [(&first, true), (&second, true), (&elsewhere, false), (&other, false)] {
        assert_eq!(queue.jobs().runs_beside(job.id).await.expect("an answer"), is_beside, "{}", job.payload);
    }
    for (worker, job) in [(ANN, &first), (BEN, &second)] {
        assert!(queue.end(worker, job, JobEnd::Done, 1).await);
        assert!(!queue.jobs().runs_beside(second.id).await.expect("an answer"), "the other one has ended");
    }
    assert_eq!(queue.add(vec![not_beside]).await, [true]);
    // Claimed by a clock that has gone back since, it does not hold up what comes after it until that time.
    assert!(queue.end(ANN, &elsewhere, JobEnd::Done, 1).await);
    let ahead = queue.one(ANN, "a", 2 * BESIDE_MAX_MS).await;
    queue.add(vec![keyed("a", "k", "after it", 0)]).await;
    let now = queue.one(BEN, "a", 0).await;
    assert_eq!((now.unique_key.clone(), now.payload.as_str()), (ahead.unique_key.clone(), "after it"));
    assert!(!queue.jobs().runs_beside(now.id).await.expect("an answer"));
    assert!(queue.jobs().runs_beside(ahead.id).await.expect("an answer"), "it finds the one that runs now");
}

pub async fn a_lease_that_ended_is_claimed_again_and_counts_as_an_attempt(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![job("a", "lost", 0)]).await;
    let first = queue.one(ANN, "a", 0).await;
    assert_eq!((first.tries, queue.claim(BEN, &["a"], 10, LEASE_MS - 1).await), (1, vec![]));
    let second = queue.one(BEN, "a", LEASE_MS).await;
    assert_eq!((second.id, second.tries), (first.id, 2));
    assert!(second.attempt > first.attempt);
    let running = queue.list(JobState::Running).await;
    assert_eq!(running[0].lease_until, Some(at(2 * LEASE_MS)));
    assert_eq!(running[0].reasons, [Reason { at: at(LEASE_MS), reason: WORKER_LOST.to_owned() }]);
}

pub async fn a_job_whose_worker_was_lost_at_its_last_attempt_is_dead(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![job("a", "poison", 0)]).await;
    for attempt in 0..ATTEMPTS_MAX {
        assert_eq!(queue.one(ANN, "a", attempt * LEASE_MS).await.tries, attempt + 1);
    }
    assert_eq!(queue.claim(BEN, &["a"], 10, ATTEMPTS_MAX * LEASE_MS).await, []);
    let dead = queue.list(JobState::Dead).await;
    assert_eq!((dead[0].tries, dead[0].dead_at), (ATTEMPTS_MAX, Some(at(ATTEMPTS_MAX * LEASE_MS))));
    assert_eq!(dead[0].reasons.len(), 3);
    assert!(dead[0].reasons.iter().all(|one| one.reason == WORKER_LOST));
    assert_eq!(dead[0].lease_until, None);
}

pub async fn a_renewed_lease_lasts_and_who_is_late_renews_nothing(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![job("a", "long", 0)]).await;
    let job = queue.one(ANN, "a", 0).await;
    let renew = |worker, until| queue.jobs().renew(vec![held(worker, &job)], at(until));
    assert_eq!(renew(BEN, 9 * LEASE_MS).await.expect("the queue answers"), [false]);
    assert_eq!(renew(ANN, 2 * LEASE_MS).await.expect("the queue answers"), [true]);
    assert_eq!(queue.claim(BEN, &["a"], 10, 2 * LEASE_MS - 1).await, []);
    queue.one(BEN, "a", 2 * LEASE_MS).await;
    assert_eq!(renew(ANN, 9 * LEASE_MS).await.expect("the queue answers"), [false]);
    assert_eq!(queue.list(JobState::Running).await[0].lease_until, Some(at(3 * LEASE_MS)));
}

pub async fn a_late_worker_changes_nothing(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![job("a", "lost", 0)]).await;
    let late = queue.one(ANN, "a", 0).await;
    // The same worker may be late as well: it is another attempt.
    let now = queue.one(ANN, "a", LEASE_MS).await;
    let before = queue.list(JobState::Running).await;
    let ends = [JobEnd::Done, retry(1, "late"), JobEnd::Dead { reason: "late".into() }, JobEnd::HandedBack];
    for (worker, job) in [(ANN, &late), (BEN, &now)] {
        for end in &ends {
            let finish = Finish { held: held(worker, job), end: end.clone(), next: vec![self::job("a", "next", 0)] };
            assert_eq!(queue.jobs().finish(vec![finish], at(LEASE_MS)).await.expect("an answer"), [false], "{end:?}");
        }
    }
    assert_eq!(queue.list(JobState::Running).await, before);
    assert_eq!(queue.payloads(JobState::Ready).await, [""; 0]);
    assert!(queue.end(ANN, &now, JobEnd::Done, LEASE_MS).await);
    assert!(!queue.end(ANN, &now, JobEnd::Done, LEASE_MS).await, "it is gone");
}

pub async fn workers_at_once_never_get_the_same_job(home: &impl Home) {
    let queue = Queue::open(home).await;
    for round in 0..4 {
        queue.add((0..50).map(|n| job("a", &format!("{n}"), round)).collect()).await;
    }
    let mut claimed: Vec<JobId> = Vec::new();
    while claimed.len() < 200 {
        let claims = (0..8_u8).map(|n| {
            let claim = claim_of([n; 16], &["a"], 7, 100);
            Box::pin(async { queue.jobs().claim(claim).await.expect("jobs are claimed") })
                as Answer<'_, Vec<ClaimedJob>>
        });
        let before = claimed.len();
        claimed.extend(together(claims.collect()).await.into_iter().flatten().map(|job| job.id));
        assert!(claimed.len() > before, "something is claimed while something waits");
    }
    assert_eq!(claimed.len(), 200);
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>().len(), 200);
}

pub async fn a_failed_attempt_is_tried_again_at_its_time_with_its_reason(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![job("a", "fails", 0)]).await;
    let first = queue.one(ANN, "a", 0).await;
    assert!(queue.end(ANN, &first, retry(500, "no luck"), 7).await);
    assert_eq!(queue.claim(ANN, &["a"], 10, 499).await, []);
    let ready = queue.list(JobState::Ready).await;
    assert_eq!(ready[0].reasons, [Reason { at: at(7), reason: "no luck".to_owned() }]);
    assert_eq!((ready[0].lease_until, ready[0].tries), (None, 1));
    assert_eq!(queue.one(BEN, "a", 500).await.tries, 2);
}

pub async fn a_job_handed_back_is_as_if_it_had_not_been_claimed(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![job("a", "back", 5)]).await;
    let before = queue.list(JobState::Ready).await;
    let first = queue.one(ANN, "a", 10).await;
    assert!(queue.end(ANN, &first, JobEnd::HandedBack, 20).await);
    assert_eq!(queue.list(JobState::Ready).await, before);
    let second = queue.one(ANN, "a", 20).await;
    assert_eq!(second.tries, 1);
    assert!(!queue.end(ANN, &first, JobEnd::Done, 20).await, "the first claim is over");
}

pub async fn a_job_whose_moment_it_was_not_keeps_its_tries_and_history_and_comes_at_its_time(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![job("a", "busy", 0)]).await;
    let first = queue.one(ANN, "a", 0).await;
    assert!(queue.end(ANN, &first, retry(10, "no luck"), 7).await);
    let second = queue.one(ANN, "a", 10).await;
    assert!(queue.end(ANN, &second, JobEnd::NotNow { at: at(500) }, 11).await);
    assert!(!queue.end(ANN, &second, JobEnd::Done, 11).await, "the second claim is over");
    let ready = queue.list(JobState::Ready).await;
    assert_eq!((ready[0].tries, ready[0].run_at, ready[0].reasons.len()), (1, at(500), 1));
    assert_eq!(queue.claim(ANN, &["a"], 10, 499).await, []);
    assert_eq!(queue.one(BEN, "a", 500).await.tries, 2);
}

pub async fn a_dead_letter_keeps_its_history_and_is_retried_with_all_attempts(home: &impl Home) {
    let queue = Queue::open(home).await;
    let [one, _, other] = [queue.bury("a", "x", 0).await, queue.bury("a", "y", 1).await, queue.bury("b", "z", 2).await];
    assert_eq!(queue.payloads(JobState::Dead).await, ["x", "y", "z"]);
    assert_eq!(queue.claim(ANN, &["a", "b"], 10, 100).await, [], "the dead are nobody's");
    assert_eq!(queue.jobs().retry_dead(DeadLetters::Of(one), at(100)).await.expect("an answer"), 1);
    assert_eq!(queue.jobs().retry_dead(DeadLetters::Of(one), at(100)).await.expect("an answer"), 0);
    let again = queue.one(ANN, "a", 100).await;
    assert_eq!((again.id, again.tries), (one, 1));
    assert_eq!(queue.list(JobState::Running).await[0].reasons, [Reason { at: at(0), reason: "no x".to_owned() }]);
    let all_of_b = DeadLetters::OfKind { kind: "b".to_owned(), limit: 10 };
    assert_eq!(queue.jobs().retry_dead(all_of_b, at(200)).await.expect("an answer"), 1);
    assert_eq!(queue.one(ANN, "b", 200).await.id, other);
    assert_eq!(queue.payloads(JobState::Dead).await, ["y"]);
}

pub async fn dead_letters_are_dropped_one_by_kind_or_by_age_so_many_at_a_time(home: &impl Home) {
    let queue = Queue::open(home).await;
    for (n, payload) in ["p", "q", "r", "s", "t", "u"].into_iter().enumerate() {
        let (kind, n) = (if n % 2 == 0 { "even" } else { "odd" }, i64::try_from(n).expect("small"));
        queue.bury(kind, payload, n).await;
    }
    queue.add(vec![job("even", "waits", 0)]).await;
    let drop_dead = |which| async { queue.jobs().drop_dead(which).await.expect("an answer") };
    assert_eq!(drop_dead(DeadLetters::Before { at: at(3), limit: 2 }).await, 2);
    assert_eq!(queue.payloads(JobState::Dead).await, ["r", "s", "t", "u"]);
    assert_eq!(drop_dead(DeadLetters::Before { at: at(3), limit: 2 }).await, 1);
    assert_eq!(drop_dead(DeadLetters::OfKind { kind: "odd".to_owned(), limit: 10 }).await, 2);
    let last = queue.list(JobState::Dead).await;
    assert_eq!(last.len(), 1);
    assert_eq!(drop_dead(DeadLetters::Of(last[0].id)).await, 1);
    let ready = queue.list(JobState::Ready).await;
    assert_eq!(drop_dead(DeadLetters::Of(ready[0].id)).await, 0, "only the dead are dropped");
}

/// Of the newer and the failed one the later time: whoever said when to come again meant the key.
pub async fn a_retry_whose_key_is_ready_again_becomes_one_job_with_it(home: &impl Home) {
    let queue = Queue::open(home).await;
    for (payload, end, run_at, tries) in [
        ("failed", retry(50, "no luck"), 1000, 1),
        ("late", retry(5000, "no luck"), 5000, 1),
        ("back", JobEnd::HandedBack, 0, 0),
        ("not now", JobEnd::NotNow { at: at(40) }, 40, 0),
        ("not now, nor then", JobEnd::NotNow { at: at(4000) }, 1000, 0),
    ] {
        queue.add(vec![keyed("a", "k", payload, 0)]).await;
        let first = queue.one(ANN, "a", 0).await;
        queue.add(vec![NewJob { priority: Priority::High, ..keyed("a", "k", "newer", 1000) }]).await;
        assert!(queue.end(ANN, &first, end, 7).await);
        let ready = queue.list(JobState::Ready).await;
        assert_eq!(ready.len(), 1);
        assert_eq!((ready[0].id, ready[0].payload.as_str(), ready[0].run_at), (first.id, payload, at(run_at)));
        assert_eq!((ready[0].tries, ready[0].reasons.len()), (tries, usize::try_from(tries).expect("small")));
        assert_eq!((ready[0].priority, ready[0].lease_until), (Priority::High, None));
        assert!(queue.list(JobState::Running).await.is_empty());
        let merged = queue.one(ANN, "a", 10_000).await;
        assert_eq!(merged.tries, tries + 1);
        assert!(!queue.end(ANN, &first, JobEnd::Done, 10_000).await, "the first claim is over");
        assert!(queue.end(ANN, &merged, JobEnd::Done, 10_000).await);
    }
}

pub async fn a_key_that_is_queued_again_all_the_time_runs_out_of_tries(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![keyed("a", "k", "first", 1000)]).await;
    for n in 1..=ATTEMPTS_MAX {
        let now = n * 1000;
        assert_eq!(queue.claim(ANN, &["a"], 10, now - 1).await, [], "its time is kept");
        let job = queue.one(ANN, "a", now).await;
        assert_eq!((job.payload.as_str(), job.tries), ("first", n));
        queue.add(vec![keyed("a", "k", "newer", now)]).await;
        assert!(queue.end(ANN, &job, retry(now + 1000, "no luck"), now).await);
        // Nor is it hurried by what comes after its failure.
        assert_eq!(queue.add(vec![keyed("a", "k", "newest", now)]).await, [false]);
    }
    let ready = queue.list(JobState::Ready).await;
    assert_eq!((ready.len(), ready[0].tries, ready[0].reasons.len()), (1, ATTEMPTS_MAX, 3));
}

pub async fn of_several_jobs_of_a_key_the_oldest_payload_stands_for_all(home: &impl Home) {
    let queue = Queue::open(home).await;
    for at_once in [false, true] {
        let mut claimed = Vec::new();
        for payload in ["first", "second", "third"] {
            queue.add(vec![keyed("a", "k", payload, 0)]).await;
            claimed.push(queue.one(ANN, "a", 0).await);
        }
        queue.add(vec![keyed("a", "k", "fourth", 0)]).await;
        let first = claimed[0].id;
        let end = |(job, end): (&ClaimedJob, JobEnd)| Finish { held: held(ANN, job), end, next: Vec::new() };
        // The oldest one in between.
        claimed.swap(0, 1);
        let ends = claimed.iter().zip([retry(10, "b"), retry(20, "a"), JobEnd::HandedBack]).map(end);
        let calls: Vec<Vec<Finish>> =
            if at_once { vec![ends.collect()] } else { ends.map(|finish| vec![finish]).collect() };
        for call in calls {
            let told = queue.jobs().finish(call, at(1)).await.expect("an answer");
            assert!(told.into_iter().all(|counted| counted));
        }
        let ready = queue.list(JobState::Ready).await;
        assert_eq!(ready.len(), 1, "{ready:?}");
        assert_eq!((ready[0].id, ready[0].payload.as_str(), ready[0].run_at), (first, "first", at(20)));
        assert_eq!((ready[0].tries, ready[0].reasons.len()), (1, 2));
        let merged = queue.one(ANN, "a", 20).await;
        assert!(queue.end(ANN, &merged, JobEnd::Done, 20).await);
    }
}

pub async fn a_dead_letter_whose_key_is_ready_becomes_one_job_with_it(home: &impl Home) {
    let queue = Queue::open(home).await;
    let mut dead = Vec::new();
    for n in 0..2 {
        dead.push(queue.bury("a", "buried", n).await);
    }
    queue.add(vec![keyed("a", "buried", "newer", 2)]).await;
    let newer = queue.one(ANN, "a", 2).await;
    assert!(queue.end(ANN, &newer, retry(1000, "no luck"), 3).await);
    let all = DeadLetters::OfKind { kind: "a".to_owned(), limit: 10 };
    assert_eq!(queue.jobs().retry_dead(all, at(10)).await.expect("an answer"), 2);
    let ready = queue.list(JobState::Ready).await;
    assert_eq!(ready.len(), 1, "{ready:?}");
    assert_eq!((ready[0].id, ready[0].payload.as_str(), ready[0].run_at), (dead[0], "buried", at(10)));
    assert_eq!((ready[0].tries, ready[0].reasons.len(), ready[0].dead_at), (0, 3, None));
    assert_eq!(queue.payloads(JobState::Dead).await, [""; 0]);
    assert_eq!(queue.one(ANN, "a", 10).await.tries, 1);
}

pub async fn a_job_of_the_future_is_not_claimed_before_its_time_and_is_after_it(home: &impl Home) {
    let queue = Queue::open(home).await;
    let urgent = NewJob { priority: Priority::High, ..keyed("a", "k", "urgent", 5000) };
    queue.add(vec![job("a", "now", 0), urgent.clone()]).await;
    // Whatever else is queued of its key, for later.
    assert_eq!(queue.add(vec![NewJob { run_at: at(9000), ..urgent }]).await, [false]);
    let first = queue.one(ANN, "a", 4999).await;
    let next = vec![keyed("a", "next", "next", 5001)];
    let finish = Finish { held: held(ANN, &first), end: JobEnd::Done, next };
    assert_eq!(queue.jobs().finish(vec![finish], at(4999)).await.expect("an answer"), [true]);
    assert_eq!(queue.claim(BEN, &["a"], 10, 4999).await, []);
    assert_eq!(told(&queue.claim(BEN, &["a"], 10, 5000).await), ["urgent"]);
    assert_eq!(told(&queue.claim(BEN, &["a"], 10, 5001).await), ["next"]);
}

/// An hour: by so much a clock went back.
const JUMP_MS: i64 = 3_600_000;

/// As a worker asks whose clock says so; clocks may disagree by ten seconds.
fn recall_of(kinds: &[&str], now: i64) -> Recall {
    let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    Recall { kinds, now: at(now), ahead: at(now + 10_000), lease_until: at(now + 10_000 + LEASE_MS) }
}

pub async fn a_job_of_a_clock_that_went_back_is_recalled_once_and_others_wait_as_they_were_to(home: &impl Home) {
    let queue = Queue::open(home).await;
    let queued = |payload, made: i64, run_at| NewJob { now: at(made), ..keyed("a", payload, payload, run_at) };
    // Each of these was written when the clock said an hour more.
    let buried = queue.bury("a", "revived", JUMP_MS - 50).await;
    assert_eq!(queue.jobs().retry_dead(DeadLetters::Of(buried), at(JUMP_MS)).await.expect("an answer"), 1);
    queue.add(vec![queued("failed", 0, 0)]).await;
    let failed = queue.one(ANN, "a", 0).await;
    assert!(queue.end(ANN, &failed, retry(JUMP_MS + 5000, "no \"at\":\"0001\""), JUMP_MS).await);
    queue.add(vec![queued("said", JUMP_MS, JUMP_MS + 3000), queued("quiet", JUMP_MS, 9 * JUMP_MS)]).await;
    // And each of these, though later, when it said what it says now, or as good as that.
    queue.add(vec![queued("busy", JUMP_MS, 0)]).await;
    let busy = queue.one(ANN, "a", 0).await;
    assert!(queue.end(ANN, &busy, retry(2 * JUMP_MS, "come in two hours"), 0).await);
    queue.add(vec![queued("planned", 0, JUMP_MS), queued("near", 10_000, 13_000)]).await;

    let recalled = async |now: i64| queue.jobs().recall(recall_of(&["a"], now)).await.expect("jobs are recalled");
    assert_eq!(recalled(100).await, 4);
    let times: BTreeSet<(String, i64)> =
        queue.list(JobState::Ready).await.into_iter().map(|job| (job.payload, job.run_at.ms() - at(0).ms())).collect();
    let expected = [
        ("busy", 2 * JUMP_MS),
        ("failed", 100),
        ("near", 13_000),
        ("planned", JUMP_MS),
        ("quiet", 100),
        ("revived", 100),
        ("said", 100),
    ];
    assert_eq!(times, expected.map(|(payload, run_at)| (payload.to_owned(), run_at)).into());
    assert_eq!(recalled(200).await, 0, "what was recalled is not ahead any more");
    assert_eq!(queue.claim(ANN, &["a"], 10, 200).await.len(), 4);
    // Its handler decides anew: it waits as it has to, by the clock of now.
    let quiet = queue.list(JobState::Running).await.into_iter().find(|job| job.payload == "quiet").expect("it runs");
    let again = Finish {
        held: Held { id: quiet.id, worker: ANN, attempt: 1 },
        end: JobEnd::Done,
        next: vec![queued("quiet", 200, 900_200)],
    };
    assert_eq!(queue.jobs().finish(vec![again], at(200)).await.expect("an answer"), [true]);
    assert_eq!(recalled(300).await, 0);
}

pub async fn a_lease_of_a_clock_that_went_back_is_cut_to_what_one_can_last(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![keyed("a", "lost", "lost", 0), keyed("a", "held", "held", 0)]).await;
    let claimed = queue.claim(ANN, &["a"], 10, JUMP_MS).await;
    let [lost, alive] = [0, 1].map(|n| held(ANN, &claimed[n]));
    assert_eq!(queue.jobs().recall(recall_of(&["a"], 0)).await.expect("leases are cut"), 2);
    let leases: BTreeSet<Option<Timestamp>> =
        queue.list(JobState::Running).await.into_iter().map(|job| job.lease_until).collect();
    assert_eq!(leases, [Some(at(LEASE_MS + 10_000))].into());
    assert_eq!(queue.claim(BEN, &["a"], 10, LEASE_MS + 9999).await, [], "whoever holds them may be at work");
    // One is, and goes on; of the other its worker is gone.
    assert_eq!(queue.jobs().renew(vec![alive], at(LEASE_MS + 40_000)).await.expect("an answer"), [true]);
    assert_eq!(queue.jobs().recall(recall_of(&["a"], 30_000)).await.expect("an answer"), 0);
    let rescued = queue.claim(BEN, &["a"], 10, LEASE_MS + 10_000).await;
    assert_eq!(rescued.iter().map(|job| (job.id, job.tries)).collect::<Vec<_>>(), [(lost.id, 2)]);
    let done = Finish { held: alive, end: JobEnd::Done, next: Vec::new() };
    assert_eq!(queue.jobs().finish(vec![done], at(LEASE_MS)).await.expect("an answer"), [true]);
}

pub async fn many_jobs_ahead_are_recalled_in_bounded_calls_of_the_kinds_named(home: &impl Home) {
    let queue = Queue::open(home).await;
    let ahead = |kind: &str, priority| NewJob { priority, now: at(JUMP_MS), ..job(kind, "", JUMP_MS) };
    for _ in 0..2 {
        queue.add((0..400).map(|n| ahead("a", Priority::ALL[n % 3])).collect()).await;
    }
    queue.add(vec![ahead("b", Priority::Normal), ahead("c", Priority::Normal)]).await;
    let mut counts = Vec::new();
    for _ in 0..3 {
        counts.push(queue.jobs().recall(recall_of(&["a", "b"], 0)).await.expect("jobs are recalled"));
    }
    assert_eq!(counts, [JOBS_PER_CALL_MAX, 801 - JOBS_PER_CALL_MAX, 0]);
    assert_eq!(queue.claim(ANN, &["c"], 10, 0).await, [], "it is nobody's who asked");
}

pub async fn what_a_job_queues_comes_with_its_end_or_not_at_all(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add(vec![keyed("tick", "tick", "1", 0)]).await;
    let first = queue.one(ANN, "tick", 0).await;
    let next = Finish {
        held: held(ANN, &first),
        end: JobEnd::Done,
        next: vec![keyed("tick", "tick", "2", 100), job("tick", "later", 500)],
    };
    let told = queue.jobs().finish(vec![next.clone(), next], at(1)).await.expect("an answer");
    assert_eq!(told.iter().filter(|counted| **counted).count(), 1, "the same end counts once");
    assert_eq!(queue.payloads(JobState::Ready).await, ["2", "later"]);
    assert_eq!(queue.one(BEN, "tick", 100).await.payload, "2");
    // Together with ends of the same key, and with itself.
    queue.add(vec![keyed("a", "k", "first", 0)]).await;
    let first = queue.one(ANN, "a", 0).await;
    let next = vec![keyed("a", "l", "1", 30), keyed("a", "k", "2", 20), keyed("a", "l", "3", 10), job("a", "4", 40)];
    let finish = Finish { held: held(ANN, &first), end: retry(50, "no luck"), next };
    assert_eq!(queue.jobs().finish(vec![finish], at(1)).await.expect("an answer"), [true]);
    let ready = queue.claim(BEN, &["a"], 10, 100).await;
    assert_eq!(
        ready.iter().map(|job| (job.payload.as_str(), job.run_at)).collect::<Vec<_>>(),
        [("1", at(10)), ("4", at(40)), ("first", at(50))]
    );
}

pub async fn a_batch_of_ends_is_answered_one_by_one(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add((0..5).map(|n| job("a", &format!("{n}"), n)).collect()).await;
    let claimed = queue.claim(ANN, &["a"], 10, 10).await;
    let ends =
        [JobEnd::Done, retry(100, "no"), JobEnd::Dead { reason: "never".into() }, JobEnd::HandedBack, JobEnd::Done];
    let finished: Vec<Finish> = claimed
        .iter()
        .zip(ends)
        .enumerate()
        .map(|(n, (job, end))| Finish { held: held(if n == 4 { BEN } else { ANN }, job), end, next: Vec::new() })
        .collect();
    let told = queue.jobs().finish(finished, at(20)).await.expect("an answer");
    assert_eq!(told, [true, true, true, true, false]);
    assert_eq!(queue.payloads(JobState::Ready).await, ["1", "3"]);
    assert_eq!(queue.payloads(JobState::Dead).await, ["2"]);
    assert_eq!(queue.payloads(JobState::Running).await, ["4"]);
}

pub async fn jobs_are_listed_in_pages_by_state_and_kind(home: &impl Home) {
    let queue = Queue::open(home).await;
    queue.add((0..7).map(|n| job(if n % 2 == 0 { "a" } else { "b" }, &format!("{n}"), 100 - n)).collect()).await;
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let filter = JobFilter { state: JobState::Ready, kind: Some("a".to_owned()), after, limit: 3 };
        let page = queue.jobs().list_jobs(filter).await.expect("the queue is listed");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3 && page.iter().all(|job| job.kind == "a" && job.id > after));
        after = last.id;
        seen.extend(page.into_iter().map(|job| job.payload));
    }
    assert_eq!(seen, ["0", "2", "4", "6"]);
}

pub async fn the_queue_says_how_many_there_are_and_since_when(home: &impl Home) {
    let queue = Queue::open(home).await;
    assert_eq!(queue.jobs().job_stats(usize::MAX).await.expect("an answer"), []);
    queue.bury("a", "x", 3).await;
    queue.add(vec![job("a", "1", 30), job("a", "2", 20), job("b", "3", 10)]).await;
    queue.claim(ANN, &["b"], 1, 100).await;
    let stat = |kind: &str, state, count, oldest| JobStats { kind: kind.to_owned(), state, count, oldest: at(oldest) };
    let stats =
        [stat("a", JobState::Ready, 2, 20), stat("a", JobState::Dead, 1, 0), stat("b", JobState::Running, 1, 0)];
    assert_eq!(queue.jobs().job_stats(usize::MAX).await.expect("an answer"), stats);
    // No more of a kind than is asked for, and the oldest all the same.
    queue.add((0..5).map(|n| NewJob { priority: Priority::Low, ..job("c", "", 5 - n) }).collect()).await;
    let bounded = queue.jobs().job_stats(1).await.expect("an answer");
    let mut stats = stats.to_vec();
    stats[0].count = 1;
    stats.push(stat("c", JobState::Ready, 1, 1));
    assert_eq!(bounded, stats);
    let counts = queue.world.store.job_counts().await.expect("the store reads");
    assert_eq!((counts.ready, counts.dead), (7, 1));
}

pub async fn no_call_holds_more_than_its_bound(home: &impl Home) {
    let queue = Queue::open(home).await;
    let many = |count| (0..count).map(|n| job("a", &format!("{n}"), 0)).collect::<Vec<_>>();
    assert!(queue.jobs().enqueue(many(JOBS_PER_CALL_MAX + 1)).await.is_err());
    let large = job("a", &"x".repeat(PAYLOAD_MAX_BYTES + 1), 0);
    assert!(queue.jobs().enqueue(vec![large]).await.is_err());
    assert_eq!(queue.payloads(JobState::Ready).await, [""; 0], "what is refused is not there");
    for _ in 0..2 {
        queue.add(many(JOBS_PER_CALL_MAX)).await;
    }
    let claimed = queue.claim(ANN, &["a"], usize::MAX, 0).await;
    assert_eq!(claimed.len(), JOBS_PER_CALL_MAX);
    let held: Vec<Held> = (0..=JOBS_PER_CALL_MAX).map(|_| held(ANN, &claimed[0])).collect();
    assert!(queue.jobs().renew(held, at(1)).await.is_err());
    // Ends and what comes after them count together.
    let ending = |next| vec![Finish { held: self::held(ANN, &claimed[1]), end: JobEnd::Done, next }];
    let before = queue.jobs().job_stats(usize::MAX).await.expect("an answer");
    assert!(queue.jobs().finish(ending(many(JOBS_PER_CALL_MAX)), at(1)).await.is_err());
    let large = NewJob { payload: "x".repeat(PAYLOAD_MAX_BYTES + 1), ..job("a", "", 0) };
    assert!(queue.jobs().finish(ending(vec![large]), at(1)).await.is_err());
    assert_eq!(queue.jobs().job_stats(usize::MAX).await.expect("an answer"), before, "what is refused is not there");
    assert_eq!(queue.jobs().finish(ending(many(JOBS_PER_CALL_MAX - 1)), at(1)).await.expect("an answer"), [true]);
    let reason = "ö".repeat(REASON_MAX_BYTES);
    assert!(queue.end(ANN, &claimed[0], JobEnd::Dead { reason }, 0).await);
    assert_eq!(queue.list(JobState::Dead).await[0].reasons[0].reason.len(), REASON_MAX_BYTES);
}

pub async fn a_message_sent_while_its_notification_runs_queues_another(home: &impl Home) {
    let queue = Queue::open(home).await;
    let [alice, bob] = queue.world.people(["alice", "bob"]).await;
    let dm = queue.world.dm(alice, bob).await;
    queue.world.send(alice, dm, "one").await;
    queue.world.send(alice, dm, "two").await;
    let later = i64::from(u32::MAX);
    let first = queue.one(ANN, "notify", later).await;
    assert!(first.payload.contains("\"fromSeq\":1"), "{}", first.payload);
    queue.world.send(alice, dm, "three").await;
    // The first fails: what is left for them is one job, from the first message on.
    assert!(queue.end(ANN, &first, retry(later, "no"), later).await);
    let both = queue.one(ANN, "notify", later).await;
    assert_eq!(both.payload, first.payload);
    assert_eq!(both.unique_key, Some(dm.as_bytes().to_vec()));
}

/// Whoever claims a notification after a message was acknowledged reads that message; who claimed it before finds another job.
pub async fn no_message_is_without_a_notification_while_workers_claim(home: &impl Home) {
    let queue = Queue::open(home).await;
    let [alice, bob] = queue.world.people(["alice", "bob"]).await;
    let dm = queue.world.dm(alice, bob).await;
    let later = i64::from(u32::MAX);
    let mut notified = 0;
    for round in 0..20 {
        let message = queue.world.message(alice, dm, &format!("{round}"));
        let sent = queue.world.submit(sending(&message));
        let claims = (0..3_u8).map(|n| {
            let claim = claim_of([n; 16], &["notify"], 1, later);
            Box::pin(async { (claim.worker, queue.jobs().claim(claim).await.expect("an answer")) })
                as Answer<'_, (WorkerId, Vec<ClaimedJob>)>
        });
        let claimed = together(claims.collect()).await;
        // Each worker reads after its claim, as it has to.
        for (worker, jobs) in claimed {
            for job in jobs {
                notified = queue.world.history(bob, dm).await.len();
                assert!(queue.end(worker, &job, JobEnd::Done, later).await);
            }
        }
        sent.await.expect("the message is sent");
        if notified <= round {
            assert_eq!(queue.payloads(JobState::Ready).await.len(), 1, "message {round} has nobody who tells of it");
        }
    }
}

pub async fn sessions_that_expired_long_ago_are_forgotten_so_many_at_a_time(home: &impl Home) {
    let queue = Queue::open(home).await;
    let alice = queue.world.person("alice").await;
    let mut sessions = Vec::new();
    for n in 0..5 {
        let session = SessionId::from_bytes(queue.world.id());
        let (expires_at, now) = (at(n * 100), at(0));
        queue.world.done(Write::OpenSession { session, user: alice, user_agent: None, expires_at, now }).await;
        sessions.push(session);
    }
    let forget = |limit| queue.jobs().forget_sessions(at(300), limit);
    let mut gone = Vec::new();
    for _ in 0..3 {
        gone.push(forget(2).await.expect("an answer"));
    }
    assert_eq!(gone, [2, 1, 0]);
    for (n, session) in sessions.into_iter().enumerate() {
        assert_eq!(queue.world.store.session(session).await.expect("the store reads").is_some(), n >= 3);
    }
}
