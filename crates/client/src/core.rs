//! One engine and one local store under one roof: every step is a transaction, and what it gives out comes after the commit. No waiting, no ambient
//! time: the caller brings the moment.

pub mod push;

use std::collections::VecDeque;

use tertulia_client_sqlite::{Durability, OpenError, Rows, Store};
use tertulia_engine::{
    Closed, Command, CommandError, Config, Engine, LinkAction, LinkId, LocalStore as _, Notice, Now, StoreFailure,
    Transmit,
};
use tertulia_proto::{DeviceId, ServerFrame};

/// Frames taken in one transaction.
pub const FRAMES_MAX: usize = 64;

/// Requests that wait to be written to one connection; a connection that takes none any more is of no use. The engine's own windows are far below.
const OUTGOING_MAX: usize = 4096;

/// A connection of one engine. After signing out the engine is another one and counts its links anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    life: u64,
    link: LinkId,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    Command(Command),
    /// What came over a connection, in order.
    Frames(Wire, Vec<ServerFrame>),
    Closed(Wire, Closed),
    Connect,
    Pause,
    Network(bool),
    Timeout,
}

/// What a connection's writer is to do.
#[derive(Debug)]
pub enum ToWrite {
    Requests(Vec<Transmit>),
    /// The connection is not wanted any more.
    Close,
}

#[derive(Debug)]
pub struct Core {
    engine: Engine,
    store: Store,
    device: Option<DeviceId>,
    seed: u64,
    life: u64,
    current: Option<LinkId>,
    to_open: Option<Wire>,
    outgoing: VecDeque<Transmit>,
    notices: Vec<Notice>,
    /// Frames of one transaction: one by one after a failure, until as many went well as make a batch.
    batch: usize,
    well: usize,
    /// The last commit, and so all before it, has reached the disk.
    is_safe: bool,
    registrar: push::Registrar,
}

impl Core {
    /// `seed`: of the engine's jitter. `device`: which this is, where the store has no device yet.
    pub fn new(mut store: Store, seed: u64, device: DeviceId) -> Result<Self, StoreFailure> {
        let device = Some(store.device(device)?);
        let mut core = Self {
            engine: Engine::new(Config::default(), seed),
            store,
            device,
            seed,
            life: 0,
            current: None,
            to_open: None,
            outgoing: VecDeque::new(),
            notices: Vec::new(),
            batch: FRAMES_MAX,
            well: 0,
            is_safe: true,
            registrar: push::Registrar::default(),
        };
        core.start()?;
        Ok(core)
    }

    fn start(&mut self) -> Result<(), StoreFailure> {
        let engine = &mut self.engine;
        self.store.transaction(Durability::Process, |rows| engine.handle_start(rows))
    }

    /// Named with each connection, so that the server knows which older one it takes the place of.
    pub const fn device(&self) -> Option<DeviceId> {
        self.device
    }

    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    pub const fn store(&self) -> &Store {
        &self.store
    }

    pub const fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Commits what follows from the input; only then is it there to be shown and sent. On an error nothing of it stays.
    pub fn step(&mut self, now: Now, input: Input) -> Result<(), CommandError> {
        let done = match input {
            Input::Command(command) => {
                self.transact(durability(&command), |engine, rows| engine.handle_command(rows, now, command))
            }
            Input::Frames(wire, frames) => self.take_frames(now, wire, frames).map_err(CommandError::from),
            Input::Timeout => self.transact(Durability::Process, |engine, rows| Ok(engine.handle_timeout(rows, now)?)),
            Input::Closed(wire, how) => {
                if wire.life == self.life {
                    self.engine.handle_closed(now, wire.link, how);
                }
                Ok(())
            }
            Input::Connect => {
                self.engine.handle_connect(now);
                Ok(())
            }
            Input::Pause => {
                self.engine.handle_pause(now);
                Ok(())
            }
            Input::Network(up) => {
                self.engine.handle_network(now, up);
                Ok(())
            }
        };
        self.drain(now);
        let done = done.and_then(|()| self.remember_sends().map_err(CommandError::from));
        if let Err(CommandError::Store(_)) = &done {
            self.engine.handle_store_failure(now);
            self.drain(now);
        }
        done
    }

