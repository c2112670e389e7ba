//! Devices, who may need a notification, and what one would say.

use rusqlite::{Connection, OptionalExtension, Row};
use tertulia_proto::{
    ConversationId, Device, DeviceId, MessageId, Platform, PushProvider, QuietHours, RegistrationId, Timestamp, UserId,
    model::unread_count,
};
use tertulia_store::push::*;

use crate::read::accounts::limit_of;
use crate::rows::{Sql, bad_value, kind_of, message_key, seq_of, time_at, user_no};
use crate::write::push::provider_of;

fn platform_of(number: i64) -> Sql<Platform> {
    Platform::from_number(number).ok_or_else(|| bad_value("a platform that is not 0, 1 or 2"))
}

const DEVICE_COLUMNS: &str =
    "id, platform, provider, app_version, user_agent, client_device, shows_content, created_at, registered_at,
     failed_at IS NULL, failure";

fn device_from(row: &Row<'_>) -> Sql<Device> {
    Ok(Device {
        id: RegistrationId::from_bytes(row.get(0)?),
        platform: platform_of(row.get(1)?)?,
        provider: provider_of(row.get(2)?)?,
        app_version: row.get(3)?,
        user_agent: row.get(4)?,
        device_id: row.get::<_, Option<[u8; 16]>>(5)?.map(DeviceId::from_bytes),
        shows_content: row.get(6)?,
        created_at: Timestamp::from_ms(row.get(7)?),
        registered_at: Timestamp::from_ms(row.get(8)?),
        active: row.get(9)?,
        failure: row.get(10)?,
    })
}

pub(crate) fn device(connection: &Connection, no: i64) -> Sql<Device> {
    connection
        .prepare_cached(&format!("SELECT {DEVICE_COLUMNS} FROM devices WHERE no = ?1"))?
        .query_row([no], device_from)
}

pub(crate) fn devices(connection: &Connection, user: UserId) -> Sql<Vec<Device>> {
    let Some(user_no) = user_no(connection, user)? else { return Ok(Vec::new()) };
    connection
        .prepare_cached(&format!(
            "SELECT {DEVICE_COLUMNS} FROM devices WHERE user_no = ?1 ORDER BY registered_at DESC, id DESC"
        ))?
        .query_map([user_no], device_from)?
        .collect()
}

/// Of `devices d`: five columns.
const TARGET_COLUMNS: &str = "d.id, d.provider, d.platform, d.token, d.shows_content";

fn target_from(row: &Row<'_>, user: UserId) -> Sql<PushTarget> {
    Ok(PushTarget {
        registration: RegistrationId::from_bytes(row.get(0)?),
        user,
        provider: provider_of(row.get(1)?)?,
        platform: platform_of(row.get(2)?)?,
        token: row.get(3)?,
        shows_content: row.get(4)?,
    })
}

pub(crate) fn targets(connection: &Connection, user: UserId) -> Sql<Vec<PushTarget>> {
    let Some(user_no) = user_no(connection, user)? else { return Ok(Vec::new()) };
    connection
        .prepare_cached(&format!(
            "SELECT {TARGET_COLUMNS} FROM devices d WHERE d.user_no = ?1 AND d.failed_at IS NULL ORDER BY d.registered_at DESC, d.id DESC"
        ))?
        .query_map([user_no], |row| target_from(row, user))?
        .collect()
}

/// Of members `m`, their people `u`, devices `d` and seats `s`: ten columns.
const SEAT_COLUMNS: &str = "u.id, d.id, d.provider, m.visible_after_seq, m.read_seq,
     CASE WHEN d.client_device IS NULL THEN m.delivered_seq ELSE coalesce(s.delivered_seq, 0) END,
     coalesce(s.pushed_seq, 0), coalesce(s.withdrawn_seq, 0), m.muted_until, m.removed_at IS NOT NULL";

fn seat_from(row: &Row<'_>) -> Sql<Seat> {
    Ok(Seat {
        user: UserId::from_bytes(row.get(0)?),
        registration: RegistrationId::from_bytes(row.get(1)?),
        provider: provider_of(row.get(2)?)?,
        visible_after_seq: row.get(3)?,
        read_seq: row.get(4)?,
        delivered_seq: row.get(5)?,
        pushed_seq: row.get(6)?,
        withdrawn_seq: row.get(7)?,
        muted_until: time_at(row, 8)?,
        has_left: row.get(9)?,
    })
}

