//! A log that changes homes while other programs are told.

use tertulia_store::conformance::hooks::{Hooks, line};
use tertulia_store::webhooks::EventPlace;
use tertulia_store::*;

use crate::{Places, close, moved, reopen};

/// What other programs were told, and have still to be told.
async fn told_of(hooks: &Hooks, groups: &[ConversationId]) -> Vec<String> {
    let (book, later) = (hooks.book(), EventPlace::at(Timestamp::from_ms(i64::MAX)));
    let mut known = vec![
        format!("{:?}", book.endpoints().await.expect("the store reads")),
        format!("{:?}", book.kept_events(later, 100).await.expect("the store reads")),
    ];
    for group in groups {
        known.push(format!("{:?}", book.standings(group.uuid()).await.expect("the store reads")));
        known.push(format!("{:?}", book.attempts(group.uuid(), 2).await.expect("the store reads")));
    }
    known
}

#[tokio::test]
async fn programs_that_are_half_told_are_told_on_in_any_home() {
    let mut places = Places::new();
    let way = [places.file(), places.database(), places.file()];
    let mut hooks = Hooks::open(&way[0]).await;
    let [alice, bob] = hooks.world.people(["alice", "bob"]).await;
    let (dm, group) = (hooks.world.dm(alice, bob).await, hooks.world.open_group(alice, &[bob]).await);
    let all = hooks.listen(&["message.*"]).await;
    hooks.world.send_many(alice, dm, 3).await;
    hooks.world.send(alice, group, "not taken").await;
    hooks.take(line(all, dm)).await;
    hooks.world.send_many(alice, dm, 2).await;
    // One request is under way, and another has failed.
    let sending = hooks.sending(line(all, dm)).await;
    let begin = hooks.beginning(&sending, 1);
    assert!(hooks.begin(line(all, dm), begin).await);
    let other = hooks.sending(line(all, group)).await;
    hooks.fail(line(all, group)).await;
    hooks.world.send(alice, dm, "more").await;
    let known = told_of(&hooks, &[dm, group]).await;
    for pair in way.windows(2) {
        close(&mut hooks.world).await;
        moved(&pair[0], &pair[1], false, |_| Ok(())).await.expect("a move");
        reopen(&mut hooks.world, &pair[1]).await;
        assert_eq!(told_of(&hooks, &[dm, group]).await, known);
    }
    hooks.wait_until(begin.lease_until.plus_ms(600_000));
    assert_eq!(hooks.sending(line(all, dm)).await.id(), sending.id(), "the same request again");
    assert_eq!(hooks.take(line(all, dm)).await.len(), 2);
    assert_eq!(hooks.take(line(all, dm)).await.len(), 1);
    assert_eq!(hooks.sending(line(all, group)).await.id(), other.id());
}
