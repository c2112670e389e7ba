//! Histories and lists, page by page.

use super::Home;
use super::world::{World, cursor_of, unexpected};
use crate::*;

fn seqs(page: &HistoryPage) -> (Vec<i64>, bool) {
    (page.messages.iter().map(|message| message.seq).collect(), page.has_more)
}

fn ids(conversations: &[Conversation]) -> Vec<ConversationId> {
    conversations.iter().map(|conversation| conversation.id).collect()
}

pub async fn a_history_is_read_from_both_ends_and_says_whether_there_is_more(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let messages = world.send_many(alice, dm, 10).await;
    let after = |n: usize| HistoryRange::AfterMessage(messages[n - 1].message_id);
    use HistoryRange::{After, Before, Latest};
    let cases = [
        (Latest, 4, 7..=10, true),
        (Latest, 10, 1..=10, false),
        (Latest, 99, 1..=10, false),
        (Before(7), 4, 3..=6, true),
        (Before(5), 4, 1..=4, false),
        (Before(3), 4, 1..=2, false),
        (Before(11), 2, 9..=10, true),
        (Before(i64::MAX), 2, 9..=10, true),
        (After(0), 4, 1..=4, true),
        (After(6), 4, 7..=10, false),
        (After(8), 4, 9..=10, false),
        (After(i64::MIN), 1, 1..=1, true),
        (after(5), 3, 6..=8, true),
        (after(8), 3, 9..=10, false),
    ];
    for (range, limit, expected, has_more) in cases {
        let page = world.page(bob, dm, range, limit).await;
        assert_eq!(seqs(&page), (expected.collect(), has_more), "{range:?}, {limit}");
    }
    for range in [Before(1), Before(0), Before(i64::MIN), After(10), After(i64::MAX), after(10)] {
        assert_eq!(seqs(&world.page(bob, dm, range, 5).await), (vec![], false), "{range:?}");
    }
}

pub async fn an_empty_history_is_a_page(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    for range in [HistoryRange::Latest, HistoryRange::Before(5), HistoryRange::After(0)] {
        assert_eq!(seqs(&world.page(bob, dm, range, 5).await), (vec![], false));
    }
}

pub async fn a_history_ends_where_the_member_came(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, carol] = world.people(["alice", "carol"]).await;
    let group = world.group(alice, &[]).await;
    let early = world.send_many(alice, group, 3).await;
    world.done(world.adding(alice, group, carol)).await;
    world.send_many(alice, group, 4).await;
    use HistoryRange::{After, AfterMessage, Before, Latest};
    for (range, limit, expected, has_more) in [
        (Latest, 9, vec![4, 5, 6, 7], false),
        (Latest, 4, vec![4, 5, 6, 7], false),
        (Latest, 3, vec![5, 6, 7], true),
        (Before(6), 9, vec![4, 5], false),
        (Before(4), 9, vec![], false),
        (Before(2), 9, vec![], false),
        (After(0), 2, vec![4, 5], true),
        (After(2), 9, vec![4, 5, 6, 7], false),
        (AfterMessage(early[1].message_id), 9, vec![], false),
    ] {
        assert_eq!(seqs(&world.page(carol, group, range, limit).await), (expected, has_more), "{range:?}, {limit}");
    }
}

pub async fn nothing_is_known_after_a_message_that_is_not_there(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob]).await);
    let here = world.send_many(alice, dm, 3).await;
    let elsewhere = world.send_many(alice, group, 2).await;
    for unknown in [elsewhere[0].message_id, MessageId::from_bytes(world.id())] {
        assert_eq!(seqs(&world.page(bob, dm, HistoryRange::AfterMessage(unknown), 5).await), (vec![], false));
    }
    world.done(world.deleting(alice, &here[0])).await;
    let page = world.page(bob, dm, HistoryRange::AfterMessage(here[0].message_id), 5).await;
    assert_eq!(seqs(&page), (vec![2, 3], false), "a tombstone keeps its place");
}

pub async fn the_list_shows_the_newest_activity_first(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let old = world.group(alice, &[bob]).await;
    let middle = world.dm(alice, bob).await;
    let new = world.group(carol, &[alice]).await;
    assert_eq!(ids(&world.list(alice, 10).await), [new, middle, old]);
    world.send(bob, old, "up").await;
    assert_eq!(ids(&world.list(alice, 10).await), [old, new, middle]);
    let said = world.send(bob, middle, "and up").await;
    world.done(world.titling(carol, new, "a title is no activity")).await;
    world.done(world.reading(alice, old, 1)).await;
    let list = world.list(alice, 10).await;
    assert_eq!(ids(&list), [middle, old, new]);
    let shown: Vec<_> =
        list.iter().map(|one| (one.unread_count, one.my_role, one.peer.as_ref().map(|peer| peer.id))).collect();
    assert_eq!(shown[1..], [(0, Role::Owner, None), (0, Role::Member, None)]);
    assert_eq!((shown[0].0, shown[0].2), (1, Some(bob)));
    assert_eq!(list[0].last_message, Some(Some(Box::new(said))));
    assert_eq!(list[2].last_message, Some(None));
    for one in list {
        let mut whole = world.view(alice, one.id).await;
        assert_eq!(one.members, None, "the list brings no members");
        whole.members = None;
        assert_eq!(one, whole, "apart from them it shows what the single call shows");
    }
    assert_eq!(ids(&world.list(bob, 10).await), [middle, old]);
}

