//! The queue of work for later, as `tertulia jobs` shows it. For API keys with the scope `admin` alone.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tertulia_core::{Condemned, Judged, Verdict};
use tertulia_proto::{ApiError, Timestamp};
use tertulia_store::jobs::{JobId, JobRecord, JobState, JobStats, Priority};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::caller::KeyHolder;
use crate::error::{Answer, Problems};
use crate::extract::{Body, Query};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(stats)).routes(routes!(retry)).routes(routes!(drop_dead))
}

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum QueueState {
    Ready,
    Running,
    Dead,
}

impl From<QueueState> for JobState {
    fn from(state: QueueState) -> Self {
        match state {
            QueueState::Ready => Self::Ready,
            QueueState::Running => Self::Running,
            QueueState::Dead => Self::Dead,
        }
    }
}

impl From<JobState> for QueueState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Ready => Self::Ready,
            JobState::Running => Self::Running,
            JobState::Dead => Self::Dead,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Turn {
    High,
    Normal,
    Low,
}

impl From<Priority> for Turn {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::High => Self::High,
            Priority::Normal => Self::Normal,
            Priority::Low => Self::Low,
        }
    }
}

/// A job without what is in it: that may be between other people.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct QueuedJob {
    id: JobId,
    kind: String,
    state: QueueState,
    priority: Turn,
    /// Attempts that count.
    tries: i64,
    created_at: Timestamp,
    /// Not before.
    run_at: Timestamp,
    /// Of a running one: until then it is its worker's.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_at: Option<Timestamp>,
    /// What the latest attempts failed of, the oldest first.
    failures: Vec<Failure>,
}

#[derive(Serialize, ToSchema)]
struct Failure {
    at: Timestamp,
    reason: String,
}

impl From<JobRecord> for QueuedJob {
    fn from(job: JobRecord) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            state: job.state.into(),
            priority: job.priority.into(),
            tries: job.tries,
            created_at: job.created_at,
            run_at: job.run_at,
            lease_until: job.lease_until,
            dead_at: job.dead_at,
            failures: job.reasons.into_iter().map(|one| Failure { at: one.at, reason: one.reason }).collect(),
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
struct Which {
    /// `ready` unless said.
    state: Option<QueueState>,
    /// Of this kind only.
    kind: Option<String>,
    /// Above this id: the last one of the page before.
    after: Option<JobId>,
    /// 50 unless said, at most 512.
    #[param(minimum = 1, maximum = 512)]
    limit: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct Jobs {
    jobs: Vec<QueuedJob>,
}

/// Jobs of a state, in order of their ids.
#[utoipa::path(get, path = "/admin/jobs", tag = "admin", params(Which), security(("bearer" = [])),
    responses((status = 200, body = Jobs), Problems))]
async fn list(State(app): State<App>, KeyHolder(key): KeyHolder, Query(which): Query<Which>) -> Answer<Json<Jobs>> {
    let state = which.state.map_or(JobState::Ready, JobState::from);
    let jobs = app.services.list_jobs(&key, state, which.kind, which.after, which.limit).await?;
    Ok(Json(Jobs { jobs: jobs.into_iter().map(QueuedJob::from).collect() }))
}

#[derive(Serialize, ToSchema)]
struct Counted {
    kind: String,
    state: QueueState,
    /// Up to 10,000.
    count: i64,
    /// When the first of them was or is due; of running and of dead ones, when it was queued.
    oldest: Timestamp,
}

impl From<JobStats> for Counted {
    fn from(stats: JobStats) -> Self {
        Self { kind: stats.kind, state: stats.state.into(), count: stats.count, oldest: stats.oldest }
    }
}

#[derive(Serialize, ToSchema)]
struct Stats {
    stats: Vec<Counted>,
}

/// How many jobs wait, run and are dead, by kind.
#[utoipa::path(get, path = "/admin/jobs/stats", tag = "admin", security(("bearer" = [])),
    responses((status = 200, body = Stats), Problems))]
async fn stats(State(app): State<App>, KeyHolder(key): KeyHolder) -> Answer<Json<Stats>> {
    let stats = app.services.job_stats(&key).await?;
    Ok(Json(Stats { stats: stats.into_iter().map(Counted::from).collect() }))
}

/// One of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Letters {
    id: Option<JobId>,
    /// All of a kind.
    kind: Option<String>,
}

impl Letters {
    fn condemned(self) -> Result<Condemned, ApiError> {
        match (self.id, self.kind) {
            (Some(id), None) => Ok(Condemned::One(id)),
            (None, Some(kind)) => Ok(Condemned::OfKind(kind)),
            _ => Err(ApiError::invalid("id, kind: one of the two")),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct Done {
    count: usize,
    /// There may be more of that kind: ask again.
    more: bool,
}

impl From<Judged> for Done {
    fn from(judged: Judged) -> Self {
        Self { count: judged.count, more: judged.more }
    }
}

/// Dead letters get all their attempts again. About 10,000 at a time.
#[utoipa::path(post, path = "/admin/jobs/retry", tag = "admin", request_body = Letters, security(("bearer" = [])),
    responses((status = 200, body = Done), Problems))]
async fn retry(State(app): State<App>, KeyHolder(key): KeyHolder, Body(letters): Body<Letters>) -> Answer<Json<Done>> {
    let judged = app.services.judge_dead_letters(&key, letters.condemned()?, Verdict::Retry).await?;
    Ok(Json(judged.into()))
}

/// Dead letters are removed. About 10,000 at a time.
#[utoipa::path(post, path = "/admin/jobs/drop", tag = "admin", request_body = Letters, security(("bearer" = [])),
    responses((status = 200, body = Done), Problems))]
async fn drop_dead(
    State(app): State<App>,
    KeyHolder(key): KeyHolder,
    Body(letters): Body<Letters>,
) -> Answer<Json<Done>> {
    let judged = app.services.judge_dead_letters(&key, letters.condemned()?, Verdict::Drop).await?;
    Ok(Json(judged.into()))
}
