//! A way to the server on which all goes wrong that can go wrong on a network: by chance, from a seed, and only as long as there is a storm.
//!
//! What is decided is decided per connection and direction when it is opened ([`Profile::draw`]); when it happens depends on the bytes that go through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::gate::address_of;
use crate::random::Random;

/// What befalls the connections of a storm: the numbers are weights of the draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Nothing happens.
    pub through: usize,
    /// It ends in the middle of what one side writes: orderly (FIN).
    pub ended: usize,
    /// The same, and the other ends are told so rudely (RST).
    pub reset: usize,
    /// One direction is silently dead, the other lives.
    pub dead: usize,
    /// One direction is not read any more: whoever writes there meets back pressure.
    pub stalled: usize,
    /// Every piece comes late, in order.
    pub delayed: usize,
    /// It happens after 1 byte at least and so many at most.
    pub bytes_max: usize,
    /// Of each piece of a delayed connection.
    pub delay_max: Duration,
}

impl Profile {
    pub const CALM: Self = Self {
        through: 1,
        ended: 0,
        reset: 0,
        dead: 0,
        stalled: 0,
        delayed: 0,
        bytes_max: 1,
        delay_max: Duration::ZERO,
    };

    /// A bit of everything; the handshake of a WebSocket and the first difference take some thousand bytes.
    pub const MIXED: Self = Self {
        through: 2,
        ended: 3,
        reset: 3,
        dead: 2,
        stalled: 2,
        delayed: 4,
        bytes_max: 15_000,
        delay_max: Duration::from_millis(80),
    };

    /// What befalls the direction to the server and the one from it.
    pub fn draw(&self, random: &mut Random) -> [Fate; 2] {
        let after = 1 + random.next() % u64::try_from(self.bytes_max.max(1)).unwrap_or(u64::MAX);
        let kinds = [
            (self.through, Fate::Through),
            (self.ended, Fate::Cut { after, how: Ending::Fin }),
            (self.reset, Fate::Cut { after, how: Ending::Rst }),
            (self.dead, Fate::Dead { after }),
            (self.stalled, Fate::Stalled { after }),
            (self.delayed, Fate::Delayed { max: self.delay_max }),
        ];
        let mut chosen = random.below(kinds.iter().map(|(weight, _)| weight).sum());
        let fate = kinds.iter().find(|(weight, _)| {
            let is_it = chosen < *weight;
            chosen = chosen.saturating_sub(*weight);
            is_it
        });
        let fate = fate.map_or(Fate::Through, |(_, fate)| *fate);
        match fate {
            Fate::Delayed { .. } => [fate, fate],
            _ if random.one_in(2) => [fate, Fate::Through],
            _ => [Fate::Through, fate],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Fin,
    Rst,
}

/// What befalls one direction of a connection, and after how many of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Through,
    Cut { after: u64, how: Ending },
    Dead { after: u64 },
    Stalled { after: u64 },
    Delayed { max: Duration },
}

/// How often something has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub connections: usize,
    pub ended: usize,
    pub reset: usize,
    pub dead: usize,
    pub stalled: usize,
    pub delayed: usize,
}

#[derive(Debug, Clone, Copy)]
struct Weather {
    storm: Option<Profile>,
    cuts: u64,
}

#[derive(Debug)]
struct Place {
    to: Mutex<SocketAddr>,
    tally: Mutex<Tally>,
    weather: watch::Sender<Weather>,
}

/// Its own address stays, whatever it leads to. It begins calm, and is gone when it is dropped.
#[derive(Debug)]
pub struct Chaos {
    address: SocketAddr,
    place: Arc<Place>,
    _task: JoinSet<()>,
}

impl Chaos {
    pub async fn open(url: &str, random: Random) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let place = Arc::new(Place {
            to: Mutex::new(address_of(url)?),
            tally: Mutex::default(),
            weather: watch::Sender::new(Weather { storm: None, cuts: 0 }),
        });
        let mut task = JoinSet::new();
        task.spawn(serve(listener, Arc::clone(&place), random));
        Ok(Self { address, place, _task: task })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// New connections go there; those that are open stay.
    pub fn lead_to(&self, url: &str) -> Result<()> {
        *self.place.to.lock() = address_of(url)?;
        Ok(())
    }

    /// From now on things happen to new connections.
    pub fn storm(&self, profile: Profile) {
        self.place.weather.send_modify(|weather| weather.storm = Some(profile));
    }

    /// From now on nothing happens: what is held goes on, and connections of which something is missing are cut.
    pub fn calm(&self) {
        self.place.weather.send_modify(|weather| weather.storm = None);
    }

    /// Ends all connections without a word.
    pub fn cut_all(&self) {
        self.place.weather.send_modify(|weather| weather.cuts += 1);
    }

    pub fn tally(&self) -> Tally {
        *self.place.tally.lock()
    }
}

