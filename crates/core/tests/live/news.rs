//! Who is told of another name, and of a block.

use tertulia_proto::{ServerEvent, UserId};
use tertulia_realtime::Connection;

use crate::town::{Town, told};

/// Who is called what from now on.
fn names(connection: &Connection) -> Vec<(UserId, String)> {
    let renamed = told(connection).into_iter().filter_map(|event| match event {
        ServerEvent::MemberUpdated(updated) => Some((updated.member.user_id, updated.member.name)),
        _ => None,
    });
    renamed.collect()
}

#[tokio::test]
async fn a_host_apps_new_name_for_somebody_is_told_to_everybody_who_sees_it() {
    let town = Town::new();
    let (alice, bob) = (town.person("alice").await, town.person("bob").await);
    let dana = town.guest("customer-7", "Dana").await;
    town.group(&alice, &[&dana]).await;
    town.dm(&dana, &alice).await;
    let (hers, his, danas) = (town.connect(&alice).await, town.connect(&bob).await, town.connect(&dana).await);

    assert_eq!(town.guest("customer-7", "Dana").await.user, dana.user);
    assert_eq!(names(&hers), []);
    assert_eq!(town.guest("customer-7", "Dana D.").await.name, "Dana D.");
    let news = (dana.user, "Dana D.".to_owned());
    // Once for the group and once for the DM.
    assert_eq!(names(&hers), [news.clone(), news.clone()]);
    assert_eq!(names(&danas), [news.clone(), news]);
    assert_eq!(names(&his), [], "who shares nothing with her");
}

/// Whether the other of a DM is blocked, as the conversation is shown.
fn shown(connection: &Connection) -> Vec<Option<bool>> {
    let shown = told(connection).into_iter().map(|event| match event {
        ServerEvent::ConversationUpdated(updated) => {
            updated.conversation.and_then(|view| view.peer).map(|peer| peer.blocked)
        }
        _ => None,
    });
    shown.collect()
}

#[tokio::test]
async fn a_block_is_told_to_all_ones_own_devices_and_to_nobody_else() {
    let town = Town::new();
    let (alice, bob) = (town.person("alice").await, town.person("bob").await);
    town.dm(&alice, &bob).await;
    town.group(&alice, &[&bob]).await;
    let (phone, laptop, his) = (town.connect(&alice).await, town.connect(&alice).await, town.connect(&bob).await);
    for blocked in [true, false] {
        town.services.set_blocked(&alice, bob.user, blocked).await.unwrap();
        assert_eq!((shown(&phone), shown(&laptop)), (vec![Some(blocked)], vec![Some(blocked)]));
        assert_eq!(shown(&his), [], "who is blocked is not told");
    }
}
