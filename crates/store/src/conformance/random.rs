//! A life of four people from one seed: two hundred things they do, in bursts, while their devices fetch differences page by page. Beside it the
//! [`Ledger`](super::ledger::Ledger) says what each should come to.

use tertulia_proto::{HistoryVisibility, Reaction};

use super::Home;
use super::ledger::{Ledger, Outcome, Talk};
use super::replica::Replica;
use super::world::{World, changed, code_of, opened};
use super::writes::sending;
use crate::*;

const STEPS: usize = 200;
const EMOJI: [&str; 3] = ["👍", "❤️", "😀"];

/// A linear congruential generator (Knuth's MMIX constants): the same seed is the same life, everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    fn of<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[self.below(things.len())]
    }
}

/// Tells the seed when the test dies.
struct Seed {
    seed: u64,
    step: usize,
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {} failed at step {} of {STEPS}; run it alone with `conformance::random::a_life(&home, {})`",
                self.seed, self.step, self.seed
            );
        }
    }
}

pub async fn a_random_life_keeps_the_promises(home: &impl Home) {
    for seed in 1..=12 {
        a_life(home, seed).await;
    }
}

/// One life; the same every time in a home without threads.
pub async fn a_life(home: &impl Home, seed: u64) {
    let mut told = Seed { seed, step: 0 };
    let mut chance = Chance(seed);
    let world = World::open(home).await;
    let people = world.people(["alice", "bob", "carol", "dave"]).await;
    let replicas = people.map(Replica::new);
    let mut listeners = people.map(Replica::new);
    listeners.iter_mut().for_each(|replica| replica.heard = Some(0));
    let mut life = Life { world, people, ledger: Ledger::default(), sent: Vec::new(), replicas, listeners };
    let begin = [
        life.world.creating_group(people[0], &people[1..], HistoryVisibility::Joined),
        life.world.creating_group(people[1], &people[2..], HistoryVisibility::All),
        life.world.opening_dm(people[0], people[3]),
    ];
    for write in begin {
        let outcome = life.ledger.book(&write);
        life.burst(vec![(write, outcome)]).await;
    }
    for step in 0..STEPS {
        told.step = step;
        match chance.below(10) {
            0..=5 => {
                let mut burst = Vec::new();
                for _ in 0..=chance.below(4) {
                    // Booked at once: a later write of the burst may be about what an earlier one made.
                    let write = life.any_write(&mut chance);
                    let outcome = life.ledger.book(&write);
                    burst.push((write, outcome));
                }
                life.burst(burst).await;
            }
            6..=8 => life.fetch(&mut chance).await,
            _ => {
                let person = chance.below(4);
                if chance.below(3) == 0 {
                    life.replicas[person] = Replica::new(life.people[person]);
                }
                life.check_replica(person, 1 + chance.below(3), 1 + chance.below(6)).await;
            }
        }
        life.listen(&mut chance).await;
        if step % 20 == 0 {
            life.check().await;
        }
    }
    life.check().await;
    for person in 0..4 {
        life.check_listener(person, 2, 3).await;
        life.check_replica(person, 2, 3).await;
        life.replicas[person] = Replica::new(life.people[person]);
        life.check_replica(person, 3, 1000).await;
    }
    life.check_search().await;
}

struct Life {
    world: World,
    people: [UserId; 4],
    ledger: Ledger,
    sent: Vec<AppendMessage>,
    replicas: [Replica; 4],
    /// These hear what happens, well or badly, and say what they hold.
    listeners: [Replica; 4],
}

