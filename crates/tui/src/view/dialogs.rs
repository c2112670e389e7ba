//! What lies over the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget as _};
use tertulia_client::{ConversationId, Op};

use crate::app::dialog::{Dialog, EMOJI, Search};
use crate::app::line::Line as Typed;
use crate::app::{App, Parcel};
use crate::json::title;
use crate::text::{one_line, wrap};
use crate::view::{BAD, CHOSEN, DIM, NEW, both_ends, fit_spans, sign_in, times};

/// Key and meaning; an empty key begins a part.
pub const HELP: [(&str, &str); 33] = [
    ("", "Everywhere"),
    ("Tab", "list → line → messages"),
    ("Alt-↑ ↓", "other conversation"),
    ("Ctrl-N", "write to somebody"),
    ("Ctrl-G", "new group"),
    ("Ctrl-F", "search what is here"),
    ("Ctrl-P", "what was refused"),
    ("Ctrl-R", "connect now"),
    ("Ctrl-Q", "quit"),
    ("", "List"),
    ("↑ ↓ Enter", "choose, open"),
    ("n g / p", "as with Ctrl above"),
    ("m", "mute, unmute"),
    ("L", "sign out, wipe"),
    ("q", "quit"),
    ("", "Line"),
    ("Enter", "send"),
    ("Alt-Enter", "new line"),
    ("↑ if empty", "edit the last"),
    ("PgUp PgDn", "scroll"),
    ("Esc", "back"),
    ("", "Messages"),
    ("↑ ↓", "choose"),
    ("r e d", "reply, edit, delete"),
    ("+", "react"),
    ("t x", "of a refused one: retry, discard"),
    ("", "Marks"),
    ("◷", "waits on this device"),
    ("✓", "with the server"),
    ("✓✓", "delivered; in colour: read"),
    ("✗", "refused"),
    ("●", "is here now"),
    ("F1 ?", "this help; any key leaves it"),
];

pub fn draw(app: &App, buffer: &mut Buffer) -> Option<Position> {
    match app.dialog.as_ref()? {
        Dialog::Help { top } => help(*top, buffer),
        Dialog::Dm(line) => {
            let inside = frame("Write to", (50, 3), buffer);
            field("E-mail ", line, true, inside, buffer)
        }
        Dialog::Group { title, people, at_people } => group(title, people, *at_people, buffer),
        Dialog::Search(search) => hits(app, search, buffer),
        Dialog::React { mine, line, .. } => react(mine, line, buffer),
        Dialog::Parked { at } => parked(app, *at, buffer),
        Dialog::Delete { body, .. } => {
            let inside = frame("Delete for everybody?", (50, 4), buffer);
            rows(inside, [Line::raw(one_line(body)), Line::styled("y yes · any other key: no", DIM)], buffer);
            None
        }
        Dialog::LogOut => {
            let inside = frame("Sign out?", (50, 5), buffer);
            let text = "Ends the session and wipes every message from this device, also what was not sent yet.";
            let text = wrap(text, usize::from(inside.width)).into_iter().map(Line::raw);
            rows(inside, text.chain([Line::styled("y yes · any other key: no", DIM)]), buffer);
            None
        }
        Dialog::SignIn(form) => {
            let inside = frame("Sign in again", (60, 9), buffer);
            sign_in::fields(form, inside, buffer)
        }
    }
}

/// A box in the middle; gives its inside.
fn frame(title: &str, wanted: (u16, u16), buffer: &mut Buffer) -> Rect {
    let area = buffer.area;
    let (width, height) = (wanted.0.min(area.width), wanted.1.min(area.height));
    let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
    let place = Rect { x, y, width, height };
    let block = Block::bordered().title(format!(" {title} ")).border_style(NEW);
    let inside = block.inner(place);
    Clear.render(place, buffer);
    block.render(place, buffer);
    inside
}

fn rows(place: Rect, lines: impl IntoIterator<Item = Line<'static>>, buffer: &mut Buffer) {
    for (line, y) in lines.into_iter().zip(place.top()..place.bottom()) {
        let spans = fit_spans(line.spans, usize::from(place.width));
        Line::from(spans).style(line.style).render(Rect { y, height: 1, ..place }, buffer);
    }
}

fn field(label: &str, line: &Typed, is_at: bool, place: Rect, buffer: &mut Buffer) -> Option<Position> {
    let taken = u16::try_from(crate::text::width(label)).unwrap_or(0).min(place.width);
    Line::styled(label.to_owned(), if is_at { NEW } else { DIM }).render(Rect { height: 1, ..place }, buffer);
    let value = Rect { x: place.x + taken, width: place.width - taken, height: 1, ..place };
    let laid = line.lay(usize::from(value.width));
    let row = laid.rows.get(laid.row).map_or("", String::as_str);
    Line::raw(row.to_owned()).render(value, buffer);
    is_at.then(|| Position::new(value.x + u16::try_from(laid.column).unwrap_or(0), value.y))
}

fn below(place: Rect, rows: u16) -> Rect {
    let rows = rows.min(place.height);
    Rect { y: place.y + rows, height: place.height - rows, ..place }
}

