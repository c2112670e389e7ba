//! Other programs that are told what happens. Whoever may call this sees what everybody writes: API keys with [`Scope::Admin`], and operators.
//!
//! [`Scope::Admin`]: crate::auth::Scope::Admin

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tertulia_proto::webhook::{
    EventFilter, EventId, KeptEvent, NewWebhook, ReplayBody, WebhookEndpoint, WebhookSecret,
};
use tertulia_proto::{ApiError, ErrorCode, Timestamp, WebhookId};
use tertulia_store::webhooks::{ENDPOINTS_MAX, EventPlace, KEPT_MAX, Line, NewEndpoint, Secret, WakeJob};

use super::{Services, whole_page};
use crate::write::store_failed;

/// The address as it was understood, or why it may not be told.
pub type AddressCheck = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

const URL_MAX_BYTES: usize = 2048;

/// A transaction takes no longer. One that saw the endpoint switched off and is committed behind this one's look has its line found by the second.
const SECOND_LOOK_MS: i64 = 60_000;

impl Services {
    /// All of them, without their secrets.
    pub async fn webhooks(&self) -> Result<Vec<WebhookEndpoint>, ApiError> {
        self.store.webhooks().endpoints().await.map_err(|e| store_failed(&e))
    }

    pub async fn add_webhook(&self, new: NewWebhook) -> Result<WebhookSecret, ApiError> {
        let url = self.webhook_address(&new.url)?;
        let filter = match new.events.as_deref() {
            Some([]) => return Err(ApiError::invalid("events: must not be empty; without it, all are sent")),
            Some(patterns) => EventFilter::of_patterns(patterns),
            None => Ok(EventFilter::all()),
        };
        let filter = filter.map_err(|e| ApiError::invalid(format!("events: {e}")))?;
        let (id, secret) = (WebhookId::from_uuid(self.powers.new_uuid()), self.new_secret());
        let endpoint = NewEndpoint { id, url, filter, secret, now: self.now() };
        match self.store.webhooks().add_endpoint(endpoint).await.map_err(|e| store_failed(&e))? {
            true => Ok(shown(id, secret)),
            false => Err(ApiError::new(ErrorCode::Conflict, format!("there are {ENDPOINTS_MAX} webhooks already"))),
        }
    }

