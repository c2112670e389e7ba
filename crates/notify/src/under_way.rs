//! What is being told by this process at the moment.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use parking_lot::Mutex;
use tertulia_proto::{ConversationId, RegistrationId, UserId};
use tertulia_store::push::PushJob;

/// Of one person: providers that accept a connection and never answer are named by clients, and may not keep everybody else waiting.
const PER_PERSON: usize = 4;

#[derive(Default)]
pub struct UnderWay {
    /// Whose it is, once somebody is told.
    turns: Mutex<BTreeMap<About, Option<UserId>>>,
}

type About = (RegistrationId, ConversationId);

/// Nobody else here looks whether one device is to be told of one conversation, until this is dropped.
pub struct Turn<'a> {
    all: &'a UnderWay,
    about: About,
}

impl UnderWay {
    /// `None` where another job is at it: this one would overtake it.
    pub fn begin(&self, job: &PushJob) -> Option<Turn<'_>> {
        let about = (job.registration, job.conversation_id);
        match self.turns.lock().entry(about) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
                free.insert(None);
                Some(Turn { all: self, about })
            }
        }
    }
}

impl Turn<'_> {
    /// Whether no more is under way to this person than may be.
    pub fn admits(&self, user: UserId) -> bool {
        let mut turns = self.all.turns.lock();
        let admits = turns.values().filter(|other| **other == Some(user)).count() < PER_PERSON;
        if admits {
            turns.insert(self.about, Some(user));
        }
        admits
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.all.turns.lock().remove(&self.about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(device: u8, conversation: u8) -> PushJob {
        PushJob {
            registration: RegistrationId::from_bytes([device; 16]),
            conversation_id: ConversationId::from_bytes([conversation; 16]),
        }
    }

    #[test]
    fn one_device_is_told_of_one_conversation_by_one_job_at_a_time() {
        let all = UnderWay::default();
        let turn = all.begin(&job(1, 1));
        assert!(turn.is_some() && all.begin(&job(1, 1)).is_none(), "it would overtake the first");
        assert!(all.begin(&job(1, 2)).is_some() && all.begin(&job(2, 1)).is_some(), "those are others");
        drop(turn);
        assert!(all.begin(&job(1, 1)).is_some());
    }

    #[test]
    fn one_person_takes_so_many_places_and_no_more() {
        let (all, [alice, bob]) = (UnderWay::default(), [1, 2].map(|n| UserId::from_bytes([n; 16])));
        let mut told = Vec::new();
        for n in 0..4 {
            let turn = all.begin(&job(1, n)).unwrap();
            assert!(turn.admits(alice));
            told.push(turn);
        }
        let fifth = all.begin(&job(1, 4)).unwrap();
        assert!(!fifth.admits(alice));
        assert!(all.begin(&job(2, 4)).unwrap().admits(bob), "who has nothing to do with it");
        told.pop();
        assert!(fifth.admits(alice));
    }
}