impl Life {
    /// Something that somebody may or may not be allowed to do.
    fn any_write(&mut self, chance: &mut Chance) -> Write {
        let world = &self.world;
        let (actor, target) = (*chance.of(&self.people), *chance.of(&self.people));
        let talk = chance.of(&self.ledger.talks);
        let id = talk.id;
        let any_message = MessageId::from_bytes(world.id());
        let message = if talk.said.is_empty() { any_message } else { chance.of(&talk.said).id };
        let seq = chance.below(talk.said.len() + 3) as i64 - 1;
        let now = world.now();
        match chance.below(if talk.pair.is_some() { 64 } else { 90 }) {
            0..=24 => {
                let mut append = world.message(actor, id, &format!("text {}", self.sent.len()));
                if chance.below(4) == 0 {
                    append.reply_to = Some(message);
                }
                self.sent.push(append.clone());
                sending(&append)
            }
            25..=29 if !self.sent.is_empty() => sending(&world.again(chance.of(&self.sent))),
            25..=35 => Write::EditMessage {
                conversation: id,
                message,
                actor,
                body: format!("text edited {}", chance.below(3)),
                now,
            },
            36..=38 => Write::DeleteMessage { conversation: id, message, actor, now },
            39..=46 => {
                let (emoji, present) = (super::writes::emoji(EMOJI[chance.below(EMOJI.len())]), chance.below(3) > 0);
                Write::SetReaction { conversation: id, message, actor, emoji, present, per_message_max: 100, now }
            }
            47..=50 => world.receiving(actor, id, seq),
            51..=55 => world.reading(actor, id, seq),
            56..=57 => world.hiding(actor, id),
            58 => world.muting(actor, id, (seq > 0).then_some(now)),
            59 => world.renaming(actor, &format!("name {}", now.ms())),
            60..=61 if actor != target => world.opening_dm(actor, target),
            60..=63 if chance.below(8) == 0 => {
                let shows = *chance.of(&[HistoryVisibility::All, HistoryVisibility::Joined]);
                world.creating_group(actor, &[target].map(|one| if one == actor { self.people[0] } else { one }), shows)
            }
            60..=63 => world.receiving(actor, id, seq),
            64..=66 => world.titling(actor, id, &format!("title {}", chance.below(3))),
            67..=77 => world.adding(actor, id, target),
            78..=82 => world.removing(actor, id, target),
            83..=84 => world.leaving(actor, id, None),
            _ => world.giving_role(actor, id, target, *chance.of(&[Role::Member, Role::Admin, Role::Owner])),
        }
    }

    /// Submits all without waiting in between; each must come to what the ledger says.
    async fn burst(&mut self, booked: Vec<(Write, Outcome)>) {
        let (writes, outcomes): (Vec<Write>, Vec<Outcome>) = booked.into_iter().unzip();
        let results = self.world.burst(writes.clone()).await;
        for ((write, expected), result) in writes.iter().zip(outcomes).zip(&results) {
            assert!(came_to(result, expected), "{write:?}\nshould come to {expected:?}\nbut came to {result:?}");
        }
    }

    /// One page for somebody, of any size: others go on writing before the next.
    async fn fetch(&mut self, chance: &mut Chance) {
        let replica = &mut self.replicas[chance.below(4)];
        replica.page(&self.world, 1 + chance.below(3), 1 + chance.below(5)).await;
    }

    /// Each hears all, some or nothing of what happened; now and then somebody asks for a page, or for all.
    async fn listen(&mut self, chance: &mut Chance) {
        for replica in &mut self.listeners {
            match chance.below(8) {
                0 => replica.listen(&self.world, || chance.below(3) == 0),
                1 => replica.listen(&self.world, || true),
                _ => replica.listen_well(&self.world),
            }
        }
        match chance.below(8) {
            0 => self.check_listener(chance.below(4), 1 + chance.below(3), 1 + chance.below(6)).await,
            1 | 2 => {
                let replica = &mut self.listeners[chance.below(4)];
                replica.page(&self.world, 1 + chance.below(3), 1 + chance.below(5)).await;
            }
            _ => {}
        }
    }

    async fn check_listener(&mut self, person: usize, conversations_max: usize, messages_max: usize) {
        let replica = &mut self.listeners[person];
        replica.catch_up(&self.world, conversations_max, messages_max).await;
        replica.assert_fresh(&self.world, "who listens, with holes").await;
        replica.fill_holes(&self.world).await;
        replica.assert_fresh(&self.world, "who listens, without holes").await;
    }

    async fn check_replica(&mut self, person: usize, conversations_max: usize, messages_max: usize) {
        let replica = &mut self.replicas[person];
        replica.catch_up(&self.world, conversations_max, messages_max).await;
        replica.assert_fresh(&self.world, "with holes").await;
        replica.fill_holes(&self.world).await;
        replica.assert_fresh(&self.world, "without holes").await;
    }

    /// The store shows everybody what the ledger says.
    async fn check(&self) {
        for person in self.people {
            let mut listed: Vec<ConversationId> = self.world.list(person, 3).await.iter().map(|one| one.id).collect();
            listed.sort();
            let mut expected: Vec<ConversationId> = Vec::new();
            for talk in &self.ledger.talks {
                match talk.seats.get(&person) {
                    Some(seat) => {
                        self.check_talk(talk, person).await;
                        expected.extend((!seat.is_hidden).then_some(talk.id));
                    }
                    None => {
                        assert_eq!(self.world.store.conversation(person, talk.id).await.expect("the store reads"), None)
                    }
                }
            }
            expected.sort();
            assert_eq!(listed, expected, "the list");
        }
    }

