//! What leaves a commit: first the acknowledgement to who asked, then the event to everybody concerned, in commit order.

use std::sync::Arc;

use tertulia_proto::event::{
    ConversationRemoved, ConversationUpdated, MemberUpdated, MessageDeleted, ReactionUpdated, ReceiptUpdated,
};
use tertulia_proto::{Conversation, ConversationId, Member, Message, Rev, ServerEvent, Timestamp, UserId};
use tertulia_realtime::{Hub, Membership};
use tertulia_store::{CommitSink, Committed, Effect};

/// Publishes commits to the hub. Called by one thread at a time, in commit order.
pub struct Fanout {
    hub: Arc<Hub>,
}

impl CommitSink for Fanout {
    fn committed(&self, batch: Vec<Committed>) {
        for Committed { result, done } in batch {
            done(&result);
            if let Ok(effect) = result {
                self.publish(effect);
            }
        }
    }
}

impl Fanout {
    pub fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    fn publish(&self, effect: Effect) {
        match effect {
            Effect::MessageAppended { message, fresh: true } => {
                self.hub.deliver(message.conversation_id, ServerEvent::MessageNew(Box::new(message)), &[]);
            }
            Effect::MessageEdited { message, unseen_by, changed: true } => {
                let (conversation, rev) = (message.conversation_id, message.rev);
                self.amended(conversation, rev, ServerEvent::MessageUpdated(Box::new(message)), &unseen_by);
            }
            Effect::MessageDeleted { message, unseen_by, changed: true } => self.tombstone(&message, &unseen_by),
            Effect::ReactionsChanged { conversation, message, seq, rev, reactions, unseen_by, changed: true } => {
                let updated =
                    ReactionUpdated { conversation_id: conversation, message_id: message, seq, rev, reactions };
                self.amended(conversation, rev, ServerEvent::ReactionUpdated(updated), &unseen_by);
            }
            Effect::WatermarksAdvanced { conversation, user, delivered_seq, read_seq, rev, changed: true } => {
                let updated =
                    ReceiptUpdated { conversation_id: conversation, user_id: user, delivered_seq, read_seq, rev };
                self.hub.deliver(conversation, ServerEvent::ReceiptUpdated(updated), &[]);
            }
            Effect::TitleChanged { conversation, rev, title, changed: true } => {
                let updated =
                    ConversationUpdated { conversation_id: conversation, rev, title: Some(title), conversation: None };
                self.hub.deliver(conversation, ServerEvent::ConversationUpdated(updated), &[]);
            }
            Effect::PersonalChanged { user, view } | Effect::BlockChanged { user, view: Some(view) } => {
                self.show(user, *view)
            }
            Effect::ConversationOpened { views, .. } => {
                for (user, view) in views {
                    self.hub.membership(user, view.id, Membership::Joined);
                    self.show(user, view);
                }
            }
            Effect::RoleChanged { conversation, member, changed: true, .. } => self.member(conversation, member, None),
            Effect::MemberAdded { conversation, user, member, view, changed: true, .. } => {
                self.hub.membership(user, conversation, Membership::Joined);
                self.show(user, *view);
                self.member(conversation, member, Some(user));
            }
            Effect::MemberRemoved { conversation, user, member, successor, .. } => {
                self.hub.membership(user, conversation, Membership::Left);
                let removed = ConversationRemoved { conversation_id: conversation };
                self.hub.deliver_to(user, ServerEvent::ConversationRemoved(removed));
                self.member(conversation, member, None);
                if let Some(successor) = successor {
                    self.member(conversation, successor, None);
                }
            }
            Effect::ProfileChanged { rows, .. } | Effect::UserReady { rows, .. } => {
                for (conversation, member) in rows {
                    self.member(conversation, member, None);
                }
            }
            Effect::SessionEnded { session } => self.hub.end_session(session),
            Effect::MessageAppended { .. }
            | Effect::MessageEdited { .. }
            | Effect::MessageDeleted { .. }
            | Effect::ReactionsChanged { .. }
            | Effect::WatermarksAdvanced { .. }
            | Effect::TitleChanged { .. }
            | Effect::MemberAdded { .. }
            | Effect::RoleChanged { .. }
            | Effect::BlockChanged { view: None, .. }
            | Effect::Done => {}
        }
    }

    /// To those who see the message; the others hear only that the conversation has a new `rev`.
    fn amended(&self, conversation: ConversationId, rev: Rev, event: ServerEvent, unseen_by: &[UserId]) {
        self.hub.deliver(conversation, event, unseen_by);
        for user in unseen_by {
            let updated = ConversationUpdated { conversation_id: conversation, rev, title: None, conversation: None };
            self.hub.deliver_to(*user, ServerEvent::ConversationUpdated(updated));
        }
    }

    fn tombstone(&self, message: &Message, unseen_by: &[UserId]) {
        let deleted = MessageDeleted {
            conversation_id: message.conversation_id,
            message_id: message.message_id,
            seq: message.seq,
            rev: message.rev,
            deleted_at: message.deleted_at.unwrap_or(Timestamp::from_ms(0)),
        };
        self.amended(message.conversation_id, message.rev, ServerEvent::MessageDeleted(deleted), unseen_by);
    }

    /// The conversation whole, as this person sees it, to all their devices.
    fn show(&self, user: UserId, view: Conversation) {
        let updated = ConversationUpdated {
            conversation_id: view.id,
            rev: view.rev,
            title: view.title.clone(),
            conversation: Some(Box::new(view)),
        };
        self.hub.deliver_to(user, ServerEvent::ConversationUpdated(updated));
    }

    fn member(&self, conversation: ConversationId, member: Member, except: Option<UserId>) {
        let updated = MemberUpdated { conversation_id: conversation, rev: member.rev, member };
        self.hub.deliver(conversation, ServerEvent::MemberUpdated(updated), except.as_slice());
    }
}
