//! Nobody is told what they have, or what is not theirs: each notification is held against what was so when the worker read everything.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use tertulia_proto::Seq;
use tertulia_push::{Notification, NotificationKind};

use crate::notify::post::{Ask, Book};
use crate::notify::snapshot::Snapshot;

/// Whether a provider may be asked that: one of the worker's latest looks at this device and conversation has to allow it.
pub fn may(book: &Book, life: u64, token: &str, told: &Notification) -> Result<()> {
    let of_it = |(key, _): &(&(u64, _, _), &Vec<Snapshot>)| (key.0, key.2) == (life, told.conversation);
    let snapshots = book.snapshots.iter().filter(of_it).flat_map(|(_, snapshots)| snapshots.iter().rev());
    let mut why = None;
    for snapshot in snapshots.filter(|snapshot| snapshot.registered.token == token) {
        match allows(snapshot, told) {
            Ok(()) => return Ok(()),
            Err(error) => drop(why.get_or_insert(error)),
        }
    }
    let what = || format!("{} up to {} of {} for {token}", told.kind.as_str(), told.seq, told.conversation);
    match why {
        Some(why) => Err(why.context(what())),
        None => bail!("{}: nobody had looked", what()),
    }
}

fn allows(snapshot: &Snapshot, told: &Notification) -> Result<()> {
    let device = &snapshot.registered;
    ensure!(device.is_on, "the device was switched off");
    ensure!(told.badge == snapshot.badge, "the badge is {}, unread are {}", told.badge, snapshot.badge);
    if told.kind == NotificationKind::Withdrawal {
        // Of who is no member any more nothing is shown.
        let read = snapshot.place.as_ref().map_or(Seq::MAX, |place| place.read);
        ensure!(read >= told.seq, "it was read only up to {read}");
        return Ok(());
    }
    let Some(place) = &snapshot.place else { bail!("who has it is no member") };
    ensure!(told.seq > place.read, "it was read up to {}", place.read);
    let acked = device.acked.get(&told.conversation).copied().unwrap_or(0);
    let had = if device.client.is_some() { acked } else { place.delivered };
    ensure!(told.seq > had, "the device had told that it has what is up to {had}");
    ensure!(told.seq > snapshot.noted, "it is noted that the device was told up to {}", snapshot.noted);
    ensure!(!place.is_muted, "the conversation was muted");
    ensure!(!snapshot.in_quiet_hours, "it was told in quiet hours");
    let message = snapshot.message.as_ref();
    let message = message.filter(|one| Some(one.message_id) == told.message && one.seq == told.seq);
    let Some(message) = message else { bail!("it tells of a message that was not there to be told") };
    ensure!(message.deleted_at.is_none(), "its message was deleted");
    ensure!(message.sender_id != device.user, "it tells people what they say themselves");
    ensure!(!snapshot.blocked.contains(&message.sender_id), "its sender was blocked");
    // What is written in these worlds is shorter than what is shown.
    ensure!(told.body.ends_with(&message.body), "it says {:?}, the message {:?}", told.body, message.body);
    Ok(())
}

/// Nobody is told twice of the same, unless something stood between the provider that took it first and the note of it, or between the look and the telling.
pub fn once(book: &Book) -> Result<()> {
    let mut told: BTreeMap<_, &Ask> = BTreeMap::new();
    let of_messages = book.asks.iter().filter(|ask| ask.is_accepted && ask.kind == NotificationKind::Message);
    for ask in of_messages {
        let key = (book.heir(ask.registration), ask.conversation);
        let before = told.get(&key).filter(|before| before.seq >= ask.seq);
        if let Some(before) = before {
            ensure!(
                before.is_excused || ask.is_late,
                "told twice, and nothing stood between: {before:?}, then {ask:?}"
            );
        }
        // What was told again with an excuse takes nothing back of what was told before it.
        if before.is_none_or(|before| before.seq == ask.seq) {
            told.insert(key, ask);
        }
    }
    Ok(())
}

/// What a provider took is written down, unless something stood between.
pub fn noted(book: &Book) -> Result<()> {
    for ask in book.asks.iter().filter(|ask| ask.is_accepted) {
        ensure!(ask.is_noted || ask.is_excused, "what was told was not noted, and nothing stood between: {ask:?}");
    }
    Ok(())
}
