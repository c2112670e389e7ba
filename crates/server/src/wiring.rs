//! Puts the parts together: the only place that names concrete homes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tertulia_bus_redis::RedisBus;
use tertulia_core::auth::Auth;
use tertulia_core::limit::SharedWindows;
use tertulia_core::{Fanout, HouseRules, Powers, Services};
use tertulia_proto::ServerId;
use tertulia_realtime::Hub;
use tertulia_store::{CommitSink, Committed};

use crate::home::Home;
use crate::jwks::HttpJwks;
use crate::powers::powers;
use crate::push::Pushing;
use crate::settings::{Settings, Switch};

/// Batches between the writer and the fan-out; when it is behind by so many, the writer waits for it.
const BATCHES_MAX: usize = 16;

/// Hands commits to the fan-out's own thread: the writer is at its next commit while the last one is being told.
struct Handoff(SyncSender<Handed>);

enum Handed {
    Committed(Vec<Committed>),
    /// What comes after it is of the log with this epoch.
    NewEpoch([u8; 16]),
}

impl CommitSink for Handoff {
    fn committed(&self, batch: Vec<Committed>) {
        // The other end is gone only when the process ends.
        let _ = self.0.send(Handed::Committed(batch));
    }
}

pub struct Parts {
    pub services: Arc<Services>,
    pub home: Home,
    /// To the other servers, where there are any.
    pub bus: Option<Arc<RedisBus>>,
    /// To the people who are not there.
    pub pushing: Arc<Pushing>,
}

/// Opens the store and makes the services. `serves`: as the server, which keeps the search index and watches for restores; else as a tool beside it.
pub async fn open(settings: &Settings, serves: bool) -> anyhow::Result<Parts> {
    let powers = powers();
    let limits = settings.limits()?;
    let bus = settings.bus(ServerId::from_bytes(powers.bytes()))?.map(RedisBus::new);
    let hub = Arc::new(match &bus {
        Some(bus) => Hub::in_cluster(limits.clone(), Arc::clone(bus) as _),
        None => Hub::new(limits.clone()),
    });
    let (sender, batches) = sync_channel(BATCHES_MAX);
    start_fanout(Fanout::new(Arc::clone(&hub)), batches, bus.clone())?;
    let rules = Arc::new(HouseRules { group_members_max: limits.group_members_max });
    let (everybody, in_order, others) = (Arc::clone(&hub), sender.clone(), bus.clone());
    let begin_anew = Arc::new(move |epoch: [u8; 16]| {
        everybody.start_over();
        // Behind what was committed to the log before, where there is room.
        if in_order.try_send(Handed::NewEpoch(epoch)).is_err()
            && let Some(bus) = &others
        {
            bus.set_log(epoch);
        }
    });
    let home = Home::open(settings, serves, &powers, rules, Arc::new(Handoff(sender)), begin_anew).await?;
    let pushing = settings.push.open(settings.public_url.as_deref(), &powers)?;
    let services = services(settings, &home, hub, powers, bus.as_ref())?.with_notifying(pushing.notifying());
    Ok(Parts { services: Arc::new(services), home, bus, pushing })
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

fn start_fanout(fanout: Fanout, batches: Receiver<Handed>, bus: Option<Arc<RedisBus>>) -> anyhow::Result<()> {
    std::thread::Builder::new().name("fan-out".into()).spawn(move || {
        while let Ok(handed) = batches.recv() {
            match (handed, &bus) {
                (Handed::Committed(batch), _) => fanout.committed(batch),
                (Handed::NewEpoch(epoch), Some(bus)) => bus.set_log(epoch),
                (Handed::NewEpoch(_), None) => {}
            }
        }
    })?;
    Ok(())
}
