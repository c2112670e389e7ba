//! Scalars that people and programs write: what is taken keeps its meaning when it is written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tertulia_proto::{ClientMsgId, Emoji, MessageId, Timestamp};

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<ClientMsgId>() {
        assert!(id.as_str() == text && text.len() <= ClientMsgId::LEN_MAX && text.is_ascii());
    }
    if let Ok(emoji) = text.parse::<Emoji>() {
        assert!(emoji.as_str() == text && text.len() <= Emoji::LEN_MAX_BYTES);
    }
    if let Ok(id) = text.parse::<MessageId>() {
        assert!(id.to_string().eq_ignore_ascii_case(text));
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!(time.to_string().len(), "2026-01-31T12:00:00.000Z".len());
    }
});
