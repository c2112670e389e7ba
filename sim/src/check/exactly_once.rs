//! Promise 2: every message that its author wanted is in the log once; what its author took back does not show.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tertulia_proto::{ClientMsgId, ConversationId, Message};

use crate::record::{Fate, Record};

pub fn check(
    record: &Record,
    log: &BTreeMap<(ConversationId, ClientMsgId), Vec<Message>>,
    readable: impl Fn(ConversationId) -> bool,
) -> Result<()> {
    for (name, composed) in &record.composed {
        if !readable(composed.conversation) {
            continue;
        }
        let copies = log.get(&(composed.conversation, name.clone())).map_or(&[][..], Vec::as_slice);
        ensure!(copies.len() <= 1, "{name} is in the log {} times", copies.len());
        match composed.fate {
            Fate::Wanted if record.lost.contains(name) => {}
            Fate::Wanted => ensure!(copies.len() == 1, "{name} was never taken back and is not in the log"),
            // A restore brings back what had been deleted since.
            Fate::Unwanted if record.restores > 0 => {}
            Fate::Unwanted => ensure!(
                copies.iter().all(|copy| copy.deleted_at.is_some()),
                "{name} was taken back by its author and shows in the log"
            ),
            Fate::Excused => {}
        }
    }
    for ((_, name), copies) in log {
        ensure!(copies.len() == 1 && record.get(name).is_some(), "{name} is in the log and nobody wrote it");
    }
    Ok(())
}
