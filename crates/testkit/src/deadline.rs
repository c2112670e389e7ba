//! Waiting for what should happen, and no longer than that.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Far above what anything takes, so that a busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The future's outcome, or an error that says what did not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(DEADLINE, future).await.with_context(|| format!("{what}: not within {DEADLINE:?}"))
}
