//! The form for signing in.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::app::sign_in::{Field, Form};
use crate::text::{one_line, width, wrap};
use crate::view::{BAD, DIM, NEW, STRONG, make_harmless};

/// Columns of what stands before a field.
const LABEL: u16 = 11;

/// As a whole screen.
pub fn draw(form: &Form, buffer: &mut Buffer) -> Option<Position> {
    let area = buffer.area;
    let columns = area.width.min(60);
    let rows = area.height.min(12);
    let (x, y) = ((area.width - columns) / 2, (area.height - rows) / 3);
    let place = Rect { x, y, width: columns, height: rows };
    Line::styled("Tertulia", STRONG).render(place, buffer);
    let below = Rect { y: place.y + 2.min(place.height), height: place.height.saturating_sub(2), ..place };
    let cursor = fields(form, below, buffer);
    make_harmless(buffer);
    cursor
}

pub fn fields(form: &Form, place: Rect, buffer: &mut Buffer) -> Option<Position> {
    let mut cursor = None;
    let mut rows = place.top()..place.bottom();
    for (index, field) in form.fields().iter().enumerate() {
        let y = rows.next()?;
        let label = match field {
            Field::Server => "Server",
            Field::Email => "E-mail",
            Field::Password => "Password",
            Field::Name => "Your name",
        };
        let is_at = index == form.at;
        let style = if is_at { NEW } else { DIM };
        let at = Rect { y, height: 1, width: LABEL.min(place.width), ..place };
        Line::styled(format!(" {label}"), style).render(at, buffer);
        let value = Rect { x: place.x + at.width, width: place.width - at.width, ..at };
        let line = form.line(*field);
        let laid = line.lay(usize::from(value.width));
        let row = laid.rows.get(laid.row).map_or("", String::as_str);
        let shown = if *field == Field::Password { "•".repeat(row.chars().count()) } else { row.to_owned() };
        Line::raw(shown).render(value, buffer);
        if is_at && !form.is_asking {
            cursor = Some(Position::new(value.x + u16::try_from(laid.column).unwrap_or(0), y));
        }
    }
    let columns = usize::from(place.width.saturating_sub(1));
    let said = match &form.refused {
        Some(why) => wrap(&one_line(why), columns),
        None if form.is_asking => vec!["Asking the server…".to_owned()],
        None => Vec::new(),
    };
    let style = if form.refused.is_some() { BAD } else { DIM };
    rows.next();
    for line in said {
        let y = rows.next()?;
        Line::styled(format!(" {line}"), style).render(Rect { y, height: 1, ..place }, buffer);
    }
    rows.next();
    let other = if form.registers { "Ctrl-R signs in" } else { "Ctrl-R makes an account" };
    let keys =
        if form.is_known { "Enter signs in · Esc".to_owned() } else { format!("Enter · Tab · {other} · Esc") };
    let keys = if width(&keys) > columns { other.to_owned() } else { keys };
    if let Some(y) = rows.next() {
        Line::from(Span::styled(format!(" {keys}"), DIM)).render(Rect { y, height: 1, ..place }, buffer);
    }
    cursor
}
