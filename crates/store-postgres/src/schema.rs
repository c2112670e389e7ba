//! The tables: migrations under a lock, and which versions of the program and of the schema go together.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::connect::Target;
use crate::error::{Fault, Sql};
use crate::lineage::Lineage;
use crate::rows::at;
use crate::session::{Prepared, Session};

/// Forward only. A released file's text never changes; its number is the version.
///
/// The first lines of a file say more: `-- compatible: N`, the lowest version of the schema that a program may know to run on this one (two versions of
/// the program run side by side while servers are replaced, so a migration first adds what the next version needs, and only a later one takes away
/// what no version needs); `-- without transaction`, for what PostgreSQL refuses inside one. Such a file's statements are run one by one and may be run
/// again.
const MIGRATIONS: &[(i32, &str, &str)] = &[
    (1, "log", include_str!("../migrations/0001_log.sql")),
    (2, "search", include_str!("../migrations/0002_search.sql")),
    (3, "sessions", include_str!("../migrations/0003_sessions.sql")),
    (4, "jobs", include_str!("../migrations/0004_jobs.sql")),
    (5, "push", include_str!("../migrations/0005_push.sql")),
    (6, "traces", include_str!("../migrations/0006_traces.sql")),
    (7, "webhooks", include_str!("../migrations/0007_webhooks.sql")),
];

/// Of the lock under which one process migrates: "tert", "migr".
const LOCK: (i32, i32) = (0x7465_7274, 0x6d69_6772);

/// Between two tries to get the lock. Waiting inside the database would hold a snapshot, for which `CREATE INDEX CONCURRENTLY` waits in turn.
const LOCK_RETRY: Duration = Duration::from_millis(100);

/// A statement of a migration waits no longer for a table: everybody else's would wait behind it.
const LOCK_TIMEOUT: &str = "5s";

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database's URL can't be used: {0}")]
    Url(String),
    #[error("TLS to the database can't be set up: {0}")]
    Tls(String),
    #[error(
        "{place} was written by a newer version of Tertulia (schema {found}, which needs a program that knows schema {needs}; this one knows {known}): \
         use that version"
    )]
    Newer { place: String, found: i32, needs: i32, known: i32 },
    #[error("migration {number} of {place} is not the one this program has: another build, or its file was changed")]
    Altered { place: String, number: i32 },
    #[error(
        "{0} is behind a pooler that gives each transaction another connection, so nobody could be kept from migrating at the same time: migrate once \
         over a direct connection"
    )]
    Pooler(String),
    #[error(
        "{place} lacks an extension and the right to add it: as a superuser of that database, `CREATE EXTENSION pg_trgm; CREATE EXTENSION btree_gin;` ({cause})"
    )]
    Extension { place: String, cause: String },
    #[error(
        "{place} keeps its texts as {found}, and messages have every letter there is: make the database with ENCODING 'UTF8'"
    )]
    Encoding { place: String, found: String },
    #[error("{0} commits before it has written: synchronous_commit can't be turned on")]
    NotDurable(String),
    #[error("{0} is of an older version of Tertulia: `tertulia migrate` brings it up to this one")]
    Older(String),
    #[error("{0} is being moved: wait until `tertulia move` has ended")]
    Moving(String),
    #[error(
        "{place} is the unfinished destination of a move, and nothing is served from it: go on with `tertulia move --from {from} --to {place}`, or \
         empty the database and serve the source"
    )]
    Unfinished { place: String, from: String },
    #[error(
        "the log in {place} was moved to {to}: serve that one. If it is to go on here as another log, with every client starting over: `tertulia doctor \
         --new-epoch`"
    )]
    Departed { place: String, to: String },
    #[error("can't open {place}: {cause}")]
    Failed { place: String, cause: String },
}

impl OpenError {
    pub(crate) fn failed(target: &Target, cause: impl ToString) -> Self {
        Self::Failed { place: target.place(), cause: cause.to_string() }
    }
}

/// Makes the state of a new log, and looks whether an old one is what it was.
pub(crate) async fn begin(target: &Target, prepared: Prepared, lineage: &Lineage) -> Result<(), OpenError> {
    let failed = |fault: Fault| OpenError::failed(target, fault);
    let mut driver = JoinSet::new();
    let client = connect(target, &mut driver).await.map_err(failed)?;
    client.batch_execute("BEGIN; SET LOCAL synchronous_commit = on").await.map_err(|e| failed(e.into()))?;
    // A log that is on its way to or from elsewhere is nobody's to open.
    crate::portable::refuse(target, &client).await?;
    let session = Session::own(client, prepared);
    let shown = session
        .one("SELECT current_setting('synchronous_commit'), current_setting('fsync')", &[])
        .await
        .map_err(failed)?;
    if at::<&str>(&shown, 0).map_err(failed)? != "on" {
        return Err(OpenError::NotDurable(target.place()));
    }
    if at::<&str>(&shown, 1).map_err(failed)? != "on" {
        tracing::warn!(
            "the database does not wait for its disk (fsync is off): what is acknowledged may be lost with the power"
        );
    }
    lineage.begin(&session).await.map_err(failed)?;
    session.batch("COMMIT").await.map_err(failed)?;
    lineage.settle(&session).await.map_err(failed)
}

