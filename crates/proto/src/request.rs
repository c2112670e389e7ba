//! What a client asks over a socket. Socket.IO brings the event's name beside its payload, the plain WebSocket inside the frame; both become one
//! [`ClientRequest`]. REST bodies are here too, so that one place says what a field may be.

use serde::{Deserialize, Deserializer, Serialize};

use crate::Seq;
use crate::emoji::Emoji;
use crate::error::ApiError;
use crate::id::{ClientMsgId, ConversationId, MessageId, UserId};
use crate::model::{HistoryVisibility, Role};
use crate::sync::Held;
use crate::time::Timestamp;

macro_rules! body {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "camelCase")]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),* }
    };
}

/// A body whose values may not reach a log.
macro_rules! secret_body {
    ($name:ident { $($field:ident : $ty:ty),* }) => {
        #[derive(Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "camelCase")]
        pub struct $name { $(pub $field: $ty),* }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

body!(SendMessage {
    conversation_id: ConversationId,
    client_msg_id: ClientMsgId,
    /// Not blank; at most `bodyMaxBytes` of UTF-8.
    body: String,
    #[serde(default)]
    reply_to: Option<MessageId>,
    /// Refuse with `out_of_order` unless this message of mine is in the log.
    #[serde(default)]
    after_client_msg_id: Option<ClientMsgId>,
});
body!(EditMessage { conversation_id: ConversationId, message_id: MessageId, body: String });
body!(DeleteMessage { conversation_id: ConversationId, message_id: MessageId });
body!(ReactToMessage {
    conversation_id: ConversationId,
    message_id: MessageId,
    emoji: Emoji,
    /// Takes the reaction back.
    #[serde(default)]
    remove: bool,
});
body!(Receipt {
    conversation_id: ConversationId,
    #[serde(default)]
    delivered_seq: Option<Seq>,
    #[serde(default)]
    read_seq: Option<Seq>,
});
body!(TypingIn { conversation_id: ConversationId });
body!(
    /// Whose coming and going the connection is told from now on, and nobody else's; without anybody it watches nobody.
    WatchPresence { user_ids: Vec<UserId> }
);
secret_body!(RefreshAuth { token: String });
body!(
    /// One conversation after a message, or (without `conversationId`) everything since a cursor.
    SyncRequest {
        #[serde(default)]
        conversation_id: Option<ConversationId>,
        #[serde(default)]
        after_message_id: Option<MessageId>,
        #[serde(default)]
        cursor: Option<String>,
        #[serde(default)]
        limit: Option<i64>,
        /// What one holds: every conversation of which one heard something since the cursor, others as one likes. Of these comes what is above the
        /// `rev` held and nothing else; the rest is told as of the cursor. With each page of a difference. At most `syncHaveMax`: who would have
        /// to say more leaves it out.
        #[serde(default)]
        have: Option<Vec<Held>>,
    }
);
body!(
    /// A page of a conversation: the newest, or below `beforeSeq`, or above `afterSeq`.
    HistoryRequest {
        conversation_id: ConversationId,
        #[serde(default)]
        before_seq: Option<Seq>,
        #[serde(default)]
        after_seq: Option<Seq>,
        /// 1 to 200; 50 where absent.
        #[serde(default)]
        limit: Option<i64>,
    }
);
body!(MuteConversation {
    conversation_id: ConversationId,
    /// Mutes for me alone, until then; `null` ends it. Never absent.
    #[serde(deserialize_with = "Option::deserialize")]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    muted_until: Option<Timestamp>,
});

body!(NewMessageBody {
    client_msg_id: ClientMsgId,
    /// Not blank; at most `bodyMaxBytes` of UTF-8.
    body: String,
    #[serde(default)]
    reply_to: Option<MessageId>,
    /// Refuse with `out_of_order` unless this message of mine is in the log.
    #[serde(default)]
    after_client_msg_id: Option<ClientMsgId>,
});
body!(EditBody {
    /// Not blank; at most `bodyMaxBytes` of UTF-8.
    body: String,
});
body!(ReceiptBody {
    #[serde(default)]
    delivered_seq: Option<Seq>,
    #[serde(default)]
    read_seq: Option<Seq>,
});
body!(TypingBody { typing: bool });
body!(
    /// Everything since a cursor; without it everything, in pages.
    SyncBody {
        /// `cursor` of the last answer.
        #[serde(default)]
        cursor: Option<String>,
        /// Conversations in a page; 1 to 100; 100 where absent.
        #[serde(default)]
        limit: Option<i64>,
        /// What one holds: every conversation of which one heard something since the cursor, others as one likes. Of these comes what is above the
        /// `rev` held and nothing else; the rest is told as of the cursor. With each page of a difference. At most `syncHaveMax`: who would have
        /// to say more leaves it out.
        #[serde(default)]
        have: Option<Vec<Held>>,
    }
);
body!(
    /// One of the two.
    PersonBody {
        #[serde(default)]
        email: Option<String>,
        #[serde(default)]
        user_id: Option<UserId>,
    }
);
body!(NewGroupBody {
    title: String,
    #[serde(default)]
    member_emails: Vec<String>,
    #[serde(default)]
    member_ids: Vec<UserId>,
    #[serde(default)]
    history_visibility: HistoryVisibility,
});
body!(
    /// What is absent stays.
    ConversationPatch {
        #[serde(default)]
        title: Option<String>,
        /// Mutes for me alone, until then; `null` ends it.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<Timestamp>))]
        muted_until: Option<Option<Timestamp>>,
    }
);
body!(RoleBody { role: Role });
body!(
    /// What is absent stays.
    ProfilePatch {
        #[serde(default)]
        name: Option<String>,
        /// An `https://` or `http://` address; `null` takes it away.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        avatar_url: Option<Option<String>>,
    }
);
secret_body!(RegisterBody { email: String, password: String, name: String });
secret_body!(LoginBody { email: String, password: String });
body!(
    /// Makes the user where needed.
    TokenBody {
        email: String,
        #[serde(default)]
        name: Option<String>,
    }
);

/// Tells `null` (`Some(None)`) from absence (`None`).
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[derive(Debug, Clone, PartialEq)]
pub enum ClientRequest {
    SendMessage(SendMessage),
    EditMessage(EditMessage),
    DeleteMessage(DeleteMessage),
    ReactToMessage(ReactToMessage),
    Receipt(Receipt),
    MuteConversation(MuteConversation),
    Sync(SyncRequest),
    History(HistoryRequest),
    TypingStart(TypingIn),
    TypingStop(TypingIn),
    WatchPresence(WatchPresence),
    RefreshAuth(RefreshAuth),
    /// Asks for nothing; keeps a connection warm.
    Ping,
}

impl ClientRequest {
    /// The names of all requests, with dots.
    pub const NAMES: [&'static str; 13] = [
        "message.send",
        "message.edit",
        "message.delete",
        "message.react",
        "receipt",
        "conversation.mute",
        "sync.request",
        "history.request",
        "typing.start",
        "typing.stop",
        "presence.watch",
        "auth.refresh",
        "ping",
    ];

    /// Reads the payload of a request by its name (dots or colons). The error names the field.
    pub fn parse(name: &str, payload: &str) -> Result<Self, ApiError> {
        fn read<'a, T: Deserialize<'a>>(payload: &'a str) -> Result<T, ApiError> {
            read_json(payload.as_bytes(), "payload")
        }
        Ok(match name {
            "message.send" | "message:send" => Self::SendMessage(read(payload)?),
            "message.edit" | "message:edit" => Self::EditMessage(read(payload)?),
            "message.delete" | "message:delete" => Self::DeleteMessage(read(payload)?),
            "message.react" | "message:react" => Self::ReactToMessage(read(payload)?),
            "receipt" => Self::Receipt(read(payload)?),
            "conversation.mute" | "conversation:mute" => Self::MuteConversation(read(payload)?),
            "sync.request" | "sync:request" => Self::Sync(read(payload)?),
            "history.request" | "history:request" => Self::History(read(payload)?),
            "typing.start" | "typing:start" => Self::TypingStart(read(payload)?),
            "typing.stop" | "typing:stop" => Self::TypingStop(read(payload)?),
            "presence.watch" | "presence:watch" => Self::WatchPresence(read(payload)?),
            "auth.refresh" | "auth:refresh" => Self::RefreshAuth(read(payload)?),
            "ping" => Self::Ping,
            _ => return Err(ApiError::invalid("type: not a request of this protocol")),
        })
    }
}

/// What every WebSocket frame has: its type, and an id where an answer is wanted.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    id: Option<u64>,
}

/// Reads a text frame of the plain WebSocket: the id (where one could be read) and the request.
pub fn parse_frame(text: &str) -> (Option<u64>, Result<ClientRequest, ApiError>) {
    match serde_json::from_str::<Envelope<'_>>(text) {
        Ok(envelope) => (envelope.id, ClientRequest::parse(&envelope.kind, text)),
        Err(_) => {
            (None, Err(ApiError::invalid("frame: must be a JSON object {\"type\": \"...\", \"id\"?: number, ...}")))
        }
    }
}

