//! A server as the bus sees it: who is here, and what it hears.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use tertulia_bus_redis::{Heard, Options, RedisBus};
use tertulia_proto::{ServerId, SessionId, UserId};
use tertulia_realtime::{Bus as _, News};
use tertulia_testkit::within;
use tokio::sync::mpsc;

pub struct Station {
    pub id: ServerId,
    pub bus: Arc<RedisBus>,
    pub here: Arc<Mutex<Vec<UserId>>>,
    heard: mpsc::Receiver<Heard>,
}

pub fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

/// News that is told from others by its number.
pub fn news(number: u64) -> News {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    News::SessionEnded { session: SessionId::from_bytes(bytes) }
}

fn number_of(news: &News) -> Option<u64> {
    let News::SessionEnded { session } = news else { return None };
    session.as_bytes()[8..].try_into().ok().map(u64::from_be_bytes)
}

impl Station {
    /// Does not wait until it hears.
    pub fn begin(url: &str, number: u8) -> Result<Self> {
        let id = ServerId::from_bytes([number; 16]);
        let bus = RedisBus::new(Options { address: url.parse()?, prefix: "test".to_owned(), me: id });
        let here = Arc::new(Mutex::new(Vec::new()));
        let people = Arc::clone(&here);
        let heard = bus.start(move || people.lock().clone());
        Ok(Self { id, bus, here, heard })
    }

    pub async fn open(url: &str, number: u8) -> Result<Self> {
        let station = Self::begin(url, number)?;
        within("the bus is heard", station.bus.heard_within(tertulia_testkit::deadline::DEADLINE)).await?;
        Ok(station)
    }

    pub fn tell(&self, numbers: impl IntoIterator<Item = u64>) {
        self.bus.publish(numbers.into_iter().map(news).collect());
    }

    pub fn comes(&self, person: u8) {
        self.here.lock().push(user(person));
        self.bus.publish(vec![News::Presence { user: user(person), online: true, last_seen_at: None }]);
    }

    pub async fn next(&mut self, what: &str) -> Result<Heard> {
        within(what, self.heard.recv()).await?.context("the bus has ended")
    }

    /// The next thing of a kind; others are passed over.
    pub async fn until<T>(&mut self, what: &str, mut is_it: impl FnMut(Heard) -> Option<T>) -> Result<T> {
        within(what, async {
            loop {
                let heard = self.heard.recv().await.context("the bus has ended")?;
                if let Some(found) = is_it(heard) {
                    return Ok(found);
                }
            }
        })
        .await?
    }

    /// Numbers of news as they come, until there are so many; a loss is `None`.
    pub async fn hear(&mut self, count: usize) -> Result<Vec<Option<u64>>> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.next("news").await? {
                Heard::News { news, .. } => all.extend(news.iter().filter_map(number_of).map(Some)),
                Heard::Lost => all.push(None),
                _ => {}
            }
        }
        Ok(all)
    }

    /// Who is at another server, once it is so.
    pub async fn until_people(&mut self, of: ServerId, expected: &[UserId]) -> Result<()> {
        self.until("who is there", |heard| match heard {
            Heard::People { server, mut people } if server == of => {
                people.sort_unstable();
                (people == expected).then_some(())
            }
            _ => None,
        })
        .await
    }

    pub async fn until_alone(&mut self, expected: bool) -> Result<()> {
        self.until("whether it is alone", |heard| {
            matches!(heard, Heard::Alone(alone) if alone == expected).then_some(())
        })
        .await
    }

    pub async fn until_lost(&mut self) -> Result<()> {
        self.until("a loss", |heard| matches!(heard, Heard::Lost).then_some(())).await
    }
}
