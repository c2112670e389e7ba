//! What changed since a cursor.

use tertulia_proto::HistoryVisibility;

use super::Home;
use super::replica::Replica;
use super::world::World;
use super::writes::sending;
use crate::*;

async fn all_fresh(world: &World, replicas: &mut [Replica], when: &str) {
    for replica in replicas {
        replica.catch_up(world, 50, 50).await;
        replica.assert_fresh(world, when).await;
    }
}

pub async fn a_difference_of_nothing_is_empty(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let mut replica = Replica::new(alice);
    for talks in 0..3 {
        if talks > 0 {
            world.send(bob, world.group(bob, &[alice]).await, "hello").await;
        }
        replica.catch_up(&world, 10, 10).await;
        for _ in 0..2 {
            let page = replica.page(&world, 10, 10).await;
            assert!(page.conversations.is_empty() && page.removed.is_empty() && !page.has_more, "{page:?}");
        }
        replica.assert_fresh(&world, "after nothing").await;
    }
}

pub async fn a_difference_brings_only_the_rows_that_changed(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob, carol]).await);
    let messages = world.send_many(alice, group, 5).await;
    world.send(alice, dm, "elsewhere").await;
    let mut replica = Replica::caught_up(&world, bob).await;
    world.done(world.reacting(carol, &messages[1], "👍")).await;
    world.done(world.editing(alice, &messages[3], "edited five times")).await;
    world.done(world.editing(alice, &messages[3], "edited once more")).await;
    world.done(world.reading(carol, group, 5)).await;
    let page = replica.page(&world, 10, 10).await;
    assert_eq!(page.conversations.len(), 1);
    let changed = &page.conversations[0];
    assert_eq!(changed.conversation.id, group);
    assert_eq!(
        changed.messages.iter().map(|message| message.seq).collect::<Vec<_>>(),
        [2, 4],
        "each once, as it is now"
    );
    let members: Vec<UserId> =
        changed.conversation.members.iter().flat_map(|all| all.iter()).map(|member| member.user_id).collect();
    assert_eq!((members, changed.hole_before), (vec![carol], None));
    replica.assert_fresh(&world, "after reactions, edits and a receipt").await;
}

/// A group of Alice and Bob with two messages, and then writes of every kind by the three.
pub(super) async fn every_kind_of_change(world: &World, [alice, bob, carol]: [UserId; 3]) -> Vec<Write> {
    let group = world.group(alice, &[bob]).await;
    let hello = world.send(alice, group, "hello").await;
    let other = world.send(alice, group, "other").await;
    vec![
        sending(&world.reply(bob, &hello, "hi")),
        world.editing(alice, &hello, "hello all"),
        world.reacting(bob, &hello, "👍"),
        world.reacting(alice, &hello, "👍"),
        world.unreacting(bob, &hello, "👍"),
        world.receiving(bob, group, 1),
        world.reading(alice, group, 3),
        world.titling(bob, group, "Ours"),
        world.adding(alice, group, carol),
        sending(&world.message(alice, group, "welcome")),
        world.deleting(alice, &other),
        world.deleting(bob, &hello),
        world.giving_role(alice, group, bob, Role::Admin),
        world.removing(alice, group, carol),
        sending(&world.message(bob, group, "she is gone")),
        world.adding(bob, group, carol),
        sending(&world.message(carol, group, "back again")),
        world.leaving(carol, group, None),
        world.hiding(bob, group),
        sending(&world.message(alice, group, "out of hiding")),
        world.muting(bob, group, Some(world.now())),
        world.muting(bob, group, None),
        world.renaming(alice, "Alicia"),
        Write::UpdateProfile {
            user: bob,
            name: None,
            avatar_url: Some(Some("https://example.org/b.png".to_owned())),
            now: world.now(),
        },
        world.opening_dm(carol, bob),
        world.creating_group(carol, &[alice, bob], HistoryVisibility::All),
        world.renaming(bob, "Roberto"),
        world.leaving(alice, group, Some(bob)),
        world.leaving(bob, group, None),
    ]
}

