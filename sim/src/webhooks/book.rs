//! What is kept of webhooks, as a worker reaches it. What it takes and notes is noted beside it.

use tertulia_proto::webhook::{EventId, KeptEvent, WebhookEndpoint};
use tertulia_proto::{Timestamp, WebhookId};
use tertulia_store::jobs::NewJob;
use tertulia_store::webhooks::*;
use tertulia_store::{Reading, Store as _};
use uuid::Uuid;

use std::sync::Arc;
use std::time::Duration;

use super::host::TIMEOUT;
use crate::notify::Hands;
use crate::planted::HookBug;

pub struct WorkerHooks(pub Arc<Hands>);

/// An end on its way: dropped there, nobody knows whether it was written.
struct Ending<'a> {
    hands: &'a Hands,
    about: (Uuid, i64),
    is_done: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.hands.post.book().hooks.excuse(self.hands.life, Some(self.about));
        }
    }
}

impl WorkerHooks {
    fn has(&self, bug: HookBug) -> bool {
        self.0.post.book().hooks.bug == Some(bug)
    }

    fn breaks(&self, checked: anyhow::Result<()>) {
        if let Err(error) = checked {
            self.0.post.breaks(|| format!("{error:#}"));
        }
    }

    /// A worker with this bug believes that no lease lasts.
    fn leaseless(&self, now: Timestamp) -> Timestamp {
        if self.has(HookBug::LeaseIgnored) { now.plus_ms(60_000) } else { now }
    }

    /// From the moment of its taking on, however long what was read before took.
    fn is_held_long_enough(&self, begin: &Begin) -> anyhow::Result<()> {
        let held_ms = begin.lease_until.ms() - self.0.powers.now().ms();
        let held = Duration::from_millis(u64::try_from(held_ms)?);
        anyhow::ensure!(held > TIMEOUT, "a line is held for {held:?}, and its request may take {TIMEOUT:?}");
        Ok(())
    }

    fn planted_end(&self, end: &End) -> End {
        let mut told = end.clone();
        let bug = self.0.post.book().hooks.bug;
        match (bug, &mut told.result) {
            (Some(HookBug::TakenAnyway), TryResult::Failed { .. }) => {
                told.result = TryResult::Taken { up_to: end.events.1, count: 1 };
            }
            (Some(HookBug::AskedInVain), TryResult::Failed { not_before, .. }) => *not_before = None,
            (Some(HookBug::NotHalved), _) => told.half = None,
            _ => {}
        }
        told
    }

    fn planted(&self, next: Next) -> Next {
        match next {
            Next::Send(mut sending) if self.has(HookBug::JumpedOver) && sending.batch.events.len() > 1 => {
                sending.batch.events.remove(0);
                Next::Send(sending)
            }
            other => other,
        }
    }
}

