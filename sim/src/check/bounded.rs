//! Promise 6: what an engine remembers has bounds.

use anyhow::{Result, ensure};
use tertulia_engine::{Config, Engine};

pub fn check(number: usize, engine: &Engine, config: &Config, conversations: usize) -> Result<()> {
    let load = engine.load();
    // A receipt and a mute per conversation, a fill each, the difference, the signs of a moment.
    let requests = config.in_flight_max + config.sends_in_flight_max + 2 * conversations + config.fills_max + 64;
    ensure!(load.requests <= requests, "device {number}: {} requests under way, at most {requests}", load.requests);
    let events = config.gaps_max * config.gap_events_max;
    ensure!(load.parked_events <= events, "device {number}: {} events parked, at most {events}", load.parked_events);
    ensure!(load.fills <= config.fills_max, "device {number}: {} fills", load.fills);
    Ok(())
}
