//! Who is told of another name, and of a block.

use tertulia_proto::request::{EditMessage, PersonBody};
use tertulia_proto::{HistoryVisibility, ServerEvent, UserId};
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

#[tokio::test]
async fn what_becomes_of_a_message_from_before_one_joined_is_not_told_to_them() {
    let town = Town::new();
    let (alice, bob, carol) = (town.person("alice").await, town.person("bob").await, town.person("carol").await);
    let group = town.group_with(&alice, &[&bob], HistoryVisibility::Joined).await;
    let (his, hers) = (town.connect(&bob).await, town.connect(&carol).await);
    town.say(&alice, group, "secret");
    let message_id = match &told(&his)[..] {
        [ServerEvent::MessageNew(message)] => message.message_id,
        other => panic!("{other:?}"),
    };
    let her = PersonBody { email: None, user_id: Some(carol.user) };
    town.services.add_member(&alice, group, &her).await.unwrap();
    told(&his);
    told(&hers);

    let edit = EditMessage { conversation_id: group, message_id, body: "still secret".to_owned() };
    let edited = town.services.edit_message(&alice, edit).await.unwrap();
    assert!(matches!(&told(&his)[..], [ServerEvent::MessageUpdated(message)] if message.body == "still secret"));
    // Only that there was something: else she would ask what she missed.
    match &told(&hers)[..] {
        [ServerEvent::ConversationUpdated(updated)] => {
            assert_eq!((updated.rev, &updated.title, &updated.conversation), (edited.rev, &None, &None));
        }
        other => panic!("{other:?}"),
    }
}
