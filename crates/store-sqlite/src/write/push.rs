//! Devices: what is registered, what each was told, and what the log's own writes mean for them.

use rusqlite::{Connection, OptionalExtension};
use tertulia_proto::{
    ConversationId, Device, DeviceId, PushProvider, QuietHours, RegistrationId, Seq, SessionId, Timestamp, UserId,
};
use tertulia_store::jobs::{JOBS_PER_CALL_MAX, NewJob, Priority};
use tertulia_store::push::*;

use super::Batch;
use crate::read::push::{IS_OVER, device};
use crate::rows::{Sql, bad_value, user_no};

const WITHDRAWN: &str = "SELECT d.id, d.provider FROM devices d
     JOIN device_seats s ON s.conversation_no = ?1 AND s.device_no = d.no
     WHERE d.user_no = ?2 AND d.failed_at IS NULL AND s.pushed_seq > s.withdrawn_seq AND s.pushed_seq <= ?3
        AND (?4 IS NULL OR d.client_device IS NOT ?4) ORDER BY d.provider, d.id";

const DELIVERED: &str =
    "INSERT INTO device_seats (conversation_no, device_no, delivered_seq, pushed_seq, withdrawn_seq)
     SELECT ?1, d.no, ?4, 0, 0 FROM devices d WHERE d.user_no = ?2 AND d.client_device = ?3
     ON CONFLICT DO UPDATE SET delivered_seq = excluded.delivered_seq WHERE excluded.delivered_seq > delivered_seq";

/// One person's place in one conversation, by this file's numbers.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub conversation: ConversationId,
    pub conversation_no: i64,
    pub user_no: i64,
}

impl Batch<'_> {
    /// What a device has told to have got, whatever its person's other devices have.
    pub(super) fn delivered_to(&self, at: At, device: DeviceId, seq: Seq) -> Sql<()> {
        if seq <= 0 {
            return Ok(());
        }
        self.connection
            .prepare_cached(DELIVERED)?
            .execute((at.conversation_no, at.user_no, device.as_bytes().as_slice(), seq))
            .map(drop)
    }

    /// What was read on one device is no news on the others: their notifications of it are to be taken away. The device that told does it itself. Of whoever
    /// leaves all are, as if all had been read.
    pub(super) fn withdraw(&self, at: At, read_seq: Seq, told_by: Option<DeviceId>, now: Timestamp) -> Sql<()> {
        let told_by = told_by.as_ref().map(|device| device.as_bytes().as_slice());
        let jobs: Vec<NewJob> = self
            .connection
            .prepare_cached(WITHDRAWN)?
            .query_map((at.conversation_no, at.user_no, read_seq, told_by), |row| {
                let registration = RegistrationId::from_bytes(row.get(0)?);
                let job = PushJob { registration, conversation_id: at.conversation };
                push_job(provider_of(row.get(1)?)?, &job, now)
            })?
            .collect::<Sql<_>>()?;
        if !jobs.is_empty() {
            super::jobs::enqueue(self.connection, &jobs)?;
        }
        Ok(())
    }

    /// Who signs out is not notified there any more.
    pub(super) fn unregister_session(&self, session: SessionId) -> Sql<()> {
        let gone =
            numbers(self.connection, "SELECT no FROM devices WHERE session_id = ?1", [session.as_bytes().as_slice()])?;
        remove(self.connection, &gone)
    }

    /// Sessions that expired, at most `most`, and what was registered by them: what nobody remembers nobody can find to be over.
    pub(super) fn forget_expired(&self, now: Timestamp, most: i64) -> Sql<()> {
        let expired: Vec<[u8; 16]> = self
            .connection
            .prepare_cached("DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < ?1 LIMIT ?2) RETURNING id")?
            .query_map((now.ms(), most), |row| row.get(0))?
            .collect::<Sql<_>>()?;
        expired.into_iter().try_for_each(|session| self.unregister_session(SessionId::from_bytes(session)))
    }
}

