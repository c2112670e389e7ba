//! The other servers, as far as they are heard: whether something of them was lost, and whether they still live.

use std::collections::HashMap;

use tertulia_proto::ServerId;

/// A server that was not heard for so long is gone. Each gives a sign of life every second.
pub const SILENCE_MAX_MS: u64 = 10_000;

/// What a publication says about those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Of a server that was not known.
    First,
    Next,
    /// Something before it did not come.
    AfterLoss,
}

struct Peer {
    last: u64,
    heard_at_ms: u64,
}

/// Times in milliseconds of a clock that only goes forward.
#[derive(Default)]
pub struct Peers {
    known: HashMap<ServerId, Peer>,
}

impl Peers {
    /// A publication number `n`; `has_news`: not a mere sign of life.
    pub fn hear(&mut self, from: ServerId, n: u64, has_news: bool, now_ms: u64) -> Heard {
        let Some(peer) = self.known.get_mut(&from) else {
            self.known.insert(from, Peer { last: n, heard_at_ms: now_ms });
            return Heard::First;
        };
        let expected = peer.last + u64::from(has_news);
        peer.last = peer.last.max(n);
        peer.heard_at_ms = now_ms;
        if n == expected { Heard::Next } else { Heard::AfterLoss }
    }

    /// Those that were silent for too long; they are forgotten.
    pub fn gone(&mut self, now_ms: u64) -> Vec<ServerId> {
        let is_gone = |peer: &Peer| now_ms.saturating_sub(peer.heard_at_ms) > SILENCE_MAX_MS;
        let gone: Vec<ServerId> = self.known.iter().filter(|(_, peer)| is_gone(peer)).map(|(id, _)| *id).collect();
        self.known.retain(|_, peer| !is_gone(peer));
        gone
    }

    /// The server says itself that it goes.
    pub fn goodbye(&mut self, server: ServerId) {
        self.known.remove(&server);
    }

    /// Nothing could be heard for a while: that they were silent says nothing.
    pub fn excuse(&mut self, now_ms: u64) {
        self.known.values_mut().for_each(|peer| peer.heard_at_ms = now_ms);
    }

    pub fn all(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.known.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServerId = ServerId::from_bytes([1; 16]);
    const B: ServerId = ServerId::from_bytes([2; 16]);

    #[test]
    fn a_jump_is_a_loss_whether_news_or_a_sign_of_life_shows_it() {
        let mut peers = Peers::default();
        assert_eq!(peers.hear(A, 5, true, 0), Heard::First);
        assert_eq!(peers.hear(A, 5, false, 0), Heard::Next, "a sign of life bears the last number");
        assert_eq!(peers.hear(A, 6, true, 0), Heard::Next);
        assert_eq!(peers.hear(A, 8, true, 0), Heard::AfterLoss);
        assert_eq!(peers.hear(A, 9, true, 0), Heard::Next);
        assert_eq!(peers.hear(A, 10, false, 0), Heard::AfterLoss, "the last news did not come");
        assert_eq!(peers.hear(A, 11, true, 0), Heard::Next);
        assert_eq!(peers.hear(B, 1, true, 0), Heard::First);
    }

    #[test]
    fn who_is_silent_is_gone_unless_nobody_could_be_heard() {
        let mut peers = Peers::default();
        peers.hear(A, 1, true, 0);
        peers.hear(B, 1, true, 9_000);
        assert!(peers.gone(SILENCE_MAX_MS).is_empty());
        assert_eq!(peers.gone(SILENCE_MAX_MS + 1), [A]);
        assert_eq!(peers.all().collect::<Vec<_>>(), [B]);
        peers.excuse(100_000);
        assert!(peers.gone(100_001).is_empty());
    }
}
