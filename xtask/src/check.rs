//! What must hold before a change is taken. Each step fails the whole at once.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Result, bail};

use crate::step::{probe, run, step};
use crate::workspace::Workspace;
use crate::{bindings, launch, setup, tidy, web};

const FUZZ_SMOKE_SECONDS: u32 = 10;

/// Steps of which some may be left out at the beginning.
#[derive(Default)]
struct Steps {
    /// Begins with this one.
    from: Option<String>,
}

impl Steps {
    fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.from.take_if(|from| from == name);
        if self.from.is_some() { Ok(()) } else { step(name, work) }
    }

    fn end(self) -> Result<()> {
        match self.from {
            None => Ok(()),
            Some(from) => bail!("--from: there is no step {from:?} here; steps are named as in `== setup`"),
        }
    }
}

/// `from`: the steps before it have been seen to pass.
pub fn test(workspace: &Workspace, fast: bool, with_fuzz: bool, from: Option<String>) -> Result<()> {
    let mut steps = Steps { from };
    // First, because a missing program is better known before ten minutes of building than after.
    if !fast {
        steps.step("setup", || setup::setup(workspace))?;
    }
    lint_with(&mut steps, workspace)?;
    steps.step("tidy", || tidy::check(workspace))?;
    // Before the programs, of which the server takes the app in.
    if !fast {
        steps.step("web", || web::build(workspace, web::For::Release).and_then(|()| web::weigh(workspace)))?;
    }
    // The whole workspace, because one package alone may want other features of its dependencies and so build them again. Before the tests: those of the
    // client start the server.
    steps.step("programs", || run(workspace.cargo().args(["build", "--workspace", "--bins"])))?;
    steps.step("unit and integration tests", || run(&mut tests(workspace)))?;
    if !fast {
        steps.step("encrypted files", || encrypted(workspace))?;
    }
    steps.step("simulation", || simulation(workspace, if fast { 100 } else { 700 }))?;
    if !fast {
        steps.step("chaos", || chaos(workspace))?;
    }
    steps.step("documentation tests", || run(workspace.cargo().args(["test", "--workspace", "--doc", "--quiet"])))?;
    steps.step("wasm32", || wasm(workspace))?;
    if !fast {
        steps.step("end to end, JavaScript", || javascript(workspace))?;
        steps.step("web packages", || packages(workspace))?;
        steps.step("end to end, browser", || browser(workspace))?;
        steps.step("bindings", || bindings::write(workspace, bindings::For::Tests))?;
        steps.step("end to end, Python", || python(workspace))?;
    }
    if with_fuzz {
        steps.step("fuzz", || launch::fuzz(workspace, None, FUZZ_SMOKE_SECONDS))?;
    }
    steps.end()
}

pub fn lint(workspace: &Workspace) -> Result<()> {
    lint_with(&mut Steps::default(), workspace)
}

fn lint_with(steps: &mut Steps, workspace: &Workspace) -> Result<()> {
    steps.step("format", || {
        run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
        run(workspace.cargo().args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))
    })?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
    steps.step("clippy", || run(workspace.cargo().args(clippy)))
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

/// The local store once more with SQLCipher in the place of SQLite.
fn encrypted(workspace: &Workspace) -> Result<()> {
    setup::crypto_library()?;
    let store = ["test", "--package", "tertulia-client-sqlite", "--features", "encryption", "--tests", "--quiet"];
    run(workspace.cargo().args(store))
}

/// Fresh worlds each time, and those that once broke a promise.
fn simulation(workspace: &Workspace, seeds: u32) -> Result<()> {
    let mut command = Command::new(workspace.binary("debug", "tertulia-sim"));
    run(command.current_dir(&workspace.root).args(["--seeds", &seeds.to_string()]))
}

/// A cluster that is broken again and again, and what two hundred clients saw of it.
fn chaos(workspace: &Workspace) -> Result<()> {
    let mut command = Command::new(workspace.binary("debug", "tertulia-cluster"));
    let (server, history) = (workspace.binary("debug", "tertulia"), workspace.binary("debug", "tertulia-history"));
    command.env("TERTULIA_BIN", server).env("TERTULIA_HISTORY_BIN", history);
    run(command.current_dir(&workspace.root).args(["chaos", "--minutes", "3"]))
}

/// What a browser runs.
const FOR_BROWSERS: [&str; 5] =
    ["tertulia-proto", "tertulia-engine", "tertulia-client-sqlite", "tertulia-client", "tertulia-wasm"];

/// All of it compiles; the rest of the workspace need not.
fn wasm(workspace: &Workspace) -> Result<()> {
    let packages = FOR_BROWSERS.iter().flat_map(|name| ["--package", name]);
    run(web::cargo(workspace)?.command("check").args(packages))
}

fn javascript(workspace: &Workspace) -> Result<()> {
    run(end_to_end(workspace, "npm").arg("test"))
}

/// The client in a real browser.
/// Types, and tests that need no browser.
fn packages(workspace: &Workspace) -> Result<()> {
    for package in ["react", "app", "example"] {
        run(in_web(workspace).args(["run", "--silent", "typecheck", "--workspace", package]))?;
    }
    ["react", "app"]
        .into_iter()
        .try_for_each(|package| run(in_web(workspace).args(["test", "--silent", "--workspace", package])))
}

/// The client and the app in real browsers, with the real server.
fn browser(workspace: &Workspace) -> Result<()> {
    run(in_web(workspace).args(["test", "--workspace", "client"]))?;
    run(in_web(workspace).args(["run", "--silent", "test:browser", "--workspace", "app"]))
}

fn in_web(workspace: &Workspace) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(workspace.root.join("web")).env("TERTULIA_BIN", workspace.binary("debug", "tertulia"));
    patient(&mut command);
    command
}

/// How long a test waits for what has to come: on a machine that does other things too, a page or a server may take its time.
fn patient(command: &mut Command) {
    for (name, ms) in [("E2E_DEADLINE_MS", "60000"), ("E2E_TAKEOVER_MAX_MS", "20000"), ("WEB_DEADLINE_MS", "60000")] {
        if std::env::var_os(name).is_none() {
            command.env(name, ms);
        }
    }
}

fn python(workspace: &Workspace) -> Result<()> {
    // The whole workspace, as with the programs above.
    run(workspace.cargo().args(["build", "--workspace", "--example", "webpush_content"]))?;
    let mut command = end_to_end(workspace, setup::venv_python(&workspace.root));
    command.env("TERTULIA_PYTHON_BINDING", workspace.target.join("debug/bindings/python"));
    command.env("TERTULIA_WEBPUSH_CONTENT", workspace.target.join("debug/examples/webpush_content"));
    run(command.args(["-m", "pytest", "python"]))
}

fn end_to_end(workspace: &Workspace, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace.root.join("e2e")).env("TERTULIA_BIN", workspace.binary("debug", "tertulia"));
    patient(&mut command);
    command
}
