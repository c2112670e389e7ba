//! The keys of one host app, fetched when needed and kept.
//!
//! Nobody can make this server ask more often than configured: a token with a key nobody knows starts a fetch only when the last one is long
//! enough ago, and whoever comes meanwhile waits for that same fetch. A host app that can't be reached is no reason to forget its keys.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use parking_lot::Mutex;
use tertulia_proto::{ApiError, ErrorCode, Timestamp};

use super::config::JwksTiming;
use super::jwk::{PublicKey, Verdict, judge, read_document};
use super::token::{Alg, Claims, Unverified};
use crate::power::Clock;

/// Fetches a document of keys. Bounds its size and the time it takes.
pub trait JwksSource: Send + Sync + 'static {
    /// The error is for the log.
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<String, String>>;
}

type Keys = Arc<Vec<PublicKey>>;
type Flight = Shared<BoxFuture<'static, Result<Keys, String>>>;

pub(super) struct JwksCache {
    url: String,
    source: Arc<dyn JwksSource>,
    clock: Arc<dyn Clock>,
    timing: JwksTiming,
    state: Mutex<State>,
    /// Held by the one request that pays for renewing keys which still serve the others.
    renewal: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Keys,
    fetched_at: Option<Timestamp>,
    attempted_at: Option<Timestamp>,
    /// The last attempt came to nothing.
    is_failing: bool,
    /// The fetch under way. It goes on for as long as anybody waits for it, and who comes after everybody has left goes on with it.
    flight: Option<Flight>,
}

impl State {
    fn is_old(&self, now: Timestamp, timing: &JwksTiming) -> bool {
        !is_within(self.fetched_at, now, timing.max_age_ms)
    }

    fn may_attempt(&self, now: Timestamp, timing: &JwksTiming) -> bool {
        self.flight.is_some() || !is_within(self.attempted_at, now, timing.retry_ms)
    }
}

/// Whether `then` was at most so long ago. A clock that was set back makes everything long ago.
fn is_within(then: Option<Timestamp>, now: Timestamp, ms: i64) -> bool {
    then.is_some_and(|then| (0..ms).contains(&now.ms().saturating_sub(then.ms())))
}

impl JwksCache {
    pub(super) fn new(url: String, source: Arc<dyn JwksSource>, clock: Arc<dyn Clock>, timing: JwksTiming) -> Self {
        Self { url, source, clock, timing, state: Mutex::default(), renewal: tokio::sync::Mutex::default() }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The claims, if one of the host app's keys signed them.
    pub(super) async fn verify<'t>(&self, token: &'t Unverified<'_>) -> Result<&'t Claims, ApiError> {
        if token.alg() == Alg::Hs256 {
            return Err(not_signed());
        }
        let (keys, is_due) = self.at_hand();
        let verdict = judge(&keys, token);
        match (&verdict, is_due) {
            (Verdict::Unknown, _) => self.renew().await,
            (_, true) => match self.renewal.try_lock() {
                Ok(_renewal) => self.renew().await,
                Err(_) => return self.conclude(verdict),
            },
            (_, false) => return self.conclude(verdict),
        }
        let (keys, _) = self.at_hand();
        self.conclude(judge(&keys, token))
    }

    /// The keys that may serve now, and whether newer ones should be asked for.
    fn at_hand(&self) -> (Keys, bool) {
        let now = self.clock.now();
        let state = self.state.lock();
        // Only an age above the limit makes keys useless, not a clock that was set back.
        let is_dead = state.fetched_at.is_none_or(|then| now.ms() - then.ms() >= self.timing.stale_max_ms);
        let keys = if is_dead { Keys::default() } else { state.keys.clone() };
        (keys, state.is_old(now, &self.timing) && state.may_attempt(now, &self.timing))
    }

    fn conclude<'t>(&self, verdict: Verdict<'t>) -> Result<&'t Claims, ApiError> {
        match verdict {
            Verdict::Signed(claims) => Ok(claims),
            Verdict::Forged => Err(not_signed()),
            Verdict::Unknown if self.state.lock().is_failing => Err(ApiError::retry(
                ErrorCode::Unavailable,
                "the keys of the token's issuer can't be had at the moment",
                u64::try_from(self.timing.retry_ms).unwrap_or(0),
            )),
            Verdict::Unknown => Err(not_signed()),
        }
    }

    /// Waits for the fetch under way, or for a new one if there may be one.
    async fn renew(&self) {
        let Some(flight) = self.flight() else { return };
        let result = flight.clone().await;
        let mut state = self.state.lock();
        if !state.flight.as_ref().is_some_and(|current| current.ptr_eq(&flight)) {
            return;
        }
        state.flight = None;
        state.is_failing = result.is_err();
        match result {
            Ok(keys) => {
                state.keys = keys;
                state.fetched_at = state.attempted_at;
            }
            Err(error) => tracing::warn!(url = self.url, error, "the keys of a host app can't be had"),
        }
    }

    fn flight(&self) -> Option<Flight> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.flight.is_some() || !state.may_attempt(now, &self.timing) {
            return state.flight.clone();
        }
        let (source, url) = (self.source.clone(), self.url.clone());
        let flight = async move { Ok(Arc::new(read_document(&source.fetch(&url).await?)?)) }.boxed().shared();
        state.attempted_at = Some(now);
        state.flight = Some(flight.clone());
        Some(flight)
    }
}

fn not_signed() -> ApiError {
    ApiError::unauthenticated("the token's signature is not of a key that is trusted here")
}
