//! What the world knows of changes and of who was told of them, by what was committed and what endpoints got, and without the server's tables of events and
//! lines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tertulia_proto::webhook::{EventFilter, EventId, EventKind, WebhookEvent};
use tertulia_proto::{ConversationId, Message, Seq, Timestamp, UserId, WebhookId};
use tertulia_store::Effect;
use tertulia_store::webhooks::{After, Begin, CLOCKS_APART_MS, End, Line, Sending, TryResult};
use uuid::Uuid;

use super::Host;
use super::tries::{ABOUT_EVENTS, Again, Tries, are_near};
use crate::planted::HookBug;

/// A change of a conversation that may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub kind: EventKind,
    pub seq: Option<Seq>,
}

/// What the server's database has to hold: with each backup goes a copy of it.
#[derive(Debug, Clone, Default)]
pub struct Stand {
    /// By conversation and `rev`.
    pub changes: BTreeMap<(Uuid, i64), (EventId, Change)>,
    /// What messages say by now. `None`: deleted.
    texts: BTreeMap<(Uuid, Seq), Option<String>>,
    pub endpoints: BTreeMap<WebhookId, Endpoint>,
}

#[derive(Debug, Clone)]
pub struct Endpoint {
    pub url: String,
    pub filter: EventFilter,
    /// Where each conversation's changes ended when it was added.
    since: BTreeMap<Uuid, i64>,
    pub lines: BTreeMap<Uuid, LineStand>,
    /// The latest name of everybody who has changed it, until somebody was told.
    pub owed_names: BTreeMap<UserId, String>,
    pub is_off: bool,
    /// Of whatever line.
    tries: Tries,
}

#[derive(Debug, Clone, Default)]
pub struct LineStand {
    /// The last number that is noted as taken. `None`: none is.
    pub taken: Option<i64>,
    pub is_parked: bool,
    tries: Tries,
    again: Again,
    skipped: BTreeSet<i64>,
    /// By a replay, whoever had it before.
    owed_again: BTreeSet<i64>,
    under_way: Option<UnderWay>,
}

/// A request that a worker has begun.
#[derive(Debug, Clone)]
struct UnderWay {
    life: u64,
    /// Names it among those of one life.
    holder: [u8; 16],
    up_to: i64,
    from: Option<i64>,
    until: Timestamp,
    /// The endpoint has it, and has said so.
    is_taken: bool,
    /// Nobody has said how it ended, and its worker may still do so.
    is_in_hands: bool,
    /// Something stood between: a death, a worker that stood still, a store that failed, an operator.
    is_excused: bool,
}

#[derive(Default)]
pub struct Hooks {
    pub is_on: bool,
    pub bug: Option<HookBug>,
    /// Between the tries of a request.
    pub waits: Vec<Duration>,
    epoch: [u8; 4],
    /// All that ever happened, also what a restore took back.
    ever: BTreeMap<EventId, Change>,
    pub stand: Stand,
    /// What each has got, whatever the server knows of it.
    pub got: BTreeMap<WebhookId, BTreeSet<EventId>>,
    pub hosts: BTreeMap<WebhookId, Host>,
}

impl Hooks {
    /// The log is of this epoch from now on.
    pub const fn begins(&mut self, epoch: [u8; 16]) {
        self.epoch = EventId::short(epoch);
    }

    /// The log is put back to what it was.
    pub fn restored(&mut self, stand: Stand) {
        self.stand = stand;
        for line in self.stand.endpoints.values_mut().flat_map(|endpoint| endpoint.lines.values_mut()) {
            line.under_way = None;
        }
    }

