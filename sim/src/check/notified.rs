//! Nobody is notified of what they have: the server knows of each device that it notifies that the end of each conversation has reached it, or been
//! read. But for what the device had when it registered, which is no news.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tertulia_proto::UserId;
use tertulia_store::Store as _;
use tertulia_store_sqlite::SqliteStore;

use crate::device::Device;
use crate::server::now_or_never;

pub fn check(number: usize, device: &Device, me: UserId, store: &Arc<SqliteStore>) -> Result<()> {
    let registration = device.registrar.registration.context("a device that was never registered")?;
    for held in device.store.held()?.into_iter().filter(|held| !held.left) {
        let audience = now_or_never(store.push().audience(held.id, None))??;
        let Some(audience) = audience else { continue };
        // All devices of a world are on the first page; who has seen the end is on none.
        let Some(seat) = audience.seats.iter().find(|seat| seat.registration == registration) else { continue };
        let had = device.registrar.held.get(&held.id).copied().unwrap_or(0);
        ensure!(
            audience.last_seq <= had,
            "device {number} would be notified of {} up to {}, which it has; for the server it has {}, and it had {had} when it registered. It believes that \
             it told {:?}",
            held.id,
            audience.last_seq,
            seat.seen_seq(),
            held.told_delivered
        );
    }
    let known = now_or_never(store.push().targets(me))??;
    ensure!(
        known.iter().any(|target| target.registration == registration),
        "device {number} is registered, and the server does not know"
    );
    Ok(())
}
