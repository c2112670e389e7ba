//! The log's state; people, sign-ins, keys, and who knows whom.

use tertulia_proto::{ApiKeyId, SessionId, Timestamp, User, UserId};
use tertulia_store::{
    Account, AccountLookup, Acquaintance, ApiKeyRecord, JobCounts, KeptApiKey, LogState, OpenSession, SessionRecord,
};
use uuid::Uuid;

use crate::error::{Fault, Sql};
use crate::rows::{at, bad_value, time_at, user_at, user_columns, user_from};
use crate::session::Session;

/// The second column is the horizon: every transaction at or below it that writes to the log has ended and is visible in this snapshot (docs/adr/0008).
/// It is the least of those under way, less one, without those that say of themselves that they write elsewhere ([`crate::index`]): whose lock can't be
/// had, which no reader keeps from another. It is never above the last column, the highest position that a commit has written down: PostgreSQL forgets in a
/// crash which numbers it has given to transactions that left nothing on the disk, and gives them again. The third says whether the state is of the history
/// that the server is on now.
const LOG_STATE: &str = "SELECT epoch,
        least(position_offset - 1 + coalesce(
            (SELECT min(x::text::bigint) FILTER (WHERE pg_try_advisory_xact_lock_shared(1634953572, (x::text::bigint & 2147483647)::int))
                FROM pg_snapshot_xip(pg_current_snapshot()) AS x),
            pg_snapshot_xmax(pg_current_snapshot())::text::bigint), w.pos),
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint = timeline, generation, w.pos
     FROM log_state, (SELECT coalesce(max(pos), 0) AS pos FROM writers) w";

/// The generation grows with each other history that the log goes on with.
pub(crate) async fn generation_and_state(session: &Session) -> Sql<(i64, LogState)> {
    let row = session.one(LOG_STATE, &[]).await?;
    if !at::<bool>(&row, 2)? {
        return Err(Fault::OtherHistory);
    }
    let epoch = *at::<Uuid>(&row, 0)?.as_bytes();
    Ok((at(&row, 3)?, LogState { epoch, position: at(&row, 1)?, end: at(&row, 4)? }))
}

pub(crate) async fn token_secret(session: &Session) -> Sql<[u8; 32]> {
    let row = session.one("SELECT token_secret FROM log_state", &[]).await?;
    at::<&[u8]>(&row, 0)?.try_into().map_err(|_| bad_value("a token secret that is not 256 bits long"))
}

/// Whether two people are in a conversation together now.
macro_rules! acquainted {
    () => {
        "EXISTS (SELECT 1 FROM members mine JOIN members theirs ON theirs.conversation_id = mine.conversation_id \
         WHERE mine.user_id = $1 AND mine.removed_at IS NULL AND theirs.user_id = u.id AND theirs.removed_at IS NULL)"
    };
}

const USER: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", u.id = $1 OR ",
    acquainted!(),
    ", EXISTS (SELECT 1 FROM blocks b WHERE b.user_id = $1 AND b.blocked_id = u.id)
     FROM users u WHERE u.id = $2 AND EXISTS (SELECT 1 FROM users viewer WHERE viewer.id = $1)"
);

pub(crate) async fn user(session: &Session, viewer: UserId, user: UserId) -> Sql<Option<User>> {
    let Some(row) = session.opt(USER, &[&viewer.uuid(), &user.uuid()]).await? else { return Ok(None) };
    let mut user = user_from(&row, 0, at(&row, 5)?)?;
    user.blocked = at(&row, 6)?;
    Ok(Some(user))
}

const USERS_BY_EMAIL: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", EXISTS (SELECT 1 FROM blocks b WHERE b.user_id = $1 AND b.blocked_id = u.id)
     FROM users u WHERE u.email >= $2 AND u.email < $3 AND EXISTS (SELECT 1 FROM users viewer WHERE viewer.id = $1)
        AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.user_id = u.id AND b.blocked_id = $1)
     ORDER BY u.email LIMIT $4"
);

pub(crate) async fn users_by_email(session: &Session, viewer: UserId, prefix: String, limit: usize) -> Sql<Vec<User>> {
    // A range instead of LIKE: uses the index whatever characters the prefix holds. U+10FFFF sorts after every continuation.
    let above = format!("{prefix}\u{10ffff}");
    let rows = session.rows(USERS_BY_EMAIL, &[&viewer.uuid(), &prefix, &above, &limit_of(limit)]).await?;
    rows.iter()
        .map(|row| {
            let mut user = user_from(row, 0, true)?;
            user.blocked = at(row, 5)?;
            Ok(user)
        })
        .collect()
}

macro_rules! account {
    ($rest:literal) => {
        concat!("SELECT ", user_columns!(), ", u.password_hash FROM users u", $rest)
    };
}

pub(crate) async fn account(session: &Session, lookup: &AccountLookup) -> Sql<Option<Account>> {
    let found = match lookup {
        AccountLookup::Id(id) => session.opt(account!(" WHERE u.id = $1"), &[&id.uuid()]).await?,
        AccountLookup::Email(email) => session.opt(account!(" WHERE u.email = $1"), &[email]).await?,
        AccountLookup::External { issuer, subject } => {
            let by_identity = account!(" JOIN identities i ON i.user_id = u.id WHERE i.issuer = $1 AND i.subject = $2");
            session.opt(by_identity, &[issuer, subject]).await?
        }
    };
    found.map(|row| Ok(Account { user: user_from(&row, 0, true)?, password_hash: at(&row, 5)? })).transpose()
}

