//! A client as plain as can be: it takes differences and live events by the client's rule, and can be compared with a fresh fetch.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tertulia_proto::event::{
    ConversationRemoved, ConversationUpdated, MemberUpdated, MessageDeleted, ReactionUpdated, ReceiptUpdated,
};
use tertulia_proto::model::unread_count;
use tertulia_proto::sync::{Difference, Held, SyncConversation};
use tertulia_proto::{Conversation, ConversationId, Member, Message, Rev, Seq, UserId};
use tertulia_testkit::Api;

#[derive(Debug, Clone)]
pub struct Known {
    pub rev: Rev,
    title: Option<String>,
    last_seq: Seq,
    members: BTreeMap<UserId, Member>,
    messages: BTreeMap<Seq, Message>,
    /// Not here, or not as they are now: to be fetched.
    missing: BTreeSet<Seq>,
}

/// What a live event came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    Applied,
    /// Known already.
    Old,
    /// Something before it was missed.
    Jump(String),
}

pub struct Replica {
    me: UserId,
    pub cursor: Option<String>,
    pub known: BTreeMap<ConversationId, Known>,
    /// Where each conversation's log ended when the server was told what is held: holes begin behind it, whatever was heard since.
    said: BTreeMap<ConversationId, Seq>,
}

fn read<T: DeserializeOwned>(fields: &Value) -> Result<T> {
    serde_json::from_value(fields.clone()).with_context(|| fields.to_string())
}

fn newer<K: Ord, T>(rows: &mut BTreeMap<K, T>, key: K, row: T, rev: fn(&T) -> Rev) {
    if rows.get(&key).is_none_or(|mine| rev(mine) <= rev(&row)) {
        rows.insert(key, row);
    }
}

impl Known {
    fn new(conversation: &Conversation) -> Self {
        let (title, last_seq) = (conversation.title.clone(), conversation.last_seq);
        let mut members = BTreeMap::new();
        for member in conversation.members.iter().flat_map(|all| all.iter()) {
            members.insert(member.user_id, member.clone());
        }
        Self { rev: conversation.rev, title, last_seq, members, messages: BTreeMap::new(), missing: BTreeSet::new() }
    }

    fn put(&mut self, message: Message) {
        self.missing.remove(&message.seq);
        newer(&mut self.messages, message.seq, message, |message| message.rev);
    }

    fn apply(&mut self, kind: &str, fields: &Value) -> Result<()> {
        match kind {
            "message.new" => {
                let message: Message = read(fields)?;
                ensure!(message.seq == self.last_seq + 1, "message {} after {}", message.seq, self.last_seq);
                self.last_seq = message.seq;
                if let Some(sender) = self.members.get_mut(&message.sender_id) {
                    (sender.delivered_seq, sender.read_seq, sender.rev) = (message.seq, message.seq, message.rev);
                }
                self.put(message);
            }
            "message.updated" => self.put(read(fields)?),
            "message.deleted" => {
                let deleted: MessageDeleted = read(fields)?;
                if let Some(message) = self.messages.get_mut(&deleted.seq).filter(|message| message.rev < deleted.rev) {
                    (message.body, message.deleted_at, message.rev) =
                        (String::new(), Some(deleted.deleted_at), deleted.rev);
                    message.reactions.clear();
                }
            }
            "reaction.updated" => {
                let updated: ReactionUpdated = read(fields)?;
                if let Some(message) = self.messages.get_mut(&updated.seq).filter(|message| message.rev < updated.rev) {
                    (message.reactions, message.rev) = (updated.reactions, updated.rev);
                }
            }
            "receipt.updated" => {
                let receipt: ReceiptUpdated = read(fields)?;
                if let Some(member) = self.members.get_mut(&receipt.user_id) {
                    (member.delivered_seq, member.read_seq, member.rev) =
                        (receipt.delivered_seq, receipt.read_seq, receipt.rev);
                }
            }
            "conversation.updated" => {
                let updated: ConversationUpdated = read(fields)?;
                self.title = updated.title.or(self.title.take());
            }
            "member.updated" => {
                let updated: MemberUpdated = read(fields)?;
                newer(&mut self.members, updated.member.user_id, updated.member, |member| member.rev);
            }
            other => bail!("an event with a rev and an unknown kind: {other}"),
        }
        Ok(())
    }
}

impl Replica {
    pub const fn new(me: UserId) -> Self {
        Self { me, cursor: None, known: BTreeMap::new(), said: BTreeMap::new() }
    }

    /// What to ask for the next page with: what is held only where it `says` so, and with a cursor, without which nothing held counts.
    pub fn question(&mut self, page: usize, says: bool) -> Value {
        self.said.clear();
        if !says || self.cursor.is_none() {
            return json!({ "cursor": self.cursor, "limit": page });
        }
        self.said = self.known.iter().map(|(id, known)| (*id, known.last_seq)).collect();
        let have: Vec<Held> =
            self.known.iter().map(|(id, known)| Held { id: *id, rev: known.rev, last_seq: known.last_seq }).collect();
        json!({ "cursor": self.cursor, "limit": page, "have": have })
    }

