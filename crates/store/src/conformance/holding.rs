//! What changed above what a client says it holds.

use tertulia_proto::sync::{Held, SyncConversation};
use tertulia_proto::{Rev, Seq};

use super::Home;
use super::difference::every_kind_of_change;
use super::replica::Replica;
use super::world::World;
use super::writes::sending;
use crate::*;

/// Of one changed conversation: the seqs of its messages, the people of its rows, and where a hole and stale messages are told.
type Rows = (Vec<Seq>, Vec<UserId>, (Option<Seq>, Option<Seq>));

fn rows(changed: &SyncConversation) -> Rows {
    let seqs = changed.messages.iter().map(|message| message.seq).collect();
    let mut people: Vec<UserId> =
        changed.conversation.members.iter().flat_map(|all| all.iter()).map(|member| member.user_id).collect();
    people.sort();
    (seqs, people, (changed.hole_before, changed.stale_before))
}

/// What a page tells of the one conversation it tells of.
#[track_caller]
fn only(page: &DifferencePage, conversation: ConversationId) -> Rows {
    let told: Vec<ConversationId> = page.conversations.iter().map(|changed| changed.conversation.id).collect();
    assert_eq!((told, page.removed.as_slice(), page.has_more), (vec![conversation], [].as_slice(), false));
    rows(&page.conversations[0])
}

fn says_nothing(page: &DifferencePage) -> bool {
    page.conversations.is_empty() && page.removed.is_empty() && !page.has_more && !page.reset
}

async fn asked(world: &World, person: UserId, from: SyncFrom, have: &[Held]) -> DifferencePage {
    let have = have.iter().map(|held| (held.id, *held)).collect();
    world.store.difference(person, from, Some(have), 10, 10).await.expect("the store reads")
}

pub async fn who_heard_everything_is_told_nothing_and_gets_a_newer_cursor(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob, carol]).await);
    let early = world.send_many(alice, group, 3).await;
    let mut replica = Replica::listening(&world, bob).await;
    let writes = [
        sending(&world.message(alice, dm, "to bob")),
        sending(&world.message(bob, group, "bob's own")),
        world.editing(alice, &early[0], "edited"),
        world.deleting(alice, &early[1]),
        world.reacting(carol, &early[2], "👍"),
        world.reading(carol, group, 4),
        world.reading(bob, dm, 1),
        world.titling(alice, group, "Ours"),
        world.giving_role(alice, group, bob, Role::Admin),
        world.renaming(alice, "Alicia"),
        world.removing(alice, group, carol),
    ];
    for write in writes {
        let (when, before) = (format!("after {write:?}"), replica.from);
        world.done(write).await;
        replica.listen_well(&world);
        let begins_here = format!("{when}: the next difference begins here");
        let asked = async || {
            let page = replica.page(&world, 10, 10).await;
            assert!(says_nothing(&page), "{when}: {page:?}");
            page.next.base > before.base
        };
        world.soon(&begins_here, asked).await;
        replica.assert_fresh(&world, &when).await;
    }
    assert!(says_nothing(&replica.page(&world, 10, 10).await), "nor when nothing happened");
}

pub async fn what_was_missed_is_told_by_exactly_its_rows(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (group, other) = (world.group(alice, &[bob, carol]).await, world.group(alice, &[bob]).await);
    let early = world.send_many(alice, group, 5).await;
    let mut replica = Replica::listening(&world, bob).await;
    for (missed, seqs, people) in [
        (sending(&world.message(carol, group, "hello")), vec![6], vec![carol]),
        (world.editing(alice, &early[1], "edited"), vec![2], vec![]),
        (world.deleting(alice, &early[2]), vec![3], vec![]),
        (world.reacting(carol, &early[3], "👍"), vec![4], vec![]),
        (world.reading(alice, group, 6), vec![], vec![alice]),
        (world.titling(alice, group, "Ours"), vec![], vec![]),
        (world.renaming(carol, "Caroline"), vec![], vec![carol]),
        (world.removing(alice, group, carol), vec![], vec![carol]),
    ] {
        let when = format!("without {missed:?}");
        // Much happens, and is heard.
        world.send(bob, other, "elsewhere").await;
        world.done(world.editing(alice, &early[0], &when)).await;
        replica.listen_well(&world);
        world.done(missed).await;
        replica.listen(&world, || true);
        world.send(alice, other, "elsewhere again").await;
        replica.listen_well(&world);
        let page = replica.page(&world, 10, 10).await;
        assert_eq!(only(&page, group), (seqs, people, (None, None)), "{when}");
        replica.assert_fresh(&world, &when).await;
    }
}

