//! `tertulia-cluster`: a cluster on this machine, to look at or to break.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand};
use futures_util::future::try_join_all;
use tertulia_client::ConversationId;
use tertulia_cluster::chaos::{Fault, befall};
use tertulia_cluster::{Device, Names, Place, Plan, Record, Running, recovery};
use tertulia_testkit::{Chaos, Folder, Person, Random, program, within};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Parser)]
#[command(name = "tertulia-cluster", about = "PostgreSQL with a replica, Redis, nginx and servers on this machine")]
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
    },
    /// Breaks one thing after the other while people write, and has their histories judged.
    Chaos {
        #[arg(long, default_value_t = 3.0)]
        minutes: f64,
        #[arg(long, default_value_t = 3)]
        servers: usize,
        /// Each has two devices.
        #[arg(long, default_value_t = 100)]
        people: usize,
        /// Another version of the server's program, for every second server.
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
        What::Run { port, servers } => run(port, servers).await,
        What::Chaos { minutes, servers, people, beside, histories } => {
            let mut plan = plan(servers, 0, false)?;
            plan.binaries.extend(beside);
            let mut town = Town::new(plan, people, histories).await?;
            town.live(Duration::from_secs_f64(minutes * 60.0)).await
        }
        What::Recovery { servers, times } => {
            let mut place = Place::start(Plan { rate_limits: false, ..plan(servers, 0, true)? }).await?;
            recovery::measure(&mut place, times, say).await
        }
    }
}

fn plan(servers: usize, port: u16, fsync: bool) -> Result<Plan> {
    let binaries = vec![program("tertulia", "TERTULIA_BIN", "tertulia-server")?];
    Ok(Plan { binaries, servers, port, fsync, rate_limits: true })
}

