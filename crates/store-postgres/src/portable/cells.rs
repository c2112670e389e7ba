//! Cells as parameters and out of rows. Small numbers are asked for as large ones, and the database narrows them when it takes them.

use std::fmt::Write as _;

use tertulia_store::portable::{Column, Kind, Row, Table, Value};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::error::Sql;
use crate::rows::at;

pub type Param<'a> = (Box<dyn ToSql + Sync + 'a>, Type);

/// All columns of rows above a key, in order of the key; from the beginning without one.
pub fn page(table: &Table, is_first: bool) -> String {
    let keys: Vec<&str> = table.key_columns().iter().map(|column| column.name).collect();
    let columns: Vec<String> = table.columns.iter().map(selected).collect();
    let mut text = format!("SELECT {} FROM {}", columns.join(", "), table.name);
    if !is_first {
        let params: Vec<String> = (1..=keys.len()).map(|number| format!("${number}")).collect();
        let _ = write!(text, " WHERE ({}) > ({})", keys.join(", "), params.join(", "));
    }
    let _ = write!(text, " ORDER BY {} LIMIT ${}", keys.join(", "), if is_first { 1 } else { keys.len() + 1 });
    text
}

fn selected(column: &Column) -> String {
    if column.kind == Kind::Int { format!("{}::bigint", column.name) } else { column.name.to_owned() }
}

/// Any number of rows, a parameter a column.
pub fn insert(table: &Table) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    let arrays: Vec<String> =
        (1..).zip(table.columns).map(|(at, column)| format!("${at}::{}[]", named(column.kind))).collect();
    // Numbers of jobs are the database's to give; these are given already.
    let overriding = if table.name == "jobs" { " OVERRIDING SYSTEM VALUE" } else { "" };
    format!(
        "INSERT INTO {} ({}){overriding} SELECT * FROM unnest({})",
        table.name,
        columns.join(", "),
        arrays.join(", ")
    )
}

const fn named(kind: Kind) -> &'static str {
    match kind {
        Kind::Id => "uuid",
        Kind::Int => "bigint",
        Kind::Flag => "boolean",
        Kind::Text => "text",
        Kind::Bytes => "bytea",
    }
}

pub fn one(value: &Value, kind: Kind) -> Param<'_> {
    match kind {
        Kind::Id => (Box::new(id(value)), Type::UUID),
        Kind::Int => (Box::new(int(value)), Type::INT8),
        Kind::Flag => (Box::new(flag(value)), Type::BOOL),
        Kind::Text => (Box::new(text(value)), Type::TEXT),
        Kind::Bytes => (Box::new(bytes(value)), Type::BYTEA),
    }
}

/// The column at this place, of all rows.
pub fn many(rows: &[Row], place: usize, kind: Kind) -> Param<'_> {
    let column = rows.iter().map(move |row| row.get(place).unwrap_or(&Value::Null));
    match kind {
        Kind::Id => (Box::new(column.map(id).collect::<Vec<_>>()), Type::UUID_ARRAY),
        Kind::Int => (Box::new(column.map(int).collect::<Vec<_>>()), Type::INT8_ARRAY),
        Kind::Flag => (Box::new(column.map(flag).collect::<Vec<_>>()), Type::BOOL_ARRAY),
        Kind::Text => (Box::new(column.map(text).collect::<Vec<_>>()), Type::TEXT_ARRAY),
        Kind::Bytes => (Box::new(column.map(bytes).collect::<Vec<_>>()), Type::BYTEA_ARRAY),
    }
}

const fn id(value: &Value) -> Option<Uuid> {
    if let Value::Id(id) = value { Some(Uuid::from_bytes(*id)) } else { None }
}

const fn int(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value { Some(*number) } else { None }
}

const fn flag(value: &Value) -> Option<bool> {
    if let Value::Flag(flag) = value { Some(*flag) } else { None }
}

const fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text.as_str()) } else { None }
}

const fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::Bytes(bytes) = value { Some(bytes.as_slice()) } else { None }
}

pub fn row(table: &Table, found: &tokio_postgres::Row) -> Sql<Row> {
    let cell = |(place, column): (usize, &Column)| {
        let value = match column.kind {
            Kind::Id => at::<Option<Uuid>>(found, place)?.map(|id| Value::Id(*id.as_bytes())),
            Kind::Int => at::<Option<i64>>(found, place)?.map(Value::Int),
            Kind::Flag => at::<Option<bool>>(found, place)?.map(Value::Flag),
            Kind::Text => at::<Option<String>>(found, place)?.map(Value::Text),
            Kind::Bytes => at::<Option<Vec<u8>>>(found, place)?.map(Value::Bytes),
        };
        Ok(value.unwrap_or(Value::Null))
    };
    table.columns.iter().enumerate().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use tertulia_store::portable::TABLES;

    use super::*;

    #[test]
    fn statements_name_every_column_once() {
        let blocks = TABLES.iter().find(|table| table.name == "blocks").unwrap();
        assert_eq!(
            page(blocks, false),
            "SELECT user_id, blocked_id FROM blocks WHERE (user_id, blocked_id) > ($1, $2) ORDER BY user_id, blocked_id LIMIT $3"
        );
        assert_eq!(page(blocks, true), "SELECT user_id, blocked_id FROM blocks ORDER BY user_id, blocked_id LIMIT $1");
        assert_eq!(
            insert(blocks),
            "INSERT INTO blocks (user_id, blocked_id) SELECT * FROM unnest($1::uuid[], $2::uuid[])"
        );
    }
}
