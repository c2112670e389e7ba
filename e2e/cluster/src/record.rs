//! A device's history, as `tertulia-history` reads it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tertulia_client::{ConversationId, Member, Message, UserId};

pub type Names = BTreeMap<UserId, String>;

/// A message by its sender and their name for it.
type Key = (ConversationId, UserId, String);

#[derive(Debug)]
struct Inner {
    file: Mutex<File>,
    client: String,
    user: String,
    names: Arc<Names>,
    /// What was written of each message last: only what has changed is written again.
    shown: Mutex<BTreeMap<Key, Value>>,
    watermarks: Mutex<BTreeMap<(ConversationId, UserId), (i64, i64)>>,
}

#[derive(Debug, Clone)]
pub struct Record(Arc<Inner>);

#[expect(clippy::disallowed_methods, reason = "for people who read it")]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Record {
    pub fn new(folder: &Path, client: &str, user: &str, names: Arc<Names>) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            file: Mutex::new(File::create(folder.join(format!("{client}.jsonl")))?),
            client: client.to_owned(),
            user: user.to_owned(),
            names,
            shown: Mutex::default(),
            watermarks: Mutex::default(),
        })))
    }

    pub fn write(&self, conversation: ConversationId, event: &str, mut fields: Value) -> Result<()> {
        fields["at_ms"] = json!(now_ms());
        fields["client"] = json!(self.0.client);
        fields["user"] = json!(self.0.user);
        fields["conversation"] = json!(conversation);
        fields["event"] = json!(event);
        self.0.file.lock().write_all(format!("{fields}\n").as_bytes()).context("the history")
    }

    pub fn name_of(&self, user: UserId) -> String {
        self.0.names.get(&user).cloned().unwrap_or_else(|| user.to_string())
    }

    /// The fields of a message of the log; `None`: it is pending.
    pub fn message(&self, message: &Message) -> Option<Value> {
        let reactions: serde_json::Map<String, Value> = message
            .reactions
            .iter()
            .map(|reaction| {
                let users: Vec<String> = reaction.user_ids.iter().map(|user| self.name_of(*user)).collect();
                (reaction.emoji.as_str().to_owned(), json!(users))
            })
            .collect();
        Some(json!({
            "sender": self.name_of(message.sender),
            "name": message.name.to_string(),
            "seq": message.seq?,
            "message": message.id?,
            "body": message.body,
            "edited": message.edited_at.is_some(),
            "deleted": message.deleted_at.is_some(),
            "reactions": reactions,
        }))
    }

    /// What is new of what is shown.
    pub fn shown(&self, me: UserId, rows: &[Message]) -> Result<()> {
        for row in rows {
            let Some(fields) = self.message(row) else { continue };
            let key = (row.conversation, row.sender, row.name.to_string());
            let before = self.0.shown.lock().insert(key, fields.clone());
            if before.is_none() && row.sender == me {
                let place = json!({ "name": row.name.to_string(), "seq": row.seq, "message": row.id });
                self.write(row.conversation, "ack", place)?;
            }
            if before.as_ref() != Some(&fields) {
                self.write(row.conversation, "see", fields)?;
            }
        }
        Ok(())
    }

    pub fn watermarks(&self, conversation: ConversationId, members: &[Member]) -> Result<()> {
        for member in members {
            let now = (member.delivered_seq, member.read_seq);
            if self.0.watermarks.lock().insert((conversation, member.user_id), now) != Some(now) {
                let of = self.name_of(member.user_id);
                self.write(conversation, "watermark", json!({ "of": of, "delivered": now.0, "read": now.1 }))?;
            }
        }
        Ok(())
    }

    /// What there is in the end.
    pub fn end(&self, conversation: ConversationId, rows: &[Message], members: &[Member]) -> Result<()> {
        let messages: Vec<Value> = rows.iter().filter_map(|row| self.message(row)).collect();
        let watermarks: serde_json::Map<String, Value> = members
            .iter()
            .map(|member| (self.name_of(member.user_id), json!([member.delivered_seq, member.read_seq])))
            .collect();
        self.write(conversation, "final", json!({ "messages": messages, "watermarks": watermarks }))
    }
}
