//! One step of a longer run: its name before, its time after, and its name in the error.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

pub fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {name}");
    #[expect(clippy::disallowed_methods, reason = "the time of a step is for the reader alone")]
    let start = Instant::now();
    let result = work();
    let outcome = if result.is_ok() { "ok" } else { "FAILED" };
    println!("-- {name}: {outcome} in {:.1} s", start.elapsed().as_secs_f64());
    result.with_context(|| format!("step \"{name}\""))
}

/// Runs to the end with this terminal; anything but success is an error that names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Standard output of a command that succeeds in silence; `None` where it is missing or fails.
pub fn probe(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
