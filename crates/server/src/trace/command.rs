//! `tertulia trace`: the life of a message as a timeline.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::Args;
use tertulia_core::services::TraceError;
use tertulia_proto::trace::{
    NotDelivered, NotRecorded, Reception, RequestOutcome, Seen, SeenBy, Station, TracedJob, TracedReceipt,
    TracedWebhook, WhyNot, WhyNotNotified,
};
use tertulia_proto::{ClientMsgId, MessageId, MessageTrace, Timestamp, UserId};
use tertulia_store::AccountLookup;
use tertulia_store::trace::{Place, WhichMessage};

use crate::settings::Settings;
use crate::wiring::{self, Parts};

#[derive(Args)]
pub struct Ask {
    /// The message's id, or the sender's own (`clientMsgId`).
    message: String,
    /// Who sent it, by e-mail or id: two people may have used one `clientMsgId`.
    #[arg(long)]
    user: Option<String>,
    /// Shows people's names beside their ids.
    #[arg(long)]
    names: bool,
    /// As the admin API answers.
    #[arg(long)]
    json: bool,
}

pub async fn answer(settings: &Settings, ask: &Ask) -> anyhow::Result<String> {
    let parts = wiring::open(settings, false).await?;
    let sender = match &ask.user {
        Some(user) => Some(person(&parts, user).await?),
        None => None,
    };
    let (place, is_by_name) = find(&ask.message, sender, |which| parts.services.find_traced(which)).await?;
    let trace = parts.services.trace_of(place, ask.names).await?;
    if ask.json {
        return Ok(serde_json::to_string_pretty(&trace)?);
    }
    let others = if is_by_name && sender.is_none() { OTHERS } else { "" };
    Ok(timeline(&trace) + others)
}

/// Where the traces know the name of one, nobody else is asked for.
const OTHERS: &str = "\nfound by its clientMsgId: others may have used this name before, --user says whose is meant";

/// And whether it was found by its name. Clients may name their messages by UUIDs, too: to look for one as an id may take long, and then fail; by a name
/// and a sender it is found, or not, at once.
async fn find(
    message: &str,
    sender: Option<UserId>,
    look: impl AsyncFn(WhichMessage) -> Result<Vec<Place>, TraceError>,
) -> anyhow::Result<(Place, bool)> {
    let id: Option<MessageId> = message.parse().ok();
    let name = message.parse::<ClientMsgId>().map(|client_msg_id| WhichMessage::Name { client_msg_id, sender });
    if id.is_none()
        && let Err(error) = &name
    {
        bail!("neither a message's id nor a clientMsgId: {error}");
    }
    let by_id = id.map(|id| (WhichMessage::Id(id), false));
    let by_name = name.ok().map(|name| (name, true));
    let ways = if sender.is_some() { [by_name, by_id] } else { [by_id, by_name] };
    let mut failure = None;
    for (which, is_by_name) in ways.into_iter().flatten() {
        match look(which).await {
            Ok(mut found) => {
                found.retain(|place| sender.is_none_or(|sender| place.sender == sender));
                if !found.is_empty() {
                    return Ok((only(message, &found)?, is_by_name));
                }
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) => Err(error).with_context(|| format!("the message {message} could not be looked for")),
        None => bail!("there is no message {message}"),
    }
}

fn only(message: &str, found: &[Place]) -> anyhow::Result<Place> {
    match found {
        [place] => Ok(*place),
        _ => {
            let senders: Vec<String> = found.iter().map(|place| place.sender.to_string()).collect();
            bail!("several people have a message {message}: say whose, by --user {}", senders.join(" | "))
        }
    }
}

async fn person(parts: &Parts, user: &str) -> anyhow::Result<UserId> {
    let lookup = match user.parse::<UserId>() {
        Ok(id) => AccountLookup::Id(id),
        Err(_) => AccountLookup::Email(user.trim().to_lowercase()),
    };
    let account = parts.home.store().account(lookup).await?;
    Ok(account.with_context(|| format!("--user: there is no {user}"))?.user.id)
}

/// What happened at a time, or by now.
struct Line {
    at: Option<Timestamp>,
    text: String,
}

fn timeline(trace: &MessageTrace) -> String {
    let beginning = trace.received.first().map_or(trace.created_at, |first| first.at);
    let mut lines = lines(trace);
    // Those without a time come last.
    lines.sort_by_key(|line| line.at.map_or(i64::MAX, Timestamp::ms));
    let mut text = format!(
        "message {} ({}) of {}\nin conversation {}, seq {}\n",
        trace.message_id,
        trace.client_msg_id,
        named(trace.sender_id, trace.sender_name.as_deref()),
        trace.conversation_id,
        trace.seq
    );
    for Line { at, text: line } in lines {
        let _ = match at {
            Some(at) => writeln!(text, "{at} {:>+9} ms  {line}", at.ms() - beginning.ms()),
            None => writeln!(text, "{:>24} {:>12}  {line}", "by now", ""),
        };
    }
    for one in &trace.not_recorded {
        let _ = writeln!(text, "{}", unrecorded(one));
    }
    text.trim_end().to_owned()
}

/// Names, and what others have answered, may hold what moves a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn named(user: UserId, name: Option<&str>) -> String {
    name.map_or_else(|| user.to_string(), |name| format!("{user} ({})", plain(name)))
}

