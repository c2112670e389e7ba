//! The bus over Redis (6.2 or later): what one server commits, the others hear.
//!
//! Redis is not trusted with anything: the log has all that counts. A publication that is lost is noticed by its number ([`peers`]), and who may have
//! missed something asks the log. Presence is a set per server with a lease ([`outgoing`]). Without Redis each server serves its own people, and
//! [`Heard::Alone`] says that the others can't be heard.
//!
//! This crate must not know: a store, rules, HTTP.
//!
//! The way through: [`address`] where Redis is; [`link`] connections; [`packet`] what travels; [`outgoing`] and [`incoming`] the two directions;
//! [`windows`] shared rate limits.

mod address;
mod incoming;
mod link;
mod outgoing;
mod packet;
mod peers;
mod shared;
mod windows;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use address::{Address, AddressError};
use parking_lot::Mutex;
use redis::RedisResult;
use tertulia_proto::{DeviceId, ServerId, UserId};
use tertulia_realtime::{Bus, ConnectionId, News};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::incoming::Incoming;
use crate::link::Link;
use crate::outgoing::{Batch, Outgoing};
use crate::packet::Letter;
use crate::shared::Shared;

/// Batches of news that wait to be told; more are lost, and the others notice.
const WAITING_MAX: usize = 4096;

/// Things heard that wait to be taken; more are lost, and the log is asked.
const HEARD_MAX: usize = 8192;

/// How long the server of a device's older connection has to finish with it.
const CLAIM_MAX: Duration = Duration::from_secs(2);

/// How long it is remembered where a device was.
const DEVICE_S: i64 = 7 * 24 * 3600;

#[derive(Debug, Clone)]
pub struct Options {
    pub address: Address,
    /// Begins every key and channel; the same for all servers of a log, another for each log on one Redis.
    pub prefix: String,
    /// Of this run of this server.
    pub me: ServerId,
}

/// What comes from the other servers, and about them.
#[derive(Debug)]
pub enum Heard {
    News {
        from: ServerId,
        news: Vec<News>,
    },
    /// All who are at another server; none where it is gone.
    People {
        server: ServerId,
        people: Vec<UserId>,
    },
    /// Something of somebody did not come: the log knows what.
    Lost,
    /// Whether the others can't be heard. What was told meanwhile is lost, and [`Heard::Lost`] may or may not say so.
    Alone(bool),
    /// The device is connected elsewhere now; `done` is answered when nothing more will be done for this connection here.
    Retire {
        user: UserId,
        device: DeviceId,
        connection: ConnectionId,
        done: oneshot::Sender<()>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Other servers that are heard.
    pub peers: usize,
    /// How often something was lost.
    pub losses: u64,
    /// How often telling failed.
    pub failures: u64,
}

/// See the crate's documentation.
pub struct RedisBus {
    waiting: mpsc::Sender<Batch>,
    log: Arc<Mutex<Option<Uuid>>>,
    skipped_before: AtomicU64,
    shared: OnceLock<Arc<Shared>>,
    start: Mutex<Option<(Options, mpsc::Receiver<Batch>)>>,
    /// Both directions; they end with the bus.
    tasks: Mutex<JoinSet<()>>,
}

impl RedisBus {
    /// Not yet connected; [`RedisBus::start`] follows.
    pub fn new(options: Options) -> Arc<Self> {
        let (waiting, news) = mpsc::channel(WAITING_MAX);
        Arc::new(Self {
            waiting,
            log: Arc::default(),
            skipped_before: AtomicU64::new(0),
            shared: OnceLock::new(),
            start: Mutex::new(Some((options, news))),
            tasks: Mutex::new(JoinSet::new()),
        })
    }

    /// The epoch of the log that news are of from now on. What a server with another one tells is passed over, and the log is asked.
    pub fn set_log(&self, epoch: [u8; 16]) {
        *self.log.lock() = Some(Uuid::from_bytes(epoch));
    }

    /// The same where no epoch was known so far.
    pub fn set_first_log(&self, epoch: [u8; 16]) {
        self.log.lock().get_or_insert(Uuid::from_bytes(epoch));
    }

