//! `send`: committed on this device first, then told to the server.

use std::collections::VecDeque;
use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tertulia_client::{
    Client, ClientMsgId, CommandError, ConnectionState, ConversationId, ListDiff, Message, Refusal, Status, Timeline,
};
use tokio::sync::mpsc;

use super::{NOT_IN_TIME, find, hopeful, is_hopeless, print};
use crate::account::Home;
use crate::arguments::Send;
use crate::json::{self, Event, MessageLine};
use crate::text::one_line;

/// Without `--wait`: how long a server that answers is given to take what was written.
const COURTESY: Duration = Duration::from_secs(5);

/// With `--wait`: messages that are not acknowledged yet; more of standard input is read when there are fewer.
const UNDER_WAY_MAX: usize = 64;

pub async fn send(home: &Home, arguments: Send) -> Result<ExitCode> {
    let client = home.open(&home.signed_in()?)?;
    let to = find(&client, &arguments.to).await?;
    let conversation = client.conversation(to).get()?.context("the conversation is gone")?;
    if conversation.has_parked {
        bail!("a message there was refused, and what follows waits behind it: see `tertulia-tui outbox`");
    }
    let mut texts = texts(arguments.text);
    let sent = if arguments.wait {
        let waiting = Waited::new(&client, to, arguments.json).run(&mut texts);
        match arguments.timeout {
            None => waiting.await,
            Some(seconds) => tokio::time::timeout(Duration::from_secs(seconds), waiting)
                .await
                .unwrap_or_else(|_| Ok(ExitCode::from(NOT_IN_TIME))),
        }
    } else {
        queue(&client, to, &mut texts, arguments.json).await
    };
    client.close().await;
    sent
}

/// One text, or the lines of standard input as they come.
fn texts(given: String) -> mpsc::Receiver<std::io::Result<String>> {
    let (to, texts) = mpsc::channel(UNDER_WAY_MAX);
    if given == "-" {
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                if to.blocking_send(line).is_err() {
                    return;
                }
            }
        });
    } else {
        // There is room.
        let _ = to.try_send(Ok(given));
    }
    texts
}

/// `None` for a line without a word, which is no message.
fn worth_sending(text: std::io::Result<String>) -> Result<Option<String>> {
    let text = text.context("standard input")?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

async fn queue(
    client: &Client,
    to: ConversationId,
    texts: &mut mpsc::Receiver<std::io::Result<String>>,
    json: bool,
) -> Result<ExitCode> {
    client.connect()?;
    let mut count = 0;
    while let Some(text) = texts.recv().await {
        let Some(text) = worth_sending(text)? else { continue };
        let name = commit(client, to, &text).await?;
        count += 1;
        if json {
            print(&json::line(&Queued { event: "queued", conversation_id: to, client_msg_id: &name })?)?;
        }
    }
    if count == 0 {
        bail!("nothing to send");
    }
    let mut outbox = client.outbox();
    let mut connection = client.connection();
    let taken = outbox.until(|all| all.iter().all(|entry| entry.conversation != to || entry.parked.is_some()));
    let out_of_reach = connection.until(|state| {
        is_hopeless(*state) || matches!(state, ConnectionState::Waiting { .. } | ConnectionState::Offline)
    });
    tokio::select! {
        _ = taken => {}
        _ = out_of_reach => {}
        () = tokio::time::sleep(COURTESY) => {}
    }
    let left: Vec<_> = client.outbox().get()?.into_iter().filter(|entry| entry.conversation == to).collect();
    if let Some(reason) = left.iter().find_map(|entry| entry.parked.as_ref()) {
        bail!("refused: {}", one_line(&reason.detail));
    }
    if !left.is_empty() {
        eprintln!("queued; it goes with the next command that connects");
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Queued<'a> {
    event: &'static str,
    conversation_id: ConversationId,
    client_msg_id: &'a ClientMsgId,
}

/// Waits for room where the outbox is full.
async fn commit(client: &Client, to: ConversationId, text: &str) -> Result<ClientMsgId> {
    loop {
        match client.send(to, text) {
            Err(CommandError::Refused(Refusal::OutboxFull { .. })) => {
                let full = client.outbox().get()?;
                hopeful(client.connection().get()?)?;
                client.outbox().until(|now| now.first() != full.first()).await?;
            }
            done => return Ok(done?),
        }
    }
}

/// Messages whose fate is waited for, in order.
struct Waited<'a> {
    client: &'a Client,
    to: ConversationId,
    json: bool,
    timeline: Timeline,
    rows: Vec<Message>,
    under_way: VecDeque<ClientMsgId>,
    acknowledged: usize,
}

impl<'a> Waited<'a> {
    fn new(client: &'a Client, to: ConversationId, json: bool) -> Self {
        let timeline = client.timeline(to);
        Self { client, to, json, timeline, rows: Vec::new(), under_way: VecDeque::new(), acknowledged: 0 }
    }

    async fn run(mut self, texts: &mut mpsc::Receiver<std::io::Result<String>>) -> Result<ExitCode> {
        self.client.connect()?;
        let mut connection = self.client.connection();
        let mut more = true;
        while more || !self.under_way.is_empty() {
            tokio::select! {
                text = texts.recv(), if more && self.under_way.len() < UNDER_WAY_MAX => match text {
                    None => more = false,
                    Some(text) => {
                        if let Some(text) = worth_sending(text)? {
                            self.under_way.push_back(commit(self.client, self.to, &text).await?);
                        }
                    }
                },
                steps = self.timeline.next() => {
                    if self.look(steps?)? {
                        return Ok(ExitCode::FAILURE);
                    }
                }
                state = connection.next() => hopeful(state?)?,
            }
        }
        if self.acknowledged == 0 {
            bail!("nothing to send");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Whether something was refused: what follows waits behind it.
    fn look(&mut self, steps: Vec<ListDiff<Message>>) -> Result<bool> {
        steps.into_iter().for_each(|step| step.apply(&mut self.rows));
        while let Some(name) = self.under_way.front() {
            let Some(row) = self.rows.iter().rev().find(|row| row.name == *name) else {
                // Many came after it: it stands above the window.
                self.timeline.load_more();
                break;
            };
            let failure = match &row.status {
                Some(Status::Failed { entry, detail, .. }) => Some((*entry, detail)),
                _ if row.seq.is_none() => break,
                _ => None,
            };
            if self.json {
                print(&json::line(&MessageLine::new(Event::Message, row))?)?;
            }
            if let Some((entry, detail)) = failure {
                let why = one_line(detail);
                eprintln!("refused: {why}; `tertulia-tui outbox --discard {entry}` gives it up, --retry tries again");
                return Ok(true);
            }
            self.acknowledged += 1;
            self.under_way.pop_front();
        }
        Ok(false)
    }
}
