//! The service account, and what it signs to be given an access token.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use tertulia_proto::Timestamp;

use crate::provider::ConfigError;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// How long an assertion is good: "a maximum of 1 hour after the issued time".
const ASSERTION_S: i64 = 3600;

const SETTING: &str = "service account";

#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

pub struct Account {
    pub project_id: String,
    pub token_uri: String,
    client_email: String,
    header: Header,
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl Account {
    pub fn read(file: &str) -> Result<Self, ConfigError> {
        // The parser's own message may quote the file.
        let file: KeyFile = serde_json::from_str(file).map_err(|error| {
            let at = format!("line {}, column {}", error.line(), error.column());
            ConfigError::new(SETTING, format!("this is no key file of a service account ({at})"))
        })?;
        if file.kind != "service_account" {
            return Err(ConfigError::new(SETTING, "its type is not service_account"));
        }
        let is_of_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
        if file.project_id.is_empty() || !file.project_id.bytes().all(is_of_id) {
            return Err(ConfigError::new(SETTING, "its project_id is none"));
        }
        if reqwest::Url::parse(&file.token_uri).is_err() {
            return Err(ConfigError::new(SETTING, "its token_uri is no address"));
        }
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .map_err(|_| ConfigError::new(SETTING, "its private_key is no RSA key in PEM"))?;
        let header = Header { kid: Some(file.private_key_id), ..Header::new(Algorithm::RS256) };
        let account = Self {
            project_id: file.project_id,
            token_uri: file.token_uri,
            client_email: file.client_email,
            header,
            key,
        };
        // A key that can't sign is better known now than with the first message.
        account
            .assertion(Timestamp::from_ms(0))
            .ok_or_else(|| ConfigError::new(SETTING, "its private_key signs nothing"))?;
        Ok(account)
    }

    /// RFC 7523, with what Google wants in it.
    pub fn assertion(&self, now: Timestamp) -> Option<String> {
        let iat = now.ms().div_euclid(1000);
        let (iss, aud) = (self.client_email.as_str(), self.token_uri.as_str());
        let claims = Claims { iss, scope: SCOPE, aud, iat, exp: iat + ASSERTION_S };
        jsonwebtoken::encode(&self.header, &claims, &self.key).ok()
    }
}
