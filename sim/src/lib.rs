//! Worlds from seeds. Real engines over real stores, real services, hub, lanes and log; the network, time, chance, disks and deaths are simulated, so
//! that a failing world can be had again by its number.
//!
//! A world lives in two phases: first everything may go wrong, and the promises that hold at every moment are checked as it goes; then all heals, and
//! the rest of the promises is demanded.
//!
//! The way through: [`plan`] what kind of world; [`world`] its steps; [`deeds`] what people do; [`finish`] healing and the last checks; [`check`] a promise
//! a file; [`server`], [`device`], [`network`] who is there, [`push`] and [`notify`] who is notified, and by whom; [`webhooks`] other programs that are told; [`record`] what people know they did; [`planted`] bugs on purpose.

pub mod check;
mod deeds;
mod device;
mod faulty;
mod finish;
mod network;
mod notify;
pub mod plan;
pub mod planted;
mod push;
mod record;
mod server;
mod truth;
mod webhooks;
mod world;

use anyhow::{Context as _, Result};
use plan::Plan;
pub use planted::Planted;
use tertulia_testkit::Random;
use world::World;

/// What a world came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Of everything that happened: the same twice for one seed.
    pub hash: u64,
    pub steps: u64,
    pub messages: usize,
}

/// The fewest deeds with which a world that breaks a promise still breaks one, found by halving: a world of fewer deeds is the beginning of the same
/// story.
pub fn shortest(seed: u64, planted: Planted) -> usize {
    let (mut good, mut bad) = (0, Plan::draw(&mut Random::new(seed), planted.theme).deeds);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        let breaks = run(seed, Planted { deeds: Some(middle), ..planted }, false).is_err();
        if breaks { bad = middle } else { good = middle }
    }
    bad
}

/// Runs one world to its end. The error says which promise was broken; `trace` prints every step.
pub fn run(seed: u64, planted: Planted, trace: bool) -> Result<Outcome> {
    let mut world = World::new(seed, planted, trace)?;
    world.live().and_then(|()| world.finish()).with_context(|| world.describe())?;
    Ok(world.outcome())
}
