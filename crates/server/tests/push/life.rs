//! The life of a message, as `tertulia trace` and the admin API tell it.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tertulia_proto::trace::{Door, MessageTrace, SeenBy};
use tertulia_testkit::{Api, Options, Person, Postgres, PostgresOptions, Server};

use crate::expo::Expo;
use crate::{LAPTOP, PHONE, TERTULIA, on, register, rest, token};

/// Found nowhere but in the log.
const BODY: &str = "what-was-said-stays-among-them";

/// Once all is written down: a few times a second it is.
async fn settled(api: &Api, message: &str, is_there: impl Fn(&MessageTrace) -> bool) -> Result<MessageTrace> {
    loop {
        let trace: MessageTrace = api.get(&format!("/api/v1/admin/trace/{message}")).await?.take()?;
        if trace.not_recorded.is_empty() && is_there(&trace) {
            return Ok(trace);
        }
    }
}

/// May ask for traces.
async fn owner(server: &Server) -> Result<Api> {
    let key = server.run(&["apikey", "create", "--name", "owner", "--scopes", "admin"]).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    Ok(Api::new(http, server.url(), key.lines().last().context("a key")?))
}

struct Story {
    server: Server,
    alice: Person,
    bob: Person,
    admin: Api,
    trace: MessageTrace,
}

/// Alice writes over a socket; Bob gets it on his laptop, is notified on his phone, and reads it.
async fn story(options: Options, expo: &Expo) -> Result<Story> {
    let server = Server::start(options).await?;
    let mut people = server.people(["alice", "bob"]).await?;
    let (bob, alice) = (people.pop().context("bob")?, people.pop().context("alice")?);
    let admin = owner(&server).await?;
    register(&server, &bob, "phone", Some(PHONE)).await?;
    let dm = server.api(&alice).dm(&bob).await?.id;
    let (mut hers, mut laptop) = (on(PHONE, &server, &alice).await?, on(LAPTOP, &server, &bob).await?);
    let send = json!({ "conversationId": dm, "clientMsgId": "one-1", "body": BODY });
    let id = hers.send("message.send", send.clone()).await?;
    let answer = hers.answer(id).await?.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let message = answer["messageId"].as_str().context("an id")?.to_owned();
    hers.request("message.send", send).await?;
    laptop.next_event::<Value>("message.new").await?;
    laptop.request("receipt", json!({ "conversationId": dm, "deliveredSeq": 1 })).await?;
    expo.once(1).await?;
    rest(&server).await?;
    laptop.request("receipt", json!({ "conversationId": dm, "readSeq": 1 })).await?;
    let has_come = |trace: &MessageTrace| {
        trace.receipts.iter().any(|one| one.read.is_some()) && trace.received.len() == 2 && trace.jobs.is_empty()
    };
    let trace = settled(&admin, &message, has_come).await?;
    Ok(Story { server, alice, bob, admin, trace })
}

fn check(Story { trace, alice, bob, .. }: &Story) -> Result<()> {
    ensure!((trace.seq, trace.sender_id, trace.client_msg_id.as_str()) == (1, alice.id, "one-1"), "{trace:?}");
    let [first, again] = &trace.received[..] else { anyhow::bail!("sent twice: {trace:?}") };
    ensure!(first.door == Door::WebSocket && !first.repeat && again.repeat, "{trace:?}");
    ensure!(first.connection_id.is_some() && first.connection_id == again.connection_id, "{trace:?}");
    ensure!(first.request_id.is_some() && first.request_id < again.request_id, "{trace:?}");
    ensure!(first.trace_id == again.trace_id && first.trace_id.bytes().any(|digit| digit != b'0'), "{trace:?}");
    ensure!(first.session_id.is_some() && first.device_id == Some(PHONE.parse()?), "{trace:?}");
    let committed = trace.committed.as_ref().context("committed")?;
    ensure!(committed.rev > 1 && committed.at >= first.at && committed.server_id == first.server_id, "{trace:?}");
    let [told] = &trace.fanned_out[..] else { anyhow::bail!("one server: {trace:?}") };
    ensure!(told.count == 2 && told.connection_ids.len() == 2 && told.at >= committed.at, "{trace:?}");
    ensure!(told.connection_ids.contains(&first.connection_id.unwrap_or_default()), "{trace:?}");
    let [receipt] = &trace.receipts[..] else { anyhow::bail!("of bob: {trace:?}") };
    let (delivered, read) = receipt.delivered.as_ref().zip(receipt.read.as_ref()).context("both")?;
    ensure!(receipt.user_id == bob.id && receipt.name.is_none(), "{trace:?}");
    ensure!(delivered.by == SeenBy::Receipt && delivered.device_id == Some(LAPTOP.parse()?), "{trace:?}");
    ensure!(told.at <= delivered.at.context("a time")? && delivered.at < read.at, "{trace:?}");
    let pushed = trace.pushes.first().context("a notification")?;
    ensure!((pushed.outcome.as_str(), pushed.detail.as_str()) == ("accepted", "ticket-1"), "{trace:?}");
    ensure!(pushed.user_id == Some(bob.id) && pushed.seq == 1, "{trace:?}");
    Ok(())
}