    /// Before what has gone out may be written to a connection.
    fn remember_sends(&mut self) -> Result<(), StoreFailure> {
        if self.is_safe || !self.outgoing.iter().any(Transmit::wants_lasting_store) {
            return Ok(());
        }
        self.store.transaction(Durability::Power, |rows| {
            let state = rows.sync_state()?;
            rows.put_sync_state(&state)
        })?;
        self.is_safe = true;
        Ok(())
    }

    fn transact<T, E: From<StoreFailure>>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&mut Engine, &mut Rows<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let engine = &mut self.engine;
        self.is_safe = durability == Durability::Power;
        self.store.transaction(durability, |rows| work(engine, rows))
    }

    /// A frame that can't be taken ends its connection (the engine begins anew), and with it what came after. All of that comes again with the
    /// difference, and is then taken one by one: what is before and beside the bad one gets in.
    fn take_frames(&mut self, now: Now, wire: Wire, frames: Vec<ServerFrame>) -> Result<(), StoreFailure> {
        if wire.life != self.life {
            return Ok(());
        }
        let mut frames = frames.into_iter().peekable();
        while frames.peek().is_some() {
            let some: Vec<ServerFrame> = frames.by_ref().take(self.batch).collect();
            let count = some.len();
            let taken = self.transact(Durability::Process, |engine, rows| {
                some.into_iter().try_for_each(|frame| engine.handle_frame(rows, now, wire.link, frame))
            });
            if taken.is_err() {
                (self.batch, self.well) = (1, 0);
                return taken;
            }
            self.well = self.well.saturating_add(count);
            if self.well >= FRAMES_MAX {
                self.batch = FRAMES_MAX;
            }
        }
        Ok(())
    }

    /// Takes what the engine gives out, after the commit.
    fn drain(&mut self, now: Now) {
        self.drain_links();
        while let Some(transmit) = self.engine.poll_transmit() {
            self.outgoing.push_back(transmit);
        }
        let current = self.current;
        self.outgoing.retain(|transmit| Some(transmit.link) == current);
        if let Some(link) = current.filter(|_| self.outgoing.len() > OUTGOING_MAX) {
            self.engine.handle_closed(now, link, Closed::Lost);
            self.current = None;
            self.outgoing.clear();
            self.drain_links();
        }
        while let Some(notice) = self.engine.poll_notice() {
            self.notices.push(notice);
        }
    }

    fn drain_links(&mut self) {
        while let Some(action) = self.engine.poll_link() {
            match action {
                LinkAction::Open(link) => {
                    self.current = Some(link);
                    self.to_open = Some(Wire { life: self.life, link });
                }
                LinkAction::Close(link) => {
                    self.current.take_if(|current| *current == link);
                    self.to_open.take_if(|wire| wire.link == link);
                }
            }
        }
    }

    /// What changed on the screen since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The connection that is to be opened, if there is one: of several only the last.
    pub const fn take_to_open(&mut self) -> Option<Wire> {
        self.to_open.take()
    }

    pub fn is_wanted(&self, wire: Wire) -> bool {
        wire.life == self.life && self.current == Some(wire.link)
    }

    /// What waits to be written to this connection.
    pub fn take_outgoing(&mut self, wire: Wire) -> ToWrite {
        if !self.is_wanted(wire) {
            return ToWrite::Close;
        }
        ToWrite::Requests(self.outgoing.drain(..).collect())
    }

    /// Whether time has come for [`Input::Timeout`], and when it will.
    pub fn due(&self, now: Now) -> (bool, Option<u64>) {
        let at = self.engine.poll_timeout().map(|(at, _)| at);
        (at.is_some_and(|at| at <= now.mono_ms), at)
    }

    /// Nothing of the account stays, in memory or in the file. The connection is to be closed. `device`: which this is from now on; without it none.
    pub fn wipe(&mut self, now: Now, device: Option<DeviceId>) -> Result<(), OpenError> {
        self.engine.handle_pause(now);
        self.life += 1;
        self.engine = Engine::new(Config::default(), self.seed.wrapping_add(self.life));
        (self.current, self.to_open) = (None, None);
        self.outgoing.clear();
        self.notices.clear();
        self.registrar = push::Registrar::default();
        let wiped = self.store.wipe();
        // Where that failed it is the device that it was.
        self.device = device.and_then(|device| self.store.device(device).ok());
        // Where that failed the account is still here; the next call of the store says so too.
        let _ = self.start();
        wiped
    }
}

