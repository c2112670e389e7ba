//! The jobs that notify, run by the real runner on a log in memory, with a clock that only the test moves and a provider that does as it is told.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

#[allow(dead_code, reason = "the runner's own tests set it back, too")]
#[path = "../../jobs/tests/clock/mod.rs"]
mod clock;

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tertulia_core::{Entropy, Powers};
use tertulia_jobs::{Handler, Job, Kind, Options, Outcome, Runner, Schedule};
use tertulia_notify::Pushing;
use tertulia_proto::{ConversationId, PushProvider, QuietHours, RegistrationId, UserId};
use tertulia_push::{Answer, Notification, NotificationKind, Policy, Provider, Target};
use tertulia_store::conformance::Home;
use tertulia_store::conformance::book::Book;
use tertulia_store::jobs::{DeadLetters, JobFilter, JobRecord, JobState};
use tertulia_store::push::NewRegistration;
use tertulia_store::{CommitSink, Rules, Store, Timestamp, Write};
use tertulia_store_sqlite::SqliteStore;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::clock::Clock;

const FCM: PushProvider = PushProvider::Fcm;

struct InMemory;

impl Home for InMemory {
    fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> impl Future<Output = Arc<dyn Store>> {
        let store = SqliteStore::open_in_memory(&[7; 64], rules, sink).expect("an empty log opens in memory");
        ready(store as Arc<dyn Store>)
    }
}

struct Time(Arc<Clock>);

impl tertulia_core::Clock for Time {
    fn now(&self) -> Timestamp {
        self.0.at()
    }
}

struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// Takes everything, but where it is told what to do instead.
struct Scripted {
    takes_away: bool,
    instead: Mutex<VecDeque<Instead>>,
    /// Token, kind and seq of each ask.
    asked: Mutex<Vec<(String, NotificationKind, i64)>>,
}

enum Instead {
    Says(Answer),
    /// Meanwhile the device registers with another token.
    SaysAfter(Arc<dyn Store>, Box<NewRegistration>, Answer),
    /// Meanwhile somebody does that.
    TakesItAfter(Arc<dyn Store>, Box<Write>),
    Hangs,
}

impl Scripted {
    async fn answer(&self, target: &Target, told: &Notification) -> Answer {
        self.asked.lock().push((target.token.clone(), told.kind, told.seq));
        let instead = self.instead.lock().pop_front();
        match instead {
            None => Answer::Accepted { id: None },
            Some(Instead::Says(answer)) => answer,
            Some(Instead::SaysAfter(store, new, answer)) => {
                store.push().register(*new).await.expect("a device is registered");
                answer
            }
            Some(Instead::TakesItAfter(store, write)) => {
                let (done, is_done) = oneshot::channel();
                store.submit(*write, Box::new(move |result| _ = done.send(result.is_ok())));
                assert_eq!(is_done.await, Ok(true), "it is done");
                Answer::Accepted { id: None }
            }
            Some(Instead::Hangs) => std::future::pending().await,
        }
    }
}

impl Provider for Scripted {
    fn name(&self) -> &'static str {
        "fcm"
    }

    fn send<'a>(&'a self, target: &'a Target, told: &'a Notification) -> BoxFuture<'a, Answer> {
        self.answer(target, told).boxed()
    }

    fn withdraws(&self) -> bool {
        self.takes_away
    }
}

/// Alice, who is not there and has a phone, and Bob, who writes to her.
struct Stage {
    book: Book,
    clock: Arc<Clock>,
    provider: Arc<Scripted>,
    /// Jobs that were claimed and begun.
    begun: Arc<AtomicUsize>,
    _workers: JoinSet<()>,
    _stop: oneshot::Sender<()>,
    alice: UserId,
    bob: UserId,
    phone: RegistrationId,
}

struct Counted {
    inner: Arc<dyn Handler>,
    begun: Arc<AtomicUsize>,
}

impl Handler for Counted {
    fn run(&self, job: Job) -> BoxFuture<'static, Outcome> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.inner.run(job)
    }
}

