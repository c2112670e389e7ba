//! The job that tells other programs, on a log in memory, with endpoints that answer when the test says so.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tertulia_core::{Entropy, Powers};
use tertulia_jobs::{Handler, Job, Outcome};
use tertulia_notify::webhooks::{Deliver, Telling};
use tertulia_proto::ConversationId;
use tertulia_store::conformance::Home;
use tertulia_store::conformance::hooks::{Stage, failed, line, taken};
use tertulia_store::jobs::NewJob;
use tertulia_store::webhooks::{Line, Next, Sending, TryResult, WEBHOOK};
use tertulia_store::{CommitSink, Rules, Store, Timestamp};
use tertulia_store_sqlite::SqliteStore;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

const TIMEOUT: Duration = Duration::from_secs(15);

/// What a line is held longer than its request may take.
const MARGIN: Duration = Duration::from_secs(5);

/// Until a request that does not come fails the test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests to one endpoint at a time.
const ONE_MAX: usize = 8;

struct InMemory;

impl Home for InMemory {
    fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> impl Future<Output = Arc<dyn Store>> {
        let store = SqliteStore::open_in_memory(&[7; 64], rules, sink).expect("an empty log opens in memory");
        ready(store as Arc<dyn Store>)
    }
}

/// It stands still.
struct Clock(Timestamp);

impl tertulia_core::Clock for Clock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Never the same twice: by this requests are told apart.
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::SeqCst));
    }
}

type Answer = (TryResult, Option<u16>);

/// A request that waits for its answer.
struct Asked {
    sending: Sending,
    answer: oneshot::Sender<Answer>,
}

struct Endpoint(mpsc::UnboundedSender<Asked>);

impl Deliver for Endpoint {
    fn deliver<'a>(&'a self, sending: &'a Sending, _: Timestamp) -> BoxFuture<'a, Answer> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Asked { sending: sending.clone(), answer }).unwrap_or_else(|_| panic!("the test is over"));
        answered.map(|answer| answer.expect("somebody answers")).boxed()
    }
}

struct Scene {
    stage: Stage,
    tell: Arc<dyn Handler>,
    asked: mpsc::UnboundedReceiver<Asked>,
    now: Timestamp,
    begun: BTreeMap<Line, JoinSet<Outcome>>,
}

impl Scene {
    async fn open() -> Self {
        let stage = Stage::open(&InMemory).await;
        let now = stage.hooks.world.now().plus_ms(60_000);
        let (ask, asked) = mpsc::unbounded_channel();
        let powers = Powers { clock: Arc::new(Clock(now)), entropy: Arc::new(Counting(AtomicU8::new(0))) };
        let telling = Arc::new(Telling::new(Arc::new(Endpoint(ask)), TIMEOUT, vec![Duration::from_secs(60)], powers));
        let kinds = telling.kinds(&stage.hooks.world.store);
        let tell = kinds.into_iter().find(|kind| kind.name == WEBHOOK).expect("a job that tells").handler;
        Self { stage, tell, asked, now, begun: BTreeMap::new() }
    }

    /// A conversation of which something is to be told.
    async fn line(&self) -> Line {
        let world = &self.stage.hooks.world;
        let group = world.open_group(self.stage.alice, &[self.stage.bob]).await;
        self.write(group).await;
        line(self.stage.all, group)
    }

    async fn write(&self, conversation: ConversationId) {
        self.stage.hooks.world.send(self.stage.alice, conversation, "hello").await;
    }

    fn begin(&mut self, line: Line) {
        let NewJob { kind, unique_key, payload, run_at, .. } = line.job(self.now, self.now);
        let job = Job { id: 1, kind, unique_key, payload, tries: 1, run_at, created_at: run_at };
        self.begun.entry(line).or_default().spawn(self.tell.run(job));
    }

    async fn ask(&mut self) -> Asked {
        let asked = tokio::time::timeout(PATIENCE, self.asked.recv()).await.expect("a request");
        asked.expect("the test holds the other end")
    }

    /// Begins one, whose request is then under way.
    async fn begin_and_ask(&mut self, line: Line) -> Asked {
        self.begin(line);
        self.ask().await
    }

    /// What is queued by its end.
    async fn ended(&mut self, line: Line) -> Vec<(Line, Timestamp)> {
        let begun = self.begun.get_mut(&line).expect("it was begun");
        let ended = begun.join_next().await.expect("it was begun").expect("it ends");
        let Outcome::DoneAnd(jobs) = ended else { panic!("{ended:?}") };
        let line_of = |job: &NewJob| Line::of_key(job.unique_key.as_deref().expect("a key")).expect("a line");
        jobs.iter().map(|job| (line_of(job), job.run_at)).collect()
    }

