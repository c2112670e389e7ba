//! Who is told of a world, and what goes wrong there. Drawn by itself: it came after worlds that are to stay what they were.

use std::time::Duration;

use tertulia_testkit::Random;

/// With this one the worlds of `regressions.txt` that have workers stay what they were.
const SALT: u64 = 0x6874_7470;

/// How often, once in so many: 0 means never.
#[derive(Debug, Clone, Default)]
pub struct HookPlan {
    /// There from the beginning.
    pub endpoints: usize,
    /// Of requests: the endpoint does something else than to take them.
    pub moods: usize,
    /// After so many deeds an operator does something.
    pub deeds: usize,
    /// Between the tries of a request.
    pub waits: Vec<Duration>,
}

impl HookPlan {
    /// `None`: nobody of this world is told. `is_wished`: somebody has to be.
    pub fn draw(seed: u64, is_wished: bool) -> Option<Self> {
        let mut random = Random::new(seed ^ SALT);
        let is_drawn = random.one_in(3);
        if !is_drawn && !is_wished {
            return None;
        }
        let mut maybe = |often: usize| if random.one_in(3) { 0 } else { often * (1 + random.below(4)) };
        let (moods, deeds) = (maybe(1), maybe(4));
        let waits = (0..2 + random.below(4)).map(|_| Duration::from_millis(500 + random.next() % 20_000)).collect();
        Some(Self { endpoints: 1 + random.below(2), moods, deeds, waits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_that_were_there_before_stay_what_they_were() {
        for seed in [89, 1_795_331_616_000_343, 1_795_332_315_000_476] {
            assert!(HookPlan::draw(seed, false).is_none(), "{seed}");
        }
    }
}
