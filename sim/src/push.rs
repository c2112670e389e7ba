//! Devices that are notified: they register over calls of their own, which get lost as everything does, and as often as a client would.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use tertulia_client_sqlite::Durability;
use tertulia_engine::{ConnectionState, Registration, RegistrationStep};
use tertulia_proto::device::RegisterDevice;
use tertulia_proto::{ConversationId, DeviceId, Platform, PushProvider, RegistrationId, Seq};
use tertulia_store::Store as _;
use tertulia_testkit::Random;

use crate::notify::PROVIDERS;
use crate::server::now_or_never;
use crate::world::{World, failed_by_itself};

/// How long a device waits before it asks again.
const RETRY_MS: u64 = 2500;

/// How long a device waits for an answer that does not come.
const PATIENCE_MS: u64 = 30_000;

/// What a device that wants to be notified does about it. The wish itself survives everything.
#[derive(Debug, Default)]
pub struct Registrar {
    pub is_wished: bool,
    /// In this life of the app the server has been told.
    renewed: bool,
    call: Option<Call>,
    try_at: u64,
    /// By which the server knows it.
    pub registration: Option<RegistrationId>,
    provider: Option<PushProvider>,
    /// It does not say at the server which device it is.
    is_nameless: bool,
    /// Which token it has by now.
    pub token_no: u64,
    /// What it held of each conversation when it asked for the registration that stands: that much it need not tell.
    pub held: BTreeMap<ConversationId, Seq>,
}

#[derive(Debug)]
struct Call {
    /// `None`: it has been there, or was lost.
    at_server: Option<u64>,
    answer_at: u64,
    is_answer_lost: bool,
    is_taken: bool,
}

impl Registrar {
    /// Drawn by itself: it came after worlds that are to stay what they were.
    pub fn draw(seed: u64, number: usize) -> Self {
        let world = Self::is_drawn(seed);
        let mut random = Random::new(seed ^ 0x7068_6f6e ^ ((number as u64) << 32));
        let (is_wished, try_at) = (world && !random.one_in(3), random.next() % 30_000);
        let (provider, is_nameless) = (random.pick(&PROVIDERS).copied(), random.one_in(5));
        Self { is_wished, try_at, provider, is_nameless, ..Self::default() }
    }

    /// Whether anybody of a world may be notified.
    pub fn is_drawn(seed: u64) -> bool {
        Random::new(seed ^ 0x7075_7368).one_in(2)
    }

    /// As its provider gives it.
    pub fn token(&self, number: usize) -> String {
        match self.provider {
            // RFC 8291: a point of 65 bytes, beginning with 4, and 16 bytes.
            Some(PushProvider::Webpush) => format!(
                "{{\"endpoint\":\"https://push.example/{number}-{}\",\"keys\":{{\"p256dh\":\"B{}\",\"auth\":\"{}\"}}}}",
                self.token_no,
                "A".repeat(86),
                "A".repeat(22)
            ),
            _ => format!("ExponentPushToken[{number}-{}]", self.token_no),
        }
    }

    pub fn request(&self, number: usize, device: DeviceId) -> RegisterDevice {
        RegisterDevice {
            token: self.token(number),
            platform: Platform::Android,
            provider: self.provider.unwrap_or(PushProvider::Expo),
            app_version: None,
            device_id: (!self.is_nameless).then_some(device),
            shows_content: true,
        }
    }

    /// It asks again, at the earliest then.
    pub fn renew(&mut self, at: u64) {
        (self.renewed, self.call, self.try_at) = (false, None, at);
    }

    /// The app is gone, and with it whoever waited for an answer.
    pub fn restart(&mut self, now: u64) {
        (self.renewed, self.call, self.try_at) = (false, None, self.try_at.max(now));
    }
}

impl World {
    /// When there is something to do about a device's registration.
    pub fn next_push_at(&self, number: usize) -> Option<u64> {
        let device = &self.devices[number];
        let registrar = &device.registrar;
        match &registrar.call {
            Some(call) => Some(call.at_server.unwrap_or(call.answer_at)),
            None if self.wants_registering(number) => Some(registrar.try_at.max(self.now)),
            None => None,
        }
    }

    /// As the client does it: not while a connection is being made.
    fn wants_registering(&self, number: usize) -> bool {
        let device = &self.devices[number];
        let is_time = device.engine.as_ref().is_some_and(|engine| {
            matches!(
                engine.connection(),
                ConnectionState::Paused
                    | ConnectionState::Waiting { .. }
                    | ConnectionState::Connected { caught_up: true }
            )
        });
        is_time && device.registrar.is_wished && !self.is_registered(number)
    }