fn push_job(provider: PushProvider, job: &PushJob, now: Timestamp) -> Sql<NewJob> {
    Ok(NewJob {
        kind: provider.job_kind().to_owned(),
        unique_key: Some(push_key(job)),
        unless_running: false,
        payload: serde_json::to_string(job).map_err(|_| bad_value("a job that has no JSON"))?,
        priority: Priority::Normal,
        run_at: now,
        now,
    })
}

pub(crate) fn provider_of(number: i64) -> Sql<PushProvider> {
    PushProvider::from_number(number).ok_or_else(|| bad_value("a provider that is not 0 to 3"))
}

fn numbers(connection: &Connection, select: &str, params: impl rusqlite::Params) -> Sql<Vec<i64>> {
    connection.prepare_cached(select)?.query_map(params, |row| row.get(0))?.collect()
}

/// With everything that is known of how far they had come.
fn remove(connection: &Connection, devices: &[i64]) -> Sql<()> {
    for no in devices {
        connection.prepare_cached("DELETE FROM device_seats WHERE device_no = ?1")?.execute([no])?;
        connection.prepare_cached("DELETE FROM devices WHERE no = ?1")?.execute([no])?;
    }
    Ok(())
}

pub(crate) fn register(connection: &Connection, new: &NewRegistration) -> Sql<Device> {
    let user_no = user_no(connection, new.user)?.ok_or_else(|| bad_value("a device of nobody"))?;
    if let Some(session) = new.session
        && has_ended(connection, session)?
    {
        return Ok(new.of_ended_session());
    }
    let hash = token_hash(new.provider, &new.token);
    let known: Option<(i64, i64)> = connection
        .prepare_cached("SELECT no, user_no FROM devices WHERE token_hash = ?1")?
        .query_row([hash], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let known = match known {
        Some((no, owner)) if owner != user_no => {
            remove(connection, &[no])?;
            None
        }
        known => known.map(|(no, _)| no),
    };
    let same = of_client_device(connection, user_no, known, new)?;
    let (no, others) = match (known, same.split_first()) {
        (Some(no), _) => {
            renew(connection, no, new)?;
            (no, &same[..])
        }
        (None, Some((no, others))) => {
            connection
                .prepare_cached("UPDATE devices SET token = ?2, token_hash = ?3 WHERE no = ?1")?
                .execute((no, &new.token, hash))?;
            renew(connection, *no, new)?;
            (*no, others)
        }
        (None, None) => (insert(connection, user_no, &hash, new)?, &[][..]),
    };
    for old in others {
        take_over(connection, *old, no)?;
    }
    remove(connection, others)?;
    let surplus = numbers(
        connection,
        "SELECT no FROM devices WHERE user_no = ?1 AND no <> ?2 ORDER BY registered_at DESC, id DESC LIMIT -1 OFFSET ?3",
        (user_no, no, i64::try_from(new.per_user_max.saturating_sub(1)).unwrap_or(i64::MAX)),
    )?;
    remove(connection, &surplus)?;
    device(connection, no)
}

/// The person's registrations of the same client device with other tokens, the latest first.
fn of_client_device(connection: &Connection, user_no: i64, known: Option<i64>, new: &NewRegistration) -> Sql<Vec<i64>> {
    let Some(client_device) = new.device else { return Ok(Vec::new()) };
    numbers(
        connection,
        "SELECT no FROM devices WHERE user_no = ?1 AND client_device = ?2 AND provider = ?3 AND no IS NOT ?4 ORDER BY registered_at DESC, no DESC",
        (user_no, client_device.as_bytes().as_slice(), new.provider.number(), known),
    )
}

fn has_ended(connection: &Connection, session: SessionId) -> Sql<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ?1 AND ended_at IS NOT NULL)
                OR EXISTS (SELECT 1 FROM api_keys WHERE id = ?1 AND revoked_at IS NOT NULL)",
        )?
        .query_row([session.as_bytes().as_slice()], |row| row.get(0))
}

