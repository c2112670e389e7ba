//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tertulia_client::ConversationId;

/// Tertulia in a terminal. Without a command: for people.
#[derive(Debug, Parser)]
#[command(name = "tertulia-tui", version)]
pub struct Arguments {
    /// Folder of the account; one process at a time may use it. Two folders are two devices
    #[arg(long, global = true, env = "TERTULIA_TUI_DATA")]
    pub data: Option<PathBuf>,
    /// Such as https://chat.example.org: fills the form for signing in
    #[arg(long)]
    pub server: Option<String>,
    /// Signs in at --server without e-mail and password
    #[arg(long, requires = "server")]
    pub token: Option<String>,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Signs in and fetches what there is
    SignIn(SignIn),
    /// Ends the session and wipes everything from this device
    LogOut,
    /// Writes messages
    Send(Send),
    /// Prints messages as they come, until it is stopped
    Tail(Tail),
    /// The conversations on this device
    Conversations {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// What waits to be sent, and what the server refused
    Outbox(Outbox),
}

#[derive(Debug, Args)]
pub struct SignIn {
    /// Such as https://chat.example.org
    #[arg(long)]
    pub server: String,
    #[arg(long, required_unless_present = "token")]
    pub email: Option<String>,
    /// The password is the first line of standard input
    #[arg(long, required_unless_present = "token", conflicts_with = "token")]
    pub password_stdin: bool,
    /// Instead of e-mail and password
    #[arg(long, env = "TERTULIA_TUI_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Makes the account, under this name
    #[arg(long, value_name = "NAME", conflicts_with = "token")]
    pub register: Option<String>,
}

#[derive(Debug, Args)]
pub struct Send {
    /// An e-mail or a conversation's id
    #[arg(long)]
    pub to: String,
    /// The message; `-`: each line of standard input is one
    pub text: String,
    /// One JSON object per message
    #[arg(long)]
    pub json: bool,
    /// Ends when the server has acknowledged everything (0), or refused something (1). Without it everything is committed on this device when the
    /// command ends (0); the server gets it at once where it can be reached, else with the next command that connects
    #[arg(long)]
    pub wait: bool,
    /// With --wait: gives up waiting after so many seconds (3); what was written goes with the next command that connects
    #[arg(long, requires = "wait", value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Tail {
    /// One JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Only this conversation
    #[arg(long, value_name = "ID")]
    pub conversation: Option<ConversationId>,
    /// Begins with what comes after the first difference is here
    #[arg(long, conflicts_with = "last")]
    pub since_now: bool,
    /// Begins with so many messages of each conversation
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub last: i64,
}

#[derive(Debug, Args)]
pub struct Outbox {
    /// One JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Tries what was refused again, with the next command that connects
    #[arg(long, value_name = "ENTRY", conflicts_with = "discard")]
    pub retry: Option<i64>,
    /// Gives up what was refused
    #[arg(long, value_name = "ENTRY")]
    pub discard: Option<i64>,
}
