//! This home as one end of a move ([`tertulia_store::portable`]): its file held by one connection, its numbers translated into ids and back.

mod mark;
mod sql;

use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, Value as Cell, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql};
use tertulia_store::portable::{
    Departure, Destination, Doing, End, Identity, Kind, MoveError, PageMax, Progress, Purpose, Row, Source, Standing,
    TABLES, Table, Value,
};

pub(crate) use self::mark::{forget, refuse};
use crate::schema::{self, OpenError};

/// How long other processes may take to let go of the file.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// The log in a folder, as an end of a move.
pub struct SqliteEnd {
    folder: PathBuf,
    connection: Connection,
}

fn refused(text: impl ToString) -> MoveError {
    MoveError::Refused(text.to_string())
}

impl SqliteEnd {
    /// Refused where there is no log of this version, or where somebody is writing to it.
    pub fn source(folder: &Path, purpose: Purpose) -> Result<Self, MoveError> {
        let path = folder.join("tertulia.db");
        if !path.exists() {
            return Err(refused(format!("there is no log in {}", folder.display())));
        }
        let end = Self { folder: absolute(folder), connection: existing(&path).map_err(refused)? };
        schema::is_current(&end.connection, &path).map_err(refused)?;
        if purpose == Purpose::Look {
            keep_the_wal(&end.connection).map_err(refused)?;
        }
        if let Some(progress) = mark::progress(&end.connection).map_err(|e| end.failed(e))? {
            return Err(refused(format!(
                "{} is itself the unfinished destination of a move from {}",
                end.place(),
                progress.from
            )));
        }
        let begin = if purpose == Purpose::Move { "BEGIN IMMEDIATE" } else { "BEGIN" };
        end.connection.execute_batch(begin).map_err(|e| {
            refused(format!("somebody is writing to {} ({e}): stop whoever it is, and try again", end.place()))
        })?;
        Ok(end)
    }

    /// Made where it is not there. The caller sees to it that no server starts on the folder meanwhile.
    pub fn destination(folder: &Path) -> Result<Self, MoveError> {
        crate::files::make_folder(folder).map_err(|e| refused(OpenError::failed(folder, e)))?;
        let path = folder.join("tertulia.db");
        // One that is there already may be somebody's: it is not brought up to this version here.
        if path.exists() {
            let end = Self { folder: absolute(folder), connection: existing(&path).map_err(refused)? };
            if end.tables().map_err(|e| end.failed(e))? > 0 {
                schema::is_current(&end.connection, &path).map_err(refused)?;
            }
        }
        let connection = schema::open_writer(&path).map_err(refused)?;
        // Batches need not be on the disk one by one: what is lost with the power is brought again.
        connection.execute_batch("PRAGMA synchronous = NORMAL").map_err(|e| refused(OpenError::failed(&path, e)))?;
        Ok(Self { folder: absolute(folder), connection })
    }

    /// How a destination is found, without changing anything.
    pub fn look(folder: &Path) -> Result<Standing, MoveError> {
        let path = folder.join("tertulia.db");
        if !path.exists() {
            return Ok(Standing::Empty);
        }
        let end = Self { folder: absolute(folder), connection: existing(&path).map_err(refused)? };
        keep_the_wal(&end.connection).map_err(refused)?;
        if end.tables().map_err(|e| end.failed(e))? == 0 {
            return Ok(Standing::Empty);
        }
        schema::is_current(&end.connection, &path).map_err(refused)?;
        end.stands()
    }

    fn failed(&self, error: rusqlite::Error) -> MoveError {
        MoveError::Failed(format!("{}: {error}", self.place()))
    }

    fn tables(&self) -> rusqlite::Result<i64> {
        self.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
    }

    fn stands(&self) -> Result<Standing, MoveError> {
        let failed = |e| self.failed(e);
        if let Some(departure) = mark::departure(&self.connection).map_err(failed)? {
            return Err(refused(format!(
                "{} holds a log that was moved to {}: take another folder",
                self.place(),
                departure.to
            )));
        }
        if let Some(progress) = mark::progress(&self.connection).map_err(failed)? {
            return Ok(Standing::Unfinished(progress));
        }
        let mut has_rows = self
            .connection
            .query_row("SELECT coalesce(max(position), 0) > 0 FROM log_state", [], |row| row.get::<_, bool>(0))
            .map_err(failed)?;
        for table in TABLES {
            let query = format!("SELECT EXISTS (SELECT 1 FROM {})", table.name);
            has_rows |= self.connection.query_row(&query, [], |row| row.get::<_, bool>(0)).map_err(failed)?;
        }
        if has_rows {
            return Err(refused(format!(
                "{} holds a log already, and nothing of it was changed: take an empty folder",
                self.place()
            )));
        }
        Ok(Standing::Empty)
    }

