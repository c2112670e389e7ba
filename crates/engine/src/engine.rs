//! The engine's entrances, and what it remembers between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tertulia_proto::event::Connected;
use tertulia_proto::request::ClientRequest;
use tertulia_proto::{
    ApiError, ClientMsgId, ConversationId, ErrorCode, Limits, Rev, Seq, ServerEvent, ServerFrame, Timestamp, UserId,
};

use crate::backoff::Jitter;
use crate::config::Config;
use crate::difference::Sync;
use crate::history::Fill;
use crate::intents::Told;
use crate::link::{Closed, ConnectionState, Link, LinkAction, LinkId};
use crate::outbox::SendLane;
use crate::planted::{Bug, Planted};
use crate::signs::Signs;
use crate::store::{LocalStore, Stored};

/// The moment of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// A clock that never jumps, in milliseconds from any beginning: every wait is measured by it.
    pub mono_ms: u64,
    /// What the device believes the time is: only ever shown.
    pub wall: Timestamp,
}

/// A request for the server, to be sent when the transaction is committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Transmit {
    pub link: LinkId,
    pub id: u64,
    pub request: ClientRequest,
}

impl Transmit {
    /// Whether all commits before it have to have reached the disk when it goes. That a message was perhaps sent is to survive a power cut too: else it
    /// could be taken for unsent, and be changed or deleted as if nobody had it. Likewise an edit, which would be sent again over a newer one.
    pub const fn wants_lasting_store(&self) -> bool {
        matches!(self.request, ClientRequest::SendMessage(_) | ClientRequest::EditMessage(_))
    }
}

/// Something the person asked for that the server will not do, and that can't be tried again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    pub conversation: ConversationId,
    pub code: &'static str,
    pub detail: String,
}

/// What changed on the screen; look at the store again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// This conversation's place, title, counts, members, draft or existence.
    Conversation(ConversationId),
    /// This conversation's messages, their states or its holes.
    Timeline(ConversationId),
    /// [`Engine::connection`].
    Connection,
    /// [`Engine::typing`] of this conversation.
    Typing(ConversationId),
    /// [`Engine::presence`].
    Presence,
    /// An operation came to nothing and its effect is taken back.
    Refused(Refused),
}

/// How much an engine remembers outside the store: each is bounded by [`Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub requests: usize,
    pub parked_events: usize,
    pub fills: usize,
}

/// What a request was for, so that its answer is understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    Send { conversation: ConversationId, entry: i64, name: ClientMsgId },
    Op { conversation: ConversationId, entry: i64 },
    Receipt { conversation: ConversationId },
    Mute { conversation: ConversationId, until: Option<Timestamp> },
    Sync,
    History { conversation: ConversationId },
    Watch,
    Sign,
}

#[derive(Debug, Clone)]
pub(crate) struct Gap {
    /// Events that come after the missing one.
    pub parked: BTreeMap<Rev, ServerEvent>,
    pub ask_at: u64,
}

/// See the crate's documentation.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) planted: Planted,
    pub(crate) jitter: Jitter,
    pub(crate) link: Link,
    pub(crate) me: Option<UserId>,
    pub(crate) limits: Option<Limits>,
    /// The server's time when the connection opened, and when that was here by the monotonic clock.
    pub(crate) server_clock: Option<(Timestamp, u64)>,
    /// Requests without an answer, by id; bounded by the windows of those who ask.
    pub(crate) asked: BTreeMap<u64, (Asked, u64)>,
    next_id: u64,
    pub(crate) sync: Sync,
    /// The number of the last difference begun.
    pub(crate) round: i64,
    pub(crate) lanes: BTreeMap<ConversationId, SendLane>,
    /// Something may go and found all places taken.
    pub(crate) is_starved: bool,
    /// A send was found in the log, so what waits behind it may go.
    pub(crate) unblocked: BTreeSet<ConversationId>,
    pub(crate) gaps: BTreeMap<ConversationId, Gap>,
    pub(crate) fills: BTreeMap<ConversationId, Fill>,
    pub(crate) told: BTreeMap<ConversationId, Told>,
    pub(crate) intents_at: Option<u64>,
    pub(crate) signs: Signs,
    transmits: VecDeque<Transmit>,
    notices: BTreeSet<Notice>,
}

