//! What can be set about signing in, and what of it can't be right.

use std::fmt;

use tertulia_proto::Limits;

use super::field::is_http_url;
use super::own::OWN_ISSUER;

/// RFC 7518, section 3.2: a key of at least the size of the hash's output.
pub const HOST_SECRET_MIN_BYTES: usize = 32;

#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// Whether people can register and sign in with a password here.
    pub local_accounts: bool,
    /// How long a session lasts without a refresh, in milliseconds. 7 days.
    pub session_ttl_ms: i64,
    /// Whose tokens are taken besides this server's own. Entries with the same issuer (or without one) are the same app: they share one space of
    /// `sub`, which is what two secrets of one app want while one replaces the other, and wrong for two apps.
    pub hosts: Vec<HostIssuer>,
    pub jwks: JwksTiming,
    pub limits: Limits,
    /// Passwords hashed at once; each takes 19 MiB and a core. 2.
    pub hashes_parallel: usize,
    /// Passwords that wait for their turn before the answer is `unavailable`. 64.
    pub hashes_waiting_max: usize,
    /// Host tokens whose person is remembered, so that the next request with the same token writes nothing. 10000.
    pub host_tokens_remembered_max: usize,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            local_accounts: true,
            session_ttl_ms: 7 * 24 * 60 * 60 * 1000,
            hosts: Vec::new(),
            jwks: JwksTiming::default(),
            limits: Limits::default(),
            hashes_parallel: 2,
            hashes_waiting_max: 64,
            host_tokens_remembered_max: 10_000,
        }
    }
}

/// A host app whose users are users here.
#[derive(Debug, Clone)]
pub struct HostIssuer {
    /// What `iss` must be. Without it any `iss` but our own is taken.
    pub issuer: Option<String>,
    /// What must be in `aud`. Without it tokens made for other services are taken too.
    pub audience: Option<String>,
    pub key: HostKey,
}

/// How a host app signs. Which algorithms are taken follows from the kind of key, never from the token.
#[derive(Clone)]
pub enum HostKey {
    /// HS256 alone; at least [`HOST_SECRET_MIN_BYTES`].
    Secret(Vec<u8>),
    /// RS256, ES256 and EdDSA alone, by the type of each key in the document at this address.
    Jwks { url: String },
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("Secret(..)"),
            Self::Jwks { url } => f.debug_struct("Jwks").field("url", url).finish(),
        }
    }
}

/// When a host app's keys are asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwksTiming {
    /// Asked for again once they are this old. 10 minutes.
    pub max_age_ms: i64,
    /// The least time between two questions, whatever tokens come. 30 seconds.
    pub retry_ms: i64,
    /// Old keys serve this long while the host app can't be reached. 24 hours.
    pub stale_max_ms: i64,
}

impl Default for JwksTiming {
    fn default() -> Self {
        Self { max_age_ms: 10 * 60 * 1000, retry_ms: 30 * 1000, stale_max_ms: 24 * 60 * 60 * 1000 }
    }
}

/// A configuration that would be unsafe or could not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("the secret of host app {0} has fewer than {HOST_SECRET_MIN_BYTES} bytes")]
    SecretTooShort(String),
    #[error("the issuer {0:?} is reserved: a host app may not speak for this server")]
    IssuerReserved(String),
    #[error("the issuer or the audience of a host app is set and empty")]
    Blank,
    #[error("the JWKS address {0:?} is no http:// or https:// address")]
    JwksAddress(String),
    #[error("{0} must be above zero")]
    NotPositive(&'static str),
}

/// The issuer under which people of host apps without a configured issuer are kept. Never the token's own `iss`: that host could then speak for
/// the people of every other one.
pub(super) const ISSUERLESS: &str = "host";

impl AuthConfig {
    pub fn check(&self) -> Result<(), ConfigError> {
        let amounts = [
            ("session_ttl_ms", self.session_ttl_ms >= 1000),
            ("jwks.max_age_ms", self.jwks.max_age_ms > 0),
            ("jwks.retry_ms", self.jwks.retry_ms > 0),
            ("jwks.stale_max_ms", self.jwks.stale_max_ms > 0),
            ("hashes_parallel", self.hashes_parallel > 0),
            ("host_tokens_remembered_max", self.host_tokens_remembered_max > 0),
        ];
        if let Some((name, _)) = amounts.iter().find(|(_, good)| !good) {
            return Err(ConfigError::NotPositive(name));
        }
        self.hosts.iter().try_for_each(HostIssuer::check)
    }
}

impl HostIssuer {
    fn check(&self) -> Result<(), ConfigError> {
        if [&self.issuer, &self.audience].into_iter().flatten().any(|text| text.trim().is_empty()) {
            return Err(ConfigError::Blank);
        }
        if let Some(issuer) = self.issuer.as_deref().filter(|issuer| [OWN_ISSUER, ISSUERLESS].contains(issuer)) {
            return Err(ConfigError::IssuerReserved(issuer.to_owned()));
        }
        match &self.key {
            HostKey::Secret(secret) if secret.len() < HOST_SECRET_MIN_BYTES => {
                Err(ConfigError::SecretTooShort(self.issuer.clone().unwrap_or_else(|| "without an issuer".to_owned())))
            }
            HostKey::Jwks { url } if !is_http_url(url) => Err(ConfigError::JwksAddress(url.clone())),
            HostKey::Secret(_) | HostKey::Jwks { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_host(issuer: Option<&str>, key: HostKey) -> Result<(), ConfigError> {
        let host = HostIssuer { issuer: issuer.map(str::to_owned), audience: None, key };
        AuthConfig { hosts: vec![host], ..AuthConfig::default() }.check()
    }

    #[test]
    fn what_would_be_unsafe_is_refused_at_the_start() {
        let secret = |bytes| HostKey::Secret(vec![7; bytes]);
        assert_eq!(with_host(Some("https://shop.example"), secret(32)), Ok(()));
        assert_eq!(with_host(None, secret(31)), Err(ConfigError::SecretTooShort("without an issuer".to_owned())));
        assert_eq!(with_host(Some("tertulia"), secret(32)), Err(ConfigError::IssuerReserved("tertulia".to_owned())));
        assert_eq!(with_host(Some("host"), secret(32)), Err(ConfigError::IssuerReserved("host".to_owned())));
        assert_eq!(with_host(Some(" "), secret(32)), Err(ConfigError::Blank));
        let file = HostKey::Jwks { url: "file:///etc/passwd".to_owned() };
        assert!(matches!(with_host(None, file), Err(ConfigError::JwksAddress(_))));
        let never = AuthConfig { hashes_parallel: 0, ..AuthConfig::default() };
        assert_eq!(never.check(), Err(ConfigError::NotPositive("hashes_parallel")));
    }

    #[test]
    fn a_secret_is_not_written_out() {
        let key = HostKey::Secret(b"0123456789abcdef0123456789abcdef".to_vec());
        assert_eq!(format!("{key:?}"), "Secret(..)");
    }
}
