//! Health and metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use tertulia_proto::ErrorCode;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{Answer, Refusal};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready)).routes(routes!(metrics))
}

#[derive(Serialize, ToSchema)]
struct Live {
    status: &'static str,
}

/// The process answers.
#[utoipa::path(get, path = "/health/live", tag = "operations", responses((status = 200, body = Live)))]
async fn live() -> Json<Live> {
    Json(Live { status: "ok" })
}

#[derive(Serialize, ToSchema)]
struct Ready {
    /// `ok`, `degraded` (the other servers can't be heard: their news comes late), or what is the matter.
    status: &'static str,
    /// Each dependency: `ok` or `unavailable`.
    store: &'static str,
    /// Left out where there are no other servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<&'static str>,
}

/// Requests can be served; says which dependency is not there.
#[utoipa::path(get, path = "/health/ready", tag = "operations",
    responses((status = 200, body = Ready), (status = 503, description = "not now", body = Ready)))]
async fn ready(State(app): State<App>) -> (StatusCode, Json<Ready>) {
    let store = match app.services.store().log_state().await {
        Ok(_) => "ok",
        Err(error) => {
            tracing::error!(%error, "not ready");
            "unavailable"
        }
    };
    let bus = app.settings.bus.as_ref().map(|bus| if bus.look().is_up { "ok" } else { "unavailable" });
    let status = match (app.is_draining(), store, bus) {
        (true, ..) => "draining",
        (false, "ok", None | Some("ok")) => "ok",
        (false, "ok", Some(_)) => "degraded",
        (false, ..) => "unavailable",
    };
    let code = if matches!(status, "ok" | "degraded") { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(Ready { status, store, bus }))
}

/// In Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(app): State<App>) -> Answer<impl IntoResponse> {
    let (bus, jobs) = (app.settings.bus.as_ref(), app.settings.jobs.as_ref());
    let text = app.metrics.render(&app.services, bus, jobs).await.map_err(|error| {
        tracing::error!(%error, "metrics could not be read");
        Refusal::from(tertulia_proto::ApiError::retry(ErrorCode::Unavailable, "the store is not available", 1000))
    })?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}
