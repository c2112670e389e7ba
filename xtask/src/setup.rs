//! What the tests need beside Rust. A second run that finds nothing changed takes no time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step::{probe, run};
use crate::workspace::Workspace;

const NODE_MAJOR_MIN: u32 = 20;
const POSTGRES_MAJOR_MIN: u32 = 15;

pub fn setup(workspace: &Workspace) -> Result<()> {
    node()?;
    python()?;
    browser("Chromium", "CHROMIUM", "chromium")?;
    browser("Firefox", "FIREFOX", "firefox-esr")?;
    services()?;
    let root = &workspace.root;
    let stamps = workspace.target.join("stamps");
    packages(workspace, "e2e")?;
    packages(workspace, "web")?;
    let requirements = root.join("e2e/python/requirements.txt");
    stamped(&stamps.join("venv"), &requirements, &venv_python(root), || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(root.join("e2e/.venv")))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(venv_python(root)).args(pip).arg(&requirements))
    })
}

/// What the client for browsers is built with.
pub fn web(workspace: &Workspace) -> Result<()> {
    node()?;
    packages(workspace, "web")
}

fn packages(workspace: &Workspace, folder: &str) -> Result<()> {
    let stamp = workspace.target.join("stamps").join(format!("npm-{folder}"));
    let folder = workspace.root.join(folder);
    stamped(&stamp, &folder.join("package-lock.json"), &folder.join("node_modules"), || {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))
    })
}

/// A browser that tests can drive: Debian's, or the one that the environment names.
fn browser(name: &str, variable: &str, package: &str) -> Result<()> {
    let is_there = std::env::var_os(variable).is_some() || Path::new("/usr/bin").join(package).exists();
    if is_there { Ok(()) } else { install(&format!("{name} (or name one in {variable})"), &[package]) }
}

/// What a cluster is made of beside the server.
pub fn services() -> Result<()> {
    postgres()?;
    let is_there = |program: &str| {
        let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
        places.iter().any(|folder| Path::new(folder).join(program).exists())
    };
    if !(is_there("redis-server") && is_there("redis-cli")) {
        install("Redis", &["redis-server"])?;
    }
    if is_there("nginx") { Ok(()) } else { install("nginx", &["nginx-light"]) }
}

/// What the tests of the log on PostgreSQL start.
fn postgres() -> Result<()> {
    let version = |folder: std::fs::DirEntry| folder.file_name().to_string_lossy().parse::<u32>().ok();
    let newest = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().filter_map(version).max();
    if newest.is_none_or(|version| version < POSTGRES_MAJOR_MIN) {
        install("PostgreSQL 15 or newer", &["postgresql"])?;
    }
    if !Path::new("/usr/sbin/pgbouncer").exists() {
        install("PgBouncer", &["pgbouncer"])?;
    }
    Ok(())
}

pub fn venv_python(root: &Path) -> PathBuf {
    root.join("e2e/.venv/bin/python")
}

fn node() -> Result<()> {
    let present = || {
        probe(Command::new("node").arg("--version")).is_some() && probe(Command::new("npm").arg("--version")).is_some()
    };
    if !present() {
        install("Node.js and npm", &["nodejs", "npm"])?;
    }
    let version = probe(Command::new("node").arg("--version")).unwrap_or_default();
    if major(&version).is_none_or(|major| major < NODE_MAJOR_MIN) {
        bail!(
            "Node.js {NODE_MAJOR_MIN} or newer is needed, this is {version:?}: take a current one from https://nodejs.org"
        );
    }
    Ok(())
}

fn python() -> Result<()> {
    let present = || probe(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_some();
    if !present() {
        install("python3 with venv", &["python3", "python3-venv"])?;
    }
    if !present() {
        bail!("python3 is there, but without its modules `venv` and `ensurepip`");
    }
    Ok(())
}

/// Debian's Rust for browsers, where rustup's target is not to be had: the compiler, the standard library as source, and a clang for SQLite's C.
pub fn debian_wasm() -> Result<()> {
    let there = Path::new("/usr/lib/rustlib/src/rust/library").is_dir()
        && Path::new("/usr/bin/cargo").exists()
        && probe(Command::new("clang-22").arg("--version")).is_some()
        && probe(Command::new("wasm-ld-22").arg("--version")).is_some();
    if there {
        return Ok(());
    }
    install(
        "Rust for wasm32 (or `rustup target add wasm32-unknown-unknown` and clang)",
        &["rustc-web", "cargo-web", "rust-web-src", "lld-22", "clang-22"],
    )
}

/// What SQLCipher calls for its ciphers, with its headers.
pub fn crypto_library() -> Result<()> {
    if cfg!(target_vendor = "apple") || Path::new("/usr/include/openssl/crypto.h").exists() {
        return Ok(());
    }
    install("OpenSSL's libcrypto with its headers, for SQLCipher", &["libssl-dev"])
}

/// On Debian and its kin; elsewhere, and for whoever may not, it says what to do.
fn install(what: &str, packages: &[&str]) -> Result<()> {
    let packages = packages.join(" ");
    if probe(Command::new("apt-get").arg("--version")).is_none() {
        bail!("{what} is missing; install it with your system's package manager ({packages})");
    }
    if probe(Command::new("id").arg("-u")).as_deref() != Some("0") {
        bail!("{what} is missing; install it with `sudo apt-get install {packages}`");
    }
    println!("{what} is missing: installing {packages}");
    let apt = |args: &[&str]| run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args));
    apt(&["update", "--quiet"])?;
    let names = packages.split(' ');
    apt(&["install", "--quiet", "--yes", "--no-install-recommends"].into_iter().chain(names).collect::<Vec<_>>())
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Does the work unless it was done for the same input and its result is still there.
fn stamped(stamp: &Path, input: &Path, result: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = fs::read_to_string(input).with_context(|| format!("cannot read {}", input.display()))?;
    if result.exists() && fs::read_to_string(stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    work()?;
    if let Some(folder) = stamp.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_number_of_a_version_is_read() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major(""), None);
        assert_eq!(major("20"), None);
    }
}
