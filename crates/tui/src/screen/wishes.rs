//! What the person wants, done: on this device at once, on the server beside the screen.

use anyhow::{Context as _, Result};
use tertulia_client::{Client, CommandError, HistoryVisibility, MessageRef, Person, Rest, RestError, UserId};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

use crate::account::{Account, Home};
use crate::app::sign_in::Wanted;
use crate::app::{News, Wish};
use crate::screen::live::Live;

/// Hits of a search that are shown.
const HITS_MAX: usize = 100;

pub struct Doer {
    pub client: Client,
    pub home: Home,
    pub account: Account,
    pub news: Sender<News>,
    pub live: Live,
    /// Questions to the server that are under way.
    pub asks: JoinSet<()>,
}

impl Doer {
    /// News of what did not go. Nothing here waits.
    pub fn perform(&mut self, wish: Wish) -> Option<News> {
        let done = match wish {
            Wish::Send { room, text, reply_to } => return self.send(room, text, reply_to),
            Wish::Edit { room, message, text } => match self.client.edit(room, message, text.as_str()) {
                Err(error) => return Some(News::GivenBack { room, text, why: error.to_string() }),
                Ok(()) => Ok(()),
            },
            Wish::Delete { room, message } => self.client.delete(room, message),
            Wish::React { room, message, emoji, remove } => match emoji.parse() {
                Ok(emoji) => self.client.react(room, message, emoji, remove),
                Err(error) => return Some(News::Failed(format!("{error}"))),
            },
            Wish::MarkRead(room, seq) => self.client.mark_read(room, seq),
            Wish::Mute(room, until) => self.client.mute(room, until),
            Wish::Draft(room, text) => self.client.set_draft(room, text),
            Wish::Typing(room, typing) => self.client.set_typing(room, typing),
            Wish::Retry(entry) => self.client.retry(entry),
            Wish::Discard(entry) => self.client.discard(entry),
            Wish::Connect => self.client.connect(),
            Wish::Open { room, peer } => {
                self.live.open(room, peer);
                Ok(())
            }
            Wish::MoreConversations => {
                self.live.more_conversations();
                Ok(())
            }
            Wish::MoreMessages => {
                self.live.more_messages();
                Ok(())
            }
            Wish::Search(text) => {
                return Some(match self.client.search(&text, None, HITS_MAX) {
                    Ok(hits) => News::Found { text, hits },
                    Err(error) => News::Failed(error.to_string()),
                });
            }
            Wish::OpenDm(_) | Wish::OpenGroup { .. } | Wish::SignIn(_) => {
                self.ask(wish);
                Ok(())
            }
            // The screen's own.
            Wish::LogOut | Wish::Quit => Ok(()),
        };
        done.err().map(|error| News::Failed(error.to_string()))
    }

    fn send(&self, room: tertulia_client::ConversationId, text: String, reply_to: Option<MessageRef>) -> Option<News> {
        let sent: Result<_, CommandError> = match reply_to {
            None => self.client.send(room, text.as_str()),
            Some(to) => self.client.reply(room, to, text.as_str()),
        };
        sent.err().map(|error| News::GivenBack { room, text, why: error.to_string() })
    }

    fn ask(&mut self, wish: Wish) {
        let (client, home, account, news) =
            (self.client.clone(), self.home.clone(), self.account.clone(), self.news.clone());
        self.asks.spawn(async move {
            let told = match wish {
                Wish::OpenDm(email) => match client.rest().open_dm(Person::Email(email)).await {
                    Ok(opened) => News::Opened(opened.id),
                    Err(error) => News::Failed(needs_the_server(&error)),
                },
                Wish::OpenGroup { title, emails } => match open_group(client.rest(), &title, emails).await {
                    Ok(id) => News::Opened(id),
                    Err(error) => News::Failed(format!("{error:#}")),
                },
                Wish::SignIn(wanted) => match sign_in_again(&client, &home, &account, wanted).await {
                    Ok(account) => News::SignedIn(account),
                    Err(error) => News::SignInFailed(format!("{error:#}")),
                },
                _ => return,
            };
            // The screen may be gone.
            let _ = news.send(told).await;
        });
    }

    /// Makes the session longer where it would end within days.
    pub fn refresh(&mut self, now_ms: i64) {
        if !self.account.is_due_for_refresh(now_ms) {
            return;
        }
        // Once in a process is enough, however it ends.
        self.account.expires_at = None;
        let (client, home, server) = (self.client.clone(), self.home.clone(), self.account.server.clone());
        self.asks.spawn(async move {
            if let Ok(answer) = client.rest().refresh().await {
                // The old token is good for a while yet.
                let _ = home.save(&Account::of_answer(&server, answer));
            }
        });
    }
}

fn needs_the_server(error: &RestError) -> String {
    match error {
        RestError::Unreachable(_) => "This needs the server, which can't be reached now".to_owned(),
        error => error.to_string(),
    }
}

async fn open_group(rest: &Rest, title: &str, emails: Vec<String>) -> Result<tertulia_client::ConversationId> {
    let mut members: Vec<UserId> = Vec::new();
    for email in emails {
        let found = rest.search_users(&email).await.map_err(|error| anyhow::anyhow!(needs_the_server(&error)))?;
        let is_it = |user: &&tertulia_client::User| {
            user.email.as_ref().is_some_and(|theirs| theirs.eq_ignore_ascii_case(&email))
        };
        members.push(found.iter().find(is_it).with_context(|| format!("{email}: nobody has this e-mail"))?.id);
    }
    let made = rest.create_group(title, members, HistoryVisibility::Joined).await;
    Ok(made.map_err(|error| anyhow::anyhow!(needs_the_server(&error)))?.id)
}

pub async fn sign_in(wanted: Wanted) -> Result<Account> {
    let rest = Rest::new(&wanted.server)?;
    let answer = match wanted.register {
        Some(name) => rest.register(&wanted.email, &wanted.password, &name).await?,
        None => rest.login(&wanted.email, &wanted.password).await?,
    };
    Ok(Account::of_answer(&wanted.server, answer))
}

async fn sign_in_again(client: &Client, home: &Home, held: &Account, wanted: Wanted) -> Result<Account> {
    let account = sign_in(wanted).await?;
    anyhow::ensure!(
        account.user_id == held.user_id,
        "another person's messages are here: sign out first (L in the list)"
    );
    home.save(&account)?;
    client.set_token(account.token.as_str())?;
    Ok(account)
}
