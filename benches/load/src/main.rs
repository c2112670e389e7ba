//! Load for Tertulia: starts a server, puts it under load over its own sockets, and checks order and losses while it measures.
//!
//! It must be cheap, because it shares the machine with what it measures: one thread, frames written and scanned by hand, and no parsing beyond
//! the two fields that match a message to its send. It knows the wire contract and nothing of the server's code.
//!
//! The way through: [`all`] names the scenarios ([`throughput`], [`latency`], [`reads`] with [`fill`], [`idle`]); [`crowd`] is a number of
//! connected people who send by a plan, [`traffic`] its bookkeeping and its checks; [`connection`] with [`frame`] and [`protocol`] ([`ws`],
//! [`socketio`]) is the wire; [`server`], [`people`], [`http`] and [`machine`] set the scene; [`report`] prints.

#![expect(clippy::disallowed_methods, reason = "to measure is to read the clock")]

mod all;
mod connection;
mod crowd;
#[cfg(test)]
mod fake_server;
mod fill;
mod frame;
mod http;
mod idle;
mod latency;
mod machine;
mod people;
mod protocol;
mod reads;
mod report;
mod scan;
mod server;
mod socketio;
mod throughput;
mod traffic;
mod ws;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::all::{AllOptions, Scenario};
use crate::idle::IdleOptions;
use crate::latency::LatencyOptions;
use crate::reads::ReadsOptions;
use crate::server::ServerOptions;
use crate::throughput::ThroughputOptions;

#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    server: ServerOptions,
    /// Appends each scenario's JSON line to this file too.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Messages per second, acknowledged and delivered, with a fixed number under way.
    Throughput(ThroughputOptions),
    /// Delivery latency at a fixed rate.
    Latency(LatencyOptions),
    /// List, history, difference and search over a large store.
    Reads(ReadsOptions),
    /// Memory of idle connections.
    Idle(IdleOptions),
    /// All of it, and one table.
    All(AllOptions),
}

const OPEN_FILES: usize = 1024;

fn main() -> ExitCode {
    match measure(&Cli::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(violations) => {
            eprintln!("{violations} violations");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> Result<u64> {
    let open_files = match &cli.command {
        Command::Idle(options) => options.open_files(),
        Command::All(options) => options.connections() as usize + 256,
        Command::Throughput(options) => options.users as usize + 256,
        Command::Latency(options) => options.users as usize + 256,
        Command::Reads(_) => OPEN_FILES,
    };
    machine::ensure_open_files(open_files.max(OPEN_FILES))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Whichever way it ends, what the run owns is dropped: the server stops and its folder goes.
        tokio::select! {
            result = run(cli) => result,
            _ = interrupted.recv() => bail!("interrupted"),
            _ = terminated.recv() => bail!("terminated"),
        }
    })
}

async fn run(cli: &Cli) -> Result<u64> {
    let machine = machine::describe(&cli.server.work_dir());
    let json = cli.json.as_deref();
    let scenario = match &cli.command {
        Command::All(options) => return all::run(options, &cli.server, &machine, json).await,
        Command::Throughput(options) => Scenario::Throughput(options.clone()),
        Command::Latency(options) => Scenario::Latency(options.clone()),
        Command::Reads(options) => Scenario::Reads(options.clone()),
        Command::Idle(options) => Scenario::Idle(options.clone()),
    };
    Ok(scenario.run(&cli.server, &machine, json).await?.violations)
}
