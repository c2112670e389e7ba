//! The queue of jobs as a worker reaches it, and who holds what by what it was answered.

use std::sync::Arc;

use tertulia_store::jobs::*;
use tertulia_store::push::NOTIFY;
use tertulia_store::webhooks::WEBHOOK;
use tertulia_store::{Reading, Store as _, Timestamp};

use super::hands::Hands;
use super::post::{Lease, Post};
use crate::planted::{HookBug, NotifyBug};

/// How long those who are there have to say that they have got a message.
pub const GRACE_MS: i64 = 3000;

pub struct WorkerQueue(pub Arc<Hands>);

impl WorkerQueue {
    fn has(&self, bug: NotifyBug) -> bool {
        self.0.post.book().bug == Some(bug)
    }
}

impl Post {
    /// No job is run by two workers within a lease.
    fn claimed(&self, claim: &Claim, jobs: &[ClaimedJob]) {
        for job in jobs {
            let lease = Lease { worker: claim.worker, attempt: job.attempt, until: claim.lease_until };
            let before = self.book().leases.insert(job.id, lease);
            if let Some(before) = before.filter(|before| before.until > claim.now) {
                let left = before.until.ms() - claim.now.ms();
                self.breaks(|| {
                    format!("job {} of {} is claimed while another lease of it lasts {left} ms", job.id, job.kind)
                });
            }
            // One that is due before it was there was recalled, and one that is not there yet was held by somebody when the clock went back: nobody knows
            // how long ago that clock wrote it.
            let is_of_another_time = job.run_at < job.created_at || job.created_at > claim.now;
            if job.kind == NOTIFY && !is_of_another_time && job.created_at.plus_ms(GRACE_MS) > claim.now {
                let age = claim.now.ms() - job.created_at.ms();
                self.breaks(|| format!("job {} asks who is to be told {age} ms after the message", job.id));
            }
        }
    }

    /// An end that counted was told by whoever held the job.
    fn finished(&self, held: Held, counts: bool) {
        if !counts {
            return;
        }
        let lease = self.book().leases.remove(&held.id);
        let is_theirs = lease.is_none_or(|lease| (lease.worker, lease.attempt) == (held.worker, held.attempt));
        if !is_theirs {
            self.breaks(|| format!("job {} is ended by whoever had lost it", held.id));
        }
    }
}

impl JobQueue for WorkerQueue {
    fn enqueue(&self, jobs: Vec<NewJob>) -> Reading<'_, Vec<bool>> {
        Box::pin(async move {
            let queued = self.0.reach("jobs are queued").await?.jobs().enqueue(jobs).await?;
            self.0.step("jobs were queued").await;
            Ok(queued)
        })
    }

    fn claim(&self, claim: Claim) -> Reading<'_, Vec<ClaimedJob>> {
        Box::pin(async move {
            let store = self.0.reach("a claim").await?;
            let mut asked = claim.clone();
            if self.has(NotifyBug::ClaimedTwice) {
                asked.now = asked.now.plus_ms(600_000);
            }
            let mut claimed = store.jobs().claim(asked).await?;
            if self.has(NotifyBug::ClaimedTwice) {
                claimed.retain(|job| job.run_at <= claim.now);
            }
            self.0.post.claimed(&claim, &claimed);
            for job in &claimed {
                self.0
                    .post
                    .say(format!("worker {} has job {} of {}, attempt {}", self.0.life, job.id, job.kind, job.attempt));
            }
            self.0.step("jobs were claimed").await;
            Ok(claimed)
        })
    }

    fn recall(&self, recall: Recall) -> Reading<'_, usize> {
        Box::pin(async move {
            let store = self.0.reach("a recall").await?;
            if self.has(NotifyBug::NeverRecalled) {
                return Ok(0);
            }
            let until = recall.lease_until;
            let recalled = store.jobs().recall(recall).await?;
            for lease in self.0.post.book().leases.values_mut() {
                lease.until = lease.until.min(until);
            }
            if recalled > 0 {
                self.0.post.say(format!("worker {} recalls {recalled} jobs", self.0.life));
            }
            self.0.step("jobs were recalled").await;
            Ok(recalled)
        })
    }

    fn renew(&self, held: Vec<Held>, until: Timestamp) -> Reading<'_, Vec<bool>> {
        Box::pin(async move {
            let renewed = self.0.reach("a renewal").await?.jobs().renew(held.clone(), until).await?;
            for (one, _) in held.iter().zip(&renewed).filter(|(_, is_ours)| **is_ours) {
                if let Some(lease) = self.0.post.book().leases.get_mut(&one.id) {
                    lease.until = until;
                }
            }
            self.0.step("leases were renewed").await;
            Ok(renewed)
        })
    }

    fn finish(&self, mut finished: Vec<Finish>, now: Timestamp) -> Reading<'_, Vec<bool>> {
        Box::pin(async move {
            let store = self.0.reach("ends").await?;
            let told: Vec<Held> = finished.iter().map(|one| one.held).collect();
            if self.has(NotifyBug::EndedUnguarded) {
                let book = self.0.post.book();
                for one in &mut finished {
                    if let Some(lease) = book.leases.get(&one.held.id) {
                        (one.held.worker, one.held.attempt) = (lease.worker, lease.attempt);
                    }
                }
            }
            if self.0.post.book().hooks.bug == Some(HookBug::NotGoneOn) {
                finished.iter_mut().for_each(|one| one.next.retain(|job| job.kind != WEBHOOK));
            }
            let counted = store.jobs().finish(finished, now).await?;
            for (held, counts) in told.into_iter().zip(&counted) {
                self.0.post.finished(held, *counts);
            }
            self.0.step("ends were written").await;
            Ok(counted)
        })
    }

    fn retry_dead(&self, which: DeadLetters, now: Timestamp) -> Reading<'_, usize> {
        Box::pin(async move { self.0.reach("dead letters").await?.jobs().retry_dead(which, now).await })
    }

    fn drop_dead(&self, which: DeadLetters) -> Reading<'_, usize> {
        Box::pin(async move { self.0.reach("dead letters").await?.jobs().drop_dead(which).await })
    }

    fn runs_beside(&self, job: JobId) -> Reading<'_, bool> {
        Box::pin(async move {
            let runs = self.0.reach("a look at others").await?.jobs().runs_beside(job).await?;
            self.0.step("others were looked at").await;
            Ok(runs && !self.has(NotifyBug::ToldBeside))
        })
    }

    fn job_stats(&self, count_max: usize) -> Reading<'_, Vec<JobStats>> {
        Box::pin(async move { self.0.reach("figures").await?.jobs().job_stats(count_max).await })
    }

    fn list_jobs(&self, filter: JobFilter) -> Reading<'_, Vec<JobRecord>> {
        Box::pin(async move { self.0.reach("a list").await?.jobs().list_jobs(filter).await })
    }

    fn forget_sessions(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(async move { self.0.reach("a clean-up").await?.jobs().forget_sessions(at, limit).await })
    }
}
