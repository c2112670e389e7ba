//! `tertulia move` with the real binary: a chat that goes on elsewhere, with the same tokens and cursors.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;
use tertulia_proto::ConversationId;
use tertulia_testkit::{Api, Options, Person, Postgres, PostgresOptions, Server};

const BINARY: &str = env!("CARGO_BIN_EXE_tertulia");

fn on_postgres(postgres: &Postgres) -> Options {
    Options::new(BINARY).env("TERTULIA_DATABASE_URL", postgres.url("chat")).env("TERTULIA_DATABASE_PARTITIONS", 4)
}

fn folder(server: &Server) -> String {
    format!("sqlite:{}", server.folder().path().display())
}

fn moving(from: &str, to: &str, more: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["move", "--from", from, "--to", to]).args(more).stdin(Stdio::null());
    command.env("TERTULIA_DATABASE_PARTITIONS", "4");
    command
}

/// The exit code, and all that was said.
fn ended(mut command: Command) -> Result<(i32, String)> {
    let Output { status, stdout, stderr } = command.output()?;
    let said = [stdout, stderr].concat();
    Ok((status.code().context("it was killed")?, String::from_utf8_lossy(&said).into_owned()))
}

/// Starts no server there; why.
async fn refused(server: &mut Server) -> Result<String> {
    server.spawn()?;
    let status = server.ended().await?;
    ensure!(status.code() == Some(1), "{status}");
    Ok(server.log())
}

struct Chat {
    alice: Person,
    bob: Person,
    group: ConversationId,
    cursor: String,
    epoch: String,
    key: String,
}

impl Chat {
    async fn begin(server: &Server) -> Result<Self> {
        let alice = server.register("alice", "correct horse battery").await?;
        let bob = server.person("bob").await?;
        let api = server.api(&alice);
        let group = api.group("kitchen", std::slice::from_ref(&bob)).await?.id;
        for number in 1..=20 {
            api.send(group, &format!("m{number}"), &format!("number {number}")).await?;
        }
        let first = api.difference(None).await?;
        for number in 21..=30 {
            api.send(group, &format!("m{number}"), &format!("number {number}")).await?;
        }
        let old = api.history_after(group, 0).await?;
        api.edit(group, old[2].message_id, "three").await?;
        let path = |at: usize| format!("/api/v1/conversations/{group}/messages/{}", old[at].message_id);
        api.delete(&path(4)).await?;
        let answer = api.call(Method::PUT, &format!("{}/reactions/👍", path(6)), None).await?;
        ensure!(answer.status < 300, "{answer:?}");
        let said = server.run(&["apikey", "create", "--name", "shop", "--scopes", "tokens:write"]).await?;
        let key = said.lines().last().context("a key")?.to_owned();
        Ok(Self { alice, bob, group, cursor: first.cursor.to_string(), epoch: first.epoch.to_string(), key })
    }

