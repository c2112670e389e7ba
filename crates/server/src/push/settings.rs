//! What can be set about notifications: the owner's own keys with each provider, and what notifications say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tertulia_core::Powers;
use tertulia_proto::PushProvider;
use tertulia_push::{
    Apns, ApnsConfig, Clock, Expo, ExpoConfig, Fcm, FcmConfig, Network, Policy, Provider, WebPush, WebPushConfig,
};

use crate::settings::Switch;
use tertulia_notify::Pushing;

const HOUR_MS: i64 = 3_600_000;

/// A provider is used where its keys are set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushSettings {
    /// How long a device has to say that it has a message before it is notified, in milliseconds.
    pub grace_ms: u32,
    /// `on`: no notification says who wrote what.
    pub private: Switch,
    /// What notifications say instead of who, and instead of what.
    pub name: String,
    pub private_text: String,
    /// Nobody is notified of what is older, in hours.
    pub age_max_hours: u16,
    /// For how long it is kept what was sent where, in days.
    pub attempts_retention_days: u16,
    /// The file of the service account's key, from the Google Cloud console.
    pub fcm_key_file: Option<PathBuf>,
    /// The .p8 file of the key, from Apple's developer account, with its id, the team's, and the app's bundle id.
    pub apns_key_file: Option<PathBuf>,
    pub apns_key_id: String,
    pub apns_team_id: String,
    pub apns_topic: String,
    /// `on` for apps that are built for development.
    pub apns_sandbox: Switch,
    /// `on` to notify apps that use Expo's service.
    pub expo: Switch,
    #[serde(skip_serializing)]
    pub expo_access_token: Option<String>,
    /// `tertulia push keys` makes one. Every subscription belongs to it.
    #[serde(skip_serializing)]
    pub webpush_private_key: Option<String>,
    /// Where the push services reach the owner: `mailto:` or `https:`. [default: public_url]
    pub webpush_subject: Option<String>,
    /// `on`: subscriptions may lead into the private network, such as to a UnifiedPush server there.
    pub webpush_private_addresses: Switch,
    /// Certificates (PEM) that the providers' may be signed by, besides the system's: for proxies.
    pub ca_file: Option<PathBuf>,
    /// Other addresses of the providers, for proxies: fcm, apns, expo.
    pub urls: BTreeMap<String, String>,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self {
            grace_ms: 3000,
            private: Switch::Off,
            name: "Tertulia".into(),
            private_text: "New message".into(),
            age_max_hours: 24,
            attempts_retention_days: 14,
            fcm_key_file: None,
            apns_key_file: None,
            apns_key_id: String::new(),
            apns_team_id: String::new(),
            apns_topic: String::new(),
            apns_sandbox: Switch::Off,
            expo: Switch::Off,
            expo_access_token: None,
            webpush_private_key: None,
            webpush_subject: None,
            webpush_private_addresses: Switch::Off,
            ca_file: None,
            urls: BTreeMap::new(),
        }
    }
}

impl PushSettings {
    /// What can be said without reading a file.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.grace_ms > 60_000 {
            bail!("push.grace_ms: {} is over a minute", self.grace_ms);
        }
        if let Some(unknown) = self.urls.keys().find(|name| !["fcm", "apns", "expo"].contains(&name.as_str())) {
            bail!("push.urls.{unknown}: there are fcm, apns and expo");
        }
        Ok(())
    }

    /// `public_url`: where people reach this server.
    pub fn open(&self, public_url: Option<&str>, powers: &Powers) -> anyhow::Result<Arc<Pushing>> {
        let (on_time, mut providers) = (powers.clone(), BTreeMap::<PushProvider, Arc<dyn Provider>>::new());
        let clock: Clock = Arc::new(move || on_time.now());
        let network = self.network()?;
        if let Some(file) = &self.fcm_key_file {
            let mut config = FcmConfig { network: network.clone(), ..FcmConfig::new(read("push.fcm_key_file", file)?) };
            self.redirect("fcm", &mut config.base_url);
            providers.insert(PushProvider::Fcm, Arc::new(Fcm::new(config, Arc::clone(&clock)).context("push")?));
        }
        if let Some(file) = &self.apns_key_file {
            let key = read("push.apns_key_file", file)?;
            let [id, team, topic] = [&self.apns_key_id, &self.apns_team_id, &self.apns_topic].map(String::as_str);
            let mut config = ApnsConfig { network: network.clone(), ..ApnsConfig::new(key, id, team, topic) };
            if self.apns_sandbox == Switch::On {
                ApnsConfig::DEVELOPMENT.clone_into(&mut config.base_url);
            }
            self.redirect("apns", &mut config.base_url);
            providers.insert(PushProvider::Apns, Arc::new(Apns::new(config, Arc::clone(&clock)).context("push")?));
        }
        if self.expo == Switch::On {
            let mut config = ExpoConfig { network: network.clone(), ..ExpoConfig::new(self.expo_access_token.clone()) };
            self.redirect("expo", &mut config.base_url);
            providers.insert(PushProvider::Expo, Arc::new(Expo::new(config, Arc::clone(&clock)).context("push")?));
        }
        let mut vapid_public_key = None;
        if let Some(key) = &self.webpush_private_key {
            let subject = self.webpush_subject.as_deref().or(public_url).unwrap_or_default();
            let config = WebPushConfig {
                allow_private: self.webpush_private_addresses == Switch::On,
                network,
                ..WebPushConfig::new(key, subject)
            };
            let web_push = WebPush::new(config, clock).context("push")?;
            vapid_public_key = Some(web_push.public_key().to_owned());
            providers.insert(PushProvider::Webpush, Arc::new(web_push));
        }
        let policy = Policy {
            is_private: self.private == Switch::On,
            name: self.name.clone(),
            private_text: self.private_text.clone(),
            grace_ms: i64::from(self.grace_ms),
            age_max_ms: i64::from(self.age_max_hours) * HOUR_MS,
        };
        Ok(Arc::new(Pushing::new(providers, vapid_public_key, policy, powers.clone())))
    }

    fn network(&self) -> anyhow::Result<Network> {
        let roots_pem = self.ca_file.as_deref().map(|file| read("push.ca_file", file)).transpose()?;
        Ok(Network { roots_pem, ..Network::default() })
    }

    fn redirect(&self, name: &str, url: &mut String) {
        if let Some(other) = self.urls.get(name) {
            other.clone_into(url);
        }
    }
}

fn read(setting: &str, file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{setting}: can't read {}", file.display()))
}
