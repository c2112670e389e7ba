//! Whose data these are: name and picture beside the bare identifier that the engine goes by.

use rusqlite::OptionalExtension;
use tertulia_engine::{LocalStore as _, Stored};
use tertulia_proto::{Timestamp, User, UserId};

use crate::error::failure;
use crate::rows::{Rows, from_json, json};
use crate::{Durability, Store};

impl Store {
    /// The person whose data these are; as far as it is known: from what the server said last, or else as any conversation has it.
    pub fn profile(&self) -> Stored<Option<User>> {
        let mut rows = Rows::new(&self.connection);
        let Some(account) = rows.sync_state()?.account else { return Ok(None) };
        let told = self
            .connection
            .prepare_cached("SELECT profile FROM profile")
            .and_then(|mut statement| statement.query_row([], |row| from_json::<User>(row, 0)).optional())
            .map_err(failure)?
            .flatten();
        match told.filter(|user| user.id == account) {
            Some(user) => Ok(Some(user)),
            None => self.as_member(account).map(Some),
        }
    }

    fn as_member(&self, id: UserId) -> Stored<User> {
        let row = self
            .connection
            .prepare_cached("SELECT name, avatar_url FROM members WHERE user_id = ?1 ORDER BY rev DESC LIMIT 1")
            .and_then(|mut statement| {
                let bytes = id.as_bytes().as_slice();
                statement.query_row([bytes], |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).optional()
            })
            .map_err(failure)?;
        let (name, avatar_url) = row.unwrap_or_default();
        Ok(User { id, email: None, name, avatar_url, created_at: Timestamp::from_ms(0), blocked: false })
    }

    /// What the server says. Of somebody else than whose data these are nothing is kept.
    pub fn put_profile(&mut self, user: &User) -> Stored<()> {
        self.transaction(Durability::Process, |rows| {
            if rows.sync_state()?.account.is_some_and(|account| account != user.id) {
                return Ok(());
            }
            rows.run(
                "INSERT INTO profile (one, profile) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET profile = ?1",
                [json(user).map_err(failure)?],
            )
        })
    }
}
