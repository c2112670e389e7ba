//! How many requests are under way to each endpoint: slow ones leave room for the others. And whose turn it is when one has ended.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use tertulia_proto::{Timestamp, WebhookId};
use tertulia_store::webhooks::Line;
use uuid::Uuid;

/// Requests at a time, to all endpoints.
pub const CONCURRENCY: usize = 32;

/// Requests to one endpoint at a time.
const ONE_MAX: usize = 8;

/// Who found no room comes again after so long, at least and at most.
const LATER_MIN_MS: i64 = 100;
const LATER_MAX_MS: i64 = 30_000;

/// Lines of one endpoint that are remembered to have found no room; the others come at their time.
const WAITING_MAX: usize = 1024;

/// Until something is known of an endpoint.
const TOOK_MS: i64 = 100;

/// Of one process.
#[derive(Default)]
pub struct Gates(Mutex<BTreeMap<WebhookId, Gate>>);

struct Gate {
    under_way: usize,
    /// The latest request.
    took_ms: i64,
    /// When the last one that found no room comes again.
    last: Timestamp,
    /// Who found none, each once, the longest first. Some of them may have been told meanwhile.
    waiting: VecDeque<Uuid>,
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
    /// keep coming at once; but requests may get faster, so who has found no room is remembered, and called ([`Gates::next`]) when one has ended.
    pub fn enter(&self, Line { endpoint, stream }: Line, now: Timestamp) -> Result<Pass<'_>, Timestamp> {
        let mut all = self.0.lock();
        let most = most(&all);
        let gate =
            all.entry(endpoint).or_insert(Gate { under_way: 0, took_ms: TOOK_MS, last: now, waiting: VecDeque::new() });
        if gate.under_way >= most {
            return Err(gate.wait(stream, now));
        }
        gate.under_way += 1;
        Ok(Pass { gates: self, endpoint })
    }

    /// Whose turn it is: of the endpoint with room and the fewest requests under way, the line that has waited longest.
    pub fn next(&self) -> Option<Line> {
        next(&mut self.0.lock())
    }

    /// When a line goes on that has been told and has more: behind those of its endpoint that wait. And whose turn it is.
    pub fn go_on(&self, own: Line, now: Timestamp) -> (Timestamp, Option<Line>) {
        let mut all = self.0.lock();
        let called = next(&mut all);
        let is_before = called.is_some_and(|called| called.endpoint == own.endpoint);
        let gate = all.get_mut(&own.endpoint).filter(|_| is_before);
        (gate.map_or(now, |gate| gate.wait(own.stream, now)), called)
    }
}

/// What one endpoint may have under way by now.
fn most(all: &BTreeMap<WebhookId, Gate>) -> usize {
    ONE_MAX.min(CONCURRENCY.saturating_sub(all.values().map(|gate| gate.under_way).sum()))
}

fn next(all: &mut BTreeMap<WebhookId, Gate>) -> Option<Line> {
    let most = most(all);
    let waiting = all.iter_mut().filter(|(_, gate)| gate.under_way < most && !gate.waiting.is_empty());
    let (endpoint, gate) = waiting.min_by_key(|(_, gate)| gate.under_way)?;
    Some(Line { endpoint: *endpoint, stream: gate.waiting.pop_front()? })
}

impl Gate {
    /// When it comes again, if nobody calls it before.
    fn wait(&mut self, stream: Uuid, now: Timestamp) -> Timestamp {
        let apart = (self.took_ms / i64::try_from(self.under_way.max(1)).unwrap_or(1)).max(1);
        let later = self.last.plus_ms(apart).max(now.plus_ms(LATER_MIN_MS)).min(now.plus_ms(LATER_MAX_MS));
        self.last = later;
        if self.waiting.len() < WAITING_MAX && !self.waiting.contains(&stream) {
            self.waiting.push_back(stream);
        }
        later
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

    fn id(n: u8) -> Line {
        on(n, 0)
    }

    fn on(n: u8, stream: u128) -> Line {
        Line { endpoint: WebhookId::from_bytes([n; 16]), stream: Uuid::from_u128(stream) }
    }

    /// As many as there is room for.
    fn all(gates: &Gates, endpoint: Line) -> Vec<Pass<'_>> {
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

    #[test]
    fn who_found_no_room_is_called_in_turn_where_there_is_some() {
        let (gates, now) = (Gates::default(), Timestamp::from_ms(1000));
        let mut busy = all(&gates, id(1));
        for stream in [0, 2, 3, 2] {
            assert!(gates.enter(on(1, stream), now).is_err());
        }
        assert_eq!(gates.next(), None, "there is no room yet");
        busy.pop();
        let called: Vec<_> = std::iter::from_fn(|| gates.next()).collect();
        assert_eq!(called, [on(1, 0), on(1, 2), on(1, 3)], "each once");
        // Of two endpoints the one with less under way.
        busy.push(gates.enter(id(1), now).unwrap());
        let mut other = all(&gates, id(2));
        assert!(gates.enter(on(1, 5), now).is_err());
        busy.pop();
        drop(other.drain(2..));
        assert_eq!(std::iter::from_fn(|| gates.next()).collect::<Vec<_>>(), [on(2, 0), on(1, 5)]);
        // So many are remembered.
        let full = all(&gates, id(2));
        for stream in 1..2 * WAITING_MAX as u128 {
            assert!(gates.enter(on(2, stream), now).is_err());
        }
        drop(full);
        assert_eq!(std::iter::from_fn(|| gates.next()).count(), WAITING_MAX);
    }

    #[test]
    fn who_has_more_goes_on_at_once_or_behind_those_who_wait() {
        let (gates, now) = (Gates::default(), Timestamp::from_ms(1000));
        let mut busy: Vec<_> = (0..ONE_MAX).map(|_| gates.enter(id(1), now).unwrap()).collect();
        busy.pop();
        assert_eq!(gates.go_on(on(1, 7), now), (now, None));
        busy.push(gates.enter(id(1), now).unwrap());
        assert!(gates.enter(on(1, 2), now).is_err());
        busy.pop();
        let (later, called) = gates.go_on(on(1, 7), now);
        assert!(called == Some(on(1, 2)) && later > now);
        assert_eq!(gates.next(), Some(on(1, 7)));
        // Another endpoint's are no reason to wait.
        let other = all(&gates, id(2));
        drop(other);
        assert_eq!(gates.go_on(on(1, 7), now), (now, Some(id(2))));
    }
}
