//! The moment of joining.

use tertulia_proto::{ServerEvent, UserId};
use tertulia_realtime::Connection;
use tertulia_store::Write;

use crate::town::{Town, told};

/// The bodies of the new messages, and whether the conversation was shown.
fn heard(connection: &Connection) -> (Vec<String>, bool) {
    let events = told(connection);
    let bodies = events.iter().filter_map(|event| match event {
        ServerEvent::MessageNew(message) => Some(message.body.clone()),
        _ => None,
    });
    (bodies.collect(), events.iter().any(|event| matches!(event, ServerEvent::ConversationUpdated(_))))
}

fn add(town: &Town, owner: UserId, conversation: tertulia_proto::ConversationId, target: UserId) {
    let write = Write::AddMember { conversation, actor: owner, target, now: town.services.now() };
    town.services.store().submit(write, Box::new(|result| assert!(result.is_ok())));
}

/// The log is ahead of what has been told: it knows the new member already when the message from before is on its way.
#[tokio::test]
async fn who_connects_while_commits_are_under_way_hears_nothing_from_before_joining() {
    let town = Town::new();
    let (alice, bob) = (town.person("alice").await, town.person("bob").await);
    let group = town.group(&alice, &[]).await;
    town.handoff.hold();
    town.say(&alice, group, "before");
    add(&town, alice.user, group, bob.user);
    town.say(&alice, group, "after");
    let connecting = async { town.services.connect(&bob, None).await.unwrap() };
    let (connection, ()) = tokio::join!(biased; connecting, async { town.handoff.release() });
    town.say(&alice, group, "later");
    connection.lane.release();
    let (bodies, _) = heard(&connection);
    // What came after joining and before the connection was there is in the difference.
    assert_eq!(bodies, ["later"]);
}

#[tokio::test]
async fn who_is_added_while_connecting_is_shown_the_conversation_and_hears_what_follows() {
    let town = Town::new();
    let (alice, bob) = (town.person("alice").await, town.person("bob").await);
    let group = town.group(&alice, &[]).await;
    town.handoff.hold();
    town.say(&alice, group, "before");
    let connecting = async { town.services.connect(&bob, None).await.unwrap() };
    let added = async {
        add(&town, alice.user, group, bob.user);
        town.handoff.release();
    };
    let (connection, ()) = tokio::join!(biased; connecting, added);
    town.say(&alice, group, "later");
    connection.lane.release();
    assert_eq!(heard(&connection), (vec!["later".to_owned()], true));
}
