//! What the client costs, measured against the real server on this machine.
//!
//! `cargo build --release -p tertulia-server && cargo run --release -p tertulia-client --example figures`

#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tertulia_client::{Client, ConnectionState, ConversationId};
use tertulia_client_sqlite::{Durability, Store};
use tertulia_engine::{LocalConversation, LocalMessage, LocalStore, StoreFailure};
use tertulia_proto::{ConversationKind, HistoryVisibility, Member, Message, MessageId, Role, Timestamp, User, UserId};
use tertulia_testkit::{Folder, Gate, Options, Person, Server, within};

const CONVERSATIONS: usize = 100;
const MESSAGES_EACH: usize = 10;
const LOCAL_MESSAGES: i64 = 100_000;
const ROUNDS: usize = 300;

#[tokio::main]
async fn main() -> Result<()> {
    let server = Server::start(Options::built()?).await?;
    let gate = Gate::open(server.url()).await?;
    let folder = Folder::new()?;
    let (alice, bob) = (server.person("alice").await?, server.person("bob").await?);
    println!("filling the server ...");
    let ids = fill(&server, &alice, &bob).await?;

    let client = Client::builder(&gate.url()).token(alice.token.as_str()).file(folder.path().join("a.db")).open()?;
    let (took, full) = reconnect(&client, &gate).await?;
    ensure!(held(&client, &ids)? == CONVERSATIONS * MESSAGES_EACH, "the full sync is not full");
    println!("full sync, {CONVERSATIONS} conversations, {} messages: {took:.1?}, {full} bytes", held(&client, &ids)?);

    let mut waits = Vec::new();
    let mut delta = 0;
    for round in 0..10 {
        pause(&client).await?;
        for (number, id) in ids.iter().take(10).enumerate() {
            server.api(&bob).send(*id, &format!("d{round}-{number}"), "one of ten new ones").await?;
        }
        let (took, bytes) = reconnect(&client, &gate).await?;
        waits.push(took);
        delta = bytes;
    }
    let saved = 100.0 * (1.0 - f64::from(u32::try_from(delta)?) / f64::from(u32::try_from(full)?));
    println!("reconnect with 10 new messages: {}, {delta} bytes, {saved:.1} % less than all", percentiles(&mut waits));

    let mut waits = Vec::new();
    let mut empty = 0;
    for _ in 0..20 {
        pause(&client).await?;
        let (took, bytes) = reconnect(&client, &gate).await?;
        waits.push(took);
        empty = bytes;
    }
    println!("reconnect with nothing new: {}, {empty} bytes", percentiles(&mut waits));

    pause(&client).await?;
    let id = *ids.first().context("a conversation")?;
    println!(
        "send offline to notified, outbox empty at first: {}",
        percentiles(&mut offline_sends(&client, id).await?)
    );
    while client.outbox().get()?.len() < tertulia_client::OUTBOX_SHOWN_MAX {
        client.send(id, "one of many that wait")?;
    }
    for _ in 0..4000 {
        client.send(id, "one of many that wait")?;
    }
    println!("send offline to notified, 5,000 waiting: {}", percentiles(&mut offline_sends(&client, id).await?));
    drop(client);
    first_screen(&folder, &alice).await
}

fn percentiles(waits: &mut [Duration]) -> String {
    waits.sort();
    let at = |part: usize| waits[(waits.len() * part / 100).min(waits.len() - 1)];
    format!("p50 {:.2?}, p95 {:.2?}, p100 {:.2?}", at(50), at(95), at(100))
}

async fn fill(server: &Server, alice: &Person, bob: &Person) -> Result<Vec<ConversationId>> {
    let (api, other) = (server.api(alice), server.api(bob));
    let mut ids = Vec::new();
    for number in 0..CONVERSATIONS {
        let id = api.group(&format!("Group {number}"), std::slice::from_ref(bob)).await?.id;
        for message in 0..MESSAGES_EACH {
            let text = format!("message {message} of group {number}, as long as people write on a phone");
            other.send(id, &format!("m{number}-{message}"), &text).await?;
        }
        ids.push(id);
    }
    Ok(ids)
}

fn held(client: &Client, ids: &[ConversationId]) -> Result<usize> {
    ids.iter().map(|id| Ok(client.timeline(*id).get()?.messages.len())).sum()
}

async fn pause(client: &Client) -> Result<()> {
    // What was received is told after a second; else it would count with the next connection.
    within("a quiet client", client.connection().until(|state| matches!(state, ConnectionState::Connected { .. })))
        .await??;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    client.pause()?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}

