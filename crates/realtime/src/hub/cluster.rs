//! One server of several: what is told here goes to the others too, and what they tell is told here.

use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tertulia_proto::{ConversationId, DeviceId, Rev, ServerId, Timestamp, UserId};

use super::{Hub, State, Told};
use crate::bus::Bus;
use crate::connection::{Connection, ConnectionId};
use crate::lane::Closing;
use crate::news::{Membership, News};
use crate::order::{Item, Order};

pub(super) struct Cluster {
    bus: Arc<dyn Bus>,
    /// Held while news is told here, so that it is told in this order.
    order: Mutex<Order>,
}

impl Cluster {
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus, order: Mutex::default() }
    }
}

impl Hub {
    /// A commit of this server, in commit order, to whom it concerns here. [`Hub::hand_on`] follows.
    pub fn tell(&self, news: impl IntoIterator<Item = News>) {
        match &self.cluster {
            None => news.into_iter().for_each(|one| self.tell_here(one)),
            Some(cluster) => {
                let mut order = cluster.order.lock();
                for one in news {
                    order.take(Item::News(one), &mut |next| self.tell_here(next));
                }
            }
        }
    }

    /// Answers who made a change with this `rev`, as soon as what stands before it has been told here. `answer` must not block.
    pub fn answer(&self, conversation: ConversationId, rev: Rev, answer: Box<dyn FnOnce() + Send>) {
        match &self.cluster {
            None => answer(),
            Some(cluster) => {
                let mut order = cluster.order.lock();
                order.take(Item::Answer(conversation, rev, answer), &mut |next| self.tell_here(next));
            }
        }
    }

    /// To the other servers.
    pub fn hand_on(&self, news: Vec<News>) {
        if let Some(cluster) = &self.cluster
            && !news.is_empty()
        {
            cluster.bus.publish(news);
        }
    }

    /// Whether the other servers can be heard.
    pub fn set_alone(&self, is_alone: bool) {
        if let Some(cluster) = &self.cluster {
            cluster.order.lock().set_alone(is_alone, &mut |next| self.tell_here(next));
        }
    }

    /// What another server tells.
    pub fn hear(&self, from: ServerId, news: Vec<News>, now: Timestamp) {
        let Some(cluster) = &self.cluster else { return };
        let mut order = cluster.order.lock();
        for one in news {
            match one {
                News::Presence { user, online, last_seen_at } => {
                    self.state.lock().is_elsewhere(from, user, online, last_seen_at);
                }
                News::Typing { typing, starts } => self.typing_here(typing, starts, now),
                other => order.take(Item::News(other), &mut |next| self.tell_here(next)),
            }
        }
    }

