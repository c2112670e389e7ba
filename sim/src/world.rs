//! One world: who is there, what is on its way, and what happens next.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use tertulia_client_sqlite::Durability;
use tertulia_core::auth::Identity;
use tertulia_engine::{Closed, LinkAction, StoreFailure};
use tertulia_proto::request::{ClientRequest, parse_frame};
use tertulia_proto::{ClientMsgId, ConversationId, Seq, ServerFrame, UserId};
use tertulia_realtime::Outbound;
use tertulia_testkit::Random;

use crate::check;
use crate::device::{Device, Mishap};
use crate::network::{self, Down, Wire};
use crate::notify::Office;
use crate::plan::{Faults, Plan};
use crate::planted::{Planted, ServerBug};
use crate::push::Registrar;
use crate::record::Record;
use crate::server::{Server, identity};
use crate::webhooks::plan::HookPlan;
use crate::{Outcome, deeds};

/// A connection: the device's number and the engine's.
pub type Key = (usize, u64);

/// Without a word for so long the server drops a connection.
const SERVER_PATIENCE_MS: u64 = 75_000;

/// A beat of the server: typing signs, silent connections.
const BEAT_MS: u64 = 1000;

/// How late what is on its way over an abandoned connection may come.
const LATE_MS_MAX: u64 = 40_000;

/// Steps of one world; more means that something goes round in circles.
const STEPS_MAX: u64 = 400_000;

pub struct World {
    pub seed: u64,
    pub plan: Plan,
    pub planted: Planted,
    pub random: Random,
    /// Of the registrations alone.
    pub push_random: Random,
    /// `None`: nobody of this world is notified.
    pub office: Option<Office>,
    /// `None`: no other program is told.
    pub hooks: Option<HookPlan>,
    /// Of what operators do about them alone.
    pub hook_random: Random,
    pub hook_serial: usize,
    pub now: u64,
    pub server: Server,
    pub people: Vec<Identity>,
    pub devices: Vec<Device>,
    pub wires: BTreeMap<Key, Wire>,
    /// Sends under way, so that their acknowledgements are known for what they are.
    asked: BTreeMap<(Key, u64), (ClientMsgId, ConversationId)>,
    pub record: Record,
    /// Whether things still go wrong.
    pub faulty: bool,
    pub server_back_at: Option<u64>,
    pub server_skew_ms: i64,
    beat_at: u64,
    pub steps: u64,
    hash: u64,
    trace: bool,
}

impl World {
    pub fn new(seed: u64, planted: Planted, trace: bool) -> Result<Self> {
        let mut random = Random::new(seed);
        let mut plan = Plan::draw(&mut random, planted.theme);
        plan.deeds = planted.deeds.unwrap_or(plan.deeds);
        plan.faults.late = Faults::draw_late(seed);
        plan.faults.power_cut = if planted.device.is_some() { 1 } else { Faults::draw_power_cut(seed) };
        let server = Server::new(&mut random, plan.limits.clone(), plan.rate_limits, planted)?;
        let has_workers = Registrar::is_drawn(seed) && !planted.without_workers;
        let hooks = HookPlan::draw(seed, planted.hook.is_some()).filter(|_| has_workers);
        let office = has_workers.then(|| Office::new(seed, &server, hooks.clone())).transpose()?;
        let mut world = Self {
            seed,
            planted,
            random,
            push_random: Random::new(seed ^ 0x7068_6f6e),
            office,
            hooks,
            hook_random: Random::new(seed ^ 0x6f70_6572),
            hook_serial: 0,
            now: 0,
            server,
            people: Vec::new(),
            devices: Vec::new(),
            wires: BTreeMap::new(),
            asked: BTreeMap::new(),
            record: Record::default(),
            faulty: true,
            server_back_at: None,
            server_skew_ms: 0,
            beat_at: BEAT_MS,
            steps: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            trace,
            plan,
        };
        world.populate()?;
        Ok(world)
    }

