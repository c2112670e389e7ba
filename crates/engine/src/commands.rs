//! What the person does. Each command is whole when it returns: in the rows, and under way where that is possible.

use tertulia_proto::{ClientMsgId, ConversationId, Emoji, Seq, Timestamp, UserId};

use crate::engine::{Engine, Notice, Now};
use crate::planted::Bug;
use crate::store::{LocalConversation, LocalMessage, LocalStore, MessageRef, Op, OutboxEntry, StoreFailure, Stored};

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Send {
        conversation: ConversationId,
        /// Unique among everything this person ever sends: a UUID, a ULID.
        name: ClientMsgId,
        /// Not blank; at most `bodyMaxBytes` of UTF-8.
        body: String,
        reply_to: Option<MessageRef>,
    },
    Edit {
        conversation: ConversationId,
        message: MessageRef,
        body: String,
    },
    Delete {
        conversation: ConversationId,
        message: MessageRef,
    },
    React {
        conversation: ConversationId,
        message: MessageRef,
        emoji: Emoji,
        remove: bool,
    },
    /// Everything up to here has been seen.
    MarkRead {
        conversation: ConversationId,
        seq: Seq,
    },
    Mute {
        conversation: ConversationId,
        until: Option<Timestamp>,
    },
    SetDraft {
        conversation: ConversationId,
        text: String,
    },
    /// A parked entry is tried again.
    Retry {
        entry: i64,
    },
    /// A parked entry is given up: a message is gone, an edit is taken back.
    Discard {
        entry: i64,
    },
    /// The reader is coming to what is below this `seq`.
    Fill {
        conversation: ConversationId,
        below: Seq,
    },
    SetTyping {
        conversation: ConversationId,
        typing: bool,
    },
    /// Whose presence is shown; replaces what was watched before.
    Watch {
        people: Vec<UserId>,
    },
    /// Ask for the difference now.
    SyncNow,
}

impl Command {
    /// Whether it survives a power cut once it has been taken: what the person did, and nobody else has. Where they looked and what they typed may be a
    /// moment old.
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Send { .. }
            | Self::Edit { .. }
            | Self::Delete { .. }
            | Self::React { .. }
            | Self::Mute { .. }
            | Self::Retry { .. }
            | Self::Discard { .. } => true,
            Self::MarkRead { .. }
            | Self::SetDraft { .. }
            | Self::Fill { .. }
            | Self::SetTyping { .. }
            | Self::Watch { .. }
            | Self::SyncNow => false,
        }
    }
}

/// Why a command did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("conversation: not on this device")]
    NoSuchConversation,
    #[error("message: not on this device")]
    NoSuchMessage,
    #[error("body: must not be blank")]
    BlankBody,
    #[error("body: over the limit of {limit} bytes of UTF-8")]
    BodyTooLarge { limit: usize },
    #[error("outbox: {limit} things wait already; connect first")]
    OutboxFull { limit: usize },
    #[error("message: only its author can do that")]
    NotMine,
    #[error("message: deleted")]
    Deleted,
    #[error("clientMsgId: used before")]
    NameTaken,
    #[error("not signed in on this device")]
    NoAccount,
    #[error("entry: nothing is parked under this number")]
    NotParked,
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

type Outcome = Result<(), CommandError>;

impl Engine {
    /// On an error nothing has changed, but for [`CommandError::Store`], after which the transaction ends and [`Engine::handle_store_failure`] is called.
    pub fn handle_command(&mut self, store: &mut dyn LocalStore, now: Now, command: Command) -> Outcome {
        match command {
            Command::Send { conversation, name, body, reply_to } => {
                self.send(store, now, conversation, name, body, reply_to)
            }
            Command::Edit { conversation, message, body } => self.edit(store, now, conversation, &message, body),
            Command::Delete { conversation, message } => self.delete(store, now, conversation, &message),
            Command::React { conversation, message, emoji, remove } => {
                self.react(store, now, conversation, &message, emoji, remove)
            }
            Command::MarkRead { conversation, seq } => self.mark_read(store, now, conversation, seq),
            Command::Mute { conversation, until } => self.mute(store, now, conversation, until),
            Command::SetDraft { conversation, text } => self.set_draft(store, conversation, text),
            Command::Retry { entry } => self.retry(store, now, entry),
            Command::Discard { entry } => self.discard(store, now, entry),
            Command::Fill { conversation, below } => Ok(self.fill(store, now, conversation, below)?),
            Command::SetTyping { conversation, typing } => {
                self.set_typing(now, conversation, typing);
                Ok(())
            }
            Command::Watch { people } => {
                self.watch(now, people);
                Ok(())
            }
            Command::SyncNow => {
                self.want_sync(now.mono_ms);
                Ok(self.pump_sync(store, now)?)
            }
        }
    }

    fn check_body(&self, body: &str) -> Outcome {
        if body.trim().is_empty() {
            return Err(CommandError::BlankBody);
        }
        let limit = self.config.body_max_bytes;
        if body.len() > limit { Err(CommandError::BodyTooLarge { limit }) } else { Ok(()) }
    }

