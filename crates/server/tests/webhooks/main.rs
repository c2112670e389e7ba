//! Other programs that are told by the real binary: signatures, order, failures, and servers that are killed.

mod answers;
mod receiver;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tertulia_proto::Conversation;
use tertulia_proto::trace::{MessageTrace, RequestOutcome, TracedRequest};
use tertulia_testkit::{Api, Options, Person, Postgres, PostgresOptions, Server, until};
use tokio::task::JoinSet;

use crate::receiver::{Mood, Receiver};

const TERTULIA: &str = env!("CARGO_BIN_EXE_tertulia");

fn options() -> Options {
    Options::new(TERTULIA)
        .env("TERTULIA_WEBHOOKS__PRIVATE_ADDRESSES", "on")
        .env("TERTULIA_WEBHOOKS__CONNECT_TIMEOUT_MS", 10_000)
        .env("TERTULIA_WEBHOOKS__TIMEOUT_MS", 30_000)
        .env("TERTULIA_JOBS__LEASE_MS", 1000)
        .env("TERTULIA_JOBS__POLL_MS", 50)
}

/// For whoever tells endpoints that hang, or dies while a request is under way.
fn hasty() -> Options {
    options().env("TERTULIA_WEBHOOKS__CONNECT_TIMEOUT_MS", 2000).env("TERTULIA_WEBHOOKS__TIMEOUT_MS", 2000)
}

