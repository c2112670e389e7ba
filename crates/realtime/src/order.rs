//! News of one conversation comes from several servers, each in its own time; here it is put in the order of the log again.
//!
//! Every change of a conversation has the next `rev`. What comes with a later one waits a moment for those before it; if they do not come, they are lost,
//! and what waited goes on: the clients see the jump and ask for the difference.

use std::collections::{BTreeMap, HashMap};

use tertulia_proto::{ConversationId, Rev, ServerEvent, UserId};

use crate::news::{Membership, News};

/// Ticks that news waits at least for what should stand before it. A tick is a tenth of a second.
const PATIENCE: u64 = 1;

/// News that waits, of one conversation and of all. More goes on at once.
const PARKED_OF_ONE_MAX: usize = 256;
const PARKED_MAX: usize = 16_384;

/// Ticks after which an idle conversation's place is forgotten, and conversations remembered at most: some 100 bytes each.
const IDLE: u64 = 6000;
const REMEMBERED_MAX: usize = 200_000;

/// Facts of one conversation that are remembered, so that a late one does not undo a later one.
const FACTS_MAX: usize = 32;

/// What has a place in the order.
pub(crate) enum Item {
    News(News),
    /// The answer to who made the change, before the change is told: who reads the answer has been told everything before it.
    Answer(ConversationId, Rev, Box<dyn FnOnce() + Send>),
}

#[derive(Default)]
struct Line {
    /// What comes next is one above it.
    last: Rev,
    /// Of the latest change that was told here as one.
    told: Option<Rev>,
    parked: BTreeMap<Rev, Vec<Item>>,
    parked_count: usize,
    parked_at: u64,
    facts: Vec<(UserId, Rev)>,
    touched_at: u64,
}

#[derive(Default)]
pub(crate) struct Order {
    lines: HashMap<ConversationId, Line>,
    /// Conversations in which something waits.
    waiting: Vec<ConversationId>,
    parked: usize,
    now: u64,
    /// The other servers can't be heard: there is nothing to wait for.
    is_alone: bool,
}

impl Order {
    /// Takes one item and gives to `on` what may be told now, in order.
    pub fn take(&mut self, item: Item, on: &mut impl FnMut(News)) {
        let Some((conversation, rev)) = place(&item) else { return item.go(on) };
        if !self.lines.contains_key(&conversation) && self.lines.len() >= REMEMBERED_MAX {
            return item.go(on);
        }
        let now = self.now;
        // Of a first one nothing is known of what stands before it.
        let line = self.lines.entry(conversation).or_insert_with(|| Line { last: rev, ..Line::default() });
        line.touched_at = now;
        if self.is_alone || rev <= line.last + 1 {
            line.go_on(item, on);
            self.parked -= line.release_next(on);
            return;
        }
        if line.parked.is_empty() {
            line.parked_at = now;
            self.waiting.push(conversation);
        }
        line.parked.entry(rev).or_default().push(item);
        line.parked_count += 1;
        self.parked += 1;
        if line.parked_count > PARKED_OF_ONE_MAX || self.parked > PARKED_MAX {
            self.parked -= line.release_all(on);
        }
    }

    /// A tenth of a second has passed: what has waited long enough goes on.
    pub fn tick(&mut self, on: &mut impl FnMut(News)) {
        self.now += 1;
        let now = self.now;
        let (lines, parked) = (&mut self.lines, &mut self.parked);
        self.waiting.retain(|conversation| {
            let Some(line) = lines.get_mut(conversation) else { return false };
            if now - line.parked_at > PATIENCE {
                *parked -= line.release_all(on);
            }
            !line.parked.is_empty()
        });
        if now.is_multiple_of(IDLE / 10) {
            self.lines.retain(|_, line| !line.parked.is_empty() || now - line.touched_at < IDLE);
        }
    }

    /// Whether the other servers can be heard. Where they can't, nothing waits.
    pub fn set_alone(&mut self, is_alone: bool, on: &mut impl FnMut(News)) {
        self.is_alone = is_alone;
        for conversation in std::mem::take(&mut self.waiting) {
            if let Some(line) = self.lines.get_mut(&conversation) {
                self.parked -= line.release_all(on);
            }
        }
    }

    /// The latest change of a conversation that was told here, where it is remembered.
    pub fn told(&self, conversation: ConversationId) -> Option<Rev> {
        self.lines.get(&conversation)?.told
    }

    /// The log was asked: all up to this `rev` is known to have happened, and who was not told will ask. `apply` is called where a fact about this person
    /// as of it is news, before what waited for it is told.
    pub fn catch_up(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        rev: Rev,
        apply: impl FnOnce(),
        on: &mut impl FnMut(News),
    ) {
        let Some(line) = self.lines.get_mut(&conversation) else { return apply() };
        if line.is_news(user, rev) {
            apply();
        }
        line.last = line.last.max(rev);
        line.told = line.told.max(Some(rev));
        self.parked -= line.release_next(on);
    }

