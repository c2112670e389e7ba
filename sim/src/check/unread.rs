//! Unread is one number: the server's, each device's, and what a person would count by hand.

use anyhow::{Result, ensure};

use crate::device::Device;
use crate::truth::Seen;
use tertulia_proto::UserId;

pub fn check(number: usize, device: &Device, me: UserId, seen: &Seen) -> Result<()> {
    let id = seen.conversation.id;
    let read = seen.members.iter().find(|member| member.user_id == me).map_or(0, |member| member.read_seq);
    let by_hand = seen.messages.iter().filter(|m| m.seq > read && m.deleted_at.is_none()).count();
    let by_hand = i64::try_from(by_hand)?;
    let shown = device.store.conversation(id)?.map_or(-1, |shown| shown.unread);
    ensure!(
        seen.conversation.unread_count == by_hand && shown == by_hand,
        "device {number}, {id}: unread is {by_hand} by hand, {} for the server, {shown} on the device",
        seen.conversation.unread_count
    );
    Ok(())
}
