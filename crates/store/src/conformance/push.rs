//! Who may need a notification, and what one would say.

use tertulia_proto::{ConversationKind, PushProvider, RegistrationId, Seq};

use super::Home;
use super::book::{Book, DEVICES_MAX, sorted};
use super::writes::sending;
use crate::jobs::*;
use crate::push::*;
use crate::*;

pub async fn an_audience_is_whoever_has_not_seen_the_end(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob, carol, dave] = world.people(["alice", "bob", "carol", "dave"]).await;
    let group = world.group(alice, &[bob, carol]).await;
    let mut phones = Vec::new();
    for (person, token) in [(alice, "a"), (bob, "b"), (bob, "b2"), (carol, "c"), (dave, "d")] {
        phones.push(book.phone_of(person, token).await);
    }
    let [_, b, b2, c, d] = phones[..] else { panic!("five phones") };
    assert_eq!(book.heard_by(group).await, [], "there is nothing to see");
    world.send_many(alice, group, 3).await;
    assert_eq!(book.heard_by(group).await, sorted([b, b2, c]), "the sender has seen it");
    world.done(world.reading(bob, group, 2)).await;
    world.done(world.muting(bob, group, Some(Timestamp::from_ms(7_000_000_000_000)))).await;
    book.pushed(b2, group, 1).await;
    book.note(vec![book.noted(b2, group, 1, PushOutcome::Withdrawn)]).await;
    let page = book.push().audience(group, None).await.expect("the store reads").expect("it is there");
    assert_eq!((page.last_seq, page.next), (3, None));
    let seat = page.seats.iter().find(|seat| seat.registration == b2).expect("bob has not read to the end");
    let expected = Seat {
        user: bob,
        registration: b2,
        provider: PushProvider::Fcm,
        visible_after_seq: 0,
        read_seq: 2,
        delivered_seq: 2,
        pushed_seq: 1,
        withdrawn_seq: 1,
        muted_until: Some(Timestamp::from_ms(7_000_000_000_000)),
        has_left: false,
    };
    assert_eq!((seat, seat.seen_seq()), (&expected, 2));
    book.pushed(b2, group, 3).await;
    assert_eq!(book.heard_by(group).await, sorted([b, c]), "one of bob's has been notified");
    world.done(world.receiving(carol, group, 3)).await;
    assert_eq!(book.heard_by(group).await, [b], "it reached one of carol's devices");
    // Who came after it sees nothing of it; who was removed is told nothing more.
    world.done(world.adding(alice, group, dave)).await;
    assert_eq!(book.heard_by(group).await, [b]);
    world.send(alice, group, "dave is here").await;
    assert_eq!(book.heard_by(group).await, sorted([b, b2, c, d]));
    world.done(world.removing(alice, group, dave)).await;
    world.done(world.reading(bob, group, 4)).await;
    assert_eq!(book.heard_by(group).await, [c]);
    let nowhere = ConversationId::from_bytes(world.id());
    assert_eq!(book.push().audience(nowhere, None).await.expect("the store reads"), None);
}

