//! How many messages a second the log takes, and what other programs that listen cost: `cargo run --release --example sends -- ENDPOINTS MESSAGES`.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tertulia_proto::webhook::EventFilter;
use tertulia_proto::{ConversationId, HistoryVisibility, MessageId, Timestamp, UserId, WebhookId};
use tertulia_store::conformance::house::House;
use tertulia_store::webhooks::{NewEndpoint, Secret};
use tertulia_store::{AppendMessage, CommitSink, Committed, NewUser, Store as _, Write};
use tertulia_store_sqlite::{Options, SqliteStore};

const GROUPS: u8 = 50;

/// Writes under way, as of so many people at once.
const UNDER_WAY: usize = 400;

struct Counted(Arc<AtomicUsize>);

impl CommitSink for Counted {
    fn committed(&self, batch: Vec<Committed>) {
        for one in batch {
            assert!(one.result.is_ok(), "{:?}", one.result);
            (one.done)(&one.result);
            self.0.fetch_add(1, Ordering::Release);
        }
    }
}

fn until(done: &AtomicUsize, count: usize) {
    while done.load(Ordering::Acquire) < count {
        std::thread::yield_now();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let (endpoints, messages) = (arguments.next().unwrap_or(0), arguments.next().unwrap_or(50_000));
    let folder = std::env::temp_dir().join(format!("tertulia-sends-{}", std::process::id()));
    let done = Arc::new(AtomicUsize::new(0));
    let options = Options { readers: 1, serves: false, seed: [7; 64] };
    let (rules, sink) = (Arc::new(House::default()), Arc::new(Counted(Arc::clone(&done))));
    let store = SqliteStore::open(&folder, &options, rules, sink).unwrap();
    let now = Timestamp::from_ms(1_767_225_600_000);
    let (alice, bob) = (UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
    let mut submitted = 0_usize;
    let mut submit = |write| {
        store.submit(write, Box::new(|_| ()));
        submitted += 1;
        until(&done, submitted.saturating_sub(UNDER_WAY));
    };
    for (id, name) in [(alice, "Alice"), (bob, "Bob")] {
        let (email, password_hash, avatar_url) = (None, None, None);
        submit(Write::CreateUser(NewUser { id, email, name: name.to_owned(), password_hash, avatar_url, now }));
    }
    let group = |n: u8| ConversationId::from_bytes([n + 10; 16]);
    for n in 0..GROUPS {
        let (title, history_visibility) = ("Group".to_owned(), HistoryVisibility::All);
        submit(Write::CreateGroup { id: group(n), actor: alice, title, members: vec![bob], history_visibility, now });
    }
    for n in 0..u8::try_from(endpoints).unwrap() {
        let (id, url, secret) = (WebhookId::from_bytes([n; 16]), "https://example.org".to_owned(), Secret([n; 32]));
        let new = NewEndpoint { id, url, filter: EventFilter::all(), secret, now };
        assert!(store.webhooks().add_endpoint(new).await.unwrap());
    }
    let begin = Instant::now();
    for n in 0..messages {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&u64::try_from(n).unwrap().to_be_bytes());
        let (id, sender) = (MessageId::from_bytes(id), if n % 3 == 0 { alice } else { bob });
        let conversation = group(u8::try_from(n % usize::from(GROUPS)).unwrap());
        submit(Write::AppendMessage(Box::new(AppendMessage {
            id,
            conversation,
            sender,
            client_msg_id: id.to_string().parse().unwrap(),
            body: "Shall we meet at eight, at the usual place?".to_owned(),
            reply_to: None,
            after: None,
            notify_at: Some(now),
            now,
        })));
    }
    until(&done, submitted);
    let rate = u128::try_from(messages).unwrap() * 1000 / begin.elapsed().as_millis().max(1);
    println!("{endpoints} endpoints: {rate} messages a second");
    store.close();
    let _ = std::fs::remove_dir_all(folder);
}
