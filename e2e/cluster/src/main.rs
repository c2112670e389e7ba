//! `tertulia-cluster`: a cluster on this machine, to look at or to break.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use futures_util::future::try_join_all;
use tertulia_cluster::chaos::{Fault, befall};
use tertulia_cluster::town::{self, DEVICES};
use tertulia_cluster::{Place, Plan, Running, Town, recovery, work};
use tertulia_testkit::{Chaos, Person, Random, program};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Parser)]
#[command(
    name = "tertulia-cluster",
    about = "PostgreSQL with a replica, Redis, nginx, servers and workers on this machine"
)]
struct Cli {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Runs until Ctrl-C.
    Run {
        /// Where nginx listens on 127.0.0.1.
        #[arg(long, default_value_t = 4000)]
        port: u16,
        #[arg(long, default_value_t = 3)]
        servers: usize,
        /// Processes that run jobs; the servers run none.
        #[arg(long, default_value_t = 1)]
        workers: usize,
    },
    /// Breaks one thing after the other while people write, and has their histories judged.
    Chaos {
        #[arg(long, default_value_t = 3.0)]
        minutes: f64,
        #[arg(long, default_value_t = 3)]
        servers: usize,
        /// Processes that run jobs; the servers run none.
        #[arg(long, default_value_t = 1)]
        workers: usize,
        /// Each has two devices.
        #[arg(long, default_value_t = 100)]
        people: usize,
        /// Another version of the program, for every second server, and every second worker where it knows of workers.
        #[arg(long)]
        beside: Option<PathBuf>,
        /// Where the histories are written.
        #[arg(long, default_value = "target/chaos")]
        histories: PathBuf,
    },
    /// Measures how long people wait because of each fault.
    Recovery {
        #[arg(long, default_value_t = 3)]
        servers: usize,
        /// How often each.
        #[arg(long, default_value_t = 5)]
        times: usize,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().command {
        What::Run { port, servers, workers } => run(plan(servers, workers)?, port).await,
        What::Chaos { minutes, servers, workers, people, beside, histories } => {
            ensure!(workers > 0, "workers: 1 at least");
            let mut plan = Plan { fsync: false, lease: Some(LEASE), ..plan(servers, workers)? };
            plan.binaries.extend(beside);
            let mut world = World::new(plan, people, histories).await?;
            world.live(Duration::from_secs_f64(minutes * 60.0)).await
        }
        What::Recovery { servers, times } => {
            let mut place = Place::start(Plan { rate_limits: false, ..plan(servers, 1)? }).await?;
            recovery::measure(&mut place, times, say).await
        }
    }
}

/// As in earnest.
fn plan(servers: usize, workers: usize) -> Result<Plan> {
    let binaries = vec![program("tertulia", "TERTULIA_BIN", "tertulia-server")?];
    Ok(Plan { binaries, servers, workers, lease: None, port: 0, fsync: true, rate_limits: true })
}

async fn run(plan: Plan, port: u16) -> Result<()> {
    let mut place = Place::start(Plan { port, ..plan }).await?;
    say(&format!("database  {}", place.database_url()));
    say(&format!("redis     {}", place.redis.url()));
    for server in &place.servers {
        say(&format!("server    {}", server.url()));
    }
    for worker in &place.workers {
        say(&format!("worker    process {}", worker.pid()?));
    }
    say(&format!("\nOpen {} in two browsers. Ctrl-C ends everything; nothing is kept.", place.nginx.url()));
    tokio::signal::ctrl_c().await?;
    place.stop_workers().await
}

#[expect(clippy::print_stdout, reason = "what a command was asked for")]
fn say(text: &str) {
    println!("{text}");
}

/// Who writes where: rings of people, so that everybody meets several others over all servers.
const GROUP_SIZE: usize = 6;

const PEOPLE_AT_ONCE: usize = 8;

/// That open their app at the same moment: the storm is to come later.
const DEVICES_AT_ONCE: usize = 20;

/// Between two things that one device does, at most; so all together do a hundred in a second.
const REST_EACH: Duration = Duration::from_millis(20);

/// So short that what a killed worker had is another's soon; longer than a worker is stopped.
const LEASE: Duration = Duration::from_secs(10);

/// Between two faults, at most.
const PEACE_MICROS: u64 = 3_000_000;

/// How long something is away or hangs, at most.
const AWAY_MICROS: u64 = 3_000_000;

struct World {
    place: Place,
    links: Chaos,
    town: Town,
    random: Random,
}

impl World {
    async fn new(plan: Plan, people: usize, histories: PathBuf) -> Result<Self> {
        ensure!(people >= GROUP_SIZE, "people: {GROUP_SIZE} at least");
        let mut random = Random::from_environment();
        let servers = plan.servers;
        let place = Place::start(plan).await?;
        work::watch(&place)?;
        let links = Chaos::open(&place.nginx.url(), random.fork()).await?;
        let mut all = Vec::new();
        let names: Vec<String> = (0..people).map(|number| format!("p{number}")).collect();
        // Each is a command of the program.
        for some in names.chunks(PEOPLE_AT_ONCE) {
            all.extend(try_join_all(some.iter().map(|name| place.servers[0].person(name))).await?);
        }
        let mut groups = Vec::new();
        for first in (0..people).step_by(GROUP_SIZE / 2) {
            let members: Vec<usize> = (first..first + GROUP_SIZE).map(|number| number % people).collect();
            let others: Vec<Person> = members[1..].iter().map(|number| all[*number].clone()).collect();
            let server = first % servers;
            let title = format!("group {first}");
            groups.push((place.servers[server].api(&all[members[0]]).group(&title, &others).await?.id, members));
        }
        Ok(Self { place, links, town: Town::new(all, groups, histories)?, random })
    }

