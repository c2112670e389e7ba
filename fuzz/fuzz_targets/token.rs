//! A bearer token before anybody has vouched for it: its header and claims are read or refused, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = tertulia_core::auth::peek(text);
});
