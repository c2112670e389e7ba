//! Whose device it is: tokens, signing out, other people's data.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use tertulia_client::{Client, ConnectionState, ErrorCode, OpenError, ReadError, Rest, RestError, TokenError};
use tertulia_testkit::within;

use crate::harness::{World, caught_up, reaches, sent_all, shows};

#[tokio::test]
async fn after_signing_out_the_file_holds_not_a_word() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    b.send(dm, "the secret of the samovar")?;
    shows(&a, dm, &["the secret of the samovar"]).await?;
    a.send(dm, "an answer about teaspoons")?;
    sent_all(&a).await?;
    a.pause()?;
    a.send(dm, "a pending pomegranate")?;
    a.set_draft(dm, "a draft of dandelions")?;
    assert!(a.search("samovar", None, 10)?.len() == 1);
    let words = ["samovar", "teaspoons", "pomegranate", "dandelions", "alice", "bob"];
    assert!(words.iter().all(|word| holds(&world, word)), "the test looks in the right place");
    let mut list = a.conversations();
    list.next().await?;
    a.log_out().await?;
    for word in words {
        assert!(!holds(&world, word), "{word} is still there");
    }
    let mut rows = vec![()];
    for step in within("an empty list", list.next()).await?? {
        if let tertulia_client::ListDiff::Reset(all) = step {
            rows = all.into_iter().map(drop).collect();
        } else if let tertulia_client::ListDiff::Remove { .. } = step {
            rows.pop();
        }
    }
    assert!(rows.is_empty());
    assert_eq!((a.account()?, a.outbox().get()?.len()), (None, 0));
    assert!(matches!(world.api(&alice).get("/api/v1/me").await?.status, 401), "the session has ended");
    a.set_token(bob.token.as_str())?;
    caught_up(&a).await?;
    shows(&a, dm, &["the secret of the samovar", "an answer about teaspoons"]).await?;
    Ok(())
}

/// Whether the bytes of the file or of its log hold a word.
fn holds(world: &World, word: &str) -> bool {
    ["a.db", "a.db-wal", "a.db-shm", "a.db-journal"].iter().any(|name| {
        let bytes = std::fs::read(world.folder.path().join(name)).unwrap_or_default();
        bytes.windows(word.len()).any(|window| window == word.as_bytes())
    })
}

