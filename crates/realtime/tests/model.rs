//! The hub against a model of it that is too simple to be wrong, over random operations.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic, in its helpers too")]

mod house;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use house::{LATER, NOW, Told, conversation, receipt, session, told, user};
use proptest::prelude::*;
use tertulia_proto::{Limits, Timestamp};
use tertulia_realtime::{Connection, Hub, HubCounts, Membership};

const PEOPLE: u32 = 4;
const ROOMS: u32 = 3;
const PER_PERSON_MAX: usize = 3;
const TYPING_EXPIRY_MS: i64 = 6000;

#[derive(Debug, Clone)]
enum Step {
    Attach(u32),
    /// Hands over what the log said at that moment; `true`: as it was when the person came.
    Load(u32, bool),
    Detach(usize),
    Join(u32, u32),
    Leave(u32, u32),
    Deliver(u32, Option<u32>),
    DeliverTo(u32),
    Typing(u32, u32, bool),
    Pass(i64),
    Watch(usize, u32),
    Forbid(u32, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let (person, room, connection) = (0..PEOPLE, 0..ROOMS, 0_usize..8);
    prop_oneof![
        4 => person.clone().prop_map(Step::Attach),
        4 => (person.clone(), any::<bool>()).prop_map(|(person, early)| Step::Load(person, early)),
        2 => connection.clone().prop_map(Step::Detach),
        3 => (person.clone(), room.clone()).prop_map(|(person, room)| Step::Join(person, room)),
        2 => (person.clone(), room.clone()).prop_map(|(person, room)| Step::Leave(person, room)),
        6 => (room.clone(), proptest::option::of(person.clone())).prop_map(|(room, except)| Step::Deliver(room, except)),
        1 => person.clone().prop_map(Step::DeliverTo),
        3 => (person.clone(), room, any::<bool>()).prop_map(|(person, room, on)| Step::Typing(person, room, on)),
        2 => (0_i64..8000).prop_map(Step::Pass),
        2 => (connection, person.clone()).prop_map(|(connection, person)| Step::Watch(connection, person)),
        1 => (person.clone(), person).prop_map(|(person, watcher)| Step::Forbid(person, watcher)),
    ]
}

struct Client {
    person: u32,
    connection: Arc<Connection>,
    watches: BTreeSet<u32>,
    /// What the model says it has been told since it was last looked at: durable ones, then the latest of each sign.
    revs: Vec<Told>,
    signs: Vec<((u32, Option<u32>), Told)>,
}

#[derive(Default)]
struct Presence {
    loaded: bool,
    /// The log when the first connection came.
    early: BTreeSet<u32>,
}

struct World {
    hub: Hub,
    now: Timestamp,
    rev: i64,
    /// The log: who is where.
    members: BTreeSet<(u32, u32)>,
    people: BTreeMap<u32, Presence>,
    clients: Vec<Client>,
    typing: BTreeMap<(u32, u32), Timestamp>,
}

impl World {
    fn new() -> Self {
        let expiry = u64::try_from(TYPING_EXPIRY_MS).unwrap();
        let limits = Limits { connections_per_user_max: PER_PERSON_MAX, typing_expiry_ms: expiry, ..Limits::default() };
        Self {
            hub: Hub::new(limits),
            now: NOW,
            rev: 0,
            members: BTreeSet::new(),
            people: BTreeMap::new(),
            clients: Vec::new(),
            typing: BTreeMap::new(),
        }
    }

    fn hears(&self, person: u32, room: u32) -> bool {
        self.people.get(&person).is_some_and(|presence| presence.loaded) && self.members.contains(&(person, room))
    }

    fn rooms_of(&self, person: u32) -> BTreeSet<u32> {
        self.members.iter().filter(|(member, _)| *member == person).map(|(_, room)| *room).collect()
    }

    fn sign(&mut self, to: impl Fn(&Client) -> bool, key: (u32, Option<u32>), told: &Told) {
        for client in self.clients.iter_mut().filter(|client| to(client)) {
            client.signs.retain(|(known, _)| *known != key);
            client.signs.push((key, told.clone()));
        }
    }

    fn tell_typing(&mut self, person: u32, room: u32, on: bool) {
        let hearers: Vec<u32> = (0..PEOPLE).filter(|other| *other != person && self.hears(*other, room)).collect();
        self.sign(|client| hearers.contains(&client.person), (person, Some(room)), &Told::Typing(user(person), on));
    }

    fn tell_watchers(&mut self, person: u32, online: bool) {
        self.sign(|client| client.watches.contains(&person), (person, None), &Told::Presence(user(person), online));
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Attach(person) => self.attach(person),
            Step::Load(person, early) => self.load(person, early),
            Step::Detach(index) if index < self.clients.len() => self.detach(index),
            Step::Join(person, room) => {
                self.members.insert((person, room));
                self.hub.membership(user(person), conversation(room), Membership::Joined);
            }
            Step::Leave(person, room) => {
                self.members.remove(&(person, room));
                self.hub.membership(user(person), conversation(room), Membership::Left);
                if self.people.get(&person).is_some_and(|presence| presence.loaded)
                    && self.typing.remove(&(person, room)).is_some()
                {
                    self.tell_typing(person, room, false);
                }
            }
            Step::Deliver(room, except) => self.deliver(room, except),
            Step::DeliverTo(person) => {
                self.rev += 1;
                self.hub.deliver_to(user(person), receipt(conversation(0), self.rev));
                let told = Told::Rev(self.rev);
                self.clients
                    .iter_mut()
                    .filter(|client| client.person == person)
                    .for_each(|client| client.revs.push(told.clone()));
            }
            Step::Typing(person, room, on) => self.type_or_stop(person, room, on),
            Step::Pass(ms) => self.pass(ms),
            Step::Watch(index, person) if index < self.clients.len() => {
                assert!(self.hub.watch(&self.clients[index].connection, &[user(person)]));
                self.clients[index].watches = BTreeSet::from([person]);
            }
            Step::Forbid(person, watcher) => {
                self.hub.forbid_watching(user(person), user(watcher));
                let watchers = self.clients.iter_mut().filter(|client| client.person == watcher);
                watchers.for_each(|client| client.watches.retain(|watched| *watched != person));
            }
            Step::Detach(_) | Step::Watch(..) => {}
        }
    }

