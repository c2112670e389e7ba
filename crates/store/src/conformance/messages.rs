//! Edits, deletions, reactions, replies.

use tertulia_proto::{ErrorCode, Reaction};

use super::Home;
use super::world::{World, changed, message_of, unexpected};
use super::writes::{emoji, sending};
use crate::*;

pub async fn an_edit_bears_its_rev_and_keeps_the_seq(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let hello = world.send(alice, dm, "helo").await;
    world.send(bob, dm, "hi").await;
    let at = world.now();
    let write = Write::EditMessage {
        conversation: dm,
        message: hello.message_id,
        actor: alice,
        body: "hello".to_owned(),
        now: at,
    };
    let effect = world.done(write).await;
    assert!(changed(&effect));
    let expected = Message { body: "hello".to_owned(), rev: 4, edited_at: Some(at), ..hello.clone() };
    assert_eq!(message_of(effect), expected);
    assert_eq!(world.message_seen(bob, &hello).await, Some(expected.clone()));
    assert_eq!(world.history(bob, dm).await[0], expected);
    let view = world.view(bob, dm).await;
    assert_eq!((view.last_seq, view.rev), (2, 4));
    assert_eq!(view.last_message.flatten().expect("there is one").body, "hi");
    assert_eq!(view.last_message_at, Some(world.history(bob, dm).await[1].created_at), "an edit is no new activity");
}

pub async fn an_edit_to_the_same_body_changes_nothing(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let hello = world.send(alice, dm, "hello").await;
    let before = world.sights(&[alice, bob]).await;
    let effect = world.done(world.editing(alice, &hello, "hello")).await;
    assert!(!changed(&effect));
    assert_eq!(message_of(effect), hello);
    assert_eq!(world.sights(&[alice, bob]).await, before);
}

pub async fn a_deleted_message_leaves_a_tombstone_without_body_and_reactions(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let oops = world.send(alice, dm, "oops").await;
    world.send(alice, dm, "never mind").await;
    world.done(world.reacting(alice, &oops, "👍")).await;
    world.done(world.reacting(bob, &oops, "😀")).await;
    let at = world.now();
    let write = Write::DeleteMessage { conversation: dm, message: oops.message_id, actor: alice, now: at };
    let effect = world.done(write.clone()).await;
    assert!(changed(&effect));
    let expected = Message { body: String::new(), rev: 6, deleted_at: Some(at), ..oops.clone() };
    assert_eq!(message_of(effect), expected);
    assert_eq!(world.message_seen(bob, &oops).await, Some(expected.clone()));
    assert_eq!(world.history(bob, dm).await[0], expected);
    assert_eq!(world.view(bob, dm).await.rev, 6);

    let before = world.sights(&[alice, bob]).await;
    let effect = world.done(world.deleting(bob, &oops)).await;
    assert!(!changed(&effect), "it is deleted already");
    assert_eq!(message_of(effect), expected);
    world.done(world.unreacting(bob, &oops, "😀")).await;
    assert_eq!(world.sights(&[alice, bob]).await, before, "its reactions went with it");
}

pub async fn the_last_message_may_be_a_tombstone(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send(alice, dm, "first").await;
    let last = world.send(alice, dm, "last").await;
    let tombstone = message_of(world.done(world.deleting(alice, &last)).await);
    for view in [world.view(bob, dm).await, world.list(bob, 5).await.remove(0)] {
        assert_eq!(view.last_message, Some(Some(Box::new(tombstone.clone()))));
        assert_eq!(view.last_message_at, Some(last.created_at));
    }
}

async fn reactions_after(world: &World, write: Write) -> (Vec<(String, Vec<UserId>)>, bool) {
    match world.done(write).await {
        Effect::ReactionsChanged { reactions, changed, .. } => (plain(reactions), changed),
        other => unexpected(&other),
    }
}

fn plain(reactions: Vec<Reaction>) -> Vec<(String, Vec<UserId>)> {
    reactions.into_iter().map(|reaction| (reaction.emoji.as_str().to_owned(), reaction.user_ids)).collect()
}

fn shown(reactions: &[(&str, &[UserId])]) -> Vec<(String, Vec<UserId>)> {
    reactions.iter().map(|(emoji, people)| ((*emoji).to_owned(), people.to_vec())).collect()
}

