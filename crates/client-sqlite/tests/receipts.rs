//! What a device that is notified tells by itself, over real rows: the test is the server.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

use serde_json::{Value, json};
use tertulia_client_sqlite::{Durability, Rows, Store};
use tertulia_engine::{
    Closed, Command, Config, Engine, LinkAction, LinkId, LocalStore as _, Now, Registration, RegistrationStep,
};
use tertulia_proto::request::ClientRequest;
use tertulia_proto::{ConversationId, Limits, Seq, ServerFrame, Timestamp};

const ME: &str = "0190a1b2-0000-7000-8000-00000000000a";
const BOB: &str = "0190a1b2-0000-7000-8000-00000000000b";
const DM: &str = "0190a1b2-0000-7000-8000-0000000000d0";
const AT: &str = "2026-01-31T12:00:00.000Z";

/// The log, with this much in it when the phone comes to know it.
const OLD: Seq = 7;

/// A phone, and the log as the server has it: one conversation, in which only Bob writes.
struct Phone {
    engine: Engine,
    store: Store,
    link: LinkId,
    now_ms: u64,
    asked: Vec<(u64, ClientRequest)>,
    rev: i64,
    last_seq: Seq,
    /// My watermarks.
    delivered: Seq,
    read: Seq,
}

impl Phone {
    /// Another device of mine has told all there is; nothing is read.
    fn new() -> Self {
        let (engine, store) = (Engine::new(Config::default(), 1), Store::open_in_memory().unwrap());
        let (link, asked) = (LinkId(0), Vec::new());
        let mut phone =
            Self { engine, store, link, now_ms: 0, asked, rev: OLD, last_seq: OLD, delivered: OLD, read: 0 };
        phone.connect();
        phone.catch_up();
        assert_eq!(phone.told(), NOTHING);
        phone
    }

    fn registered() -> Self {
        let mut phone = Self::new();
        phone.step(RegistrationStep::Asked);
        phone.step(RegistrationStep::Stands);
        phone
    }