/// A conversation's people first, then what each has: in order of devices it would begin with everybody's.
const AUDIENCE: &str =
    " FROM members m CROSS JOIN devices d ON d.user_no = m.user_no AND d.failed_at IS NULL AND d.id > ?3
     JOIN users u ON u.no = m.user_no
     LEFT JOIN device_seats s ON s.conversation_no = m.conversation_no AND s.device_no = d.no
     WHERE m.conversation_no = ?1 AND m.removed_at IS NULL AND m.read_seq < ?2 AND m.visible_after_seq < ?2
        AND CASE WHEN d.client_device IS NULL THEN m.delivered_seq ELSE coalesce(s.delivered_seq, 0) END < ?2
        AND coalesce(s.pushed_seq, 0) < ?2
     ORDER BY d.id LIMIT ?4";

pub(crate) fn audience(
    connection: &Connection,
    conversation: ConversationId,
    above: Option<RegistrationId>,
) -> Sql<Option<Audience>> {
    let Some((no, last_seq, ..)) = head(connection, conversation)? else { return Ok(None) };
    let above = above.as_ref().map_or(&[][..], |id| id.as_bytes());
    let mut seats: Vec<Seat> = connection
        .prepare_cached(&format!("SELECT {SEAT_COLUMNS}{AUDIENCE}"))?
        .query_map((no, last_seq, above, limit_of(AUDIENCE_MAX + 1)), seat_from)?
        .collect::<Sql<_>>()?;
    let has_more = seats.len() > AUDIENCE_MAX;
    seats.truncate(AUDIENCE_MAX);
    let next = seats.last().filter(|_| has_more).map(|seat| seat.registration);
    Ok(Some(Audience { last_seq, seats, next }))
}

/// Its number and its end.
fn head(connection: &Connection, conversation: ConversationId) -> Sql<Option<(i64, i64, PushPlace)>> {
    connection
        .prepare_cached("SELECT no, last_seq, kind, title, member_count FROM conversations WHERE id = ?1")?
        .query_row([conversation.as_bytes().as_slice()], |row| {
            let place = PushPlace { kind: kind_of(row.get(2)?), title: row.get(3)?, member_count: row.get(4)? };
            Ok((row.get(0)?, row.get(1)?, place))
        })
        .optional()
}

pub(crate) fn occasion(
    connection: &Connection,
    registration: RegistrationId,
    conversation: ConversationId,
    now: Timestamp,
) -> Sql<Option<Occasion>> {
    let Some((no, last_seq, place)) = head(connection, conversation)? else { return Ok(None) };
    let found = connection
        .prepare_cached(&format!(
            "SELECT {TARGET_COLUMNS}, u.no, u.id, u.quiet_hours FROM devices d JOIN users u ON u.no = d.user_no
             WHERE d.id = ?1 AND d.failed_at IS NULL"
        ))?
        .query_row([registration.as_bytes().as_slice()], |row| {
            let target = target_from(row, UserId::from_bytes(row.get(6)?))?;
            Ok((target, row.get::<_, i64>(5)?, quiet_hours_from(row.get::<_, Option<String>>(7)?.as_deref())?))
        })
        .optional()?;
    let Some((target, user_no, quiet_hours)) = found else { return Ok(None) };
    let seat = seat(connection, no, registration)?;
    let (unseen, unseen_count) = match &seat {
        Some(seat) if !seat.has_left => {
            let range = (user_no, message_key(no, seat.seen_seq()), message_key(no, last_seq));
            (unseen(connection, range)?, unseen_count(connection, range)?)
        }
        _ => (Vec::new(), 0),
    };
    let badge = badge(connection, user_no, now)?;
    Ok(Some(Occasion { target, conversation, place, seat, unseen, unseen_count, badge, quiet_hours }))
}