fn lines(trace: &MessageTrace) -> Vec<Line> {
    let line = |at, text| Line { at: Some(at), text };
    let mut lines: Vec<Line> = trace.received.iter().map(|one| line(one.at, received(one))).collect();
    lines.extend(
        trace
            .committed
            .iter()
            .map(|one| line(one.at, format!("committed    rev {} server {}", one.rev, one.server_id))),
    );
    for one in &trace.fanned_out {
        let ids: Vec<String> = one.connection_ids.iter().map(u64::to_string).collect();
        let more = if one.count > one.connection_ids.len() as u64 { ", ..." } else { "" };
        let to = if ids.is_empty() { String::new() } else { format!(": {}{more}", ids.join(", ")) };
        lines.push(line(one.at, format!("fanned out   server {} to {} connections{to}", one.server_id, one.count)));
    }
    for one in &trace.receipts {
        lines.extend(one.delivered.as_ref().map(|seen| receipt("delivered  ", one, seen)));
        lines.extend(one.read.as_ref().map(|seen| receipt("read       ", one, seen)));
    }
    lines.extend(not_delivered(&trace.not_delivered));
    for one in &trace.pushes {
        let whose = one.user_id.map_or_else(String::new, |user| format!(" of {user}"));
        let by = one.provider.map_or("", |provider| provider.as_str());
        let what = plain(&format!("{} {}", one.outcome, one.detail));
        lines.push(line(one.at, format!("push         {by} registration {}{whose}: {what}", one.registration_id)));
    }
    lines.extend(trace.webhooks.iter().flat_map(webhook));
    lines.extend(trace.edited_at.map(|at| line(at, "edited".to_owned())));
    lines.extend(trace.deleted_at.map(|at| line(at, "deleted".to_owned())));
    for job in &trace.jobs {
        lines.push(waiting_or_dead(job));
    }
    lines
}

fn received(one: &Reception) -> String {
    let what = if one.repeat { "sent again " } else { "received   " };
    let mut text = format!("{what}  server {} by {}", one.server_id, one.door.as_str());
    let mut add = |name: &str, value: Option<String>| {
        let _ = value.map(|value| write!(text, " {name} {value}"));
    };
    add("connection", one.connection_id.map(|id| id.to_string()));
    add("request", one.request_id.map(|id| id.to_string()));
    add("session", one.session_id.map(|id| id.to_string()));
    add("key", one.api_key_id.map(|id| id.to_string()));
    add("device", one.device_id.map(|id| id.to_string()));
    add("trace", Some(one.trace_id.clone()));
    text
}

/// One that has not died has not happened yet.
fn waiting_or_dead(job: &TracedJob) -> Line {
    let until = match (job.dead_at, job.state.as_str()) {
        (None, "ready") => format!(", not before {}", job.run_at),
        _ => String::new(),
    };
    let why = job.reason.as_deref().map_or_else(String::new, |why| format!(": {}", plain(why)));
    let text = format!("job          {} {} {}, tries {}{until}{why}", job.id, job.kind, job.state, job.tries);
    Line { at: job.dead_at, text }
}

