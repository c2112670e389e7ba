//! Socket.IO, with a guard around what its library does not promise (docs/adr/0004): events that come before the connect handler has run are
//! dropped by it, and each event's handler runs as a task of its own, in any order. So the one handler is registered before the connection is
//! accepted, and does nothing but put the event into the connection's inbox, synchronously, in the order of arrival. One actor per connection works
//! the inbox off.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::{AckSender, Extension, SocketRef, TryData};
use socketioxide::handler::{FromConnectParts, FromMessageParts, Value};
use socketioxide::layer::SocketIoLayer;
use socketioxide::socket::Socket;
use socketioxide::{ParserConfig, SendError, SocketError, SocketIo};
use tertulia_core::auth::Identity;
use tertulia_proto::request::ClientRequest;
use tertulia_proto::{ApiError, DeviceId, ErrorCode, Protocol};
use tertulia_realtime::{Closing, Connection, Outbound};
use tokio::sync::Notify;

use crate::App;
use crate::caller::{device_id, handshake_token};
use crate::dispatch::{Attachment, Session, written};
use crate::trace::trace_id;
use crate::ws::watch_over;

/// Packets the library holds for a socket before it refuses more; then the actor waits, and behind it the lane fills.
const PACKETS_MAX: usize = 1024;

/// How long the actor waits for the library's buffer to drain before it looks again.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// What an event weighs in the inbox besides its text.
const EVENT_OVERHEAD_BYTES: usize = 256;

pub fn layer(app: &App) -> SocketIoLayer {
    let limits = app.services.limits();
    let frame_max = limits.frame_max_bytes;
    let (layer, io) = SocketIo::builder()
        .max_buffer_size(PACKETS_MAX)
        .max_payload(u64::try_from(limits.request_max_bytes).unwrap_or(u64::MAX))
        .ws_read_buffer_size(2048)
        .ws_max_message_size(frame_max)
        .ws_max_frame_size(frame_max)
        // Nobody sends us binary.
        .with_parser(ParserConfig::common().max_incoming_binaries(0))
        .build_layer();
    let guard_app = Arc::clone(app);
    let actor_app = Arc::clone(app);
    let guard = async move |socket: SocketRef, TryData(auth): TryData<AuthPayload>| {
        accept(&guard_app, &socket, auth.ok()).await
    };
    let connected = async move |Handle(socket): Handle, Extension(seat): Extension<Seat>| {
        run(Arc::clone(&actor_app), socket, seat).await
    };
    io.ns("/", socketioxide::handler::ConnectHandler::with(connected, guard));
    // Of a second router over the same gateway nothing is closed early.
    let _ = app.socket_io.set(io);
    layer
}

#[derive(Deserialize, Default)]
struct AuthPayload {
    #[serde(default)]
    token: Option<String>,
    /// As it came: what is not a device is another refusal than a missing token.
    #[serde(default)]
    device: Option<serde_json::Value>,
}

impl AuthPayload {
    fn device(&self) -> Result<Option<DeviceId>, ApiError> {
        self.device.as_ref().map(|device| device_id(device.as_str().unwrap_or_default())).transpose()
    }
}

/// The socket itself, which acknowledgements are made from.
struct Handle(Arc<Socket<LocalAdapter>>);

impl FromConnectParts<LocalAdapter> for Handle {
    type Error = Infallible;

    fn from_connect_parts(socket: &Arc<Socket<LocalAdapter>>, _: &Option<Value>) -> Result<Self, Infallible> {
        Ok(Self(Arc::clone(socket)))
    }
}

/// An event as it came: `["name", payload, ...]`.
struct RawEvent {
    text: Result<String, ()>,
    ack_id: Option<i64>,
}

impl RawEvent {
    fn size(&self) -> usize {
        EVENT_OVERHEAD_BYTES + self.text.as_ref().map_or(0, String::len)
    }
}

impl FromMessageParts<LocalAdapter> for RawEvent {
    type Error = Infallible;

    fn from_message_parts(
        _: &Arc<Socket<LocalAdapter>>,
        value: &mut Value,
        ack_id: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let text = match value {
            Value::Str(text, None) => Ok(text.as_str().to_owned()),
            Value::Str(..) | Value::Bytes(_) => Err(()),
        };
        Ok(Self { text, ack_id: *ack_id })
    }
}

