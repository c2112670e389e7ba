//! Puts the parts together: the only place that names concrete homes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tertulia_bus_redis::RedisBus;
use tertulia_core::auth::Auth;
use tertulia_core::limit::SharedWindows;
use tertulia_core::{Fanout, HouseRules, Journal, Powers, Services};
use tertulia_proto::{ServerId, Timestamp};
use tertulia_realtime::Hub;
use tertulia_store::{CommitSink, Committed};
use tokio::sync::watch;

use crate::home::Home;
use crate::jwks::HttpJwks;
use crate::powers::powers;
use crate::settings::{Settings, Switch};
use tertulia_notify::Pushing;
use tertulia_notify::webhooks::Telling;

/// Batches between the writer and the fan-out; when it is behind by so many, the writer waits for it.
const BATCHES_MAX: usize = 16;

type Epoch = [u8; 16];

/// Hands commits to the fan-out's own thread: the writer is at its next commit while the last one is being told.
#[derive(Clone)]
struct Handoff {
    sender: SyncSender<Handed>,
    /// The latest epoch that the log was found to have. None: as at the start.
    epoch: Arc<watch::Sender<Option<Epoch>>>,
    /// Says when something was committed, where that is noted.
    journal: Option<Arc<Journal>>,
}

/// What was committed, and to the log of which epoch. However much waits, it is told under that one.
struct Handed {
    batch: Vec<Committed>,
    at: Option<Timestamp>,
    epoch: Option<Epoch>,
}

impl Handoff {
    fn new(journal: Option<Arc<Journal>>) -> (Self, Receiver<Handed>) {
        let (sender, batches) = sync_channel(BATCHES_MAX);
        (Self { sender, epoch: Arc::new(watch::Sender::new(None)), journal }, batches)
    }

    /// What is committed from now on is of another log.
    fn begin_anew(&self, epoch: Epoch) {
        self.epoch.send_replace(Some(epoch));
        // Where there is no room, the thread is awake, and comes to the new epoch when it has told what waits.
        let _ = self.sender.try_send(Handed { batch: Vec::new(), at: None, epoch: Some(epoch) });
    }
}

impl CommitSink for Handoff {
    fn committed(&self, batch: Vec<Committed>) {
        let (epoch, at) = (*self.epoch.borrow(), self.journal.as_ref().map(|journal| journal.now()));
        // The other end is gone only when the process ends.
        let _ = self.sender.send(Handed { batch, at, epoch });
    }
}

pub struct Parts {
    pub services: Arc<Services>,
    pub home: Home,
    /// To the other servers, where there are any.
    pub bus: Option<Arc<RedisBus>>,
    /// To the people who are not there.
    pub pushing: Arc<Pushing>,
    /// To other programs.
    pub telling: Arc<Telling>,
    /// Names this run.
    pub me: ServerId,
}

/// For commands that look at what is there, or change something of it: none of them makes an empty database where the folder is misspelt.
pub async fn open_existing(settings: &Settings) -> anyhow::Result<Parts> {
    settings.is_there()?;
    open(settings, false).await
}

/// Opens the store and makes the services. `serves`: as the server, which keeps the search index and watches for restores; else as a tool beside it.
pub async fn open(settings: &Settings, serves: bool) -> anyhow::Result<Parts> {
    let powers = powers();
    let limits = settings.limits()?;
    let me = ServerId::from_bytes(powers.bytes());
    let bus = settings.bus(me)?.map(RedisBus::new);
    let tracing = settings.trace.open(me, &powers, serves);
    let hub = match &bus {
        Some(bus) => Hub::in_cluster(limits.clone(), Arc::clone(bus) as _),
        None => Hub::new(limits.clone()),
    };
    let hub = Arc::new(match &tracing.journal {
        Some(journal) => hub.witnessed_by(Arc::clone(journal) as _),
        None => hub,
    });
    let (handoff, batches) = Handoff::new(tracing.journal.clone());
    let fanout = Fanout::new(Arc::clone(&hub)).with_journal(tracing.journal.clone());
    start_fanout(fanout, batches, handoff.epoch.subscribe(), bus.clone())?;
    let rules = Arc::new(HouseRules { group_members_max: limits.group_members_max });
    let begin_anew = Arc::new(beginning_anew(tracing.journal.clone(), Arc::clone(&hub), handoff.clone()));
    let home = Home::open(settings, serves, &powers, rules, Arc::new(handoff), begin_anew).await?;
    let pushing = settings.push.open(settings.public_url.as_deref(), &powers)?;
    let (telling, addresses) = settings.webhooks.open(&powers)?;
    let services = services(settings, &home, hub, powers, bus.as_ref())?
        .with_notifying(pushing.notifying())
        .with_webhook_addresses(addresses)
        .with_tracing(tracing);
    Ok(Parts { services: Arc::new(services), home, bus, pushing, telling, me })
}

