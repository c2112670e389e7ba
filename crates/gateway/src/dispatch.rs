//! One request of a socket, whichever protocol brought it: to the service, and its answer to the lane.
//!
//! Writes are submitted and not waited for, so that a connection may have many under way and they are committed together, in the order they came.
//! Lookups are waited for before the next request is read: a connection can't make the server do two at once.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use tertulia_core::auth::Identity;
use tertulia_core::journal::{Origin, TraceId};
use tertulia_core::services::history_range;
use tertulia_proto::event::{ConversationBatch, MessageAck, ReactionUpdated, ReceiptUpdated};
use tertulia_proto::request::{ClientRequest, HistoryRequest, SyncBody, SyncRequest};
use tertulia_proto::trace::Door;
use tertulia_proto::{ApiError, ConversationId, Message, Protocol, ServerEvent};
use tertulia_realtime::{Closing, Connection, Outbound, Publication, Reply};

use crate::App;

/// What a connection's reader works with.
pub struct Session {
    pub app: App,
    pub connection: Arc<Connection>,
    pub identity: Identity,
    pub protocol: Protocol,
    /// Of the handshake.
    trace: TraceId,
    /// Milliseconds when the present window of frames began, and the frames in it.
    window: (i64, u32),
}

/// A connection in the hub; it leaves when this is dropped, however its task ends.
pub struct Attachment {
    app: App,
    connection: Arc<Connection>,
}

impl Attachment {
    pub fn new(app: App, connection: Arc<Connection>) -> Self {
        Self { app, connection }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.app.services.disconnect(&self.connection);
    }
}

const FRAME_WINDOW_MS: i64 = 10_000;

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "{}".into())
}

fn tell(connection: &Connection, event: ServerEvent) {
    connection.lane.push(Outbound::Event(Arc::new(Publication::new(event))));
}

/// Answers a request and ends it: to its id where it has one; a refusal without one is an `error` event. A reply gives its permit back when it is
/// written ([`written`]): who asks faster than they read is slowed down, not thrown out.
fn end(connection: &Connection, to: Option<u64>, body: Result<String, ApiError>) {
    if to.is_none() {
        connection.in_flight.add_permits(1);
    }
    answer(connection, to, body);
}

/// So many replies have gone to the socket.
pub fn written(connection: &Connection, replies: usize) {
    connection.in_flight.add_permits(replies);
}

fn answer(connection: &Connection, to: Option<u64>, body: Result<String, ApiError>) {
    match (to, body) {
        (Some(to), body) => connection.lane.push(Outbound::Reply(Reply { to, body })),
        (None, Err(error)) => tell(connection, ServerEvent::Error(error)),
        (None, Ok(_)) => {}
    }
}

impl Session {
    pub fn new(app: App, connection: Arc<Connection>, identity: Identity, protocol: Protocol) -> Self {
        Self { app, connection, identity, protocol, trace: TraceId::default(), window: (0, 0) }
    }

    /// What is noted of the connection's requests bears this id.
    #[must_use]
    pub fn followed_by(self, trace: TraceId) -> Self {
        Self { trace, ..self }
    }

    /// How the request came that was read just now, where that is to be noted.
    fn origin(&self, to: Option<u64>) -> Option<Origin> {
        self.app.services.journal().map(|journal| Origin {
            door: match self.protocol {
                Protocol::SocketIo => Door::SocketIo,
                Protocol::WebSocket => Door::WebSocket,
            },
            at: journal.now(),
            trace: self.trace,
            connection: Some(self.connection.id),
            request: to,
            device: self.connection.device,
        })
    }

    /// Something came from the client.
    pub fn heard(&self) {
        self.connection.hear(self.app.services.now().ms());
    }

    /// Refuses what could not be read.
    pub async fn refuse(&self, to: Option<u64>, error: ApiError) {
        let Ok(permit) = self.connection.in_flight.acquire().await else { return };
        permit.forget();
        end(&self.connection, to, Err(error));
    }

    /// Counts a frame; too many in ten seconds end the connection.
    pub fn count_frame(&mut self) -> bool {
        self.app.metrics.requested();
        if !self.app.services.has_rate_limits() {
            return true;
        }
        let now = self.app.services.now().ms();
        if !(0..FRAME_WINDOW_MS).contains(&(now - self.window.0)) {
            self.window = (now, 0);
        }
        self.window.1 += 1;
        let within = self.window.1 <= self.app.services.limits().frames_per_10s;
        if !within {
            self.connection.lane.close(Closing::RateLimited);
        }
        within
    }

    pub async fn handle(&mut self, to: Option<u64>, request: ClientRequest) {
        let origin = self.origin(to);
        // Waits while too many of this connection's requests are under way; the permit comes back with the answer.
        let Ok(permit) = self.connection.in_flight.acquire().await else { return };
        permit.forget();
        match request {
            ClientRequest::SendMessage(_)
            | ClientRequest::EditMessage(_)
            | ClientRequest::DeleteMessage(_)
            | ClientRequest::ReactToMessage(_)
            | ClientRequest::Receipt(_)
            | ClientRequest::MuteConversation(_) => {
                // Asked again, for it may have waited. Where the connection is to end, nobody waits for the answer.
                self.connection.execute(|| self.submit(to, request, origin));
            }
            _ if self.connection.lane.closing().is_some() => {}
            other => {
                // Boxed: else every idle connection would hold room for the largest lookup.
                let body = Box::pin(self.look_up(to, other)).await;
                end(&self.connection, to, body);
            }
        }
    }

