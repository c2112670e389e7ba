//! The life of a message, put together from the log, from what was noted beside it, and from the queue. For the owner of the server, who may know when
//! something came to whom, and sees nothing of what was said.

use std::sync::Arc;

use tertulia_proto::trace::{
    Commitment, FanOut, NotRecorded, Reception, Seen, SeenBy, Station, TracedJob, TracedPush, TracedReceipt, WhyNot,
};
use tertulia_proto::{ApiError, DeviceId, MessageId, MessageTrace, Seq, ServerId, Timestamp};
use tertulia_store::jobs::{JobRecord, JobState};
use tertulia_store::push::{NOTIFY, PushAttempt};
use tertulia_store::trace::{Mark, Noted, Place, Traced, WhichMessage};

use super::Services;
use crate::auth::{ApiKeyIdentity, Scope};
use crate::journal::Journal;
use crate::journal::record::{Gap, Record, decode};
use crate::write::store_failed;

/// The journal is written a few times a second; what is younger may not be there yet.
const WRITTEN_AFTER_MS: i64 = 1_000;

/// So long after a message was made its way is over, but for receipts: what was missed then was missed of it.
const WAY_MAX_MS: i64 = 10_000;

/// What is noted here of messages, and how long it is kept.
#[derive(Clone)]
pub struct Tracing {
    /// `None`: nothing is noted.
    pub journal: Option<Arc<Journal>>,
    pub retention_ms: i64,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { journal: None, retention_ms: 48 * 3_600_000 }
    }
}

impl Services {
    /// For another server with the scope `admin`.
    pub async fn trace_message(&self, key: &ApiKeyIdentity, message: MessageId) -> Result<MessageTrace, ApiError> {
        key.require(Scope::Admin)?;
        let found = self.find_traced(WhichMessage::Id(message)).await?;
        let place = found.first().ok_or_else(|| ApiError::not_found("message"))?;
        self.trace_of(*place, false).await
    }

    /// Where it is; several where it was named by a `clientMsgId` that several people have used. Authorises nobody: the caller has.
    pub async fn find_traced(&self, which: WhichMessage) -> Result<Vec<Place>, ApiError> {
        self.store.traces().find_message(which).await.map_err(|error| store_failed(&error))
    }

