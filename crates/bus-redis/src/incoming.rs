//! What the other servers tell.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::{Msg, RedisResult};
use tertulia_proto::{ServerId, UserId};
use tertulia_realtime::{ConnectionId, News};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Heard;
use crate::link::now;
use crate::packet::{Letter, Packet};
use crate::peers::{self, Peers};
use crate::shared::Shared;

/// One's own sign of life comes back every second. Without it for so long, nobody is heard.
const DEAF_AFTER: Duration = Duration::from_secs(4);

/// A server that is heard for the first time has told nothing before, if one has listened for so long; else something was lost.
const SETTLED: Duration = Duration::from_secs(3);

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

pub struct Incoming {
    shared: Arc<Shared>,
    heard: mpsc::Sender<Heard>,
    peers: Peers,
    begun: Instant,
    listens_since: Option<Instant>,
    /// Something could not be handed over: whoever takes it is too slow.
    owes_loss: bool,
    /// What was last said of it.
    said_alone: Option<bool>,
    looked_at_ms: u64,
    /// Servers of which it is not known who is there: Redis could not be asked.
    unknown: HashSet<ServerId>,
    /// Letters to be answered.
    answers: JoinSet<()>,
}

impl Incoming {
    pub fn new(shared: Arc<Shared>, heard: mpsc::Sender<Heard>) -> Self {
        Self {
            shared,
            heard,
            peers: Peers::default(),
            begun: now(),
            listens_since: None,
            owes_loss: false,
            said_alone: None,
            looked_at_ms: 0,
            unknown: HashSet::new(),
            answers: JoinSet::new(),
        }
    }

