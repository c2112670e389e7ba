//! What lies over the screen and has the keys.

use tertulia_client::{ConversationId, Message, MessageRef, Seq};

use crate::app::line::Line;
use crate::app::sign_in::Form;

/// Reactions at hand; any other is typed.
pub const EMOJI: [&str; 8] = ["👍", "❤️", "😂", "😮", "😢", "🎉", "👀", "🙏"];

#[derive(Debug)]
pub enum Dialog {
    /// From this row on.
    Help {
        top: usize,
    },
    Dm(Line),
    Group {
        title: Line,
        people: Line,
        at_people: bool,
    },
    Search(Search),
    React {
        room: ConversationId,
        message: MessageRef,
        mine: Vec<String>,
        line: Line,
    },
    Parked {
        at: usize,
    },
    Delete {
        room: ConversationId,
        message: MessageRef,
        body: String,
    },
    LogOut,
    SignIn(Form),
}

/// In what is on this device, newest first.
#[derive(Debug, Default)]
pub struct Search {
    pub line: Line,
    pub hits: Vec<Message>,
    pub at: usize,
}

impl Search {
    pub fn take(&mut self, text: &str, hits: Vec<Message>) {
        // What came of an earlier text is of no use.
        if text == self.line.text() {
            (self.hits, self.at) = (hits, 0);
        }
    }

    /// What the chosen hit leads to.
    pub fn chosen(&self) -> Option<(ConversationId, Option<Seq>)> {
        self.hits.get(self.at).map(|hit| (hit.conversation, hit.seq))
    }
}