/// What the guard hands to the actor. Dropped with the socket when the actor never came for it, it leaves the hub by itself.
#[derive(Clone)]
struct Seat(Arc<Mutex<Option<Guest>>>);

struct Guest {
    identity: Identity,
    attachment: Attachment,
    inbox: Arc<Inbox>,
}

/// Events that wait for the actor. Bounded by bytes instead of a count: a burst of small ones is fine.
struct Inbox {
    waiting: Mutex<(VecDeque<RawEvent>, usize)>,
    woken: Notify,
    bytes_max: usize,
}

impl Inbox {
    /// `false`: full, and the event is dropped; the connection must end.
    fn push(&self, event: RawEvent) -> bool {
        let mut waiting = self.waiting.lock();
        let size = event.size();
        if waiting.1 + size > self.bytes_max {
            return false;
        }
        waiting.1 += size;
        waiting.0.push_back(event);
        drop(waiting);
        self.woken.notify_one();
        true
    }

    async fn next(&self) -> RawEvent {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if let Some(event) = waiting.0.pop_front() {
                    waiting.1 -= event.size();
                    return event;
                }
            }
            self.woken.notified().await;
        }
    }
}

/// Before the client is told that it is connected: who is it, and an inbox for whatever it sends from now on.
async fn accept(app: &App, socket: &SocketRef, auth: Option<AuthPayload>) -> Result<(), String> {
    let headers = &socket.req_parts().headers;
    let auth = auth.unwrap_or_default();
    let device = auth.device().map_err(|refusal| format!("{}: {}", refusal.code.as_str(), refusal.detail))?;
    let token = match auth.token {
        Some(token) => token,
        None => handshake_token(headers, None, &app.settings).map_err(|refusal| refusal.code.as_str())?,
    };
    let acts_as = headers.get("tertulia-user").and_then(|value| value.to_str().ok());
    let identity = app.services.identify(&token, acts_as).await.map_err(|refusal| refusal.code.as_str())?;
    let connection = app.services.connect(&identity, device).await.map_err(|refusal| refusal.code.as_str())?;

    let waiting = Mutex::new((VecDeque::new(), 0));
    let inbox = Arc::new(Inbox { waiting, woken: Notify::new(), bytes_max: app.services.limits().inbox_max_bytes });
    let (theirs, full) = (Arc::clone(&inbox), Arc::clone(&connection));
    socket.on_fallback(move |event: RawEvent| {
        if !theirs.push(event) {
            full.lane.close(Closing::RateLimited);
        }
        std::future::ready(())
    });
    let gone = Arc::clone(&connection);
    socket.on_disconnect(move || {
        gone.lane.close(Closing::Gone);
        std::future::ready(())
    });
    let attachment = Attachment::new(Arc::clone(app), connection);
    socket.extensions.insert(Seat(Arc::new(Mutex::new(Some(Guest { identity, attachment, inbox })))));
    Ok(())
}

async fn run(app: App, socket: Arc<Socket<LocalAdapter>>, seat: Seat) {
    let Some(guest) = seat.0.lock().take() else { return };
    let connection = guest.attachment.connection();
    connection.lane.release();
    let watched = guest.identity.clone();
    let trace = trace_id(&socket.req_parts().extensions);
    let session = Session::new(Arc::clone(&app), Arc::clone(connection), guest.identity, Protocol::SocketIo);
    let session = session.followed_by(trace);
    let closing = tokio::select! {
        closing = write(&socket, connection) => closing,
        () = read(session, &guest.inbox) => Closing::Gone,
        () = watch_over(&app, connection, &watched, false) => Closing::Unauthenticated,
        closing = overdue(&app, connection) => closing,
    };
    if closing != Closing::Gone {
        app.metrics.ended(closing.code());
    }
    // A client that is told to leave does not come back by itself; at a restart the transport just ends, and it does.
    if !matches!(closing, Closing::Gone | Closing::Restarting) {
        let leaving = Box::pin(leave(socket, closing));
        let _ = tokio::time::timeout(app.settings.times.last_words, leaving).await;
    }
}

