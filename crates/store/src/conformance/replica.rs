//! A client as plain as can be: it applies differences to what it has. "State + replayed differences = a fresh fetch" is asked of it.

use std::collections::{BTreeMap, BTreeSet};

use tertulia_proto::Seq;
use tertulia_proto::sync::SyncConversation;

use super::world::World;
use crate::*;

pub struct Replica {
    pub person: UserId,
    pub from: SyncFrom,
    pub(super) known: BTreeMap<ConversationId, Known>,
    /// Also hears what happens ([`Replica::listen`]), up to here in the sink's results, and says with each page what it holds.
    pub(super) heard: Option<usize>,
}

pub(super) struct Known {
    /// Without members and last message.
    pub conversation: Conversation,
    pub members: BTreeMap<UserId, Member>,
    pub messages: BTreeMap<Seq, Message>,
    /// In a hole, or told to be stale: to be fetched when the reader scrolls there.
    pub missing: BTreeSet<Seq>,
}

impl Replica {
    pub fn new(person: UserId) -> Self {
        Self { person, from: SyncFrom::BEGINNING, known: BTreeMap::new(), heard: None }
    }

    /// One that has everything there is now.
    pub async fn caught_up(world: &World, person: UserId) -> Self {
        let mut replica = Self::new(person);
        replica.catch_up(world, 100, 100).await;
        replica
    }

    /// Fetches the next page, applies it, and gives it back to be looked at.
    pub async fn page(&mut self, world: &World, conversations_max: usize, messages_max: usize) -> DifferencePage {
        // Without a cursor nothing held counts.
        let have = self.heard.filter(|_| self.from != SyncFrom::BEGINNING).map(|_| self.holdings());
        let page = world
            .store
            .difference(self.person, self.from, have, conversations_max, messages_max)
            .await
            .expect("the store reads");
        let told = page.conversations.len() + page.removed.len();
        assert!(told <= conversations_max, "a page of {told} conversations, at most {conversations_max} were asked");
        let most = page.conversations.iter().map(|changed| changed.messages.len()).max().unwrap_or(0);
        assert!(
            most <= 2 * messages_max,
            "{most} messages, at most {messages_max} new and {messages_max} older ones were asked"
        );
        assert!(page.next.base >= self.from.base || page.reset, "a cursor does not go back");
        assert!(page.has_more || page.next.within.is_none(), "the end of a difference is within nothing");
        assert!(!page.has_more || page.next != self.from, "a page with more behind it goes on");
        self.apply(&page);
        self.from = page.next;
        page
    }

    /// Fetches pages until there is no more, and again until nothing can have happened between them; gives back the pages of the first round.
    pub async fn catch_up(&mut self, world: &World, conversations_max: usize, messages_max: usize) -> usize {
        let mut first = None;
        for _ in 0..100 {
            let begins = self.from.within.is_none();
            let pages = self.round(world, conversations_max, messages_max).await;
            let first = *first.get_or_insert(pages);
            if begins && pages == 1 {
                return first;
            }
        }
        panic!("nobody writes, and there is always more")
    }

    async fn round(&mut self, world: &World, conversations_max: usize, messages_max: usize) -> usize {
        for count in 1..=1000 {
            if !self.page(world, conversations_max, messages_max).await.has_more {
                return count;
            }
        }
        panic!("a difference that does not end")
    }

    pub fn apply(&mut self, page: &DifferencePage) {
        if page.reset {
            self.known.clear();
        }
        for id in &page.removed {
            assert!(
                page.conversations.iter().all(|changed| changed.conversation.id != *id),
                "a conversation is there or removed"
            );
            self.known.remove(id);
        }
        for changed in &page.conversations {
            self.apply_conversation(changed);
        }
    }

