//! Expo's push service, which stands before FCM and APNs for apps made with it.
//!
//! Source: <https://docs.expo.dev/push-notifications/sending-notifications/> (messages, tickets, receipts, errors).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::future::BoxFuture;
use reqwest::RequestBuilder;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tertulia_proto::Timestamp;

use crate::http::{self, Network, Reply};
use crate::notification::{Data, KEPT_S, Notification, Target};
use crate::provider::{Answer, Clock, ConfigError, Provider};

/// "The total payload must be at most 4096 bytes", on both systems.
const PAYLOAD_MAX: usize = 4096;

/// Receipts in one request; more are `PUSH_TOO_MANY_RECEIPTS`.
const RECEIPTS_MAX: usize = 1000;

const TICKET_MAX: usize = 16 * 1024;
const RECEIPTS_BODY_MAX: usize = 1024 * 1024;

/// Of the app: the channel that messages are shown in.
const CHANNEL: &str = "messages";

#[derive(Clone)]
pub struct ExpoConfig {
    /// Needed where the project demands it ("enhanced push security").
    pub access_token: Option<String>,
    pub base_url: String,
    pub network: Network,
}

impl ExpoConfig {
    pub fn new(access_token: Option<String>) -> Self {
        Self { access_token, base_url: "https://exp.host".to_owned(), network: Network::default() }
    }
}

impl fmt::Debug for ExpoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpoConfig").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

pub struct Expo {
    client: reqwest::Client,
    base_url: String,
    access_token: Option<String>,
    clock: Clock,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    to: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    shown: Option<Shown<'a>>,
    data: Data<'a>,
    ttl: u32,
    priority: &'static str,
    #[serde(rename = "_contentAvailable", skip_serializing_if = "std::ops::Not::not")]
    content_available: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    title: &'a str,
    body: &'a str,
    badge: i64,
    channel_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<&'static str>,
}

impl<'a> Message<'a> {
    fn new(target: &'a Target, notification: &'a Notification) -> Self {
        let shown = Shown {
            title: &notification.title,
            body: &notification.body,
            badge: notification.badge.max(0),
            channel_id: CHANNEL,
            sound: (!notification.silent).then_some("default"),
        };
        let is_withdrawal = notification.is_withdrawal();
        Self {
            to: &target.token,
            shown: (!is_withdrawal).then_some(shown),
            data: notification.into(),
            ttl: KEPT_S,
            priority: if is_withdrawal { "normal" } else { "high" },
            // Wakes the app on iOS; on Android nothing but data does that by itself.
            content_available: is_withdrawal,
        }
    }
}

/// A ticket, or a receipt: they have one form.
#[derive(Deserialize)]
struct Slip {
    status: String,
    id: Option<String>,
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Tickets {
    One(Slip),
    Many([Slip; 1]),
}

#[derive(Deserialize)]
struct Sent {
    data: Tickets,
}

#[derive(Deserialize)]
struct Receipts {
    data: BTreeMap<String, Slip>,
}

#[derive(Deserialize)]
struct Failed {
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: String,
}

/// Faults of a whole request, which are ours.
const FAULTS: [&str; 6] = [
    "PUSH_TOO_MANY_EXPERIENCE_IDS",
    "PUSH_TOO_MANY_NOTIFICATIONS",
    "PUSH_TOO_MANY_RECEIPTS",
    "UNAUTHORIZED",
    "VALIDATION_ERROR",
    "TOO_MANY_REQUESTS",
];

impl Expo {
    pub fn new(config: ExpoConfig, clock: Clock) -> Result<Self, ConfigError> {
        let is_token = |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if config.access_token.as_ref().is_some_and(|token| !is_token(token)) {
            return Err(ConfigError::new("access token", "it is visible characters and no spaces"));
        }
        Ok(Self {
            client: http::build(config.network.client()?)?,
            base_url: config.base_url.trim_end_matches('/').to_owned(),
            access_token: config.access_token,
            clock,
        })
    }

    async fn send(&self, target: &Target, notification: &Notification) -> Answer {
        if !is_token(&target.token) {
            return Answer::unregistered("this is no Expo push token");
        }
        let message = Message::new(target, notification);
        let shown = message.shown.as_ref().map_or(0, |shown| shown.title.len() + shown.body.len());
        let told = serde_json::to_vec(&message.data).map_or(usize::MAX, |data| data.len());
        if shown.saturating_add(told) > PAYLOAD_MAX {
            return Answer::refused(format!("over {PAYLOAD_MAX} bytes"));
        }
        let now = (self.clock)();
        let request = self.post("/--/api/v2/push/send").json(&message);
        let reply = match http::ask(request, TICKET_MAX).await {
            Ok(reply) => reply,
            Err(answer) => return answer,
        };
        if !reply.status.is_success() {
            return failed(&reply, now);
        }
        match reply.json::<Sent>() {
            Some(Sent { data: Tickets::One(ticket) | Tickets::Many([ticket]) }) => ticket.answer(),
            None => Answer::later("not an answer of Expo"),
        }
    }

