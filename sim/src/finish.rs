//! What goes wrong in the first phase, how all heals, and what is demanded then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail, ensure};
use tertulia_engine::{Command, ConnectionState};
use tertulia_proto::{ClientMsgId, ConversationId, Message};

use crate::check;
use crate::deeds;
use crate::network::{self, Down};
use crate::record::{Edit, Fate};
use crate::truth::{self, Seen};
use crate::world::{Key, World};

/// How long, in the world's time, all may take to come to rest when nothing goes wrong any more.
const PATIENCE_MS: u64 = 60 * 60 * 1000;

/// Each message by its name, once for each place that it has.
type Log = BTreeMap<(ConversationId, ClientMsgId), Vec<Message>>;

impl World {
    pub fn something_goes_wrong(&mut self) -> Result<()> {
        let faults = self.plan.faults.clone();
        let mut once_in = |times: usize| times > 0 && self.random.one_in(times);
        let (cut, stall) = (once_in(faults.cut), once_in(faults.stall));
        let (dies, jumps) = (once_in(faults.server_dies), once_in(faults.clock_jumps));
        let keys: Vec<Key> = self.wires.keys().copied().collect();
        if let Some(key) = self.random.pick(&keys).copied() {
            if cut {
                self.cut(key);
            }
            if stall && let Some(wire) = self.wires.get_mut(&key) {
                wire.stalled_until = wire.stalled_until.max(self.now + self.random.next() % 40_000);
            }
        }
        if jumps {
            let hours = i64::try_from(self.random.below(200))? - 100;
            let number = self.random.below(self.devices.len() + 1);
            match self.devices.get_mut(number) {
                Some(device) => device.skew_ms = hours * 3_600_000,
                None => self.server_skew_ms = hours * 3_600_000,
            }
            self.tell_time();
        }
        if self.random.one_in(20) {
            self.server.back_up()?;
        }
        if dies && self.server.life.is_some() {
            self.server_dies()?;
        }
        Ok(())
    }

    fn cut(&mut self, key: Key) {
        self.say(|| format!("connection {key:?} is cut"));
        let half_open = self.plan.faults.half_open > 0 && self.random.one_in(self.plan.faults.half_open);
        let delay = network::delay(&self.plan, &mut self.random);
        let Some(wire) = self.wires.get_mut(&key) else { return };
        wire.up.clear();
        wire.down.clear();
        wire.aside.clear();
        if half_open {
            // Nobody is told: the device finds out when nothing answers, the server when nothing comes.
            wire.is_dead = true;
        } else {
            wire.down.push_back((self.now + delay, Down::Lost));
            self.drop_end(key);
        }
    }

    fn server_dies(&mut self) -> Result<()> {
        self.say(|| "the server dies".to_owned());
        self.record.in_log_at_death = self.whole_log()?.0.into_keys().map(|(_, name)| name).collect();
        if let Some(office) = &mut self.office {
            office.server_died();
        }
        self.server.die()?;
        let keys: Vec<Key> = self.wires.keys().copied().collect();
        for key in keys {
            self.cut(key);
        }
        self.server_back_at = Some(self.now + self.random.next() % 20_000);
        Ok(())
    }

    pub fn server_comes_back(&mut self) -> Result<()> {
        let often = self.plan.faults.restore;
        let restore = self.faulty && often > 0 && self.random.one_in(often);
        if restore && self.server.restore(&mut self.random)? {
            self.say(|| "the server comes back from a backup".to_owned());
            self.record.restores += 1;
            self.note_what_is_lost()?;
            self.forget_notifications()?;
        } else {
            self.say(|| "the server comes back".to_owned());
            self.server.come_back()?;
        }
        Ok(())
    }

    /// What was in the log and is not in the copy is gone, and nobody's fault.
    fn note_what_is_lost(&mut self) -> Result<()> {
        let (log, _) = self.whole_log()?;
        let present: BTreeSet<&ClientMsgId> = log.keys().map(|(_, name)| name).collect();
        // Acknowledged or not: a device may have heard of it from the log and be done with it.
        let was_there = self.record.acknowledged.keys().chain(&self.record.in_log_at_death);
        let lost: Vec<ClientMsgId> = was_there.filter(|name| !present.contains(name)).cloned().collect();
        for name in lost {
            self.record.acknowledged.remove(&name);
            self.record.lost.insert(name);
        }
        Ok(())
    }

