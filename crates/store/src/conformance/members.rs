//! DMs, groups, and who is in them.

use tertulia_proto::{ConversationKind, ErrorCode, HistoryVisibility};

use super::Home;
use super::sink::Pending;
use super::world::{World, by_id, changed, opened, unexpected};
use super::writes::sending;
use crate::*;

fn bodies(messages: Vec<Message>) -> Vec<String> {
    messages.into_iter().map(|message| message.body).collect()
}

pub async fn a_dm_shows_each_the_other(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let Effect::ConversationOpened { views, fresh } = world.done(world.opening_dm(alice, bob)).await else {
        panic!("a DM")
    };
    assert!(fresh);
    assert_eq!(views.iter().map(|(user, _)| *user).collect::<Vec<_>>(), [alice, bob], "the actor's view first");
    for ((viewer, view), (peer, name)) in views.into_iter().zip([(bob, "bob"), (alice, "alice")]) {
        assert_eq!((view.kind, view.title.clone(), view.member_count), (ConversationKind::Dm, None, 2));
        let shown = view.peer.clone().expect("the other person of a DM");
        assert_eq!((shown.id, shown.name, shown.email), (peer, name.to_owned(), Some(format!("{name}@example.org"))));
        assert_eq!((view.last_message_at, view.unread_count, view.hidden, view.muted_until), (None, 0, false, None));
        assert_eq!(by_id(world.view(viewer, view.id).await), by_id(view));
    }
}

pub async fn a_pair_has_one_dm_however_often_and_from_whichever_side_it_is_opened(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let pending: Vec<Pending> = std::thread::scope(|scope| {
        let open_all = |(actor, peer)| {
            let world = &world;
            move || (0..25).map(|_| world.submit(world.opening_dm(actor, peer))).collect::<Vec<_>>()
        };
        let callers = [(alice, bob), (bob, alice)].map(|pair| scope.spawn(open_all(pair)));
        callers.into_iter().flat_map(|caller| caller.join().expect("a caller does not panic")).collect()
    });
    let mut seen = Vec::new();
    for one in pending {
        let effect = one.await.expect("a DM opens");
        seen.push((opened(&effect), changed(&effect)));
    }
    let dm = seen[0].0;
    assert!(seen.iter().all(|(id, _)| *id == dm), "all got the same conversation");
    assert_eq!(seen.iter().filter(|(_, fresh)| *fresh).count(), 1, "it was made once");
    assert_eq!(world.view(alice, dm).await.rev, 1);
    assert_eq!(world.store.memberships(bob).await.expect("the store reads"), [dm]);
    assert_ne!(world.dm(carol, bob).await, dm);
    assert_eq!(world.dm(bob, alice).await, dm);
}

pub async fn opening_a_dm_that_is_there_answers_how_it_is_now(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send(alice, dm, "hello").await;
    let before = world.still(&[alice, bob]).await;
    let Effect::ConversationOpened { views, fresh } = world.done(world.opening_dm(bob, alice)).await else {
        panic!("a DM")
    };
    assert!(!fresh);
    assert_eq!(views[0].0, bob);
    assert_eq!(by_id(views[0].1.clone()), by_id(world.view(bob, dm).await));
    world.assert_still(&before, "nothing was done").await;
}

pub async fn opening_a_dm_that_one_had_hidden_brings_it_back(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let mut replica = super::replica::Replica::new(alice);
    for person in [alice, bob] {
        world.done(world.hiding(person, dm)).await;
    }
    replica.catch_up(&world, 10, 10).await;
    let Effect::ConversationOpened { views, fresh } = world.done(world.opening_dm(alice, bob)).await else {
        panic!("a DM")
    };
    assert_eq!((fresh, views[0].1.hidden, views[0].1.rev), (false, false, 1));
    assert_eq!(world.list(alice, 5).await.len(), 1);
    assert_eq!(world.list(bob, 5).await, [], "for who opened it");
    replica.catch_up(&world, 10, 10).await;
    replica.assert_fresh(&world, "on alice's other device").await;
}

