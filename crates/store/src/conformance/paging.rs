//! A difference in pages: what is far behind, and what happens between two pages.

use tertulia_proto::Seq;

use super::Home;
use super::replica::Replica;
use super::sink::yield_now;
use super::world::World;
use super::writes::sending;
use crate::*;

fn seqs(page: &DifferencePage, conversation: ConversationId) -> Vec<Seq> {
    let changed = page
        .conversations
        .iter()
        .find(|changed| changed.conversation.id == conversation)
        .expect("the conversation changed");
    changed.messages.iter().map(|message| message.seq).collect()
}

/// Where a hole and where stale messages are told.
fn doubts(page: &DifferencePage, conversation: ConversationId) -> (Option<Seq>, Option<Seq>) {
    let changed = page
        .conversations
        .iter()
        .find(|changed| changed.conversation.id == conversation)
        .expect("the conversation changed");
    (changed.hole_before, changed.stale_before)
}

pub async fn a_difference_in_pages_brings_every_conversation_once(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let mut expected = vec![world.dm(alice, bob).await];
    for _ in 0..8 {
        let group = world.group(bob, &[alice]).await;
        world.send_many(bob, group, 2).await;
        expected.push(group);
    }
    let left = world.group(bob, &[alice]).await;
    world.done(world.leaving(alice, left, None)).await;
    // One commit may change many conversations: they share its position, and a page may end among them.
    world.done(world.renaming(bob, "Robert")).await;
    expected.sort();
    for conversations_max in [1, 2, 3, 9, 10, 50] {
        let mut replica = Replica::new(alice);
        let mut told = Vec::new();
        loop {
            let page = replica.page(&world, conversations_max, 10).await;
            assert!(
                !page.has_more || !page.conversations.is_empty() || !page.removed.is_empty(),
                "a page with more behind it brings something"
            );
            told.extend(page.conversations.iter().map(|changed| changed.conversation.id));
            assert!(page.removed.iter().all(|id| *id == left));
            if !page.has_more {
                break;
            }
        }
        told.sort();
        assert_eq!(told, expected, "in pages of {conversations_max}");
        replica.assert_fresh(&world, "after all pages").await;
    }
}

pub async fn a_page_of_long_messages_ends_before_it_grows_heavy(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let long = "x".repeat(4000);
    for _ in 0..4 {
        let group = world.group(bob, &[alice]).await;
        for _ in 0..90 {
            world.send(bob, group, &long).await;
        }
    }
    let mut replica = Replica::new(alice);
    let page = replica.page(&world, 100, 100).await;
    let bytes: usize = page.conversations.iter().flat_map(|changed| &changed.messages).map(Message::size_hint).sum();
    assert!(page.has_more && bytes < 1024 * 1024, "{bytes} bytes in one page");
    replica.catch_up(&world, 100, 100).await;
    replica.assert_fresh(&world, "after light pages").await;
}

pub async fn writes_between_the_pages_of_a_difference_are_not_lost(home: &impl Home) {
    for conversations_max in 1..=4 {
        let world = World::open(home).await;
        let [alice, bob] = world.people(["alice", "bob"]).await;
        let mut groups = Vec::new();
        for _ in 0..6 {
            let group = world.open_group(bob, &[alice]).await;
            world.send_many(bob, group, 3).await;
            groups.push(group);
        }
        let mut replica = Replica::new(alice);
        let first = replica.page(&world, conversations_max, 10).await;
        assert!(first.has_more);
        let handed_over: Vec<ConversationId> =
            first.conversations.iter().map(|changed| changed.conversation.id).collect();
        let (seen, unseen): (Vec<_>, Vec<_>) = groups.iter().copied().partition(|group| handed_over.contains(group));
        let early = world.history(bob, seen[0]).await;
        world.done(world.editing(bob, &early[0], "edited after it was handed over")).await;
        let early = world.history(bob, unseen[0]).await;
        world.done(world.reacting(bob, &early[0], "👍")).await;
        world.send(bob, unseen[1], "before it was handed over").await;
        replica.page(&world, conversations_max, 10).await;
        world.done(world.removing(bob, groups[0], alice)).await;
        world.done(world.removing(bob, groups[5], alice)).await;
        world.done(world.adding(bob, groups[0], alice)).await;
        world.done(world.hiding(alice, groups[1])).await;
        let new = world.group(bob, &[alice]).await;
        world.send(bob, new, "made meanwhile").await;
        world.done(world.renaming(bob, "Robert")).await;
        replica.catch_up(&world, conversations_max, 10).await;
        replica.catch_up(&world, conversations_max, 10).await;
        replica.assert_fresh(&world, &format!("in pages of {conversations_max}")).await;
        assert!(replica.knows(new) && !replica.knows(groups[5]));
    }
}

