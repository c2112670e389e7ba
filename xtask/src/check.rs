//! What must hold before a change is taken. Each step fails the whole at once.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::step::{probe, run, step};
use crate::workspace::Workspace;
use crate::{bindings, launch, setup, tidy};

const WASM: &str = "wasm32-unknown-unknown";
const FUZZ_SMOKE_SECONDS: u32 = 10;

pub fn test(workspace: &Workspace, fast: bool, with_fuzz: bool) -> Result<()> {
    // First, because a missing program is better known before ten minutes of building than after.
    if !fast {
        step("setup", || setup::setup(workspace))?;
    }
    lint(workspace)?;
    step("tidy", || tidy::check(workspace))?;
    step("unit and integration tests", || run(&mut tests(workspace)))?;
    step("documentation tests", || run(workspace.cargo().args(["test", "--workspace", "--doc", "--quiet"])))?;
    step("wasm32", || wasm(workspace))?;
    if !fast {
        // The whole workspace, because one package alone may want other features of its dependencies and so build them again.
        step("server", || run(workspace.cargo().args(["build", "--workspace", "--bins"])))?;
        step("end to end, JavaScript", || javascript(workspace))?;
        step("bindings", || bindings::write(workspace, bindings::For::Tests))?;
        step("end to end, Python", || python(workspace))?;
    }
    if with_fuzz {
        step("fuzz", || launch::fuzz(workspace, None, FUZZ_SMOKE_SECONDS))?;
    }
    Ok(())
}

pub fn lint(workspace: &Workspace) -> Result<()> {
    step("format", || {
        run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
        run(workspace.cargo().args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))
    })?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
    step("clippy", || run(workspace.cargo().args(clippy)))
}

fn tests(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    if probe(workspace.cargo().args(["nextest", "--version"])).is_some() {
        command.args(["nextest", "run", "--workspace"]);
    } else {
        command.args(["test", "--workspace", "--lib", "--bins", "--tests"]);
    }
    command
}

/// The wire types must compile where a browser runs them.
fn wasm(workspace: &Workspace) -> Result<()> {
    let check = ["check", "--package", "tertulia-proto", "--target", WASM];
    if !wasm_is_there() && run(Command::new("rustup").args(["target", "add", WASM])).is_err() {
        println!("NOT CHECKED: the target {WASM} is missing and could not be added (`rustup target add {WASM}`)");
        return Ok(());
    }
    run(workspace.cargo().args(check))
}

fn wasm_is_there() -> bool {
    let folder = probe(Command::new("rustc").args(["--print", "target-libdir", "--target", WASM]));
    folder.is_some_and(|folder| Path::new(&folder).is_dir())
}

fn javascript(workspace: &Workspace) -> Result<()> {
    run(end_to_end(workspace, "npm").arg("test"))
}

fn python(workspace: &Workspace) -> Result<()> {
    let mut command = end_to_end(workspace, setup::venv_python(&workspace.root));
    command.env("TERTULIA_PYTHON_BINDING", workspace.target.join("debug/bindings/python"));
    run(command.args(["-m", "pytest", "python"]))
}

fn end_to_end(workspace: &Workspace, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace.root.join("e2e")).env("TERTULIA_BIN", workspace.binary("debug", "tertulia"));
    command
}
