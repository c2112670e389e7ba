//! Devices: what is registered, what each was told, and what the log's own writes mean for them.
//!
//! The order of locks is: the person who registers, devices by id, how far they have come by conversation and device, jobs by kind and key. Who notes how
//! far a device has come holds the device meanwhile (`FOR KEY SHARE`), so that nothing is noted of one that goes.

use std::collections::{BTreeMap, BTreeSet};

use tertulia_proto::{
    ConversationId, Device, DeviceId, PushProvider, QuietHours, RegistrationId, Seq, Timestamp, UserId,
};
use tertulia_store::jobs::JOBS_PER_CALL_MAX;
use tertulia_store::push::*;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::hot::unless;
use crate::error::Sql;
use crate::read::push::device;
use crate::rows::{at, bad_value, user_at};
use crate::session::{Param, Session};

/// What a round of appends and watermarks means for devices.
#[derive(Default)]
pub(crate) struct OfDevices {
    /// What a device has told to have got.
    delivered: BTreeMap<(ConversationId, UserId, DeviceId), Seq>,
    reads: Vec<Read>,
}

/// A read watermark that has moved.
struct Read {
    conversation: ConversationId,
    user: UserId,
    seq: Seq,
    /// It takes its notifications away itself.
    told_by: Option<DeviceId>,
    at: Timestamp,
}

const DELIVERED: &str = "WITH held AS MATERIALIZED (
        SELECT w.conversation_id, d.id AS device_id, w.seq
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[]) AS w (conversation_id, user_id, client_device, seq)
        JOIN devices d ON d.user_id = w.user_id AND d.client_device = w.client_device
        LEFT JOIN device_seats s ON s.conversation_id = w.conversation_id AND s.device_id = d.id
        WHERE w.seq > coalesce(s.delivered_seq, 0) ORDER BY d.id FOR KEY SHARE OF d)
     INSERT INTO device_seats (conversation_id, device_id, delivered_seq, pushed_seq, withdrawn_seq)
     SELECT conversation_id, device_id, seq, 0, 0 FROM held ORDER BY conversation_id, device_id
     ON CONFLICT (conversation_id, device_id)
     DO UPDATE SET delivered_seq = excluded.delivered_seq WHERE excluded.delivered_seq > device_seats.delivered_seq";

/// What was read on one device is no news on the others: their notifications of it are to be taken away. A ready job is joined as in the queue.
const WITHDRAW: &str = "INSERT INTO jobs (kind, unique_key, payload, run_at, created_at)
     SELECT p.kind, p.key, '{\"registration\":\"' || p.device_id || '\",\"conversationId\":\"' || p.conversation_id || '\"}', p.at, p.at
     FROM (SELECT ($6::text[])[d.provider + 1] COLLATE \"C\" AS kind, uuid_send(d.id) || uuid_send(w.conversation_id) AS key, d.id AS device_id,
            w.conversation_id, min(w.at) AS at
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[]) AS w (conversation_id, user_id, read_seq, told_by, at)
        CROSS JOIN LATERAL (SELECT d.id, d.provider FROM devices d WHERE d.user_id = w.user_id AND d.failed_at IS NULL
            AND (w.told_by IS NULL OR d.client_device IS DISTINCT FROM w.told_by) OFFSET 0) d
        CROSS JOIN LATERAL (SELECT s.device_id FROM device_seats s WHERE s.conversation_id = w.conversation_id AND s.device_id = d.id
            AND s.pushed_seq > s.withdrawn_seq AND s.pushed_seq <= w.read_seq OFFSET 0) s
        GROUP BY d.id, d.provider, w.conversation_id) p
     ORDER BY p.kind, p.key
     ON CONFLICT (kind, unique_key) WHERE state = 0
     DO UPDATE SET run_at = CASE WHEN jobs.attempt > jobs.spared THEN jobs.run_at ELSE least(jobs.run_at, excluded.run_at) END,
        priority = least(jobs.priority, excluded.priority)";

pub(super) async fn prepare(session: &Session) -> Sql<()> {
    let (ids, numbers) = (Type::UUID_ARRAY, Type::INT8_ARRAY);
    session.ready(DELIVERED, &[ids.clone(), ids.clone(), ids.clone(), numbers.clone()]).await?;
    let types = [ids.clone(), ids.clone(), numbers.clone(), ids, numbers, Type::TEXT_ARRAY];
    session.ready(WITHDRAW, &types).await
}

