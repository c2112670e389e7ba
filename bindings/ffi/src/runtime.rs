//! Where calls run that need a runtime, since other languages bring none; and how they are called off.

use std::pin::pin;
use std::sync::{Arc, LazyLock};

use futures_util::future::{Either, select};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::TertuliaError;

/// A chat has little to do at a time; a second thread so that one that reads the disk does not hold up the connection.
const THREADS: usize = 2;

/// One for the process, and never dropped: the last object of a client may be let go by one of these threads, which could not wait for itself.
static RUNTIME: LazyLock<std::io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(THREADS).thread_name("tertulia").enable_all().build());

pub(crate) fn runtime() -> Result<&'static Runtime, TertuliaError> {
    RUNTIME.as_ref().map_err(|error| TertuliaError::Platform { detail: error.to_string() })
}

/// Runs it there to its end, unless whoever waits for it goes away or calls it off.
pub(crate) async fn run<T: Send + 'static>(
    cancel: Option<Arc<Cancel>>,
    work: impl Future<Output = Result<T, TertuliaError>> + Send + 'static,
) -> Result<T, TertuliaError> {
    // Dropped with this future, and the work with it.
    let mut tasks = JoinSet::new();
    tasks.spawn_on(work, runtime()?.handle());
    let cancel = cancel.unwrap_or_default();
    let ended = match select(pin!(cancel.cancelled()), pin!(tasks.join_next())).await {
        Either::Left(_) => return Err(TertuliaError::Cancelled),
        Either::Right((ended, _)) => ended,
    };
    match ended {
        Some(Ok(done)) => done,
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        _ => Err(TertuliaError::Cancelled),
    }
}

/// Calls off what it was given to: for languages whose own cancelling does not reach here, as Swift's. Good for one use, or for several calls at once.
#[derive(Debug, Default, uniffi::Object)]
pub struct Cancel(watch::Sender<bool>);

#[uniffi::export]
impl Cancel {
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whatever waits ends with `Cancelled`.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    pub(crate) async fn cancelled(&self) {
        // The sender is borrowed, so there is one.
        let _ = self.0.subscribe().wait_for(|is_over| *is_over).await;
    }
}
