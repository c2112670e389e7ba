//! What waits for one connection: order, bounds, the end.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic, in its helpers too")]

mod house;

use house::{event, receipt_of, sizes, user};
use tertulia_proto::{ApiError, ErrorCode};
use tertulia_realtime::lane::{Lane, LaneLimits, SignKey};
use tertulia_realtime::{Closing, Outbound, Reply};

const WIDE: LaneLimits = LaneLimits { frames_max: 100, bytes_max: 1 << 20 };

fn lane(frames_max: usize, bytes_max: usize) -> Lane {
    Lane::new(LaneLimits { frames_max, bytes_max })
}

fn reply(to: u64, bytes: usize) -> Outbound {
    Outbound::Reply(Reply { to, body: Ok("x".repeat(bytes)) })
}

/// The events' revs and the replies' numbers, in the order they would be written.
fn taken(lane: &Lane) -> Vec<i64> {
    let frames = lane.try_take().map(|batch| batch.frames).unwrap_or_default();
    frames
        .iter()
        .map(|frame| match frame {
            Outbound::Ping => panic!("nobody pinged"),
            Outbound::Event(publication) => receipt_of(publication.event().unwrap()),
            Outbound::Reply(reply) => i64::try_from(reply.to).unwrap(),
        })
        .collect()
}

#[test]
fn frames_leave_in_the_order_they_came() {
    let lane = Lane::new(WIDE);
    lane.push_event(event(1));
    lane.push(reply(2, 0));
    lane.push(Outbound::Event(event(3)));
    lane.push_event(event(4));
    assert_eq!(taken(&lane), [1, 2, 3, 4]);
    assert!(lane.try_take().is_none(), "what was taken is gone");
}

#[test]
fn live_events_wait_behind_the_difference_and_answers_do_not() {
    let lane = Lane::new(WIDE);
    lane.push_event(event(1));
    lane.hold();
    lane.push_event(event(5));
    lane.push(reply(2, 0));
    lane.push_event(event(6));
    assert_eq!(taken(&lane), [1, 2], "what is held can't be taken");
    lane.push(Outbound::Event(event(3)));
    lane.release();
    lane.push_event(event(7));
    assert_eq!(taken(&lane), [3, 5, 6, 7]);
}

#[test]
fn holding_twice_loses_nothing_and_releasing_twice_repeats_nothing() {
    let lane = Lane::new(WIDE);
    lane.hold();
    lane.push_event(event(1));
    lane.hold();
    lane.push_event(event(2));
    lane.release();
    lane.release();
    assert_eq!(taken(&lane), [1, 2]);
}

#[test]
fn a_lane_full_of_frames_closes_and_is_emptied() {
    let lane = lane(3, 1 << 20);
    for rev in 1..=3 {
        assert!(lane.push_event(event(rev)));
    }
    assert_eq!(lane.closing(), None);
    assert!(!lane.push_event(event(4)), "it is not told");
    assert_eq!(lane.closing(), Some(Closing::TooSlow));
    assert!(!lane.push_event(event(5)), "nor what comes later");
    assert!(taken(&lane).is_empty(), "who is too slow gets no more frames");
}

#[test]
fn a_lane_full_of_bytes_closes() {
    let lane = lane(100, sizes().0 * 2);
    lane.push_event(event(1));
    lane.push_event(event(2));
    assert_eq!(lane.closing(), None);
    lane.push_event(event(3));
    assert_eq!(lane.closing(), Some(Closing::TooSlow));
}

#[test]
fn what_was_taken_makes_room() {
    let (size, _) = sizes();
    let lane = lane(2, size * 2);
    for round in 0..10 {
        lane.push_event(event(round * 2));
        lane.push_event(event(round * 2 + 1));
        assert_eq!(taken(&lane).len(), 2);
    }
    assert_eq!(lane.closing(), None);
}

#[test]
fn a_frame_larger_than_the_lane_goes_out() {
    let lane = lane(100, 1000);
    lane.push(reply(1, 5000));
    assert_eq!(lane.closing(), None);
    assert_eq!(taken(&lane), [1]);
    lane.push(reply(2, 0));
    lane.push(reply(3, 5000));
    assert_eq!(taken(&lane), [2, 3], "also behind a small one");
}

#[test]
fn two_frames_larger_than_the_lane_fill_it() {
    let lane = lane(100, 1000);
    lane.push(reply(1, 5000));
    lane.push(reply(2, 5000));
    assert_eq!(lane.closing(), None);
    lane.push(reply(3, 0));
    assert_eq!(lane.closing(), Some(Closing::TooSlow));
}

/// As a difference is answered: the page as an event, then `ok`; the connection's own task is the one that writes, so nothing is taken in between.
#[test]
fn a_page_larger_than_the_lane_leaves_room_for_what_stands_around_it() {
    let lane = lane(100, 1000);
    lane.push_event(event(0));
    lane.hold();
    lane.push(reply(1, 5000));
    lane.release();
    lane.push(reply(2, 2));
    assert_eq!(lane.closing(), None, "everybody with a large page would be sent away, each time anew");
    assert_eq!(taken(&lane), [0, 1, 2]);
}

#[test]
fn held_events_count_as_frames() {
    let lane = lane(3, 1 << 20);
    lane.hold();
    for rev in 1..=3 {
        lane.push_event(event(rev));
    }
    assert_eq!(lane.closing(), None);
    lane.push_event(event(4));
    assert_eq!(lane.closing(), Some(Closing::TooSlow));
    lane.release();
    assert!(taken(&lane).is_empty());
}

