//! `tertulia`: self-hosted chat in one binary.
//!
//! The only crate that names concrete homes and reads the ambient clock and randomness. The way through: [`settings`] what can be set; [`wiring`] how
//! the parts fit; [`serve`] the server; [`jobs`] work for later and [`queue`] what is seen of it; [`push`] notifications; [`webhooks`] other programs that are told;
//! [`trace`] the life of a message; [`moving`] a log that changes homes; [`commands`] the
//! rest. [`unset`] shows settings that have no value.

mod cluster;
mod commands;
mod home;
mod jobs;
mod jwks;
mod line;
mod listen;
mod moving;
mod powers;
mod push;
mod queue;
mod serve;
mod settings;
mod trace;
mod unset;
mod web;
mod webhooks;
mod wiring;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tertulia_gateway::flaky::Flaky;
use tertulia_store::portable::MoveError;

use crate::moving::Wish;
use crate::settings::{LogFormat, Settings};

/// Self-hosted chat.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Common {
    /// The folder of the database. [default: ./data]
    #[arg(long, global = true)]
    data: Option<PathBuf>,
    /// A configuration file (TOML); see `serve --print-config`.
    #[arg(long, env = "TERTULIA_CONFIG", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server.
    Serve {
        #[command(flatten)]
        common: Common,
        /// Where to listen. Port 0 takes a free one. [default: 127.0.0.1:4000]
        #[arg(long)]
        listen: Option<SocketAddr>,
        /// Development only: a bad network on the sockets. Latency in milliseconds; frames of the plain WebSocket that are dropped, and that
        /// come twice; reads and writes at which a connection is cut. Without PARTS: latency=50..800,drop=2%,double=2%,cut=1%.
        #[arg(long, value_name = "PARTS", num_args = 0..=1, default_missing_value = "on")]
        flaky: Option<Flaky>,
        /// Runs no jobs: `tertulia worker` does, on the same PostgreSQL.
        #[arg(long)]
        no_worker: bool,
        /// Prints every setting as it would be, and ends.
        #[arg(long)]
        print_config: bool,
    },
    /// Runs jobs and nothing else, on PostgreSQL.
    Worker {
        #[command(flatten)]
        common: Common,
        /// Comma separated: jobs of these kinds only. [default: all]
        #[arg(long, value_delimiter = ',')]
        queues: Vec<String>,
        /// Where to show health and metrics; nobody else is served. [default: nowhere]
        #[arg(long)]
        listen: Option<SocketAddr>,
    },
    /// Brings the database up to this version, and ends.
    Migrate {
        #[command(flatten)]
        common: Common,
    },
    /// Makes a person where needed and prints a token for them as its last line.
    Token {
        #[command(flatten)]
        common: Common,
        #[arg(long)]
        email: String,
        #[arg(long)]
        name: Option<String>,
    },
    /// People.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Keys for server-to-server calls.
    Apikey {
        #[command(subcommand)]
        command: ApiKeyCommand,
    },
    /// The queue of jobs, and its dead letters.
    Jobs {
        #[command(flatten)]
        common: Common,
        #[command(subcommand)]
        ask: queue::Ask,
    },
    /// Push notifications: keys for Web Push, and a test.
    Push {
        #[command(flatten)]
        common: Common,
        #[command(subcommand)]
        ask: push::command::Ask,
    },
    /// Other programs that are told what happens.
    Webhooks {
        #[command(flatten)]
        common: Common,
        #[command(subcommand)]
        ask: webhooks::command::Ask,
    },
    /// The life of a message: received, committed, told, got, read and notified, and when. Works beside a running server.
    Trace {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        ask: trace::command::Ask,
    },
    /// Checks the database.
    Doctor {
        #[command(flatten)]
        common: Common,
        /// After a restore that the server can't see: every client starts over.
        #[arg(long)]
        new_epoch: bool,
    },
    /// Brings a whole log to another home, so that no client notices. Nobody may serve it meanwhile; broken off, the same command goes on.
    ///
    /// Ends with 0 when the log has moved, 1 when an end failed on the way, 3 when the ends are not as they have to be and nothing was changed, 4 when the
    /// ends differ after all was brought.
    Move {
        /// Where the log is: sqlite:FOLDER or postgres://USER:PASSWORD@HOST/DATABASE. The variable keeps a password out of the list of processes.
        #[arg(long, value_name = "PLACE", env = "TERTULIA_MOVE_FROM", hide_env_values = true)]
        from: String,
        /// Where it goes; has to be empty.
        #[arg(long, value_name = "PLACE", env = "TERTULIA_MOVE_TO", hide_env_values = true)]
        to: String,
        /// Looks at both ends and says how much there is to move; changes nothing.
        #[arg(long)]
        dry_run: bool,
        /// Throws away what an unfinished move has brought to the destination.
        #[arg(long)]
        start_over: bool,
        /// A configuration file (TOML), for `database_partitions`.
        #[arg(long, env = "TERTULIA_CONFIG")]
        config: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum UserCommand {
    /// Makes a local account; the password is read from standard input.
    Add {
        #[command(flatten)]
        common: Common,
        #[arg(long)]
        email: String,
        #[arg(long)]
        name: String,
    },
}

#[derive(Subcommand)]
enum ApiKeyCommand {
    /// Prints the key as its last line; it can't be seen again.
    Create {
        #[command(flatten)]
        common: Common,
        /// What the key is called in lists. [default with --bot: the bot's name]
        #[arg(long, required_unless_present = "bot")]
        name: Option<String>,
        /// Comma separated: chat:read, chat:write, users:read, users:write, tokens:write, admin. [default with --bot: chat:read,chat:write]
        #[arg(long, required_unless_present = "bot")]
        scopes: Option<String>,
        /// Acts for this person (e-mail) and nobody else, without Tertulia-User.
        #[arg(long, value_name = "EMAIL", conflicts_with = "bot")]
        as_user: Option<String>,
        /// Makes somebody of this name, without e-mail and password, and acts for them.
        #[arg(long, value_name = "NAME")]
        bot: Option<String>,
    },
    /// All keys that were not revoked, a line each; not what opens with them.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// From now on the key is refused.
    Revoke {
        #[command(flatten)]
        common: Common,
        /// As `apikey list` shows it.
        #[arg(long)]
        id: String,
    },
}

impl Common {
    fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = Settings::load(self.config.as_deref(), std::env::vars().collect())?;
        if let Some(data) = &self.data {
            settings.data.clone_from(data);
        }
        Ok(settings)
    }
}

