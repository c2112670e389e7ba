//! The queue of work for later, for the owner of the server: how much waits, what died of what, and what becomes of the dead. Not what is in a job: that
//! may be between other people.

use tertulia_proto::ApiError;
use tertulia_store::jobs::{DeadLetters, JOBS_PER_CALL_MAX, JobFilter, JobId, JobRecord, JobState, JobStats};

use super::{Services, whole_page};
use crate::auth::{ApiKeyIdentity, Scope};
use crate::write::store_failed;

/// So many ready jobs of a kind are counted, and of the dead altogether: whoever asks often makes no work of it, however deep the queue is. That it is
/// deep is known from so many on, and how long people wait from the oldest one.
pub const JOBS_COUNTED_MAX: usize = 10_000;

/// Bytes of a kind's name.
const KIND_MAX_BYTES: usize = 100;

/// Calls of the store for one request: who has more dead letters asks again.
const STEPS_MAX: usize = 20;

/// What becomes of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They get all their attempts again, now.
    Retry,
    Drop,
}

/// Which dead letters a person means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condemned {
    One(JobId),
    OfKind(String),
}

/// How many dead letters a verdict met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    pub count: usize,
    /// There may be more: ask again.
    pub more: bool,
}

impl Services {
    /// By kind and state, each counted up to [`JOBS_COUNTED_MAX`]. For a key with the scope `admin`.
    pub async fn job_stats(&self, key: &ApiKeyIdentity) -> Result<Vec<JobStats>, ApiError> {
        key.require(Scope::Admin)?;
        self.store.jobs().job_stats(JOBS_COUNTED_MAX).await.map_err(|error| store_failed(&error))
    }

    /// In order of id, above `after`; 50 unless said, at most [`JOBS_PER_CALL_MAX`]. For a key with the scope `admin`.
    pub async fn list_jobs(
        &self,
        key: &ApiKeyIdentity,
        state: JobState,
        kind: Option<String>,
        after: Option<JobId>,
        limit: Option<i64>,
    ) -> Result<Vec<JobRecord>, ApiError> {
        key.require(Scope::Admin)?;
        kind.as_deref().map_or(Ok(()), well_formed)?;
        let limit = whole_page(limit, 50, JOBS_PER_CALL_MAX)?;
        let filter = JobFilter { state, kind, after: after.unwrap_or(0), limit };
        self.store.jobs().list_jobs(filter).await.map_err(|error| store_failed(&error))
    }

    /// `not_found` where the one that was named is no dead letter. For a key with the scope `admin`.
    pub async fn judge_dead_letters(
        &self,
        key: &ApiKeyIdentity,
        which: Condemned,
        verdict: Verdict,
    ) -> Result<Judged, ApiError> {
        key.require(Scope::Admin)?;
        match which {
            Condemned::One(id) => match self.judge(DeadLetters::Of(id), verdict).await? {
                0 => Err(ApiError::not_found("dead letter")),
                count => Ok(Judged { count, more: false }),
            },
            Condemned::OfKind(kind) => {
                well_formed(&kind)?;
                self.judge_kind(kind, verdict).await
            }
        }
    }

    async fn judge_kind(&self, kind: String, verdict: Verdict) -> Result<Judged, ApiError> {
        let mut count = 0;
        for _ in 0..STEPS_MAX {
            let letters = DeadLetters::OfKind { kind: kind.clone(), limit: JOBS_PER_CALL_MAX };
            let some = self.judge(letters, verdict).await?;
            count += some;
            if some < JOBS_PER_CALL_MAX {
                return Ok(Judged { count, more: false });
            }
        }
        Ok(Judged { count, more: true })
    }

    async fn judge(&self, letters: DeadLetters, verdict: Verdict) -> Result<usize, ApiError> {
        let jobs = self.store.jobs();
        let judged = match verdict {
            Verdict::Retry => jobs.retry_dead(letters, self.now()).await,
            Verdict::Drop => jobs.drop_dead(letters).await,
        };
        judged.map_err(|error| store_failed(&error))
    }
}

fn well_formed(kind: &str) -> Result<(), ApiError> {
    if kind.len() > KIND_MAX_BYTES {
        return Err(ApiError::too_large("kind", KIND_MAX_BYTES, "bytes"));
    }
    if kind.is_empty() || kind.chars().any(char::is_control) {
        return Err(ApiError::invalid("kind: must not be empty or hold control characters"));
    }
    Ok(())
}