pub async fn who_leaves_between_the_pages_of_the_very_first_difference_is_told(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (left, gone) = (world.group(alice, &[bob, carol]).await, world.group(alice, &[bob, carol]).await);
    world.group(alice, &[bob]).await;
    let mut replica = Replica::new(bob);
    let page = replica.page(&world, 2, 10).await;
    assert!(page.has_more && replica.knows(left) && replica.knows(gone));
    world.done(world.leaving(carol, left, None)).await;
    world.done(world.removing(alice, gone, bob)).await;
    replica.catch_up(&world, 2, 10).await;
    assert!(!replica.knows(gone), "bob was told of the conversation, so he is told of its end");
    replica.assert_fresh(&world, "after all pages").await;
}

pub async fn who_left_while_one_was_away_between_two_looks_is_told(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let group = world.group(alice, &[bob, carol]).await;
    let mut replica = Replica::caught_up(&world, bob).await;
    world.done(world.removing(alice, group, bob)).await;
    world.done(world.leaving(carol, group, None)).await;
    world.done(world.adding(alice, group, bob)).await;
    replica.catch_up(&world, 10, 10).await;
    replica.assert_fresh(&world, "back again, without carol").await;
}

pub async fn a_difference_in_pages_ends_however_much_is_written_meanwhile(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let groups = [(); 5].map(|()| async { world.group(alice, &[bob]).await });
    let mut all = Vec::new();
    for group in groups {
        all.push(group.await);
    }
    let mut replica = Replica::new(bob);
    for count in 1.. {
        assert!(count <= 5, "five conversations, one a page");
        let more = replica.page(&world, 1, 5).await.has_more;
        for group in &all {
            world.send(alice, *group, "meanwhile").await;
        }
        if !more {
            break;
        }
    }
    replica.catch_up(&world, 1, 5).await;
    replica.assert_fresh(&world, "with what came meanwhile").await;
}

pub async fn a_page_applied_twice_does_no_harm(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let hello = world.send(alice, group, "hello").await;
    let mut replica = Replica::new(bob);
    let first = replica.page(&world, 10, 10).await;
    world.done(world.editing(alice, &hello, "edited")).await;
    world.send(alice, group, "more").await;
    let second = replica.page(&world, 10, 10).await;
    replica.apply(&first);
    replica.apply(&second);
    replica.apply(&first);
    replica.assert_fresh(&world, "pages twice and out of turn").await;
    // An old cursor is a cursor.
    replica.from = first.next;
    replica.catch_up(&world, 10, 10).await;
    replica.assert_fresh(&world, "from an old cursor").await;
}

pub async fn a_conversation_far_behind_sends_its_newest_page_and_tells_the_hole(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let early = world.send_many(alice, group, 10).await;
    let mut replica = Replica::caught_up(&world, bob).await;
    let late = world.send_many(alice, group, 25).await;
    world.done(world.editing(alice, &early[2], "old and edited")).await;
    world.done(world.editing(alice, &late[3], "in the hole and edited")).await;
    world.done(world.deleting(alice, &late[22])).await;
    let page = replica.page(&world, 10, 8).await;
    assert!(!page.has_more);
    assert_eq!(
        seqs(&page, group),
        [3, 28, 29, 30, 31, 32, 33, 34, 35],
        "the newest page, and what changed of the old ones"
    );
    assert_eq!(doubts(&page, group), (Some(28), Some(28)));
    // The 17 of the hole, and the old ones that may be stale: all but the one that came anew.
    assert_eq!(replica.missing(group), 26);
    replica.assert_fresh(&world, "with a hole").await;
    replica.fill_holes(&world).await;
    assert_eq!(replica.missing(group), 0);
    replica.assert_fresh(&world, "with the hole filled").await;

    let mut newcomer = Replica::new(bob);
    let page = newcomer.page(&world, 10, 8).await;
    assert_eq!(seqs(&page, group), (28..=35).collect::<Vec<_>>());
    assert_eq!(doubts(&page, group), (Some(28), None));
}

pub async fn a_page_that_holds_all_new_messages_tells_no_hole(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let group = world.group(alice, &[bob]).await;
    let mut replica = Replica::caught_up(&world, bob).await;
    for (first, count) in [(1, 7), (8, 8)] {
        world.send_many(alice, group, count).await;
        let page = replica.page(&world, 10, 8).await;
        assert_eq!((seqs(&page, group), doubts(&page, group)), ((first..first + count).collect(), (None, None)));
    }
    let mut newcomer = Replica::caught_up(&world, carol).await;
    world.done(world.adding(alice, group, carol)).await;
    world.send_many(alice, group, 8).await;
    let page = newcomer.page(&world, 10, 8).await;
    assert_eq!(
        (seqs(&page, group), doubts(&page, group)),
        ((16..=23).collect(), (None, None)),
        "what is not for carol is no hole"
    );
}

pub async fn who_is_added_to_a_long_open_group_gets_its_newest_page(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, carol] = world.people(["alice", "carol"]).await;
    let group = world.open_group(alice, &[]).await;
    world.send_many(alice, group, 20).await;
    let mut replica = Replica::caught_up(&world, carol).await;
    world.done(world.adding(alice, group, carol)).await;
    let page = replica.page(&world, 10, 6).await;
    assert_eq!((seqs(&page, group), doubts(&page, group).0), ((15..=20).collect(), Some(15)));
    replica.fill_holes(&world).await;
    replica.assert_fresh(&world, "with the hole filled").await;
}

