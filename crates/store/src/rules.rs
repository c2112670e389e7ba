//! What a home asks before it changes anything.

use tertulia_proto::{ApiError, ConversationKind, Role};

/// What somebody wants to do in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    SendMessage,
    EditMessage,
    DeleteMessage,
    React,
    /// Takes one's own reaction back.
    Unreact,
    AdvanceWatermarks,
    Rename,
    AddMember,
    /// Takes out somebody else.
    RemoveMember,
    Leave {
        names_successor: bool,
    },
    SetRole(Role),
    /// Hide, mute: what only I see.
    SetPersonal,
    /// Opens a DM that does not exist yet.
    OpenDm,
    /// Makes a group that holds the target.
    CreateGroupWith,
}

/// What is so at the moment of the write, inside its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    pub kind: ConversationKind,
    /// The role of who asks; `None` for a stranger or a removed member.
    pub actor: Option<Role>,
    /// The person it is about, where it is about one; in a DM the other person.
    pub target: Option<Target>,
    /// Whether the message it is about is the actor's own; for `OpenDm`, whether the actor is the other person too.
    pub is_author: bool,
    /// Whether the message it is about has been deleted.
    pub is_deleted: bool,
    pub member_count: i64,
    pub owner_count: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// `None` for somebody who is no member now.
    pub role: Option<Role>,
    pub has_blocked_actor: bool,
    pub is_blocked_by_actor: bool,
}

impl Facts {
    /// The least one knows: used as a base by homes and tests.
    pub const fn new(kind: ConversationKind, actor: Option<Role>) -> Self {
        Self { kind, actor, target: None, is_author: false, is_deleted: false, member_count: 0, owner_count: 0 }
    }
}

/// The one place with rules implements this (`core`); homes only ask. Pure: the same question has the same answer.
pub trait Rules: Send + Sync + 'static {
    fn decide(&self, action: Action, facts: &Facts) -> Result<(), ApiError>;
}
