//! Endpoints with moods: they refuse, hang, ask for time, take and do not say so, are away for a while, or can't take one event.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tertulia_notify::webhooks::Deliver;
use tertulia_proto::webhook::EventId;
use tertulia_proto::{Timestamp, WebhookId};
use tertulia_store::webhooks::{Sending, TryResult};
use uuid::Uuid;

use crate::notify::Hands;

/// What one request may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

const TIMEOUT_MS: u64 = 10_000;

pub struct SimHost {
    pub hands: Arc<Hands>,
    /// Once in so many requests.
    pub moods: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Fails,
    AsksForTime,
    CantTakeIt,
    Hangs,
    /// Takes it, and nobody hears so.
    SaysNothing,
    Late,
    IsAway,
    Gone,
    /// From now on it can't take this event.
    FindsPoison,
}

const MOODS: [Mood; 12] = [
    Mood::Fails,
    Mood::Fails,
    Mood::AsksForTime,
    Mood::CantTakeIt,
    Mood::Hangs,
    Mood::SaysNothing,
    Mood::SaysNothing,
    Mood::Late,
    Mood::IsAway,
    Mood::Gone,
    Mood::FindsPoison,
    Mood::FindsPoison,
];

/// What an endpoint is up to.
#[derive(Default)]
pub struct Host {
    away_until: u64,
    /// Events that it can't take.
    poison: BTreeSet<String>,
}

type Answer = (TryResult, Option<u16>);

/// A request on its way: dropped there, nobody hears what came of it.
struct OnItsWay<'a> {
    hands: &'a Hands,
    about: (Uuid, i64),
    is_answered: bool,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.hands.post.book().hooks.excuse(self.hands.life, Some(self.about));
        }
    }
}

impl SimHost {
    fn mood(&self, id: WebhookId, sending: &Sending) -> Mood {
        let hands = &*self.hands;
        let is_moody = hands.once_in(self.moods);
        let drawn = hands.chance(|random| *random.pick(&MOODS).unwrap_or(&Mood::Well));
        let away = hands.chance(|random| random.next() % 120_000);
        let mut book = hands.post.book();
        let (now, is_faulty) = (book.now, book.is_faulty);
        if !is_faulty {
            return Mood::Well;
        }
        let host = book.hooks.hosts.entry(id).or_default();
        if host.away_until > now {
            return Mood::IsAway;
        }
        if sending.batch.events.iter().any(|event| host.poison.contains(&event.id)) {
            return Mood::CantTakeIt;
        }
        match (is_moody, drawn) {
            (false, _) => return Mood::Well,
            (true, Mood::IsAway) => host.away_until = now + away,
            (true, Mood::FindsPoison) => host.poison.extend(sending.batch.events.last().map(|last| last.id.clone())),
            _ => {}
        }
        drawn
    }

    /// Whether it takes it, after how long it answers, and what.
    fn answer(&self, mood: Mood, sending: &Sending, now: Timestamp) -> (bool, u64, Answer) {
        let failed =
            |reason: &str, status: u16| (TryResult::Failed { reason: reason.into(), not_before: None }, Some(status));
        let silent = (TryResult::Failed { reason: "no answer".into(), not_before: None }, None);
        let count = i64::try_from(sending.batch.events.len()).unwrap_or(0);
        let taken = (TryResult::Taken { up_to: sending.up_to, count }, Some(200));
        let under = |ms: u64| self.hands.chance(|random| random.next() % ms);
        match mood {
            Mood::Well => (true, 0, taken),
            Mood::Late => (true, under(TIMEOUT_MS), taken),
            Mood::SaysNothing => (true, TIMEOUT_MS, silent),
            Mood::Hangs => (false, TIMEOUT_MS, silent),
            Mood::IsAway => (false, 0, silent),
            Mood::Fails => (false, under(2000), failed("500", 500)),
            Mood::CantTakeIt | Mood::FindsPoison => (false, under(200), failed("422", 422)),
            Mood::Gone => (false, 0, (TryResult::Gone { reason: "410".into() }, Some(410))),
            Mood::AsksForTime => {
                let not_before = i64::try_from(under(60_000)).ok().map(|ms| now.plus_ms(ms));
                (false, 0, (TryResult::Failed { reason: "429".into(), not_before }, Some(429)))
            }
        }
    }

    async fn tell(&self, sending: &Sending, now: Timestamp) -> Answer {
        let hands = &*self.hands;
        let first = sending.batch.events.first().and_then(|event| event.id.parse::<EventId>().ok());
        let about = (first.map_or_else(Uuid::nil, |id| id.stream), sending.up_to);
        let mut telling = OnItsWay { hands, about, is_answered: false };
        hands.step("an endpoint is told").await;
        let Some(id) = hands.post.book().hooks.by_url(&sending.url) else {
            telling.is_answered = true;
            return (TryResult::Gone { reason: "nobody is there".into() }, None);
        };
        let arrived = hands.post.book().hooks.arrives(id, hands.life, sending, hands.powers.now());
        if let Err(error) = arrived {
            hands.post.breaks(|| format!("{}: {error:#}", sending.url));
        }
        let mood = self.mood(id, sending);
        hands.post.say(format!("{} is told {}: {mood:?}", sending.url, sending.id()));
        let (takes, ms, answer) = self.answer(mood, sending, now);
        if takes {
            hands.post.book().hooks.has_got(id, hands.life, sending, answer.1.is_some());
        }
        if ms > 0 {
            hands.timers.sleep(ms).await;
        }
        hands.step("an endpoint has answered").await;
        telling.is_answered = true;
        answer
    }
}

impl Deliver for SimHost {
    fn deliver<'a>(&'a self, sending: &'a Sending, now: Timestamp) -> BoxFuture<'a, Answer> {
        Box::pin(self.tell(sending, now))
    }
}
