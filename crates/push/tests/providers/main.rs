//! The providers against servers that hold them to the published rules.

#![expect(clippy::expect_used, reason = "a test fails by a panic, in its helpers too")]

mod apns;
mod expo;
mod fcm;
mod stage;
mod trouble;
mod webpush;
