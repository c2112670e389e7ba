//! What was acknowledged, and whether the log still says so.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::Mutex;
use tertulia_proto::event::MessageAck;
use tertulia_proto::{ConversationId, Message, MessageId, Seq};

use crate::rest::Api;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    pub conversation: ConversationId,
    pub seq: Seq,
    pub message: MessageId,
}

/// Every acknowledgement of a test, by `clientMsgId` (which the test makes unique).
#[derive(Default)]
pub struct Ledger {
    acknowledged: Mutex<BTreeMap<String, Acknowledged>>,
}

impl Ledger {
    /// Notes an acknowledgement; one that says something else than the first is an error.
    pub fn note(&self, conversation: ConversationId, ack: &MessageAck) -> Result<()> {
        let new = Acknowledged { conversation, seq: ack.seq, message: ack.message_id };
        let mut all = self.acknowledged.lock();
        let known = all.entry(ack.client_msg_id.to_string()).or_insert(new);
        ensure!(*known == new, "{} was acknowledged as {known:?} and then as {new:?}", ack.client_msg_id);
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.acknowledged.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn of(&self, conversation: ConversationId, above: Seq) -> Vec<(String, Acknowledged)> {
        let all = self.acknowledged.lock();
        let wanted = all.iter().filter(|(_, ack)| ack.conversation == conversation && ack.seq > above);
        wanted.map(|(id, ack)| (id.clone(), *ack)).collect()
    }
}

/// Compares conversations with the ledger, each time from where it was before. A new one begins at the beginning.
#[derive(Default)]
pub struct Audit {
    last_seq: BTreeMap<ConversationId, Seq>,
    seen: BTreeSet<String>,
    next_of_chain: BTreeMap<String, u64>,
}

impl Audit {
    /// `seq` without gaps, no message twice, every acknowledged one where it was acknowledged, and each chain (`name-number`, see
    /// [`crate::sender::Sender`]) in order and without gaps.
    pub async fn check(&mut self, api: &Api, conversation: ConversationId, ledger: &Ledger) -> Result<()> {
        let from = self.last_seq.get(&conversation).copied().unwrap_or(0);
        let acknowledged = ledger.of(conversation, from);
        let messages = api.history_after(conversation, from).await?;
        for (message, seq) in messages.iter().zip(from + 1..) {
            ensure!(message.seq == seq, "{conversation}: message {} stands where {seq} was expected", message.seq);
            let id = message.client_msg_id.to_string();
            self.in_order(&id)?;
            ensure!(self.seen.insert(id.clone()), "{id} is in the log twice");
        }
        let there: BTreeMap<String, &Message> =
            messages.iter().map(|message| (message.client_msg_id.to_string(), message)).collect();
        for (id, ack) in acknowledged {
            let Some(message) = there.get(&id) else { bail!("{id} was acknowledged ({ack:?}) and is lost") };
            ensure!(
                message.seq == ack.seq && message.message_id == ack.message,
                "{id}: acknowledged as {ack:?}, is {message:?}"
            );
        }
        self.last_seq.insert(conversation, from + i64::try_from(messages.len())?);
        Ok(())
    }

    fn in_order(&mut self, id: &str) -> Result<()> {
        let (chain, number) = id.rsplit_once('-').with_context(|| format!("{id}: not of a chain"))?;
        let number: u64 = number.parse()?;
        let next = self.next_of_chain.entry(chain.to_owned()).or_default();
        ensure!(number == *next, "{id} stands where {chain}-{next} was expected: something was overtaken or lost");
        *next += 1;
        Ok(())
    }

    pub fn messages(&self) -> usize {
        self.seen.len()
    }
}
