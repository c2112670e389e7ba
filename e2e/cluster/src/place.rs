//! What runs: PostgreSQL and the replica that stands by, Redis, servers, nginx in front of them, and workers beside them, all on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tertulia_testkit::postgres::Stop;
use tertulia_testkit::process::ending;
use tertulia_testkit::redis::free_port;
use tertulia_testkit::{Options, Postgres, PostgresOptions, Redis, Server, Worker};

use crate::nginx::Nginx;

/// The database.
pub const NAME: &str = "tertulia";

#[derive(Debug, Clone)]
pub struct Plan {
    /// The server's program; of several, each next server has the next one: two versions side by side.
    pub binaries: Vec<PathBuf>,
    pub servers: usize,
    pub workers: usize,
    /// After so long without a sign of its worker a job is another's. `None`: as the program has it.
    pub lease: Option<Duration>,
    /// Where nginx listens; 0: a free one.
    pub port: u16,
    /// Waits for the disk, as in earnest.
    pub fsync: bool,
    /// People may say only so much in a while, as in earnest.
    pub rate_limits: bool,
}

pub struct Place {
    plan: Plan,
    /// Takes the writes.
    primary: Postgres,
    standby: Option<Postgres>,
    /// As it was at the beginning: both, whichever takes the writes. The standby of the beginning is read from as well.
    database_url: String,
    pub redis: Redis,
    pub servers: Vec<Server>,
    pub workers: Vec<Worker>,
    pub nginx: Nginx,
}

/// Between the attempts of a job where leases are short: as many as there may be faults while it runs.
const WAITS_S: &str = "1,2,4,8,8,8,8,8";

/// What servers and workers say while their surroundings break; anything else is a complaint.
const EXPECTED: [&str; 7] = [
    "the store failed",
    "the log could not be looked after",
    "the other servers can't be told",
    "redis_url: can't be reached",
    "not ready",
    "metrics could not be read",
    "the last housekeeping failed",
];

impl Place {
    pub async fn start(plan: Plan) -> Result<Self> {
        let primary = Postgres::start(durability(plan.fsync))?;
        let standby = follower(&primary, plan.fsync)?;
        let place = |postgres: &Postgres| {
            let url = postgres.url("");
            url.trim_start_matches("postgres://postgres@").trim_end_matches('/').to_owned()
        };
        let database_url = format!("postgres://postgres@{},{}/{NAME}", place(&primary), place(&standby));
        primary.create(NAME)?;
        waits_for_standby(&primary)?;
        let redis = Redis::start().await?;
        let replica_url = standby.url(NAME);
        let options = |binary: &Path| options(binary, &plan, &database_url, &redis, &replica_url);
        let mut servers = Vec::new();
        let mut ports = Vec::new();
        for binary in plan.binaries.iter().cycle().take(plan.servers) {
            let port = free_port()?;
            let mut options = options(binary).port(port);
            // A program that does not know it is from before jobs had workers, and runs none.
            if knows(binary, "serve", NO_WORKER)? {
                options = options.argument(NO_WORKER);
            }
            let mut server = Server::start(options).await?;
            EXPECTED.iter().for_each(|text| server.allow(text));
            servers.push(server);
            ports.push(port);
        }
        let mut able = plan.binaries.clone();
        able.retain(|binary| matches!(knows(binary, "worker", ""), Ok(true)));
        let mut workers = Vec::new();
        for binary in able.iter().cycle().take(plan.workers) {
            let mut worker = Worker::start(options(binary)).await?;
            EXPECTED.iter().for_each(|text| worker.allow(text));
            workers.push(worker);
        }
        ensure!(workers.len() == plan.workers, "none of the programs knows `worker`");
        let port = if plan.port == 0 { free_port()? } else { plan.port };
        let nginx = Nginx::start(port, &ports).await?;
        Ok(Self { plan, primary, standby: Some(standby), database_url, redis, servers, workers, nginx })
    }

    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    pub const fn primary(&self) -> &Postgres {
        &self.primary
    }

    /// Who follows the primary; nobody right after a promotion.
    pub const fn standby(&mut self) -> Option<&mut Postgres> {
        self.standby.as_mut()
    }

    /// The primary is gone as if its machine were; the standby, which has confirmed every commit, takes over. Without one there is nothing to do.
    pub fn promote(&mut self) -> Result<bool> {
        let Some(standby) = self.standby.take() else { return Ok(false) };
        self.primary.stop(Stop::Immediate)?;
        standby.promote()?;
        self.primary = standby;
        Ok(true)
    }

    /// A standby for the primary that there is; not among those that the servers know.
    pub fn new_standby(&mut self) -> Result<()> {
        let standby = follower(&self.primary, self.plan.fsync)?;
        waits_for_standby(&self.primary)?;
        self.standby = Some(standby);
        Ok(())
    }

    pub fn server(&mut self, number: usize) -> Result<&mut Server> {
        self.servers.get_mut(number).context("no such server")
    }

    /// One of those that there are, whatever the number.
    pub fn worker(&mut self, number: usize) -> Result<&mut Worker> {
        let count = self.workers.len().max(1);
        let worker = self.workers.get_mut(number % count).context("there are no workers")?;
        ensure!(worker.is_running(), "a worker has ended by itself:\n{}", worker.log());
        Ok(worker)
    }

    /// As for a new version: what they have not done they hand back.
    pub async fn stop_workers(&mut self) -> Result<()> {
        for mut worker in self.workers.drain(..) {
            let status = worker.terminate().await?;
            ensure!(status.success(), "a worker ended with {}:\n{}", ending(status), worker.log());
        }
        Ok(())
    }
}

/// Of servers that run no jobs.
const NO_WORKER: &str = "--no-worker";

/// Whether this version of the program has that command with that flag.
fn knows(binary: &Path, command: &str, flag: &str) -> Result<bool> {
    let asked = Command::new(binary).args([command, "--help"]).output();
    let output = asked.with_context(|| format!("can't start {}", binary.display()))?;
    Ok(output.status.success() && String::from_utf8_lossy(&output.stdout).contains(flag))
}

/// Servers and workers have the same.
fn options(binary: &Path, plan: &Plan, database_url: &str, redis: &Redis, replica_url: &str) -> Options {
    let options = Options::new(binary)
        .env("TERTULIA_DATABASE_URL", database_url)
        .env("TERTULIA_DATABASE_FAILOVER", "loses_nothing")
        .env("TERTULIA_DATABASE_REPLICA_URLS", replica_url)
        .env("TERTULIA_REDIS_URL", redis.url())
        .env("TERTULIA_BEHIND_PROXY", "on")
        .env("TERTULIA_RATE_LIMITS", if plan.rate_limits { "on" } else { "off" });
    match plan.lease {
        Some(lease) => {
            options.env("TERTULIA_JOBS__LEASE_MS", lease.as_millis()).env("TERTULIA_JOBS__MESSAGE_WAITS_S", WAITS_S)
        }
        None => options,
    }
}

fn durability(fsync: bool) -> PostgresOptions {
    if fsync { PostgresOptions::durable() } else { PostgresOptions::default() }
}

fn follower(primary: &Postgres, fsync: bool) -> Result<Postgres> {
    Postgres::start_from(durability(fsync), |to| primary.back_up(to, true))
}

/// From now on a commit is acknowledged when the standby has it too.
fn waits_for_standby(primary: &Postgres) -> Result<()> {
    primary.psql(NAME, "ALTER SYSTEM SET synchronous_standby_names = '*'")?;
    primary.psql(NAME, "SELECT pg_reload_conf()")?;
    Ok(())
}