/// Each request, and how it is with the endpoint where it has not taken the message.
fn webhook(one: &TracedWebhook) -> Vec<Line> {
    let id = one.endpoint_id;
    let mut lines = Vec::new();
    for request in &one.requests {
        let outcome = match request.outcome {
            RequestOutcome::Taken => "taken",
            RequestOutcome::Failed => "failed",
            RequestOutcome::Gone => "gone",
        };
        let status = request.status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
        let (first, last) = (request.first_event, request.last_event);
        let events = if first == last { format!("event {first}") } else { format!("events {first} to {last}") };
        let text = format!("webhook      {id} {events}, try {}: {outcome}, {status}", request.number);
        lines.push(Line { at: Some(request.at), text });
    }
    let text = match (one.off_since, one.parked_since, one.waits_until) {
        _ if one.removed => "is removed".to_owned(),
        (Some(since), ..) => format!("is off since {since}"),
        _ if one.taken => return lines,
        (_, Some(since), _) => format!("has not taken it, and is asked no more since {since}"),
        (_, _, Some(until)) => format!("has not taken it, waits until {until}"),
        _ => "has not taken it".to_owned(),
    };
    lines.push(Line { at: None, text: format!("webhook      {id} {text}") });
    lines
}

/// To whom it has not come, and by reason, who was not notified of it.
fn not_delivered(all: &NotDelivered) -> Vec<Line> {
    if all.count == 0 {
        return Vec::new();
    }
    let line = |text| Line { at: None, text };
    let people: Vec<String> = all.users.iter().map(|one| named(one.user_id, one.name.as_deref())).collect();
    let more = if all.count > people.len() as u64 { ", ..." } else { "" };
    let whom = people.join(", ");
    let mut lines = vec![line(format!("not delivered to {} of {} members: {whom}{more}", all.count, all.members))];
    let mut by_reason: BTreeMap<WhyNotNotified, Vec<String>> = BTreeMap::new();
    for one in &all.users {
        if let Some(why) = one.not_notified {
            by_reason.entry(why).or_default().push(one.user_id.to_string());
        }
    }
    let reasons = by_reason.into_iter();
    lines.extend(
        reasons.map(|(why, users)| line(format!("not notified {}: {}", users.join(", "), why_not_notified(why)))),
    );
    lines
}

const fn why_not_notified(why: WhyNotNotified) -> &'static str {
    match why {
        WhyNotNotified::Deleted => "the message was deleted",
        WhyNotNotified::NoProvider => "no provider is set up on this server that could",
        WhyNotNotified::NoDevice => "no device is registered",
        WhyNotNotified::DevicesOff => "all devices are switched off",
        WhyNotNotified::Muted => "muted the conversation",
        WhyNotNotified::Blocked => "blocked the sender",
        WhyNotNotified::Queued => "a job for it waits or runs",
        WhyNotNotified::Unknown => "nothing that is kept tells why",
    }
}

fn receipt(what: &str, one: &TracedReceipt, seen: &Seen) -> Line {
    let who = named(one.user_id, one.name.as_deref());
    let how = match (seen.by, seen.device_id) {
        (SeenBy::Receipt, Some(device)) => format!(" device {device}"),
        (SeenBy::AtLatest, Some(device)) => format!(" at the latest, device {device}"),
        (SeenBy::AtLatest, None) => " at the latest".to_owned(),
        (SeenBy::Writing, _) => " who wrote something then".to_owned(),
        _ => String::new(),
    };
    Line { at: seen.at, text: format!("{what}  {who}{how}") }
}

fn unrecorded(one: &NotRecorded) -> String {
    let beginning = if one.partial { "perhaps not all: " } else { "not recorded: " };
    let by = one.server_id.map_or_else(String::new, |server| format!(" (server {server})"));
    format!("{beginning}{}: {}{by}", station(one.what), why(one.why))
}

