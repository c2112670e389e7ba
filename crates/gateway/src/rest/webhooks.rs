//! Other programs that are told what happens. For API keys with the scope `admin` alone.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tertulia_core::auth::Scope;
use tertulia_proto::WebhookId;
use tertulia_proto::webhook::{KeptEvent, NewWebhook, ReplayBody, SkipBody, WebhookEndpoint, WebhookSecret};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::caller::KeyHolder;
use crate::error::{Answer, Problems};
use crate::extract::{Body, Path, Query};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
        .routes(routes!(rotate, finish_rotation))
        .routes(routes!(enable))
        .routes(routes!(replay))
        .routes(routes!(skip))
        .routes(routes!(events))
}

#[derive(Serialize, ToSchema)]
struct Webhooks {
    webhooks: Vec<WebhookEndpoint>,
}

/// All endpoints, how they do, and why one is switched off.
#[utoipa::path(get, path = "/admin/webhooks", tag = "webhooks", security(("bearer" = [])),
    responses((status = 200, body = Webhooks), Problems))]
async fn list(State(app): State<App>, KeyHolder(key): KeyHolder) -> Answer<Json<Webhooks>> {
    key.require(Scope::Admin)?;
    Ok(Json(Webhooks { webhooks: app.services.webhooks().await? }))
}

/// Sends events there from now on. The answer is the only time that the secret is shown.
#[utoipa::path(post, path = "/admin/webhooks", tag = "webhooks", request_body = NewWebhook, security(("bearer" = [])),
    responses((status = 201, description = "added", body = WebhookSecret), Problems))]
async fn add(
    State(app): State<App>,
    KeyHolder(key): KeyHolder,
    Body(new): Body<NewWebhook>,
) -> Answer<(StatusCode, Json<WebhookSecret>)> {
    key.require(Scope::Admin)?;
    Ok((StatusCode::CREATED, Json(app.services.add_webhook(new).await?)))
}

/// Nothing is sent there any more.
#[utoipa::path(delete, path = "/admin/webhooks/{id}", tag = "webhooks", params(("id" = WebhookId, Path)), security(("bearer" = [])),
    responses((status = 204, description = "removed"), Problems))]
async fn remove(State(app): State<App>, KeyHolder(key): KeyHolder, Path(id): Path<WebhookId>) -> Answer<StatusCode> {
    key.require(Scope::Admin)?;
    app.services.remove_webhook(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Begins a rotation: a new secret signs, and beside it the one before, until the rotation is finished.
#[utoipa::path(post, path = "/admin/webhooks/{id}/secret", tag = "webhooks", params(("id" = WebhookId, Path)), security(("bearer" = [])),
    responses((status = 200, body = WebhookSecret), Problems))]
async fn rotate(
    State(app): State<App>,
    KeyHolder(key): KeyHolder,
    Path(id): Path<WebhookId>,
) -> Answer<Json<WebhookSecret>> {
    key.require(Scope::Admin)?;
    Ok(Json(app.services.rotate_webhook(id).await?))
}

/// Finishes a rotation: the secret before the newest signs no more.
#[utoipa::path(delete, path = "/admin/webhooks/{id}/secret", tag = "webhooks", params(("id" = WebhookId, Path)), security(("bearer" = [])),
    responses((status = 204, description = "finished"), Problems))]
async fn finish_rotation(
    State(app): State<App>,
    KeyHolder(key): KeyHolder,
    Path(id): Path<WebhookId>,
) -> Answer<StatusCode> {
    key.require(Scope::Admin)?;
    app.services.finish_webhook_rotation(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Switches it on again; it is told from where it stood. One that is on is tried at once.
#[utoipa::path(post, path = "/admin/webhooks/{id}/enable", tag = "webhooks", params(("id" = WebhookId, Path)), security(("bearer" = [])),
    responses((status = 204, description = "it is on"), Problems))]
async fn enable(State(app): State<App>, KeyHolder(key): KeyHolder, Path(id): Path<WebhookId>) -> Answer<StatusCode> {
    key.require(Scope::Admin)?;
    app.services.enable_webhook(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends kept events once more: everything since a time, an event and what came after it in its conversation, or all.
#[utoipa::path(post, path = "/admin/webhooks/{id}/replay", tag = "webhooks", params(("id" = WebhookId, Path)), request_body = ReplayBody,
    security(("bearer" = [])), responses((status = 202, description = "under way"), Problems))]
async fn replay(
    State(app): State<App>,
    KeyHolder(key): KeyHolder,
    Path(id): Path<WebhookId>,
    Body(from): Body<ReplayBody>,
) -> Answer<StatusCode> {
    key.require(Scope::Admin)?;
    app.services.replay_webhook(id, from).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Goes on behind an event that is not taken, and is not told: the first that waits in its conversation.
#[utoipa::path(post, path = "/admin/webhooks/{id}/skip", tag = "webhooks", params(("id" = WebhookId, Path)), request_body = SkipBody,
    security(("bearer" = [])), responses((status = 204, description = "skipped"), Problems))]
async fn skip(
    State(app): State<App>,
    KeyHolder(key): KeyHolder,
    Path(id): Path<WebhookId>,
    Body(skip): Body<SkipBody>,
) -> Answer<StatusCode> {
    key.require(Scope::Admin)?;
    app.services.skip_webhook_event(id, &skip.event).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
struct Page {
    /// A time (RFC 3339), or an event's id: the last of the page before.
    before: Option<String>,
    /// 50 unless said, at most 200.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct Events {
    events: Vec<KeptEvent>,
}

/// The latest events that are kept, without what they say.
#[utoipa::path(get, path = "/admin/webhook-events", tag = "webhooks", params(Page), security(("bearer" = [])),
    responses((status = 200, body = Events), Problems))]
async fn events(State(app): State<App>, KeyHolder(key): KeyHolder, Query(page): Query<Page>) -> Answer<Json<Events>> {
    key.require(Scope::Admin)?;
    Ok(Json(Events { events: app.services.webhook_events(page.before.as_deref(), page.limit).await? }))
}