/// What an operator sees, and that it is nothing of what was said.
async fn told(story: &Story, everything_kept: &str) -> Result<()> {
    let Story { server, alice, bob, trace, admin } = story;
    let message = trace.message_id.to_string();
    let by_id = server.run(&["trace", &message]).await?;
    let by_name = server.run(&["trace", "one-1", "--user", &alice.email]).await?;
    let of_anybody = server.run(&["trace", "one-1"]).await?;
    let (told, hint) = of_anybody.trim_end().rsplit_once('\n').context("lines")?;
    ensure!(by_id == by_name && by_id.trim_end() == told && hint.contains("--user"), "{by_id}\n{of_anybody}");
    for part in ["+0 ms  received ", "sent again ", "committed ", "fanned out ", "delivered ", "read ", "push ", "expo"]
    {
        ensure!(by_id.contains(part), "{part}: {by_id}");
    }
    let json = server.run(&["trace", &message, "--json"]).await?;
    ensure!(serde_json::from_str::<MessageTrace>(&json)? == *trace, "{json}");
    let named = server.run(&["trace", &message, "--names"]).await?;
    ensure!(named.contains("(alice)") && named.contains("(bob)") && !by_id.contains("alice"), "{named}");
    let log = server.log();
    let (answer, of_nobody) = (serde_json::to_string(trace)?, "0190a1b2-0000-7000-8000-000000000000");
    for (what, text) in [("text", &by_id), ("named", &named), ("answer", &answer), ("log", &log)] {
        for secret in [BODY, &alice.email, &bob.email, &token("phone"), &alice.token, &bob.token] {
            ensure!(!text.contains(secret), "{secret} in {what}: {text}");
        }
    }
    for secret in [BODY, &alice.email, &bob.email, &token("phone"), "alice", "bob"] {
        ensure!(!everything_kept.contains(secret), "{secret}: {everything_kept}");
    }
    ensure!(everything_kept.contains(&trace.received[0].trace_id), "{everything_kept}");
    let missing = server.command(&["trace", of_nobody]).await?;
    ensure!(!missing.status.success(), "there is none");
    ensure!(admin.get(&format!("/api/v1/admin/trace/{of_nobody}")).await?.status == 404);
    ensure!(server.api(alice).get(&format!("/api/v1/admin/trace/{message}")).await?.status == 403);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_tells_each_station_of_a_message_and_outlives_the_server() -> Result<()> {
    let expo = Expo::open().await?;
    let mut story = story(expo.options(TERTULIA), &expo).await?;
    check(&story)?;
    let file = rusqlite::Connection::open(story.server.folder().path().join("tertulia.db"))?;
    let kept: String = file.query_row("SELECT group_concat(data) FROM traces", [], |row| row.get(0))?;
    told(&story, &kept).await?;
    ensure!(story.server.api(&story.alice).metric("tertulia_trace_rows").await? > 0);
    ensure!(story.server.api(&story.alice).metric("tertulia_trace_dropped").await? == 0);

    // What comes last is written before the server ends.
    let dm = story.trace.conversation_id;
    let last = story.server.api(&story.alice).send(dm, "last", "bye").await?;
    ensure!(story.server.terminate().await?.success());
    story.server.launch().await?;
    let trace = |id: String| async {
        serde_json::from_str::<MessageTrace>(&story.server.run(&["trace", &id, "--json"]).await?).context(id)
    };
    ensure!(trace(story.trace.message_id.to_string()).await? == story.trace);
    let trace = trace(last.message_id.to_string()).await?;
    ensure!(trace.received[0].door == Door::Rest && trace.received[0].connection_id.is_none(), "{trace:?}");
    ensure!(trace.committed.is_some() && trace.fanned_out.len() == 1 && trace.not_recorded.is_empty(), "{trace:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_on_postgresql_tells_the_same() -> Result<()> {
    let (postgres, expo) = (Postgres::start(PostgresOptions::default())?, Expo::open().await?);
    postgres.create("log")?;
    let options = expo.options(TERTULIA).env("TERTULIA_DATABASE_URL", postgres.url("log"));
    let story = story(options, &expo).await?;
    check(&story)?;
    let kept = postgres.psql("log", "SELECT string_agg(data, ',') FROM traces")?;
    told(&story, &kept).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_notes_nothing_says_so() -> Result<()> {
    let server = Server::start(Options::new(TERTULIA).env("TERTULIA_TRACE__ENABLED", "off")).await?;
    let people = server.people(["alice", "bob"]).await?;
    let dm = server.api(&people[0]).dm(&people[1]).await?.id;
    let message = server.api(&people[0]).send(dm, "a", BODY).await?;
    server.api(&people[1]).post(&format!("/api/v1/conversations/{dm}/receipts"), &json!({ "readSeq": 1 })).await?;
    let text = server.run(&["trace", &message.message_id.to_string()]).await?;
    for part in ["by now", "read ", "not recorded: how it was received: nothing is recorded, trace.enabled is off"] {
        ensure!(text.contains(part), "{part}: {text}");
    }
    Ok(())
}

/// Both are notified of what comes later, and neither of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_of_a_later_message_is_not_told_of_who_had_read_this_one_or_wrote_it() -> Result<()> {
    let expo = Expo::open().await?;
    let server = Server::start(expo.options(TERTULIA)).await?;
    let people = server.people(["alice", "bob"]).await?;
    let (alice, bob) = (&people[0], &people[1]);
    for (person, name) in [(alice, "hers"), (bob, "his")] {
        register(&server, person, name, None).await?;
    }
    let admin = owner(&server).await?;
    let dm = server.api(alice).dm(bob).await?.id;
    let mut laptop = on(LAPTOP, &server, bob).await?;
    let first = server.api(alice).send(dm, "a", "read at once").await?;
    laptop.next_event::<Value>("message.new").await?;
    laptop.request("receipt", json!({ "conversationId": dm, "readSeq": 1 })).await?;
    laptop.close().await?;
    let second = server.api(bob).send(dm, "b", "an answer").await?;
    expo.once(1).await?;
    let third = server.api(alice).send(dm, "c", "another").await?;
    expo.once(2).await?;
    rest(&server).await?;
    for (message, whose) in [(first, vec![]), (second, vec![Some(alice.id)]), (third, vec![Some(bob.id)])] {
        let trace = settled(&admin, &message.message_id.to_string(), |trace| trace.jobs.is_empty()).await?;
        let notified: Vec<_> = trace.pushes.iter().map(|push| push.user_id).collect();
        ensure!(notified == whose, "{trace:?}");
        let named = format!("/api/v1/admin/trace?clientMsgId={}&userId={}", trace.client_msg_id, trace.sender_id);
        ensure!(admin.get(&named).await?.take::<MessageTrace>()? == trace, "{trace:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_not_got_a_message_is_told_and_why_nothing_told_them() -> Result<()> {
    let expo = Expo::open().await?;
    let server = Server::start(expo.options(TERTULIA)).await?;
    let people = server.people(["alice", "bob"]).await?;
    let (alice, bob) = (&people[0], &people[1]);
    let dm = server.api(alice).dm(bob).await?.id;
    let trace = async |id: String| server.run(&["trace", &id]).await;
    let not_delivered = format!("by now               not delivered to 1 of 1 members: {}", bob.id);
    let not_notified = format!("not notified {}: ", bob.id);
    let first = server.api(alice).send(dm, "a", "one").await?.message_id.to_string();
    let told = trace(first).await?;
    ensure!(told.contains(&not_delivered), "{told}");
    ensure!(told.contains(&format!("{not_notified}no device is registered")), "{told}");
    register(&server, bob, "phone", None).await?;
    let second = server.api(alice).send(dm, "b", "two").await?.message_id.to_string();
    expo.once(1).await?;
    rest(&server).await?;
    let told = trace(second.clone()).await?;
    ensure!(told.contains(&not_delivered) && told.contains("push ") && !told.contains("not notified"), "{told}");
    server.api(bob).post(&format!("/api/v1/conversations/{dm}/receipts"), &json!({ "deliveredSeq": 2 })).await?;
    let told = trace(second).await?;
    ensure!(!told.contains("not delivered") && told.contains("delivered "), "{told}");

    let alone = Server::start(Options::new(TERTULIA)).await?;
    let people = alone.people(["alice", "bob"]).await?;
    let dm = alone.api(&people[0]).dm(&people[1]).await?.id;
    let message = alone.api(&people[0]).send(dm, "a", "one").await?;
    let told = alone.run(&["trace", &message.message_id.to_string()]).await?;
    ensure!(told.contains(&format!("not notified {}: no provider is set up", people[1].id)), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_name_that_several_people_have_used_it_has_to_be_said_whose_is_meant() -> Result<()> {
    let server = Server::start(Options::new(TERTULIA)).await?;
    let people = server.people(["alice", "bob"]).await?;
    let admin = owner(&server).await?;
    let dm = server.api(&people[0]).dm(&people[1]).await?.id;
    for person in &people {
        let message = server.api(person).send(dm, "same", "hi").await?;
        settled(&admin, &message.message_id.to_string(), |trace| trace.committed.is_some()).await?;
    }
    let answer = admin.get("/api/v1/admin/trace?clientMsgId=same").await?;
    ensure!((answer.status, answer.code()) == (400, "invalid"), "{answer:?}");
    let command = server.command(&["trace", "same"]).await?;
    let said = String::from_utf8_lossy(&command.stderr).into_owned();
    ensure!(!command.status.success() && said.contains("several people"), "{said}");
    for person in &people {
        ensure!(said.contains(&person.id.to_string()), "{said}");
        let named = format!("/api/v1/admin/trace?clientMsgId=same&userId={}", person.id);
        ensure!(admin.get(&named).await?.take::<MessageTrace>()?.sender_id == person.id, "{named}");
        let told = server.run(&["trace", "same", "--user", &person.email]).await?;
        ensure!(told.contains(&format!("(same) of {}", person.id)), "{told}");
    }
    Ok(())
}

/// Messages are acknowledged while their records can't be kept, and have them when they can.
async fn nothing_waits(
    server: &Server,
    away: impl FnOnce() -> Result<()>,
    meanwhile: impl AsyncFnOnce(String) -> Result<()>,
    back: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let people = server.people(["alice", "bob"]).await?;
    let (admin, alice) = (owner(server).await?, server.api(&people[0]));
    let dm = alice.dm(&people[1]).await?.id;
    let first = alice.send(dm, "first", BODY).await?.message_id.to_string();
    settled(&admin, &first, |trace| trace.committed.is_some()).await?;
    away()?;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(alice.send(dm, &format!("n-{number}"), BODY).await?.message_id.to_string());
    }
    meanwhile(first).await?;
    back()?;
    let has_all = |trace: &MessageTrace| {
        (trace.received.len(), trace.committed.is_some(), trace.fanned_out.len()) == (1, true, 1)
    };
    for id in ids {
        settled(&admin, &id, has_all).await?;
    }
    ensure!(alice.metric("tertulia_trace_dropped").await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_waits_for_its_records_to_be_written() -> Result<()> {
    let server = Server::start(Options::new(TERTULIA)).await?;
    let file = rusqlite::Connection::open(server.folder().path().join("tertulia.db"))?;
    let away = || anyhow::Ok(file.execute_batch("ALTER TABLE traces RENAME TO away")?);
    let back = || anyhow::Ok(file.execute_batch("ALTER TABLE away RENAME TO traces")?);
    let cause = async |id: String| {
        let command = server.command(&["trace", &id]).await?;
        let said = String::from_utf8_lossy(&command.stderr).into_owned();
        ensure!(!command.status.success() && said.contains("no such table"), "the cause is told: {said}");
        anyhow::Ok(())
    };
    nothing_waits(&server, away, cause, back).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_waits_for_its_records_on_postgresql() -> Result<()> {
    let options = PostgresOptions::default().set("max_prepared_transactions", "1");
    let postgres = Postgres::start(options)?;
    postgres.create("log")?;
    let server = Server::start(Options::new(TERTULIA).env("TERTULIA_DATABASE_URL", postgres.url("log"))).await?;
    // A prepared transaction keeps its locks without a connection.
    let away = || {
        let lock = "BEGIN; LOCK TABLE traces IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'held'";
        postgres.psql("log", lock).map(drop)
    };
    let back = || postgres.psql("log", "ROLLBACK PREPARED 'held'").map(drop);
    nothing_waits(&server, away, async |_| Ok(()), back).await
}
