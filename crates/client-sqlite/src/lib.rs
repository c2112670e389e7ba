//! The local store of one account on one device: one SQLite file, native or (compiled to wasm) in the browser's own files.
//!
//! [`Store::transaction`] gives the rows to the engine ([`tertulia_engine::LocalStore`]); [`views`] reads what screens show.
//!
//! What may not be here: the network, and any decision about what is sent when.
//!
//! The way through: `migrations/` the tables; [`open`] files and their end; [`browser`] the same in a browser; [`rows`] the engine's rows; [`views`] lists,
//! timelines, search; [`keep`] room and age; [`profile`] whose data these are; [`push`] where the device is notified.

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod browser;
mod encryption;
mod error;
mod keep;
mod open;
mod profile;
mod push;
mod rows;
pub mod views;

use rusqlite::Connection;
use tertulia_engine::{StoreFailure, Stored};
use tertulia_proto::DeviceId;

pub use encryption::Key;
pub use keep::{Keep, Pruned};
pub use open::{OpenError, SCHEMA_VERSION};
pub use push::Push;
pub use rows::Rows;

/// What a commit has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: what the person did here, and nobody else has.
    Power,
    /// The end of the app. After a power cut the newest of these may be gone, all of them from some moment on; the server tells them again.
    Process,
}

/// See the crate's own documentation. There is one per file: it takes no part in any sharing.
pub struct Store {
    connection: Connection,
    durability: Durability,
    is_durable: bool,
    /// Let go of after the connection.
    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    _files: Option<browser::Files>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("durability", &self.durability).finish_non_exhaustive()
    }
}

impl Store {
    /// All of `work` or nothing of it.
    pub fn transaction<T, E: From<StoreFailure>>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&mut Rows<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.set_durability(durability).map_err(error::failure)?;
        let transaction = self.connection.unchecked_transaction().map_err(error::failure)?;
        let done = work(&mut Rows::new(&transaction))?;
        transaction.commit().map_err(error::failure)?;
        Ok(done)
    }

    /// The device that this store is for the server; `fresh` where it is none yet, and from then on. Another one after [`Store::wipe`].
    pub fn device(&mut self, fresh: DeviceId) -> Stored<DeviceId> {
        self.connection
            .query_row(
                "UPDATE sync_state SET device = coalesce(device, ?1) RETURNING device",
                [fresh.as_bytes().as_slice()],
                |row| row.get(0).map(DeviceId::from_bytes),
            )
            .map_err(error::failure)
    }

    /// Whether it outlives the process.
    pub const fn is_durable(&self) -> bool {
        self.is_durable
    }

    fn set_durability(&mut self, durability: Durability) -> rusqlite::Result<()> {
        if self.durability != durability {
            let level = if durability == Durability::Power { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.durability = durability;
        }
        Ok(())
    }
}
