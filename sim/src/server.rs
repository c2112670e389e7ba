//! The server: the real services, hub, lanes and store, without a socket. It dies and comes back.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result, bail};
use tertulia_core::auth::{Auth, AuthConfig, Identity, JwksSource};
use tertulia_core::{Clock, Entropy, Fanout, HouseRules, Notifying, Powers, Services};
use tertulia_gateway::Gateway;
use tertulia_gateway::dispatch::{Attachment, Session};
use tertulia_proto::device::PushOffer;
use tertulia_proto::event::Connected;
use tertulia_proto::request::ClientRequest;
use tertulia_proto::{ApiError, ClientMsgId, DeviceId, Limits, Protocol, ServerEvent, SessionId, Timestamp, UserId};
use tertulia_realtime::{Hub, Outbound, Publication};
use tertulia_store::{CommitSink, Committed, Completion, Effect, NewUser, Store, StoreError, Write, WriteError};
use tertulia_store_sqlite::SqliteStore;
use tertulia_testkit::Random;

use crate::faulty::{FaultyRules, FaultyStore};
use crate::notify::post::Post;
use crate::notify::{GRACE_MS, PROVIDERS};
use crate::planted::{NotifyBug, Planted, ServerBug};
use crate::webhooks::ledger::Stand;

/// Answers at once what needs nobody else: all of the inline store.
pub fn now_or_never<T>(future: impl Future<Output = T>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => bail!("the server waits for something that will not come"),
    }
}

#[derive(Default)]
pub struct SimClock(AtomicI64);

impl SimClock {
    pub fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::Relaxed))
    }
}

struct SimEntropy(Mutex<Random>);

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.iter_mut().for_each(|byte| *byte = u8::try_from(random.next() >> 56).unwrap_or(0));
    }
}

struct NoJwks;

impl JwksSource for NoJwks {
    fn fetch<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>> {
        Box::pin(std::future::ready(Err("there is no network here".to_owned())))
    }
}

/// One connection as the server sees it.
pub struct ServerEnd {
    session: Session,
    attachment: Attachment,
    /// When anything last came: a connection without a word for too long is dropped.
    pub heard_at: u64,
}

impl ServerEnd {
    pub fn has_room(&self) -> bool {
        self.session.connection.in_flight.available_permits() > 0
    }

    pub fn handle(&mut self, id: Option<u64>, request: ClientRequest) -> Result<()> {
        now_or_never(self.session.handle(id, request))
    }

    pub fn refuse(&mut self, id: Option<u64>, error: ApiError) -> Result<()> {
        now_or_never(self.session.refuse(id, error))
    }

    /// What waits in the lane, and the close code after it.
    pub fn take(&mut self) -> Option<(Vec<Outbound>, Option<u16>)> {
        let batch = self.attachment.connection().lane.try_take()?;
        let replies = batch.frames.iter().filter(|frame| matches!(frame, Outbound::Reply(_))).count();
        tertulia_gateway::dispatch::written(self.attachment.connection(), replies);
        Some((batch.frames, batch.closing.map(tertulia_realtime::Closing::code)))
    }
}

/// A copy of the data, and what the world knows to be in it.
struct Backup {
    image: Vec<u8>,
    hooks: Stand,
}

/// One life of the server's process.
pub struct Life {
    pub store: Arc<SqliteStore>,
    pub services: Arc<Services>,
    gateway: Arc<Gateway>,
    pub ends: BTreeMap<(usize, u64), ServerEnd>,
}

pub struct Server {
    pub life: Option<Life>,
    pub clock: Arc<SimClock>,
    powers: Powers,
    limits: Limits,
    rate_limits: bool,
    /// The disk.
    image: Vec<u8>,
    /// Backups taken by hand, oldest first.
    backups: Vec<Backup>,
    /// Once in so many writes fails; shared with the store's wrapper.
    pub full_every: Arc<AtomicUsize>,
    /// Once in so many sends is refused; shared with the rules' wrapper.
    pub refuse_every: Arc<AtomicUsize>,
    bug: Option<ServerBug>,
    pub texts: Texts,
    pub post: Arc<Post>,
}

