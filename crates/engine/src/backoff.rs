//! How long to wait before the next try.

/// What is drawn from a seed: for jitter, where being predictable does no harm.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1);
        low.saturating_add(self.draw() % span)
    }
}

/// Milliseconds before try number `attempt` (from 1) of something that the server could not do: 2, 4, 8, 16, 32 s and then 32 s for ever, a fifth of it
/// more or less.
pub fn retry_ms(attempt: u32, jitter: &mut Jitter) -> u64 {
    let base = 2000_u64 << attempt.clamp(1, 5).saturating_sub(1);
    jitter.between(base - base / 5, base + base / 5)
}

/// Milliseconds before connection number `attempt` (from 1): at first anywhere in 3 s, so that a server that comes back is not met by everybody at once;
/// then twice as long each time, up to half a minute.
pub fn reconnect_ms(attempt: u32, jitter: &mut Jitter) -> u64 {
    let base = (3000_u64 << attempt.clamp(1, 5).saturating_sub(1)).min(30_000);
    let least = if attempt <= 1 { 0 } else { base / 2 };
    jitter.between(least, base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_wait_2_4_8_16_32_seconds_a_fifth_more_or_less() {
        let mut jitter = Jitter::new(1);
        for (attempt, base) in [(1, 2000), (2, 4000), (3, 8000), (4, 16_000), (5, 32_000), (6, 32_000), (60, 32_000)] {
            for _ in 0..100 {
                let wait = retry_ms(attempt, &mut jitter);
                assert!((base * 4 / 5..=base * 6 / 5).contains(&wait), "{attempt}: {wait}");
            }
        }
    }

    #[test]
    fn a_thousand_clients_of_a_server_that_restarts_come_back_spread_over_three_seconds() {
        let mut slots = [0; 6];
        for seed in 0..1000 {
            slots[usize::try_from(reconnect_ms(1, &mut Jitter::new(seed * 77)) / 501).unwrap()] += 1;
        }
        assert!(slots.iter().all(|count| (100..=230).contains(count)), "{slots:?}");
    }
}
