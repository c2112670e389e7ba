//! Programs that a person starts and watches.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::step::{probe, run};
use crate::web;
use crate::workspace::Workspace;

/// Where `run` differs from the server's own defaults, and the variable that settles it as well as the flag does.
const SERVE_DEFAULTS: [(&str, &str, &str); 2] =
    [("--listen", "TERTULIA_LISTEN", "127.0.0.1:4000"), ("--data", "TERTULIA_DATA", "./data")];

pub fn serve(workspace: &Workspace, args: &[OsString]) -> Result<()> {
    if let Err(error) = web::build(workspace, web::For::Release) {
        println!("The server starts without the web app: {error:#}");
    }
    run(workspace.cargo().args(["build", "--release", "--package", "tertulia-server"]))?;
    let mut command = Command::new(workspace.binary("release", "tertulia"));
    command.current_dir(&workspace.root).arg("serve");
    for (flag, variable, value) in SERVE_DEFAULTS {
        if !has_flag(args, flag) && std::env::var_os(variable).is_none() {
            command.args([flag, value]);
        }
    }
    become_it(command.args(args))
}

/// The server with the app as it is being written: Vite shows it, and sends everything else to the server.
pub fn dev(workspace: &Workspace) -> Result<()> {
    web::build(workspace, web::For::Development)?;
    run(workspace.cargo().args(["build", "--package", "tertulia-server"]))?;
    let [(_, _, listen), (_, _, data)] = SERVE_DEFAULTS;
    let mut server = Command::new(workspace.binary("debug", "tertulia"))
        .current_dir(&workspace.root)
        .args(["serve", "--listen", listen, "--data", data])
        .spawn()
        .context("cannot start the server")?;
    let shown =
        run(Command::new("npm").args(["run", "dev", "--workspace", "app"]).current_dir(workspace.root.join("web")));
    // It may have ended by itself.
    let _ = server.kill();
    server.wait().context("the server did not end")?;
    shown
}

/// PostgreSQL with a replica, Redis, nginx, servers and a worker, or what breaks them.
pub fn cluster(workspace: &Workspace, command: &str, args: &[OsString]) -> Result<()> {
    setup::services()?;
    if command == "run"
        && let Err(error) = web::build(workspace, web::For::Release)
    {
        println!("The servers start without the web app: {error:#}");
    }
    let packages = ["tertulia-server", "tertulia-cluster", "tertulia-history"];
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    run(workspace.cargo().args(["build", "--release"]).args(packages))?;
    let mut program = Command::new(workspace.binary("release", "tertulia-cluster"));
    become_it(program.current_dir(&workspace.root).arg(command).args(args))
}

pub fn bench(workspace: &Workspace, args: &[OsString]) -> Result<()> {
    run(workspace.cargo().args(["build", "--release", "--package", "tertulia-server", "--package", "tertulia-load"]))?;
    let mut command = Command::new(workspace.binary("release", "tertulia-load"));
    command.current_dir(&workspace.root);
    if args.first().is_none_or(|first| first.as_encoded_bytes().starts_with(b"-")) {
        command.arg("all");
    }
    become_it(command.args(args))
}

pub fn sim(workspace: &Workspace, args: &[OsString]) -> Result<()> {
    run(workspace.cargo().args(["build", "--release", "--package", "tertulia-sim"]))?;
    let mut command = Command::new(workspace.binary("release", "tertulia-sim"));
    become_it(command.current_dir(&workspace.root).args(args))
}

pub fn fuzz(workspace: &Workspace, target: Option<&str>, seconds: u32) -> Result<()> {
    if probe(workspace.cargo().args(["fuzz", "--version"])).is_none() {
        bail!("cargo-fuzz is missing; install it with `cargo install cargo-fuzz --locked`");
    }
    let all = fuzz_targets(&workspace.root)?;
    let chosen: Vec<&String> = all.iter().filter(|name| target.is_none_or(|wanted| wanted == name.as_str())).collect();
    if chosen.is_empty() {
        bail!("no such fuzz target; there are: {}", all.join(", "));
    }
    for name in chosen {
        fuzz_one(workspace, name, seconds)?;
    }
    Ok(())
}

fn fuzz_one(workspace: &Workspace, name: &str, seconds: u32) -> Result<()> {
    println!("fuzzing {name} for {seconds} s");
    let corpus = format!("fuzz/corpus/{name}");
    std::fs::create_dir_all(workspace.root.join(&corpus)).with_context(|| format!("cannot make {corpus}"))?;
    let mut command = workspace.cargo();
    // The sanitizers' flags are unstable, the compiler is not: this opens them on the stable toolchain.
    command.env("RUSTC_BOOTSTRAP", "1");
    // libFuzzer writes what it finds to the first folder; the seeds stay as they are.
    command.args(["fuzz", "run", name, &corpus, &format!("fuzz/seeds/{name}"), "--"]);
    command.args([format!("-max_total_time={seconds}"), "-max_len=4096".into(), "-timeout=5".into()]);
    run(&mut command)
}

fn fuzz_targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).context("cannot read fuzz/fuzz_targets")? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("rs")) {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

fn has_flag(args: &[OsString], flag: &str) -> bool {
    args.iter()
        .filter_map(|arg| arg.to_str())
        .any(|arg| arg.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
}

/// The program takes this process' place, so that signals and the exit code are its own.
#[cfg(unix)]
fn become_it(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))
}

#[cfg(not(unix))]
fn become_it(command: &mut Command) -> Result<()> {
    run(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_seen_with_and_without_an_equals_sign_and_not_as_a_prefix() {
        let args = ["--listen=0.0.0.0:1", "--data", "d"].map(OsString::from);
        assert!(has_flag(&args, "--listen") && has_flag(&args, "--data"));
        assert!(!has_flag(&args, "--dat"));
    }
}
