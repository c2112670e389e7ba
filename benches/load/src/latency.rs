//! Open loop: how long a message takes at a rate that doesn't ask whether the server keeps up. Each latency counts from the instant at which
//! the send was due, not from the one at which it was possible, so that a stall is seen by every message it held up.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::sync::Notify;

use crate::crowd::{Crowd, OwnedTask};
use crate::people;
use crate::protocol::Protocol;
use crate::report::{CpuWindow, Outcome, Row, histogram_us, percentiles_json, percentiles_ms, rounded};
use crate::server::Server;
use crate::throughput::make_pairs;
use crate::traffic::Measured;

const WARM_UP: Duration = Duration::from_secs(1);
const DRAIN_MAX: Duration = Duration::from_secs(10);
const UNDER_WAY_MAX: u64 = 50_000;
/// Rates above ten thousand a second are sent in small groups.
const WAKE_INTERVAL_MIN: Duration = Duration::from_micros(100);

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub struct LatencyOptions {
    /// Messages per second, all people together.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// How long to measure, after one second of warming up.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// People, two to a conversation.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=2000))]
    pub users: u32,
    #[arg(long, value_enum, default_value = "ws")]
    pub protocol: Protocol,
}

/// Wakes the runtime when sends are due. The runtime's own timers know whole milliseconds only, as much as what is measured.
#[derive(Debug)]
struct Metronome {
    tick: Arc<Notify>,
    stopped: Arc<AtomicBool>,
}

impl Metronome {
    fn start(began: Instant, interval: Duration) -> Self {
        let metronome = Self { tick: Arc::default(), stopped: Arc::default() };
        let (tick, stopped) = (Arc::clone(&metronome.tick), Arc::clone(&metronome.stopped));
        std::thread::spawn(move || {
            let mut next = began;
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                tick.notify_one();
                next += interval;
            }
        });
        metronome
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Sends at the rate from `began` on, for as long as the task lives.
#[derive(Debug)]
struct Pacer {
    _task: OwnedTask,
    _metronome: Metronome,
    /// From the instant a send was due to the one at which it was written: what the generator itself adds.
    lag_us: Rc<RefCell<Histogram<u64>>>,
}

impl Pacer {
    fn start(crowd: &Rc<Crowd>, users: usize, rate: u32) -> Result<Self> {
        let interval = Duration::from_secs(1) / rate;
        let began = Instant::now() + Duration::from_millis(10);
        let metronome = Metronome::start(began, interval.max(WAKE_INTERVAL_MIN));
        let lag_us = Rc::new(RefCell::new(histogram_us()?));
        let (crowd, lag, tick) = (Rc::clone(crowd), Rc::clone(&lag_us), Arc::clone(&metronome.tick));
        let task = OwnedTask::spawn(async move {
            let mut count: u32 = 0;
            loop {
                tick.notified().await;
                let now = Instant::now();
                loop {
                    let due = began + interval * count;
                    if due > now {
                        break;
                    }
                    lag.borrow_mut().saturating_record(((now - due).as_micros() as u64).max(1));
                    crowd.send_due(count as usize % users, due);
                    count += 1;
                }
            }
        });
        Ok(Self { _task: task, _metronome: metronome, lag_us })
    }
}

/// Runs it against a server.
pub async fn run(server: &Server, options: &LatencyOptions) -> Result<Outcome> {
    let (people, plan) = make_pairs(server, options.users).await?;
    let crowd = Rc::new(Crowd::connect(server, options.protocol, &people, &plan, false).await?);
    let pacer = Pacer::start(&crowd, people.len(), options.rate)?;
    crowd.run_for(WARM_UP).await?;
    pacer.lag_us.borrow_mut().reset();
    crowd.start_measuring();
    let cpu = CpuWindow::open(server);
    let end = Instant::now() + Duration::from_secs(options.seconds);
    while Instant::now() < end {
        crowd.run_for(Duration::from_millis(100).min(end.saturating_duration_since(Instant::now()))).await?;
        if crowd.under_way() > UNDER_WAY_MAX {
            bail!("the server does not keep up with {} messages a second: {UNDER_WAY_MAX} are under way", options.rate);
        }
    }
    let lag_us = pacer.lag_us.borrow().clone();
    drop(pacer);
    let (server_cores, own_cores) = cpu.close();
    // What was sent in the window belongs to it, however late it arrives: hence the drain comes first.
    crowd.drain(DRAIN_MAX).await?;
    let measured = crowd.stop_measuring()?;

    let mut outcome = Outcome::new("latency");
    outcome.set("users", people.len());
    outcome.set("serverCores", server_cores.clone());
    outcome.set("generatorCores", own_cores.clone());
    outcome.set_violations(&crowd.verdict());
    outcome.set_server_state(server);
    report(&mut outcome, options, &measured, &lag_us, &format!("cores: server {server_cores}, generator {own_cores}"));
    Ok(outcome)
}

fn report(outcome: &mut Outcome, options: &LatencyOptions, measured: &Measured, lag_us: &Histogram<u64>, cores: &str) {
    let rate = measured.delivery_us.len() as f64 / options.seconds as f64;
    outcome.set("protocol", options.protocol.name());
    outcome.set("ratePerSecond", options.rate);
    outcome.set("deliveredPerSecond", json!(rounded(rate, 1)));
    outcome.set("seconds", options.seconds);
    outcome.set("bodyBytes", people::BODY_BYTES);
    outcome.set("delivery", percentiles_json(&measured.delivery_us));
    outcome.set("acknowledgement", percentiles_json(&measured.acknowledgement_us));
    outcome.set("generatorLag", percentiles_json(lag_us));
    outcome.rows.push(Row {
        what: format!("latency {}", options.protocol.name()),
        value: format!("{rate:.0} msg/s"),
        percentiles: Some(percentiles_ms(&measured.delivery_us)),
        note: format!("delivery; {cores}"),
    });
    outcome.rows.push(Row {
        what: format!("latency {} ack", options.protocol.name()),
        percentiles: Some(percentiles_ms(&measured.acknowledgement_us)),
        note: format!("the generator's own delay in both: p99 {} ms", percentiles_ms(lag_us)[2]),
        ..Row::default()
    });
}
