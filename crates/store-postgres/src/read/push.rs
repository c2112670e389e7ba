//! Devices, who may need a notification, and what one would say. All of it at the primary: what a job acts on is read after it was claimed.

use tertulia_proto::{
    ConversationId, Device, DeviceId, MessageId, Platform, PushProvider, QuietHours, RegistrationId, Seq, Timestamp,
    UserId,
};
use tertulia_store::push::*;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Sql;
use crate::read::accounts::limit_of;
use crate::rows::{at, bad_value, kind_of, time_at, user_at};
use crate::session::{Param, Session};

fn platform_at(row: &Row, index: usize) -> Sql<Platform> {
    Platform::from_number(at::<i16>(row, index)?.into()).ok_or_else(|| bad_value("a platform that is not 0, 1 or 2"))
}

pub(super) fn provider_of(number: i16) -> Sql<PushProvider> {
    PushProvider::from_number(number.into()).ok_or_else(|| bad_value("a provider that is not 0 to 3"))
}

fn registration_at(row: &Row, index: usize) -> Sql<RegistrationId> {
    Ok(RegistrationId::from_uuid(at(row, index)?))
}

macro_rules! devices {
    ($which:literal) => {
        concat!(
            "SELECT id, platform, provider, app_version, user_agent, client_device, shows_content, created_at, registered_at,
                failed_at IS NULL, failure FROM devices ",
            $which
        )
    };
}

fn device_from(row: &Row) -> Sql<Device> {
    Ok(Device {
        id: registration_at(row, 0)?,
        platform: platform_at(row, 1)?,
        provider: provider_of(at(row, 2)?)?,
        app_version: at(row, 3)?,
        user_agent: at(row, 4)?,
        device_id: at::<Option<Uuid>>(row, 5)?.map(DeviceId::from_uuid),
        shows_content: at(row, 6)?,
        created_at: Timestamp::from_ms(at(row, 7)?),
        registered_at: Timestamp::from_ms(at(row, 8)?),
        active: at(row, 9)?,
        failure: at(row, 10)?,
    })
}

pub(crate) async fn device(session: &Session, id: Uuid) -> Sql<Device> {
    device_from(&session.one(devices!("WHERE id = $1"), &[&id]).await?)
}

pub(crate) async fn devices(session: &Session, user: UserId) -> Sql<Vec<Device>> {
    let select = devices!("WHERE user_id = $1 ORDER BY registered_at DESC, id DESC");
    session.rows(select, &[&user.uuid()]).await?.iter().map(device_from).collect()
}

/// Of `devices d`: six columns.
macro_rules! target_columns {
    () => {
        "d.id, d.provider, d.platform, d.token, d.shows_content, d.user_id"
    };
}

fn target_from(row: &Row) -> Sql<PushTarget> {
    Ok(PushTarget {
        registration: registration_at(row, 0)?,
        provider: provider_of(at(row, 1)?)?,
        platform: platform_at(row, 2)?,
        token: at(row, 3)?,
        shows_content: at(row, 4)?,
        user: user_at(row, 5)?,
    })
}

const TARGETS: &str = concat!(
    "SELECT ",
    target_columns!(),
    " FROM devices d WHERE d.user_id = $1 AND d.failed_at IS NULL ORDER BY d.registered_at DESC, d.id DESC"
);

pub(crate) async fn targets(session: &Session, user: UserId) -> Sql<Vec<PushTarget>> {
    session.rows(TARGETS, &[&user.uuid()]).await?.iter().map(target_from).collect()
}

/// Of members `m`, devices `d` and seats `s`: ten columns.
macro_rules! seat_columns {
    () => {
        "m.user_id, d.id, d.provider, m.visible_after_seq, m.read_seq,
         CASE WHEN d.client_device IS NULL THEN m.delivered_seq ELSE coalesce(s.delivered_seq, 0) END,
         coalesce(s.pushed_seq, 0), coalesce(s.withdrawn_seq, 0), m.muted_until, m.removed_at IS NOT NULL"
    };
}

fn seat_from(row: &Row) -> Sql<Seat> {
    Ok(Seat {
        user: user_at(row, 0)?,
        registration: registration_at(row, 1)?,
        provider: provider_of(at(row, 2)?)?,
        visible_after_seq: at(row, 3)?,
        read_seq: at(row, 4)?,
        delivered_seq: at(row, 5)?,
        pushed_seq: at(row, 6)?,
        withdrawn_seq: at(row, 7)?,
        muted_until: time_at(row, 8)?,
        has_left: at(row, 9)?,
    })
}

/// Each member's devices are looked up by their person: in order of registration those of everybody would be read.
const AUDIENCE: &str = concat!(
    "SELECT ",
    seat_columns!(),
    " FROM members m
     CROSS JOIN LATERAL (SELECT d.* FROM devices d WHERE d.user_id = m.user_id AND d.failed_at IS NULL AND d.id > $3 OFFSET 0) d
     LEFT JOIN LATERAL (SELECT s.* FROM device_seats s WHERE s.conversation_id = m.conversation_id AND s.device_id = d.id OFFSET 0) s ON true
     WHERE m.conversation_id = $1 AND m.removed_at IS NULL AND m.read_seq < $2 AND m.visible_after_seq < $2
        AND CASE WHEN d.client_device IS NULL THEN m.delivered_seq ELSE coalesce(s.delivered_seq, 0) END < $2
        AND coalesce(s.pushed_seq, 0) < $2
     ORDER BY d.id LIMIT $4"
);

