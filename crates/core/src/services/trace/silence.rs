//! What is missing of a message's life, and why: silence would say that it was not so.

use tertulia_proto::trace::{NotRecorded, Seen, SeenBy, Station, WhyNot};
use tertulia_proto::{MessageTrace, ServerId, Timestamp};
use tertulia_store::trace::{CLOCKS_APART_MS, GAPS_MAX, Noted};

use crate::journal::GAP_MAX_MS;
use crate::journal::record::Gap;

/// The journal is written a few times a second, and that there is a gap when it is over; what is younger may not be there yet. Nor may what is older,
/// where the home could not be written for a while.
const WRITTEN_AFTER_MS: i64 = GAP_MAX_MS + 2_000;

/// So long after a message was made its way is over, but for receipts: what was missed then was missed of it.
const WAY_MAX_MS: i64 = 10_000;

/// Times when a server could not write down all.
pub(super) struct Gaps {
    all: Vec<(ServerId, Gap)>,
    created_at: Timestamp,
    /// There are more after these.
    known_until: Option<Timestamp>,
}

impl Gaps {
    pub fn new(rows: &[Noted], created_at: Timestamp) -> Self {
        let all: Vec<_> = rows.iter().filter_map(|row| Some((row.server, Gap::decode(&row.data)?))).collect();
        let known_until = all.last().filter(|_| rows.len() >= GAPS_MAX).map(|(_, gap)| gap.to);
        Self { all, created_at, known_until }
    }

    /// From the message to that time, each server once.
    fn until(&self, until: Timestamp) -> Vec<ServerId> {
        let from = self.created_at.plus_ms(-CLOCKS_APART_MS);
        let overlapping = self.all.iter().filter(|(_, gap)| gap.to >= from && gap.from <= until);
        let mut servers: Vec<ServerId> = overlapping.map(|(server, _)| *server).collect();
        servers.sort_unstable();
        servers.dedup();
        servers
    }

    pub fn any_until(&self, until: Timestamp) -> bool {
        self.known_until.is_some_and(|known| known < until) || !self.until(until).is_empty()
    }
}

/// What is known of what was kept.
pub(super) struct Silence {
    pub gaps: Gaps,
    /// The earliest row of all.
    pub kept_since: Option<Timestamp>,
    pub now: Timestamp,
    pub retention_ms: i64,
    /// Something is noted by now.
    pub is_on: bool,
    /// There is more than was looked through.
    pub is_way_cut: bool,
    pub is_receipts_cut: bool,
    pub has_jobs: bool,
    pub webhooks: Option<NotRecorded>,
}

impl Silence {
    pub fn of(&self, trace: &MessageTrace) -> Vec<NotRecorded> {
        let way = self.gaps.until(trace.created_at.plus_ms(WAY_MAX_MS));
        let has_received = trace.received.iter().any(|one| !one.repeat);
        let mut all = self.station(Station::Received, (!has_received, !trace.received.is_empty()), &way);
        if self.is_way_cut {
            all.push(NotRecorded { partial: true, ..missing(Station::Received, WhyNot::TooMany) });
        }
        if trace.committed.is_none() {
            all.extend(self.station(Station::Committed, (true, false), &way));
        }
        let is_silent = |server: &ServerId| !trace.fanned_out.iter().any(|one| one.server_id == *server);
        let silent: Vec<ServerId> = way.into_iter().filter(is_silent).collect();
        let has_told = !trace.fanned_out.is_empty();
        all.extend(self.station(Station::FannedOut, (!has_told, has_told), &silent));
        all.extend(self.receipts(trace));
        all.extend(self.webhooks);
        if !self.has_jobs {
            all.push(missing(Station::Jobs, WhyNot::NotLooked));
        }
        all
    }

    fn receipts(&self, trace: &MessageTrace) -> Vec<NotRecorded> {
        let seen = || trace.receipts.iter().flat_map(|one| [&one.delivered, &one.read]).flatten();
        let is_unsure = |seen: &&Seen| matches!(seen.by, SeenBy::Watermark | SeenBy::AtLatest);
        // One that is not known may have come at any time since.
        let until = seen().filter(is_unsure).map(|seen| seen.at.unwrap_or(self.now)).max();
        let has_some = seen().any(|seen| seen.by != SeenBy::Watermark);
        let mut all = Vec::new();
        if self.is_receipts_cut {
            all.push(NotRecorded { partial: has_some, ..missing(Station::Receipts, WhyNot::TooMany) });
        }
        let Some(until) = until else { return all };
        let servers = self.gaps.until(until);
        let found = self.station(Station::Receipts, (true, has_some), &servers);
        // That there were too many is why, then.
        let is_explained = |one: &NotRecorded| self.is_receipts_cut && matches!(one.why, WhyNot::Unknown | WhyNot::Off);
        all.extend(found.into_iter().filter(|one| !is_explained(one)));
        all
    }

    /// What these servers may have missed of a station; and why nothing is there, where none has.
    fn station(&self, what: Station, (is_missing, has_some): (bool, bool), servers: &[ServerId]) -> Vec<NotRecorded> {
        let created_at = self.gaps.created_at;
        // One of a time to come is of a clock that was ahead: it tells nothing of what is kept.
        let kept_since = self.kept_since.filter(|since| *since <= self.now);
        let kept_since_later = kept_since.is_some_and(|since| since > created_at.plus_ms(WAY_MAX_MS));
        let is_expired = created_at < self.now.plus_ms(-self.retention_ms) || kept_since_later;
        if is_missing && (is_expired || servers.is_empty()) {
            let why = if is_expired {
                WhyNot::Expired
            } else if self.gaps.known_until.is_some() {
                WhyNot::Busy
            } else if !self.is_on {
                WhyNot::Off
            } else if self.now < created_at.plus_ms(WRITTEN_AFTER_MS) {
                WhyNot::NotYet
            } else {
                WhyNot::Unknown
            };
            return vec![NotRecorded { partial: has_some, ..missing(what, why) }];
        }
        let busy = |server: &ServerId| NotRecorded {
            partial: has_some,
            server_id: Some(*server),
            ..missing(what, WhyNot::Busy)
        };
        servers.iter().map(busy).collect()
    }
}

pub(super) const fn missing(what: Station, why: WhyNot) -> NotRecorded {
    NotRecorded { what, why, partial: false, server_id: None }
}
