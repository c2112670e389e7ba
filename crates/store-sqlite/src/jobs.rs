//! The queue of jobs: changes go through the writer's second lane, looks through the readers.

use rusqlite::Connection;
use tertulia_store::jobs::*;
use tertulia_store::{Reading, StoreError, Timestamp};
use tokio::sync::oneshot;

use crate::rows::Sql;
use crate::writer::{Asked, Chore};
use crate::{Home, SqliteStore, read, write};

impl SqliteStore {
    /// Has the writer do it in its next commit; in the inline form it is done when this returns.
    pub(crate) fn change<T, F>(&self, rows: usize, work: F) -> Reading<'_, T>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Sql<T> + Send + 'static,
    {
        let (told, answer) = oneshot::channel();
        let chore: Box<dyn Chore> = Box::new(Asked { rows: rows.max(1), work, answer: None, told });
        match &self.home {
            Home::File { writer, .. } => writer.add_chore(chore),
            Home::Inline(connection) => self.desk.process(&connection.lock(), Vec::new(), vec![chore]),
        }
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("shutting down".into()))) })
    }
}

fn refused<'a, T: Send + 'a>(error: StoreError) -> Reading<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}

impl JobQueue for SqliteStore {
    fn enqueue(&self, jobs: Vec<NewJob>) -> Reading<'_, Vec<bool>> {
        match oversize(&jobs) {
            Some(error) => refused(error),
            None => self.change(jobs.len(), move |c| write::jobs::enqueue(c, &jobs)),
        }
    }

    fn claim(&self, claim: Claim) -> Reading<'_, Vec<ClaimedJob>> {
        self.change(claim.jobs_max.min(JOBS_PER_CALL_MAX), move |c| write::jobs::claim(c, &claim))
    }

    /// The readers look, so that the writer has to do with it only where there is something to do.
    fn recall(&self, recall: Recall) -> Reading<'_, usize> {
        let looked = recall.clone();
        Box::pin(async move {
            let found = self.read(move |c| read::jobs::ahead(c, &looked)).await?;
            if found.is_empty() {
                return Ok(0);
            }
            self.change(found.len(), move |c| write::jobs::recall(c, &recall, &found)).await
        })
    }

    fn renew(&self, held: Vec<Held>, lease_until: Timestamp) -> Reading<'_, Vec<bool>> {
        match too_many(held.len()) {
            Some(error) => refused(error),
            None => self.change(held.len(), move |c| write::jobs::renew(c, &held, lease_until)),
        }
    }

    fn finish(&self, finished: Vec<Finish>, now: Timestamp) -> Reading<'_, Vec<bool>> {
        let rows = finished.iter().map(Finish::rows).sum();
        match oversize_ends(&finished) {
            Some(error) => refused(error),
            None => self.change(rows, move |c| write::jobs::finish(c, &finished, now)),
        }
    }

    fn retry_dead(&self, which: DeadLetters, now: Timestamp) -> Reading<'_, usize> {
        self.change(JOBS_PER_CALL_MAX, move |c| write::jobs::retry_dead(c, &which, now))
    }

    fn drop_dead(&self, which: DeadLetters) -> Reading<'_, usize> {
        self.change(JOBS_PER_CALL_MAX, move |c| write::jobs::drop_dead(c, &which))
    }

    fn runs_beside(&self, job: JobId) -> Reading<'_, bool> {
        self.read(move |c| read::jobs::runs_beside(c, job))
    }

    fn job_stats(&self, count_max: usize) -> Reading<'_, Vec<JobStats>> {
        self.read(move |c| read::jobs::stats(c, count_max))
    }

    fn list_jobs(&self, filter: JobFilter) -> Reading<'_, Vec<JobRecord>> {
        self.read(move |c| read::jobs::list(c, &filter))
    }

    fn forget_sessions(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        self.change(limit.min(JOBS_PER_CALL_MAX), move |c| write::jobs::forget_sessions(c, at, limit))
    }
}
