//! A frame of the plain WebSocket: read or refused, never a panic; and a refusal says something.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tertulia_proto::request::parse_frame;

fuzz_target!(|text: &str| {
    if let (_, Err(error)) = parse_frame(text) {
        assert!(!error.detail.is_empty());
    }
});
