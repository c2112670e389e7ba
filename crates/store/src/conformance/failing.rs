//! Other programs are told what happens: what a failure keeps from being told, and what a clock that goes back does not.

use super::Home;
use super::hooks::{LEASE_MS, Stage, failed, line, taken};
use crate::webhooks::*;
use crate::*;

const HOURS_MS: i64 = 3 * 3_600_000;

fn again(after: After) -> Timestamp {
    match after {
        After::Again(at) => at,
        other => panic!("it is tried again, and not {other:?}"),
    }
}

pub async fn an_answer_about_what_was_sent_keeps_no_other_line_waiting(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let (bad, good) = (line(all, dm), line(all, other));
    world.send(alice, dm, "poison").await;
    world.send(alice, other, "fine").await;
    for _ in 0..2 {
        let at = again(hooks.refuse(bad, 422).await);
        assert_eq!(hooks.next(bad).await, Next::Wait(at));
        let endpoint = hooks.endpoint(all).await;
        assert_eq!((endpoint.failures, endpoint.retry_at), (0, None));
        assert_eq!(hooks.waiting(good).await.len(), 1, "the others go on");
        hooks.wait_until(at);
    }
    assert_eq!(hooks.take(good).await.len(), 1);
    assert_eq!(hooks.refuse(bad, 422).await, After::Parked);
    world.send(alice, other, "fine").await;
    assert_eq!(hooks.take(good).await.len(), 1);
    assert_eq!(hooks.endpoint(all).await.requests_failed, 3);
}

pub async fn half_is_tried_after_the_third_of_any_answer(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let here = line(all, dm);
    world.send_many(alice, dm, 4).await;
    world.send(alice, other, "fine").await;
    for _ in 0..2 {
        hooks.wait_until(again(hooks.refuse(here, 500).await));
        assert_eq!(hooks.waiting(here).await.len(), 4, "the same again");
    }
    assert_eq!(hooks.take(line(all, other)).await.len(), 1);
    assert_eq!(hooks.refuse(here, 500).await, After::Parked);
    assert!(hooks.book().enable_endpoint(all, vec![]).await.expect("it is enabled"));
    assert_eq!(hooks.take(here).await.len(), 2);
    assert_eq!(hooks.take(here).await.len(), 2);
}

/// Two jobs of one line may both have looked; what the first finds out the second does not know.
pub async fn who_looked_before_another_failed_does_not_begin(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let (world, here) = (&hooks.world, line(all, dm));
    world.send_many(alice, dm, 4).await;
    world.send(alice, other, "fine").await;
    let old = hooks.beginning(&hooks.sending(here).await, 2);
    let at = again(hooks.refuse(here, 422).await);
    assert!(!hooks.begin(here, old).await, "it waits, and half of it is tried next");
    hooks.wait_until(at);
    hooks.wait_until(again(hooks.refuse(here, 422).await));
    assert_eq!(hooks.take(line(all, other)).await.len(), 1);
    let old = hooks.beginning(&hooks.sending(here).await, 2);
    assert_eq!(hooks.refuse(here, 422).await, After::Parked);
    assert!(!hooks.begin(here, old).await, "it is parked");
    assert!(hooks.book().enable_endpoint(all, vec![]).await.expect("it is enabled"));
    assert_eq!(hooks.take(here).await.len(), 1, "which makes it another's again");
}

/// The other's request may have been taken, and nobody knows: made again, it has to have the same name.
pub async fn who_looked_before_another_began_does_not_begin_with_less(home: &impl Home) {
    let Stage { hooks, alice, dm, all, .. } = Stage::open(home).await;
    let (world, here) = (&hooks.world, line(all, dm));
    world.send(alice, dm, "one").await;
    let old = hooks.sending(here).await;
    world.send(alice, dm, "two").await;
    let lost = hooks.sending(here).await;
    assert!(hooks.begin(here, hooks.beginning(&lost, 1)).await);
    hooks.set_clock_by(LEASE_MS);
    assert!(!hooks.begin(here, hooks.beginning(&old, 2)).await, "another has told two since");
    let again = hooks.sending(here).await;
    assert_eq!((again.id(), again.up_to), (lost.id(), lost.up_to));
    assert!(hooks.begin(here, hooks.beginning(&again, 2)).await);
}

