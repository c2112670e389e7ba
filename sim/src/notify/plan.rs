//! Who works on the jobs of a world, and what goes wrong there. Drawn by itself: it came after worlds that are to stay what they were.

use tertulia_testkit::Random;

use crate::planted::NotifyBug;

/// How often, once in so many: 0 means never.
#[derive(Debug, Clone, Default)]
pub struct NotifyPlan {
    pub workers: usize,
    /// The first worker lives and dies with the server.
    pub in_server: bool,
    pub lease_ms: u64,
    pub poll_ms: u64,
    /// Of steps of a worker: it dies there.
    pub dies: usize,
    /// Of steps: it stands still, mostly for longer than its leases.
    pub stalls: usize,
    /// Of steps: this one takes seconds.
    pub slow: usize,
    /// Of calls of the store: it fails and does nothing.
    pub store_fails: usize,
    /// Of what a provider is asked: it does something else than to accept.
    pub moods: usize,
    /// After so many deeds somebody does something about their notifications.
    pub deeds: usize,
}

impl NotifyPlan {
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x776f_726b);
        let mut maybe = |often: usize| if random.one_in(2) { 0 } else { often * (1 + random.below(4)) };
        let (dies, stalls, slow) = (maybe(60), maybe(100), maybe(30));
        let (store_fails, moods, deeds) = (maybe(25), maybe(2), maybe(3));
        Self {
            workers: 1 + random.below(3),
            in_server: random.one_in(2),
            lease_ms: *random.pick(&[12_000, 30_000, 60_000]).unwrap_or(&60_000),
            poll_ms: *random.pick(&[1000, 2000, 5000]).unwrap_or(&1000),
            dies,
            stalls,
            slow,
            store_fails,
            moods,
            deeds,
        }
    }

    /// A world in which a planted bug has a chance, where by themselves such worlds are rare.
    #[must_use]
    pub fn in_which(self, bug: Option<NotifyBug>) -> Self {
        match bug {
            Some(NotifyBug::ToldBeside) => Self { workers: 3, dies: 0, stalls: 0, slow: 3, store_fails: 0, ..self },
            _ => self,
        }
    }
}
