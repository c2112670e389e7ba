//! A Rust source with its comments, strings and characters blanked, byte for byte, so that a search finds code alone.

pub fn mask(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut masked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let Some(end) = silent_until(bytes, at) else {
            at += 1;
            continue;
        };
        masked[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8_lossy(&masked).into_owned()
}

/// Where the comment, string or character that starts at `at` ends; `None` if none starts there.
fn silent_until(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => Some(find(bytes, at, b"\n").unwrap_or(bytes.len())),
        [b'/', b'*', ..] => Some(block_comment(bytes, at)),
        [b'"', ..] => Some(quoted(bytes, at + 1, b'"')),
        [b'r', ..] if starts_literal(bytes, at) => raw_string(bytes, at),
        [b'\'', b'\\', ..] => Some(quoted(bytes, at + 1, b'\'')),
        [b'\'', ..] => character(bytes, at),
        _ => None,
    }
}

/// No identifier runs into it, except the `b` or `c` of a byte or C string.
fn starts_literal(bytes: &[u8], at: usize) -> bool {
    let before = |n: usize| at.checked_sub(n).map(|index| bytes[index]);
    match before(1) {
        Some(b'b' | b'c') => !before(2).is_some_and(is_name),
        other => !other.is_some_and(is_name),
    }
}

fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    Some(find(bytes, open + 1, &close).map_or(bytes.len(), |end| end + close.len()))
}

/// `'x'` of whatever length in UTF-8, told from the lifetime `'x`.
fn character(bytes: &[u8], at: usize) -> Option<usize> {
    let first = *bytes.get(at + 1)?;
    let length = match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    (bytes.get(at + 1 + length) == Some(&b'\'')).then_some(at + length + 2)
}

fn quoted(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0usize);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    bytes.len()
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes.get(from..)?.windows(what.len()).position(|window| window == what).map(|index| from + index)
}

/// Where the word stands alone in a masked source.
pub fn words<'a>(masked: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = masked.as_bytes();
    masked.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let free = |byte: Option<&u8>| !byte.copied().is_some_and(is_name);
        free(at.checked_sub(1).and_then(|before| bytes.get(before))) && free(bytes.get(at + word.len()))
    })
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stays_and_what_is_silent_goes() {
        for (source, code) in [
            ("a // {\nb", "a b"),
            ("a /* { /* } */ */ b", "a b"),
            (r#"f("{\"}") + 1"#, "f( ) + 1"),
            (r##"x(r#"a"}"#, br"{")"##, "x( , b )"),
            ("'{' 'a '\\'' b'\"' 'é'", "'a b"),
            ("for r#fn in r", "for r#fn in r"),
        ] {
            assert_eq!(mask(source).split_whitespace().collect::<Vec<_>>().join(" "), code, "{source}");
            assert_eq!(mask(source).len(), source.len(), "{source}");
        }
    }

    #[test]
    fn what_never_ends_is_silent_to_the_end() {
        for source in ["\"a", "/* a", "r#\"a\"", "'\\", "// a"] {
            assert!(mask(source).trim().is_empty(), "{source}");
        }
    }

    #[test]
    fn a_word_inside_another_is_not_found() {
        assert_eq!(words("fn fnord _fn (fn)", "fn").collect::<Vec<_>>(), [0, 14]);
    }
}
