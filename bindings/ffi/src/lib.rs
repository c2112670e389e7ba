//! The client of Tertulia for Kotlin, Swift and Python: one definition from which UniFFI writes all three.
//!
//! Every call is [`tertulia_client`]'s; here is only what lets it cross into another language: a runtime of its own, objects that several threads may hold,
//! identifiers as text, times as milliseconds since 1970, one error type. How apps use it is in docs/bindings.md.
//!
//! There is one error type for all calls, unlike in the client: what another language catches is a class, and only so an argument that can't be read
//! becomes one too ([`error::TertuliaError::BadArgument`]).
//!
//! What may not be here: a decision; a second data model; a call that goes past the client.
//!
//! The way through: [`client`] the calls; [`account`] signing in and tokens; [`push`] notifications; [`subscriptions`] what there is to see, awaited or told to a [`listener`];
//! [`model`] the types; [`error`]; [`runtime`] where it all runs, and how it is cancelled.

pub mod account;
pub mod client;
pub mod error;
pub mod listener;
pub mod model;
pub mod push;
pub mod runtime;
pub mod subscriptions;

uniffi::setup_scaffolding!("tertulia");
