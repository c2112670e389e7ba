//! On a device, at every moment: each message is in one place, and what is not here is known not to be.

use anyhow::{Result, ensure};
use tertulia_client_sqlite::Durability;
use tertulia_engine::{LocalStore as _, MessageRef, Op, StoreFailure};

use crate::device::Device;
use crate::record::{Fate, Record};

pub fn check(number: usize, device: &mut Device, record: &Record) -> Result<()> {
    for held in device.store.held()? {
        let id = held.id;
        let timeline = device.store.timeline(id, None, 1_000_000)?;
        let holes = device.store.holes(id)?;
        let pending: Vec<_> = timeline.messages.iter().filter(|shown| shown.message.is_pending()).collect();
        let waiting = device.store.outbox(1_000_000)?;
        let sends = waiting.iter().filter(|entry| entry.conversation_id == id && entry.op == Op::Send);
        let (mut names, mut rows): (Vec<_>, Vec<_>) = (
            sends.map(|entry| entry.target.clone()).collect(),
            pending.iter().map(|shown| MessageRef::Mine(shown.message.client_msg_id.clone())).collect(),
        );
        names.sort();
        rows.sort();
        ensure!(names == rows, "device {number}, {id}: the outbox sends {names:?}, pending are {rows:?}");
        if held.left || held.doubted {
            continue;
        }
        // Below the first message or hole lies what I may not see.
        let first = timeline.messages.iter().filter_map(|shown| shown.message.seq).min();
        let begin = first.into_iter().chain(holes.ranges().first().map(|(from, _)| *from)).min();
        let here: Vec<_> = timeline.messages.iter().filter_map(|shown| shown.message.seq).collect();
        ensure!(here.windows(2).all(|pair| pair[0] < pair[1]), "device {number}, {id}: two messages in one place");
        for seq in begin.unwrap_or(held.last_seq + 1)..=held.last_seq {
            ensure!(
                here.contains(&seq) || holes.contains(seq),
                "device {number}, {id}: message {seq} of {} is neither here nor in a hole ({:?}, holes {:?})",
                held.last_seq,
                here,
                holes.ranges()
            );
        }
    }
    kept(number, device, record)
}

/// What its author wants is on its author's device: pending, or of the log, or in a hole of it.
fn kept(number: usize, device: &mut Device, record: &Record) -> Result<()> {
    let mine =
        record.composed.iter().filter(|(_, composed)| composed.device == number && composed.fate == Fate::Wanted);
    for (name, composed) in mine {
        if record.lost.contains(name) || record.restores > 0 {
            continue;
        }
        let (id, target) = (composed.conversation, MessageRef::Mine(name.clone()));
        let state = device.store.transaction(Durability::Process, |rows| {
            let held = rows.conversation(id)?;
            Ok::<_, StoreFailure>((held, rows.message(id, &target)?, rows.holes(id)?))
        })?;
        if let (Some(held), row, holes) = state
            && !held.left
            && held.joined_at == composed.stay
        {
            let acknowledged = record.acknowledged.get(name).map(|(_, seq)| *seq);
            // Where an acknowledgement was lost on the way, only the log knows the place; then any hole may be it.
            let is_in_hole = acknowledged.map_or(!holes.is_empty(), |seq| holes.contains(seq) || seq > held.last_seq);
            ensure!(
                row.is_some() || is_in_hole,
                "device {number}: {name}, acknowledged at {acknowledged:?}, is nowhere"
            );
        }
    }
    Ok(())
}
