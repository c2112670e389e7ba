//! What differs between a computer and a browser: clock, chance, timers, tasks, the WebSocket and HTTP. The only place that asks which it is; each
//! platform has the same items.

#[cfg(not(target_family = "wasm"))]
mod native;

#[cfg(not(target_family = "wasm"))]
pub use native::*;

use tertulia_engine::Closed;

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
