//! Which endpoints were told of a message.

use std::collections::BTreeMap;

use tertulia_proto::trace::{NotRecorded, RequestOutcome, Station, TracedRequest, TracedWebhook, WhyNot};
use tertulia_proto::webhook::EventKind;
use tertulia_proto::{MessageTrace, Rev, Timestamp, WebhookId};
use tertulia_store::webhooks::{REQUESTS_TOLD_MAX, Standing, WebhookAttempt, WebhookOutcome};
use tertulia_store::{Store, StoreError};

/// As far as it is known; and what is not. `number`: of the event that the message was made.
pub(super) async fn add(store: &dyn Store, trace: &mut MessageTrace, number: Option<Rev>) -> Option<NotRecorded> {
    let (standings, requests) = match look(store, trace, number).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the webhooks of a trace could not be looked at");
            return Some(super::silence::missing(Station::Webhooks, WhyNot::NotLooked));
        }
    };
    let is_cut = requests.len() >= REQUESTS_TOLD_MAX;
    let wanting: Vec<&Standing> = standings.iter().filter(|one| wants(one, trace.created_at)).collect();
    trace.webhooks = told(&standings, &wanting, requests, number);
    let is_silent = |one: &TracedWebhook| one.taken && !one.requests.iter().any(is_taken);
    let why = match number {
        // Changed since, and no longer known as it was.
        None if !wanting.is_empty() => WhyNot::Expired,
        _ if is_cut => WhyNot::TooMany,
        _ if trace.webhooks.iter().any(is_silent) => WhyNot::Expired,
        _ => return None,
    };
    let partial = trace.webhooks.iter().any(|one| !one.requests.is_empty());
    Some(NotRecorded { partial, ..super::silence::missing(Station::Webhooks, why) })
}

async fn look(
    store: &dyn Store,
    trace: &MessageTrace,
    number: Option<Rev>,
) -> Result<(Vec<Standing>, Vec<WebhookAttempt>), StoreError> {
    let stream = trace.conversation_id.uuid();
    let standings = store.webhooks().standings(stream).await?;
    let requests = match number {
        Some(number) => store.webhooks().attempts(stream, number).await?,
        None => Vec::new(),
    };
    Ok((standings, requests))
}

fn wants(standing: &Standing, created_at: Timestamp) -> bool {
    standing.filter.has(EventKind::MessageCreated) && standing.created_at <= created_at
}

const fn is_taken(request: &TracedRequest) -> bool {
    matches!(request.outcome, RequestOutcome::Taken)
}

/// In order of their ids.
fn told(
    standings: &[Standing],
    wanting: &[&Standing],
    requests: Vec<WebhookAttempt>,
    number: Option<Rev>,
) -> Vec<TracedWebhook> {
    let mut requests_of: BTreeMap<WebhookId, Vec<TracedRequest>> = BTreeMap::new();
    if number.is_some() {
        requests_of.extend(wanting.iter().map(|one| (one.endpoint, Vec::new())));
    }
    for one in requests {
        let outcome = match one.outcome {
            WebhookOutcome::Taken => RequestOutcome::Taken,
            WebhookOutcome::Failed => RequestOutcome::Failed,
            WebhookOutcome::Gone => RequestOutcome::Gone,
        };
        let WebhookAttempt { at, first, last, status, attempt, .. } = one;
        let request = TracedRequest { at, first_event: first, last_event: last, outcome, status, number: attempt };
        requests_of.entry(one.endpoint).or_default().push(request);
    }
    let of_endpoint = |(endpoint_id, requests): (WebhookId, Vec<TracedRequest>)| {
        let standing = standings.iter().find(|one| one.endpoint == endpoint_id);
        let has_come = standing.is_some_and(|one| one.taken >= number && number.is_some());
        // One that goes back for a replay has taken it before.
        let taken = has_come || requests.iter().any(is_taken);
        TracedWebhook {
            endpoint_id,
            taken,
            waits_until: standing.filter(|one| !taken && one.off_since.is_none()).and_then(|one| one.retry_at),
            parked_since: standing.filter(|_| !taken).and_then(|one| one.parked_at),
            off_since: standing.and_then(|one| one.off_since),
            removed: standing.is_none(),
            requests,
        }
    };
    requests_of.into_iter().map(of_endpoint).collect()
}

#[cfg(test)]
mod tests {
    use tertulia_proto::webhook::EventFilter;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn each_endpoint_says_whether_it_has_it_or_waits_or_is_off() {
        let id = |number: u8| WebhookId::from_bytes([number; 16]);
        let standing = |number: u8, taken, retry_at: Option<i64>, off_since: Option<i64>| Standing {
            endpoint: id(number),
            filter: EventFilter::all(),
            created_at: at(0),
            taken,
            retry_at: retry_at.map(at),
            parked_at: (number == 2).then(|| at(70)),
            off_since: off_since.map(at),
        };
        let standings = [
            standing(1, Some(12), Some(90), None),
            standing(2, Some(11), Some(90), None),
            standing(3, None, None, Some(80)),
            standing(4, Some(3), None, None),
        ];
        let request = |number: u8, attempt, outcome, status| WebhookAttempt {
            endpoint: id(number),
            first: 12,
            last: 13,
            attempt,
            at: at(50 + attempt),
            outcome,
            status,
        };
        use WebhookOutcome::{Failed, Taken};
        let requests = vec![
            request(1, 1, Failed, None),
            request(1, 2, Taken, Some(204)),
            request(2, 1, Failed, Some(500)),
            request(4, 1, Taken, Some(200)),
            request(9, 1, Failed, Some(404)),
        ];
        let wanting: Vec<&Standing> = standings.iter().collect();
        let all = told(&standings, &wanting, requests, Some(12));
        let brief: Vec<_> = all
            .iter()
            .map(|one| (one.taken, one.waits_until, one.off_since, one.removed, one.requests.len()))
            .collect();
        let parked: Vec<_> = all.iter().filter_map(|one| one.parked_since).collect();
        assert_eq!(parked, [at(70)], "the second");
        assert_eq!(
            brief,
            [
                (true, None, None, false, 2),
                (false, Some(at(90)), None, false, 1),
                (false, None, Some(at(80)), false, 0),
                // It goes back: it is told again what it had.
                (true, None, None, false, 1),
                (false, None, None, true, 1),
            ]
        );
        assert_eq!(all[0].requests[1].status, Some(204));
        assert_eq!((all[0].requests[1].first_event, all[0].requests[1].last_event), (12, 13));
        assert!(!wants(&Standing { created_at: at(101), ..standings[0].clone() }, at(100)), "it was added later");
    }
}