    fn in_transaction<T>(&self, work: impl FnOnce(&Connection) -> Result<T, MoveError>) -> Result<T, MoveError> {
        let transaction = self.connection.unchecked_transaction().map_err(|e| self.failed(e))?;
        let done = work(&transaction)?;
        transaction.commit().map_err(|e| self.failed(e))?;
        Ok(done)
    }

    fn insert(&self, table: &'static Table, row: &Row) -> Result<(), MoveError> {
        let written = sql::insert(table.name)
            .and_then(|text| self.connection.prepare_cached(text))
            .and_then(|mut insert| insert.execute(rusqlite::params_from_iter(row.iter().map(In))));
        match written {
            Ok(1) => Ok(()),
            // What a row refers to is found by its id in the same statement.
            Ok(_) => Err(MoveError::Different(vec![format!(
                "{}: {} refers to what is not there",
                table.name,
                named(table, row)
            )])),
            Err(error) => {
                Err(MoveError::Failed(format!("{}: {} {}: {error}", self.place(), table.name, named(table, row))))
            }
        }
    }

    fn rows(&self, table: &'static Table, after: Option<&[Value]>, max: PageMax) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.connection.prepare_cached(sql::page(table.name)?)?;
        let least: Row = table.key_columns().iter().map(|column| least(column.kind)).collect();
        let mut params: Vec<Cell> = after.unwrap_or(&least).iter().map(cell).collect();
        params.push(Cell::Integer(i64::try_from(max.rows.max(1)).unwrap_or(i64::MAX)));
        let mut found = statement.query(rusqlite::params_from_iter(params))?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < max.bytes
            && let Some(one) = found.next()?
        {
            let mut row = Row::with_capacity(table.columns.len());
            for (at, column) in table.columns.iter().enumerate() {
                row.push(value(one.get_ref(at)?, column.kind, at)?);
            }
            bytes += row.iter().map(Value::size).sum::<usize>();
            rows.push(row);
        }
        Ok(rows)
    }
}

fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn existing(path: &Path) -> Result<Connection, OpenError> {
    let failed = |e: rusqlite::Error| OpenError::failed(path, e);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -8192")
        .map_err(failed)?;
    Ok(connection)
}

/// Who only looks leaves the file as it is: the last connection to close it would move the WAL into it.
fn keep_the_wal(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

fn named(table: &Table, row: &Row) -> String {
    row.iter().take(table.key).map(Value::to_string).collect::<Vec<_>>().join(" ")
}

/// Below every key there is: numbers begin with 1, and no text of a key's last column is empty.
fn least(kind: Kind) -> Value {
    match kind {
        Kind::Id | Kind::Bytes => Value::Bytes(Vec::new()),
        Kind::Text => Value::Text(String::new()),
        Kind::Int | Kind::Flag => Value::Int(0),
    }
}

struct In<'a>(&'a Value);

impl ToSql for In<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Id(id) => ValueRef::Blob(id),
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Flag(flag) => ValueRef::Integer((*flag).into()),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Id(id) => Cell::Blob(id.to_vec()),
        Value::Int(number) => Cell::Integer(*number),
        Value::Flag(flag) => Cell::Integer((*flag).into()),
        Value::Text(text) => Cell::Text(text.clone()),
        Value::Bytes(bytes) => Cell::Blob(bytes.clone()),
    }
}

fn value(found: ValueRef<'_>, kind: Kind, at: usize) -> rusqlite::Result<Value> {
    let wrong = || rusqlite::Error::InvalidColumnType(at, "of another kind".into(), found.data_type());
    Ok(match (found, kind) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Blob(bytes), Kind::Id) => Value::Id(bytes.try_into().map_err(|_| wrong())?),
        (ValueRef::Blob(bytes), Kind::Bytes) => Value::Bytes(bytes.to_vec()),
        (ValueRef::Integer(number), Kind::Int) => Value::Int(number),
        (ValueRef::Integer(number), Kind::Flag) => Value::Flag(number != 0),
        (ValueRef::Text(text), Kind::Text) => Value::Text(std::str::from_utf8(text).map_err(|_| wrong())?.to_owned()),
        _ => return Err(wrong()),
    })
}

