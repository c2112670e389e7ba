//! The client for browsers: the module that `bindings/wasm` becomes, the JavaScript that loads it, and the package around both.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::step::{probe, run};
use crate::workspace::Workspace;

const WASM: &str = "wasm32-unknown-unknown";

/// What a phone has to fetch before the first screen, compressed.
///
/// Binaryen's `wasm-opt` is left out: `-Oz` makes the module smaller (1694 instead of 1840 KB) and what is fetched of it larger (585 instead of 568 KB with
/// Brotli), and takes as long as all the rest; `-O1` saves 2 KB (binaryen 132, 2026-11-22).
const BUDGET_BYTES: u64 = 580 * 1024;

/// What of SQLite nothing here uses.
const SQLITE_FLAGS: &str = "-USQLITE_ENABLE_API_ARMOR -USQLITE_ENABLE_BYTECODE_VTAB -USQLITE_ENABLE_DBPAGE_VTAB -USQLITE_ENABLE_DBSTAT_VTAB \
    -USQLITE_ENABLE_MATH_FUNCTIONS -USQLITE_ENABLE_OFFSET_SQL_FUNC -USQLITE_ENABLE_PREUPDATE_HOOK -USQLITE_ENABLE_RTREE \
    -USQLITE_ENABLE_SESSION -USQLITE_ENABLE_STMTVTAB -USQLITE_ENABLE_UNLOCK_NOTIFY -USQLITE_ENABLE_COLUMN_METADATA -DSQLITE_UNTESTABLE \
    -DSQLITE_OMIT_AUTHORIZATION -DSQLITE_OMIT_COMPILEOPTION_DIAGS -DSQLITE_OMIT_COMPLETE -DSQLITE_OMIT_DECLTYPE \
    -DSQLITE_OMIT_DESERIALIZE -DSQLITE_OMIT_GET_TABLE -DSQLITE_OMIT_JSON -DSQLITE_OMIT_PROGRESS_CALLBACK \
    -DSQLITE_OMIT_TCL_VARIABLE -DSQLITE_OMIT_TRACE -DSQLITE_OMIT_UTF16";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    Release,
    /// Quick to build, and four times as large.
    Development,
}

/// Cargo with a toolchain that knows the target: Rust's own with a clang that knows it too, or Debian's for browsers, which brings the standard library as
/// source. Each has a folder of its own, since they would build each other's programs again.
pub struct Cargo<'a> {
    workspace: &'a Workspace,
    is_debian: bool,
}

pub fn cargo(workspace: &Workspace) -> Result<Cargo<'_>> {
    let folder = probe(Command::new("rustc").args(["--print", "target-libdir", "--target", WASM]));
    let is_there = folder.is_some_and(|folder| Path::new(&folder).is_dir())
        && probe(Command::new("clang").arg("--version")).is_some();
    if !is_there {
        setup::debian_wasm()?;
    }
    Ok(Cargo { workspace, is_debian: !is_there })
}

