//! Typing, presence, badges.

use anyhow::Result;
use tertulia_client::Message;
use tertulia_testkit::{Options, within};

use crate::harness::{World, conversation, sent_all, shows, timeline};

#[tokio::test]
async fn typing_and_presence_are_seen() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    b.watch_presence(vec![alice.id])?;
    let mut presence = b.presence(alice.id);
    within("alice is here", presence.until(|state| state.is_some_and(|state| state.online))).await??;
    a.set_typing(dm, true)?;
    let mut typing = b.typing(dm);
    let writers = within("alice writes", typing.until(|writers| !writers.is_empty())).await??;
    assert_eq!((writers[0].user, writers[0].name.as_str()), (alice.id, "alice"));
    a.send(dm, "done")?;
    within("alice has stopped", typing.until(Vec::is_empty)).await??;
    a.close().await;
    within("alice is gone", presence.until(|state| state.is_some_and(|state| !state.online))).await??;
    b.pause()?;
    within("nobody knows", presence.until(Option::is_none)).await??;
    Ok(())
}

#[tokio::test]
async fn badges_of_two_devices_agree_when_one_has_read() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let group = world.api(&bob).group("Tertulia", std::slice::from_ref(&alice)).await?.id;
    let b = world.online(&bob, "b").await?;
    let (phone, desk) = (world.online(&alice, "phone").await?, world.online(&alice, "desk").await?);
    conversation(&b, group, |_| true).await?;
    for text in ["one", "two", "three"] {
        b.send(dm, text)?;
    }
    b.send(group, "four")?;
    for device in [&phone, &desk] {
        within("four unread", device.unread_total().until(|total| *total == 4)).await??;
    }
    let rows = shows(&phone, dm, &["one", "two", "three"]).await?;
    phone.mark_read(dm, rows[1].seq.unwrap_or(0))?;
    assert_eq!(phone.unread_total().get()?, 2, "at once");
    within("the same at the desk", desk.unread_total().until(|total| *total == 2)).await??;
    desk.mute(group, Some("2999-01-01T00:00:00.000Z".parse()?))?;
    assert_eq!(desk.unread_total().get()?, 1);
    within("the same on the phone", phone.unread_total().until(|total| *total == 1)).await??;
    assert_eq!(conversation(&phone, group, |_| true).await?.unread, 1, "muted, and still unread");
    Ok(())
}

#[tokio::test]
async fn a_reaction_that_the_server_refuses_is_taken_back_and_told() -> Result<()> {
    let world = World::with(Options::built()?.limit("reactions_per_message_max", 1)).await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    b.send(dm, "news")?;
    let rows = shows(&a, dm, &["news"]).await?;
    shows(&b, dm, &["news"]).await?;
    a.pause()?;
    let mut refusals = a.refusals();
    a.react(dm, &rows[0], "👍".parse()?, false)?;
    b.react(dm, &rows[0], "🎉".parse()?, false)?;
    sent_all(&b).await?;
    a.connect()?;
    let refused = within("a refusal", refusals.next()).await??;
    assert_eq!((refused.conversation, refused.code), (dm, "too_large"), "{}", refused.detail);
    let theirs = |rows: &[Message]| rows[0].reactions.len() == 1 && rows[0].reactions[0].user_ids == [bob.id];
    timeline(&a, dm, |rows| rows.len() == 1 && theirs(rows)).await?;
    Ok(())
}