    pub fn committed(&mut self, effect: &Effect) {
        use EventKind::*;
        let of = |message: &Message| (message.conversation_id, message.rev, Some(message.seq));
        self.stand.say(effect);
        let (kind, (conversation, rev, seq)) = match effect {
            Effect::MessageAppended { message, fresh: true } => (MessageCreated, of(message)),
            Effect::MessageEdited { message, changed: true, .. } => (MessageUpdated, of(message)),
            Effect::MessageDeleted { message, changed: true, .. } => (MessageDeleted, of(message)),
            Effect::ReactionsChanged { conversation, seq, rev, changed: true, .. } => {
                (ReactionUpdated, (*conversation, *rev, Some(*seq)))
            }
            Effect::ConversationOpened { views, fresh: true } => match views.first() {
                Some((_, view)) => (ConversationCreated, (view.id, 1, None)),
                None => return,
            },
            Effect::TitleChanged { conversation, rev, changed: true, .. } => {
                (ConversationUpdated, (*conversation, *rev, None))
            }
            Effect::MemberAdded { conversation, rev, changed: true, .. } => (MemberAdded, (*conversation, *rev, None)),
            Effect::MemberRemoved { conversation, rev, successor, .. } => {
                if let Some(heir) = successor {
                    self.change(*conversation, heir.rev, Change { kind: RoleChanged, seq: None });
                }
                (MemberRemoved, (*conversation, *rev, None))
            }
            Effect::RoleChanged { conversation, rev, changed: true, .. } => (RoleChanged, (*conversation, *rev, None)),
            // Without rows it was the same name.
            Effect::ProfileChanged { user, rows } if !rows.is_empty() => return self.renamed(user.id, &user.name),
            _ => return,
        };
        self.change(conversation, rev, Change { kind, seq });
    }

    fn change(&mut self, conversation: ConversationId, rev: i64, change: Change) {
        let id = EventId { stream: conversation.uuid(), epoch: self.epoch, number: rev };
        self.ever.insert(id, change);
        self.stand.changes.insert((id.stream, rev), (id, change));
    }

    fn renamed(&mut self, user: UserId, name: &str) {
        for endpoint in self.stand.endpoints.values_mut() {
            if endpoint.filter.has(EventKind::UserUpdated) {
                endpoint.owed_names.insert(user, name.to_owned());
            }
        }
    }

    pub fn added(&mut self, id: WebhookId, url: String, filter: EventFilter) {
        let since = self.stand.changes.keys().copied().collect();
        let (lines, owed_names) = (BTreeMap::new(), BTreeMap::new());
        let endpoint = Endpoint { url, filter, since, lines, owed_names, is_off: false, tries: Tries::default() };
        self.stand.endpoints.insert(id, endpoint);
    }

    pub fn enabled(&mut self, id: WebhookId) {
        let Some(endpoint) = self.stand.endpoints.get_mut(&id) else { return };
        (endpoint.is_off, endpoint.tries) = (false, Tries::default());
        endpoint.lines.values_mut().for_each(LineStand::forgive);
    }

    /// From before this event on it is told again.
    pub fn rewound(&mut self, line: Line, number: i64) {
        let Some(endpoint) = self.stand.endpoints.get(&line.endpoint) else { return };
        let filter = endpoint.filter;
        // What was before it was added may not be kept.
        let first = endpoint.since.get(&line.stream).map_or(0, |since| since + 1).max(number);
        let again = self.stand.changes.range((line.stream, first)..=(line.stream, i64::MAX));
        let again: Vec<i64> =
            again.filter(|(_, (_, change))| filter.has(change.kind)).map(|((_, number), _)| *number).collect();
        let Some(line) = self.line(line) else { return };
        // What somebody skipped before is told as well.
        line.skipped.retain(|skipped| *skipped < number);
        line.owed_again.extend(again);
        line.taken = line.taken.map(|taken| taken.min(number - 1));
        line.forgive();
        line.again = Again::default();
        line.excuse();
    }

    pub fn skipped(&mut self, line: Line, number: i64) {
        if let Some(endpoint) = self.stand.endpoints.get_mut(&line.endpoint) {
            endpoint.owed_names.remove(&UserId::from_uuid(line.stream));
        }
        let Some(line) = self.line(line) else { return };
        line.skipped.insert(number);
        line.owed_again.remove(&number);
        line.taken = Some(number);
        line.forgive();
        line.again = Again::default();
        line.excuse();
    }

