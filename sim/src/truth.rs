//! The log as a fresh fetch brings it, read from the server's store.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tertulia_proto::{Conversation, ConversationId, Member, Message, UserId};
use tertulia_store::{HistoryRange, Store as _};
use tertulia_store_sqlite::SqliteStore;

use crate::server::now_or_never;

/// A conversation as one member sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub conversation: Conversation,
    pub members: Vec<Member>,
    /// All that the member may see, in order.
    pub messages: Vec<Message>,
}

/// Everything one person sees.
pub fn fetch(store: &Arc<SqliteStore>, person: UserId) -> Result<BTreeMap<ConversationId, Seen>> {
    let mut all = BTreeMap::new();
    for id in now_or_never(store.memberships(person))?? {
        let mut conversation = now_or_never(store.conversation(person, id))??.context("a member sees it")?;
        let members = conversation.members.take().context("with its members")?.to_vec();
        let mut messages: Vec<Message> = Vec::new();
        loop {
            let after = messages.last().map_or(0, |message| message.seq);
            let page = now_or_never(store.history(person, id, HistoryRange::After(after), 200))??.context("history")?;
            messages.extend(page.messages);
            if !page.has_more {
                break;
            }
        }
        all.insert(id, Seen { conversation, members, messages });
    }
    Ok(all)
}
