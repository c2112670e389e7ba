//! The difference over HTTP.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tertulia_proto::request::SyncBody;
use tertulia_proto::sync::Difference;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::caller::Caller;
use crate::error::{Answer, Problems};
use crate::extract::{Body, Query};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(sync, sync_beyond))
}

#[derive(Deserialize, IntoParams)]
struct Since {
    /// `cursor` of the last answer; without it everything comes, in pages.
    cursor: Option<String>,
    /// Conversations in a page; 1 to 100; 100 where absent.
    limit: Option<i64>,
}

/// What changed of all one can see since a cursor.
#[utoipa::path(get, path = "/sync", tag = "sync", params(Since),
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = Difference), Problems))]
async fn sync(
    State(app): State<App>,
    Caller(identity): Caller,
    Query(query): Query<Since>,
) -> Answer<Json<Difference>> {
    let asked = SyncBody { cursor: query.cursor, limit: query.limit, have: None };
    Ok(Json(app.services.difference(&identity, asked).await?))
}

/// The same for a client that heard live events beyond its cursor and says what it holds: only what it has not comes.
#[utoipa::path(post, path = "/sync", tag = "sync", request_body = SyncBody,
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = Difference), Problems))]
async fn sync_beyond(
    State(app): State<App>,
    Caller(identity): Caller,
    Body(asked): Body<SyncBody>,
) -> Answer<Json<Difference>> {
    Ok(Json(app.services.difference(&identity, asked).await?))
}
