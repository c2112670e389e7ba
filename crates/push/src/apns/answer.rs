//! What APNs' answers mean:
//! <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use tertulia_proto::Timestamp;

use crate::http::Reply;
use crate::provider::Answer;

/// The token that is too new now is an old one by then.
const TOKEN_UPDATES_WAIT: Duration = Duration::from_mins(20);

/// The device is not there, or not with this app: the table's reasons for which it is switched off.
const GONE: [&str; 4] = ["BadDeviceToken", "DeviceTokenNotForTopic", "ExpiredToken", "Unregistered"];

/// Over sooner or later.
const PASSING: [&str; 5] = ["IdleTimeout", "InternalServerError", "ServiceUnavailable", "Shutdown", "TooManyRequests"];

/// The key, the topic or the clock: for the owner to mend. A reason that nobody knows is not shown: it could be anything.
const OURS: [&str; 13] = [
    "BadCertificate",
    "BadCertificateEnvironment",
    "BadEnvironmentKeyIdInToken",
    "BadExpirationDate",
    "BadTopic",
    "ExpiredProviderToken",
    "Forbidden",
    "InvalidProviderToken",
    "MissingProviderToken",
    "MissingTopic",
    "TopicDisallowed",
    "TopicMismatch",
    "UnrelatedKeyIdInToken",
];

/// Of what was sent.
const WRONG: [&str; 10] = [
    "BadCollapseId",
    "BadMessageId",
    "BadPath",
    "BadPriority",
    "DuplicateHeaders",
    "InvalidPushType",
    "MethodNotAllowed",
    "MissingDeviceToken",
    "PayloadEmpty",
    "PayloadTooLarge",
];

pub enum Verdict {
    Is(Answer),
    /// The provider token is too old.
    Stale,
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Is(answer) => answer,
            Verdict::Stale => Self::misconfigured("ExpiredProviderToken: does this machine's clock go wrong?"),
        }
    }
}

#[derive(Deserialize)]
struct Fault {
    reason: String,
    /// Of 410: milliseconds since 1970, when APNs was sure that the token is no longer valid.
    timestamp: Option<i64>,
}

pub fn of(reply: &Reply, now: Timestamp) -> Verdict {
    if reply.status == StatusCode::OK {
        // "APNs creates a new UUID and returns it": an answer without it is somebody else's.
        return Verdict::Is(match reply.header("apns-id") {
            Some(id) if id.len() <= 64 => Answer::Accepted { id: Some(id.to_owned()) },
            _ => Answer::later("not an answer of APNs"),
        });
    }
    let fault = reply.json::<Fault>();
    let reason = fault.as_ref().map_or("", |fault| fault.reason.as_str());
    if reply.status == StatusCode::FORBIDDEN && reason == "ExpiredProviderToken" {
        return Verdict::Stale;
    }
    let known = |list: &[&'static str]| list.iter().copied().find(|known| *known == reason);
    let status = format!("status {}", reply.status.as_u16());
    Verdict::Is(if let Some(reason) = known(&GONE) {
        let since = fault.and_then(|fault| fault.timestamp).map(Timestamp::from_ms);
        Answer::unregistered(since.map_or_else(|| reason.to_owned(), |since| format!("{reason} since {since}")))
    } else if reason == "TooManyProviderTokenUpdates" {
        reply.later(now, Some(TOKEN_UPDATES_WAIT), reason)
    } else if let Some(reason) = known(&PASSING) {
        reply.later(now, None, reason)
    } else if let Some(reason) = known(&OURS) {
        Answer::misconfigured(reason)
    } else if let Some(reason) = known(&WRONG) {
        Answer::refused(reason)
    } else if reply.status == StatusCode::GONE {
        // "The device token is no longer active for the topic", whatever the reason is called.
        Answer::unregistered(status)
    } else if reply.is_passing() {
        reply.later(now, None, status)
    } else {
        reply.for_good(status)
    })
}
