use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tertulia_client::{ListDiff, Message, MessageRef, Status};

use super::*;
use crate::app::dialog::Dialog;
use crate::sample::{
    BOB, ME, app, busy, control, dm, group, key, message, message_id, now, pending, room, timeline, type_in, user,
};

fn opened() -> App {
    let mut app = app(80, 24);
    app.take(now(), News::Conversations(vec![ListDiff::Reset(vec![dm(1, BOB), group(2, "Trip")])]));
    let wishes = key(&mut app, KeyCode::Enter);
    assert_eq!(wishes, [Wish::Open { room: room(1), peer: Some(user(BOB)) }]);
    app
}

fn without_typing(wishes: Vec<Wish>) -> Vec<Wish> {
    wishes.into_iter().filter(|wish| !matches!(wish, Wish::Typing(..))).collect()
}

#[test]
fn what_is_typed_is_sent_and_a_blank_line_is_not() {
    let mut app = opened();
    assert_eq!(key(&mut app, KeyCode::Enter), []);
    assert_eq!(key(&mut app, KeyCode::Char('q')), [Wish::Typing(room(1), true)]);
    type_in(&mut app, " is a letter here");
    let sent = Wish::Send { room: room(1), text: "q is a letter here".to_owned(), reply_to: None };
    assert_eq!(key(&mut app, KeyCode::Enter), [Wish::Typing(room(1), false), sent]);
    assert!(app.room.unwrap().line.is_empty());
}

#[test]
fn a_text_that_is_not_taken_comes_back() {
    let mut app = opened();
    let given = |why: &str| News::GivenBack { room: room(1), text: "long".to_owned(), why: why.to_owned() };
    app.take(now(), given("body: over the limit"));
    assert_eq!(app.room.as_ref().unwrap().line.text(), "long");
    assert_eq!(app.notice.as_ref().unwrap().0, "body: over the limit");
    app.take(now().plus_ms(60_000), News::Tick { next_try_in_ms: None });
    assert_eq!(app.notice, None);
}

#[test]
fn each_conversation_keeps_its_draft() {
    let mut app = opened();
    type_in(&mut app, "half a");
    assert_eq!(app.take(now(), News::Tick { next_try_in_ms: None }), []);
    let rested = app.take(now().plus_ms(1000), News::Tick { next_try_in_ms: None });
    assert_eq!(rested, [Wish::Draft(room(1), "half a".to_owned())]);
    type_in(&mut app, " sentence");
    let wishes = app.take(now(), News::Key(KeyEvent::new(KeyCode::Down, KeyModifiers::ALT)));
    let kept = Wish::Draft(room(1), "half a sentence".to_owned());
    assert_eq!(wishes, [kept, Wish::Open { room: room(2), peer: None }]);
    let with_draft = Conversation { draft: "half a sentence".to_owned(), ..dm(1, BOB) };
    app.take(now(), News::Conversations(vec![ListDiff::Set { index: 0, value: with_draft }]));
    app.take(now(), News::Key(KeyEvent::new(KeyCode::Up, KeyModifiers::ALT)));
    assert_eq!(app.room.unwrap().line.text(), "half a sentence");
}

#[test]
fn up_in_an_empty_line_edits_the_last_of_mine_and_keeps_the_line() {
    let mut app = opened();
    app.take(now(), timeline(vec![message(1, ME, "helo"), message(2, BOB, "hi")]));
    key(&mut app, KeyCode::Up);
    assert_eq!(app.room.as_ref().unwrap().line.text(), "helo");
    type_in(&mut app, "!");
    let edit = Wish::Edit { room: room(1), message: MessageRef::Log(message_id(1)), text: "helo!".to_owned() };
    assert_eq!(without_typing(key(&mut app, KeyCode::Enter)), [edit]);
    app.take(now(), timeline(vec![pending(3, "on its way")]));
    key(&mut app, KeyCode::Up);
    let name = "name-3".parse().unwrap();
    let wishes = without_typing(key(&mut app, KeyCode::Enter));
    assert_eq!(wishes, [Wish::Edit { room: room(1), message: MessageRef::Mine(name), text: "on its way".to_owned() }]);
}

#[test]
fn an_edit_that_is_left_gives_the_line_back() {
    let mut app = opened();
    app.take(now(), timeline(vec![message(1, ME, "helo")]));
    type_in(&mut app, "draft");
    key(&mut app, KeyCode::Tab);
    key(&mut app, KeyCode::Char('e'));
    assert_eq!(app.room.as_ref().unwrap().line.text(), "helo");
    assert_eq!(app.room.as_ref().unwrap().draft(), "draft");
    key(&mut app, KeyCode::Esc);
    assert_eq!(app.room.as_ref().unwrap().line.text(), "draft");
    assert_eq!(app.focus, Focus::Compose);
}