impl OfDevices {
    pub fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.reads.is_empty()
    }

    pub fn delivered(&mut self, conversation: ConversationId, user: UserId, device: DeviceId, seq: Seq) {
        if seq > 0 {
            let known = self.delivered.entry((conversation, user, device)).or_default();
            *known = seq.max(*known);
        }
    }

    pub fn read(
        &mut self,
        (conversation, user): (ConversationId, UserId),
        seq: Seq,
        told_by: Option<DeviceId>,
        at: Timestamp,
    ) {
        self.reads.push(Read { conversation, user, seq, told_by, at });
    }

    /// Nothing that is shown of it is for them any more.
    pub fn left(&mut self, conversation: ConversationId, user: UserId, at: Timestamp) {
        self.read((conversation, user), Seq::MAX, None, at);
    }

    /// What else came of the same transaction.
    pub fn join(&mut self, other: Self) {
        for ((conversation, user, device), seq) in other.delivered {
            self.delivered(conversation, user, device, seq);
        }
        self.reads.extend(other.reads);
    }

    /// At most two statements, both under way at the first poll.
    pub async fn write(&self, session: &Session) -> Sql<()> {
        let (mut places, mut people, mut devices, mut seqs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ((conversation, user, device), seq) in &self.delivered {
            places.push(conversation.uuid());
            people.push(user.uuid());
            devices.push(device.uuid());
            seqs.push(*seq);
        }
        let kinds: Vec<&str> = PushProvider::ALL.iter().map(|provider| provider.job_kind()).collect();
        let each = |column: fn(&Read) -> Uuid| self.reads.iter().map(column).collect::<Vec<Uuid>>();
        let (read_in, readers) = (each(|read| read.conversation.uuid()), each(|read| read.user.uuid()));
        let read_seqs: Vec<i64> = self.reads.iter().map(|read| read.seq).collect();
        let told_by: Vec<Option<Uuid>> =
            self.reads.iter().map(|read| read.told_by.map(|device| device.uuid())).collect();
        let times: Vec<i64> = self.reads.iter().map(|read| read.at.ms()).collect();
        let delivered: &[&dyn Param] = &[&places, &people, &devices, &seqs];
        let withdrawn: &[&dyn Param] = &[&read_in, &readers, &read_seqs, &told_by, &times, &kinds];
        let (delivered, withdrawn) = futures_util::join!(
            unless(places.is_empty(), session, DELIVERED, delivered),
            unless(read_in.is_empty(), session, WITHDRAW, withdrawn),
        );
        delivered.and(withdrawn).map(drop)
    }
}

const LOCK_DEVICES: &str = "SELECT id FROM devices WHERE id = ANY($1) ORDER BY id FOR UPDATE";

const REMOVE_SEATS: &str = "DELETE FROM device_seats s
     USING (SELECT conversation_id, device_id FROM device_seats WHERE device_id = ANY($1) ORDER BY conversation_id, device_id FOR UPDATE) w
     WHERE s.conversation_id = w.conversation_id AND s.device_id = w.device_id";

const REMOVE_DEVICES: &str = "DELETE FROM devices WHERE id = ANY($1)";

/// With everything that is known of how far they had come. Whether there were some.
async fn remove(session: &Session, devices: Vec<Uuid>) -> Sql<bool> {
    if devices.is_empty() {
        return Ok(false);
    }
    session.rows(LOCK_DEVICES, &[&devices]).await?;
    session.execute(REMOVE_SEATS, &[&devices]).await?;
    Ok(session.execute(REMOVE_DEVICES, &[&devices]).await? > 0)
}

fn ids(rows: &[tokio_postgres::Row]) -> Sql<Vec<Uuid>> {
    rows.iter().map(|row| at(row, 0)).collect()
}

/// Who signs out is not notified there any more.
pub(super) async fn unregister_session(session: &Session, ended: Uuid) -> Sql<()> {
    unregister_sessions(session, vec![ended]).await
}

async fn unregister_sessions(session: &Session, ended: Vec<Uuid>) -> Sql<()> {
    let gone = session.rows("SELECT id FROM devices WHERE session_id = ANY($1)", &[&ended]).await?;
    remove(session, ids(&gone)?).await.map(drop)
}