pub async fn who_looked_before_a_replay_does_not_begin_where_it_has_failed_since(home: &impl Home) {
    let Stage { hooks, alice, dm, all, .. } = Stage::open(home).await;
    let (world, here) = (&hooks.world, line(all, dm));
    world.send(alice, dm, "one").await;
    hooks.wait_until(again(hooks.refuse(here, 422).await));
    let old = hooks.beginning(&hooks.sending(here).await, 2);
    hooks.book().rewind_line(here, old.up_to, world.now()).await.expect("it goes back");
    again(hooks.refuse(here, 422).await);
    let old = Begin { now: world.now(), ..old };
    assert!(!hooks.begin(here, old).await, "it stands where it stood, has failed once as it had, and waits");
}

pub async fn what_was_tried_is_tried_again_whatever_clocks_said_of_it(home: &impl Home) {
    let Stage { hooks, alice, dm, .. } = Stage::open(home).await;
    let world = &hooks.world;
    hooks.set_clock_by(3 * HOURS_MS);
    let message = world.send(alice, dm, "by a clock that is ahead").await;
    hooks.set_clock_by(-2 * HOURS_MS);
    world.done(world.editing(alice, &message, "when it has gone back")).await;
    hooks.set_clock_by(HOURS_MS);
    let late = line(hooks.listen(&["message.*"]).await, dm);
    world.send(alice, dm, "since it listens").await;
    let first = hooks.waiting(late).await;
    hooks.wait_until(again(hooks.refuse(late, 500).await));
    assert_eq!(hooks.waiting(late).await, first, "under one name the same");
    assert_eq!(hooks.take(late).await, first);
}

pub async fn who_looked_before_the_endpoint_failed_or_was_switched_on_does_not_begin(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let (world, one, two) = (&hooks.world, line(all, dm), line(all, other));
    world.send(alice, dm, "one").await;
    world.send(alice, other, "two").await;
    let old = hooks.beginning(&hooks.sending(two).await, 2);
    hooks.wait_until(again(hooks.refuse(one, 500).await));
    let later = hooks.beginning(&hooks.sending(two).await, 2);
    assert!(!hooks.begin(two, old).await, "the endpoint waits by then");
    assert!(hooks.begin(two, later).await);
    // A failure of before it was switched on is not the one of after that.
    let old = hooks.beginning(&hooks.sending(one).await, 2);
    assert!(hooks.book().enable_endpoint(all, vec![]).await.expect("it is enabled"));
    again(hooks.refuse(one, 422).await);
    assert!(!hooks.begin(one, old).await, "it failed once before, and once since");
}

pub async fn what_is_under_way_beside_a_failure_does_not_end_its_wait(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let (one, two) = (line(all, dm), line(all, other));
    world.send(alice, dm, "one").await;
    world.send(alice, other, "two").await;
    let (first, second) = (hooks.sending(one).await, hooks.sending(two).await);
    let (mine, theirs) = (hooks.beginning(&first, 1), hooks.beginning(&second, 2));
    assert!(hooks.begin(one, mine).await && hooks.begin(two, theirs).await);
    let later = world.now().plus_ms(200_000);
    assert_eq!(hooks.end(one, mine, failed(Some(later))).await, After::Again(later));
    assert_eq!(hooks.end(two, theirs, taken(&second)).await, After::Taken);
    assert_eq!(hooks.endpoint(all).await.retry_at, Some(later));
    world.send(alice, other, "three").await;
    assert_eq!(hooks.next(two).await, Next::Wait(later));
    // What begins after that wait ends it.
    hooks.wait_until(later);
    assert_eq!(hooks.take(two).await.len(), 1);
    let endpoint = hooks.endpoint(all).await;
    assert_eq!((endpoint.failures, endpoint.retry_at), (0, None));
    // Of two that fail together the longer wait is kept.
    let third = hooks.sending(one).await;
    world.send(alice, other, "four").await;
    let fourth = hooks.sending(two).await;
    let (mine, theirs) = (hooks.beginning(&third, 1), hooks.beginning(&fourth, 2));
    assert!(hooks.begin(one, mine).await && hooks.begin(two, theirs).await);
    again(hooks.end(one, mine, failed(None)).await);
    let later = world.now().plus_ms(150_000);
    assert_eq!(hooks.end(two, theirs, failed(Some(later))).await, After::Again(later));
    let endpoint = hooks.endpoint(all).await;
    assert_eq!((endpoint.failures, endpoint.retry_at), (1, Some(later)));
}

