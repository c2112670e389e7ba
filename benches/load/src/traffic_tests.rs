use super::*;

fn two_people() -> Traffic {
    let plan = Plan {
        conversations: vec![PlannedConversation { id: "c".into(), last_seq: 0, members: [Some(0), Some(1)] }],
        flows: vec![PlannedFlow { conversation: 0, sender_side: 0, in_flight_max: 64 }],
        ..Plan::default()
    };
    Traffic::new(&plan, 3)
}

fn message(counter: u64, seq: u64) -> Reference {
    Reference { flow: 0, counter, seq }
}

#[test]
fn a_send_counts_once_it_is_acknowledged_and_delivered() {
    let mut traffic = two_people();
    traffic.start_measuring(0);
    assert_eq!(traffic.issue(0, 1000), Some(Send { flow: 0, counter: 0, request_id: 1 }));
    assert_eq!(traffic.issue(1, 1000), None);
    assert_eq!(traffic.on_acknowledged(message(0, 1), 2_000_000), None);
    assert_eq!(traffic.completed(), 0);
    assert_eq!(traffic.on_new(1, message(0, 1), 3_001_000), Some(0));
    assert_eq!((traffic.completed(), traffic.under_way(), traffic.all_seen()), (1, 0, false));
    assert_eq!(traffic.on_new(0, message(0, 1), 4_000_000), None);
    assert!(traffic.all_seen());
    assert_eq!(traffic.verdict(), Violations::default());
    let measured = traffic.take_measured().unwrap();
    assert_eq!((measured.completed, measured.delivery_us.max() / 100), (1, 30));
}

#[test]
fn the_broadcast_may_overtake_the_acknowledgement() {
    let mut traffic = two_people();
    traffic.issue(0, 0);
    traffic.on_new(0, message(0, 1), 1);
    assert_eq!(traffic.on_new(1, message(0, 1), 1), None);
    assert_eq!(traffic.on_acknowledged(message(0, 1), 1), Some(0));
    assert_eq!(traffic.verdict(), Violations::default());
}

#[test]
fn what_never_comes_is_lost() {
    let mut traffic = two_people();
    traffic.issue(0, 0);
    traffic.issue(0, 0);
    traffic.on_acknowledged(message(0, 1), 1);
    traffic.on_new(0, message(0, 1), 1);
    let expected = Violations { lost: 3, unacknowledged: 1, ..Violations::default() };
    assert_eq!(traffic.verdict(), expected);
}

#[test]
fn what_comes_twice_is_doubled() {
    let mut traffic = two_people();
    traffic.issue(0, 0);
    for _ in 0..2 {
        traffic.on_acknowledged(message(0, 1), 1);
        traffic.on_new(0, message(0, 1), 1);
        traffic.on_new(1, message(0, 1), 1);
    }
    let expected = Violations { doubled: 3, seq_repeats: 2, ..Violations::default() };
    assert_eq!(traffic.verdict(), expected);
}

#[test]
fn what_overtakes_is_reordered_and_not_lost() {
    let mut traffic = two_people();
    for counter in 0..2 {
        traffic.issue(0, 0);
        traffic.on_acknowledged(message(counter, 2 - counter), 1);
        traffic.on_new(0, message(counter, 2 - counter), 1);
    }
    traffic.on_new(1, message(1, 1), 1);
    assert_eq!(traffic.on_new(1, message(0, 2), 1), Some(0));
    let expected = Violations { reordered: 1, seq_gaps: 1, seq_repeats: 1, ..Violations::default() };
    assert_eq!(traffic.verdict(), expected);
}

#[test]
fn a_message_elsewhere_or_with_two_places_is_noticed() {
    let mut traffic = two_people();
    traffic.issue(0, 0);
    traffic.on_new(2, message(0, 1), 1);
    traffic.on_acknowledged(message(0, 1), 1);
    traffic.on_new(0, message(0, 1), 1);
    traffic.on_new(1, message(0, 2), 1);
    let expected = Violations { strays: 1, seq_mismatches: 1, seq_gaps: 1, ..Violations::default() };
    assert_eq!(traffic.verdict(), expected);
}

#[test]
fn a_quota_ends_and_the_second_flow_gets_its_share() {
    let plan = Plan {
        conversations: vec![
            PlannedConversation { id: "a".into(), last_seq: 0, members: [Some(0), Some(1)] },
            PlannedConversation { id: "b".into(), last_seq: 0, members: [Some(0), None] },
        ],
        flows: vec![
            PlannedFlow { conversation: 0, sender_side: 0, in_flight_max: 64 },
            PlannedFlow { conversation: 1, sender_side: 0, in_flight_max: 1 },
        ],
        second_flow_every: 3,
        quota: Some(9),
    };
    let mut traffic = Traffic::new(&plan, 2);
    let flows: Vec<usize> = std::iter::from_fn(|| traffic.issue(0, 0)).map(|send| send.flow).collect();
    // Its bound of one under way keeps the second flow from its other turns.
    assert_eq!(flows, [0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(traffic.on_acknowledged(Reference { flow: 1, counter: 0, seq: 1 }, 1), Some(0));
}
