//! Other programs are told what happens: which events are kept, what they say, and how lines move.

use tertulia_proto::webhook::EventId;
use tertulia_proto::{HistoryVisibility, Role, WebhookId};

use super::Home;
use super::hooks::{Hooks, LEASE_MS, Stage, failed, line, line_of, numbered, sorted, taken};
use super::writes::sending;
use crate::webhooks::*;
use crate::*;

pub async fn an_event_is_kept_only_where_somebody_wants_it(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send(alice, dm, "nobody listens").await;
    assert_eq!((hooks.kept().await, hooks.queued().await), (0, vec![]));
    let (talk, edits) = (hooks.listen(&["message.created"]).await, hooks.listen(&["message.updated"]).await);
    let message = world.send(alice, dm, "one does").await;
    assert_eq!(hooks.queued().await, [line(talk, dm)]);
    world.done(world.titling(alice, world.open_group(alice, &[bob]).await, "Unheard")).await;
    assert_eq!(hooks.kept().await, 1, "nobody wants to be told of titles");
    world.done(world.editing(alice, &message, "the other one does")).await;
    let mut both = vec![line(talk, dm), line(edits, dm)];
    both.sort_unstable();
    assert_eq!(hooks.queued().await, both);
    assert_eq!(hooks.take(line(talk, dm)).await, [("message.created", 3)]);
    assert_eq!(hooks.take(line(edits, dm)).await, [("message.updated", 4)]);
    assert_eq!(hooks.next(line(talk, dm)).await, Next::Nothing);
    assert_eq!(hooks.next(line(WebhookId::from_bytes([3; 16]), dm)).await, Next::Nothing, "nobody is nobody's");
}

pub async fn each_change_of_a_conversation_is_told_with_its_rev(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let all = hooks.listen(&[]).await;
    let write = world.creating_group(alice, &[bob], HistoryVisibility::All);
    let Write::CreateGroup { id: group, .. } = write else { panic!("a group is created") };
    world.done(write).await;
    let message = world.send(alice, group, "hello").await;
    world.done(world.editing(alice, &message, "hello!")).await;
    world.done(world.reacting(bob, &message, "👍")).await;
    world.done(world.reading(bob, group, 1)).await;
    world.done(world.titling(alice, group, "Ours")).await;
    world.done(world.adding(alice, group, carol)).await;
    world.done(world.giving_role(alice, group, carol, Role::Admin)).await;
    world.done(world.removing(alice, group, carol)).await;
    world.done(world.leaving(alice, group, Some(bob))).await;
    world.done(world.deleting(bob, &world.send(bob, group, "gone").await)).await;
    let expected = [
        ("conversation.created", 1),
        ("message.created", 2),
        ("message.updated", 3),
        ("reaction.updated", 4),
        ("conversation.updated", 6),
        ("conversation.member_added", 7),
        ("conversation.role_changed", 8),
        ("conversation.member_removed", 9),
        ("conversation.member_removed", 10),
        ("conversation.role_changed", 11),
        ("message.created", 12),
        ("message.deleted", 13),
    ];
    let told = hooks.sending(line(all, group)).await;
    assert_eq!(numbered(&told.batch.events), expected);
    assert_eq!((told.after, told.up_to, told.has_more), (0, 13, false));
    for event in &told.batch.events {
        assert_eq!((event.conversation_id, event.data.user.is_none()), (Some(group), true));
        let is_message = event.kind.as_str().starts_with("message.") || event.kind.as_str() == "reaction.updated";
        assert_eq!((event.seq.is_some(), event.data.message.is_some()), (is_message, is_message), "{event:?}");
        assert_eq!(event.data.conversation.is_some(), !is_message);
        assert_eq!(
            event.data.member.is_some(),
            event.kind.as_str().starts_with("conversation.m") || event.rev == Some(8) || event.rev == Some(11)
        );
    }
    let of = |rev: i64| told.batch.events.iter().find(|event| event.rev == Some(rev)).expect("an event").data.clone();
    assert_eq!(of(1).conversation.expect("it").member_ids, Some(vec![bob]), "as it is now");
    let carol_left = of(9).member.expect("carol");
    assert_eq!((carol_left.user_id, carol_left.removed), (carol, true));
    let heir = of(11).member.expect("bob");
    assert_eq!((heir.user_id, heir.role), (bob, Role::Owner));
}

