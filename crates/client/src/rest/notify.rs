//! Where one is notified, and when one wants to be left alone.

use serde::Deserialize;
use tertulia_proto::device::{
    NotificationSettings, NotificationSettingsPatch, PushOffer, RegisterDevice, UnregisterDevice,
};
use tertulia_proto::{Device, DeviceTest, QuietHours};

use super::{Rest, Rested, json};
use crate::platform::Method;

#[derive(Deserialize)]
struct Devices {
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct Tested {
    results: Vec<DeviceTest>,
}

impl Rest {
    /// By which providers this server notifies, and what a browser subscribes with.
    pub async fn push_offer(&self) -> Rested<PushOffer> {
        self.ask(Method::Get, "/api/v1/push", None).await
    }

    /// Registers this device for notifications, or renews that; to be done whenever the app starts. It ends with the session. [`crate::Client::register_push`]
    /// does it as often as needed, and only so this device tells by itself what has reached it.
    pub async fn register_device(&self, device: &RegisterDevice) -> Rested<Device> {
        self.ask(Method::Post, "/api/v1/devices/register", Some(json(device)?)).await
    }

    pub async fn unregister_device(&self, which: &UnregisterDevice) -> Rested<()> {
        self.tell(Method::Post, "/api/v1/devices/unregister", Some(json(which)?)).await
    }

    /// One's registered devices, the latest registration first.
    pub async fn devices(&self) -> Rested<Vec<Device>> {
        let all: Devices = self.ask(Method::Get, "/api/v1/devices", None).await?;
        Ok(all.devices)
    }

    /// Sends a notification to each of one's devices that is switched on, and tells what the providers answered.
    pub async fn test_devices(&self) -> Rested<Vec<DeviceTest>> {
        let tested: Tested = self.ask(Method::Post, "/api/v1/devices/test", None).await?;
        Ok(tested.results)
    }

    pub async fn notification_settings(&self) -> Rested<NotificationSettings> {
        self.ask(Method::Get, "/api/v1/me/notifications", None).await
    }

    /// On all one's devices; what is absent stays.
    pub async fn update_notification_settings(
        &self,
        patch: &NotificationSettingsPatch,
    ) -> Rested<NotificationSettings> {
        self.ask(Method::Patch, "/api/v1/me/notifications", Some(json(patch)?)).await
    }

    /// `None`: notifications may come at any time.
    pub async fn set_do_not_disturb(&self, hours: Option<QuietHours>) -> Rested<NotificationSettings> {
        self.update_notification_settings(&NotificationSettingsPatch { do_not_disturb: Some(hours) }).await
    }
}
