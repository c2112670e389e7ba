//! One connection of one person.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use tertulia_proto::{DeviceId, SessionId, UserId};
use tokio::sync::Semaphore;

use crate::lane::{Closing, Lane, LaneLimits};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

pub struct Connection {
    pub id: ConnectionId,
    pub user: UserId,
    /// Which of the person's devices it is, where the client says so.
    pub device: Option<DeviceId>,
    pub lane: Lane,
    /// Held while a request is carried out.
    executing: Mutex<()>,
    /// The older connection of the device, until nothing of it is executed any more.
    replaces: Mutex<Option<Arc<Self>>>,
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
        device: Option<DeviceId>,
        session: SessionId,
        expires_at_ms: i64,
        limits: LaneLimits,
        in_flight_max: usize,
    ) -> Self {
        Self {
            id,
            user,
            device,
            lane: Lane::new(limits),
            executing: Mutex::new(()),
            replaces: Mutex::new(None),
            session: Mutex::new(session),
            expires_at_ms: AtomicI64::new(expires_at_ms),
            in_flight: Semaphore::new(in_flight_max.clamp(1, Semaphore::MAX_PERMITS)),
            heard_at_ms: AtomicI64::new(i64::MAX),
            watched: Mutex::new(Vec::new()),
        }
    }

    /// Carries out a request of this connection, unless its end has been decided: then nothing more is done for it, and the answer is `false`.
    /// `work` may not wait, and may not end or replace this connection.
    pub fn execute(&self, work: impl FnOnce()) -> bool {
        let _executing = self.executing.lock();
        let goes_on = self.lane.closing().is_none();
        if goes_on {
            work();
        }
        goes_on
    }

    /// The connection whose place this one takes; [`Connection::retire_older`] follows.
    pub(crate) fn replace(&self, older: Arc<Self>) {
        *self.replaces.lock() = Some(older);
    }

    /// When this returns, what was being carried out for the older connection, and for those before it, is finished, and nothing follows it.
    pub(crate) fn retire_older(&self) {
        let older = self.replaces.lock().clone();
        if let Some(older) = older {
            older.retire();
            *self.replaces.lock() = None;
        }
    }

    /// When this returns, what was being carried out for this connection is finished, and nothing follows it.
    pub(crate) fn retire(&self) {
        {
            let _executing = self.executing.lock();
            self.lane.close(Closing::Replaced);
        }
        // It may have been replaced before it was done with its own.
        self.retire_older();
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