fn seat(connection: &Connection, conversation_no: i64, registration: RegistrationId) -> Sql<Option<Seat>> {
    connection
        .prepare_cached(&format!(
            "SELECT {SEAT_COLUMNS} FROM devices d
             JOIN members m ON m.conversation_no = ?1 AND m.user_no = d.user_no
             JOIN users u ON u.no = d.user_no LEFT JOIN device_seats s ON s.conversation_no = ?1 AND s.device_no = d.no WHERE d.id = ?2"
        ))?
        .query_row((conversation_no, registration.as_bytes().as_slice()), seat_from)
        .optional()
}

/// Neither one's own, nor deleted, nor of somebody whom one has blocked; from above a key up to another.
const UNSEEN: &str = "FROM messages x WHERE x.key > ?2 AND x.key <= ?3 AND x.sender_no <> ?1 AND x.deleted_at IS NULL
     AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.user_no = ?1 AND b.blocked_no = x.sender_no)";

fn unseen(connection: &Connection, (user_no, above, end): (i64, i64, i64)) -> Sql<Vec<Unseen>> {
    connection
        .prepare_cached(&format!(
            "SELECT x.id, x.key, s.id, s.name, x.body, x.created_at
             FROM (SELECT x.* {UNSEEN} ORDER BY x.key DESC LIMIT ?4) x JOIN users s ON s.no = x.sender_no ORDER BY x.key DESC"
        ))?
        .query_map((user_no, above, end, limit_of(UNSEEN_MAX)), |row| {
            Ok(Unseen {
                id: MessageId::from_bytes(row.get(0)?),
                seq: seq_of(row.get(1)?),
                sender: UserId::from_bytes(row.get(2)?),
                sender_name: row.get(3)?,
                body: row.get(4)?,
                created_at: Timestamp::from_ms(row.get(5)?),
            })
        })?
        .collect()
}

fn unseen_count(connection: &Connection, (user_no, above, end): (i64, i64, i64)) -> Sql<i64> {
    connection
        .prepare_cached(&format!("SELECT count(*) FROM (SELECT 1 {UNSEEN} ORDER BY x.key DESC LIMIT ?4)"))?
        .query_row((user_no, above, end, BADGE_MAX), |row| row.get(0))
}

/// Ends as soon as there is as much as is told.
fn badge(connection: &Connection, user_no: i64, now: Timestamp) -> Sql<i64> {
    let mut statement = connection.prepare_cached(
        "SELECT c.last_seq, m.read_seq,
            (SELECT count(*) FROM messages d WHERE d.key > (c.no << 32) + m.read_seq AND d.key <= (c.no << 32) + c.last_seq
                AND d.deleted_at IS NOT NULL)
         FROM members m JOIN conversations c ON c.no = m.conversation_no
         WHERE m.user_no = ?1 AND m.removed_at IS NULL AND c.last_seq > m.read_seq AND NOT coalesce(m.hidden_seq >= c.last_seq, 0)
            AND NOT coalesce(m.muted_until > ?2, 0)",
    )?;
    let mut rows = statement.query((user_no, now.ms()))?;
    let mut sum = 0;
    while sum < BADGE_MAX
        && let Some(row) = rows.next()?
    {
        sum += unread_count(row.get(0)?, row.get(1)?, row.get(2)?);
    }
    Ok(sum.min(BADGE_MAX))
}

pub(crate) fn attempts(connection: &Connection, conversation: ConversationId, seq: i64) -> Sql<Vec<PushAttempt>> {
    let Some((no, ..)) = head(connection, conversation)? else { return Ok(Vec::new()) };
    let found = connection
        .prepare_cached(
            "SELECT a.device_id, u.id, d.provider, a.seq, a.outcome, a.detail, a.at
             FROM (SELECT * FROM push_attempts WHERE conversation_no = ?1 AND seq >= ?2 ORDER BY seq, device_id, attempt LIMIT ?3) a
             LEFT JOIN devices d ON d.id = a.device_id LEFT JOIN users u ON u.no = d.user_no ORDER BY a.seq, a.device_id, a.attempt",
        )?
        .query_map((no, seq, limit_of(ATTEMPTS_READ_MAX)), |row| {
            let outcome = PushOutcome::from_number(row.get(4)?);
            Ok(PushAttempt {
                registration: RegistrationId::from_bytes(row.get(0)?),
                user: row.get::<_, Option<[u8; 16]>>(1)?.map(UserId::from_bytes),
                provider: row.get::<_, Option<i64>>(2)?.map(provider_of).transpose()?,
                seq: row.get(3)?,
                outcome: outcome.ok_or_else(|| bad_value("an outcome that is not 0 to 4"))?,
                detail: row.get(5)?,
                at: Timestamp::from_ms(row.get(6)?),
            })
        })?
        .collect::<Sql<_>>()?;
    Ok(covering(found))
}

