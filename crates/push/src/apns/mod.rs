//! Apple's push service without anybody between: HTTP/2, one request per device.
//!
//! Sources: those of `apple.rs`, and
//! <https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns> (how one signs in).

mod answer;
mod signing;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::apns::answer::Verdict;
use crate::apns::signing::{ProviderToken, Signing};
use crate::apple;
use crate::http::{self, Network, Reply};
use crate::notification::{Data, KEPT_S, Notification, Target};
use crate::provider::{Answer, Clock, ConfigError, Provider};

/// "The maximum payload size is 4 KB (4096 bytes)", of everything but VoIP.
const PAYLOAD_MAX: usize = 4096;

const BODY_MAX: usize = 4 * 1024;

/// Apple wants connections kept: many short ones look like an attack. A silent one is asked after so often, so that one a firewall has forgotten is not
/// found out by a message.
const STILL_THERE: Duration = Duration::from_secs(60);
const IDLE_MAX: Duration = Duration::from_hours(1);

#[derive(Clone)]
pub struct ApnsConfig {
    /// The `.p8` file of the developer account: an EC key in PEM.
    pub key_pem: String,
    /// Its ten characters.
    pub key_id: String,
    /// The account's ten characters.
    pub team_id: String,
    /// The app's bundle identifier.
    pub topic: String,
    pub base_url: String,
    pub network: Network,
}

impl ApnsConfig {
    pub const PRODUCTION: &str = "https://api.push.apple.com";
    /// Of apps that Xcode installed.
    pub const DEVELOPMENT: &str = "https://api.sandbox.push.apple.com";

    pub fn new(
        key_pem: impl Into<String>,
        key_id: impl Into<String>,
        team_id: impl Into<String>,
        topic: impl Into<String>,
    ) -> Self {
        Self {
            key_pem: key_pem.into(),
            key_id: key_id.into(),
            team_id: team_id.into(),
            topic: topic.into(),
            base_url: Self::PRODUCTION.to_owned(),
            network: Network::default(),
        }
    }
}

impl fmt::Debug for ApnsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApnsConfig")
            .field("topic", &self.topic)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

pub struct Apns {
    client: reqwest::Client,
    base_url: String,
    topic: String,
    signing: Signing,
    clock: Clock,
}

impl Apns {
    pub fn new(config: ApnsConfig, clock: Clock) -> Result<Self, ConfigError> {
        if config.topic.is_empty() || !config.topic.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::new("topic", "this is no bundle identifier"));
        }
        let signing = Signing::new(&config.key_pem, &config.key_id, &config.team_id)?;
        let builder = config
            .network
            .client()?
            // APNs speaks nothing else, and offers nothing else to choose from.
            .http2_prior_knowledge()
            .http2_keep_alive_interval(STILL_THERE)
            .http2_keep_alive_while_idle(true)
            .pool_idle_timeout(IDLE_MAX);
        let client = http::build(builder)?;
        let base_url = config.base_url.trim_end_matches('/').to_owned();
        Ok(Self { client, base_url, topic: config.topic, signing, clock })
    }

    async fn send(&self, target: &Target, notification: &Notification) -> Answer {
        if !is_token(&target.token) {
            return Answer::unregistered("this is no device token");
        }
        let payload = match payload(notification) {
            Some(payload) if payload.len() <= PAYLOAD_MAX => payload,
            _ => return Answer::refused(format!("over {PAYLOAD_MAX} bytes")),
        };
        match self.post(target, notification, payload).await {
            Ok(answer) | Err(answer) => answer,
        }
    }

    async fn post(&self, target: &Target, notification: &Notification, payload: Vec<u8>) -> Result<Answer, Answer> {
        let now = (self.clock)();
        let token = self.signing.token(now, None)?;
        let reply = self.post_with(target, notification, payload.clone(), &token).await?;
        if let Verdict::Is(answer) = answer::of(&reply, now) {
            return Ok(answer);
        }
        let token = self.signing.token(now, Some(&token))?;
        let reply = self.post_with(target, notification, payload, &token).await?;
        Ok(answer::of(&reply, now).into())
    }

    async fn post_with(
        &self,
        target: &Target,
        notification: &Notification,
        payload: Vec<u8>,
        token: &ProviderToken,
    ) -> Result<Reply, Answer> {
        let expires_s = (self.clock)().ms().div_euclid(1000) + i64::from(KEPT_S);
        let request = self
            .client
            .post(format!("{}/3/device/{}", self.base_url, target.token))
            .header("authorization", format!("bearer {}", token.text))
            .header("apns-topic", &self.topic)
            .header("apns-push-type", apple::push_type(notification))
            .header("apns-priority", apple::priority(notification))
            .header("apns-expiration", expires_s)
            .header("apns-collapse-id", apple::collapse_id(notification))
            .body(payload);
        http::ask(request, BODY_MAX).await
    }
}

/// `aps`, and beside it what the app is told.
fn payload(notification: &Notification) -> Option<Vec<u8>> {
    let mut payload = serde_json::to_value(Data::from(notification)).ok()?;
    payload.as_object_mut()?.insert("aps".to_owned(), apple::aps(notification));
    serde_json::to_vec::<Value>(&payload).ok()
}

/// It becomes a part of the path. Apple says nothing of its length ("variable length": `registerForRemoteNotifications`); 32 bytes and 80 were seen.
fn is_token(token: &str) -> bool {
    (64..=200).contains(&token.len())
        && token.len().is_multiple_of(2)
        && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Provider for Apns {
    fn name(&self) -> &'static str {
        "apns"
    }

    fn send<'a>(&'a self, target: &'a Target, notification: &'a Notification) -> BoxFuture<'a, Answer> {
        Box::pin(self.send(target, notification))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_token_is_hexadecimal_and_nothing_that_leads_elsewhere() {
        assert!(is_token(&"0aF9".repeat(16)) && is_token(&"00".repeat(80)));
        let wrong = ["", "00", "../../etc", &"0".repeat(62), &"00".repeat(101), &"0g".repeat(32), &"0/".repeat(32)];
        for token in wrong {
            assert!(!is_token(token), "{token}");
        }
    }
}