    fn populate(&mut self) -> Result<()> {
        const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
        for name in NAMES.iter().take(self.plan.people) {
            let user = self.server.make_user(name)?;
            self.people.push(identity(user, name));
        }
        deeds::open_conversations(self)?;
        for person in 0..self.plan.people {
            for _ in 0..self.plan.devices {
                let mut device = Device::new(self.devices.len(), person)?;
                device.bug = self.planted.device;
                device.registrar = Registrar::draw(self.seed, self.devices.len());
                if self.plan.faults.power_cut > 0 {
                    device.keep_image()?;
                }
                self.devices.push(device);
            }
        }
        for number in 0..self.devices.len() {
            self.start_device(number)?;
        }
        let full = self.plan.faults.server_full;
        self.server.full_every.store(full, std::sync::atomic::Ordering::Relaxed);
        self.server.refuse_every.store(self.plan.faults.refused, std::sync::atomic::Ordering::Relaxed);
        self.open_webhooks()
    }

    pub fn user_of(&self, number: usize) -> UserId {
        self.people[self.devices[number].person].user
    }

    pub fn start_device(&mut self, number: usize) -> Result<()> {
        let seed = self.random.next();
        self.devices[number].start(self.now, &self.plan.config, self.planted, seed)?;
        self.after_call(number);
        Ok(())
    }