pub async fn reactions_are_shown_first_come_first_whatever_the_clock_says(home: &impl Home) {
    for clock_step_ms in [1000, 0, -1000] {
        let world = World::open(home).await;
        let people @ [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
        let group = world.group(alice, &people[1..]).await;
        let hello = world.send(alice, group, "hello").await;
        world.step_clock_by(clock_step_ms);
        let steps: [(Write, Vec<_>); 7] = [
            (world.reacting(carol, &hello, "😀"), shown(&[("😀", &[carol])])),
            (world.reacting(carol, &hello, "👍"), shown(&[("😀", &[carol]), ("👍", &[carol])])),
            (world.reacting(alice, &hello, "👍"), shown(&[("😀", &[carol]), ("👍", &[carol, alice])])),
            (world.reacting(bob, &hello, "😀"), shown(&[("😀", &[carol, bob]), ("👍", &[carol, alice])])),
            (
                world.reacting(bob, &hello, "❤️"),
                shown(&[("😀", &[carol, bob]), ("👍", &[carol, alice]), ("❤️", &[bob])]),
            ),
            (world.unreacting(carol, &hello, "😀"), shown(&[("👍", &[carol, alice]), ("😀", &[bob]), ("❤️", &[bob])])),
            (
                world.reacting(carol, &hello, "😀"),
                shown(&[("👍", &[carol, alice]), ("😀", &[bob, carol]), ("❤️", &[bob])]),
            ),
        ];
        for (write, expected) in steps {
            let rev = world.view(alice, group).await.rev;
            assert_eq!(
                reactions_after(&world, write).await,
                (expected.clone(), true),
                "clock steps of {clock_step_ms} ms"
            );
            let message = world.message_seen(bob, &hello).await.expect("bob sees it");
            assert_eq!((message.rev, message.edited_at), (rev + 1, None));
            assert_eq!(plain(message.reactions), expected);
        }
        let one_query = world.history(alice, group).await.remove(0);
        assert_eq!(Some(one_query), world.message_seen(alice, &hello).await);
    }
}

pub async fn a_reaction_that_is_there_and_one_that_is_not_change_nothing(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let hello = world.send(alice, dm, "hello").await;
    world.done(world.reacting(bob, &hello, "👍")).await;
    let before = world.sights(&[alice, bob]).await;
    let expected = shown(&[("👍", &[bob])]);
    assert_eq!(reactions_after(&world, world.reacting(bob, &hello, "👍")).await, (expected.clone(), false));
    assert_eq!(reactions_after(&world, world.unreacting(bob, &hello, "❤️")).await, (expected.clone(), false));
    assert_eq!(reactions_after(&world, world.unreacting(alice, &hello, "👍")).await, (expected, false));
    assert_eq!(world.sights(&[alice, bob]).await, before);
}

pub async fn a_reaction_over_the_limit_is_too_large(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let (hello, other) = (world.send(alice, dm, "hello").await, world.send(alice, dm, "other").await);
    let adding = |actor, message, with| world.reaction(actor, message, with, true, 3);
    for (actor, with) in [(alice, "👍"), (bob, "👍"), (bob, "😀")] {
        world.done(adding(actor, &hello, with)).await;
    }
    let before = world.still(&[alice, bob]).await;
    assert_eq!(world.refused(adding(alice, &hello, "😀")).await, ErrorCode::TooLarge);
    world.assert_still(&before, "nothing was done").await;
    assert!(!changed(&world.done(adding(bob, &hello, "👍")).await), "what is there needs no room");
    assert!(changed(&world.done(adding(alice, &other, "😀")).await), "each message has its own");
    world.done(world.reaction(bob, &hello, "👍", false, 3)).await;
    assert!(changed(&world.done(adding(alice, &hello, "😀")).await), "there is room again");
}

pub async fn a_change_names_a_message_of_its_own_conversation(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob]).await);
    let hello = world.send(alice, dm, "hello").await;
    world.done(world.reacting(alice, &hello, "👍")).await;
    let elsewhere = Message { conversation_id: group, ..hello.clone() };
    let unknown = Message { message_id: MessageId::from_bytes(world.id()), ..hello };
    let before = world.still(&[alice, bob]).await;
    for message in [&elsewhere, &unknown] {
        for write in [
            world.editing(alice, message, "x"),
            world.deleting(alice, message),
            world.reacting(alice, message, "😀"),
            world.unreacting(alice, message, "👍"),
        ] {
            assert_eq!(world.refused(write).await, ErrorCode::NotFound);
        }
        assert_eq!(world.message_seen(alice, message).await, None);
    }
    world.assert_still(&before, "nothing was done").await;
}

