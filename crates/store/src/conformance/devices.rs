//! Devices: registering, renewing, moving to another person, going; and when their person wants to be left alone.

use tertulia_proto::{Device, Platform, PushProvider, QuietHours};

use super::Home;
use super::book::{Book, sorted};
use crate::push::*;
use crate::*;

pub async fn a_device_is_registered_as_it_says_and_shown_to_its_person_alone(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let new = NewRegistration {
        device: Some(book.client_device()),
        provider: PushProvider::Apns,
        platform: Platform::Ios,
        app_version: Some("2.1".to_owned()),
        user_agent: Some("Tertulia/2.1 (ö)".to_owned()),
        shows_content: false,
        ..book.phone(alice, "token")
    };
    let first = book.register(new.clone()).await;
    let expected = Device {
        id: new.id,
        platform: Platform::Ios,
        provider: PushProvider::Apns,
        app_version: new.app_version.clone(),
        user_agent: new.user_agent.clone(),
        device_id: new.device,
        shows_content: false,
        created_at: new.now,
        registered_at: new.now,
        active: true,
        failure: None,
    };
    assert_eq!(first, expected);
    // Longer than an index's keys may be, and the same text of another provider is another token.
    let long = "x".repeat(4096);
    let second = book.register(book.phone(alice, &long)).await;
    let third = book.register(NewRegistration { provider: PushProvider::Expo, ..book.phone(alice, "token") }).await;
    assert_eq!(book.devices(alice).await, [third.id, second.id, first.id]);
    assert_eq!(book.push().devices(alice).await.expect("the store reads")[2], first);
    assert_eq!(book.devices(bob).await, []);
    let targets = book.push().targets(alice).await.expect("the store reads");
    let target = targets.iter().find(|target| target.registration == first.id).expect("it is notified");
    assert_eq!((target.user, target.provider, target.platform), (alice, PushProvider::Apns, Platform::Ios));
    assert_eq!((target.token.as_str(), target.shows_content), ("token", false));
}

pub async fn a_device_registered_again_keeps_its_id_and_what_it_was_told(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let dm = book.world.dm(alice, bob).await;
    book.world.send_many(bob, dm, 3).await;
    let device = book.client_device();
    let first = book.register(book.phone(alice, "token")).await;
    book.pushed(first.id, dm, 2).await;
    let hash = token_hash(PushProvider::Fcm, "token");
    assert!(book.push().switch_off(first.id, hash, "gone".into(), book.world.now()).await.expect("an answer"));
    let again = NewRegistration {
        platform: Platform::Web,
        app_version: Some("3".to_owned()),
        shows_content: false,
        ..book.of_device(alice, "token", device)
    };
    let renewed = book.register(again.clone()).await;
    let expected = Device {
        platform: Platform::Web,
        app_version: Some("3".to_owned()),
        shows_content: false,
        device_id: Some(device),
        registered_at: again.now,
        ..first.clone()
    };
    assert_eq!(renewed, expected);
    assert!(first.active && renewed.active && renewed.failure.is_none());
    assert_eq!(book.seat(first.id, dm).await.pushed_seq, 2);
    assert_eq!(book.devices(alice).await, [first.id]);
}

pub async fn a_token_of_another_person_moves_and_takes_nothing_along(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob, carol] = book.world.people(["alice", "bob", "carol"]).await;
    let group = book.world.group(carol, &[alice, bob]).await;
    book.world.send_many(carol, group, 2).await;
    let of_alice = book.phone_of(alice, "token").await;
    let stays = book.phone_of(alice, "another").await;
    book.pushed(of_alice, group, 2).await;
    assert_eq!(book.heard_by(group).await, [stays]);
    let of_bob = book.register(book.phone(bob, "token")).await;
    assert_ne!(of_bob.id, of_alice);
    assert_eq!((book.devices(alice).await, book.devices(bob).await), (vec![stays], vec![of_bob.id]));
    assert_eq!(book.tokens(bob).await, ["token"]);
    let seat = book.seat(of_bob.id, group).await;
    assert_eq!((seat.user, seat.pushed_seq, seat.withdrawn_seq), (bob, 0, 0));
    assert!(book.occasion_at(of_alice, group, book.world.now()).await.is_none());
    // What was told to it stays known, of nobody.
    let told = book.push().push_attempts(group, 2).await.expect("the store reads");
    assert_eq!((told.len(), told[0].registration, told[0].user, told[0].provider), (1, of_alice, None, None));
    // And back, as yet another one.
    let back = book.register(book.phone(alice, "token")).await;
    assert!(back.id != of_alice && back.id != of_bob.id);
    assert_eq!((book.seat(back.id, group).await.pushed_seq, book.devices(bob).await), (0, vec![]));
}

