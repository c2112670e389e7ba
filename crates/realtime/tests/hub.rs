//! Who hears what: membership, typing, presence, limits.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic, in its helpers too")]

mod house;

use std::sync::atomic::{AtomicBool, Ordering};

use house::{LATER, NOW, Told, conversation, device, hub, online, receipt, session, told, user};
use tertulia_proto::Limits;
use tertulia_realtime::{AttachError, Closing, Hub, HubCounts, Membership};

#[test]
fn an_event_reaches_every_connection_of_every_member_and_nobody_else() {
    let hub = hub();
    let (phone, laptop) = (online(&hub, 1, &[7]), online(&hub, 1, &[7]));
    let (bob, carol) = (online(&hub, 2, &[7, 8]), online(&hub, 3, &[8]));
    hub.deliver(conversation(7), receipt(conversation(7), 1), &[]);
    hub.deliver(conversation(7), receipt(conversation(7), 2), &[user(2)]);
    hub.deliver(conversation(9), receipt(conversation(9), 3), &[]);
    hub.deliver_to(user(3), receipt(conversation(8), 4));
    for connection in [&phone, &laptop] {
        assert_eq!(told(connection), [Told::Rev(1), Told::Rev(2)]);
    }
    assert_eq!(told(&bob), [Told::Rev(1)]);
    assert_eq!(told(&carol), [Told::Rev(4)]);
}

#[test]
fn facts_that_come_during_the_load_are_applied_after_it_in_their_order() {
    let hub = hub();
    let (alice, needs_load) = hub.attach(user(1), None, session(1), LATER).unwrap();
    alice.lane.release();
    assert!(needs_load);
    hub.membership(user(1), conversation(1), Membership::Left);
    hub.membership(user(1), conversation(2), Membership::Joined);
    hub.membership(user(1), conversation(3), Membership::Joined);
    hub.membership(user(1), conversation(3), Membership::Left);
    hub.membership(user(1), conversation(4), Membership::Left);
    hub.membership(user(1), conversation(4), Membership::Joined);
    // The snapshot may be from before, between or after them.
    hub.loaded(user(1), vec![conversation(1), conversation(3), conversation(4), conversation(5)]);
    for number in 1..=5 {
        hub.deliver(conversation(number), receipt(conversation(number), i64::from(number)), &[]);
    }
    assert_eq!(told(&alice), [Told::Rev(2), Told::Rev(4), Told::Rev(5)]);
    hub.detach(&alice, NOW);
    assert_eq!(hub.counts(), HubCounts::default());
}

#[test]
fn a_second_load_of_the_same_person_changes_nothing() {
    let hub = hub();
    let (phone, first) = hub.attach(user(1), None, session(1), LATER).unwrap();
    phone.lane.release();
    let (laptop, second) = hub.attach(user(1), None, session(2), LATER).unwrap();
    laptop.lane.release();
    assert!(first && second, "until somebody has loaded, each has to");
    hub.loaded(user(1), vec![conversation(1)]);
    hub.membership(user(1), conversation(1), Membership::Left);
    // The other's snapshot is older than the fact.
    hub.loaded(user(1), vec![conversation(1)]);
    hub.deliver(conversation(1), receipt(conversation(1), 1), &[]);
    assert!(told(&phone).is_empty() && told(&laptop).is_empty());
    let (_, third) = hub.attach(user(1), None, session(3), LATER).unwrap();
    assert!(!third);
}

#[test]
fn a_load_for_somebody_who_has_left_is_no_matter() {
    let hub = hub();
    let (alice, _) = hub.attach(user(1), None, session(1), LATER).unwrap();
    alice.lane.release();
    hub.detach(&alice, NOW);
    hub.loaded(user(1), vec![conversation(1)]);
    hub.membership(user(1), conversation(1), Membership::Joined);
    assert_eq!(hub.counts(), HubCounts::default());
}

