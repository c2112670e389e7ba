//! This server's own tokens: HS256 under a secret that lives with the log, each bound to a session of it.

use std::fmt;

use jsonwebtoken::{Algorithm, EncodingKey};
use serde::Serialize;
use tertulia_proto::model::TokenAnswer;
use tertulia_proto::{ApiError, ErrorCode, SessionId, Timestamp, User, UserId};
use tertulia_store::Write;

use super::token::{Unverified, VerifyKey};
use super::{Auth, Identity};
use crate::write::{store_failed, write, write_failed};

/// The `iss` of our own tokens.
pub const OWN_ISSUER: &str = "tertulia";

/// Characters that are kept of what a client calls itself.
const USER_AGENT_MAX: usize = 200;

pub(super) struct OwnKeys {
    sign: EncodingKey,
    verify: VerifyKey,
}

impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnKeys(..)")
    }
}

impl OwnKeys {
    fn new(secret: &[u8; 32]) -> Self {
        Self { sign: EncodingKey::from_secret(secret), verify: VerifyKey::hs256(secret) }
    }
}

/// Times in whole seconds: what everybody reads.
#[derive(Serialize)]
struct OwnClaims<'a> {
    iss: &'static str,
    sub: UserId,
    sid: SessionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    name: &'a str,
    iat: i64,
    exp: i64,
}

impl Auth {
    async fn own_keys(&self) -> Result<&OwnKeys, ApiError> {
        let made = self.own_keys.get_or_try_init(|| async { Ok(OwnKeys::new(&self.store.token_secret().await?)) });
        made.await.map_err(|error| store_failed(&error))
    }

    pub(super) async fn authenticate_own(&self, token: &Unverified<'_>) -> Result<Identity, ApiError> {
        let not_ours = || ApiError::unauthenticated("the token is not of this server");
        if token.typ() != Some("JWT") {
            return Err(not_ours());
        }
        let claims = self.own_keys().await?.verify.verify(token).ok_or_else(not_ours)?;
        let now = self.powers.now();
        let expires_at = claims.check_times(now)?;
        let user: UserId = claims.sub.as_deref().and_then(|sub| sub.parse().ok()).ok_or_else(not_ours)?;
        let session: SessionId = claims.sid.as_deref().and_then(|sid| sid.parse().ok()).ok_or_else(not_ours)?;
        let record = self.store.session(session).await.map_err(|error| store_failed(&error))?;
        let is_open = record.is_some_and(|record| !record.ended && record.user == user && record.expires_at > now);
        if !is_open {
            return Err(ApiError::unauthenticated("the session has ended"));
        }
        Ok(Identity {
            user,
            session,
            email: claims.email().map(str::to_owned),
            name: claims.name.clone().unwrap_or_default(),
            expires_at,
            scopes: None,
        })
    }

    pub(super) async fn open_session(&self, user: User, user_agent: Option<&str>) -> Result<TokenAnswer, ApiError> {
        let session = SessionId::from_uuid(self.powers.new_uuid());
        let now = self.powers.now();
        let expires_at = self.session_end(now);
        let user_agent = user_agent.map(|text| text.chars().filter(|c| !c.is_control()).take(USER_AGENT_MAX).collect());
        let open = Write::OpenSession { session, user: user.id, user_agent, expires_at, now };
        write(&*self.store, open).await.map_err(write_failed)?;
        self.answer(user, session, now, expires_at).await
    }

    /// In whole seconds, so that the token and the session end at once.
    pub(super) fn session_end(&self, now: Timestamp) -> Timestamp {
        let end = now.plus_ms(self.config.session_ttl_ms);
        end.plus_ms(-end.ms().rem_euclid(1000))
    }

    pub(super) async fn answer(
        &self,
        user: User,
        session: SessionId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<TokenAnswer, ApiError> {
        let claims = OwnClaims {
            iss: OWN_ISSUER,
            sub: user.id,
            sid: session,
            email: user.email.as_deref(),
            name: &user.name,
            iat: now.ms().div_euclid(1000),
            exp: expires_at.ms().div_euclid(1000),
        };
        let header = jsonwebtoken::Header::new(Algorithm::HS256);
        let token = jsonwebtoken::encode(&header, &claims, &self.own_keys().await?.sign).map_err(|error| {
            tracing::error!(%error, "a token could not be signed");
            ApiError::retry(ErrorCode::Unavailable, "tokens can't be made at the moment", 1000)
        })?;
        Ok(TokenAnswer { token, expires_at, user })
    }
}