    /// Every message that some member can see, and the views they were seen in.
    fn whole_log(&self) -> Result<(Log, Vec<BTreeMap<ConversationId, Seen>>)> {
        let life = self.server.life.as_ref().context("the server is up")?;
        let mut log = Log::new();
        let mut views = Vec::new();
        for person in &self.people {
            let view = truth::fetch(&life.store, person.user)?;
            for (id, seen) in &view {
                for message in &seen.messages {
                    let copies = log.entry((*id, message.client_msg_id.clone())).or_default();
                    if copies.iter().all(|copy| copy.seq != message.seq) {
                        copies.push(message.clone());
                    }
                }
            }
            views.push(view);
        }
        Ok((log, views))
    }

    /// The second phase.
    pub fn finish(&mut self) -> Result<()> {
        self.lull().context("the others are well, some devices are away")?;
        self.heal()?;
        self.come_to_rest().context("all has healed, and it does not come to rest")?;
        self.check_unread().context("with holes still open")?;
        self.fill_holes().context("filling holes")?;
        self.check_notifications().context("all are there")?;
        // Which took its time.
        self.wait_between_checks(self.now + PATIENCE_MS)?;
        self.check_all()
    }

    /// From now on nothing goes wrong by itself.
    pub fn heal_server(&mut self) -> Result<()> {
        self.faulty = false;
        self.server.full_every.store(0, Ordering::Relaxed);
        self.server.refuse_every.store(0, Ordering::Relaxed);
        if self.server.life.is_none() {
            self.server_back_at = None;
            self.server_comes_back()?;
        }
        Ok(())
    }

    fn heal(&mut self) -> Result<()> {
        self.say(|| "all heals".to_owned());
        self.heal_server()?;
        for wire in self.wires.values_mut().filter(|wire| wire.server_hears_at.is_none()) {
            wire.stalled_until = 0;
        }
        let now = self.now;
        for number in 0..self.devices.len() {
            // As at each start: the server may have switched it off meanwhile.
            self.devices[number].registrar.renew(now);
            if self.devices[number].engine.is_none() {
                self.start_device(number)?;
            }
            deeds::set_network(self, number, true);
        }
        Ok(())
    }

    /// Time passes until nothing waits any more.
    fn come_to_rest(&mut self) -> Result<()> {
        let end = self.now + PATIENCE_MS;
        let mut quiet_since: Option<u64> = None;
        while self.now < end {
            self.run_until(self.now + 1000)?;
            self.give_up_parked()?;
            if !self.is_quiet()? {
                quiet_since = None;
                continue;
            }
            // Longer than any watermark waits for a better one, and than the check takes to come round.
            if self.now - *quiet_since.get_or_insert(self.now) > 45_000 {
                break;
            }
        }
        self.wait_between_checks(end)
    }

    /// A moment in which no device waits for an answer.
    fn wait_between_checks(&mut self, end: u64) -> Result<()> {
        while self.now < end {
            if self.is_quiet()? && self.devices.iter().flat_map(|device| &device.engine).all(|engine| engine.is_quiet())
            {
                return Ok(());
            }
            self.run_until(self.now + 100)?;
        }
        bail!("{}", self.unrest()?)
    }

