//! One server of several: takes what the bus hears to the services, and asks the log whatever may have been lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tertulia_bus_redis::{Heard, RedisBus};
use tertulia_core::Services;
use tertulia_gateway::BusState;
use tertulia_proto::UserId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How often the log's position is noted, and how many notes are kept: what was lost was committed after the oldest of them, also where it is known only
/// after 10 s of silence that a server is gone.
const NOTE_EVERY: Duration = Duration::from_secs(1);
const NOTES_MAX: usize = 16;

/// After a loss the log is not asked before what is still under way has come, and then not more often than this; while nobody can be heard, every so
/// often, or more seldom where asking takes long.
const ASK_AFTER: Duration = Duration::from_millis(200);
const ASK_EVERY: Duration = Duration::from_secs(2);
const REST_FACTOR: u32 = 10;

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
    /// The log's positions of the last seconds in which the others were heard, oldest first.
    notes: VecDeque<i64>,
    is_alone: bool,
    /// When the log is to be asked.
    ask_at: Option<Instant>,
}

impl Cluster {
    /// Begins to tell and to hear, and waits a little until the others can be heard: who connects after that misses nothing of them.
    pub async fn begin(services: Arc<Services>, bus: Arc<RedisBus>) -> Self {
        let hub = Arc::clone(services.hub());
        let heard = bus.start(move || hub.people());
        if !bus.heard_within(HEARD_WITHIN).await {
            tracing::error!("redis_url: can't be reached; this server serves its own people until it can");
        }
        Self {
            services,
            bus,
            heard,
            tally: Arc::default(),
            tasks: JoinSet::new(),
            notes: VecDeque::new(),
            is_alone: false,
            ask_at: None,
        }
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
        let mut notes = tokio::time::interval(NOTE_EVERY);
        notes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ask_at = self.ask_at;
            let time_to_ask = async {
                match ask_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = self.heard.recv() => {
                    let Some(heard) = heard else { return };
                    self.take(heard).await;
                }
                _ = notes.tick() => self.note().await,
                () = time_to_ask => self.ask().await,
            }
            while self.tasks.try_join_next().is_some() {}
        }
    }

    async fn take(&mut self, heard: Heard) {
        match heard {
            Heard::News { from, news } => self.services.hear(from, news).await,
            Heard::People { server, people } => {
                self.services.hub().are_elsewhere(server, &people, self.services.now());
            }
            Heard::Lost => self.ask_in(ASK_AFTER),
            Heard::Alone(is_alone) => {
                self.is_alone = is_alone;
                self.services.hub().set_alone(is_alone);
                // Also when it is over: what was told in between is known to the log alone.
                self.ask_in(ASK_AFTER);
            }
            Heard::Retire { user, device, done } => {
                let services = Arc::clone(&self.services);
                self.tasks.spawn(async move {
                    services.retire_device(user, device).await;
                    let _ = done.send(());
                });
            }
        }
    }

    fn ask_in(&mut self, wait: Duration) {
        let at = now() + wait;
        self.ask_at = Some(self.ask_at.map_or(at, |planned| planned.min(at)));
    }

    /// What is committed from now on is above this position.
    async fn note(&mut self) {
        if self.is_alone || self.ask_at.is_some() {
            return;
        }
        if let Ok(log) = self.services.store().log_state().await {
            self.notes.push_back(log.position);
            if self.notes.len() > NOTES_MAX {
                self.notes.pop_front();
            }
        }
    }

    async fn ask(&mut self) {
        self.ask_at = None;
        let begun = now();
        let again = match self.missed().await {
            Ok(()) if self.is_alone => Some(ASK_EVERY.max(begun.elapsed() * REST_FACTOR)),
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "what may have been missed is not known yet");
                Some(ASK_EVERY)
            }
        };
        if let Some(wait) = again {
            self.ask_in(wait);
        }
    }

    async fn missed(&mut self) -> Result<(), tertulia_store::StoreError> {
        // Before looking: what comes later is found the next time.
        let position = self.services.store().log_state().await?.position;
        let Some(since) = self.notes.front().copied() else {
            self.notes.push_back(position);
            return Ok(());
        };
        let people = self.services.missed_since(since).await?;
        self.notes.clear();
        self.notes.push_back(position);
        self.tally.asked.fetch_add(1, Ordering::Relaxed);
        self.tally.told.fetch_add(u64::try_from(people.len()).unwrap_or(0), Ordering::Relaxed);
        if !people.is_empty() {
            tracing::info!(people = people.len(), "some may have missed something and are told to ask");
            self.tell(people);
        }
        Ok(())
    }

    /// Not all at once, so that they do not come all at once.
    fn tell(&mut self, people: Vec<UserId>) {
        let services = Arc::clone(&self.services);
        self.tasks.spawn(async move {
            for some in people.chunks(TOLD_AT_ONCE) {
                services.hub().need_sync_of(some);
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "when to ask again")]
fn now() -> Instant {
    Instant::now()
}