pub async fn what_came_after_a_missed_change_is_told_too_though_it_was_heard(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let early = world.send_many(alice, group, 3).await;
    let mut replica = Replica::listening(&world, bob).await;
    world.send(alice, group, "heard").await;
    replica.listen_well(&world);
    world.send(alice, group, "missed").await;
    replica.listen(&world, || true);
    world.send(alice, group, "heard, but not the next").await;
    world.done(world.editing(alice, &early[0], "likewise")).await;
    replica.listen_well(&world);
    let page = replica.page(&world, 10, 10).await;
    assert_eq!(only(&page, group), (vec![1, 5, 6], vec![alice], (None, None)));
    replica.assert_fresh(&world, "once more").await;
}

pub async fn state_and_events_and_difference_make_a_fresh_fetch_for_every_kind_of_change(home: &impl Home) {
    // Who hears everything, nothing, and every second or third change from the first or a later one on.
    for (every, first) in [(1, 0), (usize::MAX, 1), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)] {
        let world = World::open(home).await;
        let people = world.people(["alice", "bob", "carol"]).await;
        let writes = every_kind_of_change(&world, people).await;
        let mut replicas = Vec::new();
        for person in people {
            replicas.push(Replica::listening(&world, person).await);
        }
        for (count, write) in writes.into_iter().enumerate() {
            let when = format!("every {every}, from {first} on, after {write:?}");
            world.done(write).await;
            for replica in &mut replicas {
                replica.listen(&world, || count % every != first);
                // A few changes go by before somebody asks.
                if count % 4 == first {
                    replica.catch_up(&world, 50, 50).await;
                    replica.assert_fresh(&world, &when).await;
                }
            }
        }
        for replica in &mut replicas {
            replica.catch_up(&world, 50, 50).await;
            replica.assert_fresh(&world, "at the end").await;
        }
    }
}

pub async fn missed_messages_are_told_with_exactly_their_hole(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let mut replica = Replica::listening(&world, bob).await;
    let heard = world.send_many(alice, group, 10).await;
    replica.listen_well(&world);
    let missed = world.send_many(alice, group, 25).await;
    world.done(world.editing(alice, &heard[2], "heard before and edited")).await;
    world.done(world.editing(alice, &missed[3], "in the hole and edited")).await;
    world.done(world.deleting(alice, &missed[22])).await;
    replica.listen(&world, || true);
    let page = replica.page(&world, 10, 8).await;
    let told = [3, 28, 29, 30, 31, 32, 33, 34, 35];
    assert_eq!(only(&page, group), (told.to_vec(), vec![alice], (Some(28), None)), "what was heard is not doubted");
    assert_eq!(replica.missing(group), 17, "11 to 27");
    replica.assert_fresh(&world, "with a hole").await;
    replica.fill_holes(&world).await;
    replica.assert_fresh(&world, "with the hole filled").await;

    // Exactly a page is no hole.
    world.send_many(alice, group, 8).await;
    replica.listen(&world, || true);
    let page = replica.page(&world, 10, 8).await;
    assert_eq!(only(&page, group), ((36..=43).collect(), vec![alice], (None, None)));
}