impl Engine {
    /// `seed`: any number that differs between devices; jitter is drawn from it.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            planted: Planted::default(),
            jitter: Jitter::new(seed),
            link: Link::new(),
            me: None,
            limits: None,
            server_clock: None,
            asked: BTreeMap::new(),
            next_id: 1,
            sync: Sync::default(),
            round: 1,
            lanes: BTreeMap::new(),
            is_starved: false,
            unblocked: BTreeSet::new(),
            gaps: BTreeMap::new(),
            fills: BTreeMap::new(),
            told: BTreeMap::new(),
            intents_at: None,
            signs: Signs::default(),
            transmits: VecDeque::new(),
            notices: BTreeSet::new(),
        }
    }

    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bug: Bug) {
        self.planted.set(bug);
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.planted.has(bug)
    }

    /// The first call: reads whose data these are.
    pub fn handle_start(&mut self, store: &mut dyn LocalStore) -> Stored<()> {
        let state = store.sync_state()?;
        (self.me, self.round) = (state.account, state.round.max(1));
        Ok(())
    }

    /// Connect and stay connected.
    pub fn handle_connect(&mut self, now: Now) {
        self.link.start(now.mono_ms);
        self.notice(Notice::Connection);
    }

    /// Disconnect and stay so.
    pub fn handle_pause(&mut self, now: Now) {
        self.link.pause();
        self.forget_connection(now);
    }

    /// The device has a network, or has none.
    pub fn handle_network(&mut self, now: Now, up: bool) {
        self.link.set_network(up, now.mono_ms);
        if up {
            self.lanes.values_mut().for_each(|lane| lane.hurry(now.mono_ms));
        } else {
            self.forget_connection(now);
        }
        self.notice(Notice::Connection);
    }

    /// A connection ended, or could not be opened.
    pub fn handle_closed(&mut self, now: Now, link: LinkId, how: Closed) {
        if !self.link.is_current(link) {
            return;
        }
        self.link.closed(how, now.mono_ms, &mut self.jitter);
        self.forget_connection(now);
    }

    /// The transaction of the last call came to nothing. What the engine knew of the connection may be more than the store holds, so it begins anew.
    pub fn handle_store_failure(&mut self, now: Now) {
        if self.link.is_open() {
            self.link.give_up(now.mono_ms, &mut self.jitter);
        }
        self.forget_connection(now);
    }

    fn forget_connection(&mut self, now: Now) {
        self.asked.clear();
        self.transmits.clear();
        self.sync.forget_flight();
        self.lanes.retain(|_, lane| lane.forget_flights());
        self.gaps.clear();
        self.unblocked.clear();
        self.told.clear();
        self.fills.values_mut().for_each(Fill::forget_flight);
        self.intents_at = None;
        for conversation in self.signs.forget(now.mono_ms) {
            self.notice(Notice::Typing(conversation));
        }
        self.notice(Notice::Connection);
        self.notice(Notice::Presence);
    }

    /// A frame of the connection. A frame that can't be read is an error of [`ServerFrame::parse`]; the caller closes the connection then.
    pub fn handle_frame(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        link: LinkId,
        frame: ServerFrame,
    ) -> Stored<()> {
        if !self.link.is_current(link) {
            return Ok(());
        }
        match frame {
            // Whose log it is, and which, has not been said: nothing of it may get into this one.
            ServerFrame::Event(event) if !self.link.is_open() && !matches!(*event, ServerEvent::Connected(_)) => Ok(()),
            ServerFrame::Event(event) => {
                self.handle_event(store, now, *event)?;
                while let Some(conversation) = self.unblocked.pop_first() {
                    self.pump_outbox(store, now, conversation)?;
                }
                Ok(())
            }
            ServerFrame::Reply { id, result } => match self.asked.remove(&id) {
                Some((asked, _)) => self.handle_answer(store, now, id, asked, result),
                None => Ok(()),
            },
            ServerFrame::Unknown => Ok(()),
        }
    }

    fn handle_answer(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        number: u64,
        asked: Asked,
        result: Result<tertulia_proto::Answer, ApiError>,
    ) -> Stored<()> {
        if let Err(error) = &result
            && error.code == ErrorCode::Unauthenticated
        {
            // The server closes such a connection; until then nothing asked over it comes to anything.
            return Ok(());
        }
        match asked {
            Asked::Send { conversation, entry, name } => {
                self.send_answered(store, now, conversation, entry, &name, result)
            }
            Asked::Op { conversation, entry } => self.op_answered(store, now, conversation, entry, result),
            Asked::Receipt { conversation } => self.receipt_answered(store, now, conversation, result),
            Asked::Mute { conversation, until } => self.mute_answered(store, now, conversation, until, result),
            Asked::Sync => self.sync_answered(store, now, result),
            Asked::History { conversation } => {
                self.history_answered(store, now, conversation, number, result)?;
                // What became of an operation may be known now.
                self.pump_outbox(store, now, conversation)
            }
            Asked::Watch => {
                self.watch_answered(result);
                Ok(())
            }
            Asked::Sign => Ok(()),
        }
    }

    /// The first frame of a connection.
    pub(crate) fn connected(&mut self, store: &mut dyn LocalStore, now: Now, connected: Connected) -> Stored<()> {
        let Connected { user_id: user, limits, server_time, epoch, .. } = connected;
        let mut state = store.sync_state()?;
        if state.account.is_some_and(|account| account != user) {
            self.link.wrong_account();
            self.forget_connection(now);
            return Ok(());
        }
        if state.account.is_none() {
            state.account = Some(user);
            store.put_sync_state(&state)?;
        }
        if epoch.is_some() && state.epoch.is_some() && epoch != state.epoch {
            // Another log, whose revs begin again: what it tells before the difference has begun anew does not fit what is held.
            store.doubt_all()?;
        }
        self.me = Some(user);
        self.config.body_max_bytes = limits.body_max_bytes;
        self.limits = Some(limits);
        self.server_clock = Some((server_time, now.mono_ms));
        self.link.opened();
        self.notice(Notice::Connection);
        self.want_sync(now.mono_ms);
        self.pump_sync(store, now)?;
        self.pump_outbox_all(store, now)?;
        self.watch_again(now);
        self.pump_fills(store, now)
    }

    /// Time has passed: call when [`Engine::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, store: &mut dyn LocalStore, now: Now) -> Stored<()> {
        let mono = now.mono_ms;
        let state = self.link.state();
        if self.link.tick(mono, &self.config) || self.is_unanswered(mono) {
            self.link.give_up(mono, &mut self.jitter);
            self.forget_connection(now);
        }
        if self.link.state() != state {
            self.notice(Notice::Connection);
        }
        for conversation in self.signs.expire(mono) {
            self.notice(Notice::Typing(conversation));
        }
        if !self.link.is_open() {
            return Ok(());
        }
        if self.gaps.values().any(|gap| gap.ask_at <= mono) {
            self.gaps.values_mut().filter(|gap| gap.ask_at <= mono).for_each(|gap| gap.ask_at = u64::MAX);
            self.want_sync(mono);
        }
        self.pump_sync(store, now)?;
        if self.lanes.values().any(|lane| lane.retry_at().is_some_and(|at| at <= mono)) {
            self.lanes.values_mut().for_each(|lane| lane.try_again(mono));
            self.pump_outbox_all(store, now)?;
        }
        self.pump_intents(store, now)?;
        self.pump_fills(store, now)
    }

    /// When some request has waited too long. A page may have to come over a slow line.
    fn answer_due(&self) -> Option<u64> {
        let due = self.asked.values().map(|(asked, at)| {
            let is_page = matches!(asked, Asked::Sync | Asked::History { .. });
            at.saturating_add(if is_page { self.config.page_timeout_ms } else { self.config.answer_timeout_ms })
        });
        due.min()
    }

    fn is_unanswered(&self, mono: u64) -> bool {
        self.answer_due().is_some_and(|due| due <= mono)
    }

    /// When [`Engine::handle_timeout`] has something to do, by the monotonic clock, and what.
    pub fn poll_timeout(&self) -> Option<(u64, &'static str)> {
        let open = self.link.is_open();
        let first = |at: Option<u64>, why| at.map(|at| (at, why));
        [
            first(self.link.timeout(&self.config), "connection"),
            first(self.answer_due(), "answer"),
            first(self.signs.timeout(), "typing"),
            first(self.gaps.values().map(|gap| gap.ask_at).min().filter(|at| open && *at < u64::MAX), "gap"),
            first(self.sync.timeout().filter(|_| open), "difference"),
            first(self.lanes.values().filter_map(SendLane::retry_at).min().filter(|_| open), "retry"),
            first(self.intents_at.filter(|_| self.link.is_caught_up()), "watermarks"),
            first(self.fills.values().filter_map(Fill::timeout).min().filter(|_| open), "history"),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next request for the server. After the commit.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// What to do about the connection.
    pub fn poll_link(&mut self) -> Option<LinkAction> {
        self.link.take_action()
    }

    /// What changed on the screen. After the commit.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_first()
    }

    pub const fn connection(&self) -> ConnectionState {
        self.link.state()
    }

    /// Whose data these are; `None` before the first connection.
    pub const fn account(&self) -> Option<UserId> {
        self.me
    }

    /// The server's limits, once it has said them.
    pub const fn limits(&self) -> Option<&Limits> {
        self.limits.as_ref()
    }

    /// Nothing is under way and nothing that could be sent waits for an answer.
    pub fn is_quiet(&self) -> bool {
        self.asked.is_empty() && self.gaps.is_empty() && self.transmits.is_empty()
    }

    /// All that was new is here, and nothing more goes by itself: what could be sent is answered, and the log knows how far this device has come.
    pub fn is_settled(&self) -> bool {
        let waits = self.intents_at.is_some() || self.lanes.values().any(|lane| lane.retry_at().is_some());
        self.link.is_caught_up() && self.is_quiet() && !waits
    }

    /// How much is remembered outside the store.
    pub fn load(&self) -> Load {
        Load {
            requests: self.asked.len(),
            parked_events: self.gaps.values().map(|gap| gap.parked.len()).sum(),
            fills: self.fills.len(),
        }
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.notices.insert(notice);
    }

    pub(crate) fn changed(&mut self, conversation: ConversationId) {
        self.notice(Notice::Conversation(conversation));
        self.notice(Notice::Timeline(conversation));
    }

    pub(crate) fn ask(&mut self, now: Now, asked: Asked, request: ClientRequest) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.asked.insert(id, (asked, now.mono_ms));
        self.transmits.push_back(Transmit { link: self.link.id(), id, request });
        id
    }

    pub(crate) fn is_mine(&self, user: UserId) -> bool {
        self.me == Some(user)
    }

    /// Something may have been missed at this message's place: a page of history that is under way does not know of it.
    pub(crate) fn note_amended(&mut self, conversation: ConversationId, seq: Seq, rev: Rev) {
        if let Some(fill) = self.fills.get_mut(&conversation) {
            fill.amended(seq, rev);
        }
    }
}
