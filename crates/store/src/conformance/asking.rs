//! What the rules are asked, with which facts, and that their no changes nothing.

use tertulia_proto::{ConversationKind, ErrorCode, HistoryVisibility};

use super::Home;
use super::house::House;
use super::world::{World, message_of};
use super::writes::{client_msg_id, sending};
use crate::*;

const STRANGER_TO_BOTH: Target = Target { role: None, has_blocked_actor: false, is_blocked_by_actor: false };

pub async fn the_rules_are_asked_with_the_facts_of_a_message(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let hello = world.send(alice, group, "hello").await;
    let facts = world.rules.last(Action::SendMessage);
    assert_eq!((facts.kind, facts.actor, facts.target), (ConversationKind::Group, Some(Role::Owner), None));

    for (actor, role, is_author) in [(alice, Role::Owner, true), (bob, Role::Member, false)] {
        world.rules.forget();
        world.done(world.editing(actor, &hello, &format!("{role:?}"))).await;
        world.done(world.reacting(actor, &hello, "👍")).await;
        world.done(world.unreacting(actor, &hello, "👍")).await;
        for action in [Action::EditMessage, Action::React, Action::Unreact] {
            let facts = world.rules.last(action);
            assert_eq!((facts.actor, facts.is_author, facts.is_deleted), (Some(role), is_author, false), "{action:?}");
        }
    }
    world.done(world.deleting(bob, &hello)).await;
    let facts = world.rules.last(Action::DeleteMessage);
    assert_eq!((facts.actor, facts.is_author, facts.is_deleted), (Some(Role::Member), false, false));
    for (write, action) in [
        (world.editing(alice, &hello, "back"), Action::EditMessage),
        (world.reacting(alice, &hello, "👍"), Action::React),
    ] {
        assert_eq!(world.refused(write).await, ErrorCode::Gone);
        let facts = world.rules.last(action);
        assert_eq!((facts.is_author, facts.is_deleted), (true, true));
    }
}

pub async fn in_a_dm_the_rules_hear_of_the_other_person(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let hello = world.send(alice, dm, "hello").await;
    let of = |action| {
        let facts = world.rules.last(action);
        assert_eq!(facts.kind, ConversationKind::Dm);
        let target = facts.target.expect("in a DM there is the other person");
        assert!(target.role.is_some(), "the other person is a member");
        (target.has_blocked_actor, target.is_blocked_by_actor)
    };
    assert_eq!(of(Action::SendMessage), (false, false));
    world.done(world.blocking(bob, alice)).await;
    world.send(alice, dm, "are you there?").await;
    assert_eq!(of(Action::SendMessage), (true, false));
    world.done(world.editing(alice, &hello, "hello!")).await;
    assert_eq!(of(Action::EditMessage), (true, false));
    world.done(world.reacting(bob, &hello, "👍")).await;
    assert_eq!(of(Action::React), (false, true));
    world.done(world.unblocking(bob, alice)).await;
    world.send(alice, dm, "good").await;
    assert_eq!(of(Action::SendMessage), (false, false));
}

pub async fn the_rules_are_asked_with_the_facts_of_a_membership(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol, dave] = world.people(["alice", "bob", "carol", "dave"]).await;
    let group = world.group(alice, &[bob, dave]).await;
    world.done(world.blocking(carol, bob)).await;

    world.done(world.adding(bob, group, carol)).await;
    let facts = world.rules.last(Action::AddMember);
    assert_eq!((facts.kind, facts.actor), (ConversationKind::Group, Some(Role::Member)));
    assert_eq!(facts.target, Some(Target { has_blocked_actor: true, ..STRANGER_TO_BOTH }));
    assert_eq!((facts.member_count, facts.owner_count), (3, 1));

    world.done(world.giving_role(alice, group, carol, Role::Owner)).await;
    let facts = world.rules.last(Action::SetRole(Role::Owner));
    assert_eq!(
        (facts.actor, facts.target),
        (Some(Role::Owner), Some(Target { role: Some(Role::Member), ..STRANGER_TO_BOTH }))
    );
    assert_eq!((facts.member_count, facts.owner_count), (4, 1));

    world.done(world.removing(alice, group, carol)).await;
    let facts = world.rules.last(Action::RemoveMember);
    assert_eq!(
        (facts.actor, facts.target),
        (Some(Role::Owner), Some(Target { role: Some(Role::Owner), ..STRANGER_TO_BOTH }))
    );
    assert_eq!((facts.member_count, facts.owner_count), (4, 2));

    world.done(world.leaving(dave, group, None)).await;
    let facts = world.rules.last(Action::Leave { names_successor: false });
    assert_eq!((facts.actor, facts.member_count, facts.owner_count), (Some(Role::Member), 3, 1));
    world.done(world.leaving(alice, group, Some(bob))).await;
    let facts = world.rules.last(Action::Leave { names_successor: true });
    assert_eq!((facts.actor, facts.member_count, facts.owner_count), (Some(Role::Owner), 2, 1));

    world.refused(world.removing(bob, group, carol)).await;
    assert_eq!(
        world.rules.last(Action::RemoveMember).target.expect("it is about carol").role,
        None,
        "carol is no member any more"
    );
}