    /// Whatever a life had begun may be done again by another; or one thing of it, up to this event of that stream.
    pub fn excuse(&mut self, life: u64, only: Option<(Uuid, i64)>) {
        let endpoints = self.stand.endpoints.values_mut();
        let lines = endpoints.flat_map(|endpoint| endpoint.lines.iter_mut());
        let under_way = lines.filter_map(|(stream, line)| Some((*stream, line.under_way.as_mut()?)));
        for (stream, one) in under_way.filter(|(_, one)| one.life == life) {
            if only.is_none_or(|only| only == (stream, one.up_to)) {
                (one.is_excused, one.is_in_hands) = (true, false);
            }
        }
    }

    fn line(&mut self, line: Line) -> Option<&mut LineStand> {
        let endpoint = self.stand.endpoints.get_mut(&line.endpoint)?;
        Some(endpoint.lines.entry(line.stream).or_default())
    }

    pub fn by_url(&self, url: &str) -> Option<WebhookId> {
        self.stand.endpoints.iter().find(|(_, endpoint)| endpoint.url == url).map(|(id, _)| *id)
    }

    /// What was read for a request: what messages say by now, and of what is deleted nothing.
    pub fn looked(&self, sending: &Sending) -> Result<()> {
        for event in &sending.batch.events {
            let Some(seq) = event.seq else { continue };
            let stream = event.conversation_id.context("a message is of a conversation")?.uuid();
            let message = event.data.message.as_ref().with_context(|| format!("no message in {}", event.id))?;
            ensure!(message.seq == seq, "{} is about {seq}, and says {}", event.id, message.seq);
            let text = self.stand.texts.get(&(stream, seq)).with_context(|| format!("{} never was", event.id))?;
            ensure!(
                message.deleted_at.is_some() == text.is_none() && message.body == *text.as_deref().unwrap_or_default(),
                "{}: it says {text:?}, and is told to say {:?}, {:?}",
                event.id,
                message.deleted_at,
                message.body
            );
        }
        Ok(())
    }

    /// A worker takes a line for one request.
    pub fn begun(&mut self, line: Line, life: u64, begin: &Begin) -> Result<()> {
        let now = begin.now;
        let endpoint = self.stand.endpoints.get_mut(&line.endpoint).context("an endpoint that is gone is told")?;
        ensure!(!endpoint.is_off, "an endpoint that is off is told");
        let stand = endpoint.lines.entry(line.stream).or_default();
        ensure!(!stand.is_parked, "a line that is parked is told");
        let is_of_now = |at: Timestamp| at <= now.plus_ms(CLOCKS_APART_MS);
        endpoint.tries.begin(now).context("its endpoint waits")?;
        stand.tries.begin(now)?;
        stand.again.begin(begin)?;
        if let Some(before) = &stand.under_way {
            ensure!(
                before.until <= now || !is_of_now(before.until),
                "a line is told while another request may be under way: {before:?}"
            );
            let is_known = !before.is_in_hands && before.is_taken;
            ensure!(before.is_excused || !is_known, "what was taken was not noted: {before:?}");
        }
        ensure!(
            stand.taken.is_none_or(|taken| taken == begin.after),
            "a line stands at {}, and was taken up to {:?}",
            begin.after,
            stand.taken
        );
        stand.under_way = Some(UnderWay {
            life,
            holder: begin.holder,
            up_to: begin.up_to,
            from: stand.taken,
            until: begin.lease_until,
            is_taken: false,
            is_in_hands: true,
            is_excused: false,
        });
        Ok(())
    }

