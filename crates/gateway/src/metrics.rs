//! Prometheus metrics. Counters grow as things happen; gauges are read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tertulia_core::journal::JournalCounts;
use tertulia_core::{JOBS_COUNTED_MAX, Services};
use tertulia_proto::webhook::WebhookEndpoint;
use tertulia_store::jobs::{JobState, JobStats};
use tertulia_store::{StoreError, Timestamp};

use crate::{BusState, BusWatch, JobFigures, JobsWatch, ReplicaStates, ReplicaWatch, Settings};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ending {
    code: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: String,
}

/// By kind: what this process has run, and what waits for anybody.
#[derive(Default)]
struct JobMetrics {
    capped: Gauge,
    ready: Gauge,
    dead: Gauge,
    done: Family<OfKind, Gauge>,
    failed: Family<OfKind, Gauge>,
    died: Family<OfKind, Gauge>,
    running: Family<OfKind, Gauge>,
    oldest_ready_ms: Family<OfKind, Gauge>,
}

impl JobMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("jobs_capped", "Whether there are more jobs than are counted", self.capped.clone());
        registry.register("jobs_ready", "Jobs that wait, of each kind 10000 at most", self.ready.clone());
        registry.register("jobs_dead", "Dead letters, 10000 at most", self.dead.clone());
        registry.register("jobs_done", "Jobs that were done here", self.done.clone());
        registry.register("jobs_failed", "Attempts that failed here", self.failed.clone());
        registry.register("jobs_died", "Jobs that became dead letters here", self.died.clone());
        registry.register("jobs_running", "Jobs that run here", self.running.clone());
        registry.register(
            "jobs_oldest_ready_ms",
            "How long the oldest job that may run has waited",
            self.oldest_ready_ms.clone(),
        );
    }

    fn show(&self, stats: &[JobStats], figures: Vec<JobFigures>, now: Timestamp) {
        let all = |state| stats.iter().filter(|one| one.state == state).map(|one| one.count).sum::<i64>();
        let counted_max = i64::try_from(JOBS_COUNTED_MAX).unwrap_or(i64::MAX);
        let is_capped = all(JobState::Dead) >= counted_max || stats.iter().any(|one| one.count >= counted_max);
        self.capped.set(i64::from(is_capped));
        self.ready.set(all(JobState::Ready));
        self.dead.set(all(JobState::Dead));
        // A kind of which nothing waits any more is not to keep its last age.
        self.oldest_ready_ms.clear();
        for one in stats.iter().filter(|one| one.state == JobState::Ready) {
            let kind = OfKind { kind: one.kind.clone() };
            self.oldest_ready_ms.get_or_create(&kind).set((now.ms() - one.oldest.ms()).max(0));
        }
        for one in figures {
            let kind = OfKind { kind: one.kind.to_owned() };
            let set = |family: &Family<OfKind, Gauge>, value: u64| {
                family.get_or_create(&kind).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            set(&self.done, one.done);
            set(&self.failed, one.failed);
            set(&self.died, one.died);
            set(&self.running, one.running);
        }
    }
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
    log_position: Gauge,
    trace: TraceMetrics,
    jobs: JobMetrics,
    bus: BusMetrics,
    replicas: ReplicaMetrics,
    webhooks: WebhookMetrics,
}

/// All 0 where nothing is noted of messages.
#[derive(Default)]
struct TraceMetrics {
    rows: Gauge,
    dropped: Gauge,
    waiting: Gauge,
}

impl TraceMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("trace_rows", "Rows that were written here of the way of messages", self.rows.clone());
        registry.register("trace_dropped", "Records of it that were not written", self.dropped.clone());
        registry.register("trace_waiting", "Records of it that wait to be written", self.waiting.clone());
    }

    fn show(&self, counts: JournalCounts) {
        self.rows.set(i64::try_from(counts.rows).unwrap_or(i64::MAX));
        self.dropped.set(i64::try_from(counts.dropped).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(counts.waiting).unwrap_or(i64::MAX));
    }
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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEndpoint {
    endpoint: String,
}

/// Of each endpoint, as the log has it: the same whichever server is asked.
#[derive(Default)]
struct WebhookMetrics {
    on: Family<OfEndpoint, Gauge>,
    taken: Family<OfEndpoint, Gauge>,
    failed: Family<OfEndpoint, Gauge>,
    failures: Family<OfEndpoint, Gauge>,
    forgotten: Family<OfEndpoint, Gauge>,
    parked: Family<OfEndpoint, Gauge>,
}

impl WebhookMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("webhook_on", "Whether the endpoint is told", self.on.clone());
        registry.register("webhook_events_taken", "Events that the endpoint has taken", self.taken.clone());
        registry.register("webhook_requests_failed", "Requests to the endpoint that failed", self.failed.clone());
        registry.register("webhook_failures", "Failures of the endpoint in a row", self.failures.clone());
        let forgotten = "Events that were forgotten before the endpoint took them";
        registry.register("webhook_events_forgotten", forgotten, self.forgotten.clone());
        let parked = "Conversations and people that are passed over, because an event of theirs is not taken";
        registry.register("webhook_parked", parked, self.parked.clone());
    }

    fn show(&self, endpoints: &[WebhookEndpoint]) {
        // One that is removed is not to keep its last numbers.
        for family in [&self.on, &self.taken, &self.failed, &self.failures, &self.forgotten, &self.parked] {
            family.clear();
        }
        for one in endpoints {
            let which = OfEndpoint { endpoint: one.id.to_string() };
            self.on.get_or_create(&which).set(i64::from(one.active));
            self.taken.get_or_create(&which).set(one.events_taken);
            self.failed.get_or_create(&which).set(one.requests_failed);
            self.failures.get_or_create(&which).set(one.failures);
            self.forgotten.get_or_create(&which).set(one.events_forgotten);
            self.parked.get_or_create(&which).set(one.parked);
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
            log_position: Gauge::default(),
            trace: TraceMetrics::default(),
            jobs: JobMetrics::default(),
            bus: BusMetrics::default(),
            replicas: ReplicaMetrics::default(),
            webhooks: WebhookMetrics::default(),
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
        all.jobs.register(registry);
        registry.register("log_position", "Commit position of the log", all.log_position.clone());
        all.trace.register(registry);
        all.bus.register(registry);
        all.replicas.register(registry);
        all.webhooks.register(registry);
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
        let stats = services.store().jobs().job_stats(JOBS_COUNTED_MAX).await?;
        self.jobs.show(&stats, settings.jobs.as_ref().map(JobsWatch::look).unwrap_or_default(), services.now());
        self.log_position.set(services.store().log_state().await?.position);
        self.trace.show(services.journal().map(|journal| journal.counts()).unwrap_or_default());
        self.bus.show(settings.bus.as_ref().map(BusWatch::look).unwrap_or_default());
        self.replicas.show(&settings.replicas.as_ref().map(ReplicaWatch::look).unwrap_or_default());
        self.webhooks.show(&services.store().webhooks().endpoints().await?);
        let mut text = String::new();
        text::encode(&mut text, &self.registry).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(text)
    }
}