pub async fn what_reached_one_device_is_news_on_the_others(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let (laptop, phone, silent) = (book.client_device(), book.client_device(), book.client_device());
    let on_laptop = book.register(book.of_device(bob, "laptop", laptop)).await.id;
    let on_phone = book.register(book.of_device(bob, "phone", phone)).await.id;
    let unnamed = book.phone_of(bob, "unnamed").await;
    world.send_many(alice, dm, 3).await;
    assert_eq!(book.heard_by(dm).await, sorted([on_laptop, on_phone, unnamed]));
    // Of the member: what reached any device. Of a device that says which it is: what reached it.
    world.done(book.got(bob, dm, 3, laptop)).await;
    assert_eq!(book.heard_by(dm).await, [on_phone]);
    let still = world.still(&[alice, bob]).await;
    let rev = world.view(alice, dm).await.rev;
    match world.done(book.got(bob, dm, 2, phone)).await {
        Effect::WatermarksAdvanced { delivered_seq: 3, read_seq: 0, rev: told, changed: false, .. } => {
            assert_eq!(told, rev);
        }
        other => panic!("the member's own mark does not move: {other:?}"),
    }
    world.assert_still(&still, "a device has come to where its person was").await;
    assert_eq!(book.seat(on_phone, dm).await.delivered_seq, 2);
    world.done(book.got(bob, dm, 1, phone)).await;
    assert_eq!(book.seat(on_phone, dm).await.delivered_seq, 2, "forward only");
    world.done(book.got(bob, dm, 99, phone)).await;
    assert_eq!(book.seat(on_phone, dm).await.delivered_seq, 3, "to the log's end and no further");
    assert_eq!(book.heard_by(dm).await, []);
    world.send(alice, dm, "one more").await;
    assert_eq!(book.heard_by(dm).await, sorted([on_laptop, on_phone, unnamed]));
    // What was read on a device has reached it. A device that is not registered leaves no trace, and another person's none on it.
    world.done(book.read_on(bob, dm, 4, phone)).await;
    assert_eq!((book.seat(on_phone, dm).await.delivered_seq, book.seat(on_laptop, dm).await.delivered_seq), (4, 3));
    world.done(book.got(bob, dm, 4, silent)).await;
    world.done(book.got(alice, dm, 4, laptop)).await;
    assert_eq!(book.seat(on_laptop, dm).await.delivered_seq, 3);
    let late = book.register(book.of_device(bob, "late", silent)).await.id;
    assert_eq!(book.seat(late, dm).await.delivered_seq, 0);
    // One that is switched off meanwhile has it all the same when it is on again.
    let off =
        book.push().switch_off(on_laptop, token_hash(PushProvider::Fcm, "laptop"), "off".into(), world.now()).await;
    assert!(off.expect("an answer"));
    world.done(book.got(bob, dm, 4, laptop)).await;
    book.register(book.of_device(bob, "laptop", laptop)).await;
    assert_eq!(book.seat(on_laptop, dm).await.delivered_seq, 4);
}

pub async fn what_devices_tell_in_one_burst_counts_for_each(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob, carol]).await);
    let (laptop, phone) = (book.client_device(), book.client_device());
    let on_laptop = book.register(book.of_device(bob, "laptop", laptop)).await.id;
    let on_phone = book.register(book.of_device(bob, "phone", phone)).await.id;
    let of_carol = book.register(book.of_device(carol, "carol's", phone)).await.id;
    for conversation in [dm, group] {
        world.send_many(alice, conversation, 5).await;
    }
    let told = vec![
        book.got(bob, dm, 2, laptop),
        book.got(bob, dm, 4, phone),
        book.got(carol, group, 5, phone),
        sending(&world.message(alice, group, "in between")),
        book.got(bob, group, 3, phone),
        book.got(bob, dm, 3, laptop),
        book.got(bob, dm, 1, phone),
    ];
    for result in world.burst(told).await {
        result.expect("each goes through");
    }
    let mut come = Vec::new();
    for (device, conversation) in
        [(on_laptop, dm), (on_phone, dm), (on_laptop, group), (on_phone, group), (of_carol, group)]
    {
        come.push(book.seat(device, conversation).await.delivered_seq);
    }
    assert_eq!(come, [3, 4, 0, 3, 5]);
}

pub async fn an_audience_over_a_page_comes_whole_and_once(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let alice = world.person("alice").await;
    let mut members = Vec::new();
    for n in 0..45 {
        members.push(world.person(&format!("p{n}")).await);
    }
    let group = world.group(alice, &members).await;
    let mut devices = Vec::new();
    for (n, member) in members.iter().enumerate() {
        for device in 0..DEVICES_MAX {
            devices.push(book.phone_of(*member, &format!("{n}/{device}")).await);
        }
    }
    devices.sort();
    world.send(alice, group, "hello").await;
    let first = book.push().audience(group, None).await.expect("the store reads").expect("it is there");
    assert_eq!((first.seats.len(), first.next), (AUDIENCE_MAX, Some(devices[AUDIENCE_MAX - 1])));
    assert_eq!(book.heard_by(group).await, devices);
    // The next page begins where the one before ended, whatever became of that device.
    let gone = devices[AUDIENCE_MAX - 1];
    let owner = first.seats[AUDIENCE_MAX - 1].user;
    assert!(book.push().unregister(owner, WhichDevice::Id(gone)).await.expect("an answer"));
    let second = book.push().audience(group, first.next).await.expect("the store reads").expect("it is there");
    let rest: Vec<RegistrationId> = second.seats.iter().map(|seat| seat.registration).collect();
    assert_eq!((rest, second.next), (devices[AUDIENCE_MAX..].to_vec(), None));
}

