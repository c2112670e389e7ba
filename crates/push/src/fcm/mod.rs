//! Firebase Cloud Messaging, HTTP v1: one request per device.
//!
//! Sources: <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages> (the message),
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode> (what may come back),
//! <https://developers.google.com/identity/protocols/oauth2/service-account> (how one signs in).

mod access;
mod account;
mod answer;
mod message;

use std::fmt;

use futures_util::future::BoxFuture;
use reqwest::StatusCode;

use crate::fcm::access::{Access, Token};
use crate::fcm::account::Account;
use crate::fcm::message::Message;
use crate::http::{self, Network, Reply};
use crate::notification::{Notification, Target};
use crate::provider::{Answer, Clock, ConfigError, Provider};

/// Bytes of what is shown and told (`ErrorCode`, `INVALID_ARGUMENT`, "message too big").
const PAYLOAD_MAX: usize = 4096;

/// An answer has a name, or an error with its details.
const BODY_MAX: usize = 16 * 1024;

#[derive(Clone)]
pub struct FcmConfig {
    /// The service account's key file as the Google Cloud console gives it: JSON, with its `project_id`, `client_email`, `private_key` and `token_uri`.
    pub service_account: String,
    pub base_url: String,
    pub network: Network,
}

impl FcmConfig {
    pub fn new(service_account: impl Into<String>) -> Self {
        Self {
            service_account: service_account.into(),
            base_url: "https://fcm.googleapis.com".to_owned(),
            network: Network::default(),
        }
    }
}

impl fmt::Debug for FcmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FcmConfig").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

pub struct Fcm {
    client: reqwest::Client,
    url: String,
    access: Access,
    clock: Clock,
}

impl Fcm {
    pub fn new(config: FcmConfig, clock: Clock) -> Result<Self, ConfigError> {
        let account = Account::read(&config.service_account)?;
        let client = http::build(config.network.client()?)?;
        let url = format!("{}/v1/projects/{}/messages:send", config.base_url.trim_end_matches('/'), account.project_id);
        let access = Access::new(account, client.clone(), clock.clone());
        Ok(Self { client, url, access, clock })
    }

    async fn send(&self, target: &Target, notification: &Notification) -> Answer {
        if !is_token(&target.token) {
            return Answer::unregistered("this is no registration token");
        }
        let message = Message::new(target, notification);
        if message.payload_bytes() > PAYLOAD_MAX {
            return Answer::refused(format!("over {PAYLOAD_MAX} bytes"));
        }
        match self.post(&message).await {
            Ok(reply) => answer::of(&reply, (self.clock)()),
            Err(answer) => answer,
        }
    }

    /// A token that is refused is replaced once: it may have been withdrawn before its time.
    async fn post(&self, message: &Message<'_>) -> Result<Reply, Answer> {
        let token = self.access.token(None).await?;
        let reply = self.post_with(message, &token).await?;
        if reply.status != StatusCode::UNAUTHORIZED || answer::is_of_a_third_party(&reply) {
            return Ok(reply);
        }
        let token = self.access.token(Some(&token)).await?;
        self.post_with(message, &token).await
    }

    async fn post_with(&self, message: &Message<'_>, token: &Token) -> Result<Reply, Answer> {
        let body = serde_json::json!({"message": message});
        http::ask(self.client.post(&self.url).bearer_auth(&token.text).json(&body), BODY_MAX).await
    }
}

/// Nobody documents the form of a token; this is what keeps out what certainly is none.
fn is_token(token: &str) -> bool {
    (1..=4096).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Provider for Fcm {
    fn name(&self) -> &'static str {
        "fcm"
    }

    fn send<'a>(&'a self, target: &'a Target, notification: &'a Notification) -> BoxFuture<'a, Answer> {
        Box::pin(self.send(target, notification))
    }
}
