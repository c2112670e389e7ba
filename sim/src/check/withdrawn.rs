//! What was read elsewhere is taken away again, where it can be; so is what is no longer theirs to see.

use std::collections::{BTreeMap, BTreeSet};

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
        let told_of = book.asks.iter().filter(|ask| book.heir(ask.registration) == *registration);
        let places: BTreeSet<ConversationId> = told_of.map(|ask| ask.conversation).collect();
        for id in &places {
            let mine = view.get(id).and_then(|seen| seen.members.iter().find(|member| member.user_id == me));
            // Whoever is no member has nothing left to read there.
            let read_seq = mine.map_or(Seq::MAX, |mine| mine.read_seq);
            let of_it = |kind: NotificationKind| {
                let asks = book.asks.iter().filter(move |ask| {
                    (ask.kind, ask.conversation) == (kind, *id)
                        && ask.is_accepted
                        && ask.at > device.opened
                        && book.heir(ask.registration) == *registration
                });
                asks.map(|ask| (ask.is_noted && !ask.is_excused && !ask.is_late, ask.seq))
            };
            // What was not noted as told nobody knows to take away. What was noted late, by a worker that had stood still, is taken away unless that one is
            // given up in between (docs/adr/0011-push.md).
            let shown = of_it(NotificationKind::Message).filter(|(is_noted, _)| *is_noted).map(|(_, seq)| seq).max();
            let taken = of_it(NotificationKind::Withdrawal).map(|(_, seq)| seq).max().unwrap_or(0);
            // The device that tells that something was read takes it away by itself. So does one that was switched off when it comes back, or that comes with another token: its app is
            // open then.
            let own = |marks: &BTreeMap<ConversationId, Seq>| marks.get(id).copied().unwrap_or(0);
            let by_itself = own(&device.read).max(own(&device.since));
            ensure!(
                shown.is_none_or(|shown| shown > read_seq || shown <= taken.max(by_itself)),
                "{} still shows {id} up to {shown:?}, which was read up to {read_seq}; taken away up to {taken}, by itself up to {by_itself}",
                device.token
            );
        }
    }
    Ok(())
}
