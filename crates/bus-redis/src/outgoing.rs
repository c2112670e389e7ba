//! What this server tells: numbered publications, signs of life, and who is here, as a lease that ends with the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::RedisResult;
use serde_json::value::RawValue;
use tertulia_proto::UserId;
use tertulia_realtime::News;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use crate::packet;
use crate::shared::Shared;

pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long Redis remembers who is at a server that says nothing any more.
const LEASE_S: i64 = 15;

/// Pieces of news taken at once.
const NEWS_AT_ONCE: usize = 4096;

const PEOPLE_AT_ONCE: usize = 5000;

/// News as they wait to be told.
pub struct Batch {
    /// The epoch of the log they are of, where it is known.
    pub log: Option<Uuid>,
    pub news: Vec<News>,
}

pub struct Outgoing {
    shared: Arc<Shared>,
    news: mpsc::Receiver<Batch>,
    /// Of the last publication with news.
    number: u64,
    /// What Redis has of who is here may be wrong.
    is_stale: bool,
    works: bool,
}

impl Outgoing {
    pub fn new(shared: Arc<Shared>, news: mpsc::Receiver<Batch>) -> Self {
        Self { shared, news, number: 0, is_stale: true, works: true }
    }

    /// Until the bus is closed and has told what waited.
    pub async fn run(mut self) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closing = self.shared.closing.subscribe();
        loop {
            tokio::select! {
                // The sign of life first: it also mends what Redis has forgotten, however much there is to tell.
                biased;
                _ = beat.tick() => self.give_sign().await,
                batch = self.news.recv() => {
                    let Some(mut batch) = batch else { break };
                    let mut next = None;
                    while batch.news.len() < NEWS_AT_ONCE && let Ok(more) = self.news.try_recv() {
                        if more.log != batch.log {
                            next = Some(more);
                            break;
                        }
                        batch.news.extend(more.news);
                    }
                    self.tell(&batch).await;
                    if let Some(batch) = next {
                        self.tell(&batch).await;
                    }
                }
                _ = closing.changed() => break,
            }
        }
        self.leave().await;
    }

    async fn tell(&mut self, Batch { log, news }: &Batch) {
        self.count_skipped();
        let mut changes = BTreeMap::new();
        for one in news {
            if let News::Presence { user, online, .. } = one {
                changes.insert(*user, *online);
            }
        }
        let packets = packet::cut(news);
        let first = self.number + 1;
        self.number += packets.len() as u64;
        let done = self.publish(first, *log, &packets, &changes).await;
        // Whatever failed: Redis may have begun anew, and have nobody of those who are here.
        self.is_stale |= done.is_err() || done.as_ref().is_ok_and(|was_there| !was_there);
        self.note(done.map(drop));
    }

    /// What did not fit into the queue bears numbers too, so that the others notice; who came and went by it is not known there.
    fn count_skipped(&mut self) {
        let skipped = self.shared.skipped.swap(0, Ordering::Relaxed);
        self.number += skipped;
        self.is_stale |= skipped > 0;
    }

    /// `false`: Redis had nobody of those who are here.
    async fn publish(
        &self,
        first: u64,
        log: Option<Uuid>,
        packets: &[Vec<Box<RawValue>>],
        changes: &BTreeMap<UserId, bool>,
    ) -> RedisResult<bool> {
        let shared = &*self.shared;
        let mut pipe = redis::pipe();
        let of = |wanted: bool| -> Vec<&[u8; 16]> {
            changes.iter().filter(|(_, online)| **online == wanted).map(|(user, _)| user.as_bytes()).collect()
        };
        let people = shared.people_key(shared.me);
        if !changes.is_empty() {
            pipe.cmd("EXPIRE").arg(&people).arg(LEASE_S);
        }
        // Before the news: who hears it finds it true.
        for (users, command) in [(of(true), "SADD"), (of(false), "SREM")] {
            if !users.is_empty() {
                pipe.cmd(command).arg(&people).arg(users.iter().map(|id| id.as_slice()).collect::<Vec<_>>()).ignore();
            }
        }
        if !changes.is_empty() {
            pipe.cmd("EXPIRE").arg(&people).arg(LEASE_S).ignore();
        }
        for (number, lines) in (first..).zip(packets) {
            pipe.cmd("PUBLISH").arg(&shared.news_channel).arg(packet::encode(shared.me, number, log, lines)).ignore();
        }
        let answers: Vec<i64> = shared.link.ask(async |commands| pipe.query_async(commands).await).await?;
        Ok(answers.first().is_none_or(|there| *there == 1))
    }

    async fn give_sign(&mut self) {
        self.count_skipped();
        let done = self.renew_lease().await;
        if done.is_err() {
            self.is_stale = true;
        }
        self.note(done);
    }

    /// The sign of life comes last: who hears it and asks who is here is answered truly.
    async fn renew_lease(&mut self) -> RedisResult<()> {
        let shared = Arc::clone(&self.shared);
        let key = shared.people_key(shared.me);
        let expire = redis::cmd("EXPIRE").arg(&key).arg(LEASE_S).to_owned();
        let there: i64 = shared.link.ask(async |commands| expire.query_async(commands).await).await?;
        let people = (shared.people)();
        let anew = self.is_stale || (there == 0 && !people.is_empty());
        let mut pipe = redis::pipe();
        if anew {
            pipe.atomic();
            pipe.cmd("DEL").arg(&key).ignore();
            for some in people.chunks(PEOPLE_AT_ONCE) {
                let ids: Vec<_> = some.iter().map(|id| id.as_bytes().as_slice()).collect();
                pipe.cmd("SADD").arg(&key).arg(ids).ignore();
            }
            pipe.cmd("EXPIRE").arg(&key).arg(LEASE_S).ignore();
        }
        let sign = packet::sign(shared.me, self.number, anew);
        pipe.cmd("PUBLISH").arg(&shared.news_channel).arg(sign).ignore();
        shared.link.ask(async |commands| pipe.query_async::<()>(commands).await).await?;
        self.is_stale = false;
        Ok(())
    }

    /// The others need not wait until the silence is too long.
    async fn leave(&mut self) {
        while let Ok(batch) = self.news.try_recv() {
            self.tell(&batch).await;
        }
        let shared = Arc::clone(&self.shared);
        let mut pipe = redis::pipe();
        pipe.cmd("DEL").arg(shared.people_key(shared.me)).ignore();
        pipe.cmd("PUBLISH").arg(&shared.news_channel).arg(packet::goodbye(shared.me, self.number)).ignore();
        let _ = shared.link.ask(async |commands| pipe.query_async::<()>(commands).await).await;
        self.shared.closed.send_replace(true);
    }

    fn note(&mut self, done: RedisResult<()>) {
        match done {
            Ok(()) if !self.works => {
                self.works = true;
                tracing::info!("the bus works again");
            }
            Err(error) if self.works => {
                self.works = false;
                tracing::error!(%error, "the other servers can't be told; they catch up");
            }
            Ok(()) | Err(_) => {}
        }
        if !self.works {
            self.shared.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