async fn run(port: u16, servers: usize) -> Result<()> {
    let place = Place::start(plan(servers, port, true)?).await?;
    say(&format!("database  {}", place.database_url()));
    say(&format!("redis     {}", place.redis.url()));
    for server in &place.servers {
        say(&format!("server    {}", server.url()));
    }
    say(&format!("\nOpen {} in two browsers. Ctrl-C ends everything; nothing is kept.", place.nginx.url()));
    tokio::signal::ctrl_c().await?;
    drop(place);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a command was asked for")]
fn say(text: &str) {
    println!("{text}");
}

/// Who writes where: rings of people, so that everybody meets several others over all servers.
const GROUP_SIZE: usize = 6;
const DEVICES: [&str; 2] = ["phone", "desk"];

const PEOPLE_AT_ONCE: usize = 8;

/// That open their app at the same moment: the storm is to come later.
const DEVICES_AT_ONCE: usize = 20;

/// Between two things that one device does, at most; so all together do a hundred in a second.
const REST_EACH: Duration = Duration::from_millis(20);

/// Between two faults, at most.
const PEACE_MICROS: u64 = 3_000_000;

/// How long something is away or hangs, at most.
const AWAY_MICROS: u64 = 3_000_000;

struct Town {
    place: Place,
    links: Chaos,
    people: Vec<Person>,
    groups: Vec<(ConversationId, Vec<usize>)>,
    histories: PathBuf,
    stores: Folder,
    random: Random,
}

impl Town {
    async fn new(plan: Plan, people: usize, histories: PathBuf) -> Result<Self> {
        ensure!(people >= GROUP_SIZE, "people: {GROUP_SIZE} at least");
        let mut random = Random::from_environment();
        let servers = plan.servers;
        let place = Place::start(plan).await?;
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
        let _ = std::fs::remove_dir_all(&histories);
        std::fs::create_dir_all(&histories)?;
        Ok(Self { place, links, people: all, groups, histories, stores: Folder::new()?, random })
    }

    fn devices(&mut self) -> Result<Vec<Device>> {
        let names: Arc<Names> = Arc::new(self.people.iter().map(|person| (person.id, person.name.clone())).collect());
        let rest = REST_EACH * u32::try_from(self.people.len() * DEVICES.len())?;
        let mut devices = Vec::new();
        for (number, person) in self.people.iter().enumerate() {
            let here = self.groups.iter().filter(|(_, members)| members.contains(&number));
            let conversations: Vec<ConversationId> = here.map(|(id, _)| *id).collect();
            for device in DEVICES {
                let name = format!("{}-{device}", person.name);
                devices.push(Device {
                    server: self.links.url(),
                    token: person.token.clone(),
                    me: person.id,
                    file: self.stores.path().join(format!("{name}.db")),
                    conversations: conversations.clone(),
                    record: Record::new(&self.histories, &name, &person.name, Arc::clone(&names))?,
                    random: self.random.fork(),
                    rest,
                });
            }
        }
        Ok(devices)
    }

    async fn live(&mut self, time: Duration) -> Result<()> {
        let (stop, stopped) = watch::channel(false);
        let (mut starting, mut started) = (JoinSet::new(), Vec::new());
        let mut devices = self.devices()?.into_iter();
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
        say(&format!("{} devices of {} people live", lives.len(), self.people.len()));
        let faults = self.storm(time, &mut lives).await?;
        stop.send_replace(true);
        let mut running = Vec::new();
        while let Some(device) = within("the devices stop", lives.join_next()).await? {
            running.push(device??);
        }
        let ended = self.end(&running).await;
        drop(running);
        let verdict = self.verdict().await;
        let counts: Vec<String> = faults.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        say(&format!("faults: {}\nlinks: {:?}", counts.join(", "), self.links.tally()));
        // Why it does not come to an end may be in what was seen.
        if let Err(error) = ended {
            return Err(error.context(format!("{verdict:?}")));
        }
        say(verdict?.trim_end());
        Ok(())
    }

    async fn storm(&mut self, time: Duration, lives: &mut JoinSet<Result<Running>>) -> Result<BTreeMap<Fault, usize>> {
        let mut counts = BTreeMap::new();
        let begun = now();
        let mut promoted = false;
        while begun.elapsed() < time {
            let peace = self.random.micros_below(PEACE_MICROS);
            if let Ok(Some(ended)) = tokio::time::timeout(peace, lives.join_next()).await {
                ended??;
                bail!("a device ended in the middle of it");
            }
            let fault =
                if !promoted && begun.elapsed() > time / 2 { Fault::Promote } else { Fault::draw(&mut self.random) };
            if fault == Fault::Promote {
                // From now on it is no replica. Where a server can't say it now, nobody needs to know.
                let reads = self.replica_reads().await.unwrap_or_default();
                say(&format!("read at the replica, since the servers' last starts: {reads}"));
            }
            promoted |= fault == Fault::Promote;
            let away = self.random.micros_below(AWAY_MICROS);
            let server = self.random.below(self.place.servers.len());
            befall(&mut self.place, &self.links, server, fault, away).await.with_context(|| format!("{fault:?}"))?;
            *counts.entry(fault).or_default() += 1;
        }
        Ok(counts)
    }

    async fn replica_reads(&self) -> Result<u64> {
        let mut sum = 0;
        for server in &self.place.servers {
            sum += server.api(&self.people[0]).metric("tertulia_replica_reads_total{replica=\"1\"}").await?;
        }
        Ok(sum)
    }

    /// All that was written reaches everybody, and everybody has read it; then each writes down what it has in the end.
    async fn end(&self, devices: &[Running]) -> Result<()> {
        self.links.calm();
        self.links.cut_all();
        for device in devices {
            device.sent_all().await?;
        }
        for (conversation, members) in &self.groups {
            let api = self.place.servers[0].api(&self.people[members[0]]);
            let last_seq = api.conversation(*conversation).await?.last_seq;
            let here = || devices.iter().filter(|device| device.is_in(*conversation));
            for device in here() {
                device.read_all(*conversation, last_seq).await?;
            }
            for device in here() {
                device.all_have_read(*conversation, last_seq).await?;
            }
        }
        for device in devices {
            device.sync_again().await?;
        }
        for device in devices {
            device.write_ends().await?;
        }
        Ok(())
    }

    async fn verdict(&self) -> Result<String> {
        let mut command = Command::new(program("tertulia-history", "TERTULIA_HISTORY_BIN", "tertulia-history")?);
        for file in std::fs::read_dir(&self.histories)? {
            command.arg(file?.path());
        }
        let output = within("the verdict", tokio::task::spawn_blocking(move || command.output())).await???;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}{complained}", output.status);
        Ok(said)
    }
}

#[expect(clippy::disallowed_methods, reason = "how long the chaos lasts")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
