//! The difference: one cursor for everything a person can see.

use tertulia_proto::request::SyncBody;
use tertulia_proto::sync::{Difference, Held};
use tertulia_proto::{ApiError, SyncCursor};
use tertulia_store::{Holdings, SyncFrom};
use uuid::Uuid;

use super::{Services, page_size};
use crate::auth::{Identity, Scope};
use crate::write::store_failed;

impl Services {
    /// A cursor of another epoch, of the future, or that can't be read, starts over with `reset`; so does who holds what this log has not.
    pub async fn difference(&self, actor: &Identity, asked: SyncBody) -> Result<Difference, ApiError> {
        actor.require(Scope::ChatRead)?;
        let SyncBody { cursor, limit, have } = asked;
        let have = have.map(|have| self.holdings(have)).transpose()?;
        self.rates.lookups.take(actor.user, self.now())?;
        let conversations_max = page_size(limit, self.limits.sync_page_max, self.limits.sync_page_max)?;
        let log = self.store.log_state().await.map_err(|e| store_failed(&e))?;
        let epoch = Uuid::from_bytes(log.epoch);
        let given = cursor.filter(|text| !text.is_empty());
        let known = given.as_deref().and_then(SyncCursor::decode).filter(|cursor| {
            // A position beyond the log's end is of a log that no longer is.
            cursor.epoch == epoch && (0..=log.end).contains(&cursor.base)
        });
        let from = known.map_or(SyncFrom::BEGINNING, |cursor| SyncFrom { base: cursor.base, within: cursor.within });
        // Who starts over holds nothing that counts.
        let have = have.filter(|_| known.is_some());
        let page = self
            .store
            .difference(actor.user, from, have, conversations_max, self.limits.sync_messages_max)
            .await
            .map_err(|e| store_failed(&e))?;
        let next = SyncCursor { epoch, base: page.next.base, within: page.next.within };
        Ok(Difference {
            cursor: next.encode(),
            epoch,
            has_more: page.has_more,
            conversations: page.conversations,
            removed: page.removed,
            reset: page.reset || (given.is_some() && known.is_none()),
            request_id: None,
        })
    }

    /// Of the log; `None` where it can't be read now.
    pub async fn epoch(&self) -> Option<Uuid> {
        self.store.log_state().await.ok().map(|log| Uuid::from_bytes(log.epoch))
    }

    fn holdings(&self, have: Vec<Held>) -> Result<Holdings, ApiError> {
        if have.len() > self.limits.sync_have_max {
            return Err(ApiError::too_large("have", self.limits.sync_have_max, "conversations"));
        }
        let mut holdings = Holdings::new();
        for held in have {
            if holdings.insert(held.id, held).is_some() {
                return Err(ApiError::invalid("have: each conversation once"));
            }
        }
        Ok(holdings)
    }
}