/// Those that another server removes just now are left to it.
const FORGET_EXPIRED: &str = "DELETE FROM sessions
     WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id";

/// Sessions that expired, at most `most`, and what was registered by them: what nobody remembers nobody can find to be over.
pub(super) async fn forget_expired(session: &Session, now: Timestamp, most: i64) -> Sql<()> {
    let expired = ids(&session.rows(FORGET_EXPIRED, &[&now.ms(), &most]).await?)?;
    if expired.is_empty() { Ok(()) } else { unregister_sessions(session, expired).await }
}

/// One registration of a person after the other; and whoever ends their session waits, or has ended it.
const LOCK_PERSON: &str = "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE";

const HAS_ENDED: &str = "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND ended_at IS NOT NULL)
        OR EXISTS (SELECT 1 FROM api_keys WHERE id = $1 AND revoked_at IS NOT NULL)";

const OF_TOKEN: &str = "SELECT id, user_id FROM devices WHERE token_hash = $1 FOR UPDATE";

const RENEW: &str = "UPDATE devices SET session_id = $2, client_device = $3, platform = $4, app_version = $5, user_agent = $6, shows_content = $7,
        registered_at = $8, failed_at = NULL, failure = NULL, refusals = 0 WHERE id = $1";

const INSERT: &str = "INSERT INTO devices (id, session_id, client_device, platform, app_version, user_agent, shows_content, registered_at, created_at,
        user_id, provider, token, token_hash)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12)";

/// Of one client device, the latest first.
const OF_CLIENT_DEVICE: &str = "SELECT id FROM devices
     WHERE user_id = $1 AND client_device = $2 AND provider = $3 AND id IS DISTINCT FROM $4 ORDER BY registered_at DESC, id DESC";

const CHANGE_TOKEN: &str = "UPDATE devices SET token = $2, token_hash = $3 WHERE id = $1";

const TAKE_OVER: &str = "INSERT INTO device_seats (conversation_id, device_id, delivered_seq, pushed_seq, withdrawn_seq)
     SELECT conversation_id, $2, max(delivered_seq), max(pushed_seq), max(withdrawn_seq) FROM device_seats WHERE device_id = ANY($1)
     GROUP BY conversation_id ORDER BY conversation_id
     ON CONFLICT (conversation_id, device_id) DO UPDATE SET delivered_seq = greatest(device_seats.delivered_seq, excluded.delivered_seq),
        pushed_seq = greatest(device_seats.pushed_seq, excluded.pushed_seq),
        withdrawn_seq = greatest(device_seats.withdrawn_seq, excluded.withdrawn_seq)";

const SURPLUS: &str =
    "SELECT id FROM devices WHERE user_id = $1 AND id <> $2 ORDER BY registered_at DESC, id DESC OFFSET $3";

/// A token that two register at once fails the one, and the next try finds it.
pub(crate) async fn register(session: &Session, new: &NewRegistration) -> Sql<Device> {
    let user = new.user.uuid();
    if session.opt(LOCK_PERSON, &[&user]).await?.is_none() {
        return Err(bad_value("a device of nobody"));
    }
    if let Some(by) = new.session
        && at(&session.one(HAS_ENDED, &[&by.uuid()]).await?, 0)?
    {
        return Ok(new.of_ended_session());
    }
    let id = keep(session, new).await?;
    let others_max = i64::try_from(new.per_user_max.saturating_sub(1)).unwrap_or(i64::MAX);
    let surplus = session.rows(SURPLUS, &[&user, &id, &others_max]).await?;
    remove(session, ids(&surplus)?).await?;
    device(session, id).await
}

