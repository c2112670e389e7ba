//! Lists as steps, windows and holes.

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use tertulia_client::{Client, Conversation, Conversations, Keep, Message, MessageRef, TIMELINE_PAGE, Timeline};
use tertulia_testkit::{Random, within};

use crate::harness::{World, bodies, caught_up, conversation, sent_all, shows, timeline, whole};

/// Somebody who applies steps as they come.
struct Reader {
    timeline: Timeline,
    list: Conversations,
    rows: Vec<Message>,
    conversations: Vec<Conversation>,
}

impl Reader {
    fn new(client: &Client, id: tertulia_client::ConversationId) -> Self {
        let (timeline, list) = (client.timeline(id), client.conversations());
        Self { timeline, list, rows: Vec::new(), conversations: Vec::new() }
    }

    /// Takes what there is now.
    fn catch_up(&mut self) -> Result<()> {
        while let Some(steps) = self.timeline.next().now_or_never() {
            steps?.into_iter().for_each(|step| step.apply(&mut self.rows));
        }
        while let Some(steps) = self.list.next().now_or_never() {
            steps?.into_iter().for_each(|step| step.apply(&mut self.conversations));
        }
        Ok(())
    }
}

#[tokio::test]
async fn steps_applied_to_an_empty_list_are_always_what_a_fresh_look_shows() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let group = world.api(&alice).group("Tertulia", std::slice::from_ref(&bob)).await?.id;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    let mut random = Random::from_environment();
    let (mut quick, mut slow) = (Reader::new(&a, dm), Reader::new(&a, dm));
    for step in 0..400 {
        act(&mut random, &a, &b, dm, group, &quick.rows, step)?;
        if random.one_in(5) {
            tokio::task::yield_now().await;
        }
        if random.one_in(40) {
            let _ = tokio::time::timeout(random.micros_below(30_000), sent_all(&a)).await;
        }
        if random.one_in(60) {
            quick.timeline.load_more();
        }
        quick.catch_up()?;
        if random.one_in(30) {
            slow.catch_up()?;
        }
        let fresh = a.conversations().get()?;
        quick.catch_up()?;
        // What came in between is another step.
        if a.conversations().get()? == fresh && quick.list.next().now_or_never().is_none() {
            assert_eq!(quick.conversations, fresh, "step {step}");
        }
        assert_eq!(quick.rows, quick.timeline.get()?.messages, "step {step}");
    }
    a.connect()?;
    b.connect()?;
    sent_all(&a).await?;
    sent_all(&b).await?;
    let count = world.api(&alice).history_after(dm, 0).await?.len();
    assert_eq!(whole(&a, dm, count).await?, whole(&b, dm, count).await?);
    slow.catch_up()?;
    assert_eq!(slow.rows, slow.timeline.get()?.messages);
    assert_eq!(slow.conversations, a.conversations().get()?);
    Ok(())
}