pub async fn people_who_are_not_there_are_not_found(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let nobody = UserId::from_bytes(world.id());
    let group = world.group(alice, &[bob]).await;
    let before = world.still(&[alice, bob]).await;
    for write in [
        world.opening_dm(alice, nobody),
        world.creating_group(alice, &[bob, nobody], HistoryVisibility::Joined),
        world.adding(alice, group, nobody),
        world.removing(alice, group, nobody),
        world.giving_role(alice, group, nobody, Role::Admin),
    ] {
        assert_eq!(world.refused(write).await, ErrorCode::NotFound);
    }
    world.assert_still(&before, "nothing was done").await;
}

pub async fn a_group_begins_with_its_owner_and_everybody_once(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let write = world.creating_group(alice, &[bob, carol, bob], HistoryVisibility::Joined);
    let Effect::ConversationOpened { views, fresh } = world.done(write).await else { panic!("a group") };
    assert!(fresh);
    assert_eq!(views[0].0, alice);
    let mut people: Vec<UserId> = views.iter().map(|(user, _)| *user).collect();
    people.sort();
    assert_eq!(people, [alice, bob, carol]);
    for (viewer, view) in views {
        let role = if viewer == alice { Role::Owner } else { Role::Member };
        assert_eq!(
            (view.kind, view.my_role, view.member_count, view.peer.is_some()),
            (ConversationKind::Group, role, 3, false)
        );
        assert_eq!((view.title.as_deref(), view.history_visibility), (Some("The group"), HistoryVisibility::Joined));
        assert_eq!(view.members.as_ref().map(|all| all.len()), Some(3));
        assert_eq!(by_id(world.view(viewer, view.id).await), by_id(view));
    }
}

pub async fn a_new_title_is_everybodys_and_the_same_title_is_no_change(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let Effect::TitleChanged { rev, title, changed, .. } = world.done(world.titling(alice, group, "Ours")).await else {
        panic!("a title")
    };
    assert_eq!((rev, title.as_str(), changed), (2, "Ours", true));
    assert_eq!(world.view(bob, group).await.title.as_deref(), Some("Ours"));
    let before = world.sights(&[alice, bob]).await;
    assert!(!super::world::changed(&world.done(world.titling(bob, group, "Ours")).await));
    assert_eq!(world.sights(&[alice, bob]).await, before);
}

pub async fn a_new_member_of_a_joined_group_sees_what_came_after(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, carol] = world.people(["alice", "carol"]).await;
    let group = world.group(alice, &[]).await;
    let early = world.send_many(alice, group, 3).await;
    let Effect::MemberAdded { user, rev, member, view, changed, .. } =
        world.done(world.adding(alice, group, carol)).await
    else {
        panic!("a member")
    };
    assert!(changed);
    assert_eq!((user, rev, member.rev, member.role, member.removed), (carol, 5, 5, Role::Member, false));
    assert_eq!((member.delivered_seq, member.read_seq), (3, 3), "a new member starts at the log's end");
    assert_eq!((view.unread_count, view.last_seq, view.member_count), (0, 3, 2));
    assert_eq!(view.last_message, Some(None), "nothing that carol may see was said");
    assert_eq!(by_id(world.view(carol, group).await), by_id(*view));
    assert_eq!(world.history(carol, group).await, []);
    assert_eq!(world.list(carol, 5).await[0].last_message, Some(None));

    let late = world.send(alice, group, "welcome, here is message 4").await;
    assert_eq!(world.history(carol, group).await, std::slice::from_ref(&late));
    assert_eq!(world.unread(carol, group).await, 1);
    assert_eq!(world.view(carol, group).await.last_message, Some(Some(Box::new(late.clone()))));
    assert_eq!(world.message_seen(carol, &early[2]).await, None);
    assert_eq!(world.message_seen(carol, &late).await, Some(late.clone()));
    assert_eq!(world.found(carol, "message").await, ["welcome, here is message 4"]);
    assert_eq!(world.found(alice, "message").await.len(), 4);
    let membership = world.store.membership(carol, group).await.expect("the store reads").expect("carol is a member");
    assert_eq!((membership.visible_after_seq, membership.last_seq, membership.role), (3, 4, Role::Member));
    assert_eq!((membership.user_name.as_str(), membership.history_visibility), ("carol", HistoryVisibility::Joined));
}