    fn check_room(&self, store: &mut dyn LocalStore) -> Outcome {
        let limit = self.config.outbox_len_max;
        if store.outbox_len()? >= limit { Err(CommandError::OutboxFull { limit }) } else { Ok(()) }
    }

    fn send(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        name: ClientMsgId,
        body: String,
        reply_to: Option<MessageRef>,
    ) -> Outcome {
        let me = self.me.ok_or(CommandError::NoAccount)?;
        self.check_body(&body)?;
        let mut held = here(store, id)?;
        self.check_room(store)?;
        if store.message(id, &MessageRef::Mine(name.clone()))?.is_some() {
            return Err(CommandError::NameTaken);
        }
        let (reply_to, reply_to_mine) = match reply_to {
            None => (None, None),
            Some(target) => {
                let row = store.message(id, &target)?.ok_or(CommandError::NoSuchMessage)?;
                match row.message_id {
                    Some(message_id) => (Some(message_id), None),
                    None => (None, Some(row.client_msg_id)),
                }
            }
        };
        let mine = store.member(id, me)?;
        store.put_message(&LocalMessage {
            key: 0,
            conversation_id: id,
            seq: None,
            message_id: None,
            rev: 0,
            sender_id: me,
            sender_name: mine.as_ref().map(|mine| mine.name.clone()).unwrap_or_default(),
            sender_avatar: mine.and_then(|mine| mine.avatar_url),
            client_msg_id: name.clone(),
            body,
            created_at: now.wall,
            reply_to,
            reply_to_mine,
            edited_at: None,
            deleted_at: None,
            reactions: Vec::new(),
        })?;
        self.push(store, now, id, MessageRef::Mine(name), Op::Send)?;
        if !held.draft.is_empty() {
            held.draft.clear();
            store.put_conversation(&held)?;
        }
        self.set_typing(now, id, false);
        Ok(())
    }

    fn push(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        target: MessageRef,
        op: Op,
    ) -> Outcome {
        store.put_outbox(&OutboxEntry {
            id: 0,
            conversation_id: id,
            target,
            op,
            parked: None,
            transmitted: false,
            departure: None,
            created_at: now.wall,
        })?;
        self.changed(id);
        Ok(self.pump_outbox(store, now, id)?)
    }

    fn edit(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        message: &MessageRef,
        body: String,
    ) -> Outcome {
        self.check_body(&body)?;
        here(store, id)?;
        let mut row = store.message(id, message)?.ok_or(CommandError::NoSuchMessage)?;
        if !self.is_mine(row.sender_id) {
            return Err(CommandError::NotMine);
        }
        if row.deleted_at.is_some() {
            return Err(CommandError::Deleted);
        }
        let about = about(store, id, &row)?;
        if row.is_pending() && !may_be_in_the_log(&about) {
            // Edits from when it seemed to be under way: they would come after these words.
            for older in about.iter().filter(|entry| matches!(entry.op, Op::Edit { .. })) {
                store.delete_outbox(older.id)?;
            }
            row.body = body;
            store.put_message(&row)?;
            self.changed(id);
            return Ok(());
        }
        // An edit that waits is the same wish in other words; a newer one takes its place, and its place in the order.
        let waiting = about.into_iter().rfind(|entry| matches!(entry.op, Op::Edit { .. }) && !self.is_under_way(entry));
        if let Some(mut entry) = waiting {
            (entry.op, entry.parked) = (Op::Edit { body }, None);
            // Whatever became of the older words, these have not been sent.
            (entry.transmitted, entry.departure) = (false, None);
            store.put_outbox(&entry)?;
            self.changed(id);
            return Ok(self.pump_outbox(store, now, id)?);
        }
        self.check_room(store)?;
        self.push(store, now, id, reference(&row), Op::Edit { body })
    }

    fn delete(&mut self, store: &mut dyn LocalStore, now: Now, id: ConversationId, message: &MessageRef) -> Outcome {
        let row = store.message(id, message)?.ok_or(CommandError::NoSuchMessage)?;
        if row.deleted_at.is_some() {
            return Ok(());
        }
        let about = about(store, id, &row)?;
        if row.is_pending() && (!may_be_in_the_log(&about) || self.has(Bug::TransmittedForgotten)) {
            return self.forget_message(store, now, &row, &about);
        }
        here(store, id)?;
        if about.iter().any(|entry| entry.op == Op::Delete) {
            return Ok(());
        }
        self.check_room(store)?;
        self.push(store, now, id, reference(&row), Op::Delete)
    }

    /// A message that never left, or was refused, is as if it had never been written.
    fn forget_message(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        row: &LocalMessage,
        about: &[OutboxEntry],
    ) -> Outcome {
        self.give_up(store, row, about)?;
        // What waited behind it may go.
        Ok(self.pump_outbox(store, now, row.conversation_id)?)
    }

