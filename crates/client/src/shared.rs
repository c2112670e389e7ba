//! What the client's handles, its subscriptions and its driver share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tertulia_engine::{CommandError as Refusal, Notice, Now, StoreFailure};
use tertulia_proto::{ClientMsgId, DeviceId, User};
use uuid::Builder;

use crate::address::Address;
use crate::background::Wanted;
use crate::board::{Board, Flag, Topic};
use crate::core::{Core, Input, ToWrite, Wire};
use crate::error::{CommandError, ReadError};
use crate::platform::Clock;
use crate::rest::Rest;

#[derive(Debug)]
pub struct Shared {
    /// `None` once the client is closed: the file is somebody else's then.
    core: Mutex<Option<Core>>,
    pub board: Board,
    pub clock: Clock,
    pub address: Address,
    pub rest: Rest,
    /// Connections that have not ended.
    wires: AtomicUsize,
    /// The server has said in this life whose data these are.
    knows_profile: AtomicBool,
    pub wanted: Wanted,
}

/// Counts as a connection while it is there.
#[derive(Debug)]
pub struct Alive<'a>(&'a Shared);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.wires.fetch_sub(1, Ordering::AcqRel);
        self.0.board.raise_all(&[Topic::WireEnded]);
    }
}

/// What the driver is to do now, and when to look again.
#[derive(Debug)]
pub struct Turn {
    pub open: Option<Wire>,
    pub due_ms: Option<u64>,
    pub is_signed_out: bool,
    pub is_connected: bool,
}

/// For a store that is none yet: a UUID of version 4.
pub fn new_device() -> Option<DeviceId> {
    let chance = crate::platform::random::<16>()?;
    Some(DeviceId::from_uuid(Builder::from_random_bytes(chance).into_uuid()))
}

impl Shared {
    pub fn new(core: Core, clock: Clock, address: Address, rest: Rest) -> Self {
        Self {
            core: Mutex::new(Some(core)),
            board: Board::default(),
            clock,
            address,
            rest,
            wires: AtomicUsize::new(0),
            knows_profile: AtomicBool::new(false),
            wanted: Wanted::default(),
        }
    }

    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// One step: committed when this returns, then shown, then handed to the driver.
    pub fn step(&self, input: Input) -> Result<(), CommandError> {
        let now = self.now();
        let (done, notices) = {
            let mut core = self.core.lock();
            let core = core.as_mut().ok_or(CommandError::Closed)?;
            let done = core.step(now, input);
            (done, core.take_notices())
        };
        // What somebody looks at, who has just written it, before what stands beside it.
        let (timelines, others): (Vec<_>, Vec<_>) =
            notices.into_iter().partition(|notice| matches!(notice, Notice::Timeline(_)));
        for notice in timelines.into_iter().chain(others) {
            self.board.tell(notice);
        }
        self.board.raise_all(&[Topic::Driver, Topic::Wire]);
        done.map_err(CommandError::from)
    }

    /// Asks whose data these are, unless that is known. What comes to nothing is asked again with the next connection.
    pub async fn learn_profile(&self) {
        if self.knows_profile.load(Ordering::Acquire) {
            return;
        }
        if let Ok(user) = self.rest.me().await {
            self.keep_profile(&user);
        }
    }

    pub fn keep_profile(&self, user: &User) {
        let kept = self.with_core(|core| core.store_mut().put_profile(user));
        self.knows_profile.store(matches!(kept, Some(Ok(()))), Ordering::Release);
        self.board.raise_all(&[Topic::Profile]);
    }

    /// Somebody else may sign in.
    pub fn forget_profile(&self) {
        self.knows_profile.store(false, Ordering::Release);
    }

    /// Looks at what is committed.
    pub fn read<T>(&self, look: impl FnOnce(&Core) -> Result<T, StoreFailure>) -> Result<T, ReadError> {
        match self.core.lock().as_ref() {
            Some(core) => Ok(look(core)?),
            None => Err(ReadError::Closed),
        }
    }

    /// Work on the store that is no step of the engine.
    pub fn with_core<T>(&self, work: impl FnOnce(&mut Core) -> T) -> Option<T> {
        self.core.lock().as_mut().map(work)
    }

    /// `None` when the client is closed.
    pub fn turn(&self) -> Option<Turn> {
        let now = self.now();
        let is_due = self.with_core(|core| core.due(now).0)?;
        if is_due {
            // What failed is tried again with the next connection.
            match self.step(Input::Timeout) {
                Ok(()) | Err(CommandError::Refused(Refusal::Store(_))) => {}
                Err(_) => return None,
            }
        }
        self.with_core(|core| Turn {
            open: core.take_to_open(),
            due_ms: core.due(now).1,
            is_signed_out: core.engine().connection() == tertulia_engine::ConnectionState::SignedOut,
            is_connected: matches!(core.engine().connection(), tertulia_engine::ConnectionState::Connected { .. }),
        })
    }

    pub fn device(&self) -> Option<DeviceId> {
        self.with_core(|core| core.device()).flatten()
    }

    pub fn take_outgoing(&self, wire: Wire) -> ToWrite {
        self.with_core(|core| core.take_outgoing(wire)).unwrap_or(ToWrite::Close)
    }

    pub fn alive(&self) -> Alive<'_> {
        self.wires.fetch_add(1, Ordering::AcqRel);
        Alive(self)
    }

    pub fn has_wires(&self) -> bool {
        self.wires.load(Ordering::Acquire) > 0
    }

    pub fn is_wanted(&self, wire: Wire) -> bool {
        self.with_core(|core| core.is_wanted(wire)).unwrap_or(false)
    }

    pub fn flag(&self, topic: Topic) -> Arc<Flag> {
        self.board.flag(topic)
    }

    /// A name for a message that no other will have: a UUID of version 7 (RFC 9562), from the clock and 74 bits of chance.
    pub fn new_name(&self) -> Result<ClientMsgId, CommandError> {
        let chance = crate::platform::random::<10>().ok_or(CommandError::NoRandomness)?;
        let ms = u64::try_from(self.now().wall.ms()).unwrap_or(0);
        let uuid = Builder::from_unix_timestamp_millis(ms, &chance).into_uuid();
        uuid.to_string().parse().map_err(|_| CommandError::NoRandomness)
    }

    /// Lets go of the file; whoever waits is told.
    pub fn end(&self) {
        let core = self.core.lock().take();
        drop(core);
        self.board.end();
    }
}
