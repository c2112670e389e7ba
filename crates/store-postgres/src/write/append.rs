//! Sending: the path that everything else makes way for.

use tertulia_proto::{ApiError, ErrorCode};
use tertulia_store::{Action, AppendMessage, Effect};

use super::hot::{Changes, Known, Said, Told, message_of};
use super::{Batch, Step};

impl Batch<'_> {
    pub(super) fn append_message(
        &mut self,
        known: &Known,
        changes: &mut Changes,
        append: &AppendMessage,
    ) -> Step<Told> {
        let sender = known.people.get(&append.sender).ok_or_else(|| ApiError::not_found("user"))?;
        let name = (append.sender, append.client_msg_id.clone());
        // Answered before any rule is asked: it was accepted once, and that stays true.
        if let Some((message, _)) = changes.names.get(&name).and_then(|place| changes.messages.get(*place)) {
            let message = message.clone();
            return Ok(Told::Now(Box::new(Effect::MessageAppended { message, fresh: false })));
        }
        if let Some(key) = known.keys.get(&name) {
            return Ok(Told::Repeat(*key));
        }
        let not_found = || ApiError::not_found("conversation");
        let row = self.conversations.get(&append.conversation).ok_or_else(not_found)?;
        let seat = known.seats.get(&(append.conversation, append.sender)).ok_or_else(not_found)?;
        self.rules.decide(Action::SendMessage, &seat.facts(row))?;
        if let Some(after) = &append.after {
            let name = (append.sender, after.clone());
            if !changes.names.contains_key(&name) && !known.keys.contains_key(&name) {
                let detail = format!("afterClientMsgId: your message {after} is not in the log; send it first");
                return Err(ApiError::new(ErrorCode::OutOfOrder, detail).into());
            }
        }
        if let Some(reply_to) = append.reply_to {
            let place = (append.conversation, reply_to);
            let seq = changes.said.get(&place).or_else(|| known.replies.get(&place));
            if seq.is_none_or(|seq| *seq <= seat.visible_after_seq) {
                return Err(ApiError::invalid("replyTo: no such message in this conversation").into());
            }
        }
        let pos = self.pos_of(append.conversation);
        let row = self.conversations.get_mut(&append.conversation).ok_or_else(not_found)?;
        (row.last_seq, row.rev, row.pos) = (row.last_seq + 1, row.rev + 1, pos);
        let message = message_of(append, sender, row.last_seq, row.rev);
        changes.heads.entry(append.conversation).or_default().get_or_insert(Said::from(message.seq)).also(append);
        changes.devices.read((append.conversation, append.sender), message.seq, None, append.now);
        changes.seats.insert((append.conversation, append.sender), (message.seq, message.seq, message.rev));
        changes.names.insert(name, changes.messages.len());
        changes.said.insert((append.conversation, append.id), message.seq);
        changes.messages.push((message.clone(), pos));
        Ok(Told::Now(Box::new(Effect::MessageAppended { message, fresh: true })))
    }
}