/// The log is found to be another one.
fn beginning_anew(
    journal: Option<Arc<Journal>>,
    everybody: Arc<Hub>,
    in_order: Handoff,
) -> impl Fn(Epoch) + Send + Sync + 'static {
    move |epoch| {
        journal.iter().for_each(|journal| journal.begin_anew());
        everybody.start_over();
        in_order.begin_anew(epoch);
    }
}

fn services(
    settings: &Settings,
    home: &Home,
    hub: Arc<Hub>,
    powers: Powers,
    bus: Option<&Arc<RedisBus>>,
) -> anyhow::Result<Services> {
    let auth = Auth::new(home.store(), powers.clone(), settings.auth()?, Arc::new(HttpJwks::new()?)).context("auth")?;
    let rate_limits = settings.rate_limits == Switch::On;
    let services = Services::new(home.store(), hub, powers, settings.limits()?, auth, rate_limits);
    Ok(match bus {
        Some(bus) => services.with_shared_windows(Arc::new(Together(Arc::clone(bus)))),
        None => services,
    })
}

/// Rate limits that all servers count together.
struct Together(Arc<RedisBus>);

impl SharedWindows for Together {
    fn take(&self, name: String, count: u32, window_ms: i64) -> BoxFuture<'_, Option<Result<(), u64>>> {
        Box::pin(async move { self.0.take(&name, count, window_ms).await })
    }
}

fn start_fanout(
    fanout: Fanout,
    batches: Receiver<Handed>,
    latest: watch::Receiver<Option<Epoch>>,
    bus: Option<Arc<RedisBus>>,
) -> anyhow::Result<()> {
    let label = move |epoch| {
        if let Some(bus) = &bus {
            bus.set_log(epoch);
        }
    };
    std::thread::Builder::new().name("fan-out".into()).spawn(move || tell(&fanout, &batches, &latest, label))?;
    Ok(())
}

/// Until nobody can hand anything over. `label`: what is told from then on is of this epoch.
fn tell(fanout: &Fanout, batches: &Receiver<Handed>, latest: &watch::Receiver<Option<Epoch>>, label: impl Fn(Epoch)) {
    loop {
        let handed = match batches.try_recv() {
            Ok(handed) => handed,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                let epoch = *latest.borrow();
                epoch.into_iter().for_each(&label);
                let Ok(handed) = batches.recv() else { return };
                handed
            }
        };
        handed.epoch.into_iter().for_each(&label);
        fanout.tell(handed.batch, handed.at);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tertulia_core::journal::JournalLimits;
    use tertulia_proto::{ConversationId, Limits, MessageId};
    use tertulia_realtime::Witness as _;
    use tertulia_store::Effect;

    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Told {
        Commit(usize),
        Epoch(Epoch),
    }

    #[test]
    fn what_waits_to_be_noted_goes_with_the_log_that_it_was_about() {
        let limits = JournalLimits { records_max: 9 };
        let journal = Arc::new(Journal::new(ServerId::from_bytes([1; 16]), powers().clock, limits));
        let (place, id) = (ConversationId::from_bytes([2; 16]), MessageId::from_bytes([3; 16]));
        journal.told(place, (1, id), tertulia_realtime::Told::default());
        assert_eq!(journal.counts().waiting, 1);
        let (handoff, _batches) = Handoff::new(Some(Arc::clone(&journal)));
        let epoch = handoff.epoch.subscribe();
        beginning_anew(Some(Arc::clone(&journal)), Arc::new(Hub::new(Limits::default())), handoff)([4; 16]);
        assert_eq!((journal.counts().waiting, *epoch.borrow()), (0, Some([4; 16])));
    }

    #[test]
    fn what_was_committed_before_a_new_epoch_is_told_before_it_however_much_waits() {
        let (handoff, batches) = Handoff::new(None);
        let told = Arc::new(Mutex::new(Vec::new()));
        let commit = |number| {
            let told = Arc::clone(&told);
            let done = Box::new(move |_: &_| told.lock().unwrap().push(Told::Commit(number)));
            handoff.committed(vec![Committed { result: Ok(Effect::Done), done }]);
        };
        (0..BATCHES_MAX).for_each(commit);
        handoff.begin_anew([2; 16]);
        let thread = {
            let (latest, told) = (handoff.epoch.subscribe(), Arc::clone(&told));
            let fanout = Fanout::new(Arc::new(Hub::new(Limits::default())));
            std::thread::spawn(move || {
                tell(&fanout, &batches, &latest, |epoch| {
                    let mut told = told.lock().unwrap();
                    if !told.contains(&Told::Epoch(epoch)) {
                        told.push(Told::Epoch(epoch));
                    }
                });
            })
        };
        commit(BATCHES_MAX);
        drop(handoff);
        thread.join().unwrap();
        let mut expected: Vec<Told> = (0..BATCHES_MAX).map(Told::Commit).collect();
        expected.extend([Told::Epoch([2; 16]), Told::Commit(BATCHES_MAX)]);
        assert_eq!(*told.lock().unwrap(), expected);
    }
}
