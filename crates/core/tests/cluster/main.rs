//! Several servers, one log: what one commits reaches people at the others, in order, and what is lost on the way heals.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod city;

use city::{City, told};
use tertulia_proto::DeviceId;
use tertulia_proto::request::PersonBody;
use tertulia_realtime::Closing;

#[tokio::test]
async fn what_one_server_commits_reaches_people_at_the_others() {
    let city = City::new(3);
    let [a, b, c] = &city.servers[..] else { panic!("three servers") };
    let (ana, bo, cy) = (a.person("ana").await, a.person("bo").await, a.person("cy").await);
    let (here, there, elsewhere) = (a.connect(&ana).await, b.connect(&bo).await, c.connect(&cy).await);
    let group = a.group(&ana, &[&bo]).await;
    city.pass_on_all().await;
    a.say(&ana, group, "hello");
    assert_eq!(told(&here), ["conversation.updated", "hello"]);
    city.pass_on_all().await;
    assert_eq!(told(&there), ["conversation.updated", "hello"]);
    b.say(&bo, group, "hi");
    assert_eq!(told(&there), ["hi"]);
    city.pass_on_all().await;
    assert_eq!(told(&here), ["hi"]);
    assert!(told(&elsewhere).is_empty());
}

#[tokio::test]
async fn changes_over_several_servers_are_told_in_the_logs_order_and_so_are_answers() {
    let city = City::new(3);
    let [a, b, c] = &city.servers[..] else { panic!("three servers") };
    let (ana, bo, cy) = (a.person("ana").await, a.person("bo").await, a.person("cy").await);
    let group = a.group(&ana, &[&bo, &cy]).await;
    let there = c.connect(&cy).await;
    let at_b = b.connect(&bo).await;
    a.say(&ana, group, "1");
    city.pass_on_all().await;
    told(&there);
    told(&at_b);
    assert!(*a.say(&ana, group, "2").lock());
    let answer = b.say(&bo, group, "3");
    assert!(!*answer.lock(), "what stands before it has not been heard here");
    // The later one comes first.
    city.pass_on(1).await;
    assert!(told(&there).is_empty());
    city.pass_on(0).await;
    assert_eq!(told(&there), ["2", "3"]);
    assert!(*answer.lock());
    assert_eq!(told(&at_b), ["2", "3"]);
}

#[tokio::test]
async fn what_is_lost_holds_up_nothing_for_long() {
    let city = City::new(2);
    let [a, b] = &city.servers[..] else { panic!("two servers") };
    let (ana, bo) = (a.person("ana").await, a.person("bo").await);
    let group = a.group(&ana, &[&bo]).await;
    city.pass_on_all().await;
    let there = b.connect(&bo).await;
    a.say(&ana, group, "1");
    city.pass_on_all().await;
    assert_eq!(told(&there), ["1"]);
    a.say(&ana, group, "2");
    assert_eq!(city.lose(0), 1);
    a.say(&ana, group, "3");
    city.pass_on_all().await;
    let answer = b.say(&bo, group, "4");
    assert!(told(&there).is_empty() && !*answer.lock());
    city.wait();
    assert_eq!(told(&there), ["3", "4"], "the jump tells the client to ask");
    assert!(*answer.lock());
}

#[tokio::test]
async fn a_loss_concerns_those_who_were_not_told_and_nobody_else() {
    let city = City::new(2);
    let [a, b] = &city.servers[..] else { panic!("two servers") };
    let (ana, bo, cy) = (a.person("ana").await, a.person("bo").await, a.person("cy").await);
    let (first, second) = (a.group(&ana, &[&bo]).await, a.group(&ana, &[&cy]).await);
    city.pass_on_all().await;
    let (at_bo, at_cy) = (b.connect(&bo).await, b.connect(&cy).await);
    for group in [first, second] {
        a.say(&ana, group, if group == first { "to-bo" } else { "to-cy" });
    }
    city.pass_on_all().await;
    let before = tertulia_store::Store::log_state(&*city.log).await.unwrap().position;
    assert!(b.missed_since(before).await.is_empty());
    a.say(&ana, first, "heard");
    city.pass_on_all().await;
    a.say(&ana, second, "lost");
    city.lose(0);
    assert_eq!(b.missed_since(before).await, [cy.user]);
    b.services.hub().need_sync_of(&[cy.user]);
    assert_eq!(
        (told(&at_bo), told(&at_cy)),
        (vec!["to-bo".into(), "heard".into()], vec!["to-cy".into(), "sync.needed".into()])
    );
}

