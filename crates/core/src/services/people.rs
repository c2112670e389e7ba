//! Profiles, finding people, blocking.

use std::sync::Arc;

use tertulia_proto::model::TokenAnswer;
use tertulia_proto::request::ProfilePatch;
use tertulia_proto::{ApiError, ErrorCode, Session, SessionId, User, UserId};
use tertulia_store::{AccountLookup, Effect, OpenSession, Write};

use super::{Services, waited};
use crate::auth::{Identity, Scope, normalize_email, normalize_name};
use crate::write::store_failed;

/// Characters of an e-mail that must be known to find its owner by prefix: nobody gets to list everybody.
const PREFIX_MIN_CHARS: usize = 3;
const FOUND_MAX: usize = 20;

impl Services {
    pub async fn me(&self, actor: &Identity) -> Result<User, ApiError> {
        actor.require(Scope::UsersRead)?;
        let account = self.store.account(AccountLookup::Id(actor.user)).await.map_err(|e| store_failed(&e))?;
        account.map(|account| account.user).ok_or_else(|| ApiError::unauthenticated("this person is gone"))
    }

    pub async fn update_profile(&self, actor: &Identity, patch: ProfilePatch) -> Result<User, ApiError> {
        actor.require(Scope::UsersWrite)?;
        self.rates.changes.take(actor.user, self.now())?;
        let name = patch.name.map(|name| normalize_name(&name, &self.limits)).transpose()?;
        let avatar_url = match patch.avatar_url {
            Some(Some(url)) => Some(Some(self.avatar_url(&url)?)),
            other => other,
        };
        let write = Write::UpdateProfile { user: actor.user, name, avatar_url, now: self.now() };
        self.perform(write, |effect| match effect {
            Effect::ProfileChanged { user, .. } => Some(user.clone()),
            _ => None,
        })
        .await
    }

    fn avatar_url(&self, text: &str) -> Result<String, ApiError> {
        if text.len() > self.limits.avatar_url_max_bytes {
            return Err(ApiError::too_large("avatarUrl", self.limits.avatar_url_max_bytes, "bytes"));
        }
        let is_web = text.starts_with("https://") || text.starts_with("http://");
        let is_plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'`'));
        if is_web && is_plain {
            Ok(text.to_owned())
        } else {
            Err(ApiError::invalid("avatarUrl: must be an http(s) address"))
        }
    }

    /// A token for a person the host app vouches for. Not for an account that somebody registered here with a password: its e-mail was never
    /// proven, and whoever made it would share it with the person meant.
    pub async fn mint_token(&self, email: &str, name: Option<&str>) -> Result<TokenAnswer, ApiError> {
        let lookup = AccountLookup::Email(normalize_email(email)?);
        let known = self.store.account(lookup).await.map_err(|e| store_failed(&e))?;
        if known.is_some_and(|account| account.password_hash.is_some()) {
            let why = "email: registered here with a password, which proves nothing about whose it is; switch off auth.local_accounts, or use another";
            return Err(ApiError::new(ErrorCode::Conflict, why));
        }
        self.auth.issue_for_email(email, name).await
    }

    pub async fn user(&self, actor: &Identity, user: UserId) -> Result<User, ApiError> {
        actor.require(Scope::UsersRead)?;
        let found = self.store.user(actor.user, user).await.map_err(|e| store_failed(&e))?;
        found.ok_or_else(|| ApiError::not_found("user"))
    }

    pub async fn find_users(&self, actor: &Identity, email: &str) -> Result<Vec<User>, ApiError> {
        actor.require(Scope::UsersRead)?;
        let prefix = email.trim().to_lowercase();
        if prefix.chars().count() < PREFIX_MIN_CHARS || prefix.len() > 254 || prefix.contains('\0') {
            return Err(ApiError::invalid(format!(
                "email: {PREFIX_MIN_CHARS} characters to 254 bytes of the beginning are needed"
            )));
        }
        self.rates.searches.take_with(self.shared(), actor.user, self.now()).await?;
        self.store.users_by_email(actor.user, prefix, FOUND_MAX).await.map_err(|e| store_failed(&e))
    }

    /// Whom the actor has blocked, by name: all of them.
    pub async fn blocked(&self, actor: &Identity) -> Result<Vec<User>, ApiError> {
        actor.require(Scope::UsersRead)?;
        self.store.blocked(actor.user, self.limits.blocks_per_user_max).await.map_err(|e| store_failed(&e))
    }

    /// The actor's sign-ins that stand, newest first. `forbidden` for an API key, which has none.
    pub async fn sessions(&self, actor: &Identity) -> Result<Vec<Session>, ApiError> {
        actor.require_person()?;
        let (connected, now) = (self.hub.sessions_of(actor.user), self.now());
        let shown = |open: OpenSession| Session {
            id: open.id,
            created_at: open.created_at,
            last_seen_at: if connected.contains(&open.id) { Some(now) } else { open.last_seen_at },
            user_agent: open.user_agent,
            current: open.id == actor.session,
        };
        Ok(self.auth.sessions(actor).await?.into_iter().map(shown).collect())
    }

    /// Ends one of the actor's sign-ins, with its open connections. `not_found` for anybody else's.
    pub async fn end_session(&self, actor: &Identity, session: SessionId) -> Result<(), ApiError> {
        actor.require_person()?;
        self.auth.end_session(actor, session).await
    }

    pub async fn set_blocked(&self, actor: &Identity, target: UserId, blocked: bool) -> Result<(), ApiError> {
        actor.require(Scope::UsersWrite)?;
        self.rates.changes.take(actor.user, self.now())?;
        let write =
            Write::SetBlocked { actor: actor.user, target, blocked, blocks_max: self.limits.blocks_per_user_max };
        let (hub, actor) = (Arc::clone(&self.hub), actor.user);
        waited(|done| {
            let then = move |answer: Result<(), ApiError>| {
                if blocked && answer.is_ok() {
                    // Who is blocked learns no more when one is here, also where who asked has hung up meanwhile.
                    hub.forbid_watching(actor, target);
                }
                done(answer);
            };
            self.submit(write, |effect| matches!(effect, Effect::BlockChanged { .. }).then_some(()), Box::new(then));
        })
        .await
    }
}
