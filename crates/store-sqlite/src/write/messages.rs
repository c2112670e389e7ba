//! Editing, deleting, reacting.

use rusqlite::OptionalExtension;
use tertulia_proto::webhook::EventKind;
use tertulia_proto::{ApiError, ConversationId, Emoji, Message, MessageId, Timestamp, UserId};
use tertulia_store::webhooks::Event;
use tertulia_store::{Action, Effect, Write};

use super::{Batch, ConversationRow, Place, Step};
use crate::read::history;
use crate::rows::{Sql, conversation_no_of, message_key, reactions_of, seq_of};

/// A message that its reader may see, and what the rules need.
struct Found {
    conversation: ConversationRow,
    place: Place,
    key: i64,
    message: Message,
}

impl Batch<'_> {
    pub(super) fn change_message(&mut self, write: &Write) -> Step<Effect> {
        match write {
            Write::EditMessage { conversation, message, actor, body, now } => {
                self.edit(*conversation, *message, *actor, body, *now)
            }
            Write::DeleteMessage { conversation, message, actor, now } => {
                self.delete(*conversation, *message, *actor, *now)
            }
            Write::SetReaction { conversation, message, actor, emoji, present, per_message_max, now } => {
                let found = self.find(*conversation, *message, *actor)?;
                self.ask(if *present { Action::React } else { Action::Unreact }, &found)?;
                self.set_reaction(found, emoji, (*present, *per_message_max), *now)
            }
            _ => Ok(Effect::Done),
        }
    }

    fn find(&self, conversation: ConversationId, message: MessageId, actor: UserId) -> Step<Found> {
        let conversation = self.conversation(conversation)?;
        let place = self.place(conversation.no, actor)?;
        if place.role.is_none() {
            // Strangers get the rules' answer, which is the same whether the message exists or not.
            self.rules.decide(Action::EditMessage, &self.facts(&conversation, &place)?)?;
        }
        let seq = history::seq_by_id(self.connection, conversation.no, message)?;
        let key = seq.filter(|seq| *seq > place.visible_after_seq).map(|seq| message_key(conversation.no, seq));
        let message = match key {
            Some(key) => history::by_key(self.connection, conversation.id, key)?,
            None => None,
        };
        match (key, message) {
            (Some(key), Some(message)) => Ok(Found { conversation, place, key, message }),
            _ => Err(ApiError::not_found("message").into()),
        }
    }

    fn ask(&self, action: Action, found: &Found) -> Step<()> {
        let mut facts = self.facts(&found.conversation, &found.place)?;
        let author = crate::rows::user_no(self.connection, found.message.sender_id)?;
        facts.is_author = author == Some(found.place.user_no);
        facts.is_deleted = found.message.deleted_at.is_some();
        Ok(self.rules.decide(action, &facts)?)
    }

    fn edit(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
        actor: UserId,
        body: &str,
        now: Timestamp,
    ) -> Step<Effect> {
        let mut found = self.find(conversation, message, actor)?;
        self.ask(Action::EditMessage, &found)?;
        if found.message.body == body {
            return Ok(Effect::MessageEdited { message: found.message, unseen_by: Vec::new(), changed: false });
        }
        let rev = self.bump(found.conversation.no)?;
        self.connection
            .prepare_cached(
                "UPDATE messages SET body = ?2, edited_at = ?3, rev = ?4, pos = ?5, amended = 1 WHERE key = ?1",
            )?
            .execute((found.key, body, now.ms(), rev, self.pos))?;
        self.touched.insert(found.conversation.no);
        (found.message.body, found.message.edited_at, found.message.rev) = (body.to_owned(), Some(now), rev);
        self.tell(Event::of_message(EventKind::MessageUpdated, conversation, (found.message.seq, rev), now))?;
        let unseen_by = self.unseen_by(found.key)?;
        Ok(Effect::MessageEdited { message: found.message, unseen_by, changed: true })
    }

    fn delete(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
        actor: UserId,
        now: Timestamp,
    ) -> Step<Effect> {
        let mut found = self.find(conversation, message, actor)?;
        self.ask(Action::DeleteMessage, &found)?;
        if found.message.deleted_at.is_some() {
            return Ok(Effect::MessageDeleted { message: found.message, unseen_by: Vec::new(), changed: false });
        }
        let rev = self.bump(found.conversation.no)?;
        self.connection
            .prepare_cached(
                "UPDATE messages SET body = '', deleted_at = ?2, rev = ?3, pos = ?4, amended = 1 WHERE key = ?1",
            )?
            .execute((found.key, now.ms(), rev, self.pos))?;
        self.connection.prepare_cached("DELETE FROM reactions WHERE message_key = ?1")?.execute([found.key])?;
        self.touched.insert(found.conversation.no);
        let message = &mut found.message;
        (message.body, message.deleted_at, message.rev) = (String::new(), Some(now), rev);
        message.reactions.clear();
        let seq = message.seq;
        self.tell(Event::of_message(EventKind::MessageDeleted, conversation, (seq, rev), now))?;
        let unseen_by = self.unseen_by(found.key)?;
        Ok(Effect::MessageDeleted { message: found.message, unseen_by, changed: true })
    }

    fn set_reaction(
        &mut self,
        found: Found,
        emoji: &Emoji,
        (present, max): (bool, usize),
        now: Timestamp,
    ) -> Step<Effect> {
        let (key, user_no) = (found.key, found.place.user_no);
        let exists = self
            .connection
            .prepare_cached("SELECT 1 FROM reactions WHERE message_key = ?1 AND emoji = ?2 AND user_no = ?3")?
            .query_row((key, emoji.as_str(), user_no), |_| Ok(()))
            .optional()?
            .is_some();
        let changed = exists != present;
        let mut rev = found.conversation.rev;
        if changed {
            if present {
                let count: i64 = self
                    .connection
                    .prepare_cached("SELECT count(*) FROM reactions WHERE message_key = ?1")?
                    .query_row([key], |row| row.get(0))?;
                if usize::try_from(count).unwrap_or(usize::MAX) >= max {
                    return Err(ApiError::too_large("reactions", max, "reactions on a message").into());
                }
            } else {
                self.connection
                    .prepare_cached("DELETE FROM reactions WHERE message_key = ?1 AND emoji = ?2 AND user_no = ?3")?
                    .execute((key, emoji.as_str(), user_no))?;
            }
            rev = self.bump(found.conversation.no)?;
            if present {
                self.connection
                    .prepare_cached("INSERT INTO reactions (message_key, emoji, user_no, rev) VALUES (?1, ?2, ?3, ?4)")?
                    .execute((key, emoji.as_str(), user_no, rev))?;
            }
            self.connection
                .prepare_cached("UPDATE messages SET rev = ?2, pos = ?3, amended = 1 WHERE key = ?1")?
                .execute((key, rev, self.pos))?;
            let (id, seq) = (found.conversation.id, found.message.seq);
            self.tell(Event::of_message(EventKind::ReactionUpdated, id, (seq, rev), now))?;
        }
        Ok(Effect::ReactionsChanged {
            conversation: found.conversation.id,
            message: found.message.message_id,
            seq: found.message.seq,
            rev,
            reactions: reactions_of(self.connection, &[key])?.remove(&key).unwrap_or_default(),
            unseen_by: if changed { self.unseen_by(key)? } else { Vec::new() },
            changed,
        })
    }

    /// Members for whom the message lies before their time.
    fn unseen_by(&self, key: i64) -> Step<Vec<UserId>> {
        let unseen = self
            .connection
            .prepare_cached(
                "SELECT u.id FROM members m JOIN users u ON u.no = m.user_no
                 WHERE m.conversation_no = ?1 AND m.removed_at IS NULL AND m.visible_after_seq >= ?2 ORDER BY m.user_no",
            )?
            .query_map((conversation_no_of(key), seq_of(key)), |row| Ok(UserId::from_bytes(row.get(0)?)))?
            .collect::<Sql<_>>()?;
        Ok(unseen)
    }
}
