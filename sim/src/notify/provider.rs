//! Providers with moods: they fail, hang, refuse, lie, and answer late.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tertulia_proto::PushProvider;
use tertulia_push::{Answer, Notification, NotificationKind, Provider, Target};
use tertulia_store::Store as _;
use tertulia_store::push::{PushNote, PushOutcome};

use super::hands::Hands;
use super::post::Ask;
use crate::check;
use crate::planted::NotifyBug;
use crate::server::now_or_never;

pub struct SimProvider {
    pub kind: PushProvider,
    pub hands: Arc<Hands>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Later,
    LaterAfter,
    Hangs,
    Refuses,
    /// Says that it does not know the token, which it knows.
    Forgets,
    Twice,
    Loses,
    /// Takes it, and answers when nobody waits any more, or almost.
    Late,
}

const MOODS: [Mood; 10] = [
    Mood::Later,
    Mood::Later,
    Mood::LaterAfter,
    Mood::Hangs,
    Mood::Refuses,
    Mood::Forgets,
    Mood::Twice,
    Mood::Loses,
    Mood::Late,
    Mood::Late,
];

/// Where an ask stands that is dropped on the way: nobody hears what came of it.
struct Asking<'a> {
    hands: &'a Hands,
    at: Option<usize>,
    is_answered: bool,
}

impl Asking<'_> {
    fn change(&self, change: impl FnOnce(&mut Ask)) {
        let Some(at) = self.at else { return };
        if let Some(ask) = self.hands.post.book().asks.get_mut(at) {
            change(ask);
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.change(|ask| ask.is_excused = true);
        }
    }
}

impl SimProvider {
    fn mood(&self, token: &str) -> (Mood, bool) {
        let is_moody = self.hands.once_in(self.hands.plan.moods);
        let mood = self.hands.chance(|random| *random.pick(&MOODS).unwrap_or(&Mood::Well));
        let is_known = self.hands.post.book().valid.contains(token);
        (if is_moody { mood } else { Mood::Well }, is_known)
    }

    /// Notes that somebody asks, and looks whether they may.
    fn begin(&self, target: &Target, told: &Notification) -> Asking<'_> {
        let hands = &*self.hands;
        let mut book = hands.post.book();
        let looked = book.looked_for(hands.life, told.conversation, &target.token);
        let at = looked.or_else(|| book.by_token(&target.token)).map(|registration| {
            let (now, life) = (book.now, hands.life);
            let is_late = book
                .snapshots
                .get(&(life, registration, told.conversation))
                .is_none_or(|looks| looks.last().is_none_or(|latest| latest.stalls < book.stalls_of(life)));
            book.asks.push(Ask {
                life,
                registration,
                conversation: told.conversation,
                kind: told.kind,
                seq: told.seq,
                at: now,
                is_accepted: false,
                is_lost: false,
                is_noted: false,
                is_excused: false,
                is_late,
            });
            book.asks.len() - 1
        });
        let may = check::pushes::may(&book, hands.life, &target.token, told);
        drop(book);
        hands.post.say(format!(
            "{} is asked: {} up to {} of {}, badge {}",
            self.kind,
            told.kind.as_str(),
            told.seq,
            told.conversation,
            told.badge
        ));
        if let Err(error) = may {
            hands.post.breaks(|| format!("{error:#}"));
        }
        Asking { hands, at, is_answered: false }
    }

    fn note_early(&self, target: &Target, told: &Notification) {
        let book = self.hands.post.book();
        let (Some(registration), Some(store)) = (book.by_token(&target.token), book.store.clone()) else { return };
        drop(book);
        let note = PushNote {
            registration,
            conversation: told.conversation,
            seq: told.seq,
            outcome: PushOutcome::Accepted,
            detail: String::new(),
            at: self.hands.powers.now(),
        };
        let _ = now_or_never(store.push().note_pushes(vec![note]));
    }

    async fn answer(&self, asking: &Asking<'_>, mood: Mood, is_known: bool) -> Answer {
        let hands = &*self.hands;
        let way = hands.chance(|random| if random.one_in(3) { random.next() % 2000 } else { 0 });
        if way > 0 {
            hands.timers.sleep(way).await;
        }
        match mood {
            Mood::Later => return Answer::Later { after: None, reason: "busy".into() },
            Mood::LaterAfter => {
                let after = hands.chance(|random| Duration::from_secs(random.next() % 90));
                return Answer::Later { after: Some(after), reason: "429".into() };
            }
            Mood::Hangs => hands.timers.sleep(60_000).await,
            Mood::Refuses => return Answer::Refused("too large".into()),
            Mood::Forgets => return Answer::Unregistered("unknown token".into()),
            _ if !is_known => return Answer::Unregistered("unknown token".into()),
            Mood::Well | Mood::Twice | Mood::Loses | Mood::Late => {}
        }
        asking.change(|ask| (ask.is_accepted, ask.is_lost) = (true, mood == Mood::Loses));
        hands.post.say(format!("{} has taken it: {mood:?}", self.kind));
        if mood == Mood::Late {
            hands.timers.sleep(hands.chance(|random| 8000 + random.next() % 12_000)).await;
        }
        Answer::Accepted { id: None }
    }
}

impl Provider for SimProvider {
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }

    fn send<'a>(&'a self, target: &'a Target, told: &'a Notification) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            self.hands.step("a provider is asked").await;
            let mut asking = self.begin(target, told);
            let bug = self.hands.post.book().bug;
            if bug == Some(NotifyBug::NotedBeforeSent) && told.kind == NotificationKind::Message {
                self.note_early(target, told);
            }
            let (mood, is_known) = self.mood(&target.token);
            let answer = self.answer(&asking, mood, is_known).await;
            self.hands.step("a provider has answered").await;
            if let (Answer::Refused(_), Some(at)) = (&answer, asking.at) {
                let mut book = self.hands.post.book();
                let key = book.asks.get(at).map(|ask| (ask.registration, ask.conversation));
                book.refused.extend(key);
            }
            asking.is_answered = true;
            answer
        })
    }

    fn withdraws(&self) -> bool {
        self.kind != PushProvider::Webpush
    }
}
