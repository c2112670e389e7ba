//! `tertulia webhooks`: other programs that are told, as an operator sees them.

use std::fmt::Write as _;

use clap::Subcommand;
use tertulia_proto::Timestamp;
use tertulia_proto::webhook::{NewWebhook, ReplayBody, WebhookEndpoint};

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
    Remove { id: String },
    /// A new secret, printed as the last line; the one before signs as well, until the rotation is finished.
    Rotate {
        id: String,
        /// Only the newest secret signs from now on.
        #[arg(long)]
        finish: bool,
    },
    /// Switches it on again; it is told from where it stood.
    Enable { id: String },
    /// The latest events that are kept.
    Events {
        /// Those before this time (RFC 3339), or before the event of this id.
        #[arg(long)]
        before: Option<String>,
        /// At most 200.
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// Sends kept events once more.
    #[command(group = clap::ArgGroup::new("from").required(true))]
    Replay {
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
    Skip { id: String, event: String },
}

pub async fn answer(settings: &Settings, ask: Ask) -> anyhow::Result<String> {
    let parts = wiring::open(settings, false).await?;
    let services = &parts.services;
    let id = |text: &str| text.parse().map_err(|e| anyhow::anyhow!("the id of a webhook: {e}"));
    match ask {
        Ask::Add { url, events } => {
            let made = services.add_webhook(NewWebhook { url, events }).await?;
            Ok(format!("id {}\n{}", made.id, made.secret))
        }
        Ask::List => Ok(services.webhooks().await?.iter().map(shown).collect::<Vec<_>>().join("\n")),
        Ask::Remove { id: text } => {
            services.remove_webhook(id(&text)?).await?;
            Ok("removed".into())
        }
        Ask::Rotate { id: text, finish: true } => {
            services.finish_webhook_rotation(id(&text)?).await?;
            Ok("only the newest secret signs from now on".into())
        }
        Ask::Rotate { id: text, finish: false } => Ok(services.rotate_webhook(id(&text)?).await?.secret),
        Ask::Enable { id: text } => {
            services.enable_webhook(id(&text)?).await?;
            Ok("it is on".into())
        }
        Ask::Events { before, limit } => {
            let events = services.webhook_events(before.as_deref(), Some(limit)).await?;
            let lines = events.iter().map(|event| format!("{} {} {}", event.timestamp, event.kind, event.id));
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
        Ask::Replay { endpoint, since, event, all } => {
            let since = since.as_deref().map(time).transpose()?;
            services.replay_webhook(id(&endpoint)?, ReplayBody { since, event, all }).await?;
            Ok("under way".into())
        }
        Ask::Skip { id: text, event } => {
            services.skip_webhook_event(id(&text)?, &event).await?;
            Ok("skipped".into())
        }
    }
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