    /// A page of the difference: what has the higher `rev` stays.
    pub fn take_difference(&mut self, difference: Difference) -> Result<()> {
        if difference.reset {
            self.known.clear();
        }
        for id in &difference.removed {
            self.known.remove(id);
        }
        for changed in difference.conversations {
            self.take_conversation(changed)?;
        }
        self.cursor = Some(difference.cursor);
        Ok(())
    }

    fn take_conversation(&mut self, changed: SyncConversation) -> Result<()> {
        let conversation = changed.conversation;
        let is_new = !self.known.contains_key(&conversation.id);
        let known =
            self.known.entry(conversation.id).or_insert_with(|| Known { last_seq: 0, ..Known::new(&conversation) });
        let had = if is_new { 0 } else { self.said.get(&conversation.id).copied().unwrap_or(known.last_seq) };
        if conversation.rev >= known.rev {
            (known.rev, known.title, known.last_seq) = (conversation.rev, conversation.title, conversation.last_seq);
        }
        for member in conversation.members.context("a difference brings the changed members")?.iter().cloned() {
            newer(&mut known.members, member.user_id, member, |member| member.rev);
        }
        if let Some(hole_before) = changed.hole_before {
            known.missing.extend(had + 1..hole_before);
        }
        if let Some(stale_before) = changed.stale_before {
            known.missing.extend(known.messages.range(..stale_before).map(|(seq, _)| *seq));
        }
        for message in changed.messages {
            known.put(message);
        }
        Ok(())
    }

    /// A live event, by the client's rule.
    pub fn take_event(&mut self, kind: &str, fields: &Value) -> Result<Taken> {
        if kind == "conversation.removed" {
            self.known.remove(&read::<ConversationRemoved>(fields)?.conversation_id);
            return Ok(Taken::Applied);
        }
        let Some(rev) = fields["rev"].as_i64() else { return Ok(Taken::Old) };
        let id: ConversationId = read(&fields["conversationId"])?;
        if kind == "conversation.updated"
            && let Some(whole) = read::<ConversationUpdated>(fields)?.conversation
            && !self.known.contains_key(&id)
        {
            let known = self.known.entry(id).or_insert(Known::new(&whole));
            known.missing.extend(1..=known.last_seq);
            return Ok(Taken::Applied);
        }
        let Some(known) = self.known.get_mut(&id) else {
            return Ok(Taken::Jump(format!("{kind} of an unknown conversation: {fields}")));
        };
        if rev <= known.rev {
            return Ok(Taken::Old);
        }
        if rev > known.rev + 1 {
            return Ok(Taken::Jump(format!("{kind} with rev {rev} after {}", known.rev)));
        }
        known.apply(kind, fields)?;
        known.rev = rev;
        Ok(Taken::Applied)
    }

    /// Scrolls through every hole.
    pub async fn fill(&mut self, api: &Api) -> Result<()> {
        for (id, known) in self.known.iter_mut().filter(|(_, known)| !known.missing.is_empty()) {
            let first = known.missing.first().copied().unwrap_or(1);
            for message in api.history_after(*id, first - 1).await? {
                known.put(message);
            }
            known.missing.clear();
        }
        Ok(())
    }

    /// Whether state and replayed events are what a fresh fetch brings.
    pub async fn check_fresh(&self, api: &Api) -> Result<usize> {
        let mut fresh: BTreeSet<ConversationId> = BTreeSet::new();
        for page in api.differences(None).await? {
            fresh.extend(page.conversations.iter().map(|changed| changed.conversation.id));
        }
        let mine: BTreeSet<ConversationId> = self.known.keys().copied().collect();
        ensure!(mine == fresh, "the conversations: {mine:?} here, {fresh:?} there");
        let mut messages = 0;
        for (id, known) in &self.known {
            messages += self.check_one(api, *id, known).await.with_context(|| format!("conversation {id}"))?;
        }
        Ok(messages)
    }

    async fn check_one(&self, api: &Api, id: ConversationId, known: &Known) -> Result<usize> {
        let there = api.conversation(id).await?;
        ensure!(known.rev == there.rev, "rev {} here, {} there", known.rev, there.rev);
        ensure!(known.title == there.title, "title {:?} here, {:?} there", known.title, there.title);
        ensure!(known.last_seq == there.last_seq, "lastSeq {} here, {} there", known.last_seq, there.last_seq);
        let mut members = there.members.context("the single call brings the members")?.to_vec();
        members.sort_by_key(|member| member.user_id);
        let mine: Vec<Member> = known.members.values().filter(|member| !member.removed).cloned().collect();
        ensure!(mine == members, "members here: {mine:#?}\nthere: {members:#?}");
        let history = api.history_after(id, 0).await?;
        ensure!(
            known.messages.len() == history.len(),
            "{} messages here, {} there",
            known.messages.len(),
            history.len()
        );
        for message in &history {
            let mine = known.messages.get(&message.seq);
            ensure!(mine == Some(message), "message {}: {mine:#?} here, {message:#?} there", message.seq);
        }
        let read_seq = known.members.get(&self.me).context("I am a member")?.read_seq;
        let deleted = known.messages.range(read_seq + 1..).filter(|(_, message)| message.deleted_at.is_some()).count();
        let unread = unread_count(known.last_seq, read_seq, i64::try_from(deleted)?);
        ensure!(unread == there.unread_count, "{unread} unread here, {} there", there.unread_count);
        Ok(history.len())
    }
}