    fn attach(&mut self, person: u32) {
        let count = self.clients.iter().filter(|client| client.person == person).count();
        let attached = self.hub.attach(user(person), None, session(person), LATER);
        if count == PER_PERSON_MAX {
            assert!(attached.is_err());
            return;
        }
        let (connection, needs_load) = attached.unwrap();
        connection.lane.release();
        assert_eq!(needs_load, !self.people.get(&person).is_some_and(|presence| presence.loaded));
        if count == 0 {
            self.people.insert(person, Presence { loaded: false, early: self.rooms_of(person) });
            self.tell_watchers(person, true);
        }
        self.clients.push(Client { person, connection, watches: BTreeSet::new(), revs: Vec::new(), signs: Vec::new() });
    }

    fn load(&mut self, person: u32, early: bool) {
        let now = self.rooms_of(person);
        let Some(presence) = self.people.get_mut(&person) else { return };
        let snapshot = if early { &presence.early } else { &now };
        self.hub.loaded(user(person), snapshot.iter().map(|room| conversation(*room)).collect());
        presence.loaded = true;
    }

    fn detach(&mut self, index: usize) {
        let client = self.clients.remove(index);
        let last = !self.clients.iter().any(|other| other.person == client.person);
        assert_eq!(self.hub.detach(&client.connection, self.now), last);
        if last {
            let was_loaded = self.people.remove(&client.person).is_some_and(|presence| presence.loaded);
            if was_loaded {
                for room in self.rooms_of(client.person) {
                    if self.typing.remove(&(client.person, room)).is_some() {
                        self.tell_typing(client.person, room, false);
                    }
                }
            }
            self.tell_watchers(client.person, false);
        }
    }

    fn deliver(&mut self, room: u32, except: Option<u32>) {
        self.rev += 1;
        self.hub.deliver(conversation(room), receipt(conversation(room), self.rev), except.map(user).as_slice());
        let told = Told::Rev(self.rev);
        let hearers: Vec<u32> =
            (0..PEOPLE).filter(|person| Some(*person) != except && self.hears(*person, room)).collect();
        self.clients
            .iter_mut()
            .filter(|client| hearers.contains(&client.person))
            .for_each(|client| client.revs.push(told.clone()));
    }

    fn type_or_stop(&mut self, person: u32, room: u32, on: bool) {
        // The service lets only members.
        if !self.members.contains(&(person, room)) {
            return;
        }
        self.hub.typing(conversation(room), user(person), "somebody".into(), on, self.now);
        let was = if on {
            self.typing.insert((person, room), self.now.plus_ms(TYPING_EXPIRY_MS));
            true
        } else {
            self.typing.remove(&(person, room)).is_some()
        };
        if was {
            self.tell_typing(person, room, on);
        }
    }

    fn pass(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
        self.hub.expire_signs(self.now);
        let over: Vec<(u32, u32)> =
            self.typing.iter().filter(|(_, until)| **until <= self.now).map(|(key, _)| *key).collect();
        for (person, room) in over {
            self.typing.remove(&(person, room));
            self.tell_typing(person, room, false);
        }
    }

    fn check(&mut self) {
        for client in &mut self.clients {
            let mut expected = std::mem::take(&mut client.revs);
            let mut signs: Vec<Told> = client.signs.drain(..).map(|(_, told)| told).collect();
            let mut got = told(&client.connection);
            let mut got_signs = got.split_off(expected.len().min(got.len()));
            // Signs that expire at once come in the order of ids, which says nothing.
            let order = |told: &Told| format!("{told:?}");
            signs.sort_by_key(order);
            got_signs.sort_by_key(order);
            assert_eq!(got, expected, "person {}", client.person);
            expected.clear();
            assert_eq!(got_signs, signs, "person {}", client.person);
        }
        let rooms = (0..ROOMS).filter(|room| (0..PEOPLE).any(|person| self.hears(person, *room))).count();
        let counts = HubCounts { connections: self.clients.len(), people: self.people.len(), conversations: rooms };
        assert_eq!(self.hub.counts(), counts);
        for person in 0..PEOPLE {
            assert_eq!(self.hub.is_online(user(person)), self.people.contains_key(&person));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_hub_does_what_its_model_does(steps in proptest::collection::vec((step(), any::<bool>()), 1..80)) {
        let mut world = World::new();
        for (step, look) in &steps {
            world.step(step);
            if *look {
                world.check();
            }
        }
        world.check();
        while !world.clients.is_empty() {
            world.detach(0);
        }
        prop_assert_eq!(world.hub.counts(), HubCounts::default());
    }
}
