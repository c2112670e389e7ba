//! What is heard live.

use std::collections::BTreeMap;

use tertulia_proto::event::{MessageDeleted, ReactionUpdated, ReceiptUpdated};
use tertulia_proto::{ConversationId, Member, Message, Rev, ServerEvent};

use crate::engine::{Engine, Gap, Notice, Now};
use crate::planted::Bug;
use crate::store::{LocalConversation, LocalMessage, LocalStore, MessageRef, Op, OutboxEntry, Stored};

/// The conversation of an event, and its `rev`; without a `rev` the event is a hint.
fn place(event: &ServerEvent) -> Option<(ConversationId, Option<Rev>)> {
    Some(match event {
        ServerEvent::MessageNew(m) | ServerEvent::MessageUpdated(m) => (m.conversation_id, Some(m.rev)),
        ServerEvent::MessageDeleted(e) => (e.conversation_id, Some(e.rev)),
        ServerEvent::ReactionUpdated(e) => (e.conversation_id, Some(e.rev)),
        ServerEvent::ReceiptUpdated(e) => (e.conversation_id, Some(e.rev)),
        ServerEvent::MemberUpdated(e) => (e.conversation_id, Some(e.rev)),
        // The whole conversation as I see it: what is personal in it has no `rev`, and a membership may be older than what is known here.
        ServerEvent::ConversationUpdated(e) => (e.conversation_id, e.conversation.is_none().then_some(e.rev)),
        ServerEvent::ConversationRemoved(e) => (e.conversation_id, None),
        _ => return None,
    })
}

impl Engine {
    pub(crate) fn handle_event(&mut self, store: &mut dyn LocalStore, now: Now, event: ServerEvent) -> Stored<()> {
        match event {
            ServerEvent::Connected(connected) => self.connected(store, now, *connected),
            ServerEvent::SyncBatch(difference) => self.handle_difference(store, now, *difference),
            ServerEvent::SyncNeeded {} => {
                self.want_sync(now.mono_ms);
                self.pump_sync(store, now)
            }
            ServerEvent::TypingStart(sign) => {
                self.heard_typing(now, sign.conversation_id, sign.user_id, sign.user_name);
                Ok(())
            }
            ServerEvent::TypingStop(sign) => {
                self.heard_no_typing(sign.conversation_id, sign.user_id);
                Ok(())
            }
            ServerEvent::PresenceUpdate(presence) => {
                self.heard_presence(presence);
                Ok(())
            }
            ServerEvent::MessageAck(_) | ServerEvent::ConversationBatch(_) | ServerEvent::Error(_) => Ok(()),
            event => match place(&event) {
                Some((conversation, Some(rev))) => self.heard(store, now, conversation, rev, event),
                Some((_, None)) => {
                    self.want_sync(now.mono_ms);
                    self.pump_sync(store, now)
                }
                None => Ok(()),
            },
        }
    }

    fn heard(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        rev: Rev,
        event: ServerEvent,
    ) -> Stored<()> {
        let held = store.conversation(id)?.filter(|held| !held.left && !held.doubted);
        let Some(mut held) = held else {
            self.want_sync(now.mono_ms);
            return self.pump_sync(store, now);
        };
        self.note_event(id, &event);
        if rev <= held.rev {
            // Known. But a difference may have left my own message in a hole, and then this is the first news of it.
            if let ServerEvent::MessageNew(message) = &event
                && self.is_mine(message.sender_id)
            {
                self.put_own(store, message)?;
            }
            return Ok(());
        }
        if rev > held.rev + 1 && !self.has(Bug::CursorOverGap) {
            self.park(now, id, rev, event);
            return Ok(());
        }
        self.take(store, now, &mut held, rev, event)?;
        self.take_parked(store, now, &mut held)?;
        store.put_conversation(&held)?;
        self.changed(id);
        Ok(())
    }

    fn park(&mut self, now: Now, id: ConversationId, rev: Rev, event: ServerEvent) {
        let full = self.gaps.len() >= self.config.gaps_max && !self.gaps.contains_key(&id);
        if full {
            return self.want_sync(now.mono_ms);
        }
        let ask_at = now.mono_ms.saturating_add(self.config.gap_patience_ms);
        let gap = self.gaps.entry(id).or_insert_with(|| Gap { parked: BTreeMap::new(), ask_at });
        if gap.parked.len() < self.config.gap_events_max {
            gap.parked.insert(rev, event);
        }
        if gap.ask_at == u64::MAX && self.sync.is_idle() {
            gap.ask_at = ask_at;
        }
    }