    fn is_quiet(&self) -> Result<bool> {
        for (number, device) in self.devices.iter().enumerate() {
            let Some(engine) = &device.engine else { return Ok(false) };
            let connected = engine.connection() == ConnectionState::Connected { caught_up: true };
            if !connected || !self.is_registered(number) || !device.store.outbox(1)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn unrest(&self) -> Result<String> {
        let mut lines = Vec::new();
        for (number, device) in self.devices.iter().enumerate() {
            let state = device
                .engine
                .as_ref()
                .map(|engine| (engine.connection(), engine.poll_timeout(), format!("{engine:?}")));
            lines.push(format!("device {number}: {state:?}, waiting {:?}", device.store.outbox(3)?));
        }
        Ok(lines.join("\n"))
    }

    fn give_up_parked(&mut self) -> Result<()> {
        for number in 0..self.devices.len() {
            let waiting = self.devices[number].store.outbox(100_000)?;
            for entry in waiting.into_iter().filter(|entry| entry.parked.is_some()) {
                deeds::discard(self, number, &entry)?;
            }
        }
        Ok(())
    }

    fn fill_holes(&mut self) -> Result<()> {
        for _ in 0..2000 {
            let mut wanted = Vec::new();
            for number in 0..self.devices.len() {
                for id in self.devices[number].conversations() {
                    if !self.devices[number].store.holes(id)?.is_empty() {
                        wanted.push((number, id));
                    }
                }
            }
            if wanted.is_empty() {
                return self.come_to_rest();
            }
            for (number, id) in wanted {
                let now = self.now;
                let fill = Command::Fill { conversation: id, below: i64::MAX };
                self.devices[number].command(now, crate::device::Mishap::None, fill);
                self.checked_after_call(number)?;
            }
            self.run_until(self.now + 5000)?;
        }
        bail!("holes that do not fill")
    }

    /// A badge is right whether or not somebody has scrolled up.
    fn check_unread(&self) -> Result<()> {
        let (_, views) = self.whole_log()?;
        for (number, device) in self.devices.iter().enumerate() {
            for seen in views[device.person].values() {
                check::unread::check(number, device, self.user_of(number), seen)?;
            }
        }
        Ok(())
    }

    fn check_all(&mut self) -> Result<()> {
        let (log, views) = self.whole_log()?;
        views.iter().flat_map(BTreeMap::values).try_for_each(check::log::check)?;
        self.excuse_the_removed(&views);
        let readable = |id: ConversationId| fully_readable(&views, id);
        check::acknowledged::check(&self.record, &log, readable)?;
        check::exactly_once::check(&self.record, &log, readable)?;
        check::order::check(&self.record, &log)?;
        self.check_edits(&log, &views)?;
        self.check_notified()?;
        for number in 0..self.devices.len() {
            let (person, me) = (self.devices[number].person, self.user_of(number));
            check::local::check(number, &mut self.devices[number], &self.record)?;
            check::watermarks::check(&mut self.record, number, &mut self.devices[number])?;
            let device = &self.devices[number];
            check::fresh::check(number, device, &views[person])?;
            for seen in views[person].values() {
                check::unread::check(number, device, me, seen)?;
            }
            let engine = device.engine.as_ref().context("it runs")?;
            ensure!(engine.is_quiet(), "device {number} is not quiet");
            for id in views[person].keys() {
                ensure!(engine.typing(*id).is_empty(), "device {number}: somebody types for ever");
            }
        }
        Ok(())
    }

    /// A restore takes back what was edited since. And where frames come twice, an edit may be done twice, and a message may be both refused and taken.
    fn check_edits(&self, log: &Log, views: &[BTreeMap<ConversationId, Seen>]) -> Result<()> {
        if self.record.restores > 0 || self.plan.faults.double_frame > 0 {
            return Ok(());
        }
        let stands = |edit: &Edit| {
            let Some(composed) = self.record.get(&edit.name).filter(|composed| composed.fate == Fate::Wanted) else {
                return false;
            };
            let copies = log.get(&(composed.conversation, edit.name.clone())).map_or(&[][..], Vec::as_slice);
            let is_here = copies.iter().any(|copy| copy.deleted_at.is_none());
            // Who left meanwhile lost what had not been done.
            let seen = views[self.devices[edit.device].person].get(&composed.conversation);
            let mine = seen.and_then(|seen| seen.members.iter().find(|member| member.user_id == composed.sender));
            is_here && mine.is_some_and(|mine| mine.joined_at == edit.stay)
        };
        let texts = self.server.texts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        check::edits::check(&self.record, &texts, stands)
    }

    /// Who is no member any more could not take back or send what was left to do.
    fn excuse_the_removed(&mut self, views: &[BTreeMap<ConversationId, Seen>]) {
        let people: BTreeMap<_, usize> = self.people.iter().enumerate().map(|(at, p)| (p.user, at)).collect();
        for (_, composed) in &mut self.record.composed {
            let seen = people.get(&composed.sender).and_then(|at| views[*at].get(&composed.conversation));
            let mine = seen.and_then(|seen| seen.members.iter().find(|member| member.user_id == composed.sender));
            match mine {
                None => composed.fate = Fate::Excused,
                // In this stay what was written in an earlier one may be out of sight, and then nobody can take it back.
                Some(mine) if mine.joined_at != composed.stay && composed.fate == Fate::Unwanted => {
                    composed.fate = Fate::Excused;
                }
                Some(_) => {}
            }
        }
    }
}

/// Somebody sees the conversation from its first message.
fn fully_readable(views: &[BTreeMap<ConversationId, Seen>], id: ConversationId) -> bool {
    views
        .iter()
        .filter_map(|view| view.get(&id))
        .any(|seen| seen.messages.first().map_or(seen.conversation.last_seq == 0, |first| first.seq == 1))
}
