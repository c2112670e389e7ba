//! What a push service's answers mean: RFC 8030, 5 and 7; RFC 8292, 4.2.

use reqwest::StatusCode;
use serde::Deserialize;
use tertulia_proto::Timestamp;

use crate::http::Reply;
use crate::provider::Answer;

/// Apple's words. Others' texts are not shown: they could quote anything.
const REASONS: [&str; 10] = [
    "BadAuthorizationHeader",
    "BadContentEncoding",
    "BadExpirationDate",
    "BadJwtToken",
    "BadUrgency",
    "BadWebPushTopic",
    "ExpiredJwtToken",
    "PayloadTooLarge",
    "TooManyRequests",
    "VapidPkHashMismatch",
];

/// Of them: the VAPID key, or the clock.
const OURS: [&str; 4] = ["BadAuthorizationHeader", "BadJwtToken", "ExpiredJwtToken", "VapidPkHashMismatch"];

#[derive(Deserialize)]
struct Fault {
    reason: String,
}

pub fn of(reply: &Reply, now: Timestamp) -> Answer {
    let status = reply.status.as_u16();
    let said = reply.json::<Fault>().map(|fault| fault.reason);
    let reason = REASONS.into_iter().find(|known| said.as_deref() == Some(known));
    let reason = reason.map_or_else(|| format!("status {status}"), |reason| format!("status {status}, {reason}"));
    match reply.status {
        // 201, or 202 where a receipt will follow. `Location` lets its holder take the message back, so it is not kept.
        status if status.is_success() => Answer::Accepted { id: None },
        // "A push service MUST return a 404 (Not Found) status code if an application server attempts to send a push message to an expired push message
        // subscription" (RFC 8030, 7.3); in practice it is 410.
        StatusCode::NOT_FOUND | StatusCode::GONE => Answer::unregistered(reason),
        _ if reply.is_passing() => reply.later(now, None, reason),
        _ if said.as_deref().is_some_and(|said| OURS.contains(&said)) => Answer::misconfigured(reason),
        _ => reply.for_good(reason),
    }
}
