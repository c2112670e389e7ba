//! Callbacks, for code that does not await.

use tertulia_client::{Conversation, Member, PresenceState, PushState, TypingState, Waiting};

use crate::error::TertuliaError;
use crate::model::{ConnectionState, ConversationDiff, MessageDiff, Refusal};

/// What a subscription has to tell; each tells one kind, and in the end `Ended`.
#[derive(Debug, uniffi::Enum)]
#[expect(clippy::large_enum_variant, reason = "it is written into a buffer at once, and kept nowhere")]
pub enum Event {
    Connection {
        state: ConnectionState,
    },
    Push {
        state: PushState,
    },
    UnreadTotal {
        count: i64,
    },
    Outbox {
        waiting: Vec<Waiting>,
    },
    Refused {
        refusal: Refusal,
    },
    Conversations {
        steps: Vec<ConversationDiff>,
    },
    /// `None`: it is not on this device.
    OneConversation {
        conversation: Option<Conversation>,
    },
    Timeline {
        steps: Vec<MessageDiff>,
    },
    Members {
        members: Vec<Member>,
    },
    Typing {
        people: Vec<TypingState>,
    },
    /// `None`: not known, as without a connection.
    Presence {
        state: Option<PresenceState>,
    },
    /// What has changed can't be read from the file; the next change may be.
    Unreadable {
        why: TertuliaError,
    },
    /// Nothing comes any more: cancelled, or the client is gone.
    Ended,
}

/// Is told, on a thread of the client's. The calls of one subscription come one after the other; those of two may overlap.
///
/// It may take its time and call the client. What it throws is dropped, and the next event comes all the same.
#[uniffi::export(with_foreign)]
pub trait Listener: Send + Sync {
    fn on_event(&self, event: Event) -> Result<(), TertuliaError>;
}
