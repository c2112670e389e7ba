//! What runs: PostgreSQL and the replica that stands by, Redis, servers, and nginx in front of them, all on loopback.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tertulia_testkit::postgres::Stop;
use tertulia_testkit::redis::free_port;
use tertulia_testkit::{Options, Postgres, PostgresOptions, Redis, Server};

use crate::nginx::Nginx;

/// The database.
const NAME: &str = "tertulia";

#[derive(Debug, Clone)]
pub struct Plan {
    /// The server's program; of several, each next server has the next one: two versions side by side.
    pub binaries: Vec<PathBuf>,
    pub servers: usize,
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
    pub nginx: Nginx,
}

/// What servers say while their surroundings break; anything else is a complaint.
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
        let mut servers = Vec::new();
        let mut ports = Vec::new();
        for number in 0..plan.servers {
            let port = free_port()?;
            let options = options(&plan, number, &database_url, &redis)?
                .env("TERTULIA_DATABASE_REPLICA_URLS", standby.url(NAME))
                .port(port);
            let mut server = Server::start(options).await?;
            EXPECTED.iter().for_each(|text| server.allow(text));
            servers.push(server);
            ports.push(port);
        }
        let port = if plan.port == 0 { free_port()? } else { plan.port };
        let nginx = Nginx::start(port, &ports).await?;
        Ok(Self { plan, primary, standby: Some(standby), database_url, redis, servers, nginx })
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
}

fn options(plan: &Plan, server: usize, database_url: &str, redis: &Redis) -> Result<Options> {
    let binary = plan.binaries.iter().cycle().nth(server).context("no program for the servers")?;
    Ok(Options::new(binary)
        .env("TERTULIA_DATABASE_URL", database_url)
        .env("TERTULIA_DATABASE_FAILOVER", "loses_nothing")
        .env("TERTULIA_REDIS_URL", redis.url())
        .env("TERTULIA_BEHIND_PROXY", "on")
        .env("TERTULIA_RATE_LIMITS", if plan.rate_limits { "on" } else { "off" }))
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
