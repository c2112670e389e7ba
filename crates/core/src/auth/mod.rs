//! Who is asking? Local accounts, this server's own tokens, host apps' tokens and API keys.
//!
//! Every token is checked in this order: what it says without belief (`token`), its signature by a key whose algorithm we chose, its times, issuer
//! and audience, and last the store: whether its session still stands. Nothing reaches the store that was not signed. Host apps' keys come
//! through [`JwksSource`]; this module knows no HTTP. How often somebody may try is asked elsewhere.
//!
//! The way through: `config` what can be set, `token` reading and checking, `own` and `host` the two kinds of tokens, `jwk` and `jwks`
//! published keys, `account` registering and signing in, `password` hashing, `api_key` and `scope` other servers, `field` what a name or an
//! e-mail address may be.

mod account;
mod api_key;
mod config;
mod field;
mod host;
mod jwk;
mod jwks;
mod own;
mod password;
mod recent;
mod scope;
mod token;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tertulia_proto::{ApiError, ErrorCode, SessionId, Timestamp, UserId};
use tertulia_store::{Effect, Store};
use tokio::sync::OnceCell;

pub use api_key::{ApiKeyIdentity, ListedApiKey, NewApiKey, is_api_key};
pub use config::{AuthConfig, ConfigError, HOST_SECRET_MIN_BYTES, HostIssuer, HostKey, JwksTiming};
pub use field::{check_password, normalize_email, normalize_name};
pub use jwk::JWKS_KEYS_MAX;
pub use jwks::JwksSource;
pub use own::OWN_ISSUER;
pub use scope::{Scope, ScopeError, Scopes};
pub use token::{Alg, Peeked, TOKEN_MAX_BYTES, peek};

use host::{Host, Person};
use own::OwnKeys;
use password::HashPool;
use recent::Recent;
use token::Unverified;

use crate::power::Powers;

/// Who is asking, for as long as the token lasts.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    pub user: UserId,
    pub session: SessionId,
    pub email: Option<String>,
    pub name: String,
    pub expires_at: Timestamp,
    /// `None` for a person, who may do what that person may; the scopes of the API key that acts for one.
    pub scopes: Option<Scopes>,
}

impl Identity {
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.is_none_or(|scopes| scopes.allows(scope))
    }
}

/// Without name and address, which belong in no log.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("user", &self.user)
            .field("session", &self.session)
            .field("expires_at", &self.expires_at)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

pub struct Auth {
    store: Arc<dyn Store>,
    powers: Powers,
    config: AuthConfig,
    hosts: Vec<Host>,
    hashes: HashPool,
    /// Read from the store at first need: it is made with the log and never changes.
    own_keys: OnceCell<OwnKeys>,
    /// The people of host tokens seen lately. A token's claims never change, so its person is brought up to date once and not with every request.
    host_tokens: Mutex<Recent<SessionId, Person>>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Auth {
    pub fn new(
        store: Arc<dyn Store>,
        powers: Powers,
        config: AuthConfig,
        jwks: Arc<dyn JwksSource>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        for host in config.hosts.iter().filter(|host| host.audience.is_none()) {
            if let HostKey::Jwks { url } = &host.key {
                tracing::warn!(
                    url,
                    "no audience is set for this host app: its tokens for other services are taken too"
                );
            }
        }
        Ok(Self {
            hosts: host::hosts(&config, &powers, &jwks),
            hashes: HashPool::new(config.hashes_parallel, config.hashes_waiting_max),
            own_keys: OnceCell::new(),
            host_tokens: Mutex::new(Recent::new(config.host_tokens_remembered_max)),
            store,
            powers,
            config,
        })
    }

    pub fn config(&self) -> &AuthConfig {
        &self.config
    }

    /// The person of a token, this server's own or a host app's. `unauthenticated` with the reason, or `unavailable` where it can't be known now.
    /// An API key is no person: see [`Auth::authenticate_api_key`].
    pub async fn authenticate(&self, token: &str) -> Result<Identity, ApiError> {
        let Some(token) = Unverified::parse(token) else {
            return Err(ApiError::unauthenticated("the token can't be read"));
        };
        match token.iss() {
            Some(OWN_ISSUER) => self.authenticate_own(&token).await,
            Some(_) | None => self.authenticate_host(&token).await,
        }
    }
}

/// A home that answers a write with another one's effect.
fn unexpected(effect: &Effect) -> ApiError {
    let kind = std::mem::discriminant(effect);
    tracing::error!(?kind, "the store answered a write with another one's effect");
    ApiError::retry(ErrorCode::Unavailable, "the store is not available at the moment", 1000)
}