const fn station(station: Station) -> &'static str {
    match station {
        Station::Received => "how it was received",
        Station::Committed => "when it was committed",
        Station::FannedOut => "when it was fanned out, and to whom",
        Station::Receipts => "when some got or read it",
        Station::Webhooks => "what endpoints answered",
        Station::Jobs => "jobs",
    }
}

const fn why(why: WhyNot) -> &'static str {
    match why {
        WhyNot::Expired => "older than what is kept",
        WhyNot::Busy => "a server was busy",
        WhyNot::TooMany => "there is more than is looked through",
        WhyNot::NotLooked => "not looked at",
        WhyNot::NotYet => "too young, ask again",
        WhyNot::Off => "nothing is recorded, trace.enabled is off",
        WhyNot::Unknown => "nothing was recorded then, or it is not written yet, or the server ended before it was",
    }
}

#[cfg(test)]
mod tests {
    use tertulia_proto::trace::{Behind, Commitment, Door, FanOut, TracedPush, TracedRequest};
    use tertulia_proto::{ConversationId, RegistrationId, ServerId, SessionId, WebhookId};

    use super::*;

    fn webhooks(at: Timestamp) -> Vec<TracedWebhook> {
        let endpoint = |number: u8| TracedWebhook {
            endpoint_id: WebhookId::from_bytes([number; 16]),
            taken: false,
            waits_until: None,
            parked_since: None,
            off_since: None,
            removed: false,
            requests: Vec::new(),
        };
        let request = |later, last_event, outcome, status, number| TracedRequest {
            at: at.plus_ms(later),
            first_event: 12,
            last_event,
            outcome,
            status,
            number,
        };
        let requests = vec![
            request(0, 15, RequestOutcome::Failed, Some(422), 1),
            request(5, 13, RequestOutcome::Failed, None, 1),
            request(9, 12, RequestOutcome::Taken, Some(204), 2),
        ];
        vec![
            TracedWebhook { taken: true, requests, ..endpoint(1) },
            TracedWebhook { waits_until: Some(at), ..endpoint(2) },
            TracedWebhook { off_since: Some(at), ..endpoint(3) },
            TracedWebhook { removed: true, ..endpoint(4) },
            endpoint(5),
            TracedWebhook { parked_since: Some(at), waits_until: Some(at), ..endpoint(6) },
        ]
    }

    fn job(id: i64, state: &str, run_at: Timestamp, dead_at: Option<Timestamp>, reason: Option<&str>) -> TracedJob {
        let (kind, state, reason) = ("push.expo".to_owned(), state.to_owned(), reason.map(str::to_owned));
        TracedJob { id, kind, state, tries: 3, created_at: run_at, run_at, dead_at, reason }
    }

    fn behind(number: u8, name: Option<&str>, not_notified: Option<WhyNotNotified>) -> Behind {
        Behind { user_id: UserId::from_bytes([number; 16]), name: name.map(str::to_owned), not_notified }
    }

    const UUID: &str = "0190a1b2-0000-7000-8000-000000000000";

    fn place(sender: u8) -> Place {
        let conversation = ConversationId::from_bytes([1; 16]);
        Place { conversation, seq: 1, sender: UserId::from_bytes([sender; 16]) }
    }