    /// The log has gone back: what is remembered is of another one.
    pub fn forget(&mut self, on: &mut impl FnMut(News)) {
        for line in self.lines.values_mut() {
            line.release_all(on);
        }
        *self = Self { now: self.now, is_alone: self.is_alone, ..Self::default() };
    }
}

impl Item {
    fn go(self, on: &mut impl FnMut(News)) {
        match self {
            Self::News(news) => on(news),
            Self::Answer(_, _, answer) => answer(),
        }
    }
}

impl Line {
    fn go_on(&mut self, item: Item, on: &mut impl FnMut(News)) {
        match item {
            Item::News(News::Conversation { rev, .. }) => {
                self.last = self.last.max(rev);
                self.told = self.told.max(Some(rev));
            }
            Item::News(News::Membership { user, conversation, rev, membership }) => {
                if !self.is_news(user, rev) {
                    return;
                }
                item.go(on);
                // What came after it has been told already, not to who joins only now.
                if rev < self.last && membership == Membership::Joined {
                    on(News::personal(user, conversation, rev, ServerEvent::SyncNeeded {}));
                }
                return;
            }
            _ => {}
        }
        item.go(on);
    }

    /// Whether nothing later is known of this person here.
    fn is_news(&mut self, user: UserId, rev: Rev) -> bool {
        if self.facts.iter().any(|(known, at)| *known == user && *at > rev) {
            return false;
        }
        self.facts.retain(|(known, _)| *known != user);
        if self.facts.len() >= FACTS_MAX {
            self.facts.remove(0);
        }
        self.facts.push((user, rev));
        true
    }

    /// What waited for the change that just went on. The number of pieces of news.
    fn release_next(&mut self, on: &mut impl FnMut(News)) -> usize {
        let before = self.parked_count;
        while let Some(entry) = self.parked.first_entry()
            && *entry.key() <= self.last + 1
        {
            let items = entry.remove();
            self.parked_count -= items.len();
            items.into_iter().for_each(|one| self.go_on(one, on));
        }
        before - self.parked_count
    }

    fn release_all(&mut self, on: &mut impl FnMut(News)) -> usize {
        for (_, items) in std::mem::take(&mut self.parked) {
            items.into_iter().for_each(|one| self.go_on(one, on));
        }
        std::mem::take(&mut self.parked_count)
    }
}

