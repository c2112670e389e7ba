//! Web Push: browsers, and UnifiedPush, which is the same.
//!
//! Sources: RFC 8030 (the request), RFC 8291 and RFC 8188 (the content), RFC 8292 (who sends);
//! <https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers> (Apple's own words for errors).

mod answer;
mod content;
mod subscription;
mod vapid;

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use serde::Serialize;
use tertulia_proto::Timestamp;

use crate::guard;
use crate::http::{self, Network};
use crate::notification::{Data, KEPT_S, Notification, Target};
use crate::provider::{Answer, Clock, ConfigError, Provider};
pub use crate::webpush::content::{ContentError, encrypt};
pub use crate::webpush::subscription::{Subscription, SubscriptionError};
use crate::webpush::vapid::Vapid;
pub use crate::webpush::vapid::{VapidKeys, generate_vapid_keys};

const BODY_MAX: usize = 4 * 1024;

#[derive(Clone)]
pub struct WebPushConfig {
    /// 32 bytes in base64url, as [`generate_vapid_keys`] makes them. With another key all subscriptions are void.
    pub private_key: String,
    /// Whom a push service writes to when something is wrong: `mailto:` or `https:`.
    pub subject: String,
    /// Whether endpoints may lead into private networks: for a UnifiedPush server on the LAN. Clients name endpoints, so whoever has an account may then
    /// have this server send a POST to any machine in there that speaks https.
    pub allow_private: bool,
    pub network: Network,
}

impl WebPushConfig {
    pub fn new(private_key: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            private_key: private_key.into(),
            subject: subject.into(),
            allow_private: false,
            network: Network::default(),
        }
    }
}

impl fmt::Debug for WebPushConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebPushConfig")
            .field("subject", &self.subject)
            .field("allow_private", &self.allow_private)
            .finish_non_exhaustive()
    }
}

pub struct WebPush {
    client: reqwest::Client,
    allow_private: bool,
    vapid: Vapid,
    clock: Clock,
}

/// What the service worker is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(flatten)]
    data: Data<'a>,
    title: &'a str,
    body: &'a str,
    sent_at: Timestamp,
    silent: bool,
}

impl WebPush {
    pub fn new(config: WebPushConfig, clock: Clock) -> Result<Self, ConfigError> {
        let vapid = Vapid::new(&config.private_key, &config.subject)?;
        let client = http::build(guard::client(config.network.client()?, config.allow_private))?;
        Ok(Self { client, allow_private: config.allow_private, vapid, clock })
    }

    /// What a browser subscribes with (`applicationServerKey`).
    pub fn public_key(&self) -> &str {
        self.vapid.public_key()
    }

    async fn send(&self, target: &Target, notification: &Notification) -> Answer {
        match self.post(target, notification).await {
            Ok(answer) | Err(answer) => answer,
        }
    }

    async fn post(&self, target: &Target, notification: &Notification) -> Result<Answer, Answer> {
        if notification.is_withdrawal() {
            return Err(Answer::refused("a web push has to show something"));
        }
        let subscription = Subscription::read(&target.token, self.allow_private).map_err(|error| match error {
            // Not the device's fault: the setting decides.
            SubscriptionError::Endpoint(guard::Refusal::Private) => Answer::misconfigured(error.to_string()),
            _ => Answer::unregistered(error.to_string()),
        })?;
        let payload = Payload {
            data: notification.into(),
            title: &notification.title,
            body: &notification.body,
            sent_at: notification.sent_at,
            silent: notification.silent,
        };
        let payload = serde_json::to_vec(&payload).map_err(|_| Answer::refused("it can't be written as JSON"))?;
        let content = encrypt(&subscription, &payload).map_err(|error| match error {
            ContentError::Key => Answer::unregistered(error.to_string()),
            ContentError::TooLarge | ContentError::Encryption => Answer::refused(error.to_string()),
        })?;
        let now = (self.clock)();
        let request = self
            .client
            .post(subscription.endpoint.clone())
            .header(AUTHORIZATION, self.vapid.authorization(&subscription.endpoint, now)?)
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("ttl", KEPT_S)
            .header("urgency", urgency(notification))
            .header("topic", topic(&subscription, notification))
            .body(content);
        let reply = http::ask(request, BODY_MAX).await?;
        Ok(answer::of(&reply, now))
    }
}

/// RFC 8030, 5.3, has "normal" for chat and "high" for what can't wait. Browsers on Android are woken from their sleep by "high" alone; what may not even
/// make a sound can wait until it is over.
fn urgency(notification: &Notification) -> &'static str {
    if notification.silent { "normal" } else { "high" }
}

/// Of messages with one topic a push service keeps the last (RFC 8030, 5.4): "no more than 32 characters from the URL and filename-safe Base 64 alphabet".
/// The conversation's own id would show the push service whose subscriptions belong together; mixed with the subscription's secret it does not.
fn topic(subscription: &Subscription, notification: &Notification) -> String {
    let mixed = [subscription.auth.as_slice(), notification.conversation.as_bytes()].concat();
    let hash = digest(&SHA256, &mixed);
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..24).unwrap_or_default())
}

impl Provider for WebPush {
    fn name(&self) -> &'static str {
        "webpush"
    }

    fn send<'a>(&'a self, target: &'a Target, notification: &'a Notification) -> BoxFuture<'a, Answer> {
        Box::pin(self.send(target, notification))
    }

    /// Browsers demand that each push shows something (`userVisibleOnly`); Safari ends the subscription of who does not.
    fn withdraws(&self) -> bool {
        false
    }
}