/// In order of time, so that only so many are looked at.
const TICKETS: &str = "SELECT d.id, d.token_hash, c.id, a.seq, a.detail FROM push_attempts a
     CROSS JOIN devices d ON d.id = a.device_id CROSS JOIN conversations c ON c.no = a.conversation_no
     WHERE a.at >= ?2 AND a.at < ?3 AND a.outcome = 0 AND a.detail <> '' AND d.provider = ?1 AND d.failed_at IS NULL AND d.registered_at <= a.at
     ORDER BY a.at DESC LIMIT ?4";

pub(crate) fn tickets(
    connection: &Connection,
    provider: PushProvider,
    since: Timestamp,
    until: Timestamp,
) -> Sql<Vec<Ticket>> {
    let found = connection
        .prepare_cached(TICKETS)?
        .query_map((provider.number(), since.ms(), until.ms(), limit_of(TICKETS_MAX)), |row| {
            Ok(Ticket {
                registration: RegistrationId::from_bytes(row.get(0)?),
                token_hash: row.get(1)?,
                conversation: ConversationId::from_bytes(row.get(2)?),
                seq: row.get(3)?,
                name: row.get(4)?,
            })
        })?
        .collect::<Sql<_>>()?;
    Ok(one_for_each(found))
}

fn quiet_hours_from(stored: Option<&str>) -> Sql<Option<QuietHours>> {
    quiet_hours_of(stored).map_err(|_| bad_value("quiet hours that are no JSON of them"))
}

/// Of `devices d`: what registered it is over, at time `?1`.
pub(crate) const IS_OVER: &str =
    "(EXISTS (SELECT 1 FROM sessions s WHERE s.id = d.session_id AND (s.ended_at IS NOT NULL OR s.expires_at < ?1))
        OR EXISTS (SELECT 1 FROM api_keys k WHERE k.id = d.session_id AND k.revoked_at IS NOT NULL))";

/// Numbers of devices that were registered by what is over.
pub(crate) fn to_be_forgotten(connection: &Connection, at: Timestamp, most: usize) -> Sql<Vec<i64>> {
    connection
        .prepare_cached(&format!("SELECT no FROM devices d WHERE session_id IS NOT NULL AND {IS_OVER} LIMIT ?2"))?
        .query_map((at.ms(), limit_of(most)), |row| row.get(0))?
        .collect()
}

pub(crate) fn quiet_hours(connection: &Connection, user: UserId) -> Sql<Option<QuietHours>> {
    let stored: Option<Option<String>> = connection
        .prepare_cached("SELECT quiet_hours FROM users WHERE id = ?1")?
        .query_row([user.as_bytes().as_slice()], |row| row.get(0))
        .optional()?;
    quiet_hours_from(stored.flatten().as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many people and devices there are.
    #[test]
    fn an_audience_is_found_from_the_conversation_on() {
        let connection = crate::schema::open_memory(None).unwrap();
        let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN SELECT {SEAT_COLUMNS}{AUDIENCE}")).unwrap();
        let plan: Vec<String> =
            explained.query_map((1, 2, [0u8; 16], 3), |row| row.get(3)).unwrap().collect::<Sql<_>>().unwrap();
        assert!(plan[0].starts_with("SEARCH m ") && plan[0].contains("(conversation_no=?"), "{plan:?}");
        assert!(plan.iter().any(|line| line.starts_with("SEARCH d ") && line.contains("(user_no=?")), "{plan:?}");
        assert!(plan.iter().all(|line| !line.starts_with("SCAN")), "{plan:?}");
    }
}
