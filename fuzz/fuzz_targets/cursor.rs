//! The opaque strings: whatever is read is written back as the same text, and the two kinds are never taken for each other.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tertulia_proto::{ListCursor, SyncCursor};

fuzz_target!(|text: &str| {
    let (sync, list) = (SyncCursor::decode(text), ListCursor::decode(text));
    assert!(sync.is_none() || list.is_none());
    if let Some(cursor) = sync {
        assert_eq!(SyncCursor::decode(&cursor.encode()), Some(cursor));
        assert_eq!(cursor.encode(), text);
    }
    if let Some(cursor) = list {
        assert_eq!(ListCursor::decode(&cursor.encode()), Some(cursor));
        assert_eq!(cursor.encode(), text);
    }
});