    /// Where it wants to be.
    pub fn is_registered(&self, number: usize) -> bool {
        let device = &self.devices[number];
        let stands = device.store.registration().is_ok_and(|registration| registration == Registration::Stands);
        !device.registrar.is_wished || (device.registrar.renewed && stands)
    }

    pub fn tick_push(&mut self, number: usize) -> Result<()> {
        if self.next_push_at(number).is_none_or(|at| at > self.now) {
            return Ok(());
        }
        match self.devices[number].registrar.call.take() {
            None => self.begin_registering(number),
            Some(call) if call.at_server.is_some() => {
                let is_taken = self.register_at_server(number)? && !call.is_answer_lost;
                self.devices[number].registrar.call = Some(Call { at_server: None, is_taken, ..call });
                Ok(())
            }
            Some(call) => self.registering_answered(number, call.is_taken),
        }
    }

    fn begin_registering(&mut self, number: usize) -> Result<()> {
        self.say(|| format!("device {number} registers"));
        let was = self.devices[number].store.registration()?;
        self.take_step(number, RegistrationStep::Asked)?;
        let device = &mut self.devices[number];
        if was != Registration::Stands && device.store.registration()? == Registration::Asked {
            let held = device.store.held()?.into_iter().map(|held| (held.id, held.last_seq));
            device.registrar.held = held.collect();
        }
        if device.engine.is_none() {
            return Ok(());
        }
        let (way, back) = (1 + self.push_random.next() % 400, 1 + self.push_random.next() % 400);
        let (no_way, no_answer) =
            (self.faulty && self.push_random.one_in(5), self.faulty && self.push_random.one_in(5));
        let at = self.now + way;
        let is_answer_lost = no_way || no_answer;
        let answer_at = if is_answer_lost { at + PATIENCE_MS } else { at + back };
        let at_server = (!no_way).then_some(at);
        self.devices[number].registrar.call = Some(Call { at_server, answer_at, is_answer_lost, is_taken: false });
        Ok(())
    }

    /// Whether the server has it.
    fn register_at_server(&mut self, number: usize) -> Result<bool> {
        let device = &mut self.devices[number];
        let Some(life) = self.server.life.as_ref().filter(|_| device.network) else { return Ok(false) };
        let request = device.registrar.request(number, device.id);
        let (token, me) = (request.token.clone(), &self.people[device.person]);
        let answer = now_or_never(life.services.register_device(me, request, None))?;
        if let Ok(registered) = &answer {
            device.registrar.registration = Some(registered.id);
            self.server.post.registered(me.user, &token, registered, &life.store)?;
        }
        Ok(answer.is_ok())
    }

    fn registering_answered(&mut self, number: usize, is_taken: bool) -> Result<()> {
        self.say(|| format!("device {number} is registered: {is_taken}"));
        self.take_step(number, if is_taken { RegistrationStep::Stands } else { RegistrationStep::Failed })?;
        let try_at = self.now + RETRY_MS;
        let registrar = &mut self.devices[number].registrar;
        (registrar.renewed, registrar.try_at) = (is_taken, try_at);
        Ok(())
    }

    pub fn take_step(&mut self, number: usize, step: RegistrationStep) -> Result<()> {
        let mishap = self.mishap();
        let now = self.now;
        // As in the client: what the person wishes lasts, whatever becomes of the power.
        let durability = if step == RegistrationStep::Ended { Durability::Power } else { Durability::Process };
        let done = self.devices[number]
            .call(now, durability, mishap, |engine, store, at| engine.handle_registration(store, at, step));
        failed_by_itself(mishap, done)?;
        self.checked_after_call(number)
    }

    /// Whom the server would notify of what has reached them long since.
    pub fn check_notified(&self) -> Result<()> {
        let life = self.server.life.as_ref().context("the server is up")?;
        // Nobody signs in or out in these worlds, as with a host app's tokens: of no device is it known that its sign-in is over.
        let forgotten = now_or_never(life.store.push().forget_devices(self.server.clock_now(), 100))??;
        ensure!(forgotten == 0, "the clean-up has forgotten {forgotten} devices");
        for (number, device) in self.devices.iter().enumerate().filter(|(_, device)| device.registrar.is_wished) {
            crate::check::notified::check(number, device, self.user_of(number), &life.store)?;
        }
        Ok(())
    }
}
