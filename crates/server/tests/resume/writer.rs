//! People who do everything there is to do, at full speed, until they are told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tertulia_proto::{ConversationId, ErrorCode};
use tertulia_testkit::{Api, Frame, Incoming, Person, Random, Socket};

const WINDOW: usize = 16;
const KEPT: usize = 64;

pub struct Writer {
    pub name: String,
    pub api: Api,
    pub conversations: Vec<ConversationId>,
    /// Comes and goes; only the first conversation's owner moves somebody.
    pub moves: Option<Person>,
    pub everybody: Vec<Person>,
    pub random: Random,
    pub stop: Arc<AtomicBool>,
}

/// A message of mine that is in the log.
#[derive(Clone)]
struct Mine {
    conversation: ConversationId,
    id: String,
    seq: i64,
}

impl Writer {
    /// Writes until told to stop; gives the number of changes that were acknowledged.
    pub async fn run(mut self, mut socket: Socket) -> Result<usize> {
        let mut under_way: BTreeMap<u64, Option<ConversationId>> = BTreeMap::new();
        let (mut mine, mut count, mut sent) = (Vec::<Mine>::new(), 0_usize, 0_usize);
        loop {
            let stops = self.stop.load(Ordering::Relaxed);
            if stops && under_way.is_empty() {
                socket.close().await?;
                return Ok(count);
            }
            while !stops && under_way.len() < WINDOW {
                sent += 1;
                let (kind, fields, new) = self.choose(&mine, sent);
                under_way.insert(socket.feed(kind, fields).await?, new);
            }
            socket.flush().await?;
            if self.moves.is_some() && !stops && self.random.one_in(40) {
                self.govern().await?;
            }
            match socket.next().await? {
                Incoming::Frame(Frame::Answer { id, result }) => {
                    let new = under_way.remove(&id).context("an answer that nobody asked for")?;
                    let fields = match result {
                        Ok(fields) => fields,
                        // Deleted in the meantime.
                        Err(refusal) if matches!(refusal.code, ErrorCode::Gone | ErrorCode::Conflict) => continue,
                        Err(refusal) => bail!("refused: {refusal}"),
                    };
                    count += 1;
                    if let Some(conversation) = new {
                        let id =
                            fields["messageId"].as_str().context("an acknowledgement names the message")?.to_owned();
                        mine.push(Mine { conversation, id, seq: fields["seq"].as_i64().context("and its seq")? });
                        if mine.len() > KEPT {
                            mine.remove(0);
                        }
                    }
                }
                Incoming::Frame(Frame::Event { .. }) => {}
                Incoming::Closed(code) => bail!("{} was closed with {code:?}", self.name),
            }
        }
    }

    fn choose(&mut self, mine: &[Mine], number: usize) -> (&'static str, Value, Option<ConversationId>) {
        let choice = self.random.below(10);
        let Some(one) = self.random.pick(mine).cloned().filter(|_| choice >= 6) else {
            let to = self.conversations[self.random.below(self.conversations.len())];
            let fields = json!({ "conversationId": to, "clientMsgId": format!("{}-{number}", self.name), "body": format!("message {number}") });
            return ("message.send", fields, Some(to));
        };
        let mut fields = json!({ "conversationId": one.conversation, "messageId": one.id });
        let kind = match choice {
            6 => {
                fields["body"] = json!(format!("edited {number}"));
                "message.edit"
            }
            7 if self.random.one_in(3) => "message.delete",
            8 => {
                fields = json!({ "conversationId": one.conversation, "deliveredSeq": one.seq, "readSeq": one.seq });
                "receipt"
            }
            _ => {
                fields["emoji"] = json!(if self.random.one_in(2) { "👍" } else { "🎉" });
                fields["remove"] = json!(self.random.one_in(3));
                "message.react"
            }
        };
        (kind, fields, None)
    }

    /// What an owner does: titles, roles, who comes and goes, new groups.
    async fn govern(&mut self) -> Result<()> {
        let Some(guest) = &self.moves else { return Ok(()) };
        let group = format!("/api/v1/conversations/{}", self.conversations[0]);
        match self.random.below(5) {
            0 => drop(
                self.api
                    .patch(&group, &json!({ "title": format!("title {}", self.random.next()) }))
                    .await?
                    .take::<Value>()?,
            ),
            1 => drop(
                self.api.post(&format!("{group}/members"), &json!({ "userId": guest.id })).await?.take::<Value>()?,
            ),
            2 => drop(self.api.delete(&format!("{group}/members/{}", guest.id)).await?),
            3 => {
                let role = if self.random.one_in(2) { "admin" } else { "member" };
                drop(self.api.patch(&format!("{group}/members/{}", guest.id), &json!({ "role": role })).await?);
            }
            _ if self.conversations.len() < 8 => {
                self.conversations.push(self.api.group("another", &self.everybody).await?.id);
            }
            _ => {}
        }
        Ok(())
    }
}
