//! What other people wrote, made harmless: nothing of it may move the cursor, name the window or turn the line around.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Characters that a terminal obeys instead of showing them, and those that turn the direction of what stands beside them.
pub fn commands_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Each such character as the picture of it; lines stay lines.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = ' ';
    for c in text.chars() {
        match c {
            '\n' if last == '\r' => {}
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\t' => out.push_str("    "),
            '\0'..='\u{1f}' => out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\u{7f}' => out.push('\u{2421}'),
            c if commands_a_terminal(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
        last = c;
    }
    out
}

/// The same in one line.
pub fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// JSON that is safe to look at: what a terminal would obey is escaped where it stands, inside of strings.
pub fn escaped_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if commands_a_terminal(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Cells it takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// As much of it as fits into so many cells; what was cut shows as an ellipsis.
pub fn fit(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for grapheme in text.graphemes(true) {
        if used + width(grapheme) + 1 > cells {
            break;
        }
        used += width(grapheme);
        out.push_str(grapheme);
    }
    if cells > 0 {
        out.push('…');
    }
    out
}

/// Lines of at most so many cells, broken between words where there is a place to.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    text.split('\n').flat_map(|line| wrap_line(line, cells.max(2))).collect()
}

fn wrap_line(line: &str, cells: usize) -> Vec<String> {
    let (mut rows, mut row) = (Vec::new(), String::new());
    for word in line.split_word_bounds() {
        if width(&row) + width(word) <= cells {
            row.push_str(word);
            continue;
        }
        if word.trim().is_empty() {
            // What hangs over the edge of a line is not seen.
            rows.push(std::mem::take(&mut row));
            continue;
        }
        if width(word) <= cells {
            rows.push(std::mem::replace(&mut row, word.to_owned()));
            continue;
        }
        for grapheme in word.graphemes(true) {
            if width(&row) + width(grapheme) > cells {
                rows.push(std::mem::take(&mut row));
            }
            row.push_str(grapheme);
        }
    }
    rows.push(row);
    rows.iter().map(|row| row.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_becomes_a_picture() {
        assert_eq!(clean("\u{1b}[2J\u{7}\u{7f}\u{9b}31m\u{202e}x"), "␛[2J␇␡\u{fffd}31m\u{fffd}x");
        assert_eq!(clean("a\r\nb\rc\u{2028}d\te"), "a\nb\nc\nd    e");
        assert_eq!(clean("é 👩\u{200d}👩\u{200d}👧 日本"), "é 👩\u{200d}👩\u{200d}👧 日本");
        assert_eq!(one_line("  a\n\n b\u{1b} "), "a b␛");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "body": "\u{1b}]0;x\u{7} \u{9b}2J \u{7f}\u{202e} é" });
        let written = escaped_json(&value.to_string());
        assert!(written.is_ascii() || written.contains('é'));
        assert!(!written.chars().any(commands_a_terminal), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
    }

    #[test]
    fn lines_break_between_words_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrap("a\n\nb", 10), ["a", "", "b"]);
        assert_eq!(wrap("", 10), [""]);
        for cells in 1..9 {
            for row in wrap("日本語のテキスト and 👩\u{200d}👩\u{200d}👧 family", cells) {
                assert!(width(&row) <= cells.max(2), "{row:?} in {cells}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        assert_eq!(fit("Tertulia", 8), "Tertulia");
        assert_eq!(fit("Tertulia", 5), "Tert…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("日本語", 0), "");
    }
}
