//! What is told to other programs: kinds of events, an event as it is sent, and the endpoints as their owner sees them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::id::{ConversationId, IdError, UserId, WebhookId};
use crate::model::{ConversationKind, Message, Role, User};
use crate::time::Timestamp;
use crate::{Rev, Seq};

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal, $name:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventKind { $($(#[$doc])* $kind,)* }

        impl EventKind {
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// As it is stored; each has a bit in a filter.
            pub const fn number(self) -> i64 {
                match self { $(Self::$kind => $number,)* }
            }

            pub const fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$kind),)* _ => None }
            }
        }
    };
}

event_kinds! {
    MessageCreated = 0, "message.created";
    /// Edited.
    MessageUpdated = 1, "message.updated";
    MessageDeleted = 2, "message.deleted";
    ReactionUpdated = 3, "reaction.updated";
    ConversationCreated = 4, "conversation.created";
    /// It has another title.
    ConversationUpdated = 5, "conversation.updated";
    MemberAdded = 6, "conversation.member_added";
    MemberRemoved = 7, "conversation.member_removed";
    RoleChanged = 8, "conversation.role_changed";
    UserCreated = 9, "user.created";
    /// Another name, picture or e-mail.
    UserUpdated = 10, "user.updated";
}

impl EventKind {
    const fn bit(self) -> u32 {
        1 << self.number()
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let found = Self::ALL.iter().find(|kind| kind.as_str() == text);
        found.copied().ok_or_else(|| de::Error::custom("no kind of event"))
    }
}

/// Of which kinds an endpoint is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventFilter(u32);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no kind of event; there are {}, and groups such as message.*", names())]
pub struct FilterError {
    text: String,
}

fn names() -> String {
    EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
}

impl EventFilter {
    pub fn all() -> Self {
        Self(EventKind::ALL.iter().fold(0, |set, kind| set | kind.bit()))
    }

    /// `*`, groups (`message.*`) and names. Of no pattern at all: everything.
    pub fn of_patterns<T: AsRef<str>>(patterns: &[T]) -> Result<Self, FilterError> {
        let mut set = 0;
        for pattern in patterns {
            let pattern = pattern.as_ref().trim();
            let group = pattern.strip_suffix('*').filter(|group| group.is_empty() || group.ends_with('.'));
            let is_meant = |kind: &&EventKind| match group {
                Some(group) => kind.as_str().starts_with(group),
                None => kind.as_str() == pattern,
            };
            let bits = EventKind::ALL.iter().filter(is_meant).fold(0, |bits, kind| bits | kind.bit());
            if bits == 0 {
                return Err(FilterError { text: pattern.to_owned() });
            }
            set |= bits;
        }
        Ok(if patterns.is_empty() { Self::all() } else { Self(set) })
    }

    pub const fn has(self, kind: EventKind) -> bool {
        self.0 & kind.bit() != 0
    }

    pub fn names(self) -> Vec<String> {
        EventKind::ALL.iter().filter(|kind| self.has(**kind)).map(|kind| kind.as_str().to_owned()).collect()
    }

    pub fn number(self) -> i64 {
        self.0.into()
    }

    /// Kinds that this version does not know are left out.
    pub fn from_number(number: i64) -> Self {
        Self(u32::try_from(number).unwrap_or(0) & Self::all().0)
    }
}

/// Names an event for ever: what it is about (a conversation or a person), and which of its changes, in which of the log's epochs. Without a point, which
/// separates what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    pub stream: Uuid,
    /// The first 4 bytes of the log's epoch of then. After a restore the numbers of what was lost are given again, in another epoch.
    pub epoch: [u8; 4],
    /// A conversation's `rev`; a person's own numbers grow with gaps.
    pub number: i64,
}

impl EventId {
    /// What of a log's epoch is in an id.
    pub const fn short([a, b, c, d, ..]: [u8; 16]) -> [u8; 4] {
        [a, b, c, d]
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{:08x}_{}", self.stream.as_hyphenated(), u32::from_be_bytes(self.epoch), self.number)
    }
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError("must be an event's id: a UUID, 8 hex digits and a number, with underscores between");
        let (stream, rest) = text.split_once('_').ok_or_else(|| error.clone())?;
        let (epoch, number) = rest.split_once('_').ok_or_else(|| error.clone())?;
        let stream = stream.parse::<ConversationId>().map_err(|_| error.clone())?.uuid();
        let is_hex = epoch.len() == 8 && epoch.bytes().all(|byte| byte.is_ascii_hexdigit());
        let epoch = u32::from_str_radix(epoch, 16).ok().filter(|_| is_hex).ok_or_else(|| error.clone())?.to_be_bytes();
        let number = number.parse().ok().filter(|number| *number > 0).ok_or(error)?;
        Ok(Self { stream, epoch, number })
    }
}

