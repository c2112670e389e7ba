//! What became of notifications that a provider took: some tell later, and only so that a device is gone or that our own credentials are wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use tertulia_jobs::Outcome;
use tertulia_proto::{PushProvider, Timestamp};
use tertulia_push::{Answer, Provider};
use tertulia_store::push::{PushNote, PushOutcome, Ticket};
use tertulia_store::{Store, StoreError};

use crate::Pushing;

/// The kind of the job that asks.
pub const RECEIPTS: &str = "receipts";

pub const EVERY: Duration = Duration::from_mins(5);

/// Expo: "we recommend checking push receipts 15 minutes after sending" (its documentation, Sending notifications).
const RIPE_MS: i64 = 15 * 60_000;

/// Asked twice, so that a run that fails leaves nothing out.
const WINDOW_MS: i64 = 10 * 60_000;

impl Pushing {
    /// Has devices switched off that are gone, and tells the log of what was not brought.
    pub(crate) async fn ask_for_receipts(&self, store: &dyn Store) -> Outcome {
        let now = self.powers.now();
        for (kind, provider) in self.providers.iter().filter(|(_, provider)| provider.gives_receipts()) {
            if let Err(error) = ask(store, *kind, &**provider, now).await {
                return Outcome::Retry(error.to_string());
            }
        }
        Outcome::Done
    }
}

async fn ask(store: &dyn Store, kind: PushProvider, provider: &dyn Provider, now: Timestamp) -> Result<(), StoreError> {
    let until = now.plus_ms(-RIPE_MS);
    let tickets = store.push().tickets(kind, until.plus_ms(-WINDOW_MS), until).await?;
    let names: Vec<String> = tickets.iter().map(|ticket| ticket.name.clone()).collect();
    let by_name: BTreeMap<&str, &Ticket> = tickets.iter().map(|ticket| (ticket.name.as_str(), ticket)).collect();
    let mut troubles: BTreeMap<String, usize> = BTreeMap::new();
    for (name, answer) in provider.receipts(&names).await {
        let Some(ticket) = by_name.get(name.as_str()) else { continue };
        match answer {
            Answer::Accepted { .. } => {}
            Answer::Unregistered(reason) => switch_off(store, ticket, reason, now).await?,
            Answer::Later { reason, .. } | Answer::Refused(reason) | Answer::Misconfigured(reason) => {
                *troubles.entry(reason).or_default() += 1
            }
        }
    }
    for (reason, count) in troubles {
        tracing::warn!(provider = %kind, reason, count, "notifications that the provider had taken were not brought, as it says now");
    }
    Ok(())
}

/// Where the token is still the one that it was sent to.
async fn switch_off(store: &dyn Store, ticket: &Ticket, reason: String, at: Timestamp) -> Result<(), StoreError> {
    let Ticket { registration, token_hash, conversation, seq, .. } = *ticket;
    if !store.push().switch_off(registration, token_hash, reason.clone(), at).await? {
        return Ok(());
    }
    let (outcome, detail) = (PushOutcome::Unregistered, format!("{reason}, by its receipt"));
    store.push().note_pushes(vec![PushNote { registration, conversation, seq, outcome, detail, at }]).await
}
