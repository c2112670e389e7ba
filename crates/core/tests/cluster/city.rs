//! Several servers over one log in memory. What one tells the others waits until the test hands it over, loses it, or mixes it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tertulia_core::auth::{Auth, AuthConfig, Identity, JwksSource};
use tertulia_core::{Clock, Entropy, Fanout, HouseRules, Powers, Services};
use tertulia_proto::request::{NewGroupBody, PersonBody, SendMessage};
use tertulia_proto::{ConversationId, DeviceId, HistoryVisibility, Limits, Protocol, ServerId, Timestamp, UserId};
use tertulia_realtime::{Bus, Connection, ConnectionId, Hub, News, Outbound};
use tertulia_store::{CommitSink, Committed, Completion, Store, Write};
use tertulia_store_sqlite::SqliteStore;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_800_000_000_000)
    }
}

struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

struct NoKeys;

impl JwksSource for NoKeys {
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<String, String>> {
        std::future::ready(Err(format!("{url} was asked for"))).boxed()
    }
}

/// Gives each server what it has committed itself.
#[derive(Default)]
struct Router {
    writing: AtomicUsize,
    fanouts: Mutex<Vec<Arc<Fanout>>>,
}

impl CommitSink for Router {
    fn committed(&self, batch: Vec<Committed>) {
        let fanout = Arc::clone(&self.fanouts.lock()[self.writing.load(Ordering::SeqCst)]);
        fanout.committed(batch);
    }
}

/// The one log as one server sees it. Everything happens in one thread.
struct View {
    log: Arc<SqliteStore>,
    router: Arc<Router>,
    server: usize,
}

macro_rules! forwarded {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Store for View {
            fn submit(&self, write: Write, done: Completion) {
                self.router.writing.store(self.server, Ordering::SeqCst);
                self.log.submit(write, done);
            }

            fn search_lag(&self) -> tertulia_store::SearchLag {
                self.log.search_lag()
            }

            fn jobs(&self) -> &dyn tertulia_store::JobQueue {
                self.log.jobs()
            }

            fn push(&self) -> &dyn tertulia_store::PushBook {
                self.log.push()
            }

            fn webhooks(&self) -> &dyn tertulia_store::WebhookBook {
                self.log.webhooks()
            }

            fn traces(&self) -> &dyn tertulia_store::TraceBook {
                self.log.traces()
            }

            $(fn $name(&self, $($argument: $type),*) -> tertulia_store::Reading<'_, $answer> {
                self.log.$name($($argument),*)
            })*
        }
    };
}

use tertulia_proto::{Conversation, ListCursor, Message, MessageId, SessionId, User};
use tertulia_store as store;

forwarded! {
    log_state() -> store::LogState;
    user(viewer: UserId, user: UserId) -> Option<User>;
    users_by_email(viewer: UserId, prefix: String, limit: usize) -> Vec<User>;
    account(lookup: store::AccountLookup) -> Option<store::Account>;
    blocked(user: UserId, limit: usize) -> Vec<User>;
    session(session: SessionId) -> Option<store::SessionRecord>;
    sessions(user: UserId, now: Timestamp, limit: usize) -> Vec<store::OpenSession>;
    api_key(hash: [u8; 32]) -> Option<store::ApiKeyRecord>;
    api_keys(above: Option<store::ApiKeyId>, limit: usize) -> Vec<store::KeptApiKey>;
    api_key_stands(id: tertulia_proto::ApiKeyId) -> bool;
    token_secret() -> [u8; 32];
    memberships(user: UserId) -> Vec<ConversationId>;
    changed_for(people: Vec<UserId>, above: i64) -> Vec<store::ChangedFor>;
    membership(user: UserId, conversation: ConversationId) -> Option<store::Membership>;
    acquaintances(viewer: UserId, others: Vec<UserId>) -> Vec<store::Acquaintance>;
    conversation(user: UserId, conversation: ConversationId) -> Option<Conversation>;
    conversations(user: UserId, after: Option<ListCursor>, limit: usize) -> store::ConversationPage;
    history(user: UserId, conversation: ConversationId, range: store::HistoryRange, limit: usize) -> Option<store::HistoryPage>;
    message(user: UserId, conversation: ConversationId, message: MessageId) -> Option<Message>;
    difference(user: UserId, from: store::SyncFrom, have: Option<store::Holdings>, conversations_max: usize, messages_max: usize) -> store::DifferencePage;
    search(user: UserId, text: String, within: Option<ConversationId>, limit: usize) -> Vec<Message>;
    job_counts() -> store::JobCounts;
}

/// What one server has told the others, as it goes over the wire, and what they have not heard yet.
#[derive(Default)]
struct Wire {
    told: Mutex<VecDeque<Vec<String>>>,
    claims: Mutex<Vec<(UserId, DeviceId)>>,
}

impl Bus for Wire {
    fn publish(&self, news: Vec<News>) {
        self.told.lock().push_back(news.iter().map(News::encode).collect());
    }

    fn claim_device(
        &self,
        user: UserId,
        device: DeviceId,
        _connection: ConnectionId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.claims.lock().push((user, device));
        Box::pin(std::future::ready(()))
    }
}

pub struct Server {
    pub id: ServerId,
    pub services: Arc<Services>,
    wire: Arc<Wire>,
}

pub struct City {
    pub servers: Vec<Server>,
    pub log: Arc<SqliteStore>,
}

