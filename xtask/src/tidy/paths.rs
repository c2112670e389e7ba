//! The picture of the whole names files: each has to be there.

use super::Found;

/// Which document.
pub const PICTURE: &str = "ARCHITECTURE.md";

/// What stands between backticks with a slash and an ending, and is the end of no file's path. `src` is left out in it, as the picture does.
pub fn findings(source: &str, files: &[String]) -> Found {
    let short: Vec<String> = files.iter().map(|file| format!("/{}", file.replace("/src/", "/"))).collect();
    let is_there = |path: &str| {
        let end = format!("/{}", path.replace("/src/", "/"));
        short.iter().any(|file| file.ends_with(&end))
    };
    let mut found = Found::new();
    for (number, line) in source.lines().enumerate() {
        for path in line.split('`').skip(1).step_by(2).filter(|words| is_path(words) && !is_there(words)) {
            found.push((number + 1, format!("`{path}`: no such file")));
        }
    }
    found
}

fn is_path(words: &str) -> bool {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
    let ending = words.rsplit_once('/').and_then(|(_, name)| name.rsplit_once('.')).map(|(_, ending)| ending);
    words.bytes().all(is_name)
        && !words.starts_with('/')
        && ending.is_some_and(|ending| !ending.is_empty() && ending.bytes().all(|b| b.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_went_is_found_and_one_that_is_named_in_short_is_not() {
        let files = ["crates/core/src/fanout.rs", "crates/server/tests/resume/main.rs", "sim/regressions.txt"];
        let files = files.map(str::to_owned);
        let source = "`core/fanout.rs`, `core/src/fanout.rs`, `sim/regressions.txt` and\n`server/tests/resume.rs`, `re/fanout.rs`";
        let gone = [(2, "`server/tests/resume.rs`: no such file"), (2, "`re/fanout.rs`: no such file")];
        assert_eq!(findings(source, &files), gone.map(|(line, what)| (line, what.to_owned())));
    }

    #[test]
    fn folders_addresses_and_code_are_no_files() {
        for words in ["`server/tests`", "`https://a.b/c.rs`", "`/health/live`", "`a / b.c`", "`Lane::hold`", "`x.rs`"] {
            assert_eq!(findings(words, &[]), [], "{words}");
        }
    }
}