/// The token's row, or else that of the same client device with another token, under the id that it has from now on.
async fn keep(session: &Session, new: &NewRegistration) -> Sql<Uuid> {
    let hash = token_hash(new.provider, &new.token);
    let mut known: Option<Uuid> = None;
    if let Some(row) = session.opt(OF_TOKEN, &[&&hash[..]]).await? {
        if user_at(&row, 1)? == new.user {
            known = Some(at(&row, 0)?);
        } else {
            remove(session, vec![at(&row, 0)?]).await?;
        }
    }
    let mut others: Vec<Uuid> = Vec::new();
    if let Some(client_device) = new.device {
        let params: &[&dyn Param] = &[&new.user.uuid(), &client_device.uuid(), &small(new.provider.number())?, &known];
        others = ids(&session.rows(OF_CLIENT_DEVICE, params).await?)?;
        if !others.is_empty() {
            // Whoever unregisters one meanwhile does not wait for its person.
            let there = ids(&session.rows(LOCK_DEVICES, &[&others]).await?)?;
            others.retain(|id| there.contains(id));
        }
    }
    let id = match known {
        Some(id) => id,
        None if others.is_empty() => return insert(session, new, &hash).await,
        None => {
            let id = others.remove(0);
            session.execute(CHANGE_TOKEN, &[&id, &new.token, &&hash[..]]).await?;
            id
        }
    };
    renew(session, id, new).await?;
    if !others.is_empty() {
        // The same device under another token, which was known by itself: what it was told, it was told.
        session.execute(TAKE_OVER, &[&others, &id]).await?;
        remove(session, others).await?;
    }
    Ok(id)
}

async fn renew(session: &Session, id: Uuid, new: &NewRegistration) -> Sql<()> {
    let (by, client_device) = (new.session.map(|id| id.uuid()), new.device.map(|id| id.uuid()));
    let params: &[&dyn Param] = &[
        &id,
        &by,
        &client_device,
        &small(new.platform.number())?,
        &new.app_version,
        &new.user_agent,
        &new.shows_content,
        &new.now.ms(),
    ];
    session.execute(RENEW, params).await.map(drop)
}

async fn insert(session: &Session, new: &NewRegistration, hash: &[u8; 32]) -> Sql<Uuid> {
    let (by, client_device) = (new.session.map(|id| id.uuid()), new.device.map(|id| id.uuid()));
    let params: &[&dyn Param] = &[
        &new.id.uuid(),
        &by,
        &client_device,
        &small(new.platform.number())?,
        &new.app_version,
        &new.user_agent,
        &new.shows_content,
        &new.now.ms(),
        &new.user.uuid(),
        &small(new.provider.number())?,
        &new.token,
        &&hash[..],
    ];
    session.execute(INSERT, params).await?;
    Ok(new.id.uuid())
}

fn small(number: i64) -> Sql<i16> {
    i16::try_from(number).map_err(|_| bad_value("a number that is not small"))
}

pub(crate) async fn unregister(session: &Session, user: UserId, which: &WhichDevice) -> Sql<bool> {
    let gone = match which {
        WhichDevice::Id(id) => {
            let select = "SELECT id FROM devices WHERE user_id = $1 AND id = $2";
            session.rows(select, &[&user.uuid(), &id.uuid()]).await?
        }
        WhichDevice::Token(token) => {
            let select = "SELECT id FROM devices WHERE user_id = $1 AND token_hash = ANY($2)";
            let hashes = PushProvider::ALL.map(|provider| token_hash(provider, token));
            let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
            session.rows(select, &[&user.uuid(), &hashes]).await?
        }
    };
    remove(session, ids(&gone)?).await
}

const SWITCH_OFF: &str =
    "UPDATE devices SET failed_at = $3, failure = $4 WHERE id = $1 AND token_hash = $2 AND failed_at IS NULL";

pub(crate) async fn switch_off(
    session: &Session,
    registration: RegistrationId,
    token_hash: &[u8; 32],
    reason: &str,
    at: Timestamp,
) -> Sql<bool> {
    let params: &[&dyn Param] = &[&registration.uuid(), &&token_hash[..], &at.ms(), &kept_detail(reason)];
    Ok(session.execute(SWITCH_OFF, params).await? > 0)
}

/// Of what is gone nothing is kept; a device may be.
const NOTE: &str = "INSERT INTO push_attempts (conversation_id, seq, device_id, attempt, at, outcome, detail)
     SELECT w.conversation_id, w.seq, w.device_id,
        l.latest + row_number() OVER (PARTITION BY w.conversation_id, w.seq, w.device_id ORDER BY w.place), w.at, w.outcome, w.detail
     FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::smallint[], $6::text[]) WITH ORDINALITY
        AS w (conversation_id, seq, device_id, at, outcome, detail, place)
     CROSS JOIN LATERAL (SELECT coalesce(max(a.attempt), 0) AS latest FROM push_attempts a
        WHERE a.conversation_id = w.conversation_id AND a.seq = w.seq AND a.device_id = w.device_id OFFSET 0) l
     WHERE EXISTS (SELECT 1 FROM conversations c WHERE c.id = w.conversation_id OFFSET 0)";

