//! Everything in a row, each on a fresh server, and one table of it.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::idle::{self, IdleOptions};
use crate::latency::{self, LatencyOptions};
use crate::protocol::Protocol;
use crate::reads::{self, ReadsOptions};
use crate::report::{Outcome, table};
use crate::server::{Server, ServerOptions};
use crate::throughput::{self, ThroughputOptions};

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub struct AllOptions {
    /// Small enough for every change: under a minute.
    #[arg(long)]
    pub quick: bool,
    /// Messages in the store before anything is read [default: 1000000, with --quick 20000].
    #[arg(long, value_parser = clap::value_parser!(u64).range(10_000..=20_000_000))]
    pub messages: Option<u64>,
    /// Idle connections [default: 10000, with --quick 500].
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=60_000))]
    pub connections: Option<u32>,
    /// Seconds of each measurement of throughput and latency [default: 10, with --quick 3].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: Option<u64>,
}

/// One of the scenarios with its options.
#[derive(Debug, Clone)]
pub enum Scenario {
    Throughput(ThroughputOptions),
    Latency(LatencyOptions),
    Reads(ReadsOptions),
    Idle(IdleOptions),
}

impl Scenario {
    /// Runs it on a server of its own and prints what came out.
    pub async fn run(&self, options: &ServerOptions, machine: &Value, json_file: Option<&Path>) -> Result<Outcome> {
        let server = Server::start(options)?;
        let outcome = match self {
            Self::Throughput(options) => throughput::run(&server, options).await?,
            Self::Latency(options) => latency::run(&server, options).await?,
            Self::Reads(options) => reads::run(&server, options).await?,
            Self::Idle(options) => idle::run(&server, options).await?,
        };
        outcome.print(machine, json_file)?;
        Ok(outcome)
    }
}

impl AllOptions {
    /// Idle connections that will be opened.
    pub fn connections(&self) -> u32 {
        self.connections.unwrap_or(if self.quick { 500 } else { 10_000 })
    }

    fn scenarios(&self) -> Vec<Scenario> {
        let either = |full: u64, quick: u64| if self.quick { quick } else { full };
        let seconds = self.seconds.unwrap_or(either(10, 3));
        let users = if self.quick { 40 } else { 200 };
        let throughput =
            |in_flight, protocol| Scenario::Throughput(ThroughputOptions { users, in_flight, seconds, protocol });
        let idle = |protocol| {
            Scenario::Idle(IdleOptions { connections: self.connections(), protocol, hold_seconds: either(30, 2) })
        };
        vec![
            throughput(1, Protocol::Ws),
            throughput(8, Protocol::Ws),
            throughput(64, Protocol::Ws),
            throughput(8, Protocol::Socketio),
            Scenario::Latency(LatencyOptions { rate: 1000, seconds, users, protocol: Protocol::Ws }),
            Scenario::Reads(ReadsOptions {
                messages: self.messages.unwrap_or(either(1_000_000, 20_000)),
                users,
                requests: either(2000, 200) as u32,
            }),
            idle(Protocol::Ws),
            idle(Protocol::Socketio),
        ]
    }
}

/// Runs all; a scenario that fails does not keep the next from running, but fails the whole.
pub async fn run(
    options: &AllOptions,
    server: &ServerOptions,
    machine: &Value,
    json_file: Option<&Path>,
) -> Result<u64> {
    let (mut rows, mut violations, mut failures) = (Vec::new(), 0, 0);
    for scenario in options.scenarios() {
        match scenario.run(server, machine, json_file).await {
            Ok(outcome) => {
                violations += outcome.violations;
                rows.extend(outcome.rows);
            }
            Err(error) => {
                failures += 1;
                eprintln!("{scenario:?} failed: {error:#}");
            }
        }
    }
    let field = |name: &str| machine[name].as_str().unwrap_or("unknown").to_owned();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\n{}, {} cores, {}, fdatasync p50 {} us, {}",
        field("cpu"),
        machine["cores"],
        field("filesystem"),
        machine["fdatasyncP50Us"],
        field("date")
    )?;
    writeln!(out, "{}violations: {violations}", table(&rows))?;
    ensure!(failures == 0, "{failures} scenarios failed");
    Ok(violations)
}
