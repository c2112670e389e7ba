//! Writes in few words: `world.editing(..)` is the write, to be submitted as the test likes.

use tertulia_proto::{ClientMsgId, Emoji, HistoryVisibility, Seq};

use super::world::World;
use crate::*;

/// More than any test reaches.
const REACTIONS_MAX: usize = 100;
const BLOCKS_MAX: usize = 100;

pub fn sending(message: &AppendMessage) -> Write {
    Write::AppendMessage(Box::new(message.clone()))
}

pub fn emoji(text: &str) -> Emoji {
    text.parse().expect("the test names an emoji")
}

pub fn client_msg_id(text: &str) -> ClientMsgId {
    text.parse().expect("the test names a client_msg_id")
}

impl World {
    /// A message that nobody sent yet, with a name of its own.
    pub fn message(&self, sender: UserId, conversation: ConversationId, body: &str) -> AppendMessage {
        let id = MessageId::from_bytes(self.id());
        AppendMessage {
            id,
            conversation,
            sender,
            client_msg_id: client_msg_id(&id.to_string()),
            body: body.to_owned(),
            reply_to: None,
            after: None,
            notify_at: Some(self.now()),
            now: self.now(),
        }
    }

    pub fn reply(&self, sender: UserId, to: &Message, body: &str) -> AppendMessage {
        AppendMessage { reply_to: Some(to.message_id), ..self.message(sender, to.conversation_id, body) }
    }

    /// The same send once more, as a server gets it: everything of the sender's is the same, and nothing of the server's.
    pub fn again(&self, message: &AppendMessage) -> AppendMessage {
        AppendMessage { id: MessageId::from_bytes(self.id()), now: self.now(), ..message.clone() }
    }

    pub fn editing(&self, actor: UserId, message: &Message, body: &str) -> Write {
        Write::EditMessage {
            conversation: message.conversation_id,
            message: message.message_id,
            actor,
            body: body.to_owned(),
            now: self.now(),
        }
    }

    pub fn deleting(&self, actor: UserId, message: &Message) -> Write {
        Write::DeleteMessage {
            conversation: message.conversation_id,
            message: message.message_id,
            actor,
            now: self.now(),
        }
    }

    pub fn reacting(&self, actor: UserId, message: &Message, with: &str) -> Write {
        self.reaction(actor, message, with, true, REACTIONS_MAX)
    }

    pub fn unreacting(&self, actor: UserId, message: &Message, with: &str) -> Write {
        self.reaction(actor, message, with, false, REACTIONS_MAX)
    }

    pub fn reaction(
        &self,
        actor: UserId,
        message: &Message,
        with: &str,
        present: bool,
        per_message_max: usize,
    ) -> Write {
        Write::SetReaction {
            conversation: message.conversation_id,
            message: message.message_id,
            actor,
            emoji: emoji(with),
            present,
            per_message_max,
        }
    }

    pub fn reading(&self, actor: UserId, conversation: ConversationId, seq: Seq) -> Write {
        Write::AdvanceWatermarks {
            conversation,
            actor,
            delivered: None,
            read: Some(seq),
            device: None,
            now: self.now(),
        }
    }

    pub fn receiving(&self, actor: UserId, conversation: ConversationId, seq: Seq) -> Write {
        Write::AdvanceWatermarks {
            conversation,
            actor,
            delivered: Some(seq),
            read: None,
            device: None,
            now: self.now(),
        }
    }

    pub fn opening_dm(&self, actor: UserId, peer: UserId) -> Write {
        Write::OpenDm { id: ConversationId::from_bytes(self.id()), actor, peer, now: self.now() }
    }

    pub fn creating_group(&self, actor: UserId, members: &[UserId], history_visibility: HistoryVisibility) -> Write {
        Write::CreateGroup {
            id: ConversationId::from_bytes(self.id()),
            actor,
            title: "The group".to_owned(),
            members: members.to_vec(),
            history_visibility,
            now: self.now(),
        }
    }

    pub fn titling(&self, actor: UserId, conversation: ConversationId, title: &str) -> Write {
        Write::SetTitle { conversation, actor, title: title.to_owned() }
    }

    pub fn adding(&self, actor: UserId, conversation: ConversationId, target: UserId) -> Write {
        Write::AddMember { conversation, actor, target, now: self.now() }
    }

    pub fn removing(&self, actor: UserId, conversation: ConversationId, target: UserId) -> Write {
        Write::RemoveMember { conversation, actor, target, successor: None, now: self.now() }
    }

    pub fn leaving(&self, actor: UserId, conversation: ConversationId, successor: Option<UserId>) -> Write {
        Write::RemoveMember { conversation, actor, target: actor, successor, now: self.now() }
    }

    pub fn giving_role(&self, actor: UserId, conversation: ConversationId, target: UserId, role: Role) -> Write {
        Write::SetRole { conversation, actor, target, role }
    }

    pub fn hiding(&self, actor: UserId, conversation: ConversationId) -> Write {
        Write::Hide { conversation, actor }
    }

    pub fn muting(&self, actor: UserId, conversation: ConversationId, until: Option<Timestamp>) -> Write {
        Write::SetMuted { conversation, actor, until }
    }

    pub fn blocking(&self, actor: UserId, target: UserId) -> Write {
        Write::SetBlocked { actor, target, blocked: true, blocks_max: BLOCKS_MAX }
    }

    pub fn unblocking(&self, actor: UserId, target: UserId) -> Write {
        Write::SetBlocked { actor, target, blocked: false, blocks_max: BLOCKS_MAX }
    }

    pub fn renaming(&self, user: UserId, name: &str) -> Write {
        Write::UpdateProfile { user, name: Some(name.to_owned()), avatar_url: None }
    }

    /// Somebody with the e-mail `<name>@example.org`.
    pub fn newcomer(&self, name: &str) -> NewUser {
        NewUser {
            id: UserId::from_bytes(self.id()),
            email: Some(format!("{}@example.org", name.to_lowercase())),
            name: name.to_owned(),
            password_hash: None,
            avatar_url: None,
            now: self.now(),
        }
    }
}
