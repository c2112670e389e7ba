//! How many messages a second go through, and how long each takes.
//!
//! `cargo run --release --example postgres_figures -p tertulia-store-postgres [URL]`; without a URL on a throw-away cluster that waits for its disk.

#![expect(clippy::expect_used, reason = "a measurement that can't be made is given up")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tertulia_proto::{ApiError, HistoryVisibility};
use tertulia_store::*;
use tertulia_store_postgres::{Options, PostgresStore};
use tertulia_testkit::{Postgres, PostgresOptions};
use tokio::sync::Semaphore;
use uuid::Uuid;

const CONVERSATIONS: usize = 200;
const MEMBERS: usize = 10;
const EACH: Duration = Duration::from_secs(8);

struct Anything;

impl Rules for Anything {
    fn decide(&self, _: Action, _: &Facts) -> Result<(), ApiError> {
        Ok(())
    }
}

/// Hands results on and counts how many come together.
#[derive(Default)]
struct Counter {
    batches: AtomicU64,
    writes: AtomicU64,
}

impl CommitSink for Counter {
    fn committed(&self, batch: Vec<Committed>) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(batch.len() as u64, Ordering::Relaxed);
        for Committed { result, done } in batch {
            done(&result);
        }
    }
}

struct Ids(AtomicU64);

impl Ids {
    /// In the order of time, as UUIDv7 are.
    fn next(&self) -> [u8; 16] {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(0x019b_76da_0000_0000 + (n << 8)).to_be_bytes());
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80;
        bytes[9..].copy_from_slice(&n.to_be_bytes()[1..]);
        bytes
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement takes the time")]
fn instant() -> Instant {
    Instant::now()
}

#[tokio::main]
async fn main() {
    let given = std::env::args().nth(1);
    let cluster = match &given {
        Some(_) => None,
        None => {
            let mut options = PostgresOptions::default();
            options.fsync = true;
            let cluster =
                Postgres::start(options.set("autovacuum", "on").set("max_wal_size", "4GB")).expect("a cluster");
            cluster.create("figures").expect("a database");
            Some(cluster)
        }
    };
    let url = given.unwrap_or_else(|| cluster.as_ref().map_or(String::new(), |cluster| cluster.url("figures")));
    let mut seed = [0; 64];
    seed[..16].copy_from_slice(Uuid::from_u128(u128::from(std::process::id())).as_bytes());
    let sink = Arc::<Counter>::default();
    let store =
        PostgresStore::open(&Options::new(url, seed), Arc::new(Anything), sink.clone()).await.expect("it opens");
    let ids = Arc::new(Ids(AtomicU64::new(u64::from(std::process::id()) << 24)));
    let (people, groups) = population(&store, &ids).await;
    println!("{CONVERSATIONS} conversations of {MEMBERS}, bodies of 60 to 120 characters, {EACH:?} each");
    println!("in flight   messages/s   writes/commit   p50 ms   p99 ms");
    for in_flight in [1, 16, 64, 200, 1000, 4000] {
        let (batches, writes) = (sink.batches.load(Ordering::Relaxed), sink.writes.load(Ordering::Relaxed));
        let (count, mut times) = sent(&store, &ids, &people, &groups, in_flight).await;
        let batches = sink.batches.load(Ordering::Relaxed) - batches;
        let writes = sink.writes.load(Ordering::Relaxed) - writes;
        times.sort_unstable();
        let percentile = |p: usize| times.get(times.len() * p / 100).map_or(0.0, |us| f64::from(*us) / 1000.0);
        println!(
            "{in_flight:9}   {:10.0}   {:13.1}   {:6.1}   {:6.1}",
            count as f64 / EACH.as_secs_f64(),
            writes as f64 / batches.max(1) as f64,
            percentile(50),
            percentile(99)
        );
    }
    let began = instant();
    for _ in 0..200 {
        store.conversations(people[0], None, 20).await.expect("a list");
    }
    println!("a list of 20: {:.2} ms", began.elapsed().as_secs_f64() * 5.0);
    let began = instant();
    for _ in 0..200 {
        store.history(people[0], groups[0], HistoryRange::Latest, 50).await.expect("a page");
    }
    println!("a page of 50: {:.2} ms", began.elapsed().as_secs_f64() * 5.0);
    let position = store.log_state().await.expect("a state").position;
    let began = instant();
    for _ in 0..200 {
        store.difference(people[0], SyncFrom { base: position, within: None }, None, 50, 100).await.expect("a page");
    }
    println!("a difference of nothing: {:.2} ms", began.elapsed().as_secs_f64() * 5.0);
    println!("{:?}", store.writer_counts());
    store.close();
}

async fn done(store: &Arc<PostgresStore>, write: Write) {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = |result: &WriteResult| {
        let _ = tell.send(result.is_ok());
    };
    store.submit(write, Box::new(tell));
    assert!(told.await.expect("an answer"), "a write goes through");
}

async fn population(store: &Arc<PostgresStore>, ids: &Ids) -> (Vec<UserId>, Vec<ConversationId>) {
    let now = Timestamp::from_ms(0);
    let (mut people, mut groups) = (Vec::new(), Vec::new());
    for _ in 0..CONVERSATIONS {
        let id = UserId::from_bytes(ids.next());
        let user = NewUser { id, email: None, name: "Somebody".into(), password_hash: None, avatar_url: None, now };
        done(store, Write::CreateUser(user)).await;
        people.push(id);
    }
    for n in 0..CONVERSATIONS {
        let id = ConversationId::from_bytes(ids.next());
        let members = (0..MEMBERS).map(|m| people[(n + m) % people.len()]).collect::<Vec<_>>();
        let history_visibility = HistoryVisibility::All;
        let (actor, members) = (members[0], members[1..].to_vec());
        done(store, Write::CreateGroup { id, actor, title: "Group".into(), members, history_visibility, now }).await;
        groups.push(id);
    }
    (people, groups)
}

/// Keeps so many sends under way; how many were acknowledged, and how long each took, in microseconds.
async fn sent(
    store: &Arc<PostgresStore>,
    ids: &Arc<Ids>,
    people: &[UserId],
    groups: &[ConversationId],
    in_flight: usize,
) -> (usize, Vec<u32>) {
    let permits = Arc::new(Semaphore::new(in_flight));
    let times = Arc::new(Mutex::new(Vec::<u32>::new()));
    let end = instant() + EACH;
    let mut n = 0_usize;
    while instant() < end {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("permits");
        n += 1;
        let id = MessageId::from_bytes(ids.next());
        let group = n * 7919 % groups.len();
        let words = "the quick brown fox jumps over the lazy dog and comes back again for more ".repeat(2);
        let append = AppendMessage {
            id,
            conversation: groups[group],
            sender: people[(group + n % MEMBERS) % people.len()],
            client_msg_id: id.to_string().parse().expect("an id"),
            body: words[n % 20..n % 20 + 60 + n % 60].to_owned(),
            reply_to: None,
            after: None,
            notify_at: Some(Timestamp::from_ms(i64::try_from(n).unwrap_or(0))),
            now: Timestamp::from_ms(i64::try_from(n).unwrap_or(0)),
        };
        let (began, times) = (instant(), Arc::clone(&times));
        let done = Box::new(move |result: &WriteResult| {
            assert!(result.is_ok(), "{result:?}");
            times.lock().push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
            drop(permit);
        });
        store.submit(Write::AppendMessage(Box::new(append)), done);
    }
    let count = times.lock().len();
    let _all = permits.acquire_many(u32::try_from(in_flight).expect("a small number")).await.expect("permits");
    let times = std::mem::take(&mut *times.lock());
    (count, times)
}
