//! The client for other languages: the library, and the files through which Kotlin, Swift and Python call it.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX, EXE_SUFFIX};
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup;
use crate::step::run;
use crate::workspace::Workspace;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// `encryption`: with SQLCipher in the place of SQLite.
    Release {
        encryption: bool,
    },
    Tests,
}

/// Into `target/bindings`, for tests into `target/debug/bindings`: a folder for each language. Python's holds the library too, where it looks for it.
pub fn write(workspace: &Workspace, what_for: For) -> Result<()> {
    let (profile, out) = match what_for {
        For::Release { .. } => ("release", workspace.target.join("bindings")),
        For::Tests => ("debug", workspace.target.join("debug/bindings")),
    };
    if let For::Release { encryption } = what_for {
        let mut build = workspace.cargo();
        build.args(["build", "--release", "--package", "tertulia-ffi"]);
        if encryption {
            setup::crypto_library()?;
            build.args(["--package", "tertulia-client-sqlite", "--features", "tertulia-client-sqlite/encryption"]);
        }
        run(&mut build)?;
    }
    // All libraries, as the tests have built them: one package alone may want other features of its dependencies and so build them again.
    run(workspace.cargo().args(["build", "--workspace", "--lib", "--example", "bindgen"]))?;
    let file = format!("{DLL_PREFIX}tertulia_ffi{DLL_SUFFIX}");
    let library = workspace.target.join(profile).join(&file);
    let bindgen = workspace.target.join(format!("debug/examples/bindgen{EXE_SUFFIX}"));
    run(Command::new(bindgen).arg(&library).arg(&out))?;
    fs::copy(&library, out.join("python").join(&file)).with_context(|| format!("cannot copy {}", library.display()))?;
    Ok(())
}