#[test]
fn who_left_hears_nothing_more_and_who_joined_hears_what_follows() {
    let hub = hub();
    let (alice, bob) = (online(&hub, 1, &[7]), online(&hub, 2, &[]));
    hub.deliver(conversation(7), receipt(conversation(7), 1), &[]);
    hub.membership(user(2), conversation(7), Membership::Joined);
    hub.membership(user(2), conversation(7), Membership::Joined);
    hub.deliver(conversation(7), receipt(conversation(7), 2), &[]);
    hub.membership(user(1), conversation(7), Membership::Left);
    hub.deliver(conversation(7), receipt(conversation(7), 3), &[]);
    assert_eq!(told(&alice), [Told::Rev(1), Told::Rev(2)]);
    assert_eq!(told(&bob), [Told::Rev(2), Told::Rev(3)]);
    hub.membership(user(2), conversation(7), Membership::Left);
    hub.deliver(conversation(7), receipt(conversation(7), 4), &[]);
    assert!(told(&bob).is_empty());
    assert_eq!(hub.counts().conversations, 0, "an empty room is gone");
}

#[test]
fn typing_is_told_to_the_others_and_never_to_oneself() {
    let hub = hub();
    let (phone, laptop) = (online(&hub, 1, &[7]), online(&hub, 1, &[7]));
    let (bob, stranger) = (online(&hub, 2, &[7]), online(&hub, 3, &[8]));
    hub.typing(conversation(7), user(1), "alice".into(), true, NOW);
    assert_eq!(told(&bob), [Told::Typing(user(1), true)]);
    hub.typing(conversation(7), user(1), "alice".into(), false, NOW);
    assert_eq!(told(&bob), [Told::Typing(user(1), false)]);
    hub.typing(conversation(7), user(1), "alice".into(), false, NOW);
    assert!(told(&bob).is_empty(), "who does not write can't stop");
    for connection in [&phone, &laptop, &stranger] {
        assert!(told(connection).is_empty());
    }
}

#[test]
fn typing_expires_by_itself_and_a_repeat_puts_it_off() {
    let hub = hub();
    let (_alice, bob) = (online(&hub, 1, &[7]), online(&hub, 2, &[7]));
    hub.typing(conversation(7), user(1), "alice".into(), true, NOW);
    hub.typing(conversation(7), user(1), "alice".into(), true, NOW.plus_ms(3000));
    assert_eq!(told(&bob), [Told::Typing(user(1), true)], "of two that wait the latest");
    hub.expire_signs(NOW.plus_ms(8999));
    assert!(told(&bob).is_empty());
    hub.expire_signs(NOW.plus_ms(9000));
    assert_eq!(told(&bob), [Told::Typing(user(1), false)]);
    hub.expire_signs(NOW.plus_ms(90_000));
    assert!(told(&bob).is_empty());
}

#[test]
fn who_left_the_conversation_writes_there_no_more() {
    let hub = hub();
    let (_alice, bob) = (online(&hub, 1, &[7]), online(&hub, 2, &[7]));
    hub.typing(conversation(7), user(1), "alice".into(), true, NOW);
    hub.membership(user(1), conversation(7), Membership::Left);
    told(&bob);
    hub.expire_signs(NOW.plus_ms(90_000));
    assert!(told(&bob).is_empty());
}

#[test]
fn watchers_are_told_of_the_first_connection_and_of_the_last() {
    let hub = hub();
    let watcher = online(&hub, 1, &[]);
    assert!(hub.watch(&watcher, &[user(2), user(2), user(3)]));
    let phone = online(&hub, 2, &[]);
    assert_eq!(told(&watcher), [Told::Presence(user(2), true)]);
    let laptop = online(&hub, 2, &[]);
    assert!(!hub.detach(&phone, NOW));
    assert!(told(&watcher).is_empty() && hub.is_online(user(2)));
    assert!(hub.detach(&laptop, NOW));
    assert_eq!(told(&watcher), [Told::Presence(user(2), false)]);
    assert!(!hub.is_online(user(2)));
}

#[test]
fn who_is_forbidden_to_watch_sees_no_more() {
    let hub = hub();
    let (phone, laptop, other) = (online(&hub, 1, &[]), online(&hub, 1, &[]), online(&hub, 3, &[]));
    for connection in [&phone, &laptop, &other] {
        assert!(hub.watch(connection, &[user(2)]));
    }
    hub.forbid_watching(user(2), user(1));
    let _bob = online(&hub, 2, &[]);
    assert!(told(&phone).is_empty() && told(&laptop).is_empty());
    assert_eq!(told(&other), [Told::Presence(user(2), true)]);
}

