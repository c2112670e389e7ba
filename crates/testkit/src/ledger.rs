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
    /// Reads on in a conversation and takes what is there.
    pub async fn check(&mut self, api: &Api, conversation: ConversationId, ledger: &Ledger) -> Result<()> {
        let from = self.last_seq.get(&conversation).copied().unwrap_or(0);
        let messages = api.history_after(conversation, from).await?;
        self.take(conversation, &messages, ledger)
    }

    /// `seq` without gaps, no message twice, every acknowledged one where it was acknowledged, and each chain (`name-number`, see
    /// [`crate::sender::Sender`]) in order and without gaps.
    pub fn take(&mut self, conversation: ConversationId, messages: &[Message], ledger: &Ledger) -> Result<()> {
        let from = self.last_seq.get(&conversation).copied().unwrap_or(0);
        let mut there = BTreeMap::new();
        for (message, seq) in messages.iter().zip(from + 1..) {
            ensure!(message.seq == seq, "{conversation}: message {} stands where {seq} was expected", message.seq);
            let id = message.client_msg_id.to_string();
            ensure!(self.seen.insert(id.clone()), "{id} is in the log twice");
            self.in_order(&id)?;
            there.insert(id, message);
        }
        for (id, ack) in ledger.of(conversation, from) {
            let Some(message) = there.get(&id) else { bail!("{id} was acknowledged ({ack:?}) and is lost") };
            let is_it = message.seq == ack.seq && message.message_id == ack.message;
            ensure!(is_it, "{id}: acknowledged as {ack:?}, is {message:?}");
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Names<'a> = &'a [&'a str];
    type Acks<'a> = &'a [(usize, &'a str)];

    fn id(number: usize) -> String {
        format!("00000000-0000-7000-8000-{number:012}")
    }

    fn message(seq: usize, name: &str) -> Message {
        let fields = json!({
            "messageId": id(seq), "conversationId": id(0), "seq": seq, "rev": seq, "senderId": id(0), "senderName": "alice",
            "senderAvatar": null, "clientMsgId": name, "body": "x", "createdAt": "2026-01-01T00:00:00.000Z", "editedAt": null,
            "deletedAt": null, "reactions": [],
        });
        serde_json::from_value(fields).unwrap()
    }

    fn log(names: &[&str]) -> Vec<Message> {
        names.iter().enumerate().map(|(index, name)| message(index + 1, name)).collect()
    }

    fn ack(seq: usize, name: &str) -> MessageAck {
        let fields = json!({ "clientMsgId": name, "messageId": id(seq), "seq": seq, "rev": seq, "createdAt": "2026-01-01T00:00:00.000Z" });
        serde_json::from_value(fields).unwrap()
    }

    fn audit(names: Names, acks: Acks) -> Result<()> {
        let (ledger, conversation) = (Ledger::default(), id(0).parse().unwrap());
        for (seq, name) in acks {
            ledger.note(conversation, &ack(*seq, name))?;
        }
        Audit::default().take(conversation, &log(names), &ledger)
    }

    #[test]
    fn a_log_with_all_that_was_acknowledged_is_sound_and_may_hold_more() {
        audit(&["a-0", "b-0", "a-1", "a-2"], &[(1, "a-0"), (3, "a-1")]).unwrap();
    }

    #[test]
    fn what_breaks_a_promise_is_found() {
        let wrong: [(Names, Acks, &str); 6] = [
            (&["a-0"], &[(1, "a-0"), (2, "a-1")], "is lost"),
            (&["a-0", "b-0"], &[(2, "a-0")], "acknowledged as"),
            (&["a-0", "a-0"], &[], "twice"),
            (&["a-1", "a-0"], &[], "overtaken"),
            (&["a-0", "a-2"], &[], "overtaken or lost"),
            (&["a-0"], &[(1, "a-0"), (2, "a-0")], "and then as"),
        ];
        for (names, acks, what) in wrong {
            let error = audit(names, acks).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let (ledger, conversation) = (Ledger::default(), id(0).parse().unwrap());
        let gap = [message(1, "a-0"), message(3, "a-1")];
        assert!(Audit::default().take(conversation, &gap, &ledger).is_err());
    }

    #[test]
    fn an_audit_goes_on_where_it_was() {
        let (ledger, conversation) = (Ledger::default(), id(0).parse().unwrap());
        let (all, mut audit) = (log(&["a-0", "a-1", "a-2"]), Audit::default());
        audit.take(conversation, &all[..2], &ledger).unwrap();
        ledger.note(conversation, &ack(3, "a-2")).unwrap();
        assert!(audit.take(conversation, &[], &ledger).is_err(), "acknowledged and not there");
        audit.take(conversation, &all[2..], &ledger).unwrap();
        assert_eq!(audit.messages(), 3);
    }
}
