//! Fills a store through the sockets, and knows afterwards what is in it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::crowd::Crowd;
use crate::http::HttpClient;
use crate::people::{self, Dice, Dm, Person};
use crate::protocol::Protocol;
use crate::server::Server;
use crate::traffic::{Plan, PlannedConversation, PlannedFlow, Violations};

const IN_FLIGHT: usize = 64;
/// Together with all people this stays below the frames that the server lets wait for one reader.
const IN_FLIGHT_TO_READER: usize = 8;
const SHARE_OF_READER: u64 = 10;
/// Sends of each person to the reader in the smallest store.
const WORDS_KNOWN: u64 = 2;
const INDEX_MAX: Duration = Duration::from_secs(600);
const FILL_MAX: Duration = Duration::from_secs(3600);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// People who write to each other in pairs, and one reader to whom each of them writes now and then.
#[derive(Debug)]
pub struct FilledStore {
    pub people: Vec<Person>,
    pub reader: Person,
    /// One for every two people: the first and the second, the third and the fourth, ...
    pub pairs: Vec<Dm>,
    /// The reader's with each of the people.
    pub with_reader: Vec<Dm>,
    pub messages: u64,
    pub seconds: f64,
    pub violations: Violations,
}

impl FilledStore {
    /// Makes `users` people and the reader, and sends `messages` in all, a tenth of them to the reader.
    pub async fn make(server: &Server, users: u32, messages: u64) -> Result<Self> {
        let mut http = HttpClient::new(server.address());
        let users = (users - users % 2) as usize;
        let mut everybody = people::make(server, &mut http, users + 1).await?;
        let reader = everybody.last().cloned().context("nobody was made")?;
        let (mut pairs, mut with_reader) = (Vec::new(), Vec::new());
        for pair in everybody[..users].chunks_exact(2) {
            pairs.push(people::open_dm(&mut http, &pair[0], &pair[1]).await?);
        }
        for person in &everybody[..users] {
            with_reader.push(people::open_dm(&mut http, person, &reader).await?);
        }
        let per_person = (messages / users as u64).max(1);
        let plan = fill_plan(&pairs, &with_reader, per_person);

        let crowd = Crowd::connect(server, Protocol::Ws, &everybody, &plan, true).await?;
        let began = Instant::now();
        let mut told_at = began;
        crowd.start_closed_loop(IN_FLIGHT);
        let progress = |completed| {
            if told_at.elapsed() > PROGRESS_INTERVAL {
                told_at = Instant::now();
                eprintln!("filling: {completed} of {messages} messages after {:.0} s", began.elapsed().as_secs_f64());
            }
        };
        tokio::time::timeout(FILL_MAX, crowd.run_to_the_end(progress)).await.context("filling takes too long")??;
        let seconds = began.elapsed().as_secs_f64();
        for (dm, last_seq) in pairs.iter_mut().chain(&mut with_reader).zip(crowd.last_seqs()) {
            dm.last_seq = last_seq;
        }
        everybody.truncate(users);
        let violations = crowd.verdict();
        Ok(Self {
            people: everybody,
            reader,
            pairs,
            with_reader,
            messages: per_person * users as u64,
            seconds,
            violations,
        })
    }

    /// A text the reader is sure to find: in a message of the first ones each person wrote to them.
    pub fn word_reader_knows(&self, dice: &mut Dice) -> String {
        let flow = self.people.len() + dice.below(self.people.len() as u64) as usize;
        people::rare_word(people::body_index(flow, dice.below(WORDS_KNOWN)))
    }

    /// Waits until the search knows all messages: it indexes them behind the log. Returns how long that took.
    pub async fn wait_for_search(&mut self, http: &mut HttpClient) -> Result<Duration> {
        let began = Instant::now();
        let marker = people::fresh_name();
        let path = format!("/api/v1/conversations/{}/messages", self.with_reader[0].id);
        http.post_json(&self.people[0].token, &path, &json!({ "clientMsgId": marker, "body": marker })).await?;
        self.with_reader[0].last_seq += 1;
        self.messages += 1;
        while began.elapsed() < INDEX_MAX {
            let answer = http.get_json(&self.reader.token, &format!("/api/v1/search?q={marker}")).await?;
            if hits_of(&answer) > 0 {
                return Ok(began.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the search has not found the last message after {INDEX_MAX:?}")
    }

    /// Lets each of the people write `count` messages to the reader, who isn't connected.
    pub async fn write_to_absent_reader(&mut self, server: &Server, count: u64) -> Result<()> {
        let mut plan = Plan { quota: Some(count), ..Plan::default() };
        for (index, dm) in self.with_reader.iter().enumerate() {
            plan.conversations.push(PlannedConversation {
                id: dm.id.clone(),
                last_seq: dm.last_seq,
                members: [Some(index), None],
            });
            plan.flows.push(PlannedFlow { conversation: index, sender_side: 0, in_flight_max: usize::MAX });
        }
        let crowd = Crowd::connect(server, Protocol::Ws, &self.people, &plan, true).await?;
        crowd.start_closed_loop(count as usize);
        crowd.run_to_the_end(|_| ()).await?;
        for (dm, last_seq) in self.with_reader.iter_mut().zip(crowd.last_seqs()) {
            dm.last_seq = last_seq;
        }
        self.violations.add(&crowd.verdict());
        self.messages += count * self.people.len() as u64;
        Ok(())
    }
}

/// The number of messages that a search found.
pub fn hits_of(answer: &Value) -> usize {
    answer.as_object().and_then(|fields| fields.values().find_map(Value::as_array)).map_or(0, Vec::len)
}

fn fill_plan(pairs: &[Dm], with_reader: &[Dm], per_person: u64) -> Plan {
    let mut plan = Plan { second_flow_every: SHARE_OF_READER, quota: Some(per_person), ..Plan::default() };
    for (index, dm) in pairs.iter().enumerate() {
        let members = [Some(index * 2), Some(index * 2 + 1)];
        plan.conversations.push(PlannedConversation { id: dm.id.clone(), last_seq: dm.last_seq, members });
        for sender_side in 0..2 {
            plan.flows.push(PlannedFlow { conversation: index, sender_side, in_flight_max: usize::MAX });
        }
    }
    let reader = with_reader.len();
    for (index, dm) in with_reader.iter().enumerate() {
        let conversation = plan.conversations.len();
        plan.conversations.push(PlannedConversation {
            id: dm.id.clone(),
            last_seq: dm.last_seq,
            members: [Some(index), Some(reader)],
        });
        plan.flows.push(PlannedFlow { conversation, sender_side: 0, in_flight_max: IN_FLIGHT_TO_READER });
    }
    plan
}
