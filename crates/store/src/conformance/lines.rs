//! Other programs are told what happens: what is kept of requests, and where lines stand.

use tertulia_proto::WebhookId;
use uuid::Uuid;

use super::Home;
use super::hooks::{Hooks, LEASE_MS, Stage, failed, line, sorted, taken};
use crate::webhooks::*;
use crate::*;

type Brief = (WebhookId, (i64, i64), i64, WebhookOutcome, Option<u16>);

fn brief(attempts: &[WebhookAttempt]) -> Vec<Brief> {
    attempts.iter().map(|one| (one.endpoint, (one.first, one.last), one.attempt, one.outcome, one.status)).collect()
}

pub async fn requests_are_kept_by_their_events_until_they_are_cleaned_up(home: &impl Home) {
    use WebhookOutcome::{Failed, Gone, Taken};
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, elsewhere) = (world.dm(alice, bob).await, world.open_group(alice, &[bob]).await);
    let (one, other) = (hooks.listen(&["message.*"]).await, hooks.listen(&["message.*"]).await);
    let of = async |stream: ConversationId, number| {
        brief(&hooks.book().attempts(stream.uuid(), number).await.expect("the store reads"))
    };
    world.send_many(alice, dm, 2).await;
    assert_eq!(of(dm, 2).await, []);
    let After::Again(at) = hooks.fail(line(one, dm)).await else { panic!("it is tried again") };
    assert_eq!(of(dm, 2).await, [(one, (2, 3), 1, Failed, None)]);
    hooks.wait_until(at);
    hooks.take(line(one, dm)).await;
    let between = world.now();
    world.send(alice, dm, "three").await;
    let gone = |_: &Sending| TryResult::Gone { reason: "410".to_owned() };
    assert_eq!(hooks.tried(line(other, dm), gone).await, After::Off);
    hooks.take(line(one, dm)).await;
    let first = [(one, (2, 3), 1, Failed, None), (one, (2, 3), 2, Taken, Some(204)), (other, (2, 4), 1, Gone, None)];
    assert_eq!(of(dm, 2).await, first);
    assert_eq!(of(dm, 3).await, first);
    assert_eq!(of(dm, 4).await, [first[2], (one, (4, 4), 1, Taken, Some(204))]);
    assert_eq!((of(dm, 1).await, of(dm, 5).await, of(elsewhere, 2).await), (vec![], vec![], vec![]));
    // What somebody else does meanwhile changes nothing about that it was asked.
    hooks.book().rewind_line(line(one, dm), 4, world.now()).await.expect("it goes back");
    let sending = hooks.sending(line(one, dm)).await;
    assert_eq!((sending.first, sending.up_to), (4, 4));
    let begin = hooks.beginning(&sending, 1);
    assert!(hooks.begin(line(one, dm), begin).await);
    hooks.book().rewind_line(line(one, dm), 3, world.now()).await.expect("it goes back");
    assert_eq!(hooks.end(line(one, dm), begin, taken(&sending)).await, After::Lost);
    assert_eq!(of(dm, 4).await.last(), Some(&(one, (4, 4), 2, Taken, Some(204))));
    assert!(hooks.book().remove_endpoint(one).await.expect("an answer"));
    let forget = async |at, limit| hooks.book().forget_requests(at, limit).await.expect("the clean-up");
    assert_eq!((forget(between, 1).await, forget(between, 9).await, forget(between, 9).await), (1, 1, 0));
    assert_eq!(of(dm, 3).await, first[2..], "that an endpoint is gone changes nothing either");
}