async fn serve(listener: TcpListener, place: Arc<Place>, mut random: Random) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let now = *place.weather.borrow();
        let fates = now.storm.unwrap_or(Profile::CALM).draw(&mut random);
        place.tally.lock().connections += 1;
        connections.spawn(carry(near, Arc::clone(&place), now.cuts, fates, random.fork()));
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(mut near: TcpStream, place: Arc<Place>, cuts_before: u64, [up, down]: [Fate; 2], mut random: Random) {
    let mut weather = place.weather.subscribe();
    let to = *place.to.lock();
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    // Else what is written in pieces waits for acknowledgements.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ending = {
        let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
        let pump = |fate, random| Pump { fate, random, place: &place, weather: weather.clone(), passed: 0 };
        let (mut up, mut down) = (pump(up, random.fork()), pump(down, random.fork()));
        tokio::select! {
            ending = up.run(near_read, far_write) => ending,
            ending = down.run(far_read, near_write) => ending,
            _ = weather.wait_for(|weather| weather.cuts != cuts_before) => Ending::Fin,
        }
    };
    if ending == Ending::Rst {
        let _ = (near.set_zero_linger(), far.set_zero_linger());
    }
}

/// One direction of a connection.
struct Pump<'a> {
    fate: Fate,
    random: Random,
    place: &'a Place,
    weather: watch::Receiver<Weather>,
    passed: u64,
}

impl Pump<'_> {
    async fn run(&mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Ending {
        let mut buffer = vec![0; 16 * 1024];
        let mut told = false;
        loop {
            if let Fate::Stalled { after } = self.fate
                && after <= self.passed
            {
                self.place.tally.lock().stalled += 1;
                self.calmed().await;
                self.fate = Fate::Through;
            }
            let Ok(read @ 1..) = from.read(&mut buffer).await else { return Ending::Fin };
            let count = u64::try_from(read).unwrap_or(u64::MAX);
            match self.fate {
                Fate::Cut { after, how } if after <= self.passed + count && self.in_storm() => {
                    let _ = to.write_all(&buffer[..self.torn(read, after)]).await;
                    let mut tally = self.place.tally.lock();
                    match how {
                        Ending::Fin => tally.ended += 1,
                        Ending::Rst => tally.reset += 1,
                    }
                    return how;
                }
                Fate::Dead { after } if after <= self.passed + count && self.in_storm() => {
                    self.place.tally.lock().dead += 1;
                    tokio::select! {
                        () = swallow(&mut from) => {}
                        () = self.calmed() => {}
                    }
                    return Ending::Fin;
                }
                Fate::Delayed { max } => {
                    self.place.tally.lock().delayed += usize::from(!std::mem::replace(&mut told, true));
                    let wait = self.random.micros_below(u64::try_from(max.as_micros()).unwrap_or(u64::MAX));
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.calmed() => {}
                    }
                }
                _ => {}
            }
            if to.write_all(&buffer[..read]).await.is_err() {
                return Ending::Fin;
            }
            self.passed += count;
        }
    }

    /// How much of a piece still goes through: never all of it, so that it ends in the middle.
    fn torn(&self, read: usize, after: u64) -> usize {
        usize::try_from(after.saturating_sub(self.passed)).unwrap_or(read).min(read.saturating_sub(1))
    }

    fn in_storm(&self) -> bool {
        self.weather.borrow().storm.is_some()
    }

    async fn calmed(&mut self) {
        let _ = self.weather.wait_for(|weather| weather.storm.is_none()).await;
    }
}