pub async fn the_lists_last_messages_bear_their_own_reactions(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group, quiet) =
        (world.dm(alice, bob).await, world.group(alice, &[bob]).await, world.group(bob, &[alice]).await);
    for (conversation, with) in [(dm, "👍"), (group, "😀")] {
        let said = world.send(alice, conversation, "react!").await;
        world.done(world.reacting(bob, &said, with)).await;
        world.done(world.reacting(alice, &said, with)).await;
    }
    let list = world.list(alice, 10).await;
    assert_eq!(ids(&list), [group, dm, quiet]);
    for one in list.into_iter().filter(|one| one.id != quiet) {
        let history = world.history(alice, one.id).await;
        assert_eq!(one.last_message.flatten().map(|message| *message), history.last().cloned());
    }
}

pub async fn the_pages_of_a_list_have_no_doubles_and_no_gaps(home: &impl Home) {
    // In one and the same millisecond, with a clock that moves, and with one that goes back.
    for clock_step_ms in [0, 1000, -1000] {
        let world = World::open(home).await;
        let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
        let late = world.group(bob, &[]).await;
        world.send(bob, late, "before alice came").await;
        world.step_clock_by(clock_step_ms);
        let mut all = vec![late, world.dm(alice, bob).await, world.dm(carol, alice).await];
        for _ in 0..6 {
            all.push(world.group(bob, &[alice]).await);
        }
        for &conversation in &all[3..6] {
            world.send(bob, conversation, "news").await;
            world.send(bob, conversation, "more news").await;
        }
        world.done(world.adding(bob, late, alice)).await;
        all.sort();
        let whole = ids(&world.list(alice, 100).await);
        let mut sorted = whole.clone();
        sorted.sort();
        assert_eq!(sorted, all);
        for limit in 1..=10 {
            assert_eq!(
                ids(&world.list(alice, limit).await),
                whole,
                "in pages of {limit}, clock steps of {clock_step_ms} ms"
            );
        }
    }
}

pub async fn a_page_of_the_list_is_not_moved_by_what_happens_meanwhile(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let mut groups = Vec::new();
    for _ in 0..6 {
        groups.push(world.group(alice, &[bob]).await);
    }
    let first = world.store.conversations(alice, None, 2).await.expect("the store reads");
    assert_eq!((ids(&first.conversations), first.has_more), (vec![groups[5], groups[4]], true));
    world.send(bob, groups[5], "seen already").await;
    world.send(bob, groups[0], "jumps over the cursor").await;
    let cursor = cursor_of(&first.conversations[1]);
    let second = world.store.conversations(alice, Some(cursor), 9).await.expect("the store reads");
    assert_eq!((ids(&second.conversations), second.has_more), (vec![groups[3], groups[2], groups[1]], false));
}

async fn personal(world: &World, write: Write) -> Conversation {
    match world.done(write).await {
        Effect::PersonalChanged { view, .. } => *view,
        other => unexpected(&other),
    }
}

pub async fn a_hidden_conversation_stays_out_of_the_list_until_something_new_arrives(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(bob, &[alice]).await);
    let hello = world.send(bob, dm, "hello").await;
    for conversation in [dm, group] {
        let rev = world.view(alice, conversation).await.rev;
        let view = personal(&world, world.hiding(alice, conversation)).await;
        assert_eq!((view.id, view.hidden, view.rev), (conversation, true, rev));
        assert!(world.view(alice, conversation).await.hidden);
        assert!(!world.view(bob, conversation).await.hidden, "for me alone");
    }
    assert_eq!(world.list(alice, 5).await, []);
    assert_eq!(world.list(bob, 5).await.len(), 2);
    world.done(world.reading(bob, dm, 1)).await;
    world.done(world.editing(bob, &hello, "hello!")).await;
    assert_eq!(world.list(alice, 5).await, [], "only a message is new");
    assert_eq!(world.found(alice, "hello").await, ["hello!"], "hidden is not gone");

    world.send(bob, dm, "are you there?").await;
    let list = world.list(alice, 5).await;
    assert_eq!((ids(&list), list[0].hidden, list[0].unread_count), (vec![dm], false, 2));
    world.send(alice, group, "my own").await;
    assert_eq!(ids(&world.list(alice, 5).await), [group, dm]);
}

pub async fn muting_is_for_me_alone_and_no_change_of_the_conversation(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let until = Some(world.now().plus_ms(3_600_000));
    let view = personal(&world, world.muting(alice, dm, until)).await;
    assert_eq!((view.muted_until, view.rev), (until, 1));
    assert_eq!(world.view(alice, dm).await.muted_until, until);
    assert_eq!(world.list(alice, 5).await[0].muted_until, until);
    assert_eq!(world.view(bob, dm).await.muted_until, None);
    assert_eq!(world.member(bob, dm, alice).await.rev, 1);
    let view = personal(&world, world.muting(alice, dm, None)).await;
    assert_eq!((view.muted_until, view.rev), (None, 1));
}
