//! What people and other servers can ask for. Every function authorises: the scopes of an API key here, membership and roles by [`crate::rules`]
//! inside the store's transaction.
//!
//! Writes come in two forms: `submit_*` takes a callback, which is called in commit order before anybody else hears of the change (sockets); the
//! `async` form waits for it (REST).

mod cluster;
mod conversations;
mod devices;
mod messages;
mod people;
mod presence;
mod queue;
mod sync;
mod trace;
mod webhooks;

use std::sync::Arc;

use tertulia_proto::{ApiError, ConversationId, Limits, SessionId, Timestamp, UserId};
use tertulia_realtime::Hub;
use tertulia_store::{AccountLookup, Effect, Store, Write};
use tokio::sync::oneshot;

pub use devices::{Notifying, TestSender};
pub use messages::{MessageAckDone, history_range};
pub use queue::{Condemned, JOBS_COUNTED_MAX, Judged, Verdict};
pub use trace::{TraceError, Tracing};
pub use webhooks::AddressCheck;

use crate::auth::{Auth, Identity, Scope, is_api_key};
use crate::journal::{Journal, TraceId};
use crate::limit::{SharedWindows, SlidingWindow};
use crate::power::Powers;
use crate::write::{store_failed, write_failed};

/// A callback for the end of a write.
pub type Done<T> = Box<dyn FnOnce(Result<T, ApiError>) + Send>;

struct RateLimits {
    sends: SlidingWindow<UserId>,
    sends_in_conversation: SlidingWindow<ConversationId>,
    opened: SlidingWindow<UserId>,
    changes: SlidingWindow<UserId>,
    searches: SlidingWindow<UserId>,
    lookups: SlidingWindow<UserId>,
    push_tests: SlidingWindow<UserId>,
    sign_ins: SlidingWindow<String>,
    sign_ins_from: SlidingWindow<std::net::IpAddr>,
}

/// A send that was counted, until it is known what came of it.
struct Counted {
    rates: Arc<RateLimits>,
    conversation: ConversationId,
    at: Timestamp,
}

impl Counted {
    /// What a conversation may take is for its members' messages: what was refused, or was there already, takes nothing of it.
    fn settle(self, accepted: bool) {
        if !accepted {
            self.rates.sends_in_conversation.give_back(&self.conversation, self.at);
        }
    }
}

impl RateLimits {
    fn count_send(
        self: &Arc<Self>,
        sender: UserId,
        conversation: ConversationId,
        at: Timestamp,
    ) -> Result<Counted, ApiError> {
        self.sends.take(sender, at)?;
        self.sends_in_conversation.take(conversation, at).inspect_err(|_| self.sends.give_back(&sender, at))?;
        Ok(Counted { rates: Arc::clone(self), conversation, at })
    }
}

/// The services over one store and one hub.
pub struct Services {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    powers: Powers,
    limits: Limits,
    auth: Auth,
    rates: Arc<RateLimits>,
    rate_limits: bool,
    shared_windows: Option<Arc<dyn SharedWindows>>,
    notifying: Notifying,
    webhook_addresses: Option<AddressCheck>,
    tracing: Tracing,
}