pub async fn what_changes_nothing_is_no_event(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let group = world.open_group(alice, &[bob]).await;
    let append = world.message(alice, group, "once");
    world.done(sending(&append)).await;
    let message = world.store.message(alice, group, append.id).await.expect("a read").expect("the message");
    world.done(world.reacting(bob, &message, "👍")).await;
    hooks.listen(&[]).await;
    world.done(sending(&world.again(&append))).await;
    world.done(world.editing(alice, &message, "once")).await;
    world.done(world.reacting(bob, &message, "👍")).await;
    world.done(world.adding(alice, group, bob)).await;
    world.done(world.giving_role(alice, group, bob, Role::Member)).await;
    world.done(world.renaming(bob, "bob")).await;
    let title = world.store.conversation(alice, group).await.expect("a read").expect("it").title.expect("a title");
    world.done(world.titling(alice, group, &title)).await;
    world.done(world.reading(bob, group, 1)).await;
    world.done(world.hiding(bob, group)).await;
    world.refused(world.titling(carol, group, "Mine")).await;
    assert_eq!((hooks.kept().await, hooks.queued().await), (0, vec![]));
}

pub async fn people_are_told_of_in_their_own_order(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let all = hooks.listen(&["user.*"]).await;
    let [alice] = world.people(["alice"]).await;
    // However slow the clock is.
    world.step_clock_by(0);
    world.done(world.renaming(alice, "Alicia")).await;
    world.done(world.renaming(alice, "Alice B.")).await;
    world.step_clock_by(1000);
    let told = hooks.sending(line_of(all, alice)).await.batch.events;
    let kinds: Vec<&str> = told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["user.created", "user.updated", "user.updated"]);
    assert!(numbered(&told).is_sorted_by(|a, b| a.1 < b.1), "{told:?}");
    for event in &told {
        let user = event.data.user.as_ref().expect("the person");
        assert_eq!((user.name.as_str(), user.email.as_deref()), ("Alice B.", Some("alice@example.org")));
        assert_eq!((event.conversation_id, event.rev, event.seq), (None, None, None));
    }
    let external = |name: &str, email: &str| Write::EnsureExternalUser {
        issuer: "shop".to_owned(),
        subject: "7".to_owned(),
        user: NewUser { email: Some(email.to_owned()), name: name.to_owned(), ..world.newcomer("seven") },
    };
    let made = external("Seven", "seven@example.org");
    let Write::EnsureExternalUser { user: NewUser { id: seven, .. }, .. } = made else { panic!("a person") };
    world.done(made).await;
    world.done(external("Seven", "seven@example.org")).await;
    world.done(external("Seven", "7@example.org")).await;
    world.done(external("Sieben", "sieben@example.org")).await;
    let kinds: Vec<&str> = hooks.take(line_of(all, seven)).await.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["user.created", "user.updated", "user.updated"], "each once, and none where nothing changed");
}

