//! Whoever works on the jobs: the real runner with the real handlers that notify, over the queue of the world's store. A worker is one task of one tokio
//! runtime of one thread without a clock of its own, so the world decides what happens next and the same seed does the same.
//!
//! The way through: [`plan`] how many, and what goes wrong; [`hands`] what may happen between two steps of a worker, with [`timers`] its time; [`queue`] and
//! [`book`] its store; [`provider`] whom it asks; [`post`] and [`snapshot`] what the checks know; [`deeds`] what people do about notifications; [`lull`]
//! what is demanded when all of this is well again.

mod book;
mod deeds;
mod hands;
mod lull;
pub mod plan;
pub mod post;
mod provider;
mod queue;
pub mod snapshot;
mod timers;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tertulia_core::Powers;
use tertulia_jobs::{Options, Runner, Schedule, Surroundings, Wake};
use tertulia_notify::Pushing;
use tertulia_notify::webhooks::Telling;
use tertulia_proto::PushProvider;
use tertulia_push::{Policy, Provider};
use tertulia_store::Store;
use tertulia_store_sqlite::SqliteStore;
use tertulia_testkit::Random;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

pub use self::book::WorkerBook;
pub use self::hands::Hands;
use self::plan::NotifyPlan;
use self::post::Post;
use self::provider::SimProvider;
pub use self::queue::{GRACE_MS, WorkerQueue};
use crate::faulty::{FaultyStore, Lines};
use crate::server::Server;
use crate::webhooks::plan::HookPlan;
use crate::webhooks::{SimHost, TIMEOUT, WorkerHooks};

/// Those that devices of these worlds register for.
pub const PROVIDERS: [PushProvider; 2] = [PushProvider::Expo, PushProvider::Webpush];

/// Nobody is told of what is older: no world lasts so long, and a clock that jumps is no reason.
const AGE_MAX_MS: i64 = 400 * 86_400_000;

/// Until nothing is left to do but to wait for time.
#[derive(Default)]
struct Idle(Mutex<(bool, Option<Waker>)>);

impl Idle {
    /// The thread would sleep.
    fn is_so(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}

struct UntilIdle<'a>(&'a Idle);

impl Future for UntilIdle<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

struct Life {
    hands: Arc<Hands>,
    task: JoinHandle<()>,
}

struct Worker {
    life: Option<Life>,
    back_at: u64,
    in_server: bool,
}

/// All workers of a world.
pub struct Office {
    runtime: Runtime,
    idle: Arc<Idle>,
    pub post: Arc<Post>,
    powers: Powers,
    plan: NotifyPlan,
    hooks: Option<HookPlan>,
    random: Random,
    workers: Vec<Worker>,
    lives: u64,
}

impl Office {
    pub fn new(seed: u64, server: &Server, hooks: Option<HookPlan>) -> Result<Self> {
        let (post, powers) = (Arc::clone(&server.post), server.powers());
        {
            let mut book = post.book();
            (book.is_on, book.is_faulty) = (true, true);
        }
        let idle = Arc::new(Idle::default());
        let told = Arc::clone(&idle);
        let runtime = tokio::runtime::Builder::new_current_thread().on_thread_park(move || told.is_so()).build();
        let plan = NotifyPlan::draw(seed).in_which(post.book().bug);
        let worker = |number| Worker { life: None, back_at: 0, in_server: plan.in_server && number == 0 };
        let workers = (0..plan.workers).map(worker).collect();
        let runtime = runtime.context("a runtime")?;
        let random = Random::new(seed ^ 0x6f66_6669);
        Ok(Self { runtime, idle, post, powers, plan, hooks, random, workers, lives: 0 })
    }

    /// After so many deeds somebody does something about notifications.
    pub const fn often(&self) -> usize {
        self.plan.deeds
    }

    pub fn next_at(&self) -> Option<u64> {
        let has_store = self.post.book().store.is_some();
        let of = |worker: &Worker| match &worker.life {
            Some(life) => life.hands.timers.next_at(),
            None => has_store.then_some(worker.back_at),
        };
        self.workers.iter().filter_map(of).min()
    }

