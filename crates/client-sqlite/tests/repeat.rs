//! What the engine does again after a connection was lost, over real rows: the test is the server.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

use serde_json::{Value, json};
use tertulia_client_sqlite::{Durability, Store};
use tertulia_engine::{
    Closed, Command, Config, Engine, LinkAction, LinkId, LocalStore as _, MessageRef, Now, Op, OutboxEntry,
};
use tertulia_proto::request::ClientRequest;
use tertulia_proto::{Limits, MessageId, Rev, ServerFrame, Timestamp};

const ME: &str = "0190a1b2-0000-7000-8000-00000000000a";
const DM: &str = "0190a1b2-0000-7000-8000-0000000000d0";
const MESSAGE: &str = "0190a1b2-0000-7000-8000-000000000001";

/// The server's clock when the device's stands at zero; the device's own is wrong.
const SERVER_MS: i64 = 1_800_000_000_000;

fn at(ms: i64) -> String {
    serde_json::to_value(Timestamp::from_ms(SERVER_MS + ms)).unwrap().as_str().unwrap().to_owned()
}

struct Phone {
    engine: Engine,
    store: Store,
    link: LinkId,
    now_ms: u64,
    asked: Vec<(u64, ClientRequest)>,
}

impl Phone {
    /// With one message of mine, which says "zero".
    fn new() -> Self {
        let (engine, store) = (Engine::new(Config::default(), 1), Store::open_in_memory().unwrap());
        let mut phone = Self { engine, store, link: LinkId(0), now_ms: 0, asked: Vec::new() };
        phone.connect();
        phone.catch_up(&row("zero", None, 2));
        phone
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall: Timestamp::from_ms(77) }
    }

    fn with(&mut self, work: impl FnOnce(&mut Engine, &mut tertulia_client_sqlite::Rows<'_>, Now)) {
        let now = self.now();
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

    fn hear(&mut self, frame: &Value) {
        let (frame, link) = (ServerFrame::parse(&frame.to_string()).unwrap(), self.link);
        self.with(|engine, rows, now| engine.handle_frame(rows, now, link, frame).unwrap());
    }

    fn connect(&mut self) {
        self.engine.handle_connect(self.now());
        self.with(|engine, rows, now| engine.handle_timeout(rows, now).unwrap());
        let server_time = at(i64::try_from(self.now_ms).unwrap());
        let limits = Limits::default();
        self.hear(
            &json!({ "type": "connected", "userId": ME, "sessionId": ME, "serverTime": server_time, "limits": limits }),
        );
    }

    fn lose_connection(&mut self) {
        let (link, now) = (self.link, self.now());
        self.engine.handle_closed(now, link, Closed::Lost);
        self.asked.clear();
    }

    /// The connection is lost, and another one is there after a while.
    fn reconnect(&mut self) {
        self.lose_connection();
        self.now_ms += 10_000;
        self.connect();
    }

    /// Answers the request for the difference; the conversation's end is this message.
    fn catch_up(&mut self, message: &Value) {
        let asked = self.asked.iter().position(|(_, request)| matches!(request, ClientRequest::Sync(_)));
        let (id, _) = self.asked.remove(asked.unwrap());
        let conversation = json!({
            "id": DM, "type": "dm", "title": null, "createdAt": at(0), "lastSeq": 1, "rev": message["rev"], "lastMessageAt": null,
            "unreadCount": 0, "myRole": "member", "mutedUntil": null, "historyVisibility": "all", "memberCount": 2,
            "messages": [message]
        });
        self.hear(&json!({
            "type": "sync.batch", "cursor": "c", "epoch": ME, "hasMore": false, "conversations": [conversation],
            "removed": [], "requestId": id
        }));
        self.hear(&json!({ "type": "ok", "id": id }));
    }

    fn command(&mut self, command: Command) {
        self.with(|engine, rows, now| engine.handle_command(rows, now, command).unwrap());
    }

    fn edit(&mut self, body: &str) {
        self.command(Command::Edit { conversation: DM.parse().unwrap(), message: message(), body: body.to_owned() });
    }

    fn react(&mut self, remove: bool) {
        let (conversation, emoji) = (DM.parse().unwrap(), "👍".parse().unwrap());
        self.command(Command::React { conversation, message: message(), emoji, remove });
    }

    /// What has been asked of the message, newest last, each once.
    fn takes_changes(&mut self) -> Vec<String> {
        let changes = std::mem::take(&mut self.asked).into_iter().filter_map(|(_, request)| match request {
            ClientRequest::EditMessage(edit) => Some(edit.body),
            ClientRequest::DeleteMessage(_) => Some("deleted".to_owned()),
            ClientRequest::ReactToMessage(react) => Some(if react.remove { "-" } else { "+" }.to_owned()),
            _ => None,
        });
        changes.collect()
    }

    fn waiting(&self) -> Vec<OutboxEntry> {
        self.store.outbox(10).unwrap()
    }

    /// Edits, loses the connection before an answer came, and finds this in the log; answers what is done then.
    fn after(mut self, edit: &str, found: &Value) -> (Vec<String>, usize) {
        self.edit(edit);
        assert_eq!(self.takes_changes(), [edit]);
        self.reconnect();
        assert_eq!(
            self.takes_changes_before_the_difference(),
            Vec::<String>::new(),
            "first it is asked what became of it"
        );
        self.catch_up(found);
        (self.takes_changes(), self.waiting().len())
    }

    fn takes_changes_before_the_difference(&mut self) -> Vec<String> {
        let sync = self.asked.iter().find(|(_, request)| matches!(request, ClientRequest::Sync(_))).cloned();
        let changes = self.takes_changes();
        self.asked.extend(sync);
        changes
    }
}

fn message() -> MessageRef {
    MessageRef::Log(MESSAGE.parse::<MessageId>().unwrap())
}

/// The message as the log has it; edited so many milliseconds after the device's zero.
fn row(body: &str, edited_ms: Option<i64>, rev: Rev) -> Value {
    json!({
        "messageId": MESSAGE, "conversationId": DM, "seq": 1, "rev": rev, "senderId": ME, "senderName": "me", "senderAvatar": null,
        "clientMsgId": "m", "body": body, "createdAt": at(0), "editedAt": edited_ms.map(at), "deletedAt": null, "reactions": []
    })
}

#[test]
fn an_edit_that_did_not_arrive_is_sent_again() {
    assert_eq!(Phone::new().after("one", &row("zero", None, 2)), (vec!["one".to_owned()], 1));
}

#[test]
fn an_edit_that_arrived_is_done() {
    // Whatever the server's clock says.
    for edited_ms in [5, -5] {
        assert_eq!(Phone::new().after("one", &row("one", Some(edited_ms), 3)), (vec![], 0));
    }
}

#[test]
fn an_edit_gives_way_to_a_newer_one_of_another_device() {
    assert_eq!(Phone::new().after("one", &row("of the desk", Some(5000), 4)), (vec![], 0));
}

#[test]
fn an_edit_does_not_give_way_to_an_older_one_that_it_had_not_heard_of() {
    let mut phone = Phone::new();
    phone.now_ms = 60_000;
    assert_eq!(phone.after("one", &row("of the desk", Some(59_000), 3)), (vec!["one".to_owned()], 1));
}

#[test]
fn an_edit_does_not_give_way_to_one_that_it_was_made_upon() {
    let mut phone = Phone::new();
    // The server's clock was wrong when it was made.
    phone.hear(&with_type("message.updated", row("of the desk", Some(90_000_000), 3)));
    assert_eq!(phone.after("one", &row("of the desk", Some(90_000_000), 3)), (vec!["one".to_owned()], 1));
}

#[test]
fn words_that_were_changed_since_are_sent_whatever_became_of_the_older_ones() {
    let mut phone = Phone::new();
    phone.edit("one");
    phone.takes_changes();
    phone.lose_connection();
    phone.edit("two");
    phone.reconnect();
    assert_eq!(phone.takes_changes_before_the_difference(), ["two"]);
    phone.catch_up(&row("one", Some(5), 3));
    assert_eq!((phone.takes_changes(), phone.waiting().len()), (vec![], 1));
}

#[test]
fn a_deleted_message_is_not_edited_again() {
    let mut deleted = row("", None, 3);
    deleted["deletedAt"] = json!(at(5));
    assert_eq!(Phone::new().after("one", &deleted), (vec![], 0));
}

#[test]
fn a_reaction_that_the_log_shows_is_done_and_one_that_it_does_not_is_sent_again() {
    let mut there = row("zero", None, 3);
    there["reactions"] = json!([{ "emoji": "👍", "userIds": [ME] }]);
    for (found, again) in [(there, vec![]), (row("zero", None, 2), vec!["+".to_owned()])] {
        let mut phone = Phone::new();
        phone.react(false);
        phone.takes_changes();
        phone.reconnect();
        assert_eq!(phone.takes_changes_before_the_difference(), Vec::<String>::new());
        phone.catch_up(&found);
        assert_eq!(phone.takes_changes(), again);
    }
}

/// The page says it, when it is here.
#[test]
fn of_a_message_in_a_hole_it_is_asked_first_what_became_of_the_edit() {
    let mut phone = Phone::new();
    phone.edit("one");
    phone.reconnect();
    phone.takes_changes_before_the_difference();
    let hole = tertulia_engine::Holes::new(vec![(1, 1)]);
    phone.with(|_, rows, _| rows.put_holes(DM.parse().unwrap(), &hole).unwrap());
    // Another message than that one.
    let mut other = row("later", None, 5);
    (other["seq"], other["messageId"], other["clientMsgId"]) = (json!(2), json!(ME), json!("n"));
    phone.catch_up(&other);
    let (id, request) = phone.asked.pop().unwrap();
    assert!(matches!(request, ClientRequest::History(_)), "{request:?}");
    phone.hear(&json!({ "type": "ok", "id": id, "messages": [row("one", Some(5), 3)], "hasMore": false }));
    assert_eq!((phone.takes_changes(), phone.waiting()), (vec![], vec![]));
}

#[test]
fn words_for_a_message_that_was_refused_take_the_place_of_older_ones_that_wait() {
    let mut phone = Phone::new();
    let (conversation, name) = (DM.parse().unwrap(), "new".parse().unwrap());
    phone.command(Command::Send { conversation, name, body: "zero".to_owned(), reply_to: None });
    let (id, _) = phone.asked.pop().unwrap();
    let edit = |body: &str| Command::Edit {
        conversation,
        message: MessageRef::Mine("new".parse().unwrap()),
        body: body.to_owned(),
    };
    phone.command(edit("one"));
    phone.hear(&json!({ "type": "error", "id": id, "code": "forbidden", "detail": "says the moderator" }));
    phone.command(edit("two"));
    let waiting = phone.waiting();
    assert!(matches!(&waiting[..], [OutboxEntry { op: Op::Send, .. }]), "{waiting:?}");
    phone.command(Command::Retry { entry: waiting[0].id });
    match phone.asked.pop() {
        Some((_, ClientRequest::SendMessage(send))) => assert_eq!(send.body, "two"),
        other => panic!("{other:?}"),
    }
}

fn with_type(name: &str, mut frame: Value) -> Value {
    frame["type"] = json!(name);
    frame
}