#[tokio::test]
async fn a_lost_removal_is_put_right_and_so_is_a_lost_arrival() {
    let city = City::new(2);
    let [a, b] = &city.servers[..] else { panic!("two servers") };
    let (ana, bo, cy) = (a.person("ana").await, a.person("bo").await, a.person("cy").await);
    let group = a.group(&ana, &[&bo]).await;
    let (at_bo, at_cy) = (b.connect(&bo).await, b.connect(&cy).await);
    city.pass_on_all().await;
    let before = tertulia_store::Store::log_state(&*city.log).await.unwrap().position;
    a.services.remove_member(&ana, group, bo.user, None).await.unwrap();
    a.add(&ana, group, &cy).await;
    city.lose(0);
    told(&at_bo);
    let mut concerned = vec![bo.user, cy.user];
    concerned.sort_unstable();
    assert_eq!(b.missed_since(before).await, concerned);
    a.say(&ana, group, "after");
    city.pass_on_all().await;
    assert!(told(&at_bo).is_empty(), "who was taken out hears nothing more");
    assert_eq!(told(&at_cy), ["after"]);
}

#[tokio::test]
async fn who_was_taken_out_and_brought_back_over_two_servers_is_in_whatever_comes_first() {
    let city = City::new(3);
    let [a, b, c] = &city.servers[..] else { panic!("three servers") };
    let (ana, bo) = (a.person("ana").await, a.person("bo").await);
    let group = a.group(&ana, &[&bo]).await;
    let there = c.connect(&bo).await;
    a.say(&ana, group, "1");
    city.pass_on_all().await;
    a.services.remove_member(&ana, group, bo.user, None).await.unwrap();
    let passing = async {
        city.pass_on(1).await;
        city.pass_on(0).await;
    };
    // Its answer waits for the removal, which the other server has not been told of yet.
    tokio::join!(b.add(&ana, group, &bo), passing);
    told(&there);
    a.say(&ana, group, "2");
    city.pass_on_all().await;
    assert_eq!(told(&there), ["2"]);
}

#[tokio::test]
async fn an_ended_session_ends_everywhere() {
    let city = City::new(2);
    let [a, b] = &city.servers[..] else { panic!("two servers") };
    let bo = a.person("bo").await;
    let there = b.connect(&bo).await;
    a.services.auth().end_session(&bo, bo.session).await.unwrap();
    city.pass_on_all().await;
    assert_eq!(there.lane.closing(), Some(Closing::Unauthenticated));
}

#[tokio::test]
async fn who_was_added_by_lost_news_is_told_also_when_later_news_was_heard() {
    let city = City::new(2);
    let [a, b] = &city.servers[..] else { panic!("two servers") };
    let (ana, bo, cy) = (a.person("ana").await, a.person("bo").await, a.person("cy").await);
    let group = a.group(&ana, &[&bo]).await;
    let (_at_bo, at_cy) = (b.connect(&bo).await, b.connect(&cy).await);
    city.pass_on_all().await;
    let before = tertulia_store::Store::log_state(&*city.log).await.unwrap().position;
    a.add(&ana, group, &cy).await;
    city.lose(0);
    a.say(&ana, group, "heard");
    city.pass_on_all().await;
    city.wait();
    assert!(told(&at_cy).is_empty(), "who is not known to be a member hears nothing");
    assert_eq!(b.missed_since(before).await, [cy.user]);
    a.say(&ana, group, "after");
    city.pass_on_all().await;
    assert_eq!(told(&at_cy), ["after"]);
}

#[tokio::test]
async fn a_block_that_was_not_told_ends_the_watch_all_the_same() {
    let city = City::new(2);
    let [a, b] = &city.servers[..] else { panic!("two servers") };
    let (ana, bo) = (a.person("ana").await, a.person("bo").await);
    a.group(&ana, &[&bo]).await;
    let there = b.connect(&bo).await;
    city.pass_on_all().await;
    b.services.watch_presence(&bo, &there, vec![ana.user]).await.unwrap();
    a.services.set_blocked(&ana, bo.user, true).await.unwrap();
    city.lose(0);
    b.services.look_after_watches().await.unwrap();
    told(&there);
    let _here = a.connect(&ana).await;
    city.pass_on_all().await;
    assert!(told(&there).is_empty());
}

