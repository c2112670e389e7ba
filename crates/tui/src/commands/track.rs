//! What has been told of one conversation's messages, and what is to be told of another window of them.

use std::collections::{BTreeMap, BTreeSet};

use tertulia_client::{Message, Seq};

use crate::json::Event;

/// Windows come and go; each message is told once and then when it changes.
#[derive(Debug)]
pub struct Track {
    /// Everything up to here has been told, or is not wanted.
    floor: Seq,
    above: BTreeSet<Seq>,
    /// The messages of the window, as they were told.
    told: BTreeMap<i64, Message>,
}

impl Track {
    /// Wanted is what lies above `floor`.
    pub const fn new(floor: Seq) -> Self {
        Self { floor, above: BTreeSet::new(), told: BTreeMap::new() }
    }

    /// What to tell of a window.
    pub fn look(&mut self, window: &[Message], has_more: bool) -> Vec<(Event, Message)> {
        let mut lines = Vec::new();
        let first = window.first().and_then(|message| message.seq);
        let mut before = std::mem::take(&mut self.told);
        for message in window {
            // That something is missing above it is told by what comes.
            let message = Message { gap_above: false, ..message.clone() };
            let event = match before.remove(&message.key) {
                Some(told) if told == message => None,
                Some(_) => Some(Event::Changed),
                None if message.seq.is_some_and(|seq| self.is_told(seq)) => None,
                None => Some(Event::Message),
            };
            self.above.extend(message.seq.filter(|seq| *seq > self.floor));
            lines.extend(event.map(|event| (event, message.clone())));
            self.told.insert(message.key, message);
        }
        self.climb(window, has_more);
        // What stands above the window's first is out of sight, not gone.
        let is_gone = |message: &Message| match (message.seq, first) {
            (_, None) => !has_more,
            (None, Some(_)) => true,
            (Some(seq), Some(first)) => seq >= first,
        };
        let gone = before.into_values().filter(is_gone).map(|message| (Event::Removed, message));
        lines.extend(gone);
        lines
    }

    /// Whether the window has to be longer, so that nothing is left out.
    pub fn wants_more(&self, window: &[Message], has_more: bool) -> bool {
        let first = window.first().and_then(|message| message.seq);
        has_more && first.is_none_or(|first| first > self.floor.saturating_add(1))
    }

    /// Whether nothing is missing up to the window's end.
    pub fn is_whole(&self, window: &[Message]) -> bool {
        window.iter().filter_map(|message| message.seq).all(|seq| seq <= self.floor)
    }

    fn is_told(&self, seq: Seq) -> bool {
        seq <= self.floor || self.above.contains(&seq)
    }

    /// Places that nobody will ever fill (of a time when one was no member) stop nothing: what counts is that nothing is missing above.
    fn climb(&mut self, window: &[Message], has_more: bool) {
        let mut joined = !has_more;
        for message in window {
            let Some(seq) = message.seq else { break };
            let follows = joined && !message.gap_above;
            if seq > self.floor && !follows && seq != self.floor.saturating_add(1) {
                break;
            }
            self.floor = self.floor.max(seq);
            joined = true;
        }
        self.above = self.above.split_off(&self.floor.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{BOB, message, pending};

    fn from_bob(range: std::ops::RangeInclusive<Seq>) -> Vec<Message> {
        range.map(|seq| message(seq, BOB, "hello")).collect()
    }

    fn told(lines: &[(Event, Message)]) -> Vec<(Event, Option<Seq>)> {
        lines.iter().map(|(event, message)| (*event, message.seq)).collect()
    }

    #[test]
    fn each_message_is_told_once_and_then_when_it_changes() {
        let mut track = Track::new(1);
        let mut window = from_bob(1..=3);
        assert_eq!(told(&track.look(&window, false)), [(Event::Message, Some(2)), (Event::Message, Some(3))]);
        assert_eq!(track.look(&window, false), []);
        window[0].body = "edited".to_owned();
        assert_eq!(told(&track.look(&window, false)), [(Event::Changed, Some(1))]);
    }

    #[test]
    fn a_pending_message_gets_its_place_or_is_removed() {
        let mut track = Track::new(0);
        assert_eq!(told(&track.look(&[pending(7, "a"), pending(8, "b")], false)), [(Event::Message, None); 2]);
        let acknowledged = Message { key: 7, ..message(1, BOB, "a") };
        let lines = track.look(&[acknowledged], false);
        assert_eq!(told(&lines), [(Event::Changed, Some(1)), (Event::Removed, None)]);
        assert_eq!(told(&track.look(&[], false)), [(Event::Removed, Some(1))]);
    }

    #[test]
    fn a_window_that_slides_is_no_removal_and_what_comes_back_is_not_told_again() {
        let mut track = Track::new(0);
        track.look(&from_bob(1..=4), false);
        assert_eq!(told(&track.look(&from_bob(3..=5), true)), [(Event::Message, Some(5))]);
        assert_eq!(track.look(&from_bob(1..=5), false), []);
    }

    #[test]
    fn what_was_missed_is_asked_for_until_nothing_is_missing() {
        let mut track = Track::new(0);
        track.look(&from_bob(1..=2), false);
        let late = from_bob(8..=9);
        assert_eq!(track.look(&late, true).len(), 2);
        assert!(track.wants_more(&late, true) && !track.is_whole(&late));
        let mut holed: Vec<Message> = from_bob(1..=2).into_iter().chain(late).collect();
        holed[2].gap_above = true;
        assert_eq!(track.look(&holed, false), [], "a hole is no change");
        let whole = from_bob(1..=9);
        assert_eq!(track.look(&whole, false).len(), 5);
        assert!(track.is_whole(&whole));
        assert!(!track.wants_more(&from_bob(8..=9), true), "all of it is told");
    }

    #[test]
    fn places_that_nobody_fills_are_waited_for_by_nobody() {
        let mut track = Track::new(0);
        let window = [message(5, BOB, "a"), message(9, BOB, "b")];
        assert_eq!(track.look(&window, false).len(), 2);
        assert!(!track.wants_more(&[message(10, BOB, "c")], true));
    }
}