async fn swallow(from: &mut ReadHalf<'_>) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = from.read(&mut buffer).await {}
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::deadline::within;

    use super::*;

    const NOTHING: Profile =
        Profile { through: 0, bytes_max: 1000, delay_max: Duration::from_millis(20), ..Profile::CALM };

    /// Long enough for what is there to arrive, where nothing may arrive.
    const MOMENT: Duration = Duration::from_millis(100);

    /// What stands at both ends of a chaos.
    struct Ends {
        chaos: Chaos,
        listener: TcpListener,
    }

    impl Ends {
        async fn new(profile: Option<Profile>) -> Result<Self> {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let url = format!("http://{}", listener.local_addr()?);
            let chaos = Chaos::open(&url, Random::new(7)).await?;
            if let Some(profile) = profile {
                chaos.storm(profile);
            }
            Ok(Self { chaos, listener })
        }

        async fn connect(&self) -> Result<(TcpStream, TcpStream)> {
            let near = TcpStream::connect(self.chaos.address).await?;
            let (far, _) = within("the connection comes through", self.listener.accept()).await??;
            Ok((near, far))
        }

        /// The connection's writer and reader in the direction that something befalls.
        async fn befallen(&self, seed_of: impl Fn(&Fate) -> bool) -> Result<(TcpStream, TcpStream)> {
            let weather = *self.chaos.place.weather.borrow();
            let profile = weather.storm.unwrap_or(Profile::CALM);
            // The source is the chaos's own: the same seed, so many draws later.
            let mut random = Random::new(7);
            for _ in 0..self.chaos.tally().connections {
                profile.draw(&mut random);
                random.fork();
            }
            let fates = profile.draw(&mut random);
            let (near, far) = self.connect().await?;
            Ok(if seed_of(&fates[0]) { (near, far) } else { (far, near) })
        }
    }

    #[test]
    fn the_same_seed_brings_the_same_fates() {
        let draws = |seed| {
            let mut random = Random::new(seed);
            (0..200).map(|_| Profile::MIXED.draw(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let kinds: BTreeSet<_> =
            draws(1).iter().flatten().map(|fate| format!("{:?}", std::mem::discriminant(fate))).collect();
        assert_eq!(kinds.len(), 5, "each kind comes up");
    }

    #[tokio::test]
    async fn a_calm_way_lets_everything_through_in_both_directions() -> Result<()> {
        let ends = Ends::new(None).await?;
        let (mut near, mut far) = ends.connect().await?;
        let sent: Vec<u8> = (0..500_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut got = vec![0; sent.len()];
        let (wrote, read) = tokio::join!(near.write_all(&sent), far.read_exact(&mut got));
        wrote?;
        read?;
        assert_eq!(got, sent);
        far.write_all(b"ok").await?;
        near.read_exact(&mut got[..2]).await?;
        assert_eq!(&got[..2], b"ok");
        Ok(())
    }

    #[tokio::test]
    async fn a_cut_comes_in_the_middle_of_what_is_written() -> Result<()> {
        for (profile, rude) in [(Profile { ended: 1, ..NOTHING }, false), (Profile { reset: 1, ..NOTHING }, true)] {
            let ends = Ends::new(Some(profile)).await?;
            for _ in 0..10 {
                let (mut writer, mut reader) = ends.befallen(|fate| matches!(fate, Fate::Cut { .. })).await?;
                writer.write_all(&[1; 1000]).await?;
                let mut got = Vec::new();
                let read = within("the end", reader.read_to_end(&mut got)).await?;
                assert!(got.len() < 1000, "{} of 1000 bytes came", got.len());
                assert_eq!(read.is_err(), rude, "{read:?}");
            }
            let tally = ends.chaos.tally();
            assert_eq!((tally.ended, tally.reset), if rude { (0, 10) } else { (10, 0) });
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_dead_direction_swallows_while_the_other_lives_and_calm_ends_the_connection() -> Result<()> {
        let ends = Ends::new(Some(Profile { dead: 1, bytes_max: 1, ..NOTHING })).await?;
        let (mut writer, mut reader) = ends.befallen(|fate| matches!(fate, Fate::Dead { .. })).await?;
        for _ in 0..5 {
            writer.write_all(&[1; 1000]).await?;
            reader.write_all(b"alive").await?;
            let mut got = [0; 5];
            within("the other direction", writer.read_exact(&mut got)).await??;
        }
        let mut byte = [0];
        assert!(tokio::time::timeout(MOMENT, reader.read(&mut byte)).await.is_err(), "nothing comes, and no end");
        ends.chaos.calm();
        assert!(matches!(within("the end", reader.read(&mut byte)).await?, Ok(0) | Err(_)));
        Ok(())
    }

    #[tokio::test]
    async fn a_stalled_direction_pushes_back_until_it_is_calm_and_loses_nothing() -> Result<()> {
        let ends = Ends::new(Some(Profile { stalled: 1, ..NOTHING })).await?;
        let (writer, mut reader) = ends.befallen(|fate| matches!(fate, Fate::Stalled { .. })).await?;
        let filled = async {
            let mut count = 0;
            let piece = vec![1; 64 * 1024];
            while let Ok(Ok(wrote)) = tokio::time::timeout(MOMENT, async {
                writer.writable().await?;
                match writer.try_write(&piece) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
                    other => other,
                }
            })
            .await
            {
                count += wrote;
            }
            count
        };
        let count = within("back pressure", filled).await?;
        assert_eq!(ends.chaos.tally().stalled, 1);
        ends.chaos.calm();
        let mut got = vec![0; count];
        within("all that was written", reader.read_exact(&mut got)).await??;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_delayed_comes_in_order() -> Result<()> {
        let ends = Ends::new(Some(Profile { delayed: 1, ..NOTHING })).await?;
        let (mut near, mut far) = ends.connect().await?;
        for number in 0..20 {
            near.write_all(&[number]).await?;
        }
        let mut got = [0; 20];
        within("all of it", far.read_exact(&mut got)).await??;
        assert_eq!(got.to_vec(), (0..20).collect::<Vec<u8>>());
        assert_eq!(ends.chaos.tally().delayed, 1);
        Ok(())
    }

    #[tokio::test]
    async fn it_can_be_led_elsewhere_and_cut() -> Result<()> {
        let mut ends = Ends::new(None).await?;
        let (mut near, _far) = ends.connect().await?;
        ends.listener = TcpListener::bind("127.0.0.1:0").await?;
        ends.chaos.lead_to(&format!("http://{}", ends.listener.local_addr()?))?;
        let (mut other, _other_far) = ends.connect().await?;
        ends.chaos.cut_all();
        for stream in [&mut near, &mut other] {
            assert!(matches!(within("the end", stream.read(&mut [0])).await?, Ok(0) | Err(_)));
        }
        let (mut near, mut far) = ends.connect().await?;
        near.write_all(b"x").await?;
        within("a new connection lives", far.read_exact(&mut [0])).await??;
        Ok(())
    }
}