/// An endpoint at the receiver; its id.
async fn listen(server: &Server, receiver: &Receiver, events: &str) -> Result<String> {
    let said = server.run(&["webhooks", "add", "--url", &receiver.url(), "--events", events]).await?;
    let (first, secret) = said.split_once('\n').context("an id and a secret")?;
    receiver.knows(secret)?;
    Ok(first.strip_prefix("id ").context("an id")?.to_owned())
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

fn bodies(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["data"]["message"]["body"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_told_in_order_and_signed() -> Result<()> {
    let server = Server::start(options()).await?;
    let receiver = Receiver::start().await?;
    let id = listen(&server, &receiver, "message.*,conversation.*,user.*").await?;
    let people = server.people(["alice", "bob"]).await?;
    let (alice, bob) = (server.api(&people[0]), server.api(&people[1]));
    let group = alice.group("Trip", &people[1..]).await?;
    let message = alice.send(group.id, "1", "hello").await?;
    until("the message is told", || kinds(&receiver.taken()).contains(&"message.created")).await?;
    alice.edit(group.id, message.message_id, "hello!").await?;
    bob.send(group.id, "2", "hi").await?;
    alice.patch(&format!("/api/v1/conversations/{}", group.id), &json!({ "title": "Journey" })).await?;
    alice.delete(&format!("/api/v1/conversations/{}/members/{}", group.id, people[1].id)).await?;
    until("all is told", || kinds(&receiver.taken()).contains(&"conversation.member_removed")).await?;
    let events = receiver.taken();
    let of_group: Vec<Value> =
        events.iter().filter(|event| event["conversationId"] == json!(group.id)).cloned().collect();
    ensure!(
        kinds(&of_group)
            == [
                "conversation.created",
                "message.created",
                "message.updated",
                "message.created",
                "conversation.updated",
                "conversation.member_removed"
            ],
        "{of_group:#?}"
    );
    ensure!(of_group.iter().is_sorted_by_key(|event| event["rev"].as_i64()));
    ensure!(bodies(&of_group)[1..] == ["hello!", "hi"]);
    ensure!(of_group[5]["data"]["member"]["name"] == "bob" && of_group[5]["data"]["member"]["removed"] == true);
    let made = || receiver.taken().iter().filter(|event| event["type"] == "user.created").count();
    until("people are told of", || made() == 2).await?;

    // A rotation: two signatures, then the new one alone.
    receiver.knows(server.run(&["webhooks", "rotate", &id]).await?.lines().last().context("a secret")?)?;
    bob.dm(&people[0]).await?;
    until("the next is told", || receiver.requests().iter().any(|request| request.signatures == 2)).await?;
    server.run(&["webhooks", "rotate", &id, "--finish"]).await?;
    let so_far = receiver.requests().len();
    alice.send(group.id, "3", "alone").await?;
    until("the next is told", || receiver.requests().len() > so_far).await?;
    ensure!(receiver.requests().last().map(|request| request.signatures) == Some(1));
    ensure!(receiver.complaints().is_empty(), "{:?}", receiver.complaints());
    let listed = server.run(&["webhooks", "list"]).await?;
    ensure!(listed.contains(&format!("{id} on")) && !listed.contains("whsec_"), "{listed}");
    let events = server.run(&["webhooks", "events", "--limit", "2"]).await?;
    let last = events.split_whitespace().last().context("an id")?;
    let older = server.run(&["webhooks", "events", "--before", last, "--limit", "200"]).await?;
    let ids =
        |text: &str| text.lines().filter_map(|line| line.split(' ').next_back().map(str::to_owned)).collect::<Vec<_>>();
    let all = server.run(&["webhooks", "events", "--limit", "200"]).await?;
    ensure!(all.contains("conversation.member_removed"), "{all}");
    ensure!(ids(&events).len() == 2 && [ids(&events), ids(&older)].concat() == ids(&all), "{all}");
    ensure!(alice.metric(&format!("tertulia_webhook_on{{endpoint=\"{id}\"}}")).await? == 1);
    ensure!(!server.log().contains("hello") && !server.log().contains(&receiver.url()), "{}", server.log());
    server.run(&["webhooks", "remove", &id]).await?;
    ensure!(server.run(&["webhooks", "list"]).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_is_tried_again_switched_off_and_goes_on_where_it_stood() -> Result<()> {
    let server = Server::start(hasty().env("TERTULIA_WEBHOOKS__WAITS_S", "1,1,1,1,1")).await?;
    let receiver = Receiver::start().await?;
    let id = listen(&server, &receiver, "message.created").await?;
    let people = server.people(["alice", "bob"]).await?;
    let alice = server.api(&people[0]);
    let dm = alice.dm(&people[1]).await?;
    let mut sent = 0;
    // Each in turn, and then it takes them.
    for mood in [Mood::Answers(500), Mood::Hangs, Mood::Redirects, Mood::AsksToWait(2), Mood::Answers(404)] {
        receiver.is(mood.clone());
        let so_far = receiver.requests().len();
        sent += 1;
        alice.send(dm.id, &sent.to_string(), &sent.to_string()).await?;
        until(&format!("{mood:?} is met"), || receiver.requests().len() > so_far).await?;
        let first = receiver.requests()[so_far].id.clone();
        sent += 1;
        alice.send(dm.id, &sent.to_string(), &sent.to_string()).await?;
        receiver.is(Mood::Takes);
        until(&format!("all are taken after {mood:?}"), || receiver.taken().len() == sent).await?;
        let taken = receiver.requests()[so_far..].iter().find(|request| request.was_taken).context("it")?.clone();
        ensure!(taken.id == first, "the same request again: {} and {first}", taken.id);
    }
    // To the end of the schedule.
    receiver.is(Mood::Answers(503));
    sent += 1;
    alice.send(dm.id, "off", &sent.to_string()).await?;
    let mut listed = String::new();
    while !listed.contains("off since") {
        listed = server.run(&["webhooks", "list"]).await?;
    }
    ensure!(listed.contains("it answered 503"), "{listed}");
    ensure!(alice.metric(&format!("tertulia_webhook_on{{endpoint=\"{id}\"}}")).await? == 0);
    sent += 1;
    alice.send(dm.id, "meanwhile", &sent.to_string()).await?;
    receiver.is(Mood::Takes);
    server.run(&["webhooks", "enable", &id]).await?;
    until("it goes on", || receiver.taken().len() == sent).await?;
    let expected: Vec<String> = (1..=sent).map(|n| n.to_string()).collect();
    ensure!(bodies(&receiver.taken()) == expected, "{:?}", bodies(&receiver.taken()));

    // Once more, from an event on, and from the beginning.
    let fourth = receiver.taken()[3]["id"].as_str().context("an id")?.to_owned();
    let so_far = receiver.requests().len();
    server.run(&["webhooks", "replay", "--endpoint", &id, "--event", &fourth]).await?;
    let told = || receiver.requests()[so_far..].iter().flat_map(|request| request.events.clone()).collect::<Vec<_>>();
    until("the replay is told", || told().len() == sent - 3).await?;
    ensure!(bodies(&told()) == expected[3..], "{:?}", bodies(&told()));
    let so_far = receiver.requests().len();
    server.run(&["webhooks", "replay", "--endpoint", &id, "--since", "2026-01-01T00:00:00.000Z"]).await?;
    let again = || receiver.requests()[so_far..].iter().map(|request| request.events.len()).sum::<usize>();
    until("all are told once more", || again() == sent).await?;

    receiver.is(Mood::Answers(410));
    alice.send(dm.id, "gone", "no more").await?;
    let mut listed = String::new();
    while !listed.contains("off since") {
        listed = server.run(&["webhooks", "list"]).await?;
    }
    ensure!(listed.contains("410"), "{listed}");
    ensure!(receiver.complaints().is_empty(), "{:?}", receiver.complaints());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_told_where_the_owner_says_so_and_nowhere_else() -> Result<()> {
    let server = Server::start(Options::new(TERTULIA)).await?;
    let private = [
        "http://127.0.0.1:1/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://localhost/",
        "https://a.localhost/",
    ];
    for url in private.into_iter().chain(["http://example.org/", "ftp://a.b/"]) {
        let refused = server.command(&["webhooks", "add", "--url", url]).await?;
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success() && text.contains("url: the address"), "{url}: {text}");
        ensure!(text.contains("webhooks.private_addresses"), "{url}: {text}");
    }
    let refused = server.command(&["webhooks", "add", "--url", "https://example.org", "--events", "message"]).await?;
    ensure!(String::from_utf8_lossy(&refused.stderr).contains("message.created"));
    // Of a time when it was allowed: nothing is sent, and it says so.
    server.run(&["webhooks", "add", "--url", "https://example.org/told"]).await?;
    let log = rusqlite::Connection::open(server.folder().path().join("tertulia.db"))?;
    log.busy_timeout(Duration::from_secs(10))?;
    log.execute("UPDATE webhook_endpoints SET url = 'https://localhost:1/told'", [])?;
    let people = server.people(["alice", "bob"]).await?;
    server.api(&people[0]).dm(&people[1]).await?;
    let mut listed = String::new();
    while !listed.contains("private network") {
        listed = server.run(&["webhooks", "list"]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_with_the_scope_admin_manage_webhooks_and_others_do_not() -> Result<()> {
    let server = Server::start(options()).await?;
    let receiver = Receiver::start().await?;
    let key = async |scopes: &str| -> Result<String> {
        let said = server.run(&["apikey", "create", "--name", "k", "--scopes", scopes]).await?;
        Ok(said.lines().last().context("a key")?.to_owned())
    };
    let http = reqwest::Client::builder().no_proxy().build()?;
    let admin = Api::new(http.clone(), server.url(), &key("admin").await?);
    let other = Api::new(http.clone(), server.url(), &key("chat:read,tokens:write").await?);
    let new = json!({ "url": receiver.url(), "events": ["message.*"] });
    ensure!(other.post("/api/v1/admin/webhooks", &new).await?.status == 403);
    ensure!(other.get("/api/v1/admin/webhooks").await?.status == 403);
    let made = admin.post("/api/v1/admin/webhooks", &new).await?;
    ensure!(made.status == 201 && made.body["secret"].as_str().is_some_and(|s| s.starts_with("whsec_")), "{made:?}");
    let path = format!("/api/v1/admin/webhooks/{}", made.body["id"].as_str().context("an id")?);
    let listed = admin.get("/api/v1/admin/webhooks").await?.body;
    ensure!(listed["webhooks"][0]["active"] == true && listed["webhooks"][0]["secret"].is_null(), "{listed}");
    let empty = json!({});
    ensure!(admin.post(&format!("{path}/secret"), &empty).await?.status == 200);
    ensure!(admin.delete(&format!("{path}/secret")).await?.status == 204);
    ensure!(admin.post(&format!("{path}/enable"), &empty).await?.status == 204);
    ensure!(admin.post(&format!("{path}/replay"), &empty).await?.status == 400, "all of it has to be asked for");
    ensure!(admin.post(&format!("{path}/replay"), &json!({ "all": true })).await?.status == 202);
    let event = json!({ "event": format!("{}_00000000_1", uuid()) });
    ensure!(admin.post(&format!("{path}/skip"), &event).await?.status == 404);
    ensure!(admin.post(&format!("{path}/skip"), &json!({ "event": "x" })).await?.status == 400);
    let events = async |query: &str| admin.get(&format!("/api/v1/admin/webhook-events?{query}")).await;
    ensure!(events("limit=5").await?.body["events"] == json!([]));
    ensure!(events("before=2026-11-22T10:00:00.000Z").await?.body["events"] == json!([]));
    ensure!(events(&format!("before={}_00000000_1", uuid())).await?.status == 404);
    ensure!(events("before=soon").await?.status == 400);
    ensure!(admin.delete(&path).await?.status == 204 && admin.delete(&path).await?.status == 404);
    let person = server.person("alice").await?;
    ensure!(server.api(&person).get("/api/v1/admin/webhooks").await?.status == 403);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_bot_acts_for_it_and_for_nobody_else() -> Result<()> {
    let server = Server::start(options()).await?;
    let receiver = Receiver::start().await?;
    listen(&server, &receiver, "message.created").await?;
    let scopes = ["--scopes", "chat:read,chat:write,users:read"];
    let said = server.run(&[&["apikey", "create", "--name", "k", "--bot", "Helper"][..], &scopes].concat()).await?;
    let (user, key) = (said.lines().nth(1).context("a user")?, said.lines().last().context("a key")?);
    let user = user.strip_prefix("user ").context("a user")?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let bot = Api::new(http.clone(), server.url(), key);
    ensure!(bot.get("/api/v1/me").await?.body["name"] == "Helper");
    let alice = server.person("alice").await?;
    let dm: Conversation = bot.post("/api/v1/conversations/dm", &json!({ "userId": alice.id })).await?.take()?;
    let said = server.api(&alice).send(dm.id, "1", "help").await?;
    until("the bot's program is told", || bodies(&receiver.taken()) == ["help"]).await?;
    let answer = bot.send(dm.id, "2", "at once").await?;
    ensure!(answer.sender_id.to_string() == user && answer.seq == said.seq + 1);
    let ask = |as_user: String| {
        http.get(format!("{}/api/v1/me", server.url())).bearer_auth(key).header("Tertulia-User", as_user).send()
    };
    ensure!(ask(alice.email.clone()).await?.status() == 403);
    ensure!(ask("nobody@example.org".to_owned()).await?.status() == 403);
    ensure!(ask(user.to_owned()).await?.status() == 200);
    // One of a person; and none that reaches beyond them.
    let said =
        server.run(&[&["apikey", "create", "--name", "k", "--as-user", &alice.email][..], &scopes].concat()).await?;
    let hers = Api::new(http.clone(), server.url(), said.lines().last().context("a key")?);
    ensure!(hers.get("/api/v1/me").await?.body["id"] == json!(alice.id));
    let accounts = || -> Result<i64> {
        let log = rusqlite::Connection::open(server.folder().path().join("tertulia.db"))?;
        Ok(log.query_row("SELECT count(*) FROM users", [], |row| row.get(0))?)
    };
    let before = accounts()?;
    for wrong in [["--as-user", "nobody@example.org", "--scopes", "chat:read"], ["--bot", "B", "--scopes", "admin"]] {
        let refused = server.command(&[&["apikey", "create", "--name", "k"][..], &wrong].concat()).await?;
        ensure!(!refused.status.success(), "{wrong:?}");
    }
    ensure!(accounts()? == before, "nobody is made for a key that is refused");
    Ok(())
}

fn uuid() -> &'static str {
    "0199b3c2-0000-7000-8000-000000000007"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_the_same_numbers_name_other_events() -> Result<()> {
    let mut server = Server::start(hasty()).await?;
    let receiver = Receiver::start().await?;
    listen(&server, &receiver, "message.created").await?;
    let people = server.people(["alice", "bob"]).await?;
    let dm = server.api(&people[0]).dm(&people[1]).await?.id;
    server.api(&people[0]).send(dm, "1", "kept").await?;
    until("it is told", || receiver.taken().len() == 1).await?;
    server.terminate().await?;
    let database = server.folder().path().join("tertulia.db");
    let copy = std::fs::read(&database)?;
    server.launch().await?;
    server.api(&people[0]).send(dm, "2", "lost").await?;
    until("it is told", || receiver.taken().len() == 2).await?;
    server.terminate().await?;
    std::fs::write(&database, copy)?;
    server.launch().await?;
    server.api(&people[0]).send(dm, "3", "instead").await?;
    until("it is told, and a receiver does not know it yet", || receiver.taken().len() == 3).await?;
    let events = receiver.taken();
    ensure!(bodies(&events) == ["kept", "lost", "instead"], "{events:#?}");
    ensure!(events[1]["rev"] == events[2]["rev"] && events[1]["id"] != events[2]["id"], "{events:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_of_a_message_tells_what_endpoints_answered() -> Result<()> {
    let server = Server::start(options().env("TERTULIA_WEBHOOKS__WAITS_S", "1,1,1,1,1")).await?;
    let receiver = Receiver::start().await?;
    let id = listen(&server, &receiver, "message.created").await?;
    let people = server.people(["alice", "bob"]).await?;
    let alice = server.api(&people[0]);
    let dm = alice.dm(&people[1]).await?.id;
    receiver.is(Mood::Answers(503));
    let message = alice.send(dm, "1", "said to one").await?.message_id.to_string();
    until("it fails", || !receiver.requests().is_empty()).await?;
    receiver.is(Mood::Takes);
    until("it is told", || !receiver.taken().is_empty()).await?;
    let trace: MessageTrace = loop {
        let trace: MessageTrace = serde_json::from_str(&server.run(&["trace", &message, "--json"]).await?)?;
        if trace.webhooks.iter().any(|endpoint| endpoint.taken) {
            break trace;
        }
    };
    let [endpoint] = &trace.webhooks[..] else { anyhow::bail!("one endpoint: {trace:?}") };
    ensure!(endpoint.endpoint_id.to_string() == id && !endpoint.removed && endpoint.off_since.is_none(), "{trace:?}");
    let (last, failed) = endpoint.requests.split_last().context("requests")?;
    ensure!((last.outcome, last.status) == (RequestOutcome::Taken, Some(204)), "{trace:?}");
    let fails = |one: &TracedRequest| (one.outcome, one.status) == (RequestOutcome::Failed, Some(503));
    ensure!(!failed.is_empty() && failed.iter().all(fails), "{trace:?}");
    ensure!(endpoint.requests.iter().map(|one| one.number).eq(1..=failed.len() as i64 + 1), "{trace:?}");
    ensure!(endpoint.requests.is_sorted_by_key(|one| one.at), "{trace:?}");
    let said = server.run(&["trace", &message]).await?;
    ensure!(said.contains(&format!("{id} event ")) && said.contains("503") && said.contains("204"), "{said}");
    ensure!(!said.contains("said to one") && !said.contains(&receiver.url()), "{said}");
    Ok(())
}

/// 1,000 messages in ten conversations, and one server after the other killed while it tells of them.
async fn nothing_is_lost_when_servers_are_killed(mut servers: Vec<Server>) -> Result<()> {
    let receiver = Receiver::start().await?;
    receiver.is(Mood::Slow(Duration::from_millis(30)));
    listen(&servers[0], &receiver, "message.created").await?;
    let people = servers[0].people(["alice", "bob"]).await?;
    let mut groups = Vec::new();
    for n in 0..10 {
        groups.push(servers[0].api(&people[0]).group(&format!("Group {n}"), &people[1..]).await?.id);
    }
    for round in 0..5 {
        let server = round % servers.len();
        send_round(&servers[server], &people[0], &groups, round).await?;
        let taken = receiver.taken().len();
        ensure!(taken < 200 * (round + 1), "all {taken} are told already, and nothing is under way");
        servers[server].restart().await?;
    }
    until("all are told", || receiver.taken().len() == 1000).await?;
    let mut told: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for event in receiver.taken() {
        let (place, seq) = (event["conversationId"].to_string(), event["seq"].as_i64().context("a seq")?);
        told.entry(place).or_default().push(seq);
    }
    let expected: Vec<i64> = (1..=100).collect();
    ensure!(told.len() == 10 && told.values().all(|seqs| *seqs == expected), "{told:?}");
    ensure!(receiver.complaints().is_empty(), "{:?}", receiver.complaints());
    let all: usize = receiver.requests().iter().map(|request| request.events.len()).sum();
    ensure!(all < 3000, "some come twice, and not all of them three times: {all}");
    Ok(())
}

/// Twenty in each.
async fn send_round(
    server: &Server,
    person: &Person,
    groups: &[tertulia_proto::ConversationId],
    round: usize,
) -> Result<()> {
    let mut sending = JoinSet::new();
    for group in groups {
        let (api, group) = (server.api(person), *group);
        sending.spawn(async move {
            for n in 0..20 {
                api.send(group, &format!("{group}-{round}-{n}"), "x").await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = sending.join_next().await {
        done??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_server_on_sqlite_is_killed() -> Result<()> {
    nothing_is_lost_when_servers_are_killed(vec![Server::start(hasty()).await?]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_one_of_two_servers_on_postgresql_is_killed() -> Result<()> {
    let postgres = Postgres::start(PostgresOptions::default())?;
    postgres.create("log")?;
    let options = || hasty().env("TERTULIA_DATABASE_URL", postgres.url("log")).env("TERTULIA_DATABASE_PARTITIONS", 1);
    let servers = vec![Server::start(options()).await?, Server::start(options()).await?];
    nothing_is_lost_when_servers_are_killed(servers).await
}
