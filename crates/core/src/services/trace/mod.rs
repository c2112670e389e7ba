//! The life of a message, put together from the log, from what was noted beside it, and from the queue. For the owner of the server, who may know when
//! something came to whom, and sees nothing of what was said.
//!
//! The way through: [`receipts`] to whom it has come, and when; [`behind`] to whom it has not; [`webhooks`] which endpoints were told; [`silence`] what is missing, and why.

mod behind;
mod receipts;
mod silence;
#[cfg(test)]
mod tests;
mod webhooks;

use std::collections::BTreeSet;
use std::sync::Arc;

use tertulia_proto::trace::{
    Commitment, FanOut, NotDelivered, Reception, SeenBy, TracedJob, TracedPush, TracedReceipt,
};
use tertulia_proto::{
    ApiError, ClientMsgId, ConversationId, MessageId, MessageTrace, Seq, ServerId, Timestamp, UserId,
};
use tertulia_store::StoreError;
use tertulia_store::jobs::{JobRecord, JobState};
use tertulia_store::push::{NOTIFY, PushAttempt};
use tertulia_store::trace::{MARKS_MAX, Noted, Place, ReceiptsAfter, Traced, WhichMessage};
use tertulia_store::webhooks::{Line, WEBHOOK};

use self::behind::Known;
use self::receipts::Firsts;
use self::silence::{Gaps, Silence};
use super::Services;
use crate::auth::{ApiKeyIdentity, Scope};
use crate::journal::Journal;
use crate::journal::record::{Record, decode};
use crate::write::store_failed;

/// Pages of receipts that are looked through for each member's first.
const RECEIPT_PAGES_MAX: usize = 10;

/// Why a trace could not be told.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("there is no such message")]
    NotFound,
    /// With its cause: whoever asks on the server itself is to see it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TraceError> for ApiError {
    fn from(error: TraceError) -> Self {
        match error {
            TraceError::NotFound => Self::not_found("message"),
            TraceError::Store(error) => store_failed(&error),
        }
    }
}

/// What is noted here of messages, and how long it is kept.
#[derive(Clone)]
pub struct Tracing {
    /// `None`: nothing is noted.
    pub journal: Option<Arc<Journal>>,
    /// Whether servers of these settings note something: what is asked may be a tool beside them, which has no journal.
    pub is_on: bool,
    pub retention_ms: i64,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { journal: None, is_on: false, retention_ms: 48 * 3_600_000 }
    }
}

impl Services {
    /// For another server with the scope `admin`.
    pub async fn trace_message(&self, key: &ApiKeyIdentity, message: MessageId) -> Result<MessageTrace, ApiError> {
        key.require(Scope::Admin)?;
        let found = self.find_traced(WhichMessage::Id(message)).await?;
        let place = found.first().ok_or_else(|| ApiError::not_found("message"))?;
        Ok(self.trace_of(*place, false).await?)
    }

    /// For another server with the scope `admin`. Where several people have used the name it has to say whose is meant.
    pub async fn trace_named(
        &self,
        key: &ApiKeyIdentity,
        client_msg_id: ClientMsgId,
        sender: Option<UserId>,
    ) -> Result<MessageTrace, ApiError> {
        key.require(Scope::Admin)?;
        let found = self.find_traced(WhichMessage::Name { client_msg_id, sender }).await?;
        match found[..] {
            [] => Err(ApiError::not_found("message")),
            [place] => Ok(self.trace_of(place, false).await?),
            _ => Err(ApiError::invalid("userId: several people have a message of this clientMsgId")),
        }
    }

    /// Where it is; several where it was named by a `clientMsgId` that several people have used. Authorises nobody: the caller has.
    pub async fn find_traced(&self, which: WhichMessage) -> Result<Vec<Place>, TraceError> {
        Ok(self.store.traces().find_message(which).await?)
    }

