//! How long people wait because something broke: each fault alone, with a talk going on over all servers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use parking_lot::Mutex;
use tertulia_client::{Client, ConnectionState, ConversationId, ListDiff, Message};
use tertulia_testkit::{Chaos, Folder, Person, Random, within};
use tokio::task::JoinSet;

use crate::chaos::{Fault, befall};
use crate::place::Place;

/// Pairs of people, one who writes and one who reads; nginx spreads them over the servers.
const PAIRS: usize = 6;

/// Between two messages of a pair.
const BEAT: Duration = Duration::from_millis(100);

/// How long what breaks is away, where that can be chosen.
pub const AWAY: Duration = Duration::from_secs(1);

/// Talked without a fault before and after each: what the fault did shows in between.
const PEACE: Duration = Duration::from_secs(3);

#[expect(clippy::disallowed_methods, reason = "this is a measurement")]
fn now() -> Instant {
    Instant::now()
}

/// What was written and when, by its number; when it was seen.
#[derive(Default)]
struct Journal {
    written: Vec<Instant>,
    seen: BTreeMap<usize, Instant>,
}

pub struct Talk {
    journals: Vec<Arc<Mutex<Journal>>>,
    people: JoinSet<Result<()>>,
    /// Nobody's way: a storm is none of these faults.
    links: Chaos,
    _files: Folder,
}

/// The longest that a message took, of those written while something was broken.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    pub fault: Fault,
    pub longest: Duration,
}

impl Talk {
    pub async fn begin(place: &Place) -> Result<Self> {
        let files = Folder::new()?;
        let (mut journals, mut people) = (Vec::new(), JoinSet::new());
        for pair in 0..PAIRS {
            let writer = place.servers[0].person(&format!("writer{pair}")).await?;
            let reader = place.servers[0].person(&format!("reader{pair}")).await?;
            let dm = place.servers[0].api(&writer).dm(&reader).await?.id;
            let journal = Arc::<Mutex<Journal>>::default();
            let open = async |person: &Person, name: String| -> Result<Client> {
                let client = Client::builder(&place.nginx.url()).token(person.token.as_str());
                let client = client.file(files.path().join(name)).open()?;
                client.connect()?;
                let caught_up = ConnectionState::Connected { caught_up: true };
                within("a client connects", client.connection().until(|state| *state == caught_up)).await??;
                Ok(client)
            };
            let (from, to) = (open(&writer, format!("w{pair}")).await?, open(&reader, format!("r{pair}")).await?);
            people.spawn(write(from, dm, Arc::clone(&journal)));
            people.spawn(read(to, dm, Arc::clone(&journal)));
            journals.push(journal);
        }
        let links = Chaos::open(&place.nginx.url(), Random::new(1)).await?;
        Ok(Self { journals, people, links, _files: files })
    }

    /// Breaks it, and waits until all that was written since then has been seen.
    pub async fn through(&mut self, place: &mut Place, fault: Fault, server: usize) -> Result<Wait> {
        self.pass(PEACE).await?;
        let begun = now();
        befall(place, &self.links, server, fault, AWAY).await?;
        let ended = now();
        self.pass(PEACE).await?;
        let all_seen = || {
            self.journals.iter().all(|journal| {
                let journal = journal.lock();
                let count = journal.written.iter().take_while(|at| **at <= ended).count();
                (0..count).all(|number| journal.seen.contains_key(&number))
            })
        };
        tertulia_testkit::until("all is seen", all_seen).await?;
        let longest = self.journals.iter().flat_map(|journal| {
            let journal = journal.lock();
            let during = journal.written.iter().enumerate().filter(|(_, at)| **at >= begun && **at <= ended + PEACE);
            during.filter_map(|(number, at)| Some(journal.seen.get(&number)?.duration_since(*at))).collect::<Vec<_>>()
        });
        Ok(Wait { fault, longest: longest.max().context("nothing was written meanwhile")? })
    }

    async fn pass(&mut self, time: Duration) -> Result<()> {
        match tokio::time::timeout(time, self.people.join_next()).await {
            Ok(Some(ended)) => ended?.context("a client ended in the middle of it"),
            _ => Ok(()),
        }
    }
}

async fn write(client: Client, dm: ConversationId, journal: Arc<Mutex<Journal>>) -> Result<()> {
    let mut beat = tokio::time::interval(BEAT);
    loop {
        beat.tick().await;
        let number = {
            let mut journal = journal.lock();
            journal.written.push(now());
            journal.written.len() - 1
        };
        client.send(dm, number.to_string())?;
    }
}

async fn read(client: Client, dm: ConversationId, journal: Arc<Mutex<Journal>>) -> Result<()> {
    let mut timeline = client.timeline(dm);
    loop {
        for step in timeline.next().await? {
            let rows: Vec<Message> = match step {
                ListDiff::Reset(rows) => rows,
                ListDiff::Insert { value, .. } | ListDiff::Set { value, .. } => vec![value],
                ListDiff::Remove { .. } => Vec::new(),
            };
            for row in rows {
                let number: usize = row.body.parse().context("a number")?;
                journal.lock().seen.entry(number).or_insert_with(now);
            }
        }
    }
}

/// Each fault so often, the promotion last and once.
pub async fn measure(place: &mut Place, times: usize, mut say: impl FnMut(&str)) -> Result<()> {
    ensure!(times > 0, "times: 1 at least");
    let mut talk = Talk::begin(place).await?;
    let faults = Fault::all().filter(|fault| *fault != Fault::Storm && *fault != Fault::Promote);
    let plan: Vec<(Fault, usize)> = faults.map(|fault| (fault, times)).chain([(Fault::Promote, 1)]).collect();
    for (fault, times) in plan {
        let mut waits = Vec::new();
        for time in 0..times {
            waits.push(talk.through(place, fault, time % place.servers.len()).await?.longest);
        }
        waits.sort_unstable();
        let ms = |wait: &Duration| wait.as_millis();
        say(&format!(
            "{:<16} away {:>4} ms   longest wait: median {:>5} ms, most {:>5} ms of {times}",
            format!("{fault:?}"),
            if fault.has_a_time() { AWAY.as_millis() } else { 0 },
            ms(&waits[waits.len() / 2]),
            waits.last().map_or(0, ms),
        ));
    }
    Ok(())
}