/// An error where something is yet to be applied, or something newer was.
pub(crate) async fn is_current(target: &Target, client: &Client) -> Result<(), OpenError> {
    let applied = applied(client).await.map_err(|fault| OpenError::failed(target, fault))?;
    if missing(target, MIGRATIONS, &applied)?.is_empty() { Ok(()) } else { Err(OpenError::Older(target.place())) }
}

/// An error where a pooler may give the locks of this connection to others.
pub(crate) async fn alone(target: &Target, client: &Client) -> Result<(), OpenError> {
    let failed = |fault: Fault| OpenError::failed(target, fault);
    let rows = client.query_typed("SELECT pg_backend_pid()", &[]).await.map_err(|e| failed(e.into()))?;
    let backend = rows.first().map(|row| at::<i32>(row, 0)).transpose().map_err(failed)?.unwrap_or_default();
    Lock { backend }.is_alone(target).await
}

struct Applied {
    number: i32,
    checksum: Vec<u8>,
    compatible: i32,
}

/// Brings the schema up to this program's; nothing where it is so already.
///
/// `partitions` counts for a new log only.
pub(crate) async fn migrate(target: &Target, partitions: u16) -> Result<(), OpenError> {
    up_to(target, partitions, MIGRATIONS).await
}

async fn up_to(target: &Target, partitions: u16, migrations: &[(i32, &str, &str)]) -> Result<(), OpenError> {
    let failed = |fault: Fault| OpenError::failed(target, fault);
    let mut driver = JoinSet::new();
    let client = connect(target, &mut driver).await.map_err(failed)?;
    encoding(target, &client).await?;
    if missing(target, migrations, &applied(&client).await.map_err(failed)?)?.is_empty() {
        return Ok(());
    }
    let lock = Lock::take(target, &client).await?;
    // Another process may have done it while this one waited.
    for migration in missing(target, migrations, &applied(&client).await.map_err(failed)?)? {
        lock.verify(target, &client).await?;
        apply(&client, partitions, migration).await.map_err(|fault| match fault {
            Fault::Database(error) if is_about_extension(&error) => {
                OpenError::Extension { place: target.place(), cause: Fault::from(error).to_string() }
            }
            other => OpenError::failed(target, format!("migration {:04}_{}: {other}", migration.0, migration.1)),
        })?;
        tracing::info!(number = migration.0, name = migration.1, "migrated");
    }
    // After an error it ends with its connection.
    lock.release(&client).await.map_err(failed)
}

async fn encoding(target: &Target, client: &Client) -> Result<(), OpenError> {
    let failed = |fault: Fault| OpenError::failed(target, fault);
    let rows = client
        .query_typed("SELECT current_setting('server_encoding')", &[])
        .await
        .map_err(|error| failed(error.into()))?;
    let found: Option<String> = rows.first().map(|row| at(row, 0)).transpose().map_err(failed)?;
    match found {
        Some(found) if found != "UTF8" => Err(OpenError::Encoding { place: target.place(), found }),
        _ => Ok(()),
    }
}

fn is_about_extension(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| db.message().contains("extension"))
}

pub(crate) async fn connect(target: &Target, driver: &mut JoinSet<()>) -> Sql<Client> {
    let (client, connection) = target.connect().await?;
    driver.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the database ended");
        }
    });
    Ok(client)
}

async fn applied(client: &Client) -> Sql<Vec<Applied>> {
    let there = client.query_typed("SELECT to_regclass('tertulia_migrations') IS NOT NULL", &[]).await?;
    if !there.first().map(|row| at::<bool>(row, 0)).transpose()?.unwrap_or(false) {
        return Ok(Vec::new());
    }
    let rows =
        client.query_typed("SELECT number, checksum, compatible FROM tertulia_migrations ORDER BY number", &[]).await?;
    rows.iter().map(|row| Ok(Applied { number: at(row, 0)?, checksum: at(row, 1)?, compatible: at(row, 2)? })).collect()
}

/// What is yet to be applied; an error where this program can't run on what has been.
fn missing<'a>(
    target: &Target,
    migrations: &'a [(i32, &'a str, &'a str)],
    applied: &[Applied],
) -> Result<Vec<&'a (i32, &'a str, &'a str)>, OpenError> {
    let known = migrations.last().map_or(0, |(number, ..)| *number);
    for one in applied {
        match migrations.iter().find(|(number, ..)| *number == one.number) {
            Some((number, _, text)) if one.checksum != checksum(text) => {
                return Err(OpenError::Altered { place: target.place(), number: *number });
            }
            None if one.compatible > known => {
                let (found, needs) = (one.number, one.compatible);
                return Err(OpenError::Newer { place: target.place(), found, needs, known });
            }
            _ => {}
        }
    }
    Ok(migrations.iter().filter(|(number, ..)| applied.iter().all(|one| one.number != *number)).collect())
}

fn checksum(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().take_while(|line| line.starts_with("--")).find_map(|line| line.strip_prefix("-- ")?.strip_prefix(name))
}