pub async fn a_hole_begins_behind_what_was_said_whatever_was_heard_since(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    world.send_many(alice, group, 3).await;
    let mut replica = Replica::listening(&world, bob).await;
    let said = replica.held(group).expect("bob holds the group");
    let heard = world.send(alice, group, "heard while bob's question is on its way").await;
    replica.listen_well(&world);
    world.done(world.editing(alice, &heard, "edited before it arrives")).await;
    world.send_many(alice, group, 20).await;
    let page = asked(&world, bob, replica.from, &[said]).await;
    // The edit is neither told nor in doubt: the client fetches what it heard since again, with the rest of the hole.
    assert_eq!(only(&page, group), ((15..=24).collect(), vec![alice], (Some(15), None)));
}

pub async fn old_messages_that_changed_are_told_and_only_those_over_a_page_are_stale(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let mut replica = Replica::listening(&world, bob).await;
    let heard = world.send_many(alice, group, 20).await;
    world.done(world.editing(alice, &heard[19], "edited and heard")).await;
    replica.listen_well(&world);
    for (edited, told, stale_before) in [(3..7, vec![4, 5, 6, 7], None), (0..15, vec![12, 13, 14, 15], Some(12))] {
        for message in &heard[edited] {
            world.done(world.editing(alice, message, &format!("edited {:?}", world.now()))).await;
        }
        replica.listen(&world, || true);
        let page = replica.page(&world, 10, 4).await;
        assert_eq!(only(&page, group), (told, vec![], (None, stale_before)));
        replica.assert_fresh(&world, "what is held is as it is now, or told to be stale").await;
    }
    replica.fill_holes(&world).await;
    replica.assert_fresh(&world, "fetched again").await;
}

pub async fn what_only_i_see_is_told_though_i_hold_everything(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let mut replicas = [Replica::listening(&world, alice).await, Replica::listening(&world, bob).await];
    let until = Some(world.now());
    for write in [
        world.hiding(alice, dm),
        world.opening_dm(alice, bob),
        world.muting(alice, dm, until),
        world.muting(alice, dm, None),
        world.blocking(alice, bob),
        world.unblocking(alice, bob),
    ] {
        let when = format!("after {write:?}");
        // In between something that both hear: the personal change is not told by its row alone.
        world.done(write).await;
        replicas.iter_mut().for_each(|replica| replica.listen(&world, || true));
        world.send(bob, dm, "heard").await;
        replicas.iter_mut().for_each(|replica| replica.listen_well(&world));
        let [mine, theirs] = &mut replicas;
        assert_eq!(only(&mine.page(&world, 10, 10).await, dm), (vec![], vec![], (None, None)), "{when}");
        assert!(says_nothing(&mine.page(&world, 10, 10).await), "{when}: once");
        assert!(says_nothing(&theirs.page(&world, 10, 10).await), "{when}: to nobody else");
        for replica in &replicas {
            replica.assert_fresh(&world, &when).await;
        }
    }
}

pub async fn who_joined_since_gets_the_whole_conversation_whatever_they_hold(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.open_group(alice, &[bob]).await;
    let early = world.send_many(alice, group, 6).await;
    let mut replica = Replica::listening(&world, bob).await;
    world.done(world.removing(alice, group, bob)).await;
    world.done(world.editing(alice, &early[1], "edited while bob was away")).await;
    world.done(world.adding(alice, group, bob)).await;
    world.send_many(alice, group, 3).await;
    replica.listen(&world, || true);
    assert_eq!(replica.held(group).map(|held| held.last_seq), Some(6), "of the earlier stay");
    let page = replica.page(&world, 10, 5).await;
    let mut both = vec![alice, bob];
    both.sort();
    assert_eq!(only(&page, group), (vec![5, 6, 7, 8, 9], both, (Some(5), Some(5))), "the edit lies in the hole");
    replica.assert_fresh(&world, "back again").await;
    replica.fill_holes(&world).await;
    replica.assert_fresh(&world, "with the hole filled").await;

    // From now on what is held counts again.
    world.send(alice, group, "heard").await;
    replica.listen_well(&world);
    assert!(says_nothing(&replica.page(&world, 10, 5).await));
}

