//! What reaches whom live, from the services through the log and the fan-out to the lanes: on joining, leaving, blocking and another name.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod joining;
mod news;
mod telling;
mod town;
mod watching;