#[test]
fn a_chosen_message_is_answered_reacted_to_and_deleted() {
    let mut app = opened();
    app.take(now(), timeline(vec![message(1, BOB, "first"), message(2, ME, "second")]));
    key(&mut app, KeyCode::Tab);
    key(&mut app, KeyCode::Up);
    key(&mut app, KeyCode::Char('r'));
    type_in(&mut app, "yes");
    let reply_to = Some(MessageRef::Log(message_id(1)));
    let sent = Wish::Send { room: room(1), text: "yes".to_owned(), reply_to };
    assert_eq!(without_typing(key(&mut app, KeyCode::Enter)), [sent]);
    key(&mut app, KeyCode::Tab);
    key(&mut app, KeyCode::Char('+'));
    let message = MessageRef::Log(message_id(2));
    let react = Wish::React { room: room(1), message: message.clone(), emoji: "👍".to_owned(), remove: false };
    assert_eq!(key(&mut app, KeyCode::Char('1')), [react]);
    key(&mut app, KeyCode::Char('d'));
    assert_eq!(key(&mut app, KeyCode::Char('n')), []);
    key(&mut app, KeyCode::Char('d'));
    assert_eq!(key(&mut app, KeyCode::Char('y')), [Wish::Delete { room: room(1), message }]);
}

#[test]
fn a_refused_message_is_retried_or_discarded() {
    let mut app = opened();
    let status = Status::Failed { entry: 7, code: tertulia_client::ErrorCode::Forbidden, detail: "no".to_owned() };
    app.take(now(), timeline(vec![Message { status: Some(status), ..pending(1, "x") }]));
    key(&mut app, KeyCode::Tab);
    assert_eq!(key(&mut app, KeyCode::Char('t')), [Wish::Retry(7)]);
    assert_eq!(key(&mut app, KeyCode::Char('x')), [Wish::Discard(7)]);
    app.take(now(), News::Outbox(vec![crate::sample::parcel(7, "x", Some("no"))]));
    control(&mut app, 'p');
    assert_eq!(key(&mut app, KeyCode::Char('x')), [Wish::Discard(7)]);
}

#[test]
fn read_is_what_somebody_has_before_their_eyes() {
    let mut app = opened();
    let rows = |seqs: std::ops::RangeInclusive<i64>| timeline(seqs.map(|seq| message(seq, BOB, "x")).collect());
    assert_eq!(app.take(now(), rows(1..=3)), [Wish::MarkRead(room(1), 3)]);
    assert_eq!(app.take(now(), rows(1..=3)), [], "told once");
    app.take(now(), News::Looked(false));
    assert_eq!(app.take(now(), rows(1..=4)), []);
    assert_eq!(app.room.as_ref().unwrap().unread_after, Some(0));
    assert_eq!(app.take(now(), News::Looked(true)), [Wish::MarkRead(room(1), 4)]);
    app.take(now(), rows(1..=60));
    key(&mut app, KeyCode::PageUp);
    assert_eq!(app.take(now(), rows(1..=61)), [], "one reads above");
    key(&mut app, KeyCode::PageDown);
    assert_eq!(key(&mut app, KeyCode::PageDown), [Wish::MarkRead(room(1), 61)]);
}

#[test]
fn scrolling_to_the_top_fetches_more_once() {
    let mut app = opened();
    let rows: Vec<Message> = (100..=130).map(|seq| message(seq, BOB, "x")).collect();
    let more = |rows: Vec<Message>| News::Timeline {
        room: room(1),
        steps: vec![ListDiff::Reset(rows)],
        has_more: true,
        quoted: Vec::new(),
    };
    app.take(now(), more(rows.clone()));
    let wishes: Vec<Wish> = (0..10).flat_map(|_| key(&mut app, KeyCode::PageUp)).collect();
    assert_eq!(wishes, [Wish::MoreMessages]);
    app.take(now(), more(rows));
    assert_eq!(key(&mut app, KeyCode::PageUp), [Wish::MoreMessages]);
}

