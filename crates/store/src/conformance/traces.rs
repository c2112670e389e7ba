//! What is kept of the way that messages took, and where a message is.

use tertulia_proto::{PushProvider, Seq, ServerId};

use super::Home;
use super::book::Book;
use super::world::World;
use super::writes::{client_msg_id, sending};
use crate::jobs::*;
use crate::push::{NOTIFY, PushJob, push_key, token_hash};
use crate::trace::*;
use crate::*;

const SERVER: ServerId = ServerId::from_bytes([9; 16]);

fn row(conversation: ConversationId, kind: TraceKind, seq: Seq, part: i64) -> TraceRow {
    let (at, data) = (Timestamp::from_ms(1000 * part + seq), format!("[{part}]"));
    TraceRow { conversation, kind, seq, message: None, client_msg_id: None, server: SERVER, part, at, data }
}

fn of(message: MessageId, row: TraceRow) -> TraceRow {
    TraceRow { message: Some(message), ..row }
}

async fn receipts(world: &World, conversation: ConversationId, after: ReceiptsAfter) -> Vec<Noted> {
    world.store.traces().traced_receipts(conversation, after).await.expect("the store reads")
}

async fn note(world: &World, rows: Vec<TraceRow>) {
    world.store.traces().note_traces(rows).await.expect("rows are kept");
}

async fn traced(world: &World, conversation: ConversationId, seq: Seq) -> Traced {
    let traced = world.store.traces().traced(conversation, seq).await.expect("the store reads");
    traced.expect("the message is there")
}

async fn found(world: &World, which: WhichMessage) -> Vec<Place> {
    world.store.traces().find_message(which).await.expect("the store reads")
}

fn told(rows: &[Noted]) -> Vec<(Seq, &str)> {
    rows.iter().map(|row| (row.seq, row.data.as_str())).collect()
}

pub async fn a_message_is_found_by_its_id_and_by_its_senders_name_for_it(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(bob, &[alice, carol]).await);
    world.send(alice, dm, "before").await;
    let mut of_alice = world.message(alice, dm, "hi");
    of_alice.client_msg_id = client_msg_id("same");
    world.done(sending(&of_alice)).await;
    let mut of_bob = world.message(bob, group, "hi");
    of_bob.client_msg_id = client_msg_id("same");
    world.done(sending(&of_bob)).await;
    let place_of_alice = Place { conversation: dm, seq: 2, sender: alice };
    let place_of_bob = Place { conversation: group, seq: 1, sender: bob };
    assert_eq!(found(&world, WhichMessage::Id(of_alice.id)).await, [place_of_alice]);
    assert_eq!(found(&world, WhichMessage::Id(of_bob.id)).await, [place_of_bob]);
    let named = |sender| WhichMessage::Name { client_msg_id: client_msg_id("same"), sender };
    assert_eq!(found(&world, named(Some(alice))).await, [place_of_alice]);
    assert_eq!(found(&world, named(Some(carol))).await, []);
    let mut both = [place_of_alice, place_of_bob];
    both.sort_by_key(|place| place.sender);
    assert_eq!(found(&world, named(None)).await, both);
    for nothing in [
        WhichMessage::Id(MessageId::from_bytes(world.id())),
        WhichMessage::Id(MessageId::from_bytes([3; 16])),
        WhichMessage::Name { client_msg_id: client_msg_id("other"), sender: None },
    ] {
        assert_eq!(found(&world, nothing.clone()).await, [], "{nothing:?}");
    }
    for (conversation, seq) in [(dm, 3), (group, 0), (ConversationId::from_bytes(world.id()), 1)] {
        assert_eq!(world.store.traces().traced(conversation, seq).await.expect("the store reads"), None);
    }
}

