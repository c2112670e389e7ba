//! The bus over a real Redis: what is told is heard in order, and what is lost is noticed.

#![expect(clippy::disallowed_methods, reason = "a test looks at the clock")]

mod homes;
mod station;

use std::time::{Duration, Instant};

use station::{Station, news, user};
use tertulia_bus_redis::Heard;
use tertulia_proto::DeviceId;
use tertulia_realtime::{Bus as _, ConnectionId, News};
use tertulia_testkit::deadline::DEADLINE;
use tertulia_testkit::{Redis, within};

#[tokio::test]
async fn what_one_tells_the_others_hear_in_order_and_oneself_does_not() {
    let redis = Redis::start().await.unwrap();
    let (mut a, mut b) = (Station::open(&redis.url(), 1).await.unwrap(), Station::open(&redis.url(), 2).await.unwrap());
    let mut c = Station::open(&redis.url(), 3).await.unwrap();
    for tens in 0..100 {
        a.tell(tens * 10..tens * 10 + 10);
    }
    let expected: Vec<Option<u64>> = (0..1000).map(Some).collect();
    assert_eq!(b.hear(1000).await.unwrap(), expected);
    assert_eq!(c.hear(1000).await.unwrap(), expected);
    b.tell([7]);
    assert_eq!(a.hear(1).await.unwrap(), [Some(7)]);
}

#[tokio::test]
async fn who_comes_later_learns_who_is_there_and_who_goes_takes_theirs_along() {
    let redis = Redis::start().await.unwrap();
    let a = Station::open(&redis.url(), 1).await.unwrap();
    a.comes(10);
    a.comes(11);
    let mut b = Station::open(&redis.url(), 2).await.unwrap();
    b.until_people(a.id, &[user(10), user(11)]).await.unwrap();
    a.bus.close().await;
    b.until_people(a.id, &[]).await.unwrap();
    // It may have committed what it did not tell any more.
    b.until_lost().await.unwrap();
}

#[tokio::test]
async fn without_redis_one_is_alone_and_when_it_is_back_nothing_is_thought_to_have_come() {
    let mut redis = Redis::start().await.unwrap();
    let (mut a, mut b) = (Station::open(&redis.url(), 1).await.unwrap(), Station::open(&redis.url(), 2).await.unwrap());
    a.comes(10);
    b.until_people(a.id, &[user(10)]).await.unwrap();
    a.tell([1]);
    b.hear(1).await.unwrap();
    redis.kill().unwrap();
    a.until_alone(true).await.unwrap();
    b.until_alone(true).await.unwrap();
    assert!(!a.bus.is_up());
    let begun = Instant::now();
    for number in 2..50 {
        a.tell([number]);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "who tells does not wait");
    redis.launch().await.unwrap();
    // A loss, by the number of a sign of life; and who is there, because a new Redis knows nobody and the server tells it again.
    let (mut is_lost, mut is_back, mut is_known) = (false, false, false);
    b.until("all is well again", |heard| {
        match heard {
            Heard::Lost => is_lost = true,
            Heard::Alone(alone) => is_back = !alone,
            Heard::People { people, .. } => is_known = people == [user(10)],
            _ => {}
        }
        (is_lost && is_back && is_known).then_some(())
    })
    .await
    .unwrap();
    a.tell([99]);
    let heard = b.hear(1).await.unwrap();
    assert!(heard.contains(&Some(99)) || heard == [None]);
    assert!(b.bus.counts().losses > 0);
}

#[tokio::test]
async fn a_redis_that_hangs_is_as_good_as_none() {
    let redis = Redis::start().await.unwrap();
    let mut a = Station::open(&redis.url(), 1).await.unwrap();
    redis.pause().unwrap();
    a.tell([1]);
    a.until_alone(true).await.unwrap();
    assert_eq!(a.bus.take("hanging", 1, 1000).await, None);
    redis.resume().unwrap();
    a.until_alone(false).await.unwrap();
}

#[tokio::test]
async fn what_is_told_while_one_is_cut_off_is_noticed() {
    let redis = Redis::start().await.unwrap();
    let (a, mut b) = (Station::open(&redis.url(), 1).await.unwrap(), Station::open(&redis.url(), 2).await.unwrap());
    a.tell([1]);
    assert_eq!(b.hear(1).await.unwrap(), [Some(1)]);
    // Told while nobody of the two listens; `a` loses its ear too and does not miss what it tells itself.
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
    a.tell([2]);
    b.until_lost().await.unwrap();
    a.tell([3]);
    assert_eq!(b.hear(1).await.unwrap(), [Some(3)]);
}

/// In the moment of a promotion one server knows of it and the other does not yet.
#[tokio::test]
async fn news_of_another_log_is_passed_over_and_missed() {
    let redis = Redis::start().await.unwrap();
    let (a, mut b) = (Station::open(&redis.url(), 1).await.unwrap(), Station::open(&redis.url(), 2).await.unwrap());
    a.bus.set_log([1; 16]);
    a.tell([1]);
    assert_eq!(b.hear(1).await.unwrap(), [Some(1)], "who does not know a log takes what comes");
    b.bus.set_log([1; 16]);
    a.tell([2]);
    assert_eq!(b.hear(1).await.unwrap(), [Some(2)]);
    b.bus.set_log([2; 16]);
    a.tell([3]);
    a.bus.set_log([2; 16]);
    a.tell([4]);
    assert_eq!(b.hear(2).await.unwrap(), [None, Some(4)]);
}

