//! Signs of life, many at once: no change of the log, and nothing depends on their order.

use std::collections::BTreeMap;

use tertulia_proto::{SessionId, Timestamp, UserId};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::error::Sql;
use crate::session::Session;

/// Two servers that touch the same people never wait for each other in a circle.
const LOCK: &str = "SELECT id FROM users WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

const USERS: &str = "UPDATE users u SET last_seen_at = greatest(coalesce(u.last_seen_at, 0), w.at)
     FROM unnest($1::uuid[], $2::bigint[]) AS w (id, at) WHERE u.id = w.id";

const SESSIONS: &str = "UPDATE sessions s SET last_seen_at = greatest(coalesce(s.last_seen_at, 0), w.at)
     FROM unnest($1::uuid[], $2::bigint[]) AS w (id, at) WHERE s.id = w.id";

pub(super) async fn prepare(session: &Session) -> Sql<()> {
    session.ready(LOCK, &[Type::UUID_ARRAY]).await?;
    session.ready(USERS, &[Type::UUID_ARRAY, Type::INT8_ARRAY]).await?;
    session.ready(SESSIONS, &[Type::UUID_ARRAY, Type::INT8_ARRAY]).await
}

/// In a transaction of its own. It may be done twice.
pub(crate) async fn touch(session: &Session, begin: &str, signs: &[(UserId, SessionId, Timestamp)]) -> Sql<()> {
    let (mut users, mut sessions) = (BTreeMap::<Uuid, i64>::new(), BTreeMap::<Uuid, i64>::new());
    for (user, session, at) in signs {
        let seen = users.entry(user.uuid()).or_default();
        *seen = at.ms().max(*seen);
        let seen = sessions.entry(session.uuid()).or_default();
        *seen = at.ms().max(*seen);
    }
    let (users, seen): (Vec<Uuid>, Vec<i64>) = users.into_iter().unzip();
    let (sessions, used): (Vec<Uuid>, Vec<i64>) = sessions.into_iter().unzip();
    let (begun, locked, touched, used, committed) = futures_util::join!(
        session.batch(begin),
        async { session.rows(LOCK, &[&users]).await },
        async { session.execute(USERS, &[&users, &seen]).await },
        async { session.execute(SESSIONS, &[&sessions, &used]).await },
        session.batch(super::COMMIT)
    );
    begun?;
    locked?;
    touched?;
    used?;
    committed
}