#[tokio::test]
async fn the_provider_is_asked_when_the_server_does_not_take_the_token() -> Result<()> {
    let world = World::new().await?;
    let alice = world.server.register("alice", "correct horse battery").await?;
    let rest = Rest::new(&world.gate.url())?;
    let asked = Arc::new(AtomicUsize::new(0));
    let provider = {
        let asked = Arc::clone(&asked);
        move || {
            asked.fetch_add(1, Ordering::SeqCst);
            let rest = rest.clone();
            async move {
                let answer = rest.login("alice@example.org", "correct horse battery").await;
                answer.map(|answer| answer.token).map_err(|error| TokenError::Unavailable(error.to_string()))
            }
        }
    };
    let client = Client::builder(&world.gate.url()).token("nonsense").token_provider(provider).open()?;
    client.connect()?;
    caught_up(&client).await?;
    assert_eq!((client.account()?, asked.load(Ordering::SeqCst)), (Some(alice.id), 1));
    client.rest().end_session().await?;
    within("another token", async {
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    caught_up(&client).await?;
    assert_eq!(client.rest().me().await?.id, alice.id);
    Ok(())
}

#[tokio::test]
async fn without_a_provider_somebody_has_to_sign_in_again() -> Result<()> {
    let world = World::new().await?;
    let alice = world.server.register("alice", "correct horse battery").await?;
    let client = Client::builder(&world.gate.url()).token("nonsense").open()?;
    client.connect()?;
    reaches(&client, ConnectionState::SignedOut).await?;
    assert!(matches!(client.rest().me().await, Err(RestError::SignedOut)));
    let wrong = client.rest().login("alice@example.org", "wrong horse battery").await;
    assert!(matches!(wrong, Err(RestError::Refused(_))), "{wrong:?}");
    client.set_token(client.rest().login("alice@example.org", "correct horse battery").await?.token)?;
    caught_up(&client).await?;
    assert_eq!(client.account()?, Some(alice.id));
    Ok(())
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_counts_as_out_of_reach() -> Result<()> {
    let world = World::new().await?;
    let client = Client::builder(&world.gate.url().replace("http://", "https://")).token("nonsense").open()?;
    client.connect()?;
    let waits = |state: &ConnectionState| matches!(state, ConnectionState::Waiting { .. });
    within("the next try", client.connection().until(waits)).await??;
    assert!(matches!(client.rest().me().await, Err(RestError::Unreachable(_))));
    Ok(())
}

#[test]
fn a_client_without_a_runtime_is_refused_before_it_could_wait_for_ever() {
    assert!(matches!(Client::builder("http://127.0.0.1:9").open(), Err(OpenError::NoRuntime)));
    assert!(matches!(Client::builder("127.0.0.1:9").open(), Err(OpenError::Address(_))));
}

#[tokio::test]
async fn a_token_of_somebody_else_touches_nothing() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    a.send(dm, "mine")?;
    sent_all(&a).await?;
    a.pause()?;
    a.set_token(bob.token.as_str())?;
    reaches(&a, ConnectionState::WrongAccount).await?;
    assert_eq!(a.account()?, Some(alice.id));
    shows(&a, dm, &["mine"]).await?;
    Ok(())
}

#[tokio::test]
async fn with_the_last_handle_everything_ends() -> Result<()> {
    let world = World::new().await?;
    let (alice, _, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    let (clone, mut timeline, mut badge) = (a.clone(), a.timeline(dm), a.unread_total());
    timeline.next().await?;
    badge.next().await?;
    drop(a);
    clone.send(dm, "still here")?;
    timeline.next().await?;
    drop(clone);
    within("the end", async { while timeline.next().await.is_ok() {} }).await?;
    assert_eq!(badge.next().await, Err(ReadError::Closed));
    assert_eq!(badge.get(), Err(ReadError::Closed));
    world.open(&alice, "a").context("the file is free")?;
    Ok(())
}

#[tokio::test]
async fn people_and_groups_are_found_over_rest() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let carol = world.server.person("carol").await?;
    let a = world.open(&alice, "a")?;
    let rest = a.rest();
    assert_eq!(rest.me().await?.id, alice.id);
    assert_eq!(rest.search_users("bob@example.org").await?[0].id, bob.id);
    assert_eq!(rest.open_dm(bob.id).await?.id, dm, "also without a connection");
    let group = rest.create_group("Tertulia", vec![bob.id], tertulia_client::HistoryVisibility::All).await?.id;
    let email = tertulia_client::Person::Email("carol@example.org".to_owned());
    assert_eq!(rest.add_member(group, email).await?.user_id, carol.id);
    assert_eq!(rest.set_role(group, carol.id, tertulia_client::Role::Admin).await?.role, tertulia_client::Role::Admin);
    assert_eq!(rest.rename(group, "Café").await?.title.as_deref(), Some("Café"));
    world.api(&bob).send(group, "x", "¿quién paga 100 % & más?").await?;
    let found = within("an index that has caught up", async {
        loop {
            let found = rest.search_messages("100 % & m", Some(group), 10).await?;
            if !found.is_empty() {
                return anyhow::Ok(found);
            }
        }
    })
    .await??;
    assert_eq!(rest.message(group, found[0].message_id).await?.body, found[0].body);
    rest.hide(dm).await?;
    rest.remove_member(group, carol.id, None).await?;
    rest.remove_member(group, alice.id, Some(bob.id)).await?;
    let gone = rest.conversation(group).await;
    assert_eq!(gone.err().and_then(|error| error.code()), Some(tertulia_client::ErrorCode::NotFound));
    Ok(())
}

#[tokio::test]
async fn a_sign_in_is_seen_and_ended_from_another_device() -> Result<()> {
    let world = World::new().await?;
    let door = Rest::new(&world.gate.url())?;
    let phone = door.register("alice@example.org", "correct horse", "Alice").await?;
    let desk = door.login("alice@example.org", "correct horse").await?;
    let eve = door.register("eve@example.org", "correct horse", "Eve").await?;
    let open = |token: &str| Client::builder(&world.gate.url()).token(token).open();
    let (a, b, e) = (open(&phone.token)?, open(&desk.token)?, open(&eve.token)?);
    a.connect()?;
    caught_up(&a).await?;
    let seen = b.rest().sessions().await?;
    let current: Vec<bool> = seen.iter().map(|session| session.current).collect();
    assert_eq!(current, [true, false], "newest first");
    assert!(
        seen.iter().all(|session| session.user_agent.as_deref().is_some_and(|it| it.starts_with("tertulia-client/")))
    );
    assert_eq!(
        (seen[0].last_seen_at.is_some(), seen[1].last_seen_at.is_some()),
        (false, true),
        "the phone is connected"
    );
    let refused = e.rest().end_session_of(seen[1].id).await;
    assert!(matches!(refused, Err(RestError::Refused(error)) if error.code == ErrorCode::NotFound));
    b.rest().end_session_of(seen[1].id).await?;
    reaches(&a, ConnectionState::SignedOut).await?;
    assert_eq!(b.rest().sessions().await?.len(), 1);
    assert!(matches!(a.rest().me().await, Err(RestError::SignedOut)));
    Ok(())
}

#[tokio::test]
async fn one_sees_whom_one_has_blocked() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, _) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    assert_eq!(a.rest().blocked().await?, []);
    a.rest().block(bob.id).await?;
    let blocked = a.rest().blocked().await?;
    assert!(matches!(&blocked[..], [user] if user.id == bob.id && user.blocked), "{blocked:?}");
    a.rest().unblock(bob.id).await?;
    assert_eq!(a.rest().blocked().await?, []);
    Ok(())
}
