//! What an operator meets on the disk and in the shell, with the real binary.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tertulia_testkit::{Folder, Options, Server};

const TERTULIA: &str = env!("CARGO_BIN_EXE_tertulia");

/// What others than the owner may do with what lies in a folder, by name; nothing of it, where all is well.
fn open_to_others(folder: &Path) -> Result<Vec<String>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut open = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            open.push(format!("{} {mode:o}", entry.file_name().display()));
        }
    }
    Ok(open)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_on_the_machine_reads_the_log_or_its_index_while_a_server_runs() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut server = Server::start(Options::new(TERTULIA).after_shell("umask 022;")).await?;
    let names = ["tertulia.db", "tertulia.db-wal", "tertulia.db-shm", "search.db", "search.db-wal", "incarnation"];
    for name in names {
        ensure!(server.folder().path().join(name).exists(), "{name}");
    }
    let open = open_to_others(server.folder().path())?;
    ensure!(open.is_empty(), "{open:?}");
    // As an earlier version left them, killed.
    server.kill()?;
    for name in names {
        let file = server.folder().path().join(name);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).context(name)?;
    }
    server.launch().await?;
    let open = open_to_others(server.folder().path())?;
    ensure!(open.is_empty(), "{open:?}");
    ensure!(server.terminate().await?.success());

    let folder = Folder::new()?;
    let new = folder.path().join("new");
    let made = std::process::Command::new("sh")
        .args(["-c", "umask 022; exec \"$0\" migrate --data \"$1\"", TERTULIA])
        .arg(&new)
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    let open = open_to_others(folder.path())?;
    ensure!(open.is_empty(), "{open:?}");
    Ok(())
}
