//! `tertulia-history [FILE...]`: reads histories (from standard input without a file, or where one is `-`) and says whether they keep the promises.
//!
//! Ends with 0 where they do, with 1 and the proof where one is broken, and with 2 where they can't be read.

use std::io::Read as _;
use std::process::ExitCode;

use tertulia_history::entry::Entry;
use tertulia_history::{Summary, Violation, check};

/// A line and where it is from.
struct Line {
    source: String,
    text: String,
}

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    match read(&files) {
        Ok((lines, entries)) => say(&lines, &check(&entries)),
        Err(error) => {
            complain(&error);
            ExitCode::from(2)
        }
    }
}

fn read(files: &[String]) -> Result<(Vec<Line>, Vec<Entry>), String> {
    let (mut lines, mut entries) = (Vec::new(), Vec::new());
    let standard_input = ["-".to_owned()];
    let files = if files.is_empty() { &standard_input } else { files };
    for file in files {
        let text = if file == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(file)
        };
        let text = text.map_err(|error| format!("{file}: {error}"))?;
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
            let source = format!("{file}:{number}");
            entries.push(Entry::parse(line).map_err(|error| format!("{source}: {error}"))?);
            lines.push(Line { source, text: line.to_owned() });
        }
    }
    Ok((lines, entries))
}

#[expect(clippy::print_stdout, reason = "what the program was asked for")]
fn say(lines: &[Line], checked: &Result<Summary, Violation>) -> ExitCode {
    match checked {
        Ok(Summary { entries, sends, acks, sights, finals }) => {
            println!("sound: {entries} lines, {sends} sends, {acks} acknowledgements, {sights} sights, {finals} ends");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("broken: {}", violation.what);
            for line in violation.entries.iter().filter_map(|entry| lines.get(*entry)) {
                println!("{}: {}", line.source, line.text);
            }
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program's last word")]
fn complain(error: &str) {
    eprintln!("tertulia-history: {error}");
}
