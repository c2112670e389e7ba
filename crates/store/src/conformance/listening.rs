//! A replica that hears what happens, too: it takes the change that is next after what it holds, lets others pass, and says with each difference
//! what it holds.

use tertulia_proto::sync::Held;
use tertulia_proto::{HistoryVisibility, Rev, Seq};

use super::replica::{Known, Replica};
use super::world::World;
use crate::*;

impl Replica {
    /// One that has everything there is now, and listens from now on.
    pub async fn listening(world: &World, person: UserId) -> Self {
        let mut replica = Self { heard: Some(world.sink.results().len()), ..Self::new(person) };
        replica.catch_up(world, 100, 100).await;
        replica
    }

    pub fn holdings(&self) -> Holdings {
        self.known.keys().filter_map(|id| Some((*id, self.held(*id)?))).collect()
    }

    pub fn held(&self, id: ConversationId) -> Option<Held> {
        let known = &self.known.get(&id)?.conversation;
        Some(Held { id, rev: known.rev, last_seq: known.last_seq })
    }

    /// Hears what was committed since the last time, but for what `misses` says.
    pub fn listen(&mut self, world: &World, mut misses: impl FnMut() -> bool) {
        let results = world.sink.results();
        let heard = self.heard.replace(results.len()).expect("a replica that listens");
        for effect in results[heard..].iter().flatten() {
            // Before the first page there is nothing to add to: who says nothing of what they hold is taken to hold nothing.
            if !misses() && self.from != SyncFrom::BEGINNING {
                self.hear(effect);
            }
        }
    }

    /// Hears everything.
    pub fn listen_well(&mut self, world: &World) {
        self.listen(world, || false);
    }

    fn hear(&mut self, effect: &Effect) {
        match effect {
            Effect::MessageAppended { message, fresh: true } => self.hear_message(message),
            Effect::MessageEdited { message, changed: true, .. }
            | Effect::MessageDeleted { message, changed: true, .. } => {
                self.next(message.conversation_id, message.rev, |known, _| {
                    known.messages.entry(message.seq).and_modify(|mine| *mine = message.clone());
                });
            }
            Effect::ReactionsChanged { conversation, seq, rev, reactions, changed: true, .. } => {
                self.next(*conversation, *rev, |known, _| {
                    if let Some(mine) = known.messages.get_mut(seq) {
                        (mine.rev, mine.reactions) = (*rev, reactions.clone());
                    }
                });
            }
            Effect::WatermarksAdvanced { conversation, user, delivered_seq, read_seq, rev, changed: true } => {
                self.next(*conversation, *rev, |known, _| {
                    if let Some(member) = known.members.get_mut(user) {
                        (member.delivered_seq, member.read_seq, member.rev) = (*delivered_seq, *read_seq, *rev);
                    }
                });
            }
            Effect::TitleChanged { conversation, rev, title, changed: true } => {
                self.next(*conversation, *rev, |known, _| known.conversation.title = Some(title.clone()));
            }
            Effect::ConversationOpened { views, fresh } => {
                let me = self.person;
                for (_, view) in views.iter().filter(|(user, _)| *user == me) {
                    if *fresh { self.joined(view) } else { self.personal(view) }
                }
            }
            Effect::PersonalChanged { user, view } | Effect::BlockChanged { user, view: Some(view) }
                if *user == self.person =>
            {
                self.personal(view);
            }
            Effect::MemberAdded { user, view, changed: true, .. } if *user == self.person => self.joined(view),
            Effect::MemberAdded { conversation, member, changed: true, .. } => {
                self.hear_member(*conversation, member, 1);
            }
            Effect::MemberRemoved { conversation, user, .. } if *user == self.person => {
                self.known.remove(conversation);
            }
            Effect::MemberRemoved { conversation, member, successor, .. } => {
                self.hear_member(*conversation, member, -1);
                if let Some(successor) = successor {
                    self.hear_member(*conversation, successor, 0);
                }
            }
            Effect::RoleChanged { conversation, member, changed: true, .. } => {
                self.hear_member(*conversation, member, 0);
            }
            Effect::ProfileChanged { rows, .. } | Effect::UserReady { rows, .. } => {
                for (conversation, member) in rows {
                    self.hear_member(*conversation, member, 0);
                }
            }
            _ => {}
        }
    }