    pub fn say(&mut self, what: impl FnOnce() -> String) {
        // The text is made for the hash also when nobody reads it: a run with a trace is the run without.
        let line = what();
        for byte in line.bytes().chain(self.now.to_le_bytes()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.trace {
            #[expect(clippy::print_stdout, reason = "this is what a trace is for")]
            {
                println!("{:>9} {line}", self.now);
            }
        }
    }

    pub fn describe(&self) -> String {
        format!("world {} at {} ms, step {}", self.seed, self.now, self.steps)
    }

    pub fn outcome(&self) -> Outcome {
        Outcome { hash: self.hash, steps: self.steps, messages: self.record.composed.len() }
    }

    /// The first phase: people do things, and things go wrong.
    pub fn live(&mut self) -> Result<()> {
        for _ in 0..self.plan.deeds {
            let pause = self.random.next() % (self.plan.pause_ms + 1);
            self.run_until(self.now + pause)?;
            deeds::something(self)?;
            self.something_about_notifications()?;
            self.something_about_webhooks()?;
            self.something_goes_wrong()?;
        }
        Ok(())
    }

    /// Lets everything happen that happens up to a time.
    pub fn run_until(&mut self, end: u64) -> Result<()> {
        while let Some(next) = self.next_at().filter(|at| *at <= end) {
            self.now = self.now.max(next);
            self.steps += 1;
            anyhow::ensure!(self.steps < STEPS_MAX, "so many steps: it goes round in circles");
            self.tell_time();
            self.step()?;
        }
        self.now = self.now.max(end);
        self.tell_time();
        Ok(())
    }

    pub fn tell_time(&self) {
        let now = i64::try_from(self.now).unwrap_or(0);
        self.server.clock.set(1_800_000_000_000 + now + self.server_skew_ms);
    }

    fn next_at(&self) -> Option<u64> {
        let wires = self.wires.values().filter(|wire| !wire.is_dead).filter_map(Wire::next_at).min();
        let devices = self.devices.iter().filter_map(|device| {
            let timer =
                device.engine.as_ref().and_then(|engine| engine.poll_timeout()).map(|(at, _)| device.world_time(at));
            timer.into_iter().chain(device.starts_at).min()
        });
        let pushes = (0..self.devices.len()).filter_map(|number| self.next_push_at(number)).min();
        wires
            .into_iter()
            .chain(devices.min())
            .chain(pushes)
            .chain(self.next_work_at())
            .chain(self.server_back_at)
            .chain([self.beat_at])
            .min()
    }

    /// Everything that is due now, in an order that depends on nothing but the numbers.
    fn step(&mut self) -> Result<()> {
        if self.server_back_at.is_some_and(|at| at <= self.now) {
            self.server_back_at = None;
            self.server_comes_back()?;
        }
        if self.beat_at <= self.now {
            self.beat_at = self.now + BEAT_MS;
            self.beat();
        }
        for number in 0..self.devices.len() {
            if self.devices[number].starts_at.is_some_and(|at| at <= self.now) {
                self.say(|| format!("device {number} starts"));
                self.start_device(number)?;
            }
            self.tick_device(number)?;
            self.tick_push(number)?;
        }
        let keys: Vec<Key> = self.wires.keys().copied().collect();
        for key in keys {
            self.carry(key)?;
        }
        self.work()
    }

    fn tick_device(&mut self, number: usize) -> Result<()> {
        let device = &self.devices[number];
        let due = device.engine.as_ref().and_then(|engine| engine.poll_timeout());
        let Some((_, why)) = due.filter(|(at, _)| device.world_time(*at) <= self.now) else { return Ok(()) };
        self.say(|| format!("device {number} tick: {why}"));
        let mishap = self.mishap();
        let now = self.now;
        let done = self.devices[number]
            .call(now, Durability::Process, mishap, |engine, store, at| engine.handle_timeout(store, at));
        failed_by_itself(mishap, done)?;
        self.checked_after_call(number)
    }

    /// Moves what is due on one connection.
    fn carry(&mut self, key: Key) -> Result<()> {
        self.open_at_server(key)?;
        self.carry_up(key)?;
        self.drain_lane(key);
        self.carry_down(key)?;
        let hears = self.wires.get(&key).is_some_and(|wire| wire.server_hears_at.is_some_and(|at| at <= self.now));
        if hears {
            self.wires.remove(&key);
            self.drop_end(key);
        }
        Ok(())
    }

    fn open_at_server(&mut self, key: Key) -> Result<()> {
        let due =
            self.wires.get(&key).is_some_and(|wire| !wire.is_dead && wire.opens_at.is_some_and(|at| at <= self.now));
        if !due {
            return Ok(());
        }
        let who = self.people[self.devices[key.0].person].clone();
        let device = self.devices[key.0].id;
        let device = (self.planted.server != Some(ServerBug::AbandonedStillHeard)).then_some(device);
        let opened = match &mut self.server.life {
            Some(life) => life.connect(key, &who, device, self.now)?.is_ok(),
            None => false,
        };
        self.say(|| format!("connection {key:?} {}", if opened { "opens" } else { "is refused" }));
        let at = self.now + network::delay(&self.plan, &mut self.random);
        if let Some(wire) = self.wires.get_mut(&key) {
            wire.opens_at = None;
            if !opened {
                wire.down.push_back((at, Down::Lost));
            }
        }
        Ok(())
    }

    fn carry_up(&mut self, key: Key) -> Result<()> {
        loop {
            let Some(wire) = self.wires.get_mut(&key).filter(|wire| !wire.is_dead) else { return Ok(()) };
            if wire.up.front().is_none_or(|(at, _)| *at > self.now) {
                return Ok(());
            }
            let Some(end) = self.server.life.as_mut().and_then(|life| life.ends.get_mut(&key)) else {
                wire.up.pop_front();
                continue;
            };
            if !end.has_room() {
                // Reading waits until what was answered has been taken.
                let later = self.now + 1;
                if let Some((at, _)) = wire.up.front_mut() {
                    *at = later;
                }
                return Ok(());
            }
            let Some((_, text)) = wire.up.pop_front() else { return Ok(()) };
            end.heard_at = self.now;
            let (id, request) = parse_frame(&text);
            if let (Some(id), Ok(ClientRequest::SendMessage(send))) = (id, &request) {
                self.asked.insert((key, id), (send.client_msg_id.clone(), send.conversation_id));
            }
            match request {
                Ok(request) => end.handle(id, request)?,
                Err(error) => end.refuse(id, error)?,
            }
            self.say(|| format!("server hears {key:?}: {}", short(&text)));
            self.drain_lane(key);
        }
    }

    /// The server's writer: takes what waits, while there is room on the way.
    fn drain_lane(&mut self, key: Key) {
        let Some(wire) = self.wires.get_mut(&key) else { return };
        if wire.down.len() >= self.plan.window {
            return;
        }
        let Some(end) = self.server.life.as_mut().and_then(|life| life.ends.get_mut(&key)) else { return };
        let Some((frames, closing)) = end.take() else { return };
        for frame in frames {
            let text = match frame {
                Outbound::Event(publication) => {
                    String::from_utf8_lossy(&publication.encoded(tertulia_proto::Protocol::WebSocket)).into_owned()
                }
                Outbound::Reply(reply) => {
                    if let (Ok(body), Some((name, conversation))) = (&reply.body, self.asked.remove(&(key, reply.to))) {
                        acknowledged(&mut self.record, name, conversation, body);
                    }
                    reply.encode()
                }
                Outbound::Ping => continue,
            };
            let faulty = self.faulty;
            if faulty
                && self.plan.faults.overtake_frame > 0
                && text.contains("\"hasMore\"")
                && text.starts_with("{\"type\":\"ok\"")
            {
                // A page of history.
                let at = self.now + 1 + self.random.next() % 3000;
                wire.aside.push((at, Down::Frame(text)));
                continue;
            }
            network::send(&mut wire.down, Down::Frame(text), self.now, &self.plan, &mut self.random, faulty);
        }
        if let Some(code) = closing {
            let at = wire.down.back().map_or(0, |(at, _)| *at).max(self.now);
            wire.down.push_back((at, Down::Closed(code)));
            self.drop_end(key);
        }
    }

    fn carry_down(&mut self, key: Key) -> Result<()> {
        loop {
            let now = self.now;
            let Some(down) = self.wires.get_mut(&key).and_then(|wire| wire.take_down(now)) else { return Ok(()) };
            let number = key.0;
            let link = self.devices[number].link_of(key.1);
            let mishap = self.mishap();
            match down {
                Down::Frame(text) => {
                    self.say(|| format!("device {number} hears: {}", short(&text)));
                    let frame = ServerFrame::parse(&text).map_err(|e| anyhow::anyhow!("{e}: {text}"))?;
                    let done = self.devices[number].call(now, Durability::Process, mishap, |engine, store, at| {
                        engine.handle_frame(store, at, link, frame)
                    });
                    failed_by_itself(mishap, done).with_context(|| text)?;
                }
                Down::Lost | Down::Closed(_) => {
                    let how = if let Down::Closed(code) = down { Closed::Code(code) } else { Closed::Lost };
                    self.say(|| format!("device {number} loses {}: {how:?}", key.1));
                    self.wires.remove(&key);
                    self.devices[number].call::<(), StoreFailure>(
                        now,
                        Durability::Process,
                        Mishap::None,
                        |engine, _, at| {
                            engine.handle_closed(at, link, how);
                            Ok(())
                        },
                    );
                }
            }
            self.checked_after_call(number)?;
            self.drain_lane(key);
        }
    }

    pub fn checked_after_call(&mut self, number: usize) -> Result<()> {
        self.after_call(number);
        if self.random.one_in(16) {
            check::local::check(number, &mut self.devices[number], &self.record)?;
            check::watermarks::check(&mut self.record, number, &mut self.devices[number])?;
            let conversations = self.devices[number].conversations().len();
            if let Some(engine) = &self.devices[number].engine {
                check::bounded::check(number, engine, &self.plan.config, conversations)?;
            }
        }
        Ok(())
    }

    /// Does what the engine asked for, now that its transaction is committed; or, where the app died, forgets it.
    pub fn after_call(&mut self, number: usize) {
        if self.devices[number].engine.is_none() {
            if self.devices[number].starts_at.is_none() {
                self.say(|| format!("device {number} dies"));
                self.perhaps_lose_power(number);
                self.devices[number].starts_at = Some(self.now + self.random.next() % 10_000);
            }
            self.hang_up(number);
            return;
        }
        while let Some(action) = self.devices[number].engine.as_mut().and_then(|engine| engine.poll_link()) {
            match action {
                LinkAction::Open(link) => {
                    let wire = self.devices[number].wire(link);
                    let opens_at = Some(self.now + network::delay(&self.plan, &mut self.random));
                    self.wires.insert((number, wire), Wire { opens_at, ..Wire::default() });
                }
                LinkAction::Close(link) => self.leave((number, self.devices[number].wire(link))),
            }
        }
        while let Some(sent) = self.devices[number].engine.as_mut().and_then(|engine| engine.poll_transmit()) {
            if sent.wants_lasting_store() {
                self.devices[number].make_safe();
            }
            let text = sent.request.encode(Some(sent.id));
            if let Some(wire) = self.wires.get_mut(&(number, self.devices[number].wire(sent.link))) {
                network::send(&mut wire.up, text, self.now, &self.plan, &mut self.random, self.faulty);
            }
        }
        if let Some(engine) = &mut self.devices[number].engine {
            while engine.poll_notice().is_some() {}
        }
    }

    fn perhaps_lose_power(&mut self, number: usize) {
        let once_in = self.plan.faults.power_cut;
        if !self.faulty || once_in == 0 || !self.random.one_in(once_in) {
            return;
        }
        self.say(|| format!("device {number} loses its power"));
        if let Err(error) = self.devices[number].lose_power() {
            // The checks will tell: nothing of it is there.
            self.say(|| format!("device {number} can't be put back: {error}"));
        }
        self.record.shown_read.retain(|(device, ..), _| *device != number);
    }

    /// The device closes a connection: what it had sent may still arrive, and much later; and the server hears of the end later.
    fn leave(&mut self, key: Key) {
        let half_open = self.faulty && self.plan.faults.half_open > 0 && self.random.one_in(self.plan.faults.half_open);
        let late = self.faulty && self.plan.faults.late > 0 && self.random.one_in(self.plan.faults.late);
        let later = if late { self.random.next() % LATE_MS_MAX } else { 0 };
        let at = self.now + network::delay(&self.plan, &mut self.random) + 1 + later;
        let Some(wire) = self.wires.get_mut(&key) else { return };
        wire.opens_at = wire.opens_at.map(|at| at + later);
        wire.up.iter_mut().for_each(|(at, _)| *at += later);
        wire.down.clear();
        wire.aside.clear();
        wire.stalled_until = u64::MAX;
        let last = wire.up.back().map(|(last, _)| *last).max(wire.opens_at).map_or(at, |last| at.max(last + 1));
        wire.server_hears_at = Some(if half_open { last + SERVER_PATIENCE_MS } else { last });
        if wire.opens_at.is_some() && !late {
            self.wires.remove(&key);
        }
    }

    fn hang_up(&mut self, number: usize) {
        let keys: Vec<Key> = self.wires.range((number, 0)..=(number, u64::MAX)).map(|(key, _)| *key).collect();
        for key in keys {
            if self.wires.get(&key).is_some_and(|wire| wire.server_hears_at.is_none()) {
                self.leave(key);
            }
        }
    }

    /// The server's side of a connection is gone.
    pub fn drop_end(&mut self, key: Key) {
        if let Some(life) = &mut self.server.life {
            life.ends.remove(&key);
        }
    }

    fn beat(&mut self) {
        let now = self.now;
        let Some(life) = &mut self.server.life else { return };
        life.services.hub().expire_signs(life.services.now());
        let silent: Vec<Key> = life
            .ends
            .iter()
            .filter(|(_, end)| end.heard_at.saturating_add(SERVER_PATIENCE_MS) <= now)
            .map(|(key, _)| *key)
            .collect();
        let keys: Vec<Key> = life.ends.keys().copied().collect();
        for key in silent {
            self.drop_end(key);
        }
        for key in keys {
            self.drain_lane(key);
        }
    }

    pub fn mishap(&mut self) -> Mishap {
        let faults = self.plan.faults.clone();
        let once_in = |random: &mut Random, times: usize| times > 0 && random.one_in(times);
        if !self.faulty {
            return Mishap::None;
        }
        let calls = self.random.below(12);
        if once_in(&mut self.random, faults.device_full) {
            Mishap::Full(calls)
        } else if once_in(&mut self.random, faults.app_dies_inside) {
            Mishap::KilledInside(calls)
        } else if once_in(&mut self.random, faults.app_dies_after) {
            Mishap::KilledAfter
        } else {
            Mishap::None
        }
    }
}

/// A store that fails without a mishap has been asked for something it can't do.
pub fn failed_by_itself<T, E: std::error::Error + crate::device::IsStoreFailure + Send + Sync + 'static>(
    mishap: Mishap,
    done: Option<Result<T, E>>,
) -> Result<()> {
    match done {
        Some(Err(error)) if mishap == Mishap::None && error.is_store_failure() => Err(error.into()),
        _ => Ok(()),
    }
}

fn acknowledged(record: &mut Record, name: ClientMsgId, conversation: ConversationId, body: &str) {
    let seq = serde_json::from_str::<serde_json::Value>(body).ok().and_then(|ack| ack["seq"].as_i64());
    let seq: Seq = seq.unwrap_or(0);
    record.acknowledged.insert(name, (conversation, seq));
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}
