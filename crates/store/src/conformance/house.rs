//! The rules of the suite: just enough of them that a home has somebody to ask, and a recorder of what it asked.

use std::sync::Mutex;

use tertulia_proto::{ApiError, ConversationKind, ErrorCode, Role};

use super::sink::locked;
use crate::{Action, Facts, Rules};

/// Strangers are told `not_found`, tombstones are neither edited nor reacted to, nobody is brought together with who blocked them, or with
/// themselves in a DM; apart from that every member may do everything.
#[derive(Debug, Default, Clone, Copy)]
pub struct House {
    /// Refuses everything to people who are in a group with no other role than member.
    pub is_strict: bool,
}

impl Rules for House {
    fn decide(&self, action: Action, facts: &Facts) -> Result<(), ApiError> {
        let is_plain_member = facts.kind == ConversationKind::Group && facts.actor == Some(Role::Member);
        match action {
            Action::OpenDm if facts.is_author => Err(ApiError::invalid("oneself")),
            Action::OpenDm | Action::CreateGroupWith => match facts.target {
                Some(target) if target.has_blocked_actor => Err(ApiError::not_found("person")),
                _ => Ok(()),
            },
            _ if facts.actor.is_none() => Err(ApiError::not_found("conversation")),
            _ if self.is_strict && is_plain_member => Err(ApiError::forbidden("this house is strict")),
            Action::EditMessage | Action::React if facts.is_deleted => Err(ApiError::new(ErrorCode::Gone, "deleted")),
            Action::RemoveMember | Action::SetRole(_) if facts.target.is_none_or(|target| target.role.is_none()) => {
                Err(ApiError::not_found("member"))
            }
            _ => Ok(()),
        }
    }
}

/// Remembers every question.
pub struct Recorder {
    house: House,
    asked: Mutex<Vec<(Action, Facts)>>,
}

impl Recorder {
    pub fn new(house: House) -> Self {
        Self { house, asked: Mutex::default() }
    }

    pub fn forget(&self) {
        locked(&self.asked).clear();
    }

    /// How often something was asked since the last [`Self::forget`]; a home may ask the same again.
    pub fn asked_count(&self) -> usize {
        locked(&self.asked).len()
    }

    /// All facts given with the action since the last [`Self::forget`], in the order they came.
    pub fn asked(&self, action: Action) -> Vec<Facts> {
        locked(&self.asked).iter().filter(|(asked, _)| *asked == action).map(|(_, facts)| *facts).collect()
    }

    /// The facts given the last time that the action was asked about.
    #[track_caller]
    pub fn last(&self, action: Action) -> Facts {
        self.asked(action)
            .pop()
            .unwrap_or_else(|| panic!("the rules were not asked about {action:?} but {:?}", locked(&self.asked)))
    }
}

impl Rules for Recorder {
    fn decide(&self, action: Action, facts: &Facts) -> Result<(), ApiError> {
        locked(&self.asked).push((action, *facts));
        self.house.decide(action, facts)
    }
}
