//! People, sign-ins, keys, blocks.

use rusqlite::OptionalExtension;
use tertulia_proto::webhook::EventKind;
use tertulia_proto::{ApiError, ApiKeyId, ConversationId, ErrorCode, SessionId, Timestamp, User, UserId};
use tertulia_store::webhooks::Event;
use tertulia_store::{AccountLookup, Effect, NewUser, Write};

use super::{Batch, Step};
use crate::read::{accounts, conversations};

impl Batch<'_> {
    pub(super) fn change_accounts(&mut self, write: &Write) -> Step<Effect> {
        match write {
            Write::CreateUser(user) => self.create_user(user),
            Write::EnsureUser(user) => self.ensure_user(user),
            Write::EnsureExternalUser { issuer, subject, user } => self.ensure_external_user(issuer, subject, user),
            Write::UpdateProfile { user, name, avatar_url, now } => {
                self.update_profile(*user, name.as_deref(), avatar_url.as_ref(), *now)
            }
            Write::SetBlocked { actor, target, blocked, blocks_max } => {
                self.set_blocked(*actor, *target, *blocked, *blocks_max)
            }
            Write::TouchLastSeen { user, session, at } => {
                self.connection
                    .prepare_cached(
                        "UPDATE sessions SET last_seen_at = max(coalesce(last_seen_at, 0), ?2) WHERE id = ?1",
                    )?
                    .execute((session.as_bytes().as_slice(), at.ms()))?;
                self.connection
                    .prepare_cached("UPDATE users SET last_seen_at = max(coalesce(last_seen_at, 0), ?2) WHERE id = ?1")?
                    .execute((user.as_bytes().as_slice(), at.ms()))?;
                Ok(Effect::Done)
            }
            Write::OpenSession { session, user, user_agent, expires_at, now } => {
                self.open_session(*session, *user, user_agent.as_deref(), *expires_at, *now)
            }
            Write::ExtendSession { session, expires_at, now } => {
                let extended = self
                    .connection
                    .prepare_cached(
                        "UPDATE sessions SET expires_at = max(expires_at, ?2), last_seen_at = max(coalesce(last_seen_at, 0), ?3)
                         WHERE id = ?1 AND ended_at IS NULL",
                    )?
                    .execute((session.as_bytes().as_slice(), expires_at.ms(), now.ms()))?;
                if extended == 0 {
                    Err(ApiError::unauthenticated("the session has ended").into())
                } else {
                    Ok(Effect::Done)
                }
            }
            Write::EndSession { session, user, expires_at, now } => {
                self.end_session(*session, *user, *expires_at, *now)
            }
            Write::CreateApiKey { id, hash, name, scopes, user, bot, now } => {
                if let Some(bot) = bot {
                    self.create_user(bot)?;
                }
                self.connection
                    .prepare_cached(
                        "INSERT INTO api_keys (id, hash, name, scopes, created_at, user_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute((
                        id.as_bytes().as_slice(),
                        hash.as_slice(),
                        name,
                        scopes.join(","),
                        now.ms(),
                        user.as_ref().map(|id| id.as_bytes().as_slice()),
                    ))?;
                Ok(Effect::Done)
            }
            Write::RevokeApiKey { id, now } => self.revoke_api_key(*id, *now),
            _ => Ok(Effect::Done),
        }
    }

    fn revoke_api_key(&self, id: ApiKeyId, now: Timestamp) -> Step<Effect> {
        let revoked = self
            .connection
            .prepare_cached("UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
            .execute((id.as_bytes().as_slice(), now.ms()))?;
        // What the key has registered, in whoever's name.
        self.unregister_session(SessionId::from_bytes(*id.as_bytes()))?;
        if revoked == 0 { Err(ApiError::not_found("API key").into()) } else { Ok(Effect::Done) }
    }

    fn account(&self, lookup: &AccountLookup) -> Step<Option<User>> {
        Ok(accounts::account(self.connection, lookup)?.map(|account| account.user))
    }

    fn insert_user(&mut self, user: &NewUser, email: Option<&str>) -> Step<Effect> {
        self.connection
            .prepare_cached("INSERT INTO users (id, email, name, avatar_url, password_hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute((
                user.id.as_bytes().as_slice(),
                email,
                &user.name,
                &user.avatar_url,
                &user.password_hash,
                user.now.ms(),
            ))?;
        self.tell(Event::of_user(EventKind::UserCreated, user.id, user.now))?;
        let made = self.account(&AccountLookup::Id(user.id))?.ok_or_else(|| ApiError::not_found("user"))?;
        Ok(Effect::UserReady { user: made, created: true, rows: Vec::new() })
    }

    fn create_user(&mut self, user: &NewUser) -> Step<Effect> {
        if let Some(email) = &user.email
            && self.account(&AccountLookup::Email(email.clone()))?.is_some()
        {
            return Err(ApiError::new(ErrorCode::Conflict, "email: somebody is registered with it already").into());
        }
        self.insert_user(user, user.email.as_deref())
    }

    fn ensure_user(&mut self, user: &NewUser) -> Step<Effect> {
        if let Some(email) = &user.email
            && let Some(user) = self.account(&AccountLookup::Email(email.clone()))?
        {
            return Ok(Effect::UserReady { user, created: false, rows: Vec::new() });
        }
        self.insert_user(user, user.email.as_deref())
    }

    fn ensure_external_user(&mut self, issuer: &str, subject: &str, user: &NewUser) -> Step<Effect> {
        let lookup = AccountLookup::External { issuer: issuer.to_owned(), subject: subject.to_owned() };
        if let Some(known) = self.account(&lookup)? {
            let email = self.free_email(user, Some(known.id))?.or(known.email);
            let renamed = known.name != user.name || known.avatar_url != user.avatar_url;
            let moved = self
                .connection
                .prepare_cached("UPDATE users SET email = ?2 WHERE id = ?1 AND email IS NOT ?2")?
                .execute((known.id.as_bytes().as_slice(), email))?;
            if moved > 0 && !renamed {
                self.tell(Event::of_user(EventKind::UserUpdated, known.id, user.now))?;
            }
            let mut rows = Vec::new();
            if renamed
                && let Effect::ProfileChanged { rows: changed, .. } =
                    self.update_profile(known.id, Some(&user.name), Some(&user.avatar_url), user.now)?
            {
                rows = changed;
            }
            let user = self.account(&lookup)?.ok_or_else(|| ApiError::not_found("user"))?;
            return Ok(Effect::UserReady { user, created: false, rows });
        }
        // An e-mail that a local account has proves nothing about who this is: it is left where it is.
        let email = self.free_email(user, None)?;
        let made = self.insert_user(user, email.as_deref())?;
        let no = self.user_no(user.id)?;
        self.connection
            .prepare_cached("INSERT INTO identities (issuer, subject, user_no) VALUES (?1, ?2, ?3)")?
            .execute((issuer, subject, no))?;
        Ok(made)
    }

    /// The new user's e-mail, unless somebody else has it.
    fn free_email(&self, user: &NewUser, own: Option<UserId>) -> Step<Option<String>> {
        let Some(email) = &user.email else { return Ok(None) };
        let holder = self.account(&AccountLookup::Email(email.clone()))?;
        Ok(if holder.is_none_or(|holder| Some(holder.id) == own) { Some(email.clone()) } else { None })
    }

    fn update_profile(
        &mut self,
        user: UserId,
        name: Option<&str>,
        avatar_url: Option<&Option<String>>,
        now: Timestamp,
    ) -> Step<Effect> {
        let user_no = self.user_no(user)?;
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE users SET name = coalesce(?2, name), avatar_url = CASE WHEN ?3 THEN ?4 ELSE avatar_url END
                 WHERE no = ?1 AND (name IS NOT coalesce(?2, name) OR (?3 AND avatar_url IS NOT ?4))",
            )?
            .execute((user_no, name, avatar_url.is_some(), avatar_url.and_then(Option::as_ref)))?;
        let mut rows = Vec::new();
        if changed > 0 {
            self.tell(Event::of_user(EventKind::UserUpdated, user, now))?;
            // Member rows show the name, so each of them changes.
            let mut statement = self.connection.prepare_cached(
                "SELECT c.no, c.id FROM members m JOIN conversations c ON c.no = m.conversation_no WHERE m.user_no = ?1 AND m.removed_at IS NULL",
            )?;
            let places: Vec<(i64, [u8; 16])> = statement
                .query_map([user_no], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (no, id) in places {
                let rev = self.bump(no)?;
                self.connection
                    .prepare_cached(
                        "UPDATE members SET rev = ?3, pos = ?4 WHERE conversation_no = ?1 AND user_no = ?2",
                    )?
                    .execute((no, user_no, rev, self.pos))?;
                rows.push((ConversationId::from_bytes(id), conversations::member(self.connection, no, user_no)?));
            }
        }
        let user = self.account(&AccountLookup::Id(user))?.ok_or_else(|| ApiError::not_found("user"))?;
        Ok(Effect::ProfileChanged { user, rows })
    }

    fn set_blocked(&mut self, actor: UserId, target: UserId, blocked: bool, blocks_max: usize) -> Step<Effect> {
        let (actor_no, target_no) = (self.user_no(actor)?, self.user_no(target)?);
        if actor_no == target_no {
            return Err(ApiError::invalid("userId: one can't block oneself").into());
        }
        if blocked {
            let count: i64 = self
                .connection
                .prepare_cached("SELECT count(*) FROM blocks WHERE user_no = ?1 AND blocked_no <> ?2")?
                .query_row((actor_no, target_no), |row| row.get(0))?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= blocks_max {
                return Err(ApiError::too_large("blocks", blocks_max, "people").into());
            }
            self.connection
                .prepare_cached("INSERT INTO blocks (user_no, blocked_no) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                .execute((actor_no, target_no))?;
        } else {
            self.connection
                .prepare_cached("DELETE FROM blocks WHERE user_no = ?1 AND blocked_no = ?2")?
                .execute((actor_no, target_no))?;
        }
        Ok(Effect::BlockChanged { user: actor, view: self.touch_dm(actor, actor_no, target_no)? })
    }

    /// The DM of a pair changes for the one who blocked: their other devices are to learn of it.
    fn touch_dm(
        &mut self,
        actor: UserId,
        actor_no: i64,
        other_no: i64,
    ) -> Step<Option<Box<tertulia_proto::Conversation>>> {
        let (low, high) = (actor_no.min(other_no), actor_no.max(other_no));
        let dm: Option<(i64, [u8; 16])> = self
            .connection
            .prepare_cached("SELECT no, id FROM conversations WHERE dm_low = ?1 AND dm_high = ?2")?
            .query_row((low, high), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((no, id)) = dm else { return Ok(None) };
        self.connection
            .prepare_cached(
                "UPDATE members SET pos = ?3, personal_pos = ?3 WHERE conversation_no = ?1 AND user_no = ?2",
            )?
            .execute((no, actor_no, self.pos))?;
        self.mark_visible();
        Ok(conversations::conversation(self.connection, actor, ConversationId::from_bytes(id))?.map(Box::new))
    }

    fn open_session(
        &mut self,
        session: SessionId,
        user: UserId,
        user_agent: Option<&str>,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Step<Effect> {
        let user_no = self.user_no(user)?;
        // Nothing asks for a session after its end; a few of the dead go with each new one, so that none pile up.
        self.forget_expired(now, 10)?;
        self.connection
            .prepare_cached(
                "INSERT INTO sessions (id, user_no, created_at, expires_at, user_agent) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((session.as_bytes().as_slice(), user_no, now.ms(), expires_at.ms(), user_agent))?;
        Ok(Effect::Done)
    }

    fn end_session(&mut self, session: SessionId, user: UserId, expires_at: Timestamp, now: Timestamp) -> Step<Effect> {
        let user_no = self.user_no(user)?;
        let owner: Option<i64> = self
            .connection
            .prepare_cached("SELECT user_no FROM sessions WHERE id = ?1")?
            .query_row([session.as_bytes().as_slice()], |row| row.get(0))
            .optional()?;
        if owner.is_some_and(|owner| owner != user_no) {
            return Err(ApiError::not_found("session").into());
        }
        self.connection
            .prepare_cached(
                "INSERT INTO sessions (id, user_no, created_at, expires_at, ended_at) VALUES (?1, ?2, ?3, ?4, ?3)
                 ON CONFLICT (id) DO UPDATE SET ended_at = coalesce(ended_at, excluded.ended_at)",
            )?
            .execute((session.as_bytes().as_slice(), user_no, now.ms(), expires_at.ms()))?;
        self.unregister_session(session)?;
        Ok(Effect::SessionEnded { session })
    }
}
