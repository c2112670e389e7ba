//! Any substring of three characters, any script, newest first, only what one may see.

use super::Home;
use super::world::World;
use super::writes::sending;
use crate::*;

pub async fn a_search_finds_any_substring_in_any_script(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let cases = [
        ("Mañana toca una canción de corazón", ["Mañ", "canción", "razón", "a ca"]),
        ("今天天氣很好，我們去公園吧", ["天氣很", "很好，", "去公園吧", "今天天氣很好"]),
        ("السلام عليكم ورحمة الله", ["السلام", "لام", "م عل", "رحمة الله"]),
        ("Привет, как дела?", ["вет", "как дела?", "т, к", "Привет"]),
        ("fiesta🎉hoy👩‍👩‍👧si", ["ta🎉", "🎉ho", "a🎉h", "👩‍👩‍👧"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनि", "ते दु", "निया"]),
    ];
    for (body, _) in cases {
        world.send(alice, dm, body).await;
    }
    for (body, texts) in cases {
        for text in texts {
            assert_eq!(world.found(bob, text).await, [body], "{text}");
        }
    }
    assert_eq!(world.found(bob, "not there").await, [""; 0]);
    assert_eq!(world.found(bob, "天氣好").await, [""; 0], "all of the text, in its order");
}

pub async fn what_is_searched_is_text_and_never_a_language(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let bodies = [
        "he said \"yes\" and left",
        "red AND blue OR green",
        "red and blue",
        "blue AND red",
        "up 100% today",
        "up 1000 today",
        "snake_case here",
        "snakeXcase here",
        "it's a (group) NEAR(a b)",
        "key:value ^start -minus +plus",
        "C:\\temp\\file",
        "star* and *star",
        "body:hello {x} [y]",
        "a;DROP TABLE messages;--",
    ];
    for body in bodies {
        world.send(alice, dm, body).await;
    }
    let cases: [(&str, &[&str]); 19] = [
        ("\"yes\"", &["he said \"yes\" and left"]),
        ("d \"y", &["he said \"yes\" and left"]),
        ("\"\"\"", &[]),
        ("blue AND red", &["blue AND red"]),
        ("red OR blue", &[]),
        ("NOT blue", &[]),
        ("100%", &["up 100% today"]),
        ("snake_case", &["snake_case here"]),
        ("it's", &["it's a (group) NEAR(a b)"]),
        ("NEAR(a b)", &["it's a (group) NEAR(a b)"]),
        ("key:value", &["key:value ^start -minus +plus"]),
        ("^start", &["key:value ^start -minus +plus"]),
        ("-minus", &["key:value ^start -minus +plus"]),
        ("\\temp\\", &["C:\\temp\\file"]),
        ("*star", &["star* and *star"]),
        ("body:hello", &["body:hello {x} [y]"]),
        ("sta*r", &[]),
        (" {x} ", &["body:hello {x} [y]"]),
        ("messages;--", &["a;DROP TABLE messages;--"]),
    ];
    for (text, expected) in cases {
        assert_eq!(world.found(bob, text).await, expected, "{text}");
    }
}

pub async fn hits_come_newest_first_and_no_more_than_asked(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(bob, &[alice]).await);
    let mut expected = Vec::new();
    for n in 0..12 {
        let conversation = if n % 3 == 0 { dm } else { group };
        expected.push(world.send(alice, conversation, &format!("needle {n}")).await);
        world.send(bob, conversation, "hay").await;
    }
    // The newest message of all makes the quieter conversation the more active one.
    world.send(bob, dm, "the last straw").await;
    expected.reverse();
    for limit in [1, 2, 5, 11, 12, 50] {
        let hits = world.search(bob, "needle", None, limit).await;
        assert_eq!(hits, expected[..limit.min(12)], "at most {limit}");
    }
    let within: Vec<Message> = expected.iter().filter(|message| message.conversation_id == dm).cloned().collect();
    assert_eq!(world.search(bob, "needle", Some(dm), 50).await, within);
    assert_eq!(world.search(bob, "needle", Some(dm), 3).await, within[..3]);
    let nowhere = ConversationId::from_bytes(world.id());
    assert_eq!(world.search(bob, "needle", Some(nowhere), 3).await, []);
}

pub async fn a_search_finds_only_what_one_may_see(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let (dm, group) = (world.dm(alice, bob).await, world.group(alice, &[]).await);
    world.send(alice, dm, "secret of the dm").await;
    world.send(alice, group, "secret before carol").await;
    world.done(world.adding(alice, group, carol)).await;
    world.send(alice, group, "secret with carol").await;
    assert_eq!(world.found(alice, "secret").await, ["secret with carol", "secret before carol", "secret of the dm"]);
    assert_eq!(world.found(bob, "secret").await, ["secret of the dm"]);
    assert_eq!(world.found(carol, "secret").await, ["secret with carol"]);
    assert_eq!(world.search(carol, "secret", Some(dm), 5).await, []);
    // However many others' hits there are: the limit is for what one may see.
    for n in 0..20 {
        world.send(alice, dm, &format!("secret {n} of others")).await;
    }
    assert_eq!(world.search(carol, "secret", None, 1).await.len(), 1);
    world.done(world.removing(alice, group, carol)).await;
    assert_eq!(world.found(carol, "secret").await, [""; 0]);
    world.done(world.adding(alice, group, carol)).await;
    assert_eq!(world.found(carol, "secret").await, [""; 0], "who comes back begins anew");
}

pub async fn an_edited_message_is_found_by_its_new_text_and_no_longer_by_the_old(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let message = world.send(alice, dm, "the original words").await;
    assert_eq!(world.found(bob, "original").await.len(), 1);
    world.done(world.editing(alice, &message, "something else")).await;
    assert_eq!(world.found(bob, "original").await, [""; 0]);
    assert_eq!(world.found(bob, "something").await, ["something else"]);
    world.done(world.editing(alice, &message, "the original again")).await;
    assert_eq!(world.found(bob, "original").await, ["the original again"]);
    assert_eq!(world.found(bob, "something").await, [""; 0]);
}

pub async fn a_deleted_message_is_never_found(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let (first, second) =
        (world.send(alice, dm, "regrets, first").await, world.send(alice, dm, "regrets, second").await);
    world.search_caught_up().await;
    for (message, left) in [(second, vec!["regrets, first"]), (first, vec![])] {
        world.done(world.deleting(alice, &message)).await;
        let now = world.store.search(bob, "regrets".to_owned(), None, 5).await.expect("the store reads");
        assert!(
            now.iter().all(|hit| hit.deleted_at.is_none() && hit.message_id != message.message_id),
            "not even before the index follows"
        );
        assert_eq!(world.found(bob, "regrets").await, left);
        let limited: Vec<String> =
            world.search(bob, "regrets", None, 1).await.into_iter().map(|hit| hit.body).collect();
        assert_eq!(limited, left, "a deleted one takes no place of the page");
    }
}

pub async fn a_message_edited_and_deleted_within_one_burst_is_indexed_as_it_ended(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let (kept, lost) = (world.message(alice, dm, "draft of the kept"), world.message(alice, dm, "draft of the lost"));
    let edit = |message: &AppendMessage, body: &str| Write::EditMessage {
        conversation: dm,
        message: message.id,
        actor: alice,
        body: body.to_owned(),
        now: world.now(),
    };
    let delete = Write::DeleteMessage { conversation: dm, message: lost.id, actor: alice, now: world.now() };
    let burst =
        vec![sending(&kept), sending(&lost), edit(&kept, "final and kept"), edit(&lost, "final and lost"), delete];
    let results = world.burst(burst).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(world.found(bob, "draft").await, [""; 0]);
    assert_eq!(world.found(bob, "final").await, ["final and kept"]);
    assert_eq!(world.store.search_lag().conversations, 0);
}

pub async fn a_hit_is_the_whole_message(home: &impl Home) {
    let world = World::open(home).await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let dm = world.dm(alice, bob).await;
    let message = world.send(alice, dm, "find me").await;
    world.done(world.reacting(bob, &message, "👍")).await;
    let hits = world.search(bob, "find me", None, 5).await;
    assert_eq!(hits, [world.message_seen(bob, &message).await.expect("bob sees it")]);
    assert_eq!(hits[0].reactions.len(), 1);
}
