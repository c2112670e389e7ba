//! Registering, signing in, staying signed in, signing out.

use tertulia_proto::model::TokenAnswer;
use tertulia_proto::{ApiError, SessionId, UserId};
use tertulia_store::{AccountLookup, Effect, NewUser, OpenSession, Write};

use super::field::{check_password, local_part, name_from_elsewhere, normalize_email, normalize_name};
use super::password::NOBODYS_HASH;
use super::{Auth, Identity, unexpected};
use crate::write::{store_failed, write, write_failed};

/// Sessions that are shown to their person.
pub const SESSIONS_MAX: usize = 200;

impl Auth {
    /// A new local account, signed in. `conflict` where the e-mail address is taken, `forbidden` where there are no local accounts.
    /// `user_agent`: what the client calls itself; its beginning is kept with the session.
    pub async fn register(
        &self,
        email: &str,
        password: &str,
        name: &str,
        user_agent: Option<&str>,
    ) -> Result<TokenAnswer, ApiError> {
        self.require_local_accounts()?;
        let email = normalize_email(email)?;
        let name = normalize_name(name, &self.config.limits)?;
        check_password(password, &self.config.limits)?;
        let hash = self.hashes.hash(password.to_owned(), self.powers.bytes()).await?;
        let user = self.new_user(email, name, Some(hash));
        self.sign_in_new(Write::CreateUser(user), user_agent).await
    }

    /// The same answer after the same work for an unknown address, one without a password and a wrong password.
    pub async fn login(&self, email: &str, password: &str, user_agent: Option<&str>) -> Result<TokenAnswer, ApiError> {
        self.require_local_accounts()?;
        let wrong = || ApiError::unauthenticated("the e-mail address or the password is wrong");
        // No account has such an address or password, and anybody can see that: nothing to hide by working for it.
        let email = normalize_email(email).map_err(|_| wrong())?;
        if password.len() > self.config.limits.password_max_bytes {
            return Err(wrong());
        }
        let account = self.store.account(AccountLookup::Email(email)).await.map_err(|error| store_failed(&error))?;
        let (user, hash) = account.map(|account| (account.user, account.password_hash)).unzip();
        let hash = hash.flatten();
        let has_password = hash.is_some();
        let phc = hash.unwrap_or_else(|| NOBODYS_HASH.to_owned());
        let is_right = self.hashes.verify(password.to_owned(), phc).await?;
        match user {
            Some(user) if is_right && has_password => self.open_session(user, user_agent).await,
            Some(_) | None => Err(wrong()),
        }
    }

    /// A token that ends later, for the same session. `forbidden` for a host app's token: that app makes the next one.
    pub async fn refresh(&self, identity: &Identity) -> Result<TokenAnswer, ApiError> {
        let (user, session) = (identity.user, identity.session);
        let record = self.store.session(session).await.map_err(|error| store_failed(&error))?;
        // Sessions are opened for our own tokens alone; a record of a host app's token only says that it was ended.
        let record = record.ok_or_else(|| {
            ApiError::forbidden("this token was made by the host app: ask it for a new one, it can't be refreshed here")
        })?;
        let now = self.powers.now();
        if record.ended || record.user != user || record.expires_at <= now {
            return Err(ApiError::unauthenticated("the session has ended"));
        }
        let account = self.store.account(AccountLookup::Id(user)).await.map_err(|error| store_failed(&error))?;
        let account = account.ok_or_else(|| ApiError::unauthenticated("the account is gone"))?;
        let expires_at = self.session_end(now);
        write(&*self.store, Write::ExtendSession { session, expires_at, now }).await.map_err(write_failed)?;
        self.answer(account.user, session, now, expires_at).await
    }

    /// Ends the session, with every token of it. A host app's token is refused from now on too.
    pub async fn logout(&self, identity: &Identity) -> Result<(), ApiError> {
        let Identity { session, user, expires_at, .. } = *identity;
        let end = Write::EndSession { session, user, expires_at, now: self.powers.now() };
        write(&*self.store, end).await.map(|_| ()).map_err(write_failed)
    }

    /// The person's sessions that stand, newest first, at most [`SESSIONS_MAX`]. Host apps' tokens have none here.
    pub async fn sessions(&self, identity: &Identity) -> Result<Vec<OpenSession>, ApiError> {
        let sessions = self.store.sessions(identity.user, self.powers.now(), SESSIONS_MAX).await;
        sessions.map_err(|error| store_failed(&error))
    }

    /// Ends a session of the same person, with every token and open connection of it. `not_found` for anything else.
    pub async fn end_session(&self, identity: &Identity, session: SessionId) -> Result<(), ApiError> {
        let record = self.store.session(session).await.map_err(|error| store_failed(&error))?;
        let mine = record.filter(|record| record.user == identity.user);
        let expires_at = mine.ok_or_else(|| ApiError::not_found("session"))?.expires_at;
        let end = Write::EndSession { session, user: identity.user, expires_at, now: self.powers.now() };
        write(&*self.store, end).await.map(|_| ()).map_err(write_failed)
    }

    /// A token for whoever has this e-mail address, made where needed: for the command line and for servers that vouch for their people. Nobody's
    /// password is asked for; the caller must hold the right to impersonate anybody.
    pub async fn issue_for_email(&self, email: &str, name: Option<&str>) -> Result<TokenAnswer, ApiError> {
        let email = normalize_email(email)?;
        let limits = &self.config.limits;
        let name = match name {
            Some(name) => normalize_name(name, limits)?,
            None => name_from_elsewhere(local_part(&email), limits).unwrap_or_else(|| email.clone()),
        };
        let user = self.new_user(email, name, None);
        self.sign_in_new(Write::EnsureUser(user), None).await
    }

    fn new_user(&self, email: String, name: String, password_hash: Option<String>) -> NewUser {
        NewUser {
            id: UserId::from_uuid(self.powers.new_uuid()),
            email: Some(email),
            name,
            password_hash,
            avatar_url: None,
            now: self.powers.now(),
        }
    }

    async fn sign_in_new(&self, user: Write, user_agent: Option<&str>) -> Result<TokenAnswer, ApiError> {
        match write(&*self.store, user).await.map_err(write_failed)? {
            Effect::UserReady { user, .. } => self.open_session(user, user_agent).await,
            other => Err(unexpected(&other)),
        }
    }

    fn require_local_accounts(&self) -> Result<(), ApiError> {
        match self.config.local_accounts {
            true => Ok(()),
            false => Err(ApiError::forbidden("there are no accounts with a password on this server")),
        }
    }
}
