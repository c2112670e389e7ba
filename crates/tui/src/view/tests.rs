use crossterm::event::KeyCode;
use ratatui::Terminal;
use ratatui::backend::{CrosstermBackend, TestBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tertulia_client::{ConnectionState, Conversation, ErrorCode, ListDiff, Message, MessageRef, Status, TypingState};

use super::*;
use crate::app::News;
use crate::app::sign_in::Form;
use crate::sample::{
    BOB, MINUTE_MS, app, busy, control, dm, key, message, message_id, now, parcel, pending, room, timeline, type_in,
    user,
};

fn screen(app: &App) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(app.size.0, app.size.1)).unwrap();
    terminal.draw(|frame| _ = draw(app, frame.buffer_mut())).unwrap();
    terminal.backend().clone()
}

fn cell_style(app: &App, symbol: &str, nth: usize) -> Style {
    let backend = screen(app);
    let mut found = backend.buffer().content.iter().filter(|cell| cell.symbol() == symbol);
    found.nth(nth).unwrap().style()
}

/// Offline, with a pending message and a refused one.
fn in_trouble(width: u16, height: u16) -> App {
    let mut app = busy(width, height);
    app.take(now(), News::Connection(ConnectionState::Waiting { until_ms: 0 }));
    app.take(now(), News::Tick { next_try_in_ms: Some(3200) });
    let why = "You can't write to this person";
    let parcels = vec![parcel(1, "Is this a joke?", Some(why)), parcel(2, "", None), parcel(3, "", None)];
    app.take(now(), News::Outbox(parcels));
    let status = Status::Failed { entry: 1, code: ErrorCode::Forbidden, detail: why.to_owned() };
    let refused = Message { status: Some(status), ..pending(9, "Is this a joke?") };
    app.take(now(), timeline(vec![message(8, BOB, "See you there 👋"), refused, pending(10, "Hello?")]));
    app
}

#[test]
fn list_and_timeline_stand_side_by_side() {
    insta::assert_snapshot!(screen(&busy(80, 24)));
}

#[test]
fn a_narrow_screen_shows_one_of_them() {
    let mut app = busy(40, 12);
    let open = screen(&app);
    key(&mut app, KeyCode::Esc);
    insta::assert_snapshot!(format!("{open}\n{}", screen(&app)));
}

#[test]
fn offline_it_says_what_waits_and_until_when() {
    insta::assert_snapshot!(screen(&in_trouble(80, 24)));
}

#[test]
fn what_was_refused_is_listed_with_its_reason() {
    let mut app = in_trouble(80, 16);
    control(&mut app, 'p');
    insta::assert_snapshot!(screen(&app));
}

#[test]
fn an_answer_an_edit_and_who_is_typing_are_seen() {
    let mut app = busy(80, 20);
    let bob = TypingState { user: user(BOB), name: "Bob".to_owned() };
    app.take(now(), News::Typing(room(1), vec![bob]));
    key(&mut app, KeyCode::Tab);
    let choosing = screen(&app);
    key(&mut app, KeyCode::Char('r'));
    type_in(&mut app, "Wait for me, I'm a little late, and then I have to find my boots");
    let answering = screen(&app);
    key(&mut app, KeyCode::Esc);
    for _ in 0..70 {
        key(&mut app, KeyCode::Backspace);
    }
    key(&mut app, KeyCode::Up);
    insta::assert_snapshot!(format!("{choosing}\n{answering}\n{}", screen(&app)));
}

#[test]
fn a_search_shows_where_the_word_stands() {
    let mut app = busy(80, 16);
    control(&mut app, 'f');
    type_in(&mut app, "boots");
    let long = format!("{} and then boots, at last", "a long story ".repeat(12));
    let hits = vec![message(3, BOB, "Boots!"), message(2, BOB, &long)];
    app.take(now(), News::Found { text: "boots".to_owned(), hits });
    key(&mut app, KeyCode::Down);
    insta::assert_snapshot!(screen(&app));
}

#[test]
fn signing_in_is_a_form() {
    let mut form = Form::new("https://chat.example.org", "alice@example.org");
    form.paste("correct horse");
    form.refused("wrong e-mail or password".to_owned());
    let mut terminal = Terminal::new(TestBackend::new(60, 14)).unwrap();
    terminal.draw(|frame| _ = draw_sign_in(&form, frame.buffer_mut())).unwrap();
    insta::assert_snapshot!(terminal.backend());
}

#[test]
fn read_differs_from_delivered_by_its_colour() {
    let with = |status| {
        let mut app = app(40, 12);
        app.take(now(), News::Conversations(vec![ListDiff::Reset(vec![dm(1, BOB)])]));
        key(&mut app, KeyCode::Enter);
        app.take(now(), timeline(vec![Message { status: Some(status), ..message(1, crate::sample::ME, "x") }]));
        cell_style(&app, "✓", 1)
    };
    assert_eq!(with(Status::Read).fg, READ.fg);
    assert_eq!(with(Status::Delivered).fg, DIM.fg);
}

const EVIL: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\u{9b}31m\u{202e}\u{7f}\u{8}\u{0}\u{2028}\tend";