    /// As it is kept and asked: what the parser of addresses passes over is in no list and no request.
    fn webhook_address(&self, text: &str) -> Result<String, ApiError> {
        let fits = |text: &str| match text.len() {
            0..=URL_MAX_BYTES => Ok(()),
            _ => Err(ApiError::too_large("url", URL_MAX_BYTES, "bytes")),
        };
        fits(text)?;
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(ApiError::invalid("url: must have no control characters and no white space"));
        }
        let Some(check) = &self.webhook_addresses else {
            return Err(ApiError::invalid("url: this server tells no other programs"));
        };
        let url = check(text).map_err(|why| ApiError::invalid(format!("url: {why}")))?;
        // Characters outside of ASCII take more room when they are written as in a request.
        fits(&url)?;
        Ok(url)
    }

    pub async fn remove_webhook(&self, id: WebhookId) -> Result<(), ApiError> {
        there(self.store.webhooks().remove_endpoint(id).await.map_err(|e| store_failed(&e))?)
    }

    /// A new secret; the one before signs as well, until the rotation is finished.
    pub async fn rotate_webhook(&self, id: WebhookId) -> Result<WebhookSecret, ApiError> {
        let secret = self.new_secret();
        there(self.store.webhooks().rotate_secret(id, Some(secret)).await.map_err(|e| store_failed(&e))?)?;
        Ok(shown(id, secret))
    }

    /// Only the newest secret signs from now on.
    pub async fn finish_webhook_rotation(&self, id: WebhookId) -> Result<(), ApiError> {
        there(self.store.webhooks().rotate_secret(id, None).await.map_err(|e| store_failed(&e))?)
    }

    /// Tells it again, from where each conversation stood.
    pub async fn enable_webhook(&self, id: WebhookId) -> Result<(), ApiError> {
        let (wake, now) = (WakeJob { endpoint: id, above: None, since: None, after: None }, self.now());
        let second = tertulia_store::jobs::NewJob { unique_key: None, ..wake.job(now.plus_ms(SECOND_LOOK_MS), now) };
        let jobs = vec![wake.job(now, now), second];
        there(self.store.webhooks().enable_endpoint(id, jobs).await.map_err(|e| store_failed(&e))?)
    }

    /// Goes on behind an event that is not taken, and is not told.
    pub async fn skip_webhook_event(&self, id: WebhookId, event: &str) -> Result<(), ApiError> {
        let known = self.webhooks().await?;
        there(known.iter().any(|endpoint| endpoint.id == id))?;
        let event = self.kept(event).await?;
        let line = Line { endpoint: id, stream: event.stream };
        let skipped = self.store.webhooks().skip_event(line, event.number, self.now()).await;
        match skipped.map_err(|e| store_failed(&e))? {
            true => Ok(()),
            false => {
                Err(ApiError::new(ErrorCode::Conflict, "event: it is not the one at which its conversation waits"))
            }
        }
    }

    async fn kept(&self, event: &str) -> Result<EventId, ApiError> {
        let event: EventId = event.parse().map_err(|e| ApiError::invalid(format!("event: {e}")))?;
        let kept = self.store.webhooks().kept_event(event).await.map_err(|e| store_failed(&e))?;
        kept.map(|_| event).ok_or_else(|| ApiError::not_found("event"))
    }

    /// Sends what is kept once more: an event and all that came after it in its conversation, everything since a time, or all.
    pub async fn replay_webhook(&self, id: WebhookId, from: ReplayBody) -> Result<(), ApiError> {
        let known = self.webhooks().await?;
        there(known.iter().any(|endpoint| endpoint.id == id))?;
        let now = self.now();
        let since = match (from.event, from.since, from.all) {
            (Some(event), None, false) => return self.replay_from(id, &event).await,
            (None, Some(since), false) => since,
            (None, None, true) => Timestamp::from_ms(0),
            _ => return Err(ApiError::invalid("since, event, all: one of these")),
        };
        let job = WakeJob { endpoint: id, above: None, since: Some(since), after: None }.job(now, now);
        self.store.jobs().enqueue(vec![job]).await.map(drop).map_err(|e| store_failed(&e))
    }

    async fn replay_from(&self, endpoint: WebhookId, event: &str) -> Result<(), ApiError> {
        let event = self.kept(event).await?;
        let line = Line { endpoint, stream: event.stream };
        self.store.webhooks().rewind_line(line, event.number, self.now()).await.map_err(|e| store_failed(&e))
    }

    /// The latest that are kept, before a time (RFC 3339), or before the event of this id: `not_found` where that is not kept.
    pub async fn webhook_events(&self, before: Option<&str>, limit: Option<i64>) -> Result<Vec<KeptEvent>, ApiError> {
        let limit = whole_page(limit, 50, KEPT_MAX)?;
        let before = match before {
            Some(before) => self.place(before).await?,
            None => EventPlace::at(Timestamp::from_ms(i64::MAX)),
        };
        self.store.webhooks().kept_events(before, limit).await.map_err(|e| store_failed(&e))
    }

    async fn place(&self, before: &str) -> Result<EventPlace, ApiError> {
        if let Ok(id) = before.parse::<EventId>() {
            let kept = self.store.webhooks().kept_event(id).await.map_err(|e| store_failed(&e))?;
            let at = kept.ok_or_else(|| ApiError::not_found("event"))?.timestamp;
            return Ok(EventPlace { at, stream: id.stream, number: id.number });
        }
        let at = serde_json::from_value(before.into());
        at.map(EventPlace::at).map_err(|_| ApiError::invalid("before: neither a time of RFC 3339 nor an event's id"))
    }

    fn new_secret(&self) -> Secret {
        Secret(self.powers.bytes())
    }
}

fn there(is_there: bool) -> Result<(), ApiError> {
    if is_there { Ok(()) } else { Err(ApiError::not_found("webhook")) }
}

fn shown(id: WebhookId, secret: Secret) -> WebhookSecret {
    WebhookSecret { id, secret: format!("whsec_{}", STANDARD.encode(secret.0)) }
}