/// The texts that each message has had, in the log's order.
pub type Texts = Arc<Mutex<BTreeMap<ClientMsgId, Vec<String>>>>;

struct Sink {
    fanout: Fanout,
    post: Arc<Post>,
    texts: Texts,
}

impl CommitSink for Sink {
    fn committed(&self, batch: Vec<Committed>) {
        for committed in &batch {
            if let Ok(effect) = &committed.result {
                let hooks = &mut self.post.book().hooks;
                if hooks.is_on {
                    hooks.committed(effect);
                }
            }
            if let Ok(
                Effect::MessageAppended { message, fresh: true } | Effect::MessageEdited { message, changed: true, .. },
            ) = &committed.result
            {
                let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
                texts.entry(message.client_msg_id.clone()).or_default().push(message.body.clone());
            }
        }
        self.fanout.committed(batch);
    }
}

impl Server {
    pub fn new(random: &mut Random, limits: Limits, rate_limits: bool, planted: Planted) -> Result<Self> {
        let clock = Arc::new(SimClock::default());
        clock.set(1_800_000_000_000);
        let entropy = Arc::new(SimEntropy(Mutex::new(random.fork())));
        let powers = Powers { clock: Arc::clone(&clock) as _, entropy };
        let mut server = Self {
            life: None,
            clock,
            powers,
            limits,
            rate_limits,
            image: Vec::new(),
            backups: Vec::new(),
            full_every: Arc::new(AtomicUsize::new(0)),
            refuse_every: Arc::new(AtomicUsize::new(0)),
            bug: planted.server,
            texts: Texts::default(),
            post: Arc::default(),
        };
        {
            let mut book = server.post.book();
            (book.bug, book.hooks.bug) = (planted.notify, planted.hook);
        }
        server.start(None)?;
        Ok(server)
    }

    /// Begins a life on what is on the disk.
    fn start(&mut self, new_epoch: Option<[u8; 16]>) -> Result<()> {
        let hub = Arc::new(Hub::new(self.limits.clone()));
        let rules = Arc::new(FaultyRules {
            house: HouseRules { group_members_max: self.limits.group_members_max },
            refuse_every: Arc::clone(&self.refuse_every),
            count: AtomicUsize::new(0),
        });
        let (post, texts) = (Arc::clone(&self.post), Arc::clone(&self.texts));
        let sink = Arc::new(Sink { fanout: Fanout::new(Arc::clone(&hub)), post, texts });
        let store = if self.image.is_empty() {
            SqliteStore::open_in_memory(&self.powers.bytes(), rules, sink)
        } else {
            SqliteStore::open_image(&self.image, new_epoch, rules, sink)
        };
        let store = store.map_err(|e| anyhow::anyhow!("{e}"))?;
        let epoch = now_or_never(store.log_state())??.epoch;
        self.post.book().hooks.begins(epoch);
        let faulty: Arc<dyn Store> =
            Arc::new(FaultyStore::new(Arc::clone(&store), Arc::clone(&self.full_every), &self.post));
        let auth = now_or_never(async {
            Auth::new(Arc::clone(&faulty), self.powers.clone(), AuthConfig::default(), Arc::new(NoJwks))
        })?
        .context("auth")?;
        let offer = PushOffer { providers: PROVIDERS.to_vec(), vapid_public_key: None };
        let services = Services::new(faulty, hub, self.powers.clone(), self.limits.clone(), auth, self.rate_limits);
        let services = services
            .with_notifying(Notifying { offer, grace_ms: self.grace_ms(), tester: None })
            .with_webhook_addresses(Arc::new(|url| Ok(url.to_owned())));
        let services = Arc::new(services);
        let gateway = Gateway::new(Arc::clone(&services), tertulia_gateway::Settings::default());
        self.life = Some(Life { store, services, gateway, ends: BTreeMap::new() });
        Ok(())
    }

    fn grace_ms(&self) -> i64 {
        if self.post.book().bug == Some(NotifyBug::NoGrace) { 0 } else { GRACE_MS }
    }