    /// Authorises nobody: the caller has.
    pub async fn trace_of(&self, place: Place, with_names: bool) -> Result<MessageTrace, TraceError> {
        let traced = self.store.traces().traced(place.conversation, place.seq).await;
        let mut traced = traced?.ok_or(TraceError::NotFound)?;
        let has_more_marks = traced.marks.len() > MARKS_MAX;
        traced.marks.truncate(MARKS_MAX);
        let mut trace = outline(place, &traced, with_names);
        way(&mut trace, &traced.way);
        let gaps = Gaps::new(&traced.gaps, trace.created_at);
        let (firsts, is_complete) = self.receipts_of(place, &traced).await?;
        trace.receipts = firsts.told(&traced.marks, with_names, |at| trace.committed.is_some() && !gaps.any_until(at));
        self.add_pushes(&mut trace).await?;
        let number = traced.message.born_rev.or_else(|| trace.committed.as_ref().map(|committed| committed.rev));
        let webhooks = webhooks::add(&*self.store, &mut trace, number).await;
        let jobs = self.jobs_of(&trace).await;
        trace.jobs = jobs.iter().flatten().map(told_job).collect();
        let offered = &self.notifying.offer.providers[..];
        let known = Known { trace: &trace, jobs: jobs.as_deref(), offered, now: self.now() };
        trace.not_delivered = known.told(&traced.audience, with_names);
        let silence = Silence {
            gaps,
            kept_since: traced.kept_since,
            now: self.now(),
            retention_ms: self.tracing.retention_ms,
            is_on: self.tracing.is_on,
            is_way_cut: traced.way.len() >= tertulia_store::trace::WAY_ROWS_MAX,
            is_receipts_cut: has_more_marks || !is_complete,
            has_jobs: jobs.is_some(),
            webhooks,
        };
        trace.not_recorded = silence.of(&trace);
        Ok(trace)
    }

    /// Looked through until it is known of everybody. `false`: that was too much.
    async fn receipts_of(&self, place: Place, traced: &Traced) -> Result<(Firsts, bool), StoreError> {
        let mut firsts = Firsts::new(place.seq, traced.message.created_at);
        let mut after = ReceiptsAfter::from(place.seq);
        for _ in 0..RECEIPT_PAGES_MAX {
            let rows = self.store.traces().traced_receipts(place.conversation, after).await?;
            rows.iter().for_each(|row| firsts.add(row));
            let last = rows.last().filter(|_| rows.len() >= tertulia_store::trace::RECEIPT_ROWS_MAX);
            let Some(last) = last else { return Ok((firsts, true)) };
            if firsts.has_all(&traced.marks, last.seq) {
                return Ok((firsts, true));
            }
            after = ReceiptsAfter::after(last);
        }
        Ok((firsts, false))
    }

    async fn add_pushes(&self, trace: &mut MessageTrace) -> Result<(), StoreError> {
        let (conversation, seq) = (trace.conversation_id, trace.seq);
        let attempts = self.store.push().push_attempts(conversation, seq).await?;
        let people: BTreeSet<UserId> = attempts.iter().filter_map(|attempt| attempt.user).collect();
        let members = self.store.traces().members_then(conversation, seq, people.into_iter().collect()).await?;
        let is_of_it = |attempt: &PushAttempt| speaks_of(attempt, seq, &members, &trace.receipts);
        trace.pushes = attempts.into_iter().filter(is_of_it).map(push).collect();
        Ok(())
    }

    /// `None`: the queue is too long to be looked through, or something else failed. The rest is told without it.
    async fn jobs_of(&self, trace: &MessageTrace) -> Option<Vec<JobRecord>> {
        let (conversation, seq) = (trace.conversation_id, trace.seq);
        match self.store.traces().jobs_of_conversation(conversation, trace.created_at).await {
            Ok(mut jobs) => {
                jobs.retain(|job| concerns(job, conversation, seq, trace.created_at));
                Some(jobs)
            }
            Err(error) => {
                tracing::warn!(%error, "the jobs of a trace could not be looked at");
                None
            }
        }
    }
}

