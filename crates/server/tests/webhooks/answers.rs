//! How endpoints answer: slowly, not at all, not to one event, or that they want more time.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tertulia_testkit::{Server, until};

use crate::receiver::{Mood, Receiver};
use crate::{bodies, listen, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_endpoint_leaves_room_for_the_others() -> Result<()> {
    let server = Server::start(options()).await?;
    let (slow, fast) = (Receiver::start().await?, Receiver::start().await?);
    slow.is(Mood::Slow(Duration::from_millis(300)));
    for receiver in [&slow, &fast] {
        listen(&server, receiver, "message.created").await?;
    }
    let people = server.people(["alice", "bob"]).await?;
    let alice = server.api(&people[0]);
    for n in 0..30 {
        let group = alice.group(&format!("Group {n}"), &people[1..]).await?;
        alice.send(group.id, &n.to_string(), "x").await?;
    }
    until("all is told", || fast.taken().len() == 30 && slow.taken().len() == 30).await?;
    ensure!(slow.most_at_a_time() <= 8, "{} requests at a time", slow.most_at_a_time());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_endpoints_are_slow_the_others_are_told() -> Result<()> {
    let server = Server::start(options().env("TERTULIA_WEBHOOKS__TIMEOUT_MS", 60_000)).await?;
    let mut slow = Vec::new();
    for _ in 0..5 {
        slow.push(Receiver::start().await?);
    }
    let fast = Receiver::start().await?;
    for receiver in &slow {
        receiver.is(Mood::Holds);
        listen(&server, receiver, "message.created").await?;
    }
    listen(&server, &fast, "message.created").await?;
    let people = server.people(["alice", "bob"]).await?;
    let alice = server.api(&people[0]);
    for n in 0..12 {
        let group = alice.group(&format!("Group {n}"), &people[1..]).await?;
        alice.send(group.id, &n.to_string(), "x").await?;
    }
    until("the one that answers is told of all", || fast.taken().len() == 12).await?;
    for receiver in &slow {
        ensure!(receiver.taken().is_empty() && receiver.most_at_a_time() > 0, "they have still to answer");
        receiver.is(Mood::Takes);
    }
    until("all are told", || slow.iter().all(|receiver| receiver.taken().len() == 12)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_refused_keeps_no_other_conversation_waiting() -> Result<()> {
    let server = Server::start(options().env("TERTULIA_WEBHOOKS__WAITS_S", "3600,3600")).await?;
    let receiver = Receiver::start().await?;
    listen(&server, &receiver, "message.created").await?;
    let people = server.people(["alice", "bob"]).await?;
    let alice = server.api(&people[0]);
    let (bad, good) = (alice.dm(&people[1]).await?.id, alice.group("Fine", &people[1..]).await?.id);
    receiver.is(Mood::Chokes("poison", 422));
    alice.send(bad, "1", "poison").await?;
    until("it is refused", || !receiver.requests().is_empty()).await?;
    alice.send(good, "2", "fine").await?;
    until("the other is told", || bodies(&receiver.taken()) == ["fine"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_that_is_never_taken_keeps_no_other_conversation_from_being_told() -> Result<()> {
    let server = Server::start(options().env("TERTULIA_WEBHOOKS__WAITS_S", "1,1,1")).await?;
    let receiver = Receiver::start().await?;
    let id = listen(&server, &receiver, "message.created").await?;
    let people = server.people(["alice", "bob"]).await?;
    let alice = server.api(&people[0]);
    let (bad, good) = (alice.dm(&people[1]).await?.id, alice.group("Fine", &people[1..]).await?.id);
    receiver.is(Mood::Chokes("poison", 422));
    alice.send(bad, "1", "poison").await?;
    let mut listed = String::new();
    let mut sent = 0;
    while !listed.contains("parked 1") {
        sent += 1;
        alice.send(good, &format!("good-{sent}"), "fine").await?;
        listed = server.run(&["webhooks", "list"]).await?;
        ensure!(listed.contains(" on "), "{listed}");
    }
    ensure!(listed.contains("it answered 422"), "{listed}");
    ensure!(alice.metric(&format!("tertulia_webhook_parked{{endpoint=\"{id}\"}}")).await? == 1);
    alice.send(bad, "2", "after").await?;
    let at = listed.split("at ").find(|rest| rest.starts_with(&bad.to_string())).context("where")?;
    let event = at.split(' ').next().context("an event")?;
    server.run(&["webhooks", "skip", &id, event]).await?;
    until("it goes on", || bodies(&receiver.taken()).contains(&"after")).await?;
    until("the others too", || receiver.taken().len() == sent + 1).await?;
    ensure!(!bodies(&receiver.taken()).contains(&"poison"));
    ensure!(!server.run(&["webhooks", "list"]).await?.contains("parked"));
    Ok(())
}

/// Four events in one request, one of which is answered so: it is found, and the others are taken.
async fn the_event_that_is_not_taken_is_found(status: u16) -> Result<()> {
    let waits = ("TERTULIA_WEBHOOKS__WAITS_S", "1,1,1");
    let server = Server::start(options().env(waits.0, waits.1).env("TERTULIA_WEBHOOKS__TIMEOUT_MS", 60_000)).await?;
    let receiver = Receiver::start().await?;
    let id = listen(&server, &receiver, "message.created").await?;
    let people = server.people(["alice", "bob"]).await?;
    let alice = server.api(&people[0]);
    let (bad, good) = (alice.dm(&people[1]).await?.id, alice.group("Fine", &people[1..]).await?.id);
    receiver.is(Mood::Holds);
    alice.send(bad, "0", "zero").await?;
    until("it is held", || receiver.most_at_a_time() == 1).await?;
    for (n, text) in ["one", "two", "poison", "four"].iter().enumerate() {
        alice.send(bad, &(n + 1).to_string(), text).await?;
    }
    receiver.is(Mood::Chokes("poison", status));
    until("all four are refused", || receiver.requests().iter().any(|request| request.events.len() == 4)).await?;
    let (mut listed, mut sent) = (String::new(), 0);
    while !listed.contains("parked 1") {
        sent += 1;
        alice.send(good, &format!("good-{sent}"), "fine").await?;
        listed = server.run(&["webhooks", "list"]).await?;
        ensure!(listed.contains(" on "), "{listed}");
    }
    let told = |receiver: &Receiver| -> Vec<String> {
        bodies(&receiver.taken()).into_iter().filter(|body| *body != "fine").map(str::to_owned).collect()
    };
    ensure!(told(&receiver) == ["zero", "one", "two"], "{:?}", told(&receiver));
    let at = listed.split("at ").find(|rest| rest.starts_with(&bad.to_string())).context("where")?;
    let event = at.split(' ').next().context("an event")?;
    let refused = receiver.requests().into_iter().rfind(|request| !request.was_taken).context("a request")?;
    ensure!(bodies(&refused.events) == ["poison"] && refused.events[0]["id"] == event, "{refused:?} {event}");
    server.run(&["webhooks", "skip", &id, event]).await?;
    until("it goes on", || told(&receiver) == ["zero", "one", "two", "four"]).await?;
    ensure!(receiver.complaints().is_empty(), "{:?}", receiver.complaints());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_refused_is_found_among_others() -> Result<()> {
    the_event_that_is_not_taken_is_found(422).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_at_which_a_receiver_fails_is_found_among_others() -> Result<()> {
    the_event_that_is_not_taken_is_found(500).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_that_an_endpoint_asks_for_begins_with_its_answer() -> Result<()> {
    let server = Server::start(options().env("TERTULIA_WEBHOOKS__WAITS_S", "1,1,1,1,1")).await?;
    let receiver = Receiver::start().await?;
    listen(&server, &receiver, "message.created").await?;
    let people = server.people(["alice", "bob"]).await?;
    let alice = server.api(&people[0]);
    let dm = alice.dm(&people[1]).await?.id;
    receiver.is(Mood::AsksSlowlyToWait(2, Duration::from_millis(700)));
    alice.send(dm, "1", "later").await?;
    until("it asks for time", || !receiver.requests().is_empty()).await?;
    receiver.is(Mood::Takes);
    until("it is told", || !receiver.taken().is_empty()).await?;
    let [asked, taken] = &receiver.requests()[..] else { anyhow::bail!("two requests") };
    // Clocks of the machine may differ by a little.
    let waited = taken.came.saturating_duration_since(asked.answered);
    ensure!(waited >= Duration::from_millis(1900), "{waited:?}");
    Ok(())
}