    async fn live(&mut self, time: Duration) -> Result<()> {
        let (stop, stopped) = watch::channel(false);
        let (mut starting, mut started) = (JoinSet::new(), Vec::new());
        let rest = REST_EACH * u32::try_from(self.town.people.len() * DEVICES.len())?;
        let mut devices = self.town.devices(&self.links.url(), rest, &mut self.random)?.into_iter();
        loop {
            while starting.len() < DEVICES_AT_ONCE
                && let Some(device) = devices.next()
            {
                starting.spawn(device.start());
            }
            let Some(running) = starting.join_next().await else { break };
            started.push(running??);
        }
        // Nobody writes before everybody is there: two hundred apps that open together are work enough for a small machine.
        let mut lives: JoinSet<Result<Running>> =
            started.into_iter().map(|running| running.live(stopped.clone())).collect();
        say(&format!("{} devices of {} people live", lives.len(), self.town.people.len()));
        let faults = self.storm(time, &mut lives).await?;
        stop.send_replace(true);
        let running = town::stopped(lives).await?;
        let ended = self.town.end(&self.place.servers[0], &self.links, &running).await;
        drop(running);
        let verdict = self.town.verdict().await;
        let counts: Vec<String> = faults.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        say(&format!("faults: {}\nlinks: {:?}", counts.join(", "), self.links.tally()));
        // Why it does not come to an end may be in what was seen.
        if let Err(error) = ended {
            return Err(error.context(format!("{verdict:?}")));
        }
        say(verdict?.trim_end());
        say(&work::judge(&mut self.place).await.context("jobs")?);
        Ok(())
    }

    async fn storm(&mut self, time: Duration, lives: &mut JoinSet<Result<Running>>) -> Result<BTreeMap<Fault, usize>> {
        let mut counts = BTreeMap::new();
        let begun = now();
        let mut promoted = false;
        while begun.elapsed() < time {
            town::peace(self.random.micros_below(PEACE_MICROS), lives).await?;
            let fault =
                if !promoted && begun.elapsed() > time / 2 { Fault::Promote } else { Fault::draw(&mut self.random) };
            if fault == Fault::Promote {
                // From now on it is no replica. Where a server can't say it now, nobody needs to know.
                let reads = self.replica_reads().await.unwrap_or_default();
                say(&format!("read at the replica, since the servers' last starts: {reads}"));
            }
            promoted |= fault == Fault::Promote;
            let away = self.random.micros_below(AWAY_MICROS);
            let number = self.random.below(self.place.servers.len());
            if !fault.is_of_workers() {
                work::give(&self.place)?;
            }
            befall(&mut self.place, &self.links, number, fault, away).await.with_context(|| format!("{fault:?}"))?;
            *counts.entry(fault).or_default() += 1;
        }
        Ok(counts)
    }

    async fn replica_reads(&self) -> Result<u64> {
        let mut sum = 0;
        for server in &self.place.servers {
            sum += server.api(&self.town.people[0]).metric("tertulia_replica_reads_total{replica=\"1\"}").await?;
        }
        Ok(sum)
    }
}

#[expect(clippy::disallowed_methods, reason = "how long the chaos lasts")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