const fn durability(command: &Command) -> Durability {
    if command.is_lasting() { Durability::Power } else { Durability::Process }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_engine::{ConnectionState, MessageRef};
    use tertulia_proto::request::ClientRequest;
    use tertulia_proto::{ConversationId, Limits, MessageId, Timestamp};

    const ALICE: &str = "0190a1b2-0000-7000-8000-00000000000a";
    const BOB: &str = "0190a1b2-0000-7000-8000-00000000000b";
    const DM: &str = "0190a1b2-0000-7000-8000-0000000000d0";
    const OTHER: &str = "0190a1b2-0000-7000-8000-0000000000d1";
    const DEVICE: DeviceId = DeviceId::from_bytes([1; 16]);
    const OTHER_DEVICE: DeviceId = DeviceId::from_bytes([2; 16]);
    const AT: &str = "2026-01-31T12:00:00.000Z";

    fn now(mono_ms: u64) -> Now {
        Now { mono_ms, wall: Timestamp::from_ms(0) }
    }

    fn frame(text: &str) -> ServerFrame {
        ServerFrame::parse(text).unwrap()
    }

    fn connected() -> ServerFrame {
        let limits = serde_json::to_string(&Limits::default()).unwrap();
        frame(&format!(
            r#"{{"type":"connected","userId":"{ALICE}","sessionId":"{ALICE}","serverTime":"{AT}","limits":{limits}}}"#
        ))
    }

    fn difference() -> ServerFrame {
        let conversation = |id: &str| {
            format!(
                r#"{{"id":"{id}","type":"dm","title":null,"createdAt":"{AT}","lastSeq":0,"rev":1,"lastMessageAt":null,"unreadCount":0,
                "myRole":"member","mutedUntil":null,"historyVisibility":"all","memberCount":2,"messages":[]}}"#
            )
        };
        let (one, two) = (conversation(DM), conversation(OTHER));
        frame(&format!(
            r#"{{"type":"sync.batch","cursor":"c","epoch":"{ALICE}","hasMore":false,"conversations":[{one},{two}],"removed":[]}}"#
        ))
    }

    fn message(conversation: &str, rev: i64, id: u8) -> ServerFrame {
        frame(&format!(
            r#"{{"type":"message.new","messageId":"0190a1b2-0000-7000-8000-0000000000{id:02}","conversationId":"{conversation}","seq":{},"rev":{rev},
            "senderId":"{BOB}","senderName":"bob","senderAvatar":null,"clientMsgId":"{conversation}-{rev}","body":"x","createdAt":"{AT}",
            "editedAt":null,"deletedAt":null,"reactions":[]}}"#,
            rev - 1
        ))
    }

    fn holds(core: &Core, conversation: &str, id: u8) -> bool {
        let conversation: ConversationId = conversation.parse().unwrap();
        let message: MessageId = format!("0190a1b2-0000-7000-8000-0000000000{id:02}").parse().unwrap();
        core.store().message(conversation, &tertulia_engine::MessageRef::Log(message)).unwrap().is_some()
    }

    fn opened(core: &mut Core, at: u64) -> Wire {
        core.step(now(at), Input::Connect).unwrap();
        core.take_to_open().unwrap()
    }

    /// The second has the id of the first, which no log does: the store refuses it.
    fn with_a_bad_one() -> Vec<ServerFrame> {
        let messages = [message(DM, 2, 1), message(DM, 3, 1), message(OTHER, 2, 3)];
        [connected(), difference()].into_iter().chain(messages).collect()
    }

    #[test]
    fn a_bad_frame_takes_its_batch_down_once_and_then_only_itself() {
        let mut core = Core::new(Store::open_in_memory().unwrap(), 1, DEVICE).unwrap();
        let wire = opened(&mut core, 0);
        let failed = core.step(now(0), Input::Frames(wire, with_a_bad_one()));
        assert!(matches!(failed, Err(CommandError::Store(_))), "{failed:?}");
        assert!(core.store().conversations(10).unwrap().is_empty(), "one transaction");
        assert!(!core.is_wanted(wire), "and the engine begins anew");
        let wire = opened(&mut core, 60_000);
        assert!(core.step(now(60_000), Input::Frames(wire, with_a_bad_one())).is_err());
        assert!(holds(&core, DM, 1), "what was before it is in");
        assert!(!holds(&core, OTHER, 3));
        let wire = opened(&mut core, 120_000);
        core.step(now(120_000), Input::Frames(wire, vec![connected(), message(OTHER, 2, 3)])).unwrap();
        assert!(holds(&core, OTHER, 3), "and what comes beside it");
    }

    /// A connection of a log with this epoch.
    fn connected_to(epoch: &str) -> ServerFrame {
        let limits = serde_json::to_string(&Limits::default()).unwrap();
        frame(&format!(
            r#"{{"type":"connected","userId":"{ALICE}","sessionId":"{ALICE}","serverTime":"{AT}","limits":{limits},"epoch":"{epoch}"}}"#
        ))
    }

    #[test]
    fn nothing_is_taken_of_a_connection_that_has_not_said_whose_it_is() {
        let mut core = Core::new(Store::open_in_memory().unwrap(), 1, DEVICE).unwrap();
        let wire = opened(&mut core, 0);
        core.step(now(0), Input::Frames(wire, vec![connected(), difference()])).unwrap();
        let wire = {
            core.step(now(1), Input::Closed(wire, Closed::Lost)).unwrap();
            opened(&mut core, 60_000)
        };
        core.step(now(60_000), Input::Frames(wire, vec![message(DM, 2, 1)])).unwrap();
        assert!(!holds(&core, DM, 1));
        core.step(now(60_000), Input::Frames(wire, vec![connected(), message(DM, 2, 1)])).unwrap();
        assert!(holds(&core, DM, 1));
    }

    #[test]
    fn what_another_log_tells_is_not_taken_before_the_difference_has_begun_anew() {
        // Of the difference that was taken, and of a restored log.
        for (epoch, is_taken) in [(ALICE, true), (BOB, false)] {
            let mut core = Core::new(Store::open_in_memory().unwrap(), 1, DEVICE).unwrap();
            let wire = opened(&mut core, 0);
            core.step(now(0), Input::Frames(wire, vec![connected_to(ALICE), difference()])).unwrap();
            core.step(now(1), Input::Closed(wire, Closed::Lost)).unwrap();
            let wire = opened(&mut core, 60_000);
            core.step(now(60_000), Input::Frames(wire, vec![connected_to(epoch), message(DM, 2, 1)])).unwrap();
            assert_eq!(holds(&core, DM, 1), is_taken, "{epoch}");
        }
    }

    #[test]
    fn what_an_earlier_life_of_the_client_still_brings_is_not_heard() {
        let mut core = Core::new(Store::open_in_memory().unwrap(), 1, DEVICE).unwrap();
        let before = opened(&mut core, 0);
        core.step(now(0), Input::Frames(before, vec![connected(), difference()])).unwrap();
        assert_eq!(core.store().conversations(10).unwrap().len(), 2);
        assert_eq!(core.device(), Some(DEVICE));
        core.wipe(now(1), Some(OTHER_DEVICE)).unwrap();
        assert_eq!(core.device(), Some(OTHER_DEVICE), "another account's connections are another device's");
        let after = opened(&mut core, 2);
        assert_ne!(before, after, "although the engine counts anew");
        core.step(now(3), Input::Frames(before, vec![connected(), difference()])).unwrap();
        assert!(core.store().conversations(10).unwrap().is_empty());
        assert!(matches!(core.take_outgoing(before), ToWrite::Close));
        assert!(core.is_wanted(after));
    }

    #[test]
    fn a_command_that_is_refused_changes_nothing_and_one_that_is_taken_is_there_when_it_returns() {
        let mut core = Core::new(Store::open_in_memory().unwrap(), 1, DEVICE).unwrap();
        let conversation = DM.parse().unwrap();
        let send = |name: &str, reply_to| {
            let (name, body) = (name.parse().unwrap(), "x".to_owned());
            Input::Command(Command::Send { conversation, name, body, reply_to })
        };
        assert_eq!(core.step(now(0), send("a", None)), Err(CommandError::NoAccount));
        let wire = opened(&mut core, 0);
        core.step(now(0), Input::Frames(wire, vec![connected(), difference()])).unwrap();
        core.take_notices();
        let missing = Some(MessageRef::Mine("nobody".parse().unwrap()));
        assert_eq!(core.step(now(0), send("a", missing)), Err(CommandError::NoSuchMessage));
        assert_eq!(core.store().outbox(10).unwrap().len(), 0);
        core.step(now(0), send("a", None)).unwrap();
        assert_eq!(core.store().outbox(10).unwrap().len(), 1);
        assert!(core.take_notices().contains(&Notice::Timeline(conversation)));
        let ToWrite::Requests(requests) = core.take_outgoing(wire) else { panic!("closed") };
        assert!(requests.iter().any(|transmit| matches!(transmit.request, ClientRequest::SendMessage(_))));
    }

    fn requests(core: &mut Core, wire: Wire) -> Vec<Transmit> {
        let ToWrite::Requests(requests) = core.take_outgoing(wire) else { panic!("closed") };
        requests
    }

    fn mine(name: &str) -> ServerFrame {
        frame(&format!(
            r#"{{"type":"message.new","messageId":"0190a1b2-0000-7000-8000-000000000001","conversationId":"{DM}","seq":1,"rev":2,
            "senderId":"{ALICE}","senderName":"alice","senderAvatar":null,"clientMsgId":"{name}","body":"x","createdAt":"{AT}",
            "editedAt":null,"deletedAt":null,"reactions":[]}}"#
        ))
    }

    /// Sent, refused, and discarded by its author.
    fn with_one_given_up() -> (Core, Wire) {
        let mut core = Core::new(Store::open_in_memory().unwrap(), 1, DEVICE).unwrap();
        let wire = opened(&mut core, 0);
        core.step(now(0), Input::Frames(wire, vec![connected()])).unwrap();
        let asked = requests(&mut core, wire).pop().unwrap().id;
        let ok = frame(&format!(r#"{{"type":"ok","id":{asked}}}"#));
        core.step(now(0), Input::Frames(wire, vec![difference(), ok])).unwrap();
        let (name, body) = ("a".parse().unwrap(), "x".to_owned());
        let send = Command::Send { conversation: DM.parse().unwrap(), name, body, reply_to: None };
        core.step(now(1), Input::Command(send)).unwrap();
        let is_send = |transmit: &Transmit| matches!(transmit.request, ClientRequest::SendMessage(_));
        let sent = requests(&mut core, wire).into_iter().find(is_send).unwrap().id;
        let no = frame(&format!(r#"{{"type":"error","id":{sent},"code":"forbidden","detail":"not here"}}"#));
        core.step(now(2), Input::Frames(wire, vec![no])).unwrap();
        // Asks for the difference because of it.
        core.step(now(2), Input::Timeout).unwrap();
        let entry = core.store().outbox(1).unwrap().pop().unwrap();
        assert!(entry.parked.is_some());
        core.step(now(3), Input::Command(Command::Discard { entry: entry.id })).unwrap();
        assert!(core.store().outbox(1).unwrap().is_empty());
        (core, wire)
    }

    #[test]
    fn a_message_given_up_after_a_refusal_is_deleted_should_it_have_come_through() {
        let (mut core, wire) = with_one_given_up();
        requests(&mut core, wire);
        core.step(now(4), Input::Frames(wire, vec![mine("a")])).unwrap();
        let is_deletion = |transmit: &Transmit| matches!(transmit.request, ClientRequest::DeleteMessage(_));
        assert!(requests(&mut core, wire).iter().any(is_deletion));
        let shown = core.store().timeline(DM.parse().unwrap(), None, 10).unwrap().messages;
        assert!(shown.iter().all(|shown| shown.message.deleted_at.is_some()) && shown.len() == 1);
    }

    #[test]
    fn what_was_given_up_is_forgotten_once_a_later_difference_is_here() {
        let (mut core, wire) = with_one_given_up();
        // Begun before the message was given up.
        let before = requests(&mut core, wire).pop().unwrap().id;
        let batch = |id: u64| {
            let text = format!(
                r#"{{"type":"sync.batch","cursor":"c","epoch":"{ALICE}","hasMore":false,"conversations":[],"removed":[],"requestId":{id}}}"#
            );
            vec![frame(&text), frame(&format!(r#"{{"type":"ok","id":{id}}}"#))]
        };
        core.step(now(4), Input::Frames(wire, batch(before))).unwrap();
        let given_up = |core: &mut Core| {
            core.store_mut()
                .transaction(Durability::Process, |rows| rows.is_taken_back(DM.parse().unwrap(), &"a".parse().unwrap()))
        };
        assert!(given_up(&mut core).unwrap(), "that one could not know");
        core.step(now(5), Input::Command(Command::SyncNow)).unwrap();
        let after = requests(&mut core, wire).pop().unwrap().id;
        core.step(now(6), Input::Frames(wire, batch(after))).unwrap();
        assert!(!given_up(&mut core).unwrap());
    }

    #[test]
    fn a_difference_that_an_earlier_connection_began_is_followed_by_another_one() {
        let mut core = Core::new(Store::open_in_memory().unwrap(), 1, DEVICE).unwrap();
        let page = |id: u64, has_more: bool| {
            let text = format!(
                r#"{{"type":"sync.batch","cursor":"c","epoch":"{ALICE}","hasMore":{has_more},"conversations":[],"removed":[],"requestId":{id}}}"#
            );
            vec![frame(&text), frame(&format!(r#"{{"type":"ok","id":{id}}}"#))]
        };
        let asked = |core: &mut Core, wire| {
            let is_sync = |transmit: &Transmit| matches!(transmit.request, ClientRequest::Sync(_));
            requests(core, wire).into_iter().find(is_sync).map(|transmit| transmit.id)
        };
        let wire = opened(&mut core, 0);
        core.step(now(0), Input::Frames(wire, vec![connected()])).unwrap();
        let first = asked(&mut core, wire).unwrap();
        core.step(now(1), Input::Frames(wire, page(first, true))).unwrap();
        core.step(now(2), Input::Closed(wire, Closed::Lost)).unwrap();
        let wire = opened(&mut core, 60_000);
        core.step(now(60_000), Input::Frames(wire, vec![connected()])).unwrap();
        let rest = asked(&mut core, wire).unwrap();
        core.step(now(60_001), Input::Frames(wire, page(rest, false))).unwrap();
        assert_eq!(
            core.engine().connection(),
            ConnectionState::Connected { caught_up: false },
            "it ends where the log ended then"
        );
        let anew = asked(&mut core, wire).unwrap();
        core.step(now(60_002), Input::Frames(wire, page(anew, false))).unwrap();
        assert_eq!(core.engine().connection(), ConnectionState::Connected { caught_up: true });
        assert_eq!(asked(&mut core, wire), None, "until the next check");
    }
}
