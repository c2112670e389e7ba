//! Editing, deleting, reacting.

use tertulia_proto::webhook::EventKind;
use tertulia_proto::{ApiError, ConversationId, Emoji, Message, MessageId, Timestamp, UserId};
use tertulia_store::webhooks::Event;
use tertulia_store::{Action, Effect, Write};

use super::{Batch, ConversationRow, Place, Step};
use crate::error::Sql;
use crate::read::history;
use crate::rows::{Key, at, reactions_of, user_at};

/// A message that its reader may see, and what the rules need.
struct Found {
    conversation: ConversationRow,
    place: Place,
    message: Message,
}

impl Found {
    const fn key(&self) -> Key {
        (self.conversation.id, self.message.seq)
    }
}

impl Batch<'_> {
    pub(super) async fn change_message(&mut self, write: &Write) -> Step<Effect> {
        match write {
            Write::EditMessage { conversation, message, actor, body, now } => {
                let found = self.find(*conversation, *message, *actor).await?;
                self.edit(found, body, *now).await
            }
            Write::DeleteMessage { conversation, message, actor, now } => {
                let found = self.find(*conversation, *message, *actor).await?;
                self.delete(found, *now).await
            }
            Write::SetReaction { conversation, message, actor, emoji, present, per_message_max, now } => {
                let found = self.find(*conversation, *message, *actor).await?;
                self.ask(if *present { Action::React } else { Action::Unreact }, &found).await?;
                self.set_reaction(found, emoji, (*present, *per_message_max), *now).await
            }
            _ => Ok(Effect::Done),
        }
    }

    async fn find(&self, conversation: ConversationId, message: MessageId, actor: UserId) -> Step<Found> {
        let conversation = self.conversation(conversation)?;
        let place = self.place(conversation.id, actor).await?;
        if place.role.is_none() {
            // Strangers get the rules' answer, which is the same whether the message exists or not.
            self.rules.decide(Action::EditMessage, &self.facts(&conversation, &place).await?)?;
        }
        let seq = history::seq_by_id(self.session, conversation.id, message).await?;
        let message = match seq.filter(|seq| *seq > place.visible_after_seq) {
            Some(seq) => history::by_keys(self.session, &[(conversation.id, seq)]).await?.pop(),
            None => None,
        };
        let message = message.ok_or_else(|| ApiError::not_found("message"))?;
        Ok(Found { conversation, place, message })
    }

    async fn ask(&self, action: Action, found: &Found) -> Step<()> {
        let mut facts = self.facts(&found.conversation, &found.place).await?;
        facts.is_author = found.message.sender_id == found.place.user;
        facts.is_deleted = found.message.deleted_at.is_some();
        Ok(self.rules.decide(action, &facts)?)
    }

    async fn edit(&mut self, mut found: Found, body: &str, now: Timestamp) -> Step<Effect> {
        self.ask(Action::EditMessage, &found).await?;
        if found.message.body == body {
            return Ok(Effect::MessageEdited { message: found.message, unseen_by: Vec::new(), changed: false });
        }
        let rev = self.bump(found.conversation.id).await?;
        let (conversation, seq) = found.key();
        let pos = self.pos_of(conversation);
        let update = "UPDATE messages SET body = $3, edited_at = $4, rev = $5, pos = $6, amended = true WHERE conversation_id = $1 AND seq = $2";
        self.session.execute(update, &[&conversation.uuid(), &seq, &body, &now.ms(), &rev, &pos]).await?;
        (found.message.body, found.message.edited_at, found.message.rev) = (body.to_owned(), Some(now), rev);
        self.tell(Event::of_message(EventKind::MessageUpdated, conversation, (seq, rev), now));
        let unseen_by = self.unseen_by(found.key()).await?;
        Ok(Effect::MessageEdited { message: found.message, unseen_by, changed: true })
    }

    async fn delete(&mut self, mut found: Found, now: Timestamp) -> Step<Effect> {
        self.ask(Action::DeleteMessage, &found).await?;
        if found.message.deleted_at.is_some() {
            return Ok(Effect::MessageDeleted { message: found.message, unseen_by: Vec::new(), changed: false });
        }
        let rev = self.bump(found.conversation.id).await?;
        let (conversation, seq) = found.key();
        let pos = self.pos_of(conversation);
        let update = "UPDATE messages SET body = '', deleted_at = $3, rev = $4, pos = $5, amended = true WHERE conversation_id = $1 AND seq = $2";
        self.session.execute(update, &[&conversation.uuid(), &seq, &now.ms(), &rev, &pos]).await?;
        let unreact = "DELETE FROM reactions WHERE conversation_id = $1 AND seq = $2";
        self.session.execute(unreact, &[&conversation.uuid(), &seq]).await?;
        let message = &mut found.message;
        (message.body, message.deleted_at, message.rev) = (String::new(), Some(now), rev);
        message.reactions.clear();
        self.tell(Event::of_message(EventKind::MessageDeleted, conversation, (seq, rev), now));
        let unseen_by = self.unseen_by(found.key()).await?;
        Ok(Effect::MessageDeleted { message: found.message, unseen_by, changed: true })
    }

    async fn set_reaction(
        &mut self,
        found: Found,
        emoji: &Emoji,
        (present, max): (bool, usize),
        now: Timestamp,
    ) -> Step<Effect> {
        let (key, user) = (found.key(), found.place.user.uuid());
        let (conversation, seq, emoji) = (key.0.uuid(), key.1, emoji.as_str());
        let count = "SELECT count(*), count(*) FILTER (WHERE emoji = $3 AND user_id = $4) FROM reactions WHERE conversation_id = $1 AND seq = $2";
        let counted = self.session.one(count, &[&conversation, &seq, &emoji, &user]).await?;
        let (count, mine): (i64, i64) = (at(&counted, 0)?, at(&counted, 1)?);
        let changed = (mine > 0) != present;
        let mut rev = found.conversation.rev;
        if changed {
            if present && usize::try_from(count).unwrap_or(usize::MAX) >= max {
                return Err(ApiError::too_large("reactions", max, "reactions on a message").into());
            }
            rev = self.bump(key.0).await?;
            if present {
                let insert =
                    "INSERT INTO reactions (conversation_id, seq, emoji, user_id, rev) VALUES ($1, $2, $3, $4, $5)";
                self.session.execute(insert, &[&conversation, &seq, &emoji, &user, &rev]).await?;
            } else {
                let delete =
                    "DELETE FROM reactions WHERE conversation_id = $1 AND seq = $2 AND emoji = $3 AND user_id = $4";
                self.session.execute(delete, &[&conversation, &seq, &emoji, &user]).await?;
            }
            let update =
                "UPDATE messages SET rev = $3, pos = $4, amended = true WHERE conversation_id = $1 AND seq = $2";
            self.session.execute(update, &[&conversation, &seq, &rev, &self.pos_of(key.0)]).await?;
            self.tell(Event::of_message(EventKind::ReactionUpdated, key.0, (seq, rev), now));
        }
        Ok(Effect::ReactionsChanged {
            conversation: found.conversation.id,
            message: found.message.message_id,
            seq,
            rev,
            reactions: reactions_of(self.session, &[key]).await?.remove(&key).unwrap_or_default(),
            unseen_by: if changed { self.unseen_by(key).await? } else { Vec::new() },
            changed,
        })
    }

    /// Members for whom the message lies before their time.
    async fn unseen_by(&self, (conversation, seq): Key) -> Sql<Vec<UserId>> {
        let select = "SELECT user_id FROM members WHERE conversation_id = $1 AND removed_at IS NULL AND visible_after_seq >= $2 ORDER BY user_id";
        self.session.rows(select, &[&conversation.uuid(), &seq]).await?.iter().map(|row| user_at(row, 0)).collect()
    }
}
