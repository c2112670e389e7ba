//! `tertulia jobs`: what an operator sees of the queue and does to dead letters.

use std::fmt::Write as _;

use anyhow::bail;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand, ValueEnum};
use tertulia_store::jobs::{DeadLetters, JOBS_PER_CALL_MAX, JobFilter, JobQueue, JobRecord, JobState};

use crate::powers::powers;
use crate::settings::Settings;
use crate::wiring;

#[derive(Subcommand)]
pub enum Ask {
    /// How many wait, run and are dead, and since when.
    Stats,
    /// Jobs in order of their ids, a page at a time.
    List {
        #[arg(long, value_enum, default_value_t = State::Ready)]
        state: State,
        #[command(flatten)]
        page: Page,
    },
    /// Dead letters, with what they failed of.
    Dead {
        #[command(flatten)]
        page: Page,
    },
    /// Dead letters get all their attempts again.
    Retry {
        #[command(flatten)]
        which: Which,
    },
    /// Dead letters are removed.
    Drop {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum State {
    Ready,
    Running,
    Dead,
}

#[derive(Args)]
pub struct Page {
    /// Of this kind only.
    #[arg(long)]
    kind: Option<String>,
    /// Above this id: the last one of the page before.
    #[arg(long, default_value_t = 0)]
    after: i64,
    /// 1 to 512.
    #[arg(long, default_value_t = 50, value_parser = RangedU64ValueParser::<usize>::new().range(1..=JOBS_PER_CALL_MAX as u64))]
    limit: usize,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// One of them, as `jobs dead` shows it.
    id: Option<i64>,
    /// All of a kind.
    #[arg(long)]
    kind: Option<String>,
}

pub async fn answer(settings: &Settings, ask: &Ask) -> anyhow::Result<String> {
    let parts = wiring::open_existing(settings).await?;
    let store = parts.home.store();
    let jobs = store.jobs();
    let now = powers().now();
    match ask {
        Ask::Stats => {
            let stats = jobs.job_stats(usize::MAX).await?;
            let all = |state| stats.iter().filter(|one| one.state == state).map(|one| one.count).sum::<i64>();
            let mut text = format!("ready {}\ndead {}", all(JobState::Ready), all(JobState::Dead));
            for one in &stats {
                let (kind, state, count) = (&one.kind, name_of(one.state), one.count);
                let _ = write!(text, "\n{kind} {state} {count} oldest {}", one.oldest);
            }
            Ok(text)
        }
        Ask::List { state, page } => {
            let state = match state {
                State::Ready => JobState::Ready,
                State::Running => JobState::Running,
                State::Dead => JobState::Dead,
            };
            Ok(shown(&jobs.list_jobs(page.filter(state)).await?, false))
        }
        Ask::Dead { page } => Ok(shown(&jobs.list_jobs(page.filter(JobState::Dead)).await?, true)),
        Ask::Retry { which } => {
            let mut count = 0;
            loop {
                let some = jobs.retry_dead(which.letters()?, now).await?;
                count += some;
                if some < JOBS_PER_CALL_MAX {
                    return which.told(jobs, count, "retried").await;
                }
            }
        }
        Ask::Drop { which } => {
            let mut count = 0;
            loop {
                let some = jobs.drop_dead(which.letters()?).await?;
                count += some;
                if some < JOBS_PER_CALL_MAX {
                    return which.told(jobs, count, "dropped").await;
                }
            }
        }
    }
}

impl Page {
    fn filter(&self, state: JobState) -> JobFilter {
        JobFilter { state, kind: self.kind.clone(), after: self.after, limit: self.limit }
    }
}

impl Which {
    fn letters(&self) -> anyhow::Result<DeadLetters> {
        match (self.id, &self.kind) {
            (Some(id), _) => Ok(DeadLetters::Of(id)),
            (None, Some(kind)) => Ok(DeadLetters::OfKind { kind: kind.clone(), limit: JOBS_PER_CALL_MAX }),
            (None, None) => bail!("an id or --kind is needed"),
        }
    }

    /// Where nothing was met, also what there is: a kind may be misspelt.
    async fn told(&self, jobs: &dyn JobQueue, count: usize, what: &str) -> anyhow::Result<String> {
        match (self.id, &self.kind) {
            (Some(id), _) if count == 0 => bail!("there is no dead letter {id}"),
            (None, Some(kind)) if count == 0 => {
                let stats = jobs.job_stats(usize::MAX).await?;
                let dead = stats.iter().filter(|one| one.state == JobState::Dead).map(|one| one.kind.as_str());
                let kinds: Vec<&str> = dead.collect();
                let there = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
                Ok(format!("{what} 0; of the kind {kind:?} there are no dead letters, of others: {there}"))
            }
            _ => Ok(format!("{what} {count}")),
        }
    }
}

const fn name_of(state: JobState) -> &'static str {
    match state {
        JobState::Ready => "ready",
        JobState::Running => "running",
        JobState::Dead => "dead",
    }
}

/// One line each. Not what is in them: that may be between other people.
fn shown(jobs: &[JobRecord], with_reasons: bool) -> String {
    let mut lines = Vec::new();
    for job in jobs {
        let at = match (job.state, job.lease_until, job.dead_at) {
            (JobState::Running, Some(until), _) => format!("leased until {until}"),
            (JobState::Dead, _, Some(at)) => format!("dead since {at}"),
            _ => format!("due {}", job.run_at),
        };
        let (id, kind, state, tries) = (job.id, &job.kind, name_of(job.state), job.tries);
        lines.push(format!("{id} {kind} {state} tries {tries} queued {} {at}", job.created_at));
        for reason in job.reasons.iter().filter(|_| with_reasons) {
            lines.push(format!("    {} {}", reason.at, one_line(&reason.reason)));
        }
    }
    lines.join("\n")
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
