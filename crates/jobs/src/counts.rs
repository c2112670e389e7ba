//! What this process has run, for metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Of one kind, since the process began; `running` is of this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindCounts {
    pub done: u64,
    /// Attempts that failed, whether tried again or not.
    pub failed: u64,
    /// Jobs that became dead letters.
    pub dead: u64,
    pub running: u64,
}

/// Shared between the runner and whoever shows it.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<&'static str, KindCounts>>>);

impl Counts {
    pub fn look(&self) -> BTreeMap<&'static str, KindCounts> {
        self.0.lock().clone()
    }

    pub(crate) fn change(&self, kind: &'static str, change: impl FnOnce(&mut KindCounts)) {
        change(self.0.lock().entry(kind).or_default());
    }
}