    /// Tells and listens from now on, in tasks of the current runtime. `people`: who is here. Once.
    pub fn start(&self, people: impl Fn() -> Vec<UserId> + Send + Sync + 'static) -> mpsc::Receiver<Heard> {
        let (sender, heard) = mpsc::channel(HEARD_MAX);
        let Some((Options { address, prefix, me }, news)) = self.start.lock().take() else { return heard };
        let prefix = format!("{{{prefix}}}");
        let shared = Arc::new(Shared {
            me,
            link: Link::new(address),
            news_channel: format!("{prefix}:news"),
            prefix,
            log: Arc::clone(&self.log),
            people: Box::new(people),
            skipped: AtomicU64::new(self.skipped_before.load(Ordering::Relaxed)),
            losses: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            live: Default::default(),
            settled: Default::default(),
            hears: watch::Sender::new(false),
            closing: watch::Sender::new(false),
            closed: watch::Sender::new(false),
            claims: Default::default(),
            next_claim: AtomicU64::new(1),
        });
        let _ = self.shared.set(Arc::clone(&shared));
        let mut tasks = self.tasks.lock();
        tasks.spawn(Incoming::new(Arc::clone(&shared), sender).run());
        tasks.spawn(Outgoing::new(shared, news).run());
        heard
    }

    /// Waits until the other servers can be heard, at most so long. Before that nobody should be told that they are connected.
    pub async fn heard_within(&self, wait: Duration) -> bool {
        let Some(shared) = self.shared.get() else { return false };
        let mut hears = shared.hears.subscribe();
        tokio::time::timeout(wait, hears.wait_for(|hears| *hears)).await.is_ok_and(|heard| heard.is_ok())
    }

    /// Tells what waits, says goodbye, and hears nothing more. At most some seconds.
    pub async fn close(&self) {
        let Some(shared) = self.shared.get() else { return };
        let mut closed = shared.closed.subscribe();
        shared.closing.send_replace(true);
        let _ = tokio::time::timeout(CLAIM_MAX, closed.wait_for(|closed| *closed)).await;
    }

    /// Whether the other servers can be heard now.
    pub fn is_up(&self) -> bool {
        self.shared.get().is_some_and(|shared| *shared.hears.borrow())
    }

    pub fn counts(&self) -> Counts {
        self.shared.get().map_or_else(Counts::default, |shared| Counts {
            peers: shared.live.lock().len(),
            losses: shared.losses.load(Ordering::Relaxed),
            failures: shared.failed.load(Ordering::Relaxed),
        })
    }

    /// Counts one of at most `count` in `window_ms` under this name, over all servers. `Err(ms)`: refused, and how long to wait. `None`: Redis can't be
    /// asked.
    pub async fn take(&self, name: &str, count: u32, window_ms: i64) -> Option<Result<(), u64>> {
        let shared = self.shared.get()?;
        let unique = shared.next_claim.fetch_add(1, Ordering::Relaxed);
        windows::take(shared, name, count, window_ms, unique).await.ok()
    }

    async fn claim(&self, user: UserId, device: DeviceId, connection: ConnectionId) -> RedisResult<()> {
        let Some(shared) = self.shared.get() else { return Ok(()) };
        let key = shared.device_key(user, device);
        let last: Option<String> = shared
            .link
            .ask(async |commands| {
                let mut set = redis::cmd("SET");
                set.arg(&key).arg(format!("{} {}", shared.me, connection.0)).arg("GET").arg("EX").arg(DEVICE_S);
                set.query_async(commands).await
            })
            .await?;
        let last = last.as_deref().and_then(|text| text.split_once(' '));
        let last = last.and_then(|(id, older)| Some((id.parse::<ServerId>().ok()?, older.parse::<u64>().ok()?)));
        let Some((last, older)) = last.filter(|(last, _)| *last != shared.me) else { return Ok(()) };
        // How many heard a publication says nothing in a Cluster; the signs of life do.
        if shared.is_gone(last) {
            return Ok(());
        }
        let id = shared.next_claim.fetch_add(1, Ordering::Relaxed);
        let (done, retired) = oneshot::channel();
        shared.claims.lock().insert(id, done);
        let _forget = Forget { shared, id };
        shared.write_to(last, &Letter::Retire { from: shared.me, id, user, device, connection: older }).await?;
        if tokio::time::timeout(CLAIM_MAX, retired).await.is_err() {
            tracing::warn!(server = %last, "a server did not give a device up in time");
        }
        Ok(())
    }
}

/// A claim that nobody waits for any more.
struct Forget<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.claims.lock().remove(&self.id);
    }
}

impl Bus for RedisBus {
    fn publish(&self, news: Vec<News>) {
        let log = *self.log.lock();
        if self.waiting.try_send(Batch { log, news }).is_err() {
            let skipped = self.shared.get().map_or(&self.skipped_before, |shared| &shared.skipped);
            skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn claim_device(
        &self,
        user: UserId,
        device: DeviceId,
        connection: ConnectionId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if let Err(error) = self.claim(user, device, connection).await {
                tracing::debug!(%error, "whether the device is connected elsewhere is not known");
            }
        })
    }
}
