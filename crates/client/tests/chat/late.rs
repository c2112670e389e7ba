//! What an abandoned connection still carries.

use std::time::Duration;

use anyhow::Result;
use tertulia_client::Client;
use tertulia_testkit::chaos::{Chaos, Profile};
use tertulia_testkit::{Random, within};

use crate::harness::{World, caught_up, sent_all, shows};

#[tokio::test]
async fn an_edit_that_comes_late_over_an_abandoned_connection_does_not_win() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let b = world.online(&bob, "b").await?;
    let chaos = Chaos::open(world.server.url(), Random::new(1)).await?;
    let slow = Profile { through: 0, delayed: 1, delay_max: Duration::from_secs(2), ..Profile::CALM };
    chaos.storm(slow);
    let a = Client::builder(&chaos.url()).token(alice.token.as_str()).open()?;
    a.connect()?;
    caught_up(&a).await?;
    let name = a.send(dm, "zero")?;
    sent_all(&a).await?;
    // What is open stays as slow as it is; what is opened now is not.
    chaos.storm(Profile::CALM);
    a.edit(dm, name.clone(), "one")?;
    let _ = tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await;
    a.set_network(false)?;
    a.set_network(true)?;
    a.edit(dm, name, "two")?;
    sent_all(&a).await?;
    shows(&b, dm, &["two"]).await?;
    for _ in 0..30 {
        let _ = tokio::time::timeout(Duration::from_millis(100), std::future::pending::<()>()).await;
        let log = world.api(&alice).history_after(dm, 0).await?;
        assert_eq!(log[0].body, "two");
    }
    within("nothing", async {}).await?;
    Ok(())
}
