//! The shapes of what is about notifications.

use serde::{Deserialize, Serialize};
use tertulia_client::proto;

use crate::model::Ms;

/// How this server notifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct PushOffer {
    #[cfg_attr(test, ts(type = "Array<string>"))]
    pub providers: Vec<proto::PushProvider>,
    /// What a browser subscribes with (RFC 8292), in base64url; null where it can't be notified.
    pub vapid_public_key: Option<String>,
}

impl From<proto::device::PushOffer> for PushOffer {
    fn from(offer: proto::device::PushOffer) -> Self {
        Self { providers: offer.providers, vapid_public_key: offer.vapid_public_key }
    }
}

/// A device of one's own that is registered for notifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, ts(rename = "NotifiedDevice"))]
pub struct Device {
    pub id: String,
    #[cfg_attr(test, ts(type = "\"ios\" | \"android\" | \"web\""))]
    pub platform: proto::Platform,
    pub app_version: Option<String>,
    pub user_agent: Option<String>,
    /// The local store there, where it said which it is.
    pub device_id: Option<String>,
    /// Its notifications say who and what.
    pub shows_content: bool,
    pub registered_at: Ms,
    /// Notifications go there; otherwise `failure` says why not.
    pub active: bool,
    pub failure: Option<String>,
}

impl From<proto::Device> for Device {
    fn from(device: proto::Device) -> Self {
        Self {
            id: device.id.to_string(),
            platform: device.platform,
            app_version: device.app_version,
            user_agent: device.user_agent,
            device_id: device.device_id.map(|id| id.to_string()),
            shows_content: device.shows_content,
            registered_at: device.registered_at.into(),
            active: device.active,
            failure: device.failure,
        }
    }
}

/// What became of a test notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum TestOutcome {
    /// The provider took it; whether the device shows it is the device's business.
    Accepted,
    /// May work later.
    Failed,
    /// Will not work as it is.
    Refused,
    /// The device is switched off until it registers again.
    Unregistered,
}

impl From<proto::TestOutcome> for TestOutcome {
    fn from(outcome: proto::TestOutcome) -> Self {
        match outcome {
            proto::TestOutcome::Accepted => Self::Accepted,
            proto::TestOutcome::Failed => Self::Failed,
            proto::TestOutcome::Refused => Self::Refused,
            proto::TestOutcome::Unregistered => Self::Unregistered,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct DeviceTest {
    /// The registration.
    pub id: String,
    pub outcome: TestOutcome,
    /// The provider's name for it, or why not.
    pub detail: String,
}

impl From<proto::DeviceTest> for DeviceTest {
    fn from(test: proto::DeviceTest) -> Self {
        Self { id: test.id.to_string(), outcome: test.outcome.into(), detail: test.detail }
    }
}

/// Every day from one time (`HH:MM`) to another, over midnight where `to` is the earlier one. What comes then waits for the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct QuietHours {
    pub from: String,
    pub to: String,
    /// Such as `Europe/Madrid`.
    pub time_zone: String,
}

impl From<proto::QuietHours> for QuietHours {
    fn from(hours: proto::QuietHours) -> Self {
        Self { from: hours.from, to: hours.to, time_zone: hours.time_zone }
    }
}

impl From<QuietHours> for proto::QuietHours {
    fn from(hours: QuietHours) -> Self {
        Self { from: hours.from, to: hours.to, time_zone: hours.time_zone }
    }
}

/// How one is notified, on all one's devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, ts(rename = "NotificationSettings"))]
pub struct Settings {
    pub do_not_disturb: Option<QuietHours>,
}

impl From<proto::device::NotificationSettings> for Settings {
    fn from(settings: proto::device::NotificationSettings) -> Self {
        Self { do_not_disturb: settings.do_not_disturb.map(QuietHours::from) }
    }
}
