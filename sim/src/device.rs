//! A device: a store that outlives its app, and an app that comes and goes.

use tertulia_client_sqlite::{Durability, Store};
use tertulia_engine::{Command, CommandError, Config, Engine, LinkId, LocalStore, Now, StoreFailure};
use tertulia_proto::{ConversationId, DeviceId, Timestamp};

use crate::faulty::FaultyRows;
use crate::planted::{DeviceBug, Planted};
use crate::push::Registrar;

pub struct Device {
    pub person: usize,
    pub id: DeviceId,
    pub store: Store,
    /// `None`: the app is not running.
    pub engine: Option<Engine>,
    pub starts_at: Option<u64>,
    pub network: bool,
    /// What its wall clock is wrong by.
    pub skew_ms: i64,
    /// When this app began: a monotonic clock begins anew with it.
    began_at: u64,
    /// Number of its next message.
    pub next_name: u64,
    /// What is on its disk whatever happens; `None` where its power never fails.
    lasting: Option<Vec<u8>>,
    /// All that was committed is on the disk.
    is_safe: bool,
    pub bug: Option<DeviceBug>,
    pub registrar: Registrar,
    lives: u64,
}

/// What goes wrong in the next transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    None,
    /// The disk is full after so many calls.
    Full(usize),
    /// The app is killed after so many calls: nothing of the transaction stays, and nobody is told.
    KilledInside(usize),
    /// The app is killed after the commit, before anything is shown or sent.
    KilledAfter,
}

impl Device {
    pub fn new(number: usize, person: usize) -> anyhow::Result<Self> {
        let mut store = Store::open_in_memory()?;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        Ok(Self {
            person,
            id: store.device(DeviceId::from_bytes(id))?,
            store,
            engine: None,
            starts_at: None,
            network: true,
            skew_ms: 0,
            began_at: 0,
            next_name: 0,
            lasting: None,
            is_safe: true,
            bug: None,
            registrar: Registrar::default(),
            lives: 0,
        })
    }

    pub fn now(&self, now: u64) -> Now {
        let wall = i64::try_from(now).unwrap_or(0).saturating_add(1_800_000_000_000).saturating_add(self.skew_ms);
        Now { mono_ms: now.saturating_sub(self.began_at).saturating_add(1_000_000), wall: Timestamp::from_ms(wall) }
    }

    /// A connection's number among all that this device ever had: each app counts its own from the beginning.
    pub const fn wire(&self, link: LinkId) -> u64 {
        self.lives << 32 | link.0
    }

    /// The connection by the running app's own number; one of an earlier app has none that it knows.
    pub const fn link_of(&self, wire: u64) -> LinkId {
        LinkId(if wire >> 32 == self.lives { wire & 0xffff_ffff } else { u64::MAX })
    }

    /// From this app's monotonic clock to the world's.
    pub fn world_time(&self, mono_ms: u64) -> u64 {
        mono_ms.saturating_sub(1_000_000).saturating_add(self.began_at)
    }

    pub fn start(&mut self, now: u64, config: &Config, planted: Planted, seed: u64) -> anyhow::Result<()> {
        self.lives += 1;
        self.began_at = now;
        self.starts_at = None;
        self.registrar.restart(now);
        let mut engine = Engine::new(config.clone(), seed ^ self.lives);
        if let Some(bug) = planted.engine {
            engine.plant(bug);
        }
        self.store.transaction(Durability::Process, |rows| engine.handle_start(rows))?;
        let network = self.network;
        let at = self.now(now);
        if !network {
            engine.handle_network(at, false);
        }
        engine.handle_connect(at);
        self.engine = Some(engine);
        Ok(())
    }

    /// One call of the engine in one transaction. Answers whether the app is still there, and what the call said.
    pub fn call<T, E: From<StoreFailure> + IsStoreFailure>(
        &mut self,
        now: u64,
        durability: Durability,
        mishap: Mishap,
        work: impl FnOnce(&mut Engine, &mut dyn LocalStore, Now) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let at = self.now(now);
        let mut engine = self.engine.take()?;
        let calls_left = match mishap {
            Mishap::Full(calls) | Mishap::KilledInside(calls) => Some(calls),
            Mishap::None | Mishap::KilledAfter => None,
        };
        let done = self
            .store
            .transaction(durability, |rows| work(&mut engine, &mut FaultyRows { inner: rows, calls_left }, at));
        if done.is_ok() {
            self.committed(durability);
        }
        let failed = done.as_ref().is_err_and(IsStoreFailure::is_store_failure);
        let killed = match mishap {
            Mishap::KilledInside(_) => failed,
            Mishap::KilledAfter => true,
            Mishap::None | Mishap::Full(_) => false,
        };
        if killed {
            return None;
        }
        if failed {
            engine.handle_store_failure(at);
        }
        self.engine = Some(engine);
        Some(done)
    }

    pub fn command(&mut self, now: u64, mishap: Mishap, command: Command) -> Option<Result<(), CommandError>> {
        let lasting = command.is_lasting() && self.bug != Some(DeviceBug::CommandsNotLasting);
        let durability = if lasting { Durability::Power } else { Durability::Process };
        self.call(now, durability, mishap, |engine, store, at| engine.handle_command(store, at, command))
    }

    /// From now on its power may fail.
    pub fn keep_image(&mut self) -> anyhow::Result<()> {
        self.lasting = Some(self.store.image()?);
        Ok(())
    }

    fn committed(&mut self, durability: Durability) {
        self.is_safe = durability == Durability::Power;
        if self.is_safe && self.lasting.is_some() {
            self.lasting = self.store.image().ok();
        }
    }

    /// As the client's core does before it sends what has to be remembered.
    pub fn make_safe(&mut self) {
        if !self.is_safe && self.bug != Some(DeviceBug::SentForgotten) {
            self.committed(Durability::Power);
        }
    }

    /// The power fails: the app is gone, and what was committed for the process alone.
    pub fn lose_power(&mut self) -> anyhow::Result<()> {
        if let Some(image) = &self.lasting {
            self.engine = None;
            self.store = Store::open_image(image)?;
        }
        Ok(())
    }

    pub fn conversations(&self) -> Vec<ConversationId> {
        let held = self.store.held().unwrap_or_default();
        held.into_iter().filter(|held| !held.left).map(|held| held.id).collect()
    }
}

/// Whether the transaction came to nothing because of the store.
pub trait IsStoreFailure {
    fn is_store_failure(&self) -> bool;
}

impl IsStoreFailure for StoreFailure {
    fn is_store_failure(&self) -> bool {
        true
    }
}

impl IsStoreFailure for CommandError {
    fn is_store_failure(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}
