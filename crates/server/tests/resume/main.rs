//! Promises 4 and 6 against the real binary: whoever comes back, however they were away, has everything; whoever does not read costs nothing.

mod disk_full;
mod first_frame;
mod holding;
mod live;
mod replica;
mod restore;
mod slow;
mod stop;
mod writer;

use tertulia_testkit::Options;

fn options() -> Options {
    Options::new(env!("CARGO_BIN_EXE_tertulia"))
}
