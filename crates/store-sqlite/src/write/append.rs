//! Sending: the path that everything else makes way for.

use std::collections::HashMap;

use rusqlite::OptionalExtension;
use tertulia_proto::{ApiError, ClientMsgId, ConversationId, ErrorCode, Message, Timestamp, UserId};
use tertulia_store::{Action, AppendMessage, Effect, Facts};

use super::push::At;
use super::{Batch, ConversationRow, Step};
use crate::read::history;
use crate::rows::{Sql, conversation_no_of, message_key, seq_of};

/// Heads of the conversations that this batch appends to; written once at its end.
#[derive(Default)]
pub(super) struct Heads {
    conversations: HashMap<ConversationId, Head>,
    people: HashMap<UserId, Sender>,
}

struct Head {
    row: ConversationRow,
    last_message_at: i64,
    /// Where the notification job begins, and when.
    first_new_seq: i64,
    notify_at: Option<i64>,
    members: HashMap<i64, MemberHead>,
    dirty: bool,
}

struct MemberHead {
    facts: Facts,
    visible_after_seq: i64,
    /// Seq and rev of the latest message sent in this batch.
    sent: Option<(i64, i64)>,
}

#[derive(Clone)]
struct Sender {
    no: i64,
    name: String,
    avatar_url: Option<String>,
}

