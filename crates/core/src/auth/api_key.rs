//! Keys with which other servers speak to this one: `tk_` and 32 random bytes. Only a digest is kept; it needs no salt and no slow hash, since
//! nobody guesses 256 random bits, and it makes the key an index: no secret is compared with another.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tertulia_proto::{ApiError, ApiKeyId, Timestamp, UserId};
use tertulia_store::{AccountLookup, KeptApiKey, NewUser, Write};

use super::Auth;
use super::field::{normalize_email, normalize_name};
use super::scope::{Scope, Scopes};
use crate::write::{store_failed, write, write_failed};

const PREFIX: &str = "tk_";

/// Keys that are read at a time.
const PAGE: usize = 200;

/// A key at the only moment it can be seen.
pub struct NewApiKey {
    pub id: ApiKeyId,
    pub token: String,
}

impl fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A server that speaks to this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyIdentity {
    pub id: ApiKeyId,
    pub name: String,
    pub scopes: Scopes,
    /// Whom it acts for, and nobody else; `None` for one that says it with each call.
    pub user: Option<UserId>,
}

impl ApiKeyIdentity {
    /// `forbidden`, with the scope's name, unless the key has it.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        match self.scopes.allows(scope) {
            true => Ok(()),
            false => Err(ApiError::forbidden(format!("the API key lacks the scope {scope}"))),
        }
    }
}

/// A key that stands, without what opens with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedApiKey {
    pub id: ApiKeyId,
    pub name: String,
    /// Those that this version knows.
    pub scopes: Scopes,
    /// Whom it acts for, and nobody else.
    pub user: Option<UserId>,
    pub created_at: Timestamp,
}

impl From<KeptApiKey> for ListedApiKey {
    fn from(key: KeptApiKey) -> Self {
        let scopes = Scopes::from_stored(&key.scopes, key.user.is_some());
        Self { id: key.id, name: key.name, scopes, user: key.user, created_at: key.created_at }
    }
}

/// Whether a bearer's token is meant to be an API key rather than a person's token.
pub fn is_api_key(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// Before anything is made for a key that acts for one person.
fn stay_with_one(scopes: Scopes) -> Result<(), ApiError> {
    match [Scope::TokensWrite, Scope::Admin].into_iter().find(|scope| scopes.allows(*scope)) {
        Some(beyond) => {
            let why = format!("scopes: {beyond} reaches beyond one person, and this key is to act for one");
            Err(ApiError::invalid(why))
        }
        None => Ok(()),
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl Auth {
    /// A key that says with each call whom it acts for.
    pub async fn create_api_key(&self, name: &str, scopes: Scopes) -> Result<NewApiKey, ApiError> {
        self.insert_api_key(name, scopes, (None, None)).await
    }

    /// A key that acts for one person. It may not do what reaches beyond them.
    pub async fn create_api_key_of(&self, name: &str, scopes: Scopes, user: UserId) -> Result<NewApiKey, ApiError> {
        stay_with_one(scopes)?;
        self.insert_api_key(name, scopes, (Some(user), None)).await
    }

    /// Somebody without e-mail and password, for whom nobody but a key can act; and that key.
    pub async fn create_bot(&self, bot: &str, name: &str, scopes: Scopes) -> Result<(UserId, NewApiKey), ApiError> {
        stay_with_one(scopes)?;
        let id = UserId::from_uuid(self.powers.new_uuid());
        let bot = normalize_name(bot, &self.config.limits)?;
        let new = NewUser { id, email: None, name: bot, password_hash: None, avatar_url: None, now: self.powers.now() };
        Ok((id, self.insert_api_key(name, scopes, (Some(id), Some(Box::new(new)))).await?))
    }

    /// The person of an e-mail.
    pub async fn user_by_email(&self, email: &str) -> Result<UserId, ApiError> {
        let lookup = AccountLookup::Email(normalize_email(email)?);
        let found = self.store.account(lookup).await.map_err(|error| store_failed(&error))?;
        found.map(|account| account.user.id).ok_or_else(|| ApiError::not_found("user"))
    }

    async fn insert_api_key(
        &self,
        name: &str,
        scopes: Scopes,
        (user, bot): (Option<UserId>, Option<Box<NewUser>>),
    ) -> Result<NewApiKey, ApiError> {
        let name = normalize_name(name, &self.config.limits)?;
        let id = ApiKeyId::from_uuid(self.powers.new_uuid());
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.powers.bytes::<32>()));
        let (scopes, now) = (scopes.to_stored(user.is_some()), self.powers.now());
        let create = Write::CreateApiKey { id, hash: digest(&token), name, scopes, user, bot, now };
        write(&*self.store, create).await.map_err(write_failed)?;
        Ok(NewApiKey { id, token })
    }

    /// All keys that stand, without what opens with them. For who has the shell of the server.
    pub async fn api_keys(&self) -> Result<Vec<ListedApiKey>, ApiError> {
        let mut found: Vec<ListedApiKey> = Vec::new();
        loop {
            let above = found.last().map(|key| key.id);
            let page = self.store.api_keys(above, PAGE).await.map_err(|error| store_failed(&error))?;
            let is_last = page.len() < PAGE;
            found.extend(page.into_iter().map(ListedApiKey::from));
            if is_last {
                return Ok(found);
            }
        }
    }

    /// From now on the key is refused. `not_found` where there is no such key any more.
    pub async fn revoke_api_key(&self, id: ApiKeyId) -> Result<(), ApiError> {
        let revoke = Write::RevokeApiKey { id, now: self.powers.now() };
        write(&*self.store, revoke).await.map(|_| ()).map_err(write_failed)
    }

    pub async fn authenticate_api_key(&self, token: &str) -> Result<ApiKeyIdentity, ApiError> {
        let refused = || ApiError::unauthenticated("the API key is not known here or was revoked");
        let secret = token.strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        if secret.is_none_or(|secret| secret.len() != 32) {
            return Err(refused());
        }
        let record = self.store.api_key(digest(token)).await.map_err(|error| store_failed(&error))?;
        let record = record.ok_or_else(refused)?;
        Ok(ApiKeyIdentity {
            id: record.id,
            name: record.name,
            scopes: Scopes::from_stored(&record.scopes, record.user.is_some()),
            user: record.user,
        })
    }
}