/// What was said the log knows, and can be asked for; who is there it does not.
#[tokio::test]
async fn who_comes_in_the_moment_of_a_promotion_is_known_all_the_same() {
    let redis = Redis::start().await.unwrap();
    let a = Station::begin(&redis.url(), 1).unwrap();
    // Somebody is there from its first sign of life on; else the next one would tell everybody to look, because Redis had nobody.
    a.here.lock().push(user(9));
    within("the bus is heard", a.bus.heard_within(DEADLINE)).await.unwrap();
    let mut b = Station::open(&redis.url(), 2).await.unwrap();
    a.bus.set_log([1; 16]);
    a.tell([1]);
    assert_eq!(b.hear(1).await.unwrap(), [Some(1)], "from here on it is known who is at `a`");
    b.bus.set_log([2; 16]);
    a.comes(10);
    b.until_people(a.id, &[user(9), user(10)]).await.unwrap();
}

#[tokio::test]
async fn news_that_does_not_fit_is_counted_and_missed() {
    let redis = Redis::start().await.unwrap();
    let (a, mut b) = (Station::open(&redis.url(), 1).await.unwrap(), Station::open(&redis.url(), 2).await.unwrap());
    a.tell([0]);
    b.hear(1).await.unwrap();
    redis.pause().unwrap();
    for number in 1..20_000 {
        a.bus.publish(vec![news(number)]);
    }
    redis.resume().unwrap();
    b.until_lost().await.unwrap();
}

#[tokio::test]
async fn a_device_is_given_up_by_the_server_that_had_it_before_the_new_one_goes_on() {
    let redis = Redis::start().await.unwrap();
    let (mut a, b) = (Station::open(&redis.url(), 1).await.unwrap(), Station::open(&redis.url(), 2).await.unwrap());
    let device = DeviceId::from_bytes([5; 16]);
    within("nobody has it", a.bus.claim_device(user(1), device, ConnectionId(4))).await.unwrap();
    within("one's own", a.bus.claim_device(user(1), device, ConnectionId(4))).await.unwrap();
    let mut claimed = tokio::spawn(async move {
        b.bus.claim_device(user(1), device, ConnectionId(9)).await;
        b
    });
    let done = a
        .until("the request", |heard| match heard {
            Heard::Retire { user: of, device: which, connection, done } => {
                (of == user(1) && which == device && connection == ConnectionId(4)).then_some(done)
            }
            _ => None,
        })
        .await
        .unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), &mut claimed).await;
    assert!(early.is_err(), "it waits until nothing more is done for the older one");
    done.send(()).unwrap();
    let b = within("the claim", claimed).await.unwrap().unwrap();
    // Of a server that is gone nobody waits, at least not for long.
    b.bus.close().await;
    within("the claim", a.bus.claim_device(user(1), device, ConnectionId(5))).await.unwrap();
}

#[tokio::test]
async fn limits_are_counted_over_all_servers_and_slide() {
    let redis = Redis::start().await.unwrap();
    let (a, b) = (Station::open(&redis.url(), 1).await.unwrap(), Station::open(&redis.url(), 2).await.unwrap());
    assert_eq!(a.bus.take("sign-ins:x", 3, 60_000).await, Some(Ok(())));
    assert_eq!(b.bus.take("sign-ins:x", 3, 60_000).await, Some(Ok(())));
    assert_eq!(a.bus.take("sign-ins:x", 3, 60_000).await, Some(Ok(())));
    let wait = b.bus.take("sign-ins:x", 3, 60_000).await.unwrap().unwrap_err();
    assert!((1..=60_000).contains(&wait), "{wait}");
    assert_eq!(b.bus.take("sign-ins:y", 3, 60_000).await, Some(Ok(())));
    // A Redis that took over, an hour behind the one before.
    let ahead = "4102444800000";
    redis.command(&["ZADD", "{test}:rate:sign-ins:z", ahead, "1", ahead, "2", ahead, "3"]).unwrap();
    assert_eq!(b.bus.take("sign-ins:z", 3, 60_000).await, Some(Ok(())));
    assert_eq!(a.bus.take("short", 1, 50).await, Some(Ok(())));
    within("the window slides on", async { while a.bus.take("short", 1, 50).await != Some(Ok(())) {} }).await.unwrap();
}

#[tokio::test]
async fn news_of_a_newer_version_is_passed_over_and_nothing_else_is() {
    let redis = Redis::start().await.unwrap();
    let mut a = Station::open(&redis.url(), 1).await.unwrap();
    let from = "00000000-0000-0000-0000-000000000009";
    let known = News::encode(&news(4));
    let text = format!(r#"{{"from":"{from}","n":1,"later":true,"news":[{{"k":"later"}},{known}]}}"#);
    for publication in ["rubbish", "{}", &text] {
        redis.command(&["PUBLISH", "{test}:news", publication]).unwrap();
    }
    // Whom the unknown concerns has missed something.
    assert_eq!(a.hear(2).await.unwrap(), [None, Some(4)]);
}