impl City {
    pub fn new(count: usize) -> Self {
        let router = Arc::new(Router::default());
        let rules = Arc::new(HouseRules::default());
        let log = SqliteStore::open_in_memory(&[7; 64], rules, Arc::clone(&router) as _).unwrap();
        let servers = (0..count).map(|server| Self::server(server, &log, &router)).collect();
        Self { servers, log }
    }

    fn server(server: usize, log: &Arc<SqliteStore>, router: &Arc<Router>) -> Server {
        let (wire, limits) = (Arc::new(Wire::default()), Limits::default());
        let hub = Arc::new(Hub::in_cluster(limits.clone(), Arc::clone(&wire) as _));
        router.fanouts.lock().push(Arc::new(Fanout::new(Arc::clone(&hub))));
        let store = Arc::new(View { log: Arc::clone(log), router: Arc::clone(router), server });
        let number = u64::try_from(server).unwrap() + 1;
        let powers = Powers { clock: Arc::new(Still), entropy: Arc::new(Counting(AtomicU64::new(number << 40))) };
        let auth = Auth::new(Arc::clone(&store) as _, powers.clone(), AuthConfig::default(), Arc::new(NoKeys)).unwrap();
        let services = Arc::new(Services::new(store, hub, powers, limits, auth, true));
        Server { id: ServerId::from_bytes([u8::try_from(number).unwrap(); 16]), services, wire }
    }

    /// Hands what a server has told to the others.
    pub async fn pass_on(&self, from: usize) {
        while let Some(lines) = self.next_of(from) {
            for (to, server) in self.servers.iter().enumerate() {
                if to != from {
                    let news = lines.iter().map(|line| News::decode(line).unwrap()).collect();
                    let left = server.services.hear(self.servers[from].id, news);
                    server.services.forget_strangers_of(left).await;
                }
            }
        }
    }

    /// Until nobody has anything to tell.
    pub async fn pass_on_all(&self) {
        while self.servers.iter().any(|server| !server.wire.told.lock().is_empty()) {
            for from in 0..self.servers.len() {
                self.pass_on(from).await;
            }
        }
    }

    fn next_of(&self, from: usize) -> Option<Vec<String>> {
        self.servers[from].wire.told.lock().pop_front()
    }

    /// Loses what a server has told.
    pub fn lose(&self, from: usize) -> usize {
        std::mem::take(&mut *self.servers[from].wire.told.lock()).len()
    }

    /// Two tenths of a second.
    pub fn wait(&self) {
        for server in &self.servers {
            server.services.hub().wait_no_longer();
            server.services.hub().wait_no_longer();
        }
    }
}

impl Server {
    /// Who missed something that was committed above a position, as the log says.
    pub async fn missed_since(&self, position: i64) -> Vec<UserId> {
        let changed = self.services.changed_above(position).await.unwrap();
        let mut people: Vec<UserId> = self.services.put_right(changed).await.iter().map(|one| one.user).collect();
        people.sort_unstable();
        people.dedup();
        people
    }

    pub async fn person(&self, name: &str) -> Identity {
        let answer = self.services.auth().issue_for_email(&format!("{name}@example.org"), Some(name)).await.unwrap();
        self.services.auth().authenticate(&answer.token).await.unwrap()
    }

    pub async fn group(&self, owner: &Identity, members: &[&Identity]) -> ConversationId {
        let body = NewGroupBody {
            title: "Group".to_owned(),
            member_emails: Vec::new(),
            member_ids: members.iter().map(|person| person.user).collect(),
            history_visibility: HistoryVisibility::All,
        };
        self.services.create_group(owner, body).await.unwrap().id
    }

    pub async fn add(&self, owner: &Identity, group: ConversationId, who: &Identity) {
        let body = PersonBody { email: None, user_id: Some(who.user) };
        self.services.add_member(owner, group, &body).await.unwrap();
    }

    pub fn say(&self, who: &Identity, conversation_id: ConversationId, body: &str) -> Arc<Mutex<bool>> {
        let (client_msg_id, body) = (body.parse().unwrap(), body.to_owned());
        let request = SendMessage { conversation_id, client_msg_id, body, reply_to: None, after_client_msg_id: None };
        let answered = Arc::new(Mutex::new(false));
        let note = Arc::clone(&answered);
        self.services.submit_message(who, request, None, Box::new(move |result| *note.lock() = result.is_ok()));
        answered
    }

    pub async fn connect(&self, who: &Identity) -> Arc<Connection> {
        let connection = self.services.connect(who, None).await.unwrap();
        connection.lane.release();
        connection
    }

    pub fn claims(&self) -> Vec<(UserId, DeviceId)> {
        std::mem::take(&mut *self.wire.claims.lock())
    }
}

/// What has come to a connection: the body of a message, or the event's name.
pub fn told(connection: &Connection) -> Vec<String> {
    let frames = connection.lane.try_take().map(|batch| batch.frames).unwrap_or_default();
    let text = |frame: Outbound| {
        let Outbound::Event(publication) = frame else { return None };
        let frame: serde_json::Value = serde_json::from_slice(&publication.encoded(Protocol::WebSocket)).unwrap();
        let kind = frame["type"].as_str().unwrap().to_owned();
        Some(match kind.as_str() {
            "message.new" => frame["body"].as_str().unwrap().to_owned(),
            "presence.update" => format!("{kind} {}", frame["online"]),
            _ => kind,
        })
    };
    frames.into_iter().filter_map(text).collect()
}
