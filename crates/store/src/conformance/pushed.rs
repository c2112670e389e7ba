//! What was sent, what is taken away again, and what is kept of it.

use tertulia_proto::{PushProvider, RegistrationId};

use super::Home;
use super::book::{Book, sorted};
use super::writes::sending;
use crate::jobs::*;
use crate::push::*;
use crate::*;

pub async fn what_is_noted_moves_forward_only(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send_many(alice, dm, 5).await;
    let phone = book.phone_of(bob, "token").await;
    let marks = async || {
        let seat = book.seat(phone, dm).await;
        (seat.pushed_seq, seat.withdrawn_seq)
    };
    use PushOutcome::{Accepted, Failed, Refused, Unregistered, Withdrawn};
    for outcome in [Failed, Refused, Unregistered] {
        book.note(vec![book.noted(phone, dm, 5, outcome)]).await;
        assert_eq!(marks().await, (0, 0), "{outcome:?}");
    }
    for (notes, expected) in [
        (vec![(3, Accepted)], (3, 0)),
        (vec![(2, Accepted)], (3, 0)),
        (vec![(2, Withdrawn)], (3, 2)),
        (vec![(1, Withdrawn)], (3, 2)),
        (vec![(4, Accepted), (5, Failed), (3, Withdrawn), (1, Accepted)], (4, 3)),
    ] {
        book.note(notes.iter().map(|(seq, outcome)| book.noted(phone, dm, *seq, *outcome)).collect()).await;
        assert_eq!(marks().await, expected, "{notes:?}");
    }
    // Of what is gone meanwhile nothing moves, and what stands beside it counts.
    let nowhere = ConversationId::from_bytes(world.id());
    let nobody = RegistrationId::from_bytes(world.id());
    let gone = [(nobody, dm), (phone, nowhere)].map(|(device, place)| book.noted(device, place, 5, Accepted));
    book.note(gone.into_iter().chain([book.noted(phone, dm, 5, Accepted)]).collect()).await;
    assert_eq!(marks().await, (5, 3));
    let too_many = (0..=JOBS_PER_CALL_MAX).map(|_| book.noted(phone, dm, 5, Accepted)).collect();
    assert!(book.push().note_pushes(too_many).await.is_err());
}

pub async fn what_was_read_is_taken_away_from_the_other_devices(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send_many(alice, dm, 6).await;
    let laptop = book.client_device();
    let on_laptop = book.register(book.of_device(bob, "laptop", laptop)).await.id;
    let apns = NewRegistration { provider: PushProvider::Apns, ..book.phone(bob, "apns") };
    let (phone, untouched) = (book.register(apns).await.id, book.phone_of(bob, "untouched").await);
    let of_alice = book.phone_of(alice, "alice's").await;
    for device in [on_laptop, phone, of_alice] {
        book.pushed(device, dm, 4).await;
    }
    assert!(book.waiting().await.is_empty());
    world.done(world.receiving(bob, dm, 6)).await;
    world.done(world.reading(bob, dm, 3)).await;
    assert!(book.waiting().await.is_empty(), "the notification speaks of more than was read");
    let now = world.now();
    let read = Write::AdvanceWatermarks {
        conversation: dm,
        actor: bob,
        delivered: None,
        read: Some(4),
        device: Some(laptop),
        now,
    };
    world.done(read).await;
    let waiting = book.waiting().await;
    let job = PushJob { registration: phone, conversation_id: dm };
    assert_eq!(waiting.len(), 1, "the device that told does it itself: {waiting:?}");
    assert_eq!((waiting[0].kind.as_str(), waiting[0].unique_key.clone()), ("push.apns", Some(push_key(&job))));
    assert_eq!(serde_json::from_str::<PushJob>(&waiting[0].payload).expect("JSON"), job);
    assert_eq!((waiting[0].run_at, waiting[0].created_at, waiting[0].priority), (now, now, Priority::Normal));
    // The same again says nothing new; what is withdrawn is withdrawn.
    book.work_off().await;
    world.done(book.read_on(bob, dm, 4, laptop)).await;
    assert!(book.waiting().await.is_empty(), "the mark did not move");
    book.note([phone, on_laptop].map(|one| book.noted(one, dm, 4, PushOutcome::Withdrawn)).to_vec()).await;
    world.done(world.reading(bob, dm, 5)).await;
    assert!(book.waiting().await.is_empty());
    // Of a device that is off nothing can be taken away.
    for device in [phone, untouched] {
        book.pushed(device, dm, 6).await;
    }
    let off = book.push().switch_off(phone, token_hash(PushProvider::Apns, "apns"), "off".into(), world.now()).await;
    assert!(off.expect("an answer"));
    world.done(world.reading(bob, dm, 6)).await;
    assert_eq!(book.to_withdraw().await, [untouched]);
}