/// From `connect` to caught up, and the bytes of all that in both directions.
async fn reconnect(client: &Client, gate: &Gate) -> Result<(Duration, u64)> {
    let before = gate.bytes();
    let begun = Instant::now();
    client.connect()?;
    let done = ConnectionState::Connected { caught_up: true };
    within("caught up", client.connection().until(|state| *state == done)).await??;
    let (took, after) = (begun.elapsed(), gate.bytes());
    Ok((took, after.0 - before.0 + after.1 - before.1))
}

async fn offline_sends(client: &Client, id: ConversationId) -> Result<Vec<Duration>> {
    let mut timeline = client.timeline(id);
    timeline.next().await?;
    let mut waits = Vec::new();
    for number in 0..ROUNDS {
        let begun = Instant::now();
        client.send(id, format!("offline {number}"))?;
        timeline.next().await?;
        waits.push(begun.elapsed());
    }
    Ok(waits)
}

async fn first_screen(folder: &Folder, alice: &Person) -> Result<()> {
    let file = folder.path().join("large.db");
    let id = ConversationId::from_bytes([9; 16]);
    {
        let mut store = Store::open(&file)?;
        store.transaction(Durability::Process, |rows| large_conversation(rows, id, alice))?;
    }
    let begun = Instant::now();
    let client = Client::builder("http://127.0.0.1:9").file(&file).open()?;
    println!("opening a file with {LOCAL_MESSAGES} messages: {:.2?}", begun.elapsed());
    let mut waits = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let window = client.timeline(id).get()?;
        waits.push(begun.elapsed());
        ensure!(window.messages.len() == 50 && window.has_more, "not the 50 newest");
    }
    println!("50 newest of {LOCAL_MESSAGES}: first {:.2?}, {}", waits[0], percentiles(&mut waits.clone()));
    let mut waits = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        client.conversations().get()?;
        waits.push(begun.elapsed());
    }
    println!("list with that conversation: {}", percentiles(&mut waits));
    let begun = Instant::now();
    let found = client.search("message 777", None, 20)?.len();
    println!("{found} hits in {LOCAL_MESSAGES}: {:.2?}", begun.elapsed());
    Ok(())
}

fn large_conversation(rows: &mut dyn LocalStore, id: ConversationId, alice: &Person) -> Result<(), StoreFailure> {
    let now = Timestamp::from_ms(1_790_000_000_000);
    let bob = UserId::from_bytes([2; 16]);
    let mut state = rows.sync_state()?;
    state.account = Some(alice.id);
    rows.put_sync_state(&state)?;
    rows.put_conversation(&LocalConversation {
        id,
        kind: ConversationKind::Dm,
        title: None,
        created_at: now,
        last_message_at: Some(now),
        my_role: Role::Member,
        muted_until: None,
        hidden: false,
        history_visibility: HistoryVisibility::All,
        peer: Some(User {
            id: bob,
            email: None,
            name: "bob".into(),
            avatar_url: None,
            created_at: now,
            blocked: false,
        }),
        member_count: 2,
        joined_at: now,
        rev: LOCAL_MESSAGES,
        last_seq: LOCAL_MESSAGES,
        delivered_seq: LOCAL_MESSAGES,
        read_seq: LOCAL_MESSAGES,
        told_delivered: None,
        want_read: LOCAL_MESSAGES,
        want_muted: None,
        deleted_in_holes: 0,
        touched: 0,
        doubted: false,
        left: false,
        draft: String::new(),
    })?;
    for user_id in [alice.id, bob] {
        let member = Member {
            user_id,
            name: "somebody".to_owned(),
            avatar_url: None,
            role: Role::Member,
            joined_at: now,
            delivered_seq: LOCAL_MESSAGES,
            read_seq: LOCAL_MESSAGES,
            rev: 1,
            removed: false,
        };
        rows.put_member(id, &member)?;
    }
    (1..=LOCAL_MESSAGES).try_for_each(|seq| {
        let sender = if seq % 2 == 0 { alice.id } else { bob };
        rows.put_message(&LocalMessage::of_log(0, message(id, seq, sender, now)?)).map(drop)
    })
}

fn message(id: ConversationId, seq: i64, sender_id: UserId, now: Timestamp) -> Result<Message, StoreFailure> {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&seq.to_be_bytes());
    Ok(Message {
        message_id: MessageId::from_bytes(bytes),
        conversation_id: id,
        seq,
        rev: seq,
        sender_id,
        sender_name: "somebody".to_owned(),
        sender_avatar: None,
        client_msg_id: format!("m{seq}").parse().map_err(|_| StoreFailure::Corrupt("a name".to_owned()))?,
        body: format!("message {seq}, as long as people write on a phone"),
        created_at: now,
        reply_to: None,
        edited_at: None,
        deleted_at: None,
        reactions: Vec::new(),
    })
}