pub async fn the_rules_are_asked_about_everything_else_too(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    world.send(alice, group, "hello").await;
    for (write, action) in [
        (world.reading(bob, group, 1), Action::AdvanceWatermarks),
        (world.titling(bob, group, "ours"), Action::Rename),
        (world.hiding(bob, group), Action::SetPersonal),
        (world.muting(bob, group, None), Action::SetPersonal),
    ] {
        world.rules.forget();
        world.done(write).await;
        let facts = world.rules.last(action);
        assert_eq!((facts.kind, facts.actor), (ConversationKind::Group, Some(Role::Member)), "{action:?}");
    }
}

pub async fn the_rules_are_asked_about_each_person_of_a_new_conversation(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    world.done(world.blocking(alice, carol)).await;
    world.dm(alice, carol).await;
    let facts = world.rules.last(Action::OpenDm);
    assert_eq!(
        (facts.kind, facts.target),
        (ConversationKind::Dm, Some(Target { is_blocked_by_actor: true, ..STRANGER_TO_BOTH }))
    );
    world.rules.forget();
    world.dm(carol, alice).await;
    assert_eq!(world.rules.asked(Action::OpenDm), [], "the DM is there already");

    world.group(alice, &[bob, carol]).await;
    let asked = world.rules.asked(Action::CreateGroupWith);
    assert!(asked.iter().all(|facts| facts.kind == ConversationKind::Group));
    let mut targets: Vec<_> =
        asked.into_iter().map(|facts| facts.target.expect("it is about somebody").is_blocked_by_actor).collect();
    targets.sort();
    assert_eq!(targets, [false, true]);
}

pub async fn whether_one_may_write_to_oneself_is_a_question_for_the_rules(home: &impl Home) {
    let world = World::open(home).await;
    let alice = world.person("alice").await;
    assert_eq!(world.refused(world.opening_dm(alice, alice)).await, ErrorCode::Invalid);
    assert!(world.rules.last(Action::OpenDm).is_author, "the other person is the actor");
    assert_eq!(world.list(alice, 5).await, []);
}

pub async fn a_group_with_somebody_who_refuses_is_not_made_at_all(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    world.done(world.blocking(carol, alice)).await;
    let before = world.still(&[alice, bob, carol]).await;
    world.refused(world.creating_group(alice, &[bob, carol], HistoryVisibility::All)).await;
    world.refused(world.opening_dm(alice, carol)).await;
    world.assert_still(&before, "nothing was done").await;
}

pub async fn facts_are_those_of_the_moment_within_a_burst_too(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let group = world.group(alice, &[bob]).await;
    world.rules.forget();
    let results = world
        .burst(vec![
            sending(&world.message(carol, group, "too early")),
            world.adding(alice, group, carol),
            sending(&world.message(carol, group, "now")),
            world.giving_role(alice, group, carol, Role::Admin),
            sending(&world.message(carol, group, "as an admin")),
            world.removing(alice, group, carol),
            sending(&world.message(carol, group, "too late")),
        ])
        .await;
    let codes: Vec<_> = results.iter().map(super::world::code_of).collect();
    let refused = Some(ErrorCode::NotFound);
    assert_eq!(codes, [refused, None, None, None, None, None, refused]);
    let roles: Vec<_> = world.rules.asked(Action::SendMessage).into_iter().map(|facts| facts.actor).collect();
    assert_eq!(roles, [None, Some(Role::Member), Some(Role::Admin), None]);
    assert_eq!(world.view(bob, group).await.last_seq, 2);
}

