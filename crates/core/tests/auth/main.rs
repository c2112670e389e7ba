//! Signing in, against the real store: local accounts, this server's own tokens, host apps' tokens, API keys.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic, in its helpers too")]

mod api_key;
mod host;
mod local;
mod own;
mod signing;
mod world;