fn outline(place: Place, traced: &Traced, with_names: bool) -> MessageTrace {
    let message = &traced.message;
    MessageTrace {
        message_id: message.id,
        conversation_id: place.conversation,
        seq: place.seq,
        sender_id: message.sender,
        sender_name: with_names.then(|| message.sender_name.clone()),
        client_msg_id: message.client_msg_id.clone(),
        created_at: message.created_at,
        edited_at: message.edited_at,
        deleted_at: message.deleted_at,
        received: Vec::new(),
        committed: None,
        fanned_out: Vec::new(),
        receipts: Vec::new(),
        not_delivered: NotDelivered::default(),
        pushes: Vec::new(),
        webhooks: Vec::new(),
        jobs: Vec::new(),
        not_recorded: Vec::new(),
    }
}

fn way(trace: &mut MessageTrace, rows: &[Noted]) {
    for (server_id, record) in rows.iter().flat_map(|row| decode(&row.data).into_iter().map(|one| (row.server, one))) {
        station(trace, server_id, record);
    }
    trace.received.sort_by_key(|one| one.at);
    trace.fanned_out.sort_by_key(|one| one.at);
}

fn station(trace: &mut MessageTrace, server_id: ServerId, record: Record) {
    match record {
        Record::Received { at, door, connection, request, trace: followed_by, session, key, device, repeat } => {
            trace.received.push(Reception {
                at,
                server_id,
                door,
                connection_id: connection,
                request_id: request,
                trace_id: followed_by.to_string(),
                session_id: session,
                api_key_id: key,
                device_id: device,
                repeat,
            });
        }
        Record::Committed { at, rev } => trace.committed = Some(Commitment { at, server_id, rev }),
        Record::Told { at, connections, count } => {
            trace.fanned_out.push(FanOut { at, server_id, connection_ids: connections, count });
        }
        Record::Receipt { .. } => {}
    }
}

/// Whether an attempt of this message or a later one may have told of this one: to somebody else, who could see it, and had not read it.
fn speaks_of(attempt: &PushAttempt, seq: Seq, members: &[UserId], receipts: &[TracedReceipt]) -> bool {
    let Some(user) = attempt.user else { return true };
    let read = receipts.iter().find(|one| one.user_id == user).and_then(|one| one.read.as_ref());
    let read_at = read.filter(|read| read.by != SeenBy::Watermark).and_then(|read| read.at);
    let is_of_later = attempt.seq > seq && read_at.is_some_and(|read_at| read_at < attempt.at);
    members.contains(&user) && !is_of_later
}

fn push(attempt: PushAttempt) -> TracedPush {
    let outcome = serde_json::to_value(attempt.outcome).ok();
    TracedPush {
        at: attempt.at,
        registration_id: attempt.registration,
        user_id: attempt.user,
        provider: attempt.provider,
        seq: attempt.seq,
        outcome: outcome.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default(),
        detail: attempt.detail,
    }
}

/// Whether a job of the conversation may have to do with the message: neither one that died before it, nor one that begins behind it.
fn concerns(job: &JobRecord, conversation: ConversationId, seq: Seq, created_at: Timestamp) -> bool {
    let begins_at = || {
        let payload: serde_json::Value = serde_json::from_str(&job.payload).ok()?;
        payload["fromSeq"].as_i64()
    };
    let begins_behind = job.kind == NOTIFY && begins_at().is_some_and(|from| from > seq);
    let line = || job.unique_key.as_deref().and_then(Line::of_key);
    let is_of_others = job.kind == WEBHOOK && line().is_none_or(|line| line.stream != conversation.uuid());
    !begins_behind && !is_of_others && job.dead_at.is_none_or(|dead_at| dead_at >= created_at)
}

fn told_job(job: &JobRecord) -> TracedJob {
    let state = match job.state {
        JobState::Ready => "ready",
        JobState::Running => "running",
        JobState::Dead => "dead",
    };
    TracedJob {
        id: job.id,
        kind: job.kind.clone(),
        state: state.to_owned(),
        tries: job.tries,
        created_at: job.created_at,
        run_at: job.run_at,
        dead_at: job.dead_at,
        reason: job.reasons.last().map(|reason| reason.reason.clone()),
    }
}
