//! What a screen shows of the rows: pure functions, the same on every device.

use tertulia_proto::model::unread_count;
use tertulia_proto::{ErrorCode, Member, Reaction, Seq, Timestamp, UserId};

use crate::store::{LocalConversation, LocalMessage, Op, OutboxEntry};

/// How far a message of mine has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Waits to be sent, or for the acknowledgement.
    Pending,
    /// In the log.
    Sent,
    /// It has reached a device of everybody else.
    Delivered,
    /// Everybody else has read it.
    Read,
    /// Refused; to be retried or discarded by the outbox entry's number.
    Failed { entry: i64, code: ErrorCode, detail: String },
}

/// The watermarks of everybody else: what all of them have received, and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    pub delivered_seq: Seq,
    pub read_seq: Seq,
}

/// Of all members but me; nobody else there: nothing is delivered.
pub fn reached<'a>(members: impl Iterator<Item = &'a Member>, me: UserId) -> Reached {
    let others = members.filter(|member| !member.removed && member.user_id != me);
    let lowest = others.fold(None, |lowest: Option<Reached>, member| {
        let least = lowest.unwrap_or(Reached { delivered_seq: Seq::MAX, read_seq: Seq::MAX });
        Some(Reached {
            delivered_seq: least.delivered_seq.min(member.delivered_seq),
            read_seq: least.read_seq.min(member.read_seq),
        })
    });
    lowest.unwrap_or(Reached { delivered_seq: 0, read_seq: 0 })
}

pub fn status(message: &LocalMessage, ops: &[OutboxEntry], reached: Reached) -> Status {
    if let Some(entry) = ops.iter().find(|entry| entry.parked.is_some())
        && let Some(reason) = &entry.parked
    {
        return Status::Failed { entry: entry.id, code: reason.code, detail: reason.detail.clone() };
    }
    match message.seq {
        None => Status::Pending,
        Some(seq) if seq <= reached.read_seq => Status::Read,
        Some(seq) if seq <= reached.delivered_seq => Status::Delivered,
        Some(_) => Status::Sent,
    }
}

/// Read on this device or on another.
pub fn read_seq(held: &LocalConversation) -> Seq {
    held.read_seq.max(held.want_read)
}

/// `tombstones`: deleted messages held above [`read_seq`].
pub fn unread(held: &LocalConversation, tombstones: i64) -> i64 {
    if held.left { 0 } else { unread_count(held.last_seq, read_seq(held), tombstones + held.deleted_in_holes) }
}

/// The message as it will be when what waits is done. `ops`: what waits of it, in order; what is parked has no effect.
pub fn with_ops(message: &mut LocalMessage, ops: &[OutboxEntry], me: UserId) {
    for entry in ops.iter().filter(|entry| entry.parked.is_none()) {
        apply_op(message, &entry.op, me, entry.created_at);
    }
}

pub(crate) fn apply_op(message: &mut LocalMessage, op: &Op, me: UserId, at: Timestamp) {
    if message.deleted_at.is_some() {
        return;
    }
    match op {
        Op::Send => {}
        Op::Edit { body } => {
            message.body.clone_from(body);
            message.edited_at = Some(at);
        }
        Op::Delete => {
            message.body.clear();
            message.reactions.clear();
            message.deleted_at = Some(at);
        }
        Op::React { emoji, remove } => {
            let place = message.reactions.iter().position(|reaction| reaction.emoji == *emoji);
            match (place, remove) {
                (Some(place), true) => {
                    message.reactions[place].user_ids.retain(|user| *user != me);
                    message.reactions.retain(|reaction| !reaction.user_ids.is_empty());
                }
                (Some(place), false) if !message.reactions[place].user_ids.contains(&me) => {
                    message.reactions[place].user_ids.push(me);
                }
                (None, false) => message.reactions.push(Reaction { emoji: emoji.clone(), user_ids: vec![me] }),
                _ => {}
            }
        }
    }
}
