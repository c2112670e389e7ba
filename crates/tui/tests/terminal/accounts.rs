//! Signing in and out.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;

use crate::harness::{World, code, complaint, lines};

#[tokio::test]
async fn signing_out_leaves_nothing_on_the_device() -> Result<()> {
    let world = World::new().await?;
    let url = world.gate.url();
    let device = world.device("carol");
    let register =
        ["sign-in", "--server", &url, "--email", "carol@example.org", "--password-stdin", "--register", "Carol"];
    assert_eq!(device.run(&register, "correct horse\n").await?, "signed in as carol@example.org\n");
    for name in ["account.json", "chat.db"] {
        let mode = device.0.join(name).metadata()?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(device.0.metadata()?.permissions().mode() & 0o777, 0o700);
    device.run(&["log-out"], "").await?;
    assert_eq!(std::fs::read_dir(&device.0)?.count(), 0);
    let nobody = device.output(&["conversations"], "").await?;
    assert_eq!(code(&nobody), Some(1));
    assert!(complaint(&nobody).contains("sign-in"), "{}", complaint(&nobody));

    let wrong = ["sign-in", "--server", &url, "--email", "carol@example.org", "--password-stdin"];
    assert_eq!(code(&device.output(&wrong, "wrong horse\n").await?), Some(1));
    device.run(&wrong, "correct horse\n").await?;
    Ok(())
}

#[tokio::test]
async fn a_folder_is_one_persons_and_one_process_s() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob) = (world.server.person("alice").await?, world.server.person("bob").await?);
    world.server.api(&alice).dm(&bob).await?;
    let at_alice = world.signed_in(&alice).await?;
    let other = at_alice.output(&["sign-in", "--server", &world.gate.url(), "--token", &bob.token], "").await?;
    assert!(complaint(&other).contains("log-out"), "{}", complaint(&other));
    let known = lines(&at_alice.run(&["conversations", "--json"], "").await?)?;
    assert_eq!(known.len(), 1);
    assert_eq!(known[0]["peerEmail"], "bob@example.org");

    let mut tail = at_alice.start(&["tail", "--json"])?;
    tail.connection("connected", true).await?;
    let second = at_alice.output(&["conversations"], "").await?;
    assert!(complaint(&second).contains("another tertulia-tui"), "{}", complaint(&second));
    assert!(tail.stop().await?.success());
    Ok(())
}
