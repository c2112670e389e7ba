//! The opaque strings a client keeps and gives back. They carry positions, never permissions: a forged one shows nothing that its bearer may
//! not see. A checksum tells a damaged cursor from a real one, so that the answer is "start over" and never a wrong page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::id::ConversationId;

/// Where a client stands in the log of everything it can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncCursor {
    /// The log that the positions belong to; another one after a restore.
    pub epoch: Uuid,
    /// Every change at or below this position has been handed over.
    pub base: i64,
    /// Inside a difference of several pages: the position where it will end, and the last conversation handed over, in order of id.
    pub within: Option<(i64, ConversationId)>,
}

/// Where a client stands in its conversation list: newest activity first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCursor {
    pub activity_at_ms: i64,
    pub id: ConversationId,
}

const SYNC: u8 = 1;
const SYNC_WITHIN: u8 = 2;
const LIST: u8 = 3;
const TEXT_MAX: usize = 128;

impl SyncCursor {
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(56);
        bytes.push(if self.within.is_some() { SYNC_WITHIN } else { SYNC });
        bytes.extend_from_slice(self.epoch.as_bytes());
        bytes.extend_from_slice(&self.base.to_be_bytes());
        if let Some((position, id)) = self.within {
            bytes.extend_from_slice(&position.to_be_bytes());
            bytes.extend_from_slice(id.as_bytes());
        }
        seal(bytes)
    }

    /// `None` for whatever this server did not write.
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = open(text)?;
        let (&kind, rest) = bytes.split_first()?;
        let (epoch, rest) = rest.split_first_chunk::<16>()?;
        let (base, rest) = rest.split_first_chunk::<8>()?;
        let within = match kind {
            SYNC if rest.is_empty() => None,
            SYNC_WITHIN => {
                let (position, rest) = rest.split_first_chunk::<8>()?;
                let id: [u8; 16] = rest.try_into().ok()?;
                Some((i64::from_be_bytes(*position), ConversationId::from_bytes(id)))
            }
            _ => return None,
        };
        Some(Self { epoch: Uuid::from_bytes(*epoch), base: i64::from_be_bytes(*base), within })
    }
}

impl ListCursor {
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(32);
        bytes.push(LIST);
        bytes.extend_from_slice(&self.activity_at_ms.to_be_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        seal(bytes)
    }

    /// `None` for whatever this server did not write.
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = open(text)?;
        let rest = bytes.strip_prefix(&[LIST])?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let id: [u8; 16] = rest.try_into().ok()?;
        Some(Self { activity_at_ms: i64::from_be_bytes(*at), id: ConversationId::from_bytes(id) })
    }
}

fn seal(mut bytes: Vec<u8>) -> String {
    bytes.extend_from_slice(&fnv1a(&bytes).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn open(text: &str) -> Option<Vec<u8>> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let body = bytes.len().checked_sub(4)?;
    let sum = bytes.split_off(body);
    (sum == fnv1a(&bytes).to_be_bytes()).then_some(bytes)
}

/// FNV-1a, 32 bits: against accidents, not against intent.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in ".{0,200}") {
            let _ = SyncCursor::decode(&text);
            let _ = ListCursor::decode(&text);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            let text = seal(bytes);
            let _ = SyncCursor::decode(&text);
            let _ = ListCursor::decode(&text);
        }

        #[test]
        fn a_cursor_survives_its_text(epoch in any::<[u8; 16]>(), base in any::<i64>(), within in proptest::option::of((any::<i64>(), any::<[u8; 16]>()))) {
            let cursor = SyncCursor {
                epoch: Uuid::from_bytes(epoch),
                base,
                within: within.map(|(position, id)| (position, ConversationId::from_bytes(id))),
            };
            prop_assert_eq!(SyncCursor::decode(&cursor.encode()), Some(cursor));
            prop_assert_eq!(ListCursor::decode(&cursor.encode()), None);
        }

        #[test]
        fn one_changed_character_is_noticed(base in any::<i64>(), at in 0usize..38, to in "[A-Za-z0-9_-]") {
            let text = SyncCursor { epoch: Uuid::nil(), base, within: None }.encode();
            let mut changed = text.clone();
            changed.replace_range(at..=at, &to);
            prop_assert!(changed == text || SyncCursor::decode(&changed).is_none());
        }
    }
}