    /// A request comes to an endpoint.
    pub fn arrives(&self, id: WebhookId, life: u64, sending: &Sending, now: Timestamp) -> Result<()> {
        let ids = ids_of(&sending.batch.events)?;
        let (first, last) = (ids.first().context("a request without events")?, ids.last().context("the same")?);
        ensure!(
            ids.is_sorted_by(|a, b| a.stream == b.stream && a.number < b.number),
            "events that are not in their order: {ids:?}"
        );
        let Some(endpoint) = self.stand.endpoints.get(&id) else { return Ok(()) };
        for (event, id) in sending.batch.events.iter().zip(&ids) {
            ensure!(endpoint.filter.has(event.kind), "{} was not wanted", event.kind);
            if event.conversation_id.is_some() {
                let said = Change { kind: event.kind, seq: event.seq };
                let was = self.ever.get(id).with_context(|| format!("{id} never happened"))?;
                ensure!(*was == said, "{id} was {was:?}, and is told as {said:?}");
            }
        }
        let stand = endpoint.lines.get(&first.stream);
        let mine = stand.and_then(|line| line.under_way.as_ref()).filter(|one| one.is_of(life, sending));
        // Another may have it by now.
        let Some(mine) = mine.filter(|one| !one.is_excused && one.until > now) else { return Ok(()) };
        ensure!(mine.from.is_none_or(|taken| first.number > taken), "{first} comes again after {mine:?}");
        let since = endpoint.since.get(&first.stream).copied().unwrap_or(0);
        let above = mine.from.unwrap_or(0).max(since);
        let (stream, end) = (first.stream, last.number);
        let owed = self.stand.changes.range((stream, above)..=(stream, end.max(above)));
        let owed = owed.filter(|((_, number), (_, change))| *number > above && endpoint.filter.has(change.kind));
        let owed: Vec<EventId> = owed.map(|(_, (id, _))| *id).collect();
        let told: Vec<EventId> = ids.into_iter().filter(|id| id.number > above).collect();
        let is_of_person = sending.batch.events.iter().any(|event| event.conversation_id.is_none());
        ensure!(is_of_person || told == owed, "told are {told:?}, and owed {owed:?}");
        Ok(())
    }

    /// An endpoint has it; `is_said`: its worker hears so.
    pub fn has_got(&mut self, id: WebhookId, life: u64, sending: &Sending, is_said: bool) {
        let Ok(ids) = ids_of(&sending.batch.events) else { return };
        self.got.entry(id).or_default().extend(&ids);
        let Some(endpoint) = self.stand.endpoints.get_mut(&id) else { return };
        for id in &ids {
            if let Some(line) = endpoint.lines.get_mut(&id.stream) {
                line.owed_again.remove(&id.number);
            }
        }
        for user in sending.batch.events.iter().filter_map(|event| event.data.user.as_ref()) {
            if endpoint.owed_names.get(&user.id) == Some(&user.name) {
                endpoint.owed_names.remove(&user.id);
            }
        }
        let line = ids.first().and_then(|id| endpoint.lines.get_mut(&id.stream));
        if let Some(mine) = line.and_then(|line| line.under_way.as_mut()).filter(|one| one.is_of(life, sending)) {
            mine.is_taken = is_said;
        }
    }