    /// As if nothing had happened.
    async fn goes_on(&mut self, server: &Server, name: &str) -> Result<()> {
        let api = server.api(&self.alice);
        let before = api.history_after(self.group, 0).await?;
        let pages = api.differences(Some(&self.cursor)).await?;
        ensure!(pages.iter().all(|page| !page.reset && page.epoch.to_string() == self.epoch), "{pages:?}");
        let told: Vec<_> = pages.iter().flat_map(|page| &page.conversations).flat_map(|one| &one.messages).collect();
        // Ten new ones and three that were changed, at first; since then what was said in each home.
        ensure!(told.len() == before.len() - 20 + 3, "{} of {}: {told:?}", told.len(), before.len());
        let quiet = api.difference(pages.last().map(|page| page.cursor.as_str())).await?;
        ensure!(quiet.conversations.is_empty() && !quiet.reset, "{quiet:?}");
        let repeated = api.send(self.group, "m7", "number 7").await?;
        ensure!(repeated == before[6], "{repeated:?}");
        let fresh = api.send(self.group, name, name).await?;
        ensure!(fresh.seq == before.last().context("messages")?.seq + 1, "{fresh:?}");
        let next = server.api(&self.bob).difference(Some(quiet.cursor.as_str())).await?;
        ensure!(!next.reset && next.conversations.iter().any(|one| one.messages.contains(&fresh)), "{next:?}");
        let login = json!({ "email": self.alice.email, "password": "correct horse battery" });
        ensure!(api.post("/auth/login", &login).await?.status == 200, "the password");
        let ask = json!({ "email": "carol@example.org", "name": "carol" });
        let made = Api::new(reqwest::Client::new(), server.url(), &self.key).post("/api/v1/tokens", &ask).await?;
        ensure!(made.status < 300, "the key: {made:?}");
        let path = format!("/api/v1/search?q=number&conversationId={}&limit=50", self.group);
        let found = async || anyhow::Ok(api.get(&path).await?.body.to_string().matches("\"messageId\"").count());
        tertulia_testkit::within("the search has caught up", async {
            while found().await? < 28 {}
            anyhow::Ok(())
        })
        .await??;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_moves_to_postgresql_and_back_and_nobody_notices() -> Result<()> {
    let postgres = Postgres::start(PostgresOptions::default())?;
    postgres.create("chat")?;
    let mut first = Server::start(Options::new(BINARY)).await?;
    let mut chat = Chat::begin(&first).await?;
    let (from, database) = (folder(&first), postgres.url("chat"));
    for more in [&["--dry-run"][..], &[]] {
        let (code, said) = ended(moving(&from, &database, more))?;
        ensure!(code == 3 && said.contains("another server runs"), "{code} {said}");
    }
    first.terminate().await?;
    let before = std::fs::read(first.folder().path().join("tertulia.db"))?;
    let (code, said) = ended(moving(&from, &database, &["--dry-run"]))?;
    ensure!(code == 0 && said.contains("nothing was changed") && said.contains("messages"), "{code} {said}");
    ensure!(std::fs::read(first.folder().path().join("tertulia.db"))? == before, "the file is as it was");
    ensure!(postgres.psql("chat", "SELECT count(*) FROM pg_class WHERE relname = 'log_state'")? == "0");

    let (code, said) = ended(moving(&from, &database, &[]))?;
    ensure!(code == 0 && said.contains("must not be served any more"), "{code} {said}");
    let why = refused(&mut first).await?;
    ensure!(why.contains("was moved to postgres://") && why.contains("--new-epoch"), "{why}");
    let mut second = Server::start(on_postgres(&postgres)).await?;
    chat.goes_on(&second, "on-postgresql").await?;

    let mut third = Server::new(Options::new(BINARY))?;
    let back = folder(&third);
    let (code, said) = ended(moving(&database, &back, &[]))?;
    ensure!(code == 3 && said.contains("is being served"), "{code} {said}");
    second.terminate().await?;
    let (code, said) = ended(moving(&database, &back, &[]))?;
    ensure!(code == 0, "{code} {said}");
    let (code, said) = ended(moving(&database, &back, &[]))?;
    ensure!(code == 3 && said.contains("was moved to sqlite:"), "{code} {said}");
    let why = refused(&mut second).await?;
    ensure!(why.contains("was moved to sqlite:"), "{why}");
    third.launch().await?;
    chat.goes_on(&third, "on-sqlite-again").await?;
    third.terminate().await?;
    ensure!(third.run(&["doctor"]).await?.contains("sound"));
    // What was left can go on as another log.
    first.run(&["doctor", "--new-epoch"]).await?;
    second.run(&["doctor", "--new-epoch"]).await?;
    for server in [&mut first, &mut second] {
        server.launch().await?;
        ensure!(server.api(&chat.alice).difference(None).await?.epoch.to_string() != chat.epoch);
    }
    Ok(())
}

/// Kills the command as soon as it says this; `false` where it had ended before.
fn killed_at(mut command: Command, line: &str) -> Result<bool> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take().context("no standard error")?;
    let heard = BufReader::new(stderr).lines().map_while(Result::ok).any(|said| said.starts_with(line));
    child.kill()?;
    Ok(!child.wait()?.success() && heard)
}

const LINES: [&str; 8] = [
    "the move begins",
    "moving conversations",
    "moving messages",
    "moving message_keys",
    "comparing users",
    "comparing conversations",
    "both ends are the same",
    "moving messages",
];

async fn talk(server: &Server, chat: &Chat, count: usize) -> Result<()> {
    let mut socket = server.connect(&chat.bob).await?;
    let mut last = 0;
    for number in 0..count {
        let fields =
            json!({ "conversationId": chat.group, "clientMsgId": format!("many-{number}"), "body": "one of many" });
        last = socket.feed("message.send", fields).await?;
        // As many as the server takes at once.
        if number % 32 == 31 {
            socket.flush().await?;
            socket.answer(last).await??;
        }
    }
    socket.flush().await?;
    socket.answer(last).await??;
    socket.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_killed_again_and_again_goes_on_and_nothing_is_there_twice() -> Result<()> {
    let postgres = Postgres::start(PostgresOptions::default())?;
    postgres.create("chat")?;
    let mut first = Server::start(Options::new(BINARY)).await?;
    let mut chat = Chat::begin(&first).await?;
    talk(&first, &chat, 3000).await?;
    chat.cursor = first.api(&chat.alice).differences(None).await?.pop().context("a page")?.cursor.to_string();
    first.terminate().await?;
    let (from, database) = (folder(&first), postgres.url("chat"));
    let mut second = Server::new(on_postgres(&postgres))?;
    let mut kills = 0;
    for line in LINES {
        if killed_at(moving(&from, &database, &[]), line)? {
            kills += 1;
            if line == "moving messages" {
                let why = refused(&mut second).await?;
                ensure!(
                    why.contains("unfinished destination") && why.contains("tertulia move --from sqlite:"),
                    "{why}"
                );
            }
        }
    }
    ensure!(kills >= 4, "{kills} kills");
    let (code, said) = ended(moving(&from, &database, &[]))?;
    ensure!(code == 0 || said.contains("was moved to"), "{code} {said}");
    second.launch().await?;
    ensure!(
        postgres.psql("chat", "SELECT count(*), count(DISTINCT (conversation_id, seq)), max(seq) FROM messages")?
            == "3030|3030|3030"
    );
    let (api, group) = (second.api(&chat.alice), chat.group);
    let page = api.difference(Some(&chat.cursor)).await?;
    ensure!(!page.reset && page.conversations.is_empty(), "{page:?}");
    let fresh = api.send(group, "fresh", "fresh").await?;
    ensure!(fresh.seq == 3031, "{fresh:?}");
    Ok(())
}

#[tokio::test]
async fn who_asks_for_what_can_not_be_moved_is_told_what_to_do_and_no_secret() -> Result<()> {
    let empty = Server::new(Options::new(BINARY))?;
    let nowhere = folder(&empty);
    let secret = "postgres://me:geheim@127.0.0.1:1/chat";
    let (code, said) = ended(moving(&nowhere, secret, &[]))?;
    ensure!(code == 3 && said.contains("there is no log in") && !said.contains("geheim"), "{code} {said}");
    for (from, to) in [(secret, nowhere.as_str()), (nowhere.as_str(), "mysql://me:geheim@host/chat")] {
        for more in [&[][..], &["--dry-run"]] {
            let (code, said) = ended(moving(from, to, more))?;
            ensure!(code == 3 && !said.contains("geheim"), "{code} {said}");
        }
    }
    let (code, said) = ended(moving(&nowhere, &nowhere, &[]))?;
    ensure!(code == 3 && said.contains("the same"), "{code} {said}");
    Ok(())
}