    /// Applies what waited for the missing events; forgets the gap when nothing waits any more.
    pub(crate) fn take_parked(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        held: &mut LocalConversation,
    ) -> Stored<()> {
        let Some(mut gap) = self.gaps.remove(&held.id) else { return Ok(()) };
        while let Some(first) = gap.parked.first_entry() {
            let rev = *first.key();
            if rev > held.rev + 1 {
                gap.ask_at = now.mono_ms.saturating_add(self.config.gap_patience_ms);
                self.gaps.insert(held.id, gap);
                return Ok(());
            }
            let event = first.remove();
            if rev == held.rev + 1 {
                self.take(store, now, held, rev, event)?;
            }
        }
        Ok(())
    }

    /// Applies the event with the next `rev`.
    fn take(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        held: &mut LocalConversation,
        rev: Rev,
        event: ServerEvent,
    ) -> Stored<()> {
        match event {
            ServerEvent::MessageNew(message) => self.take_new(store, now, held, *message)?,
            ServerEvent::MessageUpdated(message) => self.take_updated(store, held, *message)?,
            ServerEvent::MessageDeleted(deleted) => take_deleted(store, held, &deleted)?,
            ServerEvent::ReactionUpdated(updated) => take_reactions(store, held, updated)?,
            ServerEvent::ReceiptUpdated(receipt) => self.take_receipt(store, now, held, &receipt)?,
            ServerEvent::MemberUpdated(updated) => self.take_member(store, now, held, &updated.member)?,
            ServerEvent::ConversationUpdated(updated) => held.title = updated.title.or(held.title.take()),
            _ => return Ok(()),
        }
        held.rev = rev;
        held.touched = self.round;
        Ok(())
    }

    fn take_new(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        held: &mut LocalConversation,
        message: Message,
    ) -> Stored<()> {
        if message.seq != held.last_seq + 1 && !self.has(Bug::CursorOverGap) {
            // The next rev with another seq: this is not the log that was held. Until it is told anew, what lies between is missing.
            let mut holes = store.holes(held.id)?;
            holes.add(held.last_seq + 1, message.seq - 1);
            store.put_holes(held.id, &holes)?;
            self.start_over(store)?;
            self.want_sync(now.mono_ms);
        }
        held.last_seq = message.seq;
        held.last_message_at = Some(message.created_at);
        held.hidden = false;
        self.heard_no_typing(held.id, message.sender_id);
        if self.is_mine(message.sender_id) {
            (held.delivered_seq, held.read_seq) = (message.seq, message.seq);
            held.want_read = held.want_read.max(message.seq);
            // Whatever was deleted lies below what I have read now.
            held.deleted_in_holes = 0;
        } else {
            self.delivered_soon(now, held);
        }
        if let Some(mut sender) = store.member(held.id, message.sender_id)? {
            (sender.delivered_seq, sender.read_seq, sender.rev) = (message.seq, message.seq, message.rev);
            store.put_member(held.id, &sender)?;
        }
        self.put_log_row(store, message)
    }

    fn take_updated(&mut self, store: &mut dyn LocalStore, held: &LocalConversation, message: Message) -> Stored<()> {
        if store.message_at(held.id, message.seq)?.is_some() { self.put_log_row(store, message) } else { Ok(()) }
    }

    fn take_receipt(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        held: &mut LocalConversation,
        receipt: &ReceiptUpdated,
    ) -> Stored<()> {
        if let Some(mut member) = store.member(held.id, receipt.user_id)? {
            (member.delivered_seq, member.read_seq, member.rev) =
                (receipt.delivered_seq, receipt.read_seq, receipt.rev);
            store.put_member(held.id, &member)?;
        }
        if self.is_mine(receipt.user_id) {
            self.my_watermarks(store, now, held, receipt.delivered_seq, receipt.read_seq)?;
        }
        Ok(())
    }

    /// My watermarks as the log has them. Where deleted messages lie in holes, how many of them are above the new one is for the server to say.
    fn my_watermarks(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        held: &mut LocalConversation,
        delivered: i64,
        read: i64,
    ) -> Stored<()> {
        if held.deleted_in_holes > 0 && read > held.read_seq {
            if store.holes(held.id)?.reach_above(read) {
                self.sync.recount(held.id);
                self.want_sync(now.mono_ms.saturating_add(self.config.gap_patience_ms));
            } else {
                held.deleted_in_holes = 0;
            }
        }
        (held.delivered_seq, held.read_seq) = (delivered, read);
        held.want_read = if self.has(Bug::ReadGoesBack) { read } else { held.want_read.max(read) };
        Ok(())
    }