pub async fn who_was_removed_is_told_once_whatever_they_hold(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (group, left) = (world.group(alice, &[bob]).await, world.group(alice, &[bob]).await);
    let mut replica = Replica::listening(&world, bob).await;
    let held: Vec<Held> = replica.holdings().into_values().collect();
    world.done(world.removing(alice, group, bob)).await;
    world.done(world.leaving(bob, left, None)).await;
    world.send(alice, group, "without bob").await;
    replica.listen(&world, || true);
    let page = replica.page(&world, 10, 10).await;
    let mut both = vec![group, left];
    both.sort();
    assert_eq!((page.conversations.len(), page.removed), (0, both));
    replica.assert_fresh(&world, "without the groups").await;
    let again = asked(&world, bob, replica.from, &held).await;
    assert!(says_nothing(&again), "who goes on claiming to hold them: {again:?}");
}

pub async fn who_holds_more_than_the_log_starts_over(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (group, other) = (world.group(alice, &[bob]).await, world.group(alice, &[bob]).await);
    let left = world.group(alice, &[bob]).await;
    world.send_many(alice, group, 3).await;
    world.done(world.removing(alice, left, bob)).await;
    let replica = Replica::listening(&world, bob).await;
    let held = replica.held(group).expect("bob holds the group");
    let unknown = Held { id: ConversationId::from_bytes(world.id()), rev: 1, last_seq: 0 };
    // In the middle of a difference as well.
    let within = SyncFrom { base: replica.from.base - 1, within: Some((replica.from.base, group.max(other))) };
    for beyond in [
        Held { rev: held.rev + 1, ..held },
        Held { last_seq: held.last_seq + 1, ..held },
        Held { rev: Rev::MAX, last_seq: Seq::MAX, ..held },
        unknown,
        // The removal was the second change.
        Held { id: left, rev: 3, last_seq: 0 },
    ] {
        for from in [replica.from, within] {
            let page = asked(&world, bob, from, &[beyond]).await;
            assert!(page.reset, "{beyond:?}: {page:?}");
            let mut told: Vec<ConversationId> = page.conversations.iter().map(|told| told.conversation.id).collect();
            told.sort();
            let mut everything = vec![group, other];
            everything.sort();
            assert_eq!((told, page.removed.len()), (everything, 0), "{beyond:?}: the first page of everything");
            assert_eq!(page.next, replica.from, "{beyond:?}");
        }
    }
    assert!(says_nothing(&asked(&world, bob, replica.from, &[held]).await), "no more than there is");
}

pub async fn what_is_not_ones_own_is_neither_told_nor_guessed_by_claims(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (foreign, left) = (world.group(alice, &[]).await, world.group(alice, &[bob]).await);
    let replica = Replica::caught_up(&world, bob).await;
    world.done(world.removing(alice, left, bob)).await;
    let told = Replica::caught_up(&world, bob).await;
    world.send_many(alice, foreign, 3).await;
    world.send_many(alice, left, 3).await;
    for rev in [0, 2, 3, 100] {
        for last_seq in [0, 3, 100] {
            let claim = Held { id: foreign, rev, last_seq };
            let page = asked(&world, bob, told.from, &[claim]).await;
            assert!(says_nothing(&page), "{claim:?}: {page:?}");
            // What was removed under the second change tells nothing of those after it.
            let claim = Held { id: left, rev, last_seq };
            let page = asked(&world, bob, told.from, &[claim]).await;
            assert_eq!(page.reset, rev > 2, "{claim:?}: {page:?}");
        }
    }
    let page = asked(&world, bob, replica.from, &[Held { id: left, rev: 1, last_seq: 0 }]).await;
    assert_eq!((page.conversations.len(), page.removed), (0, vec![left]));
}