pub async fn an_occasion_tells_what_the_device_has_not_seen(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob, carol, dave, erin] = world.people(["alice", "bob", "carol", "dave", "erin"]).await;
    let group = world.group(alice, &[bob, carol]).await;
    let phone = book.phone_of(bob, "token").await;
    let mut sent = Vec::new();
    for n in 1..=9 {
        let sender = if n % 3 == 0 { carol } else { alice };
        sent.push(world.send(sender, group, &format!("message {n}")).await);
    }
    let told = |occasion: &Occasion| -> Vec<Seq> { occasion.unseen.iter().map(|one| one.seq).collect() };
    let occasion = book.occasion(phone, group).await;
    assert_eq!((told(&occasion), occasion.unseen_count), (vec![9, 8, 7, 6, 5, 4, 3, 2, 1], 9));
    let newest = &occasion.unseen[0];
    assert_eq!((newest.id, newest.sender, newest.sender_name.as_str()), (sent[8].message_id, carol, "carol"));
    assert_eq!((newest.body.as_str(), newest.created_at), ("message 9", sent[8].created_at));
    assert_eq!((occasion.conversation, occasion.place.kind), (group, ConversationKind::Group));
    assert_eq!((occasion.place.title.as_deref(), occasion.target.registration), (Some("The group"), phone));
    assert_eq!((occasion.target.user, occasion.target.token.as_str()), (bob, "token"));
    // Read, got, or notified: whichever is the furthest. Deleted ones are no news.
    world.done(world.reading(bob, group, 1)).await;
    world.done(world.receiving(bob, group, 2)).await;
    book.pushed(phone, group, 3).await;
    world.done(world.deleting(carol, &sent[8])).await;
    world.done(world.editing(alice, &sent[7], "message 8, edited")).await;
    let occasion = book.occasion(phone, group).await;
    assert_eq!((told(&occasion), occasion.unseen_count), (vec![8, 7, 6, 5, 4], 5));
    assert_eq!(occasion.unseen[0].body, "message 8, edited");
    // Of whom one has blocked there are no news either.
    world.done(world.blocking(bob, alice)).await;
    let occasion = book.occasion(phone, group).await;
    assert_eq!((told(&occasion), occasion.unseen_count), (vec![6], 1));
    world.done(world.unblocking(bob, alice)).await;
    // One's own are none; sending is reading.
    world.send(bob, group, "mine").await;
    let occasion = book.occasion(phone, group).await;
    assert_eq!((told(&occasion), occasion.unseen_count), (vec![], 0));
    // Of many, the newest.
    let many = i64::try_from(UNSEEN_MAX).expect("a small number") + 3;
    world.send_many(alice, group, many).await;
    let occasion = book.occasion(phone, group).await;
    assert_eq!((told(&occasion).len(), occasion.unseen_count, told(&occasion)[0]), (UNSEEN_MAX, many, 10 + many));
    world.done(world.reading(bob, group, 10 + many)).await;
    // Who came later sees nothing older; who is no member, nothing at all.
    world.done(world.adding(alice, group, dave)).await;
    world.send(carol, group, "welcome").await;
    let of_dave = book.phone_of(dave, "dave's").await;
    let occasion = book.occasion(of_dave, group).await;
    assert_eq!((told(&occasion), occasion.unseen_count), (vec![11 + many], 1));
    world.done(world.removing(alice, group, dave)).await;
    let occasion = book.occasion(of_dave, group).await;
    let has_left = occasion.seat.as_ref().map(|seat| seat.has_left);
    assert_eq!((has_left, told(&occasion), occasion.unseen_count), (Some(true), vec![], 0));
    let occasion = book.occasion(book.phone_of(erin, "erin's").await, group).await;
    assert_eq!((occasion.seat.clone(), told(&occasion), occasion.unseen_count), (None, vec![], 0));
    let (nowhere, nobody) = (ConversationId::from_bytes(world.id()), RegistrationId::from_bytes(world.id()));
    assert!(book.occasion_at(phone, nowhere, world.now()).await.is_none());
    assert!(book.occasion_at(nobody, group, world.now()).await.is_none());
}

