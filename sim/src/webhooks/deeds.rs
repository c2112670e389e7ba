//! What operators do about webhooks, and what is demanded when all is well.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tertulia_core::Services;
use tertulia_proto::WebhookId;
use tertulia_proto::webhook::{EventFilter, EventId, NewWebhook, ReplayBody};
use tertulia_store::webhooks::Line;

use crate::server::now_or_never;
use crate::world::World;

/// Endpoints of one world.
const ENDPOINTS_MAX: usize = 3;

/// What endpoints of these worlds want.
const WISHES: [&[&str]; 4] = [&["*"], &["*"], &["message.*"], &["conversation.*", "user.*", "message.created"]];

impl World {
    pub fn open_webhooks(&mut self) -> Result<()> {
        let Some(plan) = self.hooks.clone() else { return Ok(()) };
        {
            let hooks = &mut self.server.post.book().hooks;
            (hooks.is_on, hooks.waits) = (true, plan.waits);
        }
        (0..plan.endpoints).try_for_each(|_| self.add_endpoint())
    }

    pub fn something_about_webhooks(&mut self) -> Result<()> {
        let Some(often) = self.hooks.as_ref().map(|plan| plan.deeds) else { return Ok(()) };
        if often == 0 || !self.hook_random.one_in(often) {
            return Ok(());
        }
        self.about_webhooks()
    }

    /// Long enough that tries come to their end, conversations are parked and endpoints switched off.
    pub fn trouble_with_webhooks(&mut self) -> Result<()> {
        if self.hooks.is_none() {
            return Ok(());
        }
        self.say(|| "trouble with webhooks".to_owned());
        for _ in 0..2 {
            self.work_well(false);
            for _ in 0..3 + self.hook_random.below(10) {
                self.talk()?;
                if self.hook_random.one_in(3) {
                    self.about_webhooks()?;
                }
            }
            let lasts = self.hook_random.next() % 90_000;
            self.run_until(self.now + lasts)?;
            self.work_well(true);
            self.check_notifications().context("there was trouble with webhooks")?;
        }
        self.work_well(false);
        Ok(())
    }

    fn about_webhooks(&mut self) -> Result<()> {
        if self.server.life.is_none() {
            return Ok(());
        }
        match self.hook_random.below(8) {
            0 => self.add_endpoint(),
            1 => self.remove_endpoint(),
            2 | 3 => self.replay_event(),
            4 => self.replay_since(),
            5 => self.skip_event(),
            6 => self.rotate(),
            _ => self.switch_on(),
        }
    }

    fn services(&self) -> Result<Arc<Services>> {
        Ok(Arc::clone(&self.server.life.as_ref().context("the server is up")?.services))
    }

    fn some_endpoint(&mut self) -> Option<WebhookId> {
        let all: Vec<WebhookId> = self.server.post.book().hooks.stand.endpoints.keys().copied().collect();
        self.hook_random.pick(&all).copied()
    }

    fn add_endpoint(&mut self) -> Result<()> {
        if self.server.post.book().hooks.stand.endpoints.len() >= ENDPOINTS_MAX {
            return Ok(());
        }
        self.hook_serial += 1;
        let url = format!("https://host{}.example/", self.hook_serial);
        let wish = self.hook_random.pick(&WISHES).copied().unwrap_or(&["*"]);
        let events = Some(wish.iter().map(|&one| one.to_owned()).collect());
        let added = now_or_never(self.services()?.add_webhook(NewWebhook { url: url.clone(), events }))?;
        let added = added.context("an endpoint is added")?;
        self.server.post.book().hooks.added(added.id, url.clone(), EventFilter::of_patterns(wish)?);
        self.say(|| format!("{url} is told {wish:?}"));
        Ok(())
    }

    fn remove_endpoint(&mut self) -> Result<()> {
        let Some(id) = self.some_endpoint() else { return Ok(()) };
        now_or_never(self.services()?.remove_webhook(id))?.context("an endpoint is removed")?;
        let removed = self.server.post.book().hooks.stand.endpoints.remove(&id);
        self.say(|| format!("{:?} is told no more", removed.map(|endpoint| endpoint.url)));
        Ok(())
    }

    fn some_event(&mut self) -> Result<Option<EventId>> {
        let kept = now_or_never(self.services()?.webhook_events(None, Some(100)))?.context("events are kept")?;
        self.hook_random.pick(&kept).map(|one| one.id.parse().context("an event's id")).transpose()
    }

    /// From one event on.
    fn replay_event(&mut self) -> Result<()> {
        let (Some(id), Some(event)) = (self.some_endpoint(), self.some_event()?) else { return Ok(()) };
        let from = ReplayBody { event: Some(event.to_string()), since: None, all: false };
        now_or_never(self.services()?.replay_webhook(id, from))?.context("an event is told again")?;
        self.server.post.book().hooks.rewound(Line { endpoint: id, stream: event.stream }, event.number);
        self.say(|| format!("{event} is told again"));
        Ok(())
    }

    /// A worker has the lines go back.
    fn replay_since(&mut self) -> Result<()> {
        let Some(id) = self.some_endpoint() else { return Ok(()) };
        let back = i64::try_from(self.hook_random.below(120_000))?;
        let since = self.server.clock_now().plus_ms(-back);
        let all = self.hook_random.one_in(4);
        let from = ReplayBody { event: None, since: (!all).then_some(since), all };
        now_or_never(self.services()?.replay_webhook(id, from))?.context("events are told again")?;
        self.say(|| format!("what is not older than {back} ms is told again, or all: {all}"));
        Ok(())
    }

    /// Behind the event at which a line is parked; or any, which is refused unless its line waits there.
    fn skip_event(&mut self) -> Result<()> {
        let Some(id) = self.some_endpoint() else { return Ok(()) };
        let known = now_or_never(self.services()?.webhooks())?.context("endpoints are listed")?;
        let parked = known.iter().find(|one| one.id == id).and_then(|one| one.parked_at.first());
        let event = match parked {
            Some(parked) => Some(parked.event.parse().context("an event's id")?),
            None => self.some_event()?,
        };
        let Some(event) = event else { return Ok(()) };
        let is_skipped = now_or_never(self.services()?.skip_webhook_event(id, &event.to_string()))?.is_ok();
        if is_skipped {
            self.server.post.book().hooks.skipped(Line { endpoint: id, stream: event.stream }, event.number);
        }
        self.say(|| format!("{event} is skipped: {is_skipped}"));
        Ok(())
    }

    fn rotate(&mut self) -> Result<()> {
        let Some(id) = self.some_endpoint() else { return Ok(()) };
        let services = self.services()?;
        if self.hook_random.one_in(2) {
            now_or_never(services.rotate_webhook(id))?.map(drop)
        } else {
            now_or_never(services.finish_webhook_rotation(id))?
        }
        .context("a secret changes")
    }

    /// Endpoints that are off, and those with conversations that are parked, as an operator does when they are well again.
    pub fn switch_on(&mut self) -> Result<()> {
        let broken: Vec<WebhookId> = {
            let book = self.server.post.book();
            let all = book.hooks.stand.endpoints.iter();
            let broken = all.filter(|(_, one)| one.is_off || one.lines.values().any(|line| line.is_parked));
            broken.map(|(id, _)| *id).collect()
        };
        for id in broken {
            now_or_never(self.services()?.enable_webhook(id))?.context("an endpoint is switched on")?;
            self.server.post.book().hooks.enabled(id);
            self.say(|| format!("endpoint {id} is switched on"));
        }
        Ok(())
    }
}
