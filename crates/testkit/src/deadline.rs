//! Waiting for what should happen, and no longer than that.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Far above what anything takes, so that a busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The future's outcome, or an error that says what did not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(DEADLINE, future).await.with_context(|| format!("{what}: not within {DEADLINE:?}"))
}

/// Looks again and again until it is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    within(what, async {
        while !is_so() {
            looks.tick().await;
        }
    })
    .await
}
