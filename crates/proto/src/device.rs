//! Where a person can be notified: registered devices, and when they want to be left alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, RegistrationId};
use crate::request::present;
use crate::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    Ios,
    Android,
    Web,
}

impl Platform {
    pub const fn number(self) -> i64 {
        match self {
            Self::Ios => 0,
            Self::Android => 1,
            Self::Web => 2,
        }
    }

    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Ios),
            1 => Some(Self::Android),
            2 => Some(Self::Web),
            _ => None,
        }
    }
}

/// Whose service brings a notification to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum PushProvider {
    /// Firebase Cloud Messaging; the token is the registration token.
    Fcm,
    /// Apple's, directly; the token is the device token in hexadecimal.
    Apns,
    /// The token is an Expo push token.
    Expo,
    /// RFC 8030, and UnifiedPush; the token is the subscription as JSON: `{"endpoint", "keys": {"p256dh", "auth"}}`.
    Webpush,
}

impl PushProvider {
    pub const ALL: [Self; 4] = [Self::Fcm, Self::Apns, Self::Expo, Self::Webpush];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fcm => "fcm",
            Self::Apns => "apns",
            Self::Expo => "expo",
            Self::Webpush => "webpush",
        }
    }

    pub const fn number(self) -> i64 {
        match self {
            Self::Fcm => 0,
            Self::Apns => 1,
            Self::Expo => 2,
            Self::Webpush => 3,
        }
    }

    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Fcm),
            1 => Some(Self::Apns),
            2 => Some(Self::Expo),
            3 => Some(Self::Webpush),
            _ => None,
        }
    }

    /// The kind of the jobs that send over it: each provider's wait in a line of their own.
    pub const fn job_kind(self) -> &'static str {
        match self {
            Self::Fcm => "push.fcm",
            Self::Apns => "push.apns",
            Self::Expo => "push.expo",
            Self::Webpush => "push.webpush",
        }
    }
}

impl fmt::Display for PushProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A registered device of one's own. Its token is not told again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Device {
    pub id: RegistrationId,
    pub platform: Platform,
    pub provider: PushProvider,
    pub app_version: Option<String>,
    /// What the client that registered it called itself (`User-Agent`), its first 200 characters.
    pub user_agent: Option<String>,
    /// The client's local store, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// Notifications say who and what; otherwise only that there is something.
    pub shows_content: bool,
    pub created_at: Timestamp,
    /// When it was last registered.
    pub registered_at: Timestamp,
    /// Notifications go there. Otherwise `failure` says why not; registering again switches it on.
    pub active: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The same token again renews it; one that was another person's is theirs no more.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RegisterDevice {
    /// As the provider gave it; at most 4096 bytes.
    pub token: String,
    pub platform: Platform,
    pub provider: PushProvider,
    /// At most 64 characters.
    #[serde(default)]
    pub app_version: Option<String>,
    /// The local store that names itself when it connects: what it has got over a socket needs no notification.
    #[serde(default)]
    pub device_id: Option<DeviceId>,
    /// `false`: notifications on this device say neither who nor what. `true` where absent.
    #[serde(default = "yes")]
    pub shows_content: bool,
}

const fn yes() -> bool {
    true
}

/// Without the token: whoever has it can notify the device.
impl fmt::Debug for RegisterDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterDevice").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// One of the two.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct UnregisterDevice {
    #[serde(default)]
    pub token: Option<String>,
    #[serde(default)]
    pub id: Option<RegistrationId>,
}

impl fmt::Debug for UnregisterDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnregisterDevice").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Every day from one time to another, over midnight where `to` is the earlier one. What comes then waits for the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct QuietHours {
    /// `HH:MM`.
    pub from: String,
    /// `HH:MM`; not the same as `from`.
    pub to: String,
    /// A name of the IANA time zone database, such as `Europe/Madrid`.
    pub time_zone: String,
}

/// How one is notified, on all one's devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NotificationSettings {
    pub do_not_disturb: Option<QuietHours>,
}

/// What is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NotificationSettingsPatch {
    /// `null` ends it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<QuietHours>))]
    pub do_not_disturb: Option<Option<QuietHours>>,
}

/// What a client needs to know before it can register: which providers this server has, and its key for Web Push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PushOffer {
    pub providers: Vec<PushProvider>,
    /// The `applicationServerKey` of RFC 8292: an uncompressed point of P-256 in base64url. Of whoever offers Web Push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vapid_public_key: Option<String>,
}

/// What became of a test notification at one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeviceTest {
    pub id: RegistrationId,
    pub outcome: TestOutcome,
    /// The provider's name for it, or why not.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TestOutcome {
    /// The provider took it; whether the device shows it is the device's business.
    Accepted,
    /// May work later.
    Failed,
    /// Will not work as it is.
    Refused,
    /// The token is no longer valid: the device is switched off until it registers again.
    Unregistered,
}
