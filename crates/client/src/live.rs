//! Subscriptions. Each remembers what it told last and looks again when something has changed: a slow reader sees fewer and larger steps, and nothing
//! waits for it.

use std::sync::Arc;

use tertulia_client_sqlite::views::ShownConversation;
use tertulia_engine::{Refused, StoreFailure};
use tertulia_proto::{ConversationId, Timestamp};

use crate::board::{Changed, Flag, Topic};
use crate::core::Core;
use crate::error::ReadError;
use crate::list::{ListDiff, diff};
use crate::model::Conversation;
use crate::platform::Look;
use crate::shared::Shared;

/// A value that changes: [`Watch::get`] looks at it, [`Watch::next`] waits for another one.
pub struct Watch<T> {
    shared: Arc<Shared>,
    flag: Arc<Flag>,
    look: Look<Core, Result<T, StoreFailure>>,
    last: Option<T>,
}

impl<T> std::fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl<T: Clone + PartialEq> Watch<T> {
    pub(crate) fn new(shared: &Arc<Shared>, topic: Topic, look: Look<Core, Result<T, StoreFailure>>) -> Self {
        Self { shared: Arc::clone(shared), flag: shared.flag(topic), look, last: None }
    }

    /// The value now.
    pub fn get(&self) -> Result<T, ReadError> {
        self.shared.read(|core| (self.look)(core))
    }

    /// The value at once the first time, then whenever it has become another. May be dropped while it waits without missing anything.
    pub async fn next(&mut self) -> Result<T, ReadError> {
        loop {
            self.flag.raised().await.map_err(|_| ReadError::Closed)?;
            let value = self.get()?;
            if self.last.as_ref() != Some(&value) {
                self.last = Some(value.clone());
                return Ok(value);
            }
        }
    }

    /// Waits until the value is as wanted.
    pub async fn until(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<T, ReadError> {
        loop {
            let value = self.get()?;
            if wanted(&value) {
                return Ok(value);
            }
            self.flag.raised().await.map_err(|_| ReadError::Closed)?;
        }
    }
}

/// Conversations a list begins with, and that [`Conversations::load_more`] adds.
pub const CONVERSATIONS_PAGE: usize = 100;

/// A conversation, and what its place goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    active_at: Timestamp,
    shown: Conversation,
}

impl Listed {
    fn of(shown: ShownConversation) -> Self {
        Self { active_at: shown.active_at, shown: Conversation::of_shown(shown) }
    }

    const fn order(&self) -> (Timestamp, ConversationId) {
        (self.active_at, self.shown.id)
    }
}

/// The list of conversations, newest activity first.
#[derive(Debug)]
pub struct Conversations {
    shared: Arc<Shared>,
    flag: Arc<Flag>,
    limit: usize,
    told: Option<Vec<Listed>>,
}

impl Conversations {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            flag: shared.flag(Topic::Conversations),
            limit: CONVERSATIONS_PAGE,
            told: None,
        }
    }

    /// The list now.
    pub fn get(&self) -> Result<Vec<Conversation>, ReadError> {
        let listed = self.shared.read(|core| listed(core, self.limit))?;
        Ok(listed.into_iter().map(|listed| listed.shown).collect())
    }

    /// The steps from what was told last to the list as it is: at once the first time, then when there are any. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<Vec<ListDiff<Conversation>>, ReadError> {
        loop {
            self.flag.raised().await.map_err(|_| ReadError::Closed)?;
            let changed = self.flag.take_changed();
            let (told, limit) = (&mut self.told, self.limit);
            let steps = self.shared.read(|core| steps(core, told, limit, &changed));
            if steps.is_err() {
                // What changed is not known any more, nor how far it was told.
                self.told = None;
                self.flag.look_at_all();
            }
            let steps = steps?;
            if !steps.is_empty() {
                return Ok(steps);
            }
        }
    }

    /// A longer list, if there are more.
    pub fn load_more(&mut self) {
        self.limit = self.limit.saturating_add(CONVERSATIONS_PAGE);
        self.flag.look_again();
    }
}

fn listed(core: &Core, limit: usize) -> Result<Vec<Listed>, StoreFailure> {
    Ok(core.store().conversations(limit)?.into_iter().map(Listed::of).collect())
}

/// Looks only at what has changed, as far as that can tell: somebody may wait for a message of theirs behind it, with a thousand conversations.
fn steps(
    core: &Core,
    told: &mut Option<Vec<Listed>>,
    limit: usize,
    changed: &Changed,
) -> Result<Vec<ListDiff<Conversation>>, StoreFailure> {
    let mut steps = Vec::new();
    if let (Some(told), Changed::These(ids)) = (told.as_mut(), changed) {
        let mut is_whole = true;
        for id in ids {
            let now = core.store().conversation(*id)?.filter(|shown| !shown.conversation.hidden).map(Listed::of);
            is_whole &= replace(told, limit, *id, now, &mut steps);
        }
        if is_whole {
            return Ok(steps);
        }
    }
    let list = listed(core, limit)?;
    let shown = |list: &[Listed]| list.iter().map(|listed| listed.shown.clone()).collect::<Vec<_>>();
    match told {
        None => steps.push(ListDiff::Reset(shown(&list))),
        Some(told) => steps.extend(diff(&shown(told), &shown(&list), |conversation| conversation.id)),
    }
    *told = Some(list);
    Ok(steps)
}