    fn apply_conversation(&mut self, changed: &SyncConversation) {
        let mut conversation = changed.conversation.clone();
        assert_eq!(conversation.last_message, None, "the messages of a difference say which is the last");
        let members = conversation.members.take().expect("a difference brings the changed members");
        let seqs: Vec<Seq> = changed.messages.iter().map(|message| message.seq).collect();
        assert!(seqs.is_sorted_by(|a, b| a < b), "messages come in seq order: {seqs:?}");
        let is_new = !self.known.contains_key(&conversation.id);
        let known = self.known.entry(conversation.id).or_insert_with(|| Known {
            conversation: conversation.clone(),
            members: BTreeMap::new(),
            messages: BTreeMap::new(),
            missing: BTreeSet::new(),
        });
        let has_nothing = known.messages.is_empty() && known.missing.is_empty() && self.heard.is_none();
        let last_seq_before = if is_new || has_nothing { 0 } else { known.conversation.last_seq };
        if known.conversation.rev <= conversation.rev {
            known.conversation = conversation;
        }
        for member in members.iter().cloned() {
            if known.members.get(&member.user_id).is_none_or(|mine| mine.rev <= member.rev) {
                known.members.insert(member.user_id, member);
            }
        }
        if let Some(hole_before) = changed.hole_before {
            known.missing.extend(last_seq_before + 1..hole_before);
        }
        if let Some(stale_before) = changed.stale_before {
            let stale: Vec<Seq> = known.messages.range(..stale_before).map(|(seq, _)| *seq).collect();
            known.messages.retain(|seq, _| *seq >= stale_before);
            known.missing.extend(stale);
        }
        for message in &changed.messages {
            assert_eq!(message.conversation_id, changed.conversation.id);
            if known.messages.get(&message.seq).is_none_or(|mine| mine.rev <= message.rev) {
                known.messages.insert(message.seq, message.clone());
            }
            known.missing.remove(&message.seq);
        }
    }

    /// How many messages of a conversation are yet to be fetched.
    pub fn missing(&self, conversation: ConversationId) -> usize {
        self.known.get(&conversation).map_or(0, |known| known.missing.len())
    }

    pub fn knows(&self, conversation: ConversationId) -> bool {
        self.known.contains_key(&conversation)
    }

    /// Scrolls up through every hole.
    pub async fn fill_holes(&mut self, world: &World) {
        for (id, known) in &mut self.known {
            while let Some(newest) = known.missing.last() {
                let range = HistoryRange::Before(newest + 1);
                let Some(page) = world.store.history(self.person, *id, range, 5).await.expect("the store reads") else {
                    break;
                };
                let oldest = if page.has_more { page.messages.first().map_or(0, |message| message.seq) } else { 0 };
                known.missing.retain(|seq| *seq < oldest);
                for message in page.messages {
                    if known.messages.get(&message.seq).is_none_or(|mine| mine.rev <= message.rev) {
                        known.messages.insert(message.seq, message);
                    }
                }
            }
        }
    }

    /// Whether what was put together from differences is what a fetch would bring. `when` is for people who read the failure.
    pub async fn assert_fresh(&self, world: &World, when: &str) {
        let mut expected = world.store.memberships(self.person).await.expect("the store reads");
        expected.sort();
        assert_eq!(self.known.keys().copied().collect::<Vec<_>>(), expected, "{when}: the conversations");
        for (id, known) in &self.known {
            let mut fresh = world.view(self.person, *id).await;
            let mut members = fresh.members.take().expect("the single call brings the members").to_vec();
            members.sort_by_key(|member| member.user_id);
            let last_message = fresh.last_message.take().expect("the single call brings the last message");
            assert_eq!(self.counted(known, &fresh), fresh, "{when}: the conversation");
            let mine: Vec<Member> = known.members.values().filter(|member| !member.removed).cloned().collect();
            assert_eq!(mine, members, "{when}: the members");
            self.assert_messages(world, *id, known, last_message.map(|message| *message), when).await;
        }
    }

    async fn assert_messages(
        &self,
        world: &World,
        id: ConversationId,
        known: &Known,
        last_message: Option<Message>,
        when: &str,
    ) {
        let history = world.history(self.person, id).await;
        assert_eq!(history.last().map(nameless), last_message.as_ref().map(nameless), "{when}: the last message");
        let membership = world.store.membership(self.person, id).await.expect("the store reads").expect("a member");
        let may_hold = |seq: Seq| seq <= membership.visible_after_seq || history.iter().any(|fresh| fresh.seq == seq);
        assert!(known.messages.keys().all(|seq| may_hold(*seq)), "{when}: messages that nobody sent");
        for fresh in &history {
            match known.messages.get(&fresh.seq) {
                Some(mine) => assert_eq!(nameless(mine), nameless(fresh), "{when}: message {}", fresh.seq),
                None => assert!(
                    known.missing.contains(&fresh.seq),
                    "{when}: message {} is not there, and no hole was told",
                    fresh.seq
                ),
            }
        }
    }
}

/// A sender's name and picture are those of the moment of the fetch: the member row carries their changes.
fn nameless(message: &Message) -> Message {
    Message { sender_name: String::new(), sender_avatar: None, ..message.clone() }
}
