//! What an operator does from the shell, beside a running server or without one.

use anyhow::{Context as _, bail};
use tertulia_core::auth::{ListedApiKey, Scope, Scopes};
use tertulia_proto::{ApiError, ErrorCode};

use crate::settings::Settings;
use crate::wiring::{self, Parts};

/// Makes the person where needed and prints a token as its last line.
pub async fn token(settings: &Settings, email: &str, name: Option<&str>) -> anyhow::Result<String> {
    let parts = wiring::open(settings, false).await?;
    Ok(parts.services.auth().issue_for_email(email, name).await?.token)
}

pub async fn add_user(settings: &Settings, email: &str, name: &str) -> anyhow::Result<String> {
    let mut password = String::new();
    std::io::stdin().read_line(&mut password).context("the password is read from standard input")?;
    let parts = wiring::open(settings, false).await?;
    let answer = parts.services.auth().register(email, password.trim_end_matches(['\r', '\n']), name, None).await?;
    Ok(answer.user.id.to_string())
}

/// Whom a key acts for.
pub enum Whose {
    /// Each call says so.
    Anybodys,
    /// The person's with this e-mail.
    Persons(String),
    /// Of somebody who is made for it.
    Bots(String),
}

impl Whose {
    pub fn of(email: Option<String>, bot: Option<String>) -> Self {
        email.map(Self::Persons).or(bot.map(Self::Bots)).unwrap_or(Self::Anybodys)
    }
}

/// What a bot needs to read and to answer.
const BOTS_SCOPES: &str = "chat:read,chat:write";

/// The key is the last line. A bot's key has the bot's name and what bots need, unless said.
pub async fn create_api_key(
    settings: &Settings,
    name: Option<&str>,
    scopes: Option<&str>,
    whose: Whose,
) -> anyhow::Result<String> {
    let (name, scopes) = match &whose {
        Whose::Bots(bot) => (name.unwrap_or(bot), scopes.unwrap_or(BOTS_SCOPES)),
        Whose::Anybodys | Whose::Persons(_) => {
            (name.context("--name is needed")?, scopes.context("--scopes are needed")?)
        }
    };
    let scopes: Scopes = scopes.parse().map_err(|e| anyhow::anyhow!("--scopes: {e}"))?;
    let parts = wiring::open(settings, false).await?;
    let auth = parts.services.auth();
    let (key, user) = match &whose {
        Whose::Anybodys => (auth.create_api_key(name, scopes).await?, None),
        Whose::Persons(email) => {
            let user = auth
                .user_by_email(email)
                .await
                .map_err(|error| where_not_found(error, || format!("there is nobody with the e-mail {email}")));
            let user = user.context("--as-user")?;
            (auth.create_api_key_of(name, scopes, user).await?, Some(user))
        }
        Whose::Bots(bot) => {
            let (user, key) = auth.create_bot(bot, name, scopes).await.context("--bot")?;
            (key, Some(user))
        }
    };
    let user = user.map(|user| format!("user {user}\n")).unwrap_or_default();
    Ok(format!("id {}\n{user}{}", key.id, key.token))
}

pub async fn revoke_api_key(settings: &Settings, id: &str) -> anyhow::Result<()> {
    let parsed = id.parse().map_err(|e| anyhow::anyhow!("--id: {e}"))?;
    let parts = wiring::open_existing(settings).await?;
    let revoked = parts.services.auth().revoke_api_key(parsed).await;
    revoked.map_err(|error| where_not_found(error, || format!("there is no API key {id}")))
}

/// A line each, without what opens with them.
pub async fn list_api_keys(settings: &Settings) -> anyhow::Result<String> {
    let parts = wiring::open_existing(settings).await?;
    let keys = parts.services.auth().api_keys().await?;
    let line = |key: &ListedApiKey| {
        let scopes: Vec<&str> = key.scopes.iter().map(Scope::as_str).collect();
        let whose = key.user.map_or_else(|| "anybody".to_owned(), |user| user.to_string());
        // The name last: it may have spaces in it.
        format!("{} created {} acts for {whose} scopes {} name {}", key.id, key.created_at, scopes.join(","), key.name)
    };
    Ok(keys.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// In the operator's own shell there is nothing that is not for them to see.
pub fn where_not_found(error: ApiError, what: impl FnOnce() -> String) -> anyhow::Error {
    if error.code == ErrorCode::NotFound { anyhow::anyhow!(what()) } else { error.into() }
}

pub async fn migrate(settings: &Settings) -> anyhow::Result<String> {
    let Parts { home, .. } = wiring::open(settings, false).await?;
    let state = home.store().log_state().await?;
    let what = match &settings.database_url {
        Some(_) => "the database".to_owned(),
        None => settings.data.join("tertulia.db").display().to_string(),
    };
    Ok(format!("{what} is up to date, at position {}", state.position))
}

/// Looks at the file with SQLite's own checks and asks the rows about the promises.
pub async fn doctor(settings: &Settings, new_epoch: bool) -> anyhow::Result<String> {
    if let Some(url) = settings.database_url.as_deref().filter(|_| new_epoch) {
        tertulia_store_postgres::portable::renew_epoch(url, &crate::powers::powers().bytes()).await?;
        return Ok("the log has a new epoch, and every client will start over".into());
    }
    if settings.database_url.is_some() {
        bail!("doctor looks at the file of an embedded database; PostgreSQL has its own tools (pg_amcheck)");
    }
    settings.is_there()?;
    let found = tertulia_store_sqlite::maintenance::check(&settings.data)?;
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    if new_epoch {
        tertulia_store_sqlite::maintenance::renew_epoch(&settings.data, &crate::powers::powers().bytes())?;
        return Ok("the database is sound; it has a new epoch, and every client will start over".into());
    }
    Ok("the database is sound".into())
}
