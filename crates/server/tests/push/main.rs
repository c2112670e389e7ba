//! Notifications out of the real binary: who gets which, and what becomes of them when providers and servers fail.

mod expo;
mod hosts;
mod life;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tertulia_proto::trace::MessageTrace;
use tertulia_testkit::{Person, Postgres, PostgresOptions, Server, Socket, SocketOptions, until};

use expo::{Expo, Instead};
use tokio::sync::oneshot;

const TERTULIA: &str = env!("CARGO_BIN_EXE_tertulia");

const PHONE: &str = "9d3a3a0e-1c5e-4a55-8f0a-3d5b8f1f0c01";
const LAPTOP: &str = "9d3a3a0e-1c5e-4a55-8f0a-3d5b8f1f0c02";

/// Registers a device whose token has this in it.
async fn register(server: &Server, person: &Person, name: &str, device: Option<&str>) -> Result<Value> {
    let body = json!({ "token": token(name), "platform": "android", "provider": "expo", "deviceId": device });
    server.api(person).post("/api/v1/devices/register", &body).await?.take()
}

fn token(name: &str) -> String {
    format!("ExponentPushToken[{name}]")
}

async fn devices(server: &Server, person: &Person) -> Result<Vec<Value>> {
    let mut answer: Value = server.api(person).get("/api/v1/devices").await?.take()?;
    Ok(answer["devices"].as_array_mut().context("no list")?.drain(..).collect())
}

/// Whether nothing waits or runs that would notify somebody.
async fn is_still(server: &Server) -> Result<bool> {
    let stats = server.run(&["jobs", "stats"]).await?;
    Ok(!stats.contains("notify ") && !stats.contains("push.expo "))
}

