//! The time of one worker: it stands still until the world moves it, and also while the worker stands still.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Default)]
pub struct Timers(Mutex<State>);

#[derive(Default)]
struct State {
    now: u64,
    stalled_until: u64,
    serial: u64,
    asleep: BTreeMap<(u64, u64), Option<Waker>>,
}

impl Timers {
    pub fn new(now: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { now, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn sleep(self: &Arc<Self>, ms: u64) -> Sleep {
        let mut state = self.state();
        state.serial += 1;
        let key = (state.now + ms, state.serial);
        state.asleep.insert(key, None);
        Sleep { timers: Arc::clone(self), key }
    }

    /// Nothing goes on for so long.
    pub fn stall(&self, ms: u64) {
        let mut state = self.state();
        state.stalled_until = state.now + ms;
    }

    pub fn go_on(&self) {
        self.state().stalled_until = 0;
    }

    pub fn is_stalled(&self) -> bool {
        let state = self.state();
        state.stalled_until > state.now
    }

    pub fn next_at(&self) -> Option<u64> {
        let state = self.state();
        let mut later = state.asleep.range((state.now + 1, 0)..);
        later.next().map(|((at, _), _)| (*at).max(state.stalled_until))
    }

    /// Wakes whoever wanted to be woken by now.
    pub fn advance(&self, now: u64) {
        let mut state = self.state();
        if state.stalled_until > now {
            return;
        }
        state.now = now;
        let due = state.asleep.range_mut(..=(now, u64::MAX)).filter_map(|(_, waker)| waker.take());
        let due: Vec<Waker> = due.collect();
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }
}

pub struct Sleep {
    timers: Arc<Timers>,
    key: (u64, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.timers.state();
        if self.key.0 <= state.now {
            return Poll::Ready(());
        }
        state.asleep.insert(self.key, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.timers.state().asleep.remove(&self.key);
    }
}