fn place(item: &Item) -> Option<(ConversationId, Rev)> {
    match item {
        Item::Answer(conversation, rev, _)
        | Item::News(
            News::Conversation { conversation, rev, .. }
            | News::Person { conversation, rev, .. }
            | News::Membership { conversation, rev, .. },
        ) => Some((*conversation, *rev)),
        Item::News(
            News::SessionEnded { .. } | News::Typing { .. } | News::Presence { .. } | News::ForbidWatching { .. },
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tertulia_proto::event::ReceiptUpdated;

    const HERE: ConversationId = ConversationId::from_bytes([1; 16]);

    fn change(rev: Rev) -> News {
        let receipt = ReceiptUpdated {
            conversation_id: HERE,
            user_id: UserId::from_bytes([2; 16]),
            delivered_seq: 0,
            read_seq: 0,
            rev,
        };
        News::event(HERE, rev, ServerEvent::ReceiptUpdated(receipt), &[])
    }

    fn fact(person: u8, rev: Rev, membership: Membership) -> News {
        News::Membership { user: UserId::from_bytes([person; 16]), conversation: HERE, rev, membership }
    }

    /// What has gone on, as text: the rev of a change, `+` or `-` and the rev of a fact, `sync`.
    #[derive(Default)]
    struct Told(Vec<String>);

    impl Told {
        fn note(&mut self, news: &News) {
            self.0.push(match news {
                News::Conversation { rev, .. } => rev.to_string(),
                News::Membership { rev, membership: Membership::Joined, .. } => format!("+{rev}"),
                News::Membership { rev, .. } => format!("-{rev}"),
                News::Person { .. } => "sync".into(),
                _ => "other".into(),
            });
        }
    }

    fn told(order: &mut Order, news: Vec<News>) -> Vec<String> {
        let mut told = Told::default();
        news.into_iter().for_each(|one| order.take(Item::News(one), &mut |news| told.note(&news)));
        told.0
    }

    fn tick(order: &mut Order) -> Vec<String> {
        let mut told = Told::default();
        order.tick(&mut |news| told.note(&news));
        told.0
    }

    #[test]
    fn what_comes_too_early_waits_for_what_stands_before_it() {
        let mut order = Order::default();
        assert_eq!(told(&mut order, vec![change(5)]), ["5"], "nothing is known of what stands before the first");
        assert_eq!(told(&mut order, vec![change(8), change(7)]), [""; 0]);
        assert_eq!(told(&mut order, vec![change(6)]), ["6", "7", "8"]);
        assert_eq!((order.told(HERE), order.parked), (Some(8), 0));
    }

    #[test]
    fn what_does_not_come_is_waited_for_in_vain_and_not_for_long() {
        let mut order = Order::default();
        assert_eq!(told(&mut order, vec![change(1), change(3), change(4)]), ["1"]);
        assert_eq!(tick(&mut order), [""; 0]);
        assert_eq!(tick(&mut order), ["3", "4"]);
        assert_eq!(told(&mut order, vec![change(2), change(5)]), ["2", "5"], "late, but not lost");
        assert_eq!((order.parked, order.waiting.len()), (0, 0));
    }

    #[test]
    fn facts_about_a_person_keep_their_order_however_they_come() {
        let mut order = Order::default();
        let (left, joined) = (fact(7, 2, Membership::Left), fact(7, 3, Membership::Joined));
        assert_eq!(told(&mut order, vec![change(1), joined.clone(), change(3)]), ["1"]);
        assert_eq!(told(&mut order, vec![left.clone(), change(2)]), ["-2", "2", "+3", "3"]);
        let mut order = Order::default();
        assert_eq!(told(&mut order, vec![joined, left]), ["+3"], "the later one is known already");
        assert_eq!(told(&mut order, vec![fact(8, 2, Membership::Left)]), ["-2"], "of somebody else nothing is");
    }

    #[test]
    fn who_joins_after_the_news_that_followed_is_told_to_ask() {
        let mut order = Order::default();
        assert_eq!(told(&mut order, vec![change(4), fact(7, 3, Membership::Joined)]), ["4", "+3", "sync"]);
    }

    #[test]
    fn what_only_some_hear_is_not_taken_for_what_all_were_told() {
        let mut order = Order::default();
        // Somebody opens a conversation that is there; its latest change was lost on the way here.
        assert_eq!(told(&mut order, vec![fact(7, 12, Membership::Joined)]), ["+12"]);
        assert_eq!(order.told(HERE), None);
        assert_eq!(told(&mut order, vec![change(13)]), ["13"]);
        assert_eq!(order.told(HERE), Some(13));
    }

    #[test]
    fn an_answer_waits_for_what_stands_before_its_change() {
        let mut order = Order::default();
        let (sender, answers) = std::sync::mpsc::channel();
        assert_eq!(told(&mut order, vec![change(1)]), ["1"]);
        order.take(Item::Answer(HERE, 3, Box::new(move || sender.send(()).unwrap_or_default())), &mut |_| ());
        assert_eq!(told(&mut order, vec![change(3)]), [""; 0]);
        assert!(answers.try_recv().is_err());
        assert_eq!(told(&mut order, vec![change(2)]), ["2", "3"]);
        assert!(answers.try_recv().is_ok());
    }

    #[test]
    fn where_nobody_else_is_heard_nothing_waits() {
        let mut order = Order::default();
        assert_eq!(told(&mut order, vec![change(1), change(3)]), ["1"]);
        let mut on = Told::default();
        order.set_alone(true, &mut |news| on.note(&news));
        assert_eq!(on.0, ["3"]);
        assert_eq!(told(&mut order, vec![change(9)]), ["9"]);
        order.set_alone(false, &mut |_| ());
        assert_eq!(told(&mut order, vec![change(11)]), [""; 0]);
        assert_eq!(order.parked, 1);
    }

    #[test]
    fn what_waits_has_a_bound() {
        let mut order = Order::default();
        let many = i64::try_from(PARKED_OF_ONE_MAX).unwrap_or(0) + 3;
        assert_eq!(told(&mut order, vec![change(1)]), ["1"]);
        let news: Vec<News> = (3..=many + 3).map(change).collect();
        let on = told(&mut order, news);
        assert!(on.len() > PARKED_OF_ONE_MAX, "{}", on.len());
        assert_eq!(order.parked, 0);
    }

    #[test]
    fn an_idle_conversation_is_forgotten() {
        let mut order = Order::default();
        told(&mut order, vec![change(1)]);
        for _ in 0..2 * IDLE {
            tick(&mut order);
        }
        assert_eq!(order.told(HERE), None);
    }

    proptest! {
        #[test]
        fn whatever_the_order_nothing_is_lost_and_what_is_not_late_is_in_order(
            revs in Just((1..40_i64).collect::<Vec<_>>()).prop_shuffle(),
            ticks in proptest::collection::vec(any::<bool>(), 39),
        ) {
            let mut order = Order::default();
            let mut on = told(&mut order, vec![change(0)]);
            for (rev, is_tick) in revs.iter().zip(ticks) {
                on.extend(told(&mut order, vec![change(*rev)]));
                if is_tick {
                    on.extend(tick(&mut order));
                }
            }
            on.extend(tick(&mut order));
            on.extend(tick(&mut order));
            let mut all: Vec<i64> = on.iter().filter_map(|text| text.parse().ok()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..40_i64).collect::<Vec<_>>());
        }

        #[test]
        fn without_a_tick_between_everything_is_in_order(
            revs in Just((1..40_i64).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut order = Order::default();
            let mut on = told(&mut order, vec![change(0)]);
            on.extend(told(&mut order, revs.into_iter().map(change).collect()));
            prop_assert_eq!(on, (0..40_i64).map(|rev| rev.to_string()).collect::<Vec<_>>());
        }
    }
}