const BLOCKED: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", ",
    acquainted!(),
    " FROM blocks b JOIN users u ON u.id = b.blocked_id WHERE b.user_id = $1 ORDER BY u.name, u.id LIMIT $2"
);

pub(crate) async fn blocked(session: &Session, user: UserId, limit: usize) -> Sql<Vec<User>> {
    let rows = session.rows(BLOCKED, &[&user.uuid(), &limit_of(limit)]).await?;
    rows.iter()
        .map(|row| {
            let mut user = user_from(row, 0, at(row, 5)?)?;
            user.blocked = true;
            Ok(user)
        })
        .collect()
}

const SESSIONS: &str = "SELECT id, created_at, last_seen_at, user_agent FROM sessions
     WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 ORDER BY created_at DESC, id DESC LIMIT $3";

pub(crate) async fn sessions(session: &Session, user: UserId, now: Timestamp, limit: usize) -> Sql<Vec<OpenSession>> {
    let rows = session.rows(SESSIONS, &[&user.uuid(), &now.ms(), &limit_of(limit)]).await?;
    rows.iter()
        .map(|row| {
            Ok(OpenSession {
                id: SessionId::from_uuid(at(row, 0)?),
                created_at: Timestamp::from_ms(at(row, 1)?),
                last_seen_at: time_at(row, 2)?,
                user_agent: at(row, 3)?,
            })
        })
        .collect()
}

pub(crate) async fn session(session: &Session, id: SessionId) -> Sql<Option<SessionRecord>> {
    let select = "SELECT user_id, expires_at, ended_at IS NOT NULL FROM sessions WHERE id = $1";
    let Some(row) = session.opt(select, &[&id.uuid()]).await? else { return Ok(None) };
    let (user, ended) = (user_at(&row, 0)?, at(&row, 2)?);
    Ok(Some(SessionRecord { user, expires_at: Timestamp::from_ms(at(&row, 1)?), ended }))
}

pub(crate) async fn api_key(session: &Session, hash: &[u8; 32]) -> Sql<Option<ApiKeyRecord>> {
    let select = "SELECT id, name, scopes, user_id FROM api_keys WHERE hash = $1 AND revoked_at IS NULL";
    let Some(row) = session.opt(select, &[&hash.as_slice()]).await? else { return Ok(None) };
    Ok(Some(ApiKeyRecord {
        id: ApiKeyId::from_uuid(at(&row, 0)?),
        name: at(&row, 1)?,
        scopes: scopes(at(&row, 2)?),
        user: at::<Option<uuid::Uuid>>(&row, 3)?.map(UserId::from_uuid),
    }))
}

fn scopes(kept: &str) -> Vec<String> {
    kept.split(',').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

pub(crate) async fn api_keys(session: &Session, above: Option<ApiKeyId>, limit: usize) -> Sql<Vec<KeptApiKey>> {
    let select = "SELECT id, name, scopes, user_id, created_at FROM api_keys
        WHERE ($1::uuid IS NULL OR id > $1) AND revoked_at IS NULL ORDER BY id LIMIT $2";
    let rows = session.rows(select, &[&above.map(|id| id.uuid()), &limit_of(limit)]).await?;
    let key = |row: &_| {
        Ok(KeptApiKey {
            id: ApiKeyId::from_uuid(at(row, 0)?),
            name: at(row, 1)?,
            scopes: scopes(at(row, 2)?),
            user: at::<Option<uuid::Uuid>>(row, 3)?.map(UserId::from_uuid),
            created_at: Timestamp::from_ms(at(row, 4)?),
        })
    };
    rows.iter().map(key).collect()
}

pub(crate) async fn api_key_stands(session: &Session, id: ApiKeyId) -> Sql<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM api_keys WHERE id = $1 AND revoked_at IS NULL)";
    at(&session.one(select, &[&id.uuid()]).await?, 0)
}

const ACQUAINTANCES: &str = concat!(
    "SELECT u.id, u.last_seen_at FROM unnest($2::uuid[]) WITH ORDINALITY AS w (id, place) JOIN users u ON u.id = w.id
     WHERE NOT EXISTS (SELECT 1 FROM blocks b WHERE b.user_id = u.id AND b.blocked_id = $1) AND (u.id = $1 OR ",
    acquainted!(),
    ") ORDER BY w.place"
);

pub(crate) async fn acquaintances(session: &Session, viewer: UserId, others: &[UserId]) -> Sql<Vec<Acquaintance>> {
    let others: Vec<Uuid> = others.iter().map(UserId::uuid).collect();
    let rows = session.rows(ACQUAINTANCES, &[&viewer.uuid(), &others]).await?;
    rows.iter().map(|row| Ok(Acquaintance { user: user_at(row, 0)?, last_seen_at: time_at(row, 1)? })).collect()
}

pub(crate) async fn job_counts(session: &Session) -> Sql<JobCounts> {
    let count = "SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 2) FROM jobs";
    let row = session.one(count, &[]).await?;
    Ok(JobCounts { ready: at(&row, 0)?, dead: at(&row, 1)? })
}

pub(crate) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
