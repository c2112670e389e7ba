//! A server that breaks its connections on purpose.

use std::time::Duration;

use anyhow::Result;
use tertulia_client::Client;
use tertulia_testkit::{Options, within};

use crate::harness::{World, sent_all, whole};

/// Waits for something, and tells the clients now and then to try again at once, as phones that see their network again.
async fn nudged<T>(clients: [&Client; 2], mut work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    loop {
        if let Ok(done) = tokio::time::timeout(Duration::from_secs(2), work()).await {
            return done;
        }
        for client in clients {
            client.set_network(false)?;
            client.set_network(true)?;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_converge_through_a_network_that_drops_doubles_and_cuts() -> Result<()> {
    let flaky = "latency=1..30,drop=3%,double=20%,cut=3%";
    let world = World::with(Options::built()?.env("TERTULIA_FLAKY", flaky)).await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.open(&alice, "a")?, world.open(&bob, "b")?);
    a.connect()?;
    b.connect()?;
    let both = [&a, &b];
    for client in both {
        let here = nudged(both, async || Ok(client.conversation(dm).until(Option::is_some).await?));
        within("the conversation", here).await??;
    }
    for number in 0..60 {
        a.send(dm, format!("a {number}"))?;
        b.send(dm, format!("b {number}"))?;
        // Not all in one frame.
        let _ = tokio::time::timeout(Duration::from_millis(10), sent_all(&a)).await;
    }
    for client in both {
        within("an empty outbox", nudged(both, async || Ok(client.outbox().until(Vec::is_empty).await?))).await??;
    }
    let mut shown = Vec::new();
    for client in both {
        shown.push(within("all messages", nudged(both, async || whole(client, dm, 120).await)).await??);
    }
    let log: Vec<String> = world.api(&alice).history_after(dm, 0).await?.into_iter().map(|row| row.body).collect();
    assert_eq!(shown, [log.clone(), log.clone()]);
    for who in ["a", "b"] {
        let theirs: Vec<&String> = log.iter().filter(|body| body.starts_with(who)).collect();
        assert_eq!(
            theirs,
            (0..60).map(|number| format!("{who} {number}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
    Ok(())
}
