use super::record::decode;
use super::*;

struct Stopped(AtomicI64);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::Relaxed))
    }
}

fn journal(records_max: usize) -> (Journal, Arc<Stopped>) {
    let clock = Arc::new(Stopped(AtomicI64::new(1000)));
    let journal = Journal::new(ServerId::from_bytes([9; 16]), Arc::clone(&clock) as _, JournalLimits { records_max });
    (journal, clock)
}

fn place(number: u8) -> ConversationId {
    ConversationId::from_bytes([number; 16])
}

fn told(journal: &Journal, conversation: ConversationId, seq: Seq) {
    let id = MessageId::from_bytes([7; 16]);
    journal.told(conversation, (seq, id), Told { first: vec![ConnectionId(3)], count: 1 });
}

fn take(journal: &Journal, rows_max: usize) -> Vec<TraceRow> {
    let go = journal.take(rows_max, false);
    journal.written(&go);
    go.rows
}

fn gap_of(rows: &[TraceRow]) -> Option<Gap> {
    rows.iter().find(|row| row.kind == TraceKind::Gap).and_then(|row| Gap::decode(&row.data))
}

fn gap(from: i64, to: i64, count: u64) -> Option<Gap> {
    Some(Gap { from: Timestamp::from_ms(from), to: Timestamp::from_ms(to), count })
}

#[test]
fn what_comes_of_a_message_within_one_go_is_one_row() {
    let (journal, clock) = journal(100);
    told(&journal, place(1), 7);
    told(&journal, place(2), 7);
    clock.0.store(1005, Ordering::Relaxed);
    journal.receipt(place(1), UserId::from_bytes([1; 16]), (7, 6), None);
    journal.receipt(place(1), UserId::from_bytes([2; 16]), (7, 7), Some(DeviceId::from_bytes([5; 16])));
    told(&journal, place(1), 7);
    let rows = take(&journal, 512);
    let seen: Vec<_> =
        rows.iter().map(|row| (row.conversation, row.kind, row.at.ms(), decode(&row.data).len())).collect();
    assert_eq!(
        seen,
        [
            (place(1), TraceKind::Way, 1000, 2),
            (place(1), TraceKind::Receipts, 1005, 2),
            (place(2), TraceKind::Way, 1000, 1)
        ]
    );
    assert!(rows.iter().all(|row| row.server == ServerId::from_bytes([9; 16])));
    assert!(rows.iter().all(|row| row.message.is_some() == (row.kind == TraceKind::Way)));
    told(&journal, place(1), 7);
    let parts: Vec<i64> = rows.iter().chain(&take(&journal, 512)).map(|row| row.part).collect();
    assert_eq!(parts, [1, 2, 3, 4], "no two rows are the same");
    assert_eq!(take(&journal, 512), []);
}

#[test]
fn a_go_has_so_many_rows_and_the_next_one_goes_on() {
    let (journal, _) = journal(100);
    for seq in [1, 1, 2, 2, 3, 1] {
        told(&journal, place(1), seq);
    }
    let seqs = |rows: Vec<TraceRow>| rows.iter().map(|row| (row.seq, decode(&row.data).len())).collect::<Vec<_>>();
    assert_eq!(seqs(take(&journal, 2)), [(1, 3), (2, 2)]);
    assert_eq!(journal.counts().waiting, 1);
    assert_eq!(seqs(take(&journal, 2)), [(3, 1)]);
    assert_eq!(journal.counts().waiting, 0);
}

#[test]
fn a_full_queue_drops_and_counts_and_says_so_once_when_it_is_over() {
    let (journal, clock) = journal(3);
    for seq in 1..=3 {
        told(&journal, place(1), seq);
    }
    for at in [2000, 2500, 2600] {
        clock.0.store(at, Ordering::Relaxed);
        told(&journal, place(1), 4);
    }
    assert_eq!(journal.counts(), JournalCounts { rows: 0, dropped: 3, waiting: 3 });
    let go = journal.take(512, false);
    assert_eq!((go.rows.len(), gap_of(&go.rows)), (3, None), "it may go on");
    told(&journal, place(1), 5);
    assert_eq!(
        journal.counts(),
        JournalCounts { rows: 0, dropped: 4, waiting: 3 },
        "what is written now is counted, too"
    );
    // What could not be kept is part of the gap then.
    clock.0.store(3000, Ordering::Relaxed);
    journal.lost(&go);
    assert_eq!(journal.counts(), JournalCounts { rows: 0, dropped: 7, waiting: 0 });
    clock.0.store(4000, Ordering::Relaxed);
    let go = journal.take(512, false);
    assert_eq!(gap_of(&go.rows), gap(1000, 3000, 7));
    assert_eq!(go.rows[0].seq, 3000, "it is found by its end");
    journal.lost(&go);
    assert_eq!(journal.counts().dropped, 7, "they are counted once");
    let rows = take(&journal, 512);
    assert_eq!(gap_of(&rows), gap(1000, 3000, 7), "and told again");
    told(&journal, place(1), 5);
    assert_eq!(take(&journal, 512).len(), 1, "it is told once");
    assert_eq!(journal.counts().rows, 2);
}