pub async fn an_event_says_how_things_are_by_now(home: &impl Home) {
    let Stage { hooks, alice, dm, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let (first, second) = (world.send(alice, dm, "a secret").await, world.send(alice, dm, "a slip").await);
    world.done(world.deleting(alice, &first)).await;
    world.done(world.editing(alice, &second, "better")).await;
    let told = hooks.sending(line(all, dm)).await.batch.events;
    let said: Vec<_> = told
        .iter()
        .map(|event| {
            let message = event.data.message.as_ref().expect("a message");
            (event.kind.as_str(), event.rev.expect("a rev"), message.rev, message.body.as_str())
        })
        .collect();
    assert_eq!(
        said,
        [
            ("message.created", 2, 4, ""),
            ("message.created", 3, 5, "better"),
            ("message.deleted", 4, 4, ""),
            ("message.updated", 5, 5, "better")
        ]
    );
}

pub async fn a_line_moves_when_its_events_are_taken_and_not_before(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    world.send(alice, dm, "one").await;
    world.send(alice, other, "elsewhere").await;
    let sending = hooks.sending(line(all, dm)).await;
    assert_eq!((sending.url, sending.secrets), (format!("https://{all}.example.org"), vec![Secret([7; 32])]));
    assert_eq!(hooks.take(line(all, dm)).await, [("message.created", 2)]);
    assert_eq!(hooks.next(line(all, dm)).await, Next::Nothing);
    world.send(alice, dm, "two").await;
    assert_eq!(hooks.take(line(all, dm)).await, [("message.created", 3)]);
    assert_eq!(hooks.waiting(line(all, other)).await, [("message.created", 2)], "each has its own");
    let endpoint = hooks.endpoint(all).await;
    assert_eq!((endpoint.events_taken, endpoint.requests_failed, endpoint.active), (2, 0, true));
}

pub async fn a_line_is_one_senders_until_its_lease_ends(home: &impl Home) {
    let Stage { hooks, alice, dm, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let here = line(all, dm);
    world.send(alice, dm, "one").await;
    let sending = hooks.sending(here).await;
    let (mine, theirs) = (hooks.beginning(&sending, 1), hooks.beginning(&sending, 2));
    assert!(hooks.begin(here, mine).await);
    assert!(!hooks.begin(here, theirs).await, "somebody is sending");
    assert_eq!(hooks.next(here).await, Next::Busy);
    world.send(alice, dm, "two").await;
    // Whoever it was is lost: the same events under the same name, though there are more by now.
    hooks.wait_until(mine.lease_until.plus_ms(LEASE_MS));
    let again = hooks.sending(here).await;
    assert_eq!((again.after, again.up_to, again.has_more), (sending.after, sending.up_to, true));
    let theirs = hooks.beginning(&again, 2);
    assert!(hooks.begin(here, theirs).await);
    assert_eq!(hooks.end(here, mine, taken(&sending)).await, After::Lost, "too late");
    assert_eq!(hooks.end(here, theirs, taken(&again)).await, After::Taken);
    assert!(!hooks.begin(here, hooks.beginning(&again, 3)).await, "it stands elsewhere by now");
    assert_eq!(hooks.take(here).await, [("message.created", 3)]);
}

pub async fn a_failure_is_tried_again_by_the_schedule_with_the_same_events(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let here = line(all, dm);
    world.send(alice, dm, "one").await;
    world.send(alice, other, "elsewhere").await;
    let After::Again(at) = hooks.fail(here).await else { panic!("it is tried again") };
    let endpoint = hooks.endpoint(all).await;
    assert_eq!((endpoint.failures, endpoint.requests_failed, endpoint.retry_at), (1, 1, Some(at)));
    assert_eq!(endpoint.last_failure.as_deref(), Some("500"));
    let other_waits = hooks.next(line(all, other)).await;
    assert_eq!(other_waits, Next::Wait(at), "where nobody answers not all have to find that out");
    world.send(alice, dm, "two").await;
    hooks.wait_until(at);
    assert_eq!(hooks.waiting(here).await, [("message.created", 2)]);
    let much_later = at.plus_ms(200_000);
    assert_eq!(hooks.tried(here, |_| failed(Some(much_later))).await, After::Again(much_later), "as it was asked for");
    hooks.wait_until(much_later);
    assert_eq!(hooks.take(here).await, [("message.created", 2)]);
    let endpoint = hooks.endpoint(all).await;
    assert_eq!((endpoint.failures, endpoint.retry_at, endpoint.requests_failed), (0, None, 2));
    assert_eq!(hooks.take(here).await, [("message.created", 3)]);
    assert_eq!(hooks.take(line(all, other)).await, [("message.created", 2)]);
}

pub async fn an_endpoint_that_fails_to_the_end_is_off_and_goes_on_where_it_stood(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let here = line(all, dm);
    world.send(alice, dm, "one").await;
    for _ in 0..2 {
        let After::Again(at) = hooks.fail(here).await else { panic!("it is tried again") };
        hooks.wait_until(at);
    }
    assert_eq!(hooks.fail(here).await, After::Off);
    let endpoint = hooks.endpoint(all).await;
    assert_eq!((endpoint.active, endpoint.off_reason.as_deref()), (false, Some("500")));
    assert!(endpoint.off_since.is_some());
    assert_eq!(hooks.next(here).await, Next::Nothing);
    // What happens meanwhile is kept for it, and nobody tries.
    let queued = hooks.queued().await;
    world.send(alice, dm, "two").await;
    world.send(alice, other, "elsewhere").await;
    assert_eq!(hooks.queued().await, queued);
    assert!(hooks.behind(all, None).await.is_empty());
    let jobs = vec![here.job(world.now(), world.now())];
    assert!(hooks.book().enable_endpoint(all, jobs).await.expect("it is enabled"));
    assert!(hooks.queued().await.contains(&here));
    let behind = hooks.behind(all, None).await;
    assert_eq!(behind, sorted(vec![dm.uuid(), other.uuid()]));
    assert_eq!(hooks.behind(all, Some(behind[0])).await, behind[1..]);
    assert_eq!(hooks.take(here).await, [("message.created", 2)]);
    assert_eq!(hooks.take(here).await, [("message.created", 3)]);
    assert_eq!(hooks.take(line(all, other)).await, [("message.created", 2)]);
    let nobody = WebhookId::from_bytes([3; 16]);
    assert!(!hooks.book().enable_endpoint(nobody, vec![]).await.expect("an answer"));
}

pub async fn whoever_wants_no_more_is_off_at_once(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let (all, other) = (hooks.listen(&["message.*"]).await, hooks.listen(&["message.*"]).await);
    world.send(alice, dm, "one").await;
    let gone = |_: &Sending| TryResult::Gone { reason: format!("410 {}", "ö".repeat(FAILURE_MAX_BYTES)) };
    assert_eq!(hooks.tried(line(all, dm), gone).await, After::Off);
    let reason = hooks.endpoint(all).await.off_reason.expect("a reason");
    assert!(reason.starts_with("410 ö") && reason.len() <= FAILURE_MAX_BYTES, "{reason}");
    assert_eq!(hooks.take(line(other, dm)).await, [("message.created", 2)], "that is its business alone");
    assert!(hooks.book().remove_endpoint(all).await.expect("an answer"));
    assert!(!hooks.book().remove_endpoint(all).await.expect("an answer"));
    assert_eq!(hooks.book().endpoints().await.expect("a list").len(), 1);
}

pub async fn an_endpoint_is_owed_what_happens_since_it_was_added(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let early = hooks.listen(&["message.*"]).await;
    world.send(alice, dm, "before").await;
    let late = hooks.listen(&["message.*"]).await;
    assert_eq!(hooks.next(line(late, dm)).await, Next::Nothing);
    assert!(hooks.behind(late, None).await.is_empty());
    world.send(alice, dm, "after").await;
    assert_eq!(hooks.waiting(line(early, dm)).await.len(), 2);
    assert_eq!(hooks.take(line(late, dm)).await, [("message.created", 3)]);
}

pub async fn a_replay_goes_back_and_never_forward(home: &impl Home) {
    let Stage { hooks, alice, dm, other, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    let here = line(all, dm);
    world.send_many(alice, dm, 2).await;
    world.send(alice, other, "elsewhere").await;
    let since = world.now();
    world.send_many(alice, dm, 2).await;
    assert_eq!(hooks.take(here).await.len(), 4);
    assert_eq!(hooks.rewind(all, since).await, [dm.uuid()], "elsewhere nothing has happened since");
    assert_eq!(hooks.waiting(here).await, [("message.created", 4), ("message.created", 5)]);
    // Whoever is sending meanwhile does not move it on, but is waited for.
    let sending = hooks.sending(here).await;
    let begin = hooks.beginning(&sending, 1);
    assert!(hooks.begin(here, begin).await);
    hooks.book().rewind_line(here, 3, world.now()).await.expect("it goes back");
    assert!(hooks.queued().await.contains(&here));
    assert_eq!(hooks.next(here).await, Next::Busy, "there is one request under way at most");
    assert_eq!(hooks.end(here, begin, taken(&sending)).await, After::Lost);
    hooks.wait_until(begin.lease_until);
    assert_eq!(hooks.waiting(here).await.first(), Some(&("message.created", 3)));
    hooks.book().rewind_line(here, 5, world.now()).await.expect("nothing is left out");
    assert_eq!(hooks.take(here).await.len(), 3);
    assert_eq!(hooks.rewind(all, Timestamp::from_ms(0)).await, sorted(vec![dm.uuid(), other.uuid()]));
    assert_eq!(hooks.take(here).await.len(), 4);
    let nobody = WebhookId::from_bytes([3; 16]);
    hooks.book().rewind_lines(nobody, vec![(dm.uuid(), 3)], world.now()).await.expect("nothing");
    assert_eq!(hooks.next(line(nobody, dm)).await, Next::Nothing);
}

pub async fn a_request_holds_so_many_events_and_bytes(home: &impl Home) {
    let Stage { hooks, alice, dm, other: heavy, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    world.send_many(alice, dm, i64::try_from(BATCH_MAX).unwrap_or(0) + 1).await;
    let first = hooks.sending(line(all, dm)).await;
    assert_eq!((first.batch.events.len(), first.has_more), (BATCH_MAX, true));
    assert_eq!(hooks.take(line(all, dm)).await.len(), BATCH_MAX);
    assert_eq!(hooks.take(line(all, dm)).await.len(), 1);
    let text = "x".repeat(100_000);
    for _ in 0..4 {
        world.send(alice, heavy, &text).await;
    }
    let first = hooks.sending(line(all, heavy)).await;
    assert_eq!(
        (numbered(&first.batch.events), first.has_more),
        (vec![("message.created", 2), ("message.created", 3)], true)
    );
    // It fails and grows meanwhile: the same events all the same.
    let After::Again(at) = hooks.fail(line(all, heavy)).await else { panic!("it is tried again") };
    let message = first.batch.events[0].data.message.clone().expect("a message");
    world.done(world.editing(alice, &message, &"y".repeat(250_000))).await;
    hooks.wait_until(at);
    assert_eq!(hooks.take(line(all, heavy)).await.len(), 2);
    assert_eq!(hooks.take(line(all, heavy)).await.len(), 2, "the last two, and not the edit, which does not fit");
    assert_eq!(hooks.take(line(all, heavy)).await, [("message.updated", 6)]);
}

pub async fn events_and_positions_are_forgotten_when_they_are_old(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let (all, off) = (hooks.listen(&["message.*", "user.*"]).await, hooks.listen(&["conversation.*"]).await);
    world.send_many(alice, dm, 3).await;
    world.done(world.renaming(alice, "Alicia")).await;
    let (renamed, group) = (hooks.take(line_of(all, alice)).await, world.open_group(alice, &[bob]).await);
    let gone = |_: &Sending| TryResult::Gone { reason: "410".to_owned() };
    assert_eq!(hooks.tried(line(off, group), gone).await, After::Off);
    assert_eq!(hooks.take(line(all, dm)).await.len(), 3);
    let end = world.now();
    world.send(alice, dm, "young").await;
    let forget = async |at, limit| hooks.book().forget_events(at, limit).await.expect("the clean-up");
    assert_eq!(forget(end, 2).await, 2);
    while forget(end, 100).await > 0 {}
    hooks.book().forget_positions(end, 100).await.expect("the clean-up");
    assert_eq!(hooks.kept().await, 1);
    assert_eq!(hooks.take(line(all, dm)).await, [("message.created", 6)], "a position that is needed stays");
    // A number is never given twice.
    world.step_clock_by(0);
    world.done(world.renaming(alice, "Alice")).await;
    world.step_clock_by(1000);
    assert!(hooks.waiting(line_of(all, alice)).await[0].1 > renamed[0].1);
    // Whoever has been off for so long is listened to no more.
    world.done(world.titling(alice, group, "Ours")).await;
    assert_eq!(hooks.kept().await, 2);
}

pub async fn a_secret_signs_beside_its_successor_until_the_rotation_ends(home: &impl Home) {
    let Stage { hooks, alice, dm, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    world.send(alice, dm, "one").await;
    let secrets = async || hooks.sending(line(all, dm)).await.secrets;
    let rotate = async |secret| hooks.book().rotate_secret(all, secret).await.expect("an answer");
    assert!(rotate(Some(Secret([8; 32]))).await);
    assert_eq!(secrets().await, [Secret([8; 32]), Secret([7; 32])]);
    assert!(hooks.endpoint(all).await.rotating);
    assert!(rotate(Some(Secret([9; 32]))).await);
    assert_eq!(secrets().await, [Secret([9; 32]), Secret([7; 32])], "what the receiver knows for sure");
    assert!(rotate(None).await);
    assert_eq!(secrets().await, [Secret([9; 32])]);
    assert!(!hooks.endpoint(all).await.rotating);
    assert!(!hooks.book().rotate_secret(WebhookId::from_bytes([3; 16]), None).await.expect("an answer"));
}

pub async fn an_event_is_named_by_its_number_and_the_epoch_that_gave_it(home: &impl Home) {
    let Stage { hooks, alice, dm, all, .. } = Stage::open(home).await;
    let world = &hooks.world;
    world.send(alice, dm, "one").await;
    let epoch = EventId::short(world.store.log_state().await.expect("a state").epoch);
    let id = EventId { stream: dm.uuid(), epoch, number: 2 };
    let sending = hooks.sending(line(all, dm)).await;
    assert_eq!((sending.batch.events[0].id.clone(), sending.id()), (id.to_string(), format!("{id}_2")));
    let kept = async |id| hooks.book().kept_event(id).await.expect("a read");
    assert_eq!(kept(id).await.map(|event| (event.id, event.kind.as_str())), Some((id.to_string(), "message.created")));
    assert_eq!(kept(EventId { number: 1, ..id }).await, None);
    let [a, b, c, d] = epoch;
    assert_eq!(kept(EventId { epoch: [a, b, c, !d], ..id }).await, None, "another epoch's");
}

pub async fn events_of_one_moment_are_on_one_page_or_on_the_next(home: &impl Home) {
    let Stage { hooks, alice, dm, other, .. } = Stage::open(home).await;
    let world = &hooks.world;
    world.step_clock_by(0);
    world.send_many(alice, dm, 3).await;
    world.send_many(alice, other, 2).await;
    world.step_clock_by(1000);
    world.send(alice, dm, "later").await;
    let all = hooks.book().kept_events(EventPlace::at(world.now()), KEPT_MAX).await.expect("events are listed");
    assert_eq!(all.len(), 6);
    assert!(all.is_sorted_by(|a, b| a.timestamp >= b.timestamp), "the latest first: {all:?}");
    let (mut before, mut found) = (EventPlace::at(world.now()), Vec::new());
    loop {
        let page = hooks.book().kept_events(before, 2).await.expect("events are listed");
        let Some(last) = page.last() else { break };
        let EventId { stream, number, .. } = last.id.parse().expect("an event's id");
        before = EventPlace { at: last.timestamp, stream, number };
        found.extend(page);
    }
    assert_eq!(found, all);
    let none = hooks.book().kept_events(EventPlace::at(all[5].timestamp), 2).await.expect("events are listed");
    assert_eq!(none, [], "before a time is before all of that time");
}

pub async fn there_are_only_so_many_endpoints(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let mut ids = Vec::new();
    for _ in 0..ENDPOINTS_MAX {
        ids.push(hooks.listen(&[]).await);
    }
    let listed: Vec<WebhookId> =
        hooks.book().endpoints().await.expect("a list").iter().map(|endpoint| endpoint.id).collect();
    ids.sort_unstable();
    assert_eq!(listed, ids);
    let new = NewEndpoint {
        id: WebhookId::from_bytes([3; 16]),
        url: "https://one.too.many".to_owned(),
        filter: tertulia_proto::webhook::EventFilter::all(),
        secret: Secret([7; 32]),
        now: hooks.world.now(),
    };
    assert!(!hooks.book().add_endpoint(new).await.expect("an answer"));
}

pub async fn a_burst_of_sends_is_told_whole_and_in_order(home: &impl Home) {
    let hooks = Hooks::open(home).await;
    let world = &hooks.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let groups = [world.open_group(alice, &[bob]).await, world.open_group(bob, &[alice]).await];
    let all = hooks.listen(&["message.created"]).await;
    let burst: Vec<AppendMessage> = (0..60).map(|n| world.message(alice, groups[n % 2], &n.to_string())).collect();
    world.burst(burst.iter().map(sending).collect()).await;
    for (group, first) in groups.iter().zip(0..) {
        let events = hooks.sending(line(all, *group)).await.batch.events;
        let bodies: Vec<String> =
            events.iter().map(|event| event.data.message.clone().expect("a message").body).collect();
        assert_eq!(bodies, (0..30).map(|n| (first + 2 * n).to_string()).collect::<Vec<_>>());
    }
    let mut lines = groups.map(|group| line(all, group)).to_vec();
    lines.sort_unstable();
    assert_eq!(hooks.queued().await, lines);
}
