//! The Socket.IO protocol (revision 5) in Engine.IO packets (revision 4) over a WebSocket, spoken by hand: `42<id>["message:send", {...}]` is
//! answered by `43<id>[{...}]`. See <https://socket.io/docs/v4/socket-io-protocol/>.

use crate::protocol::{Incoming, SendTemplate};

/// Where the protocol lives.
pub const PATH: &str = "/socket.io/?EIO=4&transport=websocket";
/// The answer to the server's heartbeat.
pub const PONG: &[u8] = b"3";

/// The packet that joins the namespace `/`.
pub fn join(token: &str) -> String {
    format!(r#"40{{"token":"{token}"}}"#)
}

/// How a send is written.
pub fn send_template(conversation: &str, client_msg_id_start: &str) -> SendTemplate {
    SendTemplate {
        head: b"42",
        middle: format!(r#"["message:send",{{"conversationId":"{conversation}","clientMsgId":"{client_msg_id_start}"#)
            .into_bytes(),
        tail: br#""}]"#,
    }
}

/// What a packet is.
pub fn classify(text: &[u8]) -> Incoming {
    match text {
        [b'4', b'2', rest @ ..] if rest.starts_with(br#"["message:new","#) => Incoming::New,
        [b'4', b'3', rest @ ..] => {
            let payload = rest.iter().position(|byte| !byte.is_ascii_digit()).and_then(|at| rest.get(at..));
            match payload {
                Some(payload) if payload.starts_with(br#"[{"error""#) => Incoming::Refused,
                _ => Incoming::Acknowledged,
            }
        }
        [b'2'] => Incoming::Heartbeat,
        [b'0', ..] => Incoming::Opened,
        [b'4', b'0', ..] => Incoming::Ready,
        [b'4', b'4' | b'1', ..] | [b'1'] => Incoming::Refused,
        _ => Incoming::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart() {
        assert_eq!(classify(br#"42["message:new",{"seq":1}]"#), Incoming::New);
        assert_eq!(classify(br#"42["message:ack",{"seq":1}]"#), Incoming::Other);
        assert_eq!(classify(br#"4317[{"clientMsgId":"a"}]"#), Incoming::Acknowledged);
        assert_eq!(classify(br#"4317[{"error":{"code":"invalid"}}]"#), Incoming::Refused);
        assert_eq!(classify(br#"44{"message":"unauthenticated"}"#), Incoming::Refused);
        assert_eq!(classify(br#"0{"sid":"a"}"#), Incoming::Opened);
        assert_eq!(classify(br#"40{"sid":"a"}"#), Incoming::Ready);
        assert_eq!(classify(b"2"), Incoming::Heartbeat);
    }
}
