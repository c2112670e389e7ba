//! A provider for tests: a real server that checks what it is sent against the published rules, and answers what the test has laid ready.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, Response, Version};
use axum::serve::Listener;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tertulia_proto::{ConversationId, MessageId, Platform, Timestamp};
use tertulia_push::{Clock, Network, Notification, NotificationKind, Target};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub const ROOT_PEM: &str = include_str!("../keys/tls.pem");
const KEY_PEM: &[u8] = include_bytes!("../keys/tls.key.pem");

/// What came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header is ASCII"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Act {
    Say(u16, Vec<(&'static str, String)>, String),
    /// Never a byte.
    Hang,
    /// A head, a little, and nothing more.
    HangInBody(u16),
    /// A body without an end.
    Endless(u16),
}

pub fn say(status: u16, body: impl ToString) -> Act {
    Act::Say(status, Vec::new(), body.to_string())
}

pub fn say_with(status: u16, headers: &[(&'static str, &str)], body: impl ToString) -> Act {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Act::Say(status, headers, body.to_string())
}

/// Whether a request is as documented; the error says what is not.
pub type Check = fn(&Seen) -> Result<(), String>;

/// What the provider answers where the test says nothing.
pub type Usual = fn(&Seen) -> Act;

struct Shared {
    check: Check,
    usual: Usual,
    script: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<Seen>>,
    complaints: Mutex<Vec<String>>,
    connections: AtomicUsize,
    gate: Semaphore,
}

pub struct Stage {
    shared: Arc<Shared>,
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Copy)]
pub enum Wire {
    Plain,
    Tls(&'static [&'static [u8]]),
}

/// What browsers' push services offer.
pub const ANY_HTTP: Wire = Wire::Tls(&[b"h2", b"http/1.1"]);
/// What APNs offers.
pub const HTTP2: Wire = Wire::Tls(&[b"h2"]);

impl Stage {
    pub async fn start(wire: Wire, check: Check, usual: Usual) -> Self {
        let shared = Arc::new(Shared {
            check,
            usual,
            script: Mutex::default(),
            seen: Mutex::default(),
            complaints: Mutex::default(),
            connections: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = tcp.local_addr().expect("an address");
        let app = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        let door = Door { tcp, tls: tls_of(wire), shared: Arc::clone(&shared) };
        tasks.spawn(async move { axum::serve(door, app).await.expect("it serves") });
        Self { shared, address, _tasks: tasks }
    }

    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// The next answers, in order; after them the usual ones.
    pub fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.shared.script.lock().extend(acts);
    }

    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.shared.seen.lock())
    }

    pub fn take_one(&self) -> Seen {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "one request: {all:?}");
        all.remove(0)
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Nobody is answered until the gate is opened.
    pub fn close_gate(&self) {
        self.shared.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn open_gate(&self) {
        self.shared.gate.add_permits(1024);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let complaints = self.shared.complaints.lock();
        assert!(std::thread::panicking() || complaints.is_empty(), "not as documented: {complaints:#?}");
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 * 1024).await.expect("a body of moderate size").to_vec();
    let path = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let seen = Seen { method: head.method, path, version: head.version, headers: head.headers, body };
    let checked = (shared.check)(&seen);
    let act = shared.script.lock().pop_front().unwrap_or_else(|| (shared.usual)(&seen));
    shared.seen.lock().push(seen);
    shared.gate.acquire().await.expect("the gate is never taken down").forget();
    if let Err(complaint) = checked {
        shared.complaints.lock().push(complaint);
        return Response::builder().status(400).body(Body::empty()).expect("an answer");
    }
    played(act).await
}

async fn played(act: Act) -> Response<Body> {
    let answer = |status: u16, body| Response::builder().status(status).body(body).expect("an answer");
    let some = || Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 16 * 1024]));
    match act {
        Act::Say(status, headers, body) => {
            let mut response = answer(status, Body::from(body));
            for (name, value) in headers {
                response.headers_mut().append(name, value.parse().expect("a value"));
            }
            response
        }
        Act::Hang => std::future::pending().await,
        Act::HangInBody(status) => {
            answer(status, Body::from_stream(stream::once(async move { some() }).chain(stream::pending())))
        }
        Act::Endless(status) => answer(status, Body::from_stream(stream::repeat_with(some))),
    }
}

struct Door {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
}

impl Listener for Door {
    type Io = Box<dyn Duplex>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Ok((tcp, peer)) = self.tcp.accept().await else { continue };
            self.shared.connections.fetch_add(1, Ordering::SeqCst);
            match &self.tls {
                None => return (Box::new(tcp), peer),
                Some(tls) => {
                    if let Ok(stream) = tls.accept(tcp).await {
                        return (Box::new(stream), peer);
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

pub trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}

fn tls_of(wire: Wire) -> Option<TlsAcceptor> {
    let Wire::Tls(protocols) = wire else { return None };
    let certificate = CertificateDer::from_pem_slice(ROOT_PEM.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY_PEM).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(vec![certificate], key);
    let mut config = config.expect("they belong together");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Some(TlsAcceptor::from(Arc::new(config)))
}

/// Time that stands still until a test moves it.
#[derive(Clone)]
pub struct Time(Arc<AtomicI64>);

/// 2026-01-01T00:00:00Z
pub const START_MS: i64 = 1_767_225_600_000;

impl Time {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START_MS)))
    }

    pub fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Arc::new(move || Timestamp::from_ms(now.load(Ordering::SeqCst)))
    }

    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

/// Believes the servers of the tests.
pub fn network() -> Network {
    Network { roots_pem: Some(ROOT_PEM.to_owned()), ..Network::default() }
}

/// Gives up before a test gets long.
pub fn impatient() -> Network {
    Network { timeout: Duration::from_secs(2), ..network() }
}

pub const CONVERSATION: &str = "01234567-89ab-7cde-8f01-23456789abcd";
pub const MESSAGE: &str = "01234567-89ab-7cde-8f01-0000000000ff";
pub const LINK: &str = "/c/01234567-89ab-7cde-8f01-23456789abcd?m=01234567-89ab-7cde-8f01-0000000000ff";

pub fn notification() -> Notification {
    Notification {
        kind: NotificationKind::Message,
        title: "Alice".to_owned(),
        body: "Shall we meet? \u{1f375}".to_owned(),
        badge: 7,
        conversation: CONVERSATION.parse::<ConversationId>().expect("an id"),
        message: Some(MESSAGE.parse::<MessageId>().expect("an id")),
        seq: 42,
        link: LINK.to_owned(),
        sent_at: Timestamp::from_ms(START_MS - 1500),
        silent: false,
    }
}

pub fn withdrawal() -> Notification {
    let (title, body) = (String::new(), String::new());
    Notification { kind: NotificationKind::Withdrawal, title, body, ..notification() }
}

pub fn target(platform: Platform, token: &str) -> Target {
    Target { platform, token: token.to_owned() }
}

/// Nobody listens there.
pub async fn deserted() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address")
}
