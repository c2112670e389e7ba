//! The task that keeps the connection: opens what the engine wants open, calls it when time has come, asks for another token, prunes once a day. One
//! per client; it decides nothing about what is sent.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::StreamExt as _;
use futures_util::future::poll_fn;
use futures_util::stream::FuturesUnordered;
use tertulia_client_sqlite::Keep;

use crate::board::{Flag, Topic};
use crate::connection;
use crate::core::Input;
use crate::platform::wait_ms;
use crate::shared::{Shared, Turn};

/// Old messages go when the first screen is drawn, and then once a day.
const FIRST_PRUNE_MS: u64 = 3000;
const PRUNE_EVERY_MS: u64 = 24 * 60 * 60 * 1000;

/// The provider is asked at once for another token, and then after so long each time that the server does not take it, twice as long up to ten minutes.
const TOKEN_RETRY_MS: u64 = 30_000;
const TOKEN_RETRY_MAX_MS: u64 = 600_000;

/// Never sooner, so that a wait that is over already can't spin.
const LEAST_WAIT_MS: u64 = 2;

#[derive(Debug, Default)]
struct SignIn {
    tries: u32,
    at: Option<u64>,
}

impl SignIn {
    /// Whether to connect again now, with a token that the provider is asked for then.
    fn is_due(&mut self, now: u64, turn: &Turn) -> bool {
        if turn.is_connected {
            self.tries = 0;
        }
        if !turn.is_signed_out {
            self.at = None;
            return false;
        }
        let at = *self.at.get_or_insert_with(|| {
            let wait = match self.tries {
                0 => 0,
                tries => (TOKEN_RETRY_MS << (tries - 1).min(10)).min(TOKEN_RETRY_MAX_MS),
            };
            now.saturating_add(wait)
        });
        if at > now {
            return false;
        }
        self.at = None;
        self.tries = self.tries.saturating_add(1);
        true
    }
}

/// Until the client is closed.
pub async fn drive(shared: Arc<Shared>, keep: Keep) {
    let flag = shared.flag(Topic::Driver);
    let mut connections = FuturesUnordered::new();
    let mut sign_in = SignIn::default();
    let mut prune_at = shared.now().mono_ms.saturating_add(FIRST_PRUNE_MS);
    while let Some(turn) = shared.turn() {
        let now = shared.now().mono_ms;
        if let Some(wire) = turn.open {
            connections.push(connection::run(Arc::clone(&shared), wire));
        }
        if shared.rest.tokens().can_be_asked() && sign_in.is_due(now, &turn) && shared.step(Input::Connect).is_err() {
            break;
        }
        if prune_at <= now {
            prune(&shared, keep);
            prune_at = now.saturating_add(PRUNE_EVERY_MS);
        }
        let next = [Some(prune_at), turn.due_ms, sign_in.at].into_iter().flatten().min().unwrap_or(prune_at);
        let wait = next.saturating_sub(now).max(LEAST_WAIT_MS);
        if wait_for_something(&flag, &mut connections, wait).await.is_err() {
            break;
        }
    }
    // Those that say goodbye.
    while connections.next().await.is_some() {}
}

async fn wait_for_something(
    flag: &Flag,
    connections: &mut FuturesUnordered<impl Future<Output = ()>>,
    ms: u64,
) -> Result<(), crate::board::Over> {
    let mut timer = pin!(wait_ms(ms));
    poll_fn(|context| {
        while let Poll::Ready(Some(())) = connections.poll_next_unpin(context) {}
        if let Poll::Ready(raised) = flag.poll(context) {
            return Poll::Ready(raised);
        }
        timer.as_mut().poll(context).map(Ok)
    })
    .await
}

fn prune(shared: &Shared, keep: Keep) {
    let now_ms = shared.now().wall.ms();
    let pruned = shared.with_core(|core| core.store_mut().prune(keep, now_ms));
    // A store that can't be pruned now can be tomorrow.
    if let Some(Ok(pruned)) = pruned
        && pruned.messages > 0
    {
        shared.board.raise_everything();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_is_asked_at_once_and_then_with_growing_waits() {
        let signed_out = Turn { open: None, due_ms: None, is_signed_out: true, is_connected: false };
        let trying = Turn { is_signed_out: false, ..signed_out };
        let mut sign_in = SignIn::default();
        let (mut now, mut waits) = (1000, Vec::new());
        for _ in 0..8 {
            let begun = now;
            while !sign_in.is_due(now, &signed_out) {
                now = sign_in.at.unwrap_or(now);
            }
            waits.push(now - begun);
            assert!(!sign_in.is_due(now, &trying));
        }
        assert_eq!(waits, [0, 30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
        let connected = Turn { is_connected: true, ..trying };
        assert!(!sign_in.is_due(now, &connected));
        assert!(sign_in.is_due(now, &signed_out), "at once again");
    }
}
