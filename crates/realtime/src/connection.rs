//! One connection of one person.

use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use tertulia_proto::{SessionId, UserId};
use tokio::sync::Semaphore;

use crate::lane::{Lane, LaneLimits};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

pub struct Connection {
    pub id: ConnectionId,
    pub user: UserId,
    pub lane: Lane,
    session: Mutex<SessionId>,
    expires_at_ms: AtomicI64,
    /// A permit per request under way: without one, reading pauses.
    pub in_flight: Semaphore,
    /// When something last came from the other end, in milliseconds since 1970.
    heard_at_ms: AtomicI64,
    pub(crate) watched: Mutex<Vec<UserId>>,
}

impl Connection {
    pub(crate) fn new(
        id: ConnectionId,
        user: UserId,
        session: SessionId,
        expires_at_ms: i64,
        limits: LaneLimits,
        in_flight_max: usize,
    ) -> Self {
        Self {
            id,
            user,
            lane: Lane::new(limits),
            session: Mutex::new(session),
            expires_at_ms: AtomicI64::new(expires_at_ms),
            in_flight: Semaphore::new(in_flight_max.clamp(1, Semaphore::MAX_PERMITS)),
            heard_at_ms: AtomicI64::new(i64::MAX),
            watched: Mutex::new(Vec::new()),
        }
    }

    pub fn session(&self) -> SessionId {
        *self.session.lock()
    }

    /// Something came from the other end.
    pub fn hear(&self, now_ms: i64) {
        self.heard_at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// How long nothing has come; 0 before the first frame.
    pub fn silent_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.heard_at_ms.load(Ordering::Relaxed)).max(0)
    }

    /// When the token of this connection ends, in milliseconds since 1970.
    pub fn expires_at_ms(&self) -> i64 {
        self.expires_at_ms.load(Ordering::Relaxed)
    }

    /// A newer token of the same person.
    pub fn renew(&self, session: SessionId, expires_at_ms: i64) {
        *self.session.lock() = session;
        self.expires_at_ms.store(expires_at_ms, Ordering::Relaxed);
    }
}