#[test]
fn held_events_count_as_bytes() {
    let lane = lane(1000, sizes().0 * 4);
    lane.hold();
    for rev in 1..=4 {
        lane.push_event(event(rev));
    }
    assert_eq!(lane.closing(), None);
    lane.push_event(event(5));
    assert_eq!(lane.closing(), Some(Closing::TooSlow));
}

#[test]
fn what_was_held_counts_as_bytes_after_the_release() {
    let lane = lane(1000, sizes().0 * 4);
    lane.hold();
    (1..=4).for_each(|rev| assert!(lane.push_event(event(rev))));
    lane.release();
    assert_eq!(lane.closing(), None);
    lane.push_event(event(5));
    assert_eq!(lane.closing(), Some(Closing::TooSlow));
}

#[test]
fn a_release_over_the_bound_of_frames_closes() {
    let lane = lane(3, 1 << 20);
    lane.hold();
    lane.push_event(event(1));
    lane.push_event(event(2));
    lane.push(reply(3, 0));
    lane.push(reply(4, 0));
    assert_eq!(lane.closing(), None);
    lane.release();
    assert_eq!(lane.closing(), Some(Closing::TooSlow));
}

#[test]
fn of_each_sign_the_latest_wins_and_durable_frames_go_first() {
    let lane = Lane::new(WIDE);
    let (alice, bob) = (SignKey::Presence(user(1)), SignKey::Presence(user(2)));
    lane.push_sign(alice, event(1));
    lane.push_sign(bob, event(2));
    lane.push_sign(alice, event(3));
    lane.push_event(event(4));
    assert_eq!(taken(&lane), [4, 2, 3]);
}

#[test]
fn signs_are_bounded_and_the_oldest_go() {
    let lane = Lane::new(WIDE);
    for number in 0..5000 {
        lane.push_sign(SignKey::Presence(user(number)), event(i64::from(number)));
    }
    let kept = taken(&lane);
    assert_eq!((kept.len(), kept[0], kept[4095]), (4096, 904, 4999));
    assert_eq!(lane.closing(), None, "signs send nobody away");
}

#[test]
fn signs_pass_a_lane_that_is_held() {
    let lane = Lane::new(WIDE);
    lane.hold();
    lane.push_event(event(1));
    lane.push_sign(SignKey::Presence(user(1)), event(2));
    assert_eq!(taken(&lane), [2]);
}

#[test]
fn nothing_is_taken_up_after_the_end() {
    for closing in [Closing::TooSlow, Closing::Restarting, Closing::Unauthenticated] {
        let lane = Lane::new(WIDE);
        lane.close(closing);
        lane.push_event(event(1));
        lane.push(reply(2, 0));
        lane.push_sign(SignKey::Presence(user(1)), event(3));
        lane.hold();
        lane.push_event(event(4));
        lane.release();
        let batch = lane.try_take().unwrap();
        assert_eq!((batch.frames.len(), batch.closing), (0, Some(closing)));
    }
}

#[test]
fn what_came_before_the_end_is_still_written_unless_the_reader_is_too_slow() {
    for (closing, left) in [(Closing::Restarting, 2), (Closing::TooSlow, 0)] {
        let lane = Lane::new(WIDE);
        lane.push_event(event(1));
        lane.push(Outbound::Reply(Reply { to: 2, body: Err(ApiError::new(ErrorCode::Gone, "gone")) }));
        lane.close(closing);
        let batch = lane.try_take().unwrap();
        assert_eq!((batch.frames.len(), batch.closing), (left, Some(closing)));
    }
}

#[test]
fn the_first_reason_stays() {
    let lane = lane(1, 1 << 20);
    lane.close(Closing::Unauthenticated);
    lane.close(Closing::Restarting);
    lane.push_event(event(1));
    lane.push_event(event(2));
    assert_eq!(lane.closing(), Some(Closing::Unauthenticated));
}

#[tokio::test]
async fn who_waits_is_woken_by_each_kind_of_news() {
    let lane = Lane::new(WIDE);
    let pushes: [fn(&Lane); 5] = [
        |lane| assert!(lane.push_event(event(1))),
        |lane| lane.push(reply(1, 0)),
        |lane| lane.push_sign(SignKey::Presence(user(1)), event(1)),
        |lane| {
            lane.hold();
            lane.push_event(event(1));
            lane.release();
        },
        |lane| lane.close(Closing::Restarting),
    ];
    for push in pushes {
        let (batch, ()) = tokio::join!(lane.take(), async { push(&lane) });
        assert!(batch.frames.len() == 1 || batch.closing == Some(Closing::Restarting));
    }
    assert_eq!(lane.closed().await, Closing::Restarting);
}

#[tokio::test]
async fn the_end_is_told_to_who_waits_for_it() {
    let lane = Lane::new(WIDE);
    let (closing, ()) = tokio::join!(lane.closed(), async { lane.close(Closing::TooSlow) });
    assert_eq!(closing, Closing::TooSlow);
}

#[test]
fn every_end_has_its_own_code_and_says_what_to_do() {
    let all = [
        Closing::Gone,
        Closing::Unauthenticated,
        Closing::TooSlow,
        Closing::RateLimited,
        Closing::FrameTooLarge,
        Closing::Restarting,
        Closing::Replaced,
    ];
    let mut codes: Vec<u16> = all.iter().map(|closing| closing.code()).collect();
    assert_eq!(codes, [1000, 4401, 4408, 4429, 1009, 1012, 4409]);
    codes.dedup();
    assert_eq!(codes.len(), all.len());
    // RFC 6455, 5.5.1: 123 bytes beside the code.
    assert!(all.iter().all(|closing| closing.reason().len() <= 123));
}
