//! Small things all these tests need.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::Arc;

use tertulia_proto::event::{Presence, ReceiptUpdated, Typing};
use tertulia_proto::{ConversationId, DeviceId, Limits, ServerEvent, SessionId, Timestamp, UserId};
use tertulia_realtime::{Connection, Hub, Outbound, Publication};

pub const NOW: Timestamp = Timestamp::from_ms(1_000_000);
pub const LATER: Timestamp = Timestamp::from_ms(9_000_000_000);

fn bytes(number: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    bytes
}

pub fn user(number: u32) -> UserId {
    UserId::from_bytes(bytes(number))
}

pub fn conversation(number: u32) -> ConversationId {
    ConversationId::from_bytes(bytes(number))
}

pub fn session(number: u32) -> SessionId {
    SessionId::from_bytes(bytes(number))
}

pub fn device(number: u32) -> DeviceId {
    DeviceId::from_bytes(bytes(number))
}

/// A durable event that is told from others by its rev.
pub fn receipt(conversation: ConversationId, rev: i64) -> ServerEvent {
    ServerEvent::ReceiptUpdated(ReceiptUpdated {
        conversation_id: conversation,
        user_id: user(0),
        delivered_seq: 0,
        read_seq: 0,
        rev,
    })
}

pub fn event(rev: i64) -> Arc<Publication> {
    Arc::new(Publication::new(receipt(conversation(0), rev)))
}

pub fn receipt_of(event: &ServerEvent) -> i64 {
    match event {
        ServerEvent::ReceiptUpdated(receipt) => receipt.rev,
        other => panic!("not one of these tests' events: {other:?}"),
    }
}

/// Bytes that an event and an empty reply count for.
pub fn sizes() -> (usize, usize) {
    (receipt(conversation(0), 0).size_hint(), 64)
}

pub fn hub() -> Hub {
    Hub::new(Limits { typing_expiry_ms: 6000, ..Limits::default() })
}

/// A connection of somebody whose conversations are known from the start.
pub fn online(hub: &Hub, person: u32, conversations: &[u32]) -> Arc<Connection> {
    let (connection, needs_load) = hub.attach(user(person), None, session(person), LATER).unwrap();
    connection.lane.release();
    if needs_load {
        hub.loaded(user(person), conversations.iter().map(|number| conversation(*number)).collect());
    }
    connection
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Rev(i64),
    Typing(UserId, bool),
    Presence(UserId, bool),
    SyncNeeded,
}

/// What has come to a connection since the last time.
pub fn told(connection: &Connection) -> Vec<Told> {
    let frames = connection.lane.try_take().map(|batch| batch.frames).unwrap_or_default();
    let of = |frame: &Outbound| match frame {
        Outbound::Ping => panic!("nobody pinged"),
        Outbound::Event(publication) => match publication.event().unwrap() {
            ServerEvent::ReceiptUpdated(receipt) => Told::Rev(receipt.rev),
            ServerEvent::TypingStart(Typing { user_id, .. }) => Told::Typing(*user_id, true),
            ServerEvent::TypingStop(Typing { user_id, .. }) => Told::Typing(*user_id, false),
            ServerEvent::PresenceUpdate(Presence { user_id, online, .. }) => Told::Presence(*user_id, *online),
            ServerEvent::SyncNeeded {} => Told::SyncNeeded,
            other => panic!("not one of these tests' events: {other:?}"),
        },
        Outbound::Reply(reply) => panic!("a reply from the hub: {reply:?}"),
    };
    frames.iter().map(of).collect()
}
