//! `tertulia webhooks`: other programs that are told, as an operator sees them.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Subcommand;
use tertulia_core::Services;
use tertulia_proto::webhook::{NewWebhook, ReplayBody, WebhookEndpoint};
use tertulia_proto::{Timestamp, WebhookId};
use tertulia_store::webhooks::KEPT_MAX;

use crate::commands::where_not_found;
use crate::settings::Settings;
use crate::wiring;

#[derive(Subcommand)]
pub enum Ask {
    /// Sends events to an address from now on. Prints the secret that signs as its last line; it can't be seen again.
    Add {
        /// https://...
        #[arg(long)]
        url: String,
        /// Comma separated names and groups, such as message.created,conversation.*. [default: all]
        #[arg(long, value_delimiter = ',')]
        events: Vec<String>,
    },
    /// All endpoints, and how they do.
    List,
    /// Nothing is sent there any more.
    Remove {
        /// The endpoint's, as `webhooks list` shows it.
        id: String,
    },
    /// A new secret, printed as the last line; the one before signs as well, until the rotation is finished.
    Rotate {
        /// The endpoint's, as `webhooks list` shows it.
        id: String,
        /// Only the newest secret signs from now on.
        #[arg(long)]
        finish: bool,
    },
    /// Switches it on again; it is told from where it stood.
    Enable {
        /// The endpoint's, as `webhooks list` shows it.
        id: String,
    },
    /// The latest events that are kept.
    Events {
        /// Those before this time (RFC 3339), or before the event of this id.
        #[arg(long)]
        before: Option<String>,
        /// 1 to 200.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=KEPT_MAX as i64))]
        limit: i64,
    },
    /// Sends kept events once more.
    #[command(group = clap::ArgGroup::new("from").required(true))]
    Replay {
        /// The endpoint's id, as `webhooks list` shows it.
        #[arg(long)]
        endpoint: String,
        /// Everything since this time (RFC 3339).
        #[arg(long, group = "from")]
        since: Option<String>,
        /// This event, and what came after it in its conversation.
        #[arg(long, group = "from")]
        event: Option<String>,
        /// Everything that is kept.
        #[arg(long, group = "from")]
        all: bool,
    },
    /// Goes on behind an event that is not taken, and is not told: the first that waits in its conversation.
    Skip {
        /// The endpoint's, as `webhooks list` shows it.
        id: String,
        /// The event's id, as `webhooks list` shows it.
        event: String,
    },
}

pub async fn answer(settings: &Settings, ask: Ask) -> anyhow::Result<String> {
    let parts = wiring::open_existing(settings).await?;
    let services = &parts.services;
    let id = async |text: &str| known(services, text).await;
    match ask {
        Ask::Add { url, events } => {
            let events = Some(events).filter(|events| !events.is_empty());
            let made = services.add_webhook(NewWebhook { url, events }).await?;
            Ok(format!("id {}\n{}", made.id, made.secret))
        }
        Ask::List => Ok(services.webhooks().await?.iter().map(shown).collect::<Vec<_>>().join("\n")),
        Ask::Remove { id: text } => {
            services.remove_webhook(id(&text).await?).await?;
            Ok("removed".into())
        }
        Ask::Rotate { id: text, finish: true } => {
            services.finish_webhook_rotation(id(&text).await?).await?;
            Ok("only the newest secret signs from now on".into())
        }
        Ask::Rotate { id: text, finish: false } => Ok(services.rotate_webhook(id(&text).await?).await?.secret),
        Ask::Enable { id: text } => {
            services.enable_webhook(id(&text).await?).await?;
            Ok("it is on".into())
        }
        Ask::Events { before, limit } => {
            let events = services.webhook_events(before.as_deref(), Some(limit)).await?;
            let lines = events.iter().map(|event| format!("{} {} {}", event.timestamp, event.kind, event.id));
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
        Ask::Replay { endpoint, since, event, all } => {
            let since = since.as_deref().map(time).transpose()?;
            let named = event.clone().unwrap_or_default();
            let replayed = services.replay_webhook(id(&endpoint).await?, ReplayBody { since, event, all }).await;
            replayed.map_err(|error| where_not_found(error, || not_kept(&named)))?;
            Ok("under way".into())
        }
        Ask::Skip { id: text, event } => {
            let skipped = services.skip_webhook_event(id(&text).await?, &event).await;
            skipped.map_err(|error| where_not_found(error, || not_kept(&event)))?;
            Ok("skipped".into())
        }
    }
}

/// The endpoint that is meant, which is there.
async fn known(services: &Services, text: &str) -> anyhow::Result<WebhookId> {
    let id: WebhookId = text.parse().map_err(|e| anyhow::anyhow!("the id of a webhook: {e}"))?;
    if !services.webhooks().await?.iter().any(|endpoint| endpoint.id == id) {
        bail!("there is no webhook {text}");
    }
    Ok(id)
}

fn not_kept(event: &str) -> String {
    format!("there is no event {event} that is kept")
}

fn time(text: &str) -> anyhow::Result<Timestamp> {
    serde_json::from_value(text.into()).map_err(|_| anyhow::anyhow!("{text:?} is no time such as 2026-01-31T12:00:00Z"))
}

fn shown(endpoint: &WebhookEndpoint) -> String {
    let WebhookEndpoint { id, url, events, .. } = endpoint;
    let mut text =
        format!("{id} {} {url}\n    events {}", if endpoint.active { "on" } else { "off" }, events.join(","));
    let _ = write!(text, "\n    taken {} failed requests {}", endpoint.events_taken, endpoint.requests_failed);
    if let (Some(since), Some(reason)) = (endpoint.off_since, &endpoint.off_reason) {
        let _ = write!(text, "\n    off since {since}: {reason}");
    } else if let (Some(at), Some(reason)) = (endpoint.retry_at, &endpoint.last_failure) {
        let _ = write!(text, "\n    failures in a row {}, again at {at}: {reason}", endpoint.failures);
    }
    if endpoint.events_forgotten > 0 {
        let _ = write!(text, "\n    forgotten before they were taken {}", endpoint.events_forgotten);
    }
    if endpoint.parked > 0 {
        let _ = write!(text, "\n    parked {}", endpoint.parked);
    }
    for parked in &endpoint.parked_at {
        let _ = write!(text, "\n        at {} since {}: {}", parked.event, parked.since, parked.reason);
    }
    if endpoint.rotating {
        text.push_str("\n    two secrets sign");
    }
    text
}
