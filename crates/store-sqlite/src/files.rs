//! Who may read what lies on the disk: whoever runs the server, and nobody else on the machine.
//!
//! SQLite gives the write-ahead log and the shared memory the mode of the file they belong to (`findCreateFileMode` of its os_unix.c): so a
//! database has its mode before SQLite opens it.

use std::io;
use std::path::{Path, PathBuf};

/// The files of a database, by what is added to its name.
pub(crate) const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// The name of a database, with something added.
pub(crate) fn part(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes a folder that only its owner enters, and what is missing above it. One that is there stays as it is: somebody may have opened it on purpose.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Makes an empty file that only its owner reads and writes, where there is none; narrows one that is there.
pub fn make_private(file: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    // A file that is there is not opened: closing it would let go of the locks that SQLite holds on it in this process.
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    match options.open(file) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            narrow(file);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The same for a database, before SQLite opens it. Those of an earlier version were open to all.
pub(crate) fn make_private_database(database: &Path) -> io::Result<()> {
    make_private(database)?;
    for suffix in &PARTS[1..] {
        narrow(&part(database, suffix));
    }
    Ok(())
}

/// Of what is there. Who does not own the file can't; then it is said, and no reason not to work.
fn narrow(file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let narrowed = std::fs::metadata(file).and_then(|found| match found.permissions().mode() & 0o077 {
            0 => Ok(()),
            _ => std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)),
        });
        if let Err(error) = narrowed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the permissions of {} could not be narrowed", file.display());
        }
    }
    #[cfg(not(unix))]
    let _ = file;
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(file: &Path) -> u32 {
        fs::metadata(file).expect("the test has files").permissions().mode() & 0o777
    }

    fn open_to_all(file: &Path, mode: u32) {
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("the test has files");
    }

    #[test]
    fn what_is_made_is_its_owners_and_what_was_open_to_all_is_narrowed() {
        let folder = std::env::temp_dir().join(format!("tertulia-files-{}", std::process::id()));
        let inner = folder.join("inner");
        make_folder(&inner).expect("the test has files");
        assert_eq!((mode(&folder), mode(&inner)), (0o700, 0o700));
        open_to_all(&inner, 0o750);
        make_folder(&inner).expect("the test has files");
        assert_eq!(mode(&inner), 0o750, "a folder that is there is somebody's choice");
        let database = inner.join("a.db");
        make_private_database(&database).expect("the test has files");
        assert_eq!(mode(&database), 0o600);
        for suffix in PARTS {
            fs::write(part(&database, suffix), "kept").expect("the test has files");
            open_to_all(&part(&database, suffix), 0o644);
        }
        make_private_database(&database).expect("the test has files");
        for suffix in PARTS {
            let file = part(&database, suffix);
            assert_eq!(
                (mode(&file), fs::read(&file).expect("the test has files").as_slice()),
                (0o600, b"kept".as_slice()),
                "{suffix}"
            );
        }
        fs::remove_dir_all(folder).expect("the test has files");
    }
}