/// The connection is to end, and its socket is so full that the writer does not get to it.
async fn overdue(app: &App, connection: &Connection) -> Closing {
    let closing = connection.lane.closed().await;
    tokio::time::sleep(app.settings.times.last_words).await;
    closing
}

/// Tells why, then disconnects, once there is room for it.
async fn leave(socket: Arc<Socket<LocalAdapter>>, closing: Closing) {
    let code = match closing {
        Closing::Unauthenticated => ErrorCode::Unauthenticated,
        Closing::TooSlow | Closing::RateLimited => ErrorCode::RateLimited,
        Closing::FrameTooLarge => ErrorCode::TooLarge,
        Closing::Replaced => ErrorCode::Conflict,
        Closing::Gone | Closing::Silent | Closing::Restarting => ErrorCode::Unavailable,
    };
    let _ = socket.emit("error", &ApiError::new(code, format!("{}: {}", closing.code(), closing.reason())));
    while let Err(SocketError::InternalChannelFull) = Arc::clone(&socket).disconnect() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn read(mut session: Session, inbox: &Inbox) {
    loop {
        let event = inbox.next().await;
        // What comes after the end of its session may do nothing more, however long the end takes.
        if session.connection.lane.closing().is_some() || !session.count_frame() {
            // The writer ends the connection.
            std::future::pending::<()>().await;
        }
        let to = event.ack_id.and_then(|id| u64::try_from(id).ok());
        let text = event.text.map_err(|()| ApiError::invalid("event: must not be binary"));
        match text.and_then(|text| parse(&text)) {
            Ok(request) => session.handle(to, request).await,
            Err(refusal) => session.refuse(to, refusal).await,
        }
    }
}

/// Reads `["name", payload?]`; what follows is ignored.
fn parse(text: &str) -> Result<ClientRequest, ApiError> {
    let parts: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|_| ApiError::invalid("event: must be [name, payload]"))?;
    let name = parts.first().and_then(|name| serde_json::from_str::<String>(name.get()).ok());
    let name = name.ok_or_else(|| ApiError::invalid("event: must begin with its name"))?;
    ClientRequest::parse(&name, parts.get(1).map_or("{}", |payload| payload.get()))
}

async fn write(socket: &Arc<Socket<LocalAdapter>>, connection: &Connection) -> Closing {
    loop {
        let batch = connection.lane.take().await;
        for outbound in batch.frames {
            while let Full = send(socket, &outbound) {
                if connection.lane.closing() == Some(Closing::TooSlow) {
                    return Closing::TooSlow;
                }
                tokio::time::sleep(FULL_PAUSE).await;
            }
            if matches!(outbound, Outbound::Reply(_)) {
                written(connection, 1);
            }
        }
        if let Some(closing) = batch.closing {
            return closing;
        }
    }
}

enum Sent {
    /// Taken, or never to be taken.
    Done,
    Full,
}
use Sent::{Done, Full};

fn send(socket: &Arc<Socket<LocalAdapter>>, outbound: &Outbound) -> Sent {
    let sent = match outbound {
        // The protocol beneath has its own.
        Outbound::Ping => Ok(()),
        Outbound::Event(publication) => {
            let name = publication.name().of(Protocol::SocketIo);
            match raw(&publication.encoded(Protocol::SocketIo)) {
                Some(payload) => socket.emit(name, payload),
                None => Ok(()),
            }
        }
        Outbound::Reply(reply) => {
            let body = match &reply.body {
                Ok(body) => body.clone(),
                Err(error) => format!("{{\"error\":{}}}", serde_json::to_string(error).unwrap_or_else(|_| "{}".into())),
            };
            let ack_id = i64::try_from(reply.to).ok();
            // Made anew for each try: the library's sender is used up by a refusal, and an acknowledgement may not be lost to a full buffer.
            let Ok(ack) = AckSender::from_message_parts(socket, &mut Value::Bytes(bytes::Bytes::new()), &ack_id);
            match RawValue::from_string(body) {
                Ok(body) => ack.send(&*body),
                Err(_) => Ok(()),
            }
        }
    };
    match sent {
        Err(SendError::Socket(SocketError::InternalChannelFull)) => Full,
        _ => Done,
    }
}

/// The payload's text as JSON that is written as it stands.
fn raw(payload: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(payload).ok()
}
