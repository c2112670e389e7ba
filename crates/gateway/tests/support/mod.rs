//! A server in memory with a clock that is set by hand, and one request to it.

#![allow(dead_code, reason = "each of the test programs uses its part")]

pub mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, Request, StatusCode};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::Value;
use tertulia_core::auth::{Auth, AuthConfig, Identity, JwksSource};
use tertulia_core::journal::JournalLimits;
use tertulia_core::services::Tracing;
use tertulia_core::{Clock, Entropy, Fanout, HouseRules, Journal, Powers, Services};
use tertulia_gateway::{Gateway, Settings};
use tertulia_proto::model::TokenAnswer;
use tertulia_proto::request::{NewGroupBody, SendMessage};
use tertulia_proto::{ConversationId, HistoryVisibility, Limits, Message, ServerId, Timestamp, UserId};
use tertulia_realtime::Hub;
use tertulia_store::{CommitSink, Committed};
use tertulia_store_sqlite::SqliteStore;
use tower::ServiceExt as _;

pub const START: Timestamp = Timestamp::from_ms(1_800_000_000_000);

struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::SeqCst))
    }
}

/// Never the same bytes twice, always the same in the same order.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// No host app is configured, so nobody's keys are asked for.
struct NoKeys;

impl JwksSource for NoKeys {
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<String, String>> {
        std::future::ready(Err(format!("{url} was asked for"))).boxed()
    }
}

/// Between the log and the fan-out, where a server has a queue: what is committed while it is held is told at its release.
pub struct Handoff {
    fanout: Fanout,
    held: Mutex<Option<Vec<Vec<Committed>>>>,
}

impl CommitSink for Handoff {
    fn committed(&self, batch: Vec<Committed>) {
        match &mut *self.held.lock() {
            Some(held) => held.push(batch),
            None => self.fanout.committed(batch),
        }
    }
}

impl Handoff {
    pub fn hold(&self) {
        self.held.lock().get_or_insert_default();
    }

    pub fn holds_something(&self) -> bool {
        self.held.lock().as_ref().is_some_and(|held| !held.is_empty())
    }

    pub fn release(&self) {
        for batch in self.held.lock().take().unwrap_or_default() {
            self.fanout.committed(batch);
        }
    }
}

pub struct Server {
    pub handoff: Arc<Handoff>,
    pub gateway: Arc<Gateway>,
    pub router: Router,
    clock: Arc<HandClock>,
}

/// What a server is to be like.
#[derive(Default)]
pub struct Wish {
    pub rate_limits: bool,
    pub limits: Limits,
    pub settings: Settings,
    /// The way of messages is noted.
    pub noting: bool,
}

/// Somebody who is signed in.
pub struct Person {
    pub token: TokenAnswer,
    pub identity: Identity,
}

impl Person {
    pub fn id(&self) -> UserId {
        self.identity.user
    }
}

impl Server {
    pub fn new(wish: Wish) -> Self {
        let limits = wish.limits;
        let clock = Arc::new(HandClock(AtomicI64::new(START.ms())));
        let powers = Powers { clock: clock.clone(), entropy: Arc::new(Counting(AtomicU64::new(1))) };
        let hub = Arc::new(Hub::new(limits.clone()));
        let handoff = Arc::new(Handoff { fanout: Fanout::new(hub.clone()), held: Mutex::default() });
        let store = SqliteStore::open_in_memory(&[7; 64], Arc::new(HouseRules::default()), handoff.clone()).unwrap();
        let auth = Auth::new(store.clone(), powers.clone(), AuthConfig::default(), Arc::new(NoKeys)).unwrap();
        let noted = JournalLimits { records_max: 100 };
        let clock_of_journal: Arc<dyn Clock> = clock.clone();
        let journal =
            wish.noting.then(|| Arc::new(Journal::new(ServerId::from_bytes([9; 16]), clock_of_journal, noted)));
        let tracing = Tracing { is_on: journal.is_some(), journal, ..Tracing::default() };
        // What a server asks of an address is its own business; here it is that it begins so, and is understood in lower case.
        let addresses = |url: &str| match url.to_lowercase() {
            url if url.starts_with("https://") => Ok(url),
            _ => Err("the address is not https".to_owned()),
        };
        let services = Services::new(store, hub, powers, limits, auth, wish.rate_limits)
            .with_tracing(tracing)
            .with_webhook_addresses(Arc::new(addresses));
        let services = Arc::new(services);
        let gateway = Gateway::new(services, wish.settings);
        let router = tertulia_gateway::router(&gateway);
        Self { handoff, gateway, router, clock }
    }

    pub fn services(&self) -> &Arc<Services> {
        &self.gateway.services
    }

    pub fn later(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// Signs somebody in, who is made where needed.
    pub async fn sign_in(&self, name: &str) -> TokenAnswer {
        self.services().auth().issue_for_email(&email(name), Some(name)).await.unwrap()
    }

    pub async fn person(&self, name: &str) -> Person {
        let token = self.sign_in(name).await;
        let identity = self.services().auth().authenticate(&token.token).await.unwrap();
        Person { token, identity }
    }

    pub async fn group(&self, owner: &Person, members: &[&Person]) -> ConversationId {
        let body = NewGroupBody {
            title: "Group".to_owned(),
            member_emails: Vec::new(),
            member_ids: members.iter().map(|person| person.id()).collect(),
            history_visibility: HistoryVisibility::All,
        };
        self.services().create_group(&owner.identity, body).await.unwrap().id
    }

    pub async fn say(&self, who: &Person, conversation_id: ConversationId, client_msg_id: &str, body: &str) -> Message {
        let (client_msg_id, body) = (client_msg_id.parse().unwrap(), body.to_owned());
        let request = SendMessage { conversation_id, client_msg_id, body, reply_to: None, after_client_msg_id: None };
        self.services().send_message(&who.identity, request, None).await.unwrap().0
    }

    pub async fn call(&self, ask: Ask) -> Answer {
        let response = self.router.clone().oneshot(ask.0).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: to_bytes(body, usize::MAX).await.unwrap() }
    }
}

pub fn email(name: &str) -> String {
    format!("{}@example.org", name.to_lowercase())
}

/// A request to be sent.
pub struct Ask(Request<Body>);

impl Ask {
    /// Of a line such as `GET /api/v1/me`.
    pub fn new(line: &str) -> Self {
        let (method, uri) = line.split_once(' ').unwrap();
        Self(Request::builder().method(method).uri(uri).body(Body::empty()).unwrap())
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.0.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
        self
    }

    /// The same header once more.
    pub fn and_header(mut self, name: &'static str, value: &str) -> Self {
        self.0.headers_mut().append(HeaderName::from_static(name), value.parse().unwrap());
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        *self.0.body_mut() = body.into();
        self.header("content-type", "application/json")
    }

    /// What the server's listener adds.
    pub fn with(mut self, extension: impl Clone + Send + Sync + 'static) -> Self {
        self.0.extensions_mut().insert(extension);
        self
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

/// A problem document with everything in its place.
#[track_caller]
pub fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer}");
    let problem = answer.json();
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["title"], answer.status.canonical_reason().unwrap());
    assert_eq!(problem["status"], status);
    assert_eq!(problem["code"], code);
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
    let waits = matches!(code, "rate_limited" | "unavailable");
    assert_eq!(problem["retryAfterMs"].is_u64(), waits, "{answer}");
    assert_eq!(answer.headers.contains_key("retry-after"), waits);
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
}