pub async fn a_refreshed_token_is_its_devices_and_what_was_told_stays_told(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let (dm, group) = (book.world.dm(alice, bob).await, book.world.group(bob, &[alice]).await);
    for conversation in [dm, group] {
        book.world.send_many(bob, conversation, 4).await;
    }
    let (phone, tablet) = (book.client_device(), book.client_device());
    let old = book.register(book.of_device(alice, "old", phone)).await.id;
    let other = book.register(book.of_device(alice, "tablet", tablet)).await.id;
    let of_expo = NewRegistration { provider: PushProvider::Expo, ..book.of_device(alice, "expo", phone) };
    let of_expo = book.register(of_expo).await.id;
    book.world.done(book.got(alice, dm, 1, phone)).await;
    book.pushed(old, dm, 3).await;
    book.pushed(old, group, 4).await;
    book.note(vec![book.noted(old, dm, 2, PushOutcome::Withdrawn)]).await;
    let new = book.register(book.of_device(alice, "new", phone)).await.id;
    assert_eq!((new, book.devices(alice).await), (old, vec![new, of_expo, other]));
    assert_eq!(book.tokens(alice).await, ["new", "expo", "tablet"]);
    let seat = book.seat(new, dm).await;
    assert_eq!((seat.delivered_seq, seat.pushed_seq, seat.withdrawn_seq), (1, 3, 2));
    assert_eq!(book.heard_by(group).await, sorted([other, of_expo]));
    // Of another person with the same client device nothing is taken.
    let of_bob = book.register(book.of_device(bob, "bob's", phone)).await.id;
    assert_eq!((book.devices(bob).await, book.devices(alice).await.len()), (vec![of_bob], 3));
    // A token that is known already says which device it is now, and stands for both from then on.
    let loose = book.phone_of(alice, "loose").await;
    book.pushed(loose, dm, 4).await;
    let joined = book.register(book.of_device(alice, "loose", phone)).await.id;
    assert_eq!((joined, book.devices(alice).await), (loose, vec![loose, of_expo, other]));
    let seat = book.seat(loose, dm).await;
    assert_eq!((seat.delivered_seq, seat.pushed_seq, seat.withdrawn_seq), (1, 4, 2));
}

pub async fn a_job_queued_before_its_device_has_another_token_is_for_that_one(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let dm = book.world.dm(alice, bob).await;
    let device = book.client_device();
    let phone = book.register(book.of_device(alice, "old", device)).await;
    book.world.send(bob, dm, "hello").await;
    assert_eq!(book.heard_by(dm).await, [phone.id]);
    let old = token_hash(PushProvider::Fcm, "old");
    let off = async |hash| book.push().switch_off(phone.id, hash, "gone".into(), book.world.now()).await;
    let renewal = NewRegistration { app_version: Some("2".to_owned()), ..book.of_device(alice, "new", device) };
    let renewed = book.register(renewal.clone()).await;
    let expected = Device { app_version: Some("2".to_owned()), registered_at: renewal.now, ..phone.clone() };
    assert_eq!(renewed, expected);
    let occasion = book.occasion(phone.id, dm).await;
    assert_eq!((occasion.target.token.as_str(), occasion.unseen.len()), ("new", 1));
    assert!(!off(old).await.expect("an answer"), "what is said of the old token says nothing of the new one");
    // One that is off is on again.
    assert!(off(token_hash(PushProvider::Fcm, "new")).await.expect("an answer"));
    assert_eq!(book.register(book.of_device(alice, "third", device)).await.id, phone.id);
    assert_eq!(book.occasion(phone.id, dm).await.target.token, "third");
    // The old one is anybody's.
    let of_bob = book.phone_of(bob, "old").await;
    assert_ne!(of_bob, phone.id);
    // And where the new one was another person's, the device has it nevertheless.
    assert_eq!(book.register(book.of_device(alice, "old", device)).await.id, phone.id);
    assert_eq!((book.tokens(alice).await, book.devices(bob).await), (vec!["old".to_owned()], vec![]));
}

