//! The difference: one cursor for everything a person can see.

use tertulia_proto::sync::Difference;
use tertulia_proto::{ApiError, SyncCursor};
use tertulia_store::SyncFrom;
use uuid::Uuid;

use super::{Services, page_size};
use crate::auth::{Identity, Scope};
use crate::write::store_failed;

impl Services {
    /// A cursor of another epoch, of the future, or that can't be read, starts over with `reset`.
    pub async fn difference(
        &self,
        actor: &Identity,
        cursor: Option<&str>,
        limit: Option<i64>,
    ) -> Result<Difference, ApiError> {
        actor.require(Scope::ChatRead)?;
        self.rates.lookups.take(actor.user, self.now())?;
        let conversations_max = page_size(limit, self.limits.sync_page_max, self.limits.sync_page_max)?;
        let log = self.store.log_state().await.map_err(|e| store_failed(&e))?;
        let epoch = Uuid::from_bytes(log.epoch);
        let given = cursor.filter(|text| !text.is_empty());
        let known = given.and_then(SyncCursor::decode).filter(|cursor| {
            // A position beyond the log's end is of a log that no longer is.
            cursor.epoch == epoch && (0..=log.position).contains(&cursor.base)
        });
        let from = known.map_or(SyncFrom::BEGINNING, |cursor| SyncFrom { base: cursor.base, within: cursor.within });
        let page = self
            .store
            .difference(actor.user, from, conversations_max, self.limits.sync_messages_max)
            .await
            .map_err(|e| store_failed(&e))?;
        let next = SyncCursor { epoch, base: page.next.base, within: page.next.within };
        Ok(Difference {
            cursor: next.encode(),
            epoch,
            has_more: page.has_more,
            conversations: page.conversations,
            removed: page.removed,
            reset: given.is_some() && known.is_none(),
        })
    }
}