pub async fn of_many_requests_the_latest_are_kept(home: &impl Home) {
    let Stage { hooks, alice, dm, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    world.send(alice, dm, "one").await;
    for _ in 0..=REQUESTS_KEPT_MAX {
        hooks.take(line(all, dm)).await;
        hooks.book().rewind_line(line(all, dm), 2, world.now()).await.expect("it goes back");
    }
    let kept = hooks.book().attempts(dm.uuid(), 2).await.expect("the store reads");
    let numbers: Vec<i64> = kept.iter().map(|one| one.attempt).collect();
    assert_eq!(numbers, (2..=REQUESTS_KEPT_MAX + 1).collect::<Vec<_>>());
}

pub async fn where_each_endpoint_stands_is_told_of_a_stream(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let (one, other) = (hooks.listen(&["message.*"]).await, hooks.listen(&["conversation.*"]).await);
    let of = async |stream: Uuid, endpoint| {
        let all = hooks.book().standings(stream).await.expect("the store reads");
        assert_eq!(all.len(), 2);
        let found = all.into_iter().find(|standing| standing.endpoint == endpoint).expect("it is told");
        (found.taken, found.retry_at, found.off_since.is_some(), found.filter.names().len())
    };
    assert_eq!(of(dm.uuid(), one).await, (None, None, false, 3));
    world.send(alice, dm, "one").await;
    hooks.take(line(one, dm)).await;
    assert_eq!(of(dm.uuid(), one).await, (Some(2), None, false, 3));
    world.send(alice, dm, "two").await;
    let later = world.now().plus_ms(200_000);
    assert_eq!(hooks.tried(line(one, dm), |_| failed(Some(later))).await, After::Again(later));
    assert_eq!(of(dm.uuid(), one).await, (Some(2), Some(later), false, 3));
    let group = world.open_group(alice, &[bob]).await;
    assert_eq!(of(group.uuid(), one).await, (None, Some(later), false, 3), "it waits with all");
    let gone = |_: &Sending| TryResult::Gone { reason: "410".to_owned() };
    assert_eq!(hooks.tried(line(other, group), gone).await, After::Off);
    let (taken, _, is_off, _) = of(group.uuid(), other).await;
    assert_eq!((taken, is_off), (Some(0), true));
}

pub async fn a_replay_of_a_part_leaves_nothing_out_that_was_owed(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, other) = (world.dm(alice, bob).await, world.open_group(alice, &[bob]).await);
    hooks.listen(&["message.*"]).await;
    world.send_many(alice, dm, 2).await;
    let late = hooks.listen(&["message.*"]).await;
    world.send_many(alice, dm, 2).await;
    world.send(alice, other, "elsewhere").await;
    let since = world.now();
    world.send(alice, dm, "five").await;
    world.send(alice, other, "elsewhere").await;
    // Nothing was sent yet: 4 and 5 are owed, 2 and 3 are older than the endpoint.
    hooks.book().rewind_line(line(late, dm), 6, world.now()).await.expect("it goes back");
    let owed = [("message.created", 4), ("message.created", 5), ("message.created", 6)];
    assert_eq!(hooks.waiting(line(late, dm)).await, owed);
    assert_eq!(hooks.rewind(late, since).await, sorted(vec![dm.uuid(), other.uuid()]));
    assert_eq!(hooks.take(line(late, other)).await.len(), 2);
    assert_eq!(hooks.take(line(late, dm)).await, owed);
    hooks.book().rewind_line(line(late, dm), 6, world.now()).await.expect("it goes back");
    assert_eq!(hooks.waiting(line(late, dm)).await, owed[2..], "where it stands, no further than was asked for");
    hooks.book().rewind_line(line(late, dm), 2, world.now()).await.expect("it goes back");
    assert_eq!(hooks.waiting(line(late, dm)).await.len(), 5, "also before it was added");
}

pub async fn what_goes_back_is_queued_with_that(home: &impl Home) {
    let Stage { hooks, alice, dm, other, .. } = Stage::open(home).await;
    for place in [dm, other] {
        hooks.world.send_many(alice, place, 2).await;
    }
    let late = hooks.listen(&["message.*"]).await;
    let queued = async || {
        let all = hooks.queued().await.into_iter();
        sorted(all.filter(|line| line.endpoint == late).map(|line| line.stream).collect())
    };
    assert!(queued().await.is_empty(), "it is owed nothing");
    let all = hooks.rewind(late, Timestamp::from_ms(0)).await;
    assert_eq!(queued().await, all);
    assert_eq!(all, sorted(vec![dm.uuid(), other.uuid()]));
}

