//! Numbers without gaps, one order, exactly once.

use tertulia_proto::ErrorCode;

use super::Home;
use super::sink::Pending;
use super::world::{World, changed, code_of, message_of};
use super::writes::{client_msg_id, sending};
use crate::*;

pub async fn a_new_conversation_starts_at_seq_0_and_rev_1(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    for conversation in [world.dm(alice, bob).await, world.group(alice, &[bob]).await, world.group(alice, &[]).await] {
        let view = world.view(alice, conversation).await;
        assert_eq!((view.last_seq, view.rev), (0, 1));
        assert!(
            view.members.expect("members").iter().all(|member| member.rev == 1),
            "who was there from the start changed last at rev 1"
        );
    }
}

pub async fn seq_is_gap_free_from_1_and_apart_for_each_conversation(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(bob, &[alice]).await);
    for n in 1..=7 {
        assert_eq!(world.send(alice, dm, "here").await.seq, 2 * n - 1);
        assert_eq!(world.send(bob, dm, "there").await.seq, 2 * n);
        assert_eq!(world.send(bob, group, "and there").await.seq, n);
    }
    let seqs: Vec<i64> = world.history(alice, dm).await.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, (1..=14).collect::<Vec<_>>());
    assert_eq!(world.view(bob, dm).await.last_seq, 14);
    assert_eq!(world.view(bob, group).await.last_seq, 7);
}

pub async fn each_change_takes_one_rev(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let group = world.group(alice, &[bob]).await;
    let hello = world.send(alice, group, "hello").await;
    assert_eq!(hello.rev, 2);
    let writes = [
        world.editing(alice, &hello, "hello all"),
        world.reacting(bob, &hello, "👍"),
        world.unreacting(bob, &hello, "👍"),
        world.receiving(bob, group, 1),
        world.reading(bob, group, 1),
        world.titling(alice, group, "Friends"),
        world.adding(alice, group, carol),
        world.giving_role(alice, group, carol, Role::Admin),
        world.removing(alice, group, carol),
        world.adding(bob, group, carol),
        world.leaving(carol, group, None),
        world.deleting(bob, &hello),
    ];
    for (rev, write) in (3..).zip(writes) {
        let what = format!("{write:?}");
        world.done(write).await;
        assert_eq!(world.view(bob, group).await.rev, rev, "after {what}");
    }
}

pub async fn a_message_is_kept_as_it_was_sent(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let sent = world.message(alice, dm, "¿Qué tal? 👩‍👩‍👧 'quoted' \"twice\" \\ % _ \n\tend");
    let message = message_of(world.done(sending(&sent)).await);
    let expected = Message {
        message_id: sent.id,
        conversation_id: dm,
        seq: 1,
        rev: 2,
        sender_id: alice,
        sender_name: "alice".to_owned(),
        sender_avatar: None,
        client_msg_id: sent.client_msg_id.clone(),
        body: sent.body.clone(),
        created_at: sent.now,
        reply_to: None,
        edited_at: None,
        deleted_at: None,
        reactions: vec![],
    };
    assert_eq!(message, expected);
    assert_eq!(world.message_seen(bob, &message).await, Some(expected.clone()));
    assert_eq!(world.history(bob, dm).await, [expected]);
}

pub async fn a_resent_message_keeps_its_first_seq(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let sent = world.message(alice, dm, "once");
    let first = message_of(world.done(sending(&sent)).await);
    world.send(bob, dm, "in between").await;
    let before = world.still(&[alice, bob]).await;
    for _ in 0..3 {
        let effect =
            world.done(sending(&AppendMessage { body: "another body".to_owned(), ..world.again(&sent) })).await;
        assert!(!changed(&effect));
        assert_eq!(message_of(effect), first);
    }
    world.assert_still(&before, "nothing was done").await;
}

pub async fn a_resent_message_is_answered_as_it_is_now(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let sent = world.message(alice, dm, "first");
    let first = message_of(world.done(sending(&sent)).await);
    world.done(world.reacting(bob, &first, "👍")).await;
    let edited = message_of(world.done(world.editing(alice, &first, "second")).await);
    let effect = world.done(sending(&world.again(&sent))).await;
    assert!(!changed(&effect));
    assert_eq!(message_of(effect), edited);
    assert_eq!((edited.seq, edited.reactions.len()), (1, 1));

    let deleted = message_of(world.done(world.deleting(alice, &first)).await);
    let effect = world.done(sending(&world.again(&sent))).await;
    assert!(!changed(&effect));
    assert_eq!(message_of(effect), deleted);
    assert_eq!(world.view(alice, dm).await.last_seq, 1);
}

