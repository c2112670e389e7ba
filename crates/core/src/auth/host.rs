//! Tokens of host apps: whose key must have signed one, and which person here it is.

use std::sync::Arc;

use tertulia_proto::{ApiError, ErrorCode, Timestamp, User, UserId};
use tertulia_store::{Account, AccountLookup, Effect, NewUser, Write};

use super::config::{AuthConfig, HostKey, ISSUERLESS};
use super::field::{is_http_url, local_part, name_from_elsewhere, normalize_email};
use super::jwks::{JwksCache, JwksSource};
use super::token::{Claims, Unverified, VerifyKey};
use super::{Auth, Identity};
use crate::power::Powers;
use crate::write::{store_failed, write, write_failed};

/// OpenID Connect Core 1.0, section 2.
const SUBJECT_MAX_CHARS: usize = 255;

pub(super) struct Host {
    issuer: Option<String>,
    audience: Option<String>,
    key: Key,
}

enum Key {
    Secret(VerifyKey),
    Jwks(Arc<JwksCache>),
}

/// Whose token it is, for as long as it is remembered.
#[derive(Clone)]
pub(super) struct Person {
    id: UserId,
    email: Option<String>,
    name: String,
}

impl From<User> for Person {
    fn from(user: User) -> Self {
        Self { id: user.id, email: user.email, name: user.name }
    }
}

/// One cache per address, also where several entries have it.
pub(super) fn hosts(config: &AuthConfig, powers: &Powers, source: &Arc<dyn JwksSource>) -> Vec<Host> {
    let mut caches: Vec<Arc<JwksCache>> = Vec::new();
    let mut cache_of = |url: &str| {
        if let Some(known) = caches.iter().find(|cache| cache.url() == url) {
            return known.clone();
        }
        let cache = Arc::new(JwksCache::new(url.to_owned(), source.clone(), powers.clock.clone(), config.jwks));
        caches.push(cache.clone());
        cache
    };
    let host = |host: &super::HostIssuer| Host {
        issuer: host.issuer.clone(),
        audience: host.audience.clone(),
        key: match &host.key {
            HostKey::Secret(secret) => Key::Secret(VerifyKey::hs256(secret)),
            HostKey::Jwks { url } => Key::Jwks(cache_of(url)),
        },
    };
    config.hosts.iter().map(host).collect()
}

impl Host {
    /// The claims and when they end, if this host app says so, now, to us.
    async fn verify<'t>(
        &self,
        token: &'t Unverified<'_>,
        powers: &Powers,
    ) -> Result<(&'t Claims, Timestamp), ApiError> {
        let claims = match &self.key {
            Key::Secret(key) => {
                key.verify(token).ok_or_else(|| ApiError::unauthenticated("the token's signature is not good"))?
            }
            Key::Jwks(keys) => keys.verify(token).await?,
        };
        let expires_at = claims.check_times(powers.now())?;
        if self.issuer.is_some() && self.issuer != claims.iss {
            return Err(ApiError::unauthenticated("the token's issuer is not trusted here"));
        }
        if self.audience.as_deref().is_some_and(|audience| !claims.is_for(audience)) {
            return Err(ApiError::unauthenticated("the token is not for this service"));
        }
        Ok((claims, expires_at))
    }
}

impl Auth {
    pub(super) async fn authenticate_host(&self, token: &Unverified<'_>) -> Result<Identity, ApiError> {
        let (host, claims, expires_at) = self.vouched(token).await?;
        let session = token.derived_session();
        let record = self.store.session(session).await.map_err(|error| store_failed(&error))?;
        if record.is_some_and(|record| record.ended) {
            return Err(ApiError::unauthenticated("the session has ended"));
        }
        let known = self.host_tokens.lock().get(session);
        let person = match known {
            Some(person) => person,
            None => {
                let person = self.ensure_person(host.issuer.as_deref().unwrap_or(ISSUERLESS), claims).await?;
                self.host_tokens.lock().insert(session, person.clone());
                person
            }
        };
        let Person { id, email, name } = person;
        Ok(Identity { user: id, session, email, name, expires_at, scopes: None })
    }

    /// The host app that vouches for the token. Where one has the token's issuer for a name, the nameless ones are not asked.
    async fn vouched<'t>(&self, token: &'t Unverified<'_>) -> Result<(&Host, &'t Claims, Timestamp), ApiError> {
        let is_named = token.iss().is_some() && self.hosts.iter().any(|host| host.issuer.as_deref() == token.iss());
        let asked = self.hosts.iter().filter(|host| match is_named {
            true => host.issuer.as_deref() == token.iss(),
            false => host.issuer.is_none(),
        });
        let mut refusal = ApiError::unauthenticated("the token's issuer is not trusted here");
        for host in asked {
            match host.verify(token, &self.powers).await {
                Ok((claims, expires_at)) => return Ok((host, claims, expires_at)),
                // Not knowing is said rather than no: the client comes back instead of signing out.
                Err(_) if refusal.code == ErrorCode::Unavailable => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// The person of a verified token, made or brought up to date where needed.
    async fn ensure_person(&self, issuer: &str, claims: &Claims) -> Result<Person, ApiError> {
        let subject = claims.sub.as_deref().filter(|sub| is_subject(sub));
        let subject = subject.ok_or_else(|| ApiError::unauthenticated("the token has no usable sub"))?;
        let lookup = AccountLookup::External { issuer: issuer.to_owned(), subject: subject.to_owned() };
        let account = self.store.account(lookup).await.map_err(|error| store_failed(&error))?;
        let user = self.wanted(subject, claims, account.as_ref());
        if let Some(Account { user: as_is, .. }) = account
            && as_is.name == user.name
            && as_is.email == user.email
            && as_is.avatar_url == user.avatar_url
        {
            return Ok(as_is.into());
        }
        let ensure = Write::EnsureExternalUser { issuer: issuer.to_owned(), subject: subject.to_owned(), user };
        match write(&*self.store, ensure).await.map_err(write_failed)? {
            Effect::UserReady { user, .. } => Ok(user.into()),
            other => Err(super::unexpected(&other)),
        }
    }

    /// What the token says of its person. What it does not say stays as it is, and is made up once.
    fn wanted(&self, subject: &str, claims: &Claims, account: Option<&Account>) -> NewUser {
        let limits = &self.config.limits;
        let is = account.map(|account| &account.user);
        let email = claims.email().and_then(|email| normalize_email(email).ok());
        let said = claims.name.as_deref().and_then(|name| name_from_elsewhere(name, limits));
        let made_up = || {
            let of_email = email.as_deref().and_then(|email| name_from_elsewhere(local_part(email), limits));
            of_email.or_else(|| name_from_elsewhere(subject, limits)).unwrap_or_default()
        };
        let name = said.or_else(|| is.map(|user| user.name.clone())).unwrap_or_else(made_up);
        let is_good = |url: &&str| url.len() <= limits.avatar_url_max_bytes && is_http_url(url);
        let picture = claims.picture.as_deref().filter(is_good).map(str::to_owned);
        NewUser {
            id: UserId::from_uuid(self.powers.new_uuid()),
            email: email.or_else(|| is.and_then(|user| user.email.clone())),
            name,
            password_hash: None,
            avatar_url: picture.or_else(|| is.and_then(|user| user.avatar_url.clone())),
            now: self.powers.now(),
        }
    }
}

fn is_subject(sub: &str) -> bool {
    !sub.trim().is_empty() && sub.chars().count() <= SUBJECT_MAX_CHARS && !sub.chars().any(char::is_control)
}
