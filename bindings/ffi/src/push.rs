//! Notifications, and the moments in the background that they wake an app for.

use std::sync::Arc;
use std::time::Duration;

use tertulia_client::proto::device::{NotificationSettings, PushOffer};
use tertulia_client::proto::{
    Device, DeviceId, DeviceTest, Platform, PushProvider, QuietHours, RegistrationId, TestOutcome,
};
use tertulia_client::{PushRegistration, PushState, Timestamp};

use crate::client::Client;
use crate::error::TertuliaError;
use crate::model::texts;
use crate::runtime::{Cancel, run};
use crate::subscriptions::PushWatch;

type Done<T = ()> = Result<T, TertuliaError>;

texts!(DeviceId RegistrationId);

#[uniffi::remote(Enum)]
pub enum Platform {
    Ios,
    Android,
    Web,
}

/// Whose service brings a notification.
#[uniffi::remote(Enum)]
pub enum PushProvider {
    /// Firebase Cloud Messaging; the token is the registration token.
    Fcm,
    /// Apple's, directly; the token is the device token in hexadecimal.
    Apns,
    /// The token is an Expo push token.
    Expo,
    /// UnifiedPush; the token is the subscription as JSON: `{"endpoint", "keys": {"p256dh", "auth"}}`.
    Webpush,
}

/// How this device is notified.
#[uniffi::remote(Record)]
pub struct PushRegistration {
    /// As the provider gave it.
    pub token: String,
    pub platform: Platform,
    pub provider: PushProvider,
    pub app_version: Option<String>,
    /// `false`: notifications say neither who nor what.
    pub shows_content: bool,
}

#[uniffi::remote(Enum)]
pub enum PushState {
    /// The app has not asked for it.
    Off,
    /// The server does not know yet: there is no network, nobody has signed in, or it is being told.
    Waiting,
    Registered,
    /// The server will not have it as it is.
    Refused {
        reason: String,
    },
}

/// A registered device of one's own.
#[uniffi::remote(Record)]
pub struct Device {
    pub id: RegistrationId,
    pub platform: Platform,
    pub provider: PushProvider,
    pub app_version: Option<String>,
    /// What the client that registered it called itself.
    pub user_agent: Option<String>,
    /// The client's local store, where it said so.
    pub device_id: Option<DeviceId>,
    pub shows_content: bool,
    pub created_at: Timestamp,
    /// When it was last registered.
    pub registered_at: Timestamp,
    /// Notifications go there. Otherwise `failure` says why not; registering again switches it on.
    pub active: bool,
    pub failure: Option<String>,
}

#[uniffi::remote(Enum)]
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

/// What became of a test notification at one device.
#[uniffi::remote(Record)]
pub struct DeviceTest {
    pub id: RegistrationId,
    pub outcome: TestOutcome,
    /// The provider's name for it, or why not.
    pub detail: String,
}

/// Which providers the server has, and its key for Web Push.
#[uniffi::remote(Record)]
pub struct PushOffer {
    pub providers: Vec<PushProvider>,
    pub vapid_public_key: Option<String>,
}

/// Every day from one time to another, over midnight where `to` is the earlier one. What comes then waits for the end.
#[uniffi::remote(Record)]
pub struct QuietHours {
    /// `HH:MM`.
    pub from: String,
    /// `HH:MM`; not the same as `from`.
    pub to: String,
    /// A name of the IANA time zone database, such as `Europe/Madrid`.
    pub time_zone: String,
}

/// How one is notified, on all one's devices.
#[uniffi::remote(Record)]
pub struct NotificationSettings {
    pub do_not_disturb: Option<QuietHours>,
}

/// How far a moment in the background came.
#[derive(Debug, uniffi::Record)]
pub struct SyncOutcome {
    /// All that was new is on this device.
    pub is_caught_up: bool,
    /// And all that this device had to tell is told.
    pub is_done: bool,
    /// What still waits in the outbox, what was refused included.
    pub outbox_len: u64,
}

impl From<tertulia_client::SyncOutcome> for SyncOutcome {
    fn from(outcome: tertulia_client::SyncOutcome) -> Self {
        let tertulia_client::SyncOutcome { is_caught_up, is_done, outbox_len } = outcome;
        Self { is_caught_up, is_done, outbox_len: u64::try_from(outbox_len).unwrap_or(u64::MAX) }
    }
}

#[uniffi::export]
impl Client {
    /// This device is to be notified. Kept when it returns, with or without a network; the server is told as soon as it can be reached, and again at every
    /// start. To be called whenever the system gives a token; the same again costs nothing.
    pub fn register_push(&self, registration: PushRegistration) -> Done {
        Ok(self.0.register_push(registration)?)
    }

    /// No more notifications on this device; the server is told as soon as it can be.
    pub fn unregister_push(&self) -> Done {
        Ok(self.0.unregister_push()?)
    }

    /// What became of `register_push`.
    pub fn push_state(&self) -> Arc<PushWatch> {
        PushWatch::new(self.0.push_state())
    }

    /// How this device names itself to the server; another after `log_out`.
    pub fn device_id(&self) -> Done<Option<DeviceId>> {
        Ok(self.0.device_id()?)
    }

    /// For the moments that the system gives an app in the background: connects, catches up, sends what waits as far as it comes, and tells what has come, so
    /// that it is not notified of. Over as soon as that is done, at the latest at the limit; then the connection is again as it was.
    #[uniffi::method(default(limit_ms = 25000, cancel = None))]
    pub async fn background_sync(&self, limit_ms: u64, cancel: Option<Arc<Cancel>>) -> Done<SyncOutcome> {
        let client = self.0.clone();
        let limit = Duration::from_millis(limit_ms);
        run(cancel, async move { Ok(client.background_sync(limit).await?.into()) }).await
    }

    /// By which providers this server notifies.
    pub async fn push_offer(&self) -> Done<PushOffer> {
        let rest = self.0.rest().clone();
        run(None, async move { Ok(rest.push_offer().await?) }).await
    }

    /// One's registered devices, the latest registration first.
    pub async fn devices(&self) -> Done<Vec<Device>> {
        let rest = self.0.rest().clone();
        run(None, async move { Ok(rest.devices().await?) }).await
    }

    /// Sends a notification to each of one's devices that is switched on, and says what the providers answered.
    pub async fn test_devices(&self) -> Done<Vec<DeviceTest>> {
        let rest = self.0.rest().clone();
        run(None, async move { Ok(rest.test_devices().await?) }).await
    }

    pub async fn notification_settings(&self) -> Done<NotificationSettings> {
        let rest = self.0.rest().clone();
        run(None, async move { Ok(rest.notification_settings().await?) }).await
    }

    /// On all one's devices; without `hours` notifications may come at any time.
    #[uniffi::method(default(hours = None))]
    pub async fn set_do_not_disturb(&self, hours: Option<QuietHours>) -> Done<NotificationSettings> {
        let rest = self.0.rest().clone();
        run(None, async move { Ok(rest.set_do_not_disturb(hours).await?) }).await
    }
}