/// Characters of an error's detail that may come from what was sent.
const DETAIL_MAX_CHARS: usize = 200;

/// Reads a JSON object; the error names the field, or says that `what` is none. Only what fails is read again to find out where.
pub fn read_json<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, ApiError> {
    let no_object = || ApiError::invalid(format!("the {what} must be a JSON object"));
    // Fields without their names would be taken as well.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(no_object());
    }
    let failed = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let mut again = serde_json::Deserializer::from_slice(bytes);
    let path = serde_path_to_error::deserialize::<_, T>(&mut again).err().map(|error| error.path().to_string());
    let text = failed.to_string();
    let text = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    let detail = match path.as_deref() {
        _ if failed.is_eof() => return Err(no_object()),
        None | Some("." | "?") if failed.is_syntax() => return Err(no_object()),
        None | Some("." | "?") => text.to_owned(),
        Some(path) => format!("{path}: {text}"),
    };
    Err(ApiError::invalid(detail.chars().take(DETAIL_MAX_CHARS).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_frame_is_read_or_refused_without_a_panic(text in ".{0,200}") {
            let _ = parse_frame(&text);
        }

        #[test]
        fn any_json_under_any_name_is_read_or_refused_without_a_panic(
            name in proptest::sample::select(ClientRequest::NAMES.to_vec()),
            field in "(conversationId|clientMsgId|body|messageId|emoji|userIds|cursor|readSeq|have|beforeSeq|mutedUntil)",
            value in "(null|true|-1|1e400|\"\"|\"x\"|\\[\\]|\\{\\}|\"[a-z]{0,70}\")",
        ) {
            let _ = parse_frame(&format!("{{\"type\":\"{name}\",\"id\":7,\"{field}\":{value}}}"));
        }
    }

    #[test]
    fn an_error_names_the_field() {
        let (id, request) = parse_frame(r#"{"type":"message.send","id":3,"clientMsgId":"a","body":"x"}"#);
        assert_eq!(id, Some(3));
        assert_eq!(request.unwrap_err().detail, "missing field `conversationId`");
    }

    #[test]
    fn what_is_no_object_is_said_to_be_none_and_not_how_the_parser_failed() {
        let bad = [
            "",
            " ",
            "null",
            "7",
            "[]",
            "[\"admin\"]",
            "{",
            "{\"role\"",
            "{\"role\":\"adm",
            "{\"role\":\"admin\"} x",
            "\u{feff}{}",
        ];
        for text in bad {
            let error = read_json::<RoleBody>(text.as_bytes(), "body").unwrap_err();
            assert_eq!(error.detail, "the body must be a JSON object", "{text}");
        }
        let error = read_json::<RoleBody>(b" {\"role\": 7}", "body").unwrap_err();
        assert!(error.detail.starts_with("role: "), "{error}");
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_roles_are_not() {
        assert!(serde_json::from_str::<RoleBody>(r#"{"role":"admin","more":1}"#).is_ok());
        assert!(serde_json::from_str::<RoleBody>(r#"{"role":"king"}"#).is_err());
    }

    #[test]
    fn null_and_absence_are_two_things() {
        assert_eq!(serde_json::from_str::<ConversationPatch>("{}").unwrap().muted_until, None);
        assert_eq!(
            serde_json::from_str::<ConversationPatch>(r#"{"mutedUntil":null}"#).unwrap().muted_until,
            Some(None)
        );
    }
}
