//! Whoever has to be told is told: each device that is notified, of whatever has neither reached it nor been read anywhere.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tertulia_proto::{ConversationId, Message, RegistrationId, Seq, UserId};
use tertulia_push::NotificationKind;

use crate::notify::post::{Book, Registered};
use crate::truth::Seen;

pub fn check(book: &Book, me: UserId, view: &BTreeMap<ConversationId, Seen>) -> Result<()> {
    for (id, device) in book.registered.iter().filter(|(_, device)| device.user == me && device.is_on) {
        // A token that nobody has any more: the device is about to tell another.
        if !book.valid.contains(&device.token) {
            continue;
        }
        for seen in view.values() {
            let told = told_to(book, *id, seen.conversation.id);
            let owed =
                seen.messages.iter().filter(|message| is_owed(book, device, seen, message)).map(|one| one.seq).max();
            ensure!(
                owed.is_none_or(|owed| owed <= told),
                "{} of {me} was told {} up to {told}, and not {owed:?}; it has {:?}",
                device.token,
                seen.conversation.id,
                device.acked.get(&seen.conversation.id)
            );
        }
    }
    Ok(())
}

fn is_owed(book: &Book, device: &Registered, seen: &Seen, message: &Message) -> bool {
    let (id, me) = (seen.conversation.id, device.user);
    let Some(mine) = seen.members.iter().find(|member| member.user_id == me) else { return false };
    let acked = device.acked.get(&id).copied().unwrap_or(0);
    let had = if device.client.is_some() { acked } else { mine.delivered_seq };
    let since = device.since.get(&id).copied().unwrap_or(0);
    let muted = book.muted_to.get(&(me, id)).copied().unwrap_or(0);
    let pair = (me, message.sender_id);
    let blocked = match book.blocked_to.get(&pair) {
        _ if book.blocked.contains(&pair) => Seq::MAX,
        Some(ends) => ends.get(&id).copied().unwrap_or(0),
        None => 0,
    };
    let from = mine.read_seq.max(had).max(since).max(muted).max(blocked);
    message.seq > from && message.sender_id != me && message.deleted_at.is_none()
}

/// Under whichever token.
pub fn told_to(book: &Book, device: RegistrationId, conversation: ConversationId) -> Seq {
    let of_it = book.asks.iter().filter(|ask| {
        ask.is_accepted
            && ask.kind == NotificationKind::Message
            && ask.conversation == conversation
            && book.heir(ask.registration) == device
    });
    of_it.map(|ask| ask.seq).max().unwrap_or(0)
}