#[test]
fn who_watches_others_watches_the_earlier_ones_no_more() {
    let hub = hub();
    let (watcher, other) = (online(&hub, 1, &[]), online(&hub, 1, &[]));
    assert!(hub.watch(&watcher, &[user(2), user(3)]) && hub.watch(&other, &[user(2)]));
    assert!(hub.watch(&watcher, &[user(3), user(4)]));
    let _here = [online(&hub, 2, &[]), online(&hub, 3, &[]), online(&hub, 4, &[])];
    assert_eq!(told(&watcher), [Told::Presence(user(3), true), Told::Presence(user(4), true)]);
    assert_eq!(told(&other), [Told::Presence(user(2), true)], "another connection watches whom it watched");
    assert!(hub.watch(&watcher, &[]));
    assert_eq!(hub.watchers_of(user(3)), []);
}

#[test]
fn a_connection_that_left_watches_nobody() {
    let hub = hub();
    let watcher = online(&hub, 1, &[7]);
    assert!(hub.watch(&watcher, &[user(2)]));
    hub.detach(&watcher, NOW);
    let _bob = online(&hub, 2, &[7]);
    hub.deliver(conversation(7), receipt(conversation(7), 1), &[]);
    assert!(told(&watcher).is_empty());
}

#[test]
fn leaving_twice_is_leaving_once() {
    let hub = hub();
    let (phone, laptop) = (online(&hub, 1, &[7]), online(&hub, 1, &[7]));
    assert!(!hub.detach(&phone, NOW));
    assert!(!hub.detach(&phone, NOW));
    assert_eq!(hub.counts(), HubCounts { connections: 1, people: 1, conversations: 1 });
    assert!(hub.detach(&laptop, NOW));
    assert!(!hub.detach(&laptop, NOW));
    assert_eq!(hub.counts(), HubCounts::default());
}

#[test]
fn who_comes_back_loads_anew() {
    let hub = hub();
    let first = online(&hub, 1, &[7]);
    hub.detach(&first, NOW);
    let second = online(&hub, 1, &[8]);
    hub.deliver(conversation(7), receipt(conversation(7), 1), &[]);
    hub.deliver(conversation(8), receipt(conversation(8), 2), &[]);
    assert_eq!(told(&second), [Told::Rev(2)]);
    assert!(told(&first).is_empty());
}

#[test]
fn limits_are_kept_and_a_refusal_leaves_nothing_behind() {
    let hub = Hub::new(Limits { connections_per_user_max: 2, connections_max: 3, watched_max: 2, ..Limits::default() });
    let (one, _two) = (online(&hub, 1, &[]), online(&hub, 1, &[]));
    assert_eq!(hub.attach(user(1), None, session(1), LATER).err(), Some(AttachError::TooManyOfUser(2)));
    let three = online(&hub, 2, &[]);
    assert_eq!(hub.attach(user(3), None, session(3), LATER).err(), Some(AttachError::TooMany(3)));
    assert_eq!(hub.counts(), HubCounts { connections: 3, people: 2, conversations: 0 });
    assert!(!hub.is_online(user(3)));
    hub.detach(&one, NOW);
    assert!(hub.attach(user(1), None, session(1), LATER).is_ok());

    hub.detach(&three, NOW);
    let watcher = online(&hub, 9, &[]);
    assert!(hub.watch(&watcher, &[user(5), user(6)]));
    assert!(hub.watch(&watcher, &[user(7), user(6), user(7)]), "nobody is counted twice, nor whom one watches no more");
    assert!(!hub.watch(&watcher, &[user(5), user(6), user(7)]));
    assert_eq!(hub.watched_by(user(9)), [user(6), user(7)], "a refusal changes nothing");
}

#[test]
fn the_end_of_a_session_ends_its_connections_and_no_others() {
    let hub = hub();
    let (phone, _) = hub.attach(user(1), None, session(1), LATER).unwrap();
    phone.lane.release();
    let (laptop, _) = hub.attach(user(1), None, session(2), LATER).unwrap();
    let (renewed, _) = hub.attach(user(1), None, session(1), LATER).unwrap();
    renewed.renew(session(3), LATER.ms());
    hub.end_session(session(1));
    assert_eq!(phone.lane.closing(), Some(Closing::Unauthenticated));
    assert_eq!((laptop.lane.closing(), renewed.lane.closing()), (None, None));
}

#[test]
fn everybody_is_told_to_sync_and_everybody_is_sent_away() {
    let hub = hub();
    let (alice, bob) = (online(&hub, 1, &[]), online(&hub, 2, &[]));
    hub.need_sync();
    assert_eq!((told(&alice), told(&bob)), (vec![Told::SyncNeeded], vec![Told::SyncNeeded]));
    hub.close_all(Closing::Restarting);
    assert_eq!((alice.lane.closing(), bob.lane.closing()), (Some(Closing::Restarting), Some(Closing::Restarting)));
}

