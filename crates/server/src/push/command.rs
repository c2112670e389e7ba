//! `tertulia push`: keys for Web Push, and a try of somebody's devices.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use tertulia_core::TestSender as _;
use tertulia_proto::{TestOutcome, UserId};
use tertulia_push::generate_vapid_keys;
use tertulia_store::AccountLookup;
use tertulia_store::push::token_hash;

use crate::powers::powers;
use crate::settings::Settings;
use crate::wiring;

#[derive(Subcommand)]
pub enum Ask {
    /// Makes a pair of keys for Web Push and prints it as the settings want it. With other keys every browser has to subscribe anew.
    Keys,
    /// Sends a notification to each of a person's devices and says what the providers answered.
    Test {
        /// The person's e-mail or id.
        #[arg(long)]
        user: String,
    },
}

pub async fn answer(settings: &Settings, ask: &Ask) -> anyhow::Result<String> {
    match ask {
        Ask::Keys => {
            let keys = generate_vapid_keys().context("no randomness for a key")?;
            Ok(format!(
                "# public: {}\nTERTULIA_PUSH__WEBPUSH_PRIVATE_KEY={}\nTERTULIA_PUSH__WEBPUSH_SUBJECT=mailto:you@your.domain",
                keys.public, keys.private
            ))
        }
        Ask::Test { user } => test(settings, user).await,
    }
}

async fn test(settings: &Settings, user: &str) -> anyhow::Result<String> {
    let parts = wiring::open_existing(settings).await?;
    let store = parts.home.store();
    let lookup = match user.parse::<UserId>() {
        Ok(id) => AccountLookup::Id(id),
        Err(_) => AccountLookup::Email(user.trim().to_lowercase()),
    };
    let Some(account) = store.account(lookup).await? else { bail!("--user: there is no {user}") };
    let targets = store.push().targets(account.user.id).await?;
    if targets.is_empty() {
        bail!("{user} has no device that is switched on");
    }
    let mut lines = Vec::new();
    for target in targets {
        let (id, provider, platform) = (target.registration, target.provider, target.platform);
        let hash = token_hash(provider, &target.token);
        let (outcome, detail) = parts.pushing.send_test(target).await;
        if outcome == TestOutcome::Unregistered {
            store.push().switch_off(id, hash, detail.clone(), powers().now()).await?;
        }
        lines.push(format!("{id} {provider} {platform:?} {outcome:?} {detail}").to_lowercase());
    }
    Ok(lines.join("\n"))
}
