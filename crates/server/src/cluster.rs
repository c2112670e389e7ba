//! One server of several: takes what the bus hears to the services, and asks the log whatever may have been lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tertulia_bus_redis::{Heard, RedisBus};
use tertulia_core::Services;
use tertulia_gateway::BusState;
use tertulia_proto::{ConversationId, Rev, UserId};
use tertulia_store::{ChangedFor, LogState, StoreError};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// After a loss the log is not asked before what is still under way has come; while nobody can be heard, every so often; and now and then in any case,
/// because not every loss shows: a server that can't tell anybody anything knows nobody who would miss it. More seldom where asking takes long.
const ASK_AFTER: Duration = Duration::from_millis(200);
const ASK_WHILE_ALONE: Duration = Duration::from_secs(2);
const ASK_EVERY: Duration = Duration::from_secs(20);
const REST_FACTOR: u32 = 10;

/// How long news of what the log has may still be under way.
const UNDER_WAY: Duration = Duration::from_millis(300);

/// People told at once that they may have missed something, and the pause after them: they all ask for the difference.
const TOLD_AT_ONCE: usize = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// How long the start waits for the bus. Without it the server serves all the same.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Tally {
    asked: AtomicU64,
    told: AtomicU64,
}

pub struct Cluster {
    services: Arc<Services>,
    bus: Arc<RedisBus>,
    heard: mpsc::Receiver<Heard>,
    tally: Arc<Tally>,
    tasks: JoinSet<()>,
    worry: Arc<Worry>,
    /// Where the log was before anybody could connect.
    since: Option<i64>,
}

/// What makes one ask the log.
#[derive(Default)]
struct Worry {
    is_alone: AtomicBool,
    woken: Notify,
    /// Something was lost, and with it perhaps what no `rev` shows.
    is_great: AtomicBool,
}

impl Cluster {
    /// Begins to tell and to hear, and waits a little until the others can be heard: who connects after that misses nothing of them.
    pub async fn begin(services: Arc<Services>, bus: Arc<RedisBus>) -> Self {
        let hub = Arc::clone(services.hub());
        let heard = bus.start(move || hub.people());
        if !bus.heard_within(HEARD_WITHIN).await {
            tracing::error!("redis_url: can't be reached; this server serves its own people until it can");
        }
        let since = services.store().log_state().await.map(|state| {
            bus.set_first_log(state.epoch);
            state.position
        });
        let since = since.inspect_err(|error| tracing::warn!(%error, "where the log is can't be seen yet")).ok();
        Self { services, bus, heard, tally: Arc::default(), tasks: JoinSet::new(), worry: Arc::default(), since }
    }

