//! Puts the parts together: the only place that names concrete homes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context as _;
use tertulia_bus_redis::RedisBus;
use tertulia_core::auth::Auth;
use tertulia_core::{Fanout, HouseRules, Powers, Services};
use tertulia_proto::ServerId;
use tertulia_realtime::Hub;
use tertulia_store::{CommitSink, Committed};

use crate::home::Home;
use crate::jwks::HttpJwks;
use crate::powers::powers;
use crate::settings::{Settings, Switch};

/// Batches between the writer and the fan-out; when it is behind by so many, the writer waits for it.
const BATCHES_MAX: usize = 16;

/// Hands commits to the fan-out's own thread: the writer is at its next commit while the last one is being told.
struct Handoff(SyncSender<Vec<Committed>>);

impl CommitSink for Handoff {
    fn committed(&self, batch: Vec<Committed>) {
        // The other end is gone only when the process ends.
        let _ = self.0.send(batch);
    }
}

pub struct Parts {
    pub services: Arc<Services>,
    pub home: Home,
    /// To the other servers, where there are any.
    pub bus: Option<Arc<RedisBus>>,
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
    start_fanout(Fanout::new(Arc::clone(&hub)), batches)?;
    let rules = Arc::new(HouseRules { group_members_max: limits.group_members_max });
    let home = Home::open(settings, serves, &powers, rules, Arc::new(Handoff(sender))).await?;
    let services = services(settings, &home, hub, powers)?;
    Ok(Parts { services, home, bus })
}

fn services(settings: &Settings, home: &Home, hub: Arc<Hub>, powers: Powers) -> anyhow::Result<Arc<Services>> {
    let auth = Auth::new(home.store(), powers.clone(), settings.auth()?, Arc::new(HttpJwks::new()?)).context("auth")?;
    let rate_limits = settings.rate_limits == Switch::On;
    Ok(Arc::new(Services::new(home.store(), hub, powers, settings.limits()?, auth, rate_limits)))
}

fn start_fanout(fanout: Fanout, batches: Receiver<Vec<Committed>>) -> anyhow::Result<()> {
    std::thread::Builder::new().name("fan-out".into()).spawn(move || {
        while let Ok(batch) = batches.recv() {
            fanout.committed(batch);
        }
    })?;
    Ok(())
}