/// The first line fails to its end, and the second is taken meanwhile.
async fn parked(hooks: &Hooks, bad: Line, good: Line) {
    let After::Again(at) = hooks.fail(bad).await else { panic!("it is tried again") };
    hooks.wait_until(at);
    assert_eq!(hooks.take(good).await.len(), 1);
    let After::Again(at) = hooks.fail(bad).await else { panic!("it is tried again") };
    hooks.wait_until(at);
    assert_eq!(hooks.fail(bad).await, After::Parked);
}

pub async fn a_line_that_is_never_taken_is_parked_while_others_are(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let (bad, good) = (line(all, dm), line(all, other));
    world.send(alice, dm, "poison").await;
    world.send(alice, other, "fine").await;
    parked(&hooks, bad, good).await;
    let endpoint = hooks.endpoint(all).await;
    assert_eq!((endpoint.active, endpoint.parked, endpoint.parked_at.len()), (true, 1, 1));
    assert!(endpoint.parked_at[0].event.starts_with(&dm.to_string()) && endpoint.parked_at[0].event.ends_with("_2"));
    assert_eq!(endpoint.parked_at[0].reason, "500");
    let standing = |all: Vec<Standing>| all[0].parked_at;
    let at = standing(hooks.book().standings(dm.uuid()).await.expect("a read")).expect("it is parked");
    assert_eq!(endpoint.parked_at[0].since, at);
    // Whatever happens there, it stays so; the others go on.
    world.send(alice, dm, "two").await;
    world.send(alice, other, "fine").await;
    hooks.wait_until(at.plus_ms(3_600_000));
    assert_eq!(hooks.next(bad).await, Next::Nothing);
    assert_eq!(hooks.behind(all, None).await, [other.uuid()]);
    assert_eq!(hooks.take(good).await.len(), 1);
    // A replay and an enabling begin anew, as if nothing had failed.
    assert!(hooks.book().enable_endpoint(all, vec![]).await.expect("it is enabled"));
    assert_eq!(hooks.endpoint(all).await.parked, 0);
    assert_eq!(hooks.behind(all, None).await, [dm.uuid()]);
    world.send(alice, other, "fine").await;
    parked(&hooks, bad, good).await;
    hooks.book().rewind_line(bad, 2, world.now()).await.expect("it goes back");
    let endpoint = hooks.endpoint(all).await;
    assert_eq!((endpoint.parked, endpoint.parked_at), (0, vec![]));
    hooks.wait_until(endpoint.retry_at.expect("it failed"));
    assert_eq!(hooks.take(bad).await.len(), 2);
}

pub async fn a_parked_line_goes_on_behind_the_event_that_is_skipped(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let (bad, good) = (line(all, dm), line(all, other));
    world.send(alice, dm, "poison").await;
    world.send(alice, other, "fine").await;
    let skip = async |line, number| hooks.book().skip_event(line, number, world.now()).await.expect("an answer");
    assert!(!skip(bad, 2).await, "nothing was sent yet");
    parked(&hooks, bad, good).await;
    world.send_many(alice, dm, 2).await;
    assert!(!skip(bad, 3).await && !skip(bad, 1).await && !skip(good, 2).await, "not the first that waits");
    assert!(!skip(line(WebhookId::from_bytes([3; 16]), dm), 2).await);
    assert!(skip(bad, 2).await && hooks.queued().await.contains(&bad));
    assert!(!skip(bad, 2).await, "it waits no more");
    assert_eq!(hooks.endpoint(all).await.parked, 0);
    hooks.wait_until(hooks.endpoint(all).await.retry_at.expect("it failed"));
    assert_eq!(hooks.take(bad).await, [("message.created", 3), ("message.created", 4)]);
}

