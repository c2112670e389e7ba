//! What people do about their notifications, and the world's own steps.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tertulia_engine::RegistrationStep;
use tertulia_proto::QuietHours;
use tertulia_proto::device::{NotificationSettingsPatch, RegisterDevice, UnregisterDevice};

use crate::server::now_or_never;
use crate::world::World;

impl World {
    pub fn next_work_at(&self) -> Option<u64> {
        self.office.as_ref()?.next_at().map(|at| at.max(self.now))
    }

    /// What workers have to do by now.
    pub fn work(&mut self) -> Result<()> {
        let Some(office) = &self.office else { return Ok(()) };
        {
            let mut book = office.post.book();
            (book.now, book.store) = (self.now, self.server.life.as_ref().map(|life| Arc::clone(&life.store)));
        }
        if office.next_at().is_none_or(|at| at > self.now) {
            return Ok(());
        }
        self.note_tokens();
        let Some(mut office) = self.office.take() else { return Ok(()) };
        let worked = office.tick(self.now);
        for line in office.post.lines() {
            self.say(|| line);
        }
        self.office = Some(office);
        worked
    }

    /// Those that providers know by now.
    pub fn note_tokens(&self) {
        let valid = self.devices.iter().enumerate().map(|(number, device)| device.registrar.token(number));
        self.server.post.book().valid = valid.collect();
    }

    /// The server came back with an earlier copy.
    pub fn forget_notifications(&mut self) -> Result<()> {
        let Some(office) = &mut self.office else { return Ok(()) };
        office.end_all();
        let people: Vec<_> = self.people.iter().map(|person| person.user).collect();
        let life = self.server.life.as_ref().context("the server is up")?;
        office.post.restored(&life.store, &people)
    }

    pub fn something_about_notifications(&mut self) -> Result<()> {
        let Some(office) = &self.office else { return Ok(()) };
        let often = office.often();
        if often == 0 || !self.push_random.one_in(often) {
            return Ok(());
        }
        let number = self.push_random.below(self.devices.len());
        match self.push_random.below(7) {
            0 => self.rotate_token(number),
            1 => self.sign_out(number, false),
            2 => self.sign_out(number, true),
            3 | 4 => self.want_quiet(number),
            _ => {
                self.be_away(number);
                Ok(())
            }
        }
    }

    /// Its provider gives the device another token: the old one is nobody's.
    fn rotate_token(&mut self, number: usize) -> Result<()> {
        self.say(|| format!("device {number} has another token"));
        let at = self.now;
        let registrar = &mut self.devices[number].registrar;
        registrar.token_no += 1;
        registrar.renew(at);
        Ok(())
    }

    /// The person wants no notifications for a while; `moves`: somebody else has them there meanwhile.
    fn sign_out(&mut self, number: usize, moves: bool) -> Result<()> {
        if !self.devices[number].registrar.is_wished || self.devices[number].engine.is_none() {
            return Ok(());
        }
        self.say(|| {
            format!("device {number} is notified no more{}", if moves { ", but somebody else there" } else { "" })
        });
        self.take_step(number, RegistrationStep::Ended)?;
        let at = self.now + self.push_random.next() % 60_000;
        let other = self.push_random.below(self.people.len());
        let device = &mut self.devices[number];
        device.registrar.renew(at);
        let Some(life) = self.server.life.as_ref() else { return Ok(()) };
        let me = &self.people[device.person];
        if let Some(id) = device.registrar.registration.take() {
            let request = UnregisterDevice { id: Some(id), token: None };
            if now_or_never(life.services.unregister_device(me, request))?.is_ok() {
                self.server.post.book().registered.remove(&id);
            }
        }
        if moves && other != device.person {
            let who = &self.people[other];
            let request = RegisterDevice { device_id: None, ..device.registrar.request(number, device.id) };
            let token = request.token.clone();
            if let Ok(registered) = now_or_never(life.services.register_device(who, request, None))? {
                self.server.post.registered(who.user, &token, &registered, &life.store)?;
            }
        }
        Ok(())
    }

    /// From about now on for up to two hours, or no longer.
    fn want_quiet(&mut self, number: usize) -> Result<()> {
        let Some(life) = self.server.life.as_ref() else { return Ok(()) };
        let minute = life.services.now().ms().div_euclid(60_000);
        let text = |minute: i64| format!("{:02}:{:02}", minute.rem_euclid(1440) / 60, minute.rem_euclid(60));
        let lasts = 1 + i64::try_from(self.push_random.below(120))?;
        let hours = QuietHours { from: text(minute - 1), to: text(minute + lasts), time_zone: "UTC".to_owned() };
        let do_not_disturb = Some(self.push_random.one_in(2).then_some(hours));
        let me = &self.people[self.devices[number].person];
        let patch = NotificationSettingsPatch { do_not_disturb };
        let done = now_or_never(life.services.change_notification_settings(me, patch))?;
        self.say(|| format!("device {number} wants quiet: {:?}", done.map(|settings| settings.do_not_disturb)));
        Ok(())
    }

    /// The app is closed, for as long as people close it.
    fn be_away(&mut self, number: usize) {
        self.say(|| format!("device {number} is put away"));
        self.devices[number].engine = None;
        self.after_call(number);
        self.devices[number].starts_at = Some(self.now + self.push_random.next() % 300_000);
    }
}
