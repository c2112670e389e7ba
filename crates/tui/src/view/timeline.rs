//! Messages as rows.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;
use tertulia_client::{Message, MessageRef, Status};

use crate::app::room::Room;
use crate::app::{App, Focus};
use crate::text::{clean, fit, one_line, width, wrap};
use crate::view::{BAD, DIM, MINE, NEW, READ, THEIRS, both_ends, times};

/// Messages of one person so close together stand under one name.
const TOGETHER_MS: i64 = 5 * 60 * 1000;

/// Rows of each message of the open conversation.
pub fn heights(app: &App, columns: u16) -> Vec<usize> {
    let Some(room) = &app.room else { return Vec::new() };
    (0..room.messages.len()).map(|index| block(app, room, index, usize::from(columns)).len()).collect()
}

pub fn draw(app: &App, room: &Room, place: Rect, buffer: &mut Buffer) {
    let columns = usize::from(place.width);
    let blocks: Vec<Vec<Line<'static>>> =
        (0..room.messages.len()).map(|index| block(app, room, index, columns)).collect();
    if blocks.is_empty() {
        Line::styled(" Nothing was said here yet", DIM).render(place, buffer);
        return;
    }
    let heights: Vec<usize> = blocks.iter().map(Vec::len).collect();
    let bottom = room.bottom(&heights);
    let top = bottom.saturating_sub(usize::from(place.height));
    let shown = blocks.into_iter().flatten().skip(top).take(bottom - top);
    let blank = usize::from(place.height).saturating_sub(bottom - top);
    let from = place.top().saturating_add(u16::try_from(blank).unwrap_or(0));
    for (row, y) in shown.zip(from..place.bottom()) {
        row.render(Rect { y, height: 1, ..place }, buffer);
    }
    if room.anchor.is_some() {
        let below = heights.iter().sum::<usize>() - bottom;
        let hint = format!(" ↓ {below} ");
        let x = place.right().saturating_sub(u16::try_from(width(&hint)).unwrap_or(0) + 1);
        let y = place.bottom().saturating_sub(1);
        let place = Rect { x, y, width: place.right().saturating_sub(x), height: 1 };
        Line::styled(hint, NEW.add_modifier(Modifier::REVERSED)).render(place, buffer);
    }
}

pub const fn is_failed(message: &Message) -> bool {
    matches!(message.status, Some(Status::Failed { .. }))
}

/// How far a message of mine has come.
pub fn tick(message: &Message) -> Option<Span<'static>> {
    let (text, style) = match message.status.as_ref()? {
        Status::Pending => ("◷", NEW),
        Status::Failed { .. } => ("✗", BAD),
        _ if message.is_changing => ("◷", NEW),
        Status::Sent => ("✓", DIM),
        Status::Delivered => ("✓✓", DIM),
        Status::Read => ("✓✓", READ),
    };
    Some(Span::styled(text, style))
}

fn between(text: &str, style: Style, columns: usize) -> Line<'static> {
    let text = format!(" {} ", fit(text, columns.saturating_sub(4)));
    let rest = columns.saturating_sub(width(&text));
    let (before, after) = (rest / 2, rest - rest / 2);
    Line::styled(format!("{}{text}{}", "─".repeat(before), "─".repeat(after)), style)
}

/// One message with what stands above it.
fn block(app: &App, room: &Room, index: usize, columns: usize) -> Vec<Line<'static>> {
    let message = &room.messages[index];
    let before = index.checked_sub(1).and_then(|index| room.messages.get(index));
    let mut rows = Vec::new();
    if before.is_none() && room.has_more {
        let text = if room.is_loading { "fetching older messages" } else { "older messages above" };
        rows.push(between(text, DIM, columns));
    } else if message.gap_above {
        rows.push(between("messages are missing here; they are being fetched", NEW, columns));
    }
    let is_new_day = before.is_none_or(|before| !times::is_same_day(before.created_at, message.created_at, &app.zone));
    if is_new_day {
        rows.push(between(&times::day(message.created_at, app.now, &app.zone), DIM, columns));
    }
    let is_news = |message: &Message| room.unread_after.is_some_and(|after| message.seq > Some(after));
    if is_news(message) && !before.is_some_and(is_news) {
        rows.push(between("new", NEW, columns));
    }
    let goes_on = rows.is_empty()
        && before.is_some_and(|before| {
            before.sender == message.sender && message.created_at.ms() - before.created_at.ms() < TOGETHER_MS
        });
    let mut own = Vec::new();
    if !goes_on {
        own.push(name(app, message));
    }
    own.extend(quote(app, room, message, columns));
    own.extend(body(app, message, columns.saturating_sub(2).max(2)));
    own.extend(reactions(app, message, columns.saturating_sub(3)));
    own.extend(failure(message, columns.saturating_sub(3)));
    let is_chosen = app.focus == Focus::Messages && room.selected == Some(message.key);
    for row in own {
        let bar = if is_chosen { Span::styled("▌", NEW) } else { Span::raw(" ") };
        let style = row.style;
        rows.push(Line::from_iter(std::iter::once(bar).chain(row.spans)).style(style));
    }
    rows
}