pub async fn a_refusal_changes_nothing(home: &impl Home) {
    let world = World::open_with(home, House { is_strict: true }).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let group = world.open_group(alice, &[bob]).await;
    let hello = world.send(alice, group, "hello").await;
    let liked = world.send(alice, group, "do you like it?").await;
    world.done(world.reacting(alice, &liked, "👍")).await;
    let before = world.still(&[alice, bob, carol]).await;
    let writes = [
        sending(&world.message(bob, group, "may I?")),
        world.editing(bob, &hello, "may I?"),
        world.deleting(bob, &hello),
        world.reacting(bob, &hello, "👍"),
        world.unreacting(bob, &liked, "👍"),
        world.receiving(bob, group, 1),
        world.reading(bob, group, 2),
        world.titling(bob, group, "mine"),
        world.adding(bob, group, carol),
        world.removing(bob, group, alice),
        world.leaving(bob, group, Some(alice)),
        world.giving_role(bob, group, alice, Role::Member),
        world.hiding(bob, group),
        world.muting(bob, group, Some(world.now())),
    ];
    for write in writes.clone() {
        let what = format!("{write:?}");
        assert_eq!(world.refused(write).await, ErrorCode::Forbidden, "{what}");
        world.assert_still(&before, &what).await;
    }
    let results = world.burst(writes.into()).await;
    assert!(results.iter().all(|result| super::world::code_of(result) == Some(ErrorCode::Forbidden)));
    world.assert_still(&before, "nothing was done").await;
}

pub async fn a_refusal_in_a_burst_leaves_its_neighbours_alone(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let too_early = AppendMessage { after: Some(client_msg_id("never")), ..world.message(alice, dm, "refused") };
    let (one, two) = (world.message(alice, dm, "one"), world.message(alice, dm, "two"));
    let mut results = world.burst(vec![sending(&one), sending(&too_early), sending(&two)]).await.into_iter();
    assert_eq!(message_of(results.next().expect("three").expect("sent")).seq, 1);
    assert!(results.next().expect("three").is_err());
    assert_eq!(message_of(results.next().expect("three").expect("sent")).seq, 2);
    assert_eq!(world.view(bob, dm).await.rev, 3);
}

pub async fn a_stranger_is_answered_by_the_rules_and_sees_nothing(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, eve] = world.people(["alice", "bob", "eve"]).await;
    let group = world.open_group(alice, &[bob]).await;
    let hello = world.send(alice, group, "hello").await;
    let before = world.still(&[alice, bob, eve]).await;
    let asked: [(Write, Action); 13] = [
        (sending(&world.message(eve, group, "psst")), Action::SendMessage),
        (world.editing(eve, &hello, "x"), Action::EditMessage),
        (world.deleting(eve, &hello), Action::DeleteMessage),
        (world.reacting(eve, &hello, "👍"), Action::React),
        (world.unreacting(eve, &hello, "👍"), Action::Unreact),
        (world.reading(eve, group, 1), Action::AdvanceWatermarks),
        (world.titling(eve, group, "x"), Action::Rename),
        (world.adding(eve, group, eve), Action::AddMember),
        (world.removing(eve, group, bob), Action::RemoveMember),
        (world.leaving(eve, group, None), Action::Leave { names_successor: false }),
        (world.giving_role(eve, group, eve, Role::Owner), Action::SetRole(Role::Owner)),
        (world.hiding(eve, group), Action::SetPersonal),
        (world.muting(eve, group, None), Action::SetPersonal),
    ];
    for (write, action) in asked {
        world.rules.forget();
        assert_eq!(world.refused(write).await, ErrorCode::NotFound);
        // Where the home needs no rule to know that there is nothing for a stranger, it may say so itself.
        assert!(world.rules.asked(action).iter().all(|facts| facts.actor.is_none()), "{action:?}");
    }
    world.assert_still(&before, "nothing was done").await;
    let store = &world.store;
    assert_eq!(store.conversation(eve, group).await.expect("the store reads"), None);
    assert!(store.membership(eve, group).await.expect("the store reads").is_none());
    assert!(store.history(eve, group, HistoryRange::Latest, 10).await.expect("the store reads").is_none());
    assert_eq!(world.message_seen(eve, &hello).await, None);
    assert_eq!(world.search(eve, "hello", None, 10).await, []);
    assert_eq!(world.search(eve, "hello", Some(group), 10).await, []);
}
