//! Prometheus metrics. Counters grow as things happen; gauges are read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tertulia_core::Services;
use tertulia_store::StoreError;

use crate::{BusState, BusWatch, ReplicaStates, ReplicaWatch, Settings};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ending {
    code: u32,
}

pub struct Metrics {
    registry: Registry,
    answers: Family<Status, Counter>,
    endings: Family<Ending, Counter>,
    requests: Counter<u64, AtomicU64>,
    connections: Gauge,
    people: Gauge,
    search_lag_conversations: Gauge,
    search_lag_ms: Gauge,
    jobs_ready: Gauge,
    jobs_dead: Gauge,
    log_position: Gauge,
    bus: BusMetrics,
    replicas: ReplicaMetrics,
}

/// All 0 where there are no other servers.
#[derive(Default)]
struct BusMetrics {
    up: Gauge,
    peers: Gauge,
    losses: Gauge,
    failures: Gauge,
    asked: Gauge,
    told: Gauge,
}

impl BusMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("bus_up", "Whether the other servers can be heard", self.up.clone());
        registry.register("bus_peers", "Other servers that are heard", self.peers.clone());
        registry.register("bus_losses", "How often news of other servers was lost", self.losses.clone());
        registry.register("bus_failures", "How often nothing could be told", self.failures.clone());
        registry.register("bus_asked", "How often the log was asked what may have been missed", self.asked.clone());
        registry.register("bus_told", "People who were told to ask for the difference", self.told.clone());
    }

    fn show(&self, state: BusState) {
        let set = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.up, u64::from(state.is_up));
        set(&self.peers, u64::try_from(state.peers).unwrap_or(u64::MAX));
        set(&self.losses, state.losses);
        set(&self.failures, state.failures);
        set(&self.asked, state.asked);
        set(&self.told, state.told);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Which {
    /// By its place in the configuration, from 1.
    replica: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// Nothing where no replica is read from.
#[derive(Default)]
struct ReplicaMetrics {
    up: Family<Which, Gauge>,
    lag_ms: Family<Which, Gauge>,
    reads: Family<Which, Counter>,
    fallbacks: Family<Why, Counter>,
}

impl ReplicaMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("replica_up", "Whether the replica is read from", self.up.clone());
        registry.register(
            "replica_lag_ms",
            "For how long the primary has been beyond what the replica shows",
            self.lag_ms.clone(),
        );
        registry.register("replica_reads", "Lookups that the replica has answered", self.reads.clone());
        registry.register(
            "replica_fallbacks",
            "Lookups that the primary answered after a replica, by reason",
            self.fallbacks.clone(),
        );
    }

    fn show(&self, states: &ReplicaStates) {
        for (state, replica) in states.all.iter().zip(1..) {
            let which = Which { replica };
            self.up.get_or_create(&which).set(i64::from(state.is_used));
            self.lag_ms.get_or_create(&which).set(i64::try_from(state.lag_ms).unwrap_or(i64::MAX));
            self.reads.get_or_create(&which).inner().store(state.reads, Ordering::Relaxed);
        }
        for (reason, count) in &states.fallbacks {
            self.fallbacks.get_or_create(&Why { reason }).inner().store(*count, Ordering::Relaxed);
        }
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("tertulia"),
            answers: Family::default(),
            endings: Family::default(),
            requests: Counter::default(),
            connections: Gauge::default(),
            people: Gauge::default(),
            search_lag_conversations: Gauge::default(),
            search_lag_ms: Gauge::default(),
            jobs_ready: Gauge::default(),
            jobs_dead: Gauge::default(),
            log_position: Gauge::default(),
            bus: BusMetrics::default(),
            replicas: ReplicaMetrics::default(),
        };
        let registry = &mut all.registry;
        registry.register("http_answers", "Answers over HTTP by class of status", all.answers.clone());
        registry.register("socket_endings", "Connections ended by the server, by close code", all.endings.clone());
        registry.register("socket_requests", "Requests over sockets", all.requests.clone());
        registry.register("connections", "Open sockets", all.connections.clone());
        registry.register("people_online", "People with an open socket here", all.people.clone());
        registry.register(
            "search_lag_conversations",
            "Conversations the search index has not caught up with",
            all.search_lag_conversations.clone(),
        );
        registry.register("search_lag_ms", "Age of the oldest change not yet searchable", all.search_lag_ms.clone());
        registry.register("jobs_ready", "Jobs that wait", all.jobs_ready.clone());
        registry.register("jobs_dead", "Dead letters", all.jobs_dead.clone());
        registry.register("log_position", "Commit position of the log", all.log_position.clone());
        all.bus.register(registry);
        all.replicas.register(registry);
        all
    }

    pub(crate) fn answered(&self, status: u16) {
        let class = match status {
            0..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.answers.get_or_create(&Status { class }).inc();
    }

    pub(crate) fn ended(&self, code: u16) {
        self.endings.get_or_create(&Ending { code: u32::from(code) }).inc();
    }

    pub(crate) fn requested(&self) {
        self.requests.inc();
    }

    /// The text exposition.
    pub(crate) async fn render(&self, services: &Services, settings: &Settings) -> Result<String, StoreError> {
        let counts = services.hub().counts();
        let set = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.connections, counts.connections);
        set(&self.people, counts.people);
        let lag = services.store().search_lag();
        self.search_lag_conversations.set(i64::try_from(lag.conversations).unwrap_or(i64::MAX));
        self.search_lag_ms.set(i64::try_from(lag.age_ms).unwrap_or(i64::MAX));
        let jobs = services.store().job_counts().await?;
        self.jobs_ready.set(jobs.ready);
        self.jobs_dead.set(jobs.dead);
        self.log_position.set(services.store().log_state().await?.position);
        self.bus.show(settings.bus.as_ref().map(BusWatch::look).unwrap_or_default());
        self.replicas.show(&settings.replicas.as_ref().map(ReplicaWatch::look).unwrap_or_default());
        let mut text = String::new();
        text::encode(&mut text, &self.registry).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(text)
    }
}