pub async fn who_answers_has_read_on_all_devices(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob]).await);
    for conversation in [dm, group] {
        world.send_many(alice, conversation, 2).await;
    }
    let (first, second) = (book.phone_of(bob, "first").await, book.phone_of(bob, "second").await);
    for device in [first, second] {
        book.pushed(device, dm, 2).await;
    }
    book.pushed(first, group, 1).await;
    let sent = world.message(bob, dm, "an answer");
    world.done(sending(&sent)).await;
    assert_eq!(book.to_withdraw().await, sorted([first, second]));
    let waiting = book.waiting().await;
    assert!(waiting.iter().all(|job| job.run_at == sent.now), "{waiting:?}");
    // A ready one is joined and keeps the earlier time.
    world.burst(vec![world.reading(bob, dm, 3), sending(&world.message(bob, group, "and here"))]).await;
    let more = book.waiting().await;
    assert_eq!(more.len(), 3, "{more:?}");
    assert_eq!(more[..2], waiting[..]);
    // A message that is there already moves nothing.
    book.work_off().await;
    world.done(sending(&world.again(&sent))).await;
    assert!(book.waiting().await.is_empty());
    // Several at once, with others': one job for each device and conversation.
    let messages = [dm, group, dm, group, dm].map(|place| sending(&world.message(bob, place, "more")));
    world.burst(messages.to_vec()).await;
    assert_eq!(book.waiting().await.len(), 3);
}

pub async fn who_leaves_has_all_of_it_taken_away(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (group, other) = (world.open_group(alice, &[bob, carol]).await, world.group(alice, &[bob]).await);
    for conversation in [group, other] {
        world.send_many(alice, conversation, 3).await;
    }
    let (phone, tablet) = (book.phone_of(bob, "phone").await, book.phone_of(bob, "tablet").await);
    let (untouched, of_carol) = (book.phone_of(bob, "untouched").await, book.phone_of(carol, "carol's").await);
    for (device, conversation, seq) in
        [(phone, group, 3), (tablet, group, 2), (of_carol, group, 3), (untouched, other, 3)]
    {
        book.pushed(device, conversation, seq).await;
    }
    world.done(world.removing(alice, group, bob)).await;
    assert_eq!(book.to_withdraw().await, sorted([phone, tablet]), "read or not");
    let seat = book.seat(phone, group).await;
    assert_eq!((seat.has_left, seat.pushed_seq, seat.withdrawn_seq), (true, 3, 0));
    // What was taken away is not taken away again, by whichever way one goes.
    book.work_off().await;
    book.note([phone, tablet].map(|one| book.noted(one, group, 3, PushOutcome::Withdrawn)).to_vec()).await;
    world.done(world.adding(alice, group, bob)).await;
    assert!(!book.seat(phone, group).await.has_left);
    world.done(world.leaving(bob, group, None)).await;
    assert!(book.waiting().await.is_empty());
    // Who was told after that, and comes and goes at once.
    book.pushed(tablet, group, 4).await;
    world
        .burst(vec![
            world.adding(alice, group, bob),
            world.removing(alice, group, bob),
            world.adding(alice, group, bob),
        ])
        .await;
    assert_eq!(book.to_withdraw().await, [tablet]);
}

