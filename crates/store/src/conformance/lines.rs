//! Other programs are told what happens: what is kept of requests, and where lines stand.

use tertulia_proto::WebhookId;
use uuid::Uuid;

use super::Home;
use super::hooks::{Hooks, failed, line, taken};
use crate::webhooks::*;
use crate::*;

fn brief(attempts: &[WebhookAttempt]) -> Vec<(WebhookId, (i64, i64), i64, WebhookOutcome, Option<u16>)> {
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
    hooks.book().rewind_line(line(one, dm), 2, world.now()).await.expect("it goes back");
    assert_eq!(hooks.end(line(one, dm), begin, taken(&sending)).await, After::Lost);
    assert_eq!(of(dm, 4).await.last(), Some(&(one, (4, 4), 2, Taken, Some(204))));
    assert!(hooks.book().remove_endpoint(one).await.expect("an answer"));
    let forget = async |at, limit| hooks.book().forget_requests(at, limit).await.expect("the clean-up");
    assert_eq!((forget(between, 1).await, forget(between, 9).await, forget(between, 9).await), (1, 1, 0));
    assert_eq!(of(dm, 3).await, first[2..], "that an endpoint is gone changes nothing either");
}

pub async fn of_many_requests_the_latest_are_kept(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let all = hooks.listen(&["message.*"]).await;
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
    let later = world.now().plus_ms(900_000);
    assert_eq!(hooks.tried(line(one, dm), |_| failed(Some(later))).await, After::Again(later));
    assert_eq!(of(dm.uuid(), one).await, (Some(2), Some(later), false, 3));
    let group = world.open_group(alice, &[bob]).await;
    assert_eq!(of(group.uuid(), one).await, (None, Some(later), false, 3), "it waits with all");
    let gone = |_: &Sending| TryResult::Gone { reason: "410".to_owned() };
    assert_eq!(hooks.tried(line(other, group), gone).await, After::Off);
    let (taken, _, is_off, _) = of(group.uuid(), other).await;
    assert_eq!((taken, is_off), (Some(0), true));
}
