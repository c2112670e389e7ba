//! One connection and how statements are asked over it.
//!
//! Every statement is a constant with typed parameters. `Prepared::Cached` keeps it prepared under a name; `Prepared::Typed` sends it whole each time,
//! unnamed, which poolers in transaction mode want (PgBouncer before 1.21).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Object;
use parking_lot::Mutex;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

use crate::error::{Fault, Sql};

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prepared {
    /// Under a name, once per connection: the fastest.
    #[default]
    Cached,
    /// Whole each time, with the types of its parameters: behind a pooler in transaction mode.
    Typed,
}

/// A parameter that knows its type, so that no statement has to be described by the server first.
pub(crate) trait Param: ToSql + Sync {
    fn kind(&self) -> Type;
    fn value(&self) -> &(dyn ToSql + Sync);
}

macro_rules! params {
    ($($rust:ty => $one:ident, $many:ident;)+) => {$(
        params!(@one $rust => $one);
        params!(@one Option<$rust> => $one);
        params!(@one Vec<$rust> => $many);
        params!(@one Vec<Option<$rust>> => $many);
    )+};
    (@one $rust:ty => $kind:ident) => {
        impl Param for $rust {
            fn kind(&self) -> Type {
                Type::$kind
            }
            fn value(&self) -> &(dyn ToSql + Sync) {
                self
            }
        }
    };
}

params! {
    Uuid => UUID, UUID_ARRAY;
    i64 => INT8, INT8_ARRAY;
    i16 => INT2, INT2_ARRAY;
    bool => BOOL, BOOL_ARRAY;
    String => TEXT, TEXT_ARRAY;
    &str => TEXT, TEXT_ARRAY;
    &[u8] => BYTEA, BYTEA_ARRAY;
}

enum Holder {
    /// The writer's own.
    Own(Box<Client>, Mutex<HashMap<&'static str, Statement>>),
    /// There until the end.
    Pooled(Option<Object>),
}

pub(crate) struct Session {
    holder: Holder,
    prepared: Prepared,
    is_clean: AtomicBool,
}

/// A connection that may be in the middle of something does not go back to the others: it is closed.
impl Drop for Session {
    fn drop(&mut self) {
        if let Holder::Pooled(object) = &mut self.holder
            && let Some(object) = object.take()
            && !self.is_clean.load(Ordering::Acquire)
        {
            drop(Object::take(object));
        }
    }
}

impl Session {
    pub fn own(client: Client, prepared: Prepared) -> Self {
        Self { holder: Holder::Own(Box::new(client), Mutex::default()), prepared, is_clean: AtomicBool::new(false) }
    }

    pub fn pooled(object: Object, prepared: Prepared) -> Self {
        Self { holder: Holder::Pooled(Some(object)), prepared, is_clean: AtomicBool::new(false) }
    }

    /// Nothing is under way any more: the connection may go back to the others.
    pub fn is_done(&self) {
        self.is_clean.store(true, Ordering::Release);
    }

    fn client(&self) -> Sql<&Client> {
        match &self.holder {
            Holder::Own(client, _) => Ok(client),
            Holder::Pooled(Some(object)) => Ok(object),
            Holder::Pooled(None) => Err(Fault::Unavailable("the connection is gone".into())),
        }
    }

    async fn statement(&self, text: &'static str, types: &[Type]) -> Sql<Statement> {
        match &self.holder {
            Holder::Pooled(Some(object)) => Ok(object.prepare_typed_cached(text, types).await?),
            Holder::Pooled(None) => Err(Fault::Unavailable("the connection is gone".into())),
            Holder::Own(client, known) => {
                if let Some(statement) = known.lock().get(text) {
                    return Ok(statement.clone());
                }
                let statement = client.prepare_typed(text, types).await?;
                known.lock().insert(text, statement.clone());
                Ok(statement)
            }
        }
    }

    /// Has the statement ready, so that asking it sends it at the first poll: what is pipelined has to leave in order.
    pub async fn ready(&self, text: &'static str, types: &[Type]) -> Sql<()> {
        if self.prepared == Prepared::Cached {
            self.statement(text, types).await?;
        }
        Ok(())
    }

    pub async fn rows(&self, text: &'static str, params: &[&dyn Param]) -> Sql<Vec<Row>> {
        match self.prepared {
            Prepared::Typed => {
                let params: Vec<(&(dyn ToSql + Sync), Type)> =
                    params.iter().map(|param| (param.value(), param.kind())).collect();
                Ok(self.client()?.query_typed(text, &params).await?)
            }
            Prepared::Cached => {
                let types: Vec<Type> = params.iter().map(|param| param.kind()).collect();
                let statement = self.statement(text, &types).await?;
                let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param.value()).collect();
                Ok(self.client()?.query(&statement, &params).await?)
            }
        }
    }

    /// The first row, if any.
    pub async fn opt(&self, text: &'static str, params: &[&dyn Param]) -> Sql<Option<Row>> {
        Ok(self.rows(text, params).await?.into_iter().next())
    }

    pub async fn one(&self, text: &'static str, params: &[&dyn Param]) -> Sql<Row> {
        self.opt(text, params).await?.ok_or_else(|| Fault::Corrupt("a statement that always has a row had none".into()))
    }

    /// How many rows were written.
    pub async fn execute(&self, text: &'static str, params: &[&dyn Param]) -> Sql<u64> {
        match self.prepared {
            Prepared::Typed => {
                let params: Vec<(&(dyn ToSql + Sync), Type)> =
                    params.iter().map(|param| (param.value(), param.kind())).collect();
                Ok(self.client()?.execute_typed(text, &params).await?)
            }
            Prepared::Cached => {
                let types: Vec<Type> = params.iter().map(|param| param.kind()).collect();
                let statement = self.statement(text, &types).await?;
                let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param.value()).collect();
                Ok(self.client()?.execute(&statement, &params).await?)
            }
        }
    }

    /// Statements without parameters, in one message.
    pub async fn batch(&self, text: &str) -> Sql<()> {
        Ok(self.client()?.batch_execute(text).await?)
    }
}