pub async fn what_a_device_tells_while_it_is_off_counts(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let dm = book.world.dm(alice, bob).await;
    book.world.send_many(bob, dm, 3).await;
    let device = book.client_device();
    let phone = book.register(book.of_device(alice, "token", device)).await.id;
    let hash = token_hash(PushProvider::Fcm, "token");
    assert!(book.push().switch_off(phone, hash, "gone".into(), book.world.now()).await.expect("an answer"));
    // It connects, and says what it has got, before it registers again.
    book.world.done(book.got(alice, dm, 3, device)).await;
    book.register(book.of_device(alice, "token", device)).await;
    assert!(book.heard_by(dm).await.is_empty());
}

pub async fn more_devices_than_one_may_have_push_out_the_oldest(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let of_bob = book.phone_of(bob, "bob's").await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(book.phone_of(alice, &format!("token {n}")).await);
    }
    let few = |new| NewRegistration { per_user_max: 3, ..new };
    // The first one comes again and is the newest by that.
    book.register(few(book.phone(alice, "token 0"))).await;
    assert_eq!(book.devices(alice).await, [ids[0], ids[3], ids[2]]);
    let new = book.register(few(book.phone(alice, "new"))).await.id;
    assert_eq!(book.devices(alice).await, [new, ids[0], ids[3]]);
    let early = NewRegistration { now: Timestamp::from_ms(1), ..few(book.phone(alice, "early")) };
    let early = book.register(early).await.id;
    assert_eq!(book.devices(alice).await, [new, ids[0], early], "who registers is in, whatever the clock says");
    assert_eq!(book.devices(bob).await, [of_bob]);
}

pub async fn a_device_is_unregistered_by_its_person_alone(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let first = book.phone_of(alice, "first").await;
    let expo = NewRegistration { provider: PushProvider::Expo, ..book.phone(alice, "second") };
    let second = book.register(expo).await.id;
    let gone = async |user, which| book.push().unregister(user, which).await.expect("an answer");
    assert!(!gone(bob, WhichDevice::Id(first)).await);
    assert!(!gone(bob, WhichDevice::Token("first".into())).await);
    assert!(!gone(alice, WhichDevice::Token("third".into())).await);
    assert_eq!(book.devices(alice).await, [second, first]);
    assert!(gone(alice, WhichDevice::Token("second".into())).await);
    assert!(!gone(alice, WhichDevice::Token("second".into())).await);
    assert!(gone(alice, WhichDevice::Id(first)).await);
    assert_eq!(book.devices(alice).await, []);
}

pub async fn who_signs_out_is_not_notified_there_any_more(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let dm = book.world.dm(alice, bob).await;
    book.world.send_many(bob, dm, 2).await;
    let (here, there) = (book.sign_in(alice).await, book.sign_in(alice).await);
    let signed_in = |session, token| NewRegistration { session: Some(session), ..book.phone(alice, token) };
    let kept = book.register(signed_in(there, "there")).await.id;
    let of_app = book.register(signed_in(SessionId::from_bytes(book.world.id()), "of a host app")).await.id;
    // The same installation signed in again: its device belongs to the later session.
    let moved = book.register(signed_in(here, "moved")).await.id;
    book.register(signed_in(there, "moved")).await;
    let gone = book.register(signed_in(here, "here")).await.id;
    book.pushed(gone, dm, 1).await;
    book.sign_out(alice, here).await;
    assert_eq!(book.devices(alice).await, [moved, of_app, kept]);
    assert!(book.occasion_at(gone, dm, book.world.now()).await.is_none());
    // A registration that was under way meanwhile comes to nothing.
    let late = book.register(signed_in(here, "late")).await;
    assert!(!late.active && late.failure.is_some());
    assert!(!book.register(signed_in(here, "there")).await.active);
    assert_eq!(book.devices(alice).await, [moved, of_app, kept]);
    assert_eq!(book.tokens(alice).await.len(), 3);
    // Once more, and of a session that never was.
    book.sign_out(alice, here).await;
    book.sign_out(alice, SessionId::from_bytes(book.world.id())).await;
    assert_eq!(book.devices(alice).await.len(), 3);
}

