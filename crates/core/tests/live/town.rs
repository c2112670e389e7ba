//! Services over a log in memory, with a hub, and people whose lanes are looked into.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jsonwebtoken::{EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::json;
use tertulia_core::auth::{Auth, AuthConfig, HostIssuer, HostKey, Identity, JwksSource};
use tertulia_core::{Clock, Entropy, Fanout, HouseRules, Powers, Services};
use tertulia_proto::request::{NewGroupBody, PersonBody, SendMessage};
use tertulia_proto::{ConversationId, HistoryVisibility, Limits, ServerEvent, Timestamp};
use tertulia_realtime::{Connection, Hub, Outbound};
use tertulia_store::{CommitSink, Committed};
use tertulia_store_sqlite::SqliteStore;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const HOST: &str = "https://shop.example";
const HOST_SECRET: &[u8] = b"a shared secret of more than 32 bytes";

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// Never the same bytes twice, always the same in the same order.
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

/// Between the log and the fan-out, where a server has a queue: what is committed while it is held is told at its release.
pub struct Handoff {
    fanout: Fanout,
    held: Mutex<Option<Vec<Vec<Committed>>>>,
}

impl CommitSink for Handoff {
    fn committed(&self, batch: Vec<Committed>) {
        match &mut *self.held.lock() {
            Some(held) => held.push(batch),
            None => self.fanout.committed(batch),
        }
    }
}

impl Handoff {
    pub fn hold(&self) {
        self.held.lock().get_or_insert_default();
    }

    pub fn release(&self) {
        for batch in self.held.lock().take().unwrap_or_default() {
            self.fanout.committed(batch);
        }
    }
}

pub struct Town {
    pub services: Arc<Services>,
    pub handoff: Arc<Handoff>,
}

impl Town {
    pub fn new() -> Self {
        let limits = Limits::default();
        let hub = Arc::new(Hub::new(limits.clone()));
        let handoff = Arc::new(Handoff { fanout: Fanout::new(Arc::clone(&hub)), held: Mutex::default() });
        let rules = Arc::new(HouseRules::default());
        let store = SqliteStore::open_in_memory(&[7; 64], rules, Arc::clone(&handoff) as _).unwrap();
        let powers = Powers { clock: Arc::new(Still), entropy: Arc::new(Counting(AtomicU64::new(1))) };
        let host =
            HostIssuer { issuer: Some(HOST.to_owned()), audience: None, key: HostKey::Secret(HOST_SECRET.to_vec()) };
        let config = AuthConfig { hosts: vec![host], ..AuthConfig::default() };
        let auth = Auth::new(Arc::clone(&store) as _, powers.clone(), config, Arc::new(NoKeys)).unwrap();
        Self { services: Arc::new(Services::new(store, hub, powers, limits, auth, false)), handoff }
    }

    pub async fn person(&self, name: &str) -> Identity {
        let answer = self.services.auth().issue_for_email(&format!("{name}@example.org"), Some(name)).await.unwrap();
        self.services.auth().authenticate(&answer.token).await.unwrap()
    }

    /// Somebody of the host app, as its newest token calls them.
    pub async fn guest(&self, subject: &str, name: &str) -> Identity {
        let claims = json!({ "iss": HOST, "sub": subject, "name": name, "exp": NOW.ms() / 1000 + 3600 });
        let key = EncodingKey::from_secret(HOST_SECRET);
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
        self.services.auth().authenticate(&token).await.unwrap()
    }

    pub async fn group(&self, owner: &Identity, members: &[&Identity]) -> ConversationId {
        self.group_with(owner, members, HistoryVisibility::All).await
    }

    pub async fn group_with(
        &self,
        owner: &Identity,
        members: &[&Identity],
        history_visibility: HistoryVisibility,
    ) -> ConversationId {
        let body = NewGroupBody {
            title: "Group".to_owned(),
            member_emails: Vec::new(),
            member_ids: members.iter().map(|person| person.user).collect(),
            history_visibility,
        };
        self.services.create_group(owner, body).await.unwrap().id
    }

    pub async fn dm(&self, one: &Identity, other: &Identity) -> ConversationId {
        let person = PersonBody { email: None, user_id: Some(other.user) };
        self.services.open_dm(one, &person).await.unwrap().0.id
    }

    /// Without waiting for its end.
    pub fn say(&self, who: &Identity, conversation_id: ConversationId, body: &str) {
        let (client_msg_id, body) = (body.parse().unwrap(), body.to_owned());
        let request = SendMessage { conversation_id, client_msg_id, body, reply_to: None, after_client_msg_id: None };
        self.services.submit_message(who, request, None, Box::new(|result| drop(result.unwrap())));
    }

    pub async fn connect(&self, who: &Identity) -> Arc<Connection> {
        let connection = self.services.connect(who, None).await.unwrap();
        connection.lane.release();
        connection
    }
}

/// What has come to a connection since the last time.
pub fn told(connection: &Connection) -> Vec<ServerEvent> {
    let frames = connection.lane.try_take().map(|batch| batch.frames).unwrap_or_default();
    let events = frames.into_iter().filter_map(|frame| match frame {
        Outbound::Event(publication) => publication.event().cloned(),
        Outbound::Reply(_) | Outbound::Ping => None,
    });
    events.collect()
}
