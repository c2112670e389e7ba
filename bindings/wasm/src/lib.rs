//! The client of Tertulia for browsers: what its worker calls. The page's side, and who of several tabs holds the database, is in `web/client`.
//!
//! Everything crosses as JSON text, which the worker passes on as it is and the page reads. TypeScript's types of it are made from [`model`] and
//! [`calls`], by a test that also finds them out of date.
//!
//! What may not be here: a decision; a second data model; a call that goes past the client.
//!
//! The way through: [`calls`] what can be asked; [`model`] the shapes, [`notify`] those about notifications; [`failure`] the one error; `worker` the exports, `answers` what a call does,
//! `subscriptions` what there is to see: these three are for browsers alone.

#[cfg(target_family = "wasm")]
mod answers;
pub mod calls;
pub mod failure;
pub mod model;
pub mod notify;
#[cfg(target_family = "wasm")]
mod subscriptions;
#[cfg(test)]
mod typescript;
#[cfg(target_family = "wasm")]
mod worker;
