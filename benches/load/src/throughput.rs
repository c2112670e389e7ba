//! Closed loop: how many messages per second are acknowledged and delivered, with a fixed number under way per user.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::crowd::Crowd;
use crate::http::HttpClient;
use crate::people::{self, Person};
use crate::protocol::Protocol;
use crate::report::{CpuWindow, Outcome, Row, percentiles_json, percentiles_ms, rounded};
use crate::server::Server;
use crate::traffic::{Plan, PlannedConversation, PlannedFlow};

const WARM_UP: Duration = Duration::from_secs(1);
/// A little less than the writes the server lets wait.
const UNDER_WAY_MAX: u32 = 30_000;
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub struct ThroughputOptions {
    /// People, two to a conversation.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=2000))]
    pub users: u32,
    /// Sends each keeps unacknowledged or undelivered; above 256 the server stops reading.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub in_flight: u32,
    /// How long to measure, after one second of warming up.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    #[arg(long, value_enum, default_value = "ws")]
    pub protocol: Protocol,
}

/// Makes people and a conversation for every two of them, in which both send.
pub async fn make_pairs(server: &Server, users: u32) -> Result<(Vec<Person>, Plan)> {
    let mut http = HttpClient::new(server.address());
    let crowd = people::make(server, &mut http, (users - users % 2) as usize).await?;
    let mut plan = Plan::default();
    for (index, pair) in crowd.chunks_exact(2).enumerate() {
        let dm = people::open_dm(&mut http, &pair[0], &pair[1]).await?;
        let members = [Some(index * 2), Some(index * 2 + 1)];
        plan.conversations.push(PlannedConversation { id: dm.id, last_seq: dm.last_seq, members });
        for sender_side in 0..2 {
            plan.flows.push(PlannedFlow { conversation: index, sender_side, in_flight_max: usize::MAX });
        }
    }
    Ok((crowd, plan))
}

/// Runs it against a server.
pub async fn run(server: &Server, options: &ThroughputOptions) -> Result<Outcome> {
    let under_way = options.users * options.in_flight;
    ensure!(under_way <= UNDER_WAY_MAX, "{under_way} sends under way; the server refuses some above {UNDER_WAY_MAX}");
    let (people, plan) = make_pairs(server, options.users).await?;
    let crowd = Crowd::connect(server, options.protocol, &people, &plan, true).await?;
    crowd.start_closed_loop(options.in_flight as usize);
    crowd.run_for(WARM_UP).await?;

    crowd.start_measuring();
    let cpu = CpuWindow::open(server);
    let began = std::time::Instant::now();
    crowd.run_for(Duration::from_secs(options.seconds)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let measured = crowd.stop_measuring()?;
    let (server_cores, own_cores) = cpu.close();
    ensure!(measured.completed > 0, "not one message was acknowledged and delivered");

    crowd.drain(DRAIN_MAX).await?;
    let rate = measured.completed as f64 / seconds;
    let mut outcome = Outcome::new("throughput");
    outcome.set("protocol", options.protocol.name());
    outcome.set("users", people.len());
    outcome.set("inFlightPerUser", options.in_flight);
    outcome.set("bodyBytes", people::BODY_BYTES);
    outcome.set("seconds", json!(rounded(seconds, 2)));
    outcome.set("messages", measured.completed);
    outcome.set("messagesPerSecond", json!(rounded(rate, 1)));
    outcome.set("delivery", percentiles_json(&measured.delivery_us));
    outcome.set("acknowledgement", percentiles_json(&measured.acknowledgement_us));
    outcome.set("serverCores", server_cores.clone());
    outcome.set("generatorCores", own_cores.clone());
    outcome.set_violations(&crowd.verdict());
    outcome.set_server_state(server);
    outcome.rows.push(Row {
        what: format!("throughput {} x{}", options.protocol.name(), options.in_flight),
        value: format!("{rate:.0} msg/s"),
        percentiles: Some(percentiles_ms(&measured.delivery_us)),
        note: format!("delivery; cores: server {server_cores}, generator {own_cores}"),
    });
    Ok(outcome)
}
