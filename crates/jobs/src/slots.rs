//! Which jobs this worker holds, and until when.

use std::collections::BTreeMap;

use tertulia_store::Timestamp;
use tertulia_store::jobs::{Held, JobId};
use tokio::task::{AbortHandle, Id};

/// One claim: a job may come again with another attempt.
pub(crate) type Key = (JobId, i64);

pub(crate) struct Slot {
    pub held: Held,
    /// Its place among the kinds.
    pub kind: usize,
    pub tries: i64,
    pub until: Timestamp,
    pub handler: AbortHandle,
}

#[derive(Default)]
pub(crate) struct Slots(BTreeMap<Key, Slot>);

impl Slots {
    pub fn add(&mut self, slot: Slot) {
        self.0.insert((slot.held.id, slot.held.attempt), slot);
    }

    pub fn take(&mut self, key: Key) -> Option<Slot> {
        self.0.remove(&key)
    }

    /// That of a handler's task.
    pub fn take_of(&mut self, task: Id) -> Option<Slot> {
        let key = self.0.iter().find(|(_, slot)| slot.handler.id() == task).map(|(key, _)| *key);
        key.and_then(|key| self.take(key))
    }

    /// No lease ends after that.
    pub fn end_by(&mut self, latest: Timestamp) {
        for slot in self.0.values_mut() {
            slot.until = slot.until.min(latest);
        }
    }

    /// All of them, their handlers dropped.
    pub fn drain(&mut self) -> Vec<Slot> {
        let slots: Vec<Slot> = std::mem::take(&mut self.0).into_values().collect();
        for slot in &slots {
            slot.handler.abort();
        }
        slots
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn of_kind(&self, kind: usize) -> usize {
        self.0.values().filter(|slot| slot.kind == kind).count()
    }

    /// The first end of a lease.
    pub fn first_end(&self) -> Option<Timestamp> {
        self.0.values().map(|slot| slot.until).min()
    }

    pub fn held(&self) -> Vec<Held> {
        self.0.values().map(|slot| slot.held).collect()
    }

    pub fn renewed(&mut self, held: Held, until: Timestamp) {
        if let Some(slot) = self.0.get_mut(&(held.id, held.attempt)) {
            slot.until = until;
        }
    }

    /// Those whose lease ends by then.
    pub fn ending(&self, by: Timestamp) -> Vec<Key> {
        self.0.iter().filter(|(_, slot)| slot.until <= by).map(|(key, _)| *key).collect()
    }
}