    pub fn clock_now(&self) -> Timestamp {
        self.powers.now()
    }

    /// What a worker beside it tells the time by.
    pub fn powers(&self) -> Powers {
        self.powers.clone()
    }

    /// The process is gone between two steps. What was committed is on the disk.
    pub fn die(&mut self) -> Result<()> {
        if let Some(life) = self.life.take() {
            let image = life.store.image().map_err(|e| anyhow::anyhow!("{e}"))?;
            // A disk that acknowledged before it wrote.
            if self.bug == Some(ServerBug::AcknowledgedBeforeCommit) {
                self.image = self.backups.pop().map_or(image, |backup| backup.image);
            } else {
                self.image = image;
            }
        }
        Ok(())
    }

    /// Somebody copies the data.
    pub fn back_up(&mut self) -> Result<()> {
        if let Some(life) = &self.life {
            let image = life.store.image().map_err(|e| anyhow::anyhow!("{e}"))?;
            self.backups.push(Backup { image, hooks: self.post.book().hooks.stand.clone() });
        }
        Ok(())
    }

    pub fn come_back(&mut self) -> Result<()> {
        if self.bug == Some(ServerBug::DedupInMemory) {
            self.image = crate::planted::forget_keys(&self.image)?;
        }
        self.start(None)
    }

    /// Comes back with a copy that somebody made earlier. `false`: there is none.
    pub fn restore(&mut self, random: &mut Random) -> Result<bool> {
        if self.backups.is_empty() {
            return Ok(false);
        }
        let at = random.below(self.backups.len());
        let Backup { image, hooks } = self.backups.swap_remove(at);
        self.image = image;
        self.post.book().hooks.restored(hooks);
        // Later copies are of a log that no longer is, but restoring one is as honest as any.
        let epoch = (self.bug != Some(ServerBug::EpochKept)).then(|| self.powers.bytes());
        self.start(epoch)?;
        Ok(true)
    }

    pub fn make_user(&self, name: &str) -> Result<UserId> {
        let life = self.life.as_ref().context("the server is down")?;
        let id = UserId::from_uuid(self.powers.new_uuid());
        let user = NewUser {
            id,
            email: Some(format!("{name}@example.com")),
            name: name.to_owned(),
            password_hash: None,
            avatar_url: None,
            now: self.clock.now(),
        };
        life.store.submit(Write::CreateUser(user), Box::new(|_| ()));
        Ok(id)
    }
}

impl Life {
    /// Opens a connection, as the front end does; the refusal where it is refused.
    pub fn connect(
        &mut self,
        key: (usize, u64),
        identity: &Identity,
        device: Option<DeviceId>,
        now: u64,
    ) -> Result<Result<(), ApiError>> {
        let connection = match now_or_never(self.services.connect(identity, device))? {
            Ok(connection) => connection,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let attachment = Attachment::new(Arc::clone(&self.gateway), Arc::clone(&connection));
        let connected = ServerEvent::Connected(Box::new(Connected {
            user_id: identity.user,
            session_id: identity.session,
            server_time: self.services.now(),
            limits: self.services.limits().clone(),
            epoch: now_or_never(self.services.epoch())?,
        }));
        connection.lane.push(Outbound::Event(Arc::new(Publication::new(connected))));
        connection.lane.release();
        let session = Session::new(Arc::clone(&self.gateway), connection, identity.clone(), Protocol::WebSocket);
        self.ends.insert(key, ServerEnd { session, attachment, heard_at: now });
        Ok(Ok(()))
    }
}

pub fn identity(user: UserId, name: &str) -> Identity {
    Identity {
        user,
        session: SessionId::from_bytes(*user.as_bytes()),
        email: Some(format!("{name}@example.com")),
        name: name.to_owned(),
        expires_at: Timestamp::from_ms(i64::MAX),
        scopes: None,
    }
}

/// Refuses a write as a full disk does.
pub fn disk_full(done: Completion) {
    done(&Err(WriteError::Store(StoreError::Unavailable("disk full".to_owned()))));
}
