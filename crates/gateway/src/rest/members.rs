//! Members of a group.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use tertulia_proto::request::{PersonBody, RoleBody};
use tertulia_proto::{ApiError, ConversationId, ErrorCode, Member, UserId};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::caller::Caller;
use crate::error::{Answer, Problems};
use crate::extract::{Body, Path, Query};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(add)).routes(routes!(set_role, remove))
}

/// Brings somebody in; they see what comes from now on, or everything where the group says so.
#[utoipa::path(post, path = "/conversations/{id}/members", tag = "members", params(("id" = ConversationId, Path)), request_body = PersonBody,
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "was a member already", body = Member), (status = 201, body = Member), Problems))]
async fn add(
    State(app): State<App>,
    Caller(identity): Caller,
    Path(id): Path<ConversationId>,
    Body(person): Body<PersonBody>,
) -> Answer<(StatusCode, Json<Member>)> {
    let (member, fresh) = app.services.add_member(&identity, id, &person).await?;
    Ok((if fresh { StatusCode::CREATED } else { StatusCode::OK }, Json(member)))
}

/// Gives a role: `owner`, `admin` or `member`.
#[utoipa::path(patch, path = "/conversations/{id}/members/{user_id}", tag = "members",
    params(("id" = ConversationId, Path), ("user_id" = UserId, Path)), request_body = RoleBody,
    security(("bearer" = []), ("cookie" = [])), responses((status = 200, body = Member), Problems))]
async fn set_role(
    State(app): State<App>,
    Caller(identity): Caller,
    Path((id, user)): Path<(ConversationId, UserId)>,
    Body(body): Body<RoleBody>,
) -> Answer<Json<Member>> {
    Ok(Json(app.services.set_role(&identity, id, user, body.role).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
struct Removal {
    /// With oneself: who owns the group from now on, where its last owner leaves.
    #[param(rename = "newOwner")]
    new_owner: Option<UserId>,
}

/// Takes somebody out, or (with oneself) leaves.
#[utoipa::path(delete, path = "/conversations/{id}/members/{user_id}", tag = "members",
    params(("id" = ConversationId, Path), ("user_id" = UserId, Path), Removal),
    security(("bearer" = []), ("cookie" = [])), responses((status = 204, description = "no longer a member"), Problems))]
async fn remove(
    State(app): State<App>,
    Caller(identity): Caller,
    Path((id, user)): Path<(ConversationId, UserId)>,
    Query(query): Query<Removal>,
) -> Answer<StatusCode> {
    let services = Arc::clone(&app.services);
    to_its_end(async move { services.remove_member(&identity, id, user, query.new_owner).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A handler is dropped where its client hangs up; what follows a commit may not be left out for that.
#[expect(clippy::disallowed_methods, reason = "ends with the write it waits for")]
async fn to_its_end(work: impl Future<Output = Result<(), ApiError>> + Send + 'static) -> Result<(), ApiError> {
    let stopped = || ApiError::retry(ErrorCode::Unavailable, "stopped before an answer", 1000);
    tokio::spawn(work).await.unwrap_or_else(|_| Err(stopped()))
}
