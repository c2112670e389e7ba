//! What has been read stays read: on a device the read watermark never moves back, but for a restore or another stay.

use anyhow::{Result, ensure};
use tertulia_engine::view;

use crate::device::Device;
use crate::record::Record;

pub fn check(record: &mut Record, number: usize, device: &Device) -> Result<()> {
    for shown in device.store.conversations(10_000)? {
        let held = shown.conversation;
        let read = view::read_seq(&held);
        let before = record.shown_read.insert((number, held.id), read).unwrap_or(0);
        ensure!(read >= before || held.left, "device {number}: read watermark of {} went from {before} to {read}", held.id);
    }
    Ok(())
}