pub async fn more_old_messages_changed_than_a_page_holds_are_told_to_be_stale(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let messages = world.send_many(alice, group, 20).await;
    let mut replica = Replica::caught_up(&world, bob).await;
    for message in &messages[..15] {
        world.done(world.editing(alice, message, &format!("edited {}", message.seq))).await;
    }
    world.send(alice, group, "new").await;
    let page = replica.page(&world, 10, 4).await;
    assert_eq!(seqs(&page, group), [12, 13, 14, 15, 21]);
    assert_eq!(doubts(&page, group), (None, Some(12)));
    replica.assert_fresh(&world, "what is held is as it is now, or told to be stale").await;
    replica.fill_holes(&world).await;
    replica.assert_fresh(&world, "fetched again").await;
}

pub async fn exactly_a_page_of_old_messages_changed_makes_nothing_stale(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let messages = world.send_many(alice, group, 10).await;
    let mut replica = Replica::caught_up(&world, bob).await;
    for message in &messages[3..7] {
        world.done(world.reacting(bob, message, "👍")).await;
    }
    let page = replica.page(&world, 10, 4).await;
    assert_eq!((seqs(&page, group), doubts(&page, group)), ((4..=7).collect(), (None, None)));
    replica.assert_fresh(&world, "after the reactions").await;
}

pub async fn an_edit_is_not_lost_in_the_hole_of_a_conversation_that_comes_twice_in_one_difference(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (group, other) = (world.group(alice, &[bob]).await, world.group(alice, &[bob]).await);
    let mut replica = Replica::caught_up(&world, bob).await;
    let handed_over = world.send_many(alice, group, 4).await;
    world.send(alice, other, "so that there is another page").await;
    let page = replica.page(&world, 1, 5).await;
    assert_eq!((seqs(&page, group), page.has_more), (vec![1, 2, 3, 4], true));
    // Above the difference's base all of this is new, but bob has the beginning of it since the page before.
    world.done(world.editing(alice, &handed_over[1], "edited after it was handed over")).await;
    world.send_many(alice, group, 10).await;
    replica.catch_up(&world, 1, 5).await;
    replica.assert_fresh(&world, "what is held is as it is now, or told to be stale").await;
    replica.fill_holes(&world).await;
    replica.assert_fresh(&world, "with the hole filled").await;
}

pub async fn an_edit_is_not_lost_in_the_hole_of_who_was_away_between_two_looks(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.open_group(alice, &[bob]).await;
    let early = world.send_many(alice, group, 10).await;
    let mut replica = Replica::caught_up(&world, bob).await;
    world.done(world.removing(alice, group, bob)).await;
    world.done(world.editing(alice, &early[1], "edited while bob was away")).await;
    world.done(world.adding(alice, group, bob)).await;
    world.send_many(alice, group, 3).await;
    replica.catch_up(&world, 10, 5).await;
    replica.assert_fresh(&world, "what is held is as it is now, or told to be stale").await;
    replica.fill_holes(&world).await;
    replica.assert_fresh(&world, "with the hole filled").await;
}

pub async fn who_fetches_while_others_write_misses_nothing(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let mut writes = Vec::new();
    for _ in 0..5 {
        let group = world.group(alice, &[bob]).await;
        for n in 0..40 {
            let message = world.message(alice, group, &format!("message {n}"));
            writes.push(sending(&message));
            if n % 4 == 0 {
                let (conversation, message, now) = (group, message.id, world.now());
                writes.push(Write::EditMessage { conversation, message, actor: alice, body: "edited".to_owned(), now });
            }
        }
    }
    // Round about, so that every page finds each conversation changed since the last.
    let mut turns: Vec<(usize, Write)> =
        writes.into_iter().enumerate().map(|(place, write)| (place % 50, write)).collect();
    turns.sort_by_key(|(turn, _)| *turn);
    let store = world.store.clone();
    let writer = std::thread::spawn(move || {
        for (_, write) in turns {
            store.submit(write, Box::new(|_| ()));
            std::thread::yield_now();
        }
    });
    let mut replica = Replica::new(bob);
    while !writer.is_finished() {
        replica.page(&world, 2, 7).await;
        yield_now().await;
    }
    writer.join().expect("the writer does not panic");
    world.done(world.renaming(alice, "Alicia")).await;
    replica.catch_up(&world, 2, 7).await;
    replica.assert_fresh(&world, "when all is written").await;
    replica.fill_holes(&world).await;
    replica.assert_fresh(&world, "with the holes filled").await;
    let said =
        world.sink.results().iter().filter(|result| matches!(result, Ok(Effect::MessageAppended { .. }))).count();
    assert_eq!(said, 200);
}
