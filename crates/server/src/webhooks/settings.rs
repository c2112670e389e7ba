//! What can be set about webhooks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tertulia_core::{AddressCheck, Powers};
use tertulia_notify::webhooks::Telling;
use tertulia_push::Network;

use super::send::Sender;
use crate::settings::{Switch, one_or_many};

const DAY_S: u64 = 86_400;

/// Tries of one request.
const WAITS_MAX: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookSettings {
    /// `on`: endpoints may be in the private network, and those by plain http too.
    pub private_addresses: Switch,
    /// How long a connection may take, and a whole request, in milliseconds.
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    /// Waits between the tries, each spread by a fifth, and longer where the endpoint asks for it; after the last one the endpoint is switched off. Where it
    /// takes everything else, the one conversation is parked.
    #[serde(deserialize_with = "one_or_many")]
    pub waits_s: Vec<u64>,
    /// How long events are kept, for replays and for endpoints that are switched off.
    pub retention_days: u16,
    /// Certificates (PEM) that the endpoints' may be signed by, besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            private_addresses: Switch::Off,
            connect_timeout_ms: 5000,
            timeout_ms: 10_000,
            // 10 s, 30 s, 1 min, 5 min, 15 min, 1 h, 3 h, 6 h, 12 h: a day in all.
            waits_s: vec![10, 30, 60, 300, 900, 3600, 10_800, 21_600, 43_200],
            retention_days: 7,
            ca_file: None,
        }
    }
}

impl WebhookSettings {
    pub fn check(&self) -> anyhow::Result<()> {
        if !(1..=60_000).contains(&self.timeout_ms) || !(1..=self.timeout_ms).contains(&self.connect_timeout_ms) {
            bail!("webhooks.timeout_ms: from 1 to a minute, and webhooks.connect_timeout_ms: no longer");
        }
        if self.waits_s.len() > WAITS_MAX {
            bail!("webhooks.waits_s: at most {WAITS_MAX} waits");
        }
        if self.retention_days < 1 {
            bail!("webhooks.retention_days: 1 at least, or events are forgotten before they are sent");
        }
        let all = self.waits_s.iter().fold(0_u64, |all, wait| all.saturating_add(*wait));
        if all.saturating_mul(6) / 5 > u64::from(self.retention_days) * DAY_S {
            bail!("webhooks.waits_s: the tries would last longer than events are kept (webhooks.retention_days)");
        }
        Ok(())
    }

    /// With which addresses may be told.
    pub fn open(&self, powers: &Powers) -> anyhow::Result<(Arc<Telling>, AddressCheck)> {
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file).with_context(|| format!("webhooks.ca_file: can't read {}", file.display()))
        };
        let timeout = Duration::from_millis(self.timeout_ms);
        let connect_timeout = Duration::from_millis(self.connect_timeout_ms);
        let network = Network { connect_timeout, timeout, roots_pem: self.ca_file.as_ref().map(read).transpose()? };
        let sender = Sender::new(&network, self.private_addresses == Switch::On, powers).context("webhooks")?;
        let sender = Arc::new(sender);
        let waits = self.waits_s.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
        let checked = Arc::clone(&sender);
        let telling = Telling::new(sender, timeout, waits, powers.clone());
        Ok((Arc::new(telling), Arc::new(move |url| checked.check(url).map(String::from))))
    }
}