pub async fn what_is_not_listed_is_told_as_of_the_cursor(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (listed, unlisted) = (world.group(alice, &[bob]).await, world.group(alice, &[bob]).await);
    let early = world.send_many(alice, unlisted, 5).await;
    let mut replica = Replica::listening(&world, bob).await;
    world.send_many(alice, listed, 20).await;
    world.send_many(alice, unlisted, 12).await;
    world.done(world.editing(alice, &early[1], "edited")).await;
    replica.listen_well(&world);
    for have in [vec![replica.held(listed).expect("bob holds it")], vec![]] {
        let page = asked(&world, bob, replica.from, &have).await;
        let told: Vec<&SyncConversation> =
            page.conversations.iter().filter(|changed| changed.conversation.id == unlisted).collect();
        assert_eq!((told.len(), page.conversations.len()), (1, 2 - have.len()));
        let newest = (8..=17).collect::<Vec<_>>();
        let seqs = [vec![2], newest].concat();
        // Nobody who says what they hold holds a message in this hole.
        assert_eq!(rows(told[0]), (seqs, vec![alice], (Some(8), None)));
    }
}

pub async fn what_is_held_counts_wherever_the_cursor_is(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    world.send_many(alice, group, 2).await;
    let held = Replica::listening(&world, bob).await.held(group).expect("bob holds the group");
    let early = world.history(bob, group).await;
    world.send_many(alice, group, 2).await;
    world.done(world.editing(alice, &early[0], "edited")).await;
    // A cursor that is further than what is held of this one.
    let replica = Replica::caught_up(&world, bob).await;
    let page = asked(&world, bob, replica.from, &[held]).await;
    assert_eq!(only(&page, group), (vec![1, 3, 4], vec![alice], (None, None)));
    let nothing = Held { id: group, rev: 0, last_seq: 0 };
    let mut both = vec![alice, bob];
    both.sort();
    let page = asked(&world, bob, replica.from, &[nothing]).await;
    assert_eq!(only(&page, group), (vec![1, 2, 3, 4], both.clone(), (None, None)));
    let page = asked(&world, bob, replica.from, &[Held { rev: -7, last_seq: Seq::MIN, ..nothing }]).await;
    assert_eq!(only(&page, group), (vec![1, 2, 3, 4], both, (None, None)));
}

pub async fn a_difference_in_pages_tells_what_is_not_held_and_each_conversation_once(home: &impl Home) {
    for conversations_max in 1..=4 {
        let world = World::open(home).await;
        let [alice, bob] = world.people(["alice", "bob"]).await;
        let mut groups = Vec::new();
        for _ in 0..9 {
            let group = world.open_group(alice, &[bob]).await;
            world.send_many(alice, group, 3).await;
            groups.push(group);
        }
        groups.sort();
        let mut replica = Replica::listening(&world, bob).await;
        for group in &groups {
            world.send(alice, *group, "heard").await;
        }
        replica.listen_well(&world);
        let missed: Vec<ConversationId> = groups.iter().copied().step_by(2).collect();
        for group in &missed {
            world.send(alice, *group, "missed").await;
        }
        replica.listen(&world, || true);
        let mut told = Vec::new();
        for count in 0.. {
            assert!(count < 9, "five conversations, one a page at least");
            let page = replica.page(&world, conversations_max, 5).await;
            for changed in &page.conversations {
                assert_eq!(rows(changed), (vec![5], vec![alice], (None, None)));
                told.push(changed.conversation.id);
            }
            if !page.has_more {
                break;
            }
            // What happens meanwhile is heard, and not told again by a later page.
            for group in groups.iter().filter(|group| !missed.contains(group) || told.contains(group)) {
                world.send(alice, *group, "heard between two pages").await;
            }
            replica.listen_well(&world);
        }
        assert_eq!(told, missed, "in pages of {conversations_max}");
        assert!(says_nothing(&replica.page(&world, conversations_max, 5).await));
        replica.assert_fresh(&world, "after all pages").await;
    }
}

pub async fn without_a_list_a_difference_is_as_it_was(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let mut replica = Replica::listening(&world, bob).await;
    world.send_many(alice, group, 9).await;
    replica.listen_well(&world);
    let page = world.store.difference(bob, replica.from, None, 10, 5).await.expect("the store reads");
    assert_eq!(only(&page, group), ((5..=9).collect(), vec![alice], (Some(5), Some(5))));
}
