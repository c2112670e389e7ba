//! The plain WebSocket: text frames `{"type": ..., "id"?: n, ...}`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tertulia_core::auth::Identity;
use tertulia_core::journal::TraceId;
use tertulia_proto::event::Connected;
use tertulia_proto::request::parse_frame;
use tertulia_proto::{ApiError, ErrorCode, Protocol, ServerEvent};
use tertulia_realtime::{Closing, Connection, Outbound, Publication};

use crate::caller::{bearer_protocol, device_id, handshake_token};
use crate::dispatch::{Attachment, Session, written as written_replies};
use crate::error::Refusal;
use crate::frames::{FlakyFrames, Frames};
use crate::trace::Followed;
use crate::{App, Arrival};

/// Bytes gathered before they go to the socket; a batch of small frames is one write.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// The library's default of 128 KiB costs 134 KiB of memory per idle connection; frames are small.
const READ_BUFFER_BYTES: usize = 1024;

pub async fn subscribe(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    Followed(trace): Followed,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            return Refusal::from(ApiError::invalid(format!("Upgrade: {}", rejection.body_text()))).into_response();
        }
    };
    let field = |name: &str| {
        let mut pairs = query.as_deref().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let token = handshake_token(&headers, field("token"), &app.settings);
    let device = field("device").map(device_id).transpose();
    let acts_as = headers.get("tertulia-user").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let frame_max = app.services.limits().frame_max_bytes;
    let mut upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(16 * 1024 * 1024)
        .max_message_size(frame_max)
        .max_frame_size(frame_max);
    if let Some(protocol) = bearer_protocol(&headers) {
        upgrade = upgrade.protocols([protocol.to_owned()]);
    }
    // Counted before the answer is out: from then on no request keeps a server that stops.
    let arrival = Arrival::begin(&app);
    upgrade.on_upgrade(move |socket| async move {
        // Boxed: else every idle connection would hold room for what signing in needs.
        let identity = match token {
            Ok(token) => Box::pin(app.services.identify(&token, acts_as.as_deref())).await,
            Err(refusal) => Err(refusal),
        };
        let opened = match identity.and_then(|identity| Ok((identity, device?))) {
            Ok((identity, device)) => {
                Box::pin(app.services.connect(&identity, device)).await.map(|connection| (identity, connection))
            }
            Err(refusal) => Err(refusal),
        };
        match opened {
            Ok((identity, connection)) => {
                // It is in the hub now.
                drop(arrival);
                match app.settings.trouble.as_ref().map(|trouble| trouble.chance()) {
                    None => serve(app, socket, identity, connection, trace).await,
                    Some(chance) => {
                        Box::pin(serve(app, FlakyFrames::new(socket, chance), identity, connection, trace)).await
                    }
                }
            }
            Err(refusal) => {
                Box::pin(refuse(&app, socket, &refusal)).await;
                drop(arrival);
            }
        }
    })
}

/// Browsers can't read an HTTP status of a failed upgrade, so the refusal is a close code.
async fn refuse(app: &App, mut socket: WebSocket, refusal: &ApiError) {
    let code = match refusal.code {
        ErrorCode::RateLimited => Closing::RateLimited.code(),
        ErrorCode::Unavailable => 1013,
        // "device: ..."; another token would not help.
        ErrorCode::Invalid => 1008,
        _ => Closing::Unauthenticated.code(),
    };
    let reason: String = refusal.detail.chars().take(60).collect();
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    // Until the client has closed too, or for so long: a server that stops waits for it.
    let closed = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = tokio::time::timeout(app.settings.times.drain, closed).await;
}

async fn serve(app: App, socket: impl Frames, identity: Identity, connection: Arc<Connection>, trace: TraceId) {
    let attachment = Attachment::new(Arc::clone(&app), Arc::clone(&connection));
    let connected = ServerEvent::Connected(Box::new(Connected {
        user_id: identity.user,
        session_id: identity.session,
        server_time: app.services.now(),
        limits: app.services.limits().clone(),
        epoch: app.services.epoch().await,
    }));
    connection.lane.push(Outbound::Event(Arc::new(Publication::new(connected))));
    connection.lane.release();
    let (sink, mut stream) = socket.split();
    let watched = identity.clone();
    let mut session =
        Session::new(Arc::clone(&app), Arc::clone(&connection), identity, Protocol::WebSocket).followed_by(trace);
    let reading = async {
        let closing = read(&mut session, &mut stream).await;
        if let Some(closing) = closing {
            connection.lane.close(closing);
            std::future::pending::<()>().await;
        }
    };
    let said_goodbye = tokio::select! {
        () = reading => false,
        () = write(&app, sink, &connection) => true,
        () = watch_over(&app, &connection, &watched, true) => false,
    };
    if said_goodbye {
        // A socket closed with unread bytes in it is reset, and the client would not see the close frame.
        let drained = async { while let Some(Ok(_)) = stream.next().await {} };
        let _ = tokio::time::timeout(app.settings.times.drain, drained).await;
    }
    // Only now: a server that stops waits for those who are still in the hub.
    drop(attachment);
}

