//! The client's side of the plain WebSocket: what it writes and what it reads. The server's side is in [`crate::request`] and [`crate::event`].

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::ApiError;
use crate::event::{ServerEvent, splice_fields};
use crate::request::ClientRequest;

/// What comes from the server.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerFrame {
    Event(Box<ServerEvent>),
    /// The answer to the request of this id.
    Reply {
        id: u64,
        /// The answer's fields as JSON, or the refusal.
        result: Result<Answer, ApiError>,
    },
    /// A kind of event that this client does not know yet: skipped.
    Unknown,
}

/// The fields of an `ok` frame, read when it is known what was asked.
#[derive(Debug, Clone)]
pub struct Answer(Box<RawValue>);

impl Answer {
    /// An answer from its JSON object.
    pub fn from_json(json: String) -> Result<Self, ApiError> {
        RawValue::from_string(json).map(Self).map_err(|e| ApiError::invalid(e.to_string()))
    }

    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        read(self.0.get())
    }
}

impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    id: Option<u64>,
    #[serde(default, rename = "conversationId", borrow)]
    conversation: Option<&'a RawValue>,
}

/// Without the path to what is wrong, unlike on the server's side: code for that would be a fifth of what a browser downloads.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    serde_json::from_str(text).map_err(|e| ApiError::invalid(e.to_string()))
}

impl ServerFrame {
    /// Reads a text frame. On an error the connection is of no more use.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let head: Head<'_> = serde_json::from_str(text).map_err(|e| ApiError::invalid(e.to_string()))?;
        let event = match (&*head.kind, head.id) {
            ("ok", Some(id)) => {
                return Ok(Self::Reply { id, result: Ok(Answer::from_json(text.to_owned())?) });
            }
            ("error", Some(id)) => return Ok(Self::Reply { id, result: Err(read(text)?) }),
            ("error", None) => ServerEvent::Error(read(text)?),
            ("connected", _) => ServerEvent::Connected(read(text)?),
            ("message.ack", _) => ServerEvent::MessageAck(read(text)?),
            ("message.new", _) => ServerEvent::MessageNew(read(text)?),
            ("message.updated", _) => ServerEvent::MessageUpdated(read(text)?),
            ("message.deleted", _) => ServerEvent::MessageDeleted(read(text)?),
            ("reaction.updated", _) => ServerEvent::ReactionUpdated(read(text)?),
            ("receipt.updated", _) => ServerEvent::ReceiptUpdated(read(text)?),
            ("conversation.updated", _) => ServerEvent::ConversationUpdated(read(text)?),
            ("conversation.removed", _) => ServerEvent::ConversationRemoved(read(text)?),
            ("member.updated", _) => ServerEvent::MemberUpdated(read(text)?),
            ("typing.start", _) => ServerEvent::TypingStart(read(text)?),
            ("typing.stop", _) => ServerEvent::TypingStop(read(text)?),
            ("presence.update", _) => ServerEvent::PresenceUpdate(read(text)?),
            ("sync.batch", _) if head.conversation.is_some() => ServerEvent::ConversationBatch(read(text)?),
            ("sync.batch", _) => ServerEvent::SyncBatch(read(text)?),
            ("sync.needed", _) => ServerEvent::SyncNeeded {},
            _ => return Ok(Self::Unknown),
        };
        Ok(Self::Event(Box::new(event)))
    }
}

impl ClientRequest {
    /// The frame of a plain WebSocket; with `id` an answer is wanted.
    pub fn encode(&self, id: Option<u64>) -> String {
        let mut out = String::with_capacity(200);
        out.push_str("{\"type\":\"");
        out.push_str(self.name());
        out.push('"');
        if let Some(id) = id {
            out.push_str(",\"id\":");
            out.push_str(&id.to_string());
        }
        splice_fields(&mut out, &self.payload());
        out
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::SendMessage(_) => "message.send",
            Self::EditMessage(_) => "message.edit",
            Self::DeleteMessage(_) => "message.delete",
            Self::ReactToMessage(_) => "message.react",
            Self::Receipt(_) => "receipt",
            Self::Sync(_) => "sync.request",
            Self::History(_) => "history.request",
            Self::MuteConversation(_) => "conversation.mute",
            Self::TypingStart(_) => "typing.start",
            Self::TypingStop(_) => "typing.stop",
            Self::WatchPresence(_) => "presence.watch",
            Self::RefreshAuth(_) => "auth.refresh",
            Self::Ping => "ping",
        }
    }

    fn payload(&self) -> String {
        let json = match self {
            Self::SendMessage(body) => serde_json::to_string(body),
            Self::EditMessage(body) => serde_json::to_string(body),
            Self::DeleteMessage(body) => serde_json::to_string(body),
            Self::ReactToMessage(body) => serde_json::to_string(body),
            Self::Receipt(body) => serde_json::to_string(body),
            Self::Sync(body) => serde_json::to_string(body),
            Self::History(body) => serde_json::to_string(body),
            Self::MuteConversation(body) => serde_json::to_string(body),
            Self::TypingStart(body) | Self::TypingStop(body) => serde_json::to_string(body),
            Self::WatchPresence(body) => serde_json::to_string(body),
            Self::RefreshAuth(body) => serde_json::to_string(body),
            Self::Ping => Ok("{}".to_owned()),
        };
        json.unwrap_or_else(|_| "{}".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Protocol;
    use crate::request::parse_frame;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_frame_is_read_or_refused_without_a_panic(text in ".{0,200}") {
            let _ = ServerFrame::parse(&text);
        }
    }

    #[test]
    fn what_a_client_writes_is_what_the_server_reads() {
        for name in ClientRequest::NAMES {
            let text = format!(
                "{{\"type\":\"{name}\",\"id\":7,\"conversationId\":\"0190a1b2-0000-7000-8000-000000000001\",\
                 \"messageId\":\"0190a1b2-0000-7000-8000-000000000002\",\"clientMsgId\":\"a\",\"body\":\"x\",\"emoji\":\"👍\",\
                 \"userIds\":[],\"token\":\"t\",\"readSeq\":4,\"mutedUntil\":null}}"
            );
            let (_, request) = parse_frame(&text);
            let request = request.unwrap();
            let (id, again) = parse_frame(&request.encode(Some(9)));
            assert_eq!((id, again.unwrap()), (Some(9), request), "{name}");
        }
    }

    #[test]
    fn what_the_server_writes_is_what_a_client_reads() {
        let event = ServerEvent::SyncNeeded {};
        let read = ServerFrame::parse(&event.encode(Protocol::WebSocket)).unwrap();
        assert_eq!(read, ServerFrame::Event(Box::new(event)));
        let error = ServerFrame::parse(r#"{"type":"error","id":3,"code":"gone","detail":"deleted"}"#).unwrap();
        assert!(matches!(
            error,
            ServerFrame::Reply { id: 3, result: Err(ApiError { code: crate::ErrorCode::Gone, .. }) }
        ));
        assert_eq!(ServerFrame::parse(r#"{"type":"weather.changed"}"#).unwrap(), ServerFrame::Unknown);
    }
}
