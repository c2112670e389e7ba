//! Tries of one line or of one endpoint, and the waits between them, as docs/webhooks.md promises them.

use std::time::Duration;

use anyhow::{Result, ensure};
use tertulia_proto::Timestamp;
use tertulia_store::webhooks::{Begin, CLOCKS_APART_MS, End, TryResult};

/// The answer of these worlds that is about one of the events.
pub const ABOUT_EVENTS: u16 = 422;

/// From so many failures in a row on, each answer may be about one of the events.
const IN_DOUBT: usize = 3;

/// What rounding does to a fifth.
const ROUNDING: Duration = Duration::from_millis(10);

/// Nothing is sent before that time, as was said at this one.
#[derive(Debug, Clone, Copy)]
struct Until {
    said_at: Timestamp,
    at: Timestamp,
}

impl Until {
    /// Whether it holds: what a clock has said that has gone back since does not.
    fn is_of(self, now: Timestamp) -> bool {
        self.said_at <= now.plus_ms(CLOCKS_APART_MS)
    }
}

#[derive(Debug, Clone, Default)]
pub struct Tries {
    /// In a row.
    pub failures: usize,
    since: Option<Timestamp>,
    wait: Option<Until>,
}

impl Tries {
    /// Whether it is time.
    pub fn begin(&self, now: Timestamp) -> Result<()> {
        let early = self.wait.filter(|wait| wait.is_of(now)).map_or(0, |wait| wait.at.ms() - now.ms());
        ensure!(early <= 0, "it is told {early} ms early: {self:?}");
        Ok(())
    }

    /// Without what a clock has said that has gone back since.
    pub fn believe(&mut self, now: Timestamp) {
        self.since = self.since.map(|since| since.min(now));
        self.wait = self.wait.filter(|wait| wait.is_of(now));
    }

    /// When the next one may be made, if one has to wait for it.
    pub fn at(&self) -> Option<Timestamp> {
        self.wait.map(|wait| wait.at)
    }

    pub fn failed(&mut self, end: &End) {
        self.believe(end.now);
        let since = self.since.unwrap_or(end.now);
        let wait = end.waits.get(self.failures).map_or(end.now, |wait| end.now.plus_ms(millis(*wait)));
        let at = asked(since, end).map_or(wait, |asked| asked.max(wait));
        (self.since, self.wait) = (Some(since), Some(Until { said_at: end.now, at }));
        self.failures += 1;
    }

    /// Of an endpoint: requests that were under way together fail together, but the longest that one of them asks for is kept.
    pub fn failed_together(&mut self, end: &End) {
        self.believe(end.now);
        let Some(wait) = self.wait.filter(|wait| wait.at > end.began_at) else { return self.failed(end) };
        if let Some(at) = asked(self.since.unwrap_or(end.now), end).filter(|at| *at > wait.at) {
            self.wait = Some(Until { said_at: end.now, at });
        }
    }

    /// Of an endpoint: a request was taken. What has failed since it began stands.
    pub fn taken(&mut self, end: &End) {
        self.believe(end.now);
        match self.wait.filter(|wait| wait.said_at > end.began_at) {
            Some(wait) => (self.failures, self.since) = (1, Some(wait.said_at)),
            None => *self = Self::default(),
        }
    }
}

/// What the endpoint asks for, as far as all waits and a fifth reach, counted from the first failure.
fn asked(since: Timestamp, end: &End) -> Option<Timestamp> {
    let TryResult::Failed { not_before, .. } = &end.result else { return None };
    not_before.map(|at| at.min(since.plus_ms(millis(end.waits.iter().sum::<Duration>() * 6 / 5))))
}

/// The waits are those that were set, each spread by a fifth.
pub fn are_near(end: &End, set: &[Duration]) -> Result<()> {
    let is_near =
        |(wait, set): (&Duration, &Duration)| *wait * 5 + ROUNDING >= *set * 4 && *wait * 5 <= *set * 6 + ROUNDING;
    let are_near = end.waits.len() == set.len() && end.waits.iter().zip(set).all(is_near);
    ensure!(are_near, "the waits are {:?}, set were {set:?}", end.waits);
    Ok(())
}

/// From where on the last request was, and with which event the next one ends.
#[derive(Debug, Clone, Copy, Default)]
pub struct Again(Option<(i64, i64)>);

impl Again {
    /// It is what was tried before, and so has its name; or the first half of that.
    pub fn begin(&mut self, begin: &Begin) -> Result<()> {
        if let Some((after, up_to)) = self.0 {
            let (began, ends) = (begin.after, begin.up_to);
            ensure!(began == after && ends == up_to, "({began}, {ends}] is told, and ({after}, {up_to}] was tried");
        }
        self.0 = Some((begin.after, begin.up_to));
        Ok(())
    }

    /// After so many failures of the line.
    pub fn failed(&mut self, end: &End, failures: usize) {
        let is_halved = end.status.is_some_and(|status| status == ABOUT_EVENTS || failures >= IN_DOUBT);
        if let (true, Some(half), Some((_, up_to))) = (is_halved, end.half, &mut self.0) {
            *up_to = half;
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}
