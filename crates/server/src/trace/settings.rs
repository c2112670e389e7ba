//! What can be set about traces.

use std::fmt::Display;
use std::ops::RangeInclusive;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::settings::Switch;

/// Rows that one server writes in a second at most: what one commit may hold of the second lane, five times.
const ROWS_PER_SECOND: RangeInclusive<usize> = 5..=2_500;

/// A year.
const RETENTION_HOURS: RangeInclusive<u32> = 1..=8_760;

/// Fewer are gone before somebody asks; more are some 100 GB.
const ROWS: RangeInclusive<usize> = 1_000..=100_000_000;

/// A record is some 200 bytes in memory.
const QUEUE: RangeInclusive<usize> = 1..=1_000_000;

/// When messages came to which station, for `tertulia trace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceSettings {
    /// `off`: nothing is noted; what was noted before is still removed in time.
    pub enabled: Switch,
    /// For how long it is kept, in hours, 1 to 8760.
    pub retention_hours: u32,
    /// How much is kept at most, about 0.6 kB each and 2.4 kB at the most: one or two of each message. 1000 to 100000000.
    pub rows_max: usize,
    /// One server writes no more, 5 to 2500. What is more waits, and then is dropped and counted.
    pub rows_per_second_max: usize,
    /// Records that wait to be written, 1 to 1000000.
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
        within("retention_hours", self.retention_hours, RETENTION_HOURS)?;
        within("rows_max", self.rows_max, ROWS)?;
        within("rows_per_second_max", self.rows_per_second_max, ROWS_PER_SECOND)?;
        within("queue_max", self.queue_max, QUEUE)
    }
}

fn within<T: PartialOrd + Display>(name: &str, value: T, range: RangeInclusive<T>) -> anyhow::Result<()> {
    if !range.contains(&value) {
        let (from, to) = range.into_inner();
        bail!("trace.{name}: {value} is not from {from} to {to}; to note nothing: trace.enabled = \"off\"");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_its_range_is_refused_by_its_name() {
        let default = TraceSettings::default();
        default.check().unwrap();
        for (settings, name) in [
            (TraceSettings { retention_hours: 0, ..default.clone() }, "trace.retention_hours: 0 is not from 1 to 8760"),
            (TraceSettings { retention_hours: 8_761, ..default.clone() }, "trace.retention_hours"),
            (TraceSettings { rows_max: 0, ..default.clone() }, "trace.rows_max"),
            (TraceSettings { rows_max: 100_000_001, ..default.clone() }, "trace.rows_max"),
            (TraceSettings { rows_per_second_max: 4, ..default.clone() }, "trace.rows_per_second_max"),
            (TraceSettings { rows_per_second_max: 2_501, ..default.clone() }, "trace.rows_per_second_max"),
            (TraceSettings { queue_max: 0, ..default.clone() }, "trace.queue_max"),
            (TraceSettings { queue_max: 99_999_999_999_999, ..default.clone() }, "trace.queue_max"),
        ] {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
