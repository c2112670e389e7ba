//! Who notes what was told to whom.

use tertulia_proto::{ConversationId, MessageId, Seq};

use crate::connection::ConnectionId;

/// Connections that are named; all are counted.
const NAMED_MAX: usize = 50;

/// Which connections have taken something into their lanes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// The first of them.
    pub first: Vec<ConnectionId>,
    pub count: u64,
}

impl Told {
    pub(crate) fn add(&mut self, connection: ConnectionId) {
        if self.first.len() < NAMED_MAX {
            self.first.push(connection);
        }
        self.count += 1;
    }
}

/// Called, without a lock of the hub's state, after a new message was handed to its members here: whether or not there are any, where the message was
/// committed by this server. Must not block.
pub trait Witness: Send + Sync {
    fn told(&self, conversation: ConversationId, message: (Seq, MessageId), told: Told);
}