pub async fn a_device_goes_when_what_registered_it_is_known_to_be_over(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let dm = book.world.dm(alice, bob).await;
    book.world.send_many(bob, dm, 2).await;
    let registered =
        async |by, token: &str| book.register(NewRegistration { session: by, ..book.phone(alice, token) }).await.id;
    // Before the others expire: whoever signs in takes such sessions along.
    let standing = book.sign_in(alice).await;
    for n in 0..3 {
        let session = SessionId::from_bytes(book.world.id());
        let (expires_at, now) = (Timestamp::from_ms(100), Timestamp::from_ms(0));
        book.world.done(Write::OpenSession { session, user: alice, user_agent: None, expires_at, now }).await;
        let device = registered(Some(session), &format!("expired {n}")).await;
        book.pushed(device, dm, 1).await;
    }
    let of_nobody = registered(None, "of nobody").await;
    let of_app = registered(Some(SessionId::from_bytes(book.world.id())), "of a host app").await;
    let here = registered(Some(standing), "here").await;
    let forget = async |at, limit| book.push().forget_devices(Timestamp::from_ms(at), limit).await.expect("an answer");
    let sessions =
        async |at| book.world.store.jobs().forget_sessions(Timestamp::from_ms(at), 9).await.expect("an answer");
    assert_eq!((forget(100, 9).await, sessions(200).await), (0, 0), "as long as they have devices they are remembered");
    assert_eq!((forget(101, 2).await, forget(101, 2).await, forget(101, 2).await), (2, 1, 0));
    assert_eq!((sessions(200).await, forget(200, 9).await), (3, 0));
    assert_eq!(book.devices(alice).await, [here, of_app, of_nobody], "the latest first");
}

pub async fn who_signs_in_removes_expired_sessions_with_their_devices(home: &impl Home) {
    let book = Book::open(home).await;
    let alice = book.world.person("alice").await;
    let session = SessionId::from_bytes(book.world.id());
    let (expires_at, now) = (Timestamp::from_ms(100), Timestamp::from_ms(0));
    book.world.done(Write::OpenSession { session, user: alice, user_agent: None, expires_at, now }).await;
    let registered = async |by, token: &str| {
        book.register(NewRegistration { session: Some(by), ..book.phone(alice, token) }).await.id
    };
    registered(session, "expired").await;
    let of_app = registered(SessionId::from_bytes(book.world.id()), "of a host app").await;
    book.sign_in(alice).await;
    assert!(book.world.store.session(session).await.expect("the store reads").is_none());
    assert_eq!(book.devices(alice).await, [of_app]);
}

pub async fn a_revoked_key_leaves_no_devices_and_registers_none(home: &impl Home) {
    let book = Book::open(home).await;
    let alice = book.world.person("alice").await;
    let (id, other) = (ApiKeyId::from_bytes(book.world.id()), ApiKeyId::from_bytes(book.world.id()));
    for (n, id) in [(1, id), (2, other)] {
        let (name, scopes, now) = ("shop".to_owned(), vec!["users:write".to_owned()], book.world.now());
        book.world.done(Write::CreateApiKey { id, hash: [n; 32], name, scopes, user: None, bot: None, now }).await;
    }
    let by = |key: ApiKeyId, token| {
        let session = Some(SessionId::from_bytes(*key.as_bytes()));
        NewRegistration { session, ..book.phone(alice, token) }
    };
    book.register(by(id, "of the key")).await;
    let of_other = book.register(by(other, "of another key")).await.id;
    book.world.done(Write::RevokeApiKey { id, now: book.world.now() }).await;
    assert!(!book.register(by(id, "late")).await.active);
    assert_eq!(book.push().forget_devices(book.world.now(), 9).await.expect("an answer"), 0);
    assert_eq!(book.devices(alice).await, [of_other]);
}

