//! What a database says of a move: that it is an unfinished destination, or a source that has been left. A log that was never moved has no such table.

use tertulia_store::portable::{Departure, Identity, Progress, decode, encode};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::LOCK;
use crate::connect::Target;
use crate::error::{Fault, Sql};
use crate::rows::{at, bad_value};
use crate::schema::OpenError;

pub const TABLE: &str = "CREATE TABLE IF NOT EXISTS log_move (
    id smallint CONSTRAINT there_is_one_move PRIMARY KEY CHECK (id = 1),
    -- True: this log was moved away. False: one is on its way into this database.
    has_left boolean NOT NULL,
    move_id uuid NOT NULL,
    -- The other end, without secrets.
    place text NOT NULL,
    epoch uuid,
    fingerprint bytea,
    -- Which table is being brought, and its last key that is here.
    at_table bigint,
    after bytea
)";

async fn marked(client: &Client, has_left: bool) -> Sql<Option<Row>> {
    let there = client.query_typed("SELECT to_regclass('log_move') IS NOT NULL", &[]).await?;
    if !there.first().map(|row| at::<bool>(row, 0)).transpose()?.unwrap_or(false) {
        return Ok(None);
    }
    let select = "SELECT move_id, place, epoch, fingerprint, at_table, after FROM log_move WHERE has_left = $1";
    Ok(client.query_typed(select, &[(&has_left, Type::BOOL)]).await?.into_iter().next())
}

pub async fn departure(client: &Client) -> Sql<Option<Departure>> {
    let Some(row) = marked(client, true).await? else { return Ok(None) };
    Ok(Some(Departure { move_id: *at::<Uuid>(&row, 0)?.as_bytes(), to: at(&row, 1)? }))
}

pub async fn progress(client: &Client) -> Sql<Option<Progress>> {
    let Some(row) = marked(client, false).await? else { return Ok(None) };
    let after: Option<&[u8]> = at(&row, 5)?;
    Ok(Some(Progress {
        move_id: *at::<Uuid>(&row, 0)?.as_bytes(),
        from: at(&row, 1)?,
        epoch: *at::<Uuid>(&row, 2)?.as_bytes(),
        fingerprint: at::<&[u8]>(&row, 3)?.try_into().map_err(|_| bad_value("a fingerprint that is none"))?,
        table: u32::try_from(at::<i64>(&row, 4)?).map_err(|_| bad_value("a table that is none"))?,
        after: after.map(|bytes| decode(bytes).ok_or_else(|| bad_value("a key that is none"))).transpose()?,
    }))
}

pub async fn arrive(client: &Client, progress: &Progress) -> Sql<()> {
    client.batch_execute(TABLE).await?;
    client.batch_execute("DELETE FROM log_move").await?;
    let insert = "INSERT INTO log_move (id, has_left, move_id, place, epoch, fingerprint, at_table) VALUES (1, false, $1, $2, $3, $4, 0)";
    let (move_id, epoch) = (Uuid::from_bytes(progress.move_id), Uuid::from_bytes(progress.epoch));
    let fingerprint = progress.fingerprint.as_slice();
    let params: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
        &[(&move_id, Type::UUID), (&progress.from, Type::TEXT), (&epoch, Type::UUID), (&fingerprint, Type::BYTEA)];
    client.execute_typed(insert, params).await?;
    Ok(())
}

pub async fn advance(client: &Client, progress: &Progress) -> Sql<()> {
    let update = "UPDATE log_move SET at_table = $2, after = $3 WHERE move_id = $1 AND NOT has_left";
    let (move_id, table) = (Uuid::from_bytes(progress.move_id), i64::from(progress.table));
    let after = progress.after.as_deref().map(encode);
    let params: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
        &[(&move_id, Type::UUID), (&table, Type::INT8), (&after, Type::BYTEA)];
    if client.execute_typed(update, params).await? == 1 {
        Ok(())
    } else {
        Err(bad_value("another move has begun here"))
    }
}

/// The history that the state names is no cluster's: a server that has the log open finds that out with its next transaction, and a program that does not
/// know of moves begins a new epoch.
pub async fn leave(client: &Client, departure: &Departure) -> Sql<()> {
    client.batch_execute(TABLE).await?;
    client.batch_execute("DELETE FROM log_move").await?;
    let insert = "INSERT INTO log_move (id, has_left, move_id, place) VALUES (1, true, $1, $2)";
    let move_id = Uuid::from_bytes(departure.move_id);
    client.execute_typed(insert, &[(&move_id, Type::UUID), (&departure.to, Type::TEXT)]).await?;
    client
        .batch_execute("UPDATE log_state SET system_identifier = 0, timeline = 0, generation = generation + 1")
        .await?;
    Ok(())
}

/// The next transaction's number and the offset together are above the end; until there is one, the highest position written down is the end.
pub async fn complete(client: &Client, identity: &Identity, move_id: [u8; 16]) -> Sql<()> {
    let state = "INSERT INTO log_state (id, epoch, position_offset, generation, system_identifier, timeline, token_secret)
         SELECT 1, $1, $2, 1, (SELECT c.system_identifier FROM pg_control_system() c),
            ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint, $3
         ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, position_offset = excluded.position_offset, generation = log_state.generation + 1,
            system_identifier = excluded.system_identifier, timeline = excluded.timeline, token_secret = excluded.token_secret";
    let (epoch, secret) = (Uuid::from_bytes(identity.epoch), identity.token_secret.as_slice());
    let params: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
        &[(&epoch, Type::UUID), (&identity.end, Type::INT8), (&secret, Type::BYTEA)];
    client.execute_typed(state, params).await?;
    let writer = "INSERT INTO writers (writer_id, batch, pos) VALUES ($1, 0, $2)";
    client.execute_typed(writer, &[(&Uuid::from_bytes(move_id), Type::UUID), (&identity.end, Type::INT8)]).await?;
    // Numbers of jobs are given on from the highest.
    let numbers = "SELECT setval(s.name, s.last) FROM (
            SELECT s.name, greatest($1, coalesce(pg_sequence_last_value(s.name), 0)) AS last
            FROM (SELECT pg_get_serial_sequence('jobs', 'id')::regclass AS name) s) s
         WHERE s.last > 0";
    client.query_typed(numbers, &[(&identity.last_job, Type::INT8)]).await?;
    client.batch_execute("DROP TABLE log_move").await?;
    Ok(())
}

/// An error where the log may not be served, or is being moved right now. Inside a transaction it keeps a move from beginning until that ends.
pub(crate) async fn refuse(target: &Target, client: &Client) -> Result<(), OpenError> {
    let failed = |fault: Fault| OpenError::failed(target, fault);
    let place = target.address();
    let lock = format!("SELECT pg_try_advisory_xact_lock_shared({}, {})", LOCK.0, LOCK.1);
    let rows = client.query_typed(&lock, &[]).await.map_err(|e| failed(e.into()))?;
    if !rows.first().map(|row| at::<bool>(row, 0)).transpose().map_err(failed)?.unwrap_or(false) {
        return Err(OpenError::Moving(place));
    }
    if let Some(progress) = progress(client).await.map_err(failed)? {
        return Err(OpenError::Unfinished { place, from: progress.from });
    }
    match departure(client).await.map_err(failed)? {
        Some(departure) => Err(OpenError::Departed { place, to: departure.to }),
        None => Ok(()),
    }
}