impl Stage {
    async fn open(takes_away: bool) -> Self {
        let book = Book::open(&InMemory).await;
        let clock = Arc::new(Clock::new());
        book.world.step_clock_by(0);
        assert_eq!(book.world.now(), clock.at(), "both begin at once");
        let provider = Arc::new(Scripted { takes_away, instead: Mutex::default(), asked: Mutex::default() });
        let powers = Powers { clock: Arc::new(Time(clock.clone())), entropy: Arc::new(Zeros) };
        let providers = BTreeMap::from([(FCM, provider.clone() as Arc<dyn Provider>)]);
        let pushing = Arc::new(Pushing::new(providers, None, Policy::default(), powers));
        let store = book.world.store.clone();
        let begun = Arc::new(AtomicUsize::new(0));
        let wake = tertulia_jobs::Wake::default();
        let counted = |kind: Kind| {
            let handler = Arc::new(Counted { inner: kind.handler.clone(), begun: begun.clone() });
            Kind { handler, ..kind }
        };
        let kinds = pushing.kinds(&store, &Schedule::notifications(), &wake).into_iter().map(counted).collect();
        let runner = Runner::new(store, clock.clone(), kinds, Options::new([1; 16])).expect("a runner");
        let (stop, stopped) = oneshot::channel();
        let mut workers = JoinSet::new();
        workers.spawn(async move { runner.woken_by(wake).run(async { drop(stopped.await) }).await });
        let [alice, bob] = book.world.people(["alice", "bob"]).await;
        let device = tertulia_proto::DeviceId::from_bytes([5; 16]);
        let phone = book.register(book.of_device(alice, "token", device)).await.id;
        Self { book, clock, provider, begun, _workers: workers, _stop: stop, alice, bob, phone }
    }

    async fn dm(&self) -> ConversationId {
        self.book.world.dm(self.alice, self.bob).await
    }

    async fn says(&self, conversation: ConversationId) {
        self.book.world.send(self.bob, conversation, "hello").await;
    }

