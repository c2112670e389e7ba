//! The conversations, two rows each.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;
use tertulia_client::Conversation;

use crate::app::{App, Focus};
use crate::json::title;
use crate::text::one_line;
use crate::view::{BAD, CHOSEN, DIM, NEW, STRONG, both_ends, timeline, times};

const ROWS: usize = 2;

pub fn draw(app: &App, place: Rect, buffer: &mut Buffer) {
    let columns = usize::from(place.width);
    let mut rows = vec![head(app, columns)];
    let listed: Vec<&Conversation> = app.listed().collect();
    let fitting = (usize::from(place.height).saturating_sub(1) / ROWS).max(1);
    let at = listed.iter().position(|of| Some(of.id) == app.at).unwrap_or(0);
    let first = (at + 1).saturating_sub(fitting);
    for of in listed.iter().skip(first).take(fitting) {
        rows.extend(entry(app, of, columns));
    }
    if listed.is_empty() {
        rows.push(Line::styled(" No conversations yet", DIM));
        rows.push(Line::styled(" n writes to somebody", DIM));
    }
    for (row, y) in rows.into_iter().zip(place.top()..place.bottom()) {
        row.render(Rect { y, height: 1, ..place }, buffer);
    }
}

fn head(app: &App, columns: usize) -> Line<'static> {
    let refused = app.parked().count();
    let right = match refused {
        0 => Vec::new(),
        count => vec![Span::styled(format!("✗ {count} refused "), BAD)],
    };
    both_ends(vec![Span::styled(format!(" {}", one_line(&app.name)), DIM)], right, columns)
}

fn entry(app: &App, of: &Conversation, columns: usize) -> [Line<'static>; ROWS] {
    let is_at = Some(of.id) == app.at;
    let is_muted = of.muted_until.is_some_and(|until| until > app.now);
    let bar = if is_at { Span::styled("▌", NEW) } else { Span::raw(" ") };
    let name = match one_line(title(of)) {
        name if name.is_empty() => "(no name)".to_owned(),
        name => name,
    };
    let weight = if of.unread > 0 && !is_muted { STRONG } else { Style::new() };
    let mut left = vec![bar.clone(), Span::styled(name, weight)];
    if of.is_left {
        left.push(Span::styled(" (left)", DIM));
    }
    let time = of.last_message.as_ref().map(|last| last.created_at).or(of.last_message_at);
    let time = time.map(|time| times::short(time, app.now, &app.zone)).unwrap_or_default();
    let first = both_ends(left, vec![Span::styled(format!(" {time} "), DIM)], columns);

    let mut right = Vec::new();
    if of.has_parked {
        right.push(Span::styled(" ✗", BAD));
    }
    if is_muted {
        right.push(Span::styled(" muted", DIM));
    }
    if of.unread > 0 {
        let style = if is_muted { DIM } else { NEW.add_modifier(Modifier::REVERSED) };
        right.push(Span::raw(" "));
        right.push(Span::styled(
            format!(" {} ", if of.unread > 999 { "999+".to_owned() } else { of.unread.to_string() }),
            style,
        ));
    }
    right.push(Span::raw(" "));
    let mut below = vec![bar];
    below.extend(preview(app, of));
    let second = both_ends(below, right, columns);
    let style = if is_at && app.focus == Focus::List && app.dialog.is_none() { CHOSEN } else { Style::new() };
    [first.patch_style(style), second.patch_style(style)]
}

fn preview(app: &App, of: &Conversation) -> Vec<Span<'static>> {
    let is_open = app.room.as_ref().is_some_and(|room| room.id == of.id);
    if !of.draft.trim().is_empty() && !is_open {
        return vec![Span::styled("Draft: ", NEW), Span::styled(one_line(&of.draft), DIM)];
    }
    let Some(last) = &of.last_message else { return Vec::new() };
    let mut spans = Vec::new();
    if last.sender == app.me {
        spans.extend(timeline::tick(last).map(|tick| Span::styled(format!("{} ", tick.content), tick.style)));
    } else if of.peer.is_none() {
        spans.push(Span::styled(format!("{}: ", one_line(&last.sender_name)), DIM));
    }
    let body = if last.deleted_at.is_some() { "deleted".to_owned() } else { one_line(&last.body) };
    spans.push(Span::styled(body, DIM));
    spans
}
