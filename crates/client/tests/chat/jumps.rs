//! Windows around a message.

use anyhow::Result;
use futures_util::FutureExt as _;
use tertulia_client::{Client, ConversationId, ListDiff, Message, Seq, TIMELINE_PAGE, Timeline};
use tertulia_testkit::within;

use crate::harness::{World, bodies, caught_up};

/// Somebody who applies steps as they come.
struct Reader {
    timeline: Timeline,
    rows: Vec<Message>,
}

impl Reader {
    async fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) -> Result<()> {
        while !wanted(self) {
            let steps = within(what, self.timeline.next()).await??;
            steps.into_iter().for_each(|step| step.apply(&mut self.rows));
        }
        Ok(())
    }

    fn places(&self) -> Vec<Seq> {
        self.rows.iter().filter_map(|row| row.seq).collect()
    }

    fn holds(&self, places: std::ops::RangeInclusive<Seq>) -> bool {
        self.places() == places.collect::<Vec<_>>()
    }
}

/// 400 messages were written while this device was away: the newest are on it, the others in a hole.
async fn with_a_hole(world: &World) -> Result<(Client, ConversationId, Vec<Message>)> {
    let (alice, bob, dm) = world.pair().await?;
    let a = world.online(&alice, "a").await?;
    a.pause()?;
    let api = world.api(&bob);
    for number in 1..=400 {
        api.send(dm, &format!("n{number}"), &format!("{number}")).await?;
    }
    let log = api.history_after(dm, 0).await?;
    a.connect()?;
    caught_up(&a).await?;
    let ids = log.iter().map(|message| message.message_id).collect::<Vec<_>>();
    assert_eq!(a.message(dm, ids[99])?, None, "it lies in the hole");
    a.sync_until(dm, ids[99], 20_000).await?;
    let held: Vec<Message> = ids.iter().filter_map(|id| a.message(dm, *id).ok()?).collect();
    Ok((a, dm, held))
}

#[tokio::test]
async fn a_jump_over_a_hole_shows_what_is_around_and_reading_on_leads_back_to_the_end() -> Result<()> {
    let world = World::new().await?;
    let (a, dm, held) = with_a_hole(&world).await?;
    assert!(held.len() < 200, "most of it is still missing");
    let mut reader = Reader { timeline: a.timeline(dm), rows: Vec::new() };
    reader.until("the end", |now| now.holds(351..=400)).await?;
    assert!(!reader.timeline.has_newer());
    reader.timeline.jump_to(100)?;
    let steps = within("the jump", reader.timeline.next()).await??;
    assert!(matches!(steps.first(), Some(ListDiff::Reset(_))), "{steps:?}");
    steps.into_iter().for_each(|step| step.apply(&mut reader.rows));
    reader.until("around 100", |now| now.holds(75..=124)).await?;
    assert!(reader.timeline.has_newer() && reader.timeline.has_more());
    // What is written meanwhile is below the window.
    a.send(dm, "meanwhile")?;
    assert!(reader.timeline.next().now_or_never().is_none());
    reader.timeline.load_more();
    reader.until("more above", |now| now.holds(25..=124)).await?;
    reader.timeline.load_more();
    reader.until("the beginning", |now| now.holds(1..=124) && !now.timeline.has_more()).await?;
    for bottom in [174, 224, 274, 324, 374] {
        reader.timeline.load_newer()?;
        reader.until("more below", |now| now.holds(1..=bottom)).await?;
    }
    reader.timeline.load_newer()?;
    reader
        .until("the end", |now| now.rows.iter().any(|row| row.body == "meanwhile") && !now.timeline.has_newer())
        .await?;
    reader.until("all of it", |now| now.holds(1..=401)).await?;
    let wanted: Vec<String> = (1..=400).map(|number| number.to_string()).chain(["meanwhile".to_owned()]).collect();
    assert_eq!(bodies(&reader.rows), wanted);
    // And from here it goes with the end.
    a.send(dm, "after")?;
    reader.until("the new one", |now| now.rows.last().is_some_and(|row| row.body == "after")).await?;
    Ok(())
}

