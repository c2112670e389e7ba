//! What an abandoned connection still carries.

use anyhow::Result;
use tertulia_client::{Client, ConversationId};
use tertulia_testkit::within;

use crate::harness::{World, caught_up, sent_all, shows};

/// Alice's phone edits, and gives up its connection while the edit is on its way; then it edits again.
async fn edit_twice(world: &World, phone: &Client, dm: ConversationId) -> Result<()> {
    let name = phone.send(dm, "zero")?;
    sent_all(phone).await?;
    world.gate.hold();
    phone.edit(dm, name.clone(), "one")?;
    within("the edit is on its way", world.gate.holds_something()).await?;
    phone.set_network(false)?;
    phone.set_network(true)?;
    caught_up(phone).await?;
    phone.edit(dm, name, "two")?;
    sent_all(phone).await
}

#[tokio::test]
async fn an_edit_that_comes_late_over_an_abandoned_connection_does_not_win() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (phone, b) = (world.online(&alice, "phone").await?, world.online(&bob, "b").await?);
    edit_twice(&world, &phone, dm).await?;
    shows(&b, dm, &["two"]).await?;
    world.gate.let_go().await;
    within("the abandoned connection has ended", async {
        while world.api(&alice).metric("tertulia_connections").await? > 2 {}
        anyhow::Ok(())
    })
    .await??;
    // Whatever came over it stands before this in the log.
    world.api(&bob).send(dm, "after", "after").await?;
    let log = world.api(&alice).history_after(dm, 0).await?;
    let bodies: Vec<&str> = log.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["two", "after"]);
    shows(&phone, dm, &["two", "after"]).await?;
    Ok(())
}
