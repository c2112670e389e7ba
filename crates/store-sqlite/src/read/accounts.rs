//! People, sign-ins, keys, and who knows whom.

use rusqlite::{Connection, OptionalExtension};
use tertulia_proto::{ApiKeyId, SessionId, Timestamp, User, UserId};
use tertulia_store::{
    Account, AccountLookup, Acquaintance, ApiKeyRecord, KeptApiKey, LogState, OpenSession, SessionRecord,
};

use crate::rows::{Sql, USER_COLUMNS, user_from, user_no};

pub(crate) fn log_state(connection: &Connection) -> Sql<LogState> {
    connection.prepare_cached("SELECT epoch, position FROM log_state")?.query_row([], |row| {
        let position = row.get(1)?;
        Ok(LogState { epoch: row.get(0)?, position, end: position })
    })
}

pub(crate) fn token_secret(connection: &Connection) -> Sql<[u8; 32]> {
    connection.query_row("SELECT token_secret FROM log_state", [], |row| row.get(0))
}

/// Whether two people are in a conversation together now.
const ACQUAINTED: &str =
    "EXISTS (SELECT 1 FROM members mine JOIN members theirs ON theirs.conversation_no = mine.conversation_no
    WHERE mine.user_no = ?1 AND mine.removed_at IS NULL AND theirs.user_no = u.no AND theirs.removed_at IS NULL)";

pub(crate) fn user(connection: &Connection, viewer: UserId, user: UserId) -> Sql<Option<User>> {
    let Some(viewer_no) = user_no(connection, viewer)? else { return Ok(None) };
    connection
        .prepare_cached(&format!(
            "SELECT {USER_COLUMNS}, u.no = ?1 OR {ACQUAINTED}, EXISTS (SELECT 1 FROM blocks b WHERE b.user_no = ?1 AND b.blocked_no = u.no)
             FROM users u WHERE u.id = ?2"
        ))?
        .query_row((viewer_no, user.as_bytes().as_slice()), |row| {
            let mut user = user_from(row, 0, row.get(5)?)?;
            user.blocked = row.get(6)?;
            Ok(user)
        })
        .optional()
}

pub(crate) fn users_by_email(connection: &Connection, viewer: UserId, prefix: &str, limit: usize) -> Sql<Vec<User>> {
    let Some(viewer_no) = user_no(connection, viewer)? else { return Ok(Vec::new()) };
    // A range instead of LIKE: uses the index whatever characters the prefix holds. U+10FFFF sorts after every continuation.
    let above = format!("{prefix}\u{10ffff}");
    connection
        .prepare_cached(&format!(
            "SELECT {USER_COLUMNS}, EXISTS (SELECT 1 FROM blocks b WHERE b.user_no = ?1 AND b.blocked_no = u.no) FROM users u
             WHERE u.email >= ?2 AND u.email < ?3 AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.user_no = u.no AND b.blocked_no = ?1)
             ORDER BY u.email LIMIT ?4"
        ))?
        .query_map((viewer_no, prefix, above, limit_of(limit)), |row| {
            let mut user = user_from(row, 0, true)?;
            user.blocked = row.get(5)?;
            Ok(user)
        })?
        .collect()
}

pub(crate) fn account(connection: &Connection, lookup: &AccountLookup) -> Sql<Option<Account>> {
    let read = |row: &rusqlite::Row<'_>| Ok(Account { user: user_from(row, 0, true)?, password_hash: row.get(5)? });
    let select = format!("SELECT {USER_COLUMNS}, u.password_hash FROM users u");
    match lookup {
        AccountLookup::Id(id) => connection
            .prepare_cached(&format!("{select} WHERE u.id = ?1"))?
            .query_row([id.as_bytes().as_slice()], read)
            .optional(),
        AccountLookup::Email(email) => {
            connection.prepare_cached(&format!("{select} WHERE u.email = ?1"))?.query_row([email], read).optional()
        }
        AccountLookup::External { issuer, subject } => connection
            .prepare_cached(&format!(
                "{select} JOIN identities i ON i.user_no = u.no WHERE i.issuer = ?1 AND i.subject = ?2"
            ))?
            .query_row((issuer, subject), read)
            .optional(),
    }
}

pub(crate) fn blocked(connection: &Connection, user: UserId, limit: usize) -> Sql<Vec<User>> {
    let Some(user_no) = user_no(connection, user)? else { return Ok(Vec::new()) };
    connection
        .prepare_cached(&format!(
            "SELECT {USER_COLUMNS}, {ACQUAINTED} FROM blocks b JOIN users u ON u.no = b.blocked_no
             WHERE b.user_no = ?1 ORDER BY u.name, u.no LIMIT ?2"
        ))?
        .query_map((user_no, limit_of(limit)), |row| {
            let mut user = user_from(row, 0, row.get(5)?)?;
            user.blocked = true;
            Ok(user)
        })?
        .collect()
}