/// Ends the connection with its token, its session, or (with `pings`) the silence of the other end. Never returns: the lane is told, and the writer
/// says goodbye.
pub(crate) async fn watch_over(app: &App, connection: &Connection, identity: &Identity, pings: bool) {
    connection.hear(app.services.now().ms());
    let times = app.settings.times;
    let silence_max_ms = i64::try_from(times.silence.as_millis()).unwrap_or(i64::MAX);
    loop {
        let now = app.services.now().ms();
        let left = connection.expires_at_ms().saturating_sub(now);
        if left <= 0 {
            connection.lane.close(Closing::Unauthenticated);
            return std::future::pending().await;
        }
        // Whole seconds at most: the token may be renewed, and clocks jump.
        let wait = Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(times.care);
        tokio::time::sleep(wait).await;
        if pings && connection.silent_ms(app.services.now().ms()) > silence_max_ms {
            connection.lane.close(Closing::Silent);
        } else if pings {
            connection.lane.push(Outbound::Ping);
        }
        // Another process may have ended the session or revoked the key: nothing told this one.
        if !Box::pin(app.services.still_stands(connection.session(), identity)).await {
            connection.lane.close(Closing::Unauthenticated);
        }
    }
}

/// Reads until the client leaves (`None`) or is to be sent away.
async fn read(session: &mut Session, stream: &mut SplitStream<impl Frames>) -> Option<Closing> {
    loop {
        if session.connection.lane.closing().is_some() {
            // The writer says goodbye; nothing more is done for this connection.
            std::future::pending::<()>().await;
        }
        let message = match stream.next().await? {
            Ok(message) => message,
            Err(error) if is_too_large(&error) => return Some(Closing::FrameTooLarge),
            Err(_) => return None,
        };
        session.heard();
        if session.connection.lane.closing().is_some() {
            continue;
        }
        match message {
            Message::Text(frame) => {
                if !session.count_frame() {
                    std::future::pending::<()>().await;
                }
                let (id, request) = parse_frame(&frame);
                match request {
                    Ok(request) => session.handle(id, request).await,
                    Err(refusal) => session.refuse(id, refusal).await,
                }
            }
            Message::Binary(_) => session.refuse(None, ApiError::invalid("frame: must be text")).await,
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => return None,
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    // The only capacity error of a reader; the type is the library's own.
    format!("{error:?}").contains("Capacity")
}

async fn write(app: &App, mut sink: SplitSink<impl Frames, Message>, connection: &Connection) {
    loop {
        let batch = connection.lane.take().await;
        let replies = batch.frames.iter().filter(|frame| matches!(frame, Outbound::Reply(_))).count();
        let written = {
            let writing = send_all(&mut sink, batch.frames);
            tokio::pin!(writing);
            tokio::select! {
                written = &mut writing => written,
                // The socket is full: a little time for what is in it, then the end, whatever the reason.
                _ = connection.lane.closed() => {
                    tokio::time::timeout(app.settings.times.last_words, writing).await.unwrap_or(Err(axum::Error::new("too slow")))
                }
            }
        };
        written_replies(connection, replies);
        if let Some(closing) = connection.lane.closing() {
            app.metrics.ended(closing.code());
            if written.is_ok() {
                let goodbye = say_goodbye(&mut sink, connection, closing);
                let _ = tokio::time::timeout(app.settings.times.last_words, goodbye).await;
            }
            return;
        }
        if written.is_err() {
            return;
        }
    }
}

async fn send_all(sink: &mut SplitSink<impl Frames, Message>, frames: Vec<Outbound>) -> Result<(), axum::Error> {
    for outbound in frames {
        match outbound {
            Outbound::Ping => sink.feed(Message::Ping(Bytes::new())).await?,
            told => sink.feed(Message::Text(frame(told))).await?,
        }
    }
    sink.flush().await
}

/// What came in the last moment, then the close frame.
async fn say_goodbye(
    sink: &mut SplitSink<impl Frames, Message>,
    connection: &Connection,
    closing: Closing,
) -> Result<(), axum::Error> {
    if let Some(last) = connection.lane.try_take() {
        send_all(sink, last.frames).await?;
    }
    let close = CloseFrame { code: closing.code(), reason: Utf8Bytes::from_static(closing.reason()) };
    sink.send(Message::Close(Some(close))).await
}

fn frame(outbound: Outbound) -> Utf8Bytes {
    match outbound {
        Outbound::Event(publication) => utf8(publication.encoded(Protocol::WebSocket)),
        Outbound::Reply(reply) => reply.encode().into(),
        Outbound::Ping => Utf8Bytes::default(),
    }
}

/// The bytes come from a `String`; checking them again costs less than a copy.
fn utf8(bytes: Bytes) -> Utf8Bytes {
    Utf8Bytes::try_from(bytes).unwrap_or_default()
}