pub async fn what_was_noted_of_a_message_is_told_with_it_and_changes_nothing_else(home: &impl Home) {
    use TraceKind::{Gap, Receipts, Way};
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob]).await);
    let messages = world.send_many(alice, dm, 3).await;
    let before = world.still(&[alice, bob]).await;
    assert_eq!(traced(&world, dm, 2).await.kept_since, None);
    let (second, third) = (messages[1].message_id, messages[2].message_id);
    let other = MessageId::from_bytes(world.id());
    let until = messages[1].created_at.ms() - CLOCKS_APART_MS;
    let gap = |until, part| row(NOWHERE, Gap, until, part);
    let of_second = |row| of(second, row);
    note(&world, vec![of_second(row(dm, Way, 2, 1)), of(third, row(dm, Way, 3, 1)), of(other, row(group, Way, 2, 1))])
        .await;
    note(&world, vec![gap(until - 1, 1), gap(until + 5, 4), gap(until, 5)]).await;
    note(&world, vec![row(dm, Receipts, 3, 2), row(dm, Receipts, 1, 2), of_second(row(dm, Way, 2, 2))]).await;
    note(&world, vec![row(dm, Receipts, 2, 3), row(group, Receipts, 9, 3)]).await;
    let of_two = traced(&world, dm, 2).await;
    assert_eq!(told(&of_two.way), [(2, "[1]"), (2, "[2]")]);
    assert_eq!(told(&of_two.gaps), [(until, "[5]"), (until + 5, "[4]")], "those that ended since, in order");
    assert!(of_two.way.iter().all(|row| row.server == SERVER));
    let all = receipts(&world, dm, ReceiptsAfter::from(2)).await;
    assert_eq!(told(&all), [(2, "[3]"), (3, "[2]")], "from the message on, in order");
    assert_eq!(receipts(&world, dm, ReceiptsAfter::after(&all[0])).await, all[1..], "a page goes on where one ended");
    assert_eq!(receipts(&world, dm, ReceiptsAfter::after(&all[1])).await, []);
    assert_eq!(of_two.kept_since, Some(Timestamp::from_ms(1002)));
    let (message, sent) = (of_two.message, &messages[1]);
    assert_eq!(message.born_rev, Some(sent.rev));
    assert_eq!((message.id, message.sender, message.sender_name.as_str()), (sent.message_id, alice, "alice"));
    assert_eq!((message.client_msg_id, message.created_at), (sent.client_msg_id.clone(), sent.created_at));
    // The same row again is not another one.
    note(&world, vec![of_second(TraceRow { data: "[]".to_owned(), ..row(dm, Way, 2, 1) })]).await;
    // Nor was what another message in its place, before a restore, its own.
    note(&world, vec![of(other, row(dm, Way, 2, 8))]).await;
    assert_eq!(told(&traced(&world, dm, 2).await.way), [(2, "[1]"), (2, "[2]")]);
    assert!((12..=13).contains(&world.store.traces().count_traces().await.expect("the store reads")));
    world.assert_still(&before, "traces are beside the log").await;
}

pub async fn a_trace_says_how_far_each_member_of_then_has_come(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol, dave, erin] = world.people(["alice", "bob", "carol", "dave", "erin"]).await;
    let group = world.open_group(alice, &[bob, carol, dave]).await;
    world.send_many(alice, group, 2).await;
    // She sees the message, and was not there when it was sent.
    world.done(world.adding(alice, group, erin)).await;
    world.done(world.receiving(bob, group, 2)).await;
    world.done(world.reading(bob, group, 1)).await;
    world.send(alice, group, "more").await;
    let first_of_carol = world.send(carol, group, "and more").await;
    world.send(carol, group, "and more").await;
    let marks = traced(&world, group, 2).await.marks;
    let mut expected = [(bob, "bob", 2, 1, None), (carol, "carol", 5, 5, Some(first_of_carol.created_at))];
    expected.sort_by_key(|mark| mark.0);
    let marks: Vec<_> = marks
        .iter()
        .map(|mark| (mark.user, mark.name.as_str(), mark.delivered_seq, mark.read_seq, mark.wrote_at))
        .collect();
    assert_eq!(marks, expected, "to dave it has not come");
    let people = vec![alice, bob, carol, dave, erin, UserId::from_bytes(world.id())];
    let mut members = world.store.traces().members_then(group, 2, people).await.expect("the store reads");
    let mut expected = [bob, carol, dave];
    members.sort_unstable();
    expected.sort_unstable();
    assert_eq!(members, expected, "neither who wrote it nor who came later");
    let edited = world.history(alice, group).await.into_iter().find(|message| message.seq == 2).expect("a message");
    world.done(world.editing(alice, &edited, "better")).await;
    world.done(world.deleting(alice, &edited)).await;
    let message = traced(&world, group, 2).await.message;
    assert_eq!(message.born_rev, None, "its rev is that of the last change");
    assert!(message.edited_at.is_some() && message.deleted_at > message.edited_at, "{message:?}");
}