impl Services {
    /// `rate_limits: false` lets everybody do everything as often as they like: for tests and measurements.
    pub fn new(
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        powers: Powers,
        limits: Limits,
        auth: Auth,
        rate_limits: bool,
    ) -> Self {
        let on = |count: u32| if rate_limits { count } else { 0 };
        let rates = RateLimits {
            sends: SlidingWindow::new("sends", on(limits.sends_per_10s), 10_000),
            sends_in_conversation: SlidingWindow::new(
                "sends in this conversation",
                on(limits.sends_per_conversation_per_minute),
                60_000,
            ),
            opened: SlidingWindow::new("conversations opened", on(limits.conversations_opened_per_10min), 600_000),
            changes: SlidingWindow::new("changes", on(limits.changes_per_10s), 10_000),
            searches: SlidingWindow::new("searches", on(limits.searches_per_minute), 60_000),
            lookups: SlidingWindow::new("lookups", on(limits.lookups_per_10s), 10_000),
            push_tests: SlidingWindow::new("test notifications", on(limits.push_tests_per_minute), 60_000),
            sign_ins: SlidingWindow::new("sign-ins", on(limits.sign_ins_per_minute), 60_000),
            sign_ins_from: SlidingWindow::new(
                "sign-ins from this address",
                on(limits.sign_ins_per_address_per_minute),
                60_000,
            ),
        };
        Self {
            store,
            hub,
            powers,
            limits,
            auth,
            rates: Arc::new(rates),
            rate_limits,
            shared_windows: None,
            notifying: Notifying::default(),
            webhook_addresses: None,
            tracing: Tracing::default(),
        }
    }

    /// Sign-ins, new conversations and searches are counted with the other servers from now on. What is sent is counted by each server from the news of
    /// the others; what takes no time to check can't wait for an answer.
    #[must_use]
    pub fn with_shared_windows(self, shared: Arc<dyn SharedWindows>) -> Self {
        Self { shared_windows: Some(shared), ..self }
    }

    /// How people are notified who are not there. Without it nobody is.
    #[must_use]
    pub fn with_notifying(self, notifying: Notifying) -> Self {
        Self { notifying, ..self }
    }

    /// Which addresses other programs may be told at. Without it none.
    #[must_use]
    pub fn with_webhook_addresses(self, check: AddressCheck) -> Self {
        Self { webhook_addresses: Some(check), ..self }
    }

    /// What is noted of messages, and for how long it is kept.
    #[must_use]
    pub fn with_tracing(self, tracing: Tracing) -> Self {
        Self { tracing, ..self }
    }

    /// `None`: nothing is noted here.
    pub fn journal(&self) -> Option<&Arc<Journal>> {
        self.tracing.journal.as_ref()
    }