#[test]
fn a_hit_is_reached_through_as_many_pages_as_it_takes() {
    let mut app = opened();
    let page = |from: i64, has_more| News::Timeline {
        room: room(1),
        steps: vec![ListDiff::Reset((from..=200).map(|seq| message(seq, BOB, "x")).collect())],
        has_more,
        quoted: Vec::new(),
    };
    app.take(now(), page(151, true));
    control(&mut app, 'f');
    type_in(&mut app, "wor");
    let wishes = key(&mut app, KeyCode::Char('d'));
    assert_eq!(wishes, [Wish::Search("word".to_owned())]);
    app.take(now(), News::Found { text: "wor".to_owned(), hits: vec![message(1, BOB, "of an earlier text")] });
    app.take(now(), News::Found { text: "word".to_owned(), hits: vec![message(77, BOB, "word")] });
    assert_eq!(key(&mut app, KeyCode::Enter), [Wish::MoreMessages]);
    assert_eq!(app.take(now(), page(101, true)), [Wish::MoreMessages]);
    app.take(now(), page(51, true));
    assert_eq!(app.room.as_ref().unwrap().selected, Some(77));
    assert_eq!((app.focus, app.dialog.is_none()), (Focus::Messages, true));
}

#[test]
fn a_conversation_is_opened_before_the_list_has_it() {
    let mut app = app(80, 24);
    key(&mut app, KeyCode::Char('n'));
    type_in(&mut app, "bob@example.org");
    assert_eq!(key(&mut app, KeyCode::Enter), [Wish::OpenDm("bob@example.org".to_owned())]);
    assert!(matches!(app.dialog, Some(Dialog::Dm(_))), "until it is here");
    assert_eq!(app.take(now(), News::Opened(room(1))), [Wish::Open { room: room(1), peer: None }]);
    let listed = app.take(now(), News::Conversations(vec![ListDiff::Reset(vec![dm(1, BOB)])]));
    assert!(listed.contains(&Wish::Open { room: room(1), peer: Some(user(BOB)) }), "{listed:?}");
    app.take(now(), News::Conversations(vec![ListDiff::Remove { index: 0 }]));
    assert!(app.room.is_none() && app.focus == Focus::List);
}

#[test]
fn a_group_has_a_title_and_people() {
    let mut app = opened();
    control(&mut app, 'g');
    type_in(&mut app, "Trip");
    key(&mut app, KeyCode::Enter);
    type_in(&mut app, "bob@example.org, carol@example.org");
    let emails = vec!["bob@example.org".to_owned(), "carol@example.org".to_owned()];
    assert_eq!(key(&mut app, KeyCode::Enter), [Wish::OpenGroup { title: "Trip".to_owned(), emails }]);
}

#[test]
fn leaving_keeps_the_draft_and_signing_out_asks_first() {
    let mut app = busy(80, 24);
    type_in(&mut app, "x");
    assert_eq!(control(&mut app, 'q'), [Wish::Draft(room(1), "x".to_owned()), Wish::Quit]);
    key(&mut app, KeyCode::Esc);
    key(&mut app, KeyCode::Char('L'));
    assert_eq!(key(&mut app, KeyCode::Enter), []);
    key(&mut app, KeyCode::Char('L'));
    assert_eq!(key(&mut app, KeyCode::Char('y')), [Wish::LogOut]);
}

#[test]
fn muting_goes_back_and_forth() {
    let mut app = opened();
    key(&mut app, KeyCode::Esc);
    assert!(matches!(key(&mut app, KeyCode::Char('m')).as_slice(), [Wish::Mute(_, Some(_))]));
    let muted = Conversation { muted_until: Some(now().plus_ms(1)), ..dm(1, BOB) };
    app.take(now(), News::Conversations(vec![ListDiff::Set { index: 0, value: muted }]));
    assert_eq!(key(&mut app, KeyCode::Char('m')), [Wish::Mute(room(1), None)]);
}

#[test]
fn a_session_that_ended_asks_for_the_password() {
    let mut app = opened();
    app.take(now(), News::Connection(ConnectionState::SignedOut));
    control(&mut app, 'r');
    type_in(&mut app, "alice@example.org");
    key(&mut app, KeyCode::Enter);
    type_in(&mut app, "correct horse");
    let wishes = key(&mut app, KeyCode::Enter);
    assert!(matches!(wishes.as_slice(), [Wish::SignIn(wanted)] if wanted.server == "https://chat.example.org"));
    app.take(now(), News::SignInFailed("wrong password".to_owned()));
    assert!(matches!(&app.dialog, Some(Dialog::SignIn(form)) if form.refused.is_some()));
    app.take(now(), News::SignedIn(crate::sample::account()));
    assert!(app.dialog.is_none());
}