pub async fn ones_own_messages_of_another_time_are_no_news(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let group = world.open_group(alice, &[bob]).await;
    world.send(bob, group, "bob's first").await;
    world.send(alice, group, "an answer").await;
    world.done(world.leaving(bob, group, None)).await;
    world.done(world.adding(alice, group, bob)).await;
    world.send(alice, group, "welcome back").await;
    let phone = book.phone_of(bob, "token").await;
    let occasion = book.occasion(phone, group).await;
    let told: Vec<Seq> = occasion.unseen.iter().map(|one| one.seq).collect();
    assert_eq!((told, occasion.unseen_count), (vec![3], 1), "who comes back begins at the end");
}

pub async fn a_badge_is_the_sum_that_the_app_shows(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let mut groups = Vec::new();
    for n in 1..=5 {
        let group = world.group(alice, &[bob]).await;
        let sent = world.send_many(alice, group, n).await;
        groups.push((group, sent));
    }
    let phone = book.phone_of(bob, "token").await;
    let badge = async |now| book.occasion_at(phone, groups[0].0, now).await.expect("an occasion").badge;
    let now = world.now();
    assert_eq!(badge(now).await, 15);
    world.done(world.reading(bob, groups[4].0, 2)).await;
    world.done(world.deleting(alice, &groups[4].1[4])).await;
    world.done(world.deleting(alice, &groups[4].1[0])).await;
    assert_eq!(badge(now).await, 12, "a deleted message is not unread");
    world.done(world.muting(bob, groups[3].0, Some(now.plus_ms(1000)))).await;
    assert_eq!((badge(now).await, badge(now.plus_ms(999)).await, badge(now.plus_ms(1000)).await), (8, 8, 12));
    world.done(world.muting(bob, groups[3].0, None)).await;
    world.done(world.hiding(bob, groups[2].0)).await;
    assert_eq!(badge(now).await, 9, "what is hidden is not added up");
    world.send(alice, groups[2].0, "it is back").await;
    assert_eq!(badge(now).await, 13);
    world.done(world.leaving(bob, groups[1].0, None)).await;
    assert_eq!(badge(now).await, 11);
    // What a device has got is unread all the same, and what was notified too.
    world.done(world.receiving(bob, groups[0].0, 1)).await;
    book.pushed(phone, groups[2].0, 4).await;
    assert_eq!(badge(now).await, 11);
    assert_eq!(world.list(bob, 10).await.iter().map(|listed| listed.unread_count).sum::<i64>(), 11);
}

pub async fn a_notification_is_looked_for_when_the_message_says(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob]).await);
    let later = |conversation, ms| {
        let message = world.message(alice, conversation, "hello");
        AppendMessage { notify_at: Some(message.now.plus_ms(ms)), ..message }
    };
    let (first, second) = (later(dm, 5000), later(dm, 3000));
    world.done(sending(&first)).await;
    world.done(sending(&second)).await;
    let burst = [later(group, 9000), later(group, 9000), later(group, 9000)];
    world.burst(burst.iter().map(sending).collect()).await;
    let filter = JobFilter { state: JobState::Ready, kind: Some(NOTIFY.to_owned()), after: 0, limit: 10 };
    let jobs = world.store.jobs().list_jobs(filter).await.expect("the queue is listed");
    let times: Vec<(Timestamp, bool)> = jobs.iter().map(|job| (job.run_at, job.created_at < job.run_at)).collect();
    let due = |message: &AppendMessage| message.notify_at.expect("it was said when");
    assert_eq!(times, [(due(&first), true), (due(&burst[0]), true)], "the one that waits keeps its time");
    assert_eq!(jobs[0].created_at, first.now);

    // Where nobody is ever notified, nothing is queued.
    let (other, silent) = (world.group(alice, &[bob]).await, world.group(alice, &[bob]).await);
    let nobody = |conversation| AppendMessage { notify_at: None, ..world.message(alice, conversation, "hello") };
    let soonest = later(other, 100);
    let burst = [nobody(other), soonest.clone(), later(other, 9000), nobody(silent)];
    world.burst(burst.iter().map(sending).collect()).await;
    let filter = JobFilter { state: JobState::Ready, kind: Some(NOTIFY.to_owned()), after: jobs[1].id, limit: 10 };
    let jobs = world.store.jobs().list_jobs(filter).await.expect("the queue is listed");
    assert_eq!(jobs.iter().map(|job| job.run_at).collect::<Vec<_>>(), [due(&soonest)]);
}
