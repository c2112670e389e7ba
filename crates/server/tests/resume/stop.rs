//! Starting beside another and stopping.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tertulia_testkit::{Audit, Ended, Ledger, Random, Sender, Server};
use tokio::task::JoinSet;

use crate::options;

/// What a service manager waits for at least before it kills.
const STOP_MAX: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let server = Server::start(options()).await.unwrap();
    let alice = server.person("alice").await.unwrap();
    let mut second = Command::new(env!("CARGO_BIN_EXE_tertulia"));
    second.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(server.folder().path()).stdin(Stdio::null());
    let second =
        tertulia_testkit::within("the second server ends", tokio::task::spawn_blocking(move || second.output()));
    let second = second.await.unwrap().unwrap().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another server runs"), "{said}");
    // The first goes on.
    assert_eq!(server.api(&alice).get("/api/v1/me").await.unwrap().status, 200);
}

#[tokio::test]
async fn tokens_made_beside_a_running_server_are_good_at_once() {
    let server = Server::start(options()).await.unwrap();
    let mut names = JoinSet::new();
    let server = Arc::new(server);
    for name in ["alice", "bob", "carol", "alice"] {
        let server = Arc::clone(&server);
        names.spawn(async move {
            let person = server.person(name).await?;
            server.connect(&person).await?.close().await?;
            anyhow::Ok(person.id)
        });
    }
    let mut ids = names.join_all().await.into_iter().collect::<Result<Vec<_>>>().unwrap();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "the same e-mail is the same person, also when both ask at once");
    let dora = server.register("dora", "correct horse battery").await.unwrap();
    let token = server.run(&["token", "--email", &dora.email]).await.unwrap();
    assert!(!token.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how long the end takes is what is measured")]
async fn a_stop_under_load_loses_nothing_acknowledged_and_says_1012_to_everybody() {
    let mut random = Random::from_environment();
    let mut server = Server::start(options()).await.unwrap();
    let people = server.people(["alice", "bob", "carol"]).await.unwrap();
    let group = server.api(&people[0]).group("kitchen", &people[1..]).await.unwrap().id;
    let ledger = Arc::new(Ledger::default());
    let mut audit = Audit::default();
    let mut senders: Vec<Sender> = (0..6)
        .map(|number| Sender::new(&format!("s{number}"), &people[number % 3], &[group], 32, random.fork()))
        .collect();
    for round in 0..3 {
        let mut idle = server.connect(&people[2]).await.unwrap();
        let mut running = JoinSet::new();
        for mut sender in senders.drain(..) {
            let (url, ledger) = (server.url().to_owned(), Arc::clone(&ledger));
            running.spawn(async move { sender.run(&url, &ledger).await.map(|end| (end, sender)) });
        }
        let instant = random.micros_below(400_000);
        assert!(tokio::time::timeout(instant, running.join_next()).await.is_err(), "a connection ended by itself");
        let began = tokio::time::Instant::now();
        server.ask_to_stop().unwrap();
        let mut ends = vec![Ended::Closed(idle.drain().await.unwrap().0)];
        while let Some(back) = running.join_next().await {
            let (end, sender) = back.unwrap().unwrap();
            ends.push(end);
            senders.push(sender);
        }
        // On a busy machine not all of them were in.
        ends.retain(|end| *end != Ended::BeforeItBegan);
        let status = server.ended().await.unwrap();
        let took = began.elapsed();
        assert_eq!(status.code(), Some(0), "{}", server.log());
        assert!(took < STOP_MAX, "the end took {took:?}");
        assert!(ends.iter().all(|end| *end == Ended::Closed(Some(1012))), "round {round}: ended with {ends:?}");
        server.launch().await.unwrap();
        audit.check(&server.api(&people[0]), group, &ledger).await.unwrap();
    }
    assert!(!ledger.is_empty());
}

/// Who neither reads nor leaves can't keep the server from its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how long the end takes is what is measured")]
async fn a_stop_does_not_wait_for_those_who_hang() {
    let mut server = Server::start(options()).await.unwrap();
    let people = server.people(["alice", "bob"]).await.unwrap();
    let group = server.api(&people[0]).group("kitchen", &people[1..]).await.unwrap();
    let deaf = tertulia_testkit::SocketOptions { receive_buffer_bytes: Some(4096), device: None };
    let mut hanging = Vec::new();
    for _ in 0..5 {
        hanging.push(tertulia_testkit::Socket::connect(server.url(), &people[1].token, deaf).await.unwrap());
    }
    let api = server.api(&people[0]);
    for number in 0..300 {
        api.send(group.id, &format!("m-{number}"), &"x".repeat(4000)).await.unwrap();
    }
    let began = tokio::time::Instant::now();
    let status = server.terminate().await.unwrap();
    let took = began.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(took < STOP_MAX, "the end took {took:?}");
    drop(hanging);
    server.launch().await.unwrap();
    assert_eq!(server.api(&people[0]).conversation(group.id).await.unwrap().last_seq, 300);
}
