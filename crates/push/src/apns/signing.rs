//! The provider token: a JWT that says who sends. One for all requests, made anew every fifty minutes.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use serde::Serialize;
use tertulia_proto::Timestamp;

use crate::provider::{Answer, ConfigError};

/// "Refresh your token no more than once every 20 minutes and no less than once every 60 minutes."
const RENEWED_AFTER_MS: i64 = 50 * 60 * 1000;
const RENEWED_AT_MOST_EVERY_MS: i64 = 20 * 60 * 1000;

#[derive(Clone)]
pub struct ProviderToken {
    pub text: Arc<str>,
    made_at: Timestamp,
}

pub struct Signing {
    header: Header,
    team_id: String,
    key: EncodingKey,
    current: Mutex<Option<ProviderToken>>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
}

impl Signing {
    pub fn new(key_pem: &str, key_id: &str, team_id: &str) -> Result<Self, ConfigError> {
        let is_id = |id: &str| id.len() == 10 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_id(key_id) {
            return Err(ConfigError::new("key id", "it has ten letters and digits"));
        }
        if !is_id(team_id) {
            return Err(ConfigError::new("team id", "it has ten letters and digits"));
        }
        let key = EncodingKey::from_ec_pem(key_pem.as_bytes())
            .map_err(|_| ConfigError::new("key", "this is no EC key in PEM: Apple's .p8 file is one"))?;
        let header = Header { typ: None, kid: Some(key_id.to_owned()), ..Header::new(Algorithm::ES256) };
        let signing = Self { header, team_id: team_id.to_owned(), key, current: Mutex::new(None) };
        signing
            .sign(Timestamp::from_ms(0))
            .ok_or_else(|| ConfigError::new("key", "it signs nothing: not of P-256?"))?;
        Ok(signing)
    }

    /// `expired` is the one that Apple said is too old. One that is not old by our clock is not replaced: Apple would take that for an attack, and the clocks
    /// would differ as before.
    pub fn token(&self, now: Timestamp, expired: Option<&ProviderToken>) -> Result<ProviderToken, Answer> {
        let mut current = self.current.lock();
        if let Some(token) = current.as_ref() {
            let age_ms = now.ms() - token.made_at.ms();
            let is_expired = expired.is_some_and(|expired| expired.text == token.text);
            if is_expired && age_ms < RENEWED_AT_MOST_EVERY_MS {
                return Err(Answer::misconfigured("ExpiredProviderToken: does this machine's clock go wrong?"));
            }
            // A clock that was set back makes a token of the future, which Apple refuses too.
            if !is_expired && (0..RENEWED_AFTER_MS).contains(&age_ms) {
                return Ok(token.clone());
            }
        }
        let text = self.sign(now).ok_or_else(|| Answer::misconfigured("the key signs nothing"))?;
        Ok(current.insert(ProviderToken { text: text.into(), made_at: now }).clone())
    }

    fn sign(&self, now: Timestamp) -> Option<String> {
        let claims = Claims { iss: &self.team_id, iat: now.ms().div_euclid(1000) };
        jsonwebtoken::encode(&self.header, &claims, &self.key).ok()
    }
}