fn act(
    random: &mut Random,
    a: &Client,
    b: &Client,
    dm: tertulia_client::ConversationId,
    group: tertulia_client::ConversationId,
    rows: &[Message],
    step: usize,
) -> Result<()> {
    let mine: Vec<&Message> = rows.iter().filter(|row| row.status.is_some() && row.deleted_at.is_none()).collect();
    match random.below(14) {
        0..4 => drop(a.send(dm, format!("a{step}"))?),
        4..7 => drop(b.send(dm, format!("b{step}"))?),
        7 => drop(a.send(group, format!("g{step}"))?),
        8 => a.mark_read(dm, i64::MAX)?,
        9 => {
            if let Some(row) = random.pick(&mine) {
                a.edit(dm, MessageRef::from(*row), format!("e{step}"))?;
            }
        }
        10 => {
            if let Some(row) = random.pick(&mine).filter(|_| random.clone().one_in(2)) {
                a.delete(dm, MessageRef::from(*row))?;
            }
        }
        11 => {
            if let Some(row) = random.pick(&mine) {
                a.react(dm, MessageRef::from(*row), "🎉".parse()?, random.one_in(2))?;
            }
        }
        12 => a.pause()?,
        _ => a.connect()?,
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_who_scrolls_up_closes_the_hole() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    a.send(dm, "before the hole")?;
    sent_all(&a).await?;
    a.pause()?;
    let api = world.api(&bob);
    let mut wanted = vec!["before the hole".to_owned()];
    for number in 0..330 {
        let text = format!("{number}");
        api.send(dm, &format!("n{number}"), &text).await?;
        wanted.push(text);
    }
    a.connect()?;
    caught_up(&a).await?;
    let newest = timeline(&a, dm, |rows| rows.len() == TIMELINE_PAGE).await?;
    assert_eq!(bodies(&newest), wanted[wanted.len() - TIMELINE_PAGE..].iter().map(String::as_str).collect::<Vec<_>>());
    assert!(conversation(&a, dm, |_| true).await?.unread == 330);
    assert_eq!(whole(&a, dm, 331).await?, wanted);
    let all = a.timeline(dm).get()?;
    assert!(all.messages.iter().all(|row| !row.gap_above));
    Ok(())
}

#[tokio::test]
async fn what_was_let_go_comes_back_when_the_reader_scrolls_there() -> Result<()> {
    let world = World::new().await?;
    let (alice, _, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    let wanted: Vec<String> = (0..120).map(|number| format!("message {number}")).collect();
    for text in &wanted {
        a.send(dm, text.as_str())?;
    }
    sent_all(&a).await?;
    conversation(&a, dm, |here| here.read_seq == 120).await?;
    let before = a.storage_bytes()?;
    let pruned = a.prune(Keep { age_ms: -1000, bytes: i64::MAX, newest: 10 })?;
    assert_eq!(pruned.messages, 110);
    assert!(a.storage_bytes()? <= before);
    assert!(a.search("message 5", None, 10)?.is_empty());
    assert_eq!(whole(&a, dm, 120).await?, wanted);
    assert_eq!(a.search("message 55", None, 10)?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_is_shown_above_stays_while_new_messages_come() -> Result<()> {
    let world = World::new().await?;
    let (alice, _, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    for number in 0..60 {
        a.send(dm, format!("{number}"))?;
    }
    let mut reader = Reader::new(&a, dm);
    reader.catch_up()?;
    assert_eq!((reader.rows.len(), reader.timeline.has_more()), (TIMELINE_PAGE, true));
    sent_all(&a).await?;
    reader.catch_up()?;
    let first = reader.rows.first().context("a row")?.body.clone();
    for number in 60..90 {
        a.send(dm, format!("{number}"))?;
    }
    reader.catch_up()?;
    assert_eq!((reader.rows.len(), &reader.rows[0].body), (TIMELINE_PAGE + 30, &first));
    for number in 90..130 {
        a.send(dm, format!("{number}"))?;
    }
    reader.catch_up()?;
    assert!(reader.rows.len() < 2 * TIMELINE_PAGE, "{} rows", reader.rows.len());
    Ok(())
}

#[tokio::test]
async fn a_tapped_notification_finds_its_message_also_in_a_hole() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    a.pause()?;
    let api = world.api(&bob);
    let early = api.send(dm, "early", "early").await?.message_id;
    for number in 0..200 {
        api.send(dm, &format!("n{number}"), &format!("{number}")).await?;
    }
    let late = api.send(dm, "late", "late").await?.message_id;
    assert_eq!(a.sync_until(dm, late, 20_000).await?.body, "late");
    assert_eq!(a.message(dm, early)?, None, "it lies in the hole");
    assert_eq!(a.sync_until(dm, early, 20_000).await?.body, "early");
    let live = api.send(dm, "live", "live").await?.message_id;
    assert_eq!(a.sync_until(dm, live, 20_000).await?.body, "live");
    let nowhere = tertulia_client::MessageId::from_bytes([7; 16]);
    assert!(matches!(a.sync_until(dm, nowhere, 20_000).await, Err(tertulia_client::SyncError::NoSuchMessage)));
    world.gate.shut();
    assert!(matches!(a.sync_until(dm, nowhere, 100).await, Err(tertulia_client::SyncError::NotInTime)));
    Ok(())
}

#[tokio::test]
async fn a_list_begins_with_what_there_is_and_then_tells_what_changed() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob, dm) = world.pair().await?;
    let (a, b) = (world.online(&alice, "a").await?, world.online(&bob, "b").await?);
    let group = b.rest().create_group("Tertulia", vec![alice.id], tertulia_client::HistoryVisibility::Joined).await?.id;
    conversation(&a, group, |here| here.title.as_deref() == Some("Tertulia")).await?;
    b.rest().rename(group, "Café Gijón").await?;
    conversation(&a, group, |here| here.title.as_deref() == Some("Café Gijón")).await?;
    let mut list = a.conversations();
    let mut rows: Vec<Conversation> = Vec::new();
    b.send(dm, "up")?;
    let top = async {
        while rows.first().map(|row| row.id) != Some(dm) {
            list.next().await?.into_iter().for_each(|step| step.apply(&mut rows));
        }
        anyhow::Ok(())
    };
    within("the DM on top", top).await??;
    assert_eq!((rows.len(), rows[0].unread), (2, 1));
    b.rest().remove_member(group, alice.id, None).await?;
    within("gone", a.conversation(group).until(Option::is_none)).await??;
    shows(&a, group, &[]).await?;
    Ok(())
}