    /// Does what a change of the conversation asks for, if it is the next one after what is held.
    fn next(&mut self, id: ConversationId, rev: Rev, change: impl FnOnce(&mut Known, UserId)) {
        let Some(known) = self.known.get_mut(&id) else { return };
        if known.conversation.rev + 1 == rev {
            known.conversation.rev = rev;
            change(known, self.person);
        }
    }

    fn hear_message(&mut self, message: &Message) {
        self.next(message.conversation_id, message.rev, |known, _| {
            let conversation = &mut known.conversation;
            assert_eq!(conversation.last_seq + 1, message.seq, "no change is missed, so no message is");
            (conversation.last_seq, conversation.last_message_at) = (message.seq, Some(message.created_at));
            conversation.hidden = false;
            known.messages.insert(message.seq, message.clone());
            if let Some(sender) = known.members.get_mut(&message.sender_id) {
                (sender.delivered_seq, sender.read_seq, sender.rev) = (message.seq, message.seq, message.rev);
            }
        });
    }

    fn hear_member(&mut self, conversation: ConversationId, member: &Member, more: i64) {
        self.next(conversation, member.rev, |known, me| {
            known.conversation.member_count += more;
            if member.user_id == me {
                known.conversation.my_role = member.role;
            }
            if let Some(peer) = known.conversation.peer.as_mut().filter(|peer| peer.id == member.user_id) {
                (peer.name, peer.avatar_url) = (member.name.clone(), member.avatar_url.clone());
            }
            known.members.insert(member.user_id, member.clone());
        });
    }

    /// One is in from now on. Who still holds an earlier stay has missed its end, and waits for the difference.
    fn joined(&mut self, view: &Conversation) {
        if self.known.contains_key(&view.id) {
            return;
        }
        let mut conversation = view.clone();
        let members = conversation.members.take().expect("a new member is shown all of them");
        let last = conversation.last_message.take().flatten();
        let may_see_all = conversation.history_visibility == HistoryVisibility::All;
        let missing = (1..=conversation.last_seq).filter(|_| may_see_all);
        let mut known = Known {
            missing: missing.collect(),
            members: members.iter().map(|member| (member.user_id, member.clone())).collect(),
            messages: last.into_iter().map(|message| (message.seq, *message)).collect(),
            conversation,
        };
        known.missing.retain(|seq| !known.messages.contains_key(seq));
        self.known.insert(view.id, known);
    }

    /// What only oneself sees; it bears no `rev` of its own.
    fn personal(&mut self, view: &Conversation) {
        let Some(known) = self.known.get_mut(&view.id) else { return };
        let mine = &mut known.conversation;
        (mine.hidden, mine.muted_until) = (view.hidden, view.muted_until);
        if let (Some(mine), Some(view)) = (&mut mine.peer, &view.peer) {
            mine.blocked = view.blocked;
        }
    }

    /// The conversation with what is unread counted by who listens: nobody tells them. Where what is to be counted lies in a hole, the count of `fresh`
    /// is taken for granted.
    pub(super) fn counted(&self, known: &Known, fresh: &Conversation) -> Conversation {
        let mut mine = known.conversation.clone();
        if self.heard.is_some() {
            let read_seq: Seq = known.members.get(&self.person).map_or(0, |member| member.read_seq);
            let unread = known.messages.range(read_seq + 1..).filter(|(_, message)| message.deleted_at.is_none());
            let has_holes = known.missing.range(read_seq + 1..).next().is_some();
            mine.unread_count = if has_holes { fresh.unread_count } else { unread.count() as i64 };
        }
        mine
    }
}
