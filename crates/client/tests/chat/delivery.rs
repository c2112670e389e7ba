//! From one client to the other, whatever happens between them.

use std::collections::BTreeSet;

use anyhow::Result;
use tertulia_client::Status;
use tertulia_testkit::Random;

use crate::harness::{World, sent_all, shows, timeline, whole};

#[tokio::test]
async fn two_people_talk() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    a.send(dm, "Hola")?;
    shows(&b, dm, &["Hola"]).await?;
    b.send(dm, "Buenas")?;
    let rows = shows(&a, dm, &["Hola", "Buenas"]).await?;
    assert_eq!(rows[1].sender, bob.id);
    b.mark_read(dm, i64::MAX)?;
    let read = timeline(&a, dm, |rows| rows.iter().any(|row| row.status == Some(Status::Read))).await?;
    assert_eq!((&read[0].status, &read[1].status), (&Some(Status::Read), &None));
    Ok(())
}

#[tokio::test]
async fn an_answer_to_a_message_that_is_pending_becomes_an_answer_in_the_log() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    a.pause()?;
    let question = a.send(dm, "Who comes?")?;
    a.reply(dm, question, "I do")?;
    a.connect()?;
    let rows = shows(&b, dm, &["Who comes?", "I do"]).await?;
    assert_eq!(rows[1].reply_to, rows[0].id.map(Into::into));
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_killed_while_both_write_leaves_both_with_the_same() -> Result<()> {
    let mut world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    let mut random = Random::from_environment();
    let mut sent = Vec::new();
    for round in 0..4 {
        for number in 0..20 {
            let text = format!("{round}.{number}");
            let client = if random.one_in(2) { &a } else { &b };
            client.send(dm, text.as_str())?;
            sent.push(text);
            tokio::task::yield_now().await;
        }
        world.restart_server().await?;
        // As a phone that sees its network again: the next try is now.
        for client in [&a, &b] {
            client.set_network(false)?;
            client.set_network(true)?;
        }
    }
    sent_all(&a).await?;
    sent_all(&b).await?;
    let (at_a, at_b) = (whole(&a, dm, sent.len()).await?, whole(&b, dm, sent.len()).await?);
    assert_eq!(at_a, at_b);
    assert_eq!(at_a.len(), sent.len());
    assert_eq!(at_a.iter().collect::<BTreeSet<_>>(), sent.iter().collect::<BTreeSet<_>>());
    let log = world.api(&alice).history_after(dm, 0).await?;
    assert_eq!(log.iter().map(|message| message.body.clone()).collect::<Vec<_>>(), at_a);
    Ok(())
}