pub async fn a_trace_says_to_whom_a_message_has_not_come_and_what_devices_they_have(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob, carol, dave, erin, frank] = world.people(["alice", "bob", "carol", "dave", "erin", "frank"]).await;
    let group = world.open_group(alice, &[bob, carol, dave, frank]).await;
    world.done(world.leaving(frank, group, None)).await;
    world.send_many(alice, group, 2).await;
    world.done(world.adding(alice, group, erin)).await;
    world.done(world.receiving(bob, group, 2)).await;
    world.done(world.receiving(carol, group, 1)).await;
    let (phone, tablet) = (book.phone_of(carol, "phone").await, book.phone_of(carol, "tablet").await);
    let hash = token_hash(PushProvider::Fcm, "tablet");
    assert!(book.push().switch_off(tablet, hash, "no".to_owned(), world.now()).await.expect("it is switched off"));
    book.phone_of(bob, "other").await;
    book.pushed(phone, group, 1).await;
    let until = world.now().plus_ms(1_000_000);
    world.done(world.muting(carol, group, Some(until))).await;
    world.done(world.blocking(dave, alice)).await;
    let device = |registration, active, pushed_seq| BehindDevice {
        registration,
        provider: PushProvider::Fcm,
        active,
        pushed_seq,
    };
    let mut devices = vec![device(phone, true, 1), device(tablet, false, 0)];
    devices.sort_by_key(|device| device.registration);
    let behind = |user, name: &str, muted_until, blocks, devices| Behind {
        user,
        name: name.to_owned(),
        muted_until,
        blocks,
        devices,
    };
    let mut first =
        vec![behind(carol, "carol", Some(until), false, devices), behind(dave, "dave", None, true, Vec::new())];
    first.sort_by_key(|one| one.user);
    let audience = traced(world, group, 2).await.audience;
    assert_eq!(audience, Audience { members: 3, behind: 2, first }, "neither who came later nor who had left");
    world.done(world.receiving(carol, group, 2)).await;
    world.done(world.removing(alice, group, dave)).await;
    assert_eq!(traced(world, group, 2).await.audience, Audience { members: 2, behind: 0, first: Vec::new() });
}

pub async fn of_many_to_whom_a_message_has_not_come_the_first_are_named(home: &impl Home) {
    let world = World::open(home).await;
    let [alice] = world.people(["alice"]).await;
    let mut others = Vec::new();
    for number in 0..=BEHIND_MAX {
        others.push(world.person(&format!("other {number}")).await);
    }
    let group = world.group(alice, &others).await;
    world.send(alice, group, "hi").await;
    let audience = traced(&world, group, 1).await.audience;
    let all = u64::try_from(others.len()).expect("few");
    others.sort_unstable();
    others.truncate(BEHIND_MAX);
    let named: Vec<UserId> = audience.first.iter().map(|one| one.user).collect();
    assert_eq!((audience.members, audience.behind, named), (all, all, others));
}

pub async fn a_trace_shows_the_jobs_of_its_conversation(home: &impl Home) {
    let book = Book::open(home).await;
    let world = &book.world;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[bob]).await);
    let phone = book.phone_of(bob, "token").await;
    for conversation in [dm, group] {
        world.send(alice, conversation, "hi").await;
    }
    let now = world.now();
    let push = |conversation_id| NewJob {
        kind: "push.fcm".to_owned(),
        unique_key: Some(push_key(&PushJob { registration: phone, conversation_id })),
        unless_running: false,
        payload: "{}".to_owned(),
        priority: Priority::Normal,
        run_at: now,
        now,
    };
    let keyless = NewJob { kind: "sweep".to_owned(), unique_key: None, ..push(dm) };
    let short = NewJob { kind: "x".to_owned(), unique_key: Some(vec![1]), ..push(dm) };
    world.store.jobs().enqueue(vec![push(dm), push(group), keyless, short]).await.expect("jobs are queued");
    let since = async |since| world.store.traces().jobs_of_conversation(dm, since).await.expect("the store reads");
    let jobs = since(now).await;
    let shown: Vec<_> = jobs.iter().map(|job| (job.kind.as_str(), job.state)).collect();
    assert_eq!(shown, [("push.fcm", JobState::Ready), (NOTIFY, JobState::Ready)], "the newest first");
    assert!(jobs[1].payload.contains(&dm.to_string()), "{jobs:?}");
    let kinds = vec![ClaimKind { kind: "push.fcm".to_owned(), attempts_max: 1, jobs_max: 9 }];
    let lease_until = now.plus_ms(1000);
    let claim = Claim { kinds, jobs_max: 9, worker: [1; 16], now, lease_until };
    let claimed = world.store.jobs().claim(claim).await.expect("jobs are claimed");
    let dies = |job: &ClaimedJob| Finish {
        held: Held { id: job.id, worker: [1; 16], attempt: job.attempt },
        end: JobEnd::Dead { reason: "no".to_owned() },
        next: Vec::new(),
    };
    world.store.jobs().finish(claimed.iter().map(dies).collect(), now).await.expect("jobs end");
    assert_eq!(since(now).await[0].state, JobState::Dead);
    assert_eq!(since(now.plus_ms(1)).await.len(), 1, "what died before is left out");
}

