//! Connecting and leaving, typing, and who is here.

use std::sync::Arc;

use tertulia_proto::event::Presence;
use tertulia_proto::{ApiError, ApiKeyId, ConversationId, DeviceId, ErrorCode, SessionId, UserId};
use tertulia_realtime::{AttachError, Connection};
use tertulia_store::{Effect, Write};

use super::Services;
use crate::auth::{Identity, Scope};
use crate::write::store_failed;

impl Services {
    /// From the moment this returns, everything committed reaches the connection's lane; what came before is in the difference.
    ///
    /// `device`: of the client's local store. An older connection of the same device is closed; all that will ever be done for it has been committed when
    /// this returns, so the first difference over the new connection holds it.
    pub async fn connect(&self, actor: &Identity, device: Option<DeviceId>) -> Result<Arc<Connection>, ApiError> {
        let attached = self.hub.attach(actor.user, device, actor.session, actor.expires_at);
        let (connection, needs_load) = attached.map_err(|error| match error {
            AttachError::TooManyOfUser(_) => ApiError::retry(ErrorCode::RateLimited, error.to_string(), 10_000),
            AttachError::TooMany(_) => ApiError::retry(ErrorCode::Unavailable, error.to_string(), 10_000),
        })?;
        if let Some(device) = device {
            self.hub.claim_device(actor.user, device, connection.id).await;
        }
        if let Err(refusal) = self.prepare(&connection, needs_load).await {
            self.hub.detach(&connection, self.now());
            return Err(refusal);
        }
        // The session may have ended between its check and the registration; nobody would have told this connection.
        if !self.still_stands(actor.session, actor).await {
            self.hub.detach(&connection, self.now());
            return Err(ApiError::unauthenticated("the session has ended"));
        }
        Ok(connection)
    }

    async fn prepare(&self, connection: &Connection, needs_load: bool) -> Result<(), ApiError> {
        let conversations = if needs_load {
            Some(self.store.memberships(connection.user).await.map_err(|error| store_failed(&error))?)
        } else {
            None
        };
        // A fence: what was submitted before is committed and told when it returns. So nothing from before somebody joined reaches them live, and what
        // an earlier connection of the device had submitted, also one that is gone already, is in the log.
        if needs_load || connection.device.is_some() {
            self.perform(Write::Fence, |effect| matches!(effect, Effect::Done).then_some(())).await?;
        }
        if let Some(conversations) = conversations {
            self.hub.loaded(connection.user, conversations);
        }
        Ok(())
    }

    /// Whether a session, or the API key that acts, has not been ended meanwhile. When the store can't tell, it stands: a hiccup throws nobody out.
    pub async fn still_stands(&self, session: SessionId, actor: &Identity) -> bool {
        if actor.scopes.is_some() {
            let id = ApiKeyId::from_bytes(*session.as_bytes());
            return self.store.api_key_stands(id).await.unwrap_or(true);
        }
        !matches!(self.store.session(session).await, Ok(Some(record)) if record.ended)
    }

    pub fn disconnect(&self, connection: &Connection) {
        let now = self.now();
        self.hub.detach(connection, now);
        let touch = Write::TouchLastSeen { user: connection.user, session: connection.session(), at: now };
        self.store.submit(touch, Box::new(|_| ()));
    }

    /// Tells the others that the actor writes, or stopped.
    pub async fn typing(&self, actor: &Identity, conversation: ConversationId, typing: bool) -> Result<(), ApiError> {
        actor.require(Scope::ChatWrite)?;
        let member = self.member_of(actor, conversation).await?;
        if !member.blocked {
            self.hub.typing(conversation, actor.user, member.user_name, typing, self.now());
        }
        Ok(())
    }

    /// Ends the watches between a person who left somewhere and everybody they no longer share a conversation with.
    pub(crate) async fn forget_strangers(&self, person: UserId) {
        let watched = self.hub.watched_by(person);
        let watchers = self.hub.watchers_of(person);
        if let Ok(known) = self.store.acquaintances(person, watched.clone()).await {
            for stranger in watched.into_iter().filter(|id| known.iter().all(|k| k.user != *id)) {
                self.hub.forbid_watching(stranger, person);
            }
        }
        for watcher in watchers {
            if let Ok(known) = self.store.acquaintances(watcher, vec![person]).await
                && known.is_empty()
            {
                self.hub.forbid_watching(person, watcher);
            }
        }
    }

    /// From now on the connection watches these people, as far as one shares a conversation with them, and nobody else; the answer leaves all others out.
    pub async fn watch_presence(
        &self,
        actor: &Identity,
        connection: &Arc<Connection>,
        people: Vec<UserId>,
    ) -> Result<Vec<Presence>, ApiError> {
        actor.require(Scope::UsersRead)?;
        self.rates.lookups.take(actor.user, self.now())?;
        let mut people = people;
        people.sort_unstable();
        people.dedup();
        if people.len() > self.limits.watched_max {
            return Err(ApiError::too_large("userIds", self.limits.watched_max, "people"));
        }
        let known = self.store.acquaintances(actor.user, people).await.map_err(|e| store_failed(&e))?;
        let ids: Vec<UserId> = known.iter().map(|person| person.user).collect();
        if !self.hub.watch(connection, &ids) {
            return Err(ApiError::too_large("userIds", self.limits.watched_max, "people watched by one connection"));
        }
        Ok(known
            .into_iter()
            .map(|person| {
                let online = self.hub.is_online(person.user);
                Presence { user_id: person.user, online, last_seen_at: if online { None } else { person.last_seen_at } }
            })
            .collect())
    }
}
