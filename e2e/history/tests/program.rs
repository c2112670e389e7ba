//! The program itself: files, standard input, what it prints and how it ends.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

const SENT: &str =
    r#"{"at_ms":1,"client":"phone","user":"alice","conversation":"c","event":"send","name":"a1","body":"Hola"}"#;
const ENDED: &str = r#"{"at_ms":2,"client":"phone","user":"alice","conversation":"c","event":"final","messages":[{"sender":"alice","name":"a1","seq":1,"body":"Hola"}],"watermarks":{}}"#;

fn run(arguments: &[&str], input: &str) -> io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tertulia-history"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait_with_output()
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_sound_history_ends_with_nothing_but_its_size() {
    let output = run(&[], &format!("{SENT}\n\n{ENDED}\n")).unwrap();
    let sound = "sound: 2 lines, 1 sends, 0 acknowledgements, 0 sights, 1 ends\n";
    assert_eq!(said(&output), (Some(0), sound.to_owned()));
}

#[test]
fn a_broken_one_is_told_with_the_lines_that_prove_it() {
    let wrong = ENDED.replace("Hola", "Adios");
    let output = run(&["-"], &format!("{SENT}\n{wrong}\n")).unwrap();
    let proof = format!("broken: a1 of alice has a body that its sender never gave it\n-:1: {SENT}\n-:2: {wrong}\n");
    assert_eq!(said(&output), (Some(1), proof));
}

#[test]
fn what_can_not_be_read_is_no_verdict() {
    let output = run(&["no-such-file"], "").unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = run(&[], "{}\n").unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("-:1: at_ms"));
}