pub async fn a_new_member_of_an_open_group_sees_everything(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, carol] = world.people(["alice", "carol"]).await;
    let group = world.open_group(alice, &[]).await;
    let early = world.send_many(alice, group, 3).await;
    world.done(world.adding(alice, group, carol)).await;
    assert_eq!(world.history(carol, group).await, early);
    assert_eq!(world.unread(carol, group).await, 0, "a new member starts at the log's end");
    assert_eq!(world.message_seen(carol, &early[0]).await, Some(early[0].clone()));
    assert_eq!(world.view(carol, group).await.last_message, Some(Some(Box::new(early[2].clone()))));
    assert_eq!(world.found(carol, "message 2").await, ["message 2"]);
    assert_eq!(
        world.store.membership(carol, group).await.expect("the store reads").expect("a member").visible_after_seq,
        0
    );
    world.done(sending(&world.reply(carol, &early[0], "I saw that"))).await;
}

pub async fn adding_a_member_twice_changes_nothing(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    world.send_many(alice, group, 2).await;
    let before = world.sights(&[alice, bob]).await;
    let Effect::MemberAdded { member, changed, .. } = world.done(world.adding(alice, group, bob)).await else {
        panic!("a member")
    };
    assert!(!changed);
    assert_eq!((member.user_id, member.read_seq), (bob, 0));
    assert_eq!(world.sights(&[alice, bob]).await, before);
}

pub async fn a_removed_member_sees_nothing_any_more(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.open_group(alice, &[bob]).await;
    let mine = world.send(bob, group, "my own words").await;
    let Effect::MemberRemoved { user, rev, member, successor, .. } =
        world.done(world.removing(alice, group, bob)).await
    else {
        panic!("a removal")
    };
    assert_eq!((user, rev, member.user_id, member.rev, member.removed), (bob, 3, bob, 3, true));
    assert_eq!(successor, None);
    assert_eq!(world.sights(&[bob]).await[0].conversations, []);
    assert_eq!(world.list(bob, 5).await, []);
    assert_eq!(world.store.conversation(bob, group).await.expect("the store reads"), None);
    assert!(world.store.membership(bob, group).await.expect("the store reads").is_none());
    assert!(world.store.history(bob, group, HistoryRange::After(0), 5).await.expect("the store reads").is_none());
    assert_eq!(world.message_seen(bob, &mine).await, None);
    assert_eq!(world.found(bob, "words").await, [""; 0]);

    let view = world.view(alice, group).await;
    assert_eq!((view.member_count, view.members.expect("members").len()), (1, 1));
    assert_eq!(bodies(world.history(alice, group).await), ["my own words"], "what was said stays");
    assert_eq!(world.refused(world.removing(alice, group, bob)).await, ErrorCode::NotFound);
}

pub async fn a_member_who_comes_back_begins_anew(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (joined, open) = (world.group(alice, &[bob]).await, world.open_group(alice, &[bob]).await);
    for group in [joined, open] {
        world.send(bob, group, "before").await;
        world.done(world.giving_role(alice, group, bob, Role::Admin)).await;
        world.done(world.muting(bob, group, Some(world.now()))).await;
        world.done(world.hiding(bob, group)).await;
        world.done(world.removing(alice, group, bob)).await;
        world.send(alice, group, "without").await;
        let rev = world.view(alice, group).await.rev;
        let effect = world.done(world.adding(alice, group, bob)).await;
        assert!(changed(&effect));
        let view = world.view(bob, group).await;
        assert_eq!((view.my_role, view.hidden, view.muted_until), (Role::Member, false, None));
        world.send(alice, group, "again").await;
        let member = world.member(alice, group, bob).await;
        assert_eq!((member.role, member.read_seq, member.delivered_seq, member.removed), (Role::Member, 2, 2, false));
        assert_eq!((member.rev, world.view(bob, group).await.rev), (rev + 1, rev + 2));
        assert_eq!(world.unread(bob, group).await, 1);
        assert_eq!(world.view(alice, group).await.member_count, 2);
        let expected: &[&str] = if group == joined { &["again"] } else { &["before", "without", "again"] };
        assert_eq!(bodies(world.history(bob, group).await), expected);
    }
}

