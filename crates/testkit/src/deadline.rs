//! Waiting for what should happen, and no longer than that.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Far above what anything takes, so that a busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(90);

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// The future's outcome, or an error that says what did not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(DEADLINE, future).await.with_context(|| format!("{what}: not within {DEADLINE:?}"))
}

/// Looks again and again until it is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    within(what, async {
        while !is_so() {
            // Not an interval: where a look takes longer than that, the next tick is there at once, and whoever waits for a deadline is not asked; nor does a budget
            // end that, since it is none behind `block_in_place` on a thread that is no worker.
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    #[expect(clippy::disallowed_methods, reason = "a look that holds up its thread is what is tested")]
    async fn looks_that_take_long_do_not_outlast_a_deadline() {
        // So that the runtime's own clock never lags behind.
        let ticking = tokio::spawn(async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut looks = 0;
        let look = || {
            looks += 1;
            assert!(looks < 50, "so many looks take longer than all of the time");
            tokio::task::block_in_place(|| std::thread::sleep(2 * BETWEEN_LOOKS));
            false
        };
        assert!(tokio::time::timeout(5 * BETWEEN_LOOKS, until("never", look)).await.is_err());
        ticking.abort();
    }
}
