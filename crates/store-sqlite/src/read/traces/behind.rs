//! To whom a message has not come.

use rusqlite::Connection;
use tertulia_proto::{RegistrationId, Seq, UserId};
use tertulia_store::trace::{Audience, BEHIND_MAX, Behind, BehindDevice};

use crate::read::accounts::limit_of;
use crate::rows::{Sql, time_at};
use crate::write::push::provider_of;

pub(super) const COUNTS: &str = "SELECT count(*), count(*) FILTER (WHERE max(m.delivered_seq, m.read_seq) < ?3) FROM members m
     WHERE m.conversation_no = ?1 AND m.user_no <> ?2 AND m.removed_at IS NULL AND m.visible_after_seq < ?3 AND m.joined_pos <= ?4";

pub(super) const BEHIND: &str = "SELECT u.no, u.id, u.name, m.muted_until,
        EXISTS (SELECT 1 FROM blocks b WHERE b.user_no = m.user_no AND b.blocked_no = ?2)
     FROM members m CROSS JOIN users u ON u.no = m.user_no
     WHERE m.conversation_no = ?1 AND m.user_no <> ?2 AND m.removed_at IS NULL AND m.visible_after_seq < ?3 AND m.joined_pos <= ?4
        AND max(m.delivered_seq, m.read_seq) < ?3 ORDER BY u.id LIMIT ?5";

pub(super) const DEVICES: &str = "SELECT d.id, d.provider, d.failed_at IS NULL, coalesce(s.pushed_seq, 0) FROM devices d
     LEFT JOIN device_seats s ON s.conversation_no = ?1 AND s.device_no = d.no WHERE d.user_no = ?2 ORDER BY d.id LIMIT ?3";

pub(super) fn audience(connection: &Connection, (no, seq): (i64, Seq), sender_no: i64, born_pos: i64) -> Sql<Audience> {
    let (members, behind): (i64, i64) = connection
        .prepare_cached(COUNTS)?
        .query_row((no, sender_no, seq, born_pos), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(i64, Behind)> = connection
        .prepare_cached(BEHIND)?
        .query_map((no, sender_no, seq, born_pos, limit_of(BEHIND_MAX)), |row| {
            let behind = Behind {
                user: UserId::from_bytes(row.get(1)?),
                name: row.get(2)?,
                muted_until: time_at(row, 3)?,
                blocks: row.get(4)?,
                devices: Vec::new(),
            };
            Ok((row.get(0)?, behind))
        })?
        .collect::<Sql<_>>()?;
    let with_devices = |(user_no, one)| Ok(Behind { devices: devices(connection, no, user_no)?, ..one });
    let first = found.into_iter().map(with_devices).collect::<Sql<_>>()?;
    let count = |number| u64::try_from(number).unwrap_or(0);
    Ok(Audience { members: count(members), behind: count(behind), first })
}

fn devices(connection: &Connection, no: i64, user_no: i64) -> Sql<Vec<BehindDevice>> {
    connection
        .prepare_cached(DEVICES)?
        .query_map((no, user_no, limit_of(BEHIND_MAX)), |row| {
            Ok(BehindDevice {
                registration: RegistrationId::from_bytes(row.get(0)?),
                provider: provider_of(row.get(1)?)?,
                active: row.get(2)?,
                pushed_seq: row.get(3)?,
            })
        })?
        .collect()
}
