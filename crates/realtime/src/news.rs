//! What one server tells the others, and how it looks on the way.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tertulia_proto::event::Typing;
use tertulia_proto::{
    ConversationId, EventName, MessageId, Protocol, Rev, Seq, ServerEvent, SessionId, Timestamp, UserId,
};

use crate::publication::Publication;

/// A fact of the log about who is where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    Joined,
    Left,
}

/// Something that connections, here and at other servers, are concerned by.
#[derive(Clone)]
pub enum News {
    /// For every connection of every member but those of `except`. `rev`: of the conversation, after the change.
    Conversation {
        conversation: ConversationId,
        rev: Rev,
        except: Vec<UserId>,
        /// Whose new message it is, where it is one.
        sent_by: Option<UserId>,
        /// Where in the conversation it is then, and which.
        message: Option<(Seq, MessageId)>,
        publication: Arc<Publication>,
    },
    /// For every connection of one person. `rev`: of the conversation that it is about.
    Person {
        user: UserId,
        conversation: ConversationId,
        rev: Rev,
        publication: Arc<Publication>,
    },
    /// From this `rev` of the conversation on, the person hears of it, or no longer.
    Membership {
        user: UserId,
        conversation: ConversationId,
        rev: Rev,
        membership: Membership,
    },
    SessionEnded {
        session: SessionId,
    },
    Typing {
        typing: Typing,
        starts: bool,
    },
    /// The person's first connection to the telling server came, or the last one went (`last_seen_at`).
    Presence {
        user: UserId,
        online: bool,
        last_seen_at: Option<Timestamp>,
    },
    /// `watcher` sees no more whether `user` is there.
    ForbidWatching {
        user: UserId,
        watcher: UserId,
    },
}

impl std::fmt::Debug for News {
    /// What it is, without what people say.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Conversation { .. } => "News::Conversation",
            Self::Person { .. } => "News::Person",
            Self::Membership { .. } => "News::Membership",
            Self::SessionEnded { .. } => "News::SessionEnded",
            Self::Typing { .. } => "News::Typing",
            Self::Presence { .. } => "News::Presence",
            Self::ForbidWatching { .. } => "News::ForbidWatching",
        })
    }
}

impl News {
    /// An event of the log for all members but `except`.
    pub fn event(conversation: ConversationId, rev: Rev, event: ServerEvent, except: &[UserId]) -> Self {
        let (sent_by, message) = match &event {
            ServerEvent::MessageNew(message) => (Some(message.sender_id), Some((message.seq, message.message_id))),
            _ => (None, None),
        };
        let publication = Arc::new(Publication::new(event));
        Self::Conversation { conversation, rev, except: except.to_vec(), sent_by, message, publication }
    }

    pub fn personal(user: UserId, conversation: ConversationId, rev: Rev, event: ServerEvent) -> Self {
        Self::Person { user, conversation, rev, publication: Arc::new(Publication::new(event)) }
    }

    /// One line of JSON, for [`News::decode`] of another server.
    pub fn encode(&self) -> String {
        let mut line = Line::default();
        let payload;
        match self {
            Self::Conversation { conversation, rev, except, sent_by, message, publication } => {
                payload = publication.encoded(Protocol::SocketIo);
                let (q, m) = message.unzip();
                line = Line { c: Some(*conversation), r: Some(*rev), x: except.clone(), s: *sent_by, q, m, ..line };
                line.tell(publication.name(), &payload);
            }
            Self::Person { user, conversation, rev, publication } => {
                payload = publication.encoded(Protocol::SocketIo);
                line = Line { c: Some(*conversation), r: Some(*rev), u: Some(*user), ..line };
                line.tell(publication.name(), &payload);
            }
            Self::Membership { user, conversation, rev, membership } => {
                let joined = *membership == Membership::Joined;
                line = Line { c: Some(*conversation), r: Some(*rev), u: Some(*user), ..line };
                line.k = if joined { "joined" } else { "left" };
            }
            Self::SessionEnded { session } => line = Line { k: "ended", d: Some(*session), ..line },
            Self::Typing { typing, starts } => {
                line = Line { k: if *starts { "typing" } else { "still" }, t: Some(typing.clone()), ..line };
            }
            Self::Presence { user, online, last_seen_at } => {
                line = Line { k: if *online { "here" } else { "gone" }, u: Some(*user), at: *last_seen_at, ..line };
            }
            Self::ForbidWatching { user, watcher } => {
                line = Line { k: "unwatch", u: Some(*user), s: Some(*watcher), ..line };
            }
        }
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// `None` for what this version does not understand: a newer server tells it. Whom it concerns sees by the next `rev` that something is missing.
    pub fn decode(text: &str) -> Option<Self> {
        let line: Line<'_> = serde_json::from_str(text).ok()?;
        let publication = |line: &Line<'_>| {
            let name = EventName::known(line.n?)?;
            let payload = Bytes::copy_from_slice(line.p?.get().as_bytes());
            Some(Arc::new(Publication::encoded_elsewhere(name, payload)))
        };
        Some(match line.k {
            "event" => match line.u {
                None => Self::Conversation {
                    conversation: line.c?,
                    rev: line.r?,
                    sent_by: line.s,
                    message: line.q.zip(line.m),
                    publication: publication(&line)?,
                    except: line.x,
                },
                Some(user) => {
                    Self::Person { user, conversation: line.c?, rev: line.r?, publication: publication(&line)? }
                }
            },
            "joined" | "left" => Self::Membership {
                user: line.u?,
                conversation: line.c?,
                rev: line.r?,
                membership: if line.k == "joined" { Membership::Joined } else { Membership::Left },
            },
            "ended" => Self::SessionEnded { session: line.d? },
            "typing" | "still" => Self::Typing { starts: line.k == "typing", typing: line.t? },
            "here" | "gone" => Self::Presence { user: line.u?, online: line.k == "here", last_seen_at: line.at },
            "unwatch" => Self::ForbidWatching { user: line.u?, watcher: line.s? },
            _ => return None,
        })
    }
}

