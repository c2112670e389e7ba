//! People, their connections and their conversations, on this server, and who is at the others ([`cluster`]).
//!
//! Membership facts arrive in commit order, as events do; so an event reaches exactly those who were members when it was committed. A person's
//! conversations are loaded when the first connection arrives; facts that come during the load are kept and applied after it.

mod cluster;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tertulia_proto::event::{Presence, Typing};
use tertulia_proto::{ConversationId, DeviceId, Limits, ServerEvent, ServerId, SessionId, Timestamp, UserId};

use self::cluster::Cluster;
use crate::bus::Bus;
use crate::connection::{Connection, ConnectionId};
use crate::lane::{Closing, LaneLimits, SignKey};
use crate::news::{Membership, News};
use crate::publication::Publication;
use crate::signs::Signs;
use crate::witness::{Told, Witness};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    #[error("connections: over the limit of {0} of one person")]
    TooManyOfUser(usize),
    #[error("connections: over the limit of {0} of this server")]
    TooMany(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HubCounts {
    pub connections: usize,
    pub people: usize,
    pub conversations: usize,
}

#[derive(Default)]
struct Online {
    connections: Vec<Arc<Connection>>,
    conversations: Vec<ConversationId>,
    /// Facts that came before the conversations were loaded; `None` afterwards.
    before_load: Option<Vec<(ConversationId, Membership)>>,
}

#[derive(Default)]
struct State {
    people: HashMap<UserId, Online>,
    /// Who of a conversation is connected here.
    rooms: HashMap<ConversationId, Vec<UserId>>,
    watchers: HashMap<UserId, Vec<Arc<Connection>>>,
    signs: Signs,
    connections: usize,
    /// At which other servers somebody is.
    elsewhere: HashMap<UserId, Vec<ServerId>>,
    /// The server stops: whoever still comes is sent away with this.
    shut: Option<Closing>,
}

pub struct Hub {
    state: Mutex<State>,
    limits: Limits,
    next_id: AtomicU64,
    /// `None`: there is no other server.
    cluster: Option<Cluster>,
    witness: Option<Arc<dyn Witness>>,
}

impl Hub {
    /// Of the only server.
    pub fn new(limits: Limits) -> Self {
        Self { state: Mutex::new(State::default()), limits, next_id: AtomicU64::new(1), cluster: None, witness: None }
    }

    /// Of one server of several.
    pub fn in_cluster(limits: Limits, bus: Arc<dyn Bus>) -> Self {
        Self { cluster: Some(Cluster::new(bus)), ..Self::new(limits) }
    }

    /// `witness` hears of every new message to whom it was handed here.
    #[must_use]
    pub fn witnessed_by(self, witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// Registers a connection. With `true` the caller loads the person's conversations and hands them to [`Hub::loaded`] before it tells the client
    /// that it is connected, and lets the lane go (`Lane::release`): what is committed after that arrives live, what was committed before is in the difference.
    ///
    /// An older connection of the same person and device is no longer here when this returns, and nothing more is executed for it; what it had submitted
    /// may not be committed yet.
    ///
    /// After [`Hub::shut`] the connection is one that ends at once, whatever the limits.
    pub fn attach(
        &self,
        user: UserId,
        device: Option<DeviceId>,
        session: SessionId,
        expires_at: Timestamp,
    ) -> Result<(Arc<Connection>, bool), AttachError> {
        let lane = LaneLimits { frames_max: self.limits.lane_max_frames, bytes_max: self.limits.lane_max_bytes };
        let id = ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let in_flight_max = self.limits.in_flight_max;
        let connection = Arc::new(Connection::new(id, user, device, session, expires_at.ms(), lane, in_flight_max));
        // Until the client has been told that it is connected: nothing may come before that.
        connection.lane.hold();
        let mut state = self.state.lock();
        let older = state.connections_of(user).iter().find(|older| device.is_some() && older.device == device).cloned();
        let freed = usize::from(older.is_some());
        let shut = state.shut;
        if shut.is_none() && state.connections - freed >= self.limits.connections_max {
            return Err(AttachError::TooMany(self.limits.connections_max));
        }
        if shut.is_none() && state.connections_of(user).len() - freed >= self.limits.connections_per_user_max {
            return Err(AttachError::TooManyOfUser(self.limits.connections_per_user_max));
        }
        let online =
            state.people.entry(user).or_insert_with(|| Online { before_load: Some(Vec::new()), ..Online::default() });
        let first = online.connections.is_empty();
        online.connections.push(Arc::clone(&connection));
        if let Some(closing) = shut {
            connection.lane.close(closing);
        }
        let needs_load = online.before_load.is_some();
        state.connections += 1;
        if first {
            self.hand_on(vec![News::Presence { user, online: true, last_seen_at: None }]);
            if !state.elsewhere.contains_key(&user) {
                state.tell_watchers(user, true, None);
            }
        }
        if let Some(older) = older {
            state.forget(&older);
            connection.replace(older);
        }
        drop(state);
        // Without the lock: what is being executed may want it.
        connection.retire_older();
        Ok((connection, needs_load))
    }

    pub fn loaded(&self, user: UserId, conversations: Vec<ConversationId>) {
        let mut state = self.state.lock();
        let Some(online) = state.people.get_mut(&user) else { return };
        let Some(facts) = online.before_load.take() else { return };
        let mut all = conversations;
        for (conversation, membership) in facts {
            all.retain(|known| *known != conversation);
            if membership == Membership::Joined {
                all.push(conversation);
            }
        }
        online.conversations.clone_from(&all);
        for conversation in all {
            let room = state.rooms.entry(conversation).or_default();
            if !room.contains(&user) {
                room.push(user);
            }
        }
    }

    /// Forgets a connection. `true` when it was the person's last one here.
    pub fn detach(&self, connection: &Connection, now: Timestamp) -> bool {
        let mut state = self.state.lock();
        if !state.forget(connection) || !state.connections_of(connection.user).is_empty() {
            return false;
        }
        if let Some(online) = state.people.remove(&connection.user) {
            for conversation in online.conversations {
                state.leave_room(conversation, connection.user);
            }
        }
        // Under the lock, so that the others hear of coming and going in the order in which it was.
        self.hand_on(vec![News::Presence { user: connection.user, online: false, last_seen_at: Some(now) }]);
        if !state.elsewhere.contains_key(&connection.user) {
            state.tell_watchers(connection.user, false, Some(now));
        }
        true
    }

    /// A fact of the log, in commit order.
    pub fn membership(&self, user: UserId, conversation: ConversationId, membership: Membership) {
        self.state.lock().fact(user, conversation, membership);
    }

    /// To every connection of every member here, but not to those of `except`.
    pub fn deliver(&self, conversation: ConversationId, event: ServerEvent, except: &[UserId]) {
        self.state.lock().deliver(conversation, &Arc::new(Publication::new(event)), except, &mut |_| ());
    }

    /// To every connection of one person.
    pub fn deliver_to(&self, user: UserId, event: ServerEvent) {
        self.state.lock().deliver_to(user, &Arc::new(Publication::new(event)), &mut |_| ());
    }

    pub fn end_session(&self, session: SessionId) {
        let state = self.state.lock();
        for connection in state.people.values().flat_map(|online| &online.connections) {
            if connection.session() == session {
                connection.lane.close(Closing::Unauthenticated);
            }
        }
    }

    /// Ends every connection, and each that still comes: whoever was on the way in when the server began to stop would else be served until the store
    /// closes, and never be told.
    pub fn shut(&self, closing: Closing) {
        self.state.lock().shut = Some(closing);
        self.close_all(closing);
    }

    /// Ends every connection; who comes back is served.
    pub fn close_all(&self, closing: Closing) {
        for online in self.state.lock().people.values() {
            for connection in &online.connections {
                connection.lane.close(closing);
            }
        }
    }

    /// Something may have been missed: everybody asks for the difference.
    pub fn need_sync(&self) {
        let publication = Arc::new(Publication::new(ServerEvent::SyncNeeded {}));
        for online in self.state.lock().people.values() {
            for connection in &online.connections {
                connection.lane.push_event(Arc::clone(&publication));
            }
        }
    }

    pub fn counts(&self) -> HubCounts {
        let state = self.state.lock();
        HubCounts { connections: state.connections, people: state.people.len(), conversations: state.rooms.len() }
    }

    /// Here or at another server.
    pub fn is_online(&self, user: UserId) -> bool {
        let state = self.state.lock();
        state.people.contains_key(&user) || state.elsewhere.contains_key(&user)
    }

    /// Somebody writes, or stopped; never told to themselves. Expires by itself ([`Hub::expire_signs`]).
    pub fn typing(&self, conversation: ConversationId, user: UserId, user_name: String, typing: bool, now: Timestamp) {
        let typing_now = Typing { conversation_id: conversation, user_id: user, user_name };
        self.hand_on(vec![News::Typing { typing: typing_now.clone(), starts: typing }]);
        self.typing_here(typing_now, typing, now);
    }

    fn typing_here(&self, typing: Typing, starts: bool, now: Timestamp) {
        let mut state = self.state.lock();
        if starts {
            let expiry = i64::try_from(self.limits.typing_expiry_ms).unwrap_or(i64::MAX);
            state.signs.start(typing.clone(), now.plus_ms(expiry));
        } else if state.signs.stop(typing.conversation_id, typing.user_id).is_none() {
            return;
        }
        state.tell_typing(typing, starts);
    }

    /// Ends the typing signs whose time is over. Called every tenth of a second; cheap when there are none.
    pub fn expire_signs(&self, now: Timestamp) {
        let mut state = self.state.lock();
        for typing in state.signs.expired(now) {
            state.tell_typing(typing, false);
        }
    }

    /// From now on the connection watches these people and nobody else; the caller has checked that it may. `false`: over the limit, nothing has changed.
    pub fn watch(&self, connection: &Arc<Connection>, people: &[UserId]) -> bool {
        let mut state = self.state.lock();
        if !state.connections_of(connection.user).iter().any(|known| known.id == connection.id) {
            // It has left while it asked; nobody would take it away any more.
            return true;
        }
        let mut wanted = people.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.len() > self.limits.watched_max {
            return false;
        }
        let mut watched = connection.watched.lock();
        for user in watched.iter().filter(|user| wanted.binary_search(user).is_err()) {
            state.unwatch(*user, |watcher| watcher.id == connection.id);
        }
        for user in wanted.iter().filter(|user| !watched.contains(user)) {
            state.watchers.entry(*user).or_default().push(Arc::clone(connection));
        }
        *watched = wanted;
        true
    }

    /// Of a person's connections here.
    pub fn sessions_of(&self, user: UserId) -> Vec<SessionId> {
        self.state.lock().connections_of(user).iter().map(|connection| connection.session()).collect()
    }

    /// Whom a person's connections here watch.
    pub fn watched_by(&self, watcher: UserId) -> Vec<UserId> {
        let state = self.state.lock();
        let mut watched: Vec<UserId> =
            state.connections_of(watcher).iter().flat_map(|connection| connection.watched.lock().clone()).collect();
        watched.sort_unstable();
        watched.dedup();
        watched
    }

    /// Who of the people here watches a person.
    pub fn watchers_of(&self, user: UserId) -> Vec<UserId> {
        let state = self.state.lock();
        let mut watchers: Vec<UserId> =
            state.watchers.get(&user).into_iter().flatten().map(|connection| connection.user).collect();
        watchers.sort_unstable();
        watchers.dedup();
        watchers
    }

    /// `watcher` sees no more whether `user` is there.
    pub fn forbid_watching(&self, user: UserId, watcher: UserId) {
        self.hand_on(vec![News::ForbidWatching { user, watcher }]);
        self.forbid_watching_here(user, watcher);
    }

    fn forbid_watching_here(&self, user: UserId, watcher: UserId) {
        let mut state = self.state.lock();
        for connection in state.connections_of(watcher) {
            connection.watched.lock().retain(|watched| *watched != user);
        }
        state.unwatch(user, |connection| connection.user == watcher);
    }
}

impl State {
    fn connections_of(&self, user: UserId) -> &[Arc<Connection>] {
        self.people.get(&user).map_or(&[], |online| &online.connections)
    }

    fn deliver(
        &self,
        conversation: ConversationId,
        publication: &Arc<Publication>,
        except: &[UserId],
        to: &mut impl FnMut(ConnectionId),
    ) {
        let Some(room) = self.rooms.get(&conversation) else { return };
        for user in room.iter().filter(|user| !except.contains(user)) {
            self.deliver_to(*user, publication, to);
        }
    }

    /// `to` hears of each connection whose lane has taken it.
    fn deliver_to(&self, user: UserId, publication: &Arc<Publication>, to: &mut impl FnMut(ConnectionId)) {
        for connection in self.connections_of(user) {
            if connection.lane.push_event(Arc::clone(publication)) {
                to(connection.id);
            }
        }
    }

    /// The connection and what it watches; `false`: it was not here any more.
    fn forget(&mut self, connection: &Connection) -> bool {
        for watched in connection.watched.lock().drain(..) {
            self.unwatch(watched, |watcher| watcher.id == connection.id);
        }
        let Some(online) = self.people.get_mut(&connection.user) else { return false };
        let before = online.connections.len();
        online.connections.retain(|known| known.id != connection.id);
        let gone = before - online.connections.len();
        self.connections -= gone;
        gone > 0
    }

    fn fact(&mut self, user: UserId, conversation: ConversationId, membership: Membership) {
        let Some(online) = self.people.get_mut(&user) else { return };
        if let Some(facts) = &mut online.before_load {
            facts.push((conversation, membership));
            return;
        }
        online.conversations.retain(|known| *known != conversation);
        match membership {
            Membership::Joined => {
                online.conversations.push(conversation);
                let room = self.rooms.entry(conversation).or_default();
                if !room.contains(&user) {
                    room.push(user);
                }
            }
            Membership::Left => self.leave_room(conversation, user),
        }
    }

    fn leave_room(&mut self, conversation: ConversationId, user: UserId) {
        if let Some(room) = self.rooms.get_mut(&conversation) {
            room.retain(|known| *known != user);
            if room.is_empty() {
                self.rooms.remove(&conversation);
            }
        }
        if let Some(typing) = self.signs.stop(conversation, user) {
            self.tell_typing(typing, false);
        }
    }

    fn unwatch(&mut self, user: UserId, which: impl Fn(&Connection) -> bool) {
        if let Some(watchers) = self.watchers.get_mut(&user) {
            watchers.retain(|watcher| !which(watcher));
            if watchers.is_empty() {
                self.watchers.remove(&user);
            }
        }
    }

    fn tell_watchers(&self, user: UserId, online: bool, last_seen_at: Option<Timestamp>) {
        let Some(watchers) = self.watchers.get(&user) else { return };
        let event = ServerEvent::PresenceUpdate(Presence { user_id: user, online, last_seen_at });
        let publication = Arc::new(Publication::new(event));
        for watcher in watchers {
            watcher.lane.push_sign(SignKey::Presence(user), Arc::clone(&publication));
        }
    }

    fn tell_typing(&self, typing: Typing, starts: bool) {
        let Some(room) = self.rooms.get(&typing.conversation_id) else { return };
        let (conversation, writer) = (typing.conversation_id, typing.user_id);
        let event = if starts { ServerEvent::TypingStart(typing) } else { ServerEvent::TypingStop(typing) };
        let publication = Arc::new(Publication::new(event));
        for user in room.iter().filter(|user| **user != writer) {
            for connection in self.connections_of(*user) {
                connection.lane.push_sign(SignKey::Typing(conversation, writer), Arc::clone(&publication));
            }
        }
    }
}
