//! One row about the connection, while it is not as it should be.

use ratatui::style::{Color, Style};
use ratatui::text::Line;
use tertulia_client::ConnectionState;

use crate::app::App;
use crate::text::fit;

const WAITS: Style = Style::new().fg(Color::Black).bg(Color::Yellow);
const NEEDS_HELP: Style = Style::new().fg(Color::White).bg(Color::Red);
const COMES: Style = Style::new().fg(Color::Black).bg(Color::Gray);

pub fn text(app: &App) -> Option<Line<'static>> {
    let (what, style) = match app.connection {
        ConnectionState::Connected { caught_up: true } => return None,
        ConnectionState::Connected { caught_up: false } => ("Catching up".to_owned(), COMES),
        ConnectionState::Connecting => ("Connecting".to_owned(), COMES),
        ConnectionState::Waiting { .. } => ("Offline".to_owned(), WAITS),
        ConnectionState::Offline => ("No network".to_owned(), WAITS),
        ConnectionState::Paused => ("Not connected".to_owned(), WAITS),
        ConnectionState::SignedOut => ("Signed out · Ctrl-R signs in again".to_owned(), NEEDS_HELP),
        ConnectionState::WrongAccount => ("Another person's data · L in the list wipes them".to_owned(), NEEDS_HELP),
    };
    let mut parts = vec![what];
    if app.waiting_count() > 0 {
        parts.push(format!("{} waiting", app.waiting_count()));
    }
    if let (ConnectionState::Waiting { .. }, Some(ms)) = (app.connection, app.next_try_in_ms) {
        parts.push(match ms.div_ceil(1000) {
            0 => "trying".to_owned(),
            seconds => format!("next try in {seconds} s"),
        });
        parts.push("Ctrl-R: now".to_owned());
    }
    let columns = usize::from(app.size.0);
    let mut text = format!(" {}", parts.join(" · "));
    text = fit(&text, columns);
    let missing = columns.saturating_sub(crate::text::width(&text));
    text.push_str(&" ".repeat(missing));
    Some(Line::styled(text, style))
}
