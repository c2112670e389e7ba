//! Sizes of files and functions, reasons of exceptions, no sleep in a test.

use super::mask::{mask, words};
use super::{Found, line_of};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const EXCEPTION: &str = "// tidy: long function, because ";

pub fn findings(file: &str, source: &str) -> Found {
    let masked = mask(source);
    let mut found = long_functions(source, &masked);
    found.extend(exceptions_without_a_reason(&masked));
    let lines = source.lines().count();
    if lines > FILE_LINES_MAX {
        found.push((lines, format!("{lines} lines, over {FILE_LINES_MAX}: split the file by noun")));
    }
    if file.split('/').any(|folder| folder == "tests") {
        found.extend(sleeps(&masked));
    }
    found
}

fn long_functions(source: &str, masked: &str) -> Found {
    let mut found = Found::new();
    for at in words(masked, "fn") {
        let Some(end) = end_of_function(masked, at) else { continue };
        let (first, last) = (line_of(masked, at), line_of(masked, end));
        let length = last - first + 1;
        if length > FUNCTION_LINES_MAX && !is_excused(source, first) {
            let what = format!(
                "a function of {length} lines, over {FUNCTION_LINES_MAX}: split it, or write `{EXCEPTION}...` above"
            );
            found.push((first, what));
        }
    }
    found
}

/// The last brace of the function whose `fn` stands at `at`; `None` for a type (`fn(...)`) and for a declaration without a body.
fn end_of_function(masked: &str, at: usize) -> Option<usize> {
    let signature = at + "fn".len();
    if masked[signature..].trim_start().starts_with('(') {
        return None;
    }
    let (mut nested, mut braces) = (0usize, 0usize);
    for (offset, byte) in masked.bytes().enumerate().skip(signature) {
        match byte {
            b'(' | b'[' if braces == 0 => nested += 1,
            b')' | b']' if braces == 0 => nested = nested.checked_sub(1)?,
            b';' if braces == 0 && nested == 0 => return None,
            b'{' if nested == 0 => braces += 1,
            b'}' if braces == 1 => return Some(offset),
            b'}' if nested == 0 => braces = braces.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// The exception stands among the comments and attributes right above the function.
fn is_excused(source: &str, line: usize) -> bool {
    let above: Vec<&str> = source.lines().take(line - 1).map(str::trim).collect();
    let near = above.iter().rev().take_while(|text| text.starts_with("//") || text.starts_with('#'));
    near.into_iter().any(|text| text.strip_prefix(EXCEPTION).is_some_and(|reason| !reason.is_empty()))
}

fn exceptions_without_a_reason(masked: &str) -> Found {
    let mut found = Found::new();
    for (at, _) in masked.match_indices("#[").chain(masked.match_indices("#![")) {
        let attribute = bracketed(&masked[at..]);
        let silences = ["allow", "expect"].iter().any(|name| {
            words(attribute, name).any(|word| attribute[word + name.len()..].trim_start().starts_with('('))
        });
        if silences && words(attribute, "reason").next().is_none() {
            found.push((line_of(masked, at), "a lint is silenced without `reason = \"...\"`".to_owned()));
        }
    }
    found
}

/// From the start to the bracket that closes the first one.
fn bracketed(text: &str) -> &str {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' if depth <= 1 => return &text[..=at],
            b']' => depth -= 1,
            _ => {}
        }
    }
    text
}

/// A method of that name (a test clock's) is somebody else's; the functions are meant.
fn sleeps(masked: &str) -> Found {
    let mut found = Found::new();
    for name in ["sleep", "sleep_until", "sleep_ms"] {
        for at in words(masked, name) {
            let called = masked[at + name.len()..].trim_start().starts_with('(');
            if called && !masked[..at].ends_with('.') {
                found.push((line_of(masked, at), "a test sleeps: wait for what should happen instead".to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function_of(lines: usize, before: &str) -> String {
        format!("{before}fn long(a: [u8; 3]) -> u8 {{\n{}}}\n", "    call(\"}\");\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_over_the_limit_is_found_unless_it_says_why() {
        assert_eq!(findings("a.rs", &function_of(70, "")), []);
        assert_eq!(findings("a.rs", &function_of(71, "\n"))[0].0, 2);
        let excused = function_of(71, "// tidy: long function, because it is one table\n#[inline]\n");
        assert_eq!(findings("a.rs", &excused), []);
        assert_eq!(findings("a.rs", &function_of(71, "// tidy: long function, because \n")).len(), 1);
    }

    #[test]
    fn a_declaration_and_a_function_type_have_no_length() {
        let source =
            format!("trait T {{ fn a(&self) -> [u8; 2]; }}\nstruct S(fn(u8) -> u8);\nmod m {{\n{}}}", "\n".repeat(90));
        assert_eq!(findings("a.rs", &source), []);
    }

    #[test]
    fn a_file_over_the_limit_is_found() {
        assert_eq!(findings("a.rs", &"\n".repeat(800)), []);
        assert_eq!(findings("a.rs", &"\n".repeat(801)).len(), 1);
    }

    #[test]
    fn a_silenced_lint_needs_a_reason() {
        assert_eq!(
            findings("a.rs", "#[allow(dead_code, reason = \"a table\")]\n#[cfg(x)] fn f() { r.expect(\"x\") }"),
            []
        );
        for bad in ["#[allow(dead_code)]", "#![expect(x)]", "#[cfg_attr(test, allow(x))]", "#[allow(\n    x,\n)]"] {
            assert_eq!(findings("a.rs", bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn only_a_test_folder_may_not_sleep() {
        let source = "fn f() { tokio::time::sleep(x); clock.sleep(x); }";
        assert_eq!(findings("crates/a/tests/b.rs", source).len(), 1);
        assert_eq!(findings("crates/a/src/b.rs", source), []);
    }
}
