//! Promise 5: what a device wrote is in the log in the order in which it was written.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tertulia_proto::{ClientMsgId, ConversationId, Message, Seq};

use crate::record::{Fate, Record};

pub fn check(record: &Record, log: &BTreeMap<(ConversationId, ClientMsgId), Vec<Message>>) -> Result<()> {
    let mut last: BTreeMap<(usize, ConversationId), (Seq, ClientMsgId)> = BTreeMap::new();
    for (name, composed) in &record.composed {
        let Some(message) = log.get(&(composed.conversation, name.clone())).and_then(|copies| copies.first()) else {
            continue;
        };
        // Given up while it may have been on its way: it has no place to keep.
        if composed.fate != Fate::Wanted {
            continue;
        }
        let here = (composed.device, composed.conversation);
        if let Some((seq, earlier)) = last.get(&here) {
            ensure!(message.seq > *seq, "{name} at {} overtook {earlier} at {seq}", message.seq);
        }
        last.insert(here, (message.seq, name.clone()));
    }
    Ok(())
}