pub async fn a_message_resent_to_another_conversation_is_still_the_first_one(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob]).await);
    let sent = world.message(alice, dm, "to the dm");
    let first = message_of(world.done(sending(&sent)).await);
    let nowhere = ConversationId::from_bytes(world.id());
    for conversation in [group, nowhere] {
        let effect = world.done(sending(&AppendMessage { conversation, ..world.again(&sent) })).await;
        assert!(!changed(&effect));
        assert_eq!(message_of(effect), first);
    }
    assert_eq!(world.view(alice, group).await.last_seq, 0);
}

pub async fn a_resent_message_is_answered_before_the_rules_are_asked(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.group(alice, &[bob]).await;
    let sent = world.message(bob, group, "my last words");
    let first = message_of(world.done(sending(&sent)).await);
    world.done(world.removing(alice, group, bob)).await;
    assert_eq!(world.refused(sending(&world.message(bob, group, "one more"))).await, ErrorCode::NotFound);
    world.rules.forget();
    let effect = world.done(sending(&world.again(&sent))).await;
    assert!(!changed(&effect));
    assert_eq!(message_of(effect), first);
    assert_eq!(world.rules.asked_count(), 0, "what is in the log needs no permission");
}

pub async fn a_message_sent_twice_in_one_burst_is_in_the_log_once(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let sent = world.message(alice, dm, "once");
    let other = world.message(alice, dm, "other");
    let burst = [&sent, &world.again(&sent), &other, &world.again(&sent), &world.again(&other)].map(sending);
    let effects: Vec<Effect> =
        world.burst(burst.into()).await.into_iter().map(|result| result.expect("a send goes through")).collect();
    assert_eq!(effects.iter().map(changed).collect::<Vec<_>>(), [true, false, true, false, false]);
    let seqs: Vec<i64> = effects.into_iter().map(|effect| message_of(effect).seq).collect();
    assert_eq!(seqs, [1, 1, 2, 1, 2]);
    assert_eq!(world.history(bob, dm).await.len(), 2);
    assert_eq!(world.view(bob, dm).await.rev, 3);
}

pub async fn the_same_client_msg_id_of_two_people_is_two_messages(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    for (sender, seq) in [(alice, 1), (bob, 2)] {
        let sent = AppendMessage { client_msg_id: client_msg_id("m-1"), ..world.message(sender, dm, "mine") };
        let effect = world.done(sending(&sent)).await;
        assert!(changed(&effect));
        assert_eq!(message_of(effect).seq, seq);
    }
    // A name is a name letter by letter.
    let sent = AppendMessage { client_msg_id: client_msg_id("M-1"), ..world.message(alice, dm, "another") };
    assert!(changed(&world.done(sending(&sent)).await));
}

pub async fn a_message_after_one_that_is_not_in_the_log_is_out_of_order(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let theirs = AppendMessage { client_msg_id: client_msg_id("first"), ..world.message(bob, dm, "bob's own first") };
    world.done(sending(&theirs)).await;
    let second = AppendMessage { after: Some(client_msg_id("first")), ..world.message(alice, dm, "second") };
    assert_eq!(world.refused(sending(&second)).await, ErrorCode::OutOfOrder, "somebody else's message is not mine");

    let first = AppendMessage { client_msg_id: client_msg_id("first"), ..world.message(alice, dm, "first") };
    world.done(sending(&first)).await;
    let effect = world.done(sending(&world.again(&second))).await;
    assert!(changed(&effect), "a refusal is not remembered");
    assert_eq!(message_of(effect).seq, 3);
    let effect =
        world.done(sending(&AppendMessage { after: Some(client_msg_id("never-sent")), ..world.again(&second) })).await;
    assert_eq!(message_of(effect).seq, 3, "what is in the log is answered, whatever the repeat says of its order");
}

pub async fn a_chain_of_messages_is_taken_whole_or_from_its_first_refusal_on_not_at_all(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let chain = |names: &[&str]| -> Vec<Write> {
        let link = |pair: &[&str]| AppendMessage {
            client_msg_id: client_msg_id(pair[1]),
            after: Some(client_msg_id(pair[0])),
            ..world.message(alice, dm, pair[1])
        };
        names.windows(2).map(|pair| sending(&link(pair))).collect()
    };
    let head = AppendMessage { client_msg_id: client_msg_id("a"), ..world.message(alice, dm, "a") };
    let mut burst = vec![sending(&head)];
    burst.extend(chain(&["a", "b", "c", "d"]));
    burst.extend(chain(&["missing", "x", "y", "z"]));
    let results = world.burst(burst).await;
    let codes: Vec<_> = results.iter().map(code_of).collect();
    let refused = Some(ErrorCode::OutOfOrder);
    assert_eq!(codes, [None, None, None, None, refused, refused, refused]);
    let bodies: Vec<String> = world.history(bob, dm).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["a", "b", "c", "d"]);
}

