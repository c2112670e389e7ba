//! What waits for one connection.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tertulia_proto::event::splice_fields;
use tertulia_proto::{ApiError, ConversationId, UserId};
use tokio::sync::Notify;

use crate::publication::Publication;

/// Why the server ends a connection, and what the client is to do. The numbers are WebSocket close codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The client left.
    Gone,
    /// The same device has opened another connection: what comes over this one is not done any more.
    Replaced,
    /// The token is missing, bad, expired or ended: sign in again.
    Unauthenticated,
    /// The lane was full: come back and ask for the difference.
    TooSlow,
    /// Too many frames or connections: come back later.
    RateLimited,
    /// Nothing came from the client for too long.
    Silent,
    /// A frame above the limit: not again.
    FrameTooLarge,
    /// The server stops: come back, not all at once.
    Restarting,
}

impl Closing {
    pub const fn code(self) -> u16 {
        match self {
            Self::Gone => 1000,
            Self::Silent => 1001,
            Self::Unauthenticated => 4401,
            Self::TooSlow => 4408,
            Self::Replaced => 4409,
            Self::RateLimited => 4429,
            Self::FrameTooLarge => 1009,
            Self::Restarting => 1012,
        }
    }

    pub const fn reason(self) -> &'static str {
        match self {
            Self::Gone => "bye",
            Self::Silent => "nothing heard for too long: come back and ask for the difference",
            Self::Unauthenticated => "unauthenticated: sign in again",
            Self::Replaced => "replaced by a newer connection of the same device",
            Self::TooSlow => "too slow: come back and ask for the difference",
            Self::FrameTooLarge => "frame too large: see limits.frameMaxBytes",
            Self::RateLimited => "rate limited: come back later",
            Self::Restarting => "server restarting: come back with jitter",
        }
    }
}

/// The answer to a request of this connection.
#[derive(Debug)]
pub struct Reply {
    /// The connection's own number for the request.
    pub to: u64,
    /// A JSON object, or the refusal.
    pub body: Result<String, ApiError>,
}

impl Reply {
    /// The frame of the plain WebSocket.
    pub fn encode(&self) -> String {
        let (kind, body) = match &self.body {
            Ok(body) => ("ok", std::borrow::Cow::Borrowed(body.as_str())),
            Err(error) => ("error", serde_json::to_string(error).unwrap_or_else(|_| "{}".into()).into()),
        };
        let mut frame = String::with_capacity(body.len() + 40);
        frame.push_str("{\"type\":\"");
        frame.push_str(kind);
        frame.push_str("\",\"id\":");
        frame.push_str(&self.to.to_string());
        splice_fields(&mut frame, &body);
        frame
    }
}

pub enum Outbound {
    Event(Arc<Publication>),
    Reply(Reply),
    /// Asks whether the other end is still there.
    Ping,
}

impl Outbound {
    fn size(&self) -> usize {
        match self {
            Self::Event(publication) => publication.size_hint(),
            Self::Ping => 8,
            Self::Reply(reply) => 64 + reply.body.as_ref().map_or(200, String::len),
        }
    }
}

/// A sign of which only the latest matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignKey {
    Typing(ConversationId, UserId),
    Presence(UserId),
}

#[derive(Default)]
struct Waiting {
    durable: VecDeque<Outbound>,
    bytes: usize,
    signs: Vec<(SignKey, Arc<Publication>)>,
    /// Live events that came while a difference was being read; they follow it.
    held: Option<Vec<Arc<Publication>>>,
    held_bytes: usize,
    closing: Option<Closing>,
}

/// Bounds of a lane.
#[derive(Debug, Clone, Copy)]
pub struct LaneLimits {
    pub frames_max: usize,
    pub bytes_max: usize,
}

pub struct Lane {
    limits: LaneLimits,
    waiting: Mutex<Waiting>,
    woken: Notify,
    ended: Notify,
}

/// What the connection's writer takes at once.
#[derive(Default)]
pub struct Batch {
    pub frames: Vec<Outbound>,
    /// After the frames are written (or, for `TooSlow`, instead): the end.
    pub closing: Option<Closing>,
}

/// Signs that wait for one connection; of more the oldest are dropped. Above what one may watch, so that it is a typing sign, which expires anyway.
const SIGNS_MAX: usize = 4096;

impl Lane {
    pub fn new(limits: LaneLimits) -> Self {
        Self { limits, waiting: Mutex::new(Waiting::default()), woken: Notify::new(), ended: Notify::new() }
    }

