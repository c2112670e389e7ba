//! The doors: REST, Socket.IO and the plain WebSocket over one set of services.
//!
//! A front end parses, finds out who is asking, calls one service function, and encodes. Sockets share [`dispatch`]; errors become what they are on
//! each wire in [`error`]. No rule lives here, and no feature is reachable through one door only for want of code in another.
//!
//! The way through: [`rest`] (a file per noun), [`ws`], [`socketio`], [`dispatch`]; [`caller`] who is asking; [`docs`] the references.

mod caller;
mod dispatch;
pub mod docs;
mod error;
mod extract;
mod metrics;
mod rest;
mod socketio;
mod trace;
mod ws;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
}

pub struct Gateway {
    pub services: Arc<Services>,
    pub settings: Settings,
    pub metrics: Metrics,
    draining: AtomicBool,
}

pub(crate) type App = Arc<Gateway>;

impl Gateway {
    pub fn new(services: Arc<Services>, settings: Settings) -> Arc<Self> {
        Arc::new(Self { services, settings, metrics: Metrics::new(), draining: AtomicBool::new(false) })
    }

    /// From now on `health/ready` says no, so that nobody new is sent here.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
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
