//! What is being told by this process at the moment.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use parking_lot::Mutex;
use tertulia_proto::{ConversationId, RegistrationId, Timestamp, UserId};
use tertulia_store::push::PushJob;

use crate::BUSY_MS;

/// Of one person: providers that accept a connection and never answer are named by clients, and may not keep everybody else waiting.
const PER_PERSON: usize = 4;

/// Who found no room comes again after so long, at most.
const LATER_MAX_MS: i64 = 30_000;

#[derive(Default)]
pub struct UnderWay(Mutex<State>);

#[derive(Default)]
struct State {
    turns: BTreeMap<About, Option<Telling>>,
    /// Of those who are told something at the moment.
    lines: BTreeMap<UserId, Line>,
    /// Whose device somebody found no room for: who comes again is told so before anything is read.
    owners: BTreeMap<RegistrationId, UserId>,
}

type About = (RegistrationId, ConversationId);

struct Telling {
    user: UserId,
    since: Timestamp,
}

/// Who waits for one person's turns.
struct Line {
    under_way: usize,
    /// When the last one that found no room comes again.
    last: Timestamp,
}

/// Nobody else here looks whether one device is to be told of one conversation, until this is dropped.
pub struct Turn<'a> {
    all: &'a UnderWay,
    about: About,
}

impl UnderWay {
    /// Where another job is at it, which this one would overtake, or where it is known that there is no room: when to come again.
    pub fn begin(&self, job: &PushJob, now: Timestamp) -> Result<Turn<'_>, Timestamp> {
        let about = (job.registration, job.conversation_id);
        let mut state = self.0.lock();
        if let Some(user) = state.owners.get(&job.registration).copied()
            && let Some(later) = state.later(user, now)
        {
            return Err(later);
        }
        match state.turns.entry(about) {
            Entry::Occupied(_) => Err(now.plus_ms(BUSY_MS)),
            Entry::Vacant(free) => {
                free.insert(None);
                Ok(Turn { all: self, about })
            }
        }
    }
}

impl State {
    /// Where as much is under way to this person as may be: when there may be room. Each who asks has a time of its own, as far apart as turns end, so that
    /// those who wait do not keep coming at once.
    fn later(&mut self, user: UserId, now: Timestamp) -> Option<Timestamp> {
        let line = self.lines.get_mut(&user).filter(|line| line.under_way >= PER_PERSON)?;
        let begun = self.turns.values().flatten().filter(|telling| telling.user == user).map(|telling| telling.since);
        let longest_ms = begun.map(|since| now.ms() - since.ms()).max().unwrap_or(0).max(BUSY_MS);
        let apart_ms = longest_ms / i64::try_from(PER_PERSON).unwrap_or(1);
        let later = line.last.plus_ms(apart_ms).max(now.plus_ms(BUSY_MS)).min(now.plus_ms(LATER_MAX_MS));
        line.last = later;
        Some(later)
    }
}

impl Turn<'_> {
    /// Where as much is under way to this person as may be: when to come again.
    pub fn admits(&self, user: UserId, now: Timestamp) -> Result<(), Timestamp> {
        let mut state = self.all.0.lock();
        if let Some(later) = state.later(user, now) {
            state.owners.insert(self.about.0, user);
            return Err(later);
        }
        state.turns.insert(self.about, Some(Telling { user, since: now }));
        state.lines.entry(user).or_insert(Line { under_way: 0, last: now }).under_way += 1;
        Ok(())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.all.0.lock();
        let Some(Telling { user, .. }) = state.turns.remove(&self.about).flatten() else { return };
        let Entry::Occupied(mut line) = state.lines.entry(user) else { return };
        line.get_mut().under_way -= 1;
        if line.get().under_way == 0 {
            line.remove();
            state.owners.retain(|_, owner| *owner != user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn job(device: u8, conversation: u8) -> PushJob {
        PushJob {
            registration: RegistrationId::from_bytes([device; 16]),
            conversation_id: ConversationId::from_bytes([conversation; 16]),
        }
    }

    #[test]
    fn one_device_is_told_of_one_conversation_by_one_job_at_a_time() {
        let all = UnderWay::default();
        let turn = all.begin(&job(1, 1), NOW);
        assert!(turn.is_ok(), "nobody is at it");
        assert_eq!(all.begin(&job(1, 1), NOW).err(), Some(NOW.plus_ms(BUSY_MS)), "it would overtake the first");
        assert!(all.begin(&job(1, 2), NOW).is_ok() && all.begin(&job(2, 1), NOW).is_ok(), "those are others");
        drop(turn);
        assert!(all.begin(&job(1, 1), NOW).is_ok());
    }

    #[test]
    fn one_person_takes_so_many_places_and_no_more() {
        let (all, [alice, bob]) = (UnderWay::default(), [1, 2].map(|n| UserId::from_bytes([n; 16])));
        let mut told = Vec::new();
        for n in 0..4 {
            let turn = all.begin(&job(1, n), NOW).unwrap();
            assert_eq!(turn.admits(alice, NOW), Ok(()));
            told.push(turn);
        }
        let fifth = all.begin(&job(1, 4), NOW).unwrap();
        assert!(fifth.admits(alice, NOW).is_err());
        assert!(all.begin(&job(2, 4), NOW).unwrap().admits(bob, NOW).is_ok(), "who has nothing to do with it");
        told.pop();
        assert_eq!(fifth.admits(alice, NOW), Ok(()));
    }

    #[test]
    fn who_finds_no_room_comes_again_by_turns_and_is_then_told_so_at_once() {
        let (all, alice) = (UnderWay::default(), UserId::from_bytes([1; 16]));
        let told: Vec<Turn<'_>> = (0..4).map(|n| all.begin(&job(1, n), NOW).unwrap()).collect();
        assert!(told.iter().all(|turn| turn.admits(alice, NOW).is_ok()));
        let after = |ms| Err(NOW.plus_ms(ms));
        assert_eq!(all.begin(&job(1, 4), NOW).unwrap().admits(alice, NOW), after(1000));
        // From now on it is known whose the device is.
        let begun = |conversation, now| all.begin(&job(1, conversation), now).map(drop);
        assert_eq!([begun(5, NOW), begun(6, NOW)], [after(1250), after(1500)]);
        // They take eight seconds by now: one ends every two, if they do.
        let then = NOW.plus_ms(8000);
        assert_eq!([begun(5, then), begun(6, then)], [after(9000), after(11_000)]);
        for _ in 0..100 {
            assert!(begun(5, then).unwrap_err() <= then.plus_ms(LATER_MAX_MS));
        }
        drop(told);
        assert_eq!(begun(5, then), Ok(()));
        let state = all.0.lock();
        assert!(state.owners.is_empty() && state.lines.is_empty());
    }
}