    fn with(&mut self, work: impl FnOnce(&mut Engine, &mut Rows<'_>, Now)) {
        let now = Now { mono_ms: self.now_ms, wall: Timestamp::from_ms(77) };
        let engine = &mut self.engine;
        let done = self.store.transaction::<(), tertulia_engine::StoreFailure>(Durability::Process, |rows| {
            work(engine, rows, now);
            Ok(())
        });
        done.unwrap();
        while let Some(action) = self.engine.poll_link() {
            if let LinkAction::Open(link) = action {
                self.link = link;
            }
        }
        while let Some(sent) = self.engine.poll_transmit() {
            self.asked.push((sent.id, sent.request));
        }
    }

    fn step(&mut self, step: RegistrationStep) {
        self.with(|engine, rows, now| engine.handle_registration(rows, now, step).unwrap());
    }

    fn hear(&mut self, frame: &Value) {
        let (frame, link) = (ServerFrame::parse(&frame.to_string()).unwrap(), self.link);
        self.with(|engine, rows, now| engine.handle_frame(rows, now, link, frame).unwrap());
    }

    fn connect(&mut self) {
        self.with(|engine, _, now| engine.handle_connect(now));
        self.with(|engine, rows, now| engine.handle_timeout(rows, now).unwrap());
        let limits = Limits::default();
        self.hear(&json!({ "type": "connected", "userId": ME, "sessionId": ME, "serverTime": AT, "limits": limits }));
    }

    fn lose_connection(&mut self) {
        let link = self.link;
        self.with(|engine, _, now| engine.handle_closed(now, link, Closed::Lost));
        self.asked.clear();
    }

    /// Another connection, after a while.
    fn reconnect(&mut self) {
        self.lose_connection();
        self.now_ms += 60_000;
        self.connect();
        self.catch_up();
    }

    /// The app is killed, and comes back.
    fn restart(&mut self) {
        self.engine = Engine::new(Config::default(), 2);
        self.asked.clear();
        self.with(|engine, rows, _| engine.handle_start(rows).unwrap());
        self.connect();
        self.catch_up();
    }

    fn catch_up(&mut self) {
        self.catch_up_with("c", false);
    }

    /// Answers the request for the difference with all there is.
    fn catch_up_with(&mut self, epoch: &str, reset: bool) {
        let at = self.asked.iter().position(|(_, request)| matches!(request, ClientRequest::Sync(_)));
        let (id, _) = self.asked.remove(at.unwrap());
        let me = json!({
            "userId": ME, "name": "me", "avatarUrl": null, "role": "member", "joinedAt": AT, "deliveredSeq": self.delivered,
            "readSeq": self.read, "rev": self.rev, "removed": false
        });
        let conversation = json!({
            "id": DM, "type": "dm", "title": null, "createdAt": AT, "lastSeq": self.last_seq, "rev": self.rev,
            "lastMessageAt": null, "unreadCount": 0, "myRole": "member", "mutedUntil": null, "historyVisibility": "all",
            "memberCount": 2, "messages": [], "members": [me], "holeBefore": self.last_seq + 1
        });
        let epoch = if epoch == "c" { ME } else { BOB };
        self.hear(&json!({
            "type": "sync.batch", "cursor": "c", "epoch": epoch, "hasMore": false, "conversations": [conversation],
            "removed": [], "requestId": id, "reset": reset
        }));
        self.hear(&json!({ "type": "ok", "id": id }));
    }

    /// Bob writes.
    fn hear_of_a_message(&mut self) {
        (self.rev, self.last_seq) = (self.rev + 1, self.last_seq + 1);
        let id = format!("0190a1b2-0000-7000-8000-{:012}", self.last_seq);
        self.hear(&json!({
            "type": "message.new", "messageId": id, "conversationId": DM, "seq": self.last_seq, "rev": self.rev, "senderId": BOB,
            "senderName": "bob", "senderAvatar": null, "clientMsgId": id, "body": "x", "createdAt": AT, "editedAt": null,
            "deletedAt": null, "reactions": []
        }));
    }

    /// Another device of mine tells that it has all there is, or that it is read.
    fn another_device_tells(&mut self, is_read: bool) {
        self.rev += 1;
        self.delivered = self.last_seq;
        self.read = if is_read { self.last_seq } else { self.read };
        self.hear(&json!({
            "type": "receipt.updated", "conversationId": DM, "userId": ME, "deliveredSeq": self.delivered, "readSeq": self.read,
            "rev": self.rev
        }));
    }

    /// Time passes; which receipts have been sent in it, by their number, and what they say was delivered.
    fn receipts(&mut self) -> Vec<(u64, Seq)> {
        self.now_ms += 5_000;
        self.with(|engine, rows, now| engine.handle_timeout(rows, now).unwrap());
        let (receipts, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition(|(_, asked)| matches!(asked, ClientRequest::Receipt(_)));
        self.asked = rest;
        let said = receipts.into_iter().map(|(id, asked)| match asked {
            ClientRequest::Receipt(receipt) => (id, receipt.delivered_seq.unwrap()),
            _ => (id, 0),
        });
        said.collect()
    }

    /// The same, and the server takes them.
    fn told(&mut self) -> Vec<Seq> {
        let receipts = self.receipts();
        for (id, _) in &receipts {
            self.hear(&json!({ "type": "ok", "id": id }));
        }
        receipts.into_iter().map(|(_, seq)| seq).collect()
    }

    fn mark(&mut self) -> Option<Seq> {
        let read = |rows: &mut Rows<'_>| rows.conversation(DM.parse::<ConversationId>().unwrap());
        self.store.transaction(Durability::Process, read).unwrap().unwrap().told_delivered
    }

    fn registration(&self) -> Registration {
        self.store.registration().unwrap()
    }
}

const NOTHING: [Seq; 0] = [];

#[test]
fn a_device_that_is_not_notified_leaves_the_telling_to_whoever_is_faster() {
    let mut phone = Phone::new();
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    assert_eq!(phone.told(), NOTHING);
    assert_eq!(phone.mark(), None);
    phone.hear_of_a_message();
    assert_eq!(phone.told(), [9], "unless it is the fastest itself");
    assert_eq!(phone.mark(), None);
}

#[test]
fn a_device_that_is_notified_tells_what_it_has_although_another_one_was_faster() {
    let mut phone = Phone::registered();
    assert_eq!(phone.told(), NOTHING, "what it had when it registered is not told");
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    assert_eq!(phone.told(), [8]);
    assert_eq!(phone.mark(), Some(8));
    assert_eq!(phone.told(), NOTHING, "once");
    for _ in 0..5 {
        phone.hear_of_a_message();
    }
    phone.another_device_tells(false);
    assert_eq!(phone.told(), [13], "and once for many");
}

#[test]
fn what_was_acknowledged_is_not_told_again_by_another_connection_nor_by_another_life_of_the_app() {
    let mut phone = Phone::registered();
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    assert_eq!(phone.told(), [8]);
    phone.reconnect();
    assert_eq!(phone.told(), NOTHING);
    phone.restart();
    assert_eq!((phone.told(), phone.registration()), (NOTHING.to_vec(), Registration::Stands));
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    assert_eq!(phone.told(), [9]);
}

#[test]
fn what_was_not_acknowledged_is_told_again() {
    let mut phone = Phone::registered();
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    assert_eq!(phone.receipts().len(), 1);
    assert_eq!(phone.receipts(), [], "not while it is under way");
    phone.reconnect();
    assert_eq!(phone.receipts().len(), 1);
    phone.restart();
    assert_eq!(phone.told(), [8]);
}

#[test]
fn what_came_while_the_phone_was_away_is_told_when_it_is_back() {
    let mut phone = Phone::registered();
    phone.lose_connection();
    (phone.rev, phone.last_seq, phone.delivered) = (phone.rev + 3, phone.last_seq + 2, phone.last_seq + 2);
    phone.now_ms += 60_000;
    phone.connect();
    phone.catch_up();
    assert_eq!(phone.told(), [9]);
}

#[test]
fn what_was_read_anywhere_nobody_is_notified_of_so_it_is_not_told() {
    let mut phone = Phone::registered();
    phone.hear_of_a_message();
    phone.another_device_tells(true);
    assert_eq!(phone.told(), NOTHING);
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    assert_eq!(phone.told(), [9]);
}

#[test]
fn what_is_told_before_the_server_has_the_registration_counts_for_nothing() {
    let mut phone = Phone::new();
    phone.step(RegistrationStep::Asked);
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    assert_eq!(phone.told(), [8]);
    assert_eq!(phone.mark(), Some(OLD), "it may have come before it");
    phone.step(RegistrationStep::Stands);
    assert_eq!(phone.told(), [8]);
    assert_eq!((phone.mark(), phone.told()), (Some(8), NOTHING.to_vec()));
}

#[test]
fn a_receipt_that_is_under_way_when_the_registration_is_answered_counts_for_nothing() {
    let mut phone = Phone::new();
    phone.step(RegistrationStep::Asked);
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    let under_way = phone.receipts();
    phone.step(RegistrationStep::Stands);
    assert_eq!(phone.receipts(), [], "one after the other");
    phone.hear(&json!({ "type": "ok", "id": under_way[0].0 }));
    assert_eq!(phone.mark(), Some(OLD));
    assert_eq!(phone.told(), [8]);
    assert_eq!(phone.mark(), Some(8));
}

#[test]
fn a_refused_receipt_is_not_told_again_over_the_same_connection() {
    let mut phone = Phone::registered();
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    let receipts = phone.receipts();
    phone.hear(&json!({ "type": "error", "id": receipts[0].0, "code": "forbidden", "detail": "not you" }));
    assert_eq!(phone.receipts(), []);
    assert_eq!(phone.mark(), Some(OLD));
    phone.asked.clear();
    phone.reconnect();
    assert_eq!(phone.told(), [8]);
}

#[test]
fn a_registration_that_fails_or_ends_leaves_nothing_behind() {
    for (before, step) in [
        (Registration::Asked, RegistrationStep::Failed),
        (Registration::Asked, RegistrationStep::Ended),
        (Registration::Stands, RegistrationStep::Ended),
    ] {
        let mut phone = Phone::new();
        phone.step(RegistrationStep::Asked);
        if before == Registration::Stands {
            phone.step(RegistrationStep::Stands);
        }
        assert_eq!((phone.registration(), phone.mark()), (before, Some(OLD)));
        phone.step(step);
        assert_eq!((phone.registration(), phone.mark()), (Registration::None, None));
        phone.hear_of_a_message();
        phone.another_device_tells(false);
        assert_eq!(phone.told(), NOTHING);
    }
    let mut phone = Phone::registered();
    phone.step(RegistrationStep::Asked);
    phone.step(RegistrationStep::Failed);
    assert_eq!(phone.registration(), Registration::Stands, "renewing it failed, which is no end of it");
}

#[test]
fn another_log_may_not_know_of_the_registration() {
    let mut phone = Phone::registered();
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    assert_eq!(phone.told(), [8]);
    phone.lose_connection();
    // Restored, and shorter.
    (phone.rev, phone.last_seq, phone.delivered) = (5, 5, 5);
    phone.now_ms += 60_000;
    phone.connect();
    phone.catch_up_with("another", true);
    assert_eq!((phone.registration(), phone.mark()), (Registration::None, None));
    phone.step(RegistrationStep::Asked);
    phone.step(RegistrationStep::Stands);
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    assert_eq!(phone.told(), [6], "in its numbers");
}

#[test]
fn a_registration_before_the_first_difference_is_asked_for_again_after_it() {
    let mut phone = Phone::new();
    phone.store.wipe().unwrap();
    phone.engine = Engine::new(Config::default(), 3);
    phone.asked.clear();
    phone.step(RegistrationStep::Asked);
    phone.step(RegistrationStep::Stands);
    phone.connect();
    phone.catch_up();
    assert_eq!(
        (phone.registration(), phone.mark()),
        (Registration::None, None),
        "what came is old, and not to be told"
    );
    phone.step(RegistrationStep::Asked);
    phone.step(RegistrationStep::Stands);
    assert_eq!(phone.told(), NOTHING);
    phone.hear_of_a_message();
    phone.another_device_tells(false);
    assert_eq!(phone.told(), [8]);
}

#[test]
fn a_conversation_that_comes_later_is_told_from_its_beginning() {
    let mut phone = Phone::registered();
    let dm = DM.parse::<ConversationId>().unwrap();
    phone.with(|_, rows, _| rows.delete_conversation(dm).unwrap());
    phone.reconnect();
    assert_eq!(phone.told(), [OLD]);
}

#[test]
fn when_all_is_told_the_engine_is_settled() {
    let mut phone = Phone::registered();
    assert_eq!(phone.told(), NOTHING);
    assert!(phone.engine.is_settled());
    phone.hear_of_a_message();
    assert!(!phone.engine.is_settled(), "a receipt waits for its time");
    let receipts = phone.receipts();
    assert!(!phone.engine.is_settled(), "it is under way");
    phone.hear(&json!({ "type": "ok", "id": receipts[0].0 }));
    assert_eq!(phone.receipts(), []);
    assert!(phone.engine.is_settled());
    let (name, conversation) = ("a".parse().unwrap(), DM.parse().unwrap());
    let send = Command::Send { conversation, name, body: "x".to_owned(), reply_to: None };
    phone.with(|engine, rows, now| engine.handle_command(rows, now, send).unwrap());
    assert!(!phone.engine.is_settled(), "a message is under way");
    let id = phone.asked.iter().find(|(_, asked)| matches!(asked, ClientRequest::SendMessage(_))).unwrap().0;
    phone.hear(&json!({ "type": "error", "id": id, "code": "forbidden", "detail": "not here" }));
    phone.receipts();
    phone.catch_up();
    assert_eq!(phone.receipts(), []);
    assert!(phone.engine.is_settled(), "what is parked waits for the person");
}