impl Batch<'_> {
    pub(super) fn append_message(&mut self, append: &AppendMessage) -> Step<Effect> {
        let sender = self.sender(append.sender)?;
        if let Some(key) = self.key_of(sender.no, &append.client_msg_id)? {
            return self.repeat(key);
        }
        self.load_head(append.conversation, append.sender, sender.no)?;
        let Some(head) = self.heads.conversations.get(&append.conversation) else {
            return Err(ApiError::not_found("conversation").into());
        };
        let Some(member) = head.members.get(&sender.no) else { return Err(ApiError::not_found("conversation").into()) };
        self.rules.decide(Action::SendMessage, &member.facts)?;
        if let Some(after) = &append.after
            && self.key_of(sender.no, after)?.is_none()
        {
            let detail = format!("afterClientMsgId: your message {after} is not in the log; send it first");
            return Err(ApiError::new(ErrorCode::OutOfOrder, detail).into());
        }
        if let Some(reply_to) = append.reply_to {
            let seq = history::seq_by_id(self.connection, head.row.no, reply_to)?;
            if seq.is_none_or(|seq| seq <= member.visible_after_seq) {
                return Err(ApiError::invalid("replyTo: no such message in this conversation").into());
            }
        }
        self.insert(append, &sender)
    }

    fn insert(&mut self, append: &AppendMessage, sender: &Sender) -> Step<Effect> {
        let Some(head) = self.heads.conversations.get_mut(&append.conversation) else {
            return Err(ApiError::not_found("conversation").into());
        };
        let (seq, rev) = (head.row.last_seq + 1, head.row.rev + 1);
        let key = message_key(head.row.no, seq);
        let now = append.now.ms();
        self.connection
            .prepare_cached(
                "INSERT INTO messages (key, id, sender_no, client_msg_id, body, reply_to, created_at, rev, pos, born_pos)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
            )?
            .execute((
                key,
                append.id.as_bytes().as_slice(),
                sender.no,
                append.client_msg_id.as_str(),
                &append.body,
                append.reply_to.as_ref().map(|id| id.as_bytes().as_slice()),
                now,
                rev,
                self.pos,
            ))?;
        self.connection
            .prepare_cached("INSERT INTO message_keys (sender_no, client_msg_id, message_key) VALUES (?1, ?2, ?3)")?
            .execute((sender.no, append.client_msg_id.as_str(), key))?;
        (head.row.last_seq, head.row.rev, head.last_message_at) = (seq, rev, now);
        if !head.dirty {
            (head.first_new_seq, head.notify_at) = (seq, None);
        }
        head.notify_at = head.notify_at.into_iter().chain(append.notify_at.map(Timestamp::ms)).min();
        head.dirty = true;
        if let Some(member) = head.members.get_mut(&sender.no) {
            member.sent = Some((seq, rev));
        }
        self.touched.insert(head.row.no);
        self.visible_change = true;
        Ok(Effect::MessageAppended { message: message(append, sender, seq, rev), fresh: true })
    }

    fn key_of(&self, sender_no: i64, client_msg_id: &ClientMsgId) -> Sql<Option<i64>> {
        self.connection
            .prepare_cached("SELECT message_key FROM message_keys WHERE sender_no = ?1 AND client_msg_id = ?2")?
            .query_row((sender_no, client_msg_id.as_str()), |row| row.get(0))
            .optional()
    }

    /// The message as it is now, answered before any rule is asked: it was accepted once, and that stays true.
    fn repeat(&mut self, key: i64) -> Step<Effect> {
        let id: [u8; 16] = self
            .connection
            .prepare_cached("SELECT id FROM conversations WHERE no = ?1")?
            .query_row([conversation_no_of(key)], |row| row.get(0))?;
        let message = history::by_key(self.connection, ConversationId::from_bytes(id), key)?
            .ok_or_else(|| crate::rows::bad_value("a client_msg_id without its message"))?;
        debug_assert_eq!(message.seq, seq_of(key));
        Ok(Effect::MessageAppended { message, fresh: false })
    }

    fn sender(&mut self, user: UserId) -> Step<Sender> {
        if let Some(known) = self.heads.people.get(&user) {
            return Ok(known.clone());
        }
        let sender = self
            .connection
            .prepare_cached("SELECT no, name, avatar_url FROM users WHERE id = ?1")?
            .query_row([user.as_bytes().as_slice()], |row| {
                Ok(Sender { no: row.get(0)?, name: row.get(1)?, avatar_url: row.get(2)? })
            })
            .optional()?
            .ok_or_else(|| ApiError::not_found("user"))?;
        self.heads.people.insert(user, sender.clone());
        Ok(sender)
    }

    /// Makes sure that the conversation's head and the sender's place in it are in memory.
    fn load_head(&mut self, conversation: ConversationId, user: UserId, user_no: i64) -> Step<()> {
        if !self.heads.conversations.contains_key(&conversation) {
            let row = self.conversation(conversation)?;
            let head = Head {
                row,
                last_message_at: 0,
                first_new_seq: 0,
                notify_at: None,
                members: HashMap::new(),
                dirty: false,
            };
            self.heads.conversations.insert(conversation, head);
        }
        let Some(head) = self.heads.conversations.get(&conversation) else { return Ok(()) };
        if head.members.contains_key(&user_no) {
            return Ok(());
        }
        let place = self.place(head.row.no, user)?;
        let facts = self.facts(&head.row, &place)?;
        let member = MemberHead { facts, visible_after_seq: place.visible_after_seq, sent: None };
        if let Some(head) = self.heads.conversations.get_mut(&conversation) {
            head.members.insert(user_no, member);
        }
        Ok(())
    }

    /// Writes what the appends so far came to, and forgets the heads: what follows may change the rows.
    pub(super) fn write_heads(&mut self) -> Sql<()> {
        let heads = std::mem::take(&mut self.heads);
        for head in heads.conversations.into_values().filter(|head| head.dirty) {
            let row = &head.row;
            self.connection
                .prepare_cached(
                    "UPDATE conversations SET last_seq = ?2, rev = ?3, pos = ?4, last_message_at = ?5, activity_at = ?5 WHERE no = ?1",
                )?
                .execute((row.no, row.last_seq, row.rev, self.pos, head.last_message_at))?;
            let mut advance = self.connection.prepare_cached(
                // Sending moves one's own watermarks: who writes has seen what was there.
                "UPDATE members SET delivered_seq = ?3, read_seq = ?3, rev = ?4, pos = ?5 WHERE conversation_no = ?1 AND user_no = ?2",
            )?;
            for (user_no, member) in &head.members {
                if let Some((seq, rev)) = member.sent {
                    advance.execute((row.no, user_no, seq, rev, self.pos))?;
                    let at = At { conversation: row.id, conversation_no: row.no, user_no: *user_no };
                    self.withdraw(at, seq, None, Timestamp::from_ms(head.last_message_at))?;
                }
            }
            let Some(notify_at) = head.notify_at else { continue };
            // One job per conversation takes care of everybody who is not there; further messages find it waiting.
            self.connection
                .prepare_cached(
                    "INSERT INTO jobs (kind, unique_key, payload, run_at, created_at) VALUES ('notify', ?1, ?2, ?3, ?4)
                     ON CONFLICT (kind, unique_key) WHERE state = 0 DO NOTHING",
                )?
                .execute((
                    row.id.as_bytes().as_slice(),
                    format!("{{\"conversationId\":\"{}\",\"fromSeq\":{}}}", row.id, head.first_new_seq),
                    notify_at,
                    head.last_message_at,
                ))?;
        }
        Ok(())
    }
}

fn message(append: &AppendMessage, sender: &Sender, seq: i64, rev: i64) -> Message {
    Message {
        message_id: append.id,
        conversation_id: append.conversation,
        seq,
        rev,
        sender_id: append.sender,
        sender_name: sender.name.clone(),
        sender_avatar: sender.avatar_url.clone(),
        client_msg_id: append.client_msg_id.clone(),
        body: append.body.clone(),
        created_at: append.now,
        reply_to: append.reply_to,
        edited_at: None,
        deleted_at: None,
        reactions: Vec::new(),
    }
}
