//! To whom a message has come, and when they first said so.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tertulia_proto::trace::{Seen, SeenBy, TracedReceipt};
use tertulia_proto::{DeviceId, Seq, Timestamp, UserId};
use tertulia_store::trace::{LATER_MAX, Mark, Noted};

use crate::journal::record::{Record, decode};

/// A server whose clock is behind takes a receipt before the message was made; by more than this it is of another message, which had the place before a
/// restore.
const BEHIND_MAX_MS: i64 = 5 * 60_000;

type Receipt = (Timestamp, Option<DeviceId>);

/// Of each member the first receipts for the message. Whoever tells of a later one has got this one, too.
pub(super) struct Firsts {
    seq: Seq,
    /// What was told before is of another log, which had another message there.
    not_before: Timestamp,
    delivered: BTreeMap<UserId, Receipt>,
    read: BTreeMap<UserId, Receipt>,
    /// Of the last row that told something new.
    news_at: Seq,
}

impl Firsts {
    pub fn new(seq: Seq, created_at: Timestamp) -> Self {
        let not_before = created_at.plus_ms(-BEHIND_MAX_MS);
        Self { seq, not_before, delivered: BTreeMap::new(), read: BTreeMap::new(), news_at: seq }
    }

    /// In order of their `seq`.
    pub fn add(&mut self, row: &Noted) {
        for record in decode(&row.data) {
            let Record::Receipt { at, user, read, device } = record else { continue };
            if at < self.not_before {
                continue;
            }
            let is_news = add(&mut self.delivered, user, (at, device));
            if (read >= self.seq && add(&mut self.read, user, (at, device))) || is_news {
                self.news_at = row.seq;
            }
        }
    }

    /// Whether rows after those of `last` can tell no more. A member's receipts grow with time: the first is at the lowest `seq`, and who wrote
    /// something has told nothing before it that is found behind it.
    pub fn has_all(&self, marks: &[Mark], last: Seq) -> bool {
        let has = |mark: &Mark| {
            let has_read = mark.read_seq < self.seq || self.read.contains_key(&mark.user);
            let has_both = has_read && self.delivered.contains_key(&mark.user);
            has_both || (mark.wrote_at.is_some() && last > self.seq + LATER_MAX)
        };
        last > self.news_at && marks.iter().all(has)
    }

    /// Of those who have got the message. `is_sure`: nothing that was told from the message on until then can be missing.
    pub fn told(&self, marks: &[Mark], with_names: bool, is_sure: impl Fn(Timestamp) -> bool) -> Vec<TracedReceipt> {
        let seen = |told: Option<&Receipt>, mark: &Mark| match (told, mark.wrote_at) {
            (Some((at, device_id)), wrote) if wrote.is_none_or(|wrote| at <= &wrote) => {
                let by = if is_sure(*at) { SeenBy::Receipt } else { SeenBy::AtLatest };
                Seen { at: Some(*at), by, device_id: *device_id }
            }
            (_, Some(at)) => Seen { at: Some(at), by: SeenBy::Writing, device_id: None },
            _ => Seen { at: None, by: SeenBy::Watermark, device_id: None },
        };
        let got = marks.iter().filter(|mark| mark.delivered_seq.max(mark.read_seq) >= self.seq);
        got.map(|mark| TracedReceipt {
            user_id: mark.user,
            name: with_names.then(|| mark.name.clone()),
            delivered: Some(seen(self.delivered.get(&mark.user), mark)),
            read: (mark.read_seq >= self.seq).then(|| seen(self.read.get(&mark.user), mark)),
        })
        .collect()
    }
}

/// Whether it is the earliest by now.
fn add(all: &mut BTreeMap<UserId, Receipt>, user: UserId, told: Receipt) -> bool {
    match all.entry(user) {
        Entry::Vacant(place) => {
            place.insert(told);
            true
        }
        Entry::Occupied(mut place) => {
            let is_earlier = told.0 < place.get().0;
            if is_earlier {
                place.insert(told);
            }
            is_earlier
        }
    }
}