pub async fn a_clock_that_goes_back_keeps_no_line_waiting(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let (one, two) = (line(all, dm), line(all, other));
    world.send(alice, dm, "one").await;
    world.send(alice, other, "two").await;
    hooks.set_clock_by(HOURS_MS);
    again(hooks.fail(one).await);
    assert!(matches!(hooks.next(two).await, Next::Wait(_)));
    hooks.set_clock_by(-HOURS_MS);
    assert_eq!((hooks.waiting(one).await.len(), hooks.waiting(two).await.len()), (1, 1));
    let at = again(hooks.fail(one).await);
    assert!(at < world.now().plus_ms(HOURS_MS), "it waits from now on");
    assert_eq!(hooks.next(two).await, Next::Wait(at));
    hooks.wait_until(at);
    // Somebody died meanwhile who was sending.
    hooks.set_clock_by(HOURS_MS);
    let sending = hooks.sending(two).await;
    let begin = hooks.beginning(&sending, 1);
    assert!(hooks.begin(two, begin).await);
    assert_eq!(hooks.next(two).await, Next::Busy);
    hooks.set_clock_by(-HOURS_MS);
    assert_eq!(hooks.take(two).await.len(), 1);
    assert_eq!(hooks.end(two, begin, taken(&sending)).await, After::Lost);
    // One that may be under way by a clock that is a little ahead is waited for.
    let sending = hooks.sending(one).await;
    hooks.set_clock_by(CLOCKS_APART_MS - LEASE_MS - 10_000);
    assert!(hooks.begin(one, hooks.beginning(&sending, 1)).await);
    hooks.set_clock_by(-(CLOCKS_APART_MS - LEASE_MS - 10_000));
    assert_eq!(hooks.next(one).await, Next::Busy);
    assert!(!hooks.begin(one, hooks.beginning(&sending, 2)).await);
}

pub async fn who_is_switched_on_again_begins_anew_also_with_a_clock_that_went_back(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let (bad, good) = (line(all, dm), line(all, other));
    world.send(alice, dm, "poison").await;
    world.send(alice, other, "fine").await;
    hooks.set_clock_by(HOURS_MS);
    for _ in 0..2 {
        hooks.wait_until(again(hooks.refuse(bad, 422).await));
    }
    assert_eq!(hooks.take(good).await.len(), 1);
    assert_eq!(hooks.refuse(bad, 422).await, After::Parked);
    hooks.set_clock_by(-HOURS_MS);
    assert_eq!((hooks.next(bad).await, hooks.behind(all, None).await), (Next::Nothing, vec![]));
    assert!(hooks.book().enable_endpoint(all, vec![]).await.expect("it is enabled"));
    let endpoint = hooks.endpoint(all).await;
    assert_eq!((endpoint.parked, endpoint.parked_at), (0, vec![]));
    assert_eq!(hooks.behind(all, None).await, [dm.uuid()]);
    for _ in 0..2 {
        hooks.wait_until(again(hooks.refuse(bad, 422).await));
    }
    assert_eq!(hooks.take(bad).await.len(), 1, "all its tries are its own again");
}

pub async fn what_happens_after_an_endpoint_was_added_is_told_whatever_the_clock_says(home: &impl Home) {
    let Stage { hooks, alice, dm, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    world.send(alice, dm, "before").await;
    hooks.set_clock_by(HOURS_MS);
    let late = hooks.listen(&["message.*"]).await;
    hooks.set_clock_by(-HOURS_MS);
    let now = world.now();
    world.send(alice, dm, "after").await;
    assert_eq!(hooks.behind(late, None).await, [dm.uuid()]);
    let job = |job: &&jobs::JobRecord| job.unique_key == Some(line(late, dm).key());
    let filter = jobs::JobFilter { state: jobs::JobState::Ready, kind: None, after: 0, limit: 512 };
    let queued = world.store.jobs().list_jobs(filter).await.expect("the queue is listed");
    assert!(queued.iter().find(job).is_some_and(|job| job.run_at < now.plus_ms(HOURS_MS / 2)), "at once");
    assert_eq!(hooks.take(line(late, dm)).await, [("message.created", 3)]);
    assert_eq!(hooks.take(line(all, dm)).await.len(), 2);
    // Also where it is too old before it was taken.
    world.send(alice, dm, "late").await;
    while hooks.book().forget_events(Timestamp::from_ms(i64::MAX), 9).await.expect("the clean-up") > 0 {}
    assert_eq!(hooks.endpoint(late).await.events_forgotten, 1);
}
