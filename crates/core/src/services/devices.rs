//! Where one is notified: registering devices, trying them, and when one wants to be left alone.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use futures_util::future::{BoxFuture, join_all};
use serde::Deserialize;
use tertulia_proto::device::{
    NotificationSettings, NotificationSettingsPatch, PushOffer, RegisterDevice, UnregisterDevice,
};
use tertulia_proto::{ApiError, Device, DeviceTest, ErrorCode, PushProvider, RegistrationId, TestOutcome, Timestamp};
use tertulia_store::push::{NewRegistration, PushTarget, WhichDevice, token_hash};

use super::Services;
use crate::auth::{Identity, Scope};
use crate::quiet;
use crate::write::store_failed;

const APP_VERSION_MAX_CHARS: usize = 64;
const USER_AGENT_MAX_CHARS: usize = 200;

/// Apple: a token's length may change; it is hexadecimal.
const APNS_TOKEN_CHARS: std::ops::RangeInclusive<usize> = 32..=400;

/// Sends somebody a notification at once.
pub trait TestSender: Send + Sync {
    /// What came of it, and the provider's name for it or the reason.
    fn send_test(&self, target: PushTarget) -> BoxFuture<'_, (TestOutcome, String)>;
}

/// How this server notifies.
#[derive(Clone)]
pub struct Notifying {
    pub offer: PushOffer,
    /// How long those who are there have to say that they have got a message, in milliseconds.
    pub grace_ms: i64,
    pub tester: Option<Arc<dyn TestSender>>,
}

impl Notifying {
    /// When it is looked who has to be told of a message: never, where nobody can be.
    pub(super) fn looked_at(&self, now: Timestamp) -> Option<Timestamp> {
        (!self.offer.providers.is_empty()).then(|| now.plus_ms(self.grace_ms))
    }
}

impl Default for Notifying {
    fn default() -> Self {
        Self { offer: PushOffer { providers: Vec::new(), vapid_public_key: None }, grace_ms: 3000, tester: None }
    }
}

impl fmt::Debug for Notifying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifying").field("offer", &self.offer).finish_non_exhaustive()
    }
}

impl Services {
    /// What a device can be registered for here.
    pub fn push_offer(&self) -> &PushOffer {
        &self.notifying.offer
    }

    /// Registers a device, or renews what is registered. `user_agent`: what the client calls itself.
    pub async fn register_device(
        &self,
        actor: &Identity,
        request: RegisterDevice,
        user_agent: Option<&str>,
    ) -> Result<Device, ApiError> {
        actor.require(Scope::UsersWrite)?;
        // Notifications say what was written: who registers a device reads.
        actor.require(Scope::ChatRead)?;
        self.rates.changes.take(actor.user, self.now())?;
        if !self.notifying.offer.providers.contains(&request.provider) {
            let why = format!("provider: this server does not notify by {}; see GET /push", request.provider);
            return Err(ApiError::invalid(why));
        }
        self.check_token(request.provider, &request.token)?;
        if request.app_version.as_deref().is_some_and(|text| text.chars().count() > APP_VERSION_MAX_CHARS) {
            return Err(ApiError::too_large("appVersion", APP_VERSION_MAX_CHARS, "characters"));
        }
        let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(USER_AGENT_MAX_CHARS).collect();
        let new = NewRegistration {
            id: RegistrationId::from_uuid(self.powers.new_uuid()),
            user: actor.user,
            // An API key's id stands in for a session: what it registered goes with it.
            session: Some(actor.session),
            device: request.device_id,
            provider: request.provider,
            platform: request.platform,
            token: request.token,
            app_version: request.app_version.map(|text| text.replace('\0', "")),
            user_agent: user_agent.map(cut),
            shows_content: request.shows_content,
            per_user_max: self.limits.devices_per_user_max,
            now: self.now(),
        };
        self.store.push().register(new).await.map_err(|e| store_failed(&e))
    }

