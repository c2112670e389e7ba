//! Where this device wants to be notified, kept until the server knows.

use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use tertulia_engine::{LocalStore as _, Registration, Stored};
use tertulia_proto::device::RegisterDevice;

use crate::Store;
use crate::error::failure;
use crate::rows::{Rows, from_json, json};

/// What the app wants, and what the server is still to be told.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    pub wish: Option<RegisterDevice>,
    /// The server has it, as it is here.
    pub is_known: bool,
    /// Tokens that are registered no more, as soon as the server hears of it; oldest first.
    pub leaving: Vec<String>,
}

/// Whoever has a token can notify the device: it belongs in no log.
impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push").field("wish", &self.wish).field("is_known", &self.is_known).finish_non_exhaustive()
    }
}

impl Store {
    pub fn push(&self) -> Stored<Push> {
        Rows::new(&self.connection).push()
    }

    pub fn registration(&self) -> Stored<Registration> {
        Ok(Rows::new(&self.connection).sync_state()?.registration)
    }
}

impl Rows<'_> {
    /// Without a wish before the first.
    pub fn push(&self) -> Stored<Push> {
        let kept = self
            .connection()
            .prepare_cached("SELECT push FROM push")
            .and_then(|mut statement| statement.query_row([], |row| from_json::<Push>(row, 0)).optional());
        Ok(kept.map_err(failure)?.flatten().unwrap_or_default())
    }

    pub fn put_push(&self, push: &Push) -> Stored<()> {
        self.run(
            "INSERT INTO push (one, push) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET push = ?1",
            [json(push).map_err(failure)?],
        )
    }
}
