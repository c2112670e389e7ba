//! How often somebody may do something: sliding windows that remember each instant, so that no burst at the seam of two windows slips through.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::hash::Hash;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tertulia_proto::{ApiError, ErrorCode, Timestamp};

/// Keys remembered at most; beyond it the ones that are idle go, and then new keys are let through unlimited rather than memory grow.
const KEYS_MAX: usize = 200_000;

/// Windows that several servers count together.
pub trait SharedWindows: Send + Sync + 'static {
    /// Counts one of at most `count` in `window_ms` under a name. `Err(ms)`: refused, and how long to wait. `None`: nobody can be asked.
    fn take(&self, name: String, count: u32, window_ms: i64) -> BoxFuture<'_, Option<Result<(), u64>>>;
}

/// At most `count` times in `window_ms`, per key.
pub struct SlidingWindow<K> {
    what: &'static str,
    count: usize,
    window_ms: i64,
    seen: Mutex<HashMap<K, VecDeque<i64>>>,
}

impl<K: Eq + Hash> SlidingWindow<K> {
    /// `count` 0 switches the limit off.
    pub fn new(what: &'static str, count: u32, window_ms: i64) -> Self {
        Self { what, count: usize::try_from(count).unwrap_or(usize::MAX), window_ms, seen: Mutex::new(HashMap::new()) }
    }

    /// Counts one, or says how long to wait. A refusal is not counted.
    pub fn take(&self, key: K, now: Timestamp) -> Result<(), ApiError> {
        if self.count == 0 {
            return Ok(());
        }
        let now = now.ms();
        let mut seen = self.seen.lock();
        if seen.len() >= KEYS_MAX {
            seen.retain(|_, times| times.back().is_some_and(|last| now - last < self.window_ms));
            if seen.len() >= KEYS_MAX && !seen.contains_key(&key) {
                return Ok(());
            }
        }
        let times = seen.entry(key).or_default();
        // A clock that was set back may not lock anybody out: what lies in the future is forgotten.
        while times.front().is_some_and(|first| now - first >= self.window_ms || *first > now) {
            times.pop_front();
        }
        match times.front() {
            Some(first) if times.len() >= self.count => {
                Err(self.refusal(u64::try_from(first + self.window_ms - now).unwrap_or(1).max(1)))
            }
            _ => {
                times.push_back(now);
                Ok(())
            }
        }
    }

    fn refusal(&self, wait_ms: u64) -> ApiError {
        let detail = format!("{}: over the limit of {} in {} s", self.what, self.count, self.window_ms / 1000);
        ApiError::retry(ErrorCode::RateLimited, detail, wait_ms)
    }

    /// Counts one here and, where there are other servers, with them. Where they can't be asked, what is counted here has to do.
    pub async fn take_with(&self, shared: Option<&dyn SharedWindows>, key: K, now: Timestamp) -> Result<(), ApiError>
    where
        K: Clone + Display,
    {
        self.take(key.clone(), now)?;
        let (Some(shared), true) = (shared, self.count > 0) else { return Ok(()) };
        // Who it is about is nobody's business there.
        let digest = Sha256::digest(format!("{}:{key}", self.what));
        let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        match shared.take(name, u32::try_from(self.count).unwrap_or(u32::MAX), self.window_ms).await {
            Some(Err(wait)) => {
                self.give_back(&key, now);
                Err(self.refusal(wait))
            }
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Counts one that happened elsewhere, whatever the limit says.
    pub fn note(&self, key: K, now: Timestamp) {
        if self.count == 0 {
            return;
        }
        let mut seen = self.seen.lock();
        if seen.len() >= KEYS_MAX && !seen.contains_key(&key) {
            return;
        }
        let times = seen.entry(key).or_default();
        times.push_back(now.ms());
        while times.len() > self.count {
            times.pop_front();
        }
    }

    /// Takes back one that was counted at `at`: it came to nothing.
    pub fn give_back(&self, key: &K, at: Timestamp) {
        if let Some(times) = self.seen.lock().get_mut(key)
            && let Some(place) = times.iter().rposition(|time| *time == at.ms())
        {
            times.remove(place);
        }
    }

    /// Forgets who has been idle for a window. Called now and then.
    pub fn prune(&self, now: Timestamp) {
        self.seen.lock().retain(|_, times| times.back().is_some_and(|last| now.ms() - last < self.window_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn the_window_slides_and_says_how_long_to_wait() {
        let limit = SlidingWindow::new("sends", 2, 10_000);
        assert!(limit.take("a", at(0)).is_ok());
        assert!(limit.take("a", at(9_000)).is_ok());
        let refusal = limit.take("a", at(9_500)).unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after_ms), (ErrorCode::RateLimited, Some(500)));
        assert!(limit.take("b", at(9_500)).is_ok());
        assert!(limit.take("a", at(10_000)).is_ok());
        assert!(limit.take("a", at(10_001)).is_err());
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let limit = SlidingWindow::new("sends", 1, 10_000);
        assert!(limit.take("a", at(1_000_000)).is_ok());
        assert!(limit.take("a", at(5)).is_ok());
    }

    #[test]
    fn what_came_to_nothing_is_given_back() {
        let limit = SlidingWindow::new("sends", 1, 10_000);
        assert!(limit.take("a", at(5)).is_ok());
        limit.give_back(&"a", at(6));
        assert!(limit.take("a", at(7)).is_err());
        limit.give_back(&"a", at(5));
        assert!(limit.take("a", at(8)).is_ok());
    }

    #[test]
    fn what_happens_elsewhere_counts_too() {
        let limit = SlidingWindow::new("sends", 2, 10_000);
        for ms in 0..5 {
            limit.note("a", at(ms));
        }
        assert!(limit.take("a", at(10)).is_err());
        assert!(limit.take("a", at(10_004)).is_ok(), "no more is remembered than the limit wants");
    }

    #[test]
    fn who_is_idle_is_forgotten() {
        let limit = SlidingWindow::new("sends", 1, 1_000);
        for key in 0..100 {
            assert!(limit.take(key, at(0)).is_ok());
        }
        limit.prune(at(2_000));
        assert_eq!(limit.seen.lock().len(), 0);
    }
}
