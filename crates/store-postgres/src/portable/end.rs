//! The end itself.

use std::collections::HashMap;

use futures_util::{TryStreamExt as _, pin_mut};
use tertulia_store::portable::{
    Departure, Destination, Doing, End, Identity, MoveError, PageMax, Progress, Purpose, Row, Source, Standing, TABLES,
    Table, Value,
};
use tokio_postgres::Statement;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{Line, MADE_HERE, cells, mark, refused};
use crate::error::{Fault, Sql};
use crate::rows::at;
use crate::schema;

/// The log in a database, as an end of a move.
pub struct PostgresEnd {
    line: Line,
    known: HashMap<String, Statement>,
}

impl PostgresEnd {
    /// Refused where there is no log of this version, or where a server is connected. Over a direct connection: the locks last as long as it does.
    pub async fn source(url: &str, purpose: Purpose) -> Result<Self, MoveError> {
        let line = Line::connect(url).await?;
        if !line.is_made().await? {
            return Err(refused(format!("there is no log in {}", line.place())));
        }
        match purpose {
            Purpose::Look => line.is_alone().await?,
            Purpose::Move => line.hold().await?,
        }
        if let Some(progress) = mark::progress(&line.client).await.map_err(|f| line.failed(f))? {
            return Err(refused(format!(
                "{} is itself the unfinished destination of a move from {}",
                line.place(),
                progress.from
            )));
        }
        if !line.ask::<bool>("SELECT EXISTS (SELECT 1 FROM log_state)").await? {
            return Err(refused(format!("there is no log in {}", line.place())));
        }
        Ok(Self { line, known: HashMap::new() })
    }

    /// Made where it is not there; `partitions` counts then only.
    pub async fn destination(url: &str, partitions: u16) -> Result<Self, MoveError> {
        let line = Line::connect(url).await?;
        // One that is there already may be somebody's: it is not brought up to this version here.
        if !line.is_made().await? {
            schema::migrate(&line.target, partitions.clamp(1, crate::PARTITIONS_MAX)).await.map_err(refused)?;
        }
        line.hold().await?;
        Ok(Self { line, known: HashMap::new() })
    }

    /// How a destination is found, without changing anything.
    pub async fn look(url: &str) -> Result<Standing, MoveError> {
        let line = Line::connect(url).await?;
        if !line.is_made().await? {
            return Ok(Standing::Empty);
        }
        line.is_alone().await?;
        line.stands().await
    }

    /// Prepared once.
    async fn statement(&mut self, text: String, types: &[Type]) -> Sql<Statement> {
        if let Some(statement) = self.known.get(&text) {
            return Ok(statement.clone());
        }
        let statement = self.line.client.prepare_typed(&text, types).await?;
        self.known.insert(text, statement.clone());
        Ok(statement)
    }

    async fn rows(&mut self, table: &'static Table, after: Option<&[Value]>, max: PageMax) -> Sql<Vec<Row>> {
        let limit = Value::Int(i64::try_from(max.rows.max(1)).unwrap_or(i64::MAX));
        let keys = after.unwrap_or_default().iter().zip(table.key_columns());
        let mut params: Vec<cells::Param<'_>> = keys.map(|(value, column)| cells::one(value, column.kind)).collect();
        params.push(cells::one(&limit, tertulia_store::portable::Kind::Int));
        let types: Vec<Type> = params.iter().map(|(_, kind)| kind.clone()).collect();
        let statement = self.statement(cells::page(table, after.is_none()), &types).await?;
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| &**value).collect();
        let found = self.line.client.query_raw(&statement, values).await?;
        pin_mut!(found);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < max.bytes
            && let Some(one) = found.try_next().await?
        {
            let row = cells::row(table, &one)?;
            bytes += row.iter().map(Value::size).sum::<usize>();
            rows.push(row);
        }
        Ok(rows)
    }

    async fn insert(&mut self, table: &'static Table, rows: &[Row]) -> Sql<()> {
        for row in rows {
            if row.iter().any(|value| matches!(value, Value::Text(text) if text.contains('\0'))) {
                let key: Vec<String> = row.iter().take(table.key).map(Value::to_string).collect();
                let what = "holds a NUL, which PostgreSQL does not take: change that text at the source";
                return Err(Fault::Corrupt(format!("{} {} {what}", table.name, key.join(" "))));
            }
        }
        let columns = table.columns.iter().enumerate();
        let params: Vec<cells::Param<'_>> = columns.map(|(at, column)| cells::many(rows, at, column.kind)).collect();
        let types: Vec<Type> = params.iter().map(|(_, kind)| kind.clone()).collect();
        let statement = self.statement(cells::insert(table), &types).await?;
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| &**value).collect();
        self.line.client.execute(&statement, &values).await?;
        if table.name == "conversations" {
            let ids: Vec<Uuid> = rows.iter().filter_map(id_of).collect();
            let dms = "INSERT INTO dms (low, high, conversation_id) SELECT dm_low, dm_high, id FROM conversations
                 WHERE id = ANY($1) AND dm_low IS NOT NULL";
            self.line.client.execute_typed(dms, &[(&ids, Type::UUID_ARRAY)]).await?;
        }
        Ok(())
    }

    /// `durable`: it is on the disk when this returns.
    async fn in_transaction(
        &mut self,
        durable: bool,
        work: impl AsyncFnOnce(&mut Self) -> Sql<()>,
    ) -> Result<(), MoveError> {
        let waits = if durable { "on" } else { "off" };
        let begin = format!("BEGIN; SET LOCAL synchronous_commit = {waits}");
        let done = async {
            self.line.client.batch_execute(&begin).await?;
            work(self).await?;
            Ok::<_, Fault>(self.line.client.batch_execute("COMMIT").await?)
        };
        let done = done.await;
        if done.is_err() {
            let _ = self.line.client.batch_execute("ROLLBACK").await;
        }
        done.map_err(|fault| self.line.failed(fault))
    }
}

