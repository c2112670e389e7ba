//! What differs between a computer and a browser: clock, chance, timers, tasks, the WebSocket and HTTP. The only place that asks which it is; each
//! platform has the same items.

#[cfg(not(target_family = "wasm"))]
mod native;

#[cfg(not(target_family = "wasm"))]
pub use native::*;

#[cfg(target_family = "wasm")]
mod web;

#[cfg(target_family = "wasm")]
pub use web::*;

use tertulia_engine::Closed;

/// How a request, or a connection, says who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It does not: somebody signs in. `takes_cookie`: the browser may keep the one that the answer brings.
    Nobody {
        takes_cookie: bool,
    },
    Token(String),
    /// The browser adds the session's cookie, which nobody here can read.
    Cookie,
}

/// What comes over a connection.
#[derive(Debug)]
pub enum Incoming {
    Text(String),
    /// And nothing after it.
    Closed(Closed),
}

/// An answer over HTTP, whatever it says.
#[derive(Debug)]
pub struct HttpAnswer {
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
    pub body: String,
}

#[derive(Debug, Clone, Copy)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// There was no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);