    /// Until the bus is closed.
    pub async fn run(mut self) {
        let mut closed = self.shared.closed.subscribe();
        let mut wait = RETRY_MIN;
        loop {
            let ended = tokio::select! {
                ended = self.listen() => ended,
                _ = closed.wait_for(|closed| *closed) => return,
            };
            if self.listens_since.take().is_some() {
                wait = RETRY_MIN;
            }
            self.shared.hears.send_replace(false);
            self.shared.settled.store(false, Ordering::Relaxed);
            self.say_whether_alone();
            if let Err(error) = ended {
                tracing::warn!(%error, "the other servers can't be heard");
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    async fn listen(&mut self) -> RedisResult<()> {
        let mut ear = self.shared.link.ear().await?;
        ear.subscribe(&[&self.shared.news_channel, &self.shared.letters_channel(self.shared.me)]).await?;
        let mut messages = ear.into_on_message();
        let mut own_at = now();
        loop {
            let Ok(next) = tokio::time::timeout_at(own_at + DEAF_AFTER, messages.next()).await else {
                tracing::warn!("one's own signs of life do not come back");
                return Ok(());
            };
            let Some(message) = next else { return Ok(()) };
            if message.get_channel_name() == self.shared.news_channel {
                if self.read(&message).await {
                    own_at = now();
                    self.hears_well();
                }
            } else {
                self.open(&message);
            }
            self.look_after_peers();
            if self.owes_loss {
                self.hand_over(Heard::Lost);
            }
            self.say_whether_alone();
        }
    }

    fn look_after_peers(&mut self) {
        let now = self.now_ms();
        // Who was stopped, or hears again after a while, has not heard them for that reason alone.
        if now.saturating_sub(self.looked_at_ms) > peers::SILENCE_MAX_MS / 2 {
            self.peers.excuse(now);
        }
        self.looked_at_ms = now;
        if self.listens_since.is_none() {
            return;
        }
        for server in self.peers.gone(now) {
            self.unknown.remove(&server);
            tracing::warn!(%server, "a server is gone");
            self.left(server);
        }
        *self.shared.live.lock() = self.peers.all().collect();
        self.shared.settled.store(self.is_settled(), Ordering::Relaxed);
    }

    fn is_settled(&self) -> bool {
        self.listens_since.is_some_and(|since| since.elapsed() > SETTLED)
    }

    /// Whenever it has changed since it was last taken.
    fn say_whether_alone(&mut self) {
        let is_alone = self.listens_since.is_none();
        if self.said_alone != Some(is_alone) && self.hand_over(Heard::Alone(is_alone)) {
            self.said_alone = Some(is_alone);
        }
    }

    fn hears_well(&mut self) {
        if self.listens_since.is_none() {
            self.listens_since = Some(now());
            let now = self.now_ms();
            self.peers.excuse(now);
            self.shared.hears.send_replace(true);
        }
    }

    /// `true`: it was this server's own.
    async fn read(&mut self, message: &Msg) -> bool {
        let packet: Packet<'_> = match serde_json::from_slice(message.get_payload_bytes()) {
            Ok(packet) => packet,
            Err(error) => {
                tracing::warn!(%error, "a publication that can't be read");
                return false;
            }
        };
        let Packet { from, n, bye, anew, log, news } = packet;
        if from == self.shared.me {
            return true;
        }
        if bye {
            self.peers.goodbye(from);
            self.unknown.remove(&from);
            self.left(from);
            return false;
        }
        let now = self.now_ms();
        let heard = self.peers.hear(from, n, !news.is_empty(), now);
        if heard == peers::Heard::First {
            tracing::info!(server = %from, "another server is heard");
        }
        let settled = self.is_settled();
        let before = n > u64::from(!news.is_empty());
        if heard == peers::Heard::AfterLoss || (heard == peers::Heard::First && settled && before) {
            self.shared.losses.fetch_add(1, Ordering::Relaxed);
            self.hand_over(Heard::Lost);
        }
        if anew || heard != peers::Heard::Next || self.unknown.contains(&from) {
            self.ask_who_is_there(from).await;
        }
        let is_of_another_log = log.zip(*self.shared.log.lock()).is_some_and(|(theirs, ours)| theirs != ours);
        if is_of_another_log {
            // One of the two has yet to find out that the log is another one; what it says then, the log says too.
            tracing::info!(server = %from, "news of another log are passed over");
            // But who came and went is so in any log, and the log does not know it: its next sign of life has it looked up.
            self.unknown.insert(from);
            self.hand_over(Heard::Lost);
        } else if !news.is_empty() {
            let count = news.len();
            let news: Vec<News> = news.into_iter().filter_map(|line| News::decode(line.get())).collect();
            if news.len() < count {
                tracing::debug!(server = %from, "news that this version does not know");
                self.hand_over(Heard::Lost);
            }
            self.hand_over(Heard::News { from, news });
        }
        false
    }

    /// A server that goes, or is gone, may have committed what it never told; no number shows that.
    fn left(&mut self, server: ServerId) {
        self.hand_over(Heard::People { server, people: Vec::new() });
        self.hand_over(Heard::Lost);
    }

    async fn ask_who_is_there(&mut self, server: ServerId) {
        let key = self.shared.people_key(server);
        let people: RedisResult<Vec<Vec<u8>>> =
            self.shared.link.ask(async |commands| redis::cmd("SMEMBERS").arg(&key).query_async(commands).await).await;
        match people {
            Ok(people) => {
                self.unknown.remove(&server);
                let ids = people.into_iter().filter_map(|id| Some(UserId::from_bytes(id.try_into().ok()?)));
                self.hand_over(Heard::People { server, people: ids.collect() });
            }
            Err(error) => {
                tracing::warn!(%error, %server, "who is at another server is not known yet");
                self.unknown.insert(server);
            }
        }
    }

    fn open(&mut self, message: &Msg) {
        match serde_json::from_slice(message.get_payload_bytes()) {
            Ok(Letter::Retired { id }) => {
                if let Some(waiting) = self.shared.claims.lock().remove(&id) {
                    let _ = waiting.send(());
                }
            }
            Ok(Letter::Retire { from, id, user, device, connection }) => {
                let (done, retired) = oneshot::channel();
                let connection = ConnectionId(connection);
                self.hand_over(Heard::Retire { user, device, connection, done });
                let shared = Arc::clone(&self.shared);
                while self.answers.try_join_next().is_some() {}
                self.answers.spawn(async move {
                    if retired.await.is_ok() {
                        shared.write_to(from, &Letter::Retired { id }).await.unwrap_or_default();
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "a letter that can't be read"),
        }
    }

    /// Never waits: whoever is too slow here would let Redis' memory fill. What can't be handed over is made up for later.
    fn hand_over(&mut self, heard: Heard) -> bool {
        let is_loss = matches!(heard, Heard::Lost);
        match self.heard.try_send(heard) {
            Ok(()) => {
                self.owes_loss &= !is_loss;
                true
            }
            Err(error) => {
                self.owes_loss = true;
                if let Heard::People { server, .. } = error.into_inner() {
                    self.unknown.insert(server);
                }
                false
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
