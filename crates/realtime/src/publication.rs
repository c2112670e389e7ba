//! An event on its way to many.

use std::sync::OnceLock;

use bytes::Bytes;
use tertulia_proto::{Protocol, ServerEvent};

/// Encoded when the first connection of a protocol needs it, and shared by all others.
pub struct Publication {
    event: ServerEvent,
    size_hint: usize,
    web_socket: OnceLock<Bytes>,
    socket_io: OnceLock<Bytes>,
}

impl Publication {
    pub fn new(event: ServerEvent) -> Self {
        Self { size_hint: event.size_hint(), event, web_socket: OnceLock::new(), socket_io: OnceLock::new() }
    }

    pub fn event(&self) -> &ServerEvent {
        &self.event
    }

    /// UTF-8 text: the whole frame of a WebSocket, or the payload of a Socket.IO event.
    pub fn encoded(&self, protocol: Protocol) -> Bytes {
        let slot = match protocol {
            Protocol::WebSocket => &self.web_socket,
            Protocol::SocketIo => &self.socket_io,
        };
        slot.get_or_init(|| Bytes::from(self.event.encode(protocol))).clone()
    }

    pub(crate) fn size_hint(&self) -> usize {
        self.size_hint
    }
}