const FORGET_OLDER: &str = "DELETE FROM push_attempts a
     USING (SELECT DISTINCT conversation_id, seq, device_id
        FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS w (conversation_id, seq, device_id)) w
     CROSS JOIN LATERAL (SELECT max(b.attempt) AS latest FROM push_attempts b
        WHERE b.conversation_id = w.conversation_id AND b.seq = w.seq AND b.device_id = w.device_id OFFSET 0) l
     WHERE a.conversation_id = w.conversation_id AND a.seq = w.seq AND a.device_id = w.device_id AND a.attempt <= l.latest - $4";

const MOVE_SEATS: &str = "WITH held AS MATERIALIZED (
        SELECT w.conversation_id, d.id AS device_id, w.pushed, w.withdrawn
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) AS w (conversation_id, device_id, pushed, withdrawn)
        JOIN devices d ON d.id = w.device_id
        WHERE EXISTS (SELECT 1 FROM conversations c WHERE c.id = w.conversation_id OFFSET 0) ORDER BY d.id FOR KEY SHARE OF d)
     INSERT INTO device_seats (conversation_id, device_id, delivered_seq, pushed_seq, withdrawn_seq)
     SELECT conversation_id, device_id, 0, pushed, withdrawn FROM held ORDER BY conversation_id, device_id
     ON CONFLICT (conversation_id, device_id) DO UPDATE SET pushed_seq = greatest(device_seats.pushed_seq, excluded.pushed_seq),
        withdrawn_seq = greatest(device_seats.withdrawn_seq, excluded.withdrawn_seq)";

pub(crate) async fn note(session: &Session, notes: &[PushNote]) -> Sql<()> {
    if notes.is_empty() {
        return Ok(());
    }
    let mut seats: BTreeMap<(Uuid, Uuid), (Seq, Seq)> = BTreeMap::new();
    for note in notes {
        let (pushed, withdrawn) = match note.outcome {
            PushOutcome::Accepted => (note.seq, 0),
            PushOutcome::Withdrawn => (0, note.seq),
            PushOutcome::Failed | PushOutcome::Refused | PushOutcome::Unregistered => continue,
        };
        let seat = seats.entry((note.conversation.uuid(), note.registration.uuid())).or_default();
        *seat = (pushed.max(seat.0), withdrawn.max(seat.1));
    }
    if !seats.is_empty() {
        let (conversations, devices): (Vec<Uuid>, Vec<Uuid>) = seats.keys().copied().unzip();
        let (pushed, withdrawn): (Vec<i64>, Vec<i64>) = seats.values().copied().unzip();
        session.execute(MOVE_SEATS, &[&conversations, &devices, &pushed, &withdrawn]).await?;
    }
    count_refusals(session, &refusals(notes)).await?;
    let conversations: Vec<Uuid> = notes.iter().map(|note| note.conversation.uuid()).collect();
    let seqs: Vec<i64> = notes.iter().map(|note| note.seq).collect();
    let devices: Vec<Uuid> = notes.iter().map(|note| note.registration.uuid()).collect();
    let times: Vec<i64> = notes.iter().map(|note| note.at.ms()).collect();
    let outcomes = notes.iter().map(|note| small(note.outcome.number())).collect::<Sql<Vec<i16>>>()?;
    let details: Vec<String> = notes.iter().map(|note| kept_detail(&note.detail)).collect();
    session.execute(NOTE, &[&conversations, &seqs, &devices, &times, &outcomes, &details]).await?;
    let kept_max = i64::try_from(ATTEMPTS_MAX).unwrap_or(i64::MAX);
    session.execute(FORGET_OLDER, &[&conversations, &seqs, &devices, &kept_max]).await.map(drop)
}

/// Conversations and devices of which something was told.
pub(crate) fn told(notes: &[PushNote]) -> BTreeSet<(Uuid, Uuid)> {
    let accepted = notes.iter().filter(|note| note.outcome == PushOutcome::Accepted);
    accepted.map(|note| (note.conversation.uuid(), note.registration.uuid())).collect()
}