#[tokio::test]
async fn a_window_in_the_middle_shows_what_changes_in_it_and_its_holes_are_closed() -> Result<()> {
    let world = World::new().await?;
    let (a, dm, held) = with_a_hole(&world).await?;
    let mut reader = Reader { timeline: a.timeline(dm), rows: Vec::new() };
    // Nothing of this is on the device.
    reader.timeline.jump_to(230)?;
    reader.until("around 230", |now| now.holds(205..=254)).await?;
    assert!(reader.rows.iter().skip(1).all(|row| !row.gap_above));
    let hundredth = held.iter().find(|message| message.body == "100").and_then(|message| message.id);
    let Some(hundredth) = hundredth else { anyhow::bail!("it was fetched") };
    reader.timeline.jump_to(100)?;
    reader.until("around 100", |now| now.holds(75..=124)).await?;
    a.react(dm, hundredth, "🎉".parse()?, false)?;
    let reacted = |now: &Reader| now.rows.iter().any(|row| row.id == Some(hundredth) && row.reactions.len() == 1);
    reader.until("the reaction", reacted).await?;
    assert!(reader.holds(75..=124), "and nothing else");
    reader.timeline.jump_to_newest();
    reader.until("the end", |now| now.holds(351..=400)).await?;
    assert_eq!(reader.rows.len(), TIMELINE_PAGE);
    Ok(())
}

#[tokio::test]
async fn a_jump_to_a_place_near_the_end_is_at_the_end() -> Result<()> {
    let world = World::new().await?;
    let (a, dm, _) = with_a_hole(&world).await?;
    let mut reader = Reader { timeline: a.timeline(dm), rows: Vec::new() };
    reader.timeline.jump_to(390)?;
    reader.until("the end", |now| now.places().last() == Some(&400) && now.places().contains(&390)).await?;
    assert!(!reader.timeline.has_newer());
    a.send(dm, "after")?;
    reader.until("the new one", |now| now.rows.last().is_some_and(|row| row.body == "after")).await?;
    Ok(())
}

#[tokio::test]
async fn a_bounded_timeline_lets_its_far_end_go_in_a_step_of_its_own_and_brings_it_again() -> Result<()> {
    const ROOM: usize = 200;
    let world = World::new().await?;
    let (a, dm, _) = with_a_hole(&world).await?;
    let mut reader = Reader { timeline: a.timeline(dm).bounded(ROOM), rows: Vec::new() };
    reader.until("the end", |now| now.holds(351..=400)).await?;
    for top in [301, 251, 201] {
        reader.timeline.load_more();
        reader.until("older ones", |now| now.holds(top..=400)).await?;
    }
    reader.timeline.load_more();
    reader.until("more than there is room for", |now| now.rows.len() > ROOM).await?;
    assert_eq!(reader.rows.last().and_then(|row| row.seq), Some(400), "first it grows");
    reader.until("the newest are let go", |now| now.rows.len() < ROOM && now.timeline.has_newer()).await?;
    // What is written at the end is out of sight.
    a.send(dm, "meanwhile")?;
    while reader.timeline.has_more() {
        reader.timeline.load_more();
        let first = reader.rows.first().and_then(|row| row.seq);
        reader.until("older ones", |now| now.rows.first().and_then(|row| row.seq) < first).await?;
        assert!(reader.rows.len() <= ROOM + TIMELINE_PAGE);
    }
    while reader.timeline.has_newer() {
        reader.timeline.load_newer()?;
        let end = reader.rows.last().and_then(|row| row.seq);
        reader.until("newer ones", |now| now.rows.last().and_then(|row| row.seq) > end).await?;
        assert!(reader.rows.len() <= ROOM + TIMELINE_PAGE);
    }
    reader.until("the end", |now| now.rows.last().is_some_and(|row| row.body == "meanwhile")).await?;
    assert!(reader.timeline.has_more());
    let places = reader.places();
    assert!(places.windows(2).all(|pair| pair[1] == pair[0] + 1), "without a gap: {places:?}");
    assert_eq!(bodies(&reader.rows), bodies(&reader.timeline.get()?.messages));
    Ok(())
}
