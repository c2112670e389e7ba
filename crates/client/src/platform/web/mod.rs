//! A dedicated worker of a browser.

mod http;
mod socket;

use std::pin::Pin;

use futures_util::future::{AbortHandle, abortable};
use tertulia_engine::Now;
use tertulia_proto::Timestamp;
use web_time::{Instant, SystemTime, UNIX_EPOCH};

pub use http::Http;
pub use socket::{Reader, Writer, open};

/// There are no threads that it could cross.
pub trait Portable {}
impl<T: ?Sized> Portable for T {}

/// The same of what is shared.
pub trait Shareable {}
impl<T: ?Sized> Shareable for T {}

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
pub type Ask<T> = Box<dyn Fn() -> T>;
pub type Look<A, T> = Box<dyn Fn(&A) -> T>;

/// The browser's clocks.
#[derive(Debug, Clone)]
pub struct Clock(Instant);

impl Clock {
    pub fn new() -> Self {
        Self(Instant::now())
    }

    pub fn now(&self) -> Now {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            mono_ms: u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX),
            wall: Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

/// The browser's chance; `None` where it has none to give.
#[expect(clippy::disallowed_methods, reason = "the edge: here chance comes in")]
pub fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}

/// Longer ones a browser takes for none at all; whoever waits looks again then.
const WAIT_MAX_MS: u32 = 1 << 30;

pub async fn wait_ms(ms: u64) {
    let ms = u32::try_from(ms).unwrap_or(WAIT_MAX_MS).min(WAIT_MAX_MS);
    gloo_timers::future::TimeoutFuture::new(ms).await;
}

/// A task that ends with its owner.
#[derive(Debug)]
pub struct Task(AbortHandle);

impl Task {
    pub fn start(future: impl Future<Output = ()> + 'static) -> Option<Self> {
        let (future, handle) = abortable(future);
        wasm_bindgen_futures::spawn_local(async move {
            // Aborted or at its end, it is over.
            let _ = future.await;
        });
        Some(Self(handle))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
