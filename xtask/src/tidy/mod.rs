//! The ratchets: what would loosen a little with every change if nobody counted.
//!
//! The way through: [`files`] lists what belongs to the project, [`mask`] blanks comments and strings so that the rest can be searched,
//! [`rust`], [`text`], [`migrations`] and [`paths`] judge files, [`edges`] judges crates.

mod edges;
mod files;
mod mask;
mod migrations;
mod paths;
mod rust;
mod text;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// Prints every finding, then fails if there was one.
pub fn check(workspace: &Workspace) -> Result<()> {
    let findings = findings(workspace)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    Ok(())
}

fn findings(workspace: &Workspace) -> Result<Vec<String>> {
    let mut findings = edges::findings(&workspace.packages);
    let files = files::list(&workspace.root)?;
    for file in &files {
        // What is not text (pictures, archives) has no lines to judge.
        let Ok(source) = std::fs::read_to_string(workspace.root.join(file)) else { continue };
        let mut found = text::findings(file, &source);
        found.extend(migrations::findings(file, &source));
        if file.ends_with(".rs") {
            found.extend(rust::findings(file, &source));
        }
        if file == paths::PICTURE {
            found.extend(paths::findings(&source, &files));
        }
        findings.extend(found.into_iter().map(|(line, what)| format!("{file}:{line}: {what}")));
    }
    Ok(findings)
}

/// Line (from 1) and what is wrong there.
type Found = Vec<(usize, String)>;

fn line_of(source: &str, at: usize) -> usize {
    source.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_its_ratchets() {
        let findings = findings(&Workspace::load().unwrap()).unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
