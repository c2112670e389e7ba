//! Time that stands still until a test moves it.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tertulia_jobs::Surroundings;
use tertulia_store::Timestamp;
use tokio::sync::oneshot;

pub struct Clock(Mutex<State>);

struct State {
    now_ms: i64,
    /// What timers go by: it never goes back.
    elapsed_ms: i64,
    asleep: Vec<(i64, oneshot::Sender<()>)>,
    chance: u64,
}

impl Clock {
    pub fn new() -> Self {
        Self(Mutex::new(State { now_ms: 1_767_225_600_000, elapsed_ms: 0, asleep: Vec::new(), chance: 0 }))
    }

    pub fn at(&self) -> Timestamp {
        Timestamp::from_ms(self.0.lock().now_ms)
    }

    /// Wakes whoever wanted to be woken by then.
    pub fn advance(&self, ms: i64) {
        let mut state = self.0.lock();
        state.now_ms += ms;
        state.elapsed_ms += ms;
        let now = state.elapsed_ms;
        let (due, asleep) = std::mem::take(&mut state.asleep).into_iter().partition(|(at, _)| *at <= now);
        state.asleep = asleep;
        let due: Vec<(i64, oneshot::Sender<()>)> = due;
        for (_, wake) in due {
            let _ = wake.send(());
        }
    }
}

impl Clock {
    /// Whether somebody waits that is woken when so much time has passed.
    pub fn wakes_somebody_within(&self, ms: i64) -> bool {
        let state = self.0.lock();
        state.asleep.iter().any(|(at, wake)| *at <= state.elapsed_ms + ms && !wake.is_closed())
    }

    /// As when a person puts a clock right.
    pub fn set_back(&self, ms: i64) {
        self.0.lock().now_ms -= ms;
    }
}

impl Surroundings for Clock {
    fn now(&self) -> Timestamp {
        self.at()
    }

    fn timer(&self, time: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.0.lock();
        let at = state.elapsed_ms + i64::try_from(time.as_millis()).expect("a test is short");
        let (wake, woken) = oneshot::channel();
        state.asleep.retain(|(_, wake)| !wake.is_closed());
        state.asleep.push((at, wake));
        woken.map(drop).boxed()
    }

    fn chance(&self) -> u64 {
        let mut state = self.0.lock();
        state.chance = state.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.chance >> 11
    }
}
