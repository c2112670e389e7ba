//! Promise 3: each conversation numbers its messages 1, 2, 3, ... without gaps, and no change bears a `rev` above the conversation's.

use anyhow::{Result, ensure};
use tertulia_proto::Seq;

use crate::truth::Seen;

pub fn check(seen: &Seen) -> Result<()> {
    let id = seen.conversation.id;
    let seqs: Vec<Seq> = seen.messages.iter().map(|message| message.seq).collect();
    ensure!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{id}: the log has gaps or doubles: {seqs:?}");
    ensure!(
        seqs.last().is_none_or(|last| *last == seen.conversation.last_seq),
        "{id}: the log ends at {:?}, the conversation says {}",
        seqs.last(),
        seen.conversation.last_seq
    );
    let highest = seen.messages.iter().map(|m| m.rev).chain(seen.members.iter().map(|m| m.rev)).max().unwrap_or(0);
    ensure!(highest <= seen.conversation.rev, "{id}: a row of rev {highest}, above {}", seen.conversation.rev);
    Ok(())
}