    fn shared(&self) -> Option<&dyn SharedWindows> {
        self.shared_windows.as_deref()
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether anybody can do too much.
    pub fn has_rate_limits(&self) -> bool {
        self.rate_limits
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    pub fn now(&self) -> Timestamp {
        self.powers.now()
    }

    /// For an answer's `X-Trace-Id`.
    pub fn new_trace_id(&self) -> TraceId {
        TraceId::from_bytes(self.powers.bytes())
    }

    /// Who a bearer token is for. With an API key, `acts_as` names the person (id or e-mail) it acts for.
    pub async fn identify(&self, token: &str, acts_as: Option<&str>) -> Result<Identity, ApiError> {
        if !is_api_key(token) {
            return self.auth.authenticate(token).await;
        }
        let key = self.auth.authenticate_api_key(token).await?;
        let lookup = match (acts_as, key.user) {
            (Some(who), _) => match who.parse::<UserId>() {
                Ok(id) => AccountLookup::Id(id),
                Err(_) => AccountLookup::Email(crate::auth::normalize_email(who)?),
            },
            (None, Some(own)) => AccountLookup::Id(own),
            (None, None) => {
                let why = "Tertulia-User: an API key names the person it acts for, by id or e-mail";
                return Err(ApiError::invalid(why));
            }
        };
        let account = self.store.account(lookup).await.map_err(|e| store_failed(&e))?;
        // Whether there is such a person is none of its business.
        if key.user.is_some_and(|own| account.as_ref().is_none_or(|account| account.user.id != own)) {
            return Err(ApiError::forbidden("Tertulia-User: this API key acts for somebody else"));
        }
        let user = account.ok_or_else(|| ApiError::invalid("Tertulia-User: no such person"))?.user;
        Ok(Identity {
            user: user.id,
            session: SessionId::from_bytes(*key.id.as_bytes()),
            email: user.email,
            name: user.name,
            expires_at: Timestamp::from_ms(i64::MAX),
            scopes: Some(key.scopes),
        })
    }

    /// An attempt to sign in or register, counted by e-mail and by where it comes from: neither one source against many accounts nor many sources
    /// against one.
    pub async fn count_sign_in(&self, email: &str, from: Option<std::net::IpAddr>) -> Result<(), ApiError> {
        let now = self.now();
        if let Some(from) = from {
            self.rates.sign_ins_from.take_with(self.shared(), from, now).await?;
        }
        let email: String = email.trim().to_lowercase().chars().take(254).collect();
        self.rates.sign_ins.take_with(self.shared(), email, now).await
    }

    /// Forgets idle counters. Called now and then.
    pub fn prune(&self) {
        let now = self.now();
        self.rates.sends.prune(now);
        self.rates.sends_in_conversation.prune(now);
        self.rates.opened.prune(now);
        self.rates.changes.prune(now);
        self.rates.searches.prune(now);
        self.rates.lookups.prune(now);
        self.rates.push_tests.prune(now);
        self.rates.sign_ins.prune(now);
        self.rates.sign_ins_from.prune(now);
    }

    /// Submits a write and maps its effect for who asked.
    fn submit<T: 'static>(&self, write: Write, map: fn(&Effect) -> Option<T>, done: Done<T>) {
        self.store.submit(
            write,
            Box::new(move |result| {
                done(match result {
                    Ok(effect) => map(effect).ok_or_else(|| unexpected(effect)),
                    Err(error) => Err(write_failed(error.clone())),
                });
            }),
        );
    }

    async fn perform<T: Send + 'static>(&self, write: Write, map: fn(&Effect) -> Option<T>) -> Result<T, ApiError> {
        let (done, result) = oneshot::channel();
        self.submit(write, map, Box::new(move |answer| drop(done.send(answer))));
        result.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// Turns a `submit_*` into something to wait for.
pub(crate) async fn waited<T: Send + 'static>(submit: impl FnOnce(Done<T>)) -> Result<T, ApiError> {
    let (done, result) = oneshot::channel();
    submit(Box::new(move |answer| drop(done.send(answer))));
    result.await.unwrap_or_else(|_| Err(stopped()))
}

fn stopped() -> ApiError {
    store_failed(&tertulia_store::StoreError::Unavailable("stopped before an answer".into()))
}

fn unexpected(effect: &Effect) -> ApiError {
    let kind = std::mem::discriminant(effect);
    tracing::error!(?kind, "the store answered a write with another one's effect");
    store_failed(&tertulia_store::StoreError::Corrupt("an effect of another write".into()))
}

impl Identity {
    /// `forbidden` for an API key, whoever it acts for.
    pub fn require_person(&self) -> Result<(), ApiError> {
        if self.scopes.is_none() { Ok(()) } else { Err(ApiError::forbidden("an API key has no session")) }
    }

    /// `forbidden`, with the scope's name, where an API key lacks it.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.allows(scope) {
            Ok(())
        } else {
            Err(ApiError::forbidden(format!("the API key lacks the scope {scope}")))
        }
    }
}

/// A page's size as it is asked for by an owner of the server: the default where nothing was asked, and what is not in 1..=max is refused.
pub(crate) fn whole_page(asked: Option<i64>, default: usize, max: usize) -> Result<usize, ApiError> {
    match asked.map(usize::try_from) {
        None => Ok(default.min(max)),
        Some(Ok(size)) if (1..=max).contains(&size) => Ok(size),
        Some(_) => Err(ApiError::invalid(format!("limit: must be 1 to {max}"))),
    }
}

/// A page's size as it is asked for by a client: the default where nothing was asked, drawn to 1..=max.
pub(crate) fn page_size(asked: Option<i64>, default: usize, max: usize) -> Result<usize, ApiError> {
    match asked {
        None => Ok(default.min(max)),
        Some(n) if n < 1 => Err(ApiError::invalid(format!("limit: must be 1 to {max}"))),
        Some(n) => Ok(usize::try_from(n).unwrap_or(max).min(max)),
    }
}
