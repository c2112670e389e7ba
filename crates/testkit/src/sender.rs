//! A client that keeps many sends under way and repeats, after a new connection, whatever was not acknowledged.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tertulia_proto::event::MessageAck;
use tertulia_proto::{ConversationId, Seq};

use crate::ledger::Ledger;
use crate::people::Person;
use crate::random::Random;
use crate::socket::{Frame, Incoming, Socket, SocketOptions};

/// Sends of one sender to one conversation; each names the one before it, so that nothing can overtake.
struct Chain {
    name: String,
    conversation: ConversationId,
    /// The number of the next new message.
    next: u64,
    /// What was sent and not acknowledged, in order.
    open: VecDeque<u64>,
    last_seq: Seq,
}

impl Chain {
    fn fields(&self, number: u64, random: &mut Random) -> Value {
        let body = "lorem ipsum ".repeat(1 + random.below(20));
        let mut fields = json!({
            "conversationId": self.conversation, "clientMsgId": format!("{}-{number}", self.name), "body": format!("{number} {body}"),
        });
        if number > 0 {
            fields["afterClientMsgId"] = json!(format!("{}-{}", self.name, number - 1));
        }
        fields
    }
}

/// How a sender's connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was not let in: the server went, or began to, before it had answered the handshake.
    BeforeItBegan,
    /// With the code of the server's close frame, if there was one.
    Closed(Option<u16>),
}

pub struct Sender {
    person: Person,
    chains: Vec<Chain>,
    random: Random,
    window: usize,
    /// Request → chain, number, and whether it repeats one that was acknowledged already.
    under_way: BTreeMap<u64, (usize, u64, bool)>,
}

impl Sender {
    /// `name` of letters and digits, unique in the test; `window` is how many sends are under way at once.
    pub fn new(name: &str, person: &Person, conversations: &[ConversationId], window: usize, random: Random) -> Self {
        let chain = |(number, id): (usize, &ConversationId)| Chain {
            name: format!("{name}-{number}"),
            conversation: *id,
            next: 0,
            open: VecDeque::new(),
            last_seq: 0,
        };
        let chains = conversations.iter().enumerate().map(chain).collect();
        Self { person: person.clone(), chains, random, window, under_way: BTreeMap::new() }
    }

    /// Connects, repeats what is open, goes on with new ones, until the connection ends.
    pub async fn run(&mut self, url: &str, ledger: &Ledger) -> Result<Ended> {
        self.under_way.clear();
        // The server may be killed while the connection is being made.
        let Ok(mut socket) = Socket::open(url, &self.person.token, SocketOptions::default()).await else {
            return Ok(Ended::BeforeItBegan);
        };
        if let Some(code) = socket.greeted().await? {
            return Ok(Ended::Closed(code));
        }
        let mut repeats = self.repeats();
        loop {
            let mut full = false;
            while self.under_way.len() < self.window && !full {
                let (chain, number, again) = repeats.pop_front().unwrap_or_else(|| self.fresh());
                full = self.feed(&mut socket, chain, number, again).await.is_err();
            }
            // A failed write says less than what can still be read.
            let _ = socket.flush().await;
            match socket.next().await? {
                Incoming::Closed(code) => return Ok(Ended::Closed(code)),
                Incoming::Frame(Frame::Answer { id, result }) => self.answered(id, result, ledger)?,
                Incoming::Frame(Frame::Event { kind, fields }) => ensure!(kind != "error", "an error event: {fields}"),
            }
        }
    }

    /// The open ones in order, and now and then one that was acknowledged long ago.
    fn repeats(&mut self) -> VecDeque<(usize, u64, bool)> {
        let mut all = VecDeque::new();
        for (index, chain) in self.chains.iter().enumerate() {
            let done = chain.open.front().copied().unwrap_or(chain.next);
            if done > 0 && self.random.one_in(2) {
                all.push_back((index, self.random.next() % done, true));
            }
            all.extend(chain.open.iter().map(|number| (index, *number, false)));
        }
        all
    }

    fn fresh(&mut self) -> (usize, u64, bool) {
        let index = self.random.below(self.chains.len());
        let chain = &mut self.chains[index];
        let number = chain.next;
        chain.next += 1;
        chain.open.push_back(number);
        (index, number, false)
    }

    async fn feed(&mut self, socket: &mut Socket, chain: usize, number: u64, again: bool) -> Result<()> {
        let fields = self.chains[chain].fields(number, &mut self.random);
        let id = socket.feed("message.send", fields).await?;
        self.under_way.insert(id, (chain, number, again));
        Ok(())
    }

    fn answered(&mut self, id: u64, result: Result<Value, tertulia_proto::ApiError>, ledger: &Ledger) -> Result<()> {
        let (index, number, again) =
            self.under_way.remove(&id).with_context(|| format!("an answer to request {id}, which was not asked"))?;
        let chain = &mut self.chains[index];
        let id = format!("{}-{number}", chain.name);
        let ack: MessageAck = match result {
            Ok(fields) => serde_json::from_value(fields)?,
            Err(refusal) => bail!("{id} was refused: {refusal}"),
        };
        ensure!(ack.client_msg_id.as_str() == id, "{id} was answered with {}", ack.client_msg_id);
        ledger.note(chain.conversation, &ack)?;
        if again {
            return Ok(());
        }
        ensure!(
            chain.open.front() == Some(&number),
            "{id} was acknowledged before {:?} of the same connection",
            chain.open.front()
        );
        ensure!(ack.seq > chain.last_seq, "{id} has seq {}, after one of {}", ack.seq, chain.last_seq);
        chain.open.pop_front();
        chain.last_seq = ack.seq;
        Ok(())
    }
}
