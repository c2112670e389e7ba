use tertulia_proto::trace::{NotRecorded, Seen, Station, WhyNot};
use tertulia_proto::{DeviceId, RegistrationId};
use tertulia_store::push::PushOutcome;
use tertulia_store::trace::{Audience, GAPS_MAX, LATER_MAX, Mark, Outline};

use super::*;
use crate::journal::record::Gap;

const CREATED_AT: i64 = 100_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn person(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

fn server(number: u8) -> ServerId {
    ServerId::from_bytes([number; 16])
}

fn mark(number: u8, delivered_seq: Seq, read_seq: Seq, wrote_at: Option<i64>) -> Mark {
    Mark { user: person(number), name: "N".into(), delivered_seq, read_seq, wrote_at: wrote_at.map(at) }
}

fn receipt(seq: Seq, told: &[(u8, Seq, i64)]) -> Noted {
    let told = told.iter().map(|(user, read, ms)| Record::Receipt {
        at: at(*ms),
        user: person(*user),
        read: *read,
        device: Some(DeviceId::from_bytes([8; 16])),
    });
    let data = serde_json::to_string(&told.collect::<Vec<_>>()).unwrap();
    Noted { seq, server: server(9), part: 1, data }
}

fn told(marks: &[Mark], rows: &[Noted], with_names: bool, is_sure: impl Fn(Timestamp) -> bool) -> Vec<TracedReceipt> {
    let mut firsts = Firsts::new(7, at(10));
    rows.iter().for_each(|row| firsts.add(row));
    firsts.told(marks, with_names, is_sure)
}

type Brief = Option<(Option<i64>, SeenBy)>;

fn brief(seen: &Option<Seen>) -> Brief {
    seen.as_ref().map(|seen| (seen.at.map(Timestamp::ms), seen.by))
}

#[test]
fn each_has_the_first_that_told_so_and_otherwise_what_is_known_by_now() {
    let marks =
        [mark(1, 9, 9, None), mark(2, 8, 7, Some(50)), mark(3, 9, 3, None), mark(4, 6, 6, None), mark(5, 7, 2, None)];
    // 1 tells that it got 8 before it reads it, 2 reads later than it writes, 3 told nothing that is kept, 4 has not come so far.
    let rows =
        [receipt(7, &[(5, 2, 90)]), receipt(8, &[(1, 2, 20), (2, 7, 60)]), receipt(9, &[(1, 9, 40), (1, 8, 30)])];
    let all = told(&marks, &rows, false, |_| true);
    let times: Vec<_> = all.iter().map(|one| (one.user_id, brief(&one.delivered), brief(&one.read))).collect();
    use SeenBy::{Receipt, Watermark, Writing};
    assert_eq!(
        times,
        [
            (person(1), Some((Some(20), Receipt)), Some((Some(30), Receipt))),
            (person(2), Some((Some(50), Writing)), Some((Some(50), Writing))),
            (person(3), Some((None, Watermark)), None),
            (person(5), Some((Some(90), Receipt)), None),
        ]
    );
    assert_eq!(all[0].name, None);
    assert_eq!(told(&marks, &rows, true, |_| true)[0].name.as_deref(), Some("N"));
}

#[test]
fn a_time_before_which_something_may_be_missing_is_one_at_the_latest() {
    let (marks, rows) = ([mark(1, 9, 9, None)], [receipt(8, &[(1, 2, 20)]), receipt(9, &[(1, 9, 40)])]);
    let all = told(&marks, &rows, false, |until| until < at(30));
    assert_eq!(brief(&all[0].delivered), Some((Some(20), SeenBy::Receipt)));
    assert_eq!(brief(&all[0].read), Some((Some(40), SeenBy::AtLatest)));
}

#[test]
fn what_was_told_of_another_message_in_its_place_is_not_its_own() {
    let mut firsts = Firsts::new(7, at(500_000));
    firsts.add(&receipt(7, &[(1, 7, 199_999)]));
    assert_eq!(brief(&firsts.told(&[mark(1, 7, 7, None)], false, |_| true)[0].read), Some((None, SeenBy::Watermark)));
    // A server whose clock is behind may have taken it before the message was made by another one's.
    firsts.add(&receipt(7, &[(1, 7, 400_000)]));
    let told = firsts.told(&[mark(1, 7, 7, None)], false, |_| true);
    assert_eq!(brief(&told[0].read), Some((Some(400_000), SeenBy::Receipt)));
}

#[test]
fn receipts_are_looked_through_until_they_can_tell_no_more() {
    let marks = [mark(1, 9, 9, None), mark(2, 3_000, 2, Some(50))];
    let mut firsts = Firsts::new(7, at(10));
    firsts.add(&receipt(8, &[(1, 2, 20)]));
    assert!(!firsts.has_all(&marks, 9), "1 has read it");
    firsts.add(&receipt(9, &[(1, 9, 40)]));
    assert!(!firsts.has_all(&marks, 20), "2 may have told it before they wrote");
    assert!(firsts.has_all(&marks, 8 + LATER_MAX));
    firsts.add(&receipt(30, &[(2, 2, 45)]));
    assert!(!firsts.has_all(&marks, 30), "more of the same place may come");
    assert!(firsts.has_all(&marks, 31));
}

fn traced(gaps: &[(u8, i64, i64)], kept_since: Option<i64>) -> Traced {
    let message = Outline {
        id: MessageId::from_bytes([1; 16]),
        sender: person(1),
        sender_name: "N".into(),
        client_msg_id: "a".parse().unwrap(),
        created_at: at(CREATED_AT),
        edited_at: None,
        deleted_at: None,
        born_rev: None,
    };
    let gaps = gaps.iter().map(|(number, from, to)| {
        let data = serde_json::to_string(&Gap { from: at(*from), to: at(*to), count: 3 }).unwrap();
        Noted { seq: *to, server: server(*number), part: 1, data }
    });
    let kept_since = kept_since.map(at);
    let marks = vec![mark(2, 7, 7, None)];
    Traced { message, way: Vec::new(), gaps: gaps.collect(), marks, audience: Audience::default(), kept_since }
}

/// Of a message of which nothing but the log tells.
pub(super) fn nothing_told(seq: Seq) -> MessageTrace {
    let place = Place { conversation: tertulia_store::trace::NOWHERE, seq, sender: person(1) };
    outline(place, &traced(&[], None), false)
}

fn silence(traced: &Traced, now: i64) -> Silence {
    Silence {
        gaps: Gaps::new(&traced.gaps, at(CREATED_AT)),
        kept_since: traced.kept_since,
        now: at(now),
        retention_ms: 1_000_000,
        is_on: true,
        is_way_cut: false,
        is_receipts_cut: false,
        has_jobs: true,
        webhooks: None,
    }
}

fn empty(traced: &Traced) -> MessageTrace {
    let place = Place { conversation: tertulia_store::trace::NOWHERE, seq: 7, sender: person(1) };
    let mut trace = outline(place, traced, false);
    trace.receipts = told(&traced.marks, &[], false, |_| true);
    trace
}

fn full(traced: &Traced) -> MessageTrace {
    let mut trace = empty(traced);
    let received = Record::Received {
        at: at(CREATED_AT - 1),
        door: tertulia_proto::trace::Door::Rest,
        connection: None,
        request: None,
        trace: crate::journal::TraceId::default(),
        session: None,
        key: None,
        device: None,
        repeat: false,
    };
    let told = Record::Told { at: at(CREATED_AT + 2), connections: Vec::new(), count: 0 };
    for record in [received, Record::Committed { at: at(CREATED_AT + 1), rev: 3 }, told] {
        station(&mut trace, server(9), record);
    }
    let seen = |by| Some(Seen { at: Some(at(CREATED_AT + 50)), by, device_id: None });
    trace.receipts[0].delivered = seen(SeenBy::Receipt);
    trace.receipts[0].read = seen(SeenBy::Receipt);
    trace
}

#[test]
fn what_was_not_recorded_says_why() {
    let why = |gaps: &[(u8, i64, i64)], kept_since, now| {
        let traced = traced(gaps, kept_since);
        let all = silence(&traced, now).of(&empty(&traced));
        assert_eq!(all.len(), 4, "{all:?}");
        (all[0].why, all[3].why)
    };
    use WhyNot::{Busy, Expired, NotYet, Unknown};
    assert_eq!(why(&[], None, 111_000), (NotYet, NotYet), "a gap is told when it is over");
    assert_eq!(why(&[], Some(99_000), 200_000), (Unknown, Unknown));
    assert_eq!(why(&[], Some(200_000), 200_001), (Expired, Expired));
    assert_eq!(why(&[], Some(200_000), 113_000), (Unknown, Unknown), "of a clock that was ahead");
    assert_eq!(why(&[], None, 1_200_000), (Expired, Expired));
    assert_eq!(why(&[(9, 90_000, 99_500)], None, 200_000), (Busy, Busy));
    // The way is over; who got it later may have told so just then.
    assert_eq!(why(&[(9, 150_000, 150_000)], None, 200_000), (Unknown, Busy));
    assert_eq!(why(&[(9, 90_000, 98_000)], None, 200_000), (Unknown, Unknown));
}

#[test]
fn where_nothing_is_recorded_that_is_why() {
    let quiet = traced(&[], None);
    let why = |now| {
        let all = Silence { is_on: false, ..silence(&quiet, now) }.of(&empty(&quiet));
        all.iter().map(|one| one.why).collect::<Vec<_>>()
    };
    assert_eq!(why(101_000), [WhyNot::Off; 4], "it will not be there later either");
    assert_eq!(why(200_000), [WhyNot::Off; 4]);
    assert_eq!(why(1_200_000), [WhyNot::Expired; 4]);
    // What was recorded before is told.
    assert_eq!(Silence { is_on: false, ..silence(&quiet, 200_000) }.of(&full(&quiet)), []);
}

#[test]
fn a_gap_at_one_server_is_told_although_another_has_noted_all() {
    let busy =
        |what, partial, number| NotRecorded { what, why: WhyNot::Busy, partial, server_id: Some(server(number)) };
    let of_other = traced(&[(4, 99_990, 100_020)], None);
    let trace = full(&of_other);
    assert_eq!(
        silence(&of_other, 200_000).of(&trace),
        [busy(Station::Received, true, 4), busy(Station::FannedOut, true, 4)],
        "its receipts are known"
    );
    // Where the same server has told its own, no fan-out is missing.
    let of_same = traced(&[(9, 99_990, 100_020)], None);
    assert_eq!(silence(&of_same, 200_000).of(&full(&of_same)), [busy(Station::Received, true, 9)]);
    assert_eq!(silence(&traced(&[], None), 200_000).of(&trace), []);
    let mut late = full(&of_other);
    late.receipts[0].read = Some(Seen { at: Some(at(100_030)), by: SeenBy::AtLatest, device_id: None });
    let all = silence(&of_other, 200_000).of(&late);
    assert_eq!(all[2..], [busy(Station::Receipts, true, 4)]);
}

#[test]
fn more_than_is_looked_through_is_said() {
    let quiet = traced(&[], None);
    let too_many = |what, partial| NotRecorded { what, why: WhyNot::TooMany, partial, server_id: None };
    let mut trace = full(&quiet);
    trace.receipts[0].read = Some(Seen { at: None, by: SeenBy::Watermark, device_id: None });
    let of = Silence { is_way_cut: true, is_receipts_cut: true, has_jobs: false, ..silence(&quiet, 200_000) };
    let jobs = NotRecorded { what: Station::Jobs, why: WhyNot::NotLooked, partial: false, server_id: None };
    assert_eq!(of.of(&trace), [too_many(Station::Received, true), too_many(Station::Receipts, true), jobs]);
    // Gaps that were not read may be anywhere after those that were.
    let gaps: Vec<_> = (0..GAPS_MAX).map(|n| (4, 120_000, 120_000 + i64::try_from(n).unwrap())).collect();
    let gaps = Gaps::new(&traced(&gaps, None).gaps, at(CREATED_AT));
    assert!(!gaps.any_until(at(119_999)) && gaps.any_until(at(120_000)) && gaps.any_until(at(900_000)));
}

#[test]
fn an_attempt_is_of_the_message_where_it_could_tell_of_it() {
    let attempt = |user: Option<u8>, seq, ms| PushAttempt {
        registration: RegistrationId::from_bytes([1; 16]),
        user: user.map(person),
        provider: None,
        seq,
        outcome: PushOutcome::Accepted,
        detail: String::new(),
        at: at(ms),
    };
    let read = |number, seen| TracedReceipt { user_id: person(number), name: None, delivered: None, read: seen };
    let seen = |ms: Option<i64>, by| Some(Seen { at: ms.map(at), by, device_id: None });
    let receipts = [read(2, seen(Some(50), SeenBy::Receipt)), read(3, seen(None, SeenBy::Watermark)), read(4, None)];
    let members = [person(2), person(3), person(4)];
    for (attempt, expected) in [
        (attempt(Some(1), 8, 40), false),
        (attempt(Some(2), 8, 40), true),
        (attempt(Some(2), 8, 60), false),
        (attempt(Some(2), 7, 60), true),
        (attempt(Some(3), 8, 60), true),
        (attempt(Some(4), 8, 60), true),
        (attempt(Some(5), 7, 40), false),
        (attempt(None, 8, 60), true),
    ] {
        assert_eq!(speaks_of(&attempt, 7, &members, &receipts), expected, "{attempt:?}");
    }
}

#[test]
fn jobs_that_begin_behind_it_or_died_before_it_or_are_of_another_stream_are_others() {
    let here = ConversationId::from_bytes([3; 16]);
    let job = |kind: &str, payload: &str, dead_at: Option<i64>| JobRecord {
        id: 1,
        kind: kind.to_owned(),
        unique_key: None,
        payload: payload.to_owned(),
        state: if dead_at.is_some() { JobState::Dead } else { JobState::Ready },
        priority: tertulia_store::jobs::Priority::Normal,
        tries: 0,
        run_at: at(0),
        created_at: at(0),
        lease_until: None,
        dead_at: dead_at.map(at),
        reasons: Vec::new(),
    };
    let line = |stream: u8| {
        let endpoint = tertulia_proto::WebhookId::from_bytes([3; 16]);
        let key = Line { endpoint, stream: ConversationId::from_bytes([stream; 16]).uuid() }.key();
        JobRecord { unique_key: Some(key), ..job(WEBHOOK, "", None) }
    };
    for (job, expected) in [
        (job(NOTIFY, r#"{"fromSeq":7}"#, None), true),
        (job(NOTIFY, r#"{"fromSeq":8}"#, None), false),
        (job("push.expo", "{}", None), true),
        (job("push.expo", "{}", Some(99)), false),
        (job("push.expo", "", Some(100)), true),
        (line(3), true),
        (line(4), false),
        (job(WEBHOOK, "", None), false),
    ] {
        assert_eq!(concerns(&job, here, 7, at(100)), expected, "{job:?}");
    }
}