    /// For readiness and metrics.
    pub fn state(&self) -> impl Fn() -> BusState + Send + Sync + 'static {
        let (bus, tally) = (Arc::clone(&self.bus), Arc::clone(&self.tally));
        move || {
            let counts = bus.counts();
            BusState {
                is_up: bus.is_up(),
                peers: counts.peers,
                losses: counts.losses,
                failures: counts.failures,
                asked: tally.asked.load(Ordering::Relaxed),
                told: tally.told.load(Ordering::Relaxed),
            }
        }
    }

    /// Until the bus ends.
    pub async fn run(mut self) {
        let patrol = Patrol {
            services: Arc::clone(&self.services),
            bus: Arc::clone(&self.bus),
            tally: Arc::clone(&self.tally),
            worry: Arc::clone(&self.worry),
            since: self.since,
            told: HashMap::new(),
            cost: Duration::ZERO,
        };
        self.tasks.spawn(patrol.run());
        while let Some(heard) = self.heard.recv().await {
            self.take(heard);
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// Nothing here waits for the log: what comes is told at once.
    fn take(&mut self, heard: Heard) {
        match heard {
            Heard::News { from, news } => {
                let left = self.services.hear(from, news);
                if !left.is_empty() {
                    let services = Arc::clone(&self.services);
                    self.tasks.spawn(async move { services.forget_strangers_of(left).await });
                }
            }
            Heard::People { server, people } => {
                self.services.hub().are_elsewhere(server, &people, self.services.now());
            }
            Heard::Lost => self.worry.grow(),
            Heard::Alone(is_alone) => {
                self.services.hub().set_alone(is_alone);
                self.worry.is_alone.store(is_alone, Ordering::Relaxed);
                // Also when it is over: what was told in between is known to the log alone.
                self.worry.grow();
            }
            Heard::Retire { user, device, connection, done } => {
                let services = Arc::clone(&self.services);
                self.tasks.spawn(async move {
                    services.retire_device(user, device, connection).await;
                    let _ = done.send(());
                });
            }
        }
    }
}

impl Worry {
    fn grow(&self) {
        self.is_great.store(true, Ordering::Relaxed);
        self.woken.notify_one();
    }
}

/// Asks the log what the people here may have missed. Each question begins where the last one that was answered began: nothing is left out, however long
/// that was ago.
struct Patrol {
    services: Arc<Services>,
    bus: Arc<RedisBus>,
    tally: Arc<Tally>,
    worry: Arc<Worry>,
    /// All at or below this position has been looked at. None where it could not be seen at the start: then all is asked about once.
    since: Option<i64>,
    /// What has been said at the last question, so that it is not said again while the log's position stands.
    told: HashMap<(UserId, ConversationId), Rev>,
    /// How long the log took to answer the last time.
    cost: Duration,
}

impl Patrol {
    async fn run(mut self) {
        loop {
            let is_alone = self.worry.is_alone.load(Ordering::Relaxed);
            let rest = self.cost * REST_FACTOR;
            let pause = if is_alone { ASK_WHILE_ALONE } else { ASK_EVERY };
            if tokio::time::timeout(pause.max(rest), self.worry.woken.notified()).await.is_ok() {
                tokio::time::sleep(ASK_AFTER.max(rest)).await;
            }
            if let Err(error) = self.ask().await {
                tracing::warn!(%error, "what may have been missed is not known yet");
                self.worry.grow();
                tokio::time::sleep(ASK_WHILE_ALONE).await;
            }
        }
    }

    async fn ask(&mut self) -> Result<(), StoreError> {
        // Before looking: what comes later is found the next time.
        let LogState { position, epoch, .. } = self.services.store().log_state().await?;
        self.bus.set_first_log(epoch);
        let since = self.since.unwrap_or(0);
        let is_great = self.worry.is_great.swap(false, Ordering::Relaxed);
        let begun = now();
        let changed = self.services.changed_above(since).await;
        self.cost = begun.elapsed();
        let changed = changed.inspect_err(|_| {
            self.worry.is_great.fetch_or(is_great, Ordering::Relaxed);
        })?;
        tokio::time::sleep(UNDER_WAY).await;
        let missed = self.services.put_right(changed).await;
        self.since = Some(position);
        self.tally.asked.fetch_add(1, Ordering::Relaxed);
        let told = std::mem::take(&mut self.told);
        self.told = missed.iter().map(|one| ((one.user, one.conversation), one.rev)).collect();
        let is_new = |one: &&ChangedFor| told.get(&(one.user, one.conversation)) != Some(&one.rev);
        let mut people: Vec<UserId> = missed.iter().filter(is_new).map(|one| one.user).collect();
        people.sort_unstable();
        people.dedup();
        self.tell(people).await;
        // After it: where this fails, everybody has been told all the same.
        if is_great { self.services.look_after_watches().await } else { Ok(()) }
    }

    /// Not all at once, so that they do not come all at once.
    async fn tell(&self, people: Vec<UserId>) {
        if people.is_empty() {
            return;
        }
        tracing::info!(people = people.len(), "some may have missed something and are told to ask");
        self.tally.told.fetch_add(u64::try_from(people.len()).unwrap_or(0), Ordering::Relaxed);
        for some in people.chunks(TOLD_AT_ONCE) {
            self.services.hub().need_sync_of(some);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "when to ask again")]
fn now() -> Instant {
    Instant::now()
}