    /// What is due is done, by whoever is there to do it.
    pub fn tick(&mut self, now: u64) -> Result<()> {
        self.begin_lives(now)?;
        for life in self.workers.iter().filter_map(|worker| worker.life.as_ref()) {
            life.hands.timers.advance(now);
        }
        self.turn();
        for number in 0..self.workers.len() {
            if self.workers[number].life.as_ref().is_some_and(|life| life.hands.is_dead()) {
                self.end_life(number);
            }
        }
        match self.post.book().broken.take() {
            Some(broken) => bail!("{broken}"),
            None => Ok(()),
        }
    }

    fn turn(&self) {
        *self.idle.0.lock().unwrap_or_else(PoisonError::into_inner) = (false, None);
        self.runtime.block_on(UntilIdle(&self.idle));
    }

    fn begin_lives(&mut self, now: u64) -> Result<()> {
        let Some(store) = self.post.book().store.clone() else { return Ok(()) };
        for number in 0..self.workers.len() {
            if self.workers[number].life.is_none() && self.workers[number].back_at <= now {
                self.workers[number].life = Some(self.begin_life(&store)?);
            }
        }
        Ok(())
    }

    fn begin_life(&mut self, store: &Arc<SqliteStore>) -> Result<Life> {
        self.lives += 1;
        let hands = Hands::new(self.lives, &self.post, &self.plan, self.powers.clone(), self.random.fork());
        let provider = |kind: &PushProvider| {
            let provider = SimProvider { kind: *kind, hands: Arc::clone(&hands) };
            (*kind, Arc::new(provider) as Arc<dyn Provider>)
        };
        let policy = Policy { grace_ms: GRACE_MS, age_max_ms: AGE_MAX_MS, ..Policy::default() };
        let providers = PROVIDERS.iter().map(provider).collect();
        let pushing = Arc::new(Pushing::new(providers, None, policy, self.powers.clone()));
        let lines = Lines {
            queue: WorkerQueue(Arc::clone(&hands)),
            book: WorkerBook::new(Arc::clone(&hands)),
            hooks: WorkerHooks(Arc::clone(&hands)),
        };
        let store: Arc<dyn Store> = Arc::new(FaultyStore::of_worker(Arc::clone(store), &self.post, lines));
        let wake = Wake::default();
        let mut kinds = pushing.kinds(&store, &Schedule::notifications(), &wake);
        if let Some(HookPlan { moods, waits, .. }) = &self.hooks {
            let host = Arc::new(SimHost { hands: Arc::clone(&hands), moods: *moods });
            kinds.extend(Arc::new(Telling::new(host, TIMEOUT, waits.clone(), self.powers.clone())).kinds(&store));
        }
        let mut name = [0; 16];
        name[..8].copy_from_slice(&self.lives.to_le_bytes());
        let options = Options {
            lease: Duration::from_millis(self.plan.lease_ms),
            poll: Duration::from_millis(self.plan.poll_ms),
            ..Options::new(name)
        };
        let surroundings: Arc<dyn Surroundings> = Arc::clone(&hands) as _;
        let runner = Runner::new(store, surroundings, kinds, options)?.woken_by(wake);
        let task = self.runtime.spawn(runner.run(std::future::pending()));
        self.post.say(format!("worker {} begins", self.lives));
        Ok(Life { hands, task })
    }

    /// All that it had begun is dropped where it stands.
    fn end_life(&mut self, number: usize) {
        let Some(life) = self.workers[number].life.take() else { return };
        life.hands.die();
        life.task.abort();
        self.turn();
        self.post.book().excuse(life.hands.life);
        self.workers[number].back_at = self.post.book().now + self.random.next() % 40_000;
    }

    /// The process of the server is gone, and the store is away.
    pub fn server_died(&mut self) {
        self.post.book().store = None;
        for number in 0..self.workers.len() {
            if self.workers[number].in_server {
                self.end_life(number);
            }
        }
    }

    /// Everybody is stopped before a copy is put back.
    pub fn end_all(&mut self) {
        for number in 0..self.workers.len() {
            self.end_life(number);
        }
    }

    /// Whether nothing goes wrong from now on.
    pub fn set_well(&mut self, is_well: bool) {
        let now = {
            let mut book = self.post.book();
            book.is_faulty = !is_well;
            book.now
        };
        if !is_well {
            return;
        }
        for worker in &mut self.workers {
            worker.back_at = worker.back_at.min(now);
            if let Some(life) = &worker.life {
                life.hands.timers.go_on();
            }
        }
    }
}
