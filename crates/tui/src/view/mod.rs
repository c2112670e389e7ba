//! From the state to cells. Pure: the same state gives the same cells.

mod banner;
mod dialogs;
mod list;
mod room;
mod sign_in;
mod timeline;
mod times;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::app::{App, Focus};
use crate::text::{commands_a_terminal, fit, width};

pub use dialogs::HELP;
pub use sign_in::draw as draw_sign_in;
pub use timeline::heights;

/// From so many columns on the list and the conversation stand side by side.
const WIDE_COLUMNS: u16 = 70;
const LIST_COLUMNS: (u16, u16) = (24, 34);

/// Below it nothing is drawn but a word about it.
const LEAST: (u16, u16) = (16, 6);

/// Bytes of what stands in one cell; a letter may bear a few marks, not hundreds.
const CELL_BYTES_MAX: usize = 64;

pub const DIM: Style = Style::new().fg(Color::DarkGray);
pub const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
pub const MINE: Style = Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD);
pub const THEIRS: Style = Style::new().fg(Color::Green).add_modifier(Modifier::BOLD);
pub const BAD: Style = Style::new().fg(Color::Red);
pub const NEW: Style = Style::new().fg(Color::Yellow);
pub const READ: Style = Style::new().fg(Color::LightBlue).add_modifier(Modifier::BOLD);
pub const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// What stands where; `None`: not shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places {
    pub banner: Option<Rect>,
    pub list: Option<Rect>,
    pub divider: Option<Rect>,
    pub header: Option<Rect>,
    pub timeline: Option<Rect>,
    pub mode: Option<Rect>,
    pub compose: Option<Rect>,
    pub footer: Option<Rect>,
}

impl Places {
    pub fn of(app: &App) -> Self {
        let (width, height) = app.size;
        if width < LEAST.0 || height < LEAST.1 {
            return Self::default();
        }
        let mut body = Rect::new(0, 0, width, height);
        let banner = banner::text(app).map(|_| cut_top(&mut body, 1));
        let footer = Some(cut_bottom(&mut body, 1));
        let is_wide = width >= WIDE_COLUMNS;
        let shows_room = app.room.is_some() && (is_wide || app.focus != Focus::List);
        if !shows_room && !is_wide {
            return Self { banner, list: Some(body), footer, ..Self::default() };
        }
        let (mut list, mut divider) = (None, None);
        if is_wide {
            let columns = (width / 3).clamp(LIST_COLUMNS.0, LIST_COLUMNS.1);
            list = Some(Rect { width: columns, ..body });
            divider = Some(Rect { x: columns, width: 1, ..body });
            body = Rect { x: columns + 1, width: body.width - columns - 1, ..body };
        }
        let places = Self { banner, list, divider, footer, ..Self::default() };
        let Some(room) = app.room.as_ref().filter(|_| shows_room) else { return places };
        let header = cut_top(&mut body, 1);
        let rows = room::compose_rows(room, body.width, (height / 4).clamp(1, 5));
        let compose = cut_bottom(&mut body, rows);
        let mode = (height >= 14 || room.mode != crate::app::room::Mode::New).then(|| cut_bottom(&mut body, 1));
        Self { header: Some(header), timeline: Some(body), mode, compose: Some(compose), ..places }
    }
}

fn cut_top(of: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(of.height);
    let cut = Rect { height: rows, ..*of };
    *of = Rect { y: of.y + rows, height: of.height - rows, ..*of };
    cut
}

fn cut_bottom(of: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(of.height);
    of.height -= rows;
    Rect { y: of.y + of.height, height: rows, ..*of }
}

/// Draws everything; says where the cursor stands.
pub fn draw(app: &App, buffer: &mut Buffer) -> Option<Position> {
    let places = Places::of(app);
    if places == Places::default() {
        Line::raw("too small").render(buffer.area, buffer);
        return None;
    }
    if let Some((place, line)) = places.banner.zip(banner::text(app)) {
        line.render(place, buffer);
    }
    if let Some(place) = places.list {
        list::draw(app, place, buffer);
    }
    if let Some(place) = places.divider {
        for y in place.top()..place.bottom() {
            Line::styled("│", DIM).render(Rect { y, height: 1, ..place }, buffer);
        }
    }
    let mut cursor = room::draw(app, &places, buffer);
    if let Some(place) = places.footer {
        footer(app, usize::from(place.width)).render(place, buffer);
    }
    if app.dialog.is_some() {
        cursor = dialogs::draw(app, buffer);
    }
    make_harmless(buffer);
    cursor
}

/// Whatever was forgotten above: nothing that a terminal obeys gets to it.
pub fn make_harmless(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if symbol.len() > CELL_BYTES_MAX || symbol.chars().any(commands_a_terminal) {
            cell.set_symbol("\u{fffd}");
        }
    }
}

fn footer(app: &App, columns: usize) -> Line<'static> {
    if let Some((notice, _)) = &app.notice {
        return Line::styled(fit(&format!(" {notice}"), columns), NEW);
    }
    let is_failed = app.room.as_ref().and_then(|room| room.selected()).is_some_and(timeline::is_failed);
    let keys: &[&str] = match app.focus {
        Focus::List => &["↑↓ Enter", "? help", "n new", "g group", "/ search", "m mute", "p refused", "q quit"],
        Focus::Compose => &["Enter send", "F1 help", "Tab messages", "Esc list", "↑ edit last", "PgUp older"],
        Focus::Messages if is_failed => &["t retry", "x discard", "e edit", "d delete", "Esc back"],
        Focus::Messages => &["r reply", "+ react", "e edit", "d delete", "Esc back", "? help"],
    };
    let mut text = String::new();
    for key in keys {
        let longer = format!("{text}{}{key}", if text.is_empty() { " " } else { " · " });
        if width(&longer) > columns {
            break;
        }
        text = longer;
    }
    Line::styled(text, DIM)
}

/// Both ends of one row; the left one gives way.
pub fn both_ends(left: Vec<Span<'static>>, right: Vec<Span<'static>>, columns: usize) -> Line<'static> {
    let taken: usize = right.iter().map(|span| width(&span.content)).sum();
    let mut spans = fit_spans(left, columns.saturating_sub(taken));
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    spans.push(Span::raw(" ".repeat(columns.saturating_sub(used + taken))));
    spans.extend(right);
    Line::from(spans)
}

pub fn fit_spans(spans: Vec<Span<'static>>, columns: usize) -> Vec<Span<'static>> {
    let mut left = columns;
    let mut fitting = Vec::new();
    for span in spans {
        let text = fit(&span.content, left);
        left -= width(&text).min(left);
        fitting.push(Span::styled(text, span.style));
    }
    fitting
}

#[cfg(test)]
mod tests;
