//! The life of a message, for the owner of the server.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tertulia_proto::{ClientMsgId, MessageId, MessageTrace, UserId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::caller::KeyHolder;
use crate::error::{Answer, Problems};
use crate::extract::{Path, Query};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(trace)).routes(routes!(trace_by_name))
}

/// When a message came to which station: received, committed, told to whom, got and read by whom, notified. Ids and times, nothing of what was said.
/// For API keys with `admin`.
#[utoipa::path(get, path = "/admin/trace/{message_id}", tag = "admin", params(("message_id" = MessageId, Path)),
    security(("bearer" = [])), responses((status = 200, body = MessageTrace), Problems))]
async fn trace(
    State(app): State<App>,
    KeyHolder(key): KeyHolder,
    Path(message): Path<MessageId>,
) -> Answer<Json<MessageTrace>> {
    Ok(Json(app.services.trace_message(&key, message).await?))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Named {
    /// What the sender's client calls the message.
    client_msg_id: ClientMsgId,
    /// The sender: needed where several people have used the name. Without it a message that was noted of late is told although others may have used its
    /// name before.
    user_id: Option<UserId>,
}

/// When a message came to which station, found by what the sender's client calls it. Ids and times, nothing of what was said. For API keys with `admin`.
#[utoipa::path(get, path = "/admin/trace", tag = "admin", params(Named), security(("bearer" = [])),
    responses((status = 200, body = MessageTrace), Problems))]
async fn trace_by_name(
    State(app): State<App>,
    KeyHolder(key): KeyHolder,
    Query(named): Query<Named>,
) -> Answer<Json<MessageTrace>> {
    Ok(Json(app.services.trace_named(&key, named.client_msg_id, named.user_id).await?))
}
