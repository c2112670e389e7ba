//! What leaves a commit: first the acknowledgement to who asked, then the event to everybody concerned, in commit order.

use std::sync::Arc;

use tertulia_proto::event::{
    ConversationRemoved, ConversationUpdated, MemberUpdated, MessageDeleted, ReactionUpdated, ReceiptUpdated,
};
use tertulia_proto::{Conversation, ConversationId, Member, Message, Rev, ServerEvent, Timestamp, UserId};
use tertulia_realtime::{Hub, Membership, News};
use tertulia_store::{CommitSink, Committed, Effect};

use crate::journal::Journal;

/// Publishes commits to the hub. Called by one thread at a time, in commit order.
pub struct Fanout {
    hub: Arc<Hub>,
    journal: Option<Arc<Journal>>,
}

impl CommitSink for Fanout {
    fn committed(&self, batch: Vec<Committed>) {
        let now = self.journal.as_ref().map(|journal| journal.now());
        self.tell(batch, now);
    }
}

impl Fanout {
    pub fn new(hub: Arc<Hub>) -> Self {
        Self { hub, journal: None }
    }

    #[must_use]
    pub fn with_journal(self, journal: Option<Arc<Journal>>) -> Self {
        Self { journal, ..self }
    }

    /// What was committed, and when, where that is to be noted.
    pub fn tell(&self, batch: Vec<Committed>, at: Option<Timestamp>) {
        self.note(&batch, at);
        if self.hub.is_in_cluster() {
            return self.committed_in_cluster(batch);
        }
        for Committed { result, done } in batch {
            done(&result);
            if let Ok(effect) = result {
                self.hub.tell(news_of(effect));
            }
        }
    }

    fn note(&self, batch: &[Committed], at: Option<Timestamp>) {
        let (Some(journal), Some(at)) = (&self.journal, at) else { return };
        for one in batch {
            if let Ok(Effect::MessageAppended { message, fresh: true }) = &one.result {
                journal.committed(message, at);
            }
        }
    }

    /// Another server's change may stand before this one and not have been heard yet: then the answer waits a moment for it, as the event does. The other
    /// servers get the batch whole.
    fn committed_in_cluster(&self, batch: Vec<Committed>) {
        let mut all = Vec::new();
        for Committed { result, done } in batch {
            let Ok(effect) = &result else {
                done(&result);
                continue;
            };
            let news = news_of(effect.clone());
            match place_of(effect) {
                Some((conversation, rev)) => self.hub.answer(conversation, rev, Box::new(move || done(&result))),
                None => done(&result),
            }
            self.hub.tell(news.iter().cloned());
            all.extend(news);
        }
        self.hub.hand_on(all);
    }
}

/// The one conversation that a write has changed, and its `rev` after that.
const fn place_of(effect: &Effect) -> Option<(ConversationId, Rev)> {
    match effect {
        Effect::MessageAppended { message, .. }
        | Effect::MessageEdited { message, .. }
        | Effect::MessageDeleted { message, .. } => Some((message.conversation_id, message.rev)),
        Effect::ReactionsChanged { conversation, rev, .. }
        | Effect::WatermarksAdvanced { conversation, rev, .. }
        | Effect::TitleChanged { conversation, rev, .. }
        | Effect::MemberAdded { conversation, rev, .. }
        | Effect::MemberRemoved { conversation, rev, .. }
        | Effect::RoleChanged { conversation, rev, .. } => Some((*conversation, *rev)),
        Effect::ConversationOpened { .. }
        | Effect::PersonalChanged { .. }
        | Effect::BlockChanged { .. }
        | Effect::UserReady { .. }
        | Effect::ProfileChanged { .. }
        | Effect::SessionEnded { .. }
        | Effect::Done => None,
    }
}

fn news_of(effect: Effect) -> Vec<News> {
    let mut news = Vec::new();
    collect(effect, &mut news);
    news
}

