//! The doors: REST, Socket.IO and the plain WebSocket over one set of services.
//!
//! A front end parses, finds out who is asking, calls one service function, and encodes. Sockets share [`dispatch`]; errors become what they are on
//! each wire in [`error`]. No rule lives here, and no feature is reachable through one door only for want of code in another.
//!
//! The way through: [`rest`] (a file per noun), [`ws`], [`socketio`], [`dispatch`]; [`caller`] who is asking; [`docs`] the references; [`web`] the app's files; [`flaky`] a bad network for app developers.

mod caller;
pub mod dispatch;
pub mod docs;
mod error;
mod extract;
pub mod flaky;
mod frames;
mod metrics;
mod rest;
mod socketio;
mod trace;
pub mod web;
mod ws;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use tertulia_core::Services;

pub use metrics::Metrics;

/// What the doors need besides the services.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where people reach this server, such as `https://chat.example.org`. Cookies are `Secure` when it is https; without it the `Host` header tells
    /// what the same origin is.
    pub public_url: Option<String>,
    /// Whether a proxy in front of this server says in `X-Forwarded-For` where a request comes from; its last entry is believed.
    pub behind_proxy: bool,
    /// Other origins whose pages may call the REST API with a Bearer token.
    pub cors_origins: Vec<String>,
    pub times: Times,
    /// Development only: what befalls the sockets.
    pub trouble: Option<Arc<flaky::Trouble>>,
    /// What is shown to browsers at `/`; without it they are sent to the reference.
    pub web: web::WebApp,
    /// How it is with the other servers, where there are any.
    pub bus: Option<BusWatch>,
    /// How it is with the replicas that are read from, where there are any.
    pub replicas: Option<ReplicaWatch>,
    /// What is run here of the queue, if anything.
    pub jobs: Option<JobsWatch>,
}

/// What this process has run of one kind of job; `running` is of this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFigures {
    pub kind: &'static str,
    pub done: u64,
    pub failed: u64,
    pub died: u64,
    pub running: u64,
}

/// Looks at the workers when somebody asks.
#[derive(Clone)]
pub struct JobsWatch(Arc<dyn Fn() -> Vec<JobFigures> + Send + Sync>);

impl JobsWatch {
    pub fn new(look: impl Fn() -> Vec<JobFigures> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    pub fn look(&self) -> Vec<JobFigures> {
        (self.0)()
    }
}

impl std::fmt::Debug for JobsWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JobsWatch").field(&self.look()).finish()
    }
}

/// What is known of the way to the other servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BusState {
    pub is_up: bool,
    /// Other servers that are heard.
    pub peers: usize,
    /// How often something was lost on the way.
    pub losses: u64,
    /// How often nothing could be told.
    pub failures: u64,
    /// How often the log was asked what may have been missed, and how many people were told to ask for it.
    pub asked: u64,
    pub told: u64,
}

/// Looks at the bus when somebody asks.
#[derive(Clone)]
pub struct BusWatch(Arc<dyn Fn() -> BusState + Send + Sync>);

impl BusWatch {
    pub fn new(look: impl Fn() -> BusState + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    pub fn look(&self) -> BusState {
        (self.0)()
    }
}

impl std::fmt::Debug for BusWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BusWatch").field(&self.look()).finish()
    }
}

/// What is known of one replica of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplicaState {
    /// Whether it is read from.
    pub is_used: bool,
    pub lag_ms: u64,
    /// Lookups that it has answered.
    pub reads: u64,
}

/// What is known of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaStates {
    /// In the order of the configuration.
    pub all: Vec<ReplicaState>,
    /// How often the primary answered what a replica was asked, by reason.
    pub fallbacks: Vec<(&'static str, u64)>,
}

/// Looks at the replicas when somebody asks.
#[derive(Clone)]
pub struct ReplicaWatch(Arc<dyn Fn() -> ReplicaStates + Send + Sync>);

impl ReplicaWatch {
    pub fn new(look: impl Fn() -> ReplicaStates + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    pub fn look(&self) -> ReplicaStates {
        (self.0)()
    }
}

impl std::fmt::Debug for ReplicaWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReplicaWatch").field(&self.look()).finish()
    }
}

/// How long the doors wait for the other end.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// How long a slow reader has to take what the socket still holds before the connection is cut without a word. 30 s.
    pub last_words: Duration,
    /// How long the server listens on after its close frame. 2 s.
    pub drain: Duration,
    /// How often a connection is looked after: whether its token still stands, and whether anybody is there. 30 s.
    pub care: Duration,
    /// After so long without a sign the other end is gone: two pings without a pong. 75 s.
    pub silence: Duration,
    /// How long a body may take. At most 64 KiB, so even the slowest phone needs a few seconds. 30 s.
    pub body: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            last_words: Duration::from_secs(30),
            drain: Duration::from_secs(2),
            care: Duration::from_secs(30),
            silence: Duration::from_secs(75),
            body: Duration::from_secs(30),
        }
    }
}

pub struct Gateway {
    pub services: Arc<Services>,
    pub settings: Settings,
    pub metrics: Metrics,
    draining: AtomicBool,
    /// WebSockets between their handshake and the hub.
    arriving: AtomicUsize,
    socket_io: OnceLock<socketioxide::SocketIo>,
}

/// What every door shares.
pub type App = Arc<Gateway>;

impl Gateway {
    pub fn new(services: Arc<Services>, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            services,
            settings,
            metrics: Metrics::new(),
            draining: AtomicBool::new(false),
            arriving: AtomicUsize::new(0),
            socket_io: OnceLock::new(),
        })
    }

    /// How many WebSockets have been let in by HTTP, and are neither in the hub nor refused yet. A server that stops waits for them as for those in the hub.
    pub fn arriving(&self) -> usize {
        self.arriving.load(Ordering::SeqCst)
    }

    /// From now on `health/ready` says no, so that nobody new is sent here.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Ends the transports of all Socket.IO connections, so that their clients come back by themselves: to a goodbye of the protocol they would not. The
    /// plain WebSockets end with their close frame.
    pub async fn hang_up(&self) {
        if let Some(io) = self.socket_io.get() {
            io.close().await;
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Counts a WebSocket among those that are [`arriving`](Gateway::arriving), until dropped.
pub(crate) struct Arrival(App);

impl Arrival {
    pub(crate) fn begin(app: &App) -> Self {
        app.arriving.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(app))
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.0.arriving.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The whole server as one router.
pub fn router(gateway: &Arc<Gateway>) -> Router {
    // The layer answers `/socket.io/` and hands everything else on.
    rest::router(gateway)
        .layer(socketio::layer(gateway))
        .layer(rest::cors(gateway))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(gateway), trace::trace))
}

/// What a process shows that serves nobody: health and metrics.
pub fn operations(gateway: &Arc<Gateway>) -> Router {
    rest::operations(gateway)
}
