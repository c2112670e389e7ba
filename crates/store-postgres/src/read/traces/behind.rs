//! To whom a message has not come.

use tertulia_proto::{ConversationId, RegistrationId, Seq, UserId};
use tertulia_store::trace::{Audience, BEHIND_MAX, Behind, BehindDevice};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Sql;
use crate::read::accounts::limit_of;
use crate::read::push::provider_of;
use crate::rows::{at, time_at, user_at};
use crate::session::Session;

const COUNTS: &str = "SELECT count(*), count(*) FILTER (WHERE greatest(m.delivered_seq, m.read_seq) < $3) FROM members m
     WHERE m.conversation_id = $1 AND m.user_id <> $2 AND m.removed_at IS NULL AND m.visible_after_seq < $3 AND m.joined_pos <= $4";

const BEHIND: &str = "SELECT u.id, u.name, m.muted_until,
        EXISTS (SELECT 1 FROM blocks b WHERE b.user_id = m.user_id AND b.blocked_id = $2)
     FROM members m JOIN users u ON u.id = m.user_id
     WHERE m.conversation_id = $1 AND m.user_id <> $2 AND m.removed_at IS NULL AND m.visible_after_seq < $3 AND m.joined_pos <= $4
        AND greatest(m.delivered_seq, m.read_seq) < $3 ORDER BY u.id LIMIT $5";

/// By person: in order of registration those of everybody would be read.
const DEVICES: &str = "SELECT u.id, d.id, d.provider, d.failed_at IS NULL, coalesce(s.pushed_seq, 0) FROM unnest($2::uuid[]) u (id)
     CROSS JOIN LATERAL (SELECT d.* FROM devices d WHERE d.user_id = u.id OFFSET 0) d
     LEFT JOIN LATERAL (SELECT s.* FROM device_seats s WHERE s.conversation_id = $1 AND s.device_id = d.id OFFSET 0) s ON true
     ORDER BY d.id";

pub(super) async fn audience(
    session: &Session,
    conversation: ConversationId,
    seq: Seq,
    sender: UserId,
    born_pos: i64,
) -> Sql<Audience> {
    let (id, sender, most) = (conversation.uuid(), sender.uuid(), limit_of(BEHIND_MAX));
    let counts = session.one(COUNTS, &[&id, &sender, &seq, &born_pos]).await?;
    let rows = session.rows(BEHIND, &[&id, &sender, &seq, &born_pos, &most]).await?;
    let mut first = rows.iter().map(behind_from).collect::<Sql<Vec<Behind>>>()?;
    let users: Vec<Uuid> = first.iter().map(|one| one.user.uuid()).collect();
    if !users.is_empty() {
        for row in session.rows(DEVICES, &[&id, &users]).await? {
            let (user, device) = (user_at(&row, 0)?, device_from(&row)?);
            let whose = first.iter_mut().find(|one| one.user == user && one.devices.len() < BEHIND_MAX);
            whose.into_iter().for_each(|one| one.devices.push(device));
        }
    }
    let count = |index| -> Sql<u64> { Ok(u64::try_from(at::<i64>(&counts, index)?).unwrap_or(0)) };
    Ok(Audience { members: count(0)?, behind: count(1)?, first })
}

fn behind_from(row: &Row) -> Sql<Behind> {
    Ok(Behind {
        user: user_at(row, 0)?,
        name: at(row, 1)?,
        muted_until: time_at(row, 2)?,
        blocks: at(row, 3)?,
        devices: Vec::new(),
    })
}

fn device_from(row: &Row) -> Sql<BehindDevice> {
    Ok(BehindDevice {
        registration: RegistrationId::from_uuid(at(row, 1)?),
        provider: provider_of(at(row, 2)?)?,
        active: at(row, 3)?,
        pushed_seq: at(row, 4)?,
    })
}
