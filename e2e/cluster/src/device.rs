//! A device and the person who uses it: writes, edits, reacts, reads, loses its network, and is restarted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use parking_lot::Mutex;
use serde_json::json;
use tertulia_client::{
    Client, CommandError, ConnectionState, ConversationId, Message, MessageRef, Op, Seq, UserId, Waiting,
};
use tertulia_testkit::{Random, within};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::record::Record;

const EMOJIS: [&str; 3] = ["👍", "🍋", "❤️"];

/// How often a device that waits before it tries to reach the server again is told to try now.
const NUDGE: Duration = Duration::from_secs(2);

pub struct Device {
    pub server: String,
    pub token: String,
    pub me: UserId,
    pub file: PathBuf,
    pub conversations: Vec<ConversationId>,
    pub record: Record,
    pub random: Random,
    /// Between two things that a person does, at most.
    pub rest: Duration,
}

type Screens = Arc<Mutex<BTreeMap<ConversationId, Vec<Message>>>>;

/// A device whose app is open.
pub struct Running {
    device: Device,
    client: Client,
    /// What each conversation shows.
    screens: Screens,
    observers: JoinSet<Result<()>>,
    written: u64,
}

impl Device {
    /// Opens the app, and waits until it has caught up.
    pub async fn start(self) -> Result<Running> {
        let mut running = self.open()?;
        running.caught_up().await?;
        running.observe();
        Ok(running)
    }