pub(crate) fn sessions(connection: &Connection, user: UserId, now: Timestamp, limit: usize) -> Sql<Vec<OpenSession>> {
    let Some(user_no) = user_no(connection, user)? else { return Ok(Vec::new()) };
    connection
        .prepare_cached(
            "SELECT id, created_at, last_seen_at, user_agent FROM sessions
             WHERE user_no = ?1 AND ended_at IS NULL AND expires_at > ?2 ORDER BY created_at DESC, id DESC LIMIT ?3",
        )?
        .query_map((user_no, now.ms(), limit_of(limit)), |row| {
            Ok(OpenSession {
                id: SessionId::from_bytes(row.get(0)?),
                created_at: Timestamp::from_ms(row.get(1)?),
                last_seen_at: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_ms),
                user_agent: row.get(3)?,
            })
        })?
        .collect()
}

pub(crate) fn session(connection: &Connection, session: SessionId) -> Sql<Option<SessionRecord>> {
    connection
        .prepare_cached("SELECT u.id, s.expires_at, s.ended_at IS NOT NULL FROM sessions s JOIN users u ON u.no = s.user_no WHERE s.id = ?1")?
        .query_row([session.as_bytes().as_slice()], |row| {
            Ok(SessionRecord {
                user: UserId::from_bytes(row.get(0)?),
                expires_at: Timestamp::from_ms(row.get(1)?),
                ended: row.get(2)?,
            })
        })
        .optional()
}

pub(crate) fn api_key(connection: &Connection, hash: &[u8; 32]) -> Sql<Option<ApiKeyRecord>> {
    connection
        .prepare_cached("SELECT id, name, scopes, user_id FROM api_keys WHERE hash = ?1 AND revoked_at IS NULL")?
        .query_row([hash.as_slice()], |row| {
            Ok(ApiKeyRecord {
                id: ApiKeyId::from_bytes(row.get(0)?),
                name: row.get(1)?,
                scopes: scopes(row.get_ref(2)?.as_str()?),
                user: row.get::<_, Option<[u8; 16]>>(3)?.map(UserId::from_bytes),
            })
        })
        .optional()
}

fn scopes(kept: &str) -> Vec<String> {
    kept.split(',').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

pub(crate) fn api_keys(connection: &Connection, above: Option<ApiKeyId>, limit: usize) -> Sql<Vec<KeptApiKey>> {
    // The empty blob is below every id.
    let above = above.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    connection
        .prepare_cached(
            "SELECT id, name, scopes, user_id, created_at FROM api_keys WHERE id > ?1 AND revoked_at IS NULL ORDER BY id LIMIT ?2",
        )?
        .query_map((above, i64::try_from(limit).unwrap_or(i64::MAX)), |row| {
            Ok(KeptApiKey {
                id: ApiKeyId::from_bytes(row.get(0)?),
                name: row.get(1)?,
                scopes: scopes(row.get_ref(2)?.as_str()?),
                user: row.get::<_, Option<[u8; 16]>>(3)?.map(UserId::from_bytes),
                created_at: Timestamp::from_ms(row.get(4)?),
            })
        })?
        .collect()
}

pub(crate) fn api_key_stands(connection: &Connection, id: ApiKeyId) -> Sql<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM api_keys WHERE id = ?1 AND revoked_at IS NULL)")?
        .query_row([id.as_bytes().as_slice()], |row| row.get(0))
}

pub(crate) fn acquaintances(connection: &Connection, viewer: UserId, others: &[UserId]) -> Sql<Vec<Acquaintance>> {
    let Some(viewer_no) = user_no(connection, viewer)? else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT u.last_seen_at FROM users u WHERE u.id = ?2
         AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.user_no = u.no AND b.blocked_no = ?1)
         AND (u.no = ?1 OR {ACQUAINTED})"
    ))?;
    let mut found = Vec::new();
    for other in others {
        let row = statement
            .query_row((viewer_no, other.as_bytes().as_slice()), |row| row.get::<_, Option<i64>>(0))
            .optional()?;
        if let Some(last_seen) = row {
            found.push(Acquaintance { user: *other, last_seen_at: last_seen.map(Timestamp::from_ms) });
        }
    }
    Ok(found)
}

pub(crate) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
