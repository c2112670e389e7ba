//! `tail`: a line for each change, of all conversations.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Result, bail};
use tertulia_client::{Client, ConnectionState, Conversation, ConversationId, ListDiff, Message, ReadError, Seq};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::track::Track;
use super::{all_conversations, connected, hopeful, print};
use crate::account::Home;
use crate::arguments::Tail;
use crate::json::{self, ConnectionLine, Event, MessageLine};
use crate::text::one_line;

/// Lines that wait to be printed; a slow reader gets fewer and later changes.
const LINES_MAX: usize = 1024;

/// Pages by which a window may have grown before it begins anew at the end.
const PAGES_MAX: usize = 3;

enum Line {
    Message(Event, Box<Message>),
    Connection(ConnectionState),
}

pub async fn tail(home: &Home, arguments: Tail) -> Result<ExitCode> {
    let client = home.open(&home.signed_in()?)?;
    let done = tokio::select! {
        done = follow(&client, &arguments) => done,
        done = asked_to_stop() => done,
    };
    client.close().await;
    done.map(|()| ExitCode::SUCCESS)
}

async fn asked_to_stop() -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn follow(client: &Client, arguments: &Tail) -> Result<()> {
    let (to, mut lines) = mpsc::channel(LINES_MAX);
    let mut tasks = JoinSet::new();
    tasks.spawn(tell_connection(client.clone(), to.clone()));
    let following = Following { client: client.clone(), to, only: arguments.conversation };
    let last = arguments.last.max(0);
    if arguments.since_now {
        tasks.spawn(async move {
            connected_at_last(&following.client).await?;
            following.run(None).await
        });
    } else {
        client.connect()?;
        tasks.spawn(following.run(Some(last)));
    }
    loop {
        tokio::select! {
            biased;
            Some(line) = lines.recv() => {
                print(&written(&line, arguments.json)?)?;
                if let Line::Connection(state) = line {
                    hopeful(state)?;
                }
            }
            Some(ended) = tasks.join_next() => {
                ended??;
                bail!("nothing more to follow");
            }
        }
    }
}

/// However long it takes.
async fn connected_at_last(client: &Client) -> Result<()> {
    while connected(client).await.is_err() {
        hopeful(client.connection().get()?)?;
    }
    Ok(())
}

fn written(line: &Line, as_json: bool) -> Result<String> {
    Ok(match line {
        Line::Message(event, message) if as_json => json::line(&MessageLine::new(*event, message))?,
        Line::Connection(state) if as_json => json::line(&ConnectionLine::from(*state))?,
        Line::Connection(state) => format!("-- {}", ConnectionLine::from(*state)),
        Line::Message(event, message) => {
            let mark = match event {
                Event::Message => "",
                Event::Changed => " (changed)",
                Event::Removed => " (removed)",
            };
            let body = if message.deleted_at.is_some() { "(deleted)" } else { &message.body };
            format!("{}{mark}: {}", one_line(&message.sender_name), one_line(body))
        }
    })
}

async fn tell_connection(client: Client, to: mpsc::Sender<Line>) -> Result<()> {
    let mut connection = client.connection();
    let mut told = None;
    loop {
        let state = connection.next().await?;
        // Another time of the next try is no other state.
        let shape = std::mem::discriminant(&state);
        let is_new = told.replace((shape, ConnectionLine::from(state))) != Some((shape, ConnectionLine::from(state)));
        if is_new && to.send(Line::Connection(state)).await.is_err() {
            return Ok(());
        }
    }
}

struct Following {
    client: Client,
    to: mpsc::Sender<Line>,
    only: Option<ConversationId>,
}

impl Following {
    /// Of each conversation that is here at first the `last` messages, or nothing of what is here now; all of those that come.
    async fn run(self, last: Option<i64>) -> Result<()> {
        let here: BTreeMap<_, _> = all_conversations(&self.client)?.iter().map(|of| (of.id, of.last_seq)).collect();
        let floor = |id| match (here.get(&id), last) {
            (None, _) => 0,
            (Some(last_seq), None) => *last_seq,
            (Some(last_seq), Some(last)) => last_seq.saturating_sub(last),
        };
        let mut conversations = self.client.conversations();
        let mut rows: Vec<Conversation> = Vec::new();
        let mut followed = BTreeSet::new();
        let mut tasks: JoinSet<Result<()>> = JoinSet::new();
        loop {
            tokio::select! {
                Some(ended) = tasks.join_next() => ended??,
                steps = conversations.next() => {
                    steps?.into_iter().for_each(|step| step.apply(&mut rows));
                    let before = followed.len();
                    for row in rows.iter().filter(|row| self.only.is_none_or(|only| only == row.id)) {
                        if followed.insert(row.id) {
                            tasks.spawn(tell_messages(self.client.clone(), row.id, floor(row.id), self.to.clone()));
                        }
                    }
                    if followed.len() > before || followed.is_empty() {
                        conversations.load_more();
                    }
                }
            }
        }
    }
}

async fn tell_messages(client: Client, id: ConversationId, floor: Seq, to: mpsc::Sender<Line>) -> Result<()> {
    let mut track = Track::new(floor);
    let mut rows: Vec<Message> = Vec::new();
    let (mut timeline, mut pages) = (client.timeline(id), 0);
    loop {
        let steps: Vec<ListDiff<Message>> = match timeline.next().await {
            Ok(steps) => steps,
            Err(ReadError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        steps.into_iter().for_each(|step| step.apply(&mut rows));
        for (event, message) in track.look(&rows, timeline.has_more()) {
            if to.send(Line::Message(event, Box::new(message))).await.is_err() {
                return Ok(());
            }
        }
        if track.wants_more(&rows, timeline.has_more()) {
            timeline.load_more();
            pages += 1;
        } else if pages > PAGES_MAX && track.is_whole(&rows) {
            (timeline, pages) = (client.timeline(id), 0);
        }
    }
}
