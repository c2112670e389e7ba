//! Promises 1 to 3 against `kill -9`: what was acknowledged is there, once, in its place.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tertulia_proto::ConversationId;
use tertulia_testkit::{Audit, Ledger, Options, Person, Random, Sender, Server};
use tokio::task::JoinSet;

const SENDERS: usize = 10;
const WINDOW: usize = 48;

/// Longest time under load before a kill.
const LOAD_MICROS_MAX: u64 = 600_000;

/// Longest time from the process's start to a kill while it opens its files.
const START_MICROS_MAX: u64 = 60_000;

struct World {
    server: Server,
    people: Vec<Person>,
    conversations: Vec<ConversationId>,
    ledger: Arc<Ledger>,
    random: Random,
}

impl World {
    async fn new() -> Result<Self> {
        let random = Random::from_environment();
        let server = Server::start(Options::new(env!("CARGO_BIN_EXE_tertulia"))).await?;
        let people = server.people(["alice", "bob", "carol", "dave"]).await?;
        let alice = server.api(&people[0]);
        let mut conversations = vec![alice.dm(&people[1]).await?.id];
        for title in ["kitchen", "garden", "cellar"] {
            conversations.push(alice.group(title, &people[1..]).await?.id);
        }
        Ok(Self { server, people, conversations, ledger: Arc::default(), random })
    }

    /// Several connections a person, each to two groups; the first two also write the DM.
    fn senders(&mut self) -> Vec<Sender> {
        let sender = |number: usize, random: Random| {
            let groups = self.conversations.len() - 1;
            let mut to = vec![self.conversations[1 + number % groups], self.conversations[1 + (number + 1) % groups]];
            if number % self.people.len() < 2 {
                to.push(self.conversations[0]);
            }
            Sender::new(&format!("s{number}"), &self.people[number % self.people.len()], &to, WINDOW, random)
        };
        (0..SENDERS).map(|number| sender(number, self.random.fork())).collect()
    }

    async fn audit(&self, audit: &mut Audit) -> Result<()> {
        let api = self.server.api(&self.people[0]);
        for conversation in &self.conversations {
            audit.check(&api, *conversation, &self.ledger).await?;
        }
        Ok(())
    }

    async fn epoch(&self) -> Result<String> {
        Ok(self.server.api(&self.people[0]).difference(None).await?.epoch.to_string())
    }
}

/// Lets the senders loose and kills the server at the given instant. The senders come back when their connections have ended.
async fn load_and_kill(world: &mut World, senders: Vec<Sender>, instant: Duration) -> Result<Vec<Sender>> {
    let mut running = JoinSet::new();
    for mut sender in senders {
        let (url, ledger) = (world.server.url().to_owned(), Arc::clone(&world.ledger));
        running.spawn(async move { sender.run(&url, &ledger).await.map(|_| sender) });
    }
    if let Ok(Some(ended)) = tokio::time::timeout(instant, running.join_next()).await {
        ended??;
        bail!("a connection ended before the server was killed");
    }
    world.server.kill()?;
    let mut back = Vec::new();
    while let Some(sender) = running.join_next().await {
        back.push(sender??);
    }
    Ok(back)
}

async fn kill_many_times(world: &mut World, kills: usize) -> Result<()> {
    let mut senders = world.senders();
    let mut audit = Audit::default();
    let epoch = world.epoch().await?;
    for kill in 1..=kills {
        let instant = world.random.micros_below(LOAD_MICROS_MAX);
        senders = load_and_kill(world, senders, instant).await.with_context(|| format!("before kill {kill}"))?;
        if world.random.one_in(5) {
            // Once more, while it opens its files.
            world.server.spawn()?;
            let instant = world.random.micros_below(START_MICROS_MAX);
            let _ = tokio::time::timeout(instant, world.server.ready()).await;
            world.server.kill()?;
        }
        world.server.launch().await.with_context(|| format!("the start after kill {kill}"))?;
        world.audit(&mut audit).await.with_context(|| format!("after kill {kill}"))?;
        ensure!(world.epoch().await? == epoch, "a kill is no restore, and yet there is a new epoch");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_no_acknowledged_message() {
    let kills = std::env::var("TERTULIA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let mut world = World::new().await.unwrap();
    kill_many_times(&mut world, kills).await.unwrap();

    let mut whole = Audit::default();
    world.audit(&mut whole).await.unwrap();
    let acknowledged = world.ledger.len();
    eprintln!("{kills} kills, {acknowledged} messages acknowledged, {} in the log", whole.messages());
    assert!(acknowledged > kills * SENDERS, "{acknowledged} acknowledgements are no load");

    let status = world.server.terminate().await.unwrap();
    assert_eq!(status.code(), Some(0));
    let said = world.server.run(&["doctor"]).await.unwrap();
    assert!(said.contains("sound"), "{said}");
}