    /// A tenth of a second has passed: what waited in vain for what should stand before it is told.
    pub fn wait_no_longer(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.order.lock().tick(&mut |next| self.tell_here(next));
        }
    }

    /// The log is another one now (it was put back, or its home failed over and lost something): no `rev` says anything any more, and everybody connects
    /// anew, to be told so.
    pub fn start_over(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.order.lock().forget(&mut |next| self.tell_here(next));
        }
        self.close_all(Closing::Restarting);
    }

    pub const fn is_in_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// Ends when nothing more will be done for an earlier connection of the device at another server; see [`Bus::claim_device`].
    pub async fn claim_device(&self, user: UserId, device: DeviceId, connection: ConnectionId) {
        if let Some(cluster) = &self.cluster {
            cluster.bus.claim_device(user, device, connection).await;
        }
    }

    /// The device is connected at another server now, and this connection of it, and those before it, are not its newest. When this returns, nothing more is
    /// executed for them; what they had submitted may not be committed yet.
    pub fn retire(&self, user: UserId, device: DeviceId, connection: ConnectionId, now: Timestamp) {
        let known = |hub: &Self| {
            let state = hub.state.lock();
            let older = |one: &&Arc<Connection>| one.device == Some(device) && one.id <= connection;
            state.connections_of(user).iter().find(older).cloned()
        };
        while let Some(connection) = known(self) {
            self.detach(&connection, now);
            connection.retire();
        }
    }

    /// All who are at another server: what was known of it before is forgotten.
    pub fn are_elsewhere(&self, server: ServerId, people: &[UserId], now: Timestamp) {
        let mut state = self.state.lock();
        let there: HashSet<&UserId> = people.iter().collect();
        let gone: Vec<UserId> = state
            .elsewhere
            .iter()
            .filter(|(user, servers)| servers.contains(&server) && !there.contains(user))
            .map(|(user, _)| *user)
            .collect();
        for user in gone {
            state.is_elsewhere(server, user, false, Some(now));
        }
        for user in people {
            state.is_elsewhere(server, *user, true, None);
        }
    }

    /// Who of the people here watches somebody.
    pub fn watching(&self) -> Vec<UserId> {
        let state = self.state.lock();
        let mut all: Vec<UserId> = state.watchers.values().flatten().map(|connection| connection.user).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Who is here.
    pub fn people(&self) -> Vec<UserId> {
        self.state.lock().people.keys().copied().collect()
    }

    /// The latest `rev` of a conversation that was told here, where it is remembered.
    pub fn told(&self, conversation: ConversationId) -> Option<Rev> {
        self.cluster.as_ref()?.order.lock().told(conversation)
    }

    /// The log says that somebody hears of a conversation, or no longer, as of this `rev`: put right here, unless something later is known. `true`: it
    /// was wrong here.
    pub fn correct(&self, user: UserId, conversation: ConversationId, rev: Rev, membership: Membership) -> bool {
        let mut was_wrong = false;
        let mut apply = || {
            let mut state = self.state.lock();
            let is_in = state.rooms.get(&conversation).is_some_and(|room| room.contains(&user));
            let is_loaded = state.people.get(&user).is_some_and(|online| online.before_load.is_none());
            was_wrong = is_loaded && is_in != (membership == Membership::Joined);
            state.fact(user, conversation, membership);
        };
        match &self.cluster {
            Some(cluster) => {
                let mut order = cluster.order.lock();
                order.catch_up(user, conversation, rev, apply, &mut |next| self.tell_here(next));
            }
            None => apply(),
        }
        was_wrong
    }

    /// These may have missed something: their connections here ask for the difference.
    pub fn need_sync_of(&self, people: &[UserId]) {
        let publication = Arc::new(super::Publication::new(super::ServerEvent::SyncNeeded {}));
        let state = self.state.lock();
        for user in people {
            state.deliver_to(*user, &publication, &mut |_| ());
        }
    }

    fn tell_here(&self, news: News) {
        match news {
            News::Conversation { conversation, except, message, publication, .. } => match (&self.witness, message) {
                (Some(witness), Some(message)) => {
                    let mut told = Told::default();
                    self.state.lock().deliver(conversation, &publication, &except, &mut |to| told.add(to));
                    // Another server's message at one where nobody hears it is no news to anybody.
                    if told.count > 0 || publication.event().is_some() {
                        witness.told(conversation, message, told);
                    }
                }
                _ => self.state.lock().deliver(conversation, &publication, &except, &mut |_| ()),
            },
            News::Person { user, publication, .. } => {
                self.state.lock().deliver_to(user, &publication, &mut |_| ());
            }
            News::Membership { user, conversation, membership, .. } => {
                self.state.lock().fact(user, conversation, membership);
            }
            News::SessionEnded { session } => self.end_session(session),
            News::ForbidWatching { user, watcher } => self.forbid_watching_here(user, watcher),
            // Signs have no place in the log: what is told here about people here was told when it was so.
            News::Presence { .. } | News::Typing { .. } => {}
        }
    }
}

impl State {
    fn is_elsewhere(&mut self, server: ServerId, user: UserId, online: bool, last_seen_at: Option<Timestamp>) {
        let changed = match self.elsewhere.entry(user) {
            Entry::Vacant(place) if online => {
                place.insert(vec![server]);
                true
            }
            Entry::Vacant(_) => false,
            Entry::Occupied(mut place) => {
                place.get_mut().retain(|known| *known != server);
                if online {
                    place.get_mut().push(server);
                }
                let gone = place.get().is_empty();
                if gone {
                    place.remove();
                }
                gone
            }
        };
        if changed && !self.people.contains_key(&user) {
            self.tell_watchers(user, online, last_seen_at);
        }
    }
}
