//! An event on its way to many.

use std::sync::OnceLock;

use bytes::Bytes;
use tertulia_proto::{EventName, Protocol, ServerEvent};

/// Encoded when the first connection of a protocol needs it, and shared by all others.
pub struct Publication {
    name: EventName,
    /// `None`: another server has encoded it.
    event: Option<ServerEvent>,
    size_hint: usize,
    web_socket: OnceLock<Bytes>,
    socket_io: OnceLock<Bytes>,
}

impl Publication {
    pub fn new(event: ServerEvent) -> Self {
        Self {
            name: event.event_name(),
            size_hint: event.size_hint(),
            event: Some(event),
            web_socket: OnceLock::new(),
            socket_io: OnceLock::new(),
        }
    }

    /// An event as it came from another server: its payload, a JSON object. It is told as it is.
    pub fn encoded_elsewhere(name: EventName, payload: Bytes) -> Self {
        Self {
            name,
            event: None,
            size_hint: payload.len() + 40,
            web_socket: OnceLock::new(),
            socket_io: OnceLock::from(payload),
        }
    }

    pub const fn name(&self) -> EventName {
        self.name
    }

    /// `None` for one that came from another server.
    pub const fn event(&self) -> Option<&ServerEvent> {
        self.event.as_ref()
    }

    /// UTF-8 text: the whole frame of a WebSocket, or the payload of a Socket.IO event.
    pub fn encoded(&self, protocol: Protocol) -> Bytes {
        match (protocol, &self.event) {
            (Protocol::SocketIo, Some(event)) => {
                self.socket_io.get_or_init(|| Bytes::from(event.encode(Protocol::SocketIo))).clone()
            }
            (Protocol::SocketIo, None) => self.socket_io.get().cloned().unwrap_or_default(),
            (Protocol::WebSocket, Some(event)) => {
                self.web_socket.get_or_init(|| Bytes::from(event.encode(Protocol::WebSocket))).clone()
            }
            (Protocol::WebSocket, None) => self.web_socket.get_or_init(|| self.frame_of_payload()).clone(),
        }
    }

    fn frame_of_payload(&self) -> Bytes {
        let payload = self.socket_io.get().cloned().unwrap_or_default();
        Bytes::from(self.name.frame(std::str::from_utf8(&payload).unwrap_or("{}")))
    }

    pub(crate) fn size_hint(&self) -> usize {
        self.size_hint
    }
}
