//! Who may call what: every call of the REST API and every request of the sockets, asked by every kind of caller.
//!
//! A row names the call, the body, the scope that an API key needs, and the status for each caller, in the order of [`world::Caller::ALL`]. Each
//! answer comes from a world of its own. A documented call without a row fails.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod rest;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
mod world;