fn id_of(row: &Row) -> Option<Uuid> {
    if let Some(Value::Id(id)) = row.first() { Some(Uuid::from_bytes(*id)) } else { None }
}

impl End for PostgresEnd {
    fn place(&self) -> String {
        self.line.place()
    }

    fn identity(&mut self) -> Doing<'_, Identity> {
        Box::pin(async move {
            let select = "SELECT epoch, token_secret, (SELECT coalesce(max(pos), 0) FROM writers),
                    coalesce(pg_sequence_last_value(pg_get_serial_sequence('jobs', 'id')::regclass), 0)
                 FROM log_state";
            let read = async {
                let row = self.line.client.query_typed(select, &[]).await?;
                let row = row.first().ok_or_else(|| Fault::Corrupt("a log without a state".into()))?;
                let wrong = |_| Fault::Corrupt("a token secret that is not 256 bits long".into());
                let token_secret = at::<&[u8]>(row, 1)?.try_into().map_err(wrong)?;
                Ok::<_, Fault>(Identity {
                    epoch: *at::<Uuid>(row, 0)?.as_bytes(),
                    token_secret,
                    end: at(row, 2)?,
                    last_job: at(row, 3)?,
                })
            };
            read.await.map_err(|fault| self.line.failed(fault))
        })
    }

    fn count(&mut self, table: &'static Table) -> Doing<'_, u64> {
        Box::pin(async move {
            // The one statement that reads a whole table, which is faster without an index.
            let counting = format!("SELECT count(*) FROM {}", table.name);
            self.line.set("SET enable_seqscan = on").await?;
            let count: i64 = self.line.ask(&counting).await?;
            self.line.set("SET enable_seqscan = off").await?;
            Ok(u64::try_from(count).unwrap_or(0))
        })
    }

    fn bytes(&mut self) -> Doing<'_, u64> {
        Box::pin(async move {
            let bytes: i64 = self.line.ask("SELECT pg_database_size(current_database())").await?;
            Ok(u64::try_from(bytes).unwrap_or(0))
        })
    }

    fn page<'a>(&'a mut self, table: &'static Table, after: Option<&'a [Value]>, max: PageMax) -> Doing<'a, Vec<Row>> {
        Box::pin(async move { self.rows(table, after, max).await.map_err(|fault| self.line.failed(fault)) })
    }
}

impl Source for PostgresEnd {
    fn departure(&mut self) -> Doing<'_, Option<Departure>> {
        Box::pin(async move { mark::departure(&self.line.client).await.map_err(|fault| self.line.failed(fault)) })
    }

    fn depart<'a>(&'a mut self, departure: &'a Departure) -> Doing<'a, ()> {
        Box::pin(self.in_transaction(true, async move |end| mark::leave(&end.line.client, departure).await))
    }
}

impl Destination for PostgresEnd {
    fn standing(&mut self) -> Doing<'_, Standing> {
        Box::pin(self.line.stands())
    }

    fn begin<'a>(&'a mut self, progress: &'a Progress) -> Doing<'a, ()> {
        let tables: Vec<&str> = TABLES.iter().map(|table| table.name).chain(MADE_HERE).collect();
        let empty = format!("TRUNCATE {}", tables.join(", "));
        Box::pin(self.in_transaction(true, async move |end| {
            mark::arrive(&end.line.client, progress).await?;
            Ok(end.line.client.batch_execute(&empty).await?)
        }))
    }

    fn put<'a>(&'a mut self, table: &'static Table, rows: &'a [Row], progress: &'a Progress) -> Doing<'a, ()> {
        Box::pin(self.in_transaction(false, async move |end| {
            if !rows.is_empty() {
                end.insert(table, rows).await?;
            }
            mark::advance(&end.line.client, progress).await
        }))
    }

    fn faults(&mut self) -> Doing<'_, Vec<String>> {
        Box::pin(async move {
            let pairs =
                "SELECT (SELECT count(*) FROM dms) = (SELECT count(*) FROM conversations WHERE dm_low IS NOT NULL)
                 AND NOT EXISTS (SELECT 1 FROM dms d LEFT JOIN conversations c ON c.id = d.conversation_id
                    WHERE (c.dm_low, c.dm_high) IS DISTINCT FROM (d.low, d.high))";
            let agree: bool = self.line.ask(pairs).await?;
            Ok(if agree { Vec::new() } else { vec!["dms: the pairs are not those of the conversations".to_owned()] })
        })
    }

    fn complete<'a>(&'a mut self, identity: &'a Identity, move_id: [u8; 16]) -> Doing<'a, ()> {
        Box::pin(self.in_transaction(true, async move |end| mark::complete(&end.line.client, identity, move_id).await))
    }
}