/// Everything that other people write is evil.
fn besieged(width: u16, height: u16) -> App {
    let mut app = app(width, height);
    let mut with_bob = Conversation { unread: 1, ..dm(1, BOB) };
    with_bob.peer.as_mut().unwrap().name = EVIL.to_owned();
    let evil = Message { sender_name: EVIL.to_owned(), ..message(1, BOB, EVIL) };
    let answer =
        Message { reply_to: Some(MessageRef::Log(message_id(1))), sender_name: EVIL.to_owned(), ..message(2, 3, EVIL) };
    let status = Status::Failed { entry: 1, code: ErrorCode::Forbidden, detail: EVIL.to_owned() };
    let refused = Message { status: Some(status), ..pending(3, EVIL) };
    with_bob.last_message = Some(answer.clone());
    let group = Conversation { title: Some(EVIL.to_owned()), draft: EVIL.to_owned(), ..crate::sample::group(2, "") };
    app.take(now(), News::Conversations(vec![ListDiff::Reset(vec![with_bob, group])]));
    key(&mut app, KeyCode::Enter);
    app.take(now(), timeline(vec![evil, answer, refused]));
    app.take(now(), News::Typing(room(1), vec![TypingState { user: user(BOB), name: EVIL.to_owned() }]));
    app.take(now(), News::Outbox(vec![parcel(1, EVIL, Some(EVIL))]));
    app.take(now(), News::Failed(EVIL.to_owned()));
    app
}

/// What the terminal would get.
fn bytes_of(app: &App) -> String {
    let mut buffer = Buffer::empty(Rect::new(0, 0, app.size.0, app.size.1));
    draw(app, &mut buffer);
    let mut written = Vec::new();
    let empty = Buffer::empty(buffer.area);
    let cells = empty.diff(&buffer);
    ratatui::backend::Backend::draw(&mut CrosstermBackend::new(&mut written), cells.into_iter()).unwrap();
    String::from_utf8(written).unwrap()
}

#[test]
fn what_other_people_write_cannot_command_the_terminal() {
    let mut app = besieged(90, 30);
    let mut screens = vec![bytes_of(&app)];
    for letter in ['p', 'f'] {
        control(&mut app, letter);
        type_in(&mut app, "end");
        app.take(now(), News::Found { text: "end".to_owned(), hits: vec![message(1, BOB, EVIL)] });
        screens.push(bytes_of(&app));
        key(&mut app, KeyCode::Esc);
    }
    key(&mut app, KeyCode::Tab);
    for code in ['r', 'd'] {
        key(&mut app, KeyCode::Char(code));
        screens.push(bytes_of(&app));
        key(&mut app, KeyCode::Esc);
        key(&mut app, KeyCode::Tab);
    }
    for screen in screens {
        assert!(screen.contains("end"));
        for bad in ["\u{1b}[2J", "\u{1b}]", "\u{7}", "\u{9b}", "\u{202e}", "\u{7f}", "\u{8}", "\u{0}", "\r", "\n"] {
            assert!(!screen.contains(bad), "{bad:?} in {screen:?}");
        }
    }
}

#[test]
fn a_letter_with_hundreds_of_marks_stays_out() {
    let mut app = app(60, 14);
    app.take(now(), News::Conversations(vec![ListDiff::Reset(vec![dm(1, BOB)])]));
    key(&mut app, KeyCode::Enter);
    app.take(now(), timeline(vec![message(1, BOB, &format!("a{}b", "\u{301}".repeat(400)))]));
    assert!(screen(&app).buffer().content.iter().all(|cell| cell.symbol().len() <= CELL_BYTES_MAX));
}

#[test]
fn no_size_of_the_terminal_makes_it_fail() {
    let mut apps = [busy(80, 24), in_trouble(80, 24), besieged(80, 24), app(80, 24)];
    let keys = [KeyCode::Tab, KeyCode::PageUp, KeyCode::Char('r'), KeyCode::F(1), KeyCode::Esc, KeyCode::Esc];
    let sizes = (1..=90).step_by(7).flat_map(|width| (1..=30).step_by(3).map(move |height| (width, height)));
    for (width, height) in sizes.chain([(40, 12), (1, 1), (16, 6), (70, 6), (300, 100)]) {
        for app in &mut apps {
            app.take(now(), News::Size(width, height));
            for letter in ['p', 'f', 'n', 'g'] {
                control(app, letter);
                screen(app);
                key(app, KeyCode::Esc);
            }
            for code in keys {
                key(app, code);
                screen(app);
            }
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| _ = draw_sign_in(&Form::new("", ""), frame.buffer_mut())).unwrap();
        }
    }
}

#[test]
fn a_long_story_can_be_read_to_its_beginning_and_back() {
    let mut app = busy(60, 14);
    let story = (1..=60).map(|row| format!("row {row}")).collect::<Vec<_>>().join("\n");
    app.take(now(), timeline(vec![message(1, BOB, &story)]));
    let text = |app: &App| screen(app).to_string();
    assert!(text(&app).contains("row 60"));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let shown = text(&app);
        seen.extend((1..=60).filter(|row| shown.contains(&format!(" row {row} "))));
        key(&mut app, KeyCode::PageUp);
    }
    assert_eq!(seen.len(), 60);
    assert!(text(&app).contains("Today"));
    for _ in 0..20 {
        key(&mut app, KeyCode::PageDown);
    }
    assert!(text(&app).contains("row 60"));
    app.take(now().plus_ms(MINUTE_MS), News::Tick { next_try_in_ms: None });
}
