//! The last edit wins. Of each message's texts, in the order in which the log had them:
//!
//! - none comes back: an edit is done once, however often it was sent;
//! - the one that stays is the last that its device wrote of the message: nothing that comes late wins over what was written after it;
//! - it is newer than what any device had before it when it edited the message: an edit gives way only to one that its device did not know of.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use tertulia_proto::ClientMsgId;

use crate::record::{Edit, Record};

/// `texts`: of each message, as the log had them one after the other.
pub fn check(
    record: &Record,
    texts: &BTreeMap<ClientMsgId, Vec<String>>,
    is_in_force: impl Fn(&Edit) -> bool,
) -> Result<()> {
    let mut edits: BTreeMap<&ClientMsgId, Vec<&Edit>> = BTreeMap::new();
    for edit in &record.edits {
        edits.entry(&edit.name).or_default().push(edit);
    }
    for (name, edits) in edits {
        if !edits.iter().all(|edit| is_in_force(edit)) {
            continue;
        }
        let Some(texts) = texts.get(name) else { continue };
        one(&edits, texts).with_context(|| format!("{name}: {texts:?}, of {edits:?}"))?;
    }
    Ok(())
}

fn one(edits: &[&Edit], texts: &[String]) -> Result<()> {
    let place = |text: &str| texts.iter().rposition(|known| known == text);
    let back = texts.iter().enumerate().find(|(at, text)| place(text) != Some(*at));
    ensure!(back.is_none(), "a text came back: {back:?}");
    let last = texts.last().context("a message without a text")?;
    let written = edits.iter().find(|edit| edit.body == *last).context("nobody wrote the last text")?;
    let wanted: Vec<&&Edit> = edits.iter().filter(|edit| !edit.given_up).collect();
    let later = wanted.iter().find(|edit| edit.device == written.device && edit.number > written.number);
    ensure!(later.is_none(), "the last text is older than another of its device, {later:?}");
    for edit in wanted.iter().filter(|edit| edit.body != *last) {
        let before = edit.before.as_deref().and_then(place);
        ensure!(before.is_none_or(|before| before + 1 < texts.len()), "lost, although it was newer: {edit:?}");
    }
    Ok(())
}