    async fn answered(&mut self, line: Line, asked: Asked, answer: impl FnOnce(&Sending) -> Answer) -> Queued {
        let answer = answer(&asked.sending);
        asked.answer.send(answer).expect("somebody waits for it");
        self.ended(line).await
    }

    /// As many lines with requests under way as an endpoint has at most.
    async fn full(&mut self) -> Vec<(Line, Asked)> {
        let mut all = Vec::new();
        for _ in 0..ONE_MAX {
            let line = self.line().await;
            all.push((line, self.begin_and_ask(line).await));
        }
        all
    }
}

/// Lines, and when each of them goes on.
type Queued = Vec<(Line, Timestamp)>;

fn takes(sending: &Sending) -> Answer {
    (taken(sending), Some(204))
}

/// What was sent, and not the endpoint: that does not wait.
fn refuses(_: &Sending) -> Answer {
    (failed(None), Some(422))
}

#[tokio::test]
async fn who_found_no_room_is_told_when_a_request_has_ended() {
    let mut scene = Scene::open().await;
    let mut full = scene.full().await;
    let (late, later) = (scene.line().await, scene.line().await);
    for line in [late, later] {
        scene.begin(line);
        let put_off = scene.ended(line).await;
        assert!(put_off.len() == 1 && put_off[0].0 == line && put_off[0].1 > scene.now, "{put_off:?}");
    }
    // Others would fail as well.
    let (failing, asked) = full.pop().expect("eight are under way");
    let queued = scene.answered(failing, asked, refuses).await;
    assert!(queued.len() == 1 && queued[0].0 == failing && queued[0].1 > scene.now, "{queued:?}");

    let now = scene.now;
    let (done, asked) = full.pop().expect("seven are");
    assert_eq!(scene.answered(done, asked, takes).await, [(late, now)]);
    // And who was called makes its request.
    let asked = scene.begin_and_ask(late).await;
    assert_eq!(scene.answered(late, asked, takes).await, [(later, now)]);
    let (done, asked) = full.pop().expect("six are");
    assert_eq!(scene.answered(done, asked, takes).await, []);
}

#[tokio::test]
async fn who_has_nothing_to_tell_calls_another() {
    let mut scene = Scene::open().await;
    let mut full = scene.full().await;
    let (late, later) = (scene.line().await, scene.line().await);
    for line in [late, later] {
        scene.begin(line);
        assert_eq!(scene.ended(line).await.len(), 1);
    }
    let (now, (done, asked)) = (scene.now, full.pop().expect("eight are under way"));
    assert_eq!(scene.answered(done, asked, takes).await, [(late, now)]);
    // Before the one that was called comes this one, for nothing.
    let idle = line(scene.stage.all, scene.stage.dm);
    scene.begin(idle);
    assert_eq!(scene.ended(idle).await, [(later, now)]);
}

#[tokio::test]
async fn a_line_is_held_as_long_as_its_request_may_take() {
    let mut scene = Scene::open().await;
    let line = scene.line().await;
    let asked = scene.begin_and_ask(line).await;
    let store = scene.stage.hooks.world.store.clone();
    let lease_ms = i64::try_from((TIMEOUT + MARGIN).as_millis()).expect("seconds");
    let held = store.webhooks().next(line, scene.now.plus_ms(lease_ms - 1)).await.expect("a look");
    assert!(matches!(held, Next::Busy), "another may take it while the request is under way: {held:?}");
    let free = store.webhooks().next(line, scene.now.plus_ms(lease_ms)).await.expect("a look");
    assert!(matches!(free, Next::Send(_)), "nobody tells it on when its worker is lost: {free:?}");
    assert_eq!(scene.answered(line, asked, takes).await, []);
}

#[tokio::test]
async fn whoever_comes_while_another_tells_the_line_comes_again() {
    let mut scene = Scene::open().await;
    let line = scene.line().await;
    let asked = scene.begin_and_ask(line).await;
    scene.begin(line);
    let again = scene.ended(line).await;
    assert!(again.len() == 1 && again[0].0 == line && again[0].1 > scene.now, "{again:?}");
    assert_eq!(scene.answered(line, asked, takes).await, []);
}
