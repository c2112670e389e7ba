//! Sending and following through everything that happens to a server.

use anyhow::{Context as _, Result};
use serde_json::Value;
use tertulia_proto::ConversationId;

use crate::harness::{World, code, complaint, lines};

async fn history(world: &World, person: &tertulia_testkit::Person, dm: ConversationId) -> Result<Vec<String>> {
    let messages = world.server.api(person).history_after(dm, 0).await?;
    Ok(messages.into_iter().map(|message| message.body).collect())
}

#[tokio::test]
async fn a_message_for_a_server_that_is_down_is_queued_and_delivered_once() -> Result<()> {
    let mut world = World::new().await?;
    let (alice, bob) = (world.server.person("alice").await?, world.server.person("bob").await?);
    let at_alice = world.signed_in(&alice).await?;
    let said = at_alice.run(&["send", "--to", &bob.email, "--wait", "--json", "one"], "").await?;
    let [line] = <[Value; 1]>::try_from(lines(&said)?).ok().context("one line")?;
    assert_eq!((&line["event"], &line["seq"], &line["body"]), (&"message".into(), &1.into(), &"one".into()));
    let dm: ConversationId = line["conversationId"].as_str().context("an id")?.parse()?;

    world.server.kill()?;
    world.gate.shut();
    let queued = at_alice.output(&["send", "--to", &bob.email, "two"], "").await?;
    assert_eq!(code(&queued), Some(0), "{}", complaint(&queued));
    assert!(complaint(&queued).contains("queued"), "{}", complaint(&queued));
    let late = at_alice.output(&["send", "--to", &bob.email, "--wait", "--timeout", "1", "three"], "").await?;
    assert_eq!(code(&late), Some(3), "{}", complaint(&late));

    world.restart_server().await?;
    at_alice.run(&["send", "--to", &dm.to_string(), "--wait", "four"], "").await?;
    assert_eq!(history(&world, &bob, dm).await?, ["one", "two", "three", "four"]);
    assert_eq!(at_alice.run(&["outbox"], "").await?, "");
    Ok(())
}

#[tokio::test]
async fn lines_survive_a_server_that_is_killed_among_them() -> Result<()> {
    let mut world = World::new().await?;
    let (alice, bob) = (world.server.person("alice").await?, world.server.person("bob").await?);
    let dm = world.server.api(&alice).dm(&bob).await?.id;
    let at_alice = world.signed_in(&alice).await?;
    let mut sending = at_alice.start(&["send", "--to", &bob.email, "--wait", "--json", "-"])?;
    let bodies: Vec<String> = (0..300).map(|number| format!("line {number}")).collect();
    sending.write(&(bodies.join("\n") + "\n"))?;
    sending.until(|line| line["seq"] == 70).await?;
    world.server.kill()?;
    world.gate.shut();
    world.restart_server().await?;
    sending.until(|line| line["seq"] == 300).await?;
    assert!(sending.ended().await?.success());
    assert_eq!(history(&world, &bob, dm).await?, bodies);
    Ok(())
}

#[tokio::test]
async fn a_follower_tells_every_message_once_with_its_seq() -> Result<()> {
    let mut world = World::new().await?;
    let (alice, bob) = (world.server.person("alice").await?, world.server.person("bob").await?);
    let dm = world.server.api(&alice).dm(&bob).await?.id;
    let at_bob = world.signed_in(&bob).await?;
    let mut tail = at_bob.start(&["tail", "--json", "--since-now"])?;
    tail.connection("connected", true).await?;
    let first = world.server.api(&alice).send(dm, "m-1", "one").await?;
    let told = tail.until(|line| line["event"] == "message").await?;
    assert_eq!((&told["seq"], &told["messageId"]), (&1.into(), &first.message_id.to_string().into()));
    world.server.api(&alice).edit(dm, first.message_id, "one, edited").await?;
    let told = tail.until(|line| line["event"] == "changed").await?;
    assert_eq!((&told["seq"], &told["body"]), (&1.into(), &"one, edited".into()));
    assert!(told["editedAt"].is_string());

    world.gate.shut();
    tail.connection("waiting", false).await?;
    for number in 2..=400 {
        world.server.api(&alice).send(dm, &format!("m-{number}"), &format!("number {number}")).await?;
    }
    world.restart_server().await?;
    let mut seqs = std::collections::BTreeSet::new();
    while seqs.len() < 399 {
        let line = tail.until(|line| line["event"] == "message").await?;
        assert!(seqs.insert(line["seq"].as_i64().context("a place")?), "told twice: {line}");
    }
    assert!(seqs.into_iter().eq(2..=400));
    world.server.api(&alice).send(dm, "m-401", "the last").await?;
    let told = tail.until(|line| line["event"] == "message").await?;
    assert_eq!((&told["seq"], &told["body"]), (&401.into(), &"the last".into()));
    assert!(tail.stop().await?.success());

    let mut again = at_bob.start(&["tail", "--json", "--last", "3"])?;
    for seq in 399..=401 {
        assert_eq!(again.until(|line| line["event"] == "message").await?["seq"], seq);
    }
    Ok(())
}

#[tokio::test]
async fn what_the_server_refuses_fails_with_its_reason_and_can_be_given_up() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob) = (world.server.person("alice").await?, world.server.person("bob").await?);
    let dm = world.server.api(&alice).dm(&bob).await?.id;
    let at_alice = world.signed_in(&alice).await?;
    let block = format!("/api/v1/users/{}/block", alice.id);
    world.server.api(&bob).call(reqwest::Method::PUT, &block, None).await?;
    let send = ["send", "--to", bob.email.as_str(), "--wait", "hello"];
    let refused = at_alice.output(&send, "").await?;
    assert_eq!(code(&refused), Some(1));
    assert!(complaint(&refused).contains("refused"), "{}", complaint(&refused));
    let behind = at_alice.output(&send, "").await?;
    assert!(complaint(&behind).contains("tertulia-tui outbox"), "{}", complaint(&behind));

    let parked = lines(&at_alice.run(&["outbox", "--json"], "").await?)?;
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert_eq!(parked[0]["op"]["kind"], "send");
    assert!(parked[0]["parked"]["detail"].is_string(), "{parked:?}");
    let entry = parked[0]["entry"].to_string();
    assert_eq!(at_alice.run(&["outbox", "--discard", &entry], "").await?, "");
    world.server.api(&bob).delete(&block).await?;
    at_alice.run(&send, "").await?;
    assert_eq!(history(&world, &bob, dm).await?, ["hello"]);
    Ok(())
}
