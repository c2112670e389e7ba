//! A server's sign-in with a log in memory, a clock that is set by hand, and a host app that publishes what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tertulia_core::auth::{Auth, AuthConfig, HostIssuer, HostKey, Identity, JwksSource};
use tertulia_core::{Clock, Entropy, Powers};
use tertulia_proto::{ApiError, ErrorCode, Timestamp, User, UserId};
use tertulia_store::{Action, CommitSink, Committed, Facts, Rules, Store, Write, WriteResult};
use tertulia_store_sqlite::SqliteStore;

use crate::signing::SECRET;

pub const START: Timestamp = Timestamp::from_ms(1_800_000_000_000);
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;
pub const SHOP: &str = "https://shop.example";

struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::SeqCst))
    }
}

/// Never the same bytes twice, always the same in the same order.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

struct NoRules;

impl Rules for NoRules {
    fn decide(&self, _: Action, _: &Facts) -> Result<(), ApiError> {
        Ok(())
    }
}

#[derive(Default)]
struct Counted(AtomicUsize);

impl CommitSink for Counted {
    fn committed(&self, batch: Vec<Committed>) {
        self.0.fetch_add(batch.len(), Ordering::SeqCst);
        for Committed { result, done } in batch {
            done(&result);
        }
    }
}

/// What a host app publishes, and how often it was asked.
pub struct Published {
    document: Mutex<Result<String, String>>,
    asked: AtomicUsize,
}

impl JwksSource for Published {
    fn fetch<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<String, String>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let document = self.document.lock().clone();
        async move { document }.boxed()
    }
}

pub struct World {
    pub auth: Auth,
    pub store: Arc<SqliteStore>,
    clock: Arc<HandClock>,
    commits: Arc<Counted>,
    published: Arc<Published>,
}

impl World {
    pub fn new(config: AuthConfig) -> Self {
        let commits = Arc::new(Counted::default());
        let store = SqliteStore::open_in_memory(&[7; 64], Arc::new(NoRules), commits.clone()).unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(START.ms())));
        let powers = Powers { clock: clock.clone(), entropy: Arc::new(Counting(AtomicU64::new(1))) };
        let published =
            Arc::new(Published { document: Mutex::new(Err("nothing yet".to_owned())), asked: AtomicUsize::new(0) });
        let auth = Auth::new(store.clone(), powers, config, published.clone()).unwrap();
        Self { auth, store, clock, commits, published }
    }

    pub fn local() -> Self {
        Self::new(AuthConfig::default())
    }

    pub fn with_hosts(hosts: Vec<HostIssuer>) -> Self {
        Self::new(AuthConfig { hosts, ..AuthConfig::default() })
    }

    /// One host app with a shared secret.
    pub fn shop() -> Self {
        Self::with_hosts(vec![shared_secret(Some(SHOP), SECRET)])
    }

    pub fn later(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn now_s(&self) -> i64 {
        self.clock.now().ms() / 1000
    }

    pub fn publish(&self, document: Result<String, String>) {
        *self.published.document.lock() = document;
    }

    pub fn times_asked(&self) -> usize {
        self.published.asked.load(Ordering::SeqCst)
    }

    pub fn commits(&self) -> usize {
        self.commits.0.load(Ordering::SeqCst)
    }

    /// What the shop says of somebody for the next hour.
    pub fn claims(&self, sub: &str) -> Value {
        json!({"iss": SHOP, "sub": sub, "exp": self.now_s() + 3600})
    }

    pub async fn who(&self, token: &str) -> Identity {
        self.auth.authenticate(token).await.unwrap()
    }

    pub async fn refusal(&self, token: &str) -> ErrorCode {
        self.auth.authenticate(token).await.unwrap_err().code
    }

    pub async fn user(&self, id: UserId) -> User {
        self.store.user(id, id).await.unwrap().unwrap()
    }

    pub fn write(&self, write: Write) -> WriteResult {
        let answer = Arc::new(Mutex::new(None));
        let slot = answer.clone();
        self.store.submit(write, Box::new(move |result| *slot.lock() = Some(result.clone())));
        answer.lock().take().expect("the log in memory answers at once")
    }
}

pub fn shared_secret(issuer: Option<&str>, secret: &[u8]) -> HostIssuer {
    HostIssuer { issuer: issuer.map(str::to_owned), audience: None, key: HostKey::Secret(secret.to_vec()) }
}

pub fn published_keys(issuer: Option<&str>, audience: Option<&str>) -> HostIssuer {
    let url = "https://host.example/keys".to_owned();
    HostIssuer { issuer: issuer.map(str::to_owned), audience: audience.map(str::to_owned), key: HostKey::Jwks { url } }
}