/// Puts one conversation in its place. `false` where another that is not in the list may belong into it.
fn replace(
    list: &mut Vec<Listed>,
    limit: usize,
    id: ConversationId,
    now: Option<Listed>,
    steps: &mut Vec<ListDiff<Conversation>>,
) -> bool {
    let is_full = list.len() >= limit;
    let from = list.iter().position(|listed| listed.shown.id == id);
    let Some(now) = now else {
        if let Some(index) = from {
            list.remove(index);
            steps.push(ListDiff::Remove { index });
        }
        return from.is_none() || !is_full;
    };
    if let Some(index) = from {
        let before = list.remove(index);
        let to = list.partition_point(|other| other.order() > now.order());
        let is_whole = !is_full || now.order() >= before.order() || to < list.len();
        if to != index {
            steps.push(ListDiff::Remove { index });
            steps.push(ListDiff::Insert { index: to, value: now.shown.clone() });
        } else if before.shown != now.shown {
            steps.push(ListDiff::Set { index, value: now.shown.clone() });
        }
        list.insert(to, now);
        return is_whole;
    }
    let index = list.partition_point(|other| other.order() > now.order());
    if index < limit {
        steps.push(ListDiff::Insert { index, value: now.shown.clone() });
        list.insert(index, now);
    }
    if list.len() > limit {
        list.pop();
        steps.push(ListDiff::Remove { index: limit });
    }
    true
}

/// What the server would not do and the device has taken back: to be told to the person. The last 64 wait for a reader.
#[derive(Debug)]
pub struct Refusals {
    flag: Arc<Flag>,
}

impl Refusals {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { flag: shared.flag(Topic::Refusals) }
    }

    pub async fn next(&mut self) -> Result<Refused, ReadError> {
        loop {
            if let Some(refused) = self.flag.next_refusal() {
                return Ok(refused);
            }
            self.flag.raised().await.map_err(|_| ReadError::Closed)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tertulia_proto::{ConversationKind, HistoryVisibility, Role};

    use super::*;

    /// Conversation `number`, as it is when it was active at `at` and looks like `looks`.
    fn listed(number: u8, at: u8, looks: u8) -> Listed {
        let shown = Conversation {
            id: ConversationId::from_bytes([number; 16]),
            kind: ConversationKind::Group,
            title: Some(looks.to_string()),
            peer: None,
            created_at: Timestamp::from_ms(0),
            last_message_at: None,
            last_message: None,
            last_seq: 0,
            read_seq: 0,
            unread: 0,
            my_role: Role::Member,
            member_count: 1,
            history_visibility: HistoryVisibility::All,
            muted_until: None,
            is_hidden: false,
            draft: String::new(),
            has_parked: false,
            is_left: false,
        };
        Listed { active_at: Timestamp::from_ms(i64::from(at)), shown }
    }

    fn whole(all: &[Option<Listed>], limit: usize) -> Vec<Listed> {
        let mut list: Vec<Listed> = all.iter().flatten().cloned().collect();
        list.sort_by_key(|listed| std::cmp::Reverse(listed.order()));
        list.truncate(limit);
        list
    }

    proptest! {
        /// Changes of eight conversations, each absent, or active at some time with some look.
        #[test]
        fn a_conversation_that_changes_takes_its_place_or_the_list_says_that_it_does_not_know(
            changes in proptest::collection::vec((0..8_u8, proptest::option::of((0..20_u8, 0..2_u8))), 1..40),
            limit in 1..10_usize,
        ) {
            let mut all: Vec<Option<Listed>> = vec![None; 8];
            let mut list = Vec::new();
            let mut reader: Vec<Conversation> = Vec::new();
            for (number, now) in changes {
                let now = now.map(|(at, looks)| listed(number, at, looks));
                all[usize::from(number)] = now.clone();
                let mut steps = Vec::new();
                let is_whole = replace(&mut list, limit, ConversationId::from_bytes([number; 16]), now, &mut steps);
                steps.into_iter().for_each(|step| step.apply(&mut reader));
                prop_assert_eq!(&reader, &list.iter().map(|listed| listed.shown.clone()).collect::<Vec<_>>());
                if is_whole {
                    prop_assert_eq!(&list, &whole(&all, limit));
                } else {
                    list = whole(&all, limit);
                    reader = list.iter().map(|listed| listed.shown.clone()).collect();
                }
            }
        }

        #[test]
        fn a_list_with_room_always_knows(
            changes in proptest::collection::vec((0..8_u8, proptest::option::of((0..20_u8, 0..2_u8))), 1..40),
        ) {
            let mut list = Vec::new();
            for (number, now) in changes {
                let now = now.map(|(at, looks)| listed(number, at, looks));
                prop_assert!(replace(&mut list, 9, ConversationId::from_bytes([number; 16]), now, &mut Vec::new()));
            }
        }
    }
}
