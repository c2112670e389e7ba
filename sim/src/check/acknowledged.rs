//! Promise 1: what was acknowledged is in the log, in the place that was said, whatever died since; but for what a restore took.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tertulia_proto::{ClientMsgId, ConversationId, Message};

use crate::record::Record;

pub fn check(
    record: &Record,
    log: &BTreeMap<(ConversationId, ClientMsgId), Vec<Message>>,
    readable: impl Fn(ConversationId) -> bool,
) -> Result<()> {
    for (name, (conversation, seq)) in &record.acknowledged {
        if record.lost.contains(name) {
            continue;
        }
        let found = log.get(&(*conversation, name.clone())).and_then(|copies| copies.first());
        // A member who left sees nothing, so the log is read through those who stayed and see all of it.
        ensure!(
            !readable(*conversation) || found.is_some_and(|message| message.seq == *seq),
            "{name} was acknowledged at {seq} in {conversation}, and is at {:?}",
            found.map(|message| message.seq)
        );
    }
    Ok(())
}