impl WebhookBook for WorkerHooks {
    fn add_endpoint(&self, new: NewEndpoint) -> Reading<'_, bool> {
        Box::pin(async move { self.0.reach("an endpoint").await?.webhooks().add_endpoint(new).await })
    }

    fn endpoints(&self) -> Reading<'_, Vec<WebhookEndpoint>> {
        Box::pin(async move { self.0.reach("endpoints").await?.webhooks().endpoints().await })
    }

    fn remove_endpoint(&self, id: WebhookId) -> Reading<'_, bool> {
        Box::pin(async move { self.0.reach("an endpoint's end").await?.webhooks().remove_endpoint(id).await })
    }

    fn rotate_secret(&self, id: WebhookId, secret: Option<Secret>) -> Reading<'_, bool> {
        Box::pin(async move { self.0.reach("a secret").await?.webhooks().rotate_secret(id, secret).await })
    }

    fn enable_endpoint(&self, id: WebhookId, jobs: Vec<NewJob>) -> Reading<'_, bool> {
        Box::pin(async move { self.0.reach("an endpoint is on").await?.webhooks().enable_endpoint(id, jobs).await })
    }

    fn kept_event(&self, id: EventId) -> Reading<'_, Option<KeptEvent>> {
        Box::pin(async move { self.0.reach("an event").await?.webhooks().kept_event(id).await })
    }

    fn kept_events(&self, before: EventPlace, limit: usize) -> Reading<'_, Vec<KeptEvent>> {
        Box::pin(async move { self.0.reach("events").await?.webhooks().kept_events(before, limit).await })
    }

    fn next(&self, line: Line, now: Timestamp) -> Reading<'_, Next> {
        Box::pin(async move {
            let store = self.0.reach("what is to be told").await?;
            let found = store.webhooks().next(line, self.leaseless(now)).await?;
            if let Next::Send(sending) = &found {
                self.breaks(self.0.post.book().hooks.looked(sending));
            }
            self.0.step("what is to be told was read").await;
            Ok(self.planted(found))
        })
    }

    fn begin_try(&self, line: Line, begin: Begin) -> Reading<'_, bool> {
        Box::pin(async move {
            self.breaks(self.is_held_long_enough(&begin));
            let store = self.0.reach("a line is taken").await?;
            let is_ours = store.webhooks().begin_try(line, Begin { now: self.leaseless(begin.now), ..begin }).await?;
            if is_ours {
                let begun = self.0.post.book().hooks.begun(line, self.0.life, &begin);
                self.breaks(begun);
            }
            self.0.step("a line was taken").await;
            Ok(is_ours)
        })
    }

    fn end_try(&self, line: Line, end: End) -> Reading<'_, After> {
        Box::pin(async move {
            let mut ending = Ending { hands: &self.0, about: (line.stream, end.events.1), is_done: false };
            let store = self.0.reach("a request's end").await?;
            ending.is_done = true;
            if self.has(HookBug::NotNoted) {
                self.0.post.book().hooks.dropped(line, &end);
                return Ok(After::Taken);
            }
            let after = store.webhooks().end_try(line, self.planted_end(&end)).await?;
            self.0.post.say(format!("worker {} notes {:?} of {}: {after:?}", self.0.life, end.status, line.stream));
            let ended = self.0.post.book().hooks.ended(line, &end, after);
            self.breaks(ended);
            self.0.step("a request's end was written").await;
            Ok(after)
        })
    }

    fn attempts(&self, stream: Uuid, number: i64) -> Reading<'_, Vec<WebhookAttempt>> {
        Box::pin(async move { self.0.reach("requests").await?.webhooks().attempts(stream, number).await })
    }

    fn standings(&self, stream: Uuid) -> Reading<'_, Vec<Standing>> {
        Box::pin(async move { self.0.reach("standings").await?.webhooks().standings(stream).await })
    }

    fn forget_requests(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(async move { self.0.reach("a clean-up").await?.webhooks().forget_requests(at, limit).await })
    }

    fn lines_behind(&self, endpoint: WebhookId, above: Option<Uuid>) -> Reading<'_, Behind> {
        Box::pin(async move {
            let found = self.0.reach("lines behind").await?.webhooks().lines_behind(endpoint, above).await?;
            self.0.step("lines behind were read").await;
            Ok(found)
        })
    }

    fn first_events(&self, since: Timestamp, after: Option<EventPlace>) -> Reading<'_, Firsts> {
        Box::pin(async move {
            let found = self.0.reach("first events").await?.webhooks().first_events(since, after).await?;
            self.0.step("first events were read").await;
            Ok(found)
        })
    }

    fn rewind_lines(&self, endpoint: WebhookId, to: Vec<(Uuid, i64)>, now: Timestamp) -> Reading<'_, ()> {
        Box::pin(async move {
            let store = self.0.reach("lines go back").await?;
            store.webhooks().rewind_lines(endpoint, to.clone(), now).await?;
            for (stream, number) in to {
                self.0.post.book().hooks.rewound(Line { endpoint, stream }, number);
            }
            self.0.step("lines went back").await;
            Ok(())
        })
    }

    fn rewind_line(&self, line: Line, number: i64, now: Timestamp) -> Reading<'_, ()> {
        Box::pin(async move { self.0.reach("a line goes back").await?.webhooks().rewind_line(line, number, now).await })
    }

    fn skip_event(&self, line: Line, number: i64, now: Timestamp) -> Reading<'_, bool> {
        Box::pin(async move { self.0.reach("a skip").await?.webhooks().skip_event(line, number, now).await })
    }

    fn forget_events(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(async move { self.0.reach("a clean-up").await?.webhooks().forget_events(at, limit).await })
    }

    fn forget_positions(&self, at: Timestamp, limit: usize) -> Reading<'_, usize> {
        Box::pin(async move { self.0.reach("a clean-up").await?.webhooks().forget_positions(at, limit).await })
    }
}
