//! How figures are shown: lines for people, one JSON line for machines, and the table of a whole run.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::server::{self, Server};
use crate::traffic::Violations;

/// What a scenario found.
#[derive(Debug, Default)]
pub struct Outcome {
    pub scenario: String,
    /// All figures by name; units are in the names.
    pub figures: Map<String, Value>,
    /// Broken promises; a run with any has failed.
    pub violations: u64,
    pub rows: Vec<Row>,
}

/// One line of the table.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub what: String,
    pub value: String,
    /// p50, p95, p99 and the highest.
    pub percentiles: Option<[f64; 4]>,
    pub note: String,
}

/// CPU time of server and generator since it was made.
#[derive(Debug)]
pub struct CpuWindow<'a> {
    server: &'a Server,
    began: std::time::Instant,
    server_seconds: Option<f64>,
    own_seconds: Option<f64>,
}

impl<'a> CpuWindow<'a> {
    pub fn open(server: &'a Server) -> Self {
        Self {
            server,
            began: std::time::Instant::now(),
            server_seconds: server.cpu_seconds(),
            own_seconds: server::cpu_seconds_of("self"),
        }
    }

    /// Cores that the server and the generator kept busy, each; `null` where the process isn't known or the window too short.
    pub fn close(self) -> (Value, Value) {
        let seconds = self.began.elapsed().as_secs_f64();
        // CPU time is counted in hundredths of a second: too coarse for a shorter window.
        if seconds < 0.5 {
            return (Value::Null, Value::Null);
        }
        let cores = |before: Option<f64>, after: Option<f64>| match (before, after) {
            (Some(before), Some(after)) => json!(rounded((after - before) / seconds, 2)),
            _ => Value::Null,
        };
        let server = cores(self.server_seconds, self.server.cpu_seconds());
        (server, cores(self.own_seconds, server::cpu_seconds_of("self")))
    }
}

impl Outcome {
    pub fn new(scenario: impl Into<String>) -> Self {
        Self { scenario: scenario.into(), ..Self::default() }
    }

    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.into(), value.into());
    }

    pub fn set_violations(&mut self, violations: &Violations) {
        let named: Map<String, Value> =
            violations.named().iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
        self.set("violations", named);
        self.violations += violations.total();
    }

    /// Memory of the server and what it complained about.
    pub fn set_server_state(&mut self, server: &Server) {
        self.set("serverResidentKib", server.resident_kib());
        self.set("serverErrorsLogged", server.errors_logged());
    }

    /// Prints the rows, the violations and the JSON line; appends that line to `json_file`.
    pub fn print(&self, machine: &Value, json_file: Option<&Path>) -> Result<()> {
        let mut line = Map::new();
        line.insert("scenario".into(), json!(self.scenario));
        line.insert("machine".into(), machine.clone());
        line.extend(self.figures.clone());
        let line = Value::Object(line).to_string();
        let mut out = std::io::stdout().lock();
        write!(out, "== {}\n{}violations: {}\n{line}\n", self.scenario, table(&self.rows), self.violations)?;
        if let Some(path) = json_file {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let mut file = file.with_context(|| format!("can't write {}", path.display()))?;
            writeln!(file, "{line}")?;
        }
        Ok(())
    }
}

/// p50, p95, p99 and the highest of microseconds, in milliseconds.
pub fn percentiles_ms(histogram: &Histogram<u64>) -> [f64; 4] {
    let at = |quantile: f64| rounded(histogram.value_at_quantile(quantile) as f64 / 1000.0, 3);
    [at(0.5), at(0.95), at(0.99), rounded(histogram.max() as f64 / 1000.0, 3)]
}

/// The same as figures.
pub fn percentiles_json(histogram: &Histogram<u64>) -> Value {
    let [p50, p95, p99, max] = percentiles_ms(histogram);
    json!({ "count": histogram.len(), "p50Ms": p50, "p95Ms": p95, "p99Ms": p99, "maxMs": max })
}

/// Rounded to so many places.
pub fn rounded(value: f64, places: i32) -> f64 {
    let scale = 10f64.powi(places);
    (value * scale).round() / scale
}

/// A histogram of microseconds.
pub fn histogram_us() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 120_000_000, 3).context("bounds of a histogram")
}

/// Rows with a head and aligned columns.
pub fn table(rows: &[Row]) -> String {
    let head = ["", "value", "p50 ms", "p95 ms", "p99 ms", "max ms", "note"].map(str::to_owned);
    let cells = |row: &Row| {
        let [p50, p95, p99, max] =
            row.percentiles.map_or_else(|| [const { String::new() }; 4], |all| all.map(|ms| format!("{ms:.2}")));
        [row.what.clone(), row.value.clone(), p50, p95, p99, max, row.note.clone()]
    };
    let lines: Vec<[String; 7]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut out = String::new();
    for line in &lines {
        let mut text = format!("{:<width$}", line[0], width = widths[0]);
        for column in 1..6 {
            text.push_str(&format!("  {:>width$}", line[column], width = widths[column]));
        }
        out.push_str(format!("{text}  {}", line[6]).trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned() {
        let rows = [
            Row {
                what: "a".into(),
                value: "12345 msg/s".into(),
                percentiles: Some([1.0, 2.0, 3.0, 400.25]),
                note: "server 1.2 cores".into(),
            },
            Row { what: "longer".into(), value: "1 B".into(), ..Row::default() },
        ];
        let expected = "              value  p50 ms  p95 ms  p99 ms  max ms  note\n\
                        a       12345 msg/s    1.00    2.00    3.00  400.25  server 1.2 cores\n\
                        longer          1 B\n";
        assert_eq!(table(&rows), expected);
    }
}