pub async fn half_of_what_was_not_taken_is_tried_next(home: &impl Home) {
    let Stage { hooks, alice, dm, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let here = line(all, dm);
    world.send_many(alice, dm, 5).await;
    let whole = hooks.sending(here).await;
    assert_eq!((whole.up_to, whole.half), (6, Some(3)));
    let After::Again(at) = hooks.refuse(here, 422).await else { panic!("again") };
    hooks.wait_until(at);
    let half = hooks.sending(here).await;
    assert_eq!((half.first, half.up_to, half.half, half.has_more), (2, 3, Some(2), true));
    assert_ne!(half.id(), whole.id(), "other events have another name");
    assert_eq!(hooks.take(here).await.len(), 2);
    assert_eq!(hooks.take(here).await.len(), 3, "the rest at once");
}

pub async fn what_is_forgotten_before_it_is_taken_is_counted(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, other) = (world.dm(alice, bob).await, world.open_group(alice, &[bob]).await);
    let (taking, deaf) = (hooks.listen(&["message.*"]).await, hooks.listen(&["message.*"]).await);
    world.send_many(alice, dm, 3).await;
    let late = hooks.listen(&["*"]).await;
    world.send_many(alice, other, 2).await;
    hooks.take(line(taking, dm)).await;
    hooks.take(line(taking, other)).await;
    hooks.take(line(deaf, dm)).await;
    world.send(alice, dm, "four").await;
    while hooks.book().forget_events(world.now(), 2).await.expect("the clean-up") > 0 {}
    let mut forgotten = Vec::new();
    for id in [taking, deaf, late] {
        forgotten.push(hooks.endpoint(id).await.events_forgotten);
    }
    assert_eq!(forgotten, [1, 3, 3], "what was taken is not lost, nor what was never owed");
}

pub async fn positions_of_those_who_are_gone_are_cleaned_up_in_small_portions(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (gone, stays) = (hooks.listen(&["message.*"]).await, hooks.listen(&["message.*"]).await);
    let mut groups = Vec::new();
    for _ in 0..3 {
        let group = world.open_group(alice, &[bob]).await;
        world.send(alice, group, "one").await;
        hooks.take(line(gone, group)).await;
        hooks.take(line(stays, group)).await;
        groups.push(group);
    }
    // One whose sender was lost long ago.
    world.send(alice, groups[0], "two").await;
    let sending = hooks.sending(line(stays, groups[0])).await;
    let begin = hooks.beginning(&sending, 1);
    assert!(hooks.begin(line(stays, groups[0]), begin).await);
    let forget = async |at, limit| hooks.book().forget_positions(at, limit).await.expect("the clean-up");
    assert_eq!(forget(world.now(), 9).await, 0);
    assert!(hooks.book().remove_endpoint(gone).await.expect("an answer"));
    let long_ago = Timestamp::from_ms(1);
    assert_eq!((forget(long_ago, 2).await, forget(long_ago, 2).await, forget(long_ago, 2).await), (2, 1, 0));
    hooks.wait_until(begin.lease_until.plus_ms(LEASE_MS));
    while hooks.book().forget_events(world.now(), 9).await.expect("the clean-up") > 0 {}
    assert_eq!((forget(world.now(), 2).await, forget(world.now(), 2).await, forget(world.now(), 2).await), (2, 1, 0));
}

pub async fn lines_are_looked_at_by_pages(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let people = i64::try_from(LINES_MAX).unwrap_or(0) + 2;
    let all = hooks.listen(&["user.*"]).await;
    let since = world.now();
    for n in 0..people {
        world.person(&format!("p{n}")).await;
    }
    let page = hooks.book().lines_behind(all, None).await.expect("a read");
    assert_eq!((page.streams.len(), page.next), (LINES_MAX, page.streams.last().copied()));
    let rest = hooks.book().lines_behind(all, page.next).await.expect("a read");
    assert_eq!((rest.streams.len(), rest.next), (2, None));
    // Also where there is nothing to be told in a whole page of them.
    let nothing = hooks.listen(&["message.*"]).await;
    let empty = hooks.book().lines_behind(nothing, None).await.expect("a read");
    assert_eq!((empty.streams.len(), empty.next), (0, page.next));
    let firsts = hooks.book().first_events(since, None).await.expect("a read");
    assert_eq!((firsts.events.len(), firsts.next.is_some()), (LINES_MAX, true));
    let rest = hooks.book().first_events(since, firsts.next).await.expect("a read");
    assert_eq!((rest.events.len(), rest.next), (2, None));
}