fn renew(connection: &Connection, no: i64, new: &NewRegistration) -> Sql<()> {
    connection
        .prepare_cached(
            "UPDATE devices SET session_id = ?2, client_device = ?3, platform = ?4, app_version = ?5, user_agent = ?6, shows_content = ?7,
                registered_at = ?8, failed_at = NULL, failure = NULL, refusals = 0 WHERE no = ?1",
        )?
        .execute((
            no,
            new.session.as_ref().map(|id| id.as_bytes().as_slice()),
            new.device.as_ref().map(|id| id.as_bytes().as_slice()),
            new.platform.number(),
            &new.app_version,
            &new.user_agent,
            new.shows_content,
            new.now.ms(),
        ))
        .map(drop)
}

fn insert(connection: &Connection, user_no: i64, hash: &[u8; 32], new: &NewRegistration) -> Sql<i64> {
    connection
        .prepare_cached(
            "INSERT INTO devices (id, user_no, session_id, client_device, provider, platform, token, token_hash, app_version, user_agent,
                shows_content, created_at, registered_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12) RETURNING no",
        )?
        .query_row(
            (
                new.id.as_bytes().as_slice(),
                user_no,
                new.session.as_ref().map(|id| id.as_bytes().as_slice()),
                new.device.as_ref().map(|id| id.as_bytes().as_slice()),
                new.provider.number(),
                new.platform.number(),
                &new.token,
                hash,
                &new.app_version,
                &new.user_agent,
                new.shows_content,
                new.now.ms(),
            ),
            |row| row.get(0),
        )
}

/// The same device under another token, which was known by itself: what it was told, it was told.
fn take_over(connection: &Connection, from: i64, to: i64) -> Sql<()> {
    connection
        .prepare_cached(
            "INSERT INTO device_seats (conversation_no, device_no, delivered_seq, pushed_seq, withdrawn_seq)
             SELECT conversation_no, ?2, delivered_seq, pushed_seq, withdrawn_seq FROM device_seats WHERE device_no = ?1
             ON CONFLICT DO UPDATE SET delivered_seq = max(delivered_seq, excluded.delivered_seq),
                pushed_seq = max(pushed_seq, excluded.pushed_seq), withdrawn_seq = max(withdrawn_seq, excluded.withdrawn_seq)",
        )?
        .execute((from, to))
        .map(drop)
}

pub(crate) fn unregister(connection: &Connection, user: UserId, which: &WhichDevice) -> Sql<bool> {
    let Some(user_no) = user_no(connection, user)? else { return Ok(false) };
    let mut gone = Vec::new();
    match which {
        WhichDevice::Id(id) => {
            let select = "SELECT no FROM devices WHERE user_no = ?1 AND id = ?2";
            gone.extend(numbers(connection, select, (user_no, id.as_bytes().as_slice()))?);
        }
        WhichDevice::Token(token) => {
            let select = "SELECT no FROM devices WHERE user_no = ?1 AND token_hash = ?2";
            for provider in PushProvider::ALL {
                gone.extend(numbers(connection, select, (user_no, token_hash(provider, token)))?);
            }
        }
    }
    remove(connection, &gone)?;
    Ok(!gone.is_empty())
}

pub(crate) fn switch_off(
    connection: &Connection,
    registration: RegistrationId,
    token_hash: &[u8; 32],
    reason: &str,
    at: Timestamp,
) -> Sql<bool> {
    let switched = connection
        .prepare_cached(
            "UPDATE devices SET failed_at = ?3, failure = ?4 WHERE id = ?1 AND token_hash = ?2 AND failed_at IS NULL",
        )?
        .execute((registration.as_bytes().as_slice(), token_hash, at.ms(), kept_detail(reason)))?;
    Ok(switched > 0)
}

pub(crate) fn note(connection: &Connection, notes: &[PushNote]) -> Sql<()> {
    for note in notes {
        let conversation: Option<i64> = connection
            .prepare_cached("SELECT no FROM conversations WHERE id = ?1")?
            .query_row([note.conversation.as_bytes().as_slice()], |row| row.get(0))
            .optional()?;
        let Some(conversation) = conversation else { continue };
        note_one(connection, conversation, note)?;
    }
    refusals(notes).iter().try_for_each(|refused| count_refusals(connection, refused))
}