fn name(app: &App, message: &Message) -> Line<'static> {
    if message.sender == app.me {
        Line::from(Span::styled("You", MINE))
    } else {
        Line::from(Span::styled(one_line(&message.sender_name), THEIRS))
    }
}

fn quote(app: &App, room: &Room, message: &Message, columns: usize) -> Option<Line<'static>> {
    let text = quoted(app, room, message.reply_to.as_ref()?);
    Some(Line::from(Span::styled(fit(&format!(" ┃ {text}"), columns.saturating_sub(2)), DIM)))
}

/// A message that is answered, in one line.
pub fn quoted(app: &App, room: &Room, to: &MessageRef) -> String {
    let Some(of) = room.quoted(to) else { return "an older message".to_owned() };
    let who = if of.sender == app.me { "You".to_owned() } else { one_line(&of.sender_name) };
    if of.deleted_at.is_some() { format!("{who}: deleted") } else { format!("{who}: {}", one_line(&of.body)) }
}

/// The text; at its end, on the right, when it was written and how far it has come.
fn body(app: &App, message: &Message, columns: usize) -> Vec<Line<'static>> {
    let (mut lines, style) = match message.deleted_at {
        Some(_) => (vec!["deleted".to_owned()], DIM.add_modifier(Modifier::ITALIC)),
        None => (wrap(&clean(&message.body), columns.saturating_sub(1)), Style::new()),
    };
    let mut meta = Vec::new();
    if message.edited_at.is_some() && message.deleted_at.is_none() {
        meta.push(Span::styled("edited ", DIM));
    }
    meta.push(Span::styled(times::clock(message.created_at, &app.zone), DIM));
    let mark = tick(message).or_else(|| message.is_changing.then(|| Span::styled("◷", NEW)));
    if let Some(mark) = mark {
        meta.push(Span::raw(" "));
        meta.push(mark);
    }
    let meta_columns: usize = meta.iter().map(|span| width(&span.content)).sum();
    let last = lines.pop().unwrap_or_default();
    let mut rows: Vec<Line<'static>> =
        lines.into_iter().map(|line| Line::from(Span::styled(format!(" {line}"), style))).collect();
    let last_span = Span::styled(format!(" {last}"), style);
    if width(&last) + 3 + meta_columns <= columns {
        rows.push(both_ends(vec![last_span], meta, columns));
    } else {
        rows.push(Line::from(last_span));
        rows.push(both_ends(Vec::new(), meta, columns));
    }
    rows
}

fn reactions(app: &App, message: &Message, columns: usize) -> Vec<Line<'static>> {
    let mut rows: Vec<Vec<Span<'static>>> = Vec::new();
    let mut used = usize::MAX;
    for reaction in &message.reactions {
        let text = format!("{} {}", one_line(reaction.emoji.as_str()), reaction.user_ids.len());
        let style = if reaction.user_ids.contains(&app.me) { MINE } else { DIM };
        if used.saturating_add(width(&text) + 2) > columns {
            rows.push(Vec::new());
            used = 0;
        }
        used += width(&text) + 2;
        if let Some(row) = rows.last_mut() {
            row.push(Span::raw("  "));
            row.push(Span::styled(text, style));
        }
    }
    rows.into_iter().map(Line::from).collect()
}

fn failure(message: &Message, columns: usize) -> Vec<Line<'static>> {
    let Some(Status::Failed { detail, .. }) = &message.status else { return Vec::new() };
    let what = if message.seq.is_none() { "not sent" } else { "not changed" };
    let rows = wrap(&format!("{what}: {} (Ctrl-P)", one_line(detail)), columns);
    rows.into_iter().map(|row| Line::from(Span::styled(format!("  {row}"), BAD))).collect()
}