impl Cargo<'_> {
    pub fn command(&self, verb: &str) -> Command {
        let mut command;
        if self.is_debian {
            command = Command::new("/usr/bin/cargo");
            command.current_dir(&self.workspace.root);
            // Not the toolchain that runs this program.
            command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env("RUSTC", "/usr/bin/rustc");
            command.env("RUSTC_BOOTSTRAP", "1").env("CC_wasm32_unknown_unknown", "clang-22");
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-22");
            command.args([verb, "--locked", "-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
        } else {
            command = self.workspace.cargo();
            command.env("CC_wasm32_unknown_unknown", "clang").args([verb, "--locked"]);
        }
        command.env("SQLITE_WASM_RS_FLAGS", SQLITE_FLAGS);
        command.args(["--target", WASM, "--target-dir"]).arg(self.folder());
        command
    }

    fn folder(&self) -> PathBuf {
        self.workspace.target.join(if self.is_debian { "wasm-debian" } else { "wasm" })
    }

    fn module(&self, profile: &str) -> PathBuf {
        self.folder().join(WASM).join(profile).join("tertulia_wasm.wasm")
    }
}

/// Writes `web/client/dist`, and the app, which the server takes in when it is built after this: `web/app/dist`.
pub fn build(workspace: &Workspace, what_for: For) -> Result<()> {
    setup::web(workspace)?;
    let cargo = cargo(workspace)?;
    let profile = if what_for == For::Development { "dev" } else { "web" };
    run(cargo.command("build").args(["--package", "tertulia-wasm", "--lib", "--profile", profile]))?;
    let module = cargo.module(if what_for == For::Development { "debug" } else { "web" });

    run(workspace.cargo().args(["build", "--package", "tertulia-wasm", "--example", "web_bindgen"]))?;
    let web = workspace.root.join("web");
    let made = workspace.target.join("web-module");
    let bindgen = workspace.target.join(format!("debug/examples/web_bindgen{}", std::env::consts::EXE_SUFFIX));
    run(Command::new(bindgen).arg(module).arg(&made))?;

    let inputs = inputs(workspace, &made.join("tertulia_bg.wasm"))?;
    let stamp = workspace.target.join("stamps/web-app");
    let dist_is_of = format!("{inputs} for {what_for:?}");
    let is_there = ["app/dist/index.html", "client/dist/index.js"].iter().all(|made| web.join(made).exists());
    if is_there && !inputs.is_empty() && fs::read_to_string(&stamp).is_ok_and(|known| known == dist_is_of) {
        return Ok(());
    }
    let dist = web.join("client/dist/wasm");
    copy(&made, &dist)?;
    for package in ["client", "react", "example", "app"] {
        run(Command::new("npm").args(["run", "--silent", "build", "--workspace", package]).current_dir(&web))?;
    }
    // The best compression takes some seconds for each megabyte.
    let quality = if what_for == For::Release { "11" } else { "5" };
    run(Command::new("node").args(["app/build/compress.mjs", quality]).current_dir(&web))?;
    fs::create_dir_all(workspace.target.join("stamps")).context("cannot make target/stamps")?;
    fs::write(&stamp, dist_is_of).with_context(|| format!("cannot write {}", stamp.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    }
    Ok(())
}

/// What the packages are made of: the module, and all of `web` that git knows or would take.
fn inputs(workspace: &Workspace, module: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    fs::read(module).with_context(|| format!("cannot read {}", module.display()))?.hash(&mut hasher);
    let web = workspace.root.join("web");
    let listed = ["ls-files", "--cached", "--others", "--exclude-standard", "--", "."];
    // Without git everything is built each time.
    let Some(files) = probe(Command::new("git").args(listed).current_dir(&web)) else { return Ok(String::new()) };
    for file in files.lines() {
        (file, fs::read(web.join(file)).ok()).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// Says what the module that was built weighs; too much is an error. By itself: who only wants to run the app is not kept from it.
pub fn weigh(workspace: &Workspace) -> Result<()> {
    let module = &workspace.root.join("web/client/dist/wasm/tertulia_bg.wasm");
    let raw = fs::metadata(module).with_context(|| format!("cannot read {}", module.display()))?.len();
    let script = "const { brotliCompressSync } = require('node:zlib'); \
                  console.log(brotliCompressSync(require('node:fs').readFileSync(process.argv[1])).length)";
    let compressed = probe(Command::new("node").args(["--eval", script]).arg(module));
    let compressed: u64 = compressed.and_then(|text| text.parse().ok()).context("node does not say what it weighs")?;
    println!("tertulia_bg.wasm: {} KB, {} KB with brotli", raw / 1024, compressed / 1024);
    if compressed > BUDGET_BYTES {
        bail!("{} KB with brotli are over the budget of {} KB", compressed / 1024, BUDGET_BYTES / 1024);
    }
    Ok(())
}

/// Writes the types of the page anew.
pub fn types(workspace: &Workspace) -> Result<()> {
    let test = ["test", "--quiet", "--package", "tertulia-wasm", "--lib", "typescript"];
    run(workspace.cargo().env("TERTULIA_TYPES", "write").args(test))
}
