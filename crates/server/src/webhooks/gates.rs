//! How many requests are under way to each endpoint: a slow one leaves room for the others.

use std::collections::HashMap;

use parking_lot::Mutex;
use tertulia_proto::{Timestamp, WebhookId};

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
    /// Where there is no room: when there may be. Each has a time of its own, as far apart as requests end, so that ten thousand lines of a slow endpoint do not
    /// keep coming at once.
    pub fn enter(&self, endpoint: WebhookId, now: Timestamp) -> Result<Pass<'_>, Timestamp> {
        let mut all = self.0.lock();
        let gate = all.entry(endpoint).or_insert(Gate { under_way: 0, took_ms: TOOK_MS, last: now });
        if gate.under_way >= ONE_MAX {
            let apart = (gate.took_ms / i64::try_from(ONE_MAX).unwrap_or(1)).max(1);
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

    #[test]
    fn one_endpoint_has_so_many_and_another_its_own() {
        let (gates, now) = (Gates::default(), Timestamp::from_ms(1000));
        let (slow, fast) = (WebhookId::from_bytes([1; 16]), WebhookId::from_bytes([2; 16]));
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
}