    /// Authorises nobody: the caller has.
    pub async fn trace_of(&self, place: Place, with_names: bool) -> Result<MessageTrace, ApiError> {
        let traced = self.store.traces().traced(place.conversation, place.seq).await;
        let traced = traced.map_err(|error| store_failed(&error))?.ok_or_else(|| ApiError::not_found("message"))?;
        let attempts = self.store.push().push_attempts(place.conversation, place.seq).await;
        let attempts = attempts.map_err(|error| store_failed(&error))?;
        let mut trace = outline(place, &traced, with_names);
        way(&mut trace, &traced.way);
        trace.receipts = receipts(&traced.marks, &traced.receipts, place.seq, with_names);
        trace.pushes = attempts.into_iter().map(push).collect();
        let jobs = traced.jobs.iter().filter(|job| concerns(job, place.seq, trace.created_at));
        trace.jobs = jobs.map(told_job).collect();
        trace.not_recorded = not_recorded(&trace, &traced, self.now(), self.tracing.retention_ms);
        Ok(trace)
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
        pushes: Vec::new(),
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

/// Of those to whom it has come, each with the first that told so.
fn receipts(marks: &[Mark], rows: &[Noted], seq: Seq, with_names: bool) -> Vec<TracedReceipt> {
    let told: Vec<Record> = rows.iter().flat_map(|row| decode(&row.data)).collect();
    let mut all = Vec::new();
    for mark in marks.iter().filter(|mark| mark.delivered_seq.max(mark.read_seq) >= seq) {
        let by = |read: bool| {
            let told = told.iter().filter_map(|record| match record {
                Record::Receipt { at, user, read: up_to, device } if *user == mark.user => {
                    (!read || *up_to >= seq).then_some((*at, *device))
                }
                _ => None,
            });
            seen(told.min_by_key(|(at, _)| *at), mark.wrote_at)
        };
        all.push(TracedReceipt {
            user_id: mark.user,
            name: with_names.then(|| mark.name.clone()),
            delivered: Some(by(false)),
            read: (mark.read_seq >= seq).then(|| by(true)),
        });
    }
    all
}

fn seen(told: Option<(Timestamp, Option<DeviceId>)>, wrote_at: Option<Timestamp>) -> Seen {
    match (told, wrote_at) {
        (Some((at, device_id)), wrote) if wrote.is_none_or(|wrote| at <= wrote) => {
            Seen { at: Some(at), by: SeenBy::Receipt, device_id }
        }
        (_, Some(at)) => Seen { at: Some(at), by: SeenBy::Writing, device_id: None },
        _ => Seen { at: None, by: SeenBy::Watermark, device_id: None },
    }
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
fn concerns(job: &JobRecord, seq: Seq, created_at: Timestamp) -> bool {
    let begins_at = || {
        let payload: serde_json::Value = serde_json::from_str(&job.payload).ok()?;
        payload["fromSeq"].as_i64()
    };
    let begins_behind = job.kind == NOTIFY && begins_at().is_some_and(|from| from > seq);
    !begins_behind && job.dead_at.is_none_or(|dead_at| dead_at >= created_at)
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

/// Silence would say that it was not so.
fn not_recorded(trace: &MessageTrace, traced: &Traced, now: Timestamp, retention_ms: i64) -> Vec<NotRecorded> {
    let by_now = |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.by == SeenBy::Watermark);
    let receipts_missing = trace.receipts.iter().any(|one| by_now(&one.delivered) || by_now(&one.read));
    let missing = [
        (Station::Received, !trace.received.iter().any(|one| !one.repeat)),
        (Station::Committed, trace.committed.is_none()),
        (Station::FannedOut, trace.fanned_out.is_empty()),
        (Station::Receipts, receipts_missing),
    ];
    let missing = missing.into_iter().filter(|(_, is_missing)| *is_missing);
    missing
        .map(|(what, _)| NotRecorded { what, why: why_not(what, trace.created_at, traced, now, retention_ms) })
        .collect()
}

fn why_not(what: Station, created_at: Timestamp, traced: &Traced, now: Timestamp, retention_ms: i64) -> WhyNot {
    // A receipt may have come at any time since.
    let until = if what == Station::Receipts { now } else { created_at.plus_ms(WAY_MAX_MS) };
    let mut gaps = traced.gaps.iter().filter_map(|row| Gap::decode(&row.data));
    let kept_since_later = traced.kept_since.is_some_and(|since| since > created_at.plus_ms(WAY_MAX_MS));
    if created_at < now.plus_ms(-retention_ms) || kept_since_later {
        WhyNot::Expired
    } else if gaps.any(|gap| gap.to >= created_at.plus_ms(-WRITTEN_AFTER_MS) && gap.from <= until) {
        WhyNot::Busy
    } else if now < created_at.plus_ms(WRITTEN_AFTER_MS) {
        WhyNot::NotYet
    } else {
        WhyNot::Unknown
    }
}

#[cfg(test)]
mod tests {
    use tertulia_proto::UserId;
    use tertulia_store::trace::Outline;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn person(number: u8) -> UserId {
        UserId::from_bytes([number; 16])
    }

    fn mark(number: u8, delivered_seq: Seq, read_seq: Seq, wrote_at: Option<i64>) -> Mark {
        Mark { user: person(number), name: "N".into(), delivered_seq, read_seq, wrote_at: wrote_at.map(at) }
    }

    fn receipt(seq: Seq, told: &[(u8, Seq, i64)]) -> Noted {
        let told = told.iter().map(|(user, read, ms)| Record::Receipt {
            at: at(*ms),
            user: person(*user),
            read: *read,
            device: Some(DeviceId::from_bytes([8; 16])),
        });
        let data = serde_json::to_string(&told.collect::<Vec<_>>()).unwrap();
        Noted { seq, server: ServerId::from_bytes([9; 16]), data }
    }

    #[test]
    fn each_has_the_first_that_told_so_and_otherwise_what_is_known_by_now() {
        let marks = [
            mark(1, 9, 9, None),
            mark(2, 8, 7, Some(50)),
            mark(3, 9, 3, None),
            mark(4, 6, 6, None),
            mark(5, 7, 2, None),
        ];
        // 1 tells that it got 8 before it reads it, 2 reads later than it writes, 3 told nothing that is kept, 4 has not come so far.
        let rows =
            [receipt(7, &[(5, 2, 90)]), receipt(8, &[(1, 2, 20), (2, 7, 60)]), receipt(9, &[(1, 9, 40), (1, 8, 30)])];
        let all = receipts(&marks, &rows, 7, false);
        let times: Vec<_> = all
            .iter()
            .map(|one| {
                let seen = |seen: &Option<Seen>| seen.as_ref().map(|seen| (seen.at.map(Timestamp::ms), seen.by));
                (one.user_id, seen(&one.delivered), seen(&one.read))
            })
            .collect();
        use SeenBy::{Receipt, Watermark, Writing};
        assert_eq!(
            times,
            [
                (person(1), Some((Some(20), Receipt)), Some((Some(30), Receipt))),
                (person(2), Some((Some(50), Writing)), Some((Some(50), Writing))),
                (person(3), Some((None, Watermark)), None),
                (person(5), Some((Some(90), Receipt)), None),
            ]
        );
        assert_eq!(all[0].name, None);
        assert_eq!(receipts(&marks, &rows, 7, true)[0].name.as_deref(), Some("N"));
    }

    fn traced(gap: Option<(i64, i64)>, kept_since: Option<i64>) -> Traced {
        let message = Outline {
            id: MessageId::from_bytes([1; 16]),
            sender: person(1),
            sender_name: "N".into(),
            client_msg_id: "a".parse().unwrap(),
            created_at: at(100_000),
            edited_at: None,
            deleted_at: None,
        };
        let gaps = gap.map(|(from, to)| {
            let data = serde_json::to_string(&Gap { from: at(from), to: at(to), count: 3 }).unwrap();
            Noted { seq: 0, server: ServerId::from_bytes([9; 16]), data }
        });
        let kept_since = kept_since.map(at);
        Traced {
            message,
            way: Vec::new(),
            receipts: Vec::new(),
            gaps: gaps.into_iter().collect(),
            marks: vec![mark(2, 7, 7, None)],
            jobs: Vec::new(),
            kept_since,
        }
    }

    #[test]
    fn what_was_not_recorded_says_why() {
        let place = Place { conversation: tertulia_store::trace::NOWHERE, seq: 7, sender: person(1) };
        let why = |traced: Traced, now| {
            let mut trace = outline(place, &traced, false);
            trace.receipts = receipts(&traced.marks, &traced.receipts, 7, false);
            let all = not_recorded(&trace, &traced, at(now), 1_000_000);
            assert_eq!(all.len(), 4);
            (all[0].why, all[3].why)
        };
        use WhyNot::{Busy, Expired, NotYet, Unknown};
        assert_eq!(why(traced(None, None), 100_500), (NotYet, NotYet));
        assert_eq!(why(traced(None, Some(99_000)), 200_000), (Unknown, Unknown));
        assert_eq!(why(traced(None, Some(200_000)), 200_001), (Expired, Expired));
        assert_eq!(why(traced(None, None), 1_200_000), (Expired, Expired));
        assert_eq!(why(traced(Some((90_000, 99_500)), None), 200_000), (Busy, Busy));
        // The way is over; who got it later may have told so just then.
        assert_eq!(why(traced(Some((150_000, 150_000)), None), 200_000), (Unknown, Busy));
        assert_eq!(why(traced(Some((90_000, 98_000)), None), 200_000), (Unknown, Unknown));
    }

    #[test]
    fn jobs_that_begin_behind_it_or_died_before_it_are_others() {
        let job = |kind: &str, payload: &str, dead_at: Option<i64>| JobRecord {
            id: 1,
            kind: kind.to_owned(),
            unique_key: None,
            payload: payload.to_owned(),
            state: if dead_at.is_some() { JobState::Dead } else { JobState::Ready },
            priority: tertulia_store::jobs::Priority::Normal,
            tries: 0,
            run_at: at(0),
            created_at: at(0),
            lease_until: None,
            dead_at: dead_at.map(at),
            reasons: Vec::new(),
        };
        for (job, expected) in [
            (job(NOTIFY, r#"{"fromSeq":7}"#, None), true),
            (job(NOTIFY, r#"{"fromSeq":8}"#, None), false),
            (job("push.expo", "{}", None), true),
            (job("push.expo", "{}", Some(99)), false),
            (job("push.expo", "", Some(100)), true),
        ] {
            assert_eq!(concerns(&job, 7, at(100)), expected, "{job:?}");
        }
    }
}