pub async fn a_name_is_looked_for_among_what_was_noted_first(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let mut messages = Vec::new();
    for (sender, name) in [(alice, "same"), (bob, "same"), (alice, "other")] {
        let message = AppendMessage { client_msg_id: client_msg_id(name), ..world.message(sender, dm, "hi") };
        world.done(sending(&message)).await;
        messages.push(message);
    }
    let named = |name| WhichMessage::Name { client_msg_id: client_msg_id(name), sender: None };
    let place = |seq, sender| Place { conversation: dm, seq, sender };
    let noted = |message: &AppendMessage, seq, part| TraceRow {
        client_msg_id: Some(message.client_msg_id.clone()),
        ..of(message.id, row(dm, TraceKind::Way, seq, part))
    };
    assert_eq!(found(&world, named("same")).await.len(), 2);
    note(&world, vec![noted(&messages[1], 2, 1), noted(&messages[1], 2, 2)]).await;
    assert_eq!(found(&world, named("same")).await, [place(2, bob)], "each once");
    assert_eq!(found(&world, named("other")).await, [place(3, alice)], "of what was not noted the log knows");
    // Another message has the place of this one, since a restore.
    let gone = AppendMessage { id: MessageId::from_bytes(world.id()), ..messages[2].clone() };
    note(&world, vec![noted(&gone, 3, 3)]).await;
    assert_eq!(found(&world, named("other")).await, [place(3, alice)]);
    assert_eq!(found(&world, WhichMessage::Id(gone.id)).await, []);
    assert_eq!(found(&world, WhichMessage::Id(messages[1].id)).await, [place(2, bob)]);
}

pub async fn traces_that_are_old_or_too_many_are_forgotten_so_many_at_a_time(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send(alice, dm, "hi").await;
    let book = world.store.traces();
    for part in 1..=3 {
        note(&world, (1..=4).map(|seq| row(dm, TraceKind::Way, seq, part)).collect()).await;
    }
    let forget = async |which, limit| book.forget_traces(which, limit).await.expect("rows go");
    let count = async || book.count_traces().await.expect("the store reads");
    let before = OldTraces::Outside { from: Timestamp::from_ms(2001), to: Timestamp::from_ms(9000) };
    assert_eq!((forget(before, 3).await, count().await), (3, 9));
    assert_eq!((forget(before, 3).await, forget(before, 3).await, count().await), (1, 0, 8));
    assert_eq!(traced(&world, dm, 1).await.kept_since, Some(Timestamp::from_ms(2001)));
    let surplus = async |keep| book.surplus_traces(keep).await.expect("the store reads");
    assert_eq!((surplus(8).await, surplus(9).await), (None, None));
    let five = OldTraces::UpTo(surplus(3).await.expect("five are too many"));
    assert_eq!((forget(five, 2).await, forget(five, 512).await, forget(five, 512).await), (2, 3, 0));
    assert_eq!((count().await, surplus(3).await), (3, None));
    assert_eq!(told(&traced(&world, dm, 1).await.way), []);
    let all = OldTraces::UpTo(surplus(0).await.expect("all"));
    assert_eq!((forget(all, 512).await, count().await, surplus(0).await), (3, 0, None));
    let too_many = (0..=1).flat_map(|part| (0..512).map(move |seq| row(dm, TraceKind::Way, seq, part))).collect();
    assert!(book.note_traces(too_many).await.is_err());
    let too_large = TraceRow { data: "x".repeat(TRACE_DATA_MAX_BYTES + 1), ..row(dm, TraceKind::Way, 1, 1) };
    assert!(book.note_traces(vec![too_large]).await.is_err());
    assert_eq!(count().await, 0);
}

pub async fn rows_of_a_clock_that_was_ahead_hide_no_older_ones(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    world.send_many(alice, dm, 1).await;
    let book = world.store.traces();
    let forget = async |which, limit| book.forget_traces(which, limit).await.expect("rows go");
    let ahead = |seq, ms| TraceRow { at: Timestamp::from_ms(ms), ..row(dm, TraceKind::Way, seq, 9) };
    note(&world, vec![ahead(1, 70_000), ahead(2, 90_000)]).await;
    note(&world, (1..=4).map(|seq| row(dm, TraceKind::Way, seq, 1)).collect()).await;
    note(&world, vec![ahead(3, 90_000)]).await;
    assert_eq!(traced(&world, dm, 1).await.kept_since, Some(Timestamp::from_ms(1001)));
    let outside = OldTraces::Outside { from: Timestamp::from_ms(1003), to: Timestamp::from_ms(80_000) };
    assert_eq!(forget(outside, 3).await, 2, "one that is far ahead and one that is old");
    assert_eq!(forget(outside, 512).await, 2, "the other old one, and the other that is far ahead");
    assert_eq!(
        (forget(outside, 512).await, traced(&world, dm, 1).await.kept_since),
        (0, Some(Timestamp::from_ms(1003)))
    );
    assert!(book.surplus_traces(2).await.expect("the store reads").is_some());
    assert_eq!(book.surplus_traces(3).await.expect("the store reads"), None, "the hole is not counted");
}