#[tokio::test]
async fn somebody_is_here_as_long_as_one_server_has_them() {
    let city = City::new(3);
    let [a, b, c] = &city.servers[..] else { panic!("three servers") };
    let (ana, bo) = (a.person("ana").await, a.person("bo").await);
    a.group(&ana, &[&bo]).await;
    let watcher = c.connect(&bo).await;
    city.pass_on_all().await;
    told(&watcher);
    let answer = c.services.watch_presence(&bo, &watcher, vec![ana.user]).await.unwrap();
    assert!(!answer[0].online);
    let (phone, laptop) = (a.connect(&ana).await, b.connect(&ana).await);
    city.pass_on_all().await;
    assert_eq!(told(&watcher), ["presence.update true"]);
    a.services.disconnect(&phone);
    city.pass_on_all().await;
    assert!(told(&watcher).is_empty());
    assert!(c.services.watch_presence(&bo, &watcher, vec![ana.user]).await.unwrap()[0].online);
    b.services.disconnect(&laptop);
    city.pass_on_all().await;
    assert_eq!(told(&watcher), ["presence.update false"]);
    // A server that is gone takes its people with it.
    let _again = a.connect(&ana).await;
    city.pass_on_all().await;
    assert_eq!(told(&watcher), ["presence.update true"]);
    c.services.hub().are_elsewhere(a.id, &[], c.services.now());
    assert_eq!(told(&watcher), ["presence.update false"]);
}

#[tokio::test]
async fn typing_is_told_at_the_other_servers_and_whom_one_blocks_sees_one_no_more() {
    let city = City::new(2);
    let [a, b] = &city.servers[..] else { panic!("two servers") };
    let (ana, bo) = (a.person("ana").await, a.person("bo").await);
    let person = PersonBody { email: None, user_id: Some(bo.user) };
    let dm = a.services.open_dm(&ana, &person).await.unwrap().0.id;
    let (_here, there) = (a.connect(&ana).await, b.connect(&bo).await);
    city.pass_on_all().await;
    b.services.watch_presence(&bo, &there, vec![ana.user]).await.unwrap();
    told(&there);
    a.services.typing(&ana, dm, true).await.unwrap();
    city.pass_on_all().await;
    assert_eq!(told(&there), ["typing.start"]);
    a.services.set_blocked(&ana, bo.user, true).await.unwrap();
    city.pass_on_all().await;
    told(&there);
    let again = a.connect(&ana).await;
    a.services.disconnect(&again);
    a.services.disconnect(&_here);
    city.pass_on_all().await;
    assert!(told(&there).iter().all(|event| !event.starts_with("presence")));
}

#[tokio::test]
async fn a_device_that_connects_elsewhere_is_asked_for_and_its_older_connection_does_nothing_more() {
    let city = City::new(2);
    let [a, b] = &city.servers[..] else { panic!("two servers") };
    let ana = a.person("ana").await;
    let device = DeviceId::from_bytes([5; 16]);
    let older = a.services.connect(&ana, Some(device)).await.unwrap();
    assert_eq!(a.claims(), [(ana.user, device)]);
    b.services.connect(&ana, Some(device)).await.unwrap();
    assert_eq!(b.claims(), [(ana.user, device)]);
    a.services.retire_device(ana.user, device, older.id).await;
    assert_eq!(older.lane.closing(), Some(Closing::Replaced));
    assert!(!older.execute(|| panic!("nothing more is done for it")));
    assert_eq!(a.services.hub().counts().connections, 0);
}

#[tokio::test]
async fn what_somebody_sends_over_all_servers_together_is_limited() {
    let city = City::new(2);
    let [a, b] = &city.servers[..] else { panic!("two servers") };
    let (ana, bo) = (a.person("ana").await, a.person("bo").await);
    let group = a.group(&ana, &[&bo]).await;
    let most = a.services.limits().sends_per_10s;
    let mut taken = 0;
    for number in 0..most + 5 {
        let server = if number % 2 == 0 { a } else { b };
        server.say(&ana, group, &format!("m{number}"));
        city.pass_on_all().await;
        city.wait();
        taken = tertulia_store::Store::conversation(&*city.log, ana.user, group).await.unwrap().unwrap().last_seq;
    }
    assert_eq!(taken, i64::from(most));
}