    /// So much time passes, a quarter of a second after the other.
    async fn pass(&self, ms: i64) {
        for _ in 0..ms.div_euclid(250).max(1) {
            self.clock.advance(250);
            for _ in 0..60 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn instead(&self, instead: Instead) {
        self.provider.instead.lock().push_back(instead);
    }

    fn asked(&self) -> Vec<(String, NotificationKind, i64)> {
        std::mem::take(&mut self.provider.asked.lock())
    }

    /// What was told or taken away since this was asked last.
    fn seen(&self) -> Vec<(NotificationKind, i64)> {
        self.asked().into_iter().map(|(_, kind, seq)| (kind, seq)).collect()
    }

    async fn jobs(&self, state: JobState) -> Vec<JobRecord> {
        let filter = JobFilter { state, kind: None, after: 0, limit: 500 };
        self.book.world.store.jobs().list_jobs(filter).await.expect("the queue is listed")
    }

    async fn retry_dead(&self) {
        let which = DeadLetters::OfKind { kind: FCM.job_kind().to_owned(), limit: 100 };
        self.book.world.store.jobs().retry_dead(which, self.clock.at()).await.expect("they are ready again");
    }
}

use NotificationKind::{Message, Withdrawal};

#[tokio::test]
async fn what_is_our_own_fault_switches_nothing_off_and_is_told_when_it_is_mended() {
    let stage = Stage::open(true).await;
    let dm = stage.dm().await;
    for seq in 1..=6 {
        stage.instead(Instead::Says(Answer::Misconfigured("InvalidProviderToken".into())));
        stage.says(dm).await;
        stage.pass(5000).await;
        assert_eq!(stage.seen(), [(Message, seq)]);
    }
    assert_eq!(stage.jobs(JobState::Dead).await.len(), 6);
    assert_eq!(stage.book.tokens(stage.alice).await, ["token"], "it is on");
    stage.retry_dead().await;
    stage.pass(2000).await;
    assert_eq!(stage.seen(), [(Message, 6)]);
    assert!(stage.jobs(JobState::Dead).await.is_empty() && stage.jobs(JobState::Ready).await.is_empty());
}

#[tokio::test]
async fn a_provider_that_asks_for_a_day_is_asked_again_in_a_quarter_of_an_hour() {
    let stage = Stage::open(true).await;
    let dm = stage.dm().await;
    let day = Some(Duration::from_hours(24));
    stage.instead(Instead::Says(Answer::Later { after: day, reason: "429".into() }));
    stage.says(dm).await;
    stage.pass(10_000).await;
    stage.says(dm).await;
    stage.pass(14 * 60_000).await;
    assert_eq!(stage.seen(), [(Message, 1)], "so long it waits, with what came since");
    stage.pass(60_000).await;
    assert_eq!(stage.seen(), [(Message, 2)]);
}

#[tokio::test]
async fn a_device_that_changes_its_token_while_it_is_told_is_told_by_the_new_one() {
    let stage = Stage::open(true).await;
    let dm = stage.dm().await;
    let new = stage.book.of_device(stage.alice, "new token", tertulia_proto::DeviceId::from_bytes([5; 16]));
    let gone = Answer::Unregistered("UNREGISTERED".into());
    stage.instead(Instead::SaysAfter(stage.book.world.store.clone(), Box::new(new), gone));
    stage.says(dm).await;
    stage.pass(6000).await;
    let asked = [("token".to_owned(), Message, 1), ("new token".to_owned(), Message, 1)];
    assert_eq!(stage.asked(), asked);
    assert_eq!(stage.book.devices(stage.alice).await, [stage.phone]);
    assert_eq!(stage.book.tokens(stage.alice).await, ["new token"]);
    // One that is gone ends it.
    stage.instead(Instead::Says(Answer::Unregistered("UNREGISTERED".into())));
    stage.says(dm).await;
    stage.pass(6000).await;
    assert_eq!(stage.seen(), [(Message, 2)]);
    assert!(stage.book.tokens(stage.alice).await.is_empty() && stage.jobs(JobState::Ready).await.is_empty());
}

#[tokio::test]
async fn whoever_is_removed_is_shown_nothing_of_it_any_more_whenever_that_happens() {
    for is_on_its_way in [false, true] {
        let stage = Stage::open(true).await;
        let world = &stage.book.world;
        let group = world.open_group(stage.bob, &[stage.alice]).await;
        stage.says(group).await;
        if is_on_its_way {
            let removing = Box::new(world.removing(stage.bob, group, stage.alice));
            stage.instead(Instead::TakesItAfter(world.store.clone(), removing));
        }
        stage.pass(5000).await;
        if !is_on_its_way {
            assert_eq!(stage.seen(), [(Message, 1)]);
            world.done(world.removing(stage.bob, group, stage.alice)).await;
            stage.pass(1000).await;
        }
        let taken = [(Message, 1), (Withdrawal, 1)];
        assert_eq!(stage.seen(), taken[usize::from(!is_on_its_way)..], "on its way: {is_on_its_way}");
        // Back again, nothing of before is told or taken.
        world.done(world.adding(stage.bob, group, stage.alice)).await;
        stage.pass(5000).await;
        assert!(stage.seen().is_empty() && stage.jobs(JobState::Ready).await.is_empty());
    }
}

#[tokio::test]
async fn in_quiet_hours_what_was_read_is_taken_away_and_what_came_since_waits_for_their_end() {
    for takes_away in [true, false] {
        let stage = Stage::open(takes_away).await;
        let dm = stage.dm().await;
        stage.says(dm).await;
        stage.pass(5000).await;
        assert_eq!(stage.seen(), [(Message, 1)]);
        let hours = QuietHours { from: "00:00".into(), to: "01:00".into(), time_zone: "UTC".into() };
        stage.book.push().set_quiet_hours(stage.alice, Some(hours)).await.expect("they are kept");
        stage.says(dm).await;
        stage.pass(5000).await;
        assert_eq!((stage.jobs(JobState::Ready).await.len(), stage.seen()), (1, Vec::new()), "it waits");
        // The first is read on another device: the job that waits is the one that takes it away.
        let laptop = tertulia_proto::DeviceId::from_bytes([6; 16]);
        stage.book.world.done(stage.book.read_on(stage.alice, dm, 1, laptop)).await;
        stage.pass(50 * 60_000).await;
        let taken = if takes_away { vec![(Withdrawal, 1)] } else { Vec::new() };
        assert_eq!(stage.seen(), taken);
        stage.pass(10 * 60_000).await;
        assert_eq!(stage.seen(), [(Message, 2)], "when they have ended");
        assert!(stage.jobs(JobState::Ready).await.is_empty());
    }
}

#[tokio::test]
async fn whoever_waits_for_a_provider_that_hangs_keeps_its_tries_and_does_not_keep_coming() {
    let stage = Stage::open(true).await;
    let mut groups = Vec::new();
    for _ in 0..20 {
        groups.push(stage.book.world.group(stage.bob, &[stage.alice]).await);
    }
    for group in &groups {
        for _ in 0..3 {
            stage.instead(Instead::Hangs);
        }
        stage.says(*group).await;
    }
    // Three tries of 15 s each, four at a time: 225 s, and the waits between them.
    stage.pass(600_000).await;
    let dead = stage.jobs(JobState::Dead).await;
    assert_eq!(dead.len(), 20, "{:?}", stage.jobs(JobState::Ready).await);
    assert!(dead.iter().all(|job| job.tries == 3 && job.reasons.len() == 3), "{dead:?}");
    assert_eq!(stage.seen().len(), 60);
    // Twenty who ask whom to tell, sixty tries, and those that found no room.
    let begun = stage.begun.load(Ordering::SeqCst);
    assert!(begun <= 20 + 60 + 300, "{begun} times a job was begun");
}