fn main() -> std::process::ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            say_error(&format!("tertulia: {error:#}"));
            match error.downcast_ref::<MoveError>() {
                Some(MoveError::Refused(_)) => std::process::ExitCode::from(3),
                Some(MoveError::Different(_)) => std::process::ExitCode::from(4),
                Some(MoveError::Failed(_)) | None => std::process::ExitCode::FAILURE,
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "what is no answer")]
fn say_error(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "what a command was asked for")]
fn say(text: &str) {
    println!("{text}");
}

/// What may have no line; then there is nothing on standard output for who reads it line by line, and a word beside it for people.
fn say_list(text: &str) {
    if text.is_empty() { say_error("none") } else { say(text) }
}

fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Serve { common, listen, flaky, no_worker, print_config } => {
                let mut settings = common.settings()?;
                if let Some(listen) = listen {
                    settings.listen = listen;
                }
                settings.flaky = flaky.or(settings.flaky);
                settings.keep_flaky_out_of_production()?;
                if print_config {
                    say(settings.print()?.trim_end());
                    return Ok(());
                }
                start_log(&settings)?;
                serve::serve(&settings, !no_worker).await?;
            }
            Command::Worker { common, queues, listen } => {
                let mut settings = common.settings()?;
                settings.worker_listen = listen.or(settings.worker_listen);
                start_log(&settings)?;
                jobs::work(&settings, &queues).await?;
            }
            Command::Migrate { common } => say(&commands::migrate(&common.settings()?).await?),
            Command::Token { common, email, name } => {
                say(&commands::token(&common.settings()?, &email, name.as_deref()).await?)
            }
            Command::User { command: UserCommand::Add { common, email, name } } => {
                say(&commands::add_user(&common.settings()?, &email, &name).await?);
            }
            Command::Apikey { command: ApiKeyCommand::Create { common, name, scopes, as_user, bot } } => {
                let whose = commands::Whose::of(as_user, bot);
                let (name, scopes) = (name.as_deref(), scopes.as_deref());
                say(&commands::create_api_key(&common.settings()?, name, scopes, whose).await?);
            }
            Command::Apikey { command: ApiKeyCommand::Revoke { common, id } } => {
                commands::revoke_api_key(&common.settings()?, &id).await?
            }
            Command::Apikey { command: ApiKeyCommand::List { common } } => {
                say_list(&commands::list_api_keys(&common.settings()?).await?);
            }
            Command::Jobs { common, ask } => say_list(&queue::answer(&common.settings()?, &ask).await?),
            Command::Push { common, ask } => say(&push::command::answer(&common.settings()?, &ask).await?),
            Command::Webhooks { common, ask } => say_list(&webhooks::command::answer(&common.settings()?, ask).await?),
            Command::Trace { common, ask } => {
                let settings = common.settings()?;
                settings.is_there()?;
                say(&trace::command::answer(&settings, &ask).await?);
            }
            Command::Doctor { common, new_epoch } => say(&commands::doctor(&common.settings()?, new_epoch).await?),
            Command::Move { from, to, dry_run, start_over, config } => {
                let settings = Settings::load(config.as_deref(), std::env::vars().collect())?;
                // Not as clap parses: it would repeat what it can't read, and a password with it.
                let wish = Wish { from: from.parse()?, to: to.parse()?, dry_run, start_over };
                say(&moving::command(&settings, wish, powers::powers().bytes()).await?);
            }
        }
        Ok(())
    })
}

fn start_log(settings: &Settings) -> anyhow::Result<()> {
    // Whatever is asked for: at `debug` the driver writes down what is in a statement, passwords' hashes and messages among it, and at `info` the notices
    // of a database whose tables are there already.
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log)?.add_directive("tokio_postgres=warn".parse()?);
    // Colours are for people; a file or a pipe has them as signs between the words (no-color.org).
    let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_coloured);
    match settings.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
