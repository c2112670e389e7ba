//! What all parts of the bus hold.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use redis::RedisResult;
use tertulia_proto::{DeviceId, ServerId, UserId};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use crate::link::Link;
use crate::packet::Letter;

pub struct Shared {
    pub me: ServerId,
    pub link: Link,
    /// Begins every name. In braces, so that a Redis Cluster keeps all of it at one place.
    pub prefix: String,
    pub news_channel: String,
    /// The epoch of the log, where it is known.
    pub log: Arc<Mutex<Option<Uuid>>>,
    /// Who is here now.
    pub people: Box<dyn Fn() -> Vec<UserId> + Send + Sync>,
    /// News that did not fit into the queue, not yet counted.
    pub skipped: AtomicU64,
    pub losses: AtomicU64,
    pub failed: AtomicU64,
    /// The other servers that are heard.
    pub live: Mutex<HashSet<ServerId>>,
    /// Whether one has listened for so long that all who live have been heard.
    pub settled: AtomicBool,
    pub hears: watch::Sender<bool>,
    /// No more news will be told.
    pub closing: watch::Sender<bool>,
    /// What waited has been told.
    pub closed: watch::Sender<bool>,
    /// Devices that are asked for, until the other server has answered.
    pub claims: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    pub next_claim: AtomicU64,
}

impl Shared {
    pub fn people_key(&self, server: ServerId) -> String {
        format!("{}:people:{server}", self.prefix)
    }

    pub fn device_key(&self, user: UserId, device: DeviceId) -> String {
        format!("{}:device:{user}:{device}", self.prefix)
    }

    pub fn letters_channel(&self, server: ServerId) -> String {
        format!("{}:to:{server}", self.prefix)
    }

    /// Nothing is heard of it, though it would be.
    pub fn is_gone(&self, server: ServerId) -> bool {
        self.settled.load(Ordering::Relaxed) && !self.live.lock().contains(&server)
    }

    pub async fn write_to(&self, server: ServerId, letter: &Letter) -> RedisResult<()> {
        let text = serde_json::to_string(letter).unwrap_or_default();
        let channel = self.letters_channel(server);
        self.link.ask(async |commands| redis::cmd("PUBLISH").arg(&channel).arg(&text).query_async(commands).await).await
    }
}
