//! The commands for scripts. They end with 0 when what was asked is so, 1 when it is refused, 3 when it is not so in time.

mod account;
mod outbox;
mod send;
mod tail;
mod track;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tertulia_client::{Client, ConnectionState, Conversation, ConversationId, Person, RestError};

use crate::account::Home;
use crate::arguments::{Arguments, Command};
use crate::json;
use crate::screen;
use crate::text::one_line;

pub const NOT_IN_TIME: u8 = 3;

/// How long a command waits for a server that is there to bring what was asked for.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let home = Home::find(arguments.data)?;
    match arguments.command {
        None => {
            if let Some((server, token)) = arguments.server.as_ref().zip(arguments.token) {
                account::with_token(&home, server, token).await?;
            }
            screen::run(&home, arguments.server.as_deref()).await
        }
        Some(Command::SignIn(arguments)) => account::sign_in(&home, arguments).await,
        Some(Command::LogOut) => account::log_out(&home).await,
        Some(Command::Send(arguments)) => send::send(&home, arguments).await,
        Some(Command::Tail(arguments)) => tail::tail(&home, arguments).await,
        Some(Command::Outbox(arguments)) => outbox::outbox(&home, &arguments).await,
        Some(Command::Conversations { json }) => conversations(&home, json).await,
    }
}

/// One line that whoever reads has at once.
fn print(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

async fn conversations(home: &Home, json: bool) -> Result<ExitCode> {
    let client = home.open(&home.signed_in()?)?;
    for conversation in all_conversations(&client)? {
        if json {
            print(&json::line(&json::ConversationLine::from(&conversation))?)?;
        } else {
            let unread =
                if conversation.unread > 0 { format!("  ({} unread)", conversation.unread) } else { String::new() };
            print(&format!("{}  {}{unread}", conversation.id, one_line(json::title(&conversation))))?;
        }
    }
    client.close().await;
    Ok(ExitCode::SUCCESS)
}

fn all_conversations(client: &Client) -> Result<Vec<Conversation>> {
    let mut list = client.conversations();
    let mut held = list.get()?;
    loop {
        list.load_more();
        let longer = list.get()?;
        if longer.len() == held.len() {
            return Ok(held);
        }
        held = longer;
    }
}

/// The conversation that `--to` means, here on this device. The server is asked only where the device does not know.
async fn find(client: &Client, to: &str) -> Result<ConversationId> {
    if let Ok(id) = to.parse::<ConversationId>() {
        if client.conversation(id).get()?.is_none() {
            connected(client)
                .await
                .with_context(|| format!("{to} is not on this device, and the server can't be asked"))?;
            arrived(client, id).await?;
        }
        return Ok(id);
    }
    let is_theirs = |of: &&Conversation| {
        let email = of.peer.as_ref().and_then(|peer| peer.email.as_deref());
        !of.is_left && email.is_some_and(|email| email.eq_ignore_ascii_case(to))
    };
    if let Some(known) = all_conversations(client)?.iter().find(is_theirs) {
        return Ok(known.id);
    }
    client.connect()?;
    let opened = client.rest().open_dm(Person::Email(to.to_owned())).await;
    let opened = opened.map_err(|error| match error {
        RestError::Unreachable(_) => anyhow::Error::new(error).context("no conversation with them is on this device"),
        error => error.into(),
    });
    let id = opened.with_context(|| to.to_owned())?.id;
    arrived(client, id).await?;
    Ok(id)
}

async fn arrived(client: &Client, id: ConversationId) -> Result<()> {
    let mut watch = client.conversation(id);
    let waiting = tokio::time::timeout(PATIENCE, watch.until(Option::is_some)).await;
    waiting.with_context(|| format!("the conversation {id} did not come; is it yours?"))??;
    Ok(())
}

/// Connects, and waits until what was missed is here.
async fn connected(client: &Client) -> Result<()> {
    client.connect()?;
    let mut watch = client.connection();
    let settled =
        |state: &ConnectionState| is_hopeless(*state) || *state == ConnectionState::Connected { caught_up: true };
    let state = tokio::time::timeout(PATIENCE, watch.until(settled)).await.context("the server can't be reached")??;
    hopeful(state)
}

/// Only the person can help.
const fn is_hopeless(state: ConnectionState) -> bool {
    matches!(state, ConnectionState::SignedOut | ConnectionState::WrongAccount)
}

fn hopeful(state: ConnectionState) -> Result<()> {
    match state {
        ConnectionState::SignedOut => bail!("the session has ended: `tertulia-tui sign-in`"),
        ConnectionState::WrongAccount => bail!("the data here are another person's: `tertulia-tui log-out`"),
        _ => Ok(()),
    }
}
