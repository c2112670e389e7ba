//! The terminal: taken over, and given back as it was, whatever happens.

use std::io::{IsTerminal as _, Stdout, stdout};
use std::sync::Once;

use anyhow::{Result, bail};
use crossterm::event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Position;

/// As of a main thread that panics.
const PANICKED: i32 = 101;

static HOOK: Once = Once::new();

pub struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    pub fn take_over() -> Result<Self> {
        if !stdout().is_terminal() || !std::io::stdin().is_terminal() {
            bail!("this needs a terminal; for scripts there are commands, see --help");
        }
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
                // Also of a task: half a program is none, and what was done is committed.
                std::process::exit(PANICKED);
            }));
        });
        enable_raw_mode()?;
        let screen = execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        if screen.is_err() {
            give_back();
        }
        Ok(Self(screen?))
    }

    pub fn size(&self) -> Result<(u16, u16)> {
        let size = self.0.size()?;
        Ok((size.width, size.height))
    }

    pub fn draw(&mut self, draw: impl FnOnce(&mut Buffer) -> Option<Position>) -> Result<()> {
        self.0.draw(|frame| {
            if let Some(cursor) = draw(frame.buffer_mut()) {
                frame.set_cursor_position(cursor);
            }
        })?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Twice does no harm. Where it can't be done there is nobody to tell.
fn give_back() {
    let _ = disable_raw_mode();
    let _ =
        execute!(stdout(), DisableFocusChange, DisableBracketedPaste, LeaveAlternateScreen, crossterm::cursor::Show);
}
