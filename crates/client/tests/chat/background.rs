//! Moments in the background, and apps that a notification has started.

use std::time::Duration;

use anyhow::Result;
use tertulia_client::{ConnectionState, SyncError};
use tertulia_testkit::within;

use crate::harness::{World, caught_up, conversation, reaches, sent_all, shows};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_moment_in_the_background_brings_what_is_new_sends_what_waits_and_leaves_the_connection_as_it_was()
-> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    conversation(&a, dm, |_| true).await?;
    a.pause()?;
    a.send(dm, "from the tunnel")?;
    world.api(&bob).send(dm, "x1", "where are you?").await?;
    let done = within("the moment", a.background_sync(LIMIT)).await??;
    assert!(done.is_caught_up && done.is_done && done.outbox_len == 0, "{done:?}");
    assert_eq!(a.connection().get()?, ConnectionState::Paused);
    shows(&a, dm, &["where are you?", "from the tunnel"]).await?;
    let log = world.api(&bob).history_after(dm, 0).await?;
    assert_eq!(log.len(), 2, "it has arrived");
    let members = world.api(&bob).conversation(dm).await?.members;
    let members = members.iter().flat_map(|all| all.iter());
    assert!(members.filter(|member| member.user_id == alice.id).all(|member| member.delivered_seq == 2));
    // Of an app in the foreground it takes nothing.
    a.connect()?;
    caught_up(&a).await?;
    let done = within("the moment", a.background_sync(LIMIT)).await??;
    assert!(done.is_done);
    assert_eq!(a.connection().get()?, ConnectionState::Connected { caught_up: true });
    Ok(())
}

#[tokio::test]
async fn a_moment_ends_at_its_limit_also_where_the_network_takes_everything_and_answers_nothing() -> Result<()> {
    let world = World::new().await?;
    let (alice, _, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    conversation(&a, dm, |_| true).await?;
    a.pause()?;
    a.send(dm, "waits")?;
    // A listener that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    world.gate.lead_to(&format!("http://{}", silent.local_addr()?))?;
    let done = within("the limit", a.background_sync(Duration::from_millis(700))).await??;
    assert!(!done.is_caught_up && !done.is_done && done.outbox_len == 1, "{done:?}");
    assert_eq!(a.connection().get()?, ConnectionState::Paused);
    world.gate.shut();
    let done = within("the limit", a.background_sync(Duration::from_millis(300))).await??;
    assert!(!done.is_done, "{done:?}");
    world.gate.lead_to(world.server.url())?;
    let done = within("the moment", a.background_sync(LIMIT)).await??;
    assert!(done.is_done && done.outbox_len == 0, "{done:?}");
    Ok(())
}

#[tokio::test]
async fn who_comes_to_the_foreground_meanwhile_stays_connected() -> Result<()> {
    let world = World::new().await?;
    let (alice, _, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    conversation(&a, dm, |_| true).await?;
    a.pause()?;
    let (one, other) = (a.background_sync(LIMIT), a.background_sync(LIMIT));
    let (one, other) = within("two moments at once", futures_util::future::join(one, other)).await?;
    assert!(one?.is_done && other?.is_done, "the first does not end what the second needs");
    assert_eq!(a.connection().get()?, ConnectionState::Paused);
    let moment = async {
        let foreground = async {
            reaches(&a, ConnectionState::Connecting).await?;
            anyhow::Ok(a.connect()?)
        };
        let (done, connected) = futures_util::future::join(a.background_sync(LIMIT), foreground).await;
        connected?;
        anyhow::Ok(done?)
    };
    // The app's word is the last.
    assert!(within("the moment", moment).await??.is_done);
    assert_eq!(a.connection().get()?, ConnectionState::Connected { caught_up: true });
    a.send(dm, "here")?;
    sent_all(&a).await?;
    // Given up in the middle it leaves things as they were too.
    a.pause()?;
    drop(tokio::time::timeout(Duration::ZERO, a.background_sync(LIMIT)).await);
    assert_eq!(a.connection().get()?, ConnectionState::Paused);
    Ok(())
}

#[tokio::test]
async fn who_is_signed_out_hears_so_at_once() -> Result<()> {
    let world = World::new().await?;
    let (alice, ..) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    a.rest().end_session().await?;
    reaches(&a, ConnectionState::SignedOut).await?;
    a.pause()?;
    let done = within("an answer", a.background_sync(LIMIT)).await?;
    assert!(matches!(done, Err(SyncError::SignedOut)), "{done:?}");
    assert_eq!(a.connection().get()?, ConnectionState::Paused);
    Ok(())
}

#[tokio::test]
async fn a_tap_that_starts_the_app_finds_its_message_on_a_device_that_knows_nothing_yet() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let api = world.api(&bob);
    let early = api.send(dm, "early", "early").await?.message_id;
    for number in 0..120 {
        api.send(dm, &format!("n{number}"), &format!("{number}")).await?;
    }
    let late = api.send(dm, "late", "late").await?.message_id;
    // An empty file, and nobody has connected.
    let a = world.open(&alice, "a")?;
    assert_eq!(within("the newest", a.sync_until(dm, late, 20_000)).await??.body, "late");
    assert_eq!(within("one in a hole", a.sync_until(dm, early, 20_000)).await??.body, "early");
    a.close().await;
    // A file of before, and the message came since.
    let since = api.send(dm, "since", "since").await?.message_id;
    let a = world.open(&alice, "a")?;
    assert_eq!(within("the new one", a.sync_until(dm, since, 20_000)).await??.body, "since");
    assert!(matches!(a.connection().get()?, ConnectionState::Connected { .. }), "it stays so: somebody looks at it");
    a.close().await;
    // One that is here needs no network.
    world.gate.shut();
    let a = world.open(&alice, "a")?;
    assert_eq!(a.sync_until(dm, since, 1).await?.body, "since");
    Ok(())
}
