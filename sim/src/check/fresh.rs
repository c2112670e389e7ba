//! Promise 4: when all is quiet, what a device put together from differences and live events is what a fresh fetch brings.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use tertulia_engine::LocalMessage;
use tertulia_proto::{ConversationId, Message, User};

use crate::device::Device;
use crate::truth::Seen;

pub fn check(number: usize, device: &Device, truth: &BTreeMap<ConversationId, Seen>) -> Result<()> {
    let here: Vec<ConversationId> = device.store.held()?.into_iter().map(|held| held.id).collect();
    let there: Vec<ConversationId> = truth.keys().copied().collect();
    ensure!(here == there, "device {number}: the conversations are {here:?}, a fetch brings {there:?}");
    truth.values().try_for_each(|seen| {
        conversation(device, seen).with_context(|| format!("device {number}, {}", seen.conversation.id))
    })
}

fn conversation(device: &Device, seen: &Seen) -> Result<()> {
    let held = device.store.conversation(seen.conversation.id)?.context("is not here")?.conversation;
    let fresh = &seen.conversation;
    let who = |user: &Option<User>| user.as_ref().map(|u| (u.id, u.name.clone(), u.avatar_url.clone(), u.blocked));
    let mine = (
        (held.kind, &held.title, held.created_at, held.last_seq, held.rev, held.last_message_at),
        (held.my_role, held.muted_until, held.hidden, held.history_visibility, who(&held.peer), held.member_count),
    );
    let theirs = (
        (fresh.kind, &fresh.title, fresh.created_at, fresh.last_seq, fresh.rev, fresh.last_message_at),
        (
            fresh.my_role,
            fresh.muted_until,
            fresh.hidden,
            fresh.history_visibility,
            who(&fresh.peer),
            fresh.member_count,
        ),
    );
    ensure!(mine == theirs, "the conversation is {mine:?}, a fetch brings {theirs:?}");
    let by_id = |mut members: Vec<tertulia_proto::Member>| {
        members.sort_by_key(|member| member.user_id);
        members
    };
    let (here, there) = (by_id(device.store.members(fresh.id)?), by_id(seen.members.clone()));
    ensure!(here == there, "the members are {here:#?}, a fetch brings {there:#?}");
    let timeline = device.store.timeline(fresh.id, None, 1_000_000)?;
    let here: Vec<LocalMessage> = timeline.messages.into_iter().map(|shown| nameless(shown.message)).collect();
    let there: Vec<LocalMessage> = seen.messages.iter().cloned().map(log_row).collect();
    for (mine, fresh) in here.iter().zip(&there) {
        ensure!(mine == fresh, "a message is {mine:#?}, a fetch brings {fresh:#?}");
    }
    ensure!(here.len() == there.len(), "{} messages are here, a fetch brings {}", here.len(), there.len());
    Ok(())
}

fn log_row(message: Message) -> LocalMessage {
    nameless(LocalMessage::of_log(0, message))
}

/// A sender's name and picture are those of the moment of the fetch; what a reply was to before it was sent is this device's own affair.
fn nameless(message: LocalMessage) -> LocalMessage {
    LocalMessage { key: 0, sender_name: String::new(), sender_avatar: None, reply_to_mine: None, ..message }
}
