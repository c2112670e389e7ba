//! The project's own tooling, so that one command runs here what the integration runs there.
//!
//! It must not know a crate of the product: it builds and starts them as anybody would.
//!
//! The way through: [`check`] is `test` and `lint`, [`bindings`] writes the client's for other languages, [`web`] for browsers, [`launch`] starts programs in the foreground, [`setup`] brings what the tests of other
//! languages need, [`tidy`] holds the ratchets; [`step`] and [`workspace`] are what all of them use.

mod bindings;
mod check;
mod launch;
mod setup;
mod step;
mod tidy;
mod web;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", about = "The project's own tooling")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Brings what the end-to-end tests need: Node, Python, their packages
    Setup,
    /// Builds the server and runs it on 127.0.0.1:4000 with ./data
    Run {
        /// Passed on to `tertulia serve`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Everything that must hold before a change is taken
    Test {
        /// Leaves out the end-to-end tests
        #[arg(long)]
        fast: bool,
        /// Fuzzes each target for ten seconds as well
        #[arg(long)]
        fuzz: bool,
        /// Goes on where it failed: leaves out the steps before this one
        #[arg(long, value_name = "STEP")]
        from: Option<String>,
    },
    /// Formatting and clippy
    Lint,
    /// The ratchets: sizes, reasons, crate edges
    Tidy,
    /// Builds the client for other languages and writes target/bindings/{kotlin,swift,python}
    Bindings {
        /// As the tests want it: without optimisation, into target/debug/bindings
        #[arg(long)]
        debug: bool,
        /// With SQLCipher inside, for files that only their key opens
        #[arg(long, conflicts_with = "debug")]
        encryption: bool,
    },
    /// Builds the client for browsers and the web app: web/client/dist, web/app/dist
    Web {
        /// Quick, large and slow
        #[arg(long)]
        dev: bool,
    },
    /// Writes the TypeScript types of the client for browsers anew
    Types,
    /// Runs the server on 127.0.0.1:4000 and the web app beside it, which follows each change
    Dev,
    /// A cluster on this machine, behind 127.0.0.1:4000: PostgreSQL with a replica, Redis, nginx, three servers, a worker
    Cluster {
        /// Passed on to `tertulia-cluster run`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Breaks one part of a cluster after the other while two hundred clients write, and judges what they saw: `--minutes N`
    Chaos {
        /// Passed on to `tertulia-cluster chaos`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Measures on a cluster how long people wait because of each fault: `--times N`
    Recovery {
        /// Passed on to `tertulia-cluster recovery`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Builds the server and the load generator and measures
    Bench {
        /// Passed on to `tertulia-load`; without a subcommand of it: `all`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Runs simulated worlds: `--seeds N`, `--seed S [--trace]`, `--hours N`
    Sim {
        /// Passed on to `tertulia-sim`; without any: 1000 fresh worlds
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Fuzzes one target, or all of them one after the other
    Fuzz {
        target: Option<String>,
        /// For each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::load()?;
    match command {
        Command::Setup => setup::setup(&workspace),
        Command::Run { args } => launch::serve(&workspace, &args),
        Command::Test { fast, fuzz, from } => check::test(&workspace, fast, fuzz, from),
        Command::Lint => check::lint(&workspace),
        Command::Tidy => tidy::check(&workspace),
        Command::Bindings { debug: true, .. } => bindings::write(&workspace, bindings::For::Tests),
        Command::Bindings { encryption, .. } => bindings::write(&workspace, bindings::For::Release { encryption }),
        Command::Web { dev: true } => web::build(&workspace, web::For::Development),
        Command::Web { dev: false } => web::build(&workspace, web::For::Release).and_then(|()| web::weigh(&workspace)),
        Command::Types => web::types(&workspace),
        Command::Dev => launch::dev(&workspace),
        Command::Cluster { args } => launch::cluster(&workspace, "run", &args),
        Command::Chaos { args } => launch::cluster(&workspace, "chaos", &args),
        Command::Recovery { args } => launch::cluster(&workspace, "recovery", &args),
        Command::Bench { args } => launch::bench(&workspace, &args),
        Command::Sim { args } => launch::sim(&workspace, &args),
        Command::Fuzz { target, seconds } => launch::fuzz(&workspace, target.as_deref(), seconds),
    }
}
