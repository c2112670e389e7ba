//! Without a network, and after a restart of the app.

use anyhow::{Context as _, Result};
use tertulia_client::{Client, ConnectionState, ConversationId, ErrorCode, MessageRef, Refusal, Status, Waiting};
use tertulia_testkit::{Random, within};

use crate::harness::{World, bodies, caught_up, conversation, refused_with, sent_all, shows, timeline, whole};

#[tokio::test]
async fn what_is_written_without_a_network_arrives_once_and_in_order() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    world.gate.shut();
    let wanted: Vec<String> = (0..40).map(|number| format!("offline {number}")).collect();
    for text in &wanted {
        a.send(dm, text.as_str())?;
    }
    let here = timeline(&a, dm, |rows| rows.len() == 40).await?;
    assert!(here.iter().all(|row| row.status == Some(Status::Pending) && row.seq.is_none()));
    let by_name = a.message(dm, here[0].name.clone())?.context("pending")?;
    assert_eq!((by_name.body, by_name.id), ("offline 0".to_owned(), None));
    let waiting = |state: &ConnectionState| matches!(state, ConnectionState::Waiting { .. });
    within("a next try", a.connection().until(waiting)).await??;
    assert!(a.next_try_in_ms()?.is_some_and(|ms| ms <= 60_000));
    world.gate.lead_to(world.server.url())?;
    a.set_network(true)?;
    b.set_network(true)?;
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    shows(&b, dm, &wanted).await?;
    let after = shows(&a, dm, &wanted).await?;
    let keys = |rows: &[tertulia_client::Message]| rows.iter().map(|row| row.key).collect::<Vec<_>>();
    assert_eq!(keys(&here), keys(&after), "the pending rows became the log's");
    Ok(())
}

#[tokio::test]
async fn a_full_outbox_survives_a_restart_of_the_app() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    a.pause()?;
    for number in 0..150 {
        a.send(dm, format!("{number}"))?;
    }
    drop(a);
    let a = world.open(&alice, "a").context("the file is free when the last handle is gone")?;
    assert_eq!(a.outbox().get()?.len(), 150);
    assert_eq!(a.account()?, Some(alice.id));
    a.connect()?;
    let b = world.online(&bob, "b").await?;
    let wanted: Vec<String> = (0..150).map(|number| number.to_string()).collect();
    assert_eq!(whole(&b, dm, 150).await?, wanted);
    assert_eq!(whole(&a, dm, 150).await?, wanted);
    Ok(())
}

#[tokio::test]
async fn an_app_that_ends_at_any_moment_loses_and_doubles_nothing() -> Result<()> {
    let world = World::new().await?;
    let (alice, _, dm) = world.pair().await?;
    let mut random = Random::from_environment();
    let mut wanted = Vec::new();
    drop(world.online(&alice, "a").await?);
    for round in 0..12 {
        let a = world.open(&alice, "a")?;
        a.connect()?;
        for number in 0..random.below(12) {
            let text = format!("{round}.{number}");
            a.send(dm, text.as_str())?;
            wanted.push(text);
            if random.one_in(3) {
                // Up to where the connection happens to be.
                let _ = tokio::time::timeout(random.micros_below(20_000), sent_all(&a)).await;
            }
        }
    }
    let a = world.online(&alice, "a").await?;
    sent_all(&a).await?;
    let log: Vec<String> = world.api(&alice).history_after(dm, 0).await?.into_iter().map(|row| row.body).collect();
    assert_eq!(log, wanted);
    assert_eq!(whole(&a, dm, wanted.len()).await?, wanted);
    Ok(())
}

