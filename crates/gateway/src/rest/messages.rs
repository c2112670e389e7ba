//! Messages, reactions, receipts, typing, search.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tertulia_core::services::history_range;
use tertulia_proto::event::{ReactionUpdated, ReceiptUpdated};
use tertulia_proto::request::{
    DeleteMessage, EditBody, EditMessage, NewMessageBody, ReactToMessage, Receipt, ReceiptBody, SendMessage, TypingBody,
};
use tertulia_proto::{ConversationId, Emoji, History, Message, MessageId, Seq};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::caller::Caller;
use crate::error::{Answer, Problems};
use crate::extract::{Body, Path, Query};
use crate::trace::Came;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(history, send))
        .routes(routes!(get, edit, delete))
        .routes(routes!(react, unreact))
        .routes(routes!(receipt))
        .routes(routes!(typing))
        .routes(routes!(search))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
struct Range {
    /// The newest below this one.
    #[param(rename = "beforeSeq")]
    before_seq: Option<Seq>,
    /// The oldest above this one.
    #[param(rename = "afterSeq")]
    after_seq: Option<Seq>,
    /// The oldest after this message.
    after: Option<MessageId>,
    /// 1 to 200; 50 where absent.
    limit: Option<i64>,
}

/// The newest, or a page before or after a place.
#[utoipa::path(get, path = "/conversations/{id}/messages", tag = "messages", params(("id" = ConversationId, Path), Range),
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = History), Problems))]
async fn history(
    State(app): State<App>,
    Caller(identity): Caller,
    Path(id): Path<ConversationId>,
    Query(query): Query<Range>,
) -> Answer<Json<History>> {
    let range = history_range(query.before_seq, query.after_seq, query.after)?;
    Ok(Json(app.services.history(&identity, id, range, query.limit).await?))
}

/// Puts a message into the log, once for ever per `clientMsgId`.
#[utoipa::path(post, path = "/conversations/{id}/messages", tag = "messages", params(("id" = ConversationId, Path)), request_body = NewMessageBody,
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "a repeat: the message as it is", body = Message), (status = 201, body = Message), Problems))]
async fn send(
    State(app): State<App>,
    Caller(identity): Caller,
    Path(conversation_id): Path<ConversationId>,
    came: Came,
    Body(body): Body<NewMessageBody>,
) -> Answer<(StatusCode, Json<Message>)> {
    let NewMessageBody { client_msg_id, body, reply_to, after_client_msg_id } = body;
    let request = SendMessage { conversation_id, client_msg_id, body, reply_to, after_client_msg_id };
    let (message, fresh) = app.services.send_message(&identity, request, came.origin(&app)).await?;
    Ok((if fresh { StatusCode::CREATED } else { StatusCode::OK }, Json(message)))
}

/// One message.
#[utoipa::path(get, path = "/conversations/{id}/messages/{message_id}", tag = "messages",
    params(("id" = ConversationId, Path), ("message_id" = MessageId, Path)),
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = Message), Problems))]
async fn get(
    State(app): State<App>,
    Caller(identity): Caller,
    Path((id, message)): Path<(ConversationId, MessageId)>,
) -> Answer<Json<Message>> {
    Ok(Json(app.services.message(&identity, id, message).await?))
}

/// Changes the body of one's own message.
#[utoipa::path(patch, path = "/conversations/{id}/messages/{message_id}", tag = "messages",
    params(("id" = ConversationId, Path), ("message_id" = MessageId, Path)), request_body = EditBody,
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = Message), Problems))]
async fn edit(
    State(app): State<App>,
    Caller(identity): Caller,
    Path((conversation_id, message_id)): Path<(ConversationId, MessageId)>,
    Body(EditBody { body }): Body<EditBody>,
) -> Answer<Json<Message>> {
    Ok(Json(app.services.edit_message(&identity, EditMessage { conversation_id, message_id, body }).await?))
}

