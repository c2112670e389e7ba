//! Delivered up to, read up to, and what is unread.

use super::Home;
use super::world::{World, changed, unexpected};
use super::writes::sending;
use crate::*;

async fn advance(
    world: &World,
    actor: UserId,
    conversation: ConversationId,
    delivered: Option<i64>,
    read: Option<i64>,
) -> (i64, i64, bool) {
    let now = world.now();
    match world.done(Write::AdvanceWatermarks { conversation, actor, delivered, read, device: None, now }).await {
        Effect::WatermarksAdvanced { conversation: told, user, delivered_seq, read_seq, changed, .. } => {
            assert_eq!((told, user), (conversation, actor));
            (delivered_seq, read_seq, changed)
        }
        other => unexpected(&other),
    }
}

async fn marks(world: &World, viewer: UserId, conversation: ConversationId, person: UserId) -> (i64, i64) {
    let member = world.member(viewer, conversation, person).await;
    (member.delivered_seq, member.read_seq)
}

pub async fn watermarks_move_forward_only_and_read_implies_delivered(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send_many(alice, dm, 5).await;
    let steps = [
        ((Some(2), None), (2, 0, true)),
        ((None, Some(1)), (2, 1, true)),
        ((None, Some(3)), (3, 3, true)),
        ((Some(1), None), (3, 3, false)),
        ((None, Some(2)), (3, 3, false)),
        ((Some(4), Some(1)), (4, 3, true)),
        ((Some(1), Some(5)), (5, 5, true)),
        ((Some(5), Some(5)), (5, 5, false)),
        ((None, None), (5, 5, false)),
        ((Some(-1), Some(i64::MIN)), (5, 5, false)),
    ];
    for ((delivered, read), expected) in steps {
        let rev = world.view(alice, dm).await.rev;
        assert_eq!(advance(&world, bob, dm, delivered, read).await, expected, "{delivered:?} {read:?}");
        assert_eq!(world.view(alice, dm).await.rev, rev + i64::from(expected.2), "{delivered:?} {read:?}");
        assert_eq!(marks(&world, alice, dm, bob).await, (expected.0, expected.1));
        assert_eq!(marks(&world, alice, dm, alice).await, (5, 5), "nobody else's move");
    }
}

pub async fn a_watermark_above_the_logs_end_means_the_logs_end(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    assert_eq!(advance(&world, bob, dm, Some(7), Some(7)).await, (0, 0, false));
    world.send_many(alice, dm, 3).await;
    assert_eq!(advance(&world, bob, dm, Some(99), None).await, (3, 0, true));
    assert_eq!(advance(&world, bob, dm, None, Some(i64::MAX)).await, (3, 3, true));
    assert_eq!(advance(&world, bob, dm, Some(4), Some(4)).await, (3, 3, false));
    world.send(alice, dm, "one more").await;
    assert_eq!(marks(&world, bob, dm, bob).await, (3, 3), "what comes later was not read before it came");
    assert_eq!(world.unread(bob, dm).await, 1);
}

pub async fn the_row_of_a_moved_watermark_bears_the_rev_of_its_change(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send_many(alice, dm, 2).await;
    let Effect::WatermarksAdvanced { rev, .. } = world.done(world.reading(bob, dm, 1)).await else {
        panic!("a watermark")
    };
    assert_eq!(rev, 4);
    assert_eq!(world.member(alice, dm, bob).await.rev, 4);
    assert_eq!(world.member(alice, dm, alice).await.rev, 3, "sending moved alice's own");
}

pub async fn sending_moves_ones_own_watermarks_and_nobody_elses(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let group = world.group(alice, &[bob, carol]).await;
    world.send_many(alice, group, 3).await;
    let sent = world.send(bob, group, "I read it all").await;
    assert_eq!(marks(&world, carol, group, alice).await, (3, 3));
    assert_eq!(marks(&world, carol, group, bob).await, (4, 4));
    assert_eq!(marks(&world, carol, group, carol).await, (0, 0));
    assert_eq!(world.member(carol, group, bob).await.rev, sent.rev);
    assert_eq!(world.unread(alice, group).await, 1);
    assert_eq!(world.unread(bob, group).await, 0);
    assert_eq!(world.unread(carol, group).await, 4);
}

pub async fn a_resent_message_moves_no_watermark(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let sent = world.message(alice, dm, "first");
    world.done(sending(&sent)).await;
    world.send(bob, dm, "second").await;
    assert!(!changed(&world.done(sending(&world.again(&sent))).await));
    assert_eq!(marks(&world, bob, dm, alice).await, (1, 1));
    assert_eq!(world.unread(alice, dm).await, 1);
}

pub async fn unread_leaves_out_what_was_deleted_above_the_watermark(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let messages = world.send_many(alice, dm, 6).await;
    world.done(world.reading(bob, dm, 2)).await;
    assert_eq!(world.unread(bob, dm).await, 4);
    for (at, unread) in [(1, 4), (4, 3), (4, 3), (5, 2), (2, 1)] {
        world.done(world.deleting(alice, &messages[at])).await;
        assert_eq!(world.unread(bob, dm).await, unread, "after the deletion of {}", at + 1);
    }
    world.done(world.reading(bob, dm, 3)).await;
    assert_eq!(world.unread(bob, dm).await, 1);
    let listed: Vec<i64> =
        world.list(bob, 10).await.into_iter().map(|conversation| conversation.unread_count).collect();
    assert_eq!(listed, [1], "the list counts as the single call does");
    world.done(world.deleting(alice, &messages[3])).await;
    assert_eq!(world.unread(bob, dm).await, 0);
    assert_eq!(world.unread(alice, dm).await, 0);
    assert_eq!(world.view(bob, dm).await.last_seq, 6, "a deletion takes no number away");
}