async fn rest(server: &Server) -> Result<()> {
    // The queue is looked at by a command, which takes its time: no pause is needed.
    while !is_still(server).await? {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_there_is_told_who_said_what_and_where() -> Result<()> {
    let expo = Expo::open().await?;
    let server = Server::start(expo.options(TERTULIA)).await?;
    let people = server.people(["alice", "bob"]).await?;
    let (alice, bob) = (&people[0], &people[1]);
    let device = register(&server, bob, "phone", Some(PHONE)).await?;
    ensure!(device["active"] == true && device.get("token").is_none(), "{device}");
    let dm = server.api(alice).dm(bob).await?.id;
    for (name, body) in [("a", "first"), ("b", "second"), ("c", "third")] {
        server.api(alice).send(dm, name, body).await?;
    }
    let told = expo.once(1).await?;
    let newest = server.api(bob).history_after(dm, 0).await?.pop().context("no message")?;
    ensure!(told[0]["to"] == token("phone") && told[0]["title"] == "alice" && told[0]["body"] == "third", "{told:?}");
    ensure!(told[0]["badge"] == 3 && told[0]["data"]["link"] == format!("/c/{dm}?m={}", newest.message_id), "{told:?}");
    rest(&server).await?;
    ensure!(expo.taken().len() == 1, "a burst is one notification: {:?}", expo.taken());
    server.api(alice).send(dm, "d", "fourth").await?;
    let told = expo.once(2).await?;
    ensure!(told[1]["body"] == "fourth" && told[1]["badge"] == 4, "{told:?}");

    // Read on another device: taken away here, with what is unread now.
    server.api(bob).post(&format!("/api/v1/conversations/{dm}/receipts"), &json!({ "readSeq": 4 })).await?;
    let told = expo.once(3).await?;
    ensure!(told[2]["data"]["kind"] == "withdrawal" && told[2]["data"]["badge"] == 0, "{told:?}");
    ensure!(told[2].get("title").is_none() && told[2]["data"]["conversationId"] == dm.to_string(), "{told:?}");
    let log = server.log();
    ensure!(!log.contains("phone") && !log.contains("fourth"), "neither tokens nor content are logged: {log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_while_a_device_is_told_is_taken_away_again() -> Result<()> {
    let expo = Expo::open().await?;
    let server = Server::start(expo.options(TERTULIA)).await?;
    let people = server.people(["alice", "bob"]).await?;
    let (alice, bob) = (&people[0], &people[1]);
    register(&server, bob, "phone", Some(PHONE)).await?;
    let dm = server.api(alice).dm(bob).await?.id;
    let (go_on, until_then) = oneshot::channel();
    expo.answer(Instead::Held(until_then));
    server.api(alice).send(dm, "a", "hello").await?;
    until("it is on its way", || expo.asked() == 1).await?;
    server.api(bob).post(&format!("/api/v1/conversations/{dm}/receipts"), &json!({ "readSeq": 1 })).await?;
    ensure!(go_on.send(()).is_ok(), "the provider waits");
    let told = expo.once(2).await?;
    ensure!(told[0]["body"] == "hello" && told[1]["data"]["kind"] == "withdrawal", "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_not_read_registers_no_device_and_a_revoked_one_leaves_none() -> Result<()> {
    let expo = Expo::open().await?;
    let server = Server::start(expo.options(TERTULIA)).await?;
    let alice = server.person("alice").await?;
    let body = json!({ "token": token("spy"), "platform": "android", "provider": "expo" });
    let http = reqwest::Client::builder().no_proxy().build()?;
    for (scopes, expected) in [("users:write", 403), ("users:write,chat:read", 200)] {
        let said = server.run(&["apikey", "create", "--name", "shop", "--scopes", scopes]).await?;
        let (id, key) = said.trim().split_once('\n').context("an id and a key")?;
        let request = http.post(format!("{}/api/v1/devices/register", server.url())).bearer_auth(key);
        let answer = request.header("Tertulia-User", &alice.email).json(&body).send().await?;
        ensure!(answer.status().as_u16() == expected, "{scopes}: {}", answer.status());
        ensure!(devices(&server, &alice).await?.len() == usize::from(expected == 200));
        let id = id.strip_prefix("id ").context("an id")?;
        server.run(&["apikey", "revoke", "--id", id]).await?;
        ensure!(devices(&server, &alice).await?.is_empty(), "what the key registered is gone with it");
    }
    Ok(())
}

async fn on(device: &str, server: &Server, person: &Person) -> Result<Socket> {
    let options = SocketOptions { device: Some(device.parse()?), ..SocketOptions::default() };
    Socket::connect(server.url(), &person.token, options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_told_of_what_it_has_not_got_itself_and_nobody_of_what_is_theirs_or_muted() -> Result<()> {
    let expo = Expo::open().await?;
    let server = Server::start(expo.options(TERTULIA)).await?;
    let people = server.people(["alice", "bob", "carol", "dave"]).await?;
    let [alice, bob, carol, dave] = &people[..] else { anyhow::bail!("four people") };
    register(&server, bob, "phone", Some(PHONE)).await?;
    register(&server, bob, "laptop", Some(LAPTOP)).await?;
    register(&server, alice, "hers", None).await?;
    register(&server, carol, "muted", None).await?;
    register(&server, dave, "blocked", None).await?;
    let group = server.api(alice).group("All", &people[1..]).await?.id;
    let muted = json!({ "mutedUntil": "2999-01-01T00:00:00.000Z" });
    server.api(carol).patch(&format!("/api/v1/conversations/{group}"), &muted).await?;
    let block = format!("/api/v1/users/{}/block", alice.id);
    server.api(dave).call(reqwest::Method::PUT, &block, None).await?;
    let mut laptop = on(LAPTOP, &server, bob).await?;
    server.api(alice).send(group, "a", "hello all").await?;
    laptop.next_event::<Value>("message.new").await?;
    laptop.request("receipt", json!({ "conversationId": group, "deliveredSeq": 1 })).await?;
    let told = expo.once(1).await?;
    ensure!(told[0]["to"] == token("phone") && told[0]["title"] == "All", "{told:?}");
    ensure!(told[0]["body"] == "alice: hello all", "{told:?}");
    rest(&server).await?;
    ensure!(expo.taken().len() == 1, "{:?}", expo.taken());

    // The computer is closed: now it is told as well.
    laptop.close().await?;
    server.api(alice).send(group, "b", "and good night").await?;
    let told = expo.once(3).await?;
    let to: BTreeSet<String> = told[1..].iter().map(|one| one["to"].as_str().unwrap_or_default().to_owned()).collect();
    ensure!(to == BTreeSet::from([token("phone"), token("laptop")]), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_answers_is_acted_on() -> Result<()> {
    let expo = Expo::open().await?;
    let server = Server::start(expo.options(TERTULIA)).await?;
    let people = server.people(["alice", "bob"]).await?;
    let (alice, bob) = (&people[0], &people[1]);
    register(&server, bob, "phone", None).await?;
    let dm = server.api(alice).dm(bob).await?.id;

    expo.answer(Instead::Busy { retry_after_s: 1 });
    server.api(alice).send(dm, "a", "busy at first").await?;
    let told = expo.once(1).await?;
    ensure!(told[0]["body"] == "busy at first" && expo.asked() == 2, "{told:?}");

    expo.answer(Instead::Error("MessageTooBig"));
    server.api(alice).send(dm, "b", "never as it is").await?;
    while server.run(&["jobs", "dead"]).await?.is_empty() {}
    let dead = server.run(&["jobs", "dead"]).await?;
    ensure!(dead.contains("push.expo dead") && !dead.contains("never as it is"), "{dead}");
    server.run(&["jobs", "retry", "--kind", "push.expo"]).await?;
    ensure!(expo.once(2).await?[1]["body"] == "never as it is");

    expo.answer(Instead::Error("DeviceNotRegistered"));
    server.api(alice).send(dm, "c", "gone").await?;
    let mut shown = devices(&server, bob).await?;
    while shown[0]["active"] == true {
        shown = devices(&server, bob).await?;
    }
    ensure!(shown[0]["failure"].as_str().is_some_and(|why| why.contains("DeviceNotRegistered")), "{shown:?}");
    rest(&server).await?;
    let asked = expo.asked();
    let said = server.api(alice).send(dm, "d", "to nobody").await?;
    rest(&server).await?;
    ensure!(expo.asked() == asked, "nothing is sent to a device that is switched off");
    ensure!(!server.command(&["push", "test", "--user", &bob.email]).await?.status.success());

    register(&server, bob, "phone", None).await?;
    ensure!(server.run(&["push", "test", "--user", &bob.email]).await?.contains("accepted ticket-"));
    let tested: Value = server.api(bob).post("/api/v1/devices/test", &json!({})).await?.take()?;
    ensure!(tested["results"][0]["outcome"] == "accepted", "{tested}");

    // Quiet hours since an hour ago: it waits for their end.
    let hour = said.created_at.ms() / 3_600_000 % 24;
    let (from, to) = (format!("{:02}:00", (hour + 23) % 24), format!("{:02}:00", (hour + 2) % 24));
    let quiet = json!({ "doNotDisturb": { "from": from, "to": to, "timeZone": "UTC" } });
    server.api(bob).patch("/api/v1/me/notifications", &quiet).await?.take::<Value>()?;
    let asked = expo.asked();
    server.api(alice).send(dm, "e", "while asleep").await?;
    while !server.run(&["jobs", "list", "--kind", "push.expo"]).await?.contains("push.expo ready tries 0") {}
    ensure!(expo.asked() == asked, "quiet");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_and_another_person_on_the_device_end_what_it_is_told() -> Result<()> {
    let expo = Expo::open().await?;
    let server = Server::start(expo.options(TERTULIA)).await?;
    let (alice, bob) = (server.register("alice", "a password").await?, server.register("bob", "a password").await?);
    let dm = server.api(&alice).dm(&bob).await?.id;
    register(&server, &bob, "phone", None).await?;
    register(&server, &alice, "phone", None).await?;
    ensure!(devices(&server, &bob).await?.is_empty() && devices(&server, &alice).await?.len() == 1);
    server.api(&bob).send(dm, "a", "to alice now").await?;
    ensure!(expo.once(1).await?[0]["title"] == "bob");
    server.api(&alice).post("/auth/logout", &json!({})).await?;
    server.api(&bob).send(dm, "b", "to nobody").await?;
    rest(&server).await?;
    ensure!(expo.taken().len() == 1, "{:?}", expo.taken());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_a_receipt_says_is_gone_is_switched_off_and_no_other() -> Result<()> {
    let expo = Expo::open().await?;
    let server = Server::start(expo.options(TERTULIA)).await?;
    let people = server.people(["alice", "bob", "carol"]).await?;
    let (alice, bob, carol) = (&people[0], &people[1], &people[2]);
    for (person, name) in [(bob, "gone"), (carol, "here")] {
        register(&server, person, name, None).await?;
    }
    for (nth, person) in [bob, carol].into_iter().enumerate() {
        let dm = server.api(alice).dm(person).await?.id;
        server.api(alice).send(dm, &format!("m-{nth}"), "hello").await?;
        expo.once(nth + 1).await?;
    }
    rest(&server).await?;
    // Twenty minutes later, and the next look at receipts.
    let log = rusqlite::Connection::open(server.folder().path().join("tertulia.db"))?;
    log.busy_timeout(std::time::Duration::from_secs(10))?;
    for (ticket, error) in [("ticket-1", "DeviceNotRegistered"), ("ticket-2", "MismatchSenderId")] {
        expo.reports(ticket, error);
    }
    log.execute("UPDATE devices SET registered_at = registered_at - 1200000", [])?;
    log.execute("UPDATE push_attempts SET at = at - 1200000", [])?;
    ensure!(log.execute("UPDATE jobs SET run_at = 0 WHERE kind = 'receipts'", [])? == 1);
    until("receipts are asked for", || expo.looked_up().len() == 2).await?;
    while devices(&server, bob).await?[0]["active"] == true {}
    let of_bob = devices(&server, bob).await?;
    ensure!(of_bob[0]["failure"] == "DeviceNotRegistered", "{of_bob:?}");
    ensure!(devices(&server, carol).await?[0]["active"] == true, "what is wrong there is not the device");
    until("the owner is told what is wrong", || server.log().contains("MismatchSenderId")).await?;
    Ok(())
}

/// What the trace of a message has to say of somebody who was notified of it.
async fn is_explained(server: &Server, message: &str) -> Result<()> {
    let trace: MessageTrace = serde_json::from_str(&server.run(&["trace", message, "--json"]).await?)?;
    // What a kill took it says.
    ensure!(trace.received.len() + trace.not_recorded.len() > 0, "{trace:?}");
    ensure!(trace.pushes.iter().any(|push| push.outcome == "accepted" && push.seq == trace.seq), "{trace:?}");
    ensure!(trace.not_delivered.count == 1, "nobody was connected: {trace:?}");
    Ok(())
}

/// So many conversations with a message each; how many notifications there were in the end, and how many of them twice.
async fn killed(mut server: Server, expo: &Expo, count: usize) -> Result<(usize, usize)> {
    let people = server.people(["alice", "bob"]).await?;
    let (alice, bob) = (&people[0], &people[1]);
    register(&server, bob, "phone", None).await?;
    let mut groups = Vec::new();
    for n in 0..count {
        groups.push(server.api(alice).group(&format!("Group {n}"), std::slice::from_ref(bob)).await?.id);
    }
    let mut messages = Vec::new();
    for (n, group) in groups.iter().enumerate() {
        messages.push(server.api(alice).send(*group, &format!("m-{n}"), "hello").await?.message_id.to_string());
    }
    for part in [10, 3] {
        until("some are told", || expo.taken().len() >= count / part).await?;
        server.kill()?;
        server.launch().await?;
    }
    let told = |all: &[Value]| -> BTreeSet<String> {
        all.iter().filter_map(|one| Some(one["title"].as_str()?.to_owned())).collect()
    };
    // Leases of the dead end within 1.5 s; how long all of it takes is the machine's affair.
    let mut before = 0;
    loop {
        let all = expo.taken();
        if told(&all).len() == count {
            rest(&server).await?;
            for message in messages.iter().step_by(1 + count / 10) {
                is_explained(&server, message).await?;
            }
            let all = expo.taken();
            return Ok((told(&all).len(), all.len() - count));
        }
        until("still more are told", || expo.taken().len() > before).await?;
        before = expo.taken().len();
    }
}

/// `TERTULIA_NOTIFICATIONS` says how many.
fn how_many() -> usize {
    std::env::var("TERTULIA_NOTIFICATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_while_they_notify_everybody_is_notified() -> Result<()> {
    let expo = Expo::open().await?;
    let options = expo.options(TERTULIA).limit("conversations_opened_per_10min", 100_000);
    let (told, twice) = killed(Server::start(options).await?, &expo, how_many()).await?;
    ensure!(told == how_many());
    // What was under way at a kill may come twice: at most what runs at the same time.
    ensure!(twice <= 2 * 64, "{twice} were told twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_as_well() -> Result<()> {
    let (postgres, expo) = (Postgres::start(PostgresOptions::default())?, Expo::open().await?);
    postgres.create("log")?;
    let options = expo.options(TERTULIA).env("TERTULIA_DATABASE_URL", postgres.url("log"));
    let (told, twice) = killed(Server::start(options).await?, &expo, how_many()).await?;
    ensure!(told == how_many() && twice <= 2 * 64, "{told} told, {twice} twice");
    Ok(())
}