/// Leaves a tombstone, which the answer is.
#[utoipa::path(delete, path = "/conversations/{id}/messages/{message_id}", tag = "messages",
    params(("id" = ConversationId, Path), ("message_id" = MessageId, Path)),
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = Message), Problems))]
async fn delete(
    State(app): State<App>,
    Caller(identity): Caller,
    Path((conversation_id, message_id)): Path<(ConversationId, MessageId)>,
) -> Answer<Json<Message>> {
    Ok(Json(app.services.delete_message(&identity, DeleteMessage { conversation_id, message_id }).await?))
}

/// Adds a reaction; one of each emoji per person.
#[utoipa::path(put, path = "/conversations/{id}/messages/{message_id}/reactions/{emoji}", tag = "messages",
    params(("id" = ConversationId, Path), ("message_id" = MessageId, Path), ("emoji" = Emoji, Path)),
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = ReactionUpdated), Problems))]
async fn react(
    State(app): State<App>,
    Caller(identity): Caller,
    Path((conversation_id, message_id, emoji)): Path<(ConversationId, MessageId, Emoji)>,
) -> Answer<Json<ReactionUpdated>> {
    let request = ReactToMessage { conversation_id, message_id, emoji, remove: false };
    Ok(Json(app.services.react(&identity, request).await?))
}

/// Takes a reaction back.
#[utoipa::path(delete, path = "/conversations/{id}/messages/{message_id}/reactions/{emoji}", tag = "messages",
    params(("id" = ConversationId, Path), ("message_id" = MessageId, Path), ("emoji" = Emoji, Path)),
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = ReactionUpdated), Problems))]
async fn unreact(
    State(app): State<App>,
    Caller(identity): Caller,
    Path((conversation_id, message_id, emoji)): Path<(ConversationId, MessageId, Emoji)>,
) -> Answer<Json<ReactionUpdated>> {
    let request = ReactToMessage { conversation_id, message_id, emoji, remove: true };
    Ok(Json(app.services.react(&identity, request).await?))
}

/// Moves one's watermarks forward; a lower number changes nothing.
#[utoipa::path(post, path = "/conversations/{id}/receipts", tag = "messages", params(("id" = ConversationId, Path)), request_body = ReceiptBody,
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = ReceiptUpdated), Problems))]
async fn receipt(
    State(app): State<App>,
    Caller(identity): Caller,
    Path(conversation_id): Path<ConversationId>,
    Body(ReceiptBody { delivered_seq, read_seq }): Body<ReceiptBody>,
) -> Answer<Json<ReceiptUpdated>> {
    let request = Receipt { conversation_id, delivered_seq, read_seq };
    Ok(Json(app.services.advance_watermarks(&identity, request).await?))
}

/// Tells the others that one writes; expires by itself.
#[utoipa::path(post, path = "/conversations/{id}/typing", tag = "messages", params(("id" = ConversationId, Path)), request_body = TypingBody,
    security(("bearer" = []), ("cookie" = [])), responses((status = 204, description = "told"), Problems))]
async fn typing(
    State(app): State<App>,
    Caller(identity): Caller,
    Path(id): Path<ConversationId>,
    Body(TypingBody { typing }): Body<TypingBody>,
) -> Answer<StatusCode> {
    app.services.typing(&identity, id, typing).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
struct Search {
    /// Any substring of at least three characters.
    q: String,
    #[param(rename = "conversationId")]
    conversation_id: Option<ConversationId>,
    /// 1 to 100; 20 where absent.
    limit: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct Hits {
    /// Newest first.
    messages: Vec<Message>,
}

/// Messages that hold the text anywhere, of what one may see.
#[utoipa::path(get, path = "/search", tag = "messages", params(Search),
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = Hits), Problems))]
async fn search(State(app): State<App>, Caller(identity): Caller, Query(query): Query<Search>) -> Answer<Json<Hits>> {
    let messages = app.services.search(&identity, &query.q, query.conversation_id, query.limit).await?;
    Ok(Json(Hits { messages }))
}