pub async fn a_withdrawal_joins_a_ready_job_and_keeps_the_earlier_time(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send_many(alice, dm, 2).await;
    let (early, late) = (book.phone_of(bob, "early").await, book.phone_of(bob, "late").await);
    let now = world.now();
    let waits = |registration, run_at| {
        let job = PushJob { registration, conversation_id: dm };
        let payload = serde_json::to_string(&job).expect("JSON");
        let unique_key = Some(push_key(&job));
        let kind = PushProvider::Fcm.job_kind().to_owned();
        NewJob { kind, unique_key, unless_running: false, payload, priority: Priority::High, run_at, now }
    };
    let jobs = vec![waits(early, Timestamp::from_ms(5)), waits(late, now.plus_ms(3_600_000))];
    world.store.jobs().enqueue(jobs).await.expect("jobs are queued");
    for device in [early, late] {
        book.pushed(device, dm, 2).await;
    }
    let read = world.reading(bob, dm, 2);
    let Write::AdvanceWatermarks { now: read_at, .. } = read else { panic!("a watermark") };
    world.done(read).await;
    let waiting = book.waiting().await;
    let times: Vec<(Timestamp, Priority)> = waiting.iter().map(|job| (job.run_at, job.priority)).collect();
    assert_eq!(times, [(Timestamp::from_ms(5), Priority::High), (read_at, Priority::High)]);
}

pub async fn attempts_are_kept_by_message_until_they_are_cleaned_up(home: &impl Home) {
    use PushOutcome::{Accepted, Failed, Refused};
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send_many(alice, dm, 5).await;
    let (phone, tablet) = (book.phone_of(bob, "phone").await, book.phone_of(bob, "tablet").await);
    let long = "ö".repeat(DETAIL_MAX_BYTES);
    let first = PushNote { detail: long.clone(), ..book.noted(phone, dm, 2, Failed) };
    book.note(vec![first.clone(), book.noted(tablet, dm, 2, Refused), book.noted(phone, dm, 3, Accepted)]).await;
    book.note(vec![book.noted(phone, dm, 4, Accepted), book.noted(tablet, dm, 5, Accepted)]).await;
    assert_eq!(
        book.attempts(dm, 2).await,
        [(phone, 2, Failed), (tablet, 2, Refused), (phone, 3, Accepted), (tablet, 5, Accepted)]
    );
    assert_eq!(book.attempts(dm, 4).await, [(phone, 4, Accepted), (tablet, 5, Accepted)]);
    assert_eq!(
        (book.attempts(dm, 6).await, book.attempts(ConversationId::from_bytes(world.id()), 1).await),
        (vec![], vec![])
    );
    let told = book.push().push_attempts(dm, 1).await.expect("the store reads");
    assert_eq!((told[0].at, told[0].user, told[0].provider), (first.at, Some(bob), Some(PushProvider::Fcm)));
    assert_eq!(told[0].detail, long[..DETAIL_MAX_BYTES]);
    // Those of the clean-up, so many at a time.
    let forget = async |at, limit| book.push().forget_attempts(at, limit).await.expect("an answer");
    assert_eq!(forget(first.at, 10).await, 0);
    let end = world.now();
    assert_eq!((forget(end, 3).await, forget(end, 3).await, forget(end, 3).await), (3, 2, 0));
    assert_eq!(book.attempts(dm, 1).await, []);
    assert_eq!(book.seat(phone, dm).await.pushed_seq, 4, "what it was told stays known");
}

pub async fn of_many_attempts_the_latest_are_kept(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send_many(alice, dm, 2).await;
    let (phone, tablet) = (book.phone_of(bob, "phone").await, book.phone_of(bob, "tablet").await);
    // All at the same time, and in one call as well as one by one.
    world.step_clock_by(0);
    let said = |n: usize| PushNote { detail: format!("{n}"), ..book.noted(phone, dm, 1, PushOutcome::Failed) };
    book.note((0..ATTEMPTS_MAX).map(said).collect()).await;
    book.note(vec![book.noted(tablet, dm, 1, PushOutcome::Failed), book.noted(phone, dm, 2, PushOutcome::Failed)])
        .await;
    for n in ATTEMPTS_MAX..ATTEMPTS_MAX + 3 {
        book.note(vec![said(n)]).await;
    }
    book.note((ATTEMPTS_MAX + 3..ATTEMPTS_MAX + 7).map(said).collect()).await;
    let told = book.push().push_attempts(dm, 1).await.expect("the store reads");
    let of_phone: Vec<String> =
        told.iter().filter(|one| (one.registration, one.seq) == (phone, 1)).map(|one| one.detail.clone()).collect();
    assert_eq!(of_phone, (7..ATTEMPTS_MAX + 7).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(told.len(), ATTEMPTS_MAX + 2, "another device's and another message's stay");
}
