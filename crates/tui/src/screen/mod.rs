//! The program for people: the terminal, the client and the state between them. It waits for news and draws; it waits for nothing else.

mod live;
mod terminal;
mod wishes;

use std::future::poll_fn;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use anyhow::Result;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use jiff::tz::TimeZone;
use tertulia_client::{ConnectionState, Timestamp};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::account::{Account, Home};
use crate::app::sign_in::{Answer, Form};
use crate::app::{App, News, Wish};
use crate::screen::live::Live;
use crate::screen::terminal::Screen;
use crate::screen::wishes::{Doer, sign_in};
use crate::view;

/// Countdowns, notices and drafts go by it.
const TICK: Duration = Duration::from_millis(500);

/// News taken before the screen is drawn again.
const NEWS_AT_ONCE: usize = 256;

enum End {
    Quit,
    LogOut,
}

struct Input {
    events: EventStream,
    /// Asked to end, or the terminal is gone.
    terminate: Signal,
    hang_up: Signal,
}

impl Input {
    fn new() -> Result<Self> {
        Ok(Self {
            events: EventStream::new(),
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// `None`: the end.
    async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            event = self.events.next() => event?.ok(),
            _ = self.terminate.recv() => None,
            _ = self.hang_up.recv() => None,
        }
    }

    /// What has come already. With the waker of this task: the stream keeps the one it is first asked with.
    async fn next_now(&mut self) -> Option<Event> {
        poll_fn(|context| match self.events.poll_next_unpin(context) {
            Poll::Ready(event) => Poll::Ready(event),
            Poll::Pending => Poll::Ready(None),
        })
        .await?
        .ok()
    }
}

fn news_of(event: Event) -> Option<News> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(News::Key(key)),
        Event::Paste(text) => Some(News::Paste(text)),
        Event::Resize(width, height) => Some(News::Size(width, height)),
        Event::FocusGained => Some(News::Looked(true)),
        Event::FocusLost => Some(News::Looked(false)),
        _ => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: here time comes in")]
fn now() -> Timestamp {
    Timestamp::from_ms(jiff::Timestamp::now().as_millisecond())
}

/// `server`: what the form for signing in begins with.
pub async fn run(home: &Home, server: Option<&str>) -> Result<ExitCode> {
    // What is wrong with the folder is said before the screen is taken.
    home.account()?;
    let mut screen = Screen::take_over()?;
    let mut input = Input::new()?;
    loop {
        let account = match home.account()? {
            Some(account) => account,
            None => {
                let Some(account) = ask(&mut screen, &mut input, server.unwrap_or("")).await? else { break };
                home.save(&account)?;
                account
            }
        };
        match chat(home, &account, &mut screen, &mut input).await? {
            End::Quit => break,
            End::LogOut => home.wipe()?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The form, until somebody is signed in or leaves.
async fn ask(screen: &mut Screen, input: &mut Input, server: &str) -> Result<Option<Account>> {
    let mut form = Form::new(server, "");
    let mut asks: JoinSet<Result<Account>> = JoinSet::new();
    loop {
        screen.draw(|buffer| view::draw_sign_in(&form, buffer))?;
        tokio::select! {
            event = input.next() => match event {
                None => return Ok(None),
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => match form.key(key) {
                    Answer::Stay => {}
                    Answer::Leave => return Ok(None),
                    Answer::Ask(wanted) => drop(asks.spawn(sign_in(wanted))),
                },
                Some(Event::Paste(text)) => form.paste(&text),
                Some(_) => {}
            },
            Some(answered) = asks.join_next() => match answered? {
                Ok(account) => return Ok(Some(account)),
                Err(error) => form.refused(format!("{error:#}")),
            },
        }
    }
}

async fn chat(home: &Home, account: &Account, screen: &mut Screen, input: &mut Input) -> Result<End> {
    let client = home.open(account)?;
    let (live, news, mut coming) = Live::start(&client);
    client.connect()?;
    let mut app = App::new(account, TimeZone::system(), now(), screen.size()?);
    let mut doer =
        Doer { client: client.clone(), home: home.clone(), account: account.clone(), news, live, asks: JoinSet::new() };
    let mut ticks = tokio::time::interval(TICK);
    let end = 'screen: loop {
        screen.draw(|buffer| view::draw(&app, buffer))?;
        let mut next = tokio::select! {
            event = input.next() => match event {
                None => break 'screen End::Quit,
                Some(event) => news_of(event),
            },
            news = coming.recv() => news,
            Some(_) = doer.asks.join_next() => None,
            _ = ticks.tick() => Some(News::Tick { next_try_in_ms: client.next_try_in_ms()? }),
        };
        for _ in 0..NEWS_AT_ONCE {
            let Some(news) = next else { break };
            if let Some(end) = take(&mut app, &mut doer, news) {
                break 'screen end;
            }
            next = match coming.try_recv() {
                Ok(news) => Some(news),
                Err(_) => input.next_now().await.and_then(news_of),
            };
        }
    };
    drop(doer);
    match end {
        End::LogOut => {
            app.say("Signing out…");
            screen.draw(|buffer| view::draw(&app, buffer))?;
            client.log_out().await?;
        }
        End::Quit => {}
    }
    client.close().await;
    Ok(end)
}

/// One piece of news and all that follows from it.
fn take(app: &mut App, doer: &mut Doer, news: News) -> Option<End> {
    if matches!(news, News::Connection(ConnectionState::Connected { caught_up: true })) {
        doer.refresh(now().ms());
    }
    let mut wishes: std::collections::VecDeque<Wish> = app.take(now(), news).into();
    let mut end = None;
    while let Some(wish) = wishes.pop_front() {
        match wish {
            Wish::Quit => end = Some(End::Quit),
            Wish::LogOut => end = Some(End::LogOut),
            wish => {
                if let Some(news) = doer.perform(wish) {
                    wishes.extend(app.take(now(), news));
                }
            }
        }
    }
    end
}
