//! Four people with two devices each write through a storm to a server that is killed again and again. Each device writes down what it did and saw, and a
//! program that knows nothing of this one judges it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tertulia_client::ConversationId;
use tertulia_cluster::{Device, Names, Record, Running};
use tertulia_testkit::chaos::{Chaos, Profile};
use tertulia_testkit::{Folder, Options, Person, Random, Server, program, within};
use tokio::sync::watch;
use tokio::task::JoinSet;

const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];
const DEVICES: [&str; 2] = ["phone", "desk"];
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
    people: Vec<Person>,
    /// And who is there, by number.
    conversations: Vec<(ConversationId, Vec<usize>)>,
    random: Random,
    stores: Folder,
    histories: PathBuf,
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
        // It stays, for whoever wants to know what happened.
        let histories = Path::new(env!("CARGO_TARGET_TMPDIR")).join("history");
        let _ = std::fs::remove_dir_all(&histories);
        std::fs::create_dir_all(&histories)?;
        Ok(Self { server, chaos, people, conversations, random, stores: Folder::new()?, histories })
    }

    fn devices(&mut self) -> Result<Vec<Device>> {
        let names: Arc<Names> = Arc::new(self.people.iter().map(|person| (person.id, person.name.clone())).collect());
        let mut devices = Vec::new();
        for (number, person) in self.people.iter().enumerate() {
            let here = self.conversations.iter().filter(|(_, members)| members.contains(&number));
            let conversations: Vec<ConversationId> = here.map(|(id, _)| *id).collect();
            for device in DEVICES {
                let name = format!("{}-{device}", person.name);
                devices.push(Device {
                    server: self.chaos.url(),
                    token: person.token.clone(),
                    me: person.id,
                    file: self.stores.path().join(format!("{name}.db")),
                    conversations: conversations.clone(),
                    record: Record::new(&self.histories, &name, &person.name, Arc::clone(&names))?,
                    random: self.random.fork(),
                    rest: REST,
                });
            }
        }
        Ok(devices)
    }

    /// Kills the server at the given instant, unless a device fails before.
    async fn kill_after(&mut self, peace: Duration, devices: &mut JoinSet<Result<Running>>) -> Result<()> {
        if let Ok(Some(ended)) = tokio::time::timeout(peace, devices.join_next()).await {
            ended??;
            bail!("a device ended in the middle of the storm");
        }
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

    /// All that was written reaches everybody, and everybody has read it; then each writes down what it has in the end.
    async fn end(&self, devices: &[Running]) -> Result<()> {
        self.chaos.calm();
        self.chaos.cut_all();
        for device in devices {
            device.sent_all().await?;
        }
        for (conversation, members) in &self.conversations {
            let last_seq = self.server.api(&self.people[members[0]]).conversation(*conversation).await?.last_seq;
            for device in devices.iter().filter(|device| device.is_in(*conversation)) {
                device.read_all(*conversation, last_seq).await?;
            }
            for device in devices.iter().filter(|device| device.is_in(*conversation)) {
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

    /// What the program says of all histories.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_through_storms_and_kills_keeps_the_promises() -> Result<()> {
    let mut world = World::new().await?;
    let (stop, stopped) = watch::channel(false);
    let mut running = Vec::new();
    for device in world.devices()? {
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
    let mut running = Vec::new();
    while let Some(device) = within("the devices stop", devices.join_next()).await? {
        running.push(device??);
    }
    if let Err(error) = world.end(&running).await {
        // Why it does not come to an end may be in what was seen.
        return Err(error.context(format!("{:?}", world.verdict().await)));
    }
    drop(running);
    let tally = world.chaos.tally();
    eprintln!("{}{tally:?}", world.verdict().await?);
    assert!(tally.ended + tally.reset > 5 && tally.dead + tally.stalled > 0, "no storm: {tally:?}");
    Ok(())
}