    fn react(
        &mut self,
        store: &mut dyn LocalStore,
        now: Now,
        id: ConversationId,
        message: &MessageRef,
        emoji: Emoji,
        remove: bool,
    ) -> Outcome {
        here(store, id)?;
        let row = store.message(id, message)?.ok_or(CommandError::NoSuchMessage)?;
        if row.deleted_at.is_some() {
            return Err(CommandError::Deleted);
        }
        let same = |entry: &OutboxEntry| matches!(&entry.op, Op::React { emoji: other, .. } if *other == emoji);
        let waiting = about(store, id, &row)?.into_iter().rfind(|entry| same(entry) && !self.is_under_way(entry));
        if let Some(mut entry) = waiting {
            (entry.op, entry.transmitted) = (Op::React { emoji, remove }, false);
            store.put_outbox(&entry)?;
            self.changed(id);
            return Ok(());
        }
        self.check_room(store)?;
        self.push(store, now, id, reference(&row), Op::React { emoji, remove })
    }

    fn is_under_way(&self, entry: &OutboxEntry) -> bool {
        self.asked.values().any(|(asked, _)| {
            matches!(asked, crate::engine::Asked::Op { entry: id, .. } | crate::engine::Asked::Send { entry: id, .. } if *id == entry.id)
        })
    }

    fn mark_read(&mut self, store: &mut dyn LocalStore, now: Now, id: ConversationId, seq: Seq) -> Outcome {
        let mut held = here(store, id)?;
        let seq = seq.min(held.last_seq);
        if seq <= held.want_read.max(held.read_seq) {
            return Ok(());
        }
        held.want_read = seq;
        store.put_conversation(&held)?;
        self.intents_soon(now, self.config.read_delay_ms);
        self.changed(id);
        Ok(())
    }

    fn mute(&mut self, store: &mut dyn LocalStore, now: Now, id: ConversationId, until: Option<Timestamp>) -> Outcome {
        let mut held = here(store, id)?;
        held.want_muted = Some(until);
        store.put_conversation(&held)?;
        self.notice(Notice::Conversation(id));
        self.intents_soon(now, 0);
        Ok(self.pump_intents(store, now)?)
    }

    fn set_draft(&mut self, store: &mut dyn LocalStore, id: ConversationId, text: String) -> Outcome {
        let mut held = store.conversation(id)?.ok_or(CommandError::NoSuchConversation)?;
        if text.len() > self.config.body_max_bytes.saturating_mul(4) {
            return Err(CommandError::BodyTooLarge { limit: self.config.body_max_bytes });
        }
        held.draft = text;
        store.put_conversation(&held)?;
        self.notice(Notice::Conversation(id));
        Ok(())
    }

    fn retry(&mut self, store: &mut dyn LocalStore, now: Now, entry: i64) -> Outcome {
        let mut entry = parked(store, entry)?;
        here(store, entry.conversation_id)?;
        entry.parked = None;
        if entry.op != Op::Send {
            // It was refused, and so it is not in the log.
            (entry.transmitted, entry.departure) = (false, None);
        }
        store.put_outbox(&entry)?;
        if let Some(lane) = self.lanes.get_mut(&entry.conversation_id) {
            lane.reset_backoff();
        }
        self.changed(entry.conversation_id);
        Ok(self.pump_outbox(store, now, entry.conversation_id)?)
    }

    fn discard(&mut self, store: &mut dyn LocalStore, now: Now, entry: i64) -> Outcome {
        let entry = parked(store, entry)?;
        let id = entry.conversation_id;
        if entry.op == Op::Send {
            let Some(row) = store.message(id, &entry.target)?.filter(LocalMessage::is_pending) else {
                return Ok(store.delete_outbox(entry.id)?);
            };
            let about = about(store, id, &row)?;
            return self.forget_message(store, now, &row, &about);
        }
        store.delete_outbox(entry.id)?;
        self.changed(id);
        Ok(())
    }
}

fn here(store: &mut dyn LocalStore, id: ConversationId) -> Result<LocalConversation, CommandError> {
    store.conversation(id)?.filter(|held| !held.left).ok_or(CommandError::NoSuchConversation)
}

fn parked(store: &mut dyn LocalStore, entry: i64) -> Result<OutboxEntry, CommandError> {
    store.outbox_entry(entry)?.filter(|entry| entry.parked.is_some()).ok_or(CommandError::NotParked)
}

/// A message of mine goes by my name for it, which it has before the log knows it and after.
fn reference(row: &LocalMessage) -> MessageRef {
    match row.message_id {
        Some(message_id) => MessageRef::Log(message_id),
        None => MessageRef::Mine(row.client_msg_id.clone()),
    }
}

/// What waits of one message, under either of its names.
fn about(store: &mut dyn LocalStore, id: ConversationId, row: &LocalMessage) -> Stored<Vec<OutboxEntry>> {
    let mut entries = store.outbox_about(id, &MessageRef::Mine(row.client_msg_id.clone()))?;
    if let Some(message_id) = row.message_id {
        entries.extend(store.outbox_about(id, &MessageRef::Log(message_id))?);
    }
    entries.sort_by_key(|entry| entry.id);
    Ok(entries)
}

/// Sent, perhaps, and not refused.
fn may_be_in_the_log(about: &[OutboxEntry]) -> bool {
    about.iter().any(|entry| entry.op == Op::Send && entry.transmitted && entry.parked.is_none())
}
