//! What has been read stays read: on a device the read watermark never moves back, but for a restore or another stay.

use anyhow::{Result, ensure};
use tertulia_client_sqlite::Durability;
use tertulia_engine::{LocalStore as _, view};

use crate::device::Device;
use crate::record::Record;

pub fn check(record: &mut Record, number: usize, device: &mut Device) -> Result<()> {
    let state = device.store.transaction(Durability::Process, |rows| rows.sync_state())?;
    // In the middle of a reset some are of the old log and some of the new.
    if state.resetting {
        return Ok(());
    }
    for held in device.store.held()? {
        let read = view::read_seq(&held);
        let before = record.shown_read.insert((number, held.id, state.epoch, held.joined_at), read).unwrap_or(0);
        ensure!(
            read >= before || held.left,
            "device {number}: read watermark of {} went from {before} to {read}",
            held.id
        );
    }
    Ok(())
}