pub async fn what_is_not_there_is_not_found_and_the_rules_are_not_asked(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let nowhere = ConversationId::from_bytes(world.id());
    let dm = world.dm(alice, bob).await;
    let lost = Message { conversation_id: nowhere, ..world.send(alice, dm, "hello").await };
    let before = world.still(&[alice, bob]).await;
    world.rules.forget();
    let writes = [
        sending(&world.message(alice, nowhere, "anybody?")),
        world.editing(alice, &lost, "x"),
        world.deleting(alice, &lost),
        world.reacting(alice, &lost, "👍"),
        world.unreacting(alice, &lost, "👍"),
        world.reading(alice, nowhere, 1),
        world.titling(alice, nowhere, "x"),
        world.adding(alice, nowhere, bob),
        world.removing(alice, nowhere, bob),
        world.leaving(alice, nowhere, None),
        world.giving_role(alice, nowhere, bob, Role::Admin),
        world.hiding(alice, nowhere),
        world.muting(alice, nowhere, None),
    ];
    for write in writes {
        assert_eq!(world.refused(write).await, ErrorCode::NotFound);
    }
    assert_eq!(world.rules.asked_count(), 0);
    world.assert_still(&before, "nothing was done").await;
}

pub async fn the_results_of_one_caller_leave_in_the_order_of_the_submits(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut pending: Vec<Pending> = Vec::new();
    for n in 0..300 {
        // Every third is refused: a refusal waits its turn as well.
        let write = if n % 3 == 2 {
            world.reading(alice, ConversationId::from_bytes(world.id()), 1)
        } else {
            sending(&world.message(alice, dm, &n.to_string()))
        };
        let order = order.clone();
        pending.push(world.submit_then(write, move |_| super::sink::locked(&order).push(n)));
    }
    for one in pending {
        let _ = one.await;
    }
    assert_eq!(*super::sink::locked(&order), (0..300).collect::<Vec<_>>());
    let bodies: Vec<String> = world.history(bob, dm).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, (0..300).filter(|n| n % 3 != 2).map(|n| n.to_string()).collect::<Vec<_>>());
}

pub async fn the_results_of_many_callers_leave_in_commit_order(home: &impl Home) {
    const EACH: i64 = 60;
    let world = World::open(home).await;
    let people = world.people(["alice", "bob", "carol", "dave"]).await;
    let group = world.group(people[0], &people[1..]).await;
    let pending: Vec<Pending> = std::thread::scope(|scope| {
        let world = &world;
        let send_all = move |person| {
            move || (0..EACH).map(|_| world.submit(sending(&world.message(person, group, "go")))).collect::<Vec<_>>()
        };
        let callers = people.map(|person| scope.spawn(send_all(person)));
        callers.into_iter().flat_map(|caller| caller.join().expect("a caller does not panic")).collect()
    });
    for one in pending {
        one.await.expect("a send goes through");
    }
    let results = world.sink.results();
    let told = results.iter().filter_map(|result| match result {
        Ok(Effect::MessageAppended { message, .. }) => Some((message.seq, message.rev)),
        _ => None,
    });
    let expected: Vec<(i64, i64)> = (1..=4 * EACH).map(|seq| (seq, seq + 1)).collect();
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert!(!world.sink.was_entered_twice(), "one result after the other");
}

pub async fn the_position_grows_with_every_change_that_people_see(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let mut last = world.log_state().await;
    let epoch = last.epoch;
    let hello = world.send(alice, dm, "hello").await;
    let writes = [
        world.editing(alice, &hello, "hello!"),
        world.reacting(bob, &hello, "👍"),
        world.reading(bob, dm, 1),
        world.renaming(bob, "Robert"),
        world.hiding(bob, dm),
        world.muting(bob, dm, Some(world.now())),
        world.deleting(alice, &hello),
        world.creating_group(alice, &[bob], tertulia_proto::HistoryVisibility::All),
    ];
    for write in writes {
        let what = format!("{write:?}");
        world.done(write).await;
        let before = last.position;
        let grown = async || {
            last = world.log_state().await;
            last.position > before
        };
        world.soon(&what, grown).await;
        assert_eq!(last.epoch, epoch);
    }
}

pub async fn messages_queue_one_notification_job_per_conversation_however_many(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob]).await);
    let before = world.jobs_ready().await;
    let hello = world.send(alice, dm, "hello").await;
    assert_eq!(world.jobs_ready().await, before + 1);
    world.send_many(bob, dm, 10).await;
    assert_eq!(world.jobs_ready().await, before + 1);
    world.send_many(bob, group, 10).await;
    assert_eq!(world.jobs_ready().await, before + 2);

    let dm_with_carol = world.dm(alice, world.person("carol").await).await;
    let refused = AppendMessage { after: Some(client_msg_id("none")), ..world.message(alice, dm_with_carol, "x") };
    world.refused(sending(&refused)).await;
    world.done(world.editing(alice, &hello, "edited")).await;
    world.done(world.reading(bob, dm, 3)).await;
    assert_eq!(world.jobs_ready().await, before + 2, "what is no new message notifies nobody");
    assert_eq!(world.store.job_counts().await.expect("the store reads").dead, 0);
}
