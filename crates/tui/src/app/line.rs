//! A text that is being typed, and the place of the cursor in it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::text::{commands_a_terminal, width};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    text: String,
    /// Byte of the text, between two graphemes.
    at: usize,
}

/// The rows of a line that is too long for one, and where the cursor stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    pub rows: Vec<String>,
    pub row: usize,
    pub column: usize,
}

impl Line {
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), at: text.len() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn set(&mut self, text: &str) {
        *self = Self::new(text);
    }

    pub fn take(&mut self) -> String {
        std::mem::take(self).text
    }

    /// What a terminal would obey is left out; a tab is four spaces.
    pub fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', "    ");
        let kept: String = text.chars().filter(|c| *c == '\n' || !commands_a_terminal(*c)).collect();
        self.text.insert_str(self.at, &kept);
        self.at += kept.len();
        // What was typed may have joined the grapheme behind it.
        while !self.is_boundary(self.at) {
            self.at += 1;
        }
    }

    /// Whether the key was for the line.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Enter if alt => self.insert("\n"),
            KeyCode::Char('j') if control => self.insert("\n"),
            KeyCode::Char('a') if control => self.at = 0,
            KeyCode::Char('e') if control => self.at = self.text.len(),
            KeyCode::Char('w') if control => self.cut(self.word_before(), self.at),
            KeyCode::Char('u') if control => self.cut(0, self.at),
            KeyCode::Char('k') if control => self.cut(self.at, self.text.len()),
            KeyCode::Char(_) if control || alt => return false,
            KeyCode::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace if alt || control => self.cut(self.word_before(), self.at),
            KeyCode::Backspace => self.cut(self.before(), self.at),
            KeyCode::Delete => self.cut(self.at, self.after()),
            KeyCode::Left if control || alt => self.at = self.word_before(),
            KeyCode::Right if control || alt => self.at = self.word_after(),
            KeyCode::Left => self.at = self.before(),
            KeyCode::Right => self.at = self.after(),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = self.text.len(),
            _ => return false,
        }
        true
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.at = from;
        while !self.is_boundary(self.at) {
            self.at += 1;
        }
    }

    fn is_boundary(&self, at: usize) -> bool {
        at >= self.text.len() || self.text.grapheme_indices(true).any(|(start, _)| start == at)
    }

    fn before(&self) -> usize {
        self.text
            .grapheme_indices(true)
            .map(|(start, _)| start)
            .take_while(|start| *start < self.at)
            .last()
            .unwrap_or(0)
    }

    fn after(&self) -> usize {
        let mut starts = self.text.grapheme_indices(true).map(|(start, _)| start);
        starts.find(|start| *start > self.at).unwrap_or(self.text.len())
    }

    fn word_before(&self) -> usize {
        let words = self.text.unicode_word_indices().map(|(start, _)| start);
        words.take_while(|start| *start < self.at).last().unwrap_or(0)
    }

    fn word_after(&self) -> usize {
        let mut ends = self.text.unicode_word_indices().map(|(start, word)| start + word.len());
        ends.find(|end| *end > self.at).unwrap_or(self.text.len())
    }

    /// In rows of so many cells.
    pub fn lay(&self, cells: usize) -> Laid {
        let cells = cells.max(2);
        let mut laid = Laid { rows: vec![String::new()], row: 0, column: 0 };
        let mut used = 0;
        for (start, grapheme) in self.text.grapheme_indices(true) {
            let takes = width(grapheme);
            if grapheme != "\n" && used + takes > cells {
                laid.rows.push(String::new());
                used = 0;
            }
            if start == self.at {
                (laid.row, laid.column) = (laid.rows.len() - 1, used);
            }
            if grapheme == "\n" {
                laid.rows.push(String::new());
                used = 0;
            } else if let Some(row) = laid.rows.last_mut() {
                row.push_str(grapheme);
                used += takes;
            }
        }
        if self.at >= self.text.len() {
            if used >= cells {
                laid.rows.push(String::new());
                used = 0;
            }
            (laid.row, laid.column) = (laid.rows.len() - 1, used);
        }
        laid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(line: &mut Line, codes: &[KeyCode]) {
        for code in codes {
            assert!(line.key(KeyEvent::from(*code)));
        }
    }

    #[test]
    fn the_cursor_steps_over_what_one_sees_as_one_character() {
        let mut line = Line::new("é👩\u{200d}👩\u{200d}👧日");
        press(&mut line, &[KeyCode::Left, KeyCode::Backspace]);
        assert_eq!(line.text(), "é日");
        press(&mut line, &[KeyCode::Home, KeyCode::Delete, KeyCode::Char('a')]);
        assert_eq!(line.text(), "a日");
    }

    #[test]
    fn words_are_taken_at_once() {
        let mut line = Line::new("one two three");
        assert!(line.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL)));
        assert_eq!(line.text(), "one two ");
        assert!(line.key(KeyEvent::new(KeyCode::Left, KeyModifiers::ALT)));
        press(&mut line, &[KeyCode::Char('x')]);
        assert_eq!(line.text(), "one xtwo ");
        assert!(!line.key(KeyEvent::new(KeyCode::Char('p'), KeyModifiers::CONTROL)));
    }

    #[test]
    fn what_is_pasted_brings_no_commands() {
        let mut line = Line::default();
        line.insert("a\u{1b}[2J\r\nb\tc\u{9b}\u{202e}");
        assert_eq!(line.text(), "a[2J\nb    c");
    }

    #[test]
    fn the_cursor_stands_where_the_next_character_goes() {
        let laid = Line::new("日本語x").lay(4);
        assert_eq!((laid.rows, laid.row, laid.column), (vec!["日本".to_owned(), "語x".to_owned()], 1, 3));
        let full = Line::new("abcd").lay(4);
        assert_eq!((full.rows.len(), full.row, full.column), (2, 1, 0));
        let lines = Line::new("a\n").lay(9);
        assert_eq!((lines.row, lines.column), (1, 0));
    }
}