const COUNT_REFUSALS: &str = "UPDATE devices SET refusals = CASE WHEN ?2 THEN ?3 ELSE refusals + ?3 END,
        failed_at = CASE WHEN failed_at IS NULL AND CASE WHEN ?2 THEN ?3 ELSE refusals + ?3 END >= ?4 THEN ?5 ELSE failed_at END,
        failure = CASE WHEN failed_at IS NULL AND CASE WHEN ?2 THEN ?3 ELSE refusals + ?3 END >= ?4 THEN ?6 ELSE failure END
     WHERE id = ?1 AND (?3 > 0 OR refusals > 0)";

fn count_refusals(connection: &Connection, refused: &Refusals) -> Sql<()> {
    let Refusals { registration, anew, more, at, failure } = refused;
    let device = registration.as_bytes().as_slice();
    connection.prepare_cached(COUNT_REFUSALS)?.execute((device, anew, more, REFUSALS_MAX, at.ms(), failure)).map(drop)
}

/// Those of them that were registered by what is over still: by something else since, they stay.
pub(crate) fn forget_devices(connection: &Connection, at: Timestamp, candidates: &[i64]) -> Sql<usize> {
    let select = format!("SELECT no FROM devices d WHERE no = ?2 AND session_id IS NOT NULL AND {IS_OVER}");
    let mut gone = Vec::new();
    for no in candidates {
        gone.extend(numbers(connection, &select, (at.ms(), no))?);
    }
    remove(connection, &gone)?;
    Ok(gone.len())
}

fn note_one(connection: &Connection, conversation_no: i64, note: &PushNote) -> Sql<()> {
    let device = note.registration.as_bytes().as_slice();
    let attempt: i64 = connection
        .prepare_cached(
            "INSERT INTO push_attempts (conversation_no, seq, device_id, attempt, at, outcome, detail)
             SELECT ?1, ?2, ?3, 1 + coalesce((SELECT max(attempt) FROM push_attempts WHERE conversation_no = ?1 AND seq = ?2 AND device_id = ?3), 0),
                ?4, ?5, ?6 RETURNING attempt",
        )?
        .query_row(
            (conversation_no, note.seq, device, note.at.ms(), note.outcome.number(), kept_detail(&note.detail)),
            |row| row.get(0),
        )?;
    let kept_max = i64::try_from(ATTEMPTS_MAX).unwrap_or(i64::MAX);
    if attempt > kept_max {
        connection
            .prepare_cached(
                "DELETE FROM push_attempts WHERE conversation_no = ?1 AND seq = ?2 AND device_id = ?3 AND attempt <= ?4",
            )?
            .execute((conversation_no, note.seq, device, attempt - kept_max))?;
    }
    let (pushed, withdrawn) = match note.outcome {
        PushOutcome::Accepted => (note.seq, 0),
        PushOutcome::Withdrawn => (0, note.seq),
        PushOutcome::Failed | PushOutcome::Refused | PushOutcome::Unregistered => return Ok(()),
    };
    connection
        .prepare_cached(
            "INSERT INTO device_seats (conversation_no, device_no, delivered_seq, pushed_seq, withdrawn_seq)
             SELECT ?1, no, 0, ?3, ?4 FROM devices WHERE id = ?2
             ON CONFLICT DO UPDATE SET pushed_seq = max(pushed_seq, excluded.pushed_seq), withdrawn_seq = max(withdrawn_seq, excluded.withdrawn_seq)",
        )?
        .execute((conversation_no, device, pushed, withdrawn))
        .map(drop)
}

pub(crate) fn forget_attempts(connection: &Connection, at: Timestamp, most: usize) -> Sql<usize> {
    connection
        .prepare_cached(
            "DELETE FROM push_attempts WHERE (conversation_no, seq, device_id, attempt) IN
                (SELECT conversation_no, seq, device_id, attempt FROM push_attempts WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute((at.ms(), i64::try_from(most.min(JOBS_PER_CALL_MAX)).unwrap_or(0)))
}

pub(crate) fn set_quiet_hours(connection: &Connection, user: UserId, hours: Option<&QuietHours>) -> Sql<()> {
    connection
        .prepare_cached("UPDATE users SET quiet_hours = ?2 WHERE id = ?1")?
        .execute((user.as_bytes().as_slice(), stored_quiet_hours(hours)))
        .map(drop)
}
