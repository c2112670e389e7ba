//! Four people with two devices each write through a storm to a server that is killed again and again. Each device writes down what it did and saw, and a
//! program that knows nothing of this one judges it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tertulia_cluster::{Running, Town, town};
use tertulia_testkit::chaos::{Chaos, Profile};
use tertulia_testkit::{Options, Random, Server};
use tokio::sync::watch;
use tokio::task::JoinSet;

const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];
const KILLS: usize = 6;

/// Between two things that a person does, at most.
const REST: Duration = Duration::from_millis(80);

/// Between one start of the server and its next end.
const PEACE_MICROS_MIN: u64 = 600_000;
const PEACE_MICROS_MAX: u64 = 2_400_000;

/// From the process's start to a kill while it opens its files.
const START_MICROS_MAX: u64 = 60_000;

struct World {
    server: Server,
    chaos: Chaos,
    town: Town,
    random: Random,
}

impl World {
    async fn new() -> Result<Self> {
        let mut random = Random::from_environment();
        let server = Server::start(Options::built()?).await?;
        let chaos = Chaos::open(server.url(), random.fork()).await?;
        let people = server.people(PEOPLE).await?;
        let alice = server.api(&people[0]);
        let conversations = vec![
            (alice.group("kitchen", &people[1..]).await?.id, vec![0, 1, 2, 3]),
            (alice.group("garden", &people[1..3]).await?.id, vec![0, 1, 2]),
            (server.api(&people[2]).dm(&people[3]).await?.id, vec![2, 3]),
        ];
        let histories = Path::new(env!("CARGO_TARGET_TMPDIR")).join("history");
        let town = Town::new(people, conversations, histories)?;
        Ok(Self { server, chaos, town, random })
    }

    /// Kills the server at the given instant, unless a device fails before.
    async fn kill_after(&mut self, peace: Duration, devices: &mut JoinSet<Result<Running>>) -> Result<()> {
        town::peace(peace, devices).await?;
        self.server.kill()?;
        if self.random.one_in(3) {
            // Once more, while it opens its files.
            self.server.spawn()?;
            let instant = self.random.micros_below(START_MICROS_MAX);
            let _ = tokio::time::timeout(instant, self.server.ready()).await;
            self.server.kill()?;
        }
        self.server.launch().await?;
        self.chaos.lead_to(self.server.url())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_through_storms_and_kills_keeps_the_promises() -> Result<()> {
    let mut world = World::new().await?;
    let (stop, stopped) = watch::channel(false);
    let mut running = Vec::new();
    for device in world.town.devices(&world.chaos.url(), REST, &mut world.random)? {
        running.push(device.start().await?);
    }
    world.chaos.storm(Profile::MIXED);
    let mut devices = JoinSet::new();
    for device in running {
        devices.spawn(device.live(stopped.clone()));
    }
    for kill in 1..=KILLS {
        let peace =
            Duration::from_micros(PEACE_MICROS_MIN) + world.random.micros_below(PEACE_MICROS_MAX - PEACE_MICROS_MIN);
        world.kill_after(peace, &mut devices).await.with_context(|| format!("kill {kill}"))?;
    }
    stop.send_replace(true);
    let running = town::stopped(devices).await?;
    if let Err(error) = world.town.end(&world.server, &world.chaos, &running).await {
        // Why it does not come to an end may be in what was seen.
        return Err(error.context(format!("{:?}", world.town.verdict().await)));
    }
    drop(running);
    let tally = world.chaos.tally();
    eprintln!("{}{tally:?}", world.town.verdict().await?);
    assert!(tally.ended + tally.reset > 5 && tally.dead + tally.stalled > 0, "no storm: {tally:?}");
    Ok(())
}