#[test]
fn who_was_on_the_way_in_when_the_server_stopped_is_sent_away_as_well() {
    let hub = hub();
    let alice = online(&hub, 1, &[]);
    hub.close_all(Closing::Restarting);
    let back = online(&hub, 1, &[]);
    assert_eq!((alice.lane.closing(), back.lane.closing()), (Some(Closing::Restarting), None));
    hub.shut(Closing::Restarting);
    let late = online(&hub, 2, &[]);
    assert_eq!((back.lane.closing(), late.lane.closing()), (Some(Closing::Restarting), Some(Closing::Restarting)));
    hub.detach(&back, NOW);
    hub.detach(&late, NOW);
    assert_eq!(hub.counts().connections, 1, "a server that stops waits for those who are still counted");
}

#[test]
fn one_full_lane_hinders_no_other() {
    let hub = Hub::new(Limits { lane_max_frames: 3, ..Limits::default() });
    let (slow, fast) = (online(&hub, 1, &[7]), online(&hub, 2, &[7]));
    for rev in 1..=10 {
        hub.deliver(conversation(7), receipt(conversation(7), rev), &[]);
        assert_eq!(told(&fast), [Told::Rev(rev)]);
    }
    assert_eq!(slow.lane.closing(), Some(Closing::TooSlow));
    assert_eq!(fast.lane.closing(), None);
}

/// A request that is still under way when its connection goes may not keep it.
#[test]
fn a_connection_that_has_left_cannot_begin_to_watch() {
    let hub = hub();
    let watcher = online(&hub, 1, &[]);
    hub.detach(&watcher, NOW);
    hub.watch(&watcher, &[user(2)]);
    let _bob = online(&hub, 2, &[]);
    assert!(told(&watcher).is_empty(), "the hub holds on to a connection that nobody will ever take away");
}

#[test]
fn a_device_has_one_connection_and_the_newer_takes_the_place_of_the_older() {
    let hub = Hub::new(Limits { connections_per_user_max: 2, connections_max: 2, ..Limits::default() });
    let attach = |person| hub.attach(user(person), Some(device(1)), session(person), LATER);
    let (older, needs_load) = attach(1).unwrap();
    assert!(needs_load);
    older.lane.release();
    hub.loaded(user(1), vec![conversation(7)]);
    let watcher = online(&hub, 2, &[]);
    assert!(hub.watch(&watcher, &[user(1)]) && hub.watch(&older, &[user(2)]));
    let (newer, needs_load) = attach(1).unwrap();
    newer.lane.release();
    assert!(!needs_load, "the person was here all the time");
    assert_eq!(told(&watcher), [], "and nobody is told that they came or went");
    assert_eq!((older.lane.closing(), newer.lane.closing()), (Some(Closing::Replaced), None));
    assert!(!older.execute(|| panic!("done for a connection that was replaced")));
    hub.deliver(conversation(7), receipt(conversation(7), 1), &[]);
    assert_eq!(told(&newer), [Told::Rev(1)]);
    assert_eq!(hub.watchers_of(user(2)), [], "what it watched went with it");
    assert_eq!(attach(3).err(), Some(AttachError::TooMany(2)), "another person's device takes nobody's place");
    assert!(!hub.detach(&older, NOW), "the older one's end is not the person's");
    assert!(hub.detach(&newer, NOW));
    hub.detach(&watcher, NOW);
    assert_eq!(hub.counts(), HubCounts::default());
}

/// Whoever has opened another connection may take for granted that what was being done for the older one has been done.
#[test]
fn a_request_that_is_being_carried_out_is_finished_before_its_connection_is_replaced() {
    let hub = hub();
    let (older, _) = hub.attach(user(1), Some(device(1)), session(1), LATER).unwrap();
    let (begun, finished) = (std::sync::Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let done = older.execute(|| {
                begun.wait();
                (0..1000).for_each(|_| std::thread::yield_now());
                finished.store(true, Ordering::SeqCst);
            });
            assert!(done);
        });
        begun.wait();
        let newer = hub.attach(user(1), Some(device(1)), session(1), LATER);
        assert!(newer.is_ok() && finished.load(Ordering::SeqCst));
    });
}
