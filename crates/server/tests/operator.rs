//! What an operator meets on the disk and in the shell, with the real binary.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tertulia_testkit::{Folder, Options, Postgres, PostgresOptions, Server};

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

/// A command of the binary on a folder, with nothing of this test's surroundings; what it said on standard output and on standard error.
fn run(folder: &Path, arguments: &[&str]) -> Result<(bool, String, String)> {
    let mut command = std::process::Command::new(TERTULIA);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TERTULIA_")) {
        command.env_remove(name);
    }
    let output = command.args(arguments).arg("--data").arg(folder).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

/// Of a command that has to fail: what it complains of.
fn complaint(folder: &Path, arguments: &[&str]) -> Result<String> {
    let (is_done, said, complained) = run(folder, arguments)?;
    ensure!(!is_done && said.is_empty(), "{arguments:?}: {said}");
    Ok(complained)
}

const NOBODY: &str = "0199b3c2-0000-7000-8000-000000000007";

#[test]
fn what_only_looks_makes_no_database_where_there_is_none() -> Result<()> {
    let folder = Folder::new()?;
    let nowhere = folder.path().join("dtaa");
    let commands: [&[&str]; 11] = [
        &["jobs", "stats"],
        &["jobs", "list"],
        &["jobs", "retry", "--kind", "notify"],
        &["webhooks", "list"],
        &["webhooks", "add", "--url", "https://example.org"],
        &["webhooks", "events"],
        &["trace", NOBODY],
        &["push", "test", "--user", "alice@example.org"],
        &["apikey", "list"],
        &["apikey", "revoke", "--id", NOBODY],
        &["doctor"],
    ];
    for arguments in commands {
        let complained = complaint(&nowhere, arguments)?;
        ensure!(complained.contains("there is no database in") && complained.contains("dtaa"), "{complained}");
        ensure!(complained.contains("--data"), "{arguments:?}: {complained}");
        ensure!(!nowhere.exists(), "{arguments:?}");
    }
    // Those with which one begins do, in the order of the README.
    for (number, arguments) in
        [&["token", "--email", "alice@example.org"][..], &["apikey", "create", "--bot", "Helper"], &["migrate"]]
            .into_iter()
            .enumerate()
    {
        let (is_done, _, complained) = run(&folder.path().join(number.to_string()), arguments)?;
        ensure!(is_done, "{arguments:?}: {complained}");
    }
    Ok(())
}

#[test]
fn a_bot_needs_a_name_and_nothing_else_and_its_key_is_listed_without_its_secret() -> Result<()> {
    let folder = Folder::new()?;
    let made = |arguments: &[&str]| -> Result<String> {
        let (is_done, said, complained) = run(folder.path(), &[&["apikey", "create"], arguments].concat())?;
        ensure!(is_done, "{arguments:?}: {complained}");
        Ok(said)
    };
    let bot = made(&["--bot", "Helper"])?;
    let user = bot.lines().find_map(|line| line.strip_prefix("user ")).context("a user")?;
    let shop = made(&["--name", "our shop", "--scopes", "tokens:write,admin"])?;
    let secrets = [&bot, &shop].map(|said| said.lines().last().unwrap_or_default());
    let (_, listed, _) = run(folder.path(), &["apikey", "list"])?;
    let lines: Vec<&str> = listed.lines().collect();
    ensure!(lines.len() == 2, "{listed}");
    let of_bot = format!(" acts for {user} scopes chat:read,chat:write name Helper");
    ensure!(lines[0].ends_with(&of_bot) && lines[0].contains(" created 20"), "{listed}");
    ensure!(lines[1].ends_with(" acts for anybody scopes tokens:write,admin name our shop"), "{listed}");
    ensure!(secrets.iter().all(|secret| secret.starts_with("tk_") && !listed.contains(secret)), "{listed}");
    for line in &lines {
        let id = line.split(' ').next().context("an id")?;
        ensure!(run(folder.path(), &["apikey", "revoke", "--id", id])?.0);
        let again = complaint(folder.path(), &["apikey", "revoke", "--id", id])?;
        ensure!(again.ends_with(&format!("there is no API key {id}")), "{again}");
    }
    ensure!(run(folder.path(), &["apikey", "list"])? == (true, String::new(), "none".to_owned()));
    // Of others both are still asked for.
    for missing in [&["--name", "k"][..], &["--scopes", "admin"], &["--as-user", "alice@example.org"]] {
        let complained = complaint(folder.path(), &[&["apikey", "create"], missing].concat())?;
        ensure!(complained.contains("required"), "{complained}");
    }
    Ok(())
}

