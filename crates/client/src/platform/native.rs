//! tokio, tungstenite, reqwest.

mod http;
mod socket;

use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tertulia_engine::Now;
use tertulia_proto::Timestamp;

pub use http::Http;
pub use socket::{Reader, Writer, open};

/// What may cross threads; in a browser there are none.
pub trait Portable: Send {}
impl<T: Send + ?Sized> Portable for T {}

/// The same of what is shared.
pub trait Shareable: Send + Sync {}
impl<T: Send + Sync + ?Sized> Shareable for T {}

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub type Ask<T> = Box<dyn Fn() -> T + Send + Sync>;
pub type Look<A, T> = Box<dyn Fn(&A) -> T + Send + Sync>;

/// The system's clocks.
#[derive(Debug, Clone)]
pub struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the edge: here time comes in")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::disallowed_methods, reason = "the edge: here time comes in")]
    pub fn now(&self) -> Now {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            mono_ms: u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX),
            wall: Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

/// The operating system's chance; `None` where it has none to give.
#[expect(clippy::disallowed_methods, reason = "the edge: here chance comes in")]
pub fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}

pub async fn wait_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// A task that ends with its owner.
#[derive(Debug)]
pub struct Task(#[expect(dead_code, reason = "held for its end")] tokio::task::JoinSet<()>);

impl Task {
    /// `None` outside of a tokio runtime.
    pub fn start(future: impl Future<Output = ()> + Send + 'static) -> Option<Self> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn_on(future, &runtime);
        Some(Self(tasks))
    }
}
