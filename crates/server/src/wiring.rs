//! Puts the parts together: the only place that names concrete homes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context as _;
use tertulia_core::auth::Auth;
use tertulia_core::{Fanout, HouseRules, Powers, Services};
use tertulia_realtime::Hub;
use tertulia_store::{CommitSink, Committed};
use tertulia_store_sqlite::{Options, SqliteStore};

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
    pub store: Arc<SqliteStore>,
}

/// Opens the store and makes the services. `serves`: as the server, which keeps the search index and watches for restores; else as a tool beside it.
pub fn open(settings: &Settings, serves: bool) -> anyhow::Result<Parts> {
    let powers = powers();
    let limits = settings.limits()?;
    let hub = Arc::new(Hub::new(limits.clone()));
    let (sender, batches) = sync_channel(BATCHES_MAX);
    start_fanout(Fanout::new(Arc::clone(&hub)), batches)?;
    let options = Options { readers: settings.readers, serves, seed: powers.bytes() };
    let rules = Arc::new(HouseRules { group_members_max: limits.group_members_max });
    let store = SqliteStore::open(&settings.data, &options, rules, Arc::new(Handoff(sender)))
        .with_context(|| format!("the database in {}", settings.data.display()))?;
    let services = services(settings, &store, hub, powers)?;
    Ok(Parts { services, store })
}

fn services(
    settings: &Settings,
    store: &Arc<SqliteStore>,
    hub: Arc<Hub>,
    powers: Powers,
) -> anyhow::Result<Arc<Services>> {
    let auth = Auth::new(Arc::clone(store) as _, powers.clone(), settings.auth()?, Arc::new(HttpJwks::new()?))
        .context("auth")?;
    let rate_limits = settings.rate_limits == Switch::On;
    Ok(Arc::new(Services::new(Arc::clone(store) as _, hub, powers, settings.limits()?, auth, rate_limits)))
}

fn start_fanout(fanout: Fanout, batches: Receiver<Vec<Committed>>) -> anyhow::Result<()> {
    std::thread::Builder::new().name("fan-out".into()).spawn(move || {
        while let Ok(batch) = batches.recv() {
            fanout.committed(batch);
        }
    })?;
    Ok(())
}