fn count_at(row: &rusqlite::Row<'_>) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0))
}

fn done<'a, T: 'a>(result: Result<T, MoveError>) -> Doing<'a, T> {
    Box::pin(std::future::ready(result))
}

impl End for SqliteEnd {
    fn place(&self) -> String {
        format!("sqlite:{}", self.folder.display())
    }

    fn identity(&mut self) -> Doing<'_, Identity> {
        let select =
            "SELECT epoch, token_secret, position, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'jobs'), 0)
             FROM log_state";
        let read = self.connection.query_row(select, [], |row| {
            Ok(Identity { epoch: row.get(0)?, token_secret: row.get(1)?, end: row.get(2)?, last_job: row.get(3)? })
        });
        done(read.map_err(|e| self.failed(e)))
    }

    fn count(&mut self, table: &'static Table) -> Doing<'_, u64> {
        let count = self.connection.query_row(&format!("SELECT count(*) FROM {}", table.name), [], count_at);
        done(count.map_err(|e| self.failed(e)))
    }

    fn bytes(&mut self) -> Doing<'_, u64> {
        let bytes = self.connection.query_row(
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
            [],
            count_at,
        );
        done(bytes.map_err(|e| self.failed(e)))
    }

    fn page<'a>(&'a mut self, table: &'static Table, after: Option<&'a [Value]>, max: PageMax) -> Doing<'a, Vec<Row>> {
        // When it is asked for, and not before: of two things done together the other one is on its way then.
        Box::pin(async move { self.rows(table, after, max).map_err(|e| self.failed(e)) })
    }
}

impl Source for SqliteEnd {
    fn departure(&mut self) -> Doing<'_, Option<Departure>> {
        done(mark::departure(&self.connection).map_err(|e| self.failed(e)))
    }

    fn depart<'a>(&'a mut self, departure: &'a Departure) -> Doing<'a, ()> {
        // Inside the transaction that has kept everybody else from writing.
        let left = mark::leave(&self.connection, departure).and_then(|()| self.connection.execute_batch("COMMIT"));
        done(left.map_err(|e| self.failed(e)))
    }
}

impl Destination for SqliteEnd {
    fn standing(&mut self) -> Doing<'_, Standing> {
        done(self.stands())
    }

    fn begin<'a>(&'a mut self, progress: &'a Progress) -> Doing<'a, ()> {
        // Of an earlier log in this folder; conversations have other numbers now.
        crate::index::remove(&self.folder.join("search.db"));
        done(self.in_transaction(|connection| {
            mark::arrive(connection, progress).map_err(|e| self.failed(e))?;
            for table in TABLES.iter().rev() {
                connection.execute_batch(&format!("DELETE FROM {}", table.name)).map_err(|e| self.failed(e))?;
            }
            Ok(())
        }))
    }

    fn put<'a>(&'a mut self, table: &'static Table, rows: &'a [Row], progress: &'a Progress) -> Doing<'a, ()> {
        Box::pin(async move {
            self.in_transaction(|connection| {
                rows.iter().try_for_each(|row| self.insert(table, row))?;
                mark::advance(connection, progress).map_err(|e| self.failed(e))
            })
        })
    }

    fn faults(&mut self) -> Doing<'_, Vec<String>> {
        let foreign =
            "SELECT 'a row of ' || \"table\" || ' refers to what is not there' FROM pragma_foreign_key_check LIMIT 20";
        let found = self
            .connection
            .prepare(foreign)
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect());
        done(found.map_err(|e| self.failed(e)))
    }

    fn complete<'a>(&'a mut self, identity: &'a Identity, move_id: [u8; 16]) -> Doing<'a, ()> {
        let completed = (|| {
            // The file beside the log has to know it, or its first start would take it for one that was put back.
            schema::write_witness(&self.folder.join("incarnation"), &[&move_id], identity.end)
                .map_err(|e| MoveError::Failed(e.to_string()))?;
            self.connection.execute_batch("PRAGMA synchronous = FULL").map_err(|e| self.failed(e))?;
            self.in_transaction(|connection| {
                mark::complete(connection, identity, &move_id).map_err(|e| self.failed(e))
            })?;
            // The rows leave the WAL now and not at the first start. That others still read is no failure.
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            Ok(())
        })();
        done(completed)
    }
}