    /// Best asked after fifteen minutes and within a day.
    async fn receipts(&self, ids: &[String]) -> Vec<(String, Answer)> {
        let mut all = Vec::with_capacity(ids.len());
        for some in ids.chunks(RECEIPTS_MAX) {
            match self.some_receipts(some).await {
                Ok(found) => all.extend(found),
                Err(answer) => all.extend(some.iter().map(|id| (id.clone(), answer.clone()))),
            }
        }
        all
    }

    async fn some_receipts(&self, ids: &[String]) -> Result<Vec<(String, Answer)>, Answer> {
        let now = (self.clock)();
        let request = self.post("/--/api/v2/push/getReceipts").json(&json!({"ids": ids}));
        // Not knowing is no end of a notification, whoever's fault it is.
        let later = |answer| match answer {
            Answer::Refused(reason) | Answer::Misconfigured(reason) | Answer::Unregistered(reason) => {
                Answer::later(reason)
            }
            other => other,
        };
        let reply = http::ask(request, RECEIPTS_BODY_MAX).await.map_err(later)?;
        if !reply.status.is_success() {
            return Err(later(failed(&reply, now)));
        }
        let receipts = reply.json::<Receipts>().ok_or_else(|| Answer::later("not an answer of Expo"))?;
        // Only what was asked for: else one answer could switch off devices of others.
        let asked: BTreeSet<&String> = ids.iter().collect();
        let found = receipts.data.into_iter().filter(|(id, _)| asked.contains(id));
        Ok(found.map(|(id, receipt)| (id.clone(), receipt.answer_of(Some(id)))).collect())
    }

    fn post(&self, path: &str) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.base_url)).header("accept", "application/json");
        match &self.access_token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

impl Slip {
    fn answer(self) -> Answer {
        let id = self.id.clone();
        self.answer_of(id)
    }

    fn answer_of(self, id: Option<String>) -> Answer {
        if self.status == "ok" {
            return match id {
                Some(id) if id.len() <= 64 => Answer::Accepted { id: Some(id) },
                _ => Answer::later("not an answer of Expo"),
            };
        }
        match self.details.and_then(|details| details.error).as_deref() {
            Some("DeviceNotRegistered") => Answer::unregistered("DeviceNotRegistered"),
            Some("MessageTooBig") => Answer::refused("MessageTooBig"),
            Some("MessageRateExceeded") => Answer::later("MessageRateExceeded"),
            Some("MismatchSenderId") => Answer::misconfigured("MismatchSenderId: the project's FCM key is another's"),
            Some("InvalidCredentials") => Answer::misconfigured("InvalidCredentials: the project's push credentials"),
            Some("DeveloperError") => Answer::refused("DeveloperError"),
            Some("ExpoError") => Answer::later("ExpoError"),
            Some("ProviderError") => Answer::later("ProviderError"),
            _ => Answer::refused("an error that is not documented"),
        }
    }
}

fn failed(reply: &Reply, now: Timestamp) -> Answer {
    let said = reply.json::<Failed>().and_then(|failed| failed.errors.into_iter().next()).map(|fault| fault.code);
    let code = FAULTS.into_iter().find(|known| said.as_deref() == Some(known));
    let reason = code.map_or_else(|| format!("status {}", reply.status.as_u16()), str::to_owned);
    if reply.is_passing() || code == Some("TOO_MANY_REQUESTS") {
        reply.later(now, None, reason)
    } else if code == Some("UNAUTHORIZED") {
        Answer::misconfigured(reason)
    } else {
        reply.for_good(reason)
    }
}

fn is_token(token: &str) -> bool {
    let inner = token.strip_prefix("ExponentPushToken[").or_else(|| token.strip_prefix("ExpoPushToken["));
    let inner = inner.and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| {
        (1..=256).contains(&inner.len())
            && inner.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    })
}

impl Provider for Expo {
    fn name(&self) -> &'static str {
        "expo"
    }

    fn send<'a>(&'a self, target: &'a Target, notification: &'a Notification) -> BoxFuture<'a, Answer> {
        Box::pin(self.send(target, notification))
    }

    fn gives_receipts(&self) -> bool {
        true
    }

    fn receipts<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Vec<(String, Answer)>> {
        Box::pin(self.receipts(ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_expos_form() {
        assert!(is_token("ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]") && is_token("ExpoPushToken[a-b_C1]"));
        for token in ["", "ExponentPushToken[]", "ExponentPushToken[a", "PushToken[a]", "ExponentPushToken[a]\"]"] {
            assert!(!is_token(token), "{token}");
        }
    }
}