    async fn check_talk(&self, talk: &Talk, person: UserId) {
        let seat = &talk.seats[&person];
        let view = self.world.view(person, talk.id).await;
        assert_eq!((view.last_seq, view.rev), (talk.last_seq(), talk.rev), "seq and rev are gap-free");
        assert_eq!(view.unread_count, talk.unread(person), "unread");
        assert_eq!(
            (view.my_role, view.hidden),
            (if talk.pair.is_some() { view.my_role } else { seat.role }, seat.is_hidden)
        );
        assert_eq!(view.member_count as usize, talk.seats.len());
        let mut rows: Vec<_> = view
            .members
            .iter()
            .flat_map(|all| all.iter())
            .map(|row| (row.user_id, row.delivered_seq, row.read_seq, row.rev <= talk.rev))
            .collect();
        rows.sort();
        let seats: Vec<_> =
            talk.seats.iter().map(|(person, seat)| (*person, seat.delivered, seat.read, true)).collect();
        assert_eq!(rows, seats, "the watermarks");
        let history = self.world.history(person, talk.id).await;
        assert_eq!(history.len() as i64, talk.last_seq() - seat.visible_after, "what one may see");
        let mut revs = std::collections::BTreeSet::new();
        for (seq, message) in (seat.visible_after + 1..).zip(&history) {
            let said = &talk.said[seq as usize - 1];
            assert_eq!((message.seq, message.message_id, message.sender_id), (seq, said.id, said.sender));
            assert_eq!((&message.body, message.deleted_at.is_some()), (&said.body, said.is_deleted));
            assert_eq!(message.reactions, aggregated(&said.reactions));
            assert!(message.rev <= talk.rev && revs.insert(message.rev), "each change has a rev of its own");
        }
    }

    async fn check_search(&self) {
        for person in self.people {
            let mut found: Vec<MessageId> =
                self.world.search(person, "text", None, 2000).await.iter().map(|hit| hit.message_id).collect();
            found.sort();
            let mut expected: Vec<MessageId> = Vec::new();
            for (talk, seat) in self.ledger.talks.iter().filter_map(|talk| Some((talk, talk.seats.get(&person)?))) {
                let visible = talk.said.iter().skip(seat.visible_after as usize);
                expected.extend(visible.filter(|said| !said.is_deleted).map(|said| said.id));
            }
            expected.sort();
            assert_eq!(found, expected, "what a search finds");
        }
    }
}

fn aggregated(reactions: &[(String, UserId)]) -> Vec<Reaction> {
    let mut all: Vec<Reaction> = Vec::new();
    for (emoji, person) in reactions {
        match all.iter_mut().find(|reaction| reaction.emoji.as_str() == emoji) {
            Some(reaction) => reaction.user_ids.push(*person),
            None => all.push(Reaction { emoji: super::writes::emoji(emoji), user_ids: vec![*person] }),
        }
    }
    all
}

fn came_to(result: &WriteResult, expected: Outcome) -> bool {
    match (result, expected) {
        (result, Outcome::Refused(code)) => code_of(result) == Some(code),
        (Ok(Effect::MessageAppended { message, fresh }), Outcome::Message { seq, rev, changed }) => {
            message.seq == seq && *fresh == changed && (message.rev == rev || (!changed && message.rev < rev))
        }
        (
            Ok(
                Effect::MessageEdited { message, changed: told, .. }
                | Effect::MessageDeleted { message, changed: told, .. },
            ),
            Outcome::Message { seq, rev, changed },
        ) => message.seq == seq && *told == changed && (message.rev == rev || (!changed && message.rev < rev)),
        (Ok(Effect::MemberRemoved { rev, member, .. }), Outcome::Change { rev: expected, .. }) => {
            (*rev, member.rev, member.removed) == (expected, expected, true)
        }
        (Ok(effect @ Effect::ConversationOpened { views, .. }), Outcome::Change { rev, changed: expected }) => {
            changed(effect) == expected && views[0].1.rev == rev && opened(effect) == views[0].1.id
        }
        (Ok(effect), Outcome::Change { rev: expected, changed: is_change }) => {
            changed(effect) == is_change
                && rev_of(effect).is_none_or(|rev| rev == expected || (!is_change && rev <= expected))
        }
        (Ok(_), Outcome::Done) => true,
        _ => false,
    }
}

fn rev_of(effect: &Effect) -> Option<i64> {
    match effect {
        Effect::ReactionsChanged { rev, .. }
        | Effect::WatermarksAdvanced { rev, .. }
        | Effect::TitleChanged { rev, .. }
        | Effect::MemberAdded { rev, .. }
        | Effect::RoleChanged { rev, .. } => Some(*rev),
        _ => None,
    }
}