    /// Its form, so far as it can be told without asking the provider.
    fn check_token(&self, provider: PushProvider, token: &str) -> Result<(), ApiError> {
        if token.len() > self.limits.device_token_max_bytes {
            return Err(ApiError::too_large("token", self.limits.device_token_max_bytes, "bytes"));
        }
        let is_plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        let (is_good, form) = match provider {
            PushProvider::Fcm => (is_plain, "an FCM registration token"),
            PushProvider::Apns => {
                let is_hex = token.bytes().all(|b| b.is_ascii_hexdigit());
                (is_hex && APNS_TOKEN_CHARS.contains(&token.len()), "a device token of APNs in hexadecimal")
            }
            PushProvider::Expo => {
                let has_form = ["ExponentPushToken[", "ExpoPushToken["].iter().any(|form| token.starts_with(form));
                (is_plain && has_form && token.ends_with(']'), "an Expo push token, ExponentPushToken[...]")
            }
            PushProvider::Webpush => (
                is_subscription(token),
                "a push subscription as JSON: {\"endpoint\": \"https://...\", \"keys\": {\"p256dh\", \"auth\"}}",
            ),
        };
        if is_good { Ok(()) } else { Err(ApiError::invalid(format!("token: must be {form}"))) }
    }

    /// `not_found` where one has no such device.
    pub async fn unregister_device(&self, actor: &Identity, request: UnregisterDevice) -> Result<(), ApiError> {
        actor.require(Scope::UsersWrite)?;
        self.rates.changes.take(actor.user, self.now())?;
        let which = match (request.id, request.token) {
            (Some(id), None) => WhichDevice::Id(id),
            (None, Some(token)) => WhichDevice::Token(token),
            _ => return Err(ApiError::invalid("id, token: one of the two is needed")),
        };
        let was_there = self.store.push().unregister(actor.user, which).await.map_err(|e| store_failed(&e))?;
        if was_there { Ok(()) } else { Err(ApiError::not_found("device")) }
    }

    /// One's own, the latest registration first.
    pub async fn devices(&self, actor: &Identity) -> Result<Vec<Device>, ApiError> {
        actor.require(Scope::UsersRead)?;
        self.store.push().devices(actor.user).await.map_err(|e| store_failed(&e))
    }

    /// Sends a notification to each of one's devices, and says what came of it.
    pub async fn test_devices(&self, actor: &Identity) -> Result<Vec<DeviceTest>, ApiError> {
        actor.require(Scope::UsersWrite)?;
        let Some(tester) = self.notifying.tester.as_deref() else {
            return Err(ApiError::new(ErrorCode::Unavailable, "this server notifies nobody: no provider is set up"));
        };
        self.rates.push_tests.take_with(self.shared(), actor.user, self.now()).await?;
        let targets = self.store.push().targets(actor.user).await.map_err(|e| store_failed(&e))?;
        let one = |target: PushTarget| async move {
            let (id, hash) = (target.registration, token_hash(target.provider, &target.token));
            let (outcome, detail) = tester.send_test(target).await;
            if outcome == TestOutcome::Unregistered {
                let done = self.store.push().switch_off(id, hash, detail.clone(), self.now()).await;
                done.map_err(|e| store_failed(&e))?;
            }
            Ok(DeviceTest { id, outcome, detail })
        };
        join_all(targets.into_iter().map(one)).await.into_iter().collect()
    }

    pub async fn notification_settings(&self, actor: &Identity) -> Result<NotificationSettings, ApiError> {
        actor.require(Scope::UsersRead)?;
        self.settings_of(actor).await
    }

    async fn settings_of(&self, actor: &Identity) -> Result<NotificationSettings, ApiError> {
        let do_not_disturb = self.store.push().quiet_hours(actor.user).await.map_err(|e| store_failed(&e))?;
        Ok(NotificationSettings { do_not_disturb })
    }

    pub async fn change_notification_settings(
        &self,
        actor: &Identity,
        patch: NotificationSettingsPatch,
    ) -> Result<NotificationSettings, ApiError> {
        actor.require(Scope::UsersWrite)?;
        self.rates.changes.take(actor.user, self.now())?;
        if let Some(hours) = patch.do_not_disturb {
            if let Some(hours) = &hours {
                quiet::check(hours)?;
            }
            self.store.push().set_quiet_hours(actor.user, hours).await.map_err(|e| store_failed(&e))?;
        }
        self.settings_of(actor).await
    }
}

#[derive(Deserialize)]
struct Subscription {
    endpoint: String,
    keys: Keys,
}

#[derive(Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

/// RFC 8291: an uncompressed point of P-256 and 16 bytes. Where the endpoint leads is looked at whenever something is sent there.
fn is_subscription(token: &str) -> bool {
    let Ok(Subscription { endpoint, keys }) = serde_json::from_str(token) else { return false };
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).unwrap_or_default();
    let is_point = matches!(&decoded(&keys.p256dh)[..], [4, rest @ ..] if rest.len() == 64);
    let is_web = endpoint.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    is_web && endpoint.bytes().all(|b| b.is_ascii_graphic()) && is_point && decoded(&keys.auth).len() == 16
}