pub(crate) async fn audience(
    session: &Session,
    conversation: ConversationId,
    above: Option<RegistrationId>,
) -> Sql<Option<Audience>> {
    let Some(head) = head(session, conversation).await? else { return Ok(None) };
    let above = above.map_or(Uuid::nil(), |id| id.uuid());
    let params: &[&dyn Param] = &[&conversation.uuid(), &head.last_seq, &above, &limit_of(AUDIENCE_MAX + 1)];
    let mut seats = session.rows(AUDIENCE, params).await?.iter().map(seat_from).collect::<Sql<Vec<_>>>()?;
    let has_more = seats.len() > AUDIENCE_MAX;
    seats.truncate(AUDIENCE_MAX);
    let next = seats.last().filter(|_| has_more).map(|seat| seat.registration);
    Ok(Some(Audience { last_seq: head.last_seq, seats, next }))
}

struct Head {
    last_seq: Seq,
    place: PushPlace,
}

async fn head(session: &Session, conversation: ConversationId) -> Sql<Option<Head>> {
    let select = "SELECT last_seq, kind, title, member_count FROM conversations WHERE id = $1";
    let row = session.opt(select, &[&conversation.uuid()]).await?;
    row.map(|row| {
        let place = PushPlace { kind: kind_of(at(&row, 1)?), title: at(&row, 2)?, member_count: at(&row, 3)? };
        Ok(Head { last_seq: at(&row, 0)?, place })
    })
    .transpose()
}

const TARGET: &str = concat!(
    "SELECT ",
    target_columns!(),
    ", u.quiet_hours FROM devices d JOIN users u ON u.id = d.user_id WHERE d.id = $1 AND d.failed_at IS NULL"
);

const SEAT: &str = concat!(
    "SELECT ",
    seat_columns!(),
    " FROM devices d CROSS JOIN LATERAL (SELECT m.* FROM members m
        WHERE m.conversation_id = $1 AND m.user_id = d.user_id OFFSET 0) m
     LEFT JOIN device_seats s ON s.conversation_id = $1 AND s.device_id = d.id WHERE d.id = $2"
);

pub(crate) async fn occasion(
    session: &Session,
    registration: RegistrationId,
    conversation: ConversationId,
    now: Timestamp,
) -> Sql<Option<Occasion>> {
    let Some(head) = head(session, conversation).await? else { return Ok(None) };
    let Some(row) = session.opt(TARGET, &[&registration.uuid()]).await? else { return Ok(None) };
    let (target, quiet_hours) = (target_from(&row)?, quiet_hours_from(at(&row, 6)?)?);
    let seat = session.opt(SEAT, &[&conversation.uuid(), &registration.uuid()]).await?;
    let seat = seat.map(|row| seat_from(&row)).transpose()?;
    let (unseen, unseen_count) = match &seat {
        Some(seat) if !seat.has_left => {
            unseen(session, conversation, target.user, (seat.seen_seq(), head.last_seq)).await?
        }
        _ => (Vec::new(), 0),
    };
    let badge = at(&session.one(BADGE, &[&target.user.uuid(), &now.ms(), &BADGE_MAX]).await?, 0)?;
    let place = head.place;
    Ok(Some(Occasion { target, conversation, place, seat, unseen, unseen_count, badge, quiet_hours }))
}

/// Neither one's own, nor deleted, nor of somebody whom one has blocked.
macro_rules! unseen {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM messages x WHERE x.conversation_id = $1 AND x.seq > $3 AND x.seq <= $4 AND x.sender_id <> $2 AND x.deleted_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.user_id = $2 AND b.blocked_id = x.sender_id OFFSET 0)
             ORDER BY x.seq DESC LIMIT $5"
        )
    };
}

const UNSEEN: &str = concat!(
    "SELECT x.id, x.seq, s.id, s.name, x.body, x.created_at FROM (",
    unseen!("x.id, x.seq, x.sender_id, x.body, x.created_at"),
    ") x JOIN users s ON s.id = x.sender_id ORDER BY x.seq DESC"
);

const UNSEEN_COUNT: &str = concat!("SELECT count(*) FROM (", unseen!("x.seq"), ") x");

