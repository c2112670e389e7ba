//! This home as one end of a move ([`tertulia_store::portable`]): one connection that holds the locks without which no server writes or starts.

mod cells;
mod end;
mod mark;

use std::time::Duration;

use tertulia_store::portable::{MoveError, Progress, Standing, TABLES};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

pub use self::end::PostgresEnd;
pub(crate) use self::mark::refuse;
use crate::connect::Target;
use crate::error::{Fault, Sql};
use crate::lineage::LEAP;
use crate::rows::at;
use crate::schema::{self, OpenError};

/// Of the lock that a move holds alone, and who opens the log tries in common: "tert", "move".
const LOCK: (i32, i32) = (0x7465_7274, 0x6d6f_7665);

/// Of the lock that every transaction holds in common: "tert", "line".
const LINEAGE: (i32, i32) = (0x7465_7274, 0x6c69_6e65);

/// How long servers that have just ended may take to be gone, and how often it is looked.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What this end is called among the connections of its database.
const NAME: &str = "tertulia move";

fn refused(text: impl ToString) -> MoveError {
    MoveError::Refused(text.to_string())
}

/// A connection of its own, and what others are called.
struct Line {
    client: Client,
    target: Target,
    servers: String,
    _driver: JoinSet<()>,
}

impl Line {
    async fn connect(url: &str) -> Result<Self, MoveError> {
        let (target, servers) = Target::parse(url).map_err(refused)?.for_writing().named(NAME);
        let mut driver = JoinSet::new();
        let client =
            schema::connect(&target, &mut driver).await.map_err(|fault| refused(OpenError::failed(&target, fault)))?;
        // Every page is a range of an index, whatever the statistics say.
        let settings = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
             SET lock_timeout = 5000; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
        client.batch_execute(settings).await.map_err(|e| refused(OpenError::failed(&target, Fault::from(e))))?;
        Ok(Self { client, target, servers, _driver: driver })
    }

    fn place(&self) -> String {
        self.target.address()
    }

    fn failed(&self, fault: impl Into<Fault>) -> MoveError {
        MoveError::Failed(format!("{}: {}", self.place(), fault.into()))
    }

    async fn set(&self, statement: &str) -> Result<(), MoveError> {
        self.client.batch_execute(statement).await.map_err(|e| self.failed(e))
    }

    async fn ask<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, statement: &str) -> Result<T, MoveError> {
        let asked = async {
            let rows = self.client.query_typed(statement, &[]).await?;
            let row =
                rows.first().ok_or_else(|| Fault::Corrupt("a statement that always has a row had none".into()))?;
            at(row, 0)
        };
        asked.await.map_err(|fault| self.failed(fault))
    }

    /// Whether the tables are there, and of this version.
    async fn is_made(&self) -> Result<bool, MoveError> {
        let is_made = self.ask::<bool>("SELECT to_regclass('log_state') IS NOT NULL").await?;
        if is_made {
            schema::is_current(&self.target, &self.client).await.map_err(refused)?;
        }
        Ok(is_made)
    }

    /// Nobody else moves this log, opens it or is connected as a server is.
    async fn hold(&self) -> Result<(), MoveError> {
        if !self.try_lock(LOCK).await? {
            return Err(refused(format!("another move is at work on {}", self.place())));
        }
        schema::alone(&self.target, &self.client).await.map_err(refused)?;
        self.is_alone().await?;
        // A server that is called otherwise can write nothing from here on.
        if !self.try_lock(LINEAGE).await? {
            return Err(refused(format!("somebody is writing to {}: stop whoever it is, and try again", self.place())));
        }
        Ok(())
    }

    async fn try_lock(&self, lock: (i32, i32)) -> Result<bool, MoveError> {
        let take = format!("SELECT pg_try_advisory_lock({}, {})", lock.0, lock.1);
        for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
            if self.ask::<bool>(&take).await? {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(false)
    }

    async fn is_alone(&self) -> Result<(), MoveError> {
        let select = "SELECT coalesce(string_agg(coalesce(host(client_addr), 'local') || ' (pid ' || pid || ')', ', ' ORDER BY pid), '')
             FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()";
        let mut found = String::new();
        for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
            let asked = self.client.query_typed(select, &[(&self.servers, tokio_postgres::types::Type::TEXT)]).await;
            let rows = asked.map_err(|e| self.failed(e))?;
            found = rows.first().map(|row| at(row, 0)).transpose().map_err(|f| self.failed(f))?.unwrap_or_default();
            if found.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(refused(format!(
            "{} is being served: connections called \"{}\" are open from {found}. Stop all servers (behind a pooler their connections stay open for a \
             while), and try again",
            self.place(),
            self.servers
        )))
    }

    async fn stands(&self) -> Result<Standing, MoveError> {
        if let Some(departure) = mark::departure(&self.client).await.map_err(|f| self.failed(f))? {
            return Err(refused(format!(
                "{} holds a log that was moved to {}: take another database",
                self.place(),
                departure.to
            )));
        }
        if let Some(progress) = mark::progress(&self.client).await.map_err(|f| self.failed(f))? {
            return Ok(Standing::Unfinished(progress));
        }
        let mut has_rows = self.ask::<bool>("SELECT coalesce(max(pos), 0) > 0 FROM writers").await?;
        for table in TABLES.iter().map(|table| table.name).chain(MADE_HERE) {
            has_rows |= self.ask::<bool>(&format!("SELECT EXISTS (SELECT 1 FROM {table})")).await?;
        }
        if has_rows {
            return Err(refused(format!(
                "{} holds a log already, and nothing of it was changed: take an empty database",
                self.place()
            )));
        }
        Ok(Standing::Empty)
    }
}

/// What this home makes of the rows by itself.
const MADE_HERE: [&str; 3] = ["dms", "message_texts", "search_progress"];

/// Gives the log a new epoch: every client starts over. For a restore that no server can see, and for a log that was moved away and is to go on here as
/// another one. Refused while servers run, and for an unfinished destination.
pub async fn renew_epoch(url: &str, epoch: &[u8; 16]) -> Result<(), MoveError> {
    let line = Line::connect(url).await?;
    if !line.is_made().await? {
        return Err(refused(format!("there is no log in {}", line.place())));
    }
    line.hold().await?;
    if let Some(Progress { from, .. }) = mark::progress(&line.client).await.map_err(|f| line.failed(f))? {
        return Err(refused(format!("{} is the unfinished destination of a move from {from}", line.place())));
    }
    let epoch = uuid::Builder::from_random_bytes(*epoch).into_uuid();
    renewed(&line.client, epoch).await.map_err(|f| line.failed(f))
}

async fn renewed(client: &Client, epoch: Uuid) -> Sql<()> {
    // The latest positions may be of another history; where they are, the first server that starts raises the offset once more.
    let renew = format!(
        "BEGIN; SET LOCAL synchronous_commit = on; DROP TABLE IF EXISTS log_move;
         UPDATE log_state SET epoch = '{epoch}', position_offset = position_offset + {LEAP}, generation = generation + 1; COMMIT"
    );
    Ok(client.batch_execute(&renew).await?)
}
