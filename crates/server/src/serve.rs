//! `tertulia serve`.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tertulia_core::Services;
use tertulia_gateway::flaky::Trouble;
use tertulia_gateway::{BusWatch, Gateway, JobsWatch, Times};
use tertulia_jobs::{Counts, Runner};
use tertulia_realtime::Closing;
use tertulia_store_sqlite::files;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::jobs;
use crate::listen::{HEAD_TIMEOUT, Server};
use crate::powers::powers;
use crate::settings::{Settings, Switch};
use crate::trace::Keeping;
use crate::wiring::{self, Parts};

/// How often typing signs are looked at.
const TICK: Duration = Duration::from_millis(100);
const PRUNE_EVERY_TICKS: u32 = 600;
const TEND_EVERY: Duration = Duration::from_secs(1);

/// How long open connections have to take their goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// After so long what was answered is on its way to Socket.IO's clients, whose protocol has no last word that they come back after.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// So long what was submitted is waited for at the end, so that it is noted, too.
const LAST_COMMITS: Duration = Duration::from_secs(1);

/// `works`: whether jobs are run here as well.
pub async fn serve(settings: &Settings, works: bool) -> anyhow::Result<()> {
    // A folder is one server's; a database of its own may be several servers'.
    let _lock = if settings.database_url.is_none() {
        files::make_folder(&settings.data).with_context(|| format!("can't make {}", settings.data.display()))?;
        Some(lock(&settings.data)?)
    } else {
        None
    };
    let parts = wiring::open(settings, true).await?;
    let cluster = match &parts.bus {
        Some(bus) => Some(Cluster::begin(Arc::clone(&parts.services), Arc::clone(bus)).await),
        None => None,
    };
    let seed = powers().bytes();
    let trouble = settings.flaky.map(|flaky| Arc::new(Trouble::new(flaky, u64::from_le_bytes(seed))));
    let bus = cluster.as_ref().map(|cluster| BusWatch::new(cluster.state()));
    tracing::info!(server.id = %parts.me, "starting");
    let keeping = parts
        .services
        .journal()
        .map(|journal| Keeping::start(Arc::clone(journal), parts.home.store(), &settings.trace));
    let worker = if works { Some(Worker::start(jobs::runner(settings, &parts, &[])?)) } else { None };
    let watch = worker.as_ref().map(Worker::watch);
    let gateway = Gateway::new(Arc::clone(&parts.services), doors(settings, trouble.clone(), bus, &parts, watch));
    let listener = tokio::net::TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("can't listen on {}", settings.listen))?;
    let address = listener.local_addr()?;
    let connections_max = settings.limits()?.connections_max;
    let mut server = Server::new(tertulia_gateway::router(&gateway), connections_max, HEAD_TIMEOUT, trouble);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    #[expect(clippy::print_stderr, reason = "who starts the server waits for this line")]
    {
        if let Some(flaky) = settings.flaky {
            eprintln!("WARNING: this server breaks its connections on purpose ({flaky}). It is for development only.");
        }
        eprintln!("listening on http://{address}");
    }
    let mut hearing = JoinSet::new();
    hearing.spawn(async move {
        match cluster {
            Some(cluster) => cluster.run().await,
            None => std::future::pending().await,
        }
    });
    tokio::select! {
        () = server.run(&listener) => {}
        () = housekeeping(&parts) => {}
        _ = hearing.join_next() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    gateway.drain();
    drop(listener);
    stop(&parts, &gateway, server, (worker, keeping)).await?;
    hearing.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

/// The runner of jobs, beside the server.
struct Worker {
    task: JoinSet<()>,
    stop: oneshot::Sender<()>,
    counts: Counts,
}

impl Worker {
    fn start(runner: Runner) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (counts, mut task) = (runner.counts(), JoinSet::new());
        task.spawn(async move { runner.run(async { drop(stopped.await) }).await });
        Self { task, stop, counts }
    }

    fn watch(&self) -> JobsWatch {
        jobs::watch(self.counts.clone())
    }

    /// Handlers have their grace, then their jobs are handed back.
    async fn finish(mut self) {
        let _ = self.stop.send(());
        while self.task.join_next().await.is_some() {}
    }
}

fn doors(
    settings: &Settings,
    trouble: Option<Arc<Trouble>>,
    bus: Option<BusWatch>,
    parts: &Parts,
    jobs: Option<JobsWatch>,
) -> tertulia_gateway::Settings {
    tertulia_gateway::Settings {
        public_url: settings.public_url.clone(),
        behind_proxy: settings.behind_proxy == Switch::On,
        cors_origins: settings.cors_origins.clone(),
        times: Times::default(),
        trouble,
        web: crate::web::app(),
        bus,
        replicas: parts.home.replicas(),
        jobs,
    }
}

/// Says goodbye to everybody, commits what was submitted, and tells the other servers.
async fn stop(
    parts: &Parts,
    gateway: &Gateway,
    server: Server,
    (worker, keeping): (Option<Worker>, Option<Keeping>),
) -> anyhow::Result<()> {
    parts.services.hub().shut(Closing::Restarting);
    let emptied = async {
        // Sockets that are let in by requests that are still under way are told, too.
        server.finish().await;
        while gateway.arriving() > 0 || parts.services.hub().counts().connections > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let hanging_up = async {
        tokio::time::sleep(LAST_WORDS).await;
        gateway.hang_up().await;
    };
    // Requests under way are answered; whoever does not take the goodbye is cut off.
    let goodbyes = tokio::time::timeout(GOODBYE, async { tokio::join!(emptied, hanging_up) });
    let working = async {
        if let Some(worker) = worker {
            worker.finish().await;
        }
    };
    let _ = tokio::join!(goodbyes, working);
    if let Some(keeping) = keeping {
        // What is committed last is noted, too. The journal is written through the home, so this is before the home closes.
        let committed = async {
            while parts.home.writes_waiting() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(LAST_COMMITS, committed).await;
        keeping.finish().await;
    }
    if let Err(error) = parts.home.tend().await {
        tracing::warn!(%error, "the last housekeeping failed");
    }
    let home = parts.home.clone();
    tokio::task::spawn_blocking(move || home.close()).await?;
    if let Some(bus) = &parts.bus {
        bus.close().await;
    }
    Ok(())
}

/// Two servers on one folder would each tell only half of the people. It ends with the process, however that ends.
pub fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("serve.lock");
    files::make_private(&path).with_context(|| format!("can't make {}", path.display()))?;
    let file = File::create(&path).with_context(|| format!("can't make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another server runs on {}, or `tertulia move` does: stop it first (several servers at once need PostgreSQL: docs/cluster.md)",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("can't lock {}", path.display())),
    }
}

async fn housekeeping(parts: &Parts) {
    tokio::join!(keep_time(&parts.services), tend(parts));
}

/// What may not wait for the log.
async fn keep_time(services: &Services) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for count in 1_u32.. {
        ticks.tick().await;
        services.hub().expire_signs(services.now());
        services.hub().wait_no_longer();
        if count % PRUNE_EVERY_TICKS == 0 {
            services.prune();
        }
    }
}

async fn tend(parts: &Parts) {
    let mut ticks = tokio::time::interval(TEND_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = parts.home.tend().await {
            tracing::error!(%error, "the log could not be looked after");
        }
    }
}
