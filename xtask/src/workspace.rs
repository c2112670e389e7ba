//! Where things are, and what `cargo metadata` says of the workspace's own packages.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    pub packages: Vec<Package>,
}

pub struct Package {
    pub name: String,
    /// Neither development nor build dependencies: what the crate itself knows.
    pub dependencies: Vec<String>,
    /// Without `default`.
    pub features: Vec<String>,
}

impl Workspace {
    pub fn load() -> Result<Self> {
        let root = root()?;
        let output = cargo(&root)
            .args(["metadata", "--no-deps", "--format-version=1"])
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata wrote no JSON")?;
        let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
        let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
        Ok(Self { root, target: PathBuf::from(target), packages: packages.iter().map(package).collect() })
    }

    pub fn cargo(&self) -> Command {
        cargo(&self.root)
    }

    /// A program of this workspace, such as `target/release/tertulia`.
    pub fn binary(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }
}

/// Cargo tells it to what it runs; without cargo it is where this was built.
fn root() -> Result<PathBuf> {
    let manifest = env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let parent = Path::new(&manifest).parent().context("the folder of xtask has no parent")?;
    Ok(parent.to_owned())
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn package(value: &Value) -> Package {
    let dependencies = value["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let features = value["features"].as_object().into_iter().flatten();
    Package {
        name: text(&value["name"]),
        dependencies: dependencies.iter().filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect(),
        features: features.map(|(name, _)| name.clone()).filter(|name| name != "default").collect(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