async fn apply(client: &Client, partitions: u16, (number, name, text): &(i32, &str, &str)) -> Sql<()> {
    let compatible: i32 = header(text, "compatible: ")
        .and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| Fault::Corrupt(format!("migration {number} does not say with what it is compatible")))?;
    let noted = note(*number, name, compatible, &checksum(text));
    if header(text, "without transaction").is_some() {
        // The session is ours: a pooler's has been refused. What is made concurrently waits for transactions to end, not for locks.
        for statement in statements(text) {
            drop_invalid(client, &statement).await?;
            let lock_timeout = if statement.contains("CONCURRENTLY") { "0" } else { LOCK_TIMEOUT };
            client.batch_execute(&format!("SET lock_timeout = '{lock_timeout}'")).await?;
            client.batch_execute(&statement).await?;
        }
        client.batch_execute("RESET lock_timeout").await?;
        client.batch_execute(&noted).await?;
    } else {
        let begin = format!(
            "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SELECT set_config('tertulia.partitions', '{partitions}', true);"
        );
        if let Err(error) = client.batch_execute(&format!("{begin}\n{text};\n{noted}; COMMIT")).await {
            let _ = client.batch_execute("ROLLBACK").await;
            return Err(error.into());
        }
    }
    Ok(())
}

fn note(number: i32, name: &str, compatible: i32, checksum: &[u8]) -> String {
    let checksum: String = checksum.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "CREATE TABLE IF NOT EXISTS tertulia_migrations (number int PRIMARY KEY, name text NOT NULL, compatible int NOT NULL, checksum bytea NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now());
         INSERT INTO tertulia_migrations (number, name, compatible, checksum) VALUES ({number}, '{name}', {compatible}, '\\x{checksum}')"
    )
}

/// One by one: each ends with a semicolon at the end of a line.
fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.join("\n")
        .split(";\n")
        .map(|one| one.trim().trim_end_matches(';').to_owned())
        .filter(|one| !one.is_empty())
        .collect()
}

/// An index whose concurrent making was broken off is there and of no use.
async fn drop_invalid(client: &Client, statement: &str) -> Sql<()> {
    let Some((_, rest)) = statement.split_once("CONCURRENTLY IF NOT EXISTS ") else { return Ok(()) };
    let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let check = format!("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('{name}') AND NOT indisvalid");
    if !client.query_typed(&check, &[]).await?.is_empty() {
        client.batch_execute(&format!("DROP INDEX CONCURRENTLY {name}")).await?;
    }
    Ok(())
}

/// Held by this connection until it ends.
struct Lock {
    backend: i32,
}

impl Lock {
    async fn take(target: &Target, client: &Client) -> Result<Self, OpenError> {
        let failed = |fault: Fault| OpenError::failed(target, fault);
        let take = format!("SELECT pg_try_advisory_lock({}, {}), pg_backend_pid()", LOCK.0, LOCK.1);
        loop {
            let rows = client.query_typed(&take, &[]).await.map_err(|e| failed(e.into()))?;
            let Some(row) = rows.first() else { continue };
            let (is_held, backend): (bool, i32) = (at(row, 0).map_err(failed)?, at(row, 1).map_err(failed)?);
            if is_held {
                let lock = Self { backend };
                lock.verify(target, client).await?;
                lock.is_alone(target).await?;
                return Ok(lock);
            }
            tokio::time::sleep(LOCK_RETRY).await;
        }
    }

    async fn release(self, client: &Client) -> Sql<()> {
        client.query_typed(&format!("SELECT pg_advisory_unlock({}, {})", LOCK.0, LOCK.1), &[]).await?;
        Ok(())
    }

    /// Whether the server behind this connection is still the one that holds the lock.
    async fn verify(&self, target: &Target, client: &Client) -> Result<(), OpenError> {
        let held = format!(
            "SELECT pg_backend_pid() FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND classid = {} AND objid = {} AND objsubid = 2",
            LOCK.0, LOCK.1
        );
        let rows = client.query_typed(&held, &[]).await.map_err(|e| OpenError::failed(target, Fault::from(e)))?;
        let backend =
            rows.first().map(|row| at::<i32>(row, 0)).transpose().map_err(|e| OpenError::failed(target, e))?;
        if backend == Some(self.backend) { Ok(()) } else { Err(OpenError::Pooler(target.place())) }
    }

    /// A pooler in transaction mode may go on giving us the same server as long as nobody else wants one. So somebody else asks: whom it gives the
    /// server that holds our lock, shares it with us.
    async fn is_alone(&self, target: &Target) -> Result<(), OpenError> {
        let failed = |fault: Fault| OpenError::failed(target, fault);
        let mut driver = JoinSet::new();
        let other = connect(target, &mut driver).await.map_err(failed)?;
        let rows = other.query_typed("SELECT pg_backend_pid()", &[]).await.map_err(|e| failed(e.into()))?;
        let backend = rows.first().map(|row| at::<i32>(row, 0)).transpose().map_err(failed)?;
        if backend == Some(self.backend) { Err(OpenError::Pooler(target.place())) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
