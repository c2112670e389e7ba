//! In which order the writes of a transaction are done.
//!
//! Nobody sees the inside of a transaction, so only what depends on each other has to keep its order: writes about one conversation, and writes of one
//! person (a message may name an earlier one as the one to come after). So the appends and watermarks of all conversations go together as long as
//! nothing else comes between them there.

use std::collections::HashSet;

use tertulia_proto::{ConversationId, UserId};
use tertulia_store::Write;

/// Numbers of writes: those decided together, and then those done one by one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    pub hot: Vec<usize>,
    pub then: Vec<usize>,
}

/// Of a write that concerns one conversation alone: which, and whose it is.
pub(crate) fn place(write: &Write) -> Option<(ConversationId, UserId)> {
    match write {
        Write::AppendMessage(append) => Some((append.conversation, append.sender)),
        Write::EditMessage { conversation, actor, .. }
        | Write::DeleteMessage { conversation, actor, .. }
        | Write::SetReaction { conversation, actor, .. }
        | Write::AdvanceWatermarks { conversation, actor, .. }
        | Write::SetTitle { conversation, actor, .. }
        | Write::AddMember { conversation, actor, .. }
        | Write::RemoveMember { conversation, actor, .. }
        | Write::SetRole { conversation, actor, .. }
        | Write::Hide { conversation, actor }
        | Write::SetMuted { conversation, actor, .. } => Some((*conversation, *actor)),
        _ => None,
    }
}

pub(crate) fn of(writes: &[&Write]) -> Vec<Round> {
    let mut rounds = Vec::new();
    let mut waiting: Vec<usize> = (0..writes.len()).collect();
    while !waiting.is_empty() {
        let (mut round, mut rest) = (Round::default(), Vec::new());
        let (mut conversations, mut people) = (HashSet::new(), HashSet::new());
        for at in waiting {
            let Some((conversation, actor)) = place(writes[at]) else { continue };
            let is_free = !conversations.contains(&conversation) && !people.contains(&actor);
            if is_free && matches!(writes[at], Write::AppendMessage(_) | Write::AdvanceWatermarks { .. }) {
                round.hot.push(at);
                continue;
            }
            // What comes later there waits for this one.
            conversations.insert(conversation);
            people.insert(actor);
            if is_free { &mut round.then } else { &mut rest }.push(at);
        }
        rounds.push(round);
        waiting = rest;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use tertulia_proto::{Seq, Timestamp};

    use super::*;

    fn read(conversation: u8, actor: u8) -> Write {
        let (conversation, actor) = (ConversationId::from_bytes([conversation; 16]), UserId::from_bytes([actor; 16]));
        let now = Timestamp::from_ms(0);
        Write::AdvanceWatermarks { conversation, actor, delivered: None, read: Some(Seq::MAX), device: None, now }
    }

    fn hide(conversation: u8, actor: u8) -> Write {
        Write::Hide {
            conversation: ConversationId::from_bytes([conversation; 16]),
            actor: UserId::from_bytes([actor; 16]),
        }
    }

    fn rounds(writes: &[Write]) -> Vec<Round> {
        of(&writes.iter().collect::<Vec<_>>())
    }

    #[test]
    fn what_depends_on_nothing_goes_together_whatever_stands_between() {
        let writes = [read(1, 1), hide(2, 2), read(3, 3), hide(4, 4), read(5, 5)];
        assert_eq!(rounds(&writes), [Round { hot: vec![0, 2, 4], then: vec![1, 3] }]);
    }

    #[test]
    fn writes_of_one_conversation_and_of_one_person_keep_their_order() {
        let of_one_conversation = [read(1, 1), hide(1, 2), read(1, 3), read(2, 4)];
        assert_eq!(
            rounds(&of_one_conversation),
            [Round { hot: vec![0, 3], then: vec![1] }, Round { hot: vec![2], then: vec![] }]
        );
        let of_one_person = [hide(1, 1), read(2, 1), read(2, 2), hide(3, 2)];
        assert_eq!(
            rounds(&of_one_person),
            [Round { hot: vec![], then: vec![0] }, Round { hot: vec![1, 2], then: vec![3] },]
        );
    }
}