fn collect(effect: Effect, news: &mut Vec<News>) {
    match effect {
        Effect::MessageAppended { message, fresh: true } => {
            let (conversation, rev) = (message.conversation_id, message.rev);
            news.push(News::event(conversation, rev, ServerEvent::MessageNew(Box::new(message)), &[]));
        }
        Effect::MessageEdited { message, unseen_by, changed: true } => {
            let (conversation, rev) = (message.conversation_id, message.rev);
            amended(conversation, rev, ServerEvent::MessageUpdated(Box::new(message)), &unseen_by, news);
        }
        Effect::MessageDeleted { message, unseen_by, changed: true } => tombstone(&message, &unseen_by, news),
        Effect::ReactionsChanged { conversation, message, seq, rev, reactions, unseen_by, changed: true } => {
            let updated = ReactionUpdated { conversation_id: conversation, message_id: message, seq, rev, reactions };
            amended(conversation, rev, ServerEvent::ReactionUpdated(updated), &unseen_by, news);
        }
        Effect::WatermarksAdvanced { conversation, user, delivered_seq, read_seq, rev, changed: true } => {
            let updated = ReceiptUpdated { conversation_id: conversation, user_id: user, delivered_seq, read_seq, rev };
            news.push(News::event(conversation, rev, ServerEvent::ReceiptUpdated(updated), &[]));
        }
        Effect::TitleChanged { conversation, rev, title, changed: true } => {
            let updated =
                ConversationUpdated { conversation_id: conversation, rev, title: Some(title), conversation: None };
            news.push(News::event(conversation, rev, ServerEvent::ConversationUpdated(updated), &[]));
        }
        Effect::PersonalChanged { user, view } | Effect::BlockChanged { user, view: Some(view) } => {
            show(user, *view, news);
        }
        Effect::ConversationOpened { views, .. } => {
            for (user, view) in views {
                joined(user, view.id, view.rev, news);
                show(user, view, news);
            }
        }
        Effect::RoleChanged { conversation, member, changed: true, .. } => {
            member_changed(conversation, member, None, news)
        }
        Effect::MemberAdded { conversation, user, rev, member, view, changed: true } => {
            joined(user, conversation, rev, news);
            show(user, *view, news);
            member_changed(conversation, member, Some(user), news);
        }
        Effect::MemberRemoved { conversation, user, rev, member, successor } => {
            news.push(News::Membership { user, conversation, rev, membership: Membership::Left });
            let removed = ServerEvent::ConversationRemoved(ConversationRemoved { conversation_id: conversation });
            news.push(News::personal(user, conversation, rev, removed));
            member_changed(conversation, member, None, news);
            if let Some(successor) = successor {
                member_changed(conversation, successor, None, news);
            }
        }
        Effect::ProfileChanged { rows, .. } | Effect::UserReady { rows, .. } => {
            for (conversation, member) in rows {
                member_changed(conversation, member, None, news);
            }
        }
        Effect::SessionEnded { session } => news.push(News::SessionEnded { session }),
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

fn joined(user: UserId, conversation: ConversationId, rev: Rev, news: &mut Vec<News>) {
    news.push(News::Membership { user, conversation, rev, membership: Membership::Joined });
}

/// To those who see the message; the others hear only that the conversation has a new `rev`.
fn amended(conversation: ConversationId, rev: Rev, event: ServerEvent, unseen_by: &[UserId], news: &mut Vec<News>) {
    news.push(News::event(conversation, rev, event, unseen_by));
    for user in unseen_by {
        let updated = ConversationUpdated { conversation_id: conversation, rev, title: None, conversation: None };
        news.push(News::personal(*user, conversation, rev, ServerEvent::ConversationUpdated(updated)));
    }
}

fn tombstone(message: &Message, unseen_by: &[UserId], news: &mut Vec<News>) {
    let deleted = MessageDeleted {
        conversation_id: message.conversation_id,
        message_id: message.message_id,
        seq: message.seq,
        rev: message.rev,
        deleted_at: message.deleted_at.unwrap_or(Timestamp::from_ms(0)),
    };
    amended(message.conversation_id, message.rev, ServerEvent::MessageDeleted(deleted), unseen_by, news);
}

/// The conversation whole, as this person sees it, to all their devices.
fn show(user: UserId, view: Conversation, news: &mut Vec<News>) {
    let (conversation, rev) = (view.id, view.rev);
    let updated = ConversationUpdated {
        conversation_id: conversation,
        rev,
        title: view.title.clone(),
        conversation: Some(Box::new(view)),
    };
    news.push(News::personal(user, conversation, rev, ServerEvent::ConversationUpdated(updated)));
}

fn member_changed(conversation: ConversationId, member: Member, except: Option<UserId>, news: &mut Vec<News>) {
    let rev = member.rev;
    let updated = MemberUpdated { conversation_id: conversation, rev, member };
    news.push(News::event(conversation, rev, ServerEvent::MemberUpdated(updated), except.as_slice()));
}