/// Conflicts with whoever moves a watermark.
const UNTIL_READ: &str = "SELECT 1 FROM devices d JOIN members m ON m.conversation_id = $1 AND m.user_id = d.user_id WHERE d.id = $2 FOR SHARE OF m";

/// Waits for a read of the device's person that is under way. It has moved its watermark and then looked for what was told ([`WITHDRAW`]); a later one
/// looks when the note is there. Nothing is changed, so the disk is not waited for.
pub(crate) async fn until_read(session: &Session, (conversation, device): (Uuid, Uuid)) -> Sql<()> {
    session.batch("SET LOCAL synchronous_commit = off").await?;
    session.opt(UNTIL_READ, &[&conversation, &device]).await.map(drop)
}

const COUNT_REFUSALS: &str = "WITH held AS MATERIALIZED (
        SELECT d.id, d.failed_at IS NULL AS is_on, CASE WHEN w.anew THEN w.more ELSE d.refusals + w.more END AS refusals, w.at, w.failure
        FROM unnest($1::uuid[], $2::boolean[], $3::bigint[], $4::bigint[], $5::text[]) AS w (device_id, anew, more, at, failure)
        JOIN devices d ON d.id = w.device_id WHERE w.more > 0 OR d.refusals > 0 ORDER BY d.id FOR NO KEY UPDATE OF d)
     UPDATE devices d SET refusals = held.refusals,
        failed_at = CASE WHEN held.is_on AND held.refusals >= $6 THEN held.at ELSE d.failed_at END,
        failure = CASE WHEN held.is_on AND held.refusals >= $6 THEN held.failure ELSE d.failure END
     FROM held WHERE d.id = held.id";

async fn count_refusals(session: &Session, all: &[Refusals]) -> Sql<()> {
    if all.is_empty() {
        return Ok(());
    }
    let devices: Vec<Uuid> = all.iter().map(|one| one.registration.uuid()).collect();
    let anew: Vec<bool> = all.iter().map(|one| one.anew).collect();
    let more: Vec<i64> = all.iter().map(|one| one.more).collect();
    let times: Vec<i64> = all.iter().map(|one| one.at.ms()).collect();
    let failures: Vec<&str> = all.iter().map(|one| one.failure.as_str()).collect();
    session.execute(COUNT_REFUSALS, &[&devices, &anew, &more, &times, &failures, &REFUSALS_MAX]).await.map(drop)
}

const TO_BE_FORGOTTEN: &str = "SELECT id FROM devices d WHERE session_id IS NOT NULL
        AND (EXISTS (SELECT 1 FROM sessions s WHERE s.id = d.session_id AND (s.ended_at IS NOT NULL OR s.expires_at < $1))
            OR EXISTS (SELECT 1 FROM api_keys k WHERE k.id = d.session_id AND k.revoked_at IS NOT NULL))
     ORDER BY id LIMIT $2 FOR UPDATE OF d SKIP LOCKED";

pub(crate) async fn forget_devices(session: &Session, at: Timestamp, most: usize) -> Sql<usize> {
    let most = i64::try_from(most.min(JOBS_PER_CALL_MAX)).unwrap_or(0);
    let gone = ids(&session.rows(TO_BE_FORGOTTEN, &[&at.ms(), &most]).await?)?;
    let count = gone.len();
    remove(session, gone).await.map(|_| count)
}

const FORGET_ATTEMPTS: &str = "DELETE FROM push_attempts WHERE (conversation_id, seq, device_id, attempt) IN
     (SELECT conversation_id, seq, device_id, attempt FROM push_attempts WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";

pub(crate) async fn forget_attempts(session: &Session, at: Timestamp, most: usize) -> Sql<usize> {
    let most = i64::try_from(most.min(JOBS_PER_CALL_MAX)).unwrap_or(0);
    let gone = session.execute(FORGET_ATTEMPTS, &[&at.ms(), &most]).await?;
    Ok(usize::try_from(gone).unwrap_or(usize::MAX))
}

pub(crate) async fn set_quiet_hours(session: &Session, user: UserId, hours: Option<&QuietHours>) -> Sql<()> {
    let hours = stored_quiet_hours(hours);
    session.execute("UPDATE users SET quiet_hours = $2 WHERE id = $1", &[&user.uuid(), &hours]).await.map(drop)
}
