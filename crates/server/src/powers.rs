//! The real clock and the operating system's randomness: the only place that asks for them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tertulia_core::{Clock, Entropy, Powers};
use tertulia_proto::Timestamp;

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that all others are given")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(
        clippy::disallowed_methods,
        clippy::expect_used,
        reason = "this is the source that all others are given; without it nothing is safe"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}

pub fn powers() -> Powers {
    Powers { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
}