/// An event as it is sent: what happened when, and how the thing is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEvent {
    /// The same however often it is sent: [`EventId`].
    pub id: String,
    #[serde(rename = "type")]
    pub kind: EventKind,
    pub timestamp: Timestamp,
    /// Absent for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// The conversation's number of this change. What is in `data` may be of a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<Rev>,
    /// The message's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    pub data: EventData,
}

/// How things are when the event is sent; what is gone is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<EventConversation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<EventMember>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventConversation {
    pub id: ConversationId,
    #[serde(rename = "type")]
    pub kind: ConversationKind,
    pub title: Option<String>,
    pub created_at: Timestamp,
    pub last_seq: Seq,
    pub rev: Rev,
    pub member_count: i64,
    /// With `conversation.created`: who is in it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_ids: Option<Vec<UserId>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventMember {
    pub user_id: UserId,
    pub name: String,
    pub role: Role,
    pub removed: bool,
}

/// The body of one request to an endpoint: events of one conversation or person, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookBatch {
    pub events: Vec<WebhookEvent>,
}

/// An endpoint as its owner sees it, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookEndpoint {
    pub id: WebhookId,
    pub url: String,
    /// Kinds of events it is told of.
    pub events: Vec<String>,
    pub created_at: Timestamp,
    /// Whether it is told. Otherwise `offSince` and `offReason` say since when not, and why.
    pub active: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_reason: Option<String>,
    /// Two secrets sign: the new one and the one before.
    pub rotating: bool,
    /// Events that it has taken.
    pub events_taken: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_taken_at: Option<Timestamp>,
    /// Requests that failed, since it was added.
    pub requests_failed: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// Failures in a row; nothing is sent before `retryAt`.
    pub failures: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Events that were so old that they were forgotten before it took them.
    #[serde(default)]
    pub events_forgotten: i64,
    /// Conversations and people of whom nothing is sent, because an event of theirs is not taken while others are.
    #[serde(default)]
    pub parked: i64,
    /// The latest of them, some at most.
    #[serde(default)]
    pub parked_at: Vec<ParkedAt>,
}

/// Where nothing goes on until the event is skipped, sent again, or the endpoint enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ParkedAt {
    /// The first that was not taken.
    pub event: String,
    pub since: Timestamp,
    pub reason: String,
}

/// An event that an endpoint is not to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SkipBody {
    /// The first one that waits in its conversation.
    pub event: String,
}

/// An endpoint to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewWebhook {
    /// https; at most 2048 bytes.
    pub url: String,
    /// Names such as `message.created`, groups such as `conversation.*`; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1))]
    pub events: Option<Vec<String>>,
}

/// The only time that a secret is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookSecret {
    pub id: WebhookId,
    /// `whsec_` and 32 bytes in Base64.
    pub secret: String,
}

/// A secret belongs in no log.
impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// From where on events are sent again: one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayBody {
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// An event's id: this one, and what came after it in its conversation.
    #[serde(default)]
    pub event: Option<String>,
    /// Everything that is kept.
    #[serde(default)]
    pub all: bool,
}

/// An event that is kept, without what it would say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct KeptEvent {
    pub id: String,
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: EventKind,
    pub timestamp: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_names_and_groups() {
        let filter = EventFilter::of_patterns(&["message.*", " user.created"]).unwrap();
        assert_eq!(filter.names(), ["message.created", "message.updated", "message.deleted", "user.created"]);
        assert_eq!(EventFilter::from_number(filter.number()), filter);
        assert_eq!(EventFilter::of_patterns(&["*"]), Ok(EventFilter::all()));
        assert_eq!(EventFilter::of_patterns::<&str>(&[]), Ok(EventFilter::all()));
        for bad in ["", "message", "mess*", "message.created*", ".*"] {
            let error = EventFilter::of_patterns(&[bad]).unwrap_err().to_string();
            assert!(error.contains("user.updated"), "{error}");
        }
    }

    #[test]
    fn each_kind_has_its_own_number_and_name() {
        for (kind, number) in EventKind::ALL.iter().zip(0..) {
            assert_eq!((kind.number(), EventKind::from_number(number)), (number, Some(*kind)));
            let text = serde_json::to_string(kind).unwrap();
            assert_eq!(serde_json::from_str::<EventKind>(&text).unwrap(), *kind);
        }
    }

    #[test]
    fn an_events_id_is_read_as_it_is_written() {
        let id = EventId { stream: Uuid::from_u128(7), epoch: [0, 10, 200, 3], number: 12 };
        let stream = "00000000-0000-0000-0000-000000000007";
        assert_eq!(id.to_string(), format!("{stream}_000ac803_12"));
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "_000ac803_0", "_12", "_+00ac803_12", "_0ac803_12", "_000ac803"] {
            assert!(format!("{stream}{bad}").parse::<EventId>().is_err(), "{bad}");
        }
        assert!("7_000ac803_12".parse::<EventId>().is_err());
    }
}
