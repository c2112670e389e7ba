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
    journal.told(conversation, seq, Told { first: vec![ConnectionId(3)], count: 1 });
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
    let rows = journal.take(512);
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
    assert!(rows.iter().all(|row| row.part == 1 && row.server == ServerId::from_bytes([9; 16])));
    told(&journal, place(1), 7);
    assert_eq!(journal.take(512)[0].part, 2, "no two rows are the same");
    assert_eq!(journal.take(512), []);
}

#[test]
fn a_go_has_so_many_rows_and_the_next_one_goes_on() {
    let (journal, _) = journal(100);
    for seq in [1, 1, 2, 2, 3, 1] {
        told(&journal, place(1), seq);
    }
    let seqs = |rows: Vec<TraceRow>| rows.iter().map(|row| (row.seq, decode(&row.data).len())).collect::<Vec<_>>();
    assert_eq!(seqs(journal.take(2)), [(1, 2), (2, 2)]);
    assert_eq!(journal.counts().waiting, 2);
    assert_eq!(seqs(journal.take(2)), [(1, 1), (3, 1)]);
}

#[test]
fn a_full_queue_drops_and_counts_and_says_so_where_it_goes_on() {
    let (journal, clock) = journal(3);
    for seq in 1..=3 {
        told(&journal, place(1), seq);
    }
    for at in [2000, 2500, 2200] {
        clock.0.store(at, Ordering::Relaxed);
        told(&journal, place(1), 4);
    }
    assert_eq!(journal.counts(), JournalCounts { rows: 0, dropped: 3, waiting: 3 });
    let rows = journal.take(512);
    assert_eq!(rows.len(), 4);
    let gap = rows.iter().find(|row| row.kind == TraceKind::Gap).and_then(|row| Gap::decode(&row.data)).unwrap();
    let (from, to) = (Timestamp::from_ms(2000), Timestamp::from_ms(2500));
    assert_eq!(gap, Gap { from, to, count: 3 });
    // What could not be kept is part of the gap then, and the gap is told again.
    clock.0.store(3000, Ordering::Relaxed);
    journal.lost(&rows);
    assert_eq!(journal.counts().dropped, 6);
    let rows = journal.take(512);
    let gap = Gap::decode(&rows[0].data).unwrap();
    assert_eq!(gap, Gap { from: Timestamp::from_ms(1000), to: Timestamp::from_ms(3000), count: 6 });
    journal.written(rows.len());
    told(&journal, place(1), 5);
    assert_eq!(journal.take(512).len(), 1, "it is told once");
    assert_eq!(journal.counts().rows, 1);
}

#[test]
fn a_row_has_its_bound_however_many_come_to_a_message_at_once() {
    let (journal, _) = journal(2000);
    for number in 0..1000_u16 {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        journal.receipt(place(1), UserId::from_bytes(bytes), (7, 7), Some(DeviceId::from_bytes([5; 16])));
    }
    let rows = journal.take(512);
    assert_eq!(rows.len(), 1);
    assert!(rows[0].data.len() <= tertulia_store::trace::TRACE_DATA_MAX_BYTES);
    assert!(decode(&rows[0].data).len() > 50);
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