pub async fn who_leaves_may_name_the_next_owner(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol, eve] = world.people(["alice", "bob", "carol", "eve"]).await;
    let group = world.group(alice, &[bob, carol]).await;
    let before = world.still(&[alice, bob, carol]).await;
    for nobody in [eve, alice] {
        assert_eq!(world.refused(world.leaving(alice, group, Some(nobody))).await, ErrorCode::Invalid);
    }
    world.assert_still(&before, "nothing was done").await;

    let effect = world.done(world.leaving(alice, group, Some(bob))).await;
    let Effect::MemberRemoved { user, rev, member, successor, .. } = effect else { panic!("a removal") };
    assert_eq!((user, rev, member.user_id, member.rev, member.removed), (alice, 2, alice, 2, true));
    // Two rows change, and two events tell of them: each takes its own rev.
    let successor = successor.expect("bob follows");
    assert_eq!((successor.user_id, successor.role, successor.rev), (bob, Role::Owner, 3));
    assert_eq!(world.member(carol, group, bob).await, successor);
    let view = world.view(bob, group).await;
    assert_eq!((view.my_role, view.rev), (Role::Owner, 3));
    let effect = world.done(world.leaving(carol, group, None)).await;
    let Effect::MemberRemoved { successor, .. } = effect else { panic!("a removal") };
    assert_eq!(successor, None);
    assert_eq!(world.view(bob, group).await.member_count, 1);
}

pub async fn a_role_is_given_once(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    match world.done(world.giving_role(alice, group, bob, Role::Admin)).await {
        Effect::RoleChanged { conversation, rev, member, changed } => {
            assert_eq!((conversation, rev, changed), (group, 2, true));
            assert_eq!((member.user_id, member.role, member.rev), (bob, Role::Admin, 2));
            assert_eq!(world.member(alice, group, bob).await, member);
        }
        other => unexpected(&other),
    }
    let before = world.sights(&[alice, bob]).await;
    assert!(!changed(&world.done(world.giving_role(alice, group, bob, Role::Admin)).await));
    assert_eq!(world.sights(&[alice, bob]).await, before);
    assert_eq!(world.view(bob, group).await.my_role, Role::Admin);
}

pub async fn a_new_name_is_shown_by_every_conversation_and_takes_a_rev_of_each(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (dm, group, left) =
        (world.dm(alice, bob).await, world.group(carol, &[bob]).await, world.group(alice, &[bob]).await);
    world.done(world.leaving(bob, left, None)).await;
    let picture = Some("https://example.org/bob.png".to_owned());
    let write = Write::UpdateProfile {
        user: bob,
        name: Some("Robert".to_owned()),
        avatar_url: Some(picture.clone()),
        now: world.now(),
    };
    let Effect::ProfileChanged { user, rows } = world.done(write).await else { panic!("a profile") };
    assert_eq!((user.id, user.name.as_str(), &user.avatar_url), (bob, "Robert", &picture));
    let mut told: Vec<ConversationId> = rows.iter().map(|(conversation, _)| *conversation).collect();
    told.sort();
    let mut expected = [dm, group];
    expected.sort();
    assert_eq!(told, expected);
    for (conversation, row) in rows {
        let viewer = if conversation == dm { alice } else { carol };
        assert_eq!((row.name.as_str(), &row.avatar_url, row.rev), ("Robert", &picture, 2));
        assert_eq!(world.view(viewer, conversation).await.rev, 2);
        assert_eq!(world.member(viewer, conversation, bob).await, row);
    }
    assert_eq!(world.view(alice, dm).await.peer.expect("the other").name, "Robert");
    assert_eq!(world.view(alice, left).await.rev, 2);
    let sent = world.send(bob, dm, "it is me").await;
    assert_eq!((sent.sender_name.as_str(), sent.sender_avatar), ("Robert", picture));

    let before = world.sights(&[alice, bob, carol]).await;
    world.done(world.renaming(bob, "Robert")).await;
    world.done(Write::UpdateProfile { user: bob, name: None, avatar_url: None, now: world.now() }).await;
    assert_eq!(world.sights(&[alice, bob, carol]).await, before, "the same name and picture are no change");
    let Effect::ProfileChanged { user, .. } =
        world.done(Write::UpdateProfile { user: bob, name: None, avatar_url: Some(None), now: world.now() }).await
    else {
        panic!("a profile")
    };
    assert_eq!((user.name.as_str(), user.avatar_url), ("Robert", None));
}