#[test]
fn a_gap_that_does_not_end_is_told_every_ten_seconds_and_when_the_server_stops() {
    let (journal, clock) = journal(1);
    told(&journal, place(1), 1);
    let mut gaps = Vec::new();
    for at in (1000..26_000).step_by(200) {
        clock.0.store(at, Ordering::Relaxed);
        told(&journal, place(1), 2);
        told(&journal, place(1), 3);
        gaps.extend(gap_of(&take(&journal, 512)));
    }
    let times: Vec<_> = gaps.iter().map(|gap| (gap.from.ms(), gap.to.ms())).collect();
    assert_eq!(times, [(1000, 11_000), (11_200, 21_200)]);
    let last = gap_of(&journal.take(512, true).rows).unwrap();
    assert_eq!((last.from.ms(), last.to.ms()), (21_400, 25_800));
    assert_eq!(gaps.iter().chain([&last]).map(|gap| gap.count).sum::<u64>(), journal.counts().dropped);
}

#[test]
fn a_clock_that_goes_back_makes_no_gap_of_hours() {
    let (journal, clock) = journal(1);
    told(&journal, place(1), 1);
    let drops_at = |at| {
        clock.0.store(at, Ordering::Relaxed);
        told(&journal, place(1), 2);
    };
    drops_at(9_000_000);
    drops_at(9_000_500);
    drops_at(2_000_000);
    drops_at(2_000_300);
    assert_eq!(gap_of(&take(&journal, 512)), gap(9_000_000, 9_000_500, 2), "it can't go on");
    assert_eq!(gap_of(&take(&journal, 512)), None);
    clock.0.store(2_001_300, Ordering::Relaxed);
    assert_eq!(gap_of(&take(&journal, 512)), gap(2_000_000, 2_000_300, 2));
    // Nothing is dropped any more when the clock goes back.
    told(&journal, place(1), 1);
    drops_at(3_000_000);
    clock.0.store(1_000_000, Ordering::Relaxed);
    assert_eq!(gap_of(&take(&journal, 512)), gap(3_000_000, 3_000_000, 1));
    // What was noted before it went back is given up after it.
    clock.0.store(5_000_000, Ordering::Relaxed);
    told(&journal, place(1), 1);
    let go = journal.take(512, false);
    clock.0.store(1_000_000, Ordering::Relaxed);
    journal.lost(&go);
    assert_eq!(gap_of(&take(&journal, 512)), gap(5_000_000, 5_000_000, 1));
    assert_eq!((gap_of(&take(&journal, 512)), gap_of(&journal.take(512, true).rows)), (None, None));
}

#[test]
fn a_thousand_who_come_to_a_message_at_once_are_all_noted_in_rows_within_their_bound() {
    let (journal, _) = journal(2000);
    for number in 0..1000_u16 {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        journal.receipt(place(1), UserId::from_bytes(bytes), (7, 7), Some(DeviceId::from_bytes([5; 16])));
    }
    let mut rows = Vec::new();
    while rows.len() < 1000 {
        let some = take(&journal, 16);
        assert!(some.len() <= 16);
        if some.is_empty() {
            break;
        }
        rows.extend(some);
    }
    assert!(rows.len() > 16, "{}", rows.len());
    assert!(rows.iter().all(|row| row.data.len() <= tertulia_store::trace::TRACE_DATA_MAX_BYTES));
    let parts: std::collections::BTreeSet<i64> = rows.iter().map(|row| row.part).collect();
    assert_eq!(parts.len(), rows.len());
    let mut people: Vec<UserId> = Vec::new();
    for record in rows.iter().flat_map(|row| decode(&row.data)) {
        let Record::Receipt { user, .. } = record else { panic!("{record:?}") };
        people.push(user);
    }
    people.dedup();
    assert_eq!((people.len(), journal.counts().dropped, journal.counts().waiting), (1000, 0, 0));
}

#[test]
fn what_no_row_can_hold_is_a_gap() {
    let (journal, _) = journal(10);
    let connections = |count| Told { first: vec![ConnectionId(u64::MAX); count], count: 1 };
    let id = MessageId::from_bytes([7; 16]);
    journal.told(place(1), (1, id), connections(50));
    journal.told(place(1), (2, id), connections(200));
    let go = journal.take(512, true);
    journal.written(&go);
    assert_eq!((go.rows.len(), go.rows[0].seq, gap_of(&go.rows)), (2, 1, gap(1000, 1000, 1)));
    assert_eq!((journal.counts().dropped, journal.counts().waiting), (1, 0));
}

#[test]
fn what_waits_is_forgotten_with_the_log_that_it_was_about() {
    let (journal, _) = journal(3);
    for seq in 1..=3 {
        told(&journal, place(1), seq);
    }
    assert_eq!(take(&journal, 1).len(), 1);
    told(&journal, place(1), 4);
    journal.begin_anew();
    assert_eq!((take(&journal, 512).len(), journal.counts().waiting), (0, 0));
    told(&journal, place(1), 1);
    assert_eq!(take(&journal, 512).len(), 1);
}

#[test]
fn a_trace_id_is_read_as_it_is_written() {
    let id = TraceId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
    assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0eff");
    assert_eq!(TraceId::parse(&id.to_string()), Some(id));
    for bad in ["", "12", "+00102030405060708090a0b0c0d0eff", "000102030405060708090a0b0c0d0eﬀ"] {
        assert_eq!(TraceId::parse(bad), None, "{bad}");
    }
}

#[test]
fn what_a_newer_server_noted_is_passed_over() {
    let text = r#"[{"what":"later","at":"x"},{"what":"committed","at":"2026-01-01T00:00:00.000Z","rev":3,"more":1}]"#;
    assert_eq!(decode(text).len(), 1);
    assert!(decode("no list").is_empty());
}
