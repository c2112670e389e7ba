//! A conversation's messages on a screen: a window at its end, or around a message, that grows both ways.

use std::ops::Range;
use std::sync::Arc;

use tertulia_client_sqlite::views;
use tertulia_engine::{Command, StoreFailure};
use tertulia_proto::{ConversationId, Seq};

use crate::board::{Flag, Topic};
use crate::core::{Core, Input};
use crate::error::{CommandError, ReadError};
use crate::list::{ListDiff, diff};
use crate::model::Message;
use crate::shared::Shared;

/// Messages a timeline begins with, and that [`Timeline::load_more`] and [`Timeline::load_newer`] add.
pub const TIMELINE_PAGE: usize = 50;

/// The same as a distance between places: without holes there is a message in each.
const PAGE: Seq = TIMELINE_PAGE as Seq;

/// Messages of a conversation, oldest first: the newest, what is pending at the end, or after [`Timeline::jump_to`] those around a place. At the end the
/// window keeps its upper edge while new messages come, until it is a page longer than asked for; elsewhere it keeps both.
#[derive(Debug)]
pub struct Timeline {
    shared: Arc<Shared>,
    flag: Arc<Flag>,
    conversation: ConversationId,
    place: Place,
    /// Of more messages the far end is let go.
    room: usize,
    grows: Towards,
    told: Option<Window>,
    /// The hole that was given to the engine to be filled, and what was shown then: the same is not asked for twice.
    asked: Option<Seq>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// So many messages at the end.
    Newest {
        limit: usize,
    },
    Between(Range<Seq>),
}

/// Which way the reader went last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Towards {
    Older,
    Newer,
}

/// What a timeline shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    pub messages: Vec<Message>,
    /// There is more above, on this device or on the server.
    pub has_more: bool,
    /// The window ends before the newest message.
    pub has_newer: bool,
    /// Where messages are missing that belong into the window, `Command::Fill`'s `below`.
    wanted: Option<Seq>,
}

impl Timeline {
    pub(crate) fn new(shared: &Arc<Shared>, conversation: ConversationId) -> Self {
        Self {
            shared: Arc::clone(shared),
            flag: shared.flag(Topic::Timeline(conversation)),
            conversation,
            place: Place::Newest { limit: TIMELINE_PAGE },
            room: usize::MAX,
            grows: Towards::Older,
            told: None,
            asked: None,
        }
    }

    /// Keeps about so many messages: when there are more, those go that are farthest from where it grew last, as steps of their own after those that
    /// brought the new ones. [`Timeline::load_more`] and [`Timeline::load_newer`] bring them again. At least four pages.
    #[must_use]
    pub fn bounded(mut self, messages: usize) -> Self {
        self.room = messages.max(4 * TIMELINE_PAGE);
        self
    }

    pub const fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// The window now. It is what all steps told up to now lead to, unless something has changed since.
    pub fn get(&self) -> Result<Window, ReadError> {
        let floor = self.told.as_ref().and_then(|told| told.messages.first()?.seq);
        self.shared.read(|core| look(core, self.conversation, &self.place, floor))
    }

    /// Whether there is more above what was told last.
    pub fn has_more(&self) -> bool {
        self.told.as_ref().is_none_or(|told| told.has_more)
    }

