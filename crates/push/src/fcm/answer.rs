//! What FCM's answers mean.
//!
//! An error is a `google.rpc.Status`; the code that counts is in its details (`google.firebase.fcm.v1.FcmError`). The status alone is not believed when it
//! would cost a device its registration: a wrong project, or a proxy, says 404 as well.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use tertulia_proto::Timestamp;

use crate::http::Reply;
use crate::provider::Answer;

/// "If no retry-after header is set, default to 60 seconds":
/// <https://firebase.google.com/docs/cloud-messaging/scale-fcm#handling-retries>, of 429.
const QUOTA_WAIT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Sent {
    /// `projects/*/messages/{message_id}`
    name: String,
}

#[derive(Deserialize)]
struct Failed {
    error: Status,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "errorCode")]
    error_code: Option<String>,
    #[serde(rename = "fieldViolations", default)]
    field_violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default)]
    field: String,
}

impl Status {
    fn code(&self) -> Option<&str> {
        self.details.iter().find_map(|detail| detail.error_code.as_deref())
    }

    /// `INVALID_ARGUMENT` is said of a token that is none and of a message that is wrong. The documentation promises the field
    /// (`google.rpc.BadRequest`), but answers without it were seen, with this sentence alone:
    /// <https://github.com/firebase/firebase-admin-java/issues/1064>.
    fn is_about_the_token(&self) -> bool {
        let mut fields = self.details.iter().flat_map(|detail| &detail.field_violations);
        fields.any(|violation| violation.field == "message.token")
            || self.message.starts_with("The registration token is not a valid FCM registration token")
    }
}

pub fn of(reply: &Reply, now: Timestamp) -> Answer {
    if reply.status.is_success() {
        // A stranger's 200 is no delivery; told again, it replaces itself on the device.
        return match reply.json::<Sent>() {
            Some(sent) if sent.name.starts_with("projects/") => Answer::Accepted { id: Some(sent.name) },
            _ => Answer::later("not an answer of FCM"),
        };
    }
    let status = reply.status.as_u16();
    let failed = reply.json::<Failed>().map(|failed| failed.error);
    let is_about_the_token = failed.as_ref().is_some_and(Status::is_about_the_token);
    match failed.as_ref().and_then(Status::code) {
        Some("UNREGISTERED") => Answer::unregistered("UNREGISTERED"),
        Some("INVALID_ARGUMENT") if is_about_the_token => Answer::unregistered("INVALID_ARGUMENT of the token"),
        Some("INVALID_ARGUMENT") => Answer::refused("INVALID_ARGUMENT"),
        // The device is registered with another project than ours. That is a wrong setting as often as a stray device, and a wrong setting may not cost
        // all devices their registration.
        Some("SENDER_ID_MISMATCH") => Answer::misconfigured("SENDER_ID_MISMATCH: the devices are another project's"),
        Some("THIRD_PARTY_AUTH_ERROR") => {
            Answer::misconfigured("THIRD_PARTY_AUTH_ERROR: the project's APNs key is missing or wrong")
        }
        Some("QUOTA_EXCEEDED") => reply.later(now, Some(QUOTA_WAIT), "QUOTA_EXCEEDED"),
        Some("UNAVAILABLE") => reply.later(now, None, "UNAVAILABLE"),
        Some("INTERNAL") => reply.later(now, None, "INTERNAL"),
        _ if reply.status == StatusCode::TOO_MANY_REQUESTS => reply.later(now, Some(QUOTA_WAIT), "status 429"),
        _ if reply.is_passing() => reply.later(now, None, format!("status {status}")),
        // A project that is not there, or none of ours: a device that is gone has a code.
        None if reply.status == StatusCode::NOT_FOUND => Answer::misconfigured("status 404"),
        _ => reply.for_good(format!("status {status}")),
    }
}

/// A 401 that no access token of ours would mend.
pub fn is_of_a_third_party(reply: &Reply) -> bool {
    reply.json::<Failed>().is_some_and(|failed| failed.error.code() == Some("THIRD_PARTY_AUTH_ERROR"))
}
