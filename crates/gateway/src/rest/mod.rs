//! REST: a file per noun, each with its routes, which are their own documentation (`docs`).

mod auth;
mod conversations;
mod devices;
mod jobs;
mod members;
mod messages;
mod operations;
mod people;
mod sync;
mod trace;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Redirect;
use axum::routing::get;
use tertulia_proto::{ApiError, ErrorCode};
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::App;
use crate::error::Refusal;

pub fn routes() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new()
        .merge(people::routes())
        .merge(conversations::routes())
        .merge(members::routes())
        .merge(messages::routes())
        .merge(sync::routes())
        .merge(devices::routes())
        .merge(webhooks::routes())
        .merge(trace::routes())
        .merge(jobs::routes())
        .merge(auth::key_routes());
    OpenApiRouter::new().merge(auth::routes()).nest("/api/v1", api).merge(operations::routes())
}

pub fn router(app: &App) -> Router {
    let (router, _) = routes().split_for_parts();
    let router = if app.settings.web.is_empty() {
        router.route("/", get(async || Redirect::temporary("/docs")))
    } else {
        router
    };
    router
        .merge(crate::docs::routes())
        .route("/messages/subscribe", get(crate::ws::subscribe))
        .fallback(crate::web::serve)
        .method_not_allowed_fallback(async || {
            Refusal::with_status(
                StatusCode::METHOD_NOT_ALLOWED,
                ApiError::new(ErrorCode::Invalid, "this path has other methods"),
            )
        })
        .layer(DefaultBodyLimit::max(app.services.limits().request_max_bytes))
        .layer(CompressionLayer::new())
        .with_state(Arc::clone(app))
}

/// Health and metrics alone.
pub fn operations(app: &App) -> Router {
    let (router, _) = operations::routes().split_for_parts();
    router.with_state(Arc::clone(app))
}

/// Without credentials: other origins come with a Bearer token, never with the cookie.
pub fn cors(app: &App) -> CorsLayer {
    let origins = app.settings.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("traceparent")])
        .expose_headers([HeaderName::from_static("x-trace-id"), header::RETRY_AFTER])
}