    /// Whether there is more below what was told last.
    pub fn has_newer(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.has_newer)
    }

    /// The steps from what was told last to the window as it is: at once the first time, then when there are any, or none when only
    /// [`Timeline::has_more`] or [`Timeline::has_newer`] says something else. May be dropped while it waits.
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
            let edges = |window: &Window| (window.has_more, window.has_newer);
            let is_news = !steps.is_empty() || self.told.as_ref().map(edges) != Some(edges(&window));
            let changed = self.told.as_ref() != Some(&window);
            let wanted = window.wanted;
            self.told = Some(window);
            self.let_go();
            self.fetch(wanted, changed)?;
            if is_news {
                return Ok(steps);
            }
        }
    }

    /// Widens the window upward by a page: what is here comes with [`Timeline::next`] at once, what is missing as soon as the server has told it. Without a
    /// network it is fetched with the next connection.
    pub fn load_more(&mut self) {
        self.grows = Towards::Older;
        let shown = self.told.as_ref().map_or(0, |told| told.messages.len());
        match &mut self.place {
            Place::Newest { limit } => *limit = (*limit).max(shown).saturating_add(TIMELINE_PAGE),
            Place::Between(places) => places.start = places.start.saturating_sub(PAGE).max(1),
        }
        self.asked = None;
        self.flag.look_again();
    }

    /// Widens the window downward by a page, as [`Timeline::load_more`] does upward. At the end it does nothing.
    pub fn load_newer(&mut self) -> Result<(), ReadError> {
        if let Place::Between(places) = &self.place {
            self.grows = Towards::Newer;
            self.place = self.placed(places.start..places.end.saturating_add(PAGE))?;
            self.asked = None;
            self.flag.look_again();
        }
        Ok(())
    }

    /// Shows what is around a place instead: half a page above and below it. The next steps begin with [`ListDiff::Reset`]. A message that is perhaps not
    /// on this device is best brought by [`crate::Client::sync_until`] before.
    pub fn jump_to(&mut self, seq: Seq) -> Result<(), ReadError> {
        let half = PAGE / 2;
        self.place = self.placed(seq.saturating_sub(half).max(1)..seq.saturating_add(half))?;
        self.start_over();
        Ok(())
    }

    /// Shows the newest page instead. The next steps begin with [`ListDiff::Reset`].
    pub fn jump_to_newest(&mut self) {
        self.place = Place::Newest { limit: TIMELINE_PAGE };
        self.start_over();
    }

    /// What a reader who has come far does not see any more: two pages less than there is room for, so that it is not done with each page.
    fn let_go(&mut self) {
        let Some(told) = self.told.as_ref().filter(|told| told.messages.len() > self.room) else { return };
        let keep = self.room.saturating_sub(2 * TIMELINE_PAGE);
        let place = |at: usize| told.messages.get(at).and_then(|message| message.seq);
        let (first, beyond) = (place(0), place(keep));
        let from = place(told.messages.len().saturating_sub(keep));
        let place = match (&self.place, self.grows) {
            (Place::Newest { .. }, Towards::Older) => first.zip(beyond).map(|(first, end)| Place::Between(first..end)),
            (Place::Between(places), Towards::Older) => beyond.map(|end| Place::Between(places.start..end)),
            (Place::Newest { .. }, Towards::Newer) => Some(Place::Newest { limit: keep }),
            (Place::Between(places), Towards::Newer) => from.map(|start| Place::Between(start..places.end)),
        };
        // Where so many wait to be sent, they have no places yet, and stay.
        if let Some(place) = place {
            self.place = place;
            self.flag.look_again();
        }
    }

    fn start_over(&mut self) {
        (self.told, self.asked) = (None, None);
        self.flag.look_again();
    }

    /// A window that reaches the end goes with it from then on.
    fn placed(&self, places: Range<Seq>) -> Result<Place, ReadError> {
        let last = self.shared.read(|core| core.store().last_seq(self.conversation))?;
        if places.end <= last {
            return Ok(Place::Between(places));
        }
        let shown = usize::try_from(last.saturating_add(1).saturating_sub(places.start)).unwrap_or(0);
        Ok(Place::Newest { limit: shown.max(TIMELINE_PAGE) })
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

fn look(core: &Core, id: ConversationId, place: &Place, floor: Option<Seq>) -> Result<Window, StoreFailure> {
    match place {
        Place::Newest { limit } => {
            let room = limit.saturating_add(TIMELINE_PAGE);
            Ok(cut(core.store().timeline(id, None, room)?, *limit, floor))
        }
        Place::Between(places) => {
            let read = core.store().stretch(id, places.clone())?;
            let messages = read.messages.into_iter().map(Message::of_shown).collect();
            Ok(Window { messages, has_more: read.has_more, has_newer: true, wanted: read.fill_below })
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
    Window { has_more: read.has_more || all > messages.len(), has_newer: false, messages, wanted }
}
