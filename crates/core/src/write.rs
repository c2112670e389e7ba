//! From a write's callback to an answer one can wait for.

use tertulia_proto::{ApiError, ErrorCode};
use tertulia_store::{Store, StoreError, Write, WriteError, WriteResult};
use tokio::sync::oneshot;

const RETRY_AFTER_MS: u64 = 1000;

/// Submits and waits for the commit. The write happens also when nobody waits any more.
pub(crate) async fn write(store: &dyn Store, write: Write) -> WriteResult {
    let (done, result) = oneshot::channel();
    store.submit(
        write,
        Box::new(move |result| {
            // Who asked may be gone; the commit stands.
            let _ = done.send(result.clone());
        }),
    );
    result.await.unwrap_or_else(|_| Err(StoreError::Unavailable("stopped before an answer".to_owned()).into()))
}

/// What a client is told of a store that failed. The cause goes to the log, once, here.
pub(crate) fn store_failed(error: &StoreError) -> ApiError {
    tracing::error!(%error, "the store failed");
    ApiError::retry(ErrorCode::Unavailable, "the store is not available at the moment", RETRY_AFTER_MS)
}

/// What a client is told of a write that did not happen.
pub(crate) fn write_failed(error: WriteError) -> ApiError {
    match error {
        WriteError::Refused(refusal) => refusal,
        WriteError::Store(error) => store_failed(&error),
    }
}