    fn submit(&self, to: Option<u64>, request: ClientRequest, origin: Option<Origin>) {
        let services = &self.app.services;
        let (connection, protocol) = (Arc::clone(&self.connection), self.protocol);
        match request {
            ClientRequest::SendMessage(request) => {
                let done = move |result: Result<(MessageAck, bool), ApiError>| {
                    let body = result.as_ref().map(|(ack, _)| text(ack)).map_err(Clone::clone);
                    end(&connection, to, body);
                    // Socket.IO clients may have no callback and still wait for the event.
                    if let Ok((ack, _)) = result
                        && (to.is_none() || protocol == Protocol::SocketIo)
                    {
                        tell(&connection, ServerEvent::MessageAck(ack));
                    }
                };
                services.submit_message(&self.identity, request, origin, Box::new(done));
            }
            ClientRequest::EditMessage(request) => {
                services.submit_edit(&self.identity, request, Box::new(changed(connection, to)))
            }
            ClientRequest::DeleteMessage(request) => {
                services.submit_delete(&self.identity, request, Box::new(changed(connection, to)))
            }
            ClientRequest::ReactToMessage(request) => {
                let done = finish(connection, to, |updated: &ReactionUpdated| {
                    text(&json!({ "messageId": updated.message_id, "rev": updated.rev }))
                });
                services.submit_reaction(&self.identity, request, Box::new(done));
            }
            ClientRequest::Receipt(request) => {
                let done = finish(connection, to, |updated: &ReceiptUpdated| text(&json!({ "rev": updated.rev })));
                services.submit_receipt(&self.identity, self.connection.device, &request, Box::new(done));
            }
            ClientRequest::MuteConversation(request) => {
                let done = finish(connection, to, |()| "{}".into());
                services.submit_mute(&self.identity, &request, Box::new(done));
            }
            _ => self.connection.in_flight.add_permits(1),
        }
    }

    async fn look_up(&mut self, to: Option<u64>, request: ClientRequest) -> Result<String, ApiError> {
        match request {
            ClientRequest::Sync(request) => self.sync(to, request).await,
            ClientRequest::History(request) => self.history(request).await,
            ClientRequest::TypingStart(typing) => self.typing(typing.conversation_id, true).await,
            ClientRequest::TypingStop(typing) => self.typing(typing.conversation_id, false).await,
            ClientRequest::WatchPresence(watch) => {
                let presence =
                    self.app.services.watch_presence(&self.identity, &self.connection, watch.user_ids).await?;
                Ok(text(&json!({ "presence": presence })))
            }
            ClientRequest::RefreshAuth(refresh) => self.renew(&refresh.token).await,
            _ => Ok("{}".into()),
        }
    }

    async fn typing(&self, conversation: ConversationId, typing: bool) -> Result<String, ApiError> {
        self.app.services.typing(&self.identity, conversation, typing).await?;
        Ok("{}".into())
    }

    async fn history(&self, request: HistoryRequest) -> Result<String, ApiError> {
        let range = history_range(request.before_seq, request.after_seq, None)?;
        let services = &self.app.services;
        Ok(text(&services.history(&self.identity, request.conversation_id, range, request.limit).await?))
    }

    /// Live events are held while the difference is read, and follow it: nothing falls between the two.
    async fn sync(&self, to: Option<u64>, request: SyncRequest) -> Result<String, ApiError> {
        self.connection.lane.hold();
        let services = &self.app.services;
        let batch = match request.conversation_id {
            Some(conversation_id) => {
                services.messages_after(&self.identity, conversation_id, request.after_message_id).await.map(|page| {
                    let batch = ConversationBatch { conversation_id, messages: page.messages, has_more: page.has_more };
                    ServerEvent::ConversationBatch(Box::new(batch))
                })
            }
            None => {
                let asked = SyncBody { cursor: request.cursor, limit: request.limit, have: request.have };
                services.difference(&self.identity, asked).await.map(|mut difference| {
                    // Socket.IO's numbers are its own affair.
                    difference.request_id = to.filter(|_| self.protocol == Protocol::WebSocket);
                    ServerEvent::SyncBatch(Box::new(difference))
                })
            }
        };
        let answered = batch.map(|batch| {
            tell(&self.connection, batch);
            "{}".into()
        });
        self.connection.lane.release();
        answered
    }

    /// A newer token of the same person keeps the connection open.
    async fn renew(&mut self, token: &str) -> Result<String, ApiError> {
        let identity = self.app.services.identify(token, None).await?;
        if identity.user != self.identity.user {
            return Err(ApiError::forbidden("token: of another person; open another connection"));
        }
        if self.identity.scopes.is_some() {
            return Err(ApiError::forbidden(
                "token: an API key opened this connection, which ends with it; open another",
            ));
        }
        if !self.app.services.still_stands(identity.session, &identity).await {
            return Err(ApiError::unauthenticated("the session has ended"));
        }
        self.connection.renew(identity.session, identity.expires_at.ms());
        self.identity = identity;
        Ok(text(&json!({ "expiresAt": self.identity.expires_at })))
    }
}

fn finish<T>(connection: Arc<Connection>, to: Option<u64>, body: fn(&T) -> String) -> impl FnOnce(Result<T, ApiError>) {
    move |result| {
        end(&connection, to, result.map(|done| body(&done)));
    }
}

fn changed(connection: Arc<Connection>, to: Option<u64>) -> impl FnOnce(Result<Message, ApiError>) {
    finish(connection, to, |message: &Message| text(&json!({ "messageId": message.message_id, "rev": message.rev })))
}
