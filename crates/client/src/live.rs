//! Subscriptions. Each remembers what it told last and looks again when something has changed: a slow reader sees fewer and larger steps, and nothing
//! waits for it.

use std::sync::Arc;

use tertulia_engine::{Refused, StoreFailure};

use crate::board::{Flag, Topic};
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

/// The list of conversations, newest activity first.
#[derive(Debug)]
pub struct Conversations {
    shared: Arc<Shared>,
    flag: Arc<Flag>,
    limit: usize,
    told: Option<Vec<Conversation>>,
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
        let shown = self.shared.read(|core| core.store().conversations(self.limit))?;
        Ok(shown.into_iter().map(Conversation::of_shown).collect())
    }

    /// The steps from what was told last to the list as it is: at once the first time, then when there are any. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<Vec<ListDiff<Conversation>>, ReadError> {
        loop {
            self.flag.raised().await.map_err(|_| ReadError::Closed)?;
            let list = self.get()?;
            let steps = match &self.told {
                None => vec![ListDiff::Reset(list.clone())],
                Some(told) => diff(told, &list, |conversation| conversation.id),
            };
            self.told = Some(list);
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
