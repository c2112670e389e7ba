//! What can be set about traces.

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::settings::Switch;

/// Rows that one server writes in a second at most: what one commit may hold of the second lane, five times.
const ROWS_PER_SECOND_MAX: usize = 2_500;

/// When messages came to which station, for `tertulia trace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceSettings {
    /// `off`: nothing is noted; what was noted before is still removed in time.
    pub enabled: Switch,
    /// For how long it is kept, in hours.
    pub retention_hours: u32,
    /// How much is kept at most, about 0.6 kB each and 2.4 kB at the most: one or two of each message.
    pub rows_max: usize,
    /// One server writes no more, 5 to 2500. What is more waits, and then is dropped and counted.
    pub rows_per_second_max: usize,
    /// Records that wait to be written.
    pub queue_max: usize,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self {
            enabled: Switch::On,
            retention_hours: 48,
            rows_max: 500_000,
            rows_per_second_max: 2_000,
            queue_max: 16_384,
        }
    }
}

impl TraceSettings {
    pub fn is_on(&self) -> bool {
        self.enabled == Switch::On
    }

    pub fn check(&self) -> anyhow::Result<()> {
        if !(5..=ROWS_PER_SECOND_MAX).contains(&self.rows_per_second_max) {
            bail!("trace.rows_per_second_max: {} is not from 5 to {ROWS_PER_SECOND_MAX}", self.rows_per_second_max);
        }
        if self.queue_max == 0 {
            bail!("trace.queue_max: 1 at least; to note nothing: trace.enabled = \"off\"");
        }
        Ok(())
    }
}
