//! How open sockets end: with their session, their key, their silence; what a full one may still do, and what one sees after a parting.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod cookie;
mod ended;
mod full;
mod hung_up;
mod replaced;
mod silent;
#[path = "../support/mod.rs"]
mod support;
mod traced;
mod watching;

use std::time::Duration;

use support::{Server, Wish};
use tertulia_gateway::{Settings, Times};

/// Short enough to be waited for, long enough for everything in between.
const SHORT: Duration = Duration::from_millis(50);

/// Connections are looked after often, and nobody is waited for for long.
fn short_times() -> Times {
    Times { last_words: SHORT, drain: SHORT, care: Duration::from_millis(5), ..Times::default() }
}

fn server(times: Times) -> Server {
    Server::new(Wish { settings: Settings { times, ..Settings::default() }, ..Wish::default() })
}