pub async fn what_was_said_before_one_came_can_not_be_changed(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, carol] = world.people(["alice", "carol"]).await;
    let group = world.group(alice, &[]).await;
    let early = world.send(alice, group, "early").await;
    world.done(world.reacting(alice, &early, "👍")).await;
    world.done(world.adding(alice, group, carol)).await;
    let before = world.still(&[alice, carol]).await;
    for write in [
        world.editing(carol, &early, "x"),
        world.deleting(carol, &early),
        world.reacting(carol, &early, "👍"),
        world.unreacting(carol, &early, "👍"),
    ] {
        assert_eq!(world.refused(write).await, ErrorCode::NotFound);
    }
    world.assert_still(&before, "nothing was done").await;
}

pub async fn a_change_names_those_who_came_after_the_message(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol, dave] = world.people(["alice", "bob", "carol", "dave"]).await;
    let group = world.group(alice, &[bob]).await;
    let early = world.send(alice, group, "early").await;
    world.done(world.adding(alice, group, carol)).await;
    let later = world.send(alice, group, "later").await;
    world.done(world.adding(alice, group, dave)).await;
    world.done(world.removing(alice, group, dave)).await;
    for (message, expected) in [(&early, vec![carol]), (&later, Vec::new())] {
        for write in [
            world.editing(alice, message, "better"),
            world.reacting(bob, message, "👍"),
            world.unreacting(bob, message, "👍"),
            world.deleting(alice, message),
        ] {
            match world.done(write).await {
                Effect::MessageEdited { unseen_by, .. }
                | Effect::MessageDeleted { unseen_by, .. }
                | Effect::ReactionsChanged { unseen_by, .. } => assert_eq!(unseen_by, expected),
                other => unexpected(&other),
            }
        }
    }
    let open = world.open_group(alice, &[bob]).await;
    let early = world.send(alice, open, "early").await;
    world.done(world.adding(alice, open, carol)).await;
    match world.done(world.editing(alice, &early, "better")).await {
        Effect::MessageEdited { unseen_by, .. } => assert_eq!(unseen_by, [], "there everything is for everybody"),
        other => unexpected(&other),
    }
}

pub async fn a_reply_is_to_a_message_of_the_same_conversation_that_one_may_see(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob]).await);
    let early = world.send(alice, group, "early").await;
    let private = world.send(alice, dm, "private").await;
    world.done(world.adding(alice, group, carol)).await;
    let before = world.still(&[alice, bob, carol]).await;
    let unknown = Message { message_id: MessageId::from_bytes(world.id()), ..early.clone() };
    let elsewhere = Message { conversation_id: group, ..private };
    for reply in [world.reply(bob, &elsewhere, "x"), world.reply(bob, &unknown, "x"), world.reply(carol, &early, "x")] {
        assert_eq!(world.refused(sending(&reply)).await, ErrorCode::Invalid);
    }
    world.assert_still(&before, "nothing was done").await;

    let reply = message_of(world.done(sending(&world.reply(bob, &early, "yes"))).await);
    assert_eq!(reply.reply_to, Some(early.message_id));
    assert_eq!(world.message_seen(carol, &reply).await, Some(reply.clone()));
    assert_eq!(world.history(bob, group).await[1], reply);
}

pub async fn a_reply_may_follow_in_the_same_burst(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let first = world.message(alice, dm, "first");
    let reply = AppendMessage { reply_to: Some(first.id), ..world.message(alice, dm, "second") };
    let results = world.burst(vec![sending(&first), sending(&reply)]).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(world.history(bob, dm).await[1].reply_to, Some(first.id));
}

pub async fn a_reaction_says_where_it_belongs(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send(alice, dm, "first").await;
    let hello = world.send(alice, dm, "hello").await;
    match world.done(world.reacting(bob, &hello, "👍")).await {
        Effect::ReactionsChanged { conversation, message, seq, rev, reactions, changed, .. } => {
            assert_eq!((conversation, message, seq, rev, changed), (dm, hello.message_id, 2, 4, true));
            assert_eq!(reactions, [Reaction { emoji: emoji("👍"), user_ids: vec![bob] }]);
        }
        other => unexpected(&other),
    }
}
