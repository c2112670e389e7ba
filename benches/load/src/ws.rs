//! The plain WebSocket protocol: `{"type": "message.send", "id": n, ...}`.

use crate::protocol::{Incoming, SendTemplate};
use crate::scan;

/// Where the protocol lives.
pub const PATH: &str = "/messages/subscribe";

/// How a send is written.
pub fn send_template(conversation: &str, client_msg_id_start: &str) -> SendTemplate {
    SendTemplate {
        head: br#"{"type":"message.send","id":"#,
        middle: format!(r#","conversationId":"{conversation}","clientMsgId":"{client_msg_id_start}"#).into_bytes(),
        tail: br#""}"#,
    }
}

/// What a text frame is.
pub fn classify(text: &[u8]) -> Incoming {
    const TYPE: &[u8] = b"\"type\":\"";
    // The server writes the type first; a foreign order is read too, only slower.
    let start = if text.get(1..=TYPE.len()) == Some(TYPE) { Some(1 + TYPE.len()) } else { scan::after(text, 0, TYPE) };
    let kind = start.and_then(|start| text.get(start..)).unwrap_or_default();
    if kind.starts_with(b"message.new\"") {
        Incoming::New
    } else if kind.starts_with(b"ok\"") {
        Incoming::Acknowledged
    } else if kind.starts_with(b"connected\"") {
        Incoming::Ready
    } else if kind.starts_with(b"error\"") {
        Incoming::Refused
    } else {
        Incoming::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_wherever_their_type_stands() {
        assert_eq!(classify(br#"{"type":"message.new","seq":1}"#), Incoming::New);
        assert_eq!(classify(br#"{"seq":1,"type":"message.new"}"#), Incoming::New);
        assert_eq!(classify(br#"{"type":"ok","id":1}"#), Incoming::Acknowledged);
        assert_eq!(classify(br#"{"type":"message.ack","seq":1}"#), Incoming::Other);
        assert_eq!(classify(br#"{"type":"error","id":1,"code":"invalid"}"#), Incoming::Refused);
        assert_eq!(classify(br#"{"type":"connected"}"#), Incoming::Ready);
        assert_eq!(classify(b""), Incoming::Other);
    }
}
