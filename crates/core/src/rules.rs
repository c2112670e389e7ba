//! Who may do what to whom. Pure; asked by the homes inside the transaction that would do it.
//!
//! | in a group | owner | admin | member |
//! | --- | --- | --- | --- |
//! | send, react, read | yes | yes | yes |
//! | edit | own | own | own |
//! | delete | all | all | own |
//! | rename, add | yes | yes | no |
//! | remove | all | members | no |
//! | roles | yes | no | no |
//! | leave | not the last one, unless naming another | yes | yes |
//!
//! Whoever is no member gets `not_found`, whatever they ask.

use tertulia_proto::{ApiError, ConversationKind, ErrorCode, Role};
use tertulia_store::{Action, Facts, Rules};

/// Tertulia's rules.
#[derive(Debug, Clone, Copy)]
pub struct HouseRules {
    pub group_members_max: usize,
}

impl Default for HouseRules {
    fn default() -> Self {
        Self { group_members_max: tertulia_proto::Limits::default().group_members_max }
    }
}

impl Rules for HouseRules {
    fn decide(&self, action: Action, facts: &Facts) -> Result<(), ApiError> {
        let Some(role) = facts.actor else { return Err(ApiError::not_found("conversation")) };
        match action {
            Action::SendMessage => not_blocked(facts),
            Action::React if facts.is_deleted => Err(gone()),
            Action::React => not_blocked(facts),
            Action::Unreact | Action::AdvanceWatermarks | Action::SetPersonal => Ok(()),
            Action::EditMessage if !facts.is_author => Err(ApiError::forbidden("only its author may edit a message")),
            Action::EditMessage if facts.is_deleted => Err(gone()),
            Action::EditMessage => not_blocked(facts),
            Action::DeleteMessage => {
                let moderates = facts.kind == ConversationKind::Group && role >= Role::Admin;
                allow(facts.is_author || moderates, "only its author, or an admin of the group, may delete a message")
            }
            Action::OpenDm => {
                if facts.is_author {
                    return Err(ApiError::invalid("userId: a DM is with somebody else"));
                }
                not_blocked(facts)
            }
            Action::CreateGroupWith => not_blocked(facts),
            Action::AddMember if facts.kind == ConversationKind::Group && role >= Role::Admin => self.may_add(facts),
            Action::Rename | Action::AddMember | Action::RemoveMember | Action::Leave { .. } | Action::SetRole(_) => {
                in_group(action, role, facts)
            }
        }
    }
}

impl HouseRules {
    fn may_add(self, facts: &Facts) -> Result<(), ApiError> {
        let is_member = facts.target.is_some_and(|target| target.role.is_some());
        if !is_member && usize::try_from(facts.member_count).unwrap_or(usize::MAX) >= self.group_members_max {
            return Err(ApiError::too_large("members", self.group_members_max, "people"));
        }
        not_blocked(facts)
    }
}

fn in_group(action: Action, role: Role, facts: &Facts) -> Result<(), ApiError> {
    if facts.kind == ConversationKind::Dm {
        return Err(ApiError::forbidden("a DM has no title, and always the same two people"));
    }
    let target_role = facts.target.and_then(|target| target.role);
    match action {
        Action::Rename => allow(role >= Role::Admin, "only owners and admins may rename the group"),
        Action::AddMember => allow(role >= Role::Admin, "only owners and admins may add people"),
        Action::RemoveMember => {
            allow(role >= Role::Admin, "only owners and admins may remove people")?;
            let outranks = role == Role::Owner || target_role.is_none_or(|target| target < role);
            allow(outranks, "an admin may remove members, not admins or owners")
        }
        Action::Leave { names_successor } => {
            let last_owner = role == Role::Owner && facts.owner_count <= 1 && facts.member_count > 1;
            if last_owner && !names_successor {
                return Err(conflict(
                    "the last owner leaves only by naming another (newOwner), or makes somebody owner first",
                ));
            }
            allow(role == Role::Owner || !names_successor, "only an owner may name a new owner")
        }
        Action::SetRole(new) => {
            allow(role == Role::Owner, "only owners may give roles")?;
            let demotes_last = target_role == Some(Role::Owner) && new != Role::Owner && facts.owner_count <= 1;
            if demotes_last {
                return Err(conflict("the group's last owner stays owner until there is another"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// In a DM, and wherever one would bring somebody in: not where one of the two has blocked the other.
fn not_blocked(facts: &Facts) -> Result<(), ApiError> {
    match facts.target {
        Some(target) if target.has_blocked_actor => {
            Err(ApiError::forbidden("blocked: this person takes no messages from you"))
        }
        Some(target) if target.is_blocked_by_actor => {
            Err(ApiError::forbidden("blocked: you have blocked this person; unblock them first"))
        }
        _ => Ok(()),
    }
}

fn allow(yes: bool, otherwise: &str) -> Result<(), ApiError> {
    if yes { Ok(()) } else { Err(ApiError::forbidden(otherwise)) }
}

fn conflict(why: &str) -> ApiError {
    ApiError::new(ErrorCode::Conflict, why)
}

fn gone() -> ApiError {
    ApiError::new(ErrorCode::Gone, "the message has been deleted")
}