/// All kinds in one shape: what a reader does not know it can pass over.
#[derive(Default, Serialize, Deserialize)]
struct Line<'a> {
    k: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<ConversationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r: Option<Rev>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    u: Option<UserId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    x: Vec<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    q: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<Typing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    n: Option<&'a str>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    p: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    fn tell(&mut self, name: EventName, payload: &'a Bytes) {
        self.k = "event";
        self.n = Some(name.of(Protocol::WebSocket));
        self.p = serde_json::from_slice(payload).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_proto::event::ReceiptUpdated;

    fn there_and_back(news: &News) -> News {
        News::decode(&news.encode()).unwrap()
    }

    #[test]
    fn an_event_is_told_elsewhere_in_the_bytes_it_is_told_in_here() {
        let (conversation, user) = (ConversationId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let receipt =
            ReceiptUpdated { conversation_id: conversation, user_id: user, delivered_seq: 3, read_seq: 2, rev: 7 };
        let here = News::event(conversation, 7, ServerEvent::ReceiptUpdated(receipt), &[user]);
        let News::Conversation { publication: told_here, .. } = &here else { panic!("an event") };
        let News::Conversation { conversation: c, rev, except, sent_by, publication, .. } = there_and_back(&here)
        else {
            panic!("an event")
        };
        assert_eq!((c, rev, except, sent_by), (conversation, 7, vec![user], None));
        for protocol in [Protocol::WebSocket, Protocol::SocketIo] {
            assert_eq!(publication.encoded(protocol), told_here.encoded(protocol));
            assert_eq!(publication.name().of(protocol), told_here.name().of(protocol));
        }
    }

    #[test]
    fn the_other_kinds_come_back_as_they_went() {
        let (conversation, user) = (ConversationId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let typing = Typing { conversation_id: conversation, user_id: user, user_name: "Ana \"\n ".into() };
        let all = [
            News::personal(user, conversation, 3, ServerEvent::SyncNeeded {}),
            News::Membership { user, conversation, rev: 4, membership: Membership::Joined },
            News::Membership { user, conversation, rev: 5, membership: Membership::Left },
            News::SessionEnded { session: SessionId::from_bytes([3; 16]) },
            News::Typing { typing: typing.clone(), starts: true },
            News::Typing { typing, starts: false },
            News::Presence { user, online: true, last_seen_at: None },
            News::Presence { user, online: false, last_seen_at: Some(Timestamp::from_ms(1_700_000_000_123)) },
            News::ForbidWatching { user, watcher: UserId::from_bytes([9; 16]) },
        ];
        for news in all {
            assert_eq!(there_and_back(&news).encode(), news.encode());
        }
    }

    #[test]
    fn what_a_newer_server_tells_is_passed_over() {
        let known = News::SessionEnded { session: SessionId::from_bytes([3; 16]) }.encode();
        let with_more = known.replacen('{', "{\"later\":[1],", 1);
        assert!(matches!(News::decode(&with_more), Some(News::SessionEnded { .. })));
        for text in ["", "{}", "{\"k\":\"later\"}", "{\"k\":\"event\",\"n\":\"later.thing\",\"p\":{}}", "[1]"] {
            assert!(News::decode(text).is_none(), "{text}");
        }
    }
}
