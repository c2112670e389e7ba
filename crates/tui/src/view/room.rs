//! The open conversation: who it is with, what was said, what is being written.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;
use tertulia_client::{MessageRef, TypingState};

use crate::app::room::{Mode, Room};
use crate::app::{App, Focus};
use crate::json::title;
use crate::text::{fit, one_line};
use crate::view::{DIM, NEW, Places, STRONG, both_ends, timeline, times};

const HERE: Style = Style::new().fg(Color::Green);

/// Columns that the mark before the composing line takes.
const MARK: u16 = 2;

pub fn compose_rows(room: &Room, columns: u16, max: u16) -> u16 {
    let laid = room.line.lay(usize::from(columns.saturating_sub(MARK)));
    u16::try_from(laid.rows.len()).unwrap_or(max).clamp(1, max)
}

pub fn draw(app: &App, places: &Places, buffer: &mut Buffer) -> Option<Position> {
    let room = app.room.as_ref()?;
    if let Some(place) = places.header {
        header(app, room, usize::from(place.width)).render(place, buffer);
    }
    if let Some(place) = places.timeline {
        timeline::draw(app, room, place, buffer);
    }
    if let Some(place) = places.mode {
        mode(app, room, usize::from(place.width)).render(place, buffer);
    }
    compose(app, room, places.compose?, buffer)
}

fn header(app: &App, room: &Room, columns: usize) -> Line<'static> {
    let Some(of) = app.conversation(room.id) else { return Line::raw("") };
    let mut left = vec![Span::raw(" "), Span::styled(one_line(title(of)), STRONG)];
    match room.presence {
        Some(presence) if presence.online => left.push(Span::styled(" ●", HERE)),
        Some(presence) => {
            left.push(Span::styled(" ○", DIM));
            let seen = presence.last_seen_at.map(|seen| times::short(seen, app.now, &app.zone));
            left.extend(seen.map(|seen| Span::styled(format!(" seen {seen}"), DIM)));
        }
        None if of.peer.is_none() => left.push(Span::styled(format!(" {} people", of.member_count), DIM)),
        None => {}
    }
    let right = match typing(&room.typing) {
        Some(text) => vec![Span::styled(format!("{text} "), NEW)],
        None => Vec::new(),
    };
    both_ends(left, right, columns)
}

fn typing(who: &[TypingState]) -> Option<String> {
    let names: Vec<String> = who.iter().take(2).map(|who| fit(&one_line(&who.name), 16)).collect();
    match who.len() {
        0 => None,
        1 => Some(format!(" {} is typing…", names.join(""))),
        2 => Some(format!(" {} are typing…", names.join(" and "))),
        count => Some(format!(" {count} are typing…")),
    }
}

fn mode(app: &App, room: &Room, columns: usize) -> Line<'static> {
    let answered = |to: &MessageRef| timeline::quoted(app, room, to);
    let text = match &room.mode {
        Mode::New => return Line::styled("─".repeat(columns), DIM),
        Mode::Reply { to } => format!(" ┃ to {}", answered(to)),
        Mode::Edit { message, .. } => format!(" ✎ edits {}", answered(message)),
    };
    let hint = vec![Span::styled(" Esc ends it ", DIM)];
    both_ends(vec![Span::styled(text, NEW)], hint, columns)
}

fn compose(app: &App, room: &Room, place: Rect, buffer: &mut Buffer) -> Option<Position> {
    let has_keys = app.focus == Focus::Compose;
    let mark = Span::styled("› ", if has_keys { NEW } else { DIM });
    Line::from(mark).render(Rect { height: 1, ..place }, buffer);
    let text = Rect { x: place.x + MARK, width: place.width.saturating_sub(MARK), ..place };
    let laid = room.line.lay(usize::from(text.width));
    let skip = (laid.row + 1).saturating_sub(usize::from(place.height));
    if room.line.is_empty() && !has_keys {
        Line::styled("write", DIM).render(text, buffer);
    }
    for (row, y) in laid.rows.iter().skip(skip).zip(text.top()..text.bottom()) {
        Line::raw(row.as_str()).render(Rect { y, height: 1, ..text }, buffer);
    }
    let (column, row) = (u16::try_from(laid.column).ok()?, u16::try_from(laid.row - skip).ok()?);
    has_keys.then(|| Position::new((text.x + column).min(text.right().saturating_sub(1)), text.y + row))
}
