//! Signing in and out.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tertulia_client::{Client, Rest};

use super::{connected, print};
use crate::account::{Account, Home};
use crate::arguments::SignIn;
use crate::text::one_line;

pub async fn sign_in(home: &Home, arguments: SignIn) -> Result<ExitCode> {
    let account = answered(arguments).await?;
    keep(home, &account)?;
    let client = home.open(&account)?;
    connected(&client).await.context("signed in, but nothing came yet")?;
    client.close().await;
    print(&format!("signed in as {}", one_line(account.email.as_deref().unwrap_or(&account.name))))?;
    Ok(ExitCode::SUCCESS)
}

fn keep(home: &Home, account: &Account) -> Result<()> {
    if let Some(held) = home.account()?
        && (held.user_id != account.user_id || held.server != account.server)
    {
        bail!("{} of {} is signed in here: `tertulia-tui log-out` first", one_line(&held.name), held.server);
    }
    home.save(account)
}

/// Signs in with a token; whose it is the server says.
pub async fn with_token(home: &Home, server: &str, token: String) -> Result<()> {
    keep(home, &of_token(server.trim().trim_end_matches('/'), token).await?)
}

async fn of_token(server: &str, token: String) -> Result<Account> {
    let client = Client::builder(server).token(token.as_str()).open()?;
    let me = client.rest().me().await?;
    Ok(Account::of_token(server, token, me))
}

async fn answered(arguments: SignIn) -> Result<Account> {
    let SignIn { server, email, token, register, .. } = arguments;
    let server = server.trim().trim_end_matches('/');
    if let Some(token) = token {
        return of_token(server, token).await;
    }
    let email = email.context("--email")?;
    let mut password = String::new();
    std::io::stdin().read_line(&mut password)?;
    let password = password.trim_end_matches(['\r', '\n']);
    let rest = Rest::new(server)?;
    let answer = match register {
        Some(name) => rest.register(&email, password, &name).await?,
        None => rest.login(&email, password).await?,
    };
    Ok(Account::of_answer(server, answer))
}

pub async fn log_out(home: &Home) -> Result<ExitCode> {
    if let Some(account) = home.account()? {
        let client = home.open(&account)?;
        client.log_out().await?;
        client.close().await;
    }
    home.wipe()?;
    Ok(ExitCode::SUCCESS)
}