#[tokio::test]
async fn a_pending_message_is_edited_or_deleted_before_anybody_has_seen_it() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    a.pause()?;
    let first = a.send(dm, "Helo")?;
    let second = a.send(dm, "never mind")?;
    a.edit(dm, first, "Hello")?;
    a.delete(dm, second)?;
    let rows = timeline(&a, dm, |rows| bodies(rows) == ["Hello"]).await?;
    assert_eq!(rows[0].edited_at, None, "nobody has seen another text");
    a.connect()?;
    let rows = shows(&b, dm, &["Hello"]).await?;
    assert_eq!(rows[0].edited_at, None);
    assert_eq!(world.api(&alice).history_after(dm, 0).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn edits_reactions_and_deletions_without_a_network_reach_the_log_in_their_order() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    b.send(dm, "from Bob")?;
    a.send(dm, "one")?;
    a.send(dm, "two")?;
    let rows = timeline(&a, dm, |rows| rows.len() == 3 && rows.iter().all(|row| row.seq.is_some())).await?;
    let of = |body: &str| rows.iter().find(|row| row.body == body).map(MessageRef::from).context(body.to_owned());
    a.pause()?;
    a.react(dm, of("from Bob")?, "👍".parse()?, false)?;
    a.edit(dm, of("one")?, "uno")?;
    a.delete(dm, of("two")?)?;
    a.send(dm, "three")?;
    assert!(refused_with(a.edit(dm, of("from Bob")?, "mine now"), &Refusal::NotMine));
    let now = timeline(&a, dm, |rows| bodies(rows).contains(&"three")).await?;
    assert_eq!(now.iter().filter(|row| row.is_changing).count(), 3);
    a.connect()?;
    sent_all(&a).await?;
    let at_b = timeline(&b, dm, |rows| bodies(rows).contains(&"three")).await?;
    let mut seen: Vec<&str> = bodies(&at_b);
    seen.sort_unstable();
    assert_eq!(seen, ["", "from Bob", "three", "uno"]);
    let reacted = at_b.iter().find(|row| row.body == "from Bob").context("Bob's")?;
    assert_eq!(reacted.reactions[0].user_ids, [alice.id]);
    Ok(())
}

#[tokio::test]
async fn a_parked_message_stops_what_comes_after_until_it_is_discarded() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let group = world.api(&alice).group("Tertulia", std::slice::from_ref(&bob)).await?.id;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    conversation(&a, group, |_| true).await?;
    b.rest().block(alice.id).await?;
    a.send(dm, "first")?;
    a.send(dm, "second")?;
    a.send(group, "elsewhere")?;
    let parked = parked(&a, dm).await?;
    assert_eq!(parked.parked.as_ref().map(|reason| reason.code), Some(ErrorCode::Forbidden));
    shows(&b, group, &["elsewhere"]).await?;
    assert!(conversation(&a, dm, |here| here.has_parked).await?.last_message.is_some());
    let rows =
        timeline(&a, dm, |rows| matches!(rows, [first, _] if matches!(first.status, Some(Status::Failed { .. }))));
    assert_eq!(rows.await?[1].status, Some(Status::Pending), "it waits behind");
    b.rest().unblock(alice.id).await?;
    a.discard(parked.entry)?;
    shows(&b, dm, &["second"]).await?;
    shows(&a, dm, &["second"]).await?;
    assert!(refused_with(a.retry(parked.entry), &Refusal::NotParked));
    Ok(())
}

#[tokio::test]
async fn a_parked_message_can_be_tried_again() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    b.rest().block(alice.id).await?;
    a.send(dm, "first")?;
    a.send(dm, "second")?;
    let parked = parked(&a, dm).await?;
    b.rest().unblock(alice.id).await?;
    a.retry(parked.entry)?;
    shows(&b, dm, &["first", "second"]).await?;
    sent_all(&a).await
}

async fn parked(client: &Client, of: ConversationId) -> Result<Waiting> {
    let is_it = |entry: &&Waiting| entry.conversation == of && entry.parked.is_some();
    let mut outbox = client.outbox();
    let entries =
        within("something parked", outbox.until(|entries| entries.iter().any(|entry| is_it(&entry)))).await??;
    entries.iter().find(is_it).cloned().context("something parked")
}

#[tokio::test]
async fn drafts_and_mutes_are_kept_and_the_mute_reaches_the_other_device() -> Result<()> {
    let world = World::new().await?;
    let (alice, _, dm) = world.pair().await?;
    let (a, other) = (world.online(&alice, "a").await?, world.online(&alice, "other").await?);
    a.pause()?;
    let until = "2999-01-01T00:00:00.000Z".parse()?;
    a.mute(dm, Some(until))?;
    a.set_draft(dm, "half a sen")?;
    drop(a);
    let a = world.open(&alice, "a")?;
    let here = conversation(&a, dm, |_| true).await?;
    assert_eq!((here.draft.as_str(), here.muted_until), ("half a sen", Some(until)));
    a.connect()?;
    caught_up(&a).await?;
    conversation(&other, dm, |there| there.muted_until == Some(until)).await?;
    a.send(dm, "half a sentence")?;
    assert_eq!(conversation(&a, dm, |_| true).await?.draft, "");
    Ok(())
}
