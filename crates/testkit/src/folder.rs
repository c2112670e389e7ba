//! A folder that goes away with its owner.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};

static COUNT: AtomicU64 = AtomicU64::new(0);

pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Result<Self> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tertulia-test-{}-{count}", std::process::id()));
        // Of an earlier process with the same number.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Copies those of the named files that exist.
    pub fn copy_files(&self, names: &[&str], to: &Path) -> Result<()> {
        for name in names.iter().filter(|name| self.0.join(name).exists()) {
            std::fs::copy(self.0.join(name), to.join(name)).with_context(|| format!("can't copy {name}"))?;
        }
        Ok(())
    }

    /// Removes those of the named files that exist.
    pub fn remove_files(&self, names: &[&str]) -> Result<()> {
        for name in names.iter().filter(|name| self.0.join(name).exists()) {
            std::fs::remove_file(self.0.join(name)).with_context(|| format!("can't remove {name}"))?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