async fn unseen(
    session: &Session,
    conversation: ConversationId,
    user: UserId,
    (above, end): (Seq, Seq),
) -> Sql<(Vec<Unseen>, i64)> {
    if above >= end {
        return Ok((Vec::new(), 0));
    }
    let rows = session.rows(UNSEEN, &[&conversation.uuid(), &user.uuid(), &above, &end, &limit_of(UNSEEN_MAX)]).await?;
    let from = |row: &Row| {
        Ok(Unseen {
            id: MessageId::from_uuid(at(row, 0)?),
            seq: at(row, 1)?,
            sender: user_at(row, 2)?,
            sender_name: at(row, 3)?,
            body: at(row, 4)?,
            created_at: Timestamp::from_ms(at(row, 5)?),
        })
    };
    let unseen = rows.iter().map(from).collect::<Sql<Vec<Unseen>>>()?;
    if unseen.len() < UNSEEN_MAX {
        let count = i64::try_from(unseen.len()).unwrap_or(i64::MAX);
        return Ok((unseen, count));
    }
    let count = session.one(UNSEEN_COUNT, &[&conversation.uuid(), &user.uuid(), &above, &end, &BADGE_MAX]).await?;
    Ok((unseen, at(&count, 0)?))
}

/// As `unread_count` has it for each conversation.
const BADGE: &str = "SELECT least(coalesce(sum(greatest(c.last_seq - m.read_seq - d.deleted, 0)), 0), $3)::bigint
     FROM members m JOIN conversations c ON c.id = m.conversation_id
     CROSS JOIN LATERAL (SELECT count(*) AS deleted FROM messages d
        WHERE d.conversation_id = c.id AND d.seq > m.read_seq AND d.seq <= c.last_seq AND d.deleted_at IS NOT NULL) d
     WHERE m.user_id = $1 AND m.removed_at IS NULL AND c.last_seq > m.read_seq AND NOT coalesce(m.hidden_seq >= c.last_seq, false)
        AND NOT coalesce(m.muted_until > $2, false)";

const ATTEMPTS: &str = "SELECT a.device_id, d.user_id, d.provider, a.seq, a.outcome, a.detail, a.at
     FROM (SELECT * FROM push_attempts WHERE conversation_id = $1 AND seq >= $2 ORDER BY seq, device_id, attempt LIMIT $3) a
     LEFT JOIN devices d ON d.id = a.device_id ORDER BY a.seq, a.device_id, a.attempt";

pub(crate) async fn attempts(session: &Session, conversation: ConversationId, seq: Seq) -> Sql<Vec<PushAttempt>> {
    let rows = session.rows(ATTEMPTS, &[&conversation.uuid(), &seq, &limit_of(ATTEMPTS_READ_MAX)]).await?;
    let from = |row: &Row| {
        let outcome = PushOutcome::from_number(at::<i16>(row, 4)?.into());
        Ok(PushAttempt {
            registration: registration_at(row, 0)?,
            user: at::<Option<Uuid>>(row, 1)?.map(UserId::from_uuid),
            provider: at::<Option<i16>>(row, 2)?.map(provider_of).transpose()?,
            seq: at(row, 3)?,
            outcome: outcome.ok_or_else(|| bad_value("an outcome that is not 0 to 4"))?,
            detail: at(row, 5)?,
            at: Timestamp::from_ms(at(row, 6)?),
        })
    };
    Ok(covering(rows.iter().map(from).collect::<Sql<Vec<_>>>()?))
}

/// In order of time, so that only so many are looked at.
const TICKETS: &str = "SELECT a.device_id, d.token_hash, a.conversation_id, a.seq, a.detail FROM push_attempts a
     CROSS JOIN LATERAL (SELECT d.* FROM devices d WHERE d.id = a.device_id OFFSET 0) d
     WHERE a.at >= $2 AND a.at < $3 AND a.outcome = 0 AND a.detail <> '' AND d.provider = $1 AND d.failed_at IS NULL AND d.registered_at <= a.at
     ORDER BY a.at DESC LIMIT $4";

pub(crate) async fn tickets(
    session: &Session,
    provider: PushProvider,
    since: Timestamp,
    until: Timestamp,
) -> Sql<Vec<Ticket>> {
    let number = i16::try_from(provider.number()).unwrap_or(-1);
    let rows = session.rows(TICKETS, &[&number, &since.ms(), &until.ms(), &limit_of(TICKETS_MAX)]).await?;
    let from = |row: &Row| {
        let hash: &[u8] = at(row, 1)?;
        Ok(Ticket {
            registration: registration_at(row, 0)?,
            token_hash: hash.try_into().map_err(|_| bad_value("a token's hash that is not of 256 bits"))?,
            conversation: ConversationId::from_uuid(at(row, 2)?),
            seq: at(row, 3)?,
            name: at(row, 4)?,
        })
    };
    Ok(one_for_each(rows.iter().map(from).collect::<Sql<_>>()?))
}

fn quiet_hours_from(stored: Option<&str>) -> Sql<Option<QuietHours>> {
    quiet_hours_of(stored).map_err(|_| bad_value("quiet hours that are no JSON of them"))
}

pub(crate) async fn quiet_hours(session: &Session, user: UserId) -> Sql<Option<QuietHours>> {
    let row = session.opt("SELECT quiet_hours FROM users WHERE id = $1", &[&user.uuid()]).await?;
    row.map_or(Ok(None), |row| quiet_hours_from(at(&row, 0)?))
}
