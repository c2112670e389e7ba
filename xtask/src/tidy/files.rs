//! What belongs to the project: the files git knows or would take, or, in an unpacked archive, all but what builds leave behind.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::probe;

const LEFT_BY_BUILDS: [&str; 8] =
    [".git", ".venv", "__pycache__", ".pytest_cache", "artifacts", "data", "node_modules", "target"];

/// Paths from the root, with slashes, sorted.
pub fn list(root: &Path) -> Result<Vec<String>> {
    let git = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let mut files = match probe(Command::new("git").args(git).current_dir(root)) {
        // A deleted file is still in the index until the next commit.
        Some(names) => names.split('\0').filter(|name| root.join(name).is_file()).map(str::to_owned).collect(),
        None => {
            let mut found = Vec::new();
            walk(root, "", &mut found)?;
            found
        }
    };
    files.sort();
    files.dedup();
    Ok(files)
}

fn walk(root: &Path, folder: &str, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(root.join(folder)).with_context(|| format!("cannot read {folder:?}"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_file() {
            found.push(path);
        } else if kind.is_dir() && !LEFT_BY_BUILDS.contains(&name.as_str()) {
            walk(root, &path, found)?;
        }
    }
    Ok(())
}
