//! How many requests are under way to each endpoint: slow ones leave room for the others.

use std::collections::HashMap;

use parking_lot::Mutex;
use tertulia_proto::{Timestamp, WebhookId};

/// Requests at a time, to all endpoints.
pub const CONCURRENCY: usize = 32;

/// Requests to one endpoint at a time.
const ONE_MAX: usize = 8;

/// Who found no room comes again after so long, at least and at most.
const LATER_MIN_MS: i64 = 100;
const LATER_MAX_MS: i64 = 30_000;

/// Until something is known of an endpoint.
const TOOK_MS: i64 = 100;

/// Of one process.
#[derive(Default)]
pub struct Gates(Mutex<HashMap<WebhookId, Gate>>);

struct Gate {
    under_way: usize,
    /// The latest request.
    took_ms: i64,
    /// When the last one that found no room comes again.
    last: Timestamp,
}

/// Room for one request, until it is dropped.
pub struct Pass<'a> {
    gates: &'a Gates,
    endpoint: WebhookId,
}

impl Gates {
    /// An endpoint has at most as many under way as there is room left for all: so however many are slow, there is room for one that is not (dynamic
    /// thresholds, Choudhury and Hahne 1998; of n slow ones each has a share of n + 1).
    ///
    /// Where there is no room: when there may be. Each has a time of its own, as far apart as requests end, so that ten thousand lines of a slow endpoint do not
    /// keep coming at once.
    pub fn enter(&self, endpoint: WebhookId, now: Timestamp) -> Result<Pass<'_>, Timestamp> {
        let mut all = self.0.lock();
        let left = CONCURRENCY.saturating_sub(all.values().map(|gate| gate.under_way).sum());
        let gate = all.entry(endpoint).or_insert(Gate { under_way: 0, took_ms: TOOK_MS, last: now });
        if gate.under_way >= ONE_MAX.min(left) {
            let apart = (gate.took_ms / i64::try_from(gate.under_way.max(1)).unwrap_or(1)).max(1);
            let later = gate.last.plus_ms(apart).max(now.plus_ms(LATER_MIN_MS)).min(now.plus_ms(LATER_MAX_MS));
            gate.last = later;
            return Err(later);
        }
        gate.under_way += 1;
        Ok(Pass { gates: self, endpoint })
    }
}

impl Pass<'_> {
    /// How long the request was under way.
    pub fn took(&self, ms: i64) {
        if let Some(gate) = self.gates.0.lock().get_mut(&self.endpoint) {
            gate.took_ms = ms.max(0);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(gate) = self.gates.0.lock().get_mut(&self.endpoint) {
            gate.under_way = gate.under_way.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> WebhookId {
        WebhookId::from_bytes([n; 16])
    }

    /// As many as there is room for.
    fn all(gates: &Gates, endpoint: WebhookId) -> Vec<Pass<'_>> {
        std::iter::from_fn(|| gates.enter(endpoint, Timestamp::from_ms(1000)).ok()).collect()
    }

    #[test]
    fn one_endpoint_has_so_many_and_another_its_own() {
        let (gates, now) = (Gates::default(), Timestamp::from_ms(1000));
        let (slow, fast) = (id(1), id(2));
        let mut passes: Vec<Pass<'_>> = (0..ONE_MAX).filter_map(|_| gates.enter(slow, now).ok()).collect();
        assert_eq!(passes.len(), ONE_MAX);
        assert_eq!(gates.enter(slow, now).err(), Some(Timestamp::from_ms(1100)));
        assert!(gates.enter(fast, now).is_ok());
        // They end at a pace of one in a second: so far apart they come again.
        passes.pop().unwrap().took(8000);
        passes.push(gates.enter(slow, now).unwrap());
        let later = |ms| Some(Timestamp::from_ms(ms));
        assert_eq!((gates.enter(slow, now).err(), gates.enter(slow, now).err()), (later(2100), later(3100)));
        for _ in 0..100 {
            assert!(gates.enter(slow, now).err().unwrap() <= now.plus_ms(LATER_MAX_MS));
        }
        drop(passes);
        assert!(gates.enter(slow, now).is_ok());
    }

    #[test]
    fn however_many_are_slow_there_is_room_for_one_more() {
        let gates = Gates::default();
        let mut slow: Vec<Vec<Pass<'_>>> = (1..=6).map(|n| all(&gates, id(n))).collect();
        assert_eq!(slow.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 8, 4, 2, 1]);
        assert_eq!(all(&gates, id(7)).len(), 1);
        // Each that ends makes room for those who have less.
        turns(&gates, &mut slow);
        let shares: Vec<usize> = slow.iter().map(Vec::len).collect();
        assert!(shares.iter().all(|share| (3..=6).contains(share)), "{shares:?}");
        assert!(all(&gates, id(7)).len() >= 2, "{shares:?}");
        // Also where all are slow that there may be.
        drop(slow);
        let mut slow: Vec<Vec<Pass<'_>>> = std::iter::repeat_with(Vec::new).take(CONCURRENCY).collect();
        turns(&gates, &mut slow);
        assert!(slow.iter().all(|passes| passes.len() == 1), "each has one");
    }

    /// One of each in turn ends, and as many begin as there is room for.
    fn turns<'a>(gates: &'a Gates, slow: &mut [Vec<Pass<'a>>]) {
        for _ in 0..5 * ONE_MAX {
            for (n, passes) in (1..).zip(&mut *slow) {
                passes.pop();
                passes.extend(all(gates, id(n)));
            }
        }
    }
}