    #[tokio::test]
    async fn a_uuid_is_looked_for_as_an_id_and_as_a_name_and_where_one_fails_by_the_other() {
        let failing = || TraceError::Store(tertulia_store::StoreError::Unavailable("it took too long".into()));
        let by_name = async |which| match which {
            WhichMessage::Id(_) => Err(failing()),
            WhichMessage::Name { .. } => Ok(vec![place(3)]),
        };
        assert_eq!(find(UUID, None, by_name).await.unwrap(), (place(3), true));
        // With a sender the name is asked for first.
        let at_once = async |which| match which {
            WhichMessage::Id(_) => panic!("this may take long"),
            WhichMessage::Name { .. } => Ok(vec![place(3)]),
        };
        assert_eq!(find(UUID, Some(place(3).sender), at_once).await.unwrap(), (place(3), true));
        let by_id = async |which| match which {
            WhichMessage::Id(_) => Ok(vec![place(3)]),
            WhichMessage::Name { .. } => Ok(Vec::new()),
        };
        for sender in [None, Some(place(3).sender)] {
            assert_eq!(find(UUID, sender, &by_id).await.unwrap(), (place(3), false));
        }
        assert!(
            find(UUID, Some(place(4).sender), &by_id).await.unwrap_err().to_string().contains("there is no message")
        );
        let nowhere = async |which| match which {
            WhichMessage::Id(_) => Err(failing()),
            WhichMessage::Name { .. } => Ok(Vec::new()),
        };
        let error = format!("{:#}", find(UUID, None, nowhere).await.unwrap_err());
        assert!(error.contains("it took too long"), "the cause is told: {error}");
        let several = async |_| Ok(vec![place(3), place(4)]);
        let error = find("same", None, &several).await.unwrap_err().to_string();
        assert!(error.contains(&format!("--user {} | {}", place(3).sender, place(4).sender)), "{error}");
        assert!(find("no name", None, &several).await.unwrap_err().to_string().contains("neither"));
    }

    #[test]
    fn a_timeline_is_in_order_and_counts_from_the_reception() {
        let at = |ms| Timestamp::from_ms(1_790_000_000_000 + ms);
        let server_id = ServerId::from_bytes([1; 16]);
        let user_id = UserId::from_bytes([3; 16]);
        let seen = |ms: Option<i64>, by| Some(Seen { at: ms.map(at), by, device_id: None });
        let trace = MessageTrace {
            message_id: MessageId::from_bytes([4; 16]),
            conversation_id: ConversationId::from_bytes([5; 16]),
            seq: 7,
            sender_id: UserId::from_bytes([6; 16]),
            sender_name: Some("Ana\u{1b}[1m".into()),
            client_msg_id: "a-1".parse().unwrap(),
            created_at: at(1),
            edited_at: None,
            deleted_at: None,
            received: vec![Reception {
                at: at(0),
                server_id,
                door: Door::WebSocket,
                connection_id: Some(3),
                request_id: Some(9),
                trace_id: "00000000000000000000000000000001".into(),
                session_id: Some(SessionId::from_bytes([2; 16])),
                api_key_id: None,
                device_id: None,
                repeat: false,
            }],
            committed: Some(Commitment { at: at(4), server_id, rev: 12 }),
            fanned_out: vec![FanOut { at: at(5), server_id, connection_ids: vec![3, 4], count: 60 }],
            receipts: vec![TracedReceipt {
                user_id,
                name: None,
                delivered: seen(Some(90), SeenBy::AtLatest),
                read: seen(None, SeenBy::Watermark),
            }],
            not_delivered: NotDelivered {
                members: 30,
                count: 4,
                users: vec![
                    behind(8, Some("Bo\u{7}"), Some(WhyNotNotified::NoDevice)),
                    behind(9, None, Some(WhyNotNotified::Muted)),
                    behind(10, None, Some(WhyNotNotified::NoDevice)),
                    behind(11, None, None),
                ],
            },
            pushes: vec![TracedPush {
                at: at(95),
                registration_id: RegistrationId::from_bytes([7; 16]),
                user_id: Some(user_id),
                provider: None,
                seq: 7,
                outcome: "refused".into(),
                detail: "no\u{1b}[2J\nluck".into(),
            }],
            webhooks: webhooks(at(100)),
            jobs: vec![
                job(5, "dead", at(80), Some(at(120)), Some("no\r\u{7}luck")),
                job(6, "ready", at(80), None, Some("later")),
                job(7, "running", at(80), None, None),
            ],
            not_recorded: vec![
                NotRecorded { what: Station::Receipts, why: WhyNot::Busy, partial: true, server_id: Some(server_id) },
                NotRecorded { what: Station::Jobs, why: WhyNot::NotLooked, partial: false, server_id: None },
                NotRecorded { what: Station::Received, why: WhyNot::Unknown, partial: false, server_id: None },
                NotRecorded { what: Station::Committed, why: WhyNot::Off, partial: false, server_id: None },
            ],
        };
        insta::assert_snapshot!(timeline(&trace));
    }
}