pub async fn state_and_difference_make_a_fresh_fetch_for_every_kind_of_change(home: &impl Home) {
    let world = World::open(home).await;
    let people = world.people(["alice", "bob", "carol"]).await;
    let mut replicas = people.map(Replica::new);
    let writes = every_kind_of_change(&world, people).await;
    all_fresh(&world, &mut replicas, "at the beginning").await;
    for write in writes {
        let when = format!("after {write:?}");
        world.done(write).await;
        all_fresh(&world, &mut replicas, &when).await;
    }
    for person in people {
        Replica::caught_up(&world, person).await.assert_fresh(&world, "from the beginning").await;
    }
}

pub async fn a_blocked_person_is_shown_as_such_on_ones_other_devices(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let mut replicas = [alice, bob].map(Replica::new);
    all_fresh(&world, &mut replicas, "before").await;
    world.done(world.blocking(alice, bob)).await;
    assert!(world.view(alice, dm).await.peer.expect("the other").blocked);
    assert!(!world.view(bob, dm).await.peer.expect("the other").blocked, "bob is not told");
    all_fresh(&world, &mut replicas, "after the block").await;
    world.done(world.unblocking(alice, bob)).await;
    all_fresh(&world, &mut replicas, "after its end").await;
    assert_eq!(world.view(bob, dm).await.rev, 1, "what only I see is no change of the conversation");
}

pub async fn what_only_i_see_is_in_my_difference_alone_and_takes_no_rev(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let (mut mine, mut theirs) = (Replica::caught_up(&world, alice).await, Replica::caught_up(&world, bob).await);
    let until = Some(world.now());
    for (write, expected) in [
        (world.hiding(alice, dm), (true, None)),
        (world.muting(alice, dm, until), (true, until)),
        (world.muting(alice, dm, None), (true, None)),
    ] {
        world.done(write).await;
        let page = mine.page(&world, 10, 10).await;
        assert_eq!(page.conversations.len(), 1);
        let view = &page.conversations[0].conversation;
        assert_eq!(((view.hidden, view.muted_until), view.rev), (expected, 1));
        let others = theirs.page(&world, 10, 10).await;
        assert!(others.conversations.is_empty(), "{others:?}");
    }
    world.send(bob, dm, "news").await;
    let page = mine.page(&world, 10, 10).await;
    assert!(!page.conversations[0].conversation.hidden, "something new arrived");
}

pub async fn a_difference_shows_nothing_of_other_peoples_conversations(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, eve] = world.people(["alice", "bob", "eve"]).await;
    let mine = world.group(eve, &[alice]).await;
    let mut replica = Replica::new(eve);
    let mut foreign = vec![world.dm(alice, bob).await, world.open_group(bob, &[alice]).await];
    for round in 0..3 {
        for &conversation in &foreign {
            world.send(alice, conversation, "nothing for eve").await;
        }
        world.send(eve, mine, "mine").await;
        loop {
            let page = replica.page(&world, 1, 2).await;
            assert!(page.conversations.iter().all(|changed| changed.conversation.id == mine), "round {round}");
            assert_eq!(page.removed, []);
            if !page.has_more {
                break;
            }
        }
        foreign.push(world.group(bob, &[alice]).await);
    }
}

pub async fn who_is_added_gets_the_whole_conversation_whatever_the_cursor(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (joined, open) = (world.group(alice, &[bob]).await, world.open_group(alice, &[bob]).await);
    let mut replica = Replica::new(carol);
    for group in [joined, open] {
        let messages = world.send_many(alice, group, 4).await;
        world.done(world.editing(alice, &messages[0], "edited before carol came")).await;
    }
    // Her cursor is past all of that.
    world.dm(carol, alice).await;
    replica.catch_up(&world, 10, 10).await;
    for (group, messages) in [(joined, 0), (open, 4)] {
        world.done(world.adding(alice, group, carol)).await;
        let page = replica.page(&world, 10, 10).await;
        assert_eq!(page.conversations.len(), 1);
        let changed = &page.conversations[0];
        assert_eq!(
            changed.conversation.members.as_ref().map(|all| all.len()),
            Some(3),
            "all members, not the changed one alone"
        );
        assert_eq!((changed.messages.len(), changed.hole_before), (messages, None));
        replica.assert_fresh(&world, "once added").await;
    }
}