pub async fn a_device_that_is_refused_again_and_again_is_switched_off(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let dm = book.world.dm(alice, bob).await;
    book.world.send_many(bob, dm, 30).await;
    let (phone, other) = (book.phone_of(alice, "token").await, book.phone_of(alice, "other").await);
    use PushOutcome::{Accepted, Failed, Refused};
    let mut seq = 0;
    let mut told = async |outcomes: &[PushOutcome]| {
        for outcome in outcomes {
            seq += 1;
            book.note(vec![book.noted(phone, dm, seq, *outcome), book.noted(other, dm, seq, Accepted)]).await;
        }
        book.tokens(alice).await.len()
    };
    assert_eq!(told(&[Refused, Refused, Failed, Refused, Refused]).await, 2, "four in a row");
    assert_eq!(told(&[Accepted, Refused, Refused, Refused, Refused]).await, 2, "again four");
    // Several in one call count as one by one.
    let both = [book.noted(phone, dm, 20, Accepted), book.noted(phone, dm, 21, Refused)];
    book.note(both.into()).await;
    assert_eq!(told(&[Refused, Refused, Refused]).await, 2, "four");
    assert_eq!(told(&[Refused]).await, 1);
    let shown = book.push().devices(alice).await.expect("the store reads");
    let shown = shown.iter().find(|device| device.id == phone).expect("it is shown all the same");
    let failure = shown.failure.as_deref().expect("why");
    assert!(!shown.active && failure.contains("5 times") && failure.contains("said so"), "{failure}");
    // Registered again, it begins anew.
    book.register(book.phone(alice, "token")).await;
    assert_eq!(told(&[Refused, Refused, Refused, Refused]).await, 2);
    assert_eq!(told(&[Refused]).await, 1);
}

pub async fn a_device_is_switched_off_only_for_the_token_that_failed(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let dm = book.world.dm(alice, bob).await;
    book.world.send(bob, dm, "hello").await;
    let (phone, kept) = (book.phone_of(alice, "token").await, book.phone_of(alice, "kept").await);
    let off = async |token| {
        let hash = token_hash(PushProvider::Fcm, token);
        let reason = format!("UNREGISTERED {}", "ö".repeat(DETAIL_MAX_BYTES));
        book.push().switch_off(phone, hash, reason, book.world.now()).await.expect("an answer")
    };
    assert!(!off("another").await);
    assert_eq!(book.tokens(alice).await.len(), 2);
    assert!(off("token").await);
    assert!(!off("token").await, "it is off");
    assert_eq!(book.tokens(alice).await, ["kept"]);
    assert_eq!(book.heard_by(dm).await, [kept]);
    assert!(book.occasion_at(phone, dm, book.world.now()).await.is_none());
    let shown = book.push().devices(alice).await.expect("the store reads");
    let shown = shown.iter().find(|device| device.id == phone).expect("it is shown all the same");
    let failure = shown.failure.as_deref().expect("why");
    assert!(!shown.active && failure.starts_with("UNREGISTERED") && failure.len() <= DETAIL_MAX_BYTES, "{failure}");
    book.register(book.phone(alice, "token")).await;
    assert_eq!(book.heard_by(dm).await, sorted([phone, kept]));
}

