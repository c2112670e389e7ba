//! The hands of one life of a worker: between any two things that they do the process may die, stand still, or take long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tertulia_core::Powers;
use tertulia_jobs::Surroundings;
use tertulia_proto::Timestamp;
use tertulia_store::StoreError;
use tertulia_store_sqlite::SqliteStore;
use tertulia_testkit::Random;

use super::plan::NotifyPlan;
use super::post::Post;
use super::timers::Timers;

pub struct Hands {
    /// No two lives have the same.
    pub life: u64,
    pub post: Arc<Post>,
    pub timers: Arc<Timers>,
    pub plan: NotifyPlan,
    pub powers: Powers,
    random: Mutex<Random>,
    is_dead: AtomicBool,
}

/// What happens between two steps.
enum Between {
    Nothing,
    Wait(u64),
    Death,
}

impl Hands {
    pub fn new(life: u64, post: &Arc<Post>, plan: &NotifyPlan, powers: Powers, random: Random) -> Arc<Self> {
        let timers = Timers::new(post.book().now);
        let (post, random) = (Arc::clone(post), Mutex::new(random));
        Arc::new(Self { life, post, timers, plan: plan.clone(), powers, random, is_dead: AtomicBool::new(false) })
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    /// Nothing that it had begun goes on.
    pub fn die(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
    }

    pub fn chance<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn once_in(&self, times: usize) -> bool {
        times > 0 && self.post.book().is_faulty && self.chance(|random| random.one_in(times))
    }

    /// The end of one thing and the beginning of the next.
    pub async fn step(&self, what: &'static str) {
        if self.timers.is_stalled() {
            self.timers.sleep(1).await;
        }
        match self.between(what) {
            Between::Nothing => {}
            Between::Wait(ms) => self.timers.sleep(ms).await,
            Between::Death => std::future::pending().await,
        }
        if self.is_dead() {
            std::future::pending().await
        }
    }

    fn between(&self, what: &'static str) -> Between {
        if self.is_dead() {
            return Between::Death;
        }
        if self.once_in(self.plan.dies) {
            self.post.say(format!("worker {} dies at: {what}", self.life));
            self.die();
            return Between::Death;
        }
        if self.once_in(self.plan.stalls) {
            let ms = self.chance(|random| 1 + random.next() % (3 * self.plan.lease_ms));
            self.post.say(format!("worker {} stands still for {ms} ms at: {what}", self.life));
            self.timers.stall(ms);
            self.post.book().stood_still(self.life);
            return Between::Wait(1);
        }
        if self.once_in(self.plan.slow) {
            return Between::Wait(self.chance(|random| 1 + random.next() % 12_000));
        }
        // Mostly at once: each moment is a step of the world.
        if self.chance(|random| random.one_in(6)) {
            Between::Wait(self.chance(|random| 1 + random.next() % 300))
        } else {
            Between::Nothing
        }
    }

    /// The way to the store; what is done there is done at once.
    pub async fn reach(&self, what: &'static str) -> Result<Arc<SqliteStore>, StoreError> {
        self.step(what).await;
        if self.once_in(self.plan.store_fails) {
            return Err(StoreError::Unavailable("the simulated store".into()));
        }
        let store = self.post.book().store.clone();
        store.ok_or_else(|| StoreError::Unavailable("the simulated store is away".into()))
    }
}

impl Surroundings for Hands {
    fn now(&self) -> Timestamp {
        self.powers.now()
    }

    fn timer(&self, time: Duration) -> BoxFuture<'static, ()> {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4);
        self.timers.sleep(ms).boxed()
    }

    fn chance(&self) -> u64 {
        Self::chance(self, Random::next)
    }
}