    fn open(self) -> Result<Running> {
        let client = Client::builder(&self.server).token(self.token.as_str()).file(&self.file).open()?;
        client.connect()?;
        Ok(Running { device: self, client, screens: Screens::default(), observers: JoinSet::new(), written: 0 })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What a call that a rule forbids leaves undone is no failure: the screen may be a moment old.
fn done(result: Result<(), CommandError>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(CommandError::Refused(tertulia_client::Refusal::Store(error))) => Err(error.into()),
        Err(CommandError::Refused(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What was refused and waits for the person is told, and let go unless it is a message.
fn give_up(client: &Client, record: &Record, waiting: Waiting) -> Result<()> {
    let Some(reason) = waiting.parked else { return Ok(()) };
    let name = match (&waiting.op, waiting.message) {
        (Op::Send, MessageRef::Mine(name)) => Some(name.to_string()),
        _ => None,
    };
    let fields = json!({ "name": name, "code": reason.code.as_str(), "detail": reason.detail });
    record.write(waiting.conversation, "refused", fields)?;
    if waiting.op != Op::Send {
        done(client.discard(waiting.entry))?;
    }
    Ok(())
}

impl Running {
    pub fn is_in(&self, conversation: ConversationId) -> bool {
        self.device.conversations.contains(&conversation)
    }

    fn observe(&mut self) {
        for conversation in self.device.conversations.clone() {
            let (record, screens) = (self.device.record.clone(), Arc::clone(&self.screens));
            let (mut timeline, me) = (self.client.timeline(conversation), self.device.me);
            self.observers.spawn(async move {
                let mut rows = Vec::new();
                loop {
                    timeline.next().await?.into_iter().for_each(|step| step.apply(&mut rows));
                    record.shown(me, &rows)?;
                    screens.lock().insert(conversation, rows.clone());
                }
            });
            let (record, mut members) = (self.device.record.clone(), self.client.members(conversation));
            self.observers.spawn(async move {
                loop {
                    record.watermarks(conversation, &members.next().await?)?;
                }
            });
        }
        let (record, mut refusals) = (self.device.record.clone(), self.client.refusals());
        self.observers.spawn(async move {
            loop {
                let refused = refusals.next().await?;
                record.write(refused.conversation, "refused", json!({ "code": refused.code }))?;
            }
        });
        let (record, client) = (self.device.record.clone(), self.client.clone());
        self.observers.spawn(async move {
            let mut outbox = client.outbox();
            loop {
                for waiting in outbox.next().await? {
                    give_up(&client, &record, waiting)?;
                }
            }
        });
    }

    /// Until it is told to stop.
    pub async fn live(mut self, mut stopped: watch::Receiver<bool>) -> Result<Self> {
        loop {
            let rest = self.device.random.micros_below(micros(self.device.rest));
            if tokio::time::timeout(rest, stopped.wait_for(|stopped| *stopped)).await.is_ok() {
                return Ok(self);
            }
            if let Some(ended) = self.observers.try_join_next() {
                ended?.context("an observer")?;
            }
            let some = self.device.conversations.clone();
            let conversation = *self.device.random.pick(&some).context("no conversation")?;
            match self.device.random.below(100) {
                0..50 => self.send(conversation)?,
                50..62 => self.edit(conversation)?,
                62..67 => self.delete(conversation)?,
                67..82 => self.react(conversation)?,
                82..92 => self.read(conversation)?,
                92..99 => self.nudge()?,
                _ => self = self.restart().await?,
            }
        }
    }

    fn row(&mut self, conversation: ConversationId, wanted: impl Fn(&Message) -> bool) -> Option<Message> {
        let screens = self.screens.lock();
        let rows: Vec<&Message> =
            screens.get(&conversation)?.iter().filter(|row| row.deleted_at.is_none() && wanted(row)).collect();
        // The newest: they are what is under way.
        let newest = &rows[rows.len().saturating_sub(12)..];
        self.device.random.pick(newest).map(|row| (*row).clone())
    }

    fn send(&mut self, conversation: ConversationId) -> Result<()> {
        let body = format!("{}: {}", self.written, "lorem ipsum ".repeat(1 + self.device.random.below(20)));
        self.written += 1;
        let answered = if self.device.random.one_in(5) { self.row(conversation, |_| true) } else { None };
        let name = match answered {
            Some(row) => self.client.reply(conversation, &row, body.as_str())?,
            None => self.client.send(conversation, body.as_str())?,
        };
        self.device.record.write(conversation, "send", json!({ "name": name.to_string(), "body": body }))
    }

    fn edit(&mut self, conversation: ConversationId) -> Result<()> {
        let me = self.device.me;
        let Some(row) = self.row(conversation, |row| row.sender == me) else { return Ok(()) };
        let body = format!("edit {} of {}", self.device.random.next(), row.body.chars().take(40).collect::<String>());
        if done(self.client.edit(conversation, &row, body.as_str()))? {
            self.device.record.write(conversation, "edit", json!({ "name": row.name.to_string(), "body": body }))?;
        }
        Ok(())
    }

    fn delete(&mut self, conversation: ConversationId) -> Result<()> {
        let me = self.device.me;
        let Some(row) = self.row(conversation, |row| row.sender == me) else { return Ok(()) };
        if done(self.client.delete(conversation, &row))? {
            self.device.record.write(conversation, "delete", json!({ "name": row.name.to_string() }))?;
        }
        Ok(())
    }

    fn react(&mut self, conversation: ConversationId) -> Result<()> {
        let Some(row) = self.row(conversation, |_| true) else { return Ok(()) };
        let emoji = EMOJIS[self.device.random.below(EMOJIS.len())];
        let remove = self.device.random.one_in(3);
        if done(self.client.react(conversation, &row, emoji.parse()?, remove))? {
            let (sender, name) = (self.device.record.name_of(row.sender), row.name.to_string());
            let fields = json!({ "sender": sender, "name": name, "emoji": emoji, "remove": remove });
            self.device.record.write(conversation, "react", fields)?;
        }
        Ok(())
    }

    fn read(&mut self, conversation: ConversationId) -> Result<()> {
        let last = self.screens.lock().get(&conversation).and_then(|rows| rows.iter().filter_map(|row| row.seq).max());
        let Some(seq) = last else { return Ok(()) };
        self.client.mark_read(conversation, seq)?;
        self.device.record.write(conversation, "read", json!({ "seq": seq }))
    }

    /// As a phone that sees its network again: the next try is now.
    fn nudge(&self) -> Result<()> {
        self.client.set_network(false)?;
        Ok(self.client.set_network(true)?)
    }

    async fn restart(mut self) -> Result<Self> {
        self.observers.shutdown().await;
        if self.device.random.one_in(2) {
            self.client.close().await;
        } else {
            drop(self.client);
        }
        let mut again = self.device.open()?;
        again.written = self.written;
        again.observe();
        Ok(again)
    }

    async fn caught_up(&self) -> Result<()> {
        self.reaches("caught up", async |client| {
            client.connection().until(|state| *state == ConnectionState::Connected { caught_up: true }).await?;
            Ok(())
        })
        .await
    }

    /// Waits for what needs the server, and lets the client try again now and then.
    async fn reaches(&self, what: &str, wanted: impl AsyncFn(&Client) -> Result<()>) -> Result<()> {
        let trying = async {
            loop {
                match tokio::time::timeout(NUDGE, wanted(&self.client)).await {
                    Ok(reached) => return reached,
                    // One that is on its way is left alone: on a busy machine it would never arrive.
                    Err(_) if matches!(self.client.connection().get(), Ok(ConnectionState::Waiting { .. })) => {
                        self.nudge()?;
                    }
                    Err(_) => {}
                }
            }
        };
        let reached = within(what, trying).await;
        reached.with_context(|| {
            format!(
                "{}: {:?}, {:?}",
                self.device.file.display(),
                self.client.connection().get(),
                self.client.outbox().get()
            )
        })?
    }

    pub async fn sent_all(&self) -> Result<()> {
        self.reaches("an empty outbox", async |client| {
            client.outbox().until(Vec::is_empty).await?;
            Ok(())
        })
        .await
    }

    /// The person reads everything.
    pub async fn read_all(&self, conversation: ConversationId, last_seq: Seq) -> Result<()> {
        self.reaches("everything is here", async |client| {
            client
                .conversation(conversation)
                .until(|here| here.as_ref().is_some_and(|here| here.last_seq >= last_seq))
                .await?;
            Ok(())
        })
        .await?;
        self.client.mark_read(conversation, last_seq)?;
        self.device.record.write(conversation, "read", json!({ "seq": last_seq }))
    }

    pub async fn all_have_read(&self, conversation: ConversationId, last_seq: Seq) -> Result<()> {
        self.reaches("everybody has read everything", async |client| {
            let there =
                |member: &tertulia_client::Member| member.read_seq >= last_seq && member.delivered_seq >= last_seq;
            client.members(conversation).until(|members| members.iter().all(there)).await?;
            Ok(())
        })
        .await
    }

    /// Connects anew: what happened before is here then.
    pub async fn sync_again(&self) -> Result<()> {
        self.nudge()?;
        self.caught_up().await
    }

    pub async fn write_ends(&self) -> Result<()> {
        for conversation in &self.device.conversations {
            let rows = within("the whole timeline", self.whole(*conversation)).await??;
            ensure!(rows.iter().all(|row| row.seq.is_some()), "something is pending with an empty outbox");
            let members = self.client.members(*conversation).get()?;
            self.device.record.end(*conversation, &rows, &members)?;
        }
        Ok(())
    }

    /// As a reader who scrolls to the beginning sees it.
    async fn whole(&self, conversation: ConversationId) -> Result<Vec<Message>> {
        let mut timeline = self.client.timeline(conversation);
        let mut rows: Vec<Message> = Vec::new();
        loop {
            timeline.next().await?.into_iter().for_each(|step| step.apply(&mut rows));
            if timeline.has_more() {
                timeline.load_more();
            } else if !rows.iter().any(|row| row.gap_above) {
                return Ok(rows);
            }
        }
    }
}
