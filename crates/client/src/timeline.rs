//! A conversation's messages on a screen: a window at its end that grows upward.

use std::sync::Arc;

use tertulia_client_sqlite::views;
use tertulia_engine::Command;
use tertulia_proto::{ConversationId, Seq};

use crate::board::{Flag, Topic};
use crate::core::Input;
use crate::error::{CommandError, ReadError};
use crate::list::{ListDiff, diff};
use crate::model::Message;
use crate::shared::Shared;

/// Messages a timeline begins with, and that [`Timeline::load_more`] adds.
pub const TIMELINE_PAGE: usize = 50;

/// The newest messages of a conversation, oldest first, what is pending at the end. The window keeps its upper edge while new messages come, until it is
/// a page longer than asked for.
#[derive(Debug)]
pub struct Timeline {
    shared: Arc<Shared>,
    flag: Arc<Flag>,
    conversation: ConversationId,
    limit: usize,
    told: Option<Window>,
    /// The hole that was given to the engine to be filled, and what was shown then: the same is not asked for twice.
    asked: Option<Seq>,
}

/// What a timeline shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    pub messages: Vec<Message>,
    /// There is more above, on this device or on the server.
    pub has_more: bool,
    /// Where messages are missing that belong into the window, `Command::Fill`'s `below`.
    wanted: Option<Seq>,
}

impl Timeline {
    pub(crate) fn new(shared: &Arc<Shared>, conversation: ConversationId) -> Self {
        Self {
            shared: Arc::clone(shared),
            flag: shared.flag(Topic::Timeline(conversation)),
            conversation,
            limit: TIMELINE_PAGE,
            told: None,
            asked: None,
        }
    }

    pub const fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// The window now. It is what all steps told up to now lead to, unless something has changed since.
    pub fn get(&self) -> Result<Window, ReadError> {
        let floor = self.told.as_ref().and_then(|told| told.messages.first()?.seq);
        let room = self.limit.saturating_add(TIMELINE_PAGE);
        let read = self.shared.read(|core| core.store().timeline(self.conversation, None, room))?;
        Ok(cut(read, self.limit, floor))
    }

    /// Whether there is more above what was told last.
    pub fn has_more(&self) -> bool {
        self.told.as_ref().is_none_or(|told| told.has_more)
    }

    /// The steps from what was told last to the window as it is: at once the first time, then when there are any, or [`Timeline::has_more`]
    /// says something else. May be dropped while it waits.
    ///
    /// Where messages are missing in the window they are fetched; they come as steps when they are here.
    pub async fn next(&mut self) -> Result<Vec<ListDiff<Message>>, ReadError> {
        loop {
            self.flag.raised().await.map_err(|_| ReadError::Closed)?;
            let window = self.get()?;
            let steps = match &self.told {
                None => vec![ListDiff::Reset(window.messages.clone())],
                Some(told) => diff(&told.messages, &window.messages, |message| message.key),
            };
            let changed = self.told.as_ref() != Some(&window);
            let reaches_further = self.told.as_ref().is_some_and(|told| told.has_more != window.has_more);
            let wanted = window.wanted;
            self.told = Some(window);
            self.fetch(wanted, changed)?;
            if !steps.is_empty() || reaches_further {
                return Ok(steps);
            }
        }
    }

    /// Widens the window by a page: what is here comes with [`Timeline::next`] at once, what is missing as soon as the server has told it. Without a
    /// network it is fetched with the next connection.
    pub fn load_more(&mut self) {
        let shown = self.told.as_ref().map_or(0, |told| told.messages.len());
        self.limit = self.limit.max(shown).saturating_add(TIMELINE_PAGE);
        self.asked = None;
        self.flag.look_again();
    }

    /// Gives a hole to the engine; again only when something came of it, so that a refusal does not go in circles.
    fn fetch(&mut self, wanted: Option<Seq>, changed: bool) -> Result<(), ReadError> {
        let Some(below) = wanted.filter(|below| changed || self.asked != Some(*below)) else { return Ok(()) };
        self.asked = Some(below);
        let fill = Command::Fill { conversation: self.conversation, below };
        match self.shared.step(Input::Command(fill)) {
            Err(CommandError::Closed) => Err(ReadError::Closed),
            // Looked for again with the next change.
            _ => Ok(()),
        }
    }
}

/// Of what was read (a page more than `limit`) the window: down from `floor`, the place of the oldest that was shown, or the newest `limit`.
fn cut(read: views::Timeline, limit: usize, floor: Option<Seq>) -> Window {
    let all = read.messages.len();
    let shown =
        floor.map(|floor| read.messages.iter().filter(|m| m.message.seq.is_none_or(|seq| seq >= floor)).count());
    // With less than asked for it grows upward; with a page more it is cut back.
    let keep = shown.filter(|shown| (limit..limit.saturating_add(TIMELINE_PAGE)).contains(shown)).unwrap_or(limit);
    let messages: Vec<Message> =
        read.messages.into_iter().skip(all.saturating_sub(keep)).map(Message::of_shown).collect();
    let inside = messages.iter().rev().find(|message| message.gap_above).and_then(|message| message.seq);
    let first = messages.first().and_then(|message| message.seq);
    // A gap above the first is only wanted by a window that is not full.
    let wanted = match inside {
        Some(below) if Some(below) != first => Some(below),
        _ => read.fill_below.filter(|_| all <= keep && messages.len() < limit),
    };
    Window { has_more: read.has_more || all > messages.len(), messages, wanted }
}
