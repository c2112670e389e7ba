//! What needs keys and a clock but no store. With a store: `tests/auth` of this crate.

mod document;
mod jwks;
#[path = "../../../tests/auth/signing.rs"]
mod signing;
mod token;