    fn take_member(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        held: &mut LocalConversation,
        member: &Member,
    ) -> Stored<()> {
        let before = store.member(held.id, member.user_id)?;
        let was_there = before.as_ref().is_some_and(|before| !before.removed);
        match (was_there, member.removed) {
            (false, false) => held.member_count += 1,
            (true, true) => held.member_count -= 1,
            _ => {}
        }
        if before.is_none_or(|before| before.rev <= member.rev) {
            store.put_member(held.id, member)?;
        }
        if self.is_mine(member.user_id) {
            held.my_role = member.role;
            if member.removed || member.joined_at != held.joined_at {
                self.want_sync(now.mono_ms);
            }
        }
        if let Some(peer) = held.peer.as_mut().filter(|peer| peer.id == member.user_id) {
            peer.name.clone_from(&member.name);
            peer.avatar_url.clone_from(&member.avatar_url);
        }
        Ok(())
    }

    fn note_event(&mut self, id: ConversationId, event: &ServerEvent) {
        match event {
            ServerEvent::MessageUpdated(message) => self.note_amended(id, message.seq, message.rev),
            ServerEvent::MessageDeleted(deleted) => self.note_amended(id, deleted.seq, deleted.rev),
            ServerEvent::ReactionUpdated(updated) => self.note_amended(id, updated.seq, updated.rev),
            _ => {}
        }
    }

    /// A message of mine that may still be pending here.
    fn put_own(&mut self, store: &mut dyn LocalStore, message: &Message) -> Stored<()> {
        let mine = MessageRef::Mine(message.client_msg_id.clone());
        let pending = store.message(message.conversation_id, &mine)?.is_some_and(|row| row.is_pending());
        if pending || store.is_taken_back(message.conversation_id, &message.client_msg_id)? {
            self.changed(message.conversation_id);
            self.put_log_row(store, message.clone())?;
        }
        Ok(())
    }

    /// Puts a row of the log: in the place of the pending one where there is one, over an older one, never over a newer one.
    pub(crate) fn put_log_row(&mut self, store: &mut dyn LocalStore, message: Message) -> Stored<()> {
        let id = message.conversation_id;
        let mut row = store.message_at(id, message.seq)?;
        if row.is_none() && self.is_mine(message.sender_id) {
            row = store.message(id, &MessageRef::Mine(message.client_msg_id.clone()))?;
        }
        let mut key = 0;
        if let Some(row) = row {
            if !row.is_pending() && row.rev > message.rev {
                return Ok(());
            }
            if row.is_pending() {
                self.settle_send(store, id, &row)?;
            }
            key = row.key;
        } else if self.is_mine(message.sender_id) && store.is_taken_back(id, &message.client_msg_id)? {
            self.take_back(store, &message)?;
        }
        store.put_message(&LocalMessage::of_log(key, message))?;
        self.notice(Notice::Timeline(id));
        Ok(())
    }

    /// It was refused and given up, and had come through all the same.
    fn take_back(&mut self, store: &mut dyn LocalStore, message: &Message) -> Stored<()> {
        let (id, target) = (message.conversation_id, MessageRef::Log(message.message_id));
        if message.deleted_at.is_some() || !store.outbox_about(id, &target)?.is_empty() {
            return Ok(());
        }
        store.put_outbox(&OutboxEntry {
            id: 0,
            conversation_id: id,
            target,
            op: Op::Delete,
            parked: None,
            transmitted: false,
            departure: None,
            created_at: message.created_at,
        })?;
        self.unblocked.insert(id);
        Ok(())
    }

    /// The pending row is in the log: its send is done.
    fn settle_send(&mut self, store: &mut dyn LocalStore, id: ConversationId, row: &LocalMessage) -> Stored<()> {
        for entry in store.outbox_about(id, &MessageRef::Mine(row.client_msg_id.clone()))? {
            if entry.op == Op::Send {
                store.delete_outbox(entry.id)?;
                self.unblocked.insert(id);
            }
        }
        Ok(())
    }
}

fn take_deleted(store: &mut dyn LocalStore, held: &mut LocalConversation, deleted: &MessageDeleted) -> Stored<()> {
    match store.message_at(held.id, deleted.seq)? {
        Some(mut row) if row.rev < deleted.rev => {
            (row.body, row.deleted_at, row.rev) = (String::new(), Some(deleted.deleted_at), deleted.rev);
            row.reactions.clear();
            store.put_message(&row)?;
        }
        None if deleted.seq > held.read_seq => held.deleted_in_holes += 1,
        _ => {}
    }
    Ok(())
}

fn take_reactions(store: &mut dyn LocalStore, held: &LocalConversation, updated: ReactionUpdated) -> Stored<()> {
    if let Some(mut row) = store.message_at(held.id, updated.seq)?
        && row.rev < updated.rev
    {
        (row.reactions, row.rev) = (updated.reactions, updated.rev);
        store.put_message(&row)?;
    }
    Ok(())
}
