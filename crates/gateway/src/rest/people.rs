//! Oneself and others.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tertulia_proto::request::ProfilePatch;
use tertulia_proto::{Session, SessionId, User, UserId};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::caller::Caller;
use crate::error::{Answer, Problems};
use crate::extract::{Body, Path, Query};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(me, update_me))
        .routes(routes!(sessions))
        .routes(routes!(end_session))
        .routes(routes!(find))
        .routes(routes!(blocked))
        .routes(routes!(user))
        .routes(routes!(block, unblock))
}

/// Oneself.
#[utoipa::path(get, path = "/me", tag = "people", security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = User), Problems))]
async fn me(State(app): State<App>, Caller(identity): Caller) -> Answer<Json<User>> {
    Ok(Json(app.services.me(&identity).await?))
}

/// Changes name or picture; every conversation shows the new ones.
#[utoipa::path(patch, path = "/me", tag = "people", request_body = ProfilePatch, security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = User), Problems))]
async fn update_me(
    State(app): State<App>,
    Caller(identity): Caller,
    Body(patch): Body<ProfilePatch>,
) -> Answer<Json<User>> {
    Ok(Json(app.services.update_profile(&identity, patch).await?))
}

/// One's sign-ins that stand, newest first, at most 200. A host app's tokens have none here.
#[utoipa::path(get, path = "/me/sessions", tag = "people", security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Vec<Session>), Problems))]
async fn sessions(State(app): State<App>, Caller(identity): Caller) -> Answer<Json<Vec<Session>>> {
    Ok(Json(app.services.sessions(&identity).await?))
}

/// Ends one of one's sign-ins: its tokens are refused from now on and its open connections are closed.
#[utoipa::path(delete, path = "/me/sessions/{id}", tag = "people", params(("id" = SessionId, Path)), security(("bearer" = []), ("cookie" = [])),
    responses((status = 204, description = "ended"), Problems))]
async fn end_session(
    State(app): State<App>,
    Caller(identity): Caller,
    Path(id): Path<SessionId>,
) -> Answer<StatusCode> {
    app.services.end_session(&identity, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whom one has blocked, by name: all of them.
#[utoipa::path(get, path = "/users/blocked", tag = "people", security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Found), Problems))]
async fn blocked(State(app): State<App>, Caller(identity): Caller) -> Answer<Json<Found>> {
    Ok(Json(Found { users: app.services.blocked(&identity).await? }))
}

#[derive(Deserialize, IntoParams)]
struct Find {
    /// The e-mail, or at least three characters of its beginning.
    email: String,
}

#[derive(Serialize, ToSchema)]
struct Found {
    users: Vec<User>,
}

/// At most 20 people by e-mail; never lists everybody.
#[utoipa::path(get, path = "/users/search", tag = "people", params(Find), security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Found), Problems))]
async fn find(State(app): State<App>, Caller(identity): Caller, Query(query): Query<Find>) -> Answer<Json<Found>> {
    Ok(Json(Found { users: app.services.find_users(&identity, &query.email).await? }))
}

/// Somebody by id; the e-mail only where one shares a conversation.
#[utoipa::path(get, path = "/users/{id}", tag = "people", params(("id" = UserId, Path)), security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = User), Problems))]
async fn user(State(app): State<App>, Caller(identity): Caller, Path(id): Path<UserId>) -> Answer<Json<User>> {
    Ok(Json(app.services.user(&identity, id).await?))
}

/// From now on neither can write to the other directly.
#[utoipa::path(put, path = "/users/{id}/block", tag = "people", params(("id" = UserId, Path)), security(("bearer" = []), ("cookie" = [])),
    responses((status = 204, description = "blocked"), Problems))]
async fn block(State(app): State<App>, Caller(identity): Caller, Path(id): Path<UserId>) -> Answer<StatusCode> {
    app.services.set_blocked(&identity, id, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a block.
#[utoipa::path(delete, path = "/users/{id}/block", tag = "people", params(("id" = UserId, Path)), security(("bearer" = []), ("cookie" = [])),
    responses((status = 204, description = "no longer blocked"), Problems))]
async fn unblock(State(app): State<App>, Caller(identity): Caller, Path(id): Path<UserId>) -> Answer<StatusCode> {
    app.services.set_blocked(&identity, id, false).await?;
    Ok(StatusCode::NO_CONTENT)
}
