//! When servers, workers and providers are well again, and some devices are still away: whoever has to be told is told. Then people read elsewhere, and
//! what was told is taken away.

use anyhow::{Context as _, Result, bail, ensure};
use tertulia_engine::Command;
use tertulia_store::Store as _;
use tertulia_store::jobs::{DeadLetters, JobFilter, JobRecord, JobState};

use super::PROVIDERS;
use crate::device::Mishap;
use crate::server::now_or_never;
use crate::world::World;
use crate::{check, deeds, truth};

/// Looks until all jobs are done. Each waits a few seconds, or for a time that was named.
const LOOKS: usize = 400;

/// The longest that anything waits on purpose: whoever has quiet hours is looked at as often.
const WAIT_MAX_MS: i64 = 900_000;

/// So many looks, of four seconds each, may find nothing but jobs of a time further away: a worker looks each minute for what a clock that has gone back
/// left there.
const FAR_LOOKS: usize = 45;

impl World {
    pub fn lull(&mut self) -> Result<()> {
        if self.office.is_none() {
            return Ok(());
        }
        self.say(|| "a lull".to_owned());
        self.heal_server()?;
        self.work_well(true);
        self.run_until(self.now + 15_000)?;
        self.check_notifications().context("as it was left")?;
        self.trouble_with_webhooks()?;
        self.come_and_go()?;
        self.work_well(false);
        for _ in 0..2 + self.push_random.below(5) {
            self.talk()?;
        }
        self.run_until(self.now + 12_000)?;
        self.work_well(true);
        self.check_notifications().context("some are away")?;
        self.work_well(false);
        for _ in 0..2 + self.push_random.below(5) {
            self.talk()?;
            self.read_somewhere()?;
        }
        self.run_until(self.now + 12_000)?;
        self.work_well(true);
        self.check_notifications().context("some was read elsewhere")
    }

    pub fn work_well(&mut self, is_well: bool) {
        if let Some(office) = &mut self.office {
            office.set_well(is_well);
        }
    }

    /// All are there for as long as it takes to register, then some are not.
    fn come_and_go(&mut self) -> Result<()> {
        let now = self.now;
        for number in 0..self.devices.len() {
            self.devices[number].registrar.renew(now);
            if self.devices[number].engine.is_none() {
                self.start_device(number)?;
            }
            deeds::set_network(self, number, true);
        }
        self.run_until(self.now + 8000)?;
        for number in 0..self.devices.len() {
            if self.push_random.one_in(2) {
                deeds::set_network(self, number, false);
            }
        }
        Ok(())
    }

    /// Somebody says something somewhere.
    pub fn talk(&mut self) -> Result<()> {
        let number = self.push_random.below(self.devices.len());
        let here = self.devices[number].conversations();
        if let Some(id) = self.push_random.pick(&here).copied() {
            deeds::send(self, number, id, None)?;
        }
        let pause = self.push_random.next() % 6000;
        self.run_until(self.now + pause)
    }

    /// Some of those who are there read all there is in some conversations.
    fn read_somewhere(&mut self) -> Result<()> {
        let number = self.push_random.below(self.devices.len());
        for id in self.devices[number].conversations() {
            if self.push_random.one_in(2) {
                let last = self.devices[number].store.conversation(id)?.map_or(0, |held| held.conversation.last_seq);
                let now = self.now;
                self.devices[number].command(now, Mishap::None, Command::MarkRead { conversation: id, seq: last });
                self.checked_after_call(number)?;
            }
        }
        let pause = self.push_random.next() % 3000;
        self.run_until(self.now + pause)
    }

    /// All jobs come to their ends, and then all is as it should be.
    pub fn check_notifications(&mut self) -> Result<()> {
        if self.office.is_none() {
            return Ok(());
        }
        self.drain()?;
        self.retry_dead_letters()?;
        self.switch_on()?;
        self.drain()?;
        self.note_tokens();
        let life = self.server.life.as_ref().context("the server is up")?;
        let book = self.server.post.book();
        check::pushes::noted(&book)?;
        check::pushes::once(&book)?;
        book.hooks.check()?;
        for person in &self.people {
            let view = truth::fetch(&life.store, person.user)?;
            check::told::check(&book, person.user, &view)?;
            check::withdrawn::check(&book, person.user, &view)?;
        }
        Ok(())
    }

    /// As an operator does when a provider is back. None of them may be there for another reason.
    fn retry_dead_letters(&mut self) -> Result<()> {
        let now = self.server.clock_now();
        let store = self.server.life.as_ref().context("the server is up")?.store.clone();
        let dead = self.jobs(JobState::Dead)?;
        check::jobs::dead(&self.server.post.book(), &dead)?;
        for job in dead {
            now_or_never(store.jobs().retry_dead(DeadLetters::Of(job.id), now))??;
        }
        Ok(())
    }

    fn jobs(&self, state: JobState) -> Result<Vec<JobRecord>> {
        let life = self.server.life.as_ref().context("the server is up")?;
        let filter = JobFilter { state, kind: None, after: 0, limit: 500 };
        now_or_never(life.store.jobs().list_jobs(filter))?.map_err(Into::into)
    }

    /// Where nothing is due, the server's clock goes to when something is: a jump, which has to do no harm anyway. But no further than anything waits on
    /// purpose: what is later than that nobody would have been told of.
    fn drain(&mut self) -> Result<()> {
        let mut far_looks = 0;
        for _ in 0..LOOKS {
            let now = self.server.clock_now();
            let ready = self.jobs(JobState::Ready)?.into_iter().map(|job| job.run_at);
            let running: Vec<_> = self.jobs(JobState::Running)?.into_iter().filter_map(|job| job.lease_until).collect();
            // Somebody may be at work, unless a clock gave a lease for days.
            let wait_ms = if running.is_empty() { 3000 } else { 120_000 };
            let Some(next) = ready.chain(running).min() else { return Ok(()) };
            let ahead = next.ms() - now.ms();
            if ahead > WAIT_MAX_MS {
                far_looks += 1;
                ensure!(far_looks < FAR_LOOKS, "the next job is due in {ahead} ms: {:?}", self.jobs(JobState::Ready)?);
            } else if ahead > wait_ms {
                self.server_skew_ms += ahead;
                self.say(|| format!("the server's clock goes {ahead} ms ahead"));
                self.tell_time();
            }
            self.run_until(self.now + 4000)?;
        }
        let left = (self.jobs(JobState::Ready)?, self.jobs(JobState::Running)?);
        bail!("jobs that do not come to an end: {left:?}, of {PROVIDERS:?}")
    }
}
