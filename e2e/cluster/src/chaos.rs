//! What befalls a cluster, one thing after the other, while people write.

use std::time::Duration;

use anyhow::Result;
use tertulia_testkit::Random;
use tertulia_testkit::chaos::{Chaos, Profile};
use tertulia_testkit::postgres::Stop;

use crate::place::Place;
use crate::work;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    KillServer,
    /// Orderly, as for a new version.
    RestartServer,
    PauseServer,
    /// While it works, where it has something to do.
    KillWorker,
    StopWorker,
    KillRedis,
    PauseRedis,
    PausePostgres,
    /// The replica that is read from, and that every commit waits for.
    PauseReplica,
    KillReplica,
    RestartNginx,
    /// On the way between the people and nginx.
    Storm,
    /// The primary is gone, the standby takes over.
    Promote,
}

impl Fault {
    /// With how often it is drawn; the promotion comes when it is due.
    const DRAWN: [(Self, usize); 12] = [
        (Self::KillServer, 4),
        (Self::RestartServer, 3),
        (Self::PauseServer, 1),
        (Self::KillWorker, 3),
        (Self::StopWorker, 1),
        (Self::KillRedis, 3),
        (Self::PauseRedis, 1),
        (Self::PausePostgres, 2),
        (Self::PauseReplica, 2),
        (Self::KillReplica, 2),
        (Self::RestartNginx, 1),
        (Self::Storm, 2),
    ];

    pub fn all() -> impl Iterator<Item = Self> {
        Self::DRAWN.iter().map(|(fault, _)| *fault).chain([Self::Promote])
    }

    /// What workers do when it comes is its own concern.
    pub const fn is_of_workers(self) -> bool {
        matches!(self, Self::KillWorker | Self::StopWorker)
    }

    /// Whether something is away for as long as one says.
    pub const fn has_a_time(self) -> bool {
        !matches!(self, Self::RestartServer | Self::RestartNginx)
    }

    pub fn draw(random: &mut Random) -> Self {
        let all: usize = Self::DRAWN.iter().map(|(_, weight)| weight).sum();
        let mut left = random.below(all);
        for (fault, weight) in Self::DRAWN {
            if left < weight {
                return fault;
            }
            left -= weight;
        }
        Self::KillServer
    }
}

/// Does it, to the server or worker of this number where it is one, and puts it right again after a while.
pub async fn befall(place: &mut Place, links: &Chaos, number: usize, fault: Fault, away: Duration) -> Result<()> {
    match fault {
        Fault::KillServer => {
            place.server(number)?.kill()?;
            pass(away).await;
            place.server(number)?.launch().await?;
        }
        Fault::RestartServer => {
            place.server(number)?.terminate().await?;
            place.server(number)?.launch().await?;
        }
        Fault::PauseServer => {
            place.server(number)?.pause()?;
            pass(away).await;
            place.server(number)?.resume()?;
        }
        Fault::KillWorker | Fault::StopWorker => befall_worker(place, number, fault, away).await?,
        Fault::KillRedis => {
            place.redis.kill()?;
            pass(away).await;
            place.redis.launch().await?;
        }
        Fault::PauseRedis => {
            place.redis.pause()?;
            pass(away).await;
            place.redis.resume()?;
        }
        Fault::PausePostgres => {
            place.primary().pause()?;
            pass(away).await;
            place.primary().resume()?;
        }
        Fault::PauseReplica => {
            if let Some(replica) = place.standby() {
                replica.pause()?;
                pass(away).await;
                replica.resume()?;
            }
        }
        Fault::KillReplica => {
            if let Some(replica) = place.standby() {
                replica.stop(Stop::Immediate)?;
                pass(away).await;
                replica.launch()?;
            }
        }
        Fault::RestartNginx => place.nginx.launch().await?,
        Fault::Storm => {
            links.storm(Profile::MIXED);
            pass(away).await;
            links.calm();
        }
        Fault::Promote => {
            if place.promote()? {
                pass(away).await;
                place.new_standby()?;
            }
        }
    }
    Ok(())
}

/// In the middle of a job, where it can be.
async fn befall_worker(place: &mut Place, number: usize, fault: Fault, away: Duration) -> Result<()> {
    work::under_way(place).await?;
    let worker = place.worker(number)?;
    if fault == Fault::KillWorker {
        worker.kill()?;
        pass(away).await;
        worker.launch().await
    } else {
        worker.pause()?;
        pass(away).await;
        worker.resume()
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_fault_is_drawn_about_as_often_as_it_should_be() {
        let mut random = Random::new(7);
        let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
        let all: usize = Fault::DRAWN.iter().map(|(_, weight)| weight).sum();
        for _ in 0..100 * all {
            *counts.entry(Fault::draw(&mut random)).or_default() += 1;
        }
        for (fault, weight) in Fault::DRAWN {
            let count = counts.get(&fault).copied().unwrap_or_default();
            assert!((50 * weight..200 * weight).contains(&count), "{fault:?}: {counts:?}");
        }
    }
}