pub async fn who_is_removed_is_told_once_and_starts_anew_when_added_again(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    for (group, seen) in
        [(world.group(alice, &[bob]).await, vec![5]), (world.open_group(alice, &[bob]).await, vec![1, 2, 3, 4, 5])]
    {
        world.send_many(alice, group, 3).await;
        let mut replica = Replica::caught_up(&world, bob).await;
        world.done(world.removing(alice, group, bob)).await;
        let page = replica.page(&world, 10, 10).await;
        assert_eq!((page.conversations.len(), page.removed), (0, vec![group]));
        assert_eq!(replica.page(&world, 10, 10).await.removed, []);
        world.send(alice, group, "without bob").await;
        assert!(replica.page(&world, 10, 10).await.conversations.is_empty(), "a removed member hears nothing more");

        world.done(world.adding(alice, group, bob)).await;
        world.send(alice, group, "with bob").await;
        let page = replica.page(&world, 10, 10).await;
        assert_eq!((page.conversations.len(), page.removed.len()), (1, 0));
        let changed = &page.conversations[0];
        assert_eq!(changed.messages.iter().map(|message| message.seq).collect::<Vec<_>>(), seen);
        assert_eq!(changed.conversation.members.as_ref().map(|all| all.len()), Some(2));
        replica.assert_fresh(&world, "added again").await;
    }
}

pub async fn who_was_removed_and_added_between_two_looks_is_a_member(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (group, other) = (world.group(alice, &[bob]).await, world.group(alice, &[bob]).await);
    world.send_many(alice, group, 3).await;
    let mut replica = Replica::caught_up(&world, bob).await;
    world.done(world.removing(alice, group, bob)).await;
    world.send(alice, group, "without bob").await;
    world.done(world.adding(alice, group, bob)).await;
    world.send(alice, group, "with bob").await;
    world.done(world.removing(alice, other, bob)).await;
    world.done(world.adding(alice, other, bob)).await;
    world.done(world.leaving(bob, other, None)).await;
    let page = replica.page(&world, 10, 10).await;
    assert_eq!((page.conversations.len(), page.removed), (1, vec![other]));
    replica.assert_fresh(&world, "there and back").await;
}

pub async fn a_member_who_left_is_told_to_the_others_as_removed(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let group = world.group(alice, &[bob, carol]).await;
    let mut replica = Replica::caught_up(&world, alice).await;
    world.done(world.leaving(bob, group, None)).await;
    let page = replica.page(&world, 10, 10).await;
    let view = &page.conversations[0].conversation;
    let rows: Vec<(UserId, bool)> =
        view.members.iter().flat_map(|all| all.iter()).map(|member| (member.user_id, member.removed)).collect();
    assert_eq!((rows, view.member_count), (vec![(bob, true)], 2));
    replica.assert_fresh(&world, "without bob").await;
}

pub async fn what_changed_for_several_people_is_named_to_each(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob, carol]).await);
    let quiet = world.group(carol, &[bob]).await;
    let before = world.log_state().await.position;
    world.send(alice, dm, "hello").await;
    world.done(world.removing(alice, group, carol)).await;
    world.done(world.titling(alice, group, "without carol")).await;
    world.done(world.muting(bob, quiet, None)).await;
    let asked = vec![bob, carol, UserId::from_bytes([9; 16])];
    let found = world.store.changed_for(asked, before).await.expect("the store reads");
    let group_rev = world.view(bob, group).await.rev;
    let quiet_rev = world.view(bob, quiet).await.rev;
    for (user, conversation, rev, is_member) in [
        (bob, dm, world.view(bob, dm).await.rev, true),
        (bob, group, group_rev, true),
        (bob, quiet, quiet_rev, true),
        (carol, group, group_rev - 1, false),
    ] {
        let named: Vec<&ChangedFor> =
            found.iter().filter(|one| (one.user, one.conversation) == (user, conversation)).collect();
        assert_eq!(named.len(), 1, "{found:?}");
        assert_eq!((named[0].rev, named[0].is_member), (rev, is_member));
        assert!(named[0].is_personal || conversation != quiet, "muting is seen by bob alone");
    }
    assert!(found.iter().all(|one| one.user == bob || one.user == carol), "nobody else was asked about");
}