    /// A live event: waits its turn, behind a difference that is being read. `false`: it will not be told over this connection, which closes.
    pub fn push_event(&self, publication: Arc<Publication>) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.closing.is_some() {
            return false;
        }
        let held_bytes = waiting.held_bytes + publication.size_hint();
        if let Some(held) = &mut waiting.held {
            if held.len() < self.limits.frames_max && (held_bytes <= self.limits.bytes_max || held.is_empty()) {
                held.push(publication);
                waiting.held_bytes = held_bytes;
                return true;
            }
            self.close_locked(waiting, Closing::TooSlow);
            return false;
        }
        self.push_locked(waiting, Outbound::Event(publication))
    }

    /// An answer, or an event that answers: not held back.
    pub fn push(&self, outbound: Outbound) {
        let waiting = self.waiting.lock();
        if waiting.closing.is_none() {
            self.push_locked(waiting, outbound);
        }
    }

    fn push_locked(&self, mut waiting: parking_lot::MutexGuard<'_, Waiting>, outbound: Outbound) -> bool {
        // However large a frame is (a page of the difference), it leaves room for the events before it and the answer after it: who reads is not
        // sent away for it, again and again. Two such frames fill the lane.
        let size = outbound.size().min(self.limits.bytes_max / 2);
        let full = waiting.durable.len() >= self.limits.frames_max
            || (waiting.bytes + size > self.limits.bytes_max && !waiting.durable.is_empty());
        if full {
            self.close_locked(waiting, Closing::TooSlow);
            return false;
        }
        waiting.bytes += size;
        waiting.durable.push_back(outbound);
        let first = waiting.durable.len() == 1;
        drop(waiting);
        if first {
            self.woken.notify_one();
        }
        true
    }

    pub fn push_sign(&self, key: SignKey, publication: Arc<Publication>) {
        let mut waiting = self.waiting.lock();
        if waiting.closing.is_some() {
            return;
        }
        waiting.signs.retain(|(known, _)| *known != key);
        if waiting.signs.len() >= SIGNS_MAX {
            waiting.signs.remove(0);
        }
        waiting.signs.push((key, publication));
        drop(waiting);
        self.woken.notify_one();
    }

    /// From now on live events wait for [`Lane::release`].
    pub fn hold(&self) {
        self.waiting.lock().held.get_or_insert_with(Vec::new);
    }

    /// Lets the held events follow what was pushed meanwhile.
    pub fn release(&self) {
        let mut waiting = self.waiting.lock();
        let held = waiting.held.take().unwrap_or_default();
        waiting.bytes += std::mem::take(&mut waiting.held_bytes);
        // Under one lock: an event that comes now may not stand before one that waited.
        waiting.durable.extend(held.into_iter().map(Outbound::Event));
        if waiting.durable.len() > self.limits.frames_max {
            return self.close_locked(waiting, Closing::TooSlow);
        }
        drop(waiting);
        self.woken.notify_one();
    }

    /// The first reason stays. Who is too slow gets no more frames: they would wait behind a full socket.
    pub fn close(&self, closing: Closing) {
        self.close_locked(self.waiting.lock(), closing);
    }

    fn close_locked(&self, mut waiting: parking_lot::MutexGuard<'_, Waiting>, closing: Closing) {
        if waiting.closing.is_none() {
            waiting.closing = Some(closing);
            waiting.held = None;
            if closing == Closing::TooSlow {
                *waiting = Waiting { closing: Some(closing), ..Waiting::default() };
            }
        }
        drop(waiting);
        self.woken.notify_one();
        self.ended.notify_one();
    }

    /// Waits until the connection is to end. For one waiter.
    pub async fn closed(&self) -> Closing {
        loop {
            if let Some(closing) = self.closing() {
                return closing;
            }
            self.ended.notified().await;
        }
    }

    pub fn closing(&self) -> Option<Closing> {
        self.waiting.lock().closing
    }

    /// Waits for something to write and takes all of it.
    pub async fn take(&self) -> Batch {
        loop {
            if let Some(batch) = self.try_take() {
                return batch;
            }
            self.woken.notified().await;
        }
    }

    /// What waits now, if anything.
    pub fn try_take(&self) -> Option<Batch> {
        let mut waiting = self.waiting.lock();
        if waiting.durable.is_empty() && waiting.signs.is_empty() && waiting.closing.is_none() {
            return None;
        }
        let mut frames: Vec<Outbound> = std::mem::take(&mut waiting.durable).into();
        waiting.bytes = 0;
        frames.extend(waiting.signs.drain(..).map(|(_, publication)| Outbound::Event(publication)));
        Some(Batch { frames, closing: waiting.closing })
    }
}
