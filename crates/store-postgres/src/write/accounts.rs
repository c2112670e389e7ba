//! People, sign-ins, keys, blocks.

use tertulia_proto::webhook::EventKind;
use tertulia_proto::{ApiError, Conversation, ConversationId, ErrorCode, Member, SessionId, Timestamp, User, UserId};
use tertulia_store::{AccountLookup, Effect, NewUser, Write};
use uuid::Uuid;

use super::{Batch, Step, push};
use crate::error::Sql;
use crate::read::{accounts, conversations};
use crate::rows::{at, conversation_at, user_at};

impl Batch<'_> {
    pub(super) async fn change_accounts(&mut self, write: &Write) -> Step<Effect> {
        match write {
            Write::CreateUser(user) => self.create_user(user).await,
            Write::EnsureUser(user) => self.ensure_user(user).await,
            Write::EnsureExternalUser { issuer, subject, user } => {
                self.ensure_external_user(issuer, subject, user).await
            }
            Write::UpdateProfile { user, name, avatar_url, now } => {
                self.lock_person(*user).await?;
                self.update_profile(*user, name.as_ref(), avatar_url.as_ref(), *now).await
            }
            Write::SetBlocked { actor, target, blocked, blocks_max } => {
                self.set_blocked(*actor, *target, *blocked, *blocks_max).await
            }
            Write::OpenSession { session, user, user_agent, expires_at, now } => {
                self.open_session(*session, *user, user_agent.as_ref(), *expires_at, *now).await
            }
            Write::ExtendSession { session, expires_at, now } => {
                let extend = "UPDATE sessions SET expires_at = greatest(expires_at, $2), last_seen_at = greatest(coalesce(last_seen_at, 0), $3)
                     WHERE id = $1 AND ended_at IS NULL";
                match self.session.execute(extend, &[&session.uuid(), &expires_at.ms(), &now.ms()]).await? {
                    0 => Err(ApiError::unauthenticated("the session has ended").into()),
                    _ => Ok(Effect::Done),
                }
            }
            Write::EndSession { session, user, expires_at, now } => {
                self.end_session(*session, *user, *expires_at, *now).await
            }
            Write::CreateApiKey { id, hash, name, scopes, user, bot, now } => {
                if let Some(bot) = bot {
                    self.create_user(bot).await?;
                }
                let insert = "INSERT INTO api_keys (id, hash, name, scopes, created_at, user_id) VALUES ($1, $2, $3, $4, $5, $6)";
                let (scopes, user) = (scopes.join(","), user.map(|user| user.uuid()));
                self.session.execute(insert, &[&id.uuid(), &hash.as_slice(), name, &scopes, &now.ms(), &user]).await?;
                Ok(Effect::Done)
            }
            Write::RevokeApiKey { id, now } => {
                let revoke = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
                match self.session.execute(revoke, &[&id.uuid(), &now.ms()]).await? {
                    0 => Err(ApiError::not_found("API key").into()),
                    _ => {
                        // What the key has registered, in whoever's name.
                        push::unregister_session(self.session, id.uuid()).await?;
                        Ok(Effect::Done)
                    }
                }
            }
            _ => Ok(Effect::Done),
        }
    }

    async fn account(&self, lookup: &AccountLookup) -> Sql<Option<User>> {
        Ok(accounts::account(self.session, lookup).await?.map(|account| account.user))
    }

    /// Nobody else changes this person, or what people see of them, until the end.
    async fn lock_person(&self, user: UserId) -> Step<()> {
        let lock = "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE";
        match self.session.opt(lock, &[&user.uuid()]).await? {
            Some(_) => Ok(()),
            None => Err(ApiError::not_found("user").into()),
        }
    }

    /// Where another server has made the same meanwhile, this fails, and the next try finds it.
    async fn insert_user(&mut self, user: &NewUser, email: Option<String>) -> Step<Effect> {
        let insert = "INSERT INTO users (id, email, name, avatar_url, password_hash, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
        self.session
            .execute(
                insert,
                &[&user.id.uuid(), &email, &user.name, &user.avatar_url, &user.password_hash, &user.now.ms()],
            )
            .await?;
        self.tell_of_person(EventKind::UserCreated, user.id, user.now).await?;
        let made = self.account(&AccountLookup::Id(user.id)).await?.ok_or_else(|| ApiError::not_found("user"))?;
        Ok(Effect::UserReady { user: made, created: true, rows: Vec::new() })
    }

    async fn create_user(&mut self, user: &NewUser) -> Step<Effect> {
        if let Some(email) = &user.email
            && self.account(&AccountLookup::Email(email.clone())).await?.is_some()
        {
            return Err(ApiError::new(ErrorCode::Conflict, "email: somebody is registered with it already").into());
        }
        self.insert_user(user, user.email.clone()).await
    }

    async fn ensure_user(&mut self, user: &NewUser) -> Step<Effect> {
        if let Some(email) = &user.email
            && let Some(user) = self.account(&AccountLookup::Email(email.clone())).await?
        {
            return Ok(Effect::UserReady { user, created: false, rows: Vec::new() });
        }
        self.insert_user(user, user.email.clone()).await
    }

    async fn ensure_external_user(&mut self, issuer: &str, subject: &str, user: &NewUser) -> Step<Effect> {
        let lookup = AccountLookup::External { issuer: issuer.to_owned(), subject: subject.to_owned() };
        if let Some(known) = self.account(&lookup).await? {
            self.lock_person(known.id).await?;
            let known = self.account(&lookup).await?.ok_or_else(|| ApiError::not_found("user"))?;
            let email = self.free_email(user, Some(known.id)).await?.or(known.email);
            let follow = "UPDATE users SET email = $2 WHERE id = $1 AND email IS DISTINCT FROM $2";
            let moved = self.session.execute(follow, &[&known.id.uuid(), &email]).await?;
            let renamed = known.name != user.name || known.avatar_url != user.avatar_url;
            if moved > 0 && !renamed {
                self.tell_of_person(EventKind::UserUpdated, known.id, user.now).await?;
            }
            let mut rows = Vec::new();
            if renamed
                && let Effect::ProfileChanged { rows: changed, .. } =
                    self.update_profile(known.id, Some(&user.name), Some(&user.avatar_url), user.now).await?
            {
                rows = changed;
            }
            let user = self.account(&lookup).await?.ok_or_else(|| ApiError::not_found("user"))?;
            return Ok(Effect::UserReady { user, created: false, rows });
        }
        // An e-mail that a local account has proves nothing about who this is: it is left where it is.
        let email = self.free_email(user, None).await?;
        let made = self.insert_user(user, email).await?;
        let insert = "INSERT INTO identities (issuer, subject, user_id) VALUES ($1, $2, $3)";
        self.session.execute(insert, &[&issuer, &subject, &user.id.uuid()]).await?;
        Ok(made)
    }

    /// The new user's e-mail, unless somebody else has it.
    async fn free_email(&self, user: &NewUser, own: Option<UserId>) -> Sql<Option<String>> {
        let Some(email) = &user.email else { return Ok(None) };
        let holder = self.account(&AccountLookup::Email(email.clone())).await?;
        Ok(if holder.is_none_or(|holder| Some(holder.id) == own) { Some(email.clone()) } else { None })
    }

    /// Of a locked person. Who brings them into a conversation waits for that lock, so their conversations are all there are.
    async fn update_profile(
        &mut self,
        user: UserId,
        name: Option<&String>,
        avatar_url: Option<&Option<String>>,
        now: Timestamp,
    ) -> Step<Effect> {
        let update = "UPDATE users SET name = coalesce($2, name), avatar_url = CASE WHEN $3 THEN $4 ELSE avatar_url END
             WHERE id = $1 AND (name IS DISTINCT FROM coalesce($2, name) OR ($3 AND avatar_url IS DISTINCT FROM $4))";
        let (name, is_given, url) = (name.cloned(), avatar_url.is_some(), avatar_url.cloned().flatten());
        let changed = self.session.execute(update, &[&user.uuid(), &name, &is_given, &url]).await?;
        let mut rows = Vec::new();
        if changed > 0 {
            self.tell_of_person(EventKind::UserUpdated, user, now).await?;
            // Member rows show the name, so each of them changes.
            let places = conversations::memberships(self.session, user).await?;
            self.lock(&places).await?;
            rows = self.bump_member(user).await?;
        }
        let user = self.account(&AccountLookup::Id(user)).await?.ok_or_else(|| ApiError::not_found("user"))?;
        Ok(Effect::ProfileChanged { user, rows })
    }

    /// Counts a change of the person's row in each locked conversation that they are in now: three statements, however many those are.
    async fn bump_member(&mut self, user: UserId) -> Sql<Vec<(ConversationId, Member)>> {
        let pos = self.pos;
        let mut ids: Vec<Uuid> = self.conversations.keys().map(ConversationId::uuid).collect();
        ids.sort_unstable();
        let bump = "UPDATE conversations c SET rev = c.rev + 1, pos = greatest(c.pos, $3) FROM members m
             WHERE c.id = ANY($1) AND m.conversation_id = c.id AND m.user_id = $2 AND m.removed_at IS NULL RETURNING c.id, c.rev, c.pos";
        let (mut places, mut revs, mut poses) = (Vec::<Uuid>::new(), Vec::<i64>::new(), Vec::<i64>::new());
        for row in self.session.rows(bump, &[&ids, &user.uuid(), &pos]).await? {
            places.push(at(&row, 0)?);
            revs.push(at(&row, 1)?);
            poses.push(at(&row, 2)?);
            if let Some(known) = self.conversations.get_mut(&conversation_at(&row, 0)?) {
                (known.rev, known.pos) = (at(&row, 1)?, at(&row, 2)?);
            }
        }
        let follow = "UPDATE members m SET rev = w.rev, pos = w.pos FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS w (id, rev, pos)
             WHERE m.conversation_id = w.id AND m.user_id = $4";
        self.session.execute(follow, &[&places, &revs, &poses, &user.uuid()]).await?;
        conversations::rows_of(self.session, user, &places).await
    }

    async fn set_blocked(&mut self, actor: UserId, target: UserId, blocked: bool, blocks_max: usize) -> Step<Effect> {
        let there = "SELECT 1 FROM users WHERE id = $1";
        // Who opens a conversation of the two keeps both as they are, and so waits for this or is waited for.
        self.lock_person(actor).await?;
        if self.session.opt(there, &[&target.uuid()]).await?.is_none() {
            return Err(ApiError::not_found("user").into());
        }
        if actor == target {
            return Err(ApiError::invalid("userId: one can't block oneself").into());
        }
        let dm = self.dm_of(actor, target).await?;
        self.lock(dm.as_slice()).await?;
        if blocked {
            let count = "SELECT count(*) FROM blocks WHERE user_id = $1 AND blocked_id <> $2";
            let count: i64 = at(&self.session.one(count, &[&actor.uuid(), &target.uuid()]).await?, 0)?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= blocks_max {
                return Err(ApiError::too_large("blocks", blocks_max, "people").into());
            }
            let insert = "INSERT INTO blocks (user_id, blocked_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            self.session.execute(insert, &[&actor.uuid(), &target.uuid()]).await?;
        } else {
            let delete = "DELETE FROM blocks WHERE user_id = $1 AND blocked_id = $2";
            self.session.execute(delete, &[&actor.uuid(), &target.uuid()]).await?;
        }
        Ok(Effect::BlockChanged { user: actor, view: self.touch_dm(actor, dm).await? })
    }

    /// The DM of a pair changes for the one who blocked: their other devices are to learn of it.
    async fn touch_dm(&mut self, actor: UserId, dm: Option<ConversationId>) -> Step<Option<Box<Conversation>>> {
        let Some(id) = dm else { return Ok(None) };
        let touch = "UPDATE members SET pos = $3, personal_pos = $3 WHERE conversation_id = $1 AND user_id = $2";
        self.session.execute(touch, &[&id.uuid(), &actor.uuid(), &self.pos_of(id)]).await?;
        Ok(conversations::conversation(self.session, actor, id).await?.map(Box::new))
    }

    async fn open_session(
        &mut self,
        session: SessionId,
        user: UserId,
        user_agent: Option<&String>,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Step<Effect> {
        self.lock_people(&[user]).await?;
        // Nothing asks for a session after its end; a few of the dead go with each new one, so that none pile up.
        push::forget_expired(self.session, now, 10).await?;
        let insert =
            "INSERT INTO sessions (id, user_id, created_at, expires_at, user_agent) VALUES ($1, $2, $3, $4, $5)";
        let user_agent = user_agent.cloned();
        self.session
            .execute(insert, &[&session.uuid(), &user.uuid(), &now.ms(), &expires_at.ms(), &user_agent])
            .await?;
        Ok(Effect::Done)
    }

    async fn end_session(
        &mut self,
        session: SessionId,
        user: UserId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Step<Effect> {
        self.lock_people(&[user]).await?;
        let select = "SELECT user_id FROM sessions WHERE id = $1 FOR UPDATE";
        let owner = self.session.opt(select, &[&session.uuid()]).await?.map(|row| user_at(&row, 0)).transpose()?;
        if owner.is_some_and(|owner| owner != user) {
            return Err(ApiError::not_found("session").into());
        }
        let end = "INSERT INTO sessions (id, user_id, created_at, expires_at, ended_at) VALUES ($1, $2, $3, $4, $3)
             ON CONFLICT (id) DO UPDATE SET ended_at = coalesce(sessions.ended_at, excluded.ended_at)";
        self.session.execute(end, &[&session.uuid(), &user.uuid(), &now.ms(), &expires_at.ms()]).await?;
        push::unregister_session(self.session, session.uuid()).await?;
        Ok(Effect::SessionEnded { session })
    }
}
