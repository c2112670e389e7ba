//! The open conversation: its messages, what is being written, and where one stands in it.

use tertulia_client::{
    Conversation, ConversationId, ListDiff, Message, MessageRef, PresenceState, Seq, Timestamp, TypingState, UserId,
};

use crate::app::line::Line;

/// What the composing line is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    New,
    Reply {
        to: MessageRef,
    },
    /// `kept`: what stood in the line before.
    Edit {
        message: MessageRef,
        kept: String,
    },
}

/// The lowest row that is shown: of this message, less so many rows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    pub key: i64,
    pub hidden: usize,
}

#[derive(Debug)]
pub struct Room {
    pub id: ConversationId,
    /// It was opened before the list had it.
    pub is_awaited: bool,
    pub peer: Option<UserId>,
    pub messages: Vec<Message>,
    pub has_more: bool,
    pub is_loading: bool,
    /// Messages that are answered, of those above the window.
    pub quoted: Vec<Message>,
    pub typing: Vec<TypingState>,
    pub presence: Option<PresenceState>,
    pub line: Line,
    pub mode: Mode,
    pub typed_at: Option<Timestamp>,
    pub selected: Option<i64>,
    /// `None`: follows the end.
    pub anchor: Option<Anchor>,
    /// What came after it was new when one came here.
    pub unread_after: Option<Seq>,
    pub seek: Option<Seq>,
    pub read_told: Seq,
}

impl Room {
    pub fn new(id: ConversationId, held: Option<&Conversation>, peer: Option<UserId>) -> Self {
        Self {
            id,
            is_awaited: held.is_none(),
            peer,
            messages: Vec::new(),
            has_more: false,
            is_loading: false,
            quoted: Vec::new(),
            typing: Vec::new(),
            presence: None,
            line: Line::new(held.map_or("", |of| of.draft.as_str())),
            mode: Mode::New,
            typed_at: None,
            selected: None,
            anchor: None,
            unread_after: held.filter(|of| of.unread > 0).map(|of| of.read_seq),
            seek: None,
            read_told: 0,
        }
    }

    pub fn take(&mut self, steps: Vec<ListDiff<Message>>, has_more: bool, quoted: Vec<Message>) {
        steps.into_iter().for_each(|step| step.apply(&mut self.messages));
        (self.has_more, self.is_loading, self.quoted) = (has_more, false, quoted);
        let is_here = |key: i64| self.messages.iter().any(|message| message.key == key);
        self.anchor = self.anchor.filter(|anchor| is_here(anchor.key));
        self.selected = self.selected.filter(|key| is_here(*key));
    }

    /// What would be sent as a new message.
    pub fn draft(&self) -> &str {
        match &self.mode {
            Mode::Edit { kept, .. } => kept,
            Mode::New | Mode::Reply { .. } => self.line.text(),
        }
    }

    pub fn index(&self, key: i64) -> Option<usize> {
        self.messages.iter().position(|message| message.key == key)
    }

    pub fn selected(&self) -> Option<&Message> {
        self.messages.get(self.index(self.selected?)?)
    }

    /// The message that is answered, where it is known.
    pub fn quoted(&self, to: &MessageRef) -> Option<&Message> {
        let is_it = |message: &&Message| match to {
            MessageRef::Log(id) => message.id == Some(*id),
            MessageRef::Mine(name) => message.name == *name,
        };
        self.messages.iter().rev().find(is_it).or_else(|| self.quoted.iter().find(is_it))
    }

    /// Ends an answer or an edit; the line is as before.
    pub fn back_to_new(&mut self) {
        if let Mode::Edit { kept, .. } = std::mem::replace(&mut self.mode, Mode::New) {
            self.line.set(&kept);
        }
    }

    /// The lowest row shown, counted from the first message's first; `heights` are the messages'.
    pub fn bottom(&self, heights: &[usize]) -> usize {
        let total: usize = heights.iter().sum();
        let Some((anchor, index)) = self.anchor.and_then(|anchor| Some((anchor, self.index(anchor.key)?))) else {
            return total;
        };
        let until: usize = heights.iter().take(index + 1).sum();
        until.saturating_sub(anchor.hidden.min(heights.get(index).map_or(0, |height| height.saturating_sub(1))))
    }

    /// Moves it; the window stays full where there is enough to fill it.
    pub fn set_bottom(&mut self, heights: &[usize], room: usize, wanted: usize) {
        let total: usize = heights.iter().sum();
        let bottom = wanted.clamp(room.min(total), total);
        if bottom == total {
            self.anchor = None;
            return;
        }
        let mut until = 0;
        for (message, height) in self.messages.iter().zip(heights) {
            until += height;
            if until >= bottom {
                self.anchor = Some(Anchor { key: message.key, hidden: until - bottom });
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{BOB, message, room};

    fn of_five() -> Room {
        let mut of = Room::new(room(1), None, None);
        of.take(vec![ListDiff::Reset((1..=5).map(|seq| message(seq, BOB, "x")).collect())], true, Vec::new());
        of
    }

    #[test]
    fn scrolling_stops_at_both_ends() {
        let mut of = of_five();
        let heights = [3, 1, 4, 1, 2];
        assert_eq!(of.bottom(&heights), 11);
        for (wanted, got) in [(9, 9), (6, 6), (2, 5), (0, 5), (11, 11), (40, 11)] {
            of.set_bottom(&heights, 5, wanted);
            assert_eq!(of.bottom(&heights), got);
        }
        assert_eq!(of.anchor, None);
        of.set_bottom(&heights, 50, 3);
        assert_eq!(of.anchor, None, "everything fits");
    }

    #[test]
    fn what_comes_at_the_end_moves_nobody_who_reads_above() {
        let mut of = of_five();
        of.set_bottom(&[3, 1, 4, 1, 2], 4, 6);
        of.take(vec![ListDiff::Insert { index: 5, value: message(6, BOB, "new") }], true, Vec::new());
        assert_eq!(of.bottom(&[3, 1, 4, 1, 2, 7]), 6);
        of.take(vec![ListDiff::Insert { index: 0, value: message(0, BOB, "old") }], true, Vec::new());
        assert_eq!(of.bottom(&[5, 3, 1, 4, 1, 2, 7]), 11);
    }
}