    /// What came of a request is written down.
    pub fn ended(&mut self, line: Line, end: &End, after: After) -> Result<()> {
        let plan = self.waits.clone();
        let Some(endpoint) = self.stand.endpoints.get_mut(&line.endpoint) else { return Ok(()) };
        let stand = endpoint.lines.entry(line.stream).or_default();
        let mine = stand.under_way.as_ref().filter(|one| one.holder == end.holder).cloned();
        if after == After::Lost {
            let is_excused = mine.as_ref().is_none_or(|one| one.is_excused || !one.is_taken || one.until <= end.now);
            ensure!(is_excused, "a worker has lost its line, and nothing stood between: {mine:?}");
            if let Some(mine) = stand.under_way.as_mut().filter(|one| one.holder == end.holder) {
                (mine.is_in_hands, mine.is_excused) = (false, true);
            }
            return Ok(());
        }
        stand.under_way = None;
        if after == After::Taken {
            ensure!(mine.is_some_and(|one| one.is_taken), "noted as taken is what the endpoint did not take");
            if let TryResult::Taken { up_to, .. } = end.result {
                stand.taken = Some(up_to);
            }
            stand.forgive();
            stand.again = Again::default();
            endpoint.tries.taken(end);
            return Ok(());
        }
        are_near(end, &plan)?;
        stand.tries.failed(end);
        stand.again.failed(end, stand.tries.failures);
        // What is wrong with an event is not the endpoint's fault.
        match end.status {
            Some(ABOUT_EVENTS) => endpoint.tries.believe(end.now),
            _ => endpoint.tries.failed_together(end),
        }
        let was_off = endpoint.is_off;
        (stand.is_parked, endpoint.is_off) = (after == After::Parked, endpoint.is_off || after == After::Off);
        let (failures, of_all) = (stand.tries.failures, endpoint.tries.failures);
        let (is_at_end, are_all) = (failures > plan.len(), of_all > plan.len());
        let is_gone = matches!(end.result, TryResult::Gone { .. });
        ensure!(!is_gone || after == After::Off, "it wants no more events, and is told on");
        ensure!(!is_at_end || !matches!(after, After::Again(_)), "tried again after {failures} failures");
        // Of one that was switched off while this was under way nobody is told anything before it is switched on.
        ensure!(!are_all || was_off || after == After::Off, "told on after {of_all} failures in a row");
        if let (After::Again(at), false) = (after, was_off) {
            let waits = stand.tries.at().max(endpoint.tries.at());
            ensure!(Some(at) == waits, "it is tried again at {at:?}, and is to be at {waits:?}");
        }
        ensure!(after != After::Parked || is_at_end, "parked after {failures} failures");
        ensure!(after != After::Off || is_at_end || are_all || is_gone, "off after {failures} and {of_all} failures");
        Ok(())
    }

    /// Of the bug that notes nothing: its worker believes that it has.
    pub fn dropped(&mut self, line: Line, end: &End) {
        let Some(line) = self.line(line) else { return };
        if let Some(one) = line.under_way.as_mut().filter(|one| one.holder == end.holder) {
            one.is_in_hands = false;
        }
    }

    /// Everybody was told of everything, and of every name.
    pub fn check(&self) -> Result<()> {
        for (id, endpoint) in &self.stand.endpoints {
            ensure!(!endpoint.is_off, "{} is off, and was switched on", endpoint.url);
            let got = self.got.get(id);
            for ((stream, number), (event, change)) in &self.stand.changes {
                let since = endpoint.since.get(stream).copied().unwrap_or(0);
                let line = endpoint.lines.get(stream);
                let is_skipped = line.is_some_and(|line| line.skipped.contains(number));
                let is_owed = *number > since && endpoint.filter.has(change.kind) && !is_skipped;
                ensure!(
                    !is_owed || got.is_some_and(|got| got.contains(event)),
                    "{} was not told of {event}, {change:?}: {line:?}",
                    endpoint.url
                );
            }
            for (stream, line) in &endpoint.lines {
                let again = &line.owed_again;
                ensure!(again.is_empty(), "{} was not told again of {again:?} of {stream}", endpoint.url);
            }
            let owed = &endpoint.owed_names;
            ensure!(owed.is_empty(), "{} was not told that somebody has another name: {owed:?}", endpoint.url);
        }
        Ok(())
    }
}

impl Stand {
    fn say(&mut self, effect: &Effect) {
        let (Effect::MessageAppended { message, .. }
        | Effect::MessageEdited { message, .. }
        | Effect::MessageDeleted { message, .. }) = effect
        else {
            return;
        };
        let text = message.deleted_at.is_none().then(|| message.body.clone());
        self.texts.insert((message.conversation_id.uuid(), message.seq), text);
    }
}

impl UnderWay {
    fn is_of(&self, life: u64, sending: &Sending) -> bool {
        (self.life, self.up_to) == (life, sending.up_to)
    }
}

impl LineStand {
    fn forgive(&mut self) {
        (self.is_parked, self.tries) = (false, Tries::default());
    }

    fn excuse(&mut self) {
        if let Some(one) = &mut self.under_way {
            one.is_excused = true;
        }
    }
}

fn ids_of(events: &[WebhookEvent]) -> Result<Vec<EventId>> {
    events.iter().map(|event| event.id.parse().with_context(|| format!("{} is no id", event.id))).collect()
}