#[test]
fn what_is_not_there_is_said_in_the_operators_own_words() -> Result<()> {
    let folder = Folder::new()?;
    ensure!(run(folder.path(), &["migrate"])?.0);
    let event = format!("{NOBODY}_00000000_1");
    for what in [&["remove"][..], &["rotate"], &["rotate", "--finish"], &["enable"], &["replay", "--all", "--endpoint"]]
    {
        let complained = complaint(folder.path(), &[&["webhooks"], what, &[NOBODY]].concat())?;
        ensure!(complained == format!("tertulia: there is no webhook {NOBODY}"), "{what:?}: {complained}");
    }
    let complained = complaint(folder.path(), &["webhooks", "skip", NOBODY, &event])?;
    ensure!(complained == format!("tertulia: there is no webhook {NOBODY}"), "{complained}");
    let (_, made, _) = run(folder.path(), &["webhooks", "add", "--url", "https://example.org"])?;
    let id = made.lines().next().and_then(|line| line.strip_prefix("id ")).context("an id")?;
    for what in [&["skip", id, &event][..], &["replay", "--endpoint", id, "--event", &event]] {
        let complained = complaint(folder.path(), &[&["webhooks"], what].concat())?;
        ensure!(complained == format!("tertulia: there is no event {event} that is kept"), "{what:?}: {complained}");
    }
    let nobody = ["apikey", "create", "--name", "k", "--scopes", "chat:read", "--as-user", "nobody@example.org"];
    let complained = complaint(folder.path(), &nobody)?;
    ensure!(complained == "tertulia: --as-user: there is nobody with the e-mail nobody@example.org", "{complained}");
    Ok(())
}

#[test]
fn an_empty_list_says_so_beside_the_answer_and_a_limit_is_refused_with_its_bound() -> Result<()> {
    let folder = Folder::new()?;
    ensure!(run(folder.path(), &["migrate"])?.0);
    for list in [&["webhooks", "list"][..], &["webhooks", "events"], &["jobs", "list"], &["jobs", "dead"]] {
        let found = run(folder.path(), list)?;
        ensure!(found == (true, String::new(), "none".to_owned()), "{list:?}: {found:?}");
    }
    for (list, max) in [(["webhooks", "events"], 200), (["jobs", "list"], 512), (["jobs", "dead"], 512)] {
        for bad in ["0".to_owned(), (max + 1).to_string()] {
            let complained = complaint(folder.path(), &[&list[..], &["--limit", &bad]].concat())?;
            ensure!(complained.contains(&format!("1..={max}")), "{list:?}: {complained}");
        }
        ensure!(run(folder.path(), &[&list[..], &["--limit", &max.to_string()]].concat())?.0, "{list:?}");
    }
    rusqlite::Connection::open(folder.path().join("tertulia.db"))?.execute(
        "INSERT INTO jobs (kind, payload, state, attempt, run_at, created_at, dead_at, reasons) VALUES ('notify', '', 2, 3, 0, 0, 1, '[]')",
        [],
    )?;
    let (is_done, said, _) = run(folder.path(), &["jobs", "retry", "--kind", "notfy"])?;
    ensure!(
        is_done && said == "retried 0; of the kind \"notfy\" there are no dead letters, of others: notify",
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_no_terminal_shows_has_no_colours() -> Result<()> {
    let server = Server::start(Options::new(TERTULIA).env("NO_COLOR", "")).await?;
    let log = server.log();
    ensure!(log.contains("INFO") && !log.contains('\u{1b}'), "{log:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_database_is_begun_without_a_notice_for_each_of_its_tables() -> Result<()> {
    let postgres = Postgres::start(PostgresOptions::default())?;
    postgres.create("log")?;
    let options = Options::new(TERTULIA).env("TERTULIA_DATABASE_URL", postgres.url("log"));
    let mut server = Server::start(options.env("TERTULIA_DATABASE_PARTITIONS", 1)).await?;
    // The second start finds all of them.
    server.restart().await?;
    let log = server.log();
    ensure!(log.contains("starting") && !log.contains("NOTICE") && !log.contains("skipping"), "{log}");
    Ok(())
}
