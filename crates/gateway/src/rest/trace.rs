//! The life of a message, for the owner of the server.

use axum::Json;
use axum::extract::State;
use tertulia_proto::{MessageId, MessageTrace};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::caller::KeyHolder;
use crate::error::{Answer, Problems};
use crate::extract::Path;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(trace))
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
