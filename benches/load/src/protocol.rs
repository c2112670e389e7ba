//! What the two socket protocols have in common for a generator of load.

use crate::frame::{self, Opcode};
use crate::scan::push_number;
use crate::{people, socketio, ws};

/// Which of the server's socket protocols is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    Ws,
    Socketio,
}

/// What the server says in a text frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// A request succeeded.
    Acknowledged,
    /// A message in the log.
    New,
    /// A request failed, or the connection was refused.
    Refused,
    /// Engine.IO is open; Socket.IO wants to be joined.
    Opened,
    /// Events flow from here on.
    Ready,
    /// Wants [`socketio::PONG`].
    Heartbeat,
    Other,
}

/// The constant pieces of a send: head, id, middle, counter, body, tail.
#[derive(Debug, Clone)]
pub struct SendTemplate {
    pub head: &'static [u8],
    pub middle: Vec<u8>,
    pub tail: &'static [u8],
}

impl Protocol {
    /// The name on the command line and in the figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Socketio => "socketio",
        }
    }

    /// Path and query of the upgrade.
    pub fn path(self) -> &'static str {
        match self {
            Self::Ws => ws::PATH,
            Self::Socketio => socketio::PATH,
        }
    }

    /// What a text frame is.
    pub fn classify(self, text: &[u8]) -> Incoming {
        match self {
            Self::Ws => ws::classify(text),
            Self::Socketio => socketio::classify(text),
        }
    }

    fn send_template(self, conversation: &str, client_msg_id_start: &str) -> SendTemplate {
        match self {
            Self::Ws => ws::send_template(conversation, client_msg_id_start),
            Self::Socketio => socketio::send_template(conversation, client_msg_id_start),
        }
    }
}

/// Writes sends. The `clientMsgId` is `RUN-flow-counter`, so that whatever comes back is matched by index.
#[derive(Debug)]
pub struct Encoder {
    templates: Vec<SendTemplate>,
    bodies: Vec<Vec<u8>>,
    scratch: Vec<u8>,
}

impl Encoder {
    /// One template for each flow, given its conversation's id.
    pub fn new<'a>(
        protocol: Protocol,
        run: &str,
        conversation_of_flow: impl Iterator<Item = &'a str>,
        bodies: Vec<Vec<u8>>,
    ) -> Self {
        let templates = conversation_of_flow
            .enumerate()
            .map(|(flow, conversation)| protocol.send_template(conversation, &format!("{run}-{flow}-")))
            .collect();
        Self { templates, bodies, scratch: Vec::with_capacity(512) }
    }

    /// Appends the masked frame of a flow's send number `counter`.
    pub fn push_send(&mut self, out: &mut Vec<u8>, request_id: u64, flow: usize, counter: u64) {
        let template = &self.templates[flow];
        let body = &self.bodies[people::body_index(flow, counter) % self.bodies.len()];
        let scratch = &mut self.scratch;
        scratch.clear();
        scratch.extend_from_slice(template.head);
        push_number(scratch, request_id);
        scratch.extend_from_slice(&template.middle);
        push_number(scratch, counter);
        scratch.extend_from_slice(br#"","body":""#);
        scratch.extend_from_slice(body);
        scratch.extend_from_slice(template.tail);
        frame::push(out, Opcode::Text, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_is_json_of_the_contract() {
        for (protocol, cut) in [(Protocol::Ws, 0), (Protocol::Socketio, "421".len())] {
            let mut encoder = Encoder::new(protocol, "run", ["conv-0", "conv-1"].into_iter(), vec![b"hello".to_vec()]);
            encoder.push_send(&mut Vec::new(), 1, 1, 42);
            let json: serde_json::Value = serde_json::from_slice(&encoder.scratch[cut..]).unwrap();
            let payload = if protocol == Protocol::Ws { &json } else { &json[1] };
            assert_eq!(payload["conversationId"], "conv-1");
            assert_eq!(payload["clientMsgId"], "run-1-42");
            assert_eq!(payload["body"], "hello");
        }
    }
}