pub async fn quiet_hours_are_kept_as_they_were_said(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let (of_alice, of_bob) = (book.phone_of(alice, "a").await, book.phone_of(bob, "b").await);
    let hours = |from: &str| QuietHours { from: from.into(), to: "07:00".into(), time_zone: "Europe/Madrid".into() };
    let kept = async |user| book.push().quiet_hours(user).await.expect("the store reads");
    assert_eq!(kept(alice).await, None);
    for from in ["22:00", "23:30"] {
        book.push().set_quiet_hours(alice, Some(hours(from))).await.expect("they are kept");
        assert_eq!((kept(alice).await, kept(bob).await), (Some(hours(from)), None));
    }
    assert_eq!(book.occasion(of_alice, dm).await.quiet_hours, Some(hours("23:30")));
    assert_eq!(book.occasion(of_bob, dm).await.quiet_hours, None);
    book.push().set_quiet_hours(alice, None).await.expect("they end");
    assert_eq!((kept(alice).await, kept(UserId::from_bytes(world.id())).await), (None, None));
}

pub async fn what_concerns_devices_is_no_change_of_the_log(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send_many(alice, dm, 2).await;
    let still = world.still(&[alice, bob]).await;
    let phone = book.phone_of(bob, "token").await;
    book.pushed(phone, dm, 2).await;
    book.note(vec![book.noted(phone, dm, 2, PushOutcome::Failed)]).await;
    let hours = QuietHours { from: "22:00".into(), to: "07:00".into(), time_zone: "UTC".into() };
    book.push().set_quiet_hours(bob, Some(hours)).await.expect("they are kept");
    book.push().unregister(bob, WhichDevice::Id(phone)).await.expect("an answer");
    world.assert_still(&still, "devices came and went").await;
}

pub async fn of_what_a_provider_took_each_devices_latest_is_told(home: &impl Home) {
    let book = Book::open(home).await;
    let [alice, bob] = book.world.people(["alice", "bob"]).await;
    let dm = book.world.dm(alice, bob).await;
    book.world.send_many(bob, dm, 4).await;
    let of_expo = |token: &str| NewRegistration { provider: PushProvider::Expo, ..book.phone(alice, token) };
    let (one, other) = (book.register(of_expo("one")).await.id, book.register(of_expo("other")).await.id);
    let of_fcm = book.phone_of(alice, "elsewhere").await;
    let took = async |registration, seq, outcome, name: &str| {
        let note = PushNote { detail: name.to_owned(), ..book.noted(registration, dm, seq, outcome) };
        book.note(vec![note.clone()]).await;
        note.at
    };
    let tickets = async |since, until| {
        let all = book.push().tickets(PushProvider::Expo, since, until).await.expect("the store reads");
        all.into_iter().map(|ticket| (ticket.registration, ticket.seq, ticket.name)).collect::<Vec<_>>()
    };
    let since = took(one, 1, PushOutcome::Accepted, "a").await;
    took(other, 1, PushOutcome::Accepted, "b").await;
    let second = took(one, 2, PushOutcome::Accepted, "c").await;
    took(of_fcm, 2, PushOutcome::Accepted, "d").await;
    took(other, 2, PushOutcome::Accepted, "").await;
    took(other, 3, PushOutcome::Failed, "e").await;
    let end = book.world.now();
    took(one, 3, PushOutcome::Accepted, "f").await;
    let named = |registration, seq, name: &str| (registration, seq, name.to_owned());
    assert_eq!(tickets(since, end).await, [named(one, 2, "c"), named(other, 1, "b")]);
    assert_eq!(tickets(since, second).await, [named(other, 1, "b"), named(one, 1, "a")]);
    assert_eq!(tickets(second, end).await, [named(one, 2, "c")]);
    let all = book.push().tickets(PushProvider::Expo, since, end).await.expect("the store reads");
    assert_eq!((all[0].token_hash, all[0].conversation), (token_hash(PushProvider::Expo, "one"), dm));
    // Whoever has registered again is there; and what is off has no need to be asked for.
    book.register(of_expo("one")).await;
    assert_eq!(tickets(since, end).await, [named(other, 1, "b")]);
    let hash = token_hash(PushProvider::Expo, "other");
    assert!(book.push().switch_off(other, hash, "gone".to_owned(), book.world.now()).await.expect("an answer"));
    assert_eq!(tickets(since, end).await, []);
}
