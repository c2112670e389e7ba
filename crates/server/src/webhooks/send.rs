//! One request to an endpoint, and what its answer means.

use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use tertulia_core::Powers;
use tertulia_notify::webhooks::Deliver;
use tertulia_proto::Timestamp;
use tertulia_push::guard::{self, Refusal};
use tertulia_push::http::{self, Network};
use tertulia_push::{Answer, ConfigError};
use tertulia_store::webhooks::{Sending, TryResult};

use super::sign::signatures;

/// Of an answer nothing is needed but its head; so much is read that a connection may be used again.
const ANSWER_MAX_BYTES: usize = 4096;

const USER_AGENT: &str = concat!("Tertulia-Webhooks/", env!("CARGO_PKG_VERSION"));

pub struct Sender {
    https: Client,
    /// Within one's own network only.
    http: Client,
    allow_private: bool,
    powers: Powers,
}

impl Sender {
    pub fn new(network: &Network, allow_private: bool, powers: &Powers) -> Result<Self, ConfigError> {
        let https = http::build(guard::client(network.client()?.user_agent(USER_AGENT), allow_private))?;
        let http = http::build(guard::private_client(network.client()?.user_agent(USER_AGENT)))?;
        Ok(Self { https, http, allow_private, powers: powers.clone() })
    }

    pub fn check(&self, address: &str) -> Result<Url, String> {
        guard::check_with_http(address, self.allow_private).map_err(|refusal| match refusal {
            Refusal::Private => format!("{refusal}; webhooks.private_addresses = \"on\" allows that"),
            Refusal::NotHttps if !self.allow_private => {
                format!("{refusal}; webhooks.private_addresses = \"on\" allows plain http within the private network")
            }
            Refusal::NotHttps => format!("{refusal}; plain http is for private addresses"),
            Refusal::NotAnAddress | Refusal::Credentials => refusal.to_string(),
        })
    }

    async fn send(&self, sending: &Sending, now: Timestamp) -> (TryResult, Option<u16>) {
        let url = match self.check(&sending.url) {
            Ok(url) => url,
            Err(refusal) => return (failed(refusal), None),
        };
        let Ok(body) = serde_json::to_vec(&sending.batch) else {
            return (failed("no JSON can be made of this"), None);
        };
        let client = if url.scheme() == "http" { &self.http } else { &self.https };
        let (id, seconds) = (sending.id(), now.ms().div_euclid(1000));
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signatures(&sending.secrets, &id, seconds, &body))
            .body(body);
        let answer = http::ask(request, ANSWER_MAX_BYTES).await;
        let status = answer.as_ref().ok().map(|reply| reply.status.as_u16());
        let result = match answer {
            Ok(reply) if reply.status.is_success() => {
                let count = i64::try_from(sending.batch.events.len()).unwrap_or(i64::MAX);
                TryResult::Taken { up_to: sending.up_to, count }
            }
            Ok(reply) if reply.status == StatusCode::GONE => {
                TryResult::Gone { reason: "it answered 410: it wants no more events".to_owned() }
            }
            Ok(reply) => {
                let reason = format!("it answered {}", reply.status.as_u16());
                // Counted from the answer, however long it took.
                let now = self.powers.now();
                let not_before = match reply.later(now, None, "") {
                    Answer::Later { after: Some(after), .. } => Some(now.plus_ms(millis(after))),
                    _ => None,
                };
                TryResult::Failed { reason, not_before }
            }
            Err(Answer::Later { reason, .. } | Answer::Refused(reason) | Answer::Misconfigured(reason)) => {
                failed(reason)
            }
            Err(Answer::Accepted { .. } | Answer::Unregistered(_)) => failed("no answer"),
        };
        (result, status)
    }
}

impl Deliver for Sender {
    fn deliver<'a>(&'a self, sending: &'a Sending, now: Timestamp) -> BoxFuture<'a, (TryResult, Option<u16>)> {
        Box::pin(self.send(sending, now))
    }
}

fn failed(reason: impl Into<String>) -> TryResult {
    TryResult::Failed { reason: reason.into(), not_before: None }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}