fn help(top: usize, buffer: &mut Buffer) -> Option<Position> {
    let all = u16::try_from(HELP.len()).unwrap_or(0) + 2;
    let inside = frame("Keys", (50, all), buffer);
    let fitting = usize::from(inside.height);
    let top = top.min(HELP.len().saturating_sub(fitting));
    let lines = HELP.iter().skip(top).map(|(key, meaning)| {
        if key.is_empty() {
            Line::styled((*meaning).to_owned(), NEW)
        } else {
            Line::from(vec![Span::raw(format!(" {key:<11}")), Span::styled((*meaning).to_owned(), DIM)])
        }
    });
    rows(inside, lines, buffer);
    if top + fitting < HELP.len() {
        let place = Rect { y: inside.bottom(), height: 1, ..inside };
        Line::styled(" ↓ more ", NEW).right_aligned().render(place, buffer);
    }
    None
}

fn group(title: &Typed, people: &Typed, at_people: bool, buffer: &mut Buffer) -> Option<Position> {
    let inside = frame("New group", (60, 6), buffer);
    let first = field("Title   ", title, !at_people, inside, buffer);
    let second = field("E-mails ", people, at_people, below(inside, 1), buffer);
    rows(below(inside, 3), [Line::styled("Tab other field · Enter · Esc", DIM)], buffer);
    first.or(second)
}

fn name_of(app: &App, id: ConversationId) -> String {
    app.conversation(id).map(|of| one_line(title(of))).unwrap_or_default()
}

fn hits(app: &App, search: &Search, buffer: &mut Buffer) -> Option<Position> {
    let height = buffer.area.height.saturating_sub(2);
    let inside = frame("Search what is on this device", (70, height), buffer);
    let cursor = field("› ", &search.line, true, inside, buffer);
    let place = below(inside, 1);
    if search.hits.is_empty() {
        let text = if search.line.text().chars().count() < 3 { "three letters at least" } else { "nothing found" };
        rows(place, [Line::styled(text, DIM)], buffer);
        return cursor;
    }
    let fitting = usize::from(place.height) / 2;
    let first = (search.at + 1).saturating_sub(fitting.max(1));
    let columns = usize::from(place.width);
    let lines = search.hits.iter().enumerate().skip(first).flat_map(|(index, hit)| {
        let style = if index == search.at { CHOSEN } else { Style::new() };
        let sender = if hit.sender == app.me { "You".to_owned() } else { one_line(&hit.sender_name) };
        let who = format!("{} · {sender}", name_of(app, hit.conversation));
        let when = times::short(hit.created_at, app.now, &app.zone);
        let head = both_ends(vec![Span::styled(who, NEW)], vec![Span::styled(when, DIM)], columns);
        let body = Line::raw(format!(" {}", around(&one_line(&hit.body), search.line.text(), columns)));
        [head.patch_style(style), body.patch_style(style)]
    });
    rows(place, lines, buffer);
    cursor
}

/// The part of a long text in which the word stands.
fn around(body: &str, word: &str, columns: usize) -> String {
    let at = body.to_lowercase().find(&word.to_lowercase()).unwrap_or(0);
    if at < columns / 2 {
        return body.to_owned();
    }
    let skip = body.get(..at).map_or(0, |before| before.chars().count()).saturating_sub(columns / 4);
    format!("…{}", body.chars().skip(skip).collect::<String>())
}

fn react(mine: &[String], line: &Typed, buffer: &mut Buffer) -> Option<Position> {
    let inside = frame("React", (EMOJI_COLUMNS, 5), buffer);
    let spans = EMOJI.iter().enumerate().flat_map(|(index, emoji)| {
        let style = if mine.iter().any(|mine| mine == emoji) { CHOSEN } else { Style::new() };
        [Span::styled(format!("{}", index + 1), DIM), Span::styled(format!("{emoji} "), style)]
    });
    rows(inside, [Line::from_iter(spans)], buffer);
    rows(below(inside, 2), [Line::styled("a number, or an emoji and Enter", DIM)], buffer);
    field("other: ", line, true, below(inside, 1), buffer)
}

const EMOJI_COLUMNS: u16 = 38;

fn parked(app: &App, at: usize, buffer: &mut Buffer) -> Option<Position> {
    let parked: Vec<&Parcel> = app.parked().collect();
    let height = buffer.area.height.saturating_sub(2);
    let inside = frame("Refused by the server", (70, height.min(20)), buffer);
    if parked.is_empty() {
        rows(inside, [Line::styled("Nothing was refused", DIM), Line::styled("Esc back", DIM)], buffer);
        return None;
    }
    let at = at.min(parked.len() - 1);
    let fitting = (usize::from(inside.height).saturating_sub(1) / 3).max(1);
    let first = (at + 1).saturating_sub(fitting);
    let lines = parked.iter().enumerate().skip(first).take(fitting).flat_map(|(index, parcel)| {
        let style = if index == at { CHOSEN } else { Style::new() };
        let of = &parcel.waiting;
        let what = match &of.op {
            Op::Send => "message",
            Op::Edit { .. } => "edit",
            Op::Delete => "deletion",
            Op::React { .. } => "reaction",
        };
        let head = Line::from(Span::styled(format!("{} · {what}", name_of(app, of.conversation)), NEW));
        let why = of.parked.as_ref().map(|reason| one_line(&reason.detail)).unwrap_or_default();
        let text = Line::raw(format!(" {}", one_line(&parcel.text)));
        [head.patch_style(style), text.patch_style(style), Line::styled(format!(" ✗ {why}"), BAD)]
    });
    let keys = Line::styled("t retry · x discard · Enter open · Esc back", DIM);
    rows(inside, lines, buffer);
    let last = Rect { y: inside.bottom().saturating_sub(1), height: 1, ..inside };
    rows(last, [keys], buffer);
    None
}
