//! What was read elsewhere is taken away again, where it can be.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tertulia_proto::{ConversationId, PushProvider, Seq, UserId};
use tertulia_push::NotificationKind;

use crate::notify::post::Book;
use crate::truth::Seen;

pub fn check(book: &Book, me: UserId, view: &BTreeMap<ConversationId, Seen>) -> Result<()> {
    let devices = book.registered.iter().filter(|(_, device)| device.user == me && device.is_on);
    for (registration, device) in devices.filter(|(_, device)| device.provider != PushProvider::Webpush) {
        if !book.valid.contains(&device.token) {
            continue;
        }
        for (id, seen) in view {
            let Some(mine) = seen.members.iter().find(|member| member.user_id == me) else { continue };
            let of_it = |kind: NotificationKind| {
                let asks = book.asks.iter().filter(move |ask| {
                    (ask.kind, ask.conversation) == (kind, *id)
                        && ask.is_accepted
                        && book.heir(ask.registration) == *registration
                });
                asks.map(|ask| (ask.is_noted, ask.seq))
            };
            // What was not noted as told nobody knows to take away.
            let shown = of_it(NotificationKind::Message).filter(|(is_noted, _)| *is_noted).map(|(_, seq)| seq).max();
            let taken = of_it(NotificationKind::Withdrawal).map(|(_, seq)| seq).max().unwrap_or(0);
            // The device that tells that something was read takes it away by itself. So does one that was switched off when it comes back, or that comes with another token: its app is
            // open then.
            let own = |marks: &BTreeMap<ConversationId, Seq>| marks.get(id).copied().unwrap_or(0);
            let by_itself = own(&device.read).max(own(&device.since));
            ensure!(
                shown.is_none_or(|shown| shown > mine.read_seq || shown <= taken.max(by_itself)),
                "{} still shows {id} up to {shown:?}, which was read up to {}; taken away up to {taken}, by itself up to {by_itself}",
                device.token,
                mine.read_seq
            );
        }
    }
    Ok(())
}
